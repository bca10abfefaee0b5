package checks

import (
	"errors"
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
	none      bool // the rule has nothing to say of it
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
