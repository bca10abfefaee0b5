package checks

import (
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haSecLiterals() audit.Check {
	return audit.Check{
		ID: "hasec.literals", Title: "Passwords and keys stand in secrets.yaml and not in between", Severity: finding.High,
		Why:       "Configurations are shown around: in a forum, on a screen, in git. A password in the middle of one goes with it.",
		Fix:       "Move each value to secrets.yaml and write !secret and its name in its place; change those that were ever shown.",
		Reference: []string{"HA docs: configuration/secrets"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			all, err := h.HALiterals()
			if err != nil && len(all) == 0 {
				return audit.Unknown(err)
			}
			var evidence []finding.Evidence
			for _, l := range all {
				evidence = append(evidence, audit.At(l.File, l.Line, fmt.Sprintf("%s: %s, %d characters", l.Key, l.Kind, l.Length)))
			}
			return audit.PassIf(len(all) == 0, len(all), evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  haRepairLiterals(),
	}
}
