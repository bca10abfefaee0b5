package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

func haHTTPTrustedProxies() audit.Check {
	return audit.Check{
		ID: "hahttp.trusted-proxies", Title: "Home Assistant believes single proxies and no whole networks", Severity: finding.Crit,
		Why:       "Whoever is in trusted_proxies may say that a request comes from any address. With a whole network in it every device there can look like somebody else, and passes bans and rules for the local network.",
		Fix:       "Name the address of each proxy in trusted_proxies and nothing else.",
		Reference: []string{"HA docs: integrations/http, trusted_proxies"},
		Needs:     audit.NeedHA,
		Judge: haHTTP(func(h *facts.Host, s ha.Settings) audit.Verdict {
			if !s.HTTP.UseXForwardedFor {
				return audit.NotApplicable("Home Assistant believes no proxy (use_x_forwarded_for)")
			}
			var all, wide []string
			for _, p := range s.HTTP.TrustedProxies {
				all = append(all, p.String())
				if p.Addr().Is4() && p.Bits() < 28 || p.Addr().Is6() && p.Bits() < 120 {
					wide = append(wide, p.String())
				}
			}
			shown := all
			if len(wide) > 0 {
				shown = wide
			}
			at, explicit := haOption(h, s, "trusted_proxies", strings.Join(shown, ", "))
			return audit.PassIf(len(wide) == 0, all, at).Explicitly(explicit)
		}),
		Profile: audit.ProfileHome,
		Repair:  haRepairTrusted(),
	}
}
