package checks

import (
	"errors"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func proxyOpenForward() audit.Check {
	return audit.Check{
		ID: "px.open-forward", Title: "The proxy leads to its own sites only, not wherever a stranger wants", Severity: finding.Crit,
		Why:       "An open proxy lets strangers act under your address, and reach everything in your house that it can reach.",
		Fix:       "In Apache set ProxyRequests Off; in the others name the target instead of taking it from the request.",
		Reference: []string{"mod_proxy: ProxyRequests", "ngx_http_proxy_module", "CWE-441"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			var bad []facts.Directive
			var errs []error
			found := []string{}
			for _, p := range []struct {
				name string
				read func() ([]facts.Directive, error)
				open func(facts.Directive) bool
			}{
				{"Apache", h.Apache, func(d facts.Directive) bool { return d.Name == "proxyrequests" && strings.EqualFold(d.Arg(0), "on") }},
				{"nginx", h.Nginx, func(d facts.Directive) bool {
					_, rest, _ := strings.Cut(d.Arg(0), "://")
					host, _, _ := strings.Cut(rest, "/")
					return d.Name == "proxy_pass" && (strings.Contains(host, "$http_host") || strings.Contains(host, "$host") || strings.Contains(host, "$arg_") || strings.HasPrefix(d.Arg(0), "$arg_"))
				}},
				{"Caddy", h.Caddyfile, func(d facts.Directive) bool {
					return d.Name == "forward_proxy" && len(facts.Named(d.Block, "basic_auth")) == 0 ||
						d.Name == "reverse_proxy" && slices.ContainsFunc(d.Args, func(a string) bool {
							return strings.Contains(a, "{host}") || strings.Contains(a, "{http.request.host}") || strings.Contains(a, "{query.")
						})
				}},
				{"HAProxy", h.HAProxy, func(d facts.Directive) bool {
					return d.Name == "option" && d.Arg(0) == "http_proxy" || d.Name == "http-request" && d.Arg(0) == "set-dst" && strings.Contains(d.Arg(1), "hdr")
				}},
			} {
				all, err := p.read()
				if err != nil {
					if !proxyMissing(err) {
						errs = append(errs, err)
					}
					continue
				}
				found = append(found, p.name)
				everyDirective(all, func(d facts.Directive) {
					if p.open(d) {
						bad = append(bad, d)
					}
				})
			}
			switch {
			case len(bad) > 0:
				return audit.Fail("open", statements(bad...)...)
			case len(errs) > 0:
				return audit.Unknown(errors.Join(errs...))
			case len(found) == 0:
				return audit.NotApplicable("no proxy was found")
			}
			return audit.Pass("closed: " + strings.Join(found, ", "))
		},
		Profile: audit.ProfileHome,
		Repair:  proxyRepairForward(),
	}
}
