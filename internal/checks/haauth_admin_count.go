package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haAuthAdmins() audit.Check {
	return audit.Check{
		ID: "haauth.admin-count", Title: "Home Assistant has one owner and at most two administrators", Severity: finding.Med,
		Why:       "An administrator's account can do everything, also by mistake, and every one of them is one more password to steal. For living in the house an ordinary account is enough.",
		Fix:       "Under Settings, People, Users turn Administrator off for accounts of every day; use a second account for administering.",
		Reference: []string{"HA docs: authentication, accounts"},
		Needs:     audit.NeedHA,
		Judge: haAuth(func(h *facts.Host, a facts.HAAuth) audit.Verdict {
			owners := 0
			var names []string
			var evidence []finding.Evidence
			for _, u := range a.Users {
				if u.Owner {
					owners++
				}
				if u.Admin && u.Active && !u.System {
					names = append(names, u.Name)
					evidence = append(evidence, haAtAuth(h, u.Line, u.Name))
				}
			}
			if owners == 0 {
				evidence = append(evidence, haAtAuth(h, 0, "no owner"))
			}
			if owners == 1 && len(names) <= 2 {
				return audit.Pass(names)
			}
			return audit.Fail(names, evidence...)
		}),
	}
}
