package guard

import (
	"container/list"
	"net/netip"
	"slices"
	"time"
)

// Bounds of what is remembered of known devices, which strangers cannot fill.
const (
	maxPlaces  = 1024
	maxDevices = 8 // of a place: those seen last
	maxDevice  = 64
)

// knownFor is how long a source counts as one from which a known device comes.
const knownFor = 7 * 24 * time.Hour

// never is longer ago than anything.
const never = time.Duration(-1 << 62)

// sighting is when a device was seen last.
type sighting struct {
	device string
	at     time.Duration
}

// place is a source from which known devices came.
type place struct {
	key     key
	devices []sighting      // seen last, last
	addr    netip.Addr      // of the last visit
	visits  []time.Duration // the last ones from just that, oldest first, if the Internet does not route it
	at      *list.Element
}

// seen takes a visit down.
func (p *place) seen(addr netip.Addr, device string, t time.Duration) {
	p.devices = slices.DeleteFunc(p.devices, func(s sighting) bool { return s.device == device })
	p.devices = append(p.devices, sighting{device, t})
	p.devices = p.devices[max(0, len(p.devices)-maxDevices):]
	if addr != p.addr {
		p.addr, p.visits = addr, nil
	}
	if !p.key.isRouted() {
		p.visits = append(p.visits, t)
		p.visits = p.visits[max(0, len(p.visits)-sharedVisits):]
	}
}

// isBusy reports whether enough devices came from one address often enough to speak
// for everybody.
func (p *place) isBusy(t time.Duration) bool {
	if len(p.visits) < sharedVisits || t-p.visits[0] > sharedSpan || len(p.devices) < sharedDevices {
		return false
	}
	return p.devices[len(p.devices)-sharedDevices].at >= p.visits[0]
}

// places is a bounded set of places; where nobody was for longest is forgotten first.
type places struct {
	by  map[key]*place
	age *list.List // last visited first
}

func newPlaces() *places { return &places{map[key]*place{}, list.New()} }

// visit takes a known device's visit down.
func (ps *places) visit(addr netip.Addr, device string, t time.Duration) *place {
	k := keyOf(addr)
	p := ps.by[k]
	if p == nil {
		if len(ps.by) >= maxPlaces {
			oldest := ps.age.Back()
			delete(ps.by, ps.age.Remove(oldest).(*place).key)
		}
		p = &place{key: k}
		p.at = ps.age.PushFront(p)
		ps.by[k] = p
	}
	ps.age.MoveToFront(p.at)
	p.seen(addr, device, t)
	return p
}

// isKnown reports whether a known device came from exactly this source lately.
func (ps *places) isKnown(k key, t time.Duration) bool {
	p := ps.by[k]
	return p != nil && t-p.devices[len(p.devices)-1].at < knownFor
}

// Seen says that a known device comes from an address. Call it once for each
// connection, or each minute of one.
func (g *Guard) Seen(addr netip.Addr, device string) {
	if !addr.IsValid() || device == "" {
		return
	}
	addr, device = plain(addr), clean(device, maxDevice)
	var n news
	g.mu.Lock()
	t := g.clock.read(g.cfg.Now())
	p := g.places.visit(addr, device, t)
	g.traffic.visit(addr, t)
	g.endSharing(t, &n)
	g.findSharing(p, t, &n)
	g.mu.Unlock()
	g.tell(n)
}

// KnownFrom reports whether a known device was seen within a prefix in the last
// week: who drops packets of the prefix drops that device's too.
func (g *Guard) KnownFrom(p netip.Prefix) bool {
	p, err := tidy(p)
	if err != nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.clock.read(g.cfg.Now())
	if k, ok := keyFrom(p); ok && !k.isWide() { // asked for each connection
		return g.places.isKnown(k, t)
	}
	for k := range g.places.by {
		if k.prefix().Overlaps(p) && g.places.isKnown(k, t) {
			return true
		}
	}
	return false
}
