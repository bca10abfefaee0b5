package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsShadowed() audit.Check {
	return audit.Check{
		ID: "acct.shadowed", Title: "Passwords stand only where root can read them", Severity: finding.High,
		Why:       "Everybody on the machine may read /etc/passwd. What stands there of a password can be carried away and tried out elsewhere.",
		Fix:       "Run pwconv, which moves the passwords to /etc/shadow; then change them.",
		Reference: []string{"CIS Debian 12 7.2.1", "CIS RHEL 9 7.2.1", "Securing Debian 12.1", "pwconv(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			users, err := h.Users()
			if err != nil {
				return audit.Unknown(err)
			}
			names := []string{}
			var evidence []finding.Evidence
			for _, u := range users {
				if u.Password == "x" {
					continue
				}
				p := facts.ParsePassword(u.Password)
				if p.Kind == facts.PasswordNone {
					continue // "*", "!": nothing to carry away
				}
				names = append(names, u.Name)
				evidence = append(evidence, audit.At("/etc/passwd", u.Line, u.Name+": "+string(p.Kind)))
			}
			return audit.PassIf(len(evidence) == 0, names, evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  moveToShadow,
	}
}
