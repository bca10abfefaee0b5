package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsEmptyPassword() audit.Check {
	return audit.Check{
		ID: "acct.empty-password", Title: "No account lets people in without a password", Severity: finding.Crit,
		Why:       "An account with an empty password is open to whoever types its name, at the screen and, with some settings, from the network.",
		Fix:       "Lock the account (passwd -l NAME) or set a password (passwd NAME).",
		Reference: []string{"CIS Debian 12 7.2.2", "CIS RHEL 9 7.2.2", "Securing Debian 4.11", "shadow(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			users, err := h.Users()
			if err != nil {
				return audit.Unknown(err)
			}
			names := []string{}
			var evidence []finding.Evidence
			for _, u := range users {
				if u.Password == "" {
					names = append(names, u.Name)
					evidence = append(evidence, audit.At("/etc/passwd", u.Line, u.Name+": no password"))
				}
			}
			shadows, err := h.Shadow()
			if err != nil && len(evidence) == 0 {
				return audit.Unknown(err)
			}
			for _, s := range shadows {
				if s.Hash == "" {
					names = append(names, s.Name)
					evidence = append(evidence, audit.At("/etc/shadow", s.Line, s.Name+": no password"))
				}
			}
			return audit.PassIf(len(evidence) == 0, names, evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  lockEmpty,
	}
}
