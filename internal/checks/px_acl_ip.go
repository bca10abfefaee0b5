package checks

import (
	"net/netip"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func proxyACL() audit.Check {
	return audit.Check{
		ID: "px.acl-ip", Title: "Rules about addresses shut out everybody whom they do not name", Severity: finding.Med,
		Why:       "A list of who may come in does nothing unless all others are refused, in IPv6 as well; and behind a container's network everybody seems to come from inside.",
		Fix:       "End the list with deny all, and leave out the networks of containers (172.16.0.0/12), behind which strangers may stand.",
		Reference: []string{"ngx_http_access_module", "Docker: packet filtering, userland proxy"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeProxies(h, "no rules about addresses stand in front of Home Assistant", func(s facts.ProxySite) throughProxy {
				if s.Proxy != "nginx" {
					return otherAddressRules(h, s)
				}
				var rules []facts.Directive
				for _, block := range slices.Backward(s.Blocks) { // allow and deny are inherited together
					for _, d := range block {
						if d.Name == "allow" || d.Name == "deny" {
							rules = append(rules, d)
						}
					}
					if len(rules) > 0 {
						break
					}
				}
				if len(rules) == 0 {
					return throughProxy{none: true}
				}
				allows, six := 0, false
				for _, d := range rules {
					who := d.Arg(0)
					if who == "all" || strings.HasSuffix(who, "/0") {
						if d.Name == "allow" && allows == 0 && len(rules) == 1 || d.Name == "allow" && who != "all" {
							return badly("everybody may", d)
						}
						if d.Name == "deny" && who == "all" {
							return well("all others are refused", d)
						}
						continue
					}
					six = six || strings.Contains(who, ":")
					if d.Name == "allow" {
						allows++
						if p, err := netip.ParsePrefix(who); err == nil && p.Bits() <= 16 && netip.MustParsePrefix("172.16.0.0/12").Overlaps(p) {
							return badly("the networks of containers may", d)
						}
					}
				}
				if allows > 0 {
					return badly("nobody is refused", rules[len(rules)-1])
				}
				for _, l := range nginxListens(s.Server) {
					if strings.HasPrefix(l.Arg(0), "[") && !six {
						return badly("rules for IPv4 only", l)
					}
				}
				return well("some are refused", rules...)
			})
		},
		Profile: audit.ProfileStrict,
		Repair:  proxyRepairACL(),
	}
}

// otherAddressRules weighs the lists of addresses that the other proxies let in. What may
// be a list of those that are kept out is not weighed.
func otherAddressRules(h *facts.Host, s facts.ProxySite) throughProxy {
	var allowed, unclear []facts.Directive
	take := func(list *[]facts.Directive, d facts.Directive, nets []string) {
		*list = append(*list, facts.Directive{Name: d.Name, Args: nets, File: d.File, Line: d.Line})
	}
	switch s.Proxy {
	case "Caddy":
		for _, block := range s.Blocks[1:] {
			everyDirective(block, func(d facts.Directive) {
				words := append([]string{d.Name}, d.Args...)
				at := max(slices.Index(words, "remote_ip"), slices.Index(words, "client_ip"))
				switch {
				case at < 0:
				case slices.Contains(words[:at], "not"):
					take(&allowed, d, words[at+1:])
				default:
					take(&unclear, d, words[at+1:])
				}
			})
		}
	case "Apache":
		for _, block := range s.Blocks {
			for _, d := range facts.Named(block, "require") {
				if !strings.EqualFold(d.Arg(0), "ip") {
					continue
				}
				take(&allowed, d, d.Args[1:])
				for _, all := range facts.Named(block, "require") {
					if strings.EqualFold(all.Arg(0), "all") && strings.EqualFold(all.Arg(1), "granted") {
						return badly("everybody may", all)
					}
				}
			}
		}
	case "HAProxy":
		for _, block := range s.Blocks {
			for _, d := range facts.Named(block, "acl") {
				if d.Arg(1) != "src" {
					continue
				}
				list := &unclear
				for _, b := range s.Blocks {
					for _, use := range b {
						text := use.String()
						refuses := strings.Contains(text, " deny") || strings.Contains(text, " reject") || strings.Contains(text, " silent-drop")
						if refuses && (strings.Contains(text, "!"+d.Arg(0)) || strings.Contains(text, "unless "+d.Arg(0))) {
							list = &allowed
						}
					}
				}
				take(list, d, d.Args[2:])
			}
		}
	default:
		for _, word := range []string{".ipallowlist.sourcerange", ".ipwhitelist.sourcerange"} {
			found, err := traefikNames(h, word)
			if err != nil {
				return throughProxy{err: err}
			}
			for _, d := range found {
				_, list, ok := strings.Cut(d.Arg(0), "=")
				if !ok {
					list = d.Arg(0)
				}
				take(&allowed, d, strings.Split(list, ","))
			}
		}
	}
	for _, d := range allowed {
		for _, net := range d.Args {
			p, err := netip.ParsePrefix(strings.TrimSpace(net))
			switch {
			case err != nil:
			case p.Bits() == 0:
				return badly("everybody may", d)
			case p.Bits() <= 16 && netip.MustParsePrefix("172.16.0.0/12").Overlaps(p):
				return badly("the networks of containers may", d)
			}
		}
	}
	switch {
	case len(allowed) > 0:
		return well("all others are refused", allowed...)
	case len(unclear) > 0:
		return unsure(s, unclear[0], "whether this list lets in or keeps out is not weighed here")
	}
	return throughProxy{none: true}
}
