package main

import (
	"net"
	"net/netip"

	"gatehouse/internal/config"
	"gatehouse/internal/door/lan"
	"gatehouse/internal/guard"
	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

// What is known at a door before there is a request: whose address it is, and what came of it.

// httpsProxies are the reverse proxies in front of the door https.
func httpsProxies(c *config.Config) wire.Proxies {
	if c.Doors.HTTPS == nil {
		return wire.Proxies{}
	}
	return wire.Proxies{Trusted: config.ProxyNetworks(c.Doors.HTTPS.TrustedProxies), Protocol: c.Doors.HTTPS.ProxyProtocol}
}

// lanProxies are those in front of the door lan, with and without TLS.
func lanProxies(c *config.Config) wire.Proxies {
	if c.Doors.LAN == nil {
		return wire.Proxies{}
	}
	return wire.Proxies{Trusted: config.ProxyNetworks(c.Doors.LAN.TrustedProxies), Protocol: c.Doors.LAN.ProxyProtocol}
}

// sharedBy says in words why many may stand behind an address, so that it is never banned;
// empty where nothing of that is known.
func sharedBy(c *config.Config, links *lan.Links) func(netip.Addr) string {
	https, home := httpsProxies(c), lanProxies(c)
	return func(addr netip.Addr) string {
		if https.TrustedProxy(addr) || home.TrustedProxy(addr) {
			return "it belongs to a proxy of the configuration (trusted_proxies), and whom it does not name looks like it"
		}
		return links.Shared(addr)
	}
}

// favoured reports whether a known device came from an address lately.
func (s *server) favoured(addr netip.Addr) bool { return s.guard.KnownFrom(guard.Network(addr)) }

// tight reports whether an address gets little at a door: the guard does not listen to it,
// and lets known devices pass all the same.
func (s *server) tight(addr netip.Addr) bool { return !s.guard.Listens(addr) }

// turnedAway counts what a door, behind its proxies, did not let through, and takes it down.
func (s *server) turnedAway(door policy.Door, proxies wire.Proxies) func(remote net.Addr, reason string) {
	return func(remote net.Addr, reason string) {
		s.refused.add(reason)
		at, err := netip.ParseAddrPort(remote.String()) // net/http does not say whose HTTP/2 it refused
		addr := at.Addr().Unmap().WithZone("")
		s.refusedAtDoor(door, addr, wire.Reason(reason))
		if err == nil && !proxies.TrustedProxy(addr) {
			s.scanned(door, addr, wire.Reason(reason))
		}
	}
}

// scanned tells the guard of what only those send who look for holes. At home it may be
// somebody's old speaker, and a name that is not served a bookmark of another time.
//
// Nothing counts from where a known device was lately: any page on the Internet can have
// a browser shake hands with names of its own that lead here, and send other bytes than
// TLS (to what it calls a relay for calls), and would have the family's address banned by
// it. Nothing can be guessed in that way. Nor does who asks for the home's name count as long
// as there is no certificate for it.
func (s *server) scanned(door policy.Door, addr netip.Addr, why wire.Reason) {
	home := door == policy.LAN && (why == wire.ReasonName || s.links.AtHome(addr) || s.links.Here(addr))
	early := door == policy.HTTPS && why == wire.ReasonName && s.public != nil && s.public.Certificate(s.cfg.Home.Name) == nil
	if why.Hostile() && !home && !early && !s.favoured(addr) {
		s.fail(guard.Failure{Addr: addr, Kind: guard.Scan, Door: string(door), What: string(why)})
	}
}
