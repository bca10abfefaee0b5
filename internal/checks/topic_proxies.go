package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func proxies() []audit.Check {
	return []audit.Check{
		proxyXFFSingle(), proxyOpenForward(), proxyTraefikAPI(), proxySquid(),
		proxyNginxAlias(), proxyAdmin(), proxyVersion(),
		proxyHostMatch(), proxyLoginLimit(), proxyAuthLayer(), proxyACL(), proxyUser(),
		proxyWebSocket(), proxyHeaders(), proxyUpstreamTLS(),
	}
}

// throughProxy is what a rule finds in one way to Home Assistant.
type throughProxy struct {
	bad       bool
	none      bool  // the rule has nothing to say of it
	err       error // it cannot be judged
	effective string
	evidence  []finding.Evidence
}

// well and badly are what a rule says of a statement.
func well(effective string, d ...facts.Directive) throughProxy {
	return throughProxy{effective: effective, evidence: statements(d...)}
}

func badly(effective string, d ...facts.Directive) throughProxy {
	return throughProxy{bad: true, effective: effective, evidence: statements(d...)}
}

// statements are lines of a configuration as evidence. What may hold a secret is shortened.
func statements(all ...facts.Directive) []finding.Evidence {
	var evidence []finding.Evidence
	for _, d := range all {
		value := d.String()
		if strings.Contains(value, "auth") || strings.Contains(value, "assw") {
			value = d.Name + " …"
		}
		if runes := []rune(value); len(runes) > 200 {
			value = string(runes[:200]) + "…"
		}
		evidence = append(evidence, audit.At(d.File, d.Line, value))
	}
	return evidence
}

// judgeProxies judges every way through a proxy to Home Assistant. One that is bad counts
// even where another proxy could not be read; silent says why there may be nothing to judge.
func judgeProxies(h *facts.Host, silent string, judge func(facts.ProxySite) throughProxy) audit.Verdict {
	sites, err := h.ProxySites()
	var good, bad []finding.Evidence
	effective, judged := []string{}, 0
	for _, s := range sites {
		r := judge(s)
		if r.none {
			continue
		}
		if r.err != nil {
			err = errors.Join(err, r.err)
			continue
		}
		judged++
		if say := s.Proxy + ": " + r.effective; !slices.Contains(effective, say) {
			effective = append(effective, say)
		}
		if len(r.evidence) == 0 {
			r.evidence = []finding.Evidence{audit.At(s.File, s.Line, s.Statement)}
		}
		for _, e := range r.evidence {
			if r.bad && !slices.Contains(bad, e) {
				bad = append(bad, e)
			} else if !r.bad && !slices.Contains(good, e) {
				good = append(good, e)
			}
		}
	}
	switch {
	case len(bad) > 0:
		return audit.Fail(effective, bad...)
	case err != nil:
		return audit.Unknown(err)
	case len(sites) == 0:
		return audit.NotApplicable("no reverse proxy in front of Home Assistant was found")
	case judged == 0:
		return audit.NotApplicable(silent)
	}
	return audit.Pass(effective, good...)
}

// proxyMissing reports whether something is not there at all.
func proxyMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// everyDirective walks through blocks.
func everyDirective(block []facts.Directive, see func(facts.Directive)) {
	for _, d := range block {
		see(d)
		everyDirective(d.Block, see)
	}
}

// proxyTime reads "90", "60s", "1h", "50000" (in milliseconds where unit is that).
func proxyTime(s string, unit time.Duration) (time.Duration, bool) {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 && n < 1<<31 {
		return time.Duration(n) * unit, true
	}
	if n, err := strconv.Atoi(strings.TrimSuffix(s, "d")); err == nil && n >= 0 && n < 1<<15 {
		return time.Duration(n) * 24 * time.Hour, true
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}

// nginxLocation is the location of a server that answers for a path: the longest prefix,
// or an expression, which is not weighed against others.
func nginxLocation(s *facts.NginxServer, path string) (facts.NginxLocation, bool) {
	best, length := facts.NginxLocation{}, -1
	for _, l := range s.Locations {
		if l.Directive.Name != "location" {
			continue
		}
		prefix := l.Directive.Arg(len(l.Directive.Args) - 1)
		exact := l.Directive.Arg(0) == "="
		regular := strings.HasPrefix(l.Directive.Arg(0), "~")
		switch {
		case exact && prefix == path:
			return l, true
		case exact, regular && !strings.Contains(path, strings.Trim(prefix, `^$()*.`)):
		case regular:
			best, length = l, 1<<16
		case strings.HasPrefix(path, prefix) && len(prefix) > length:
			best, length = l, len(prefix)
		}
	}
	return best, length >= 0
}

// headerLines are statements of headers with a name, whatever its case.
func headerLines(all []facts.Directive, at int, name string) []facts.Directive {
	var found []facts.Directive
	for _, d := range all {
		if strings.EqualFold(strings.TrimLeft(d.Arg(at), "+-?>"), name) {
			found = append(found, d)
		}
	}
	return found
}

// unsure is what a rule says of a way that it cannot weigh.
func unsure(s facts.ProxySite, d facts.Directive, why string) throughProxy {
	return throughProxy{err: fmt.Errorf("%s:%d: %s: %s", d.File, d.Line, s.Proxy, why)}
}

// traefikRouter is a router of Traefik, and what it is told.
type traefikRouter struct {
	at, serviceAt facts.Nested
	rule, service string
	middlewares   []string
	asks, unknown bool // it asks who somebody is; it is not known whether
}

// traefikRouters are Traefik's routers, of files and of labels, by name.
func traefikRouters(t facts.Traefik) map[string]traefikRouter {
	said := map[string]facts.Nested{}
	for _, s := range slices.Concat(t.Dynamic, t.Compose) {
		name := s.Path
		if _, label, ok := strings.Cut(name, ".labels."); ok {
			name = label
			if _, err := strconv.Atoi(label); err == nil { // of a list: "name=value"
				name, s.Value, _ = strings.Cut(s.Value, "=")
			}
			name = strings.TrimPrefix(name, "traefik.")
		}
		said[strings.ToLower(name)] = s
	}
	routers := map[string]traefikRouter{}
	for name, s := range said {
		at := strings.Index(name, ".routers.")
		if at < 0 {
			continue
		}
		router, key, ok := strings.Cut(name[at+len(".routers."):], ".")
		if !ok {
			continue
		}
		r := routers[router]
		if r.at.Line == 0 || key == "rule" {
			r.at = s
		}
		switch {
		case key == "rule":
			r.rule = s.Value
		case key == "service":
			r.service, r.serviceAt = s.Value, s
		case key == "middlewares" || strings.HasPrefix(key, "middlewares.") || strings.HasPrefix(key, "middlewares["):
			for _, m := range strings.Split(s.Value, ",") {
				m, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(m)), "@")
				r.middlewares = append(r.middlewares, m)
			}
		}
		routers[router] = r
	}
	for name, r := range routers {
		for _, m := range r.middlewares {
			defined := false
			for key := range said {
				_, kind, ok := strings.Cut(key, ".middlewares."+m+".")
				if !ok {
					continue
				}
				defined = true
				kind, _, _ = strings.Cut(kind, ".")
				r.asks = r.asks || slices.Contains([]string{"basicauth", "digestauth", "forwardauth"}, kind)
				r.unknown = r.unknown || kind == "chain" || kind == "plugin"
			}
			r.unknown = r.unknown || !defined
		}
		routers[name] = r
	}
	return routers
}

// traefikNames are Traefik's settings in whose name, or in whose value, a word stands.
func traefikNames(h *facts.Host, word string) ([]facts.Directive, error) {
	t, err := h.Traefik()
	if err != nil {
		return nil, err
	}
	var all []facts.Directive
	for _, settings := range [][]facts.Nested{t.Dynamic, t.Compose} {
		for _, m := range settings {
			if strings.Contains(m.Path, word) || strings.Contains(strings.ToLower(m.Value), word) {
				all = append(all, facts.Directive{Name: m.Path, Args: []string{m.Value}, File: m.File, Line: m.Line})
			}
		}
	}
	return all, nil
}
