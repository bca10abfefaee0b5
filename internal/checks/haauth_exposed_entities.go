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
		Fix:       "Under Settings, Voice assistants, Expose take locks, alarms, garage doors and gates away, or give Google a PIN (secure_devices_pin).",
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
			root, err := h.HAConfiguration()
			if err != nil {
				return audit.Unknown(err)
			}
			names := []string{}
			var evidence []finding.Evidence
			for _, e := range exposed {
				if !guardsHouse(e.Entity) {
					continue
				}
				for _, to := range e.Assistants {
					if to != "cloud.google_assistant" || !cloud.GooglePIN {
						names = append(names, e.Entity)
						evidence = append(evidence, audit.At(e.File, e.Line, e.Entity+" for "+to))
					}
				}
			}
			google, err := root.Sections("google_assistant")
			for _, g := range google {
				byDefault := g.Value.Get("expose_by_default")
				if g.Value.Get("secure_devices_pin") == nil && (byDefault == nil || byDefault.True()) {
					names = append(names, "google_assistant")
					evidence = append(evidence, audit.At(h.HAPath(g.At.File), g.At.Line, "google_assistant without secure_devices_pin exposes all there is"))
				}
			}
			if err != nil && len(evidence) == 0 {
				return audit.Unknown(err)
			}
			return audit.PassIf(len(evidence) == 0, names, evidence...)
		},
	}
}

// guardsHouse reports whether an entity keeps people out.
func guardsHouse(entity string) bool {
	domain, name, _ := strings.Cut(entity, ".")
	switch domain {
	case "lock", "alarm_control_panel":
		return true
	case "cover":
		for _, word := range []string{"garage", "gate", "door", "tor", "porte"} {
			if slices.Contains(strings.Split(name, "_"), word) {
				return true
			}
		}
		return strings.Contains(name, "garage")
	}
	return false
}
