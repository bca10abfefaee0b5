package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsHashStrength() audit.Check {
	return audit.Check{
		ID: "acct.hash-strength", Title: "Passwords are kept in a way that is slow to guess", Severity: finding.High,
		Why:       "Old ways of keeping passwords let a thief of the file try millions of them a second. A home's passwords do not stand that for long.",
		Fix:       "Have each such account set its password anew (chage -d 0 NAME asks for it at the next login): it is then kept in today's way.",
		Reference: []string{"crypt(5)", "login.defs(5)", "shadow(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			all, err := logins(h)
			if err != nil {
				return audit.Unknown(err)
			}
			kinds := []string{}
			var evidence []finding.Evidence
			for _, l := range all {
				if !l.password.Usable() {
					continue
				}
				kinds = append(kinds, l.Name+": "+string(l.password.Kind))
				if weak := weakHash(l.password); weak != "" {
					evidence = append(evidence, l.where(weak))
				}
			}
			return audit.PassIf(len(evidence) == 0, kinds, evidence...)
		},
		ByHand: "A new password is yours to choose, and the old one cannot be kept in another way by somebody who does not know it.",
	}
}
