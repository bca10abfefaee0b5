package checks

import (
	"errors"
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func authenticationPwqualityDetails() audit.Check {
	return audit.Check{
		ID: "pam.pwquality-details", Title: "New passwords are neither one sign again and again nor like the last", Severity: finding.Info,
		Why:       "It refuses aaaaaaaa and 12345678. Length does more; no home has to.",
		Fix:       "Only if you must: set difok = 2, maxrepeat = 3, maxsequence = 3 and minclass = 3 in /etc/security/pwquality.conf.",
		Reference: []string{"CIS Debian 12 5.3.3.2.1", "CIS Debian 12 5.3.3.2.3", "CIS Debian 12 5.3.3.2.4", "CIS Debian 12 5.3.3.2.5", "CIS RHEL 9 5.3.3.2.1", "CIS RHEL 9 5.3.3.2.3", "CIS RHEL 9 5.3.3.2.4", "CIS RHEL 9 5.3.3.2.5", "pwquality.conf(5)"},
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
				return audit.Fail("no rule", audit.At("/etc/pam.d/passwd", 0, "pam_pwquality is not in the stack"))
			}
			all, err := h.PAMSettings("pwquality")
			if err != nil {
				return audit.Unknown(err)
			}
			const file = "/etc/security/pwquality.conf"
			effective := []string{}
			var evidence []finding.Evidence
			explicit := false
			for _, s := range []struct {
				name                   string
				otherwise, least, most int
			}{{"difok", 1, 2, 1000}, {"maxrepeat", 0, 1, 3}, {"maxsequence", 0, 1, 3}} {
				n, e, set, err := moduleNumber(l, all, file, s.name, s.otherwise)
				if err != nil {
					return audit.Unknown(err)
				}
				effective, explicit = append(effective, fmt.Sprintf("%s=%d", s.name, n)), explicit || set
				if n < s.least || n > s.most {
					evidence = append(evidence, e)
				}
			}
			classes, at, set, err := moduleNumber(l, all, file, "minclass", 0)
			if err != nil {
				return audit.Unknown(err)
			}
			wanted := 0 // a negative credit is that many signs of the kind
			for _, name := range []string{"dcredit", "ucredit", "lcredit", "ocredit"} {
				credit, _, _, err := moduleNumber(l, all, file, name, 0)
				if err != nil {
					return audit.Unknown(err)
				}
				if credit < 0 {
					wanted++
				}
			}
			effective = append(effective, fmt.Sprintf("minclass=%d", max(classes, wanted)))
			if max(classes, wanted) < 3 {
				evidence = append(evidence, at)
			}
			return audit.PassIf(len(evidence) == 0, effective, evidence...).Explicitly(explicit || set || wanted > 0)
		},
		Repair: variedPasswords,
	}
}
