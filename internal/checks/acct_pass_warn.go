package checks

import (
	"cmp"
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsPassWarn() audit.Check {
	return audit.Check{
		ID: "acct.pass-warn", Title: "Whose password runs out is told a week before", Severity: finding.Info,
		Why:       "An account whose password runs out without a word is found locked when it is needed.",
		Fix:       "Set PASS_WARN_AGE 7 in /etc/login.defs, and chage -W 7 NAME for the accounts that are there.",
		Reference: []string{"CIS Debian 12 5.4.1.3", "CIS RHEL 9 5.4.1.3", "login.defs(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			defs, err := h.LoginDefs()
			if err != nil {
				return audit.Unknown(err)
			}
			days, explicit, err := setting(defs, "PASS_WARN_AGE", -1)
			if err != nil {
				return audit.Unknown(err)
			}
			d := defs["PASS_WARN_AGE"]
			return audit.PassIf(days >= 7, days, audit.At(cmp.Or(d.Path, "/etc/login.defs"), d.Line, fmt.Sprintf("PASS_WARN_AGE %d", days))).Explicitly(explicit)
		},
		Profile: audit.ProfileHome,
		Repair:  warnOfAge,
	}
}
