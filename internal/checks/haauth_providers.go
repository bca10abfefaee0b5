package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haAuthProviders() audit.Check {
	return audit.Check{
		ID: "haauth.providers", Title: "Nobody signs in to Home Assistant without proving who they are", Severity: finding.Crit,
		Why:       "Some ways to sign in were made for trials or ask for nothing at all: with one of them whoever reaches the page is in.",
		Fix:       "Take insecure_example and legacy_api_password out of homeassistant: auth_providers:, and allow_bypass_login out of trusted_networks.",
		Reference: []string{"HA docs: authentication/providers"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			all, err := haProviders(h)
			if err != nil {
				return audit.Unknown(err)
			}
			if len(all) == 0 {
				return audit.Pass([]string{"homeassistant"}).Explicitly(false)
			}
			var types []string
			var evidence []finding.Evidence
			for _, p := range all {
				kind := p.Get("type").Value()
				types = append(types, kind)
				switch {
				case kind == "insecure_example", kind == "legacy_api_password":
					evidence = append(evidence, haAtNode(h, p.Get("type"), kind))
				case kind == "trusted_networks" && p.Get("allow_bypass_login").True():
					evidence = append(evidence, haAtNode(h, p.Get("allow_bypass_login"), "allow_bypass_login: true"))
				}
			}
			return audit.PassIf(len(evidence) == 0, types, evidence...).Explicitly(true)
		},
		Profile: audit.ProfileHome,
		Repair:  haRepairProviders(),
	}
}
