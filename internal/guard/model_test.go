package guard

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is the guard as one would write it who has all the time and memory of the
// world: it keeps every failure and counts them anew each time. It knows no bounds of
// memory, no shared addresses, and no clock that jumps.
type model struct {
	now      time.Time
	sources  map[netip.Prefix]*modelled
	accounts map[string]*modelled
	all      []time.Time
	wary     time.Time
	known    map[netip.Prefix]time.Time
	words    map[netip.Prefix]modelledWord
}

type modelledWord struct {
	allowed bool
	until   time.Time
}

type modelled struct {
	failures []failureThen
	bans     []failureThen // of networks in it
	debt     time.Duration // the long count, in time that it takes to go, as of owed
	owed     time.Time
	last     time.Time
	until    time.Time
	level    int
	forgiven time.Time
}

type failureThen struct {
	at     time.Time
	from   netip.Prefix
	weight int
}

const modelledCost = 7 * 24 * time.Hour / 20

func newModel(now time.Time) *model {
	return &model{now: now, sources: map[netip.Prefix]*modelled{}, accounts: map[string]*modelled{}, known: map[netip.Prefix]time.Time{}, words: map[netip.Prefix]modelledWord{}}
}

func of[K comparable](all map[K]*modelled, k K) *modelled {
	if all[k] == nil {
		all[k] = &modelled{}
	}
	return all[k]
}

func modelledUnit(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits)
	return p
}

func (m *modelled) owes(now time.Time) time.Duration { return max(0, m.debt-now.Sub(m.owed)) }

func (m *modelled) long(now time.Time) int {
	return int((m.owes(now) + modelledCost - 1) / modelledCost)
}

func (m *modelled) levelAt(now time.Time) int {
	quiet := m.last
	if m.until.After(quiet) {
		quiet = m.until
	}
	return max(0, m.level-int(now.Sub(quiet)/(24*time.Hour)))
}

func (m *modelled) within(now time.Time, long time.Duration) (n int, from map[netip.Prefix]bool) {
	from = map[netip.Prefix]bool{}
	for _, f := range m.failures {
		if now.Sub(f.at) < long {
			n++
			from[f.from] = true
		}
	}
	return n, from
}

func (m *modelled) fail(now time.Time, from netip.Prefix) {
	m.level = m.levelAt(now)
	m.failures = append(m.failures, failureThen{now, from, 0})
	m.last = now
}

func (m *modelled) failLong(now time.Time) {
	m.debt, m.owed = min(m.owes(now)+modelledCost, 20*modelledCost), now
}

// tooMany acts on a source or account that failed too often.
func (m *modelled) tooMany(now time.Time, threshold int, longest time.Duration) bool {
	if n, _ := m.within(now, 10*time.Minute); n < threshold {
		n := m.long(now)
		if n < 20 {
			return false
		}
		m.debt, m.owed = max(0, m.owes(now)-time.Duration(n/2)*modelledCost), now
	}
	m.act(now, longest)
	return true
}

func (m *modelled) act(now time.Time, longest time.Duration) {
	long, highest := 10*time.Minute, 0
	for d := long; d < longest; d *= 2 {
		highest++
	}
	level := m.levelAt(now)
	for range level {
		long *= 2
	}
	m.until, m.failures, m.bans = now.Add(min(long, longest)), nil, nil
	m.level = min(level+1, highest)
}

func (m *model) word(a netip.Addr) (found modelledWord, ok bool) {
	longest := -1
	for p, w := range m.words {
		if p.Contains(a) && p.Bits() > longest && (w.until.IsZero() || m.now.Before(w.until)) {
			found, ok, longest = w, true, p.Bits()
		}
	}
	return found, ok
}

func (m *model) banned(a netip.Addr) bool {
	for p, s := range m.sources {
		if p.Contains(a) && m.now.Before(s.until) {
			return true
		}
	}
	return false
}

func (m *model) listens(a netip.Addr) bool {
	if w, ok := m.word(a); ok {
		return w.allowed
	}
	return !m.banned(a)
}

// threshold returns how many failures a source has, or a share of a prefix.
func (m *model) threshold(p netip.Prefix) int {
	if seen, ok := m.known[p]; m.now.Before(m.wary) && !(ok && m.now.Sub(seen) < 7*24*time.Hour) {
		return 2
	}
	return 5
}

func (m *model) fail(a netip.Addr, account string) {
	if s := of(m.accounts, account); account != "" && !m.now.Before(s.until) {
		s.fail(m.now, modelledUnit(a))
		s.failLong(m.now)
		s.tooMany(m.now, 5, MaxSlow)
	}
	if !m.listens(a) {
		return
	}
	m.all = append(m.all, m.now)
	lately := 0
	for _, at := range m.all {
		if m.now.Sub(at) < 10*time.Minute {
			lately++
		}
	}
	if lately >= 50 {
		m.wary = m.now.Add(10 * time.Minute)
	}
	_, said := m.word(a)
	unit := modelledUnit(a)
	s := of(m.sources, unit)
	s.fail(m.now, unit)
	s.failLong(m.now)
	if said {
		return
	}
	for _, wide := range m.wide(unit) {
		of(m.sources, wide).fail(m.now, unit)
	}
	if s.tooMany(m.now, m.threshold(unit), 7*24*time.Hour) {
		for _, wide := range m.wide(unit) {
			m.weigh(wide, unit, 1)
		}
	}
	for _, wide := range m.wide(unit) {
		m.grow(wide)
	}
}

// wide returns the prefixes to which a ban of a network grows.
func (m *model) wide(unit netip.Prefix) (all []netip.Prefix) {
	if unit.Addr().Is4() || unit.Addr().IsPrivate() {
		return nil
	}
	for _, bits := range []int{56, 48} {
		p, _ := unit.Addr().Prefix(bits)
		all = append(all, p)
	}
	return all
}

// weigh has the ban of a network weigh on a prefix that it is in, once.
func (m *model) weigh(wide, network netip.Prefix, weight int) {
	s := of(m.sources, wide)
	for n, b := range s.bans {
		if m.now.Sub(b.at) < 24*time.Hour && b.from.Bits() < network.Bits() && b.from.Overlaps(network) {
			return
		}
		if b.from.Overlaps(network) {
			s.bans[n].weight = 0
		}
	}
	s.bans = append(s.bans, failureThen{m.now, network, weight})
}

func (m *model) grow(wide netip.Prefix) {
	s, need := of(m.sources, wide), map[int]int{56: 3, 48: 9}[wide.Bits()]
	weight := 0
	for _, b := range s.bans {
		if m.now.Sub(b.at) < 24*time.Hour {
			weight += b.weight
		}
	}
	n, from := s.within(m.now, 10*time.Minute)
	if m.now.Before(s.until) || weight < need && (n < need*m.threshold(wide) || len(from) < 3) {
		return
	}
	s.act(m.now, 7*24*time.Hour)
	if wide.Bits() == 56 {
		wider, _ := wide.Addr().Prefix(48)
		m.weigh(wider, wide, 3)
	}
}

func (m *model) succeed(a netip.Addr) {
	unit := modelledUnit(a)
	s := m.sources[unit]
	if s == nil {
		return
	}
	s.failures = nil
	if s.forgiven.IsZero() || m.now.Sub(s.forgiven) >= 24*time.Hour {
		s.debt, s.owed = max(0, s.owes(m.now)-5*modelledCost), m.now
		s.forgiven = m.now
	}
	for _, wide := range m.wide(unit) {
		of(m.sources, wide).failures = slices.DeleteFunc(of(m.sources, wide).failures, func(f failureThen) bool { return f.from == unit })
	}
}

func (m *model) unban(p netip.Prefix) {
	for q, w := range m.words {
		if q.Overlaps(p) && !w.allowed && (w.until.IsZero() || m.now.Before(w.until)) {
			delete(m.words, q)
		}
	}
	for q, s := range m.sources {
		switch {
		case q.Overlaps(p) && (m.now.Before(s.until) || q.Bits() >= p.Bits()):
			delete(m.sources, q)
		case q.Overlaps(p):
			inside := func(f failureThen) bool { return p.Contains(f.from.Addr()) && f.from.Bits() >= p.Bits() }
			s.failures, s.bans = slices.DeleteFunc(s.failures, inside), slices.DeleteFunc(s.bans, inside)
		}
	}
}

func (m *model) allow(p netip.Prefix) {
	m.words[p] = modelledWord{allowed: true}
	for q, s := range m.sources {
		if q.Bits() >= p.Bits() && q.Overlaps(p) && m.now.Before(s.until) {
			s.until, s.level, s.failures, s.debt = m.now, 0, nil, 0
		}
	}
}

// restart forgets what is not kept: counts that led to nothing yet, and the fractions of long ones.
func (m *model) restart() {
	m.all, m.wary, m.known = nil, time.Time{}, map[netip.Prefix]time.Time{}
	forgetUnkept(m.sources, m.now)
	forgetUnkept(m.accounts, m.now)
}

func forgetUnkept[K comparable](all map[K]*modelled, now time.Time) {
	for k, s := range all {
		if !now.Before(s.until) && s.levelAt(now) == 0 {
			delete(all, k)
			continue
		}
		left := max(0, s.debt-s.last.Sub(s.owed)) // as of the last failure, also where it was forgiven since
		s.debt, s.owed = (left+modelledCost-1)/modelledCost*modelledCost, s.last
		s.failures, s.bans, s.forgiven = nil, nil, time.Time{}
	}
}

// TestGuardIsItsModel does whatever comes to mind to a guard and to its model.
func TestGuardIsItsModel(t *testing.T) {
	var addrs []netip.Addr
	for _, s := range []string{"203.0.113.7", "203.0.113.8", "192.168.1.7", "2600:db8:0:1::1", "2600:db8:0:1::2", "2600:db8:0:2::1", "2600:db8:0:3::1",
		"2600:db8:0:100::1", "2600:db8:0:200::1", "2600:db8:0:201::1", "2600:db8:0:202::1", "2600:db8:0:300::1", "fd00:0:0:1::1", "fd00:0:0:2::1", "fd00:0:0:3::1"} {
		addrs = append(addrs, addr(s))
	}
	for n := range 9 {
		addrs = append(addrs, addr(fmt.Sprintf("2600:db8:0:%x::1", 0x1000+n<<8)))
	}
	accounts := []string{"", "olga", "anna"}
	var prefixes []netip.Prefix
	for _, s := range []string{"203.0.113.7/32", "203.0.113.0/24", "2600:db8:0:1::/64", "2600:db8::/56", "2600:db8::/48", "2600:db8:0:200::/56", "::/0"} {
		prefixes = append(prefixes, prefix(s))
	}
	passes := []time.Duration{time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute, 25 * time.Minute, 6 * time.Hour, 24 * time.Hour, 3 * 24 * time.Hour}
	rapid.Check(t, func(t *rapid.T) {
		g, c := newTest()
		m := newModel(c.now)
		t.Repeat(map[string]func(*rapid.T){
			"fail": func(t *rapid.T) {
				a, account := rapid.SampledFrom(addrs).Draw(t, "addr"), rapid.SampledFrom(accounts).Draw(t, "account")
				for range rapid.IntRange(1, 6).Draw(t, "times") {
					g.Fail(Failure{Addr: a, Account: account, Kind: HALogin})
					m.fail(a, account)
				}
			},
			"siege": func(t *rapid.T) { // every network of a prefix, or all
				among := rapid.SampledFrom([]netip.Prefix{prefix("2600:db8::/56"), prefix("2600:db8::/48"), prefix("::/0")}).Draw(t, "among")
				n := rapid.IntRange(1, 5).Draw(t, "times")
				for _, a := range addrs {
					for range n {
						if among.Contains(a) {
							g.Fail(Failure{Addr: a, Kind: Scan})
							m.fail(a, "")
						}
					}
				}
			},
			"drip": func(t *rapid.T) { // one try each ten minutes
				a, account := rapid.SampledFrom(addrs).Draw(t, "addr"), rapid.SampledFrom(accounts).Draw(t, "account")
				for range rapid.IntRange(1, 25).Draw(t, "times") {
					c.pass(10 * time.Minute)
					m.now = c.now
					g.Fail(Failure{Addr: a, Account: account, Kind: HALogin})
					m.fail(a, account)
				}
			},
			"pass": func(t *rapid.T) {
				c.pass(rapid.SampledFrom(passes).Draw(t, "time"))
				m.now = c.now
			},
			"succeed": func(t *rapid.T) {
				a := rapid.SampledFrom(addrs).Draw(t, "addr")
				g.Succeed(a)
				m.succeed(a)
			},
			"seen": func(t *rapid.T) {
				a := rapid.SampledFrom(addrs).Draw(t, "addr")
				g.Seen(a, "phone")
				m.known[modelledUnit(a)] = m.now
			},
			"ban": func(t *rapid.T) {
				p, until := rapid.SampledFrom(prefixes).Draw(t, "prefix"), time.Time{}
				if rapid.Bool().Draw(t, "ends") {
					until = m.now.Add(rapid.SampledFrom(passes).Draw(t, "time"))
				}
				if err := g.Ban(p, until, ""); err != nil {
					t.Error(err)
				}
				m.words[p] = modelledWord{until: until}
			},
			"allow": func(t *rapid.T) {
				p := rapid.SampledFrom(prefixes).Draw(t, "prefix")
				if err := g.Allow(p, ""); err != nil {
					t.Error(err)
				}
				m.allow(p)
			},
			"disallow": func(t *rapid.T) {
				p := rapid.SampledFrom(prefixes).Draw(t, "prefix")
				if w, ok := m.words[p]; g.Disallow(p) != (ok && w.allowed) {
					t.Errorf("disallowing %v", p)
				} else if ok && w.allowed {
					delete(m.words, p)
				}
			},
			"unban": func(t *rapid.T) {
				p := rapid.SampledFrom(prefixes).Draw(t, "prefix")
				g.Unban(p)
				m.unban(p)
			},
			"restart": func(t *rapid.T) {
				records := g.Records()
				g = New(Config{Now: func() time.Time { return c.now }})
				if n := g.Restore(records); n != 0 {
					t.Errorf("%d records were dropped", n)
				}
				m.restart()
			},
			"": func(t *rapid.T) {
				for _, a := range addrs {
					if got, want := g.Listens(a), m.listens(a); got != want {
						t.Errorf("%v is listened to: %v, want %v: %+v", a, got, want, g.Explain(a))
					}
				}
				for _, a := range accounts {
					if got, want := g.Slow(a), m.accounts[a] != nil && a != "" && m.now.Before(m.accounts[a].until); got != want {
						t.Errorf("%s is slow: %v, want %v", a, got, want)
					}
				}
				want := map[netip.Prefix]time.Time{}
				for p, s := range m.sources {
					if m.now.Before(s.until) {
						want[p] = s.until
					}
				}
				for _, b := range g.Bans() {
					if b.By != ByOwner {
						if want[b.Prefix] != b.Until {
							t.Errorf("%v is banned until %v, want %v", b.Prefix, b.Until, want[b.Prefix])
						}
						delete(want, b.Prefix)
					}
				}
				if len(want) != 0 {
					t.Errorf("not banned are %v", want)
				}
			},
		})
	})
}
