// Package guard counts failures and says who is not listened to any more.
//
// It is pure: it reads no clock but the one it is given, stores nothing and
// starts nothing. Counters live in memory and are gone after a restart, which
// costs an attacker one restart and the owner nothing.
//
// Decisions taken here:
//   - A source is an IPv4 address, or the /64 of an IPv6 address, which one
//     customer holds. IPv4-mapped IPv6 addresses count as the IPv4 address.
//   - A source that failed Threshold times within Window is not listened to for
//     Ban. Failures during a ban neither count nor prolong it.
//   - A success forgives the source's failures; it does not lift a ban, which it
//     could not have passed.
//   - An account is slowed, never locked: Slow says that codes for it are refused
//     to unknown devices (the caller knows which devices are known). Every time an
//     account reaches the threshold again it is slowed for twice as long, up to
//     MaxSlow; a quiet day takes one doubling back. With the defaults somebody who
//     guesses six digits from ever new addresses gets about five guesses a day.
//   - Memory is bounded: at most MaxSources sources and as many accounts. Who has
//     been quiet longest is forgotten first, and whoever is banned or slowed last,
//     so that a flood of addresses cannot wash out a ban.
package guard

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// MaxSlow is the longest time for which an account is slowed at once.
const MaxSlow = 24 * time.Hour

// calm is how long an account must be quiet for one doubling to be taken back.
const calm = 24 * time.Hour

// maxAccount bounds what is kept of an account's name, in bytes.
const maxAccount = 256

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
	cfg Config

	mu       sync.Mutex
	words    *words
	sources  *counters[netip.Addr]
	accounts *counters[string]
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
	cfg.MaxSources = cmp.Or(max(0, cfg.MaxSources), 16384)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Guard{
		cfg:      cfg,
		words:    newWords(),
		sources:  newCounters[netip.Addr](cfg.MaxSources),
		accounts: newCounters[string](cfg.MaxSources),
	}
}

// Fail counts a failure of a source and, if it names one, of an account (case and
// surrounding spaces do not matter).
func (g *Guard) Fail(f Failure) {
	now := g.cfg.Now()
	banned, slowed := g.fail(f, Source(f.Addr), key(f.Account), now)
	if !banned.IsZero() && g.cfg.Banned != nil {
		g.cfg.Banned(Ban{Prefix: unit(f.Addr), Addr: f.Addr, Since: now, Until: banned, By: ByFailures, Kind: f.Kind, Why: f.Kind.Sentence()})
	}
	if !slowed.IsZero() && g.cfg.Slowed != nil {
		g.cfg.Slowed(Slowing{Account: key(f.Account), Until: slowed, Why: f.Kind.Sentence()})
	}
}

// fail returns until when the source is banned and the account slowed by this
// failure; the zero time where it was not the one too many.
func (g *Guard) fail(f Failure, source netip.Addr, account string, now time.Time) (banned, slowed time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if source.IsValid() {
		c := g.sources.get(source, now)
		if w := g.words.of(f.Addr.Unmap().WithZone(""), now); w == nil && !now.Before(c.until) && g.act(c, now, g.cfg.MaxBan) {
			banned = c.until
		}
	}
	if account != "" {
		if c := g.accounts.get(account, now); !now.Before(c.until) && g.act(c, now, MaxSlow) {
			slowed = c.until
		}
	}
	return banned, slowed
}

// act counts a failure of a source or account that is not acted on now; each time
// it takes twice as long, up to longest.
func (g *Guard) act(c *counter, now time.Time, longest time.Duration) bool {
	c.level = c.levelAt(now)
	if !c.fail(now, g.cfg, min(g.cfg.Ban<<c.level, longest)) {
		return false
	}
	if g.cfg.Ban<<c.level < longest {
		c.level++
	}
	return true
}

// Listens reports whether a source is listened to.
func (g *Guard) Listens(addr netip.Addr) bool {
	if !addr.IsValid() {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.cfg.Now()
	if w := g.words.of(addr.Unmap().WithZone(""), now); w != nil {
		return w.allowed
	}
	c, ok := g.sources.peek(Source(addr))
	return !ok || !now.Before(c.until)
}

// Seen says that a known device comes from an address. Call it once for each
// connection, or each minute of one.
func (g *Guard) Seen(addr netip.Addr, device string) {}

// KnownFrom reports whether a known device was seen within a prefix lately.
func (g *Guard) KnownFrom(p netip.Prefix) bool { return false }

// Succeed forgives the failures of a source from which a known device has shown
// who it is. It forgives no account, and lifts no ban.
func (g *Guard) Succeed(addr netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c, ok := g.sources.peek(Source(addr)); ok {
		c.times = c.times[:0]
	}
}

// Slow reports whether codes for an account are refused to unknown devices now.
func (g *Guard) Slow(account string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.accounts.peek(key(account))
	return ok && g.cfg.Now().Before(c.until)
}

// Ban has nobody of a prefix listened to until a time, or until the owner lifts it
// if that is zero. Of what the owner said of prefixes that cover each other the
// most specific holds, of the same prefix what was said last.
func (g *Guard) Ban(p netip.Prefix, until time.Time, why string) error {
	now := g.cfg.Now()
	if !until.IsZero() && !now.Before(until) {
		return ErrPast
	}
	return g.say(word{prefix: p, since: now, until: until, why: why})
}

// Allow never has a prefix banned for what its addresses do; who comes from there
// still has to sign in.
func (g *Guard) Allow(p netip.Prefix, why string) error {
	return g.say(word{prefix: p, allowed: true, since: g.cfg.Now(), why: why})
}

func (g *Guard) say(w word) (err error) {
	if w.prefix, err = tidy(w.prefix); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.words.say(w)
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
	return w != nil && w.allowed && g.words.drop(p)
}

// Unban lifts every ban that a prefix covers or is covered by, and forgets what the
// sources failed at. It returns what it lifted.
func (g *Guard) Unban(p netip.Prefix) (lifted []Ban) {
	p, err := tidy(p)
	if err != nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, b := range g.bans(g.cfg.Now()) {
		if !b.Prefix.Overlaps(p) {
			continue
		}
		lifted = append(lifted, b)
		if b.By == ByOwner {
			g.words.drop(b.Prefix)
		} else {
			g.sources.drop(b.Prefix.Addr())
		}
	}
	return lifted
}

// Bans returns what is not listened to now, in order of the prefix.
func (g *Guard) Bans() []Ban {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bans(g.cfg.Now())
}

func (g *Guard) bans(now time.Time) (bans []Ban) {
	for addr, e := range g.sources.byKey {
		if c := e.Value.(*entry[netip.Addr]).counter; now.Before(c.until) {
			bans = append(bans, Ban{Prefix: unit(addr), Until: c.until, Level: c.level, By: ByFailures})
		}
	}
	for p, w := range g.words.by {
		if !w.allowed && w.holds(now) {
			bans = append(bans, Ban{Prefix: p, Since: w.since, Until: w.until, By: ByOwner, Why: w.why})
		}
	}
	slices.SortFunc(bans, func(a, b Ban) int { return a.Prefix.Compare(b.Prefix) })
	return bans
}

// Allowed returns what the owner allowed, in order of the prefix.
func (g *Guard) Allowed() (all []Allowance) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for p, w := range g.words.by {
		if w.allowed {
			all = append(all, Allowance{Prefix: p, Since: w.since, Why: w.why})
		}
	}
	slices.SortFunc(all, func(a, b Allowance) int { return a.Prefix.Compare(b.Prefix) })
	return all
}

// Explain says why an address is, or is not, listened to.
func (g *Guard) Explain(addr netip.Addr) Explanation {
	x := Explanation{Addr: addr, CountedAs: unit(addr), Threshold: g.cfg.Threshold, LongLimit: g.cfg.LongThreshold, Kinds: map[Kind]int{}, Last: []Note{}, Known: []Device{}}
	for _, b := range g.Bans() {
		if b.Prefix.Contains(addr.Unmap().WithZone("")) {
			x.Banned, x.Prefix, x.Since, x.Until, x.Level, x.By, x.Why = !g.Listens(addr), b.Prefix, b.Since, b.Until, b.Level, b.By, b.Why
		}
	}
	return x
}

// Status says how the guard stands.
func (g *Guard) Status() Status {
	return Status{Bans: len(g.Bans()), Allowed: len(g.Allowed()), Slowed: []Slowing{}, Shared: []Sharing{}, Threshold: g.cfg.Threshold,
		Window: seconds(g.cfg.Window), Ban: seconds(g.cfg.Ban), MaxBan: seconds(g.cfg.MaxBan), LongThreshold: g.cfg.LongThreshold,
		LongWindow: seconds(g.cfg.LongWindow), Overall: g.cfg.Overall, MaxSources: g.cfg.MaxSources}
}

// Records returns all that is to be kept over a restart.
func (g *Guard) Records() (records []Record) {
	for _, b := range g.Bans() {
		r := Record{Type: "source", Key: b.Prefix.String(), Level: b.Level, Since: b.Since, Until: b.Until, By: b.By, Kind: b.Kind, Why: b.Why}
		if b.By == ByOwner {
			r.Type = "ban"
		}
		records = append(records, r)
	}
	for _, a := range g.Allowed() {
		records = append(records, Record{Type: "allow", Key: a.Prefix.String(), Since: a.Since, Why: a.Why})
	}
	return records
}

// Changes returns the records that changed since it was called last; with all it
// returns every record there is, and what is kept and not among them is to be forgotten.
func (g *Guard) Changes() (records []Record, all bool) { return g.Records(), true }

// Restore takes back what Records or Changes returned earlier, before the guard is
// used. A record that cannot be is left out; dropped says how many.
func (g *Guard) Restore(records []Record) (dropped int) {
	for _, r := range records {
		p, err := netip.ParsePrefix(r.Key)
		switch {
		case err != nil:
		case r.Type == "ban":
			err = g.Ban(p, r.Until, r.Why)
		case r.Type == "allow":
			err = g.Allow(p, r.Why)
		case r.Type == "source":
			g.mu.Lock()
			c := g.sources.get(p.Addr(), g.cfg.Now())
			c.until, c.level = r.Until, r.Level
			g.mu.Unlock()
		}
		if err != nil {
			dropped++
		}
	}
	return dropped
}

// Recheck asks Config.Shared about the bans that stand, and lifts those of addresses
// that many are behind. Call it now and then: addresses of this machine change.
func (g *Guard) Recheck() {}

// unit returns what an address is counted as: its Source, as a prefix.
func unit(addr netip.Addr) netip.Prefix {
	addr = Source(addr)
	if addr.Is6() {
		return netip.PrefixFrom(addr, 64)
	}
	return netip.PrefixFrom(addr, addr.BitLen())
}

// Source returns what an address is counted as: itself if it is IPv4 (also mapped
// into IPv6), otherwise the first address of its /64.
func Source(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr
	}
	p, err := addr.Prefix(64)
	if err != nil {
		return addr
	}
	return p.Addr()
}

// key returns what an account is counted as.
func key(account string) string {
	account = strings.ToLower(strings.TrimSpace(account))
	if len(account) > maxAccount {
		account = account[:maxAccount]
	}
	return account
}
