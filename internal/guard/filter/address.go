package filter

import "net/netip"

// Prefixes whose addresses hold an IPv4 address.
var (
	nat64  = netip.MustParsePrefix("64:ff9b::/96")  // RFC 6052 section 2.1; in its last 32 bits
	sixTo4 = netip.MustParsePrefix("2002::/16")     // RFC 3056; in the 32 bits that follow
	teredo = netip.MustParsePrefix("2001::/32")     // RFC 4380 section 4; the client's in the last 32 bits, inverted
	shared = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598: between a provider and its customers; VPNs use it, too
)

// Normal returns the one form of an address: without a zone, and IPv4 where it is an IPv4
// address in IPv6 clothes (IPv4-mapped, or of NAT64). RFC 6052 section 3.1 forbids NAT64
// of addresses that the Internet does not route, so these are left as they are: nobody
// becomes a neighbour by writing one.
func Normal(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if nat64.Contains(addr) {
		b := addr.As16()
		if v4 := netip.AddrFrom4([4]byte(b[12:])); !AtHome(v4) {
			return v4
		}
	}
	return addr
}

// inside returns the IPv4 address at the end of a tunnel, of an address in its normal
// form; invalid where there is none.
func inside(addr netip.Addr) netip.Addr {
	switch {
	case !addr.Is6():
		return netip.Addr{}
	case sixTo4.Contains(addr):
		b := addr.As16()
		return netip.AddrFrom4([4]byte(b[2:6]))
	case teredo.Contains(addr):
		b := addr.As16()
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})
	}
	return netip.Addr{}
}

// AtHome reports whether an address is one that a home, this machine, or a provider's or
// VPN's inside gives out, and that no packet from the Internet comes from: loopback,
// RFC 1918, RFC 4193, link-local, RFC 6598. Addresses for documentation and other
// oddities are nobody's home.
func AtHome(addr netip.Addr) bool {
	return addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || shared.Contains(addr)
}
