package checks

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func proxySquid() audit.Check {
	return audit.Check{
		ID: "px.squid", Title: "No forward proxy serves whoever asks", Severity: finding.Crit,
		Why:       "A forward proxy that asks nobody who he is leads a stranger into your home network and lends him your address.",
		Fix:       "Remove the proxy if nobody uses it; otherwise bind it to the home network and let it ask for a password or name the networks that may use it.",
		Reference: []string{"CIS Debian 12 2.1.17", "CIS RHEL 9 2.1.17", "squid.conf: http_access", "tinyproxy.conf(5)", "danted.conf(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			var found []string
			var bad []finding.Evidence
			var errs []error
			for _, p := range []struct {
				name, file string
				judge      func(facts.Text) ([]finding.Evidence, error)
			}{
				{"squid", "/etc/squid/squid.conf", openSquid}, {"tinyproxy", "/etc/tinyproxy/tinyproxy.conf", openTinyproxy},
				{"dante", "/etc/danted.conf", openDante}, {"dante", "/etc/sockd.conf", openDante},
			} {
				t, err := h.Text(p.file)
				if proxyMissing(err) {
					continue
				}
				if err == nil {
					var open []finding.Evidence
					if open, err = p.judge(t); err == nil {
						bad = append(bad, open...)
						found = append(found, p.name)
						continue
					}
				}
				errs = append(errs, err)
			}
			switch {
			case len(bad) > 0:
				return audit.Fail(found, bad...)
			case len(errs) > 0:
				return audit.Unknown(errors.Join(errs...))
			case len(found) == 0:
				return audit.NotApplicable("no forward proxy was found")
			}
			return audit.Pass(found)
		},
		Profile: audit.ProfileHome,
		Repair:  proxyRepairSquid(),
	}
}

// onLoopback reports whether an address to listen on is of this machine alone.
func onLoopback(address string) bool {
	host := address
	if at, _, err := net.SplitHostPort(address); err == nil {
		host = at
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// openSquid goes through squid's http_access: the first line that fits holds. What an
// include may add makes it unknown; and no rules at all are those of the default: nobody.
func openSquid(t facts.Text) ([]finding.Evidence, error) {
	everybody, asks := map[string]bool{"all": true}, map[string]bool{}
	local, ports, rules := true, 0, 0
	var open []finding.Evidence
	done, included := false, 0
	for n, line := range t.Lines {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) < 2 {
			if len(f) == 1 {
				return nil, fmt.Errorf("%s:%d: not a line of squid", t.Path, n+1)
			}
			continue
		}
		switch f[0] {
		case "acl":
			if len(f) >= 3 && f[2] == "src" && slices.ContainsFunc(f[3:], func(a string) bool { return a == "all" || strings.HasSuffix(a, "/0") }) {
				everybody[f[1]] = true
			}
			asks[f[1]] = asks[f[1]] || len(f) >= 3 && strings.HasPrefix(f[2], "proxy_auth")
		case "include":
			if !done && included == 0 {
				included = n + 1
			}
		case "http_port", "https_port":
			ports++
			local = local && onLoopback(f[1])
		case "http_access":
			rules++
			who := f[2:]
			if done || len(who) == 0 {
				continue
			}
			all := !slices.ContainsFunc(who, func(a string) bool { return !everybody[a] })
			switch {
			case all && f[1] == "deny":
				done = true
			case all && f[1] == "allow":
				open, done = append(open, audit.At(t.Path, n+1, strings.Join(f, " "))), true
			}
		}
	}
	if ports > 0 && local {
		return nil, nil
	}
	if len(open) == 0 && included > 0 {
		return nil, fmt.Errorf("%s:%d: what it includes may let others in, and was not read", t.Path, included)
	}
	return open, nil
}

// openTinyproxy: without any Allow, everybody may.
func openTinyproxy(t facts.Text) ([]finding.Evidence, error) {
	closed, at, value := false, 0, "no Allow"
	for n, line := range t.Lines {
		f := strings.Fields(line)
		if len(f) < 2 || strings.HasPrefix(f[0], "#") {
			continue
		}
		switch strings.ToLower(f[0]) {
		case "allow":
			if strings.HasSuffix(f[1], "/0") {
				return []finding.Evidence{audit.At(t.Path, n+1, strings.Join(f, " "))}, nil
			}
			closed = true
		case "basicauth":
			closed = true
		case "listen":
			closed = closed || onLoopback(f[1])
		case "port":
			at = n + 1
		}
	}
	if closed {
		return nil, nil
	}
	return []finding.Evidence{audit.At(t.Path, at, value)}, nil
}

// openDante: everybody may connect, and nobody is asked who he is.
func openDante(t facts.Text) ([]finding.Evidence, error) {
	method, from, client := "", 0, false
	for n, line := range t.Lines {
		line, _, _ = strings.Cut(line, "#")
		switch {
		case strings.Contains(line, "socksmethod:") || strings.HasPrefix(strings.TrimSpace(line), "method:"):
			_, method, _ = strings.Cut(line, "method:")
		case strings.Contains(line, "internal:"):
			_, address, _ := strings.Cut(line, "internal:")
			if f := strings.Fields(address); len(f) > 0 && (f[0] == "lo" || onLoopback(f[0])) {
				return nil, nil
			}
		}
		if strings.Contains(line, "client pass") {
			client = true
		} else if strings.Contains(line, "socks pass") || strings.Contains(line, "block") {
			client = false
		}
		if client && strings.Contains(line, "from:") && (strings.Contains(line, "0.0.0.0/0") || strings.Contains(line, "0/0") || strings.Contains(line, "::/0")) {
			from = n + 1
		}
	}
	if from > 0 && (method == "" || slices.Contains(strings.Fields(method), "none")) {
		return []finding.Evidence{audit.At(t.Path, from, strings.TrimSpace(t.Lines[from-1]))}, nil
	}
	return nil, nil
}
