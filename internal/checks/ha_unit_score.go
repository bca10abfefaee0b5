package checks

import (
	"fmt"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haProcScore() audit.Check {
	return audit.Check{
		ID: "ha.unit-score", Title: "Home Assistant's unit reaches little of the machine", Severity: finding.Info,
		Why:       "systemd counts what a service may do that it does not need, from 0 for nothing to 10 for everything: one number for how far somebody gets who takes Home Assistant over.",
		Fix:       "Set what is named in a drop-in of the unit; systemd-analyze security with the unit's name shows the whole list.",
		Reference: []string{"systemd-analyze(1), security", "systemd.exec(5)"},
		Needs:     audit.NeedHA | audit.NeedHost,
		Judge: haUnit(func(u facts.Unit) (string, []finding.Evidence) {
			const most = 40 // tenths
			score, adds := u.Exposure()
			said := fmt.Sprintf("%d.%d", score/10, score%10)
			if score <= most {
				return said, nil
			}
			return said, []finding.Evidence{audit.At(u.Start().File, u.Start().Line, said+"; what adds most: "+strings.Join(adds, ", "))}
		}),
	}
}
