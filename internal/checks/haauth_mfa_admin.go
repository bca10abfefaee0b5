package checks

import (
	"errors"
	"io/fs"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haAuthMFA() audit.Check {
	return audit.Check{
		ID: "haauth.mfa-admin", Title: "Whoever administers Home Assistant needs more than a password", Severity: finding.High,
		Why:       "An administrator's password that leaks, or is guessed, is the whole house. A code from a phone beside it stops that.",
		Fix:       "Each administrator turns it on: profile, Security, Multi-factor authentication, Authenticator app.",
		Reference: []string{"HA docs: authentication/multi-factor-auth"},
		Needs:     audit.NeedHA,
		Judge: haAuth(func(h *facts.Host, a facts.HAAuth) audit.Verdict {
			having := map[string]string{}
			for _, module := range []string{"notify", "totp"} {
				ids, err := h.HASecondFactors(module)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return audit.Unknown(err)
				}
				for _, id := range ids {
					having[id] = module
				}
			}
			without := []string{}
			var evidence []finding.Evidence
			for _, u := range a.Users {
				if !u.Admin || !u.Active || u.System || len(u.Providers) == 0 {
					continue
				}
				switch having[u.ID] {
				case "":
					without = append(without, u.Name)
					evidence = append(evidence, haAtAuth(h, u.Line, u.Name+": a password alone"))
				case "notify":
					evidence = append(evidence, haAtAuth(h, u.Line, u.Name+": a code by notification, which is weaker than an app"))
				}
			}
			return audit.PassIf(len(without) == 0, without, evidence...)
		}),
	}
}
