package guard

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Explain says why an address is, or is not, listened to.
func (g *Guard) Explain(addr netip.Addr) Explanation {
	x := Explanation{Kinds: map[Kind]int{}, Last: []Note{}, Known: []Device{}, LongLimit: g.cfg.LongThreshold}
	if !addr.IsValid() {
		x.Banned, x.Why = true, "not an address: nobody is listened to without one"
		return x
	}
	addr = plain(addr)
	var shared string
	if g.cfg.Shared != nil {
		shared = g.cfg.Shared(addr)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	t, k := g.clock.read(g.cfg.Now()), keyOf(addr)
	x.Addr, x.CountedAs, x.Threshold = addr, k.prefix(), g.threshold(k, t)
	g.explainCounts(&x, k, t)
	g.explainKnown(&x, k, t)
	if x.SharedWhy = clean(shared, maxWhy); x.SharedWhy == "" && g.isHidden(k, t) {
		x.SharedWhy = g.hidden.why
	}
	x.Shared = x.SharedWhy != ""
	g.explainBan(&x, addr, t)
	return x
}

// explainCounts says what a source failed at.
func (g *Guard) explainCounts(x *Explanation, k key, t time.Duration) {
	x.NextBan = seconds(span(0, g.cfg.Ban, g.cfg.MaxBan))
	e := g.sources.by[k]
	if e == nil {
		return
	}
	x.Failures, x.Long = len(young(e.recent, t, g.cfg.Window)), e.long(t, g.cost)
	x.Level = e.levelAt(t)
	x.NextBan = seconds(span(x.Level, g.cfg.Ban, g.cfg.MaxBan))
	if e.d == nil {
		return
	}
	for n, kind := range kinds {
		if e.d.kinds[n] > 0 {
			x.Kinds[kind] = int(e.d.kinds[n])
		}
	}
	for _, n := range e.d.notes {
		x.Last = append(x.Last, Note{g.clock.wall(n.at), n.addr, n.kind, n.door, n.what, n.account})
	}
}

// explainKnown says which known devices come from a source.
func (g *Guard) explainKnown(x *Explanation, k key, t time.Duration) {
	p := g.places.by[k]
	if p == nil {
		return
	}
	for _, s := range slices.Backward(p.devices) {
		if t-s.at < knownFor {
			x.Known = append(x.Known, Device{s.device, g.clock.wall(s.at)})
		}
	}
}

// explainBan says what holds for an address, and why.
func (g *Guard) explainBan(x *Explanation, addr netip.Addr, t time.Duration) {
	w, e := g.words.of(addr, g.clock.last), g.shutBy(keyOf(addr), t)
	switch {
	case w != nil && w.allowed:
		x.Allowed, x.AllowWhy = w.prefix, w.why
		x.Why = fmt.Sprintf("listened to: the owner allowed %s", w.prefix)
	case w != nil:
		x.ban(w.ban())
		x.Why = strings.TrimSuffix(fmt.Sprintf("the owner banned %s: %s", w.prefix, w.why), ": ")
	case e != nil:
		x.ban(g.banOf(e))
	case x.Shared:
		x.Why = "listened to: " + x.SharedWhy
	case x.Failures > 0:
		x.Why = fmt.Sprintf("listened to: %d of %d failures within %s", x.Failures, x.Threshold, spoken(g.cfg.Window))
	default:
		x.Why = "listened to: no failures within " + spoken(g.cfg.Window)
	}
}

// ban takes a ban into an explanation.
func (x *Explanation) ban(b Ban) {
	x.Banned, x.Prefix, x.Since, x.Until, x.Level, x.By, x.Why = true, b.Prefix, b.Since, b.Until, b.Level, b.By, b.Why
}

// Status says how the guard stands.
func (g *Guard) Status() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.clock.read(g.cfg.Now())
	s := Status{
		Sources: len(g.sources.by), Accounts: len(g.accounts.by), Bans: g.countBans(t), Slowed: []Slowing{}, Shared: []Sharing{},
		Failures:  len(young(g.overall.recent, t, g.cfg.Window)),
		Threshold: g.cfg.Threshold, Window: seconds(g.cfg.Window), Ban: seconds(g.cfg.Ban), MaxBan: seconds(g.cfg.MaxBan),
		LongThreshold: g.cfg.LongThreshold, LongWindow: seconds(g.cfg.LongWindow), Overall: g.cfg.Overall, MaxSources: g.cfg.MaxSources,
	}
	for _, w := range g.words.by {
		if w.allowed {
			s.Allowed++
		}
	}
	if t < g.wary {
		s.Wary = g.clock.wall(g.wary)
	}
	for _, e := range g.accounts.shut {
		if e.shut(t) {
			s.Slowed = append(s.Slowed, g.slowing(e))
		}
	}
	slices.SortFunc(s.Slowed, func(a, b Slowing) int { return strings.Compare(a.Account, b.Account) })
	s.Shared = g.shared(t)
	return s
}

// shared returns the addresses that are not banned because many are behind them.
func (g *Guard) shared(t time.Duration) []Sharing {
	all := []Sharing{}
	if g.hidden != nil && g.isHidden(g.hidden.key, t) {
		all = append(all, g.sharing())
	}
	for _, e := range g.sources.by {
		if e.d != nil && e.d.shared != "" {
			all = append(all, Sharing{Addr: e.d.addr, Since: g.clock.wall(e.d.sharedAt), Why: e.d.shared})
		}
	}
	slices.SortFunc(all, func(a, b Sharing) int { return a.Addr.Compare(b.Addr) })
	return all
}
