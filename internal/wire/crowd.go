package wire

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// crowd counts what is there at one time, in all and of each address, and says
// when it is full. An IPv6 client holds a whole /64, so that counts as one address.
//
// Those of whom nothing is known to be under way stand in one of its queues. In a
// full crowd the one that has stood longest gives way to a newcomer, of those whose
// address has no less than its share if there is one: strangers who fill it with
// silence push out each other, and whoever has something to say is done sooner than
// they come round.
type crowd struct {
	max, maxOfOne int
	spare         int           // places more that are for who is favoured
	patience      time.Duration // one in the queue of the slow gives way only after so long

	mu     sync.Mutex
	all    int
	each   map[netip.Addr]int // no entry is 0
	queues [2]place           // rings: next stood longest, prev came last
}

// The queues: whoever is in the first gives way before anybody in the second.
const (
	queueSilent = iota // has said nothing yet, or nothing more
	queueSlow          // has begun something that its other end may never go on with
)

// lookAt bounds how many are looked at to find one whose address has its share.
const lookAt = 128

// source is whom a connection comes from, as far as its address tells.
type source struct {
	addr netip.Addr // counted under: see network
	rank rank
	many bool // stand behind it: a proxy
}

// place is a connection's place in a crowd.
type place struct {
	crowd  *crowd
	source source
	yield  func() // closes the connection; called once at most, must not wait

	// Guarded by crowd.mu.
	next, prev *place // nil while it stands in no queue
	since      time.Time
	gone       bool // left, or gave way
	gave       bool // way to another
}

func newCrowd(max, maxOfOne int, patience time.Duration) *crowd {
	c := &crowd{max: max, maxOfOne: maxOfOne, patience: patience, each: make(map[netip.Addr]int)}
	for i := range c.queues {
		q := &c.queues[i]
		q.next, q.prev = q, q
	}
	return c
}

// enter counts one more of a source and has it stand in the queue of the silent;
// it returns a Reason when there are too many. Where another gave way for it, that
// one has been closed.
func (c *crowd) enter(s source, yield func()) (*place, Reason) {
	p := &place{crowd: c, source: s, yield: yield}
	room := c.max
	if s.rank == rankFavoured {
		room += c.spare
	}
	c.mu.Lock()
	if !s.many && c.each[s.addr] >= c.maxOfOne {
		c.mu.Unlock()
		return nil, ReasonTooManyOfOne
	}
	var out *place
	if c.all >= room {
		if out = c.longest(); out == nil {
			c.mu.Unlock()
			return nil, ReasonTooMany
		}
		out.gave = true
		out.remove()
	}
	c.all++
	c.each[s.addr]++
	p.stand(queueSilent)
	c.mu.Unlock()
	if out != nil {
		out.yield()
	}
	return p, ""
}

// longest is who has to give way; nil if nobody has. The caller holds mu.
func (c *crowd) longest() *place {
	silent := &c.queues[queueSilent]
	for p, n := silent.next, 0; p != silent && n < lookAt; p, n = p.next, n+1 {
		if c.each[p.source.addr]*len(c.each) >= c.all {
			return p
		}
	}
	if silent.next != silent {
		return silent.next
	}
	if p := c.queues[queueSlow].next; p != &c.queues[queueSlow] && time.Since(p.since) >= c.patience {
		return p
	}
	return nil
}

// stand puts a place at a queue's end. The caller holds mu.
func (p *place) stand(queue int) {
	end := &p.crowd.queues[queue]
	p.next, p.prev = end, end.prev
	p.prev.next, end.prev = p, p
	if queue == queueSlow {
		p.since = time.Now()
	}
}

// step takes a place out of its queue. The caller holds mu.
func (p *place) step() {
	if p.next != nil {
		p.next.prev, p.prev.next = p.prev, p.next
		p.next, p.prev = nil, nil
	}
}

// remove gives a place back. The caller holds mu.
func (p *place) remove() {
	c := p.crowd
	p.step()
	p.gone = true
	c.all--
	if c.each[p.source.addr]--; c.each[p.source.addr] == 0 {
		delete(c.each, p.source.addr)
	}
}

// wait says that a connection may give way from now on, after all that wait already.
func (p *place) wait(queue int) {
	c := p.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	if !p.gone {
		p.step()
		p.stand(queue)
	}
}

// work says that a connection must not give way, until it waits again. It returns
// false if it has given way already.
func (p *place) work() bool {
	c := p.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	p.step()
	return !p.gave
}

// gaveWay reports whether a connection was closed for another.
func (p *place) gaveWay() bool {
	p.crowd.mu.Lock()
	defer p.crowd.mu.Unlock()
	return p.gave
}

// leave gives the place to others.
func (p *place) leave() {
	p.crowd.mu.Lock()
	defer p.crowd.mu.Unlock()
	if !p.gone {
		p.remove()
	}
}

// addrOf is the address that a connection comes from, without zone and never IPv4 in
// IPv6 clothes; the zero Addr for whatever has none, such as a pipe.
func addrOf(remote net.Addr) netip.Addr {
	switch remote := remote.(type) {
	case *net.TCPAddr:
		return remote.AddrPort().Addr().Unmap().WithZone("")
	case nil:
		return netip.Addr{}
	}
	ap, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// network is what an address is counted under: an IPv6 client holds a whole /64.
func network(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// sourceOf is the address that a connection is counted under.
func sourceOf(remote net.Addr) netip.Addr { return network(addrOf(remote)) }
