package checks

import (
	"cmp"
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsInactive() audit.Check {
	return audit.Check{
		ID: "acct.inactive", Title: "Accounts whose password ran out are locked within 45 days", Severity: finding.Info,
		Why:       "An account that nobody has used for long is one that nobody would miss either when somebody else uses it. It may also lock you out of a house that you seldom visit.",
		Fix:       "Only if you must: useradd -D -f 45, and chage -I 45 NAME for each account with a password.",
		Reference: []string{"CIS Debian 12 5.4.1.5", "CIS RHEL 9 5.4.1.5", "useradd(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			all, err := logins(h)
			if err != nil {
				return audit.Unknown(err)
			}
			defaults, err := h.UseraddDefaults()
			if err != nil {
				return audit.Unknown(err)
			}
			days, explicit, err := setting(defaults, "INACTIVE", -1)
			if err != nil {
				return audit.Unknown(err)
			}
			var evidence []finding.Evidence
			if days < 0 || days > 45 {
				d := defaults["INACTIVE"]
				evidence = append(evidence, audit.At(cmp.Or(d.Path, "/etc/default/useradd"), d.Line, fmt.Sprintf("INACTIVE %d", days)))
			}
			for _, l := range all {
				if l.shadowed && l.password.Usable() && (l.shadow.Inactive < 0 || l.shadow.Inactive > 45) {
					evidence = append(evidence, l.where(fmt.Sprintf("%d days", l.shadow.Inactive)))
				}
			}
			return audit.PassIf(len(evidence) == 0, days, evidence...).Explicitly(explicit)
		},
	}
}
