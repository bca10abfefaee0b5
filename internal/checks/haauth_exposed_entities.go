package checks

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haAuthExposed() audit.Check {
	return audit.Check{
		ID: "haauth.exposed-entities", Title: "No assistant opens locks, garage doors or the alarm without a number", Severity: finding.High,
		Why:       "Whoever can be heard by an assistant can tell it to open the door, also through the window or from the television.",
		Fix:       "Under Settings, Voice assistants, Expose take locks, alarms, garage doors and gates away, and leave Google's question for the PIN on.",
		Reference: []string{"HA docs: voice_control/voice_remote_expose_devices", "HA docs: integrations/google_assistant, secure_devices_pin"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			exposed, err := h.HAExposed()
			if err != nil {
				return audit.Unknown(err)
			}
			cloud, err := h.HACloud()
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return audit.Unknown(err)
			}
			names := []string{}
			var evidence []finding.Evidence
			for _, e := range exposed {
				if !guardsHouse(e.Entity, e.Class) {
					continue
				}
				for _, to := range e.Assistants {
					switch to {
					case "cloud.alexa":
						if !cloud.SignedIn || !cloud.Alexa {
							continue
						}
					case "cloud.google_assistant":
						// Home Assistant opens nothing for Google without its number, and nothing at all
						// while none is set (google_assistant/trait.py); but of covers it knows by their
						// class alone which are doors.
						asks := !e.NoNumber && (!strings.HasPrefix(e.Entity, "cover.") || e.Class != "")
						if !cloud.SignedIn || !cloud.Google || asks {
							continue
						}
					}
					names = append(names, e.Entity)
					evidence = append(evidence, audit.At(e.File, e.Line, e.Entity+" for "+to))
				}
			}
			return audit.PassIf(len(evidence) == 0, names, evidence...)
		},
		ByHand: "What you say to your assistant is yours to choose, and Home Assistant keeps it itself.",
	}
}

// guardsHouse reports whether an entity keeps people out: of a cover its class says so, its
// name where it has none.
func guardsHouse(entity, class string) bool {
	domain, name, _ := strings.Cut(entity, ".")
	switch domain {
	case "lock", "alarm_control_panel":
		return true
	case "cover":
		if class != "" {
			return slices.Contains([]string{"door", "garage", "gate"}, class)
		}
		for _, word := range []string{"garage", "gate", "door", "tor", "porte"} {
			if slices.Contains(strings.Split(name, "_"), word) {
				return true
			}
		}
		return strings.Contains(name, "garage")
	}
	return false
}
