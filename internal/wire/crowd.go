package wire

import (
	"net"
	"net/netip"
	"sync"
)

// crowd counts what is there at one time, in all and of each address, and says
// when it is full. An IPv6 client holds a whole /64, so that counts as one address.
type crowd struct {
	max, maxOfOne int

	mu   sync.Mutex
	all  int
	each map[netip.Addr]int // no entry is 0
}

func newCrowd(max, maxOfOne int) *crowd {
	return &crowd{max: max, maxOfOne: maxOfOne, each: make(map[netip.Addr]int)}
}

// enter counts one more of an address; it returns a Reason when there are too many.
func (c *crowd) enter(a netip.Addr) Reason {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.all >= c.max:
		return ReasonTooMany
	case c.each[a] >= c.maxOfOne:
		return ReasonTooManyOfOne
	}
	c.all++
	c.each[a]++
	return ""
}

func (c *crowd) leave(a netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.each[a]--; c.each[a] == 0 {
		delete(c.each, a)
	}
}

// sourceOf is the address that a connection is counted under; the zero Addr
// for whatever has none, such as a pipe.
func sourceOf(remote net.Addr) netip.Addr {
	var a netip.Addr
	switch remote := remote.(type) {
	case *net.TCPAddr:
		a = remote.AddrPort().Addr()
	case nil:
		return a
	default:
		ap, err := netip.ParseAddrPort(remote.String())
		if err != nil {
			return a
		}
		a = ap.Addr()
	}
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}
