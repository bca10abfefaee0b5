package lan

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

// PlainConfig says where the door without TLS is.
type PlainConfig struct {
	Listen string   // "address:port" or ":port": where Home Assistant was before
	Names  []string // exact host names besides those that mean something in a home alone
	Links  *Links   // what this machine is connected to; must not be nil
	// HomeName reports whether a name means something in a home alone.
	HomeName func(string) bool
	// Proxies are reverse proxies in front of the door, and Allow says who may come in at
	// all; as with Config.
	Proxies wire.Proxies
	Allow   func(netip.Addr) bool
	// Refused is told why a connection did not come through; as with Config.
	Refused func(remote net.Addr, reason string)
}

// Plain is the door for home in plain HTTP, on the port that Home Assistant had: for
// speakers, screens, programs and what else knows that address (design: "Doors, and what
// each trusts"). It is a listener that drops whoever can be nobody of the house without
// a byte: a port that the router forwards to it is silent.
type Plain struct {
	net.Listener
	surroundings
	names    []string
	homeName func(string) bool
	allow    func(netip.Addr) bool
	refused  func(remote net.Addr, reason string)
	port     int
}

// ListenPlain opens the door. Nobody is let in before Accept is called.
func ListenPlain(c PlainConfig) (*Plain, error) {
	if c.Links == nil || c.HomeName == nil {
		return nil, errors.New("door lan: incomplete configuration")
	}
	inner, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("open door lan without TLS: %w", err)
	}
	return &Plain{Listener: c.Proxies.Listen(inner, c.Refused), surroundings: surroundings{c.Proxies, c.Links}, names: slices.Clone(c.Names),
		homeName: c.HomeName, allow: c.Allow, refused: c.Refused, port: inner.Addr().(*net.TCPAddr).Port}, nil
}

// Accept returns the next connection of somebody who can be of the house.
func (p *Plain) Accept() (net.Conn, error) {
	for {
		c, err := p.Listener.Accept()
		if err != nil {
			return nil, err
		}
		why := p.judge(c)
		if why == "" {
			return c, nil
		}
		if p.refused != nil {
			p.refused(c.RemoteAddr(), why)
		}
		_ = wire.Drop(c)
	}
}

// judge says why a connection is dropped.
func (p *Plain) judge(c net.Conn) string {
	remote, ok := addrOf(c.RemoteAddr())
	switch {
	case ok && p.allow != nil && !p.allow(remote):
		return string(wire.ReasonNotAllowed)
	case !ok || !p.TrustedProxy(remote) && !p.links.inside(remote):
		return "not from home, at the door without TLS"
	}
	return ""
}

// Name is the door's word in the design.
func (p *Plain) Name() policy.Door { return policy.LAN }

// HostAllowed reports whether a Host, lower-case and with its port if it has one, is a
// name or an address of this home's, with the door's port: what a page on the Internet
// can give to an address of ours (DNS rebinding) is none.
func (p *Plain) HostAllowed(host string) bool {
	if !strings.HasSuffix(host, ":"+strconv.Itoa(p.port)) {
		if p.port != 80 {
			return false
		}
		host += ":80"
	}
	name, port, ok := cutPort(host)
	if !ok || port != p.port {
		return false
	}
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return slices.Contains(p.names, name) || isHostName(name) && p.homeName(name)
	}
	return addr.String() == name && addr.Zone() == "" && !addr.Is4In6() && (p.links.isOwn(addr) || addr.IsLoopback())
}

// isHostName reports whether a name has only what names in homes have.
func isHostName(s string) bool {
	return s != "" && len(s) <= 253 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == ""
}

// Port is the port on which the door listens.
func (p *Plain) Port() int { return p.port }

// Here reports whether a source is this machine itself.
func (l *Links) Here(source netip.Addr) bool {
	source = source.Unmap().WithZone("")
	return source.IsLoopback() || l.isOwn(source)
}

// inside reports whether a source can be of the house: at home, on this machine, or in a
// container or virtual machine on it. A router is not, whoever it speaks for.
func (l *Links) inside(source netip.Addr) bool {
	n := l.network()
	source = source.Unmap().WithZone("")
	switch {
	case slices.Contains(n.routers, source):
		return false
	case source.IsLoopback(), slices.Contains(n.own, source), n.atHome(source):
		return true
	}
	return isPrivate(source) && n.onLink(source)
}
