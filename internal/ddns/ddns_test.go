package ddns

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/ledger"
)

// The records follow the house, are written when they are wrong and not otherwise, and
// nothing beside them is touched.
func TestFollowsTheHouse(t *testing.T) {
	names := newNameServer(t, home+". 60 IN A 20.1.1.1", home+". 60 IN A 20.1.1.2", home+`. 60 IN TXT "mine"`, "other.example.org. 60 IN A 20.1.1.1")
	house := at("20.30.40.50", "2a00:1::5")
	k := keep(t, names, house, nil)
	s := k.look(t, 0)
	want(t, names, `A 20.30.40.50, AAAA 2a00:1::5, TXT "mine"`)
	if s.Why != "" || s.Written.IsZero() || s.Looked.IsZero() || s.Standby || s.Records[0].Source != "the test" || s.Records[1].Address.String() != "2a00:1::5" {
		t.Errorf("%+v", s)
	}
	if len(k.changes) != 1 || k.changes[0] != home+": A 20.30.40.50, from the test; before 20.1.1.1 and 20.1.1.2, which was not ours; AAAA 2a00:1::5, from the test" {
		t.Errorf("%q", k.changes)
	}
	n := names.count()
	for range 3 {
		k.look(t, every)
	}
	if names.count() != n {
		t.Error("it is written again")
	}

	// It moves twice: the first change is made at once, the next after a pause.
	house.move("20.30.40.51", "2a00:1::5")
	k.look(t, time.Minute)
	want(t, names, `A 20.30.40.51, AAAA 2a00:1::5, TXT "mine"`)
	house.move("20.30.40.52", "2a00:1::5")
	if s := k.look(t, time.Minute); s.NextTry.IsZero() || s.Why != "" {
		t.Errorf("%+v", s)
	}
	want(t, names, `A 20.30.40.51, AAAA 2a00:1::5, TXT "mine"`)
	k.look(t, rest)
	want(t, names, `A 20.30.40.52, AAAA 2a00:1::5, TXT "mine"`)
	if !strings.Contains(k.changes[2], "before 20.30.40.51") || strings.Contains(k.changes[2], "not ours") || strings.Contains(k.changes[2], "AAAA") {
		t.Errorf("%q", k.changes)
	}
	if got := k.Addresses(); !slices.Equal(got, []netip.Addr{netip.MustParseAddr("20.30.40.52"), netip.MustParseAddr("2a00:1::5")}) {
		t.Errorf("%v", got)
	}
	if len(k.failed) != 0 {
		t.Errorf("%q", k.failed)
	}
}

// A kind that is not kept, and one that no source ever knows, stay as they are.
func TestOthersKindIsLeftAlone(t *testing.T) {
	for name, c := range map[string]struct {
		six  any
		kind []Kind
	}{"not kept": {&None{Why: "none"}, []Kind{IPv4}}, "not known": {nil, []Kind{IPv4, IPv6}}} {
		names := newNameServer(t, home+". 60 IN AAAA 2a00:9::9")
		k := keep(t, names, at("20.30.40.50", c.six), func(c2 *Config) { c2.Kinds = c.kind })
		k.look(t, 0)
		k.gone[IPv6] = time.Now().Add(-2 * grace)
		k.look(t, time.Hour)
		if want(t, names, "A 20.30.40.50, AAAA 2a00:9::9"); t.Failed() {
			t.Fatal(name)
		}
	}
}

// An address that is gone is taken out after half an hour, and not before; one that comes
// back in between stays.
func TestGoneForLong(t *testing.T) {
	names := newNameServer(t)
	house := at("20.30.40.50", "2a00:1::5")
	k := keep(t, names, house, nil)
	k.look(t, 0)
	house.move("20.30.40.50", &None{Why: "this machine has no way to the Internet by IPv6"})
	if s := k.look(t, time.Hour); !s.Records[1].Gone || s.Why != "" { // the clock was set: nothing has passed
		t.Errorf("%+v", s)
	}
	want(t, names, "A 20.30.40.50, AAAA 2a00:1::5")
	k.gone[IPv6] = time.Now().Add(time.Second - grace)
	k.look(t, 0)
	want(t, names, "A 20.30.40.50, AAAA 2a00:1::5")
	house.move("20.30.40.50", errSilent)
	k.look(t, 0)
	if !k.gone[IPv6].IsZero() {
		t.Error("what is not known counts as gone")
	}
	house.move("20.30.40.50", &None{Why: "this machine has no way to the Internet by IPv6"})
	k.look(t, 0)
	k.gone[IPv6] = time.Now().Add(-grace)
	k.look(t, 0)
	want(t, names, "A 20.30.40.50")
	if last := k.changes[len(k.changes)-1]; last != home+": AAAA is removed: this machine has no way to the Internet by IPv6; before 2a00:1::5" {
		t.Errorf("%q", last)
	}
	house.move("20.30.40.50", "2a00:1::5")
	k.look(t, time.Hour)
	want(t, names, "A 20.30.40.50, AAAA 2a00:1::5")
}

// What cannot be known changes nothing, however long, and the owner is told once.
func TestUnknownChangesNothing(t *testing.T) {
	names := newNameServer(t, home+". 60 IN A 20.1.1.1")
	k := keep(t, names, at(errSilent, errSilent), nil)
	for range 3 {
		s := k.look(t, 24*time.Hour)
		if !strings.Contains(s.Why, "no public address of this house is known (A: it says nothing; AAAA: it says nothing)") {
			t.Errorf("%+v", s)
		}
	}
	if len(k.failed) != 0 {
		t.Errorf("told at once: %q", k.failed)
	}
	for range 3 {
		k.wrong = time.Now().Add(-lasting)
		k.look(t, time.Hour)
	}
	if len(k.failed) != 1 || names.count() != 0 {
		t.Errorf("%q, %d updates", k.failed, names.count())
	}
	want(t, names, "A 20.1.1.1")
}

// No address that the Internet does not lead to is written, whoever says it.
func TestOnlyPublicAddresses(t *testing.T) {
	for text, public := range map[string]bool{
		"20.30.40.50": true, "9.9.9.9": true, "172.32.0.1": true, "100.128.0.1": true, "2a00:1::5": true, "2606:4700::1": true, "2001:200::1": true,
		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false, "127.0.0.1": false,
		"169.254.1.1": false, "100.64.0.1": false, "100.127.255.255": false, "192.0.2.1": false, "198.51.100.1": false, "203.0.113.1": false, "198.18.0.1": false,
		"192.0.0.9": false, "192.88.99.1": false, "224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "fe80::1": false, "fe80::1%eth0": false, "fd00::1": false, "fc00::1": false, "ff02::1": false, "2001:db8::1": false, "3fff::1": false,
		"2002:1414:1414::1": false, "2001::1": false, "2001:10::1": false, "64:ff9b::1414:1414": false, "100::1": false, "5f00::1": false, "::ffff:10.0.0.1": false,
		"::ffff:20.30.40.50": true, "2a00:1::5%eth0": false, "fec0::1": false,
	} {
		a := netip.MustParseAddr(text)
		if IsPublic(a) != public {
			t.Errorf("%s: %t", text, !public)
		}
		if public {
			continue
		}
		house := at(errSilent, text)
		if a.Is4() {
			house = at(text, errSilent)
		}
		k := &Keeper{cfg: Config{Sources: []Source{house.source()}}, gone: map[Kind]time.Time{}}
		for _, kind := range []Kind{IPv4, IPv6} {
			if r := k.find(t.Context(), kind); r.Address.IsValid() || r.Gone {
				t.Errorf("%s: %+v", text, r)
			}
		}
	}
	k := &Keeper{cfg: Config{Sources: []Source{at("2a00:1::5", "20.30.40.50").source()}}, gone: map[Kind]time.Time{}}
	if r := k.find(t.Context(), IPv4); r.Address.IsValid() {
		t.Errorf("an address of the other kind: %+v", r)
	}
}

// Sources are asked in order; one that is sure that nobody can come in ends it.
func TestSourcesInOrder(t *testing.T) {
	none, final := &None{Why: "at home alone"}, &None{Why: "CGNAT", Hint: "ask", Final: true}
	for name, c := range map[string]struct {
		say           []any
		address, why  string
		gone, unknown bool
	}{
		"the first":          {[]any{"20.1.1.1", "20.1.1.2"}, "20.1.1.1", "", false, false},
		"the next":           {[]any{none, "20.1.1.2"}, "20.1.1.2", "", false, false},
		"after silence":      {[]any{errSilent, "20.1.1.2"}, "20.1.1.2", "", false, false},
		"one may have one":   {[]any{none, errSilent}, "", "at home alone; it says nothing", false, true},
		"none":               {[]any{none, none}, "", "at home alone; at home alone", true, false},
		"nobody comes in":    {[]any{none, final, "20.1.1.2"}, "", "CGNAT", true, false},
		"nobody, for sure":   {[]any{errSilent, final}, "", "CGNAT", true, false},
		"nobody knows":       {[]any{nil}, "", "no source", false, false},
		"silent on the kind": {[]any{nil, none}, "", "at home alone", true, false},
	} {
		k := &Keeper{gone: map[Kind]time.Time{}}
		for _, say := range c.say {
			k.cfg.Sources = append(k.cfg.Sources, at(say, nil).source())
		}
		r := k.find(t.Context(), IPv4)
		if got := r.Address; got.IsValid() != (c.address != "") || got.IsValid() && got.String() != c.address || r.Gone != c.gone || !strings.Contains(r.Why, c.why) || r.Gone == k.gone[IPv4].IsZero() {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// A provider that refuses is asked later and later, also by a gateway that is started
// again and again; a clock that was wrong keeps nothing back.
func TestAsksLaterAndLater(t *testing.T) {
	names := newNameServer(t)
	names.refuses = true
	l := openLedger(t, "")
	var k *kept
	start := func() {
		before := k
		k = keep(t, names, at("20.30.40.50", nil), func(c *Config) { c.Ledger = l })
		if before != nil {
			k.clock.now = before.clock.time()
		}
	}
	start()
	for n, pause := range append(pauses(), time.Hour) {
		s := k.look(t, 0)
		if names.count() != n+1 || !strings.Contains(s.Why, "REFUSED") || s.NextTry.Sub(k.clock.time()) != pause || s.Hint == "" {
			t.Fatalf("%d: %d updates, %+v", n, names.count(), s)
		}
		start()
		if was := k.State(); was.Why != s.Why || !was.NextTry.Equal(s.NextTry) {
			t.Errorf("after a start: %+v", was)
		}
		k.look(t, pause-time.Second)
		if names.count() != n+1 {
			t.Fatalf("asked early after %d failures", n+1)
		}
		k.clock.pass(time.Second)
	}
	k.look(t, 0)
	n := names.count()
	k.clock.pass(-365 * 24 * time.Hour) // it was a year ahead
	k.look(t, 0)
	if names.count() != n+1 {
		t.Error("a clock that was set back keeps it waiting")
	}
	if err := k.Again(t.Context()); err != nil {
		t.Fatal(err)
	}
	names.set(func() { names.refuses = false })
	if s := k.look(t, 0); s.Why != "" || !s.NextTry.IsZero() {
		t.Errorf("%+v", s)
	}
	want(t, names, "A 20.30.40.50")
	if s := k.look(t, time.Minute); s.Why != "" {
		t.Errorf("%+v", s)
	}
}

// A zone that says something else after it was written to is written to again, later and
// later, and the owner hears why.
func TestZoneSaysOtherwise(t *testing.T) {
	names := newNameServer(t, home+". 60 IN A 20.1.1.1")
	names.deaf = true
	k := keep(t, names, at("20.30.40.50", nil), nil)
	if s := k.look(t, 0); s.Why != "" || names.count() != 1 {
		t.Errorf("%+v", s)
	}
	if s := k.look(t, time.Minute); s.Why != "" || s.NextTry.IsZero() || names.count() != 1 {
		t.Errorf("on its way: %+v", s)
	}
	s := k.look(t, spread)
	if names.count() != 2 || !strings.Contains(s.Why, "20.30.40.50 was written, and the zone says 20.1.1.1") || !strings.Contains(s.Hint, "another program") {
		t.Errorf("%d updates, %+v", names.count(), s)
	}
	for range 20 {
		s = k.look(t, time.Minute)
	}
	if n := names.count(); n > 5 || s.Why == "" {
		t.Errorf("%d updates in 20 minutes", n)
	}
	if len(k.changes) != 1 {
		t.Errorf("%q", k.changes)
	}
	names.set(func() { names.deaf = false })
	k.look(t, 2*time.Hour)
	want(t, names, "A 20.30.40.50")
	if s := k.look(t, time.Minute); s.Why != "" {
		t.Errorf("%+v", s)
	}
}

// A name that is an alias is left alone.
func TestAlias(t *testing.T) {
	names := newNameServer(t, home+". 60 IN CNAME www.example.org.", "www.example.org. 60 IN A 20.1.1.1")
	k := keep(t, names, at("20.30.40.50", nil), nil)
	if s := k.look(t, 0); !strings.Contains(s.Why, "by a CNAME record, to www.example.org") || !strings.Contains(s.Hint, `ddns.name = "www.example.org"`) || names.count() != 0 {
		t.Errorf("%+v", s)
	}
}

// Where the zone cannot be asked, what was noted counts: what is there is not written
// again, what is new is, and nothing is taken out.
func TestZoneDoesNotAnswer(t *testing.T) {
	names := newNameServer(t)
	house := at("20.30.40.50", "2a00:1::5")
	k := keep(t, names, house, nil)
	k.look(t, 0)
	names.set(func() { names.silent = true })
	n := names.count()
	if s := k.look(t, time.Hour); names.count() != n || s.Why != "" || !s.Looked.IsZero() {
		t.Errorf("%d updates, %+v", names.count(), s)
	}
	house.move("20.30.40.51", &None{Why: "none"})
	k.look(t, time.Hour)
	k.gone[IPv6] = time.Now().Add(-grace)
	k.look(t, time.Hour)
	want(t, names, "A 20.30.40.51, AAAA 2a00:1::5")
}

// Of two gateways with addresses of their own, one keeps the records; the other takes over
// when that one is gone, and what is then late is not noted.
func TestOneGatewayKeepsTheRecords(t *testing.T) {
	names := newNameServer(t)
	dir := t.TempDir()
	a := keep(t, names, at("20.30.40.50", "2a00:1::a"), func(c *Config) { c.Ledger = openLedger(t, dir) })
	b := keep(t, names, at("20.30.40.50", "2a00:1::b"), func(c *Config) { c.Ledger, c.Holder = openLedger(t, dir), "b" })
	b.clock = a.clock
	b.cfg.Now, b.leases.Now = a.clock.time, a.clock.time
	a.look(t, 0)
	if s := b.look(t, 0); !s.Standby || s.Why != "" {
		t.Errorf("%+v", s)
	}
	want(t, names, "A 20.30.40.50, AAAA 2a00:1::a")
	old := a.lease
	if s := b.look(t, leaseTime); s.Standby {
		t.Errorf("a is gone: %+v", s)
	}
	want(t, names, "A 20.30.40.50, AAAA 2a00:1::b")
	if err := a.note(t.Context(), old, row{}); !errors.Is(err, ledger.ErrFenced) {
		t.Errorf("what is late is noted: %v", err)
	}
	if s := a.look(t, 0); !s.Standby {
		t.Errorf("a is back: %+v", s)
	}
	// Whoever ends gives back what it has.
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Run(ended); err != nil {
		t.Fatal(err)
	}
	if s := a.look(t, rest); s.Standby {
		t.Errorf("b has ended: %+v", s)
	}
	want(t, names, "A 20.30.40.50, AAAA 2a00:1::a")
}

// Run looks at once, again when it is told to, and when this machine's addresses change.
func TestRun(t *testing.T) {
	names := newNameServer(t)
	k := keep(t, names, at("20.30.40.50", nil), nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	for end := time.Now().Add(10 * time.Second); names.holds() == "" && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	want(t, names, "A 20.30.40.50")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	local := "a"
	k.cfg.Local = func() string { return local }
	if k.changedHere(); k.changedHere() {
		t.Error("nothing changed")
	}
	if local = "b"; !k.changedHere() {
		t.Error("it does not see")
	}
}

// What is missing is told before anything is asked.
func TestNewRefuses(t *testing.T) {
	names := newNameServer(t)
	full := keep(t, names, at(nil, nil), nil).cfg
	for what, spoil := range map[string]func(*Config){
		"ledger": func(c *Config) { c.Ledger = nil }, "name": func(c *Config) { c.Name = "" }, "kinds": func(c *Config) { c.Kinds = nil },
		"sources": func(c *Config) { c.Sources = nil }, "zone": func(c *Config) { c.Zone = nil }, "holder": func(c *Config) { c.Holder = "" }, "life": func(c *Config) { c.Life = 0 },
	} {
		c := full
		spoil(&c)
		if _, err := New(t.Context(), c); err == nil {
			t.Errorf("without its %s", what)
		}
	}
}

// What a provider says is fit for a terminal, and what the ledger says keeps its hint.
func TestExplain(t *testing.T) {
	if e := explain(errors.New("no\x1b[31m such\nzone \u202e" + strings.Repeat("x", 1000))); strings.ContainsAny(e.What, "\x1b\n\u202e") || len(e.What) > 310 || e.Hint == "" {
		t.Errorf("%q", e.What)
	}
	if e := explain(&ledger.Error{Hint: "make room", Err: errSilent}); e.Hint != "make room" {
		t.Errorf("%+v", e)
	}
	if e := explain(ledger.ErrFenced); !errors.Is(e, ledger.ErrFenced) {
		t.Errorf("%+v", e)
	}
}
