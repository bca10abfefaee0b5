package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func proxyUpstreamTLS() audit.Check {
	return audit.Check{
		ID: "px.upstream-tls", Title: "The proxy makes sure that it is Home Assistant to which it speaks by TLS", Severity: finding.Low,
		Why:       "TLS to another machine in the house that nobody checks protects against nobody who can put himself in between.",
		Fix:       "In nginx set proxy_ssl_verify on with proxy_ssl_trusted_certificate; in HAProxy verify required with ca-file; in Apache SSLProxyVerify require; in Caddy and Traefik do not skip the verification.",
		Reference: []string{"ngx_http_proxy_module: proxy_ssl_verify", "HAProxy Configuration Manual: verify", "Caddyfile: tls_insecure_skip_verify"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeProxies(h, "the proxy does not speak to another machine by TLS", func(s facts.ProxySite) throughProxy {
				scheme, host := s.Upstreams()
				if scheme != "https" || onLoopback(host) {
					return throughProxy{none: true}
				}
				const yes, no = "verified", "not verified"
				switch s.Proxy {
				case "nginx":
					if d, ok := (facts.NginxPlace{Around: s.Blocks}).Last("proxy_ssl_verify"); ok && d.Arg(0) == "on" {
						return well(yes, d)
					}
					return badly(no)
				case "Caddy":
					var skips []facts.Directive
					everyDirective(s.Blocks[len(s.Blocks)-1], func(d facts.Directive) {
						if d.Name == "tls_insecure_skip_verify" {
							skips = append(skips, d)
						}
					})
					if len(skips) > 0 {
						return badly(no, skips...)
					}
					return well(yes)
				case "Apache":
					if all := s.Effective("sslproxyverify"); len(all) > 0 && strings.EqualFold(all[len(all)-1].Arg(0), "require") {
						return well(yes, all...)
					}
					return badly(no)
				case "HAProxy":
					if strings.Contains(s.Statement, "verify required") {
						return well(yes)
					}
					return badly(no)
				}
				t, err := h.Traefik()
				if err != nil {
					return throughProxy{none: true}
				}
				for _, v := range slices.Concat(t.Static, t.Dynamic) {
					if strings.HasSuffix(v.Path, "insecureskipverify") && v.Value == "true" {
						return badly(no, facts.Directive{Name: v.Path, Args: []string{v.Value}, File: v.File, Line: v.Line})
					}
				}
				return well(yes)
			})
		},
		ByHand: "Whose certificate to believe on the other machine is yours to say.",
	}
}
