// Package lan is the door for home. It must not be the one that the router forwards
// to, and defends itself if it is.
//
// # Decisions
//
// It answers to the machine's names at home, and to its addresses, which come without
// a name in the handshake. Whoever names something else gets not one byte; nor does
// who names nothing from an address of the Internet's, as a scan through a port that
// was forwarded by mistake does.
//
// A source is at home (AtHome) only if all of this holds; see link.go for why:
//   - it is in a prefix that is on-link at an interface of ours;
//   - that interface is a home's: it has a private address and no public one, is a
//     link with neighbours and not a tunnel, and is not a bridge with containers and
//     virtual machines alone;
//   - it is not an address of this machine itself, where a proxy or a tunnel's end
//     makes strangers look near;
//   - it is not a router's: with hairpin NAT, and behind Docker's proxy, strangers
//     come from there;
//   - it is not a proxy's that the owner trusts, which speaks for others. Whom it names by
//     the PROXY protocol is judged by the same rules; whom it names by a header of HTTP,
//     which a client may have written, is not at home (see gateway).
//
// Everybody else on this port counts as outside and needs a known device.
package lan

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

// Config says where the door is and what it answers to.
type Config struct {
	Listen string      // "address:port" or ":port"
	Names  []string    // exact host names, lower-case; may be empty
	TLS    *tls.Config // of this door alone, with what shows its certificate
	Links  *Links      // what this machine is connected to; must not be nil
	// Proxies are reverse proxies in front of the door that say whom they come for.
	Proxies wire.Proxies
	// Allow says who may come in at all, Favoured where a known device was lately and Tight
	// who gets little: see wire.TLSOptions. May be nil.
	Allow, Favoured, Tight func(netip.Addr) bool
	// Refused is told why a connection did not come through; it must be quick and safe
	// for concurrent use. May be nil.
	Refused func(remote net.Addr, reason string)
}

// Door is the open door: a listener whose connections have a TLS handshake behind them.
type Door struct {
	*wire.TLSListener
	surroundings
	names []string
	port  int
}

// Listen opens the door. Nobody is let in before Accept is called.
func Listen(c Config) (*Door, error) {
	if c.TLS == nil || c.Links == nil {
		return nil, errors.New("door lan: incomplete configuration")
	}
	inner, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("open door lan: %w", err)
	}
	d := &Door{names: slices.Clone(c.Names), surroundings: surroundings{c.Proxies, c.Links}, port: inner.Addr().(*net.TCPAddr).Port}
	d.TLSListener = wire.ListenTLS(c.Proxies.Listen(inner, c.Refused), c.TLS, wire.TLSOptions{
		Proxies: c.Proxies, Allow: c.Allow, Favoured: c.Favoured, Tight: c.Tight, Admit: d.admit, Refused: c.Refused})
	return d, nil
}

// admit is asked before TLS answers.
func (d *Door) admit(hello *wire.ClientHello, c net.Conn) bool {
	if hello.ServerName != "" {
		return slices.Contains(d.names, hello.ServerName)
	}
	remote, ok := addrOf(c.RemoteAddr())
	return ok && d.links.near(remote)
}

// Name is the door's word in the design.
func (d *Door) Name() policy.Door { return policy.LAN }

// surroundings are what is around a door at home.
type surroundings struct {
	wire.Proxies
	links *Links
}

// AtHome reports whether a source is on-link here and neither a router nor a bridge, nor a
// proxy that speaks for others.
func (s surroundings) AtHome(source netip.Addr) bool {
	return !s.TrustedProxy(source) && s.links.AtHome(source)
}

// Here reports whether a source is this very machine, and not a proxy on it.
func (s surroundings) Here(source netip.Addr) bool {
	return !s.TrustedProxy(source) && s.links.Here(source)
}

// HostAllowed reports whether a Host, lower-case and with its port if it has one, is
// one of the door's names or an address of this machine, with the door's port.
func (d *Door) HostAllowed(host string) bool {
	name, port, ok := cutPort(host)
	if !ok || port != d.port {
		return false
	}
	if slices.Contains(d.names, name) {
		return true
	}
	addr, err := netip.ParseAddr(name)
	// An address has one spelling here, as browsers write it.
	return err == nil && addr.String() == name && addr.Zone() == "" && d.links.isOwn(addr)
}

// Port is the port on which the door listens.
func (d *Door) Port() int { return d.port }

// Origins returns the origins, https://host[:port], of the door's names.
func (d *Door) Origins() []string {
	var origins []string
	for _, n := range d.names {
		o := "https://" + n
		if d.port != 443 {
			o += ":" + strconv.Itoa(d.port)
		}
		origins = append(origins, o)
	}
	return origins
}

// cutPort splits a Host; without a port it is 443. An IPv6 address loses its brackets,
// and ok is false where it has none.
func cutPort(host string) (name string, port int, ok bool) {
	name, port = host, 443
	if i := len(host) - 1; i >= 0 && host[i] != ']' {
		if n, p, err := net.SplitHostPort(host); err == nil {
			number, err := strconv.ParseUint(p, 10, 16)
			if err != nil || strconv.FormatUint(number, 10) != p {
				return "", 0, false
			}
			bracketed := host[0] == '['
			if bracketed != isIPv6(n) {
				return "", 0, false
			}
			return n, int(number), true
		}
	}
	if len(name) > 1 && name[0] == '[' && name[len(name)-1] == ']' {
		name = name[1 : len(name)-1]
		return name, port, isIPv6(name)
	}
	return name, port, name != "" && !isIPv6(name)
}

func isIPv6(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is6()
}

// addrOf is a connection's address, without zone and never IPv4 in IPv6 clothes.
func addrOf(a net.Addr) (netip.Addr, bool) {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	addr := t.AddrPort().Addr().Unmap().WithZone("")
	return addr, addr.IsValid()
}
