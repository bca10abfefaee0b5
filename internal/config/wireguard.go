package config

import (
	"net"
	"net/netip"
	"slices"
)

// WireGuard is the door of a VPN: a device is known by its key, and reaches the gateway in the
// tunnel.
type WireGuard struct {
	Listen   string   `toml:"listen" json:"listen" comment:"UDP address and port to listen on. Default \":51820\""`
	Endpoint string   `toml:"endpoint" json:"endpoint" comment:"Host and port that devices connect to from outside, like \"home.example.org:51820\". Default: the home's name and the port of listen"`
	Networks []string `toml:"networks" json:"networks" comment:"The tunnel's own networks, one of each family at most, like \"10.8.0.0/24\". Default: private ones that nobody else is likely to have, made once"`
	Reach    []string `toml:"reach" json:"reach" comment:"Networks behind this machine that devices in the tunnel may reach, too, by TCP and UDP. Default none: they reach the home's pages alone"`
	DNS      string   `toml:"dns" json:"dns" comment:"Who answers for names other than the home's while a tunnel is up: the address of a resolver; \"system\", the one that this machine uses; or \"off\", and then a device finds no other name. Default \"system\""`
	MTU      int      `toml:"mtu" json:"mtu" comment:"The largest packet in the tunnel, from 1280 to 1420 bytes. Default 1420"`
}

// The words for who resolves other names than the home's in a tunnel.
const (
	SystemResolver = "system"
	NoResolver     = "off"
)

// The sizes of packets in a tunnel.
const (
	leastMTU = 1280
	mostMTU  = 1420
)

// The smallest and largest networks of a tunnel, in bits.
const (
	tunnelWidest4, tunnelTightest4 = 8, 30
	tunnelWidest6, tunnelTightest6 = 8, 120
)

// fill puts in the defaults that depend on what the file says.
func (d *WireGuard) fill(said places) {
	if d == nil {
		return
	}
	if !said.has("doors.wireguard.listen") {
		d.Listen = ":51820"
	}
	if !said.has("doors.wireguard.dns") {
		d.DNS = SystemResolver
	}
	if !said.has("doors.wireguard.mtu") {
		d.MTU = mostMTU
	}
}

// checkWireGuard says what is wrong with the door's values.
func (c *Config) checkWireGuard(k *checker) {
	d := c.Doors.WireGuard
	if d == nil {
		return
	}
	const door = "doors.wireguard."
	k.listen(door+"listen", d.Listen)
	if d.Endpoint != "" {
		host, port, err := net.SplitHostPort(d.Endpoint)
		_, wrong := netip.ParseAddr(host)
		if err != nil || !isPort(port) || wrong != nil && !IsHostName(host) {
			k.say(door+"endpoint", `it looks like "home.example.org:51820"`, "is %q, which is not a host and a port", d.Endpoint)
		}
	}
	if d.DNS != SystemResolver && d.DNS != NoResolver {
		if a, ok := Resolver(d.DNS); !ok || a.Addr().IsUnspecified() || a.Addr().IsMulticast() {
			k.say(door+"dns", `it looks like "192.168.1.1" or "[fd00::1]:53", or is "system" or "off"`, "is %q, which is not the address of a resolver", d.DNS)
		}
	}
	if d.MTU < leastMTU || d.MTU > mostMTU {
		k.say(door+"mtu", "", "is %d; it goes from %d to %d", d.MTU, leastMTU, mostMTU)
	}
	k.tunnelNetworks(door, d)
}

// tunnelNetworks checks the tunnel's own networks, and those that are reached through it.
func (k *checker) tunnelNetworks(door string, d *WireGuard) {
	var own []netip.Prefix
	families := map[bool]bool{}
	for _, text := range d.Networks {
		const hint = `they look like "10.8.0.0/24" and "fd12:3456:789a::/48", one of each family`
		n, err := netip.ParsePrefix(text)
		switch {
		case err != nil || n.Addr().Is4In6() || n.Addr().Zone() != "":
			k.say(door+"networks", hint, "has %q, which is not a network", text)
			continue
		case !n.Addr().IsPrivate() && !sharedSpace.Contains(n.Addr()):
			k.say(door+"networks", hint, "has %q, which belongs to somebody on the Internet", text)
		case n.Addr().Is4() && (n.Bits() < tunnelWidest4 || n.Bits() > tunnelTightest4), n.Addr().Is6() && (n.Bits() < tunnelWidest6 || n.Bits() > tunnelTightest6):
			k.say(door+"networks", hint, "has %q, which is too large or too small", text)
		case families[n.Addr().Is4()]:
			k.say(door+"networks", hint, "has %q, a second one of its family", text)
		}
		families[n.Addr().Is4()] = true
		own = append(own, n)
	}
	for _, text := range d.Reach {
		const hint = `they look like "192.168.1.0/24" or "192.168.1.20"`
		n, err := ParsePrefix(text)
		switch {
		case err != nil:
			k.say(door+"reach", hint, "has %q, which %s", text, err)
		case n.Addr().IsLoopback() || n.Addr().IsLinkLocalUnicast() || n.Addr().IsMulticast() || n.Addr().IsUnspecified():
			k.say(door+"reach", hint, "has %q, which is never reached through the tunnel", text)
		case slices.ContainsFunc(own, n.Overlaps):
			k.say(door+"reach", hint, "has %q, which is the tunnel's own network: devices in it do not reach one another", text)
		}
	}
}

// sharedSpace is what providers use behind their own address translation (RFC 6598); within a
// house nobody else does.
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// Resolver reads the address of a resolver, with its port or without.
func Resolver(s string) (at netip.AddrPort, ok bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, 53), true
	}
	at, err := netip.ParseAddrPort(s)
	return at, err == nil && at.Port() != 0
}

// Prefixes are the networks of a list that Parse has taken, an address as a network of its own.
func Prefixes(list []string) (networks []netip.Prefix) { return ProxyNetworks(list) }
