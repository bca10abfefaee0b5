package checks

import (
	"errors"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func authenticationFaillockRoot() audit.Check {
	return audit.Check{
		ID: "pam.faillock-root", Title: "root is locked after wrong passwords too", Severity: finding.Info,
		Why:       "Otherwise root's password alone may be tried without end. With it, whoever can reach a login can lock root out; no home has to.",
		Fix:       "Only if you must: set root_unlock_time = 60 (or even_deny_root) in /etc/security/faillock.conf.",
		Reference: []string{"CIS Debian 12 5.3.3.1.3", "faillock.conf(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			f, err := faillockOf(h)
			if errors.Is(err, errNoPAM) {
				return audit.NotApplicable(err.Error())
			}
			if err != nil {
				return audit.Unknown(err)
			}
			if len(f.missing) > 0 {
				return audit.Fail(false, f.missing...)
			}
			if f.first == nil {
				return audit.NotApplicable("no service asks for this machine's passwords")
			}
			_, at, root := f.arg("even_deny_root", "no")
			if !root {
				if _, other, ok := f.arg("root_unlock_time", ""); ok {
					at, root = other, true
				}
			}
			return audit.PassIf(root, root, at).Explicitly(root)
		},
		Repair: lockRootToo,
	}
}
