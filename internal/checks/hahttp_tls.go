package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

func haHTTPTLS() audit.Check {
	return audit.Check{
		ID: "hahttp.tls", Title: "Without a proxy, Home Assistant itself speaks TLS", Severity: finding.High,
		Why:       "Over plain http everybody on the way, and in the same wifi, can read passwords and take over sign-ins.",
		Fix:       "Put a proxy in front, or set ssl_certificate and ssl_key, and leave ssl_profile at modern.",
		Reference: []string{"HA docs: integrations/http, ssl_certificate"},
		Needs:     audit.NeedHA,
		Judge: haHTTP(func(h *facts.Host, s ha.Settings) audit.Verdict {
			switch {
			case s.HTTP.UseXForwardedFor:
				return audit.NotApplicable("a proxy stands in front, which is judged by itself")
			case haOnLoopback(s.HTTP):
				return audit.NotApplicable("Home Assistant answers on this machine alone")
			}
			if s.HTTP.SSLCertificate == "" || s.HTTP.SSLKey == "" {
				at, explicit := haOption(h, s, "ssl_certificate", "no TLS")
				return audit.Fail("http", at).Explicitly(explicit)
			}
			at, _ := haOption(h, s, "ssl_certificate", s.HTTP.SSLCertificate)
			profile, explicit := haOption(h, s, "ssl_profile", s.HTTP.SSLProfile)
			// The sixth of Mozilla's guidelines leaves nothing weak in its middle one either.
			good := !explicit || strings.HasPrefix(s.HTTP.SSLProfile, "modern") || s.HTTP.SSLProfile == "intermediate_v6"
			return audit.PassIf(good, "https", at, profile).Explicitly(true)
		}),
		ByHand: "It takes a name, a certificate and a way to renew it, which are yours to choose; the gateway brings all three.",
	}
}
