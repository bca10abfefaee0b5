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
	"net/netip"
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
	Threshold  int              // failures before a source or account is acted on; 5
	Window     time.Duration    // how long a failure counts; 10 min
	Ban        time.Duration    // how long a source is not listened to; 10 min
	MaxSources int              // how many sources are remembered; 16384
	Now        func() time.Time // the clock; time.Now

	// Banned and Slowed, where set, are told once when a source or an account (as it
	// was typed, shortened) is acted on, and until when. They are called by Fail, with no lock held.
	Banned func(source netip.Addr, until time.Time)
	Slowed func(account string, until time.Time)
}

// Guard counts. It is safe for use by several goroutines.
type Guard struct {
	cfg Config

	mu       sync.Mutex
	sources  *counters[netip.Addr]
	accounts *counters[string]
}

// New returns a guard that has seen nothing yet.
func New(cfg Config) *Guard {
	if cfg.Threshold <= 0 {
		cfg.Threshold = 5
	}
	if cfg.Window <= 0 {
		cfg.Window = 10 * time.Minute
	}
	if cfg.Ban <= 0 {
		cfg.Ban = 10 * time.Minute
	}
	if cfg.MaxSources <= 0 {
		cfg.MaxSources = 16384
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Guard{
		cfg:      cfg,
		sources:  newCounters[netip.Addr](cfg.MaxSources),
		accounts: newCounters[string](cfg.MaxSources),
	}
}

// Fail counts a failure of a source and, if account is not empty, of an account
// (a name as it was typed; case and surrounding spaces do not matter).
func (g *Guard) Fail(addr netip.Addr, account string) {
	source, account := Source(addr), key(account)
	banned, slowed := g.fail(source, account, g.cfg.Now())
	if !banned.IsZero() && g.cfg.Banned != nil {
		g.cfg.Banned(source, banned)
	}
	if !slowed.IsZero() && g.cfg.Slowed != nil {
		g.cfg.Slowed(account, slowed)
	}
}

// fail returns until when the source is banned and the account slowed by this
// failure; the zero time where it was not the one too many.
func (g *Guard) fail(source netip.Addr, account string, now time.Time) (banned, slowed time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if source.IsValid() {
		if c := g.sources.get(source, now); !now.Before(c.until) && c.fail(now, g.cfg, g.cfg.Ban) {
			banned = c.until
		}
	}
	if account != "" {
		if c := g.accounts.get(account, now); !now.Before(c.until) && g.slow(c, now) {
			slowed = c.until
		}
	}
	return banned, slowed
}

// slow counts a failure of an account that is not slowed now.
func (g *Guard) slow(c *counter, now time.Time) bool {
	c.level = c.levelAt(now)
	if !c.fail(now, g.cfg, min(g.cfg.Ban<<c.level, MaxSlow)) {
		return false
	}
	if g.cfg.Ban<<c.level < MaxSlow {
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
	c, ok := g.sources.peek(Source(addr))
	return !ok || !g.cfg.Now().Before(c.until)
}

// Succeed forgives the failures of a source that has shown who it is.
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

// Unban listens to a source again and forgets its failures.
func (g *Guard) Unban(addr netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sources.drop(Source(addr))
}

// Ban is a source that is not listened to.
type Ban struct {
	Source netip.Prefix // one IPv4 address, or a /64
	Until  time.Time
}

// Bans returns the sources that are not listened to now, in no order.
func (g *Guard) Bans() []Ban {
	now := g.cfg.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	var bans []Ban
	for addr, e := range g.sources.byKey {
		if c := e.Value.(*entry[netip.Addr]).counter; now.Before(c.until) {
			bits := 32
			if addr.Is6() {
				bits = 64
			}
			bans = append(bans, Ban{Source: netip.PrefixFrom(addr, bits), Until: c.until})
		}
	}
	return bans
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
