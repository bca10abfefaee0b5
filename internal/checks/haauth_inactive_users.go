package checks

import (
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haAuthInactive() audit.Check {
	return audit.Check{
		ID: "haauth.inactive-users", Title: "Accounts that are turned off, or gone, have no sign-ins left", Severity: finding.Low,
		Why:       "When an account is turned on again, its old sign-ins work again, wherever they are by then.",
		Fix:       "Delete the account, or turn it on, delete its refresh tokens and turn it off again.",
		Reference: []string{"HA docs: authentication, accounts"},
		Needs:     audit.NeedHA,
		Judge: haAuth(func(h *facts.Host, a facts.HAAuth) audit.Verdict {
			names := []string{}
			var evidence []finding.Evidence
			for _, t := range a.Tokens {
				u := a.User(t.UserID)
				if u.ID != "" && u.Active {
					continue
				}
				name := u.Name
				if u.ID == "" {
					name = "an account that is gone"
				}
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
				evidence = append(evidence, haAtAuth(h, t.Line, name))
			}
			return audit.PassIf(len(evidence) == 0, names, evidence...)
		}),
		Repair: haRepairInactive(),
	}
}
