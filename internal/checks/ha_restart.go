package checks

import (
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haProcRestart() audit.Check {
	return audit.Check{
		ID: "ha.restart", Title: "Home Assistant comes back by itself when it fails", Severity: finding.Info,
		Why:       "A house whose alarm stays off until somebody notices is one that can be switched off.",
		Fix:       "In a drop-in of the unit: Restart=on-failure and RestartForceExitStatus=100, RestartSec=5.",
		Reference: []string{"systemd.service(5), Restart="},
		Needs:     audit.NeedHA | audit.NeedHost,
		Judge: haUnit(func(u facts.Unit) (string, []finding.Evidence) {
			s, _ := u.Last("Service", "Restart")
			if slices.Contains([]string{"always", "on-failure", "on-abnormal"}, s.Value) {
				return s.Value, nil
			}
			return s.Value, []finding.Evidence{haAtUnit(u, "Restart")}
		}),
		Profile: audit.ProfileHome,
		Repair:  haRepairRestart(),
	}
}
