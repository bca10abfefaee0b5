package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

func haHTTPCORS() audit.Check {
	return audit.Check{
		ID: "hahttp.cors", Title: "No page on the web may use Home Assistant from a visitor's browser, but those that are named and encrypted", Severity: finding.High,
		Why:       "A page that is allowed in cors_allowed_origins can read what Home Assistant answers to the browser of whoever looks at it; with * that is every page there is.",
		Fix:       "Take * and everything that begins with http:// out of cors_allowed_origins; most homes need nothing there.",
		Reference: []string{"HA docs: integrations/http, cors_allowed_origins", "Fetch standard: CORS protocol"},
		Needs:     audit.NeedHA,
		Judge: haHTTP(func(h *facts.Host, s ha.Settings) audit.Verdict {
			ok := true
			for _, origin := range s.HTTP.CORSAllowedOrigins {
				ok = ok && haNamedOrigin(origin)
			}
			at, explicit := haOption(h, s, "cors_allowed_origins", strings.Join(s.HTTP.CORSAllowedOrigins, ", "))
			return audit.PassIf(ok, s.HTTP.CORSAllowedOrigins, at).Explicitly(explicit)
		}),
		Profile: audit.ProfileHome,
		Repair:  haRepairCORS("Takes pages out of cors_allowed_origins that anybody could be, or could change on the way.", haNamedOrigin),
	}
}

// haNamedOrigin reports whether a page is named and encrypted.
func haNamedOrigin(origin string) bool {
	return !strings.Contains(origin, "*") && !strings.HasPrefix(strings.ToLower(origin), "http:") && origin != "null"
}
