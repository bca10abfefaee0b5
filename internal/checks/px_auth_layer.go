package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func proxyAuthLayer() audit.Check {
	return audit.Check{
		ID: "px.auth-layer", Title: "A sign-in in front of Home Assistant leaves out only what the apps need", Severity: finding.Med,
		Why:       "A second lock in front helps only where it is locked: an exception for all of /api or /auth leaves out what it was meant to guard.",
		Fix:       "Make the exceptions as narrow as what needs them, such as /api/webhook/ for the app's location; everything else stays behind the sign-in.",
		Reference: []string{"ngx_http_auth_request_module", "ngx_http_auth_basic_module", "Caddyfile: forward_auth", "mod_authz_core"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeProxies(h, "no sign-in stands in front of Home Assistant", func(s facts.ProxySite) throughProxy {
				const yes, no = "narrow exceptions", "an exception too wide"
				switch s.Proxy {
				case "nginx":
					asked := false
					for _, l := range s.Server.Locations {
						asked = asked || nginxAsks(l.Place)
					}
					if !asked && !nginxAsks(s.Server.Place) {
						return throughProxy{none: true}
					}
					var wide []facts.Directive
					for _, l := range s.Server.Locations {
						passes := len(facts.Named(l.Place.Around[len(l.Place.Around)-1], "proxy_pass")) > 0
						if l.Directive.Name == "location" && passes && !nginxAsks(l.Place) && wideException(l.Directive.Arg(len(l.Directive.Args)-1)) {
							wide = append(wide, l.Directive)
						}
					}
					if d, ok := s.Server.Place.Last("satisfy"); ok && d.Arg(0) == "any" {
						for _, a := range s.Server.Place.Effective("allow") {
							if a.Arg(0) == "all" || strings.HasSuffix(a.Arg(0), "/0") {
								wide = append(wide, a)
							}
						}
					}
					if len(wide) > 0 {
						return badly(no, wide...)
					}
					return well(yes)
				case "Caddy":
					var asks, wide []facts.Directive
					matchers := map[string][]facts.Directive{}
					for _, block := range s.Blocks[1:] {
						everyDirective(block, func(d facts.Directive) {
							switch {
							case d.Name == "forward_auth" || d.Name == "basic_auth" || d.Name == "basicauth":
								asks = append(asks, d)
							case strings.HasPrefix(d.Name, "@"):
								matchers[d.Name] = append(append(matchers[d.Name], facts.Directive{Name: d.Arg(0), Args: d.Args[min(1, len(d.Args)):], File: d.File, Line: d.Line}), d.Block...)
							}
						})
					}
					if len(asks) == 0 {
						return throughProxy{none: true}
					}
					for _, a := range asks {
						for _, m := range matchers[a.Arg(0)] {
							if m.Name == "not" && m.Arg(0) == "path" && slices.ContainsFunc(m.Args[1:], wideException) {
								wide = append(wide, m)
							}
						}
					}
					if len(wide) > 0 {
						return badly(no, wide...)
					}
					return well(yes, asks...)
				case "Apache":
					return apacheAuthLayer(s, yes, no)
				case "HAProxy":
					return haproxyAuthLayer(s, yes, no)
				}
				return traefikAuthLayer(h, s, yes, no)
			})
		},
		ByHand: "Which way the apps need past the sign-in is yours to say.",
	}
}

// nginxAsks reports whether a place asks who somebody is.
func nginxAsks(p facts.NginxPlace) bool {
	for _, name := range []string{"auth_basic", "auth_request", "auth_jwt"} {
		if d, ok := p.Last(name); ok && d.Arg(0) != "off" {
			return true
		}
	}
	d, ok := p.Last("ssl_verify_client")
	return ok && d.Arg(0) == "on"
}

// wideException reports whether a path takes in what only people with an account should
// reach.
func wideException(path string) bool {
	return slices.Contains([]string{"", "/", "/api", "/auth", "/auth/login_flow", "/api/websocket", "/api/hassio"}, strings.TrimRight(strings.Trim(path, "^$"), "*/.")) || path == "/"
}

// apacheAuthLayer looks for the places that let everybody past Apache's sign-in.
func apacheAuthLayer(s facts.ProxySite, yes, no string) throughProxy {
	var asks, wide []facts.Directive
	for _, block := range s.Blocks {
		everyDirective(block, func(d facts.Directive) {
			switch {
			case d.Name == "authtype" && !strings.EqualFold(d.Arg(0), "none"):
				asks = append(asks, d)
			case (d.Name == "location" || d.Name == "locationmatch") && wideException(strings.TrimPrefix(d.Arg(len(d.Args)-1), "^")):
				for _, inner := range d.Block {
					if inner.Name == "authtype" && strings.EqualFold(inner.Arg(0), "none") || inner.Name == "satisfy" && strings.EqualFold(inner.Arg(0), "any") ||
						inner.Name == "require" && strings.EqualFold(inner.Arg(0), "all") && strings.EqualFold(inner.Arg(1), "granted") {
						wide = append(wide, inner)
					}
				}
			}
		})
	}
	switch {
	case len(asks) == 0:
		return throughProxy{none: true}
	case len(wide) > 0:
		return badly(no, wide...)
	}
	return well(yes, asks...)
}

// haproxyAuthLayer looks for the conditions under which HAProxy asks nobody.
func haproxyAuthLayer(s facts.ProxySite, yes, no string) throughProxy {
	paths := map[string][]string{} // of the lists by name
	var asks, wide []facts.Directive
	for _, block := range s.Blocks {
		for _, d := range facts.Named(block, "acl") {
			if strings.HasPrefix(d.Arg(1), "path") {
				paths[d.Arg(0)] = append(paths[d.Arg(0)], d.Args[2:]...)
			}
		}
	}
	for _, block := range s.Blocks {
		for _, d := range facts.Named(block, "http-request") {
			if d.Arg(0) != "auth" {
				continue
			}
			asks = append(asks, d)
			but := slices.Index(d.Args, "unless")
			for n, w := range d.Args {
				name, turned := strings.CutPrefix(w, "!")
				except := turned || but >= 0 && n > but
				if except && slices.ContainsFunc(paths[name], wideException) || but >= 0 && n > but && strings.HasPrefix(w, "/") && wideException(w) {
					wide = append(wide, d)
					break
				}
			}
		}
	}
	switch {
	case len(asks) == 0:
		return throughProxy{none: true}
	case len(wide) > 0:
		return badly(no, wide...)
	}
	return well(yes, asks...)
}

// traefikAuthLayer looks for routers that go past those that ask.
func traefikAuthLayer(h *facts.Host, s facts.ProxySite, yes, no string) throughProxy {
	t, err := h.Traefik()
	if err != nil {
		return throughProxy{err: err}
	}
	routers := traefikRouters(t)
	asked, unknown := false, facts.Nested{}
	var wide []facts.Directive
	for _, r := range routers {
		if r.service == "api@internal" {
			continue
		}
		asked = asked || r.asks
		if r.unknown {
			unknown = r.at
		}
	}
	for _, r := range routers {
		if r.asks || r.service == "api@internal" {
			continue
		}
		for n, part := range strings.Split(r.rule, "`") {
			if n%2 == 1 && strings.HasPrefix(part, "/") && wideException(part) {
				wide = append(wide, facts.Directive{Name: "rule", Args: []string{r.rule}, File: r.at.File, Line: r.at.Line})
			}
		}
	}
	switch {
	case !asked && unknown.File != "":
		return unsure(s, facts.Directive{File: unknown.File, Line: unknown.Line}, "what stands before this router is said elsewhere")
	case !asked:
		return throughProxy{none: true}
	case len(wide) > 0:
		return badly(no, wide...)
	}
	return well(yes)
}
