package checks

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func tlsPresent() audit.Check {
	return audit.Check{
		ID: "tls.present", Title: "From outside, Home Assistant is reached by TLS, a VPN or Tor only", Severity: finding.Crit,
		Why:       "Without TLS everybody on the way, from the café's wifi on, reads your password and whatever opens your door.",
		Fix:       "Put TLS in front of Home Assistant (a gateway, a proxy, or its own ssl_certificate), and set the external URL to https://.",
		Reference: []string{"Home Assistant: Securing", "RFC 9325"},
		Needs:     audit.AlsoHA,
		Judge: func(h *facts.Host) audit.Verdict {
			var bad, good []finding.Evidence
			var errs []error
			said := []string{}
			judge := func(address, file string, line int, plain bool) {
				said = append(said, address)
				if plain {
					bad = append(bad, audit.At(file, line, address))
				} else {
					good = append(good, audit.At(file, line, address))
				}
			}
			for _, e := range h.Endpoints {
				u, err := url.Parse(e.URL)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				judge(e.URL, e.URL, 0, u.Scheme == "http" && !insideName(u.Hostname()))
			}
			if h.HADir != "" {
				external, err := h.ExternalURL()
				if err != nil && !proxyMissing(err) {
					errs = append(errs, err)
				} else if u, parseErr := url.Parse(external.Value); external.Value != "" {
					if parseErr != nil {
						errs = append(errs, fmt.Errorf("%s:%d: no address", external.File, external.Line))
					} else {
						judge(u.Scheme+"://"+u.Host, external.File, external.Line, u.Scheme == "http" && !insideName(u.Hostname()))
					}
				}
			}
			sites, err := h.ProxySites()
			if err != nil && !h.HAOnly {
				errs = append(errs, err)
			}
			for _, s := range sites {
				if s.TLS {
					judge(s.Proxy+": TLS", s.File, s.Line, false)
					continue
				}
				for _, name := range s.Names {
					name = strings.TrimSuffix(strings.TrimPrefix(name, "http://"), ":80")
					local := insideName(name) || name == "_" || s.Server != nil && !slices.ContainsFunc(nginxListens(s.Server), func(l facts.Directive) bool { return !onLoopback(l.Arg(0)) })
					if !local {
						judge("http://"+name, s.File, s.Line, true)
					}
				}
			}
			switch {
			case len(bad) > 0:
				return audit.Fail(said, bad...)
			case len(errs) > 0:
				return audit.Unknown(errors.Join(errs...))
			case len(said) == 0:
				return audit.NotApplicable("nothing says that Home Assistant is reached from outside")
			}
			return audit.Pass(said, good...)
		},
		ByHand: "It takes a name, a certificate and a way to renew it, which are yours to choose; the gateway brings all three.",
	}
}
