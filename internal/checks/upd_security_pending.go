package checks

import (
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func updSecurityPending() audit.Check {
	return audit.Check{
		ID: "upd.security-pending", Title: "No update for safety waits to be installed", Severity: finding.Crit,
		Why:       "Once an update is out, the hole that it closes is known to everybody, and tools that use it follow within days.",
		Fix:       "Install them: apt-get update, then apt-get upgrade. Make a backup of Home Assistant first.",
		Reference: []string{"CIS Debian 12 1.2.2.1", "Securing Debian Manual 4.2"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			if _, err := h.Packages(); err != nil {
				return audit.Unknown(err)
			}
			pending, err := h.PendingUpdates()
			if err != nil {
				return audit.Unknown(err)
			}
			names := []string{}
			var evidence []finding.Evidence
			for _, p := range pending {
				names = append(names, p.Package.Name)
				evidence = append(evidence, packageEvidence(p.Package, " < "+p.Newer))
			}
			if len(pending) > 0 {
				return audit.Fail(names, evidence...)
			}
			age, _, err := listsAge(h)
			if err != nil {
				return audit.Unknown(err)
			}
			if age > week {
				return audit.Unknown(fmt.Errorf("%s: what apt heard is %d days old", facts.AptListsDir, int(age.Hours()/24)))
			}
			return audit.Pass(names)
		},
		ByHand: "Installing them is apt's work (apt upgrade), and a service that is started again may stop your house for a moment; upd.unattended is repaired, so that it happens by itself.",
	}
}
