package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"go.uber.org/goleak"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is a directory with one finding: a file says "bad".
type host struct {
	fixer   *fix.Fixer
	dir     string
	started chan bool // Apply waits for the second value, where it is not nil
}

func newHost(t *testing.T) *host {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("bad\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	disk, err := fix.OpenDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	journal, err := fix.MakeJournal(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(disk.Close(), journal.Close()); err != nil {
			t.Error(err)
		}
	})
	h := &host{dir: dir}
	h.fixer = &fix.Fixer{Disk: disk, Journal: journal, Root: dir, Prove: func([]string) []finding.Finding { return []finding.Finding{h.judge(h.home())} }}
	return h
}

func (h *host) home() *facts.Host { return &facts.Host{Tree: h.fixer.Disk.Disk, Now: time.Now()} }

func (h *host) judge(home *facts.Host) finding.Finding {
	f := finding.Finding{ID: "test.file", Result: finding.Pass, Fixable: true}
	if t, err := home.Text("/file"); err != nil || t.Lines[0] == "bad" {
		f.Result = finding.Fail
	}
	return f
}

func (h *host) Findings(context.Context) ([]finding.Finding, error) {
	return []finding.Finding{h.judge(h.home()), {ID: "test.byhand", Result: finding.Fail}}, nil
}

func (h *host) Plan(_ context.Context, id string) (finding.Fix, error) {
	if id != "test.file" {
		return finding.Fix{}, fix.Refuse("", "there is no check %s", id)
	}
	p := fix.Make(h.home(), []fix.Rule{{ID: id, Judge: h.judge, Repair: func(home *facts.Host) (finding.Fix, error) {
		d := fix.Begin(home, "Says good.", "")
		d.Edit("/file", func(text string) (string, error) { return strings.Replace(text, "bad", "good", 1), nil })
		return d.Fix()
	}}})
	if p.Empty() {
		return finding.Fix{}, errors.New(p.Left[0].Why)
	}
	return p.Fixes[0], nil
}

func (h *host) Apply(ctx context.Context, f finding.Fix) (int, fix.State, error) {
	if h.started != nil {
		h.started <- true
		<-h.started
	}
	t, err := h.fixer.Apply(ctx, []finding.Fix{f})
	if err != nil {
		return 0, "", err
	}
	return t.N, t.State(), nil
}

// serve runs an agent, and returns what asks it.
func serve(t *testing.T, h *host, bans *Bans, allowed func(uint32) bool) func(path, body string) (int, Answer) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- New(h, bans, allowed, slog.New(slog.DiscardHandler)).Serve(ctx, l) }()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(func() {
		cancel()
		transport.CloseIdleConnections()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func(path, body string) (int, Answer) {
		r, err := (&http.Client{Transport: transport}).Post("http://gatehouse"+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return 0, Answer{}
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var a Answer
		if err := json.Unmarshal(text, &a); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		return r.StatusCode, a
	}
}

func anybody(uint32) bool { return true }

func TestAgentAppliesWhatWasShown(t *testing.T) {
	h := newHost(t)
	ask := serve(t, h, nil, anybody)
	if _, a := ask(Path+"list", "{}"); len(a.Findings) != 1 || a.Findings[0].ID != "test.file" {
		t.Errorf("it lists %v", a.Findings)
	}
	_, shown := ask(Path+"plan", `{"id":"test.file"}`)
	if shown.Offer == nil || len(shown.Offer.Shows) != 1 || !strings.Contains(shown.Offer.Shows[0], "+good") {
		t.Fatalf("it shows %+v", shown)
	}
	if status, a := ask(Path+"apply", `{"id":"test.file","digest":"`+shown.Offer.Digest+`"}`); status != http.StatusOK || a.N != 1 || a.State != fix.Applied {
		t.Errorf("%d %+v", status, a)
	}
	if text, err := os.ReadFile(filepath.Join(h.dir, "file")); string(text) != "good\n" {
		t.Errorf("%q %v", text, err)
	}
	if status, a := ask(Path+"apply", `{"id":"test.file","digest":"`+shown.Offer.Digest+`"}`); status != http.StatusUnprocessableEntity || a.Error == "" {
		t.Errorf("a second time: %d %+v", status, a)
	}
}

// The digest of another fix, none, or of one that was shown before the file changed: nothing
// is done. There is no way to have it do what it did not work out itself.
func TestAgentAppliesNothingElse(t *testing.T) {
	h := newHost(t)
	ask := serve(t, h, nil, anybody)
	_, shown := ask(Path+"plan", `{"id":"test.file"}`)
	if err := os.WriteFile(filepath.Join(h.dir, "file"), []byte("bad\nmore\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]int{
		`{"id":"test.file","digest":"` + shown.Offer.Digest + `"}`: http.StatusUnprocessableEntity,
		`{"id":"test.file"}`: http.StatusUnprocessableEntity,
		`{"id":"test.other","digest":"` + shown.Offer.Digest + `"}`: http.StatusUnprocessableEntity,
		`{"id":"test.file","digest":"x","steps":[]}`:                http.StatusBadRequest,
		`{"id":"test.file","id":"test.file","digest":"x"}`:          http.StatusBadRequest,
		`[]`:                        http.StatusBadRequest,
		strings.Repeat(" ", 10<<10): http.StatusBadRequest,
	} {
		if status, a := ask(Path+"apply", body); status != want || a.Error == "" {
			t.Errorf("%.60s: %d %+v", body, status, a)
		}
	}
	for _, path := range []string{Path + "undo", Path + "confirm", "/", Path} {
		if status, _ := ask(path, "{}"); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
	if text, err := os.ReadFile(filepath.Join(h.dir, "file")); string(text) != "bad\nmore\n" {
		t.Errorf("%q %v", text, err)
	}
}

func TestAgentHearsNobodyElse(t *testing.T) {
	me := uint32(os.Geteuid())
	h := newHost(t)
	asked := false
	ask := serve(t, h, nil, func(uid uint32) bool { asked = asked || uid == me; return uid != me })
	for _, path := range []string{Path + "list", Path + "plan", Path + "apply", Path + "ban", Path + "unban", Path + "bans", "/"} {
		if status, a := ask(path, `{"id":"test.file"}`); status != http.StatusForbidden || a.Offer != nil || a.Findings != nil {
			t.Errorf("%s: %d %+v", path, status, a)
		}
	}
	if !asked {
		t.Error("the kernel was not asked who it is")
	}
}

func TestAgentDoesOneThingAtATime(t *testing.T) {
	h := newHost(t)
	h.started = make(chan bool)
	ask := serve(t, h, nil, anybody)
	_, shown := ask(Path+"plan", `{"id":"test.file"}`)
	first := make(chan int)
	go func() {
		status, _ := ask(Path+"apply", `{"id":"test.file","digest":"`+shown.Offer.Digest+`"}`)
		first <- status
	}()
	<-h.started
	if status, a := ask(Path+"list", "{}"); status != http.StatusConflict {
		t.Errorf("%d %+v", status, a)
	}
	h.started <- true
	if status := <-first; status != http.StatusOK {
		t.Errorf("the first: %d", status)
	}
}
