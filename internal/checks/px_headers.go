package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func proxyHeaders() audit.Check {
	return audit.Check{
		ID: "px.headers", Title: "The proxy tells browsers to stay with TLS, and strangers nothing about itself", Severity: finding.Low,
		Why:       "With Strict-Transport-Security a browser never again asks for your house without TLS; the version of the proxy helps only those who look for holes in it.",
		Fix:       "Add the header Strict-Transport-Security at the site (in nginx a location with an add_header of its own does not inherit any), leave Home Assistant's own headers alone, and set server_tokens off or ServerTokens Prod.",
		Reference: []string{"RFC 6797", "ngx_http_headers_module: add_header", "ngx_http_core_module: server_tokens"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeProxies(h, "Home Assistant is not reached by TLS through a proxy here", func(s facts.ProxySite) throughProxy {
				if !s.TLS {
					return throughProxy{none: true}
				}
				const yes, no = "Strict-Transport-Security", "no Strict-Transport-Security"
				const name = "Strict-Transport-Security"
				var found []facts.Directive
				switch s.Proxy {
				case "nginx":
					for _, hide := range s.Effective("proxy_hide_header") {
						for _, own := range []string{"X-Content-Type-Options", "Referrer-Policy", "X-Frame-Options"} {
							if strings.EqualFold(hide.Arg(0), own) && len(headerLines(s.Effective("add_header"), 0, own)) == 0 {
								return badly("takes away "+own, hide)
							}
						}
					}
					if d, ok := (facts.NginxPlace{Around: s.Blocks}).Last("server_tokens"); !ok || d.Arg(0) == "on" {
						if ok {
							return badly("tells its version", d)
						}
						return badly("tells its version")
					}
					found = headerLines(s.Effective("add_header"), 0, name)
				case "Caddy":
					for _, block := range s.Blocks[1:] {
						everyDirective(block, func(d facts.Directive) {
							if slices.ContainsFunc(append([]string{d.Name}, d.Args...), func(a string) bool { return strings.EqualFold(strings.TrimLeft(a, "+?>"), name) }) {
								found = append(found, d)
							}
						})
					}
				case "Apache":
					found = append(headerLines(s.All("header"), 1, name), headerLines(s.All("header"), 2, name)...)
					tokens := s.All("servertokens")
					if len(tokens) == 0 || !strings.HasPrefix(strings.ToLower(tokens[len(tokens)-1].Arg(0)), "prod") {
						return badly("tells its version", tokens...)
					}
				case "HAProxy":
					for _, block := range s.Blocks {
						for _, d := range block {
							if strings.HasPrefix(d.Name, "http-") && strings.EqualFold(d.Arg(1), name) {
								found = append(found, d)
							}
						}
					}
				default:
					var err error
					if found, err = traefikNames(h, "stsseconds"); err != nil {
						return throughProxy{none: true}
					}
				}
				if len(found) == 0 {
					return badly(no)
				}
				return well(yes, found...)
			})
		},
		Profile: audit.ProfileStrict,
		Repair:  proxyRepairHeaders(),
	}
}
