package event

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// readLines reads what a log wrote for scripts.
func readLines(t *testing.T, lines *bytes.Buffer) (all []Event) {
	t.Helper()
	d := json.NewDecoder(lines)
	for d.More() {
		var e Event
		if err := d.Decode(&e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func stranger(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)})
}

// One stranger's refusals become ten lines, one a minute, and a sentence about the rest.
func TestOneStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text, lines bytes.Buffer
		l := NewLog(slog.New(slog.NewTextHandler(&text, nil)), &lines)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		for range 3 * 60 * 10 {
			l.Emit(Event{Kind: Refused, Source: stranger(7), Detail: "device is not known"})
			time.Sleep(100 * time.Millisecond)
		}
		stop()
		<-ended
		all := readLines(t, &lines)
		shown, held, said := 0, uint64(0), 0
		for _, e := range all {
			if e.More > 0 {
				held += e.More
				said++
				if !strings.HasSuffix(e.Detail, " more from 1 address") || e.Kind != Refused || e.Addr != "" {
					t.Errorf("it says %+v", e)
				}
				continue
			}
			shown++
			if e.Addr != "203.0.0.7" {
				t.Errorf("it is from %q", e.Addr)
			}
		}
		if shown < 11 || shown > 13 || said > 3 || said < 2 {
			t.Errorf("%d are shown, %d lines about the rest", shown, said)
		}
		if n := strings.Count(text.String(), "\n"); n != len(all) {
			t.Errorf("the service's log has %d lines, the other %d", n, len(all))
		}
		totals := l.Totals()
		if totals.Events[Refused] != 1800 || totals.Held[Refused] != 1800-uint64(shown) || held > totals.Held[Refused] {
			t.Errorf("counted are %+v", totals)
		}
	})
}

// A hundred thousand addresses that do all that strangers can write a few hundred lines
// an hour, and hide neither what the owner does nor that they came.
func TestManyStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		l := NewLog(nil, &lines)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		var kinds []Kind
		for _, k := range Kinds() {
			if k.ByStrangers() {
				kinds = append(kinds, k)
			}
		}
		const minutes, each = 10, 20000
		for minute := range minutes {
			for i := range each {
				l.Emit(Event{Kind: kinds[i%len(kinds)], Source: stranger(minute*each/2 + i)})
			}
			l.Emit(Event{Kind: DeviceRevoked, Person: "Olga", Device: "d1"})
			l.Emit(Event{Kind: SignInFailed, Person: "Olga", Device: "d2", Detail: "known"})
			for range 20 {
				l.Emit(Event{Kind: Unbanned, Addr: "203.0.113.0/24", Owner: true, Detail: "by the owner"})
			}
			time.Sleep(time.Minute)
		}
		stop()
		<-ended
		shown, said, owner, known, more := 0, 0, 0, 0, uint64(0)
		for _, e := range readLines(t, &lines) {
			switch {
			case e.More > 0:
				said++
				more += e.More
			case e.Kind == DeviceRevoked, e.Detail == "by the owner":
				owner++
			case e.Detail == "known":
				known++
			default:
				shown++
			}
		}
		if owner != 21*minutes || known != minutes {
			t.Errorf("of the owner are %d lines, want %d; of known devices %d, want %d", owner, 21*minutes, known, minutes)
		}
		if shown > 200+20*minutes || shown < 200 || said > len(kinds)*minutes || said < len(kinds)*(minutes-1) {
			t.Errorf("%d lines, and %d about the rest", shown, said)
		}
		all := uint64(0)
		for _, n := range l.Totals().Events {
			all += n
		}
		if want := uint64(minutes * each); all != want+22*minutes || uint64(shown)+more > want || uint64(shown)+more < want*9/10 {
			t.Errorf("%d happened, %d are shown, %d are in the lines about the rest", all, shown, more)
		}
	})
}

// A device of the house that is refused again and again gets a line a second.
func TestKnownDeviceThatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		l := NewLog(nil, &lines)
		for range 600 {
			l.Emit(Event{Kind: Refused, Device: "d1", Source: stranger(1)})
			time.Sleep(100 * time.Millisecond)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		all := readLines(t, &lines)
		last := all[len(all)-1]
		if n := len(all) - 1; n < 115 || n > 125 || last.Detail != fmt.Sprintf("and %d more from 1 device", 600-n) {
			t.Errorf("%d lines, then %+v", n, last)
		}
	})
}

// IPv6 networks count as one source each; what is no address counts as one, too.
func TestSourcesOfEvents(t *testing.T) {
	l := newLimiter()
	hash := func(s string) uint64 { return l.hash(&Event{Addr: s}) }
	same := [][2]string{{"2001:db8::1", "2001:db8::ffff:1"}, {"::ffff:203.0.113.7", "203.0.113.7"}, {"", "nobody"}, {"2001:db8::/64", "2001:db8::1"}}
	for _, s := range same {
		if hash(s[0]) != hash(s[1]) {
			t.Errorf("%q and %q are two", s[0], s[1])
		}
	}
	for _, s := range [][2]string{{"2001:db8::1", "2001:db8:0:1::1"}, {"203.0.113.7", "203.0.113.8"}, {"2001:db8::/64", "2001:db8:1::/64"}, {"::ffff:203.0.113.7", "::cb00:7107"}} {
		if hash(s[0]) == hash(s[1]) {
			t.Errorf("%q and %q are one", s[0], s[1])
		}
	}
}

// How many addresses were held back is right, about, and said in words.
func TestSourcesHeld(t *testing.T) {
	l := newLimiter()
	k := l.kinds[Refused]
	for _, c := range []struct {
		sources   int
		low, high int
	}{{1, 1, 1}, {2, 2, 2}, {50, 49, 50}, {3210, 3100, 3320}, {100_000, 97_000, 103_000}} {
		clear(k.seen[:])
		for i := range c.sources {
			bit := l.hash(&Event{Source: stranger(i)}) / sourceBuckets % seenBits
			k.seen[bit/64] |= 1 << (bit % 64)
		}
		var n int
		said := strings.NewReplacer(",", "", "about ", "").Replace(k.sourcesHeld())
		if _, err := fmt.Sscanf(said, "%d address", &n); err != nil || n < c.low || n > c.high {
			t.Errorf("%d sources are said to be %q", c.sources, k.sourcesHeld())
		}
	}
	for i := range k.seen {
		k.seen[i] = ^uint64(0)
	}
	if got := k.sourcesHeld(); got != "more than 300,000 addresses" {
		t.Errorf("a full map says %q", got)
	}
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 12345: "12,345", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is %q", n, got)
		}
	}
}

// What is held back costs nothing that must be collected.
func TestHeldBackAllocatesNothing(t *testing.T) {
	l := NewLog(nil, nil)
	e := Event{Kind: Refused, Source: stranger(1), Door: "https", Route: "states", Detail: "device is not known"}
	for range 100 {
		l.Emit(e)
	}
	if n := testing.AllocsPerRun(100, func() { l.Emit(e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What strangers write shows as what it is, in every line that is written.
func TestHiddenCharacters(t *testing.T) {
	const evil = "\x1b[2J\x07 \u202egnp\u2066 \u009b31m \u200b\x7f a\nb\r\u2028 \xff ok \U000e0041 Grüße 日本 👍"
	dir := filepath.Join(t.TempDir(), "events")
	var lines bytes.Buffer
	l, err := NewChainedLog(nil, &lines, ChainConfig{Dir: dir, Sealer: ours})
	if err != nil {
		t.Fatal(err)
	}
	l.Emit(Event{Kind: SignedIn, Person: evil, Detail: evil})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	check(t, dir, Whole)
	want := strings.ToValidUTF8(evil, "\ufffd")
	if got := details(t, dir, SignedIn); len(got) != 1 || got[0] != want {
		t.Errorf("read is %q", got)
	}
	if strings.ContainsFunc(lines.String()[:lines.Len()-1], func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x202e || r == 0x2066 }) ||
		!strings.Contains(lines.String(), "Grüße 日本 👍") {
		t.Errorf("the line is %q", lines.String())
	}
	if got := readLines(t, &lines); len(got) != 1 || got[0].Person != want {
		t.Errorf("%+v", got)
	}
}

// No field is longer than a line may have, and no line than a reader takes.
func TestLongEvents(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	l, err := NewChainedLog(nil, nil, ChainConfig{Dir: dir, Sealer: ours})
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"x", "\x01", "é", "\U000e0041", "\xff"} {
		long := strings.Repeat(what, 100_000)
		l.Emit(Event{Kind: SignedIn, Person: long, Device: long, Door: long, Addr: long, Route: long, Detail: long})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r := check(t, dir, Whole); r.Events != 6 {
		t.Errorf("%+v", r)
	}
	for _, d := range details(t, dir, SignedIn) {
		if len(d) > 4*maxDetail || !strings.HasSuffix(d, "…") {
			t.Errorf("%d bytes", len(d))
		}
	}
}

func BenchmarkEmit(b *testing.B) {
	for _, c := range []struct {
		name string
		e    Event
	}{
		{"held", Event{Kind: Refused, Source: stranger(1), Door: "https", Route: "states", Detail: "device is not known"}},
		{"kept", Event{Kind: SignedIn, Source: stranger(1), Door: "https", Person: "Olga", Device: "d1"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			l, err := NewChainedLog(nil, nil, ChainConfig{Dir: filepath.Join(b.TempDir(), "events"), Sealer: ours})
			if err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(b.Context())
			ended := make(chan error)
			go func() { ended <- l.Run(ctx) }()
			b.ReportAllocs()
			for b.Loop() {
				l.Emit(c.e)
			}
			stop()
			<-ended
			_ = l.Close()
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "events")
	c := testChain(b, dir)
	for range 10 {
		for range 4000 {
			c.Append(Event{Time: time.Now(), Kind: SignedIn, Person: "Olga", Device: "d1", Door: "https", Addr: "203.0.113.7", Detail: "a browser"})
		}
		if err := c.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	size := int64(0)
	for b.Loop() {
		r := check(b, dir, Whole)
		size = int64(r.Events)
	}
	b.ReportMetric(float64(size), "events")
}
