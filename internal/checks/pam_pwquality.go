package checks

import (
	"errors"
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func authenticationPwquality() audit.Check {
	return audit.Check{
		ID: "pam.pwquality", Title: "New passwords have to be long", Severity: finding.Low,
		Why:       "Short passwords are guessed. A rule that refuses them protects those who do not think of it.",
		Fix:       "Install libpam-pwquality and set minlen = 14 in /etc/security/pwquality.conf.",
		Reference: []string{"CIS Debian 12 5.3.2.3", "CIS Debian 12 5.3.3.2.2", "CIS Debian 12 5.3.3.2.6", "CIS Debian 12 5.3.3.2.7", "CIS RHEL 9 5.3.3.2.2", "CIS RHEL 9 5.3.3.2.6", "pwquality.conf(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			l, ok, err := passwordLine(h, "pam_pwquality.so")
			if errors.Is(err, errNoPAM) {
				return audit.NotApplicable(err.Error())
			}
			if err != nil {
				return audit.Unknown(err)
			}
			if !ok {
				if other, ok, err := passwordLine(h, "pam_passwdqc.so"); err == nil && ok {
					return audit.Unknown(fmt.Errorf("%s:%d: the rules of pam_passwdqc are not known to this check", other.File, other.Line))
				}
				return audit.Fail("no rule", audit.At("/etc/pam.d/passwd", 0, "pam_pwquality is not in the stack"))
			}
			there, err := h.PAMModule("pam_pwquality.so")
			if err != nil {
				return audit.Unknown(err)
			}
			if !there {
				return audit.Fail("no module", audit.At(l.File, l.Line, "pam_pwquality.so is not installed: no password can be changed"))
			}
			all, err := h.PAMSettings("pwquality")
			if err != nil {
				return audit.Unknown(err)
			}
			const file = "/etc/security/pwquality.conf"
			length, at, explicit, err := moduleNumber(l, all, file, "minlen", 8)
			if err != nil {
				return audit.Unknown(err)
			}
			evidence := []finding.Evidence{at}
			for _, name := range []string{"dcredit", "ucredit", "lcredit", "ocredit"} {
				credit, e, _, err := moduleNumber(l, all, file, name, 0)
				if err != nil {
					return audit.Unknown(err)
				}
				if credit > 0 { // such signs count for more than one
					length -= credit
					evidence = append(evidence, e)
				}
			}
			words, _, _, err := moduleNumber(l, all, file, "dictcheck", 1)
			if err != nil {
				return audit.Unknown(err)
			}
			enforcing, e, _, err := moduleNumber(l, all, file, "enforcing", 1)
			if err != nil {
				return audit.Unknown(err)
			}
			if enforcing == 0 {
				return audit.Fail("only warns", e).Explicitly(true)
			}
			return audit.PassIf(length >= 14 || length >= 12 && words != 0, length, evidence...).Explicitly(explicit)
		},
		Profile: audit.ProfileStrict,
		Repair:  longPasswords,
	}
}
