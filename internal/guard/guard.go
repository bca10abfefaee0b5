// Package guard counts failures and says who is not listened to any more.
//
// It is pure: it reads no clock but the one it is given, stores nothing and starts
// nothing. What is to be kept over a restart comes out as records. Decisions taken here:
//
// # Sources
//
//   - A source is an IPv4 address, or the /64 of an IPv6 address, which one
//     customer holds. IPv4-mapped IPv6 addresses count as the IPv4 address.
//   - A source that failed Threshold times within Window is banned: not listened to
//     for Ban. Beside that runs a long count, which loses one failure every
//     LongWindow/LongThreshold: so somebody who tries every ten minutes is banned
//     within hours. Failures during a ban neither count nor prolong it, nor do they
//     count overall: nobody who is banned makes the guard wary of others by going on.
//     They count for accounts, because some were under way when the ban began.
//   - Every further ban takes twice as long, up to MaxBan; a quiet day takes one
//     doubling back. Bans end by themselves.
//   - A success of a known device forgives its source what it failed at, and once a
//     day some of the long count, and no account anything: somebody with a device of
//     their own cannot wipe what they did to others. It lifts no ban.
//   - Bans grow over IPv6: three /64 of a /56 that were banned within a day ban the
//     /56, and nine in a /48, or three /56, the /48. So do three and nine times a
//     source's failures within Window that came from all over it, each network
//     keeping below its own threshold. Growth stops at a /48, beyond which there are
//     whole providers, and there is none in what the Internet does not route, where
//     a /48 is the home itself. Somebody with a whole /32 meets the overall count.
//
// # Accounts, and everybody together
//
//   - An account is slowed, never locked: Slow says that codes for it are refused to
//     unknown devices (the caller knows which are known). The thresholds are those of
//     sources, the time up to MaxSlow. With the defaults somebody who guesses six
//     digits from ever new addresses gets about five guesses a day.
//   - Overall failures within Window, from wherever and at whatever, make the guard
//     wary until a window with fewer has passed: a source from which no known device
//     came within a week has two failures instead of five. That is what holds many
//     addresses that try many names.
//
// # The owner
//
//   - Of what the owner banned and allowed the most specific prefix holds, and of one
//     prefix what was said last: so a network can be banned but for one address, and
//     one address in an allowed network. What the owner said goes before what
//     failures did. Whoever is allowed still counts for accounts and overall.
//   - Unban lifts whatever covers the prefix or is covered by it, and says what that
//     was: an address whose network stays banned would not be helped.
//
// # Real addresses or no bans
//
// Where something in between hides who comes (a proxy, a router that rewrites
// addresses, Docker), a ban of its address is one of everybody. That is seen in two ways.
//
//   - Config.Shared knows the addresses of this machine, its routers and bridges. They
//     are never banned. It sees what the second way cannot: a bridge that hides only
//     those who come over IPv6.
//   - Within an hour at least thirty visits of at least three known devices came from
//     one address, and nobody from another. Then it is not banned until somebody comes
//     from elsewhere. Only known devices can bring that about, and only for an address
//     that the Internet does not route: so no stranger frees an address by it, neither
//     a public one nor one at home. A stranger's visit counts as one from elsewhere and
//     for nothing else. It ends the state; behind a bridge that hides everybody no
//     stranger has another address to come from. Somebody in the home's own network
//     has, and can have unknown devices behind the bridge refused for a while: known
//     ones pass. What this machine asks itself over loopback is not counted.
//
// Failures of such an address still count for accounts and overall. A ban that it has
// is lifted, and when the state ends its counts begin anew: they were of many.
// The owner's own bans are not touched.
//
// # Memory and clocks
//
//   - At most MaxSources sources and prefixes are remembered, and as many accounts:
//     with the default some 20 MB in the worst case, a kilobyte or so for each.
//     Who has been quiet longest goes first, of those who were never acted on, as long
//     as these hold more than a quarter of the table; then of those who were acted on;
//     bans go last, that which ends first before the others. So a flood of new
//     addresses washes out no ban, and where everybody is banned new ones are still
//     counted. Where bans take half of the table fewer networks are enough for a ban to
//     grow, and what a grown ban covers makes room.
//   - Time is how long the guard has been running, which a clock that is set back or
//     forth does not change. See clock and Restore.
package guard

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// MaxSlow is the longest time for which an account is slowed at once.
const MaxSlow = 24 * time.Hour

// waryThreshold is how many failures an unknown source has while the guard is wary.
const waryThreshold = 2

// spareFor is how long it holds that Config.Shared said why an address is not banned.
const spareFor = time.Minute

// Config says when the guard acts. Zero fields take the defaults named.
type Config struct {
	Threshold     int              // failures within Window before a source or account is acted on; 5
	Window        time.Duration    // how long a failure counts; 10 min
	Ban           time.Duration    // how long a source is not listened to the first time; 10 min
	MaxBan        time.Duration    // the longest ban; 7 days
	LongThreshold int              // failures within LongWindow, however slow, before a source or account is acted on; 20
	LongWindow    time.Duration    // 7 days
	Overall       int              // failures of all sources within Window before unknown ones are met warily; 50
	MaxSources    int              // how many sources are remembered, and how many accounts; 16384
	Now           func() time.Time // the clock; time.Now

	// Shared, where set, says why many are behind an address (this machine's own, a
	// router's, a bridge's): it is never banned. "" says that nothing is known of that.
	// It is asked with no lock held, when a ban is due.
	Shared func(netip.Addr) (why string)

	// These, where set, are told once when a source or an account is acted on, when too
	// much fails overall, and when an address turns out to be shared, or is no longer.
	// They are called with no lock held.
	Banned  func(Ban)
	Slowed  func(Slowing)
	Wary    func(Wariness)
	Sharing func(Sharing)
}

// Guard counts. It is safe for use by several goroutines.
type Guard struct {
	cfg  Config
	cost time.Duration // after which the long count loses one

	mu       sync.Mutex
	clock    clock
	words    *words
	sources  *table[key]
	accounts *table[string]
	overall  counter
	wary     time.Duration // until when
	places   *places
	traffic  traffic
	hidden   *hidden // the one address from which everybody comes; nil if there is none
	changes  changes
}

// New returns a guard that has seen nothing yet.
func New(cfg Config) *Guard {
	cfg.Threshold = cmp.Or(max(0, cfg.Threshold), 5)
	cfg.Window = cmp.Or(max(0, cfg.Window), 10*time.Minute)
	cfg.Ban = cmp.Or(max(0, cfg.Ban), 10*time.Minute)
	cfg.MaxBan = max(cfg.Ban, cmp.Or(max(0, cfg.MaxBan), 7*24*time.Hour))
	cfg.LongThreshold = max(cfg.Threshold, cmp.Or(max(0, cfg.LongThreshold), 20))
	cfg.LongWindow = max(cfg.Window, cmp.Or(max(0, cfg.LongWindow), 7*24*time.Hour))
	cfg.Overall = cmp.Or(max(0, cfg.Overall), 50)
	cfg.MaxSources = max(minSources, cmp.Or(max(0, cfg.MaxSources), 16384))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	g := &Guard{
		cfg:     cfg,
		cost:    cfg.LongWindow / time.Duration(cfg.LongThreshold),
		clock:   clock{last: cfg.Now()},
		words:   newWords(),
		places:  newPlaces(),
		traffic: newTraffic(),
	}
	g.changes = newChanges(g.clock.last)
	g.sources = newTable(cfg.MaxSources, func(e *entry[key]) { g.changes.source(e.key, e.isKept()) })
	g.accounts = newTable(cfg.MaxSources, func(e *entry[string]) { g.changes.account(e.key, e.isKept()) })
	return g
}

// minSources is the least number of sources that a table holds: one failure touches three.
const minSources = 16

// news is what is told when no lock is held any more.
type news struct {
	banned  []Ban
	slowed  []Slowing
	wary    []Wariness
	sharing []Sharing
}

func (g *Guard) tell(n news) {
	each(n.banned, g.cfg.Banned)
	each(n.slowed, g.cfg.Slowed)
	each(n.wary, g.cfg.Wary)
	each(n.sharing, g.cfg.Sharing)
}

func each[T any](all []T, tell func(T)) {
	if tell == nil {
		return
	}
	for _, one := range all {
		tell(one)
	}
}

// Fail counts a failure of a source and, if it names one, of an account (case and
// surrounding spaces do not matter).
func (g *Guard) Fail(f Failure) {
	f.Addr = plain(f.Addr)
	var n news
	if g.count(f, &n) {
		var shared string
		if g.cfg.Shared != nil {
			shared = g.cfg.Shared(f.Addr)
		}
		g.judge(f, shared, &n)
	}
	g.tell(n)
}

// count counts a failure; true where the source, or a prefix that it is in, is to be judged.
func (g *Guard) count(f Failure, n *news) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.clock.read(g.cfg.Now())
	g.countAccount(f, t, n)
	if !f.Addr.IsValid() {
		g.countOverall(t, n)
		return false
	}
	g.traffic.visit(f.Addr, t)
	g.endSharing(t, n)
	if !g.listensTo(f.Addr, t) {
		return false
	}
	g.countOverall(t, n)
	return g.countSource(f, t)
}

// countOverall counts a failure of anybody. Too many, and the guard is wary until a
// window has passed in which there were fewer.
func (g *Guard) countOverall(t time.Duration, n *news) {
	c := &g.overall
	if c.count(mark{at: t}, g.cfg.Window, g.cfg.Overall); len(c.recent) < g.cfg.Overall {
		return
	}
	first := t >= g.wary
	if g.wary = t + g.cfg.Window; first {
		why := fmt.Sprintf("%d failures within %s from all over: an unknown source is not listened to after %d", len(c.recent), spoken(g.cfg.Window), g.waryLimit())
		n.wary = append(n.wary, Wariness{Until: g.clock.wall(g.wary), Failures: len(c.recent), Why: why})
	}
}

// countAccount counts a failure of an account that is not slowed now.
func (g *Guard) countAccount(f Failure, t time.Duration, n *news) {
	name := named(f.Account)
	if name == "" {
		return
	}
	e := g.accounts.get(name, t)
	if e.shut(t) {
		return
	}
	var from uint64
	if f.Addr.IsValid() {
		from = keyOf(f.Addr).hi
	}
	e.count(mark{at: t, from: from}, g.cfg.Window, g.cfg.Threshold)
	e.countLong(t, g.cost, g.cfg.LongThreshold)
	sources := distinct(e.recent, g.cfg.Threshold)
	if why := g.tooMany(&e.counter, g.cfg.Threshold, t); why != "" {
		if sources > 1 {
			why += " from " + strconv.Itoa(sources) + " sources"
		}
		e.close(t, g.cfg.Ban, MaxSlow)
		e.d = &details{why: why, sources: sources}
		n.slowed = append(n.slowed, g.slowing(e))
	}
	g.accounts.file(e, t)
	g.changes.account(name, e.isKept())
}

// slowing returns an account that is slowed as it is told.
func (g *Guard) slowing(e *entry[string]) Slowing {
	return Slowing{Account: e.key, Until: g.clock.wall(e.until), Level: e.held, Sources: e.d.sources, Why: e.d.why}
}

// tooMany says why a counter is to be acted on; "" if it is not. Whoever was slow
// over days has half of the long count left.
func (g *Guard) tooMany(c *counter, threshold int, t time.Duration) string {
	if n := len(young(c.recent, t, g.cfg.Window)); n >= threshold {
		return fmt.Sprintf("%d failures within %s", n, spoken(g.cfg.Window))
	}
	if n := c.long(t, g.cost); n >= g.cfg.LongThreshold {
		c.ease(t, g.cost, n/2)
		return fmt.Sprintf("%d failures within %s", n, spoken(g.cfg.LongWindow))
	}
	return ""
}

// countSource counts a failure of a source that is listened to, and of the prefixes
// that it is in; true if one of them is to be judged.
func (g *Guard) countSource(f Failure, t time.Duration) bool {
	k, w := keyOf(f.Addr), g.words.of(f.Addr, g.clock.last)
	g.sources.expire(t)
	e := g.sources.get(k, t)
	if e.d == nil {
		e.d = &details{forgiven: never}
	}
	e.d.note(f, t)
	e.count(mark{at: t, from: k.hi}, g.cfg.Window, g.cfg.Threshold)
	e.countLong(t, g.cost, g.cfg.LongThreshold)
	g.sources.file(e, t)
	g.changes.source(k, e.isKept())
	if w != nil || g.isHidden(k, t) || e.d.shared != "" && t-e.d.sharedAt < spareFor {
		return false
	}
	due := g.isTooMany(&e.counter, g.threshold(k, t), t)
	for _, s := range g.steps(k) {
		p := g.sources.get(k.within(s.bits), t)
		p.count(mark{at: t, from: k.hi}, g.cfg.Window, s.need*g.cfg.Threshold)
		g.sources.file(p, t)
		due = due || g.grows(p, s, t) != ""
	}
	return due
}

// isTooMany reports whether a counter is to be acted on.
func (g *Guard) isTooMany(c *counter, threshold int, t time.Duration) bool {
	return len(young(c.recent, t, g.cfg.Window)) >= threshold || c.long(t, g.cost) >= g.cfg.LongThreshold
}

// threshold returns how many failures a source, or a share of a prefix, has now. A
// source from which a known device comes is not met warily.
func (g *Guard) threshold(k key, t time.Duration) int {
	if t < g.wary && !g.places.isKnown(k, t) {
		return g.waryLimit()
	}
	return g.cfg.Threshold
}

func (g *Guard) waryLimit() int { return min(waryThreshold, g.cfg.Threshold) }

// judge bans a source that failed too often, and the prefixes that it is in, unless
// many are behind its address.
func (g *Guard) judge(f Failure, shared string, n *news) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t, k := g.clock.read(g.cfg.Now()), keyOf(f.Addr)
	e := g.sources.by[k]
	switch {
	case e == nil || g.words.of(f.Addr, g.clock.last) != nil || g.isHidden(k, t):
		return
	case shared != "":
		g.spare(e, f.Addr, shared, t, n)
		return
	}
	if e.d.shared != "" { // what it failed at, many did
		g.unspare(e, t, n)
	}
	if !e.shut(t) {
		if why := g.tooMany(&e.counter, g.threshold(k, t), t); why != "" {
			g.ban(e, ByFailures, why, f, t, n)
			g.strike(k, 1, t)
		}
	}
	g.grow(k, f, t, n)
}

// ban has a source or prefix not listened to.
func (g *Guard) ban(e *entry[key], by By, why string, f Failure, t time.Duration, n *news) {
	e.close(t, g.cfg.Ban, g.cfg.MaxBan)
	e.struck = nil
	if e.d == nil {
		e.d = &details{forgiven: never}
	}
	e.d.by, e.d.why, e.d.kind, e.d.addr = by, why+"; the last was "+f.Kind.Sentence(), f.Kind, f.Addr
	g.sources.file(e, t)
	g.changes.source(e.key, true)
	n.banned = append(n.banned, g.banOf(e))
}

// banOf returns the ban of an entry as it is told.
func (g *Guard) banOf(e *entry[key]) Ban {
	return Ban{Prefix: e.key.prefix(), Addr: e.d.addr, Since: g.clock.wall(e.since), Until: g.clock.wall(e.until),
		Level: e.held, By: e.d.by, Kind: e.d.kind, Why: e.d.why}
}

// Listens reports whether a source is listened to.
func (g *Guard) Listens(addr netip.Addr) bool {
	if !addr.IsValid() {
		return false
	}
	addr = plain(addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.clock.read(g.cfg.Now())
	g.traffic.visit(addr, t)
	return g.listensTo(addr, t)
}

// listensTo reports whether a plain, valid address is listened to.
func (g *Guard) listensTo(addr netip.Addr, t time.Duration) bool {
	if w := g.words.of(addr, g.clock.last); w != nil {
		return w.allowed
	}
	return g.shutBy(keyOf(addr), t) == nil
}

// shutBy returns whose ban a source is under: its own, or that of a prefix it is
// in; nil if it is under none.
func (g *Guard) shutBy(k key, t time.Duration) *entry[key] {
	if len(g.sources.shut) == 0 {
		return nil
	}
	if e := g.sources.by[k]; e != nil && e.shut(t) {
		return e
	}
	if k.bits == 32 {
		return nil
	}
	for _, s := range growth {
		if e := g.sources.by[k.within(s.bits)]; e != nil && e.shut(t) {
			return e
		}
	}
	return nil
}

// Succeed forgives the failures of a source from which a known device has shown
// who it is: those within the window, and once a day a threshold of the long count.
// It forgives no account, and lifts no ban.
func (g *Guard) Succeed(addr netip.Addr) {
	if !addr.IsValid() {
		return
	}
	k := keyOf(plain(addr))
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.clock.read(g.cfg.Now())
	e := g.sources.by[k]
	if e == nil || e.d == nil {
		return
	}
	e.recent = nil
	if t-e.d.forgiven >= calm {
		e.ease(t, g.cost, g.cfg.Threshold)
		e.d.forgiven = t
	}
	g.forgive(k)
	g.changes.source(k, e.isKept())
}

// Slow reports whether codes for an account are refused to unknown devices now.
func (g *Guard) Slow(account string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.accounts.by[named(account)]
	return e != nil && e.shut(g.clock.read(g.cfg.Now()))
}

// spoken says a duration in words, in the largest unit that divides it.
func spoken(d time.Duration) string {
	for _, unit := range []struct {
		one, more string
		long      time.Duration
	}{{"a day", "days", 24 * time.Hour}, {"an hour", "hours", time.Hour}, {"a minute", "minutes", time.Minute}, {"a second", "seconds", time.Second}} {
		if d == unit.long {
			return unit.one
		}
		if d > unit.long && d%unit.long == 0 {
			return fmt.Sprintf("%d %s", d/unit.long, unit.more)
		}
	}
	return d.String()
}
