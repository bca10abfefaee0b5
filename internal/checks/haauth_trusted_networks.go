package checks

import (
	"fmt"
	"net/netip"
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haAuthTrustedNetworks() audit.Check {
	return audit.Check{
		ID: "haauth.trusted-networks", Title: "Signing in by address is for a few named devices and people", Severity: finding.Crit,
		Why:       "Whoever comes from a trusted network chooses an account without a password. If the proxy, this machine or the container's gateway is in it, that is everybody from the Internet.",
		Fix:       "Name single addresses in trusted_networks, give each its trusted_users, leave allow_bypass_login off, and keep proxies and 127.0.0.1 out; better, do without.",
		Reference: []string{"HA docs: authentication/providers, trusted_networks"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			all, err := haProviders(h)
			if err != nil {
				return audit.Unknown(err)
			}
			var networks []string
			var evidence []finding.Evidence
			found := false
			for _, p := range all {
				if p.Get("type").Value() != "trusted_networks" {
					continue
				}
				found = true
				if p.Get("allow_bypass_login").True() {
					evidence = append(evidence, haAtNode(h, p.Get("allow_bypass_login"), "allow_bypass_login: true"))
				}
				var named []netip.Prefix // networks whose people are named
				if users := p.Get("trusted_users"); users == nil || len(users.Fields) == 0 {
					evidence = append(evidence, haAtNode(h, p.Get("type"), "no trusted_users: any account may be chosen"))
				} else {
					for _, f := range users.Fields {
						prefix, err := trustedNetwork(f.Key)
						if err != nil {
							return audit.Unknown(fmt.Errorf("%s:%d: not a network", h.HAPath(f.At.File), f.At.Line))
						}
						named = append(named, prefix)
					}
				}
				for _, n := range p.Get("trusted_networks").List() {
					networks = append(networks, n.Value())
					prefix, err := trustedNetwork(n.Value())
					if err != nil {
						return audit.Unknown(fmt.Errorf("%s:%d: not a network", h.HAPath(n.File), n.Line))
					}
					whole := func(of netip.Prefix) bool { return of.Bits() <= prefix.Bits() && of.Contains(prefix.Addr()) }
					if len(named) > 0 && !slices.ContainsFunc(named, whole) {
						evidence = append(evidence, haAtNode(h, n, n.Value()+": not in trusted_users: any account may be chosen from there"))
					}
					if why := trustedTooMuch(h, prefix); why != "" {
						evidence = append(evidence, haAtNode(h, n, n.Value()+": "+why))
					}
				}
			}
			if !found {
				return audit.NotApplicable("nobody signs in by address")
			}
			return audit.PassIf(len(evidence) == 0, networks, evidence...).Explicitly(true)
		},
		Profile: audit.ProfileHome,
		Repair:  haRepairTrustedNetworks(),
	}
}

// trustedNetwork reads a network, or a single address, as Home Assistant does.
func trustedNetwork(text string) (netip.Prefix, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.ParsePrefix(text)
	}
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

// trustedTooMuch says who else comes from a network; empty if nobody. Nobody signs in by an
// address that is among trusted_proxies: Home Assistant refuses it.
func trustedTooMuch(h *facts.Host, p netip.Prefix) string {
	proxy := func(addr netip.Addr) bool {
		s, err := h.HASettings()
		return (err == nil || s.Source != "") && slices.ContainsFunc(s.HTTP.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr) })
	}
	for _, loopback := range []string{"127.0.0.1/8", "::1/128"} {
		if l := netip.MustParsePrefix(loopback); l.Overlaps(p) && !proxy(l.Addr()) {
			return "tunnels and proxies on this machine come from there"
		}
	}
	gateway := p.Addr().AsSlice()
	gateway[len(gateway)-1] = 1
	if addr, _ := netip.AddrFromSlice(gateway); netip.MustParsePrefix("172.16.0.0/12").Overlaps(p) && p.Contains(addr) && !proxy(addr) {
		return "the gateway of containers is in it, by which everybody may come"
	}
	if p.Addr().Is4() && p.Bits() < 24 || p.Addr().Is6() && p.Bits() < 64 {
		return "wider than a home's network"
	}
	return ""
}
