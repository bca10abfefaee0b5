package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Every kind that is declared is in Kinds, has a sentence of its own, and a text
// that scripts can match on.
func TestEveryKind(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []Kind
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Kind" {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Error(err)
			}
			declared = append(declared, Kind(text))
		}
		return true
	})
	if len(declared) == 0 || !slices.Equal(declared, Kinds()) {
		t.Errorf("declared are\n%v\nKinds returns\n%v", declared, Kinds())
	}
	said := make(map[string]Kind)
	for _, k := range declared {
		s := sentences[k]
		if s == "" || s[0] < 'A' || s[0] > 'Z' || strings.HasSuffix(s, ".") || s != k.Sentence() {
			t.Errorf("%s has the sentence %q", k, s)
		}
		if other, taken := said[s]; taken {
			t.Errorf("%s and %s have one sentence", k, other)
		}
		said[s] = k
		if strings.Trim(string(k), "abcdefghijklmnopqrstuvwxyz-") != "" {
			t.Errorf("%q is not lower-case words", k)
		}
	}
	if len(sentences) != len(declared) {
		t.Errorf("%d sentences for %d kinds", len(sentences), len(declared))
	}
	if got := Kind("other").Sentence(); got != "other" {
		t.Errorf("a kind that is none says %q", got)
	}
}

func TestLog(t *testing.T) {
	var text, lines bytes.Buffer
	l := NewLog(slog.New(slog.NewTextHandler(&text, nil)), &lines)
	at := time.Date(2026, 11, 24, 13, 0, 0, 0, time.FixedZone("", 3600))
	l.Emit(Event{Time: at, Kind: SignedIn, Person: "Olga \"O\"\n", Device: "d1", Door: "https", Addr: "203.0.113.7"})
	l.Emit(Event{Kind: RecoveryUsed, Detail: "9 left", Route: "RouteShell"})
	got := strings.Split(strings.TrimSuffix(lines.String(), "\n"), "\n")
	want := `{"time":"2026-11-24T12:00:00Z","kind":"signed-in","person":"Olga \"O\"\n","device":"d1","door":"https","addr":"203.0.113.7"}`
	if len(got) != 2 || got[0] != want {
		t.Errorf("lines are\n%s", lines.String())
	}
	var second Event
	if err := json.Unmarshal([]byte(got[1]), &second); err != nil || second.Time.IsZero() || second.Detail != "9 left" {
		t.Errorf("the second is %+v, %v", second, err)
	}
	if s := text.String(); !strings.Contains(s, `level=INFO msg="Signed in" kind=signed-in person="Olga \"O\"\n" device=d1`) ||
		!strings.Contains(s, `level=WARN msg="Recovery code used" kind=recovery-used route=RouteShell detail="9 left"`) {
		t.Errorf("the log is\n%s", s)
	}
}

// failing is a disk that is full for a while.
type failing struct{ full bool }

func (f *failing) Write(p []byte) (int, error) {
	if f.full {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

// Where lines are lost, the log says so once, and again after it was over.
func TestLostLines(t *testing.T) {
	var text bytes.Buffer
	disk := &failing{}
	l := NewLog(slog.New(slog.NewTextHandler(&text, nil)), disk)
	for _, full := range []bool{false, true, true, false, true} {
		disk.full = full
		l.Emit(Event{Kind: SignedIn})
	}
	if n := strings.Count(text.String(), "disk full"); n != 2 {
		t.Errorf("said %d times, want 2:\n%s", n, text.String())
	}
	var none *Log
	none.Emit(Event{Kind: SignedIn})
	NewLog(nil, nil).Emit(Event{Kind: SignedIn})
}

func TestManyAtOnce(t *testing.T) {
	var lines bytes.Buffer
	l := NewLog(nil, &lines)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { l.Emit(Event{Kind: SignedIn, Detail: strings.Repeat("x", 1000)}) })
	}
	wg.Wait()
	d := json.NewDecoder(&lines)
	for range 50 {
		var e Event
		if err := d.Decode(&e); err != nil || len(e.Detail) != 1000 {
			t.Fatalf("a line is torn: %v", err)
		}
	}
}
