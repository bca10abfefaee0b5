package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/guard/filter"
)

func fileMode(t *testing.T, name string) os.FileMode {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestWhen(t *testing.T) {
	zone := time.FixedZone("", 2*3600)
	now := time.Date(2026, 11, 26, 15, 4, 5, 0, zone)
	at := func(day, hour, minute, second int) time.Time {
		return time.Date(2026, 11, day, hour, minute, second, 0, zone)
	}
	for word, want := range map[string]time.Time{
		"":                          {},
		"2h":                        at(26, 13, 4, 5),
		"90m":                       at(26, 13, 34, 5),
		"3d":                        now.Add(-72 * time.Hour),
		"now":                       now,
		"today":                     at(26, 0, 0, 0),
		"yesterday":                 at(25, 0, 0, 0),
		"14:30":                     at(26, 14, 30, 0),
		"14:30:09":                  at(26, 14, 30, 9),
		"2026-11-20":                at(20, 0, 0, 0),
		"2026-11-20 08:00":          at(20, 8, 0, 0),
		"2026-11-20 08:00:01":       at(20, 8, 0, 1),
		"2026-11-20T08:00":          at(20, 8, 0, 0),
		"2026-11-20T06:00:00Z":      at(20, 8, 0, 0),
		"2026-11-20T08:00:00+02:00": at(20, 8, 0, 0),
	} {
		if got, err := when("since", word, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v; want %v", word, got, err, want)
		}
	}
	for _, word := range []string{"soon", "26.11.2026", "-2h", "25:00", "2026-13-01"} {
		var p *problem
		if _, err := when("since", word, now); !errors.As(err, &p) || p.status != statusUsage {
			t.Errorf("%q: %v", word, err)
		}
	}
}

func TestLogWish(t *testing.T) {
	now := time.Date(2026, 11, 26, 15, 0, 0, 0, time.UTC)
	all := []event.Event{
		0: {Time: now.Add(-3 * time.Hour), Kind: event.SignedIn, Person: "Olga", Device: "d1", Addr: "203.0.113.7"},
		1: {Time: now.Add(-2 * time.Hour), Kind: event.Refused, Addr: "2001:db8::7"},
		2: {Time: now.Add(-time.Hour), Kind: event.Banned, Addr: "2001:db8::/64"},
		3: {Time: now, Kind: event.HADown},
	}
	for _, c := range []struct {
		wish         logWish
		since, until string
		kinds        []string
		want         []int
	}{
		{want: []int{0, 1, 2, 3}},
		{since: "2h", want: []int{1, 2, 3}},
		{until: "2h", want: []int{0}},
		{since: "150m", until: "now", want: []int{1, 2}},
		{kinds: []string{"banned", "REFUSED"}, want: []int{1, 2}},
		{wish: logWish{addr: "2001:db8::7"}, want: []int{1, 2}},
		{wish: logWish{addr: "203.0.113.0/24"}, want: []int{0}},
		{wish: logWish{person: "olga"}, want: []int{0}},
		{wish: logWish{device: "d1"}, want: []int{0}},
		{wish: logWish{device: "d2"}, want: nil},
	} {
		if err := c.wish.understand(c.since, c.until, c.kinds, now); err != nil {
			t.Fatal(err)
		}
		var got []int
		for i, e := range all {
			if c.wish.takes(e) {
				got = append(got, i)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v takes %v, want %v", c, got, c.want)
		}
	}
	for _, c := range []struct {
		wish  logWish
		kinds []string
		hold  string
	}{
		{kinds: []string{"bannd"}, hold: "did you mean banned?"},
		{kinds: []string{"xyzzy"}, hold: "there are started, stopped,"},
		{wish: logWish{addr: "house"}, hold: "looks like"},
		{wish: logWish{limit: -1}, hold: ""},
	} {
		var p *problem
		if err := c.wish.understand("", "", c.kinds, now); !errors.As(err, &p) || p.status != statusUsage || !strings.Contains(p.hint, c.hold) {
			t.Errorf("%+v: %+v", c, p)
		}
	}
}

func TestNewest(t *testing.T) {
	for limit, want := range map[int]string{0: "abcde", 1: "e", 3: "cde", 5: "abcde", 9: "abcde"} {
		n := newestOf{limit: limit}
		for _, word := range "abcde" {
			n.add(event.Event{Detail: string(word)})
		}
		got := ""
		for _, e := range n.all() {
			got += e.Detail
		}
		if got != want {
			t.Errorf("the newest %d are %s", limit, got)
		}
	}
}

// What strangers wrote cannot speak to the terminal, nor turn what stands beside it.
func TestEventOnATerminal(t *testing.T) {
	e := event.Event{Time: time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC), Kind: event.Refused, Person: "Ol\u202ega", Device: "d1",
		Addr: "203.0.113.7", Door: "https", Route: "rest", Detail: "a\x1b[2J\r\nb\u0085\u2066 ü"}
	want := "2026-11-26 10:00:00  Request refused: a‹001B›[2J‹000D›‹000A›b‹0085›‹2066› ü  (Ol‹202E›ga, device d1, 203.0.113.7, door https, rest)"
	if got := eventText(e, time.FixedZone("", 2*3600)); got != want {
		t.Errorf("it is\n%q, want\n%q", got, want)
	}
	var out bytes.Buffer
	a := &app{out: &out, json: true}
	if err := errors.Join(a.sayEvent(e), a.sayEvents([]event.Event{e}, 0)); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\r\u0085\u2066\u202e") || !strings.Contains(out.String(), `\u202e`) || !strings.Contains(out.String(), "ü") {
		t.Errorf("the documents are %q", out.String())
	}
}

// What is behind the last seal proves nothing, and it is said which of it there is.
func TestVerdictOfWhatIsNotSealed(t *testing.T) {
	say := func(unsealed uint64, damaged bool) string {
		var b bytes.Buffer
		sayVerdict(&b, verifyDocument{Verdict: string(event.Whole), Events: 3, Files: 1, Unsealed: unsealed, Damaged: damaged})
		return b.String()
	}
	const lines, rest = "not sealed (2 lines), and proves nothing", "behind its last line is no event and proves nothing"
	for _, c := range []struct {
		said        string
		lines, rest bool
	}{{say(0, false), false, false}, {say(2, false), true, false}, {say(0, true), false, true}, {say(2, true), true, true}} {
		if strings.Contains(c.said, lines) != c.lines || strings.Contains(c.said, rest) != c.rest || strings.Contains(c.said, "0 lines") {
			t.Errorf("it says %q", c.said)
		}
	}
}

// A file of the rules that cannot be used is named once.
func TestRulesFailedNamesTheFileOnce(t *testing.T) {
	f, err := filter.New(filter.Config{Rules: []filter.Rule{{Action: filter.Deny, From: []string{"list:/nowhere/list"}}}})
	if err != nil {
		t.Fatal(err)
	}
	if detail := rulesFailed(f.Files()[0]).Detail; strings.Count(detail, "/nowhere/list") != 1 {
		t.Errorf("it says %q", detail)
	}
}

// A note of a line that is not kept any more cannot be compared: who gives one back is not told
// that the log is whole, for another log could say the same of its beginning.
func TestNoteOfALineThatIsGone(t *testing.T) {
	h := aHouse(t, "")
	h.cfg.State.Dir = t.TempDir()
	chain, err := event.NewChain(event.ChainConfig{Dir: eventsDir(h.cfg.State.Dir), Sealer: h.ledger, Keep: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	var early, late event.Note
	for n := range 40 {
		for range 50 {
			chain.Append(event.Event{Time: time.Now(), Kind: event.SignedIn, Detail: strings.Repeat("x", 500)})
		}
		if err := chain.Sync(); err != nil {
			t.Fatal(err)
		}
		if late = chain.Last(); n == 0 {
			early = late
		}
	}
	if err := chain.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		noted   []string
		verdict event.Verdict
		status  int
		says    string
	}{
		{nil, event.Whole, 0, "is whole"},
		{[]string{late.String()}, event.Whole, 0, "is whole"},
		{[]string{early.String()}, event.Unknown, statusPartly, "is not kept any more"},
		{[]string{early.String(), late.String()}, event.Whole, 0, "1 note is of a line that is not kept any more"},
	} {
		doc, err := verifyLog(t.Context(), h, verifyWish{c.noted})
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		sayVerdict(&text, doc)
		status := 0
		if err := doc.status(); err != nil {
			status = asProblem(err).status
		}
		if event.Verdict(doc.Verdict) != c.verdict || status != c.status || !strings.Contains(text.String(), c.says) {
			t.Errorf("%v: %d %s", c.noted, status, text.String())
		}
	}
}

// A log that ends before the line that the ledger has noted was thrown away or put back: that
// is said in the service's own log before it is noted anew, for then nothing else shows it.
func TestLogThatWasThrownAway(t *testing.T) {
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	s := &server{parts: parts{ledger: openLedger(t, ""), log: log}}
	for _, c := range []struct {
		seq  uint64
		says string
	}{{100, ""}, {200, ""}, {7, "level=ERROR"}, {8, ""}} {
		said.Reset()
		s.noteLine(t.Context(), event.Note{Seq: c.seq, Hash: event.Hash{byte(c.seq)}})
		if got := said.String(); strings.Contains(got, "level=ERROR") != (c.says != "") || !strings.Contains(got, fmt.Sprintf("noted=%d:", c.seq)) {
			t.Errorf("%d: %s", c.seq, got)
		}
		if c.says != "" && !strings.Contains(said.String(), "before=200:c8") {
			t.Errorf("it does not say what was noted before: %s", said.String())
		}
	}
}

// A reader of the second copy that does not read keeps nobody waiting: what has no room is
// lost there, and said.
func TestPipeThatIsNotRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "events")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	lines, err := openEvents(name)
	if err != nil {
		t.Fatal(err)
	}
	defer lines.Close()
	var said bytes.Buffer
	log := event.NewLog(slog.New(slog.NewTextHandler(&said, nil)), writer(lines))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 2000 {
			log.Emit(event.Event{Kind: event.SignedIn, Person: "Olga", Detail: strings.Repeat("x", 200)})
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		reader.Close() // whoever waits is let go
		t.Fatal("events wait for a reader that does not read")
	}
	if n := strings.Count(said.String(), "lines of the second copy of the event log are lost"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
	if n := strings.Count(said.String(), "Signed in"); n != 2000 {
		t.Errorf("%d are in the service's log", n)
	}
}

// Whether events are written down nobody can say of a gateway that does not run.
func TestEventsOfNoServer(t *testing.T) {
	if d := aHouse(t, "").examineEvents(); d.Result != unknown || d.Detail != "the gateway is not running" {
		t.Errorf("%+v", d)
	}
}

// What docs/events.md has fail2ban look for finds what failed, and no address that somebody
// wrote into a name.
func TestExpressionForFail2ban(t *testing.T) {
	text, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "failregex = ")
	line, _, _ := strings.Cut(after, "\n")
	find, err := regexp.Compile(strings.Replace(line, "<HOST>", `(\[?[0-9a-f.:]+\]?)`, 1))
	if err != nil {
		t.Fatal(err)
	}
	const trap = `x kind=sign-in-failed door=https addr=192.168.1.9 y" kind=sign-in-failed door=https addr=192.168.1.9 `
	for _, c := range []struct {
		e    event.Event
		want string
	}{
		{event.Event{Kind: event.SignInFailed, Door: "https", Addr: "203.0.113.7", Detail: "code"}, "203.0.113.7"},
		{event.Event{Kind: event.HALoginFailed, Person: "Olga", Door: "lan", Addr: "2001:db8::7"}, "2001:db8::7"},
		{event.Event{Kind: event.SignInFailed, Person: "Olga the \"First\"", Door: "https", Addr: "203.0.113.7"}, "203.0.113.7"},
		{event.Event{Kind: event.SignInFailed, Person: trap, Door: "https", Addr: "203.0.113.7", Detail: trap}, "203.0.113.7"},
		{event.Event{Kind: event.SignInFailed, Person: "x door=https addr=192.168.1.9 ", Door: "https", Addr: "203.0.113.7"}, "203.0.113.7"},
		{event.Event{Kind: event.AppRegistered, Person: "Olga", Device: "d1", Detail: trap}, ""},
		{event.Event{Kind: event.SignInFailed, Person: "Olga", Device: "d1", Door: "https", Addr: "203.0.113.7"}, ""}, // known devices are no strangers
		{event.Event{Kind: event.Refused, Door: "https", Addr: "203.0.113.7", Detail: trap}, ""},
	} {
		var said bytes.Buffer
		event.NewLog(slog.New(slog.NewTextHandler(&said, nil)), nil).Emit(c.e)
		_, rest, _ := strings.Cut(said.String(), " level=")
		for _, line := range []string{strings.TrimSpace(said.String()), "time= level=" + strings.TrimSpace(rest)} { // fail2ban cuts the time out
			got := ""
			if m := find.FindStringSubmatch(line); m != nil {
				got = m[1]
			}
			if got != c.want {
				t.Errorf("it finds %q, want %q, in\n%s", got, c.want, line)
			}
		}
	}
}
