package checks

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
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
			asked, at, err := haFactorsAsked(h)
			if err != nil {
				return audit.Unknown(err)
			}
			for _, module := range asked {
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
					evidence = append(evidence, haAtAuth(h, u.Line, u.Name+": nothing but "+haSignsInBy(u)))
				case "notify":
					evidence = append(evidence, haAtAuth(h, u.Line, u.Name+": a code by notification, which is weaker than an app"))
				}
			}
			if len(without) > 0 && at != nil {
				evidence = append(evidence, haAtNode(h, at, "auth_mfa_modules: without totp no code of an app is asked for"))
			}
			return audit.PassIf(len(without) == 0, without, evidence...)
		}),
		ByHand: "A second factor is made on the phone of the person whom it belongs to.",
	}
}

// haSignsInBy says in words by what an account signs in.
func haSignsInBy(u facts.HAUser) string {
	var ways []string
	for _, p := range u.Providers {
		way := map[string]string{"homeassistant": "a password", "command_line": "a password", "trusted_networks": "an address"}[p]
		if way = cmp.Or(way, p); !slices.Contains(ways, way) {
			ways = append(ways, way)
		}
	}
	return strings.Join(ways, " or ")
}

// haFactorsAsked are the modules of second factors that Home Assistant uses, the strongest
// last; what somebody set up in another is not asked for. at is where the configuration
// leaves out that of apps.
func haFactorsAsked(h *facts.Host) (modules []string, at *ha.Node, err error) {
	block, err := haCoreBlock(h)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	list := block.Get("auth_mfa_modules")
	if list == nil {
		return []string{"totp"}, nil, nil
	}
	if err := list.Unread(); err != nil {
		return nil, nil, err
	}
	at = list
	for _, module := range []string{"notify", "totp"} {
		if slices.ContainsFunc(list.List(), func(n *ha.Node) bool { return n.Get("type").Value() == module }) {
			modules = append(modules, module)
			if module == "totp" {
				at = nil
			}
		}
	}
	return modules, at, nil
}
