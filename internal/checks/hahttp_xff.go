package checks

import (
	"errors"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

func haHTTPForwarded() audit.Check {
	return audit.Check{
		ID: "hahttp.xff", Title: "Home Assistant learns from its proxy who is asking, and only where there is a proxy", Severity: finding.High,
		Why:       "Behind a proxy that it does not believe, Home Assistant takes every visitor for the proxy: one who guesses passwords gets everybody banned, or nobody.",
		Fix:       "Behind a proxy set use_x_forwarded_for: true and trusted_proxies to its address; without one remove both.",
		Reference: []string{"HA docs: integrations/http, use_x_forwarded_for"},
		Needs:     audit.NeedHA,
		Judge: haHTTP(func(h *facts.Host, s ha.Settings) audit.Verdict {
			at, explicit := haOption(h, s, "use_x_forwarded_for", strconv.FormatBool(s.HTTP.UseXForwardedFor))
			say := func(ok bool, more ...finding.Evidence) audit.Verdict {
				return audit.PassIf(ok, s.HTTP.UseXForwardedFor, append([]finding.Evidence{at}, more...)...).Explicitly(explicit)
			}
			if s.HTTP.UseXForwardedFor {
				return say(len(s.HTTP.TrustedProxies) > 0)
			}
			if len(s.HTTP.TrustedProxies) > 0 {
				trusted, _ := haOption(h, s, "trusted_proxies", "set, but nothing is believed")
				return say(false, trusted)
			}
			proxies, err := haProxies(h, s.HTTP.ServerPort)
			if len(proxies) > 0 {
				return say(false, proxies...)
			}
			core, coreErr := h.HACore()
			if err := errors.Join(err, coreErr); err != nil {
				return audit.Unknown(err)
			}
			if s.HTTP.SSLCertificate == "" && strings.HasPrefix(core.External, "https://") && !strings.HasSuffix(strings.TrimRight(core.External, "/"), ".ui.nabu.casa") {
				return say(false, audit.At(core.At("external_url").File, core.At("external_url").Line, haWithoutLogin(core.External)+", and Home Assistant has no certificate"))
			}
			return say(true)
		}),
		Profile: audit.ProfileHome,
		Repair:  haRepairForwarded(),
	}
}
