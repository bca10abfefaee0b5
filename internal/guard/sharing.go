package guard

import (
	"fmt"
	"net/netip"
	"time"
)

// What it takes to see that everybody comes from one address: within an hour so
// many visits of so many known devices from one source, and nobody from elsewhere.
const (
	sharedSpan    = time.Hour
	sharedVisits  = 30
	sharedDevices = 3
)

// traffic remembers as much of who comes from where as it takes to say when
// somebody came last who was not from a given address, known or not. What this machine
// asks of itself over loopback says nothing of where others come from, and is left out.
type traffic struct {
	from  netip.Addr    // of the last visit
	at    time.Duration // when that was
	other time.Duration // the last visit from another address than that
}

func newTraffic() traffic { return traffic{at: never, other: never} }

// visit takes a visit down.
func (v *traffic) visit(addr netip.Addr, t time.Duration) {
	if addr.IsLoopback() {
		return
	}
	if addr != v.from {
		v.from, v.other = addr, v.at
	}
	v.at = t
}

// elsewhere returns when somebody came last from another address than this one.
func (v *traffic) elsewhere(addr netip.Addr) time.Duration {
	if addr == v.from {
		return v.other
	}
	return v.at
}

// hidden is the one address from which everybody comes.
type hidden struct {
	key   key
	addr  netip.Addr
	since time.Duration
	why   string
}

// sharing returns how it is told.
func (g *Guard) sharing() Sharing {
	return Sharing{Addr: g.hidden.addr, Since: g.clock.wall(g.hidden.since), Why: g.hidden.why}
}

// findSharing sees whether everybody comes from the place that was just visited.
// Only known devices can bring that about, and only for an address that the
// Internet does not route: a stranger frees no address by it.
func (g *Guard) findSharing(p *place, t time.Duration, n *news) {
	if g.hidden != nil || !p.isBusy(t) || t-g.traffic.elsewhere(p.addr) <= sharedSpan {
		return
	}
	g.hidden = &hidden{key: p.key, addr: p.addr, since: t, why: fmt.Sprintf(
		"everybody comes from %s: something in between (a proxy, a router or Docker) hides who they are, and a ban would be one of everybody; addresses are not banned until others are seen", p.addr)}
	s := g.sharing()
	s.Lifted = g.lift(p.key, t)
	n.sharing = append(n.sharing, s)
}

// endSharing sees whether somebody came from elsewhere since everybody came from one address.
func (g *Guard) endSharing(t time.Duration, n *news) {
	if g.hidden == nil || g.isHidden(g.hidden.key, t) {
		return
	}
	s := g.sharing()
	s.Over, s.Why = true, "others come from elsewhere: "+s.Addr.String()+" is an address like others again"
	reset(g.sources.by[g.hidden.key], t)
	g.hidden = nil
	n.sharing = append(n.sharing, s)
}

// isHidden reports whether everybody comes from an address of a source.
func (g *Guard) isHidden(k key, t time.Duration) bool {
	return g.hidden != nil && g.hidden.key == k && g.traffic.elsewhere(g.hidden.addr) <= g.hidden.since
}

// spare takes down why many are behind an address, and lifts the ban of its source.
func (g *Guard) spare(e *entry[key], addr netip.Addr, why string, t time.Duration, n *news) {
	first := e.d.shared == ""
	e.d.shared, e.d.sharedAt, e.d.addr = clean(why, maxWhy), t, addr
	lifted := g.lift(e.key, t)
	if first || len(lifted) > 0 {
		n.sharing = append(n.sharing, Sharing{Addr: addr, Since: g.clock.wall(t), Why: e.d.shared, Lifted: lifted})
	}
	g.forgive(e.key)
}

// lift ends the ban of a source; what the source failed at before is forgotten.
func (g *Guard) lift(k key, t time.Duration) []Ban {
	e := g.sources.by[k]
	if e == nil || !e.shut(t) {
		return nil
	}
	lifted := []Ban{g.banOf(e)}
	e.until, e.level = t, 0
	reset(e, t)
	g.sources.file(e, t)
	g.changes.source(k, true)
	return lifted
}

// reset forgets what a source failed at: there were many behind it, or it was forgiven.
func reset(e *entry[key], t time.Duration) {
	if e != nil {
		e.recent, e.empty = nil, t
	}
}

// unspare takes down that a source is one like others again.
func (g *Guard) unspare(e *entry[key], t time.Duration, n *news) {
	s := Sharing{Addr: e.d.addr, Since: g.clock.wall(t), Over: true, Why: e.d.addr.String() + " is an address like others again: nobody is known to be behind it"}
	e.d.shared = ""
	reset(e, t)
	n.sharing = append(n.sharing, s)
}

// Recheck asks Config.Shared about the addresses that are banned or were not because
// many are behind them, and acts on what has changed; and it forgets what the owner
// said that ended long ago. Call it each minute or so: the addresses of a machine change.
func (g *Guard) Recheck() {
	var n news
	for _, addr := range g.doubtful(&n) {
		g.recheck(addr, g.cfg.Shared(addr), &n)
	}
	g.tell(n)
}

// doubtful returns the addresses about which Config.Shared is to be asked. It tidies up
// by the way.
func (g *Guard) doubtful(n *news) (addrs []netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.clock.read(g.cfg.Now())
	g.endSharing(t, n)
	for p, w := range g.words.by {
		if w.isLongOver(g.clock.last, t) {
			g.words.drop(p)
			g.changes.word(p)
		}
	}
	if g.cfg.Shared == nil {
		return nil
	}
	for k, e := range g.sources.by {
		if !k.isWide() && e.d != nil && e.d.addr.IsValid() && (e.shut(t) || e.d.shared != "") {
			addrs = append(addrs, e.d.addr)
		}
	}
	return addrs
}

// recheck acts on what Config.Shared said of an address.
func (g *Guard) recheck(addr netip.Addr, why string, n *news) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t, e := g.clock.read(g.cfg.Now()), g.sources.by[keyOf(addr)]
	switch {
	case e == nil || e.d == nil:
	case why != "":
		g.spare(e, addr, why, t, n)
	case e.d.shared != "":
		g.unspare(e, t, n)
	}
}
