package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func proxyXFFSingle() audit.Check {
	return audit.Check{
		ID: "px.xff-single", Title: "The proxy tells Home Assistant who is asking, once and truly", Severity: finding.Crit,
		Why:       "Home Assistant believes what the proxy says about where somebody comes from. If a stranger can say it himself, he passes for somebody at home, and nobody's wrong passwords are counted.",
		Fix:       "Let the proxy set X-Forwarded-For itself: in nginx proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for, in HAProxy http-request set-header X-Forwarded-For %[src]; Caddy, Apache and Traefik do so if they are left alone.",
		Reference: []string{"Home Assistant: HTTP integration, reverse proxies", "ngx_http_proxy_module", "HAProxy Configuration Manual: option forwardfor"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeProxies(h, "", func(s facts.ProxySite) throughProxy {
				const name = "X-Forwarded-For"
				switch s.Proxy {
				case "nginx":
					all := headerLines(s.Effective("proxy_set_header"), 0, name)
					if len(all) == 0 {
						return badly("passes on what the stranger says")
					}
					if len(all) > 1 {
						return badly("sent more than once", all...)
					}
					value := all[0].Arg(1)
					if value != "$remote_addr" && value != "$proxy_add_x_forwarded_for" && value != "$realip_remote_addr" {
						return badly("something else than the address of the stranger", all[0])
					}
					for _, from := range s.Effective("set_real_ip_from") {
						if strings.HasSuffix(from.Arg(0), "/0") {
							return badly("believes everybody's word", from)
						}
					}
					return well(value, all[0])
				case "Caddy":
					for _, up := range headerLines(s.Blocks[len(s.Blocks)-1], 0, name) {
						if up.Name == "header_up" && (len(up.Args) < 2 || !strings.Contains(up.Arg(1), "remote") && !strings.Contains(up.Arg(1), "client_ip") || strings.HasPrefix(up.Arg(0), "+")) {
							return badly("something else than the address of the stranger", up)
						}
					}
					var wide []facts.Directive
					for _, block := range s.Blocks {
						everyDirective(block, func(d facts.Directive) {
							if d.Name == "trusted_proxies" && slices.ContainsFunc(d.Args, func(a string) bool { return strings.HasSuffix(a, "/0") }) {
								wide = append(wide, d)
							}
						})
					}
					if len(wide) > 0 {
						return badly("believes everybody's word", wide...)
					}
					return well("the address of the stranger")
				case "Apache":
					for _, d := range s.Effective("proxyaddheaders") {
						if strings.EqualFold(d.Arg(0), "off") {
							return badly("passes on what the stranger says", d)
						}
					}
					for _, d := range headerLines(s.All("requestheader"), 1, name) {
						if strings.EqualFold(d.Arg(0), "add") {
							return badly("sent more than once", d)
						}
					}
					return well("the address of the stranger, last")
				case "HAProxy":
					var set, del, forward []facts.Directive
					for _, block := range s.Blocks {
						for _, d := range block {
							switch {
							case d.Name == "http-request" && strings.EqualFold(d.Arg(1), name) && d.Arg(0) == "set-header":
								set = append(set, d)
							case d.Name == "http-request" && strings.EqualFold(d.Arg(1), name) && d.Arg(0) == "del-header":
								del = append(del, d)
							case d.Name == "option" && d.Arg(0) == "forwardfor":
								forward = append(forward, d)
							}
						}
					}
					switch {
					case len(forward) > 0 && slices.Contains(forward[len(forward)-1].Args, "if-none"):
						return badly("passes on what the stranger says", forward...)
					case len(set) > 0 && len(forward) > 0:
						return badly("sent more than once", append(set, forward...)...)
					case len(set) > 0 && strings.Contains(set[len(set)-1].Arg(2), "src"):
						return well("the address of the stranger", set...)
					case len(set) > 0:
						return badly("something else than the address of the stranger", set...)
					case len(forward) > 0 && len(del) == 0:
						return badly("added beside what the stranger says", forward...)
					case len(forward) > 0:
						return well("the address of the stranger", append(del, forward...)...)
					}
					return badly("passes on what the stranger says")
				}
				return traefikForwarded(h)
			})
		},
		Profile: audit.ProfileHome,
		Repair:  proxyRepairXFF(),
	}
}

// traefikForwarded judges whose word Traefik believes.
func traefikForwarded(h *facts.Host) throughProxy {
	t, err := h.Traefik()
	if err != nil {
		return throughProxy{none: true}
	}
	for _, s := range t.Static {
		if strings.HasSuffix(s.Path, ".forwardedheaders.insecure") && s.Value == "true" || strings.Contains(s.Path, ".forwardedheaders.trustedips") && strings.Contains(s.Value, "/0") {
			return throughProxy{bad: true, effective: "believes everybody's word", evidence: []finding.Evidence{audit.At(s.File, s.Line, s.Path+": "+s.Value)}}
		}
	}
	return well("the address of the stranger")
}
