package guard

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// hand is the time that a test turns.
type hand struct{ now time.Time }

func (c *hand) pass(d time.Duration) { c.now = c.now.Add(d) }

func newTest() (*Guard, *hand) {
	c := &hand{time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	return New(Config{Now: func() time.Time { return c.now }}), c
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func fail(g *Guard, n int, source, account string) {
	for range n {
		g.Fail(Failure{Addr: addr(source), Account: account, Kind: SignIn})
	}
}

func TestWindowAndBan(t *testing.T) {
	g, c := newTest()
	a := addr("203.0.113.7")
	fail(g, 4, "203.0.113.7", "")
	if !g.Listens(a) {
		t.Error("banned after four")
	}
	c.pass(10 * time.Minute) // they do not count any more
	fail(g, 4, "203.0.113.7", "")
	if !g.Listens(a) {
		t.Error("old failures count")
	}
	fail(g, 1, "203.0.113.7", "")
	if g.Listens(a) {
		t.Error("listens after five")
	}
	if !g.Listens(addr("203.0.113.8")) {
		t.Error("the neighbor is banned too")
	}
	c.pass(9 * time.Minute)
	fail(g, 10, "203.0.113.7", "") // neither count nor prolong
	c.pass(time.Minute - time.Nanosecond)
	if g.Listens(a) {
		t.Error("the ban ended early")
	}
	c.pass(time.Nanosecond)
	if !g.Listens(a) {
		t.Error("the ban did not end")
	}
	fail(g, 4, "203.0.113.7", "")
	g.Succeed(a)
	fail(g, 4, "203.0.113.7", "")
	if !g.Listens(a) {
		t.Error("a success forgave nothing")
	}
	fail(g, 1, "203.0.113.7", "")
	if len(g.Bans()) != 1 || g.Bans()[0].Prefix != netip.MustParsePrefix("203.0.113.7/32") || !g.Bans()[0].Until.Equal(c.now.Add(20*time.Minute)) {
		t.Errorf("bans are %v", g.Bans())
	}
	g.Succeed(a)
	if g.Listens(a) {
		t.Error("a success lifted a ban")
	}
	g.Unban(keyOf(a).prefix())
	if !g.Listens(a) || len(g.Bans()) != 0 {
		t.Error("not unbanned")
	}
	g.Unban(netip.MustParsePrefix("192.0.2.1/32")) // never seen
}

func TestSource(t *testing.T) {
	for in, want := range map[string]string{
		"203.0.113.7":                 "203.0.113.7",
		"::ffff:203.0.113.7":          "203.0.113.7",
		"2001:db8:1:2:3:4:5:6":        "2001:db8:1:2::",
		"2001:db8:1:2:ffff::1":        "2001:db8:1:2::",
		"2001:db8:1:3::1":             "2001:db8:1:3::",
		"fe80::1%eth0":                "fe80::",
		"::ffff:203.0.113.7%whatever": "203.0.113.7",
	} {
		if got := Source(addr(in)); got != addr(want) {
			t.Errorf("%s counts as %s, want %s", in, got, want)
		}
	}
	g, _ := newTest()
	for n := range 5 {
		g.Fail(Failure{Addr: addr(fmt.Sprintf("2001:db8::%x", n+1)), Account: "", Kind: SignIn})
	}
	if g.Listens(addr("2001:db8::ffff")) || !g.Listens(addr("2001:db8:0:1::1")) {
		t.Error("a /64 is not one source")
	}
	if got := g.Bans(); len(got) != 1 || got[0].Prefix != netip.MustParsePrefix("2001:db8::/64") {
		t.Errorf("bans are %v", got)
	}
	if g.Listens(netip.Addr{}) {
		t.Error("listens to no address")
	}
	g.Fail(Failure{Addr: netip.Addr{}, Account: "olga", Kind: SignIn}) // counts for the account alone
}

func TestSlow(t *testing.T) {
	g, c := newTest()
	for n := range 4 {
		g.Fail(Failure{Addr: addr(fmt.Sprintf("198.51.100.%d", n)), Account: "olga", Kind: SignIn})
	}
	if g.Slow("olga") || g.Slow("anna") || g.Slow("") {
		t.Error("slow after four")
	}
	g.Fail(Failure{Addr: addr("198.51.100.5"), Account: " OLGA ", Kind: SignIn})
	if !g.Slow("Olga") || g.Slow("anna") {
		t.Error("not slow after five from five addresses")
	}
	if !g.Listens(addr("198.51.100.5")) {
		t.Error("the source is banned for the account's failures")
	}
	// The next time takes twice as long each, up to a day.
	for _, want := range []time.Duration{10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440, 1440} {
		want *= time.Minute
		c.pass(want - time.Nanosecond)
		if !g.Slow("olga") {
			t.Errorf("slow for less than %v", want)
		}
		c.pass(time.Nanosecond)
		if g.Slow("olga") {
			t.Errorf("slow for more than %v", want)
		}
		for n := range 5 {
			g.Fail(Failure{Addr: addr(fmt.Sprintf("198.51.100.%d", n)), Account: "olga", Kind: SignIn})
		}
	}
	c.pass(MaxSlow + 3*calm) // three quiet days take three doublings back: 1280, 640, 320
	for n := range 5 {
		g.Fail(Failure{Addr: addr(fmt.Sprintf("192.0.2.%d", n)), Account: "olga", Kind: SignIn})
	}
	c.pass(320*time.Minute - time.Nanosecond)
	if !g.Slow("olga") {
		t.Error("three quiet days took back too much")
	}
	c.pass(time.Nanosecond)
	if g.Slow("olga") {
		t.Error("quiet days took nothing back")
	}
}

// Somebody who guesses six digits from ever new addresses, as fast as the guard
// lets them, gets few guesses.
func TestGuessesADay(t *testing.T) {
	g, c := newTest()
	guesses := 0
	for range 30 * 24 * 60 { // a month of minutes
		for range 10 {
			if !g.Slow("olga") {
				guesses++
				g.Fail(Failure{Addr: addr(fmt.Sprintf("2001:db8:%x:%x::1", guesses>>16, guesses&0xffff)), Account: "olga", Kind: SignIn})
			}
		}
		c.pass(time.Minute)
	}
	if guesses > 200 {
		t.Errorf("%d guesses in a month", guesses)
	}
	t.Logf("%d guesses in a month", guesses)
}

func TestTold(t *testing.T) {
	c := &hand{time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	var banned []netip.Addr
	var slowed []string
	var g *Guard
	g = New(Config{Now: func() time.Time { return c.now },
		Banned: func(b Ban) {
			banned = append(banned, b.Addr)
			if until := b.Until; g.Listens(b.Addr) || !until.Equal(c.now.Add(10*time.Minute)) { // and no lock is held
				t.Errorf("told too early, until %v", until)
			}
		},
		Slowed: func(s Slowing) { slowed = append(slowed, s.Account) },
	})
	fail(g, 20, "203.0.113.7", "Olga")
	if len(banned) != 1 || banned[0] != addr("203.0.113.7") || len(slowed) != 1 || slowed[0] != "olga" {
		t.Errorf("told of %v, %v", banned, slowed)
	}
}

// A flood of addresses takes bounded memory and does not wash out a ban.
func TestFlood(t *testing.T) {
	c := &hand{time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	g := New(Config{Now: func() time.Time { return c.now }, MaxSources: 100})
	for n := range 50 {
		fail(g, 5, fmt.Sprintf("203.0.113.%d", n), fmt.Sprint("account", n))
	}
	for n := range 10000 {
		g.Fail(Failure{Addr: addr(fmt.Sprintf("10.%d.%d.1", n>>8, n&0xff)), Account: fmt.Sprint(n), Kind: SignIn})
	}
	if n, m := len(g.sources.by), len(g.accounts.by); n != 100 || m != 100 {
		t.Errorf("%d sources and %d accounts are remembered", n, m)
	}
	for n := range 50 {
		if g.Listens(addr(fmt.Sprintf("203.0.113.%d", n))) {
			t.Errorf("the ban of source %d was washed out", n)
		}
		if !g.Slow(fmt.Sprint("account", n)) {
			t.Errorf("account %d is not slow any more", n)
		}
	}
	// Where everybody is banned, somebody has to be forgotten.
	for n := range 300 {
		fail(g, 5, fmt.Sprintf("10.200.%d.%d", n>>8, n&0xff), "")
	}
	if n := len(g.sources.by); n != 100 {
		t.Errorf("%d sources are remembered", n)
	}
}
