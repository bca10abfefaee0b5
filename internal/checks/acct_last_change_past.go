package checks

import (
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsLastChangePast() audit.Check {
	return audit.Check{
		ID: "acct.last-change-past", Title: "No password was set in the future", Severity: finding.Low,
		Why:       "A password that was set tomorrow never runs out in time. Mostly the machine's clock was wrong then, as on a Raspberry Pi after its first start.",
		Fix:       "See that the clock is right, then write today down (chage -d $(date +%F) NAME).",
		Reference: []string{"CIS Debian 12 5.4.1.6", "CIS RHEL 9 5.4.1.6", "shadow(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			shadows, err := h.Shadow()
			if err != nil {
				return audit.Unknown(err)
			}
			today := int(h.Now.Unix() / 86400)
			names := []string{}
			var evidence []finding.Evidence
			for _, s := range shadows {
				if s.LastChange > today {
					names = append(names, s.Name)
					evidence = append(evidence, audit.At("/etc/shadow", s.Line, fmt.Sprintf("%s: in %d days", s.Name, s.LastChange-today)))
				}
			}
			return audit.PassIf(len(evidence) == 0, names, evidence...)
		},
		ByHand: "It comes of a wrong clock, now or then, and which of the two was wrong a program cannot tell.",
	}
}
