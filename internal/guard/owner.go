package guard

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// maxWords bounds how many prefixes the owner may speak of.
const maxWords = 65536

// Errors of Ban and Allow.
var (
	ErrPrefix = errors.New("not a prefix")
	ErrPast   = errors.New("ends before it begins")
	ErrFull   = errors.New("too many prefixes")
)

// word is what the owner said of a prefix: it is banned, or it is allowed.
type word struct {
	prefix  netip.Prefix
	allowed bool
	since   time.Time // on the wall clock; so is until
	until   time.Time // of a ban; zero: until it is lifted
	why     string
	over    time.Duration // when it was first seen to have ended, by how long the guard ran; 0 if it has not
}

// holds reports whether a word is in force. It compares wall clocks: a day that
// the owner named comes when the calendar says so.
func (w *word) holds(now time.Time) bool {
	return w.until.IsZero() || now.Before(w.until)
}

// isLongOver reports whether a word ended more than a day ago, as it was seen while
// the guard ran: a clock that is a year ahead for a moment forgets none.
func (w *word) isLongOver(now time.Time, t time.Duration) bool {
	switch {
	case w.holds(now):
		w.over = 0
	case w.over == 0:
		w.over = max(t, 1)
	}
	return w.over != 0 && t-w.over > 24*time.Hour
}

// words are all that the owner said, found by the most specific prefix. The owner
// speaks of prefixes of few lengths, and imports mostly single addresses: so one
// map is asked once for every length in use, the longest first. That takes no
// more than a few look-ups, and needs no tree of its own. A million prefixes of
// list files are not for here but for the filter.
type words struct {
	by   map[netip.Prefix]*word
	v4   []int       // the lengths in use, longest first
	v6   []int       // likewise
	uses map[int]int // how many prefixes have a length; IPv4's are counted as negative
}

func newWords() *words {
	return &words{by: map[netip.Prefix]*word{}, uses: map[int]int{}}
}

// tidy returns a prefix as it is kept: masked, without a zone, IPv4 as IPv4.
func tidy(p netip.Prefix) (netip.Prefix, error) {
	addr, bits := p.Addr().WithZone(""), p.Bits()
	if !p.IsValid() {
		return netip.Prefix{}, ErrPrefix
	}
	if addr.Is4In6() {
		if bits < 96 {
			return netip.Prefix{}, fmt.Errorf("%v: %w of IPv4 or IPv6", p, ErrPrefix)
		}
		addr, bits = addr.Unmap(), bits-96
	}
	return netip.PrefixFrom(addr, bits).Masked(), nil
}

// say keeps a word. An earlier one of the same prefix is gone: the later word holds.
func (ws *words) say(w word) error {
	if ws.by[w.prefix] == nil {
		if len(ws.by) >= maxWords {
			return ErrFull
		}
		ws.use(w.prefix, 1)
	}
	ws.by[w.prefix] = &w
	return nil
}

// drop forgets a word; false if there is none.
func (ws *words) drop(p netip.Prefix) bool {
	if ws.by[p] == nil {
		return false
	}
	delete(ws.by, p)
	ws.use(p, -1)
	return true
}

// use counts a length, and lists the lengths anew where one comes or goes.
func (ws *words) use(p netip.Prefix, n int) {
	length, list := p.Bits(), &ws.v6
	if p.Addr().Is4() {
		length, list = -1-p.Bits(), &ws.v4
	}
	ws.uses[length] += n
	at, listed := slices.BinarySearchFunc(*list, p.Bits(), func(a, b int) int { return cmp.Compare(b, a) })
	switch {
	case ws.uses[length] > 0 && !listed:
		*list = slices.Insert(*list, at, p.Bits())
	case ws.uses[length] <= 0 && listed:
		*list = slices.Delete(*list, at, at+1)
	}
}

// of returns the word that holds for an address: that of the most specific prefix
// that is in force. nil if there is none. addr is unmapped and has no zone.
func (ws *words) of(addr netip.Addr, now time.Time) *word {
	lengths := ws.v6
	if addr.Is4() {
		lengths = ws.v4
	}
	for _, bits := range lengths {
		p, err := addr.Prefix(bits)
		if err != nil {
			return nil
		}
		if w := ws.by[p]; w != nil && w.holds(now) {
			return w
		}
	}
	return nil
}

// Ban has nobody of a prefix listened to until a time, or until the owner lifts it
// if that is zero. Of what the owner said of prefixes that cover each other the
// most specific holds, of the same prefix what was said last.
func (g *Guard) Ban(p netip.Prefix, until time.Time, why string) error {
	return g.say(word{prefix: p, until: until.Round(0), why: why})
}

// Allow never has the addresses of a prefix banned for what they do, and lifts what
// bans there are of sources in it. Who comes from there still has to sign in, and
// failures still count for accounts and overall.
func (g *Guard) Allow(p netip.Prefix, why string) error {
	return g.say(word{prefix: p, allowed: true, why: why})
}

// say takes a word of the owner's.
func (g *Guard) say(w word) (err error) {
	if w.prefix, err = tidy(w.prefix); err != nil {
		return err
	}
	w.why = clean(w.why, maxWhy)
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.clock.read(g.cfg.Now())
	w.since = g.clock.wall(t)
	if !w.holds(g.clock.last) {
		return ErrPast
	}
	if err := g.words.say(w); err != nil {
		return err
	}
	g.changes.word(w.prefix)
	if w.allowed {
		g.liftWithin(w.prefix, t)
	}
	return nil
}

// Disallow takes back an allowance of exactly this prefix; false if there is none.
func (g *Guard) Disallow(p netip.Prefix) bool {
	p, err := tidy(p)
	if err != nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.words.by[p]
	if w == nil || !w.allowed {
		return false
	}
	g.changes.word(p)
	return g.words.drop(p)
}

// Unban lifts every ban that a prefix covers or is covered by, the owner's too, and
// forgets what the sources in it failed at. It returns what it lifted.
func (g *Guard) Unban(p netip.Prefix) (lifted []Ban) {
	p, err := tidy(p)
	if err != nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.clock.read(g.cfg.Now())
	for _, b := range g.bans(t) {
		if !b.Prefix.Overlaps(p) {
			continue
		}
		lifted = append(lifted, b)
		if b.By == ByOwner {
			g.words.drop(b.Prefix)
			g.changes.word(b.Prefix)
		} else if k, ok := keyFrom(b.Prefix); ok {
			g.sources.drop(g.sources.by[k])
		}
	}
	if p.Addr().Is6() && p.Bits() > 64 {
		p = keyOf(p.Addr()).prefix()
	}
	g.forget(p)
	return lifted
}

// liftWithin lifts the bans of sources and prefixes that a prefix covers.
func (g *Guard) liftWithin(p netip.Prefix, t time.Duration) {
	for _, e := range slices.Clone(g.sources.shut) {
		if q := e.key.prefix(); q.Bits() >= p.Bits() && q.Overlaps(p) {
			g.lift(e.key, t)
		}
	}
}

// forget forgets every source that a prefix covers, and what it weighs on what covers it.
func (g *Guard) forget(p netip.Prefix) {
	if k, ok := keyFrom(p); ok {
		for _, s := range g.steps(k) {
			if wide := g.sources.by[k.within(s.bits)]; wide != nil && s.bits < k.bits {
				inside := func(m mark) bool { return key{m.from, 64}.within(k.bits) == k }
				wide.recent = slices.DeleteFunc(wide.recent, inside)
				wide.struck = slices.DeleteFunc(wide.struck, inside)
			}
		}
	}
	for k, e := range g.sources.by {
		if q := k.prefix(); q.Bits() >= p.Bits() && q.Overlaps(p) {
			g.sources.drop(e)
		}
	}
}

// Bans returns what is not listened to now, in order of the prefix. A prefix that the
// owner allows may be within one that is banned: it is listened to.
func (g *Guard) Bans() []Ban {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bans(g.clock.read(g.cfg.Now()))
}

func (g *Guard) bans(t time.Duration) []Ban {
	bans := []Ban{}
	g.inForce(t, func(e *entry[key]) { bans = append(bans, g.banOf(e)) }, func(w *word) { bans = append(bans, w.ban()) })
	slices.SortFunc(bans, func(a, b Ban) int { return cmp.Or(a.Prefix.Compare(b.Prefix), cmp.Compare(a.By, b.By)) })
	return bans
}

// countBans returns how many they are, without putting each into words.
func (g *Guard) countBans(t time.Duration) (n int) {
	g.inForce(t, func(*entry[key]) { n++ }, func(*word) { n++ })
	return n
}

// inForce looks at what is not listened to: what failures did, and what the owner said.
func (g *Guard) inForce(t time.Duration, failed func(*entry[key]), said func(*word)) {
	for _, e := range g.sources.shut {
		if e.shut(t) {
			failed(e)
		}
	}
	for _, w := range g.words.by {
		if !w.allowed && w.holds(g.clock.last) {
			said(w)
		}
	}
}

// ban returns a word that bans as it is told.
func (w *word) ban() Ban {
	return Ban{Prefix: w.prefix, Since: w.since, Until: w.until, By: ByOwner, Why: w.why}
}

// Allowed returns what the owner allowed, in order of the prefix.
func (g *Guard) Allowed() []Allowance {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := []Allowance{}
	for _, w := range g.words.by {
		if w.allowed {
			all = append(all, Allowance{Prefix: w.prefix, Since: w.since, Why: w.why})
		}
	}
	slices.SortFunc(all, func(a, b Allowance) int { return a.Prefix.Compare(b.Prefix) })
	return all
}
