package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func proxyHostMatch() audit.Check {
	return audit.Check{
		ID: "px.host-match", Title: "Whoever does not know the name of the house is told nothing", Severity: finding.Med,
		Why:       "Scanners try addresses, not names. A proxy that shows Home Assistant to them whatever name they ask for puts it on their lists.",
		Fix:       "Add a default server that closes the connection (nginx: listen 443 ssl default_server; ssl_reject_handshake on; return 444), and let Home Assistant's answer to its own name alone.",
		Reference: []string{"ngx_http_core_module: listen, server_name", "RFC 9110 7.4"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeProxies(h, "", func(s facts.ProxySite) throughProxy {
				const yes, no = "its own name only", "any name"
				switch s.Proxy {
				case "nginx":
					servers, err := h.NginxServers()
					if err != nil {
						return throughProxy{none: true}
					}
					for _, l := range nginxListens(s.Server) {
						first := firstServer(servers, nginxPort(l))
						if first != nil && first.Directive.Line == s.Server.Directive.Line && first.Directive.File == s.Server.Directive.File {
							return badly(no, l)
						}
					}
					return well(yes)
				case "Caddy":
					for _, name := range s.Names {
						name = strings.TrimPrefix(strings.TrimPrefix(name, "http://"), "https://")
						host, _, _ := strings.Cut(name, ":")
						if host == "" || host == "*" {
							return badly(no)
						}
					}
					return well(yes)
				case "Apache":
					all, err := h.Apache()
					if err != nil {
						return throughProxy{none: true}
					}
					seen := map[string]bool{}
					for _, v := range facts.Named(all, "virtualhost") {
						for _, at := range v.Args {
							port := at[strings.LastIndex(at, ":")+1:]
							if seen[port] {
								continue
							}
							seen[port] = true
							inside := false
							everyDirective(v.Block, func(d facts.Directive) { inside = inside || d.File == s.File && d.Line == s.Line })
							if inside {
								return badly(no, v)
							}
						}
					}
					if len(s.Blocks) < 2 {
						return badly(no)
					}
					return well(yes)
				case "HAProxy":
					for _, d := range facts.Named(s.Blocks[1], "default_backend") {
						for _, server := range backendServers(h, d.Arg(0)) {
							if server.File == s.File && server.Line == s.Line {
								return badly(no, d)
							}
						}
					}
					if s.Blocks[1] == nil {
						return badly(no)
					}
					return well(yes)
				}
				t, err := h.Traefik()
				if err != nil {
					return throughProxy{none: true}
				}
				named := false
				for _, all := range [][]facts.Nested{t.Dynamic, t.Compose} {
					for _, r := range all {
						named = named || strings.Contains(r.Value, "Host(") || strings.Contains(r.Value, "HostSNI(") || strings.Contains(r.Value, "HostRegexp(")
					}
				}
				if named {
					return well(yes)
				}
				return badly(no)
			})
		},
		Profile: audit.ProfileStrict,
		Repair:  proxyRepairHost(),
	}
}

// nginxListens are where a server listens; without any word it is port 80.
func nginxListens(s *facts.NginxServer) []facts.Directive {
	if all := facts.Named(s.Directive.Block, "listen"); len(all) > 0 {
		return all
	}
	return []facts.Directive{{Name: "listen", Args: []string{"80"}, File: s.Directive.File, Line: s.Directive.Line}}
}

// nginxPort is the port of a listen, with the address if there is one.
func nginxPort(l facts.Directive) string {
	at := strings.TrimPrefix(strings.TrimPrefix(l.Arg(0), "0.0.0.0:"), "*:")
	if !strings.Contains(at, ":") && strings.Contains(at, ".") {
		at += ":80"
	}
	return at
}

// firstServer is the one that answers on a port to names that no server has.
func firstServer(servers []facts.NginxServer, port string) *facts.NginxServer {
	var first *facts.NginxServer
	for n := range servers {
		for _, l := range nginxListens(&servers[n]) {
			if nginxPort(l) != port {
				continue
			}
			if slices.Contains(l.Args, "default_server") || slices.Contains(l.Args, "default") {
				return &servers[n]
			}
			if first == nil {
				first = &servers[n]
			}
		}
	}
	return first
}

// backendServers are the servers of a backend of HAProxy.
func backendServers(h *facts.Host, name string) []facts.Directive {
	all, err := h.HAProxy()
	if err != nil {
		return nil
	}
	for _, s := range all {
		if (s.Name == "backend" || s.Name == "listen") && s.Arg(0) == name {
			return facts.Named(s.Block, "server")
		}
	}
	return nil
}
