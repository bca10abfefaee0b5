package checks

import (
	"errors"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func authenticationPwhistory() audit.Check {
	return audit.Check{
		ID: "pam.pwhistory", Title: "A new password is none of the last five", Severity: finding.Info,
		Why:       "It keeps people from going back to a password that somebody may know. It matters where passwords run out; no home has to.",
		Fix:       "Only if you must: put pam_pwhistory into the password stack, with remember = 5 in /etc/security/pwhistory.conf.",
		Reference: []string{"CIS Debian 12 5.3.3.3.1", "CIS Debian 12 5.3.3.3.3", "pam_pwhistory(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			l, ok, err := passwordLine(h, "pam_pwhistory.so")
			if errors.Is(err, errNoPAM) {
				return audit.NotApplicable(err.Error())
			}
			if err != nil {
				return audit.Unknown(err)
			}
			all := map[string]facts.Setting{}
			otherwise, file := 10, "/etc/security/pwhistory.conf"
			if ok {
				if all, err = h.PAMSettings("pwhistory"); err != nil {
					return audit.Unknown(err)
				}
			} else if l, ok, err = passwordLine(h, "pam_unix.so"); err != nil {
				return audit.Unknown(err)
			} else if otherwise, file = 0, l.File; !ok {
				return audit.Fail(0, audit.At("/etc/pam.d/passwd", 0, "neither pam_pwhistory nor pam_unix is in the stack"))
			}
			n, at, explicit, err := moduleNumber(l, all, file, "remember", otherwise)
			if err != nil {
				return audit.Unknown(err)
			}
			return audit.PassIf(n >= 5, n, at).Explicitly(explicit)
		},
		Repair: notTheLastFive,
	}
}
