package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsUmask() audit.Check {
	return audit.Check{
		ID: "acct.umask", Title: "New files are not open to everybody", Severity: finding.Low,
		Why:       "With the usual umask whatever is written on this machine may be read by every other account and program on it.",
		Fix:       "Set UMASK 027 in /etc/login.defs with pam_umask in the session stack, or umask 027 in a file in /etc/profile.d.",
		Reference: []string{"CIS Debian 12 5.4.3.3", "CIS RHEL 9 5.4.3.3", "Securing Debian 4.11.14", "pam_umask(8)", "umask(2)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			u, err := systemUmask(h)
			if err != nil {
				return audit.Unknown(err)
			}
			return audit.PassIf(u.strict(), u.text(), u.Evidence).Explicitly(u.explicit)
		},
		Profile: audit.ProfileStrict,
		Repair:  closedFiles,
	}
}
