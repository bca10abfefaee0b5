package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func proxyLoginLimit() audit.Check {
	return audit.Check{
		ID: "px.login-limit", Title: "The proxy slows down whoever tries passwords", Severity: finding.Med,
		Why:       "A limit at the proxy stops a machine that tries thousands of passwords before Home Assistant has to look at a single one.",
		Fix:       "Limit requests to /auth/login_flow, /auth/token and /api/webhook (nginx: limit_req; HAProxy: a stick-table; Caddy: the rate_limit plugin; Traefik: the rateLimit middleware); allow for a family that shares one address.",
		Reference: []string{"ngx_http_limit_req_module", "HAProxy Configuration Manual: stick-table", "Traefik: RateLimit"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeProxies(h, "", func(s facts.ProxySite) throughProxy {
				const yes, no = "limited", "unlimited"
				var limits []facts.Directive
				switch s.Proxy {
				case "nginx":
					for _, path := range []string{"/auth/login_flow", "/auth/token", "/api/webhook/x"} {
						place := s.Server.Place
						if l, ok := nginxLocation(s.Server, path); ok {
							place = l.Place
						}
						all := place.Effective("limit_req")
						if len(all) == 0 {
							return badly(no + " at " + strings.TrimSuffix(path, "/x"))
						}
						if d, ok := place.Last("limit_req_dry_run"); ok && d.Arg(0) == "on" {
							return badly(no+": only counted", d)
						}
						limits = append(limits, all...)
					}
					return well(yes, limits...)
				case "Caddy":
					for _, block := range s.Blocks[1:] {
						everyDirective(block, func(d facts.Directive) {
							if d.Name == "rate_limit" {
								limits = append(limits, d)
							}
						})
					}
				case "Apache":
					for _, block := range s.Blocks {
						everyDirective(block, func(d facts.Directive) {
							if strings.HasPrefix(d.Name, "qs_") || d.Name == "dospagecount" || d.Name == "secrule" && strings.Contains(d.String(), "deprecatevar") {
								limits = append(limits, d)
							}
						})
					}
				case "HAProxy":
					var counts, denies bool
					for _, block := range s.Blocks {
						for _, d := range block {
							text := d.String()
							counts = counts || strings.Contains(text, "track-sc")
							if (d.Arg(0) == "deny" || d.Arg(0) == "tarpit" || d.Arg(0) == "reject") && (strings.Contains(text, "sc_") || strings.Contains(text, "sc0_") || strings.Contains(text, "sc1_") || strings.Contains(text, "src_") || strings.Contains(text, "_rate")) {
								denies = true
								limits = append(limits, d)
							}
						}
					}
					if !counts || !denies {
						limits = nil
					}
				default:
					var err error
					if limits, err = traefikNames(h, ".ratelimit."); err != nil {
						return throughProxy{none: true}
					}
				}
				if len(limits) == 0 {
					return badly(no)
				}
				return well(yes, limits...)
			})
		},
		Profile: audit.ProfileHome,
		Repair:  proxyRepairLimit(),
	}
}
