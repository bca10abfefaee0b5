package checks

import (
	"fmt"
	"net/netip"

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
				if users := p.Get("trusted_users"); users == nil || len(users.Fields) == 0 {
					evidence = append(evidence, haAtNode(h, p.Get("type"), "no trusted_users: any account may be chosen"))
				}
				for _, n := range p.Get("trusted_networks").List() {
					networks = append(networks, n.Value())
					prefix, err := netip.ParsePrefix(n.Value())
					if err != nil {
						addr, addrErr := netip.ParseAddr(n.Value())
						if addrErr != nil {
							return audit.Unknown(fmt.Errorf("%s:%d: not a network", h.HAPath(n.File), n.Line))
						}
						prefix = netip.PrefixFrom(addr, addr.BitLen())
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
	}
}

// trustedTooMuch says who else comes from a network; empty if nobody.
func trustedTooMuch(h *facts.Host, p netip.Prefix) string {
	for _, loopback := range []string{"127.0.0.1/8", "::1/128"} {
		if netip.MustParsePrefix(loopback).Overlaps(p) {
			return "tunnels and proxies on this machine come from there"
		}
	}
	gateway := p.Addr().AsSlice()
	gateway[len(gateway)-1] = 1
	if addr, _ := netip.AddrFromSlice(gateway); netip.MustParsePrefix("172.16.0.0/12").Overlaps(p) && p.Contains(addr) {
		return "the gateway of containers is in it, by which everybody may come"
	}
	if s, err := h.HASettings(); err == nil || s.Source != "" {
		for _, proxy := range s.HTTP.TrustedProxies {
			if proxy.Overlaps(p) {
				return "the proxy is in it"
			}
		}
	}
	if p.Addr().Is4() && p.Bits() < 24 || p.Addr().Is6() && p.Bits() < 64 {
		return "wider than a home's network"
	}
	return ""
}
