package main

import (
	"context"
	"database/sql"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/door/lan"
	"gatehouse/internal/event"
	"gatehouse/internal/guard"
	"gatehouse/internal/identity"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
)

// watch is a guard on a ledger that outlives it.
func watch(t *testing.T, l *ledger.Ledger, allow ...string) *guardKeeper {
	t.Helper()
	c := config.Default()
	c.Guard.Allow = allow
	k, err := keepGuard(t.Context(), newGuard(c, guard.Config{}), l, c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func openLedger(t *testing.T, dir string) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), dir, ledger.Key{1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func failFrom(g *guard.Guard, n int, addr, account string) {
	for range n {
		g.Fail(guard.Failure{Addr: netip.MustParseAddr(addr), Kind: guard.SignIn, Account: account, Door: "https"})
	}
}

func mustWrite(t *testing.T, k *guardKeeper) {
	t.Helper()
	if err := k.write(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A restart frees nobody, forgets nothing that the owner said, and lets go what the configuration
// allows no more.
func TestGuardIsKept(t *testing.T) {
	l := openLedger(t, "")
	first := watch(t, l, "192.0.2.0/24", "2001:db8:1::/48")
	failFrom(first.guard, 5, "203.0.113.7", "olga")
	until := time.Now().Add(time.Hour)
	if err := first.guard.Ban(netip.MustParsePrefix("198.51.100.0/24"), until, "noisy"); err != nil {
		t.Fatal(err)
	}
	if err := first.guard.Ban(netip.MustParsePrefix("2001:db8::7/128"), time.Time{}, "for good"); err != nil {
		t.Fatal(err)
	}
	if err := first.guard.Allow(netip.MustParsePrefix("10.0.0.0/8"), "the office"); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, first)

	second := watch(t, l, "192.0.2.0/24")
	for addr, listens := range map[string]bool{
		"203.0.113.7": false, "203.0.113.8": true, "198.51.100.9": false, "2001:db8::7": false, "2001:db8::8": true, "10.1.2.3": true,
	} {
		if second.guard.Listens(netip.MustParseAddr(addr)) != listens {
			t.Errorf("after a restart %s is listened to: %v", addr, !listens)
		}
	}
	if !second.guard.Slow("Olga") {
		t.Error("after a restart the account is not slow any more")
	}
	var allowed []string
	for _, a := range second.guard.Allowed() {
		allowed = append(allowed, a.Prefix.String()+" "+a.Why)
	}
	if got := strings.Join(allowed, ", "); got != "10.0.0.0/8 the office, 192.0.2.0/24 "+byConfiguration {
		t.Errorf("allowed are %s", got)
	}
	for _, b := range second.guard.Bans() {
		if b.Prefix.String() == "198.51.100.0/24" && (b.Until.UnixMilli() != until.UnixMilli() || b.Why != "noisy") {
			t.Errorf("%+v", b)
		}
	}

	second.guard.Unban(netip.MustParsePrefix("203.0.113.7/32"))
	second.guard.Unban(netip.MustParsePrefix("198.51.100.0/24"))
	second.guard.Disallow(netip.MustParsePrefix("10.0.0.0/8"))
	mustWrite(t, second)
	third := watch(t, l)
	if bans := third.guard.Bans(); len(bans) != 1 || bans[0].Prefix.String() != "2001:db8::7/128" || !bans[0].Until.IsZero() {
		t.Errorf("what was lifted is back: %+v", bans)
	}
	if len(third.guard.Allowed()) != 0 {
		t.Errorf("allowed are %+v", third.guard.Allowed())
	}
}

// People type passwords where names belong: not a byte of an account is in the ledger's files,
// and another key opens none.
func TestAccountsAreSealed(t *testing.T) {
	dir := t.TempDir()
	l := openLedger(t, dir)
	k := watch(t, l)
	const typed = "correct horse battery"
	failFrom(k.guard, 5, "203.0.113.7", typed)
	mustWrite(t, k)
	if !watch(t, l).guard.Slow(typed) {
		t.Error("the account is not slow any more")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.ToLower(string(text)), "battery") {
			t.Errorf("%s has what was typed", f.Name())
		}
	}
	other, err := ledger.Open(t.Context(), dir, ledger.Key{2})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	g := watch(t, other).guard
	if g.Slow(typed) || g.Listens(netip.MustParseAddr("203.0.113.7")) {
		t.Error("with another key the account is known, or the ban is not")
	}
}

// What cannot be written is said, kept, and written as soon as that is possible.
func TestGuardThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	l := openLedger(t, dir)
	k := watch(t, l)
	mustWrite(t, k)
	away := func(from, to string) {
		t.Helper()
		db, err := sql.Open("sqlite", filepath.Join(dir, ledger.Name))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec("ALTER TABLE " + from + " RENAME TO " + to); err != nil {
			t.Fatal(err)
		}
	}
	h := &house{guard: k.guard, kept: k, cfg: config.Default()}
	away("guard", "elsewhere")
	failFrom(k.guard, 5, "203.0.113.7", "")
	if err := k.write(t.Context()); err == nil {
		t.Fatal("it was written nowhere")
	}
	since, err := k.trouble()
	if err == nil || since.IsZero() || h.guardRow().Unwritten == "" {
		t.Errorf("it is not said: %v, %+v", err, h.guardRow())
	}
	if d := h.examineGuard()[0]; d.Result != bad || !strings.Contains(d.Detail, "not since") {
		t.Errorf("the doctor: %+v", d)
	}
	running := *h
	running.server = &server{}
	if err := running.keep(t.Context(), "it is banned"); err == nil || !strings.Contains(err.Error(), "could not be written down") || asProblem(err).status != statusPartly {
		t.Errorf("the owner is told %v", err)
	}
	away("elsewhere", "guard")
	failFrom(k.guard, 5, "203.0.113.8", "")
	mustWrite(t, k)
	if _, err := k.trouble(); err != nil || h.examineGuard()[0].Result != good {
		t.Errorf("it is written, and still said: %v", err)
	}
	again := watch(t, l).guard
	for _, addr := range []string{"203.0.113.7", "203.0.113.8"} {
		if again.Listens(netip.MustParseAddr(addr)) {
			t.Errorf("%s was forgotten", addr)
		}
	}
}

// What could not be written down is not said to be so: without a running gateway nothing has
// changed, and with one nobody is said to be listened to who never was banned.
func TestWhatCannotBeWrittenIsNotSaidToHold(t *testing.T) {
	dir := t.TempDir()
	l := openLedger(t, dir)
	kept := watch(t, l)
	failFrom(kept.guard, 5, "203.0.113.7", "")
	mustWrite(t, kept)
	db, err := sql.Open("sqlite", filepath.Join(dir, ledger.Name))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("ALTER TABLE guard RENAME TO elsewhere"); err != nil {
		t.Fatal(err)
	}

	var told []event.Event
	say := func(running bool, do func(*house) error) (string, int) {
		t.Helper()
		g := newGuard(config.Default(), guard.Config{})
		failFrom(g, 5, "203.0.113.7", "")
		k := &guardKeeper{guard: g, ledger: l, log: slog.New(slog.DiscardHandler), pending: map[recordName]guard.Record{}}
		h := &house{guard: g, kept: k, cfg: config.Default(), links: lan.NewLinks(), events: func(e event.Event) { told = append(told, e) }}
		if h.identity, err = identity.New(t.Context(), identity.Config{Ledger: openLedger(t, "")}); err != nil {
			t.Fatal(err)
		}
		if running {
			h.server = &server{}
		}
		told = nil
		err := do(h)
		if err == nil {
			t.Fatal("it was written nowhere")
		}
		return err.Error(), asProblem(err).status
	}
	unban := func(w unbanWish) func(*house) error {
		return func(h *house) error { _, err := unbanSource(t.Context(), h, w); return err }
	}
	ban := func(h *house) error {
		_, err := banSource(t.Context(), h, banWish{Source: "198.51.100.7", Seconds: 60})
		return err
	}
	allow := func(h *house) error {
		_, err := allowSource(t.Context(), h, allowWish{Source: "198.51.100.7"})
		return err
	}
	for name, c := range map[string]struct {
		do              func(*house) error
		stopped, lively string // how the answer begins
		events          int    // of a running gateway
	}{
		"unban all":      {unban(unbanWish{All: true}), "nothing is changed: that everybody who was banned is listened to again could not", "everybody who was banned is listened to again, but that could not", 1},
		"unban one":      {unban(unbanWish{Source: "203.0.113.7"}), "nothing is changed: that 203.0.113.7 is listened to again could not", "203.0.113.7 is listened to again, but that could not", 1},
		"unban nobody":   {unban(unbanWish{Source: "203.0.113.8"}), "nothing is changed: that what failed is forgotten could not", "what failed is forgotten, but that could not", 0},
		"ban somebody":   {ban, "nothing is changed: that 198.51.100.7 is banned could not", "198.51.100.7 is banned, but that could not", 1},
		"allow somebody": {allow, "nothing is changed: that 198.51.100.7 is allowed could not", "198.51.100.7 is allowed, but that could not", 1},
	} {
		if said, status := say(false, c.do); !strings.HasPrefix(said, c.stopped) || status != statusCannot || len(told) != 0 {
			t.Errorf("%s, without a gateway: %q, status %d, events %v", name, said, status, told)
		}
		if said, status := say(true, c.do); !strings.HasPrefix(said, c.lively) || status != statusPartly || len(told) != c.events {
			t.Errorf("%s, with a gateway: %q, status %d, events %v", name, said, status, told)
		}
	}
}

// A flood costs one transaction a second, and the end of the gateway loses nothing.
func TestGuardIsWrittenOnceASecond(t *testing.T) {
	l := openLedger(t, "")
	synctest.Test(t, func(t *testing.T) {
		k := watch(t, l)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- k.run(ctx) }()
		kept := func() (n int) {
			t.Helper()
			records, _, err := k.read(context.WithoutCancel(ctx))
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				if r.Type == "source" {
					n++
				}
			}
			return n
		}
		time.Sleep(keepEvery + keepEvery/2)
		failFrom(k.guard, 5, "203.0.113.7", "")
		failFrom(k.guard, 5, "203.0.113.8", "")
		if n := kept(); n != 0 {
			t.Errorf("%d are written at once", n)
		}
		time.Sleep(keepEvery)
		if n := kept(); n != 2 {
			t.Errorf("%d are written after a second", n)
		}
		failFrom(k.guard, 5, "203.0.113.9", "")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if n := kept(); n != 3 {
			t.Errorf("%d are written at the end", n)
		}
	})
}

// aHouse is one without a server, with an owner whose browser came from an address lately.
func aHouse(t *testing.T, addr string) *house {
	t.Helper()
	l := openLedger(t, "")
	people, err := identity.New(t.Context(), identity.Config{Ledger: l, Event: func(event.Event) {}, SessionIdle: time.Hour, SessionMax: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := people.AddPerson(t.Context(), "Olga", policy.RoleOwner, "", ""); err != nil {
		t.Fatal(err)
	}
	k := watch(t, l)
	h := &house{cfg: config.Default(), identity: people, ledger: l, guard: k.guard, kept: k, links: lan.NewLinks(), events: func(event.Event) {}}
	if addr != "" {
		if err := l.Update(t.Context(), func(tx *ledger.Tx) error {
			_, err := tx.Exec(`INSERT INTO devices (id, person_id, kind, name, created, last_seen, last_addr, last_door, revoked)
				SELECT 'd1', id, 'browser', 'Firefox', $1, $1, $2, 'https', 0 FROM people`, time.Now().UnixMilli(), addr)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if h.identity, err = identity.New(t.Context(), identity.Config{Ledger: l, Event: func(event.Event) {}, SessionIdle: time.Hour, SessionMax: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// A ban that would lock the owner out is made only if they are sure.
func TestRiskyBans(t *testing.T) {
	h := aHouse(t, "203.0.113.7")
	h.cfg.Guard.Allow = []string{"198.51.100.0/24"}
	for source, says := range map[string]string{
		"0.0.0.0/0": "everybody", "::/0": "everybody", "127.0.0.1": "this machine", "::1": "this machine", "0.0.0.0/1": "this machine",
		"203.0.113.7": "Firefox of Olga", "203.0.113.0/24": "Firefox of Olga", "198.51.100.0/24": "guard.allow",
	} {
		_, err := banSource(t.Context(), h, banWish{Source: source, Seconds: 60})
		if err == nil || !strings.Contains(err.Error(), says) || asProblem(err).status != statusNo || !strings.Contains(asProblem(err).hint, "--yes") {
			t.Errorf("%s: %v", source, err)
		}
		if bans := h.guard.Bans(); len(bans) != 0 {
			t.Errorf("%s is banned all the same: %+v", source, bans)
		}
	}
	for _, source := range []string{"203.0.113.8", "127.0.0.9", "2001:db8::/32"} {
		if _, err := banSource(t.Context(), h, banWish{Source: source, Seconds: 60}); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
	if _, err := banSource(t.Context(), h, banWish{Source: "203.0.113.7", Seconds: 60, Sure: true}); err != nil {
		t.Error(err)
	}
	if h.guard.Listens(netip.MustParseAddr("203.0.113.7")) {
		t.Error("whoever is sure is not heard")
	}
}

// What the owner does is told as an event, each ban and each end of one.
func TestOwnersBansAreEvents(t *testing.T) {
	h := aHouse(t, "")
	var told []event.Event
	h.events = func(e event.Event) { told = append(told, e) }
	if _, err := banSource(t.Context(), h, banWish{Source: "203.0.113.0/24", Why: "scans\nall night\x1b[2J"}); err != nil {
		t.Fatal(err)
	}
	if _, err := banSource(t.Context(), h, banWish{Source: "203.0.113.9", Seconds: 3600}); err != nil {
		t.Fatal(err)
	}
	doc, err := unbanSource(t.Context(), h, unbanWish{Source: "203.0.113.9"})
	if err != nil || len(doc.Bans) != 2 {
		t.Errorf("an address in a banned network: %+v, %v", doc, err)
	}
	if _, err := allowSource(t.Context(), h, allowWish{Source: "198.51.100.7", Why: "a friend"}); err != nil {
		t.Fatal(err)
	}
	if _, err := allowSource(t.Context(), h, allowWish{Source: "198.51.100.7", Remove: true}); err != nil {
		t.Fatal(err)
	}
	want := []struct {
		kind   event.Kind
		addr   string
		detail string
	}{
		{event.Banned, "203.0.113.0/24", "until it is lifted: scans all night [2J"}, {event.Banned, "203.0.113.9", "the owner said so"},
		{event.Unbanned, "203.0.113.0/24", "by the owner"}, {event.Unbanned, "203.0.113.9", "by the owner"},
		{event.Allowed, "198.51.100.7", "a friend"}, {event.Disallowed, "198.51.100.7", ""},
	}
	if len(told) != len(want) {
		t.Fatalf("%+v", told)
	}
	for i, w := range want {
		if told[i].Kind != w.kind || told[i].Addr != w.addr || !strings.Contains(told[i].Detail, w.detail) || told[i].Kind.ByStrangers() && !told[i].Owner {
			t.Errorf("%d: %+v, want %+v, never held back", i, told[i], w)
		}
	}
	if _, err := unbanSource(t.Context(), h, unbanWish{All: true}); asProblem(err).status != statusNo || !strings.Contains(err.Error(), "nobody is banned") {
		t.Errorf("nobody is banned: %v", err)
	}
}

// What a ban of failures, a network and a known device say of an address is in its explanation.
func TestExplanation(t *testing.T) {
	h := aHouse(t, "203.0.113.7")
	h.guard.Seen(netip.MustParseAddr("203.0.113.7"), "d1")
	failFrom(h.guard, 5, "203.0.113.7", "OLGA ")
	doc, err := explainSource(t.Context(), h, named{"::ffff:203.0.113.7"})
	if err != nil {
		t.Fatal(err)
	}
	if !doc.Banned || doc.Decided != decidedByBan || doc.Ban == nil || doc.Ban.By != "failures" || doc.Kinds["sign-in"] != 5 || len(doc.Last) == 0 || doc.Last[0].Account != "Olga" ||
		len(doc.Known) != 1 || doc.Known[0].Name != "Firefox" || doc.Known[0].Person != "Olga" || doc.NextBan != 1200 {
		t.Errorf("%+v", doc)
	}
	var text strings.Builder
	sayExplanation(&text, doc)
	if !strings.Contains(text.String(), "Known from there: Firefox of Olga") || !strings.Contains(text.String(), "gatehouse guard unban 203.0.113.7") {
		t.Error(text.String())
	}

	// A rule goes before all else.
	h.rules = func(netip.Addr) rulesRow {
		return rulesRow{Decide: true, Denied: true, Say: []string{"Rule 1 denies it."}}
	}
	doc, err = explainSource(t.Context(), h, named{"203.0.113.7"})
	if err != nil || doc.Decided != decidedByRules {
		t.Errorf("%+v, %v", doc, err)
	}
	text.Reset()
	sayExplanation(&text, doc)
	if !strings.HasPrefix(text.String(), "203.0.113.7 is refused by a rule") || !strings.Contains(text.String(), "1. Rules: Rule 1 denies it. This decides.") {
		t.Error(text.String())
	}
}
