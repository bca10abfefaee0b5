package checks

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func proxyWebSocket() audit.Check {
	return audit.Check{
		ID: "px.websocket", Title: "The proxy keeps the connection open that the dashboard lives on", Severity: finding.Low,
		Why:       "Without it the dashboard does not load, or loses its connection every minute, and people begin to look for ways around the proxy.",
		Fix:       "In nginx set proxy_http_version 1.1 and the headers Upgrade and Connection; in HAProxy timeout tunnel 1h; in Apache upgrade=websocket at ProxyPass.",
		Reference: []string{"Home Assistant: HTTP integration, reverse proxies", "RFC 6455", "nginx: WebSocket proxying"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeProxies(h, "", func(s facts.ProxySite) throughProxy {
				const yes, no, short = "kept open", "not let through", "cut off early"
				const beat = time.Minute // Home Assistant sends something every 55 seconds
				switch s.Proxy {
				case "nginx":
					l, ok := nginxLocation(s.Server, "/api/websocket")
					if !ok {
						return throughProxy{none: true}
					}
					up := headerLines(l.Place.Effective("proxy_set_header"), 0, "Upgrade")
					connection := headerLines(l.Place.Effective("proxy_set_header"), 0, "Connection")
					if len(up) == 0 || up[0].Arg(1) != "$http_upgrade" || len(connection) == 0 || connection[0].Arg(1) == "" {
						return badly(no, l.Directive)
					}
					switch d, ok := l.Place.Last("proxy_http_version"); {
					case ok && d.Arg(0) != "1.1":
						return badly(no, d)
					case !ok: // since 1.29.7 it is 1.1 unless it is told otherwise, before it was 1.0
						newer, err := nginxAtLeast(h, "1.29.7")
						if err != nil {
							return unsure(s, l.Directive, "proxy_http_version is not set, and nginx's release is not known: "+err.Error())
						}
						if !newer {
							return badly(no, l.Directive)
						}
					}
					if d, ok := l.Place.Last("proxy_read_timeout"); ok {
						if long, ok := proxyTime(d.Arg(0), time.Second); ok && long < beat {
							return badly(short, d)
						}
					}
					return well(yes, up...)
				case "Apache":
					for _, d := range s.All("proxypass") {
						if slices.ContainsFunc(d.Args, func(a string) bool {
							return strings.HasPrefix(a, "ws://") || strings.HasPrefix(a, "wss://") || strings.HasPrefix(a, "upgrade=")
						}) {
							return well(yes, d)
						}
					}
					for _, d := range s.All("rewriterule") {
						if strings.Contains(d.Arg(1), "ws://") || strings.Contains(d.Arg(1), "wss://") {
							return well(yes, d)
						}
					}
					return badly(no)
				case "HAProxy":
					long := map[string]time.Duration{}
					var last facts.Directive
					for _, block := range s.Blocks {
						for _, d := range facts.Named(block, "timeout") {
							if t, ok := proxyTime(d.Arg(1), time.Millisecond); ok {
								long[d.Arg(0)], last = t, d
							}
						}
					}
					tunnel, said := long["tunnel"]
					if said && tunnel >= beat || !said && (len(long) == 0 || long["client"] >= beat && long["server"] >= beat) {
						return well(yes)
					}
					return badly(short, last)
				}
				return well(yes)
			})
		},
		Profile: audit.ProfileHome,
		Repair:  proxyRepairWebSocket(),
	}
}

// nginxAtLeast reports whether the nginx that is installed as a package is of a release or
// a newer one.
func nginxAtLeast(h *facts.Host, release string) (bool, error) {
	for _, name := range []string{"nginx", "nginx-common", "nginx-core"} {
		p, ok, err := h.Package(name)
		if err != nil {
			return false, err
		}
		if !ok {
			continue
		}
		version := p.Version
		if _, v, ok := strings.Cut(version, ":"); ok {
			version = v
		}
		version, _, _ = strings.Cut(version, "-")
		order, ok := facts.CompareHANumbers(version, release)
		if !ok {
			return false, fmt.Errorf("%s: not a release of nginx", p.Version)
		}
		return order >= 0, nil
	}
	return false, errors.New("it was not installed as a package")
}
