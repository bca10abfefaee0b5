package guard

import (
	"fmt"
	"slices"
	"time"
)

// strikeFor is how long it weighs on a prefix that a network in it was banned.
const strikeFor = 24 * time.Hour

// step is a prefix of IPv6 to which a ban grows. need is how many times it takes
// what a /64 takes: so many /64 banned in it within a day, where a /56 that was
// banned weighs as much as it took; or so many times a source's failures within
// the window from at least three of its /64, each of which kept below its own
// threshold. crowded is need where bans take half of the table.
type step struct {
	bits          uint8
	need, crowded int
}

// growth lists the steps. Beyond a /48 there are whole providers.
var growth = []step{{56, 3, 2}, {48, 9, 4}}

// steps returns the prefixes to which a ban of a source may grow: none for IPv4,
// and none for addresses of a home's own, where a /48 is everybody.
func (g *Guard) steps(k key) []step {
	if k.bits == 32 || !k.isRouted() {
		return nil
	}
	return growth
}

// needs returns how much a step takes now.
func (g *Guard) needs(s step) int {
	if g.sources.crowded() {
		return s.crowded
	}
	return s.need
}

// grows says why a prefix is to be banned; "" if it is not.
func (g *Guard) grows(p *entry[key], s step, t time.Duration) string {
	if p.shut(t) {
		return ""
	}
	struck := 0
	for _, m := range young(p.struck, t, strikeFor) {
		struck += m.weight
	}
	if struck >= g.needs(s) {
		return fmt.Sprintf("networks of a /%d were banned again and again within a day", s.bits)
	}
	recent := young(p.recent, t, g.cfg.Window)
	if len(recent) >= s.need*g.threshold(p.key, t) && distinct(recent, 3) == 3 {
		return fmt.Sprintf("%d failures within %s from all over a /%d", len(recent), spoken(g.cfg.Window), s.bits)
	}
	return ""
}

// strike lets the ban of a network weigh on the prefixes that it is in.
func (g *Guard) strike(k key, weight int, t time.Duration) {
	for _, s := range g.steps(k) {
		if s.bits >= k.bits {
			continue
		}
		p := g.sources.get(k.within(s.bits), t)
		p.struck = young(p.struck, t, strikeFor)
		if slices.ContainsFunc(p.struck, func(m mark) bool { return m.weight > weight && covers(m.from, k.hi) }) {
			continue // what it is in weighs already
		}
		p.struck = slices.DeleteFunc(p.struck, func(m mark) bool { return m.from == k.hi || weight > 1 && covers(k.hi, m.from) })
		p.struck = append(p.struck, mark{at: t, from: k.hi, weight: weight})
		g.sources.file(p, t)
	}
}

// covers reports whether a /56 covers a /64.
func covers(wide, narrow uint64) bool { return wide>>8 == narrow>>8 }

// grow bans the prefixes of a source that keep trying, the longer one first.
func (g *Guard) grow(k key, f Failure, t time.Duration, n *news) {
	for _, s := range g.steps(k) {
		p := g.sources.by[k.within(s.bits)]
		if p == nil {
			continue
		}
		if why := g.grows(p, s, t); why != "" {
			inside := p.struck
			g.ban(p, ByPrefix, why, f, t, n)
			g.strike(p.key, s.need, t)
			g.gather(p, inside)
		}
	}
}

// gather forgets the networks of a banned prefix whose own bans end before its own,
// where bans take half of the table: they are not missed, and make room.
func (g *Guard) gather(p *entry[key], inside []mark) {
	if !g.sources.crowded() {
		return
	}
	for _, m := range inside {
		for _, bits := range []uint8{64, 56} {
			if e := g.sources.by[key{m.from, bits}]; e != nil && bits > p.key.bits && e.until <= p.until {
				g.sources.drop(e)
			}
		}
	}
}

// forgive takes the failures of a source off the prefixes that it is in.
func (g *Guard) forgive(k key) {
	for _, s := range g.steps(k) {
		if p := g.sources.by[k.within(s.bits)]; p != nil {
			p.recent = slices.DeleteFunc(p.recent, func(m mark) bool { return m.from == k.hi })
		}
	}
}
