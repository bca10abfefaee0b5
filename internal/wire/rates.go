package wire

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// How often one address may come to shake hands: so often at once, and then so often a
// second. The first is enough for forty devices behind one address (a household, a
// provider's shared one) whose browsers open six connections each, all in the same moment.
const (
	rateBurst  = 240
	ratePace   = 20
	tightBurst = 20
	tightPace  = 1
)

// An address comes seldom that has no more than so many handshakes behind it, of which one
// is forgotten every two seconds: as many as a browser or two make at once, and far fewer
// in the long run than rateBurst and ratePace let through.
const (
	seldom     = 24
	seldomPace = 0.5
)

// maxRates bounds the addresses that are remembered; whoever has not come for longest is
// forgotten, and with it that it came.
const maxRates = 16384

// rates count how often each address comes: a bucket each, that fills with time.
type rates struct {
	now func() time.Time

	mu  sync.Mutex
	all map[netip.Addr]*list.Element // of *rate
	age list.List                    // who came last is in front
}

type rate struct {
	addr   netip.Addr
	used   float64 // of the bucket
	lately float64 // handshakes that are not forgotten; no more than rateBurst
	at     time.Time
}

func newRates(now func() time.Time) *rates {
	return &rates{now: now, all: make(map[netip.Addr]*list.Element)}
}

// take counts that an address comes once more; ok is false if it does so too often, rare
// says that it comes seldom.
func (r *rates) take(addr netip.Addr, tight bool) (rare, ok bool) {
	burst, pace := float64(rateBurst), float64(ratePace)
	if tight {
		burst, pace = tightBurst, tightPace
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	b := r.of(addr, now)
	if passed := now.Sub(b.at); passed > 0 {
		b.used = max(0, b.used-passed.Seconds()*pace)
		b.lately = max(0, b.lately-passed.Seconds()*seldomPace)
	}
	b.at = now
	if b.used+1 > burst {
		b.used = burst // of a bucket that was larger before
		return false, false
	}
	b.used++
	b.lately = min(b.lately+1, rateBurst)
	return !tight && b.lately <= seldom, true
}

// of is the bucket of an address. The caller holds mu.
func (r *rates) of(addr netip.Addr, now time.Time) *rate {
	if e, ok := r.all[addr]; ok {
		r.age.MoveToFront(e)
		return e.Value.(*rate)
	}
	if len(r.all) >= maxRates {
		last := r.age.Back()
		delete(r.all, last.Value.(*rate).addr)
		r.age.Remove(last)
	}
	b := &rate{addr: addr, at: now}
	r.all[addr] = r.age.PushFront(b)
	return b
}
