package ddns

import "net/netip"

// IsPublic reports whether the Internet leads to an address: it is global unicast and in
// none of the ranges that are for other purposes (the special-purpose registries of IANA,
// RFC 6890, as of 2026).
func IsPublic(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.Zone() != "" {
		return false
	}
	for _, p := range special() {
		if p.Contains(a) {
			return false
		}
	}
	return a.Is4() || netip.MustParsePrefix("2000::/3").Contains(a)
}

// shared is what providers use between their own address translation and the house (RFC
// 6598).
func shared() netip.Prefix { return netip.MustParsePrefix("100.64.0.0/10") }

// special are the ranges inside global unicast that are not the Internet's. Those for
// tunnels (Teredo, 6to4) are among them: they lead to a relay.
func special() (all []netip.Prefix) {
	for _, text := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24",
		"192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
	} {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}
