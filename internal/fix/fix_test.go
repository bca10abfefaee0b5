package fix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

// snapshot is all that a tree shows: of each entry its type, mode, owner, content, extended
// attributes, and of files when they were changed.
func snapshot(t interface {
	Helper()
	Fatal(...any)
}, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		s := info.Sys().(*syscall.Stat_t)
		says := fmt.Sprintf("%v %d:%d", info.Mode(), s.Uid, s.Gid)
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			says += " -> " + target
		case info.Mode().IsRegular():
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			value := make([]byte, 100)
			n, err := unix.Lgetxattr(name, "user.note", value)
			if err != nil {
				n = 0
			}
			says += fmt.Sprintf(" %s %q %q", info.ModTime(), text, value[:n])
		}
		rel, err := filepath.Rel(dir, name)
		all[rel] = says
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// asBefore makes sure that a tree shows what it showed.
func asBefore(t *testing.T, dir string, before map[string]string) {
	t.Helper()
	if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
		t.Errorf("not as before:\n%s", diff)
	}
}

// home is a small tree on the disk.
func home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"etc/ssh/sshd_config": "# as shipped\nPermitRootLogin yes\n", "etc/shadow": "root::1::::::\n", "etc/old": "old\n", "srv/a/deep": "deep\n"} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, time.Unix(1700000000, 123456789), time.Unix(1700000000, 123456789)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("ssh/sshd_config", filepath.Join(dir, "etc/link")); err != nil {
		t.Fatal(err)
	}
	_ = unix.Setxattr(filepath.Join(dir, "etc/ssh/sshd_config"), "user.note", []byte("kept"), 0) // not on every file system
	return dir
}

// hostOf is a home on the disk, as the auditor reads it.
func hostOf(d *Disk) *facts.Host { return &facts.Host{Tree: d.Disk, Now: time.Now()} }

// everything is a fix with each kind of step.
func everything(t interface{ Fatal(...any) }, h *facts.Host) finding.Fix {
	d := Begin(h, "Does everything.", "")
	d.Edit("/etc/link", func(text string) (string, error) { return strings.ReplaceAll(text, "yes", "no"), nil })
	d.Write("/etc/new.d/made/one.conf", 0o600, "one\n")
	d.Link("/etc/enabled", "new.d/made/one.conf")
	d.Delete("/etc/old")
	d.Mode("/etc/shadow", 0o600)
	d.Mode("/srv/a", 0o700)
	f, err := d.Fix()
	if err != nil {
		t.Fatal(err)
	}
	f.ID = "test.everything"
	return f
}

// fixer opens a home and its journal.
func fixer(t interface{ Fatal(...any) }, dir, journal string, prove finding.Result) *Fixer {
	disk, err := OpenDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	j, err := MakeJournal(journal)
	if err != nil {
		t.Fatal(err)
	}
	return &Fixer{Disk: disk, Journal: j, Root: dir, Prove: func(ids []string) (all []finding.Finding) {
		for _, id := range ids {
			all = append(all, finding.Finding{ID: id, Result: prove})
		}
		return all
	}}
}

func TestApplyDoesWhatThePlanSaysAndUndoTakesItBackExactly(t *testing.T) {
	dir, journal := home(t), filepath.Join(t.TempDir(), "journal")
	before := snapshot(t, dir)
	x := fixer(t, dir, journal, finding.Pass)
	f := everything(t, hostOf(x.Disk))
	done, err := x.Apply(t.Context(), []finding.Fix{f})
	if err != nil {
		t.Fatal(err)
	}
	after := snapshot(t, dir)
	for name, want := range map[string]string{"etc/ssh/sshd_config": "PermitRootLogin no", "etc/new.d/made/one.conf": "-rw-------", "etc/enabled": "-> new.d/made/one.conf", "etc/shadow": "-rw-------", "srv/a": "drwx------"} {
		if !strings.Contains(after[name], want) {
			t.Errorf("%s is %s, want %s", name, after[name], want)
		}
	}
	if after["etc/old"] != "" || done.State() != Applied {
		t.Errorf("etc/old is %q, the state %s", after["etc/old"], done.State())
	}
	if strings.Contains(before["etc/ssh/sshd_config"], "kept") && !strings.Contains(after["etc/ssh/sshd_config"], "kept") {
		t.Error("the extended attributes of an edited file are gone")
	}
	if _, err := x.Undo(done.N); err != nil {
		t.Fatal(err)
	}
	asBefore(t, dir, before)
	if _, err := x.Undo(done.N); !IsRefusal(err) {
		t.Errorf("undone twice: %v", err)
	}
}

func TestWhatFailsItsProofIsTakenBack(t *testing.T) {
	dir := home(t)
	before := snapshot(t, dir)
	x := fixer(t, dir, filepath.Join(t.TempDir(), "journal"), finding.Fail)
	_, err := x.Apply(t.Context(), []finding.Fix{everything(t, hostOf(x.Disk))})
	var back *TakenBack
	if !errors.As(err, &back) || !strings.Contains(err.Error(), "test.everything is not proved") {
		t.Errorf("it says %v", err)
	}
	asBefore(t, dir, before)
}

// The child of TestKilledAnywhere: it applies (and undoes) a fix, and dies at the n-th write.
func TestMain(m *testing.M) {
	if args := os.Getenv("GATEHOUSE_FIX_KILL"); args != "" {
		killedChild(strings.Split(args, "\n"))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type dying struct{}

func (dying) Fatal(args ...any) { fmt.Fprintln(os.Stderr, args...); os.Exit(1) }

func killedChild(args []string) {
	left, err := strconv.Atoi(args[2])
	if err != nil {
		dying{}.Fatal(err)
	}
	x := fixer(dying{}, args[0], args[1], finding.Pass)
	count := func(string) {
		if left--; left == 0 {
			if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
				dying{}.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
	}
	if args[3] == "undo" {
		x.Disk.wrote, x.Journal.wrote = count, count
		if _, err := x.Undo(1); err != nil {
			dying{}.Fatal(err)
		}
		return
	}
	f := everything(dying{}, hostOf(x.Disk))
	x.Disk.wrote, x.Journal.wrote = count, count
	if _, err := x.Apply(context.Background(), []finding.Fix{f}); err != nil {
		dying{}.Fatal(err)
	}
}

func TestKilledAnywhereAllIsAsBeforeOrDone(t *testing.T) {
	for _, what := range []string{"apply", "undo"} {
		t.Run(what, func(t *testing.T) {
			for n := 1; ; n++ {
				dir, journal := home(t), filepath.Join(t.TempDir(), "journal")
				before := snapshot(t, dir)
				if what == "undo" {
					x := fixer(t, dir, journal, finding.Pass)
					if _, err := x.Apply(t.Context(), []finding.Fix{everything(t, hostOf(x.Disk))}); err != nil {
						t.Fatal(err)
					}
				}
				child := exec.Command(os.Args[0])
				child.Env = append(os.Environ(), "GATEHOUSE_FIX_KILL="+strings.Join([]string{dir, journal, strconv.Itoa(n), what}, "\n"))
				out, err := child.CombinedOutput()
				if err == nil {
					if n < 15 {
						t.Errorf("only %d writes", n)
					}
					return // it lived: every write has been tried
				}
				if state, ok := child.ProcessState.Sys().(syscall.WaitStatus); !ok || !state.Signaled() {
					t.Fatalf("at write %d: %v: %s", n, err, out)
				}
				x := fixer(t, dir, journal, finding.Pass)
				taken, trial, err := x.Recover()
				if err != nil || trial != nil {
					t.Fatalf("at write %d: %v", n, err)
				}
				all, err := x.Journal.All()
				if err != nil {
					t.Fatal(err)
				}
				now := snapshot(t, dir)
				switch {
				case len(all) == 1 && all[0].State() == Applied && what == "apply":
					if !strings.Contains(now["etc/ssh/sshd_config"], "PermitRootLogin no") {
						t.Errorf("at write %d: it says it is done, and is not", n)
					}
				default:
					if diff := cmp.Diff(before, now); diff != "" {
						t.Errorf("at write %d: not as before:\n%s", n, diff)
					}
					if what == "apply" && len(all) == 1 && len(taken) == 0 {
						t.Errorf("at write %d: nobody took it back, and it is %s", n, all[0].State())
					}
				}
			}
		})
	}
}

// Whatever is drafted on whatever tree, undone it leaves nothing behind.
func TestFixThenUndoIsNothing(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "root")
		if err != nil {
			r.Fatal(err)
		}
		names := []string{"a", "b", "d/c", "d/e/f", "g"}
		for _, name := range names {
			if !rapid.Bool().Draw(r, "there "+name) {
				continue
			}
			file := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				r.Fatal(err)
			}
			mode := fs.FileMode(rapid.SampledFrom([]int{0o600, 0o644, 0o755}).Draw(r, "mode"))
			if err := errors.Join(os.WriteFile(file, []byte(rapid.StringMatching(`[a-z\n]{0,30}`).Draw(r, "text")), mode), os.Chmod(file, mode)); err != nil {
				r.Fatal(err)
			}
		}
		before := snapshot(r, dir)
		x := fixer(r, dir, filepath.Join(t.TempDir(), "journal", filepath.Base(dir)), finding.Pass)
		defer func() { _ = x.Disk.Close(); _ = x.Journal.Close() }()
		var fixes []finding.Fix
		h := hostOf(x.Disk)
		for n := range rapid.IntRange(1, 3).Draw(r, "fixes") {
			d := Begin(h, "Does something.", "")
			for range rapid.IntRange(1, 5).Draw(r, "steps") {
				name := "/" + rapid.SampledFrom(names).Draw(r, "name")
				e, err := entryOf(d.tree, name)
				if err != nil || d.err != nil {
					continue
				}
				switch kind := rapid.SampledFrom([]string{"write", "delete", "mode", "link", "directory"}).Draw(r, "kind"); {
				case kind == "write" && (e == nil || e.Type == finding.EntryFile):
					d.Write(name, 0o640, rapid.StringMatching(`[a-z\n]{0,30}`).Draw(r, "text"))
				case kind == "delete" && e != nil && d.fix.Steps == nil:
					d.Delete(name)
				case kind == "mode" && e != nil && e.Type != finding.EntryLink:
					d.Mode(name, rapid.SampledFrom([]uint32{0o600, 0o700, 0o4755}).Draw(r, "mode"))
				case kind == "link" && e == nil:
					d.Link(name, "anywhere")
				case kind == "directory" && e == nil:
					d.Directory(name, 0o750)
				}
			}
			f, err := d.Fix()
			if err != nil {
				continue
			}
			f.ID = fmt.Sprintf("test.n%d", n)
			fixes = append(fixes, f)
			h = d.Host
		}
		if len(fixes) == 0 || alone(fixes) != nil {
			return
		}
		done, err := x.Apply(context.Background(), fixes)
		if err != nil {
			r.Fatal(err)
		}
		if _, err := x.Undo(done.N); err != nil {
			r.Fatal(err)
		}
		if diff := cmp.Diff(before, snapshot(r, dir)); diff != "" {
			r.Fatalf("not as before:\n%s", diff)
		}
		if err := os.RemoveAll(dir); err != nil {
			r.Fatal(err)
		}
	})
}

func TestUndoLeavesWhatSomebodyElseChanged(t *testing.T) {
	dir := home(t)
	x := fixer(t, dir, filepath.Join(t.TempDir(), "journal"), finding.Pass)
	done, err := x.Apply(t.Context(), []finding.Fix{everything(t, hostOf(x.Disk))})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "etc/ssh/sshd_config"), []byte("# mine\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, dir)
	if _, err := x.Undo(done.N); !IsRefusal(err) || !strings.Contains(err.Error(), "/etc/ssh/sshd_config was changed by somebody else") {
		t.Errorf("it says %v", err)
	}
	asBefore(t, dir, before)
}

func TestUndoNamesTheLaterFixOfTheSameFile(t *testing.T) {
	dir := home(t)
	x := fixer(t, dir, filepath.Join(t.TempDir(), "journal"), finding.Pass)
	for n := range 2 {
		d := Begin(hostOf(x.Disk), "Adds a line.", "")
		d.Edit("/etc/old", func(text string) (string, error) { return text + fmt.Sprintln(n), nil })
		f, err := d.Fix()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.Apply(t.Context(), []finding.Fix{f}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := x.Undo(1); !IsRefusal(err) || !strings.Contains(err.Error(), "changed again by fix 2") {
		t.Errorf("it says %v", err)
	}
	for _, n := range []int{2, 1} {
		if _, err := x.Undo(n); err != nil {
			t.Error(err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "etc/old")); string(text) != "old\n" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestWhatChangedSinceThePlanIsNotTouched(t *testing.T) {
	dir := home(t)
	x := fixer(t, dir, filepath.Join(t.TempDir(), "journal"), finding.Pass)
	f := everything(t, hostOf(x.Disk))
	if err := os.WriteFile(filepath.Join(dir, "etc/ssh/sshd_config"), []byte("# another\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, dir)
	if _, err := x.Apply(t.Context(), []finding.Fix{f}); !IsRefusal(err) || !strings.Contains(err.Error(), "has changed since it was looked at") {
		t.Errorf("it says %v", err)
	}
	asBefore(t, dir, before)
}

// A link that leads out of the root, a hard link, a file of somebody else's program, a path
// that a link was put into meanwhile: nothing is written through them.
func TestNothingIsWrittenElsewhere(t *testing.T) {
	dir, outside := home(t), filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("theirs\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func() error{
		"etc/out":   func() error { return os.Symlink(outside, filepath.Join(dir, "etc/out")) },
		"etc/up":    func() error { return os.Symlink("../../../../../../../../"+outside, filepath.Join(dir, "etc/up")) },
		"etc/twice": func() error { return os.Link(filepath.Join(dir, "etc/old"), filepath.Join(dir, "etc/twice")) },
		"etc/managed": func() error {
			return os.WriteFile(filepath.Join(dir, "etc/managed"), []byte("# Ansible managed\nx\n"), 0o644)
		},
	} {
		if err := make(); err != nil {
			t.Fatal(name, err)
		}
	}
	x := fixer(t, dir, filepath.Join(t.TempDir(), "journal"), finding.Pass)
	before := snapshot(t, dir)
	for _, name := range []string{"/etc/out", "/etc/up", "/etc/twice", "/etc/managed", "/proc/sys/kernel/x", "/etc/../../../etc/out"} {
		d := Begin(hostOf(x.Disk), "Writes.", "")
		d.Write(name, 0o644, "ours\n")
		f, err := d.Fix()
		if err == nil {
			_, err = x.Apply(t.Context(), []finding.Fix{f})
		}
		if err == nil {
			t.Errorf("%s was written", name)
		}
	}
	// The directory becomes a link between the plan and the deed.
	d := Begin(hostOf(x.Disk), "Writes.", "")
	d.Edit("/srv/a/deep", func(string) (string, error) { return "ours\n", nil })
	f, err := d.Fix()
	if err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	err = errors.Join(os.Rename(filepath.Join(dir, "srv/a"), filepath.Join(dir, "srv/b")), os.WriteFile(filepath.Join(other, "deep"), []byte("deep\n"), 0o640), os.Symlink(other, filepath.Join(dir, "srv/a")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Apply(t.Context(), []finding.Fix{f}); err == nil {
		t.Error("it was written through a link")
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, "srv/a")), os.Rename(filepath.Join(dir, "srv/b"), filepath.Join(dir, "srv/a"))); err != nil {
		t.Fatal(err)
	}
	asBefore(t, dir, before)
	for _, file := range []string{outside, filepath.Join(other, "deep")} {
		if text, err := os.ReadFile(file); err != nil || strings.Contains(string(text), "ours") {
			t.Errorf("%s says %q", file, text)
		}
	}
}

// programs is a machine whose programs say what the test wants.
type programsOf struct {
	ran  []string
	fail map[string]int // from the n-th time on
}

func (p *programsOf) Run(_ context.Context, argv []string) ([]byte, error) {
	line := strings.Join(argv, " ")
	p.ran = append(p.ran, line)
	if n, ok := p.fail[line]; ok {
		if p.fail[line]--; n <= 0 {
			return []byte("it does not like that"), errors.New("exit status 1")
		}
	}
	return nil, nil
}

// guarded is a fix of the SSH server.
func guarded(t *testing.T, x *Fixer) finding.Fix {
	t.Helper()
	d := Begin(hostOf(x.Disk), "Refuses root.", "")
	d.Edit("/etc/ssh/sshd_config", func(text string) (string, error) { return strings.ReplaceAll(text, "yes", "no"), nil })
	d.Validate("sshd")
	d.Unit("try-reload-or-restart", "ssh.service")
	d.Guard()
	f, err := d.Fix()
	if err != nil {
		t.Fatal(err)
	}
	f.ID = "test.guarded"
	return f
}

func TestWhatItsProgramDoesNotTakeIsTakenBack(t *testing.T) {
	dir := home(t)
	before := snapshot(t, dir)
	x := fixer(t, dir, filepath.Join(t.TempDir(), "journal"), finding.Pass)
	p := &programsOf{fail: map[string]int{"sshd -t": 1}}
	x.Machine = p
	_, err := x.Apply(t.Context(), []finding.Fix{guarded(t, x)})
	var back *TakenBack
	if !errors.As(err, &back) || !strings.Contains(err.Error(), "it does not like that") {
		t.Errorf("it says %v", err)
	}
	asBefore(t, dir, before)
	if want := []string{"sshd -t", "sshd -t"}; !slices.Equal(p.ran, want) {
		t.Errorf("ran %q, want %q: nothing was reloaded, so nothing has to be again", p.ran, want)
	}
	p.fail = map[string]int{"sshd -t": 0}
	if _, err := x.Apply(t.Context(), []finding.Fix{guarded(t, x)}); !IsRefusal(err) || !strings.Contains(err.Error(), "before anything is changed") {
		t.Errorf("it says %v", err)
	}
}

func TestTrialEnds(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, x *Fixer) State{
		"confirmed": func(t *testing.T, x *Fixer) State {
			time.Sleep(TrialTime - time.Minute)
			if _, err := x.Confirm(); err != nil {
				t.Error(err)
			}
			return Confirmed
		},
		"forgotten": func(*testing.T, *Fixer) State { time.Sleep(TrialTime + 2*time.Second); return Reverted },
		"undone": func(t *testing.T, x *Fixer) State {
			if _, err := x.Undo(1); err != nil {
				t.Error(err)
			}
			return Undone
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, journal := home(t), filepath.Join(t.TempDir(), "journal")
			before := snapshot(t, dir)
			synctest.Test(t, func(t *testing.T) {
				x := fixer(t, dir, journal, finding.Pass)
				p := &programsOf{}
				x.Machine = p
				unit := "[Unit]\n"
				x.Scaffold = []finding.Step{{Kind: finding.StepCreate, Path: "/etc/trial.service", After: &finding.Entry{Type: finding.EntryFile, Mode: 0o644, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Content: &unit}}}
				f := guarded(t, x)
				done, err := x.Apply(t.Context(), []finding.Fix{f})
				if err != nil || done.State() != Trial {
					t.Fatal(err, done)
				}
				if _, err := os.Stat(filepath.Join(dir, "etc/trial.service")); err != nil {
					t.Error("nothing takes it back after the machine starts anew")
				}
				if _, err := x.Apply(t.Context(), []finding.Fix{f}); !IsRefusal(err) {
					t.Errorf("another was begun: %v", err)
				}
				kept := make(chan error)
				go func() {
					y := fixer(t, dir, journal, finding.Pass)
					y.Machine = &programsOf{}
					kept <- y.Keep(t.Context())
				}()
				want := end(t, x)
				if err := <-kept; err != nil {
					t.Error(err)
				}
				now, err := x.Journal.Read(1)
				if err != nil || now.State() != want {
					t.Errorf("it is %s, want %s: %v", now.State(), want, err)
				}
				after := snapshot(t, dir)
				if want == Confirmed {
					if !strings.Contains(after["etc/ssh/sshd_config"], "PermitRootLogin no") {
						t.Error("it is gone")
					}
					after["etc/ssh/sshd_config"] = before["etc/ssh/sshd_config"]
				}
				if diff := cmp.Diff(before, after); diff != "" {
					t.Errorf("not as before:\n%s", diff)
				}
			})
		})
	}
}

// A machine that was off past the deadline, and one whose clock began anew.
func TestTrialEndsWithTheMachineOff(t *testing.T) {
	for name, off := range map[string]time.Duration{"past the deadline": TrialTime + time.Hour, "within it": time.Minute} {
		t.Run(name, func(t *testing.T) {
			dir, journal := home(t), filepath.Join(t.TempDir(), "journal")
			synctest.Test(t, func(t *testing.T) {
				x := fixer(t, dir, journal, finding.Pass)
				x.Machine = &programsOf{}
				if _, err := x.Apply(t.Context(), []finding.Fix{guarded(t, x)}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(off)
				taken, trial, err := x.Recover()
				if err != nil || (len(taken) == 1) != (off > TrialTime) || (trial != nil) != (off < TrialTime) {
					t.Errorf("%v %v %v", taken, trial, err)
				}
			})
		})
	}
	t.Run("its clock began anew", func(t *testing.T) {
		dir, journal := home(t), filepath.Join(t.TempDir(), "journal")
		x := fixer(t, dir, journal, finding.Pass)
		x.Machine = &programsOf{}
		done, err := x.Apply(t.Context(), []finding.Fix{guarded(t, x)})
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Journal.add(done, Line{State: Trial, Deadline: time.Now().Add(24 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
		if taken, trial, err := x.Recover(); err != nil || len(taken) != 1 || trial != nil {
			t.Errorf("%v %v %v", taken, trial, err)
		}
	})
}

// The keeper waits for whoever applies, and is what is left of one that was killed.
func TestKeeperTakesBackWhatWasInterrupted(t *testing.T) {
	dir, journal := home(t), filepath.Join(t.TempDir(), "journal")
	before := snapshot(t, dir)
	x := fixer(t, dir, journal, finding.Pass)
	lock, err := x.Journal.Lock(false)
	if err != nil {
		t.Fatal(err)
	}
	f := everything(t, hostOf(x.Disk))
	half := &Transaction{At: time.Now(), Root: dir, Fixes: []finding.Fix{f}, Times: x.times([]finding.Fix{f})}
	if err := x.Journal.begin(half); err != nil {
		t.Fatal(err)
	}
	for n, s := range f.Steps[:3] {
		if err := x.step(t.Context(), half, n, s); err != nil {
			t.Fatal(err)
		}
	}
	kept := make(chan error)
	go func() { kept <- fixer(t, dir, journal, finding.Pass).Keep(t.Context()) }()
	select {
	case err := <-kept:
		t.Fatalf("the keeper did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-kept; err != nil {
		t.Fatal(err)
	}
	asBefore(t, dir, before)
}

func TestJournalOfSomebodyElseIsNotBelieved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(dir); !IsRefusal(err) {
		t.Errorf("it says %v", err)
	}
}

func TestJournalThatLostItsPower(t *testing.T) {
	dir, journal := home(t), filepath.Join(t.TempDir(), "journal")
	x := fixer(t, dir, journal, finding.Pass)
	done, err := x.Apply(t.Context(), []finding.Fix{everything(t, hostOf(x.Disk))})
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(journal, "0001.log")
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(text) {
		if err := os.WriteFile(log, text[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		now, err := x.Journal.Read(done.N)
		if err != nil || now.State() != Applying {
			t.Fatalf("%d bytes of the log: %v, %v", n, now.State(), err)
		}
		if err := x.Journal.add(now, Line{State: Undone}); err != nil {
			t.Fatal(err)
		}
		if now, err = x.Journal.Read(done.N); err != nil || now.State() != Undone {
			t.Fatalf("%d bytes of the log, and one line more: %v", n, err)
		}
	}
	if err := os.WriteFile(log, []byte("junk\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Journal.Read(done.N); err == nil {
		t.Error("junk was believed")
	}
}

func TestRefusalsOfAnotherKeeper(t *testing.T) {
	for drawing, path := range map[string]string{
		"-- etc/os-release --\nID=haos\n-- etc/ssh/sshd_config --\n": "/etc/ssh/sshd_config",
		"-- etc/hassio.json --\n-- etc/docker/daemon.json --\n{}\n":  "/etc/docker/daemon.json",
		"-- etc/x --\n# This file is managed by Puppet\n":            "/etc/x",
		"-- etc/y --\n# DO NOT EDIT: written by netplan\n":           "/etc/y",
		"-- etc/dangling -> nowhere --\n":                            "/etc/dangling",
		"-- etc/z dir --\n":                                          "/etc/z",
		"-- etc/round -> round2 --\n-- etc/round2 -> round --\n":     "/etc/round",
		"-- etc/binary --\n\x00\x01\n":                               "/etc/binary",
	} {
		tree, err := facts.Draw(drawing)
		if err != nil {
			t.Fatal(err)
		}
		d := Begin(&facts.Host{Tree: tree}, "Writes.", "")
		d.Write(path, 0o644, "ours\n")
		if _, err := d.Fix(); err == nil {
			t.Errorf("%s was written over %q", path, drawing)
		}
	}
}

func TestEveryActionIsOfTheClosedList(t *testing.T) {
	for _, of := range []string{"rm -rf /", "reload", "reload ssh", "reload ../x.service", "reload -H.service", "restart ssh.service; reboot", "mask ssh.service"} {
		for _, kind := range []finding.ActionKind{finding.ActionUnit, finding.ActionRun, finding.ActionValidate, "other"} {
			if argv, err := argvOf(finding.Action{Kind: kind, Of: of}); err == nil {
				t.Errorf("%s %q runs %q", kind, of, argv)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(validators())) {
		if _, err := argvOf(finding.Action{Kind: finding.ActionValidate, Of: name}); err != nil {
			t.Error(err)
		}
	}
}

func TestShowHidesSecrets(t *testing.T) {
	before, after := "password: hunter2\nname: x\n", "password: !secret mqtt_password\nname: x\n"
	s := finding.Step{Kind: finding.StepEdit, Path: "/config/configuration.yaml", Secret: true,
		Before: &finding.Entry{Type: finding.EntryFile, Content: &before}, After: &finding.Entry{Type: finding.EntryFile, Content: &after}}
	if text := Show(s); strings.Contains(text, "hunter2") || !strings.Contains(text, "!secret mqtt_password") {
		t.Errorf("it shows %s", text)
	}
	escape := "\x1b[2Jevil\n"
	s.Secret, s.After.Content = false, &escape
	if text := Show(s); strings.Contains(text, "\x1b") {
		t.Errorf("it moves the terminal's cursor: %q", text)
	}
}
