package guard

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	diff "github.com/google/go-cmp/cmp"
)

// restarted returns a guard made of what another one keeps, at a time.
func restarted(t testing.TB, records []Record, now *hand) *Guard {
	t.Helper()
	text, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	var read []Record
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	g := New(Config{Now: func() time.Time { return now.now }})
	if dropped := g.Restore(read); dropped != 0 {
		t.Errorf("%d of %d records were dropped", dropped, len(records))
	}
	return g
}

func sorted(records []Record) []Record {
	slices.SortFunc(records, func(a, b Record) int { return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Key, b.Key)) })
	return records
}

func TestBansSurviveARestart(t *testing.T) {
	g, c := newTest()
	fail(g, 5, "203.0.113.7", "olga")
	c.pass(10 * time.Minute)
	fail(g, 5, "203.0.113.7", "olga")
	fail(g, 5, "203.0.113.8", "")
	for n := range 3 {
		fail(g, 5, fmt.Sprintf("2600:db8:0:%x::1", n), "")
	}
	_ = g.Ban(prefix("198.51.100.0/24"), c.now.Add(time.Hour), "a word")
	_ = g.Allow(prefix("192.0.2.0/24"), "another")
	c.pass(15 * time.Minute)
	h := restarted(t, g.Records(), c)
	if d := diff.Diff(fmt.Sprint(g.Bans()), fmt.Sprint(h.Bans())); d != "" {
		t.Error(d)
	}
	if d := diff.Diff(fmt.Sprint(g.Allowed()), fmt.Sprint(h.Allowed())); d != "" {
		t.Error(d)
	}
	if d := diff.Diff(sorted(g.Records()), sorted(h.Records())); d != "" {
		t.Error(d)
	}
	if !h.Slow("olga") {
		t.Error("the account is not slowed any more")
	}
	c.pass(5 * time.Minute)
	fail(h, 5, "203.0.113.7", "")
	if x := h.Explain(addr("203.0.113.7")); x.Until.Sub(c.now) != 40*time.Minute {
		t.Errorf("doublings are lost: %+v", x)
	}
	records, all := h.Changes()
	if !all || len(records) < 8 {
		t.Errorf("after a restart %d changes, all: %v", len(records), all)
	}
}

// What the clock says after a restart bans nobody for a year, and forgives nobody for good.
func TestClockThatIsWrongAtStart(t *testing.T) {
	for name, tt := range map[string]struct {
		at   time.Duration // after the guard was stopped
		left time.Duration // of a ban that had four days left
		next time.Duration // the ban after it
	}{
		"at once":          {0, 4 * 24 * time.Hour, 40 * time.Minute},
		"three days later": {3 * 24 * time.Hour, 24 * time.Hour, 40 * time.Minute},
		"1970":             {-56 * 365 * 24 * time.Hour, 4 * 24 * time.Hour, 40 * time.Minute},
		"an hour ago":      {-time.Hour, 4 * 24 * time.Hour, 40 * time.Minute},
		"a year ahead":     {365 * 24 * time.Hour, 3 * 24 * time.Hour, 20 * time.Minute},
	} {
		c := &hand{time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
		now := c.now
		records := []Record{
			{Type: "clock", Last: now},
			{Type: "source", Key: "203.0.113.7/32", Level: 9, Last: now.Add(-24 * time.Hour), Since: now.Add(-24 * time.Hour), Until: now.Add(4 * 24 * time.Hour)},
			{Type: "source", Key: "203.0.113.8/32", Level: 2, Last: now},
		}
		c.pass(tt.at)
		g := New(Config{Now: func() time.Time { return c.now }})
		if g.Restore(records) != 0 {
			t.Error("records were dropped")
		}
		if x := g.Explain(addr("203.0.113.7")); !x.Banned || x.Until.Sub(c.now) != tt.left {
			t.Errorf("%s: %v is left, want %v", name, x.Until.Sub(c.now), tt.left)
		}
		if x := g.Explain(addr("203.0.113.8")); name != "three days later" && x.NextBan.Duration() != tt.next {
			t.Errorf("%s: the next ban takes %v, want %v", name, x.NextBan.Duration(), tt.next)
		}
	}
}

func TestClockThatJumpsWhileRunning(t *testing.T) {
	for _, jump := range []time.Duration{-365 * 24 * time.Hour, -time.Hour, 365 * 24 * time.Hour} {
		g, c := newTest()
		for range 9 {
			fail(g, 5, "203.0.113.7", "")
			c.pass(g.Bans()[0].Until.Sub(c.now))
		}
		fail(g, 5, "203.0.113.7", "") // for more than three days
		fail(g, 4, "203.0.113.8", "")
		left := g.Bans()[0].Until.Sub(c.now)
		g.Changes()
		c.pass(jump)
		want := left
		if jump > 0 {
			want -= calm
		}
		if b := g.Bans(); len(b) != 1 || b[0].Until.Sub(c.now) != want {
			t.Errorf("%v: bans are %+v, want one for %v", jump, b, want)
		}
		if _, all := g.Changes(); !all {
			t.Errorf("%v: what was told with wrong times is not told again", jump)
		}
		if jump < 0 {
			c.pass(10 * time.Minute)
			fail(g, 1, "203.0.113.8", "")
			if !g.Listens(addr("203.0.113.8")) {
				t.Errorf("%v: failures count for longer", jump)
			}
		}
		c.pass(want)
		if !g.Listens(addr("203.0.113.7")) {
			t.Errorf("%v: the ban does not end", jump)
		}
	}
}

func TestRecordsThatCannotBeAreDropped(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	good := Record{Type: "source", Key: "203.0.113.7/32", Level: 1, Last: now, Since: now, Until: now.Add(time.Minute)}
	with := func(change func(*Record)) Record { r := good; change(&r); return r }
	bad := []Record{
		{}, {Type: "nothing", Key: "203.0.113.7/32"}, {Type: "clock"},
		with(func(r *Record) { r.Key = "olga" }), with(func(r *Record) { r.Key = "203.0.113.0/24" }), with(func(r *Record) { r.Key = "2600::/32" }),
		with(func(r *Record) { r.Key = "fd00::/48" }), with(func(r *Record) { r.Level = -1 }), with(func(r *Record) { r.Level = 1000 }),
		with(func(r *Record) { r.Long = -1 }), with(func(r *Record) { r.Last = time.Time{} }), with(func(r *Record) { r.Until = r.Since }),
		with(func(r *Record) { r.Since = time.Time{} }), with(func(r *Record) { r.Gone = true }),
		with(func(r *Record) { r.Type, r.Key = "account", " \x00" }), with(func(r *Record) { r.Type, r.Key = "ban", "0" }), with(func(r *Record) { r.Type, r.Gone = "allow", true }),
	}
	g := New(Config{Now: func() time.Time { return now }})
	if dropped := g.Restore(append(bad, good)); dropped != len(bad) {
		t.Errorf("%d of %d were dropped", dropped, len(bad))
	}
	wantBans(t, g, "203.0.113.7/32")
	g = New(Config{Now: func() time.Time { return now }})
	g.Restore([]Record{with(func(r *Record) { r.Until = now.Add(1000 * 24 * time.Hour) })})
	if b := g.Bans(); len(b) != 1 || b[0].Until.Sub(now) != 7*24*time.Hour {
		t.Errorf("a ban of years is %+v", b)
	}
}

func TestChangesAreWhatChanged(t *testing.T) {
	g, c := newTest()
	first, all := g.Changes()
	if all || len(first) != 1 || first[0].Type != "clock" {
		t.Errorf("at first %+v", first)
	}
	fail(g, 4, "203.0.113.7", "")
	if r, all := g.Changes(); len(r) != 0 || all {
		t.Errorf("nothing that is kept changed: %+v", r)
	}
	fail(g, 1, "203.0.113.7", "")
	_ = g.Allow(prefix("192.0.2.0/24"), "")
	r, _ := g.Changes()
	if sorted(r); len(r) != 4 || r[0].Key != "192.0.2.0/24" || r[0].Gone || !r[1].Gone || r[3].Key != "203.0.113.7/32" || r[3].Gone {
		t.Errorf("changed is %+v", r)
	}
	g.Unban(prefix("203.0.113.7/32"))
	if r, _ := g.Changes(); len(r) != 2 || !sorted(r)[1].Gone {
		t.Errorf("unbanned is %+v", r)
	}
	c.pass(time.Hour)
	if r, _ := g.Changes(); len(r) != 1 || r[0].Type != "clock" {
		t.Errorf("an hour later %+v", r)
	}
	for n := range maxChanges + 1 {
		fail(g, 5, fmt.Sprintf("10.0.%d.%d", n>>8, n&0xff), "")
	}
	if r, all := g.Changes(); !all || len(r) != maxChanges+3 {
		t.Errorf("%d of too many, all: %v", len(r), all)
	}
	if _, all := g.Changes(); all {
		t.Error("all is told again and again")
	}
}

func FuzzRestore(f *testing.F) {
	f.Add("source", "203.0.113.7/32", 3, 4, int64(0), int64(600), int64(0), int64(0))
	f.Add("source", "2600:db8::/48", 64, 1<<40, int64(-1<<40), int64(1<<40), int64(1<<40), int64(-1<<50))
	f.Add("account", "olga", 9, 20, int64(-5), int64(5), int64(0), int64(1<<33))
	f.Add("ban", "::ffff:1.2.3.0/120", 0, 0, int64(0), int64(0), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, kind, key string, level, long int, since, until, last, clock int64) {
		c := &hand{time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
		at := func(s int64) time.Time { return c.now.Add(time.Duration(s) * time.Second) }
		g := New(Config{Now: func() time.Time { return c.now }})
		r := Record{Type: kind, Key: key, Level: level, Long: long, Since: at(since), Until: at(until), Last: at(last), Addr: key, Why: key}
		g.Restore([]Record{{Type: "clock", Last: at(clock)}, r})
		for _, b := range g.Bans() {
			if b.By != ByOwner && b.Until.Sub(c.now) > 7*24*time.Hour {
				t.Errorf("banned for %v", b.Until.Sub(c.now))
			}
			if g.Listens(b.Prefix.Addr()) {
				t.Errorf("%v is banned and listened to", b.Prefix)
			}
			g.Explain(b.Prefix.Addr())
		}
		restarted(t, g.Records(), c)
		c.pass(8 * 24 * time.Hour)
		fail(g, 5, "203.0.113.7", "olga")
		for _, b := range g.Bans() {
			if b.By != ByOwner && b.Since.Before(c.now) {
				t.Errorf("a ban did not end: %+v", b)
			}
		}
		g.Changes()
	})
}
