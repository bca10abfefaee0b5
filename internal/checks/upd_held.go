package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func updHeld() audit.Check {
	return audit.Check{
		ID: "upd.held", Title: "No package is held back from an update for safety", Severity: finding.Low,
		Why:       "Somebody told apt to leave this package as it is; now it keeps a hole that is closed elsewhere.",
		Fix:       "Let it go with apt-mark unhold and upgrade it, once the reason for holding it is gone.",
		Reference: []string{"apt-mark(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			if v, ok := apt(h); !ok {
				return v
			}
			all, err := h.Packages()
			if err != nil {
				return audit.Unknown(err)
			}
			held := map[string]bool{}
			var names []string
			for _, p := range all {
				if p.Held && p.Installed {
					held[p.Name] = true
					names = append(names, p.Name)
				}
			}
			if len(held) == 0 {
				return audit.Pass(names)
			}
			pending, err := h.PendingUpdates()
			if err != nil {
				return audit.Unknown(err)
			}
			var evidence []finding.Evidence
			for _, p := range pending {
				if held[p.Package.Name] {
					evidence = append(evidence, packageEvidence(p.Package, " < "+p.Newer))
				}
			}
			return audit.PassIf(len(evidence) == 0, names, evidence...)
		},
	}
}
