package checks

import (
	"errors"
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func authenticationFaillock() audit.Check {
	return audit.Check{
		ID: "pam.faillock", Title: "An account is locked for a while after ten wrong passwords at most", Severity: finding.Med,
		Why:       "Without a lock a program can try one password after another all night.",
		Fix:       "Install the profile of pam_faillock with pam-auth-update (on Red Hat: authselect enable-feature with-faillock), and set deny = 10 and unlock_time = 900 in /etc/security/faillock.conf. Keep a root shell open while you try it.",
		Reference: []string{"CIS Debian 12 5.3.2.2", "CIS Debian 12 5.3.3.1.1", "CIS Debian 12 5.3.3.1.2", "CIS RHEL 9 5.3.3.1.1", "CIS RHEL 9 5.3.3.1.2", "pam_faillock(8)", "faillock.conf(5)"},
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
				return audit.Fail("not locked", f.missing...)
			}
			if f.first == nil {
				return audit.NotApplicable("no service asks for this machine's passwords")
			}
			deny, at, explicit, err := f.number("deny", 3)
			if err != nil {
				return audit.Unknown(err)
			}
			unlock, until, also, err := f.number("unlock_time", 600)
			if err != nil {
				return audit.Unknown(err)
			}
			effective := fmt.Sprintf("after %d wrong ones, for %d seconds", deny, unlock)
			fine := deny >= 1 && deny <= 10 && unlock >= 600 && unlock <= 1800
			return audit.PassIf(fine, effective, at, until).Explicitly(explicit || also)
		},
		Profile: audit.ProfileStrict,
		Repair:  lockAfterWrong,
	}
}
