package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func tlsProtocols() audit.Check {
	return audit.Check{
		ID: "tls.protocols", Title: "Only TLS 1.2 and 1.3 are spoken", Severity: finding.High,
		Why:       "SSL 3.0, TLS 1.0 and TLS 1.1 can be broken by whoever sits in between.",
		Fix:       "Set ssl_protocols TLSv1.2 TLSv1.3 (nginx), ssl-min-ver TLSv1.2 (HAProxy), SSLProtocol -all +TLSv1.2 +TLSv1.3 (Apache); first see whether old tablets still need the old ones.",
		Reference: []string{"RFC 8996", "BSI TR-02102-2", "Mozilla: Server Side TLS, intermediate"},
		Judge: func(h *facts.Host) audit.Verdict {
			old := func(v string) bool { return v != "TLS 1.2" && v != "TLS 1.3" }
			observed, named := judgeEndpoints(h, func(e facts.Endpoint) string { return strings.Join(e.Versions, ", ") }, "whether it takes", func(e facts.Endpoint) []string {
				return slices.DeleteFunc(slices.Clone(e.Versions), func(v string) bool { return !old(v) })
			})
			if named && observed.Result != finding.Unknown {
				return observed
			}
			return worseOf(observed, judgeProxies(h, nothingNamed, func(s facts.ProxySite) throughProxy {
				const yes, no = "TLS 1.2 and newer", "older than TLS 1.2"
				if !s.TLS {
					return throughProxy{none: true}
				}
				var lines []facts.Directive
				switch s.Proxy {
				case "nginx":
					lines = s.Effective("ssl_protocols")
				case "Apache":
					if all := s.Effective("sslprotocol"); len(all) > 0 {
						d := all[0]
						if slices.Contains(d.Args, "TLSv1") || slices.Contains(d.Args, "+TLSv1") || slices.Contains(d.Args, "+TLSv1.1") || slices.Contains(d.Args, "TLSv1.1") || slices.Contains(d.Args, "+SSLv3") {
							return badly(no, d)
						}
						if slices.Contains(d.Args, "all") && !slices.Contains(d.Args, "-TLSv1") {
							return unsure(s, d, "what is all depends on its OpenSSL")
						}
						return well(yes, d)
					}
					return unsure(s, facts.Directive{File: s.File, Line: s.Line}, "SSLProtocol is not set, so it depends on its OpenSSL")
				case "Caddy":
					for _, d := range s.All("tls") {
						lines = append(lines, facts.Named(d.Block, "protocols")...)
					}
				case "HAProxy":
					all, err := h.HAProxy()
					if err != nil {
						return throughProxy{none: true}
					}
					for _, g := range facts.Named(all, "global") {
						lines = append(lines, facts.Named(g.Block, "ssl-default-bind-options")...)
					}
					lines = append(lines, s.All("bind")...)
				default:
					return traefikVersions(h, s, yes, no)
				}
				for _, d := range lines {
					for n, a := range d.Args {
						a = strings.ToLower(a)
						version := slices.Contains([]string{"tlsv1", "tlsv1.0", "tlsv1.1", "sslv3", "sslv2", "tls1.0", "tls1.1"}, a)
						if version && (s.Proxy != "HAProxy" || n > 0 && d.Args[n-1] == "ssl-min-ver") || a == "force-tlsv10" || a == "force-tlsv11" {
							return badly(no, d)
						}
					}
				}
				if s.Proxy == "nginx" && len(lines) == 0 { // since 1.27.3 the old ones are off unless they are named
					newer, err := nginxAtLeast(h, "1.27.3")
					if err != nil || !newer {
						return unsure(s, facts.Directive{File: s.File, Line: s.Line}, "ssl_protocols is not set, so it depends on its OpenSSL")
					}
				}
				return well(yes, lines...)
			}))
		},
		Profile: audit.ProfileHome,
		Repair:  proxyRepairProtocols(),
	}
}

// traefikVersions judges which versions of TLS Traefik takes.
func traefikVersions(h *facts.Host, s facts.ProxySite, yes, no string) throughProxy {
	t, err := h.Traefik()
	if err != nil {
		return throughProxy{err: err}
	}
	said := false
	var seen facts.Directive
	for _, v := range slices.Concat(t.Static, t.Dynamic, t.Compose) {
		if !strings.HasSuffix(v.Path, ".minversion") {
			continue
		}
		seen = facts.Directive{Name: v.Path, Args: []string{v.Value}, File: v.File, Line: v.Line}
		if v.Value != "VersionTLS12" && v.Value != "VersionTLS13" {
			return badly(no, seen)
		}
		said = said || strings.Contains(v.Path, ".options.default.")
	}
	if !said {
		return unsure(s, facts.Directive{File: s.File, Line: s.Line}, "minVersion of the default options is not set, so it depends on its release")
	}
	return well(yes, seen)
}
