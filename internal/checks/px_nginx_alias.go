package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func proxyNginxAlias() audit.Check {
	return audit.Check{
		ID: "px.nginx-alias", Title: "nginx has none of the well-known traps in its locations", Severity: finding.High,
		Why:       "With an alias one slash off, a stranger reads files beside the folder that was meant; with $uri in a redirect, he writes headers of his own into your answers.",
		Fix:       "End the location with a slash where its alias ends with one, leave merge_slashes on, use $request_uri instead of $uri in return and headers, and put proxy_pass into a location instead of an if.",
		Reference: []string{"gixy: alias_traversal, http_splitting", "ngx_http_core_module: alias, merge_slashes", "CWE-22", "CWE-113"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			servers, err := h.NginxServers()
			if err != nil {
				if proxyMissing(err) {
					return audit.NotApplicable("no nginx was found")
				}
				return audit.Unknown(err)
			}
			var bad []facts.Directive
			for _, s := range servers {
				if d, ok := s.Place.Last("merge_slashes"); ok && d.Arg(0) == "off" {
					bad = append(bad, d)
				}
				for _, l := range s.Locations {
					block := l.Place.Around[len(l.Place.Around)-1]
					plain := len(l.Directive.Args) == 1 || l.Directive.Arg(0) == "^~"
					prefix := l.Directive.Arg(len(l.Directive.Args) - 1)
					for _, a := range facts.Named(block, "alias") {
						if l.Directive.Name == "location" && plain && !strings.HasSuffix(prefix, "/") && strings.HasSuffix(a.Arg(0), "/") {
							bad = append(bad, a)
						}
					}
					if l.Directive.Name == "if" {
						bad = append(bad, facts.Named(block, "proxy_pass")...)
					}
				}
				everyDirective(s.Directive.Block, func(d facts.Directive) {
					use := -1
					switch d.Name {
					case "return":
						use = len(d.Args) - 1
					case "rewrite", "add_header", "proxy_set_header":
						use = 1
					}
					if use < 0 || d.Name == "rewrite" && !strings.Contains(d.Arg(1), "://") && d.Arg(2) != "redirect" && d.Arg(2) != "permanent" {
						return
					}
					if carriesURI(d.Arg(use)) {
						bad = append(bad, d)
					}
				})
			}
			return audit.PassIf(len(bad) == 0, len(bad), statements(bad...)...)
		},
		Profile: audit.ProfileHome,
		Repair:  proxyRepairTraps(),
	}
}

// carriesURI reports whether a text holds the decoded path, which may hold line ends.
func carriesURI(s string) bool {
	for _, name := range []string{"uri", "document_uri"} {
		if strings.Contains(s, "${"+name+"}") {
			return true
		}
		for rest := s; ; {
			_, after, ok := strings.Cut(rest, "$"+name)
			if !ok {
				break
			}
			if after == "" || !strings.ContainsAny(after[:1], "abcdefghijklmnopqrstuvwxyz_0123456789") {
				return true
			}
			rest = after
		}
	}
	return false
}
