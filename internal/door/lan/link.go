package lan

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// fresh is for how long a reading of the interfaces is believed. An interface that
// went away is forgotten after this long.
const fresh = 2 * time.Second

// Links is what this machine is connected to, read again as it changes. It is safe
// for use by several goroutines.
type Links struct {
	read func() (reading, error)
	now  func() time.Time

	mu   sync.Mutex
	at   time.Time
	last *network
}

// NewLinks returns the links of the machine that we run on.
func NewLinks() *Links { return &Links{read: readMachine, now: time.Now} }

// AtHome reports whether a source is a neighbour on a home's link (package comment).
func (l *Links) AtHome(source netip.Addr) bool {
	return l.network().atHome(source.Unmap().WithZone(""))
}

// Addrs returns this machine's own addresses, without zones, for certificates.
func (l *Links) Addrs() []netip.Addr { return l.network().own }

// Facing returns this machine's own addresses on the home's links at which a source is a
// neighbour: where it reaches us without a router.
func (l *Links) Facing(source netip.Addr) []netip.Addr {
	source = source.Unmap().WithZone("")
	var own []netip.Addr
	for _, p := range l.network().facing {
		if p.Contains(source) {
			own = append(own, p.Addr())
		}
	}
	return own
}

// Shared says in words why more than one visitor may come from an address, so that nobody is
// to be shut out by it: it is this machine's own, a router's, or that of a container, which
// may be a proxy. Empty where nothing of that is known; loopback is not meant, where each
// program has its own part.
func (l *Links) Shared(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	n := l.network()
	switch {
	case !addr.IsValid() || addr.IsLoopback():
		return ""
	case slices.Contains(n.own, addr):
		return "it is this machine's own address"
	case slices.Contains(n.routers, addr):
		return "it is a router's address, and everybody who comes through it looks alike"
	case contains(n.hollow, addr):
		return "it belongs to a container or virtual machine on this machine, which may be a proxy"
	}
	return ""
}

// isOwn reports whether an address is this machine's.
func (l *Links) isOwn(addr netip.Addr) bool { return slices.Contains(l.network().own, addr.Unmap()) }

// near reports whether a source can be somebody of the house at all: on-link, or from
// addresses that the Internet does not route.
func (l *Links) near(source netip.Addr) bool {
	return isPrivate(source) || source.IsLoopback() || l.network().onLink(source)
}

// network returns what was read last, not older than fresh. Where it cannot be read,
// nobody is at home.
func (l *Links) network() *network {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if l.last != nil && now.Sub(l.at) < fresh && !now.Before(l.at) {
		return l.last
	}
	r, err := l.read()
	if err != nil {
		r = reading{}
	}
	l.last, l.at = judge(r), now
	return l.last
}

// reading is what the machine says of its network.
type reading struct {
	links   []link
	routers []netip.Addr // gateways of all routes
}

// link is one interface that is up.
type link struct {
	name     string
	prefixes []netip.Prefix // its addresses, each with its prefix
	loopback bool
	tunnel   bool // point to point: whoever is at the other end is not a neighbour
	hollow   bool // a bridge without a network card: containers and virtual machines
}

// network is a reading, judged.
type network struct {
	own     []netip.Addr   // every address of this machine
	all     []netip.Prefix // on-link at any interface with neighbours
	home    []netip.Prefix // on-link at a home's interface
	facing  []netip.Prefix // our own addresses there, each with its prefix
	hollow  []netip.Prefix // on-link at a bridge of containers and virtual machines
	routers []netip.Addr
}

// judge says which links are a home's.
func judge(r reading) *network {
	n := &network{routers: r.routers}
	for _, l := range r.links {
		private, public := false, false
		for _, p := range l.prefixes {
			addr := p.Addr().Unmap()
			n.own = append(n.own, addr.WithZone(""))
			switch {
			case isLocal(addr):
				private = true
			case addr.Is4():
				public = true
			}
		}
		if l.loopback || l.tunnel {
			continue
		}
		// A rented server has public neighbours whom nobody knows. IPv6 alone does not tell:
		// at home, too, its addresses are public.
		isHome := private && !public && !l.hollow
		for _, p := range l.prefixes {
			own := netip.PrefixFrom(p.Addr().WithZone(""), p.Bits())
			p = own.Masked()
			n.all = append(n.all, p)
			if l.hollow {
				n.hollow = append(n.hollow, p)
			}
			if isHome {
				n.home = append(n.home, p)
				n.facing = append(n.facing, own)
			}
		}
	}
	return n
}

func (n *network) atHome(source netip.Addr) bool {
	return source.IsValid() && !source.IsLoopback() &&
		contains(n.home, source) && !slices.Contains(n.routers, source) && !slices.Contains(n.own, source)
}

func (n *network) onLink(source netip.Addr) bool { return contains(n.all, source) }

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// isLocal reports whether an address is one that a home gives out itself: RFC 1918 or
// RFC 4193. A provider's shared address (RFC 6598) is none.
func isLocal(addr netip.Addr) bool { return addr.IsPrivate() }

// isPrivate reports whether no packet from the Internet can come from an address.
func isPrivate(addr netip.Addr) bool { return addr.IsPrivate() || addr.IsLinkLocalUnicast() }
