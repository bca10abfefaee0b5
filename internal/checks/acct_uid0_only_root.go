package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsUID0OnlyRoot() audit.Check {
	return audit.Check{
		ID: "acct.uid0-only-root", Title: "Nobody but root has root's number", Severity: finding.Crit,
		Why:       "Whoever has the user id 0 is root, whatever the account is called: a second one is a back door, or somebody's shortcut that is forgotten.",
		Fix:       "Give the account a number of its own (usermod -u), or lock it; make sure first that another account can become root.",
		Reference: []string{"CIS Debian 12 5.4.2.1", "CIS RHEL 9 5.4.2.1", "passwd(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			users, err := h.Users()
			if err != nil {
				return audit.Unknown(err)
			}
			var names []string
			var evidence []finding.Evidence
			for _, u := range users {
				if u.UID == 0 {
					names = append(names, u.Name)
					if u.Name != "root" {
						evidence = append(evidence, audit.At("/etc/passwd", u.Line, u.Name))
					}
				}
			}
			return audit.PassIf(len(evidence) == 0, names, evidence...)
		},
		ByHand: "Which of the accounts with root's number you still need, and what files it has, is yours to say: the other one may hold the only password that works.",
	}
}
