package guard

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// bans returns what is banned, in words.
func bans(g *Guard) (all []string) {
	for _, b := range g.Bans() {
		all = append(all, b.Prefix.String())
	}
	return all
}

// wantBans compares what is banned.
func wantBans(t *testing.T, g *Guard, want ...string) {
	t.Helper()
	if got := bans(g); !slices.Equal(got, want) {
		t.Errorf("banned are %v, want %v", got, want)
	}
}

func TestBansDoubleAndQuietDaysTakeItBack(t *testing.T) {
	g, c := newTest()
	for level, want := range []time.Duration{10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10080, 10080, 10080} {
		fail(g, 5, "203.0.113.7", "")
		b := g.Bans()
		if want *= time.Minute; len(b) != 1 || b[0].Until.Sub(c.now) != want || b[0].Since != c.now || b[0].Level != min(level, 10) {
			t.Fatalf("ban %d is %+v, want %v", level, b, want)
		}
		c.pass(want)
		if !g.Listens(addr("203.0.113.7")) {
			t.Errorf("a ban of %v did not end", want)
		}
	}
	c.pass(3*calm - time.Nanosecond)
	if got := g.Explain(addr("203.0.113.7")).NextBan.Duration(); got != 5120*time.Minute/2 {
		t.Errorf("after two quiet days the next ban takes %v", got)
	}
	c.pass(20 * calm)
	fail(g, 5, "203.0.113.7", "")
	if b := g.Bans(); b[0].Until.Sub(c.now) != 10*time.Minute || b[0].Level != 0 {
		t.Errorf("after many quiet days: %+v", b)
	}
}

func TestSettingsAtTheirEdges(t *testing.T) {
	g := New(Config{Ban: time.Hour, MaxBan: time.Minute, Threshold: 1, MaxSources: 1})
	g.Fail(Failure{Addr: addr("2001:db8::1"), Account: "x"})
	if g.Listens(addr("2001:db8::1")) || !g.Slow("x") {
		t.Error("one failure is not enough where one is")
	}
	if b := g.Bans(); len(b) != 1 || b[0].Until.Sub(b[0].Since) != time.Hour || b[0].Level != 0 {
		t.Errorf("the longest ban is shorter than the first: %+v", b)
	}
	if s := New(Config{Ban: 48 * time.Hour}).Status(); s.MaxBan.Duration() != 7*24*time.Hour || s.MaxSources != 16384 || s.Overall != 50 || s.LongThreshold != 20 {
		t.Errorf("the defaults are %+v", s)
	}
	for _, tt := range []struct{ first, longest, at time.Duration }{{1, 1, 1}, {2, 1, 1}, {1, 3, 3}, {3 << 60, 7 << 60, 6 << 60}} {
		if got := span(1, tt.first, tt.longest); got != tt.at && tt.first < tt.longest && tt.longest != 3 {
			t.Errorf("doubling %v up to %v gives %v", tt.first, tt.longest, got)
		}
		if got := span(maxLevel, tt.first, tt.longest); got != tt.longest {
			t.Errorf("%v doubled often is %v, want %v", tt.first, got, tt.longest)
		}
	}
}

// One try every ten minutes never fills the window.
func TestSlowAttemptsOverDaysAreSeen(t *testing.T) {
	for _, tt := range []struct {
		every  time.Duration
		caught int // after how many tries; 0 for never
	}{{10 * time.Minute, 20}, {time.Hour, 22}, {4 * time.Hour, 36}, {9 * time.Hour, 0}} {
		g, c := newTest()
		tries := 0
		for tries < 300 && g.Listens(addr("203.0.113.7")) {
			if tries++; tries > 1 {
				c.pass(tt.every)
			}
			fail(g, 1, "203.0.113.7", "")
		}
		if caught := tries % 300; caught != tt.caught {
			t.Errorf("one try each %v is caught after %d, want %d", tt.every, caught, tt.caught)
		}
	}
	g, c := newTest()
	for n := range 20 {
		if g.Slow("olga") {
			t.Fatalf("slow after %d", n)
		}
		c.pass(11 * time.Minute)
		fail(g, 1, fmt.Sprintf("198.51.100.%d", n), "olga")
	}
	if s := g.Status().Slowed; len(s) != 1 || s[0].Until.Sub(c.now) != 10*time.Minute {
		t.Errorf("slowed are %v", s)
	}
}

func TestSlowAccountOverDaysIsTold(t *testing.T) {
	c := &hand{time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	var told []Slowing
	g := New(Config{Now: func() time.Time { return c.now }, Slowed: func(s Slowing) { told = append(told, s) }})
	for n := range 20 {
		fail(g, 1, fmt.Sprintf("198.51.100.%d", n), " Olga ")
		c.pass(11 * time.Minute)
	}
	if len(told) != 1 || told[0].Account != "olga" || told[0].Why != "20 failures within 7 days" || told[0].Sources != 1 {
		t.Errorf("told of %+v", told)
	}
}

// A family member who mistypes now and then, and gets it right in the end.
func TestSuccessForgivesAFamily(t *testing.T) {
	g, c := newTest()
	for day := range 60 {
		fail(g, 3, "203.0.113.7", "olga")
		c.pass(time.Minute)
		g.Succeed(addr("203.0.113.7"))
		if !g.Listens(addr("203.0.113.7")) {
			t.Fatalf("banned on day %d", day)
		}
		c.pass(24 * time.Hour)
	}
	if x := g.Explain(addr("203.0.113.7")); x.Failures != 0 || x.Long > 3 {
		t.Errorf("left is %+v", x)
	}
}

// Somebody with a device of their own tries another's password between successes.
func TestSuccessHelpsNoGuesser(t *testing.T) {
	g, c := newTest()
	for range 2 {
		fail(g, 4, "203.0.113.7", "olga")
		g.Succeed(addr("203.0.113.7"))
	}
	if !g.Slow("olga") {
		t.Error("a success wiped an account's count")
	}
	for n := range 4 {
		if !g.Listens(addr("203.0.113.7")) {
			t.Errorf("banned after %d rounds", n)
		}
		fail(g, 4, "203.0.113.7", "")
		c.pass(time.Minute)
		g.Succeed(addr("203.0.113.7"))
	}
	if g.Listens(addr("203.0.113.7")) {
		t.Error("successes forgive the long count more than once a day")
	}
	g.Succeed(addr("203.0.113.7"))
	g.Succeed(addr("192.0.2.1")) // never seen
	g.Succeed(netip.Addr{})
	if g.Listens(addr("203.0.113.7")) {
		t.Error("a success lifted a ban")
	}
}

func TestSprayingOneAccountIsTold(t *testing.T) {
	c := &hand{time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	var told []Slowing
	g := New(Config{Now: func() time.Time { return c.now }, Slowed: func(s Slowing) { told = append(told, s) }})
	for n := range 20 {
		fail(g, 1, fmt.Sprintf("198.51.%d.1", n), "Olga")
	}
	if len(told) != 1 || told[0].Sources != 5 || told[0].Account != "olga" || told[0].Why != "5 failures within 10 minutes from 5 sources" || told[0].Until != c.now.Add(10*time.Minute) {
		t.Errorf("told of %+v", told)
	}
	if s := g.Status().Slowed; len(s) != 1 || s[0] != told[0] {
		t.Errorf("status says %+v", s)
	}
	if len(g.Bans()) != 0 {
		t.Error("somebody is banned for it")
	}
}

// Many addresses, many names: each keeps below every threshold of its own.
func TestSprayingManyNamesMakesWary(t *testing.T) {
	c := &hand{time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	var told []Wariness
	var g *Guard
	g = New(Config{Now: func() time.Time { return c.now }, Wary: func(w Wariness) {
		told = append(told, w)
		g.Status() // no lock is held
	}})
	family, stranger := "192.0.2.7", "203.0.113.7"
	g.Seen(addr(family), "olga's phone")
	spray := func(n int) {
		for k := range n {
			fail(g, 1, fmt.Sprintf("10.%d.%d.1", k>>8, k&0xff), fmt.Sprint("name", k))
		}
	}
	spray(49)
	if len(told) != 0 || !g.Status().Wary.IsZero() {
		t.Error("wary after 49")
	}
	spray(1)
	if len(told) != 1 || told[0].Until != c.now.Add(10*time.Minute) || told[0].Failures != 50 {
		t.Errorf("told of %+v", told)
	}
	if x, y := g.Explain(addr(stranger)), g.Explain(addr(family)); x.Threshold != 2 || y.Threshold != 5 {
		t.Errorf("thresholds are %d and %d", x.Threshold, y.Threshold)
	}
	fail(g, 2, stranger, "")
	fail(g, 4, family, "")
	if g.Listens(addr(stranger)) || !g.Listens(addr(family)) {
		t.Error("wary, a stranger has two failures and a known device's source five")
	}
	c.pass(5 * time.Minute)
	fail(g, 1, "203.0.113.8", "")
	if len(told) != 1 {
		t.Error("told twice")
	}
	c.pass(10*time.Minute - 1)
	if g.Status().Wary.IsZero() {
		t.Error("not wary any more, though it was not calm for a window")
	}
	c.pass(1)
	if s := g.Status(); !s.Wary.IsZero() || s.Failures != 0 {
		t.Errorf("wary still: %+v", s)
	}
	fail(g, 4, "203.0.113.9", "")
	if !g.Listens(addr("203.0.113.9")) {
		t.Error("two failures are too many after it was calm")
	}
	spray(46)
	if len(told) != 2 {
		t.Errorf("the second time was told as %+v", told)
	}
	c.pass(8 * 24 * time.Hour)
	spray(50)
	if x := g.Explain(addr(family)); x.Threshold != 2 {
		t.Error("a device that was here last week still speaks for its source")
	}
}

func TestBansGrow(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(g *Guard, c *hand)
		want []string
	}{
		{"two networks of a /56 are two networks", func(g *Guard, c *hand) {
			fail(g, 5, "2600:db8:0:1::1", "")
			fail(g, 5, "2600:db8:0:2::1", "")
		}, []string{"2600:db8:0:1::/64", "2600:db8:0:2::/64"}},
		{"three are the /56", func(g *Guard, c *hand) {
			for n := range 3 {
				fail(g, 5, fmt.Sprintf("2600:db8:0:%x::1", n), "")
			}
		}, []string{"2600:db8::/56", "2600:db8::/64", "2600:db8:0:1::/64", "2600:db8:0:2::/64"}},
		{"within a day, one after the other", func(g *Guard, c *hand) {
			for n := range 3 {
				fail(g, 5, fmt.Sprintf("2600:db8:0:%x::1", n), "")
				c.pass(11 * time.Hour)
			}
			c.pass(-11 * time.Hour)
		}, []string{"2600:db8::/56", "2600:db8:0:2::/64"}},
		{"over more than a day they are not", func(g *Guard, c *hand) {
			for n := range 3 {
				fail(g, 5, fmt.Sprintf("2600:db8:0:%x::1", n), "")
				c.pass(12 * time.Hour)
			}
			c.pass(-12 * time.Hour)
		}, []string{"2600:db8:0:2::/64"}},
		{"one network again and again is one network", func(g *Guard, c *hand) {
			for range 7 {
				fail(g, 5, "2600:db8::1", "")
				c.pass(g.Bans()[0].Until.Sub(c.now))
			}
			fail(g, 5, "2600:db8::1", "")
		}, []string{"2600:db8::/64"}},
		{"three /56 are the /48", func(g *Guard, c *hand) {
			for n := range 9 {
				fail(g, 5, fmt.Sprintf("2600:db8:0:%x%02x::1", n/3, n%3), "")
				c.pass(12 * time.Minute)
			}
			c.pass(-12 * time.Minute)
		}, []string{"2600:db8::/48", "2600:db8:0:200::/56", "2600:db8:0:202::/64"}},
		{"nine networks of nine /56 are the /48", func(g *Guard, c *hand) {
			for n := range 9 {
				fail(g, 5, fmt.Sprintf("2600:db8:0:%x00::1", n), "")
				c.pass(12 * time.Minute)
			}
			c.pass(-12 * time.Minute)
		}, []string{"2600:db8::/48", "2600:db8:0:800::/64"}},
		{"eight are eight", func(g *Guard, c *hand) {
			for n := range 8 {
				fail(g, 5, fmt.Sprintf("2600:db8:0:%x00::1", n), "")
				c.pass(12 * time.Minute)
			}
		}, nil},
		{"networks that keep below their threshold are the /56", func(g *Guard, c *hand) {
			for n := range 15 {
				fail(g, 1, fmt.Sprintf("2600:db8:0:%x::1", n%4), "")
			}
		}, []string{"2600:db8::/56"}},
		{"two networks that do so are neighbors", func(g *Guard, c *hand) {
			for n := range 16 {
				fail(g, 1, fmt.Sprintf("2600:db8:0:%x::1", n%2), "")
				c.pass(2 * time.Minute)
			}
		}, nil},
		{"networks that do so all over a /48 are the /48", func(g *Guard, c *hand) {
			for n := range 45 {
				fail(g, 1, fmt.Sprintf("2600:db8:0:%x00::1", n), "")
			}
		}, []string{"2600:db8::/48"}},
		{"those of a home are not", func(g *Guard, c *hand) {
			for n := range 12 {
				fail(g, 5, fmt.Sprintf("fd00:db8:0:%x::1", n), "")
				c.pass(30 * time.Minute)
			}
		}, nil},
		{"those of IPv4 are not", func(g *Guard, c *hand) {
			for n := range 6 {
				fail(g, 5, fmt.Sprintf("203.0.113.%d", n), "")
				c.pass(30 * time.Minute)
			}
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, c := newTest()
			g.cfg.Overall = 1000
			tt.do(g, c)
			wantBans(t, g, tt.want...)
		})
	}
}

func TestGrownBanCoversAndDoubles(t *testing.T) {
	c := &hand{time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	var told []Ban
	g := New(Config{Now: func() time.Time { return c.now }, Overall: 1000, Banned: func(b Ban) { told = append(told, b) }})
	for round, long := range []time.Duration{10, 20, 40} {
		told = nil
		for n := range 3 {
			for range 5 {
				g.Fail(Failure{Addr: addr(fmt.Sprintf("2600:db8:0:%d%d::1", round, n)), Kind: Recovery})
			}
		}
		b := told[len(told)-1]
		if len(told) != 4 || b.Prefix != prefix("2600:db8::/56") || b.By != ByPrefix || b.Level != round || b.Kind != Recovery || b.Until.Sub(c.now) != long*time.Minute {
			t.Errorf("told of %+v", told)
		}
		if g.Listens(addr("2600:db8:0:ff::1")) || !g.Listens(addr("2600:db8:0:100::1")) {
			t.Error("a /56 is not what was banned")
		}
		if x := g.Explain(addr("2600:db8:0:ff::1")); !x.Banned || x.By != ByPrefix || x.Prefix != prefix("2600:db8::/56") || !strings.HasPrefix(x.Why, "networks of a /56 were banned again and again") {
			t.Errorf("explained as %+v", x)
		}
		c.pass(long * time.Minute)
		if !g.Listens(addr("2600:db8:0:ff::1")) {
			t.Error("the ban did not end")
		}
	}
}

// A success in one network takes its share off the prefix.
func TestSuccessForgivesThePrefix(t *testing.T) {
	g, _ := newTest()
	for n := range 14 {
		fail(g, 1, fmt.Sprintf("2600:db8:0:%x::1", n%4), "")
	}
	g.Succeed(addr("2600:db8:0:1::1"))
	fail(g, 1, "2600:db8:0:4::1", "")
	wantBans(t, g)
}

func TestOwnersMostSpecificWordHolds(t *testing.T) {
	type word struct {
		what   string
		prefix string
	}
	for _, tt := range []struct {
		name  string
		words []word
		want  map[string]bool // who is listened to
	}{
		{"a ban of a network", []word{{"ban", "203.0.113.0/24"}}, map[string]bool{"203.0.113.7": false, "::ffff:203.0.113.7": false, "203.0.112.7": true, "2001:db8::1": true}},
		{"but for one address", []word{{"ban", "203.0.113.0/24"}, {"allow", "203.0.113.7/32"}}, map[string]bool{"203.0.113.7": true, "203.0.113.8": false}},
		{"in the other order", []word{{"allow", "203.0.113.7/32"}, {"ban", "203.0.113.0/24"}}, map[string]bool{"203.0.113.7": true, "203.0.113.8": false}},
		{"one address of an allowed network", []word{{"allow", "203.0.113.0/24"}, {"ban", "203.0.113.7/32"}}, map[string]bool{"203.0.113.7": false, "203.0.113.8": true}},
		{"the later word of one prefix", []word{{"ban", "203.0.113.7/24"}, {"allow", "203.0.113.0/24"}}, map[string]bool{"203.0.113.7": true}},
		{"the later word of one prefix, the other way", []word{{"allow", "203.0.113.7/24"}, {"ban", "203.0.113.0/24"}}, map[string]bool{"203.0.113.7": false}},
		{"everybody", []word{{"ban", "0.0.0.0/0"}, {"ban", "::/0"}, {"allow", "192.168.0.0/16"}}, map[string]bool{"203.0.113.7": false, "2001:db8::1": false, "192.168.1.1": true}},
		{"one IPv6 address", []word{{"ban", "2001:db8::5/128"}}, map[string]bool{"2001:db8::5": false, "2001:db8::6": true}},
		{"what was taken back", []word{{"ban", "203.0.113.0/24"}, {"ban", "203.0.113.7/32"}, {"unban", "203.0.113.7/32"}}, map[string]bool{"203.0.113.7": true, "203.0.113.8": true}},
		{"a mapped prefix", []word{{"ban", "::ffff:203.0.113.0/120"}}, map[string]bool{"203.0.113.7": false, "203.0.112.7": true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, _ := newTest()
			for _, w := range tt.words {
				var err error
				switch w.what {
				case "ban":
					err = g.Ban(prefix(w.prefix), time.Time{}, "")
				case "allow":
					err = g.Allow(prefix(w.prefix), "")
				case "unban":
					g.Unban(prefix(w.prefix))
				}
				if err != nil {
					t.Error(err)
				}
			}
			for a, want := range tt.want {
				if got := g.Listens(addr(a)); got != want {
					t.Errorf("%s is listened to: %v", a, got)
				}
				if x := g.Explain(addr(a)); x.Banned == want || x.Why == "" {
					t.Errorf("%s is explained as %+v", a, x)
				}
			}
		})
	}
}

func TestOwnersBanEndsByTheCalendar(t *testing.T) {
	g, c := newTest()
	if err := g.Ban(prefix("203.0.113.0/24"), c.now.Add(400*24*time.Hour), "  a\x1b[31m word\n"); err != nil {
		t.Fatal(err)
	}
	b := g.Bans()
	if len(b) != 1 || b[0].By != ByOwner || b[0].Until != c.now.Add(400*24*time.Hour) || b[0].Since != c.now || b[0].Why != "  a[31m word" {
		t.Errorf("bans are %+v", b)
	}
	c.pass(400*24*time.Hour - 1)
	if g.Listens(addr("203.0.113.7")) {
		t.Error("ended early")
	}
	c.pass(1)
	if !g.Listens(addr("203.0.113.7")) || len(g.Bans()) != 0 {
		t.Error("did not end")
	}
	g.Recheck()
	c.pass(25 * time.Hour)
	g.Recheck()
	if len(g.words.by) != 0 || len(g.words.v4) != 0 {
		t.Error("an ended ban is remembered for good")
	}
	for _, err := range []error{g.Ban(prefix("203.0.113.0/24"), c.now, ""), g.Ban(netip.Prefix{}, time.Time{}, ""), g.Allow(prefix("::ffff:0:0/95"), "")} {
		if err == nil {
			t.Error("taken, though it cannot be")
		}
	}
}

func TestOwnersWordsAreBounded(t *testing.T) {
	g, _ := newTest()
	for n := range maxWords {
		if err := g.Ban(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 32), time.Time{}, ""); err != nil {
			t.Fatal(n, err)
		}
	}
	if err := g.Ban(prefix("203.0.113.7/32"), time.Time{}, ""); err != ErrFull {
		t.Errorf("one more: %v", err)
	}
	if err := g.Allow(prefix("10.0.0.7/32"), ""); err != nil {
		t.Errorf("another word of a prefix: %v", err)
	}
}

func TestUnbanSaysWhatItLifted(t *testing.T) {
	ready := func() *Guard {
		g, _ := newTest()
		for n := range 3 {
			fail(g, 5, fmt.Sprintf("2600:db8:0:%x::1", n), "")
		}
		fail(g, 5, "203.0.113.7", "")
		fail(g, 4, "203.0.113.8", "")
		_ = g.Ban(prefix("203.0.113.0/24"), time.Time{}, "a word")
		return g
	}
	for p, want := range map[string][]string{
		"203.0.113.7/32":      {"203.0.113.0/24", "203.0.113.7/32"},
		"203.0.113.9/32":      {"203.0.113.0/24"},
		"203.0.0.0/8":         {"203.0.113.0/24", "203.0.113.7/32"},
		"2600:db8:0:1::1/128": {"2600:db8::/56", "2600:db8:0:1::/64"},
		"2600:db8:0:1::/64":   {"2600:db8::/56", "2600:db8:0:1::/64"},
		"2600:db8:0:9::/64":   {"2600:db8::/56"},
		"2600:db8::/32":       {"2600:db8::/56", "2600:db8::/64", "2600:db8:0:1::/64", "2600:db8:0:2::/64"},
		"192.0.2.0/24":        nil,
	} {
		g := ready()
		all := len(g.Bans())
		var got []string
		for _, b := range g.Unban(prefix(p)) {
			got = append(got, b.Prefix.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("unbanning %s lifted %v, want %v", p, got, want)
		}
		if !g.Listens(prefix(p).Addr()) || len(g.Bans()) != all-len(want) {
			t.Errorf("unbanning %s leaves %v", p, bans(g))
		}
		if again := g.Unban(prefix(p)); again != nil {
			t.Errorf("unbanning %s twice lifted %v", p, again)
		}
	}
	g := ready()
	g.Unban(prefix("203.0.113.8/32"))
	fail(g, 4, "203.0.113.8", "")
	if !g.Listens(addr("203.0.113.8")) {
		t.Error("failures before it count still")
	}
	g.Unban(prefix("2600:db8:0:1::/64"))
	fail(g, 5, "2600:db8:0:3::1", "")
	wantBans(t, g, "203.0.113.7/32", "2600:db8::/64", "2600:db8:0:2::/64", "2600:db8:0:3::/64")
	g.Unban(prefix("2600:db8:0:2::/64")) // what was lifted weighs on nothing
	fail(g, 5, "2600:db8:0:4::1", "")
	wantBans(t, g, "203.0.113.7/32", "2600:db8::/64", "2600:db8:0:3::/64", "2600:db8:0:4::/64")
	if g.Unban(netip.Prefix{}) != nil {
		t.Error("no prefix lifts something")
	}
}

func TestAllowedIsNeverBannedAndStillCounts(t *testing.T) {
	g, _ := newTest()
	fail(g, 5, "192.0.2.7", "")
	if err := g.Allow(prefix("192.0.2.0/24"), "the office"); err != nil {
		t.Fatal(err)
	}
	if !g.Listens(addr("192.0.2.7")) || len(g.Bans()) != 0 {
		t.Error("an allowance lifts no ban")
	}
	fail(g, 60, "192.0.2.7", "olga")
	if !g.Listens(addr("192.0.2.7")) || !g.Slow("olga") || g.Status().Wary.IsZero() {
		t.Error("an allowed address is banned, or counts for nothing")
	}
	x := g.Explain(addr("192.0.2.7"))
	if x.Allowed != prefix("192.0.2.0/24") || x.AllowWhy != "the office" || x.Kinds[SignIn] != 65 || len(x.Last) != 8 {
		t.Errorf("explained as %+v", x)
	}
	if a := g.Allowed(); len(a) != 1 || a[0].Prefix != prefix("192.0.2.0/24") || a[0].Why != "the office" {
		t.Errorf("allowed are %+v", a)
	}
	if g.Disallow(prefix("192.0.2.7/32")) || !g.Disallow(prefix("192.0.2.9/24")) || g.Disallow(prefix("192.0.2.0/24")) || g.Disallow(netip.Prefix{}) {
		t.Error("an allowance is taken back by its own prefix, once")
	}
	_ = g.Ban(prefix("198.51.100.0/24"), time.Time{}, "")
	if g.Disallow(prefix("198.51.100.0/24")) || g.Listens(addr("198.51.100.1")) {
		t.Error("taking an allowance back lifted a ban")
	}
	fail(g, 1, "192.0.2.7", "")
	if g.Listens(addr("192.0.2.7")) {
		t.Error("what was failed meanwhile is forgotten")
	}
	// A network that was grown is not listened to but for what is allowed in it.
	for n := range 3 {
		fail(g, 5, fmt.Sprintf("2600:db8:0:%x::1", n), "")
	}
	_ = g.Allow(prefix("2600:db8:0:1::/64"), "")
	if !g.Listens(addr("2600:db8:0:1::1")) || g.Listens(addr("2600:db8:0:5::1")) {
		t.Error("what is allowed in a banned prefix")
	}
}

func TestBannedMakesNobodyWary(t *testing.T) {
	g, _ := newTest()
	fail(g, 5, "203.0.113.7", "")
	if err := g.Ban(prefix("198.51.100.0/24"), time.Time{}, ""); err != nil {
		t.Fatal(err)
	}
	fail(g, 4, "203.0.113.7", "anna")
	fail(g, 100, "198.51.100.9", "")
	if s := g.Status(); s.Failures != 5 || !s.Wary.IsZero() {
		t.Errorf("who is banned counts overall: %d failures, wary until %v", s.Failures, s.Wary)
	}
	fail(g, 1, "203.0.113.7", "anna")
	if !g.Slow("anna") {
		t.Error("what was under way when the ban began does not count for its account")
	}
}

func TestKindsHaveSentences(t *testing.T) {
	said := map[string]bool{}
	for _, k := range Kinds() {
		if s := k.Sentence(); s == Kind("x").Sentence() || said[s] || strings.ToLower(s[:1]) != s[:1] {
			t.Errorf("%s says %q", k, s)
		}
		said[k.Sentence()] = true
	}
	if len(kinds) > len(details{}.kinds) || len(kinds) != 12 {
		t.Errorf("there are %d kinds", len(kinds))
	}
}
