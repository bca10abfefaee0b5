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
					return throughProxy{none: true}
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
	}
}
