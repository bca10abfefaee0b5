package checks

import (
	"errors"
	"fmt"
	"io/fs"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haVerSupervisor() audit.Check {
	return audit.Check{
		ID: "haver.supervisor", Title: "The Supervisor is new enough", Severity: finding.Crit,
		Why:       "With an older Supervisor, add-ons on the host's network answer everybody in it without a login, and an add-on gets past Home Assistant's.",
		Fix:       "Update the Supervisor to 2026.08.0 or newer (Settings, System, Updates).",
		Reference: []string{"CVE-2026-34205", "Supervisor 2026.08.0: #7122, #7123"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			if _, err := h.Stat(h.HADir); err != nil {
				return audit.Unknown(err)
			}
			s, err := h.HASupervisor()
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return audit.NotApplicable("there is no Supervisor, as far as files say")
			case err != nil:
				return audit.Unknown(err)
			}
			var evidence []finding.Evidence
			for _, a := range facts.HAAdvisories() {
				if a.Program != "supervisor" {
					continue
				}
				order, ok := facts.CompareHANumbers(s.Version, a.Fixed)
				if !ok {
					return audit.Unknown(fmt.Errorf("%s: not a release of the Supervisor", s.File))
				}
				if order < 0 {
					evidence = append(evidence, audit.At(s.File, s.Line, a.ID+": "+a.What+"; closed in "+a.Fixed))
				}
			}
			return haAdvised(h, s.Version, evidence)
		},
		ByHand: "The Supervisor updates itself; where it does not, something is wrong that a person has to look at.",
	}
}
