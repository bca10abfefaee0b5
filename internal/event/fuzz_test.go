package event

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzSegment gives a log what somebody else wrote: behind what was sealed, and in the
// place of all of it. It is read without harm, is never whole where it was changed, and
// is gone on with.
func FuzzSegment(f *testing.F) {
	whole := filepath.Join(f.TempDir(), "events")
	c := testChain(f, whole)
	happened(f, c, 0, 3)
	text, err := os.ReadFile(filepath.Join(whole, segmentName(1)))
	if err != nil {
		f.Fatal(err)
	}
	for _, tail := range []string{"", "{", "\n", "{}\n", `{"seq":6,"time":"2026-11-26T08:00:00Z","kind":"refused","hash":"00"}` + "\n", `{"seq":6,"segment":2}` + "\n"} {
		f.Add([]byte(tail), false)
		f.Add([]byte(tail), true)
	}
	f.Add(text, true)
	f.Add(bytes.Replace(text, []byte("Olga"), []byte("Anna"), 1), true)
	f.Fuzz(func(t *testing.T, wrote []byte, all bool) {
		dir := filepath.Join(t.TempDir(), "events")
		copyDir(t, whole, dir)
		now := wrote
		if !all {
			now = append(bytes.Clone(text), wrote...)
		}
		if err := os.WriteFile(filepath.Join(dir, segmentName(1)), now, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := OpenReader(dir, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if err := r.Read(func(Event) bool { return true }); err != nil {
			t.Fatal(err)
		}
		want := Broken
		if bytes.HasPrefix(now, text) {
			want = Whole
		}
		check(t, dir, want)
		next := testChain(t, dir)
		happened(t, next, 3, 4)
		if err := next.Close(); err != nil {
			t.Fatal(err)
		}
		after := check(t, dir, want)
		if want == Whole && (after.Unsealed != 0 || after.Torn) {
			t.Errorf("%+v", after)
		}
		if got := details(t, dir, SignedIn); got[len(got)-1] != "3" {
			t.Errorf("the events are %v", got)
		}
	})
}

// FuzzRecord reads lines: what is taken for one is one of the three, and its parts are
// what they were.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"seq":1,"time":"2026-11-26T08:00:00Z","kind":"refused","hash":"00"}`))
	f.Add([]byte(`{"seq":1,"time":"2026-11-26T08:00:00Z","segment":1,"after":"00","key":"","hash":""}`))
	f.Add([]byte(`{"seq":1,"Seq":2,"time":"2026-11-26T08:00:00Z","kind":"refused","kind":"banned"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := readRecord(line)
		if err != nil {
			return
		}
		if r.Kind == "" && r.Segment == 0 && r.Seal == "" || r.Kind != "" && r.Seal != "" {
			t.Errorf("%q is %+v", line, r)
		}
		p := place{seq: r.Seq - 1}
		before := p
		if _, err := p.step(line); err != nil && (p.seq != before.seq || p.hash != before.hash) {
			t.Errorf("%q was refused and is gone on from", line)
		}
	})
}
