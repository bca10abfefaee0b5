package checks

import (
	"cmp"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsRootLockedOrStrong() audit.Check {
	return audit.Check{
		ID: "acct.root-locked-or-strong", Title: "root's password is locked, or kept strongly", Severity: finding.Med,
		Why:       "Everybody knows root's name, so its password is tried first. Where people become root with sudo, root needs none.",
		Fix:       "Set root a new password (passwd root), or, where another account can become root with sudo and you know how to start the machine without it, lock it (passwd -l root).",
		Reference: []string{"CIS Debian 12 5.4.2.4", "Securing Debian 4.11", "passwd(1)", "sulogin(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			all, err := logins(h)
			if err != nil {
				return audit.Unknown(err)
			}
			for _, l := range all {
				if l.Name != "root" {
					continue
				}
				if !l.password.Usable() {
					return audit.Pass("locked", l.where("locked"))
				}
				kind := cmp.Or(weakHash(l.password), string(l.password.Kind))
				return audit.PassIf(weakHash(l.password) == "" && l.password.Kind != facts.PasswordEmpty, kind, l.where(kind))
			}
			return audit.NotApplicable("there is no account root")
		},
		Repair: lockRoot,
	}
}
