package checks

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func endpoints() []audit.Check {
	return []audit.Check{
		tlsPresent(), tlsCertValid(), tlsKeyPerms(),
		tlsProtocols(), tlsCiphers(), tlsCertStrength(), tlsRenewal(),
		tlsHSTS(), tlsRedirect(), tlsReuse(), tlsCTName(), tlsMTLS(),
	}
}

// nothingNamed is why there may be no end point to judge.
const nothingNamed = "no address was named: --url https://…"

// judgeEndpoints judges what was observed at the addresses that the owner has named: what
// judge returns is evidence against it. What begins with one of the words in needs and could not be observed
// makes it unknown.
func judgeEndpoints(h *facts.Host, effective func(facts.Endpoint) string, needs string, judge func(facts.Endpoint) []string) (v audit.Verdict, judged bool) {
	var bad, good []finding.Evidence
	said, missing := []string{}, []string{}
	for _, e := range h.Endpoints {
		if !strings.HasPrefix(e.URL, "https://") {
			continue
		}
		said = append(said, effective(e))
		against := judge(e)
		for _, value := range against {
			bad = append(bad, audit.At(e.URL, 0, value))
		}
		if len(against) == 0 {
			good = append(good, audit.At(e.URL, 0, effective(e)))
		}
		for _, m := range e.Missing {
			if needs != "" && strings.HasPrefix(m, needs) {
				missing = append(missing, e.URL+": could not observe "+m)
			}
		}
	}
	switch {
	case len(bad) > 0:
		return audit.Fail(said, bad...), true
	case len(missing) > 0:
		return audit.Unknown(errors.New(strings.Join(missing, "; "))), true
	case len(said) == 0:
		return audit.NotApplicable(nothingNamed), false
	}
	return audit.Pass(said, good...), true
}

// both is a verdict on what was observed and one on files: the worse one counts, and what
// there is nothing to say about does not.
func worseOf(a, b audit.Verdict) audit.Verdict {
	order := []finding.Result{finding.Fail, finding.Unknown, finding.Pass, finding.NotApplicable}
	first, second := a, b
	if slices.Index(order, b.Result) < slices.Index(order, a.Result) {
		first, second = b, a
	}
	if first.Result == second.Result && (first.Result == finding.Fail || first.Result == finding.Pass) {
		first.Evidence = slices.Concat(first.Evidence, second.Evidence)
		x, ok1 := first.Effective.([]string)
		y, ok2 := second.Effective.([]string)
		if ok1 && ok2 {
			first.Effective = slices.Concat(x, y)
		}
	}
	return first
}

// certificateFiles judges the certificates that the proxies and Home Assistant show, as
// they lie in files.
func certificateFiles(h *facts.Host, effective func(facts.Certificate) string, judge func(facts.UsedCertificate, []facts.Certificate) []string) audit.Verdict {
	used, err := h.UsedCertificates()
	var bad, good []finding.Evidence
	said := []string{}
	errs := []error{err}
	for _, u := range used {
		all, err := h.Certificates(u.File)
		if err != nil {
			if info, statErr := h.Stat(u.File); statErr == nil && info.Mode.IsDir() {
				continue // HAProxy takes folders, which are not followed
			}
			errs = append(errs, err)
			continue
		}
		say := effective(all[0])
		said = append(said, say)
		for _, value := range judge(u, all) {
			bad = append(bad, audit.At(u.File, 0, value))
		}
		good = append(good, audit.At(u.File, 0, say))
	}
	switch err := errors.Join(errs...); {
	case len(bad) > 0:
		return audit.Fail(said, bad...)
	case err != nil:
		return audit.Unknown(err)
	case len(said) == 0:
		return audit.NotApplicable(nothingNamed)
	}
	return audit.Pass(said, good...)
}

// insideName reports whether a name or an address is of the house, of a VPN or of Tor: what
// is asked for there does not cross the Internet in the clear.
func insideName(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		addr = addr.Unmap()
		return addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || netip.MustParsePrefix("100.64.0.0/10").Contains(addr)
	}
	if !strings.Contains(host, ".") {
		return true
	}
	for _, end := range []string{".local", ".lan", ".home", ".internal", ".home.arpa", ".localdomain", ".onion", ".ts.net", ".fritz.box", ".intranet"} {
		if strings.HasSuffix(host, end) {
			return true
		}
	}
	return false
}
