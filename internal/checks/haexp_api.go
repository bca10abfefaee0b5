package checks

import (
	"errors"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

func haExpAPI() audit.Check {
	return audit.Check{
		ID: "haexp.api", Title: "No foreign page reaches the API together with the conversation agent", Severity: finding.Info,
		Why:       "The API and the conversation agent do what they are told by whoever has a token; a page of another server that is let in from the browser comes close to that.",
		Fix:       "Leave cors_allowed_origins as it comes, unless a page of yours needs it.",
		Reference: []string{"HA docs: integrations/api", "HA docs: integrations/http, cors_allowed_origins"},
		Needs:     audit.NeedHA,
		Judge: haHTTP(func(h *facts.Host, s ha.Settings) audit.Verdict {
			root, err := h.HAConfiguration()
			if err != nil {
				return audit.Unknown(err)
			}
			loaded := []string{}
			var errs []error
			for _, domain := range []string{"default_config", "api", "websocket_api", "conversation"} {
				all, err := root.Sections(domain)
				errs = append(errs, err)
				if len(all) > 0 {
					loaded = append(loaded, domain)
				}
			}
			if err := errors.Join(errs...); err != nil {
				return audit.Unknown(err)
			}
			talks := slices.Contains(loaded, "default_config") || slices.Contains(loaded, "conversation")
			foreign := 0
			for _, origin := range s.HTTP.CORSAllowedOrigins {
				if !strings.HasSuffix(origin, "//cast.home-assistant.io") {
					foreign++
				}
			}
			at, explicit := haOption(h, s, "cors_allowed_origins", strings.Join(s.HTTP.CORSAllowedOrigins, ", "))
			return audit.PassIf(!talks || foreign == 0, loaded, at).Explicitly(explicit)
		}),
		Repair: haRepairCORS("Leaves Home Assistant's own page alone in cors_allowed_origins.", func(o string) bool { return strings.HasSuffix(o, "//cast.home-assistant.io") }),
	}
}
