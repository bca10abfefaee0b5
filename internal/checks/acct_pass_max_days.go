package checks

import (
	"cmp"
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsPassMaxDays() audit.Check {
	return audit.Check{
		ID: "acct.pass-max-days", Title: "Passwords run out after a year at most", Severity: finding.Info,
		Why:       "Some rule books ask for it. Newer ones advise against it, because people then choose worse passwords; no home has to.",
		Fix:       "Only if you must: set PASS_MAX_DAYS 365 in /etc/login.defs, and chage -M 365 NAME for each account with a password.",
		Reference: []string{"CIS Debian 12 5.4.1.1", "CIS RHEL 9 5.4.1.1", "NIST SP 800-63B", "login.defs(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			all, err := logins(h)
			if err != nil {
				return audit.Unknown(err)
			}
			defs, err := h.LoginDefs()
			if err != nil {
				return audit.Unknown(err)
			}
			days, explicit, err := setting(defs, "PASS_MAX_DAYS", -1)
			if err != nil {
				return audit.Unknown(err)
			}
			var evidence []finding.Evidence
			passwords := false
			for _, l := range all {
				if !l.shadowed || !l.password.Usable() {
					continue
				}
				passwords = true
				if l.shadow.MaxDays < 1 || l.shadow.MaxDays > 365 {
					evidence = append(evidence, l.where(fmt.Sprintf("%d days", l.shadow.MaxDays)))
				}
			}
			if !passwords {
				return audit.NotApplicable("no account has a password")
			}
			if days < 1 || days > 365 {
				d := defs["PASS_MAX_DAYS"]
				evidence = append(evidence, audit.At(cmp.Or(d.Path, "/etc/login.defs"), d.Line, fmt.Sprintf("PASS_MAX_DAYS %d", days)))
			}
			return audit.PassIf(len(evidence) == 0, days, evidence...).Explicitly(explicit)
		},
	}
}
