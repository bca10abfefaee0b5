package filter

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// diary is what a filter has told of its files.
type diary struct {
	mu   sync.Mutex
	said []string
}

func (d *diary) told(f File) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.said = append(d.said, filepath.Base(f.Path)+" "+f.State)
}

func (d *diary) take() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := strings.Join(d.said, ", ")
	d.said = nil
	return all
}

// watched runs a filter in a bubble of its own time. pass lets it look twice.
func watched(t *testing.T, rules []Rule, files map[string]string, what func(f *Filter, dir string, d *diary, pass func())) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		cfg := configOf(t, dir, rules, files)
		cfg.Told = d.told
		f, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = f.Run(ctx) })
		defer running.Wait()
		defer stop()
		what(f, dir, d, func() {
			time.Sleep(2*LookEvery + time.Second)
			synctest.Wait()
		})
	})
}

func TestFilesAreReplacedWhileRunning(t *testing.T) {
	rules := []Rule{{Action: Deny, From: from("list:DIR/list", "country:DE")}}
	files := map[string]string{"list": "203.0.113.0/24\n", "countries.mmdb": sampleDB(t)}
	watched(t, rules, files, func(f *Filter, dir string, d *diary, pass func()) {
		if got := d.take(); got != "list good, countries.mmdb good" {
			t.Error(got)
		}
		is := func(addr string, want int) {
			t.Helper()
			if got := admit(f, addr, "https"); got != want {
				t.Errorf("%s: %d, want %d", addr, got, want)
			}
		}
		is("203.0.113.9", -1)
		is("198.51.100.9", 0)
		list := filepath.Join(dir, "list")

		write(t, list, "198.51.100.0/24\n")
		pass()
		is("198.51.100.9", -1)
		is("203.0.113.9", -1) // by its country still
		write(t, filepath.Join(dir, "countries.mmdb"), database(t, "GeoLite2-Country", map[string]record{"9.9.9.0/24": maxmindCountry("DE")}))
		pass()
		is("203.0.113.9", 0)
		is("9.9.9.9", -1)
		if got := d.take(); got != "list good, countries.mmdb good" {
			t.Error(got)
		}

		// What is damaged or gone changes nothing, and is said once.
		write(t, list, "<html>\n404\n")
		write(t, filepath.Join(dir, "countries.mmdb"), "half")
		pass()
		pass()
		is("198.51.100.9", -1)
		is("9.9.9.9", -1)
		if got := d.take(); got != "list stale, countries.mmdb stale" {
			t.Error(got)
		}
		for _, x := range f.Files() {
			if x.State != Stale || !strings.Contains(x.Trouble, x.Path) || x.Read.IsZero() {
				t.Errorf("%+v", x)
			}
		}
		if err := os.Remove(list); err != nil {
			t.Fatal(err)
		}
		pass()
		is("198.51.100.9", -1)
		if got := d.take(); got != "list stale" {
			t.Error(got)
		}
		write(t, list, "203.0.113.0/24\n198.51.100.0/24\nhouse.test\n"+strings.Repeat("192.0.2.0/24\n", 20))
		pass()
		is("203.0.113.9", -1)
		if got := d.take(); got != "list flawed" {
			t.Error(got)
		}
		if x := f.Files()[0]; x.Unreadable != 1 || x.Entries != 22 || !strings.Contains(x.Trouble, "list:3: ") {
			t.Errorf("%+v", x)
		}
	})
}

// A file that comes back as it was is as good as it was.
func TestFileThatWasAwayForAWhile(t *testing.T) {
	rules := []Rule{{Action: Deny, From: from("list:DIR/list")}}
	watched(t, rules, map[string]string{"list": "203.0.113.0/24\n"}, func(f *Filter, dir string, d *diary, pass func()) {
		list := filepath.Join(dir, "list")
		if err := os.Rename(list, list+".away"); err != nil {
			t.Fatal(err)
		}
		pass()
		if err := os.Rename(list+".away", list); err != nil {
			t.Fatal(err)
		}
		pass()
		if got := d.take(); got != "list good, list stale, list good" {
			t.Error(got)
		}
	})
}

// A house whose list is missing is not shut: it starts, denies nobody by it, and says so.
func TestMissingAtTheStart(t *testing.T) {
	rules := []Rule{{Action: Deny, From: from("list:DIR/list")}, {Action: Deny, From: from("list:DIR/folder")}}
	watched(t, rules, nil, func(f *Filter, dir string, d *diary, pass func()) {
		if got := d.take(); got != "list missing, folder missing" {
			t.Error(got)
		}
		if got := admit(f, "203.0.113.9", "https"); got != 0 {
			t.Error(got)
		}
		if x := f.Explain(netip.MustParseAddr("203.0.113.9"), "https").Rules[0]; x.Match != Unknown {
			t.Errorf("%+v", x)
		}
		write(t, filepath.Join(dir, "list"), "203.0.113.0/24\n")
		if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
			t.Fatal(err)
		}
		pass()
		if got := admit(f, "203.0.113.9", "https"); got != -1 {
			t.Error(got)
		}
		if got := d.take(); got != "folder missing, list good" { // another trouble than before
			t.Error(got)
		}
	})
}

// A download that is not finished is not read.
func TestFileThatIsBeingWritten(t *testing.T) {
	rules := []Rule{{Action: Deny, From: from("list:DIR/list")}}
	watched(t, rules, map[string]string{"list": "203.0.113.0/24\n"}, func(f *Filter, dir string, d *diary, pass func()) {
		d.take()
		out, err := os.OpenFile(filepath.Join(dir, "list"), os.O_WRONLY|os.O_TRUNC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		for range 20 {
			if _, err := out.WriteString("198.51.100.0/24\n"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(LookEvery)
			synctest.Wait()
			if got := admit(f, "203.0.113.9", "https"); got != -1 {
				t.Fatal("half of it is in force")
			}
		}
		pass()
		if admit(f, "203.0.113.9", "https") != 0 || admit(f, "198.51.100.9", "https") != -1 {
			t.Error("it is not read when it is finished")
		}
		if got := d.take(); got != "list good" {
			t.Error(got)
		}
	})
}

// What is no file is not waited for.
func TestPipeIsNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := New(Config{Rules: []Rule{{Action: Deny, From: from("list:" + path)}}})
	if err != nil {
		t.Fatal(err)
	}
	if x := f.Files()[0]; x.State != Missing || !strings.Contains(x.Trouble, "is no file") {
		t.Errorf("%+v", x)
	}
	if _, _, err := load(path, stamp{}, nil); err == nil {
		t.Error("a pipe is read")
	}
}

// Rules keep what they had of the lists that did not change.
func TestUnchangedListsAreNotMergedAnew(t *testing.T) {
	rules := []Rule{{Action: Deny, From: from("list:DIR/a", "list:DIR/b")}, {Action: Deny, From: from("list:DIR/c")}, {Action: Deny, From: from("list:DIR/a", "list:DIR/b"), Doors: from("lan")}}
	watched(t, rules, map[string]string{"a": "203.0.113.0/24\n", "b": "198.51.100.0/24\n", "c": "192.0.2.0/24\n"}, func(f *Filter, dir string, _ *diary, pass func()) {
		before := f.table.Load()
		if before.rules[0].set != before.rules[2].set {
			t.Error("the same lists are merged twice")
		}
		write(t, filepath.Join(dir, "c"), "9.9.9.0/24\n")
		pass()
		after := f.table.Load()
		if after.rules[0].set != before.rules[0].set || after.rules[1].set == before.rules[1].set {
			t.Error("what did not change was merged anew, or what did was not")
		}
	})
}

// Judging goes on while files are replaced.
func TestJudgingWhileFilesAreReplaced(t *testing.T) {
	rules := []Rule{{Action: Deny, From: from("list:DIR/list")}}
	f := filterOf(t, rules, map[string]string{"list": "203.0.113.0/24\n"})
	path := f.Files()[0].Path
	done := make(chan struct{})
	var judging sync.WaitGroup
	judging.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if admit(f, "203.0.113.9", "https") != -1 {
				t.Error("let past in between")
				return
			}
			_ = f.Files()
			_ = f.Explain(netip.MustParseAddr("203.0.113.9"), "https")
		}
	})
	for i := range 50 {
		write(t, path, "203.0.113.0/24\n"+strings.Repeat("198.51.100.0/24\n", i))
		f.look()
		f.look()
	}
	close(done)
	judging.Wait()
	if n := f.Files()[0].Entries; n != 50 {
		t.Errorf("%d entries", n)
	}
}

// A large file that is no MaxMind DB costs no memory: a small computer has not much, and the
// kernel would end the gateway for it.
func TestLargeFileThatIsNoDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "countries.mmdb")
	write(t, path, "")
	if err := os.Truncate(path, 400<<20); err != nil { // zeros, which take no room on the disk
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := New(Config{Rules: []Rule{{Action: Deny, From: from("country:DE")}}, Countries: path})
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if x := f.Files()[0]; x.State != Missing || !strings.Contains(x.Trouble, "is damaged or no MaxMind DB") {
		t.Errorf("%+v", x)
	}
	if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 10 {
		t.Errorf("%d MiB were used", used)
	}
}
