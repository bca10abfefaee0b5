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

// place is a connection's place in a crowd.
type place struct {
	crowd *crowd
	addr  netip.Addr
	yield func() // closes the connection; called once at most, must not wait

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

// enter counts one more of an address and has it stand in the queue of the silent;
// it returns a Reason when there are too many. Where another gave way for it, that
// one has been closed.
func (c *crowd) enter(a netip.Addr, yield func()) (*place, Reason) {
	p := &place{crowd: c, addr: a, yield: yield}
	c.mu.Lock()
	if c.each[a] >= c.maxOfOne {
		c.mu.Unlock()
		return nil, ReasonTooManyOfOne
	}
	var out *place
	if c.all >= c.max {
		if out = c.longest(); out == nil {
			c.mu.Unlock()
			return nil, ReasonTooMany
		}
		out.gave = true
		out.remove()
	}
	c.all++
	c.each[a]++
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
		if c.each[p.addr]*len(c.each) >= c.all {
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
	if c.each[p.addr]--; c.each[p.addr] == 0 {
		delete(c.each, p.addr)
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
