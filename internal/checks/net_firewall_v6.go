package checks

import (
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func netFirewallV6() audit.Check {
	return audit.Check{
		ID: "net.firewall-v6", Title: "The firewall lets in no more over IPv6 than over IPv4", Severity: finding.Crit,
		Why:       "Many providers give each device in the house an IPv6 address that the whole Internet can reach, and many routers do not filter it: what is closed for IPv4 only is open.",
		Fix:       "Use rules for both (table inet of nftables, IPV6=yes in /etc/default/ufw, rules.v6 beside rules.v4). Let ICMPv6 in, without it IPv6 does not work.",
		Reference: []string{"CIS Debian 12 4.4.3.1", "RFC 4890", "RFC 6092"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			b, err := firewalls(h)
			switch {
			case err != nil:
				return audit.Unknown(err)
			case len(b.managers) == 0:
				return audit.NotApplicable("no firewall is set up, for neither (net.firewall-present)")
			case withoutIPv6(h):
				return audit.NotApplicable("IPv6 is off")
			}
			effective := map[bool]string{true: "deny", false: "allow"}
			both := "IPv4 " + effective[b.v4.Denies] + ", IPv6 " + effective[b.v6.Denies]
			if !b.v4.Denies {
				return audit.PassIf(b.v6.Denies || !b.v4.Filtered, both, audit.At(b.v6.File, b.v6.Line, both))
			}
			if !b.v6.Denies {
				return audit.Fail(both, audit.At(b.v6.File, b.v6.Line, both))
			}
			var evidence []finding.Evidence
			for _, o := range b.v6.Opens {
				if o.From != "" {
					continue
				}
				same := func(other facts.Opening) bool {
					return other.From == "" && (other.Proto == o.Proto || other.Proto == "") && (other.Ports == nil || slices.Equal(other.Ports, o.Ports))
				}
				// UDP to a link-local address is how an IPv6 address is given.
				dhcp := slices.Equal(o.Ports, []string{"546"}) || slices.Equal(o.Ports, []string{"dhcpv6-client"})
				if !dhcp && !slices.ContainsFunc(b.v4.Opens, same) {
					evidence = append(evidence, audit.At(o.File, o.Line, o.Text))
				}
			}
			return audit.PassIf(len(evidence) == 0, both, evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  firewallV6Repair,
	}
}
