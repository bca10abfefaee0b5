package event

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/chacha20poly1305"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("GATEHOUSE_TEST_WRITE_EVENTS"); dir != "" {
		writeUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

// box seals as the ledger does, with a key that is one byte repeated.
type box byte

func (b box) Seal(name string, secret []byte) []byte {
	aead, err := chacha20poly1305.NewX(bytes.Repeat([]byte{byte(b)}, 32))
	if err != nil {
		panic(err)
	}
	nonce := make([]byte, aead.NonceSize())
	return aead.Seal(nonce, nonce, secret, []byte(name)) // a test may use a nonce twice
}

func (b box) Open(name string, sealed []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(bytes.Repeat([]byte{byte(b)}, 32))
	if err != nil || len(sealed) < aead.NonceSize() {
		return nil, errors.New("too short")
	}
	return aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(name))
}

const ours = box(1)

// testChain is a chain in a new directory, and testLog's.
func testChain(t testing.TB, dir string, change ...func(*ChainConfig)) *Chain {
	t.Helper()
	c := ChainConfig{Dir: dir, Sealer: ours}
	for _, f := range change {
		f(&c)
	}
	chain, err := NewChain(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = chain.Close() })
	return chain
}

// happened makes events, a seal after every third.
func happened(t testing.TB, c *Chain, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		c.Append(Event{Time: time.Date(2026, 11, 26, 8, 0, i, 0, time.UTC), Kind: SignedIn, Person: "Olga", Detail: fmt.Sprint(i)})
		if i%3 == 2 {
			if err := c.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.Sync(); err != nil {
		t.Fatal(err)
	}
}

// details are what a Reader finds.
func details(t testing.TB, dir string, kind Kind) (found []string) {
	t.Helper()
	r, err := OpenReader(dir, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Read(func(e Event) bool {
		if e.Kind == kind {
			found = append(found, e.Detail)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

func numbered(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

func check(t testing.TB, dir string, want Verdict, notes ...Note) Report {
	t.Helper()
	r := Verify(t.Context(), dir, ours, notes...)
	if r.Verdict != want {
		t.Fatalf("the verdict is %s: %s (%s:%d), want %s", r.Verdict, r.Why, r.Segment, r.Line, want)
	}
	return r
}

func TestChainGoesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	check(t, dir, Unknown)
	for i := range 4 {
		c := testChain(t, dir)
		if c.Last().Seq != 0 {
			t.Error("a chain that is not open has a last line")
		}
		happened(t, c, 10*i, 10*i+10)
		note := c.Last()
		check(t, dir, Whole, note)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		r := check(t, dir, Whole, note)
		if r.Matched != 1 || r.Segments != 1 || r.Unsealed != 0 || r.Torn || r.Events != uint64(10*i+11) || r.Last.Seq < note.Seq || r.First != 1 {
			t.Errorf("%+v", r)
		}
	}
	if got := details(t, dir, SignedIn); !slices.Equal(got, numbered(0, 40)) {
		t.Errorf("the events are %v", got)
	}
	if got := details(t, dir, LogBegun); !slices.Equal(got, []string{""}) {
		t.Errorf("it began %q", got)
	}
	for name, mode := range map[string]os.FileMode{".": 0o700 | os.ModeDir, segmentName(1): 0o600, headName: 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
	}
}

// Whatever is changed in what was sealed is found, and where.
func TestChangedLog(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "events")
	happened(t, testChain(t, whole), 0, 10)
	text, err := os.ReadFile(filepath.Join(whole, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
	note := check(t, whole, Whole).Last
	for name, c := range map[string]struct {
		change func([]string) []string
		line   int // where it is found; 0: at the end
	}{
		"a word":             {func(l []string) []string { l[3] = strings.Replace(l[3], "Olga", "Anna", 1); return l }, 4},
		"a line taken out":   {func(l []string) []string { return slices.Delete(l, 4, 5) }, 5},
		"a line twice":       {func(l []string) []string { return slices.Insert(l, 4, l[4]) }, 6},
		"two lines swapped":  {func(l []string) []string { l[3], l[4] = l[4], l[3]; return l }, 4},
		"the head line":      {func(l []string) []string { return l[1:] }, 1},
		"all behind a seal":  {func(l []string) []string { return l[:slices.IndexFunc(l, isSeal)+1] }, 0},
		"the last line":      {func(l []string) []string { return l[:len(l)-1] }, 0},
		"all":                {func(l []string) []string { return nil }, 0},
		"a space":            {func(l []string) []string { l[2] = strings.Replace(l[2], ",", ", ", 1); return l }, 3},
		"an empty line":      {func(l []string) []string { return slices.Insert(l, 2, "\n") }, 3},
		"a line without end": {func(l []string) []string { l[2] = strings.TrimSuffix(l[2], "\n"); return l }, 3},
		"a hash worked out anew": {func(l []string) []string {
			before := lineHash(l[5])
			for i := 6; i < len(l); i++ {
				text, _, err := splitLine([]byte(strings.TrimSuffix(strings.Replace(l[i], "Olga", "Anna", 1), "\n")))
				if err != nil {
					t.Fatal(err)
				}
				line, hash := link(before, bytes.Clone(text))
				l[i], before = string(line), hash
			}
			return l
		}, 7 + slices.IndexFunc(lines[6:], isSeal)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "events")
			copyDir(t, whole, dir)
			changed := c.change(slices.Clone(lines))
			if err := os.WriteFile(filepath.Join(dir, segmentName(1)), []byte(strings.Join(changed, "")), 0o600); err != nil {
				t.Fatal(err)
			}
			r := check(t, dir, Broken)
			if r.Line != c.line || c.line > 0 && r.Segment != segmentName(1) {
				t.Errorf("found at %s:%d (%s), want line %d", r.Segment, r.Line, r.Why, c.line)
			}
			if len(changed) > 0 && changed[0] != lines[0] {
				return // without its head line nobody can begin
			}
			if err := os.Remove(filepath.Join(dir, headName)); err != nil {
				t.Fatal(err)
			}
			want := Broken
			if c.line == 0 {
				want = Unknown // without the head, nobody knows where it should end
			}
			if len(changed) > 0 {
				check(t, dir, want)
			}
			check(t, dir, Broken, note)
		})
	}
}

func isSeal(line string) bool { return strings.Contains(line, `"seal":`) }

func lineHash(line string) Hash {
	_, hash, err := splitLine([]byte(strings.TrimSuffix(line, "\n")))
	if err != nil {
		panic(err)
	}
	return hash
}

func copyDir(t testing.TB, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// A bit that is turned anywhere is found.
func TestAnyBitOfTheLog(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "events")
	happened(t, testChain(t, whole), 0, 4)
	name := filepath.Join(whole, segmentName(1))
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(text); i += 5 {
		bad := bytes.Clone(text)
		bad[i] ^= 1 << (i % 8)
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		check(t, whole, Broken)
	}
}

// Whoever has taken over the service has all its keys. What was sealed before stays
// provable: they can neither change it nor cut it off.
func TestTakenOver(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	c := testChain(t, dir)
	happened(t, c, 0, 3)
	early := filepath.Join(t.TempDir(), "early")
	copyDir(t, dir, early)
	happened(t, c, 3, 6)
	note := c.Last()
	happened(t, c, 6, 9)

	// The log of an hour ago, with the key of today: it is in the head, and theirs to read.
	now := c.head
	stolen := testChain(t, early)
	if err := stolen.work((*Chain).open); err != nil {
		t.Fatal(err)
	}
	stolen.head.Private, stolen.head.Made = now.Private, now.Made
	if err := stolen.head.save(stolen.root, ours); err != nil {
		t.Fatal(err)
	}
	if r := check(t, early, Broken); !strings.Contains(r.Why, "lines are missing at the end: the key") {
		t.Errorf("it says %q", r.Why)
	}
	stolen.Append(Event{Time: time.Now(), Kind: SignedIn})
	if err := stolen.Sync(); err != nil {
		t.Fatal(err)
	}
	if r := check(t, early, Broken); !strings.Contains(r.Why, "a key that no seal before it named") {
		t.Errorf("it says %q", r.Why)
	}

	// All thrown away and begun anew: only what was noted elsewhere tells.
	fresh := filepath.Join(t.TempDir(), "fresh")
	happened(t, testChain(t, fresh), 0, 9)
	check(t, fresh, Whole)
	if r := check(t, fresh, Broken, note); !strings.Contains(r.Why, "noted elsewhere") {
		t.Errorf("it says %q", r.Why)
	}
	check(t, dir, Whole, note)
}

// Power goes at any byte of what was not sealed yet: that is no tampering. The next
// start cuts off what is half written, and says so.
func TestPowerCut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	c := testChain(t, dir)
	happened(t, c, 0, 3)
	before, err := os.ReadFile(filepath.Join(dir, headName))
	if err != nil {
		t.Fatal(err)
	}
	sealed := c.size
	happened(t, c, 3, 6) // with a seal, whose key was not kept when the power went
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	step := 11 // no divisor of a line's length, so that all kinds of places are met
	if testing.Short() {
		step = 37
	}
	for cut := int(sealed); cut <= len(text); cut += step {
		for i, rest := range []string{"", "\x00\x00\x00\x00", "\n{}\n\n"} {
			if cut%3 != i {
				continue
			}
			if err := errors.Join(os.WriteFile(filepath.Join(dir, segmentName(1)), append(bytes.Clone(text[:cut]), rest...), 0o600),
				os.WriteFile(filepath.Join(dir, headName), before, 0o600)); err != nil {
				t.Fatal(err)
			}
			was := check(t, dir, Whole)
			c := testChain(t, dir)
			happened(t, c, 9, 10)
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			r := check(t, dir, Whole)
			if r.Unsealed != 0 || r.Torn {
				t.Fatalf("cut at %d: %+v", cut, r)
			}
			got := details(t, dir, SignedIn)
			if len(got) < 4 || !slices.Equal(got[:3], numbered(0, 3)) || got[len(got)-1] != "9" {
				t.Fatalf("cut at %d: the events are %v", cut, got)
			}
			if repaired := len(details(t, dir, LogRepaired)) == 1; repaired != was.Torn {
				t.Fatalf("cut at %d%q: torn %v, repaired %v", cut, rest, was.Torn, repaired)
			}
		}
	}
}

// What the log was when the process was killed is gone on with: also where that was
// between two segments.
func TestPowerCutBetweenSegments(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	c := testChain(t, dir)
	happened(t, c, 0, 3)
	if err := c.work((*Chain).rotate); err != nil {
		t.Fatal(err)
	}
	c.Append(Event{Time: time.Now(), Kind: SignedIn, Detail: "3"})
	if err := c.work((*Chain).flush); err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(filepath.Join(dir, segmentName(2)))
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(t.TempDir(), "state")
	for cut := 0; cut <= len(second); cut += 17 {
		copyDir(t, dir, state)
		if err := os.WriteFile(filepath.Join(state, segmentName(2)), second[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		check(t, state, Whole)
		next := testChain(t, state)
		happened(t, next, 4, 5)
		if err := next.Close(); err != nil {
			t.Fatal(err)
		}
		if r := check(t, state, Whole); r.Segments != 2 {
			t.Fatalf("cut at %d: %+v", cut, r)
		}
	}
}

// Segments rotate by size; the oldest go; the rest is proved from its own beginning.
func TestRotationAndPruning(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	c := testChain(t, dir, func(c *ChainConfig) { c.Keep = 4 * minSegment })
	happened(t, c, 0, 10)
	first := c.Last()
	var note Note
	for i := range 60 {
		for range 50 {
			c.Append(Event{Time: time.Now(), Kind: SignedIn, Detail: strings.Repeat("x", 200)})
		}
		if err := c.Sync(); err != nil {
			t.Fatal(err)
		}
		if i == 55 {
			note = c.Last()
		}
		check(t, dir, Whole, first)
	}
	r := check(t, dir, Whole, first, note)
	if r.Pruned != 1 || r.Matched != 1 || r.First < 1000 || r.Segments < 3 {
		t.Errorf("%+v", r)
	}
	var total int64
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > 4*minSegment+64<<10 {
		t.Errorf("%d bytes are kept", total)
	}
	// A segment that is missing is no pruning.
	happened(t, c, 10, 11)
	numbers := kept(t, dir)
	for _, n := range []uint64{numbers[0], numbers[1], numbers[len(numbers)-1]} {
		spoilt := filepath.Join(t.TempDir(), "events")
		copyDir(t, dir, spoilt)
		if err := os.Remove(filepath.Join(spoilt, segmentName(n))); err != nil {
			t.Fatal(err)
		}
		check(t, spoilt, Broken)
	}
	// What pruning left over when the power went is none of it.
	if err := os.WriteFile(filepath.Join(dir, segmentName(1)), []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, dir, Whole)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	happened(t, testChain(t, dir), 0, 1)
	if kept(t, dir)[0] == 1 {
		t.Error("what was left over is still there")
	}
}

func kept(t testing.TB, dir string) []uint64 {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	numbers, err := segments(root)
	if err != nil {
		t.Fatal(err)
	}
	return numbers
}

// What is older than it may be goes, though there is little of it.
func TestKeepFor(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	synctest.Test(t, func(t *testing.T) {
		c := testChain(t, dir, func(c *ChainConfig) { c.KeepFor = 80 * time.Hour })
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.Run(ctx) }()
		for i := range 200 {
			c.Append(Event{Time: time.Now(), Kind: SignedIn, Detail: fmt.Sprint(i)})
			time.Sleep(time.Hour)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		check(t, dir, Whole)
		got := details(t, dir, SignedIn)
		if len(got) < 80 || len(got) > 105 || got[len(got)-1] != "199" {
			t.Errorf("%d events are kept, from %v", len(got), got[:1])
		}
	})
}

// A log whose end is not what was written is left as it is, and another begun behind it.
func TestBeginsAnew(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "events")
	c := testChain(t, whole)
	happened(t, c, 0, 5)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(dir string) error{
		"lines are missing at its end": func(dir string) error { return os.Truncate(filepath.Join(dir, segmentName(1)), 1000) },
		"its last seal is not":         func(dir string) error { return spoilLast(filepath.Join(dir, segmentName(1))) },
		"its head is missing":          func(dir string) error { return os.Remove(filepath.Join(dir, headName)) },
		"head cannot be opened":        func(dir string) error { return os.WriteFile(filepath.Join(dir, headName), []byte("x"), 0o600) },
		"segment 1 is missing":         func(dir string) error { return os.Remove(filepath.Join(dir, segmentName(1))) },
		"more segments": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, segmentName(7)), nil, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "events")
			copyDir(t, whole, dir)
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			next := testChain(t, dir)
			happened(t, next, 5, 7)
			got := details(t, dir, LogBegun)
			if len(got) == 0 || !strings.Contains(got[len(got)-1], name) {
				t.Errorf("it says %q", got)
			}
			if r := check(t, dir, Broken); !strings.Contains(r.Why, "begins anew") {
				t.Errorf("it says %q", r.Why)
			}
		})
	}
}

func spoilLast(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	text[len(text)-5] ^= 1
	return os.WriteFile(name, text, 0o600)
}

// With another key than the ledger's nothing can be said of the end.
func TestOtherKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	happened(t, testChain(t, dir), 0, 5)
	r := Verify(t.Context(), dir, box(2))
	if r.Verdict != Unknown || !strings.Contains(r.Why, "another key") || r.Events != 6 {
		t.Errorf("%+v", r)
	}
}

// While nothing can be written, events are counted; then the chain goes on and says how many.
func TestFullDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	var told []error
	c := testChain(t, dir, func(c *ChainConfig) { c.Trouble = func(err error) { told = append(told, err) } })
	happened(t, c, 0, 3)
	fill := func() {
		c.files.Lock()
		defer c.files.Unlock()
		if c.root == nil {
			if err := c.open(); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.file.Close(); err != nil {
			t.Fatal(err)
		}
		full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		c.file = full
	}
	for i := range 5 {
		fill()
		c.Append(Event{Time: time.Now(), Kind: SignedIn, Detail: "lost"})
		if c.Sync() == nil {
			t.Fatalf("%d: nobody notices", i)
		}
	}
	if len(told) != 1 || !strings.Contains(told[0].Error(), "no space left") {
		t.Errorf("told %v", told)
	}
	if c.Lost() != 5 || c.Wrong() == nil {
		t.Errorf("%d are lost, %v is wrong", c.Lost(), c.Wrong())
	}
	happened(t, c, 3, 6)
	if err := c.Wrong(); err != nil {
		t.Errorf("%v is wrong still", err)
	}
	if got := details(t, dir, SignedIn); !slices.Equal(got, numbered(0, 6)) {
		t.Errorf("the events are %v", got)
	}
	if got := details(t, dir, EventsLost); !slices.Equal(got, []string{"5 of them"}) {
		t.Errorf("lost are %v", got)
	}
	check(t, dir, Whole)
}

// A directory that cannot be made is no reason to stop, and is tried again.
func TestNoDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := testChain(t, dir)
	for range maxQueue + 10 {
		c.Append(Event{Time: time.Now(), Kind: SignedIn})
	}
	if c.Sync() == nil {
		t.Error("nobody notices")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	happened(t, c, 0, 1)
	if got := details(t, dir, EventsLost); !slices.Equal(got, []string{"4,106 of them"}) {
		t.Errorf("lost are %v", got)
	}
}

// Run writes at once, and seals within two seconds; nothing that happens after its end is lost.
func TestRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	synctest.Test(t, func(t *testing.T) {
		c := testChain(t, dir)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.Run(ctx) }()
		c.Append(Event{Time: time.Now(), Kind: SignedIn, Detail: "0"})
		synctest.Wait()
		if got := details(t, dir, SignedIn); !slices.Equal(got, numbered(0, 1)) {
			t.Errorf("written are %v", got)
		}
		time.Sleep(2 * time.Second)
		if r := check(t, dir, Whole); r.Unsealed != 0 {
			t.Errorf("%+v", r)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		c.Append(Event{Time: time.Now(), Kind: Stopped})
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if r := check(t, dir, Whole); r.Events != 3 || r.Unsealed != 0 {
			t.Errorf("%+v", r)
		}
	})
}

// A link in the place of a file of ours is not followed.
func TestLogFollowsNoLinks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	c := testChain(t, dir)
	happened(t, c, 0, 2)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	trap := filepath.Join(t.TempDir(), "trap")
	name := filepath.Join(dir, segmentName(1))
	if err := errors.Join(os.Rename(name, trap), os.Symlink(trap, name)); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(trap)
	if err != nil {
		t.Fatal(err)
	}
	c.Append(Event{Time: time.Now(), Kind: SignedIn})
	_ = c.Sync()
	after, err := os.ReadFile(trap)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("what the link leads to was written to, %v", err)
	}
	check(t, dir, Unknown)
}

// A log that was thrown away, and another of the same length put in its place, is not the one
// that was noted, though the note is of its very last line.
func TestAnotherLogOfTheSameLength(t *testing.T) {
	one, other := filepath.Join(t.TempDir(), "events"), filepath.Join(t.TempDir(), "events")
	a, b := testChain(t, one), testChain(t, other)
	for n := range 4 {
		happened(t, a, 3*n, 3*n+3)
		happened(t, b, 3*n, 3*n+3)
		note := a.Last()
		if note.Seq != b.Last().Seq {
			t.Fatalf("%d and %d", note.Seq, b.Last().Seq)
		}
		if r := check(t, one, Whole, note); r.Matched != 1 {
			t.Errorf("%+v", r)
		}
		if r := check(t, other, Broken, note); !strings.Contains(r.Why, "noted elsewhere") {
			t.Errorf("%+v", r)
		}
	}
}

// Files that are taken away under a chain that is written are missed at the next event: what
// happens from then on is where people look for it, and not in a file that has no name.
func TestTakenAwayWhileWritten(t *testing.T) {
	for name, c := range map[string]struct {
		take    func(dir string) error
		verdict Verdict
		why     string
	}{
		"the directory is moved":   {func(dir string) error { return os.Rename(dir, dir+".old") }, Whole, "taken away"},
		"the directory is removed": {os.RemoveAll, Whole, "taken away"},
		"the segment is removed":   {func(dir string) error { return os.Remove(filepath.Join(dir, segmentName(1))) }, Broken, "segment 1 is missing"},
		"the segment is replaced": {func(dir string) error {
			name := filepath.Join(dir, segmentName(1))
			text, err := os.ReadFile(name)
			return errors.Join(err, os.WriteFile(name+".new", text, 0o600), os.Rename(name+".new", name))
		}, Whole, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "events")
			chain := testChain(t, dir)
			happened(t, chain, 0, 3)
			last := chain.Last()
			if err := c.take(dir); err != nil {
				t.Fatal(err)
			}
			happened(t, chain, 3, 6)
			found, begun := details(t, dir, SignedIn), details(t, dir, LogBegun)
			if len(found) < 3 || !slices.Equal(found[len(found)-3:], numbered(3, 6)) {
				t.Errorf("in the log are %v", found)
			}
			if !strings.Contains(begun[len(begun)-1], c.why) {
				t.Errorf("it begins with %q", begun)
			}
			check(t, dir, c.verdict)
			if c.why != "" {
				check(t, dir, Broken, last)
			}
		})
	}
}

// Whoever follows the log goes on in the directory that has its name.
func TestFollowedOverAMove(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	chain := testChain(t, dir)
	happened(t, chain, 0, 3)
	r, err := OpenReader(dir, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	read := func() (found []string) {
		if err := r.Read(func(e Event) bool {
			if e.Kind == SignedIn {
				found = append(found, e.Detail)
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		return found
	}
	if got := read(); !slices.Equal(got, numbered(0, 3)) {
		t.Errorf("at first %v", got)
	}
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if got := read(); got != nil {
		t.Errorf("while there is none %v", got)
	}
	happened(t, chain, 3, 6)
	if got := read(); !slices.Equal(got, numbered(3, 6)) {
		t.Errorf("after it was moved %v", got)
	}
}

// What is wanted since a time is found in whatever segment it is, though the clock was set
// back meanwhile, as it is when a computer without a clock of its own starts.
func TestReadSinceOverAClockSetBack(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	at := func(hour int) time.Time { return time.Date(2026, 11, 26, hour, 0, 0, 0, time.UTC) }
	began := time.Date(1970, 1, 1, 0, 0, 1, 0, time.UTC)
	for i, segment := range [][]time.Time{{at(6), at(7)}, {at(9), at(11)}, {began, at(12)}, {at(13), at(14)}} {
		var end place
		end.seq = uint64(100 * i)
		head, err := textOf(headLine{end.seq + 1, segment[0], uint64(i + 1), Hash{}.String(), keyText(make([]byte, 32))})
		if err != nil {
			t.Fatal(err)
		}
		lines := end.add(nil, head)
		for _, when := range segment {
			text, err := textOf(eventLine{end.seq + 1, Event{Time: when, Kind: SignedIn, Detail: when.Format("15")}})
			if err != nil {
				t.Fatal(err)
			}
			lines = end.add(lines, text)
		}
		if err := root.WriteFile(segmentName(uint64(i+1)), lines, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for since, want := range map[int][]string{8: {"09", "11", "12", "13", "14"}, 10: {"11", "12", "13", "14"}, 12: {"12", "13", "14"}, 14: {"14"}, 20: nil} {
		r, err := OpenReader(root.Name(), at(since))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		err = r.Read(func(e Event) bool {
			if !e.Time.Before(at(since)) {
				got = append(got, e.Detail)
			}
			return true
		})
		if err = errors.Join(err, r.Close()); err != nil || !slices.Equal(got, want) {
			t.Errorf("since %d: %v, want %v (%v)", since, got, want, err)
		}
	}
}
