package checks

import (
	"errors"
	"net/netip"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/router"
)

func inetCGNAT() audit.Check {
	return audit.Check{
		ID: "inet.cgnat", Title: "It is known by which kind of address the house is reached", Severity: finding.Info,
		Why:       "It decides how you can come in from outside: behind a provider's shared address (100.64.0.0/10) no opening in the router helps.",
		Fix:       "Look at the router's own page for its address on the Internet's side, or ask the provider.",
		Reference: []string{"RFC 6598", "RFC 6333"},
		Judge: asRouterSays(func(_ *facts.Host, r router.Answers) audit.Verdict {
			if r.External == "" && r.Nowhere != "" {
				return audit.Unknown(errors.New(r.Nowhere))
			}
			a, err := netip.ParseAddr(r.External)
			if err != nil {
				return audit.Fail("unknown", audit.At("router", 0, "says no address"))
			}
			kind := "public"
			switch {
			case netip.MustParsePrefix("100.64.0.0/10").Contains(a):
				kind = "shared by the provider (CGNAT)"
			case netip.MustParsePrefix("192.0.0.0/29").Contains(a):
				kind = "DS-Lite"
			case a.IsPrivate():
				kind = "behind another router"
			case !a.IsGlobalUnicast():
				kind = "no address of the Internet"
			}
			return audit.Pass(kind, audit.At("router", 0, r.External))
		}),
	}
}
