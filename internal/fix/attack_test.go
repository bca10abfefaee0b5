package fix

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

// somebody is a user of the machine who is nobody in particular.
const somebody = 4711

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this gives files to others: run it as root, as scripts/test does")
	}
}

// Whoever owns a directory puts a file of theirs in the place of root's, in the moment between
// the look and the change: it must not become root's.
func TestAnotherFileInItsPlaceIsNotGivenAway(t *testing.T) {
	needRoot(t)
	for name, plant := range map[string]func(at, other string) error{
		"a file": func(at, _ string) error {
			return errors.Join(os.WriteFile(at, []byte("#!/bin/sh\n"), 0o755), os.Chown(at, somebody, somebody))
		},
		"a link":                func(at, other string) error { return os.Symlink(other, at) },
		"another name of one":   func(at, other string) error { return os.Link(other, at) },
		"a file of other modes": func(at, _ string) error { return os.WriteFile(at, nil, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := home(t)
			x := fixer(t, dir, filepath.Join(t.TempDir(), "journal"), finding.Pass)
			at, other := filepath.Join(dir, "etc/old"), filepath.Join(dir, "etc/shadow")
			if err := errors.Join(os.Remove(at), plant(at, other)); err != nil {
				t.Fatal(err)
			}
			before := snapshot(t, dir)
			err := x.Disk.attributes("/etc/old", finding.Entry{Type: finding.EntryFile, Mode: 0o4755}, finding.Entry{Type: finding.EntryFile, Mode: 0o755})
			if !IsRefusal(err) {
				t.Errorf("it says %v", err)
			}
			if err := x.Disk.attributes("/etc/old", finding.Entry{Type: finding.EntryLink, UID: 1}, finding.Entry{Type: finding.EntryLink}); name != "a link" && !IsRefusal(err) {
				t.Errorf("taken for a link: %v", err)
			}
			after := snapshot(t, dir)
			if after["etc/shadow"] != before["etc/shadow"] || name != "a link" && after["etc/old"] != before["etc/old"] {
				t.Errorf("it became %s and %s", after["etc/old"], after["etc/shadow"])
			}
		})
	}
}

// What is brought back goes into no file that somebody has put under the temporary name.
func TestWhatIsBroughtBackGoesIntoNoPlantedFile(t *testing.T) {
	dir := home(t)
	x := fixer(t, dir, filepath.Join(t.TempDir(), "journal"), finding.Pass)
	d := Begin(hostOf(x.Disk), "Deletes.", "")
	d.Delete("/etc/old")
	f, err := d.Fix()
	if err != nil {
		t.Fatal(err)
	}
	done, err := x.Apply(t.Context(), []finding.Fix{f})
	if err != nil {
		t.Fatal(err)
	}
	planted := filepath.Join(dir, "etc", temporary(done, 0))
	held, err := os.Create(planted)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := os.Link(planted, filepath.Join(dir, "etc/theirs")); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Undo(done.N); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "etc/old")); err != nil || string(text) != "old\n" {
		t.Errorf("it is %q: %v", text, err)
	}
	if info, err := held.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("somebody else reads what was brought back: %v, %v", info, err)
	}
}

func TestJournalBehindALinkIsNotBelieved(t *testing.T) {
	dir := t.TempDir()
	if _, err := MakeJournal(filepath.Join(dir, "of another root")); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "journal")
	if err := os.Symlink("of another root", link); err != nil {
		t.Fatal(err)
	}
	if _, err := MakeJournal(link); !IsRefusal(err) {
		t.Errorf("it says %v", err)
	}
}

// A second trial is held up as the first one was, though both have the same unit.
func TestSecondTrialIsHeldUp(t *testing.T) {
	dir, journal := home(t), filepath.Join(t.TempDir(), "journal")
	synctest.Test(t, func(t *testing.T) {
		x := fixer(t, dir, journal, finding.Pass)
		x.Machine = &programsOf{}
		unit := "[Unit]\n"
		x.Scaffold = []finding.Step{
			{Kind: finding.StepCreate, Path: "/etc/wants", After: &finding.Entry{Type: finding.EntryDirectory, Mode: 0o755, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}},
			{Kind: finding.StepCreate, Path: "/etc/wants/trial.service", After: &finding.Entry{Type: finding.EntryFile, Mode: 0o644, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Content: &unit}}}
		if _, err := x.Apply(t.Context(), []finding.Fix{guarded(t, x)}); err != nil {
			t.Fatal(err)
		}
		if _, err := x.Confirm(); err != nil {
			t.Fatal(err)
		}
		d := Begin(hostOf(x.Disk), "Refuses root again.", "")
		d.Write("/etc/ssh/more", 0o600, "more\n")
		d.Guard()
		f, err := d.Fix()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.Apply(t.Context(), []finding.Fix{f}); err != nil {
			t.Fatal(err)
		}
		if _, trial, err := x.Recover(); err != nil || trial == nil || trial.N != 2 {
			t.Errorf("%v, %v", trial, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "etc/wants/trial.service")); err != nil {
			t.Errorf("nothing takes the second trial back after the machine starts anew: %v", err)
		}
		// Somebody else's unit moves in beside it: the trial ends all the same.
		if err := os.WriteFile(filepath.Join(dir, "etc/wants/theirs.service"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		time.Sleep(TrialTime + time.Second)
		taken, trial, err := x.Recover()
		if err != nil || trial != nil || len(taken) != 1 || taken[0].State() != Reverted || !strings.Contains(taken[0].Note(), "/etc/wants holds something") {
			t.Errorf("%v, %v, %v", taken, trial, err)
		}
	})
}

// A kill between the confirmation and the end of its scaffold keeps no later trial away.
func TestScaffoldOfAConfirmationThatWasKilledGoes(t *testing.T) {
	dir, journal := home(t), filepath.Join(t.TempDir(), "journal")
	x := fixer(t, dir, journal, finding.Pass)
	x.Machine = &programsOf{}
	unit := "[Unit]\n"
	x.Scaffold = []finding.Step{{Kind: finding.StepCreate, Path: "/etc/trial.service", After: &finding.Entry{Type: finding.EntryFile, Mode: 0o644, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Content: &unit}}}
	done, err := x.Apply(t.Context(), []finding.Fix{guarded(t, x)})
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Journal.add(done, Line{State: Confirmed}); err != nil {
		t.Fatal(err)
	}
	d := Begin(hostOf(x.Disk), "Writes.", "")
	d.Write("/etc/ssh/more", 0o600, "more\n")
	d.Guard()
	f, err := d.Fix()
	if err != nil {
		t.Fatal(err)
	}
	if now, err := x.Apply(t.Context(), []finding.Fix{f}); err != nil || now.State() != Trial {
		t.Errorf("%v: %v", now, err)
	}
}

// What the kernel does not take back until the machine starts again blocks nothing.
func TestFinalValueEndsInANote(t *testing.T) {
	dir := home(t)
	file := filepath.Join(dir, "proc/sys/kernel/once")
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("0\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	x := fixer(t, dir, filepath.Join(t.TempDir(), "journal"), finding.Pass)
	h := hostOf(x.Disk)
	h.Live = true
	d := Begin(h, "Sets.", "")
	d.Sysctl("kernel.once", "1", true)
	f, err := d.Fix()
	if err != nil {
		t.Fatal(err)
	}
	done, err := x.Apply(t.Context(), []finding.Fix{f})
	if err != nil {
		t.Fatal(err)
	}
	x.Disk.wrote = nil
	needRoot(t)
	// A read-only mount says no as the kernel does, to root, too.
	if err := unix.Mount(filepath.Dir(file), filepath.Dir(file), "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(filepath.Dir(file), 0); err != nil {
			t.Error(err)
		}
	}()
	if err := unix.Mount("", filepath.Dir(file), "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	undone, err := x.Undo(done.N)
	if err != nil || undone.State() != Undone || !strings.Contains(undone.Note(), "keeps kernel.once until the machine starts again") {
		t.Errorf("%v: %v", undone, err)
	}
}

// The disk of the journal is full: everything is taken back all the same.
func TestFullJournalTakesBackAllTheSame(t *testing.T) {
	needRoot(t)
	dir, place := home(t), t.TempDir()
	if err := unix.Mount("none", place, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(place, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	x := fixer(t, dir, filepath.Join(place, "journal"), finding.Fail)
	before := snapshot(t, dir)
	x.Tell = func(what string) {
		if what != "judging it again" {
			return
		}
		f, err := os.Create(filepath.Join(place, "full"))
		if err != nil {
			t.Error(err)
			return
		}
		for err == nil {
			_, err = f.Write(make([]byte, 4096))
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err := x.Apply(t.Context(), []finding.Fix{everything(t, hostOf(x.Disk))})
	if err == nil {
		t.Error("it says that all is well")
	}
	after := snapshot(t, dir)
	for name, was := range before {
		if after[name] != was {
			t.Errorf("%s is %s, and was %s", name, after[name], was)
		}
	}
	x.Tell = nil
	if err := os.Remove(filepath.Join(place, "full")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := x.Recover(); err != nil {
		t.Error(err)
	}
	if now, err := x.Journal.Read(1); err != nil || now.State() != Reverted {
		t.Errorf("it is %v: %v", now.State(), err)
	}
}

// Nothing is changed where nobody would take it back.
func TestNothingBeginsWithoutAKeeper(t *testing.T) {
	dir, journal := home(t), filepath.Join(t.TempDir(), "journal")
	before := snapshot(t, dir)
	synctest.Test(t, func(t *testing.T) {
		x := fixer(t, dir, journal, finding.Pass)
		x.Machine = &programsOf{}
		x.Guard = func() error { return nil } // it said that it started, and died
		if _, err := x.Apply(t.Context(), []finding.Fix{guarded(t, x)}); err == nil || !strings.Contains(err.Error(), "does not run") {
			t.Errorf("it says %v", err)
		}
	})
	asBefore(t, dir, before)
}

// A keeper that cannot take something back now tries again.
func TestKeeperTriesAgain(t *testing.T) {
	dir, journal := home(t), filepath.Join(t.TempDir(), "journal")
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "ha/.storage"), 0o755),
		os.WriteFile(filepath.Join(dir, "ha/.storage/http"), []byte(`{"version":3,"minor_version":1,"key":"http","data":{"pending":null,"yaml_migration_done":true,"stable":{"server_port":8124}}}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	before, after := "{\n  \"server_port\": 8123\n}", "{\n  \"server_port\": 8124\n}"
	synctest.Test(t, func(t *testing.T) {
		x := fixer(t, dir, journal, finding.Pass)
		ask := "homeassistant http " + after + " " + before
		p := &programsOf{fail: map[string]int{ask: 1}}
		x.Machine = p
		half := &Transaction{At: time.Now(), Root: dir, Fixes: []finding.Fix{{ID: "test.http", Steps: []finding.Step{{Kind: finding.StepHTTP, Path: "/ha/.storage/http",
			Before: &finding.Entry{Type: finding.EntryValue, Content: &before}, After: &finding.Entry{Type: finding.EntryValue, Content: &after}}}}}}
		if err := x.Journal.begin(half); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Minute, func() { delete(p.fail, ask) }) // Home Assistant has started
		if err := x.Keep(t.Context()); err != nil {
			t.Error(err)
		}
		if now, err := x.Journal.Read(1); err != nil || now.State() != Reverted {
			t.Errorf("it is %v: %v", now.State(), err)
		}
	})
}

// A link of Home Assistant's account does not have root write, or open, what is not its own.
func TestLinkOfSomebodyIsNotFollowedToWhatIsNotTheirs(t *testing.T) {
	tree, err := facts.Draw(`-- etc/cron.d/x --
-- etc/real 0644 7:7 --
-- ha dir 0755 7:7 --
-- ha/secrets.yaml -> ../etc/cron.d/x 7:7 --
-- ha/own.yaml -> ../etc/real 7:7 --
-- ha/shared.yaml -> ../etc/cron.d/x --
-- ha/in -> /etc/cron.d 7:7 --
-- ha/all -> / 7:7 --
`)
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{"/ha/secrets.yaml": false, "/ha/own.yaml": true, "/ha/shared.yaml": true, "/ha/in/x": false, "/ha/in/new": false, "/ha/all": false} {
		for what, do := range map[string]func(*Draft){
			"write": func(d *Draft) { d.Write(name, 0o600, "x: * * * * root sh\n") },
			"mode":  func(d *Draft) { d.Mode(name, 0o600) },
		} {
			d := Begin(&facts.Host{Tree: tree}, "Does it.", "")
			if do(d); (d.Err() == nil) != ok && (what == "write" || name != "/ha/in/new") {
				t.Errorf("%s %s: %v", what, name, d.Err())
			}
		}
	}
}

// Lines beside a change may hold secrets that the change has nothing to do with.
func TestDiffSaysNoSecretBesideTheChange(t *testing.T) {
	for line, shown := range map[string]bool{
		"  password: hunter2x":                               false,
		"mqtt_password: \"hunter2x y\"":                      false,
		"  url: postgresql://ha:hunter2x@db/ha":              false,
		"PrivateKey = hunter2x=":                             false,
		"HashedControlPassword 16:hunter2x":                  false,
		"  user admin insecure-password hunter2x":            false,
		"proxy_set_header Authorization \"Basic hunter2x\";": false,
		"{\"api_key\": \"hunter2x\", \"x\": 1}":              false,
		"  password: !secret mqtt_password":                  true,
		"PasswordAuthentication no":                          true,
		"password requisite pam_pwquality.so retry=3":        true,
		"Defaults passwd_timeout=5":                          true,
		"ssl_certificate_key: /ssl/key.pem":                  true,
		"token: {{ x }}":                                     true,
	} {
		before, after := line+"\nx: 1\n", line+"\nx: 2\n"
		text := Show(finding.Step{Kind: finding.StepEdit, Path: "/x", Before: &finding.Entry{Type: finding.EntryFile, Content: &before}, After: &finding.Entry{Type: finding.EntryFile, Content: &after}})
		if strings.Contains(text, "hunter2x") || strings.Contains(text, line) != shown || !strings.Contains(text, "+x: 2") {
			t.Errorf("%q is shown as %s", line, text)
		}
	}
	if text := Show(finding.Step{Kind: finding.StepDelete, Path: "/www/\x1b[2J", Before: &finding.Entry{Type: finding.EntryFile}}); strings.Contains(text, "\x1b") {
		t.Errorf("a name moves the terminal's cursor: %q", text)
	}
}

func TestHomeAssistantOSIsToldNothing(t *testing.T) {
	tree, err := facts.Draw("-- etc/os-release --\nID=haos\n-- proc/sys/kernel/x --\n0\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func(*Draft){
		"a unit":    func(d *Draft) { d.Unit("restart", "ssh.service") },
		"a program": func(d *Draft) { d.Run("nft") },
		"a sysctl":  func(d *Draft) { d.Sysctl("kernel.x", "1", false) },
	} {
		d := Begin(&facts.Host{Tree: tree, Live: true}, "Does it.", "")
		if do(d); !IsRefusal(d.Err()) {
			t.Errorf("%s: %v", name, d.Err())
		}
	}
	d := Begin(&facts.Host{Tree: tree, Live: true}, "Restarts it.", "")
	if d.Run("homeassistant-restart"); d.Err() != nil {
		t.Errorf("what Home Assistant's API does: %v", d.Err())
	}
}

// A log that was handed over and is rotated away keeps nobody from undoing the rest.
func TestUndoMissesNothingOfAFileThatIsGone(t *testing.T) {
	dir := home(t)
	x := fixer(t, dir, filepath.Join(t.TempDir(), "journal"), finding.Pass)
	d := Begin(hostOf(x.Disk), "Closes.", "")
	d.Mode("/etc/old", 0o600)
	d.Mode("/etc/shadow", 0o600)
	f, err := d.Fix()
	if err != nil {
		t.Fatal(err)
	}
	done, err := x.Apply(t.Context(), []finding.Fix{f})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "etc/old")); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Undo(done.N); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "etc/shadow")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("it is %v: %v", info.Mode(), err)
	}
}

// A service that ends a moment after it was started anew takes the fix with it.
func TestWhatEndsAfterItsRestartIsTakenBack(t *testing.T) {
	dir, journal := home(t), filepath.Join(t.TempDir(), "journal")
	before := snapshot(t, dir)
	synctest.Test(t, func(t *testing.T) {
		x := fixer(t, dir, journal, finding.Pass)
		x.Machine = &programsOf{fail: map[string]int{"systemctl is-active --quiet ssh.service": 1}}
		_, err := x.Apply(t.Context(), []finding.Fix{guarded(t, x)})
		var back *TakenBack
		if !errors.As(err, &back) || !strings.Contains(err.Error(), "ssh.service does not run any more") {
			t.Errorf("it says %v", err)
		}
	})
	asBefore(t, dir, before)
}

func TestMaskedDiffShowsNoValueWithoutAName(t *testing.T) {
	for _, line := range []string{"hunter2hunter2==", "  hunter2hunter2=", "hunter2hunter2hunter2hunter2hunter2hunter2hunter2: x", "- https://hunter2:hunter2@x", "key: hunter2", "hunter2/+a: x"} {
		before, after := line+"\n", "x: 1\n"
		text := Show(finding.Step{Kind: finding.StepEdit, Path: "/x", Secret: true, Before: &finding.Entry{Type: finding.EntryFile, Content: &before}, After: &finding.Entry{Type: finding.EntryFile, Content: &after}})
		if strings.Contains(text, "hunter2") {
			t.Errorf("%q is shown as %s", line, text)
		}
	}
}

// While passwd is at work its file is left alone, and nothing is lost.
func TestAccountsAreLeftWhileTheyChange(t *testing.T) {
	dir := home(t)
	file := filepath.Join(dir, "etc/.pwd.lock")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, dir)
	x := fixer(t, dir, filepath.Join(t.TempDir(), "journal"), finding.Pass)
	f := everything(t, hostOf(x.Disk))
	held, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.FcntlFlock(held.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Apply(t.Context(), []finding.Fix{f}); err == nil || !strings.Contains(err.Error(), "changing accounts") {
		t.Errorf("it says %v", err)
	}
	asBefore(t, dir, before)
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Apply(t.Context(), []finding.Fix{f}); err != nil {
		t.Error(err)
	}
}

// Undoing a later firewall leaves an earlier one at work.
func TestUndoneFirewallLeavesTheOneBefore(t *testing.T) {
	dir := home(t)
	x := fixer(t, dir, filepath.Join(t.TempDir(), "journal"), finding.Pass)
	p := &programsOf{}
	x.Machine = p
	lay := func(rules string) *Transaction {
		d := Begin(hostOf(x.Disk), "Lays rules.", "")
		d.Write(firewallFile, 0o600, "# gatehouse "+rules+"\n")
		d.Run("firewall")
		f, err := d.Fix()
		if err != nil {
			t.Fatal(err)
		}
		done, err := x.Apply(t.Context(), []finding.Fix{f})
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	first, second := lay("one"), lay("two")
	load := "nft -f " + firewallFile
	if _, err := x.Undo(second.N); err != nil || p.ran[len(p.ran)-1] != load {
		t.Errorf("ran %q: %v", p.ran, err)
	}
	if _, err := x.Undo(first.N); err != nil || p.ran[len(p.ran)-1] == load {
		t.Errorf("ran %q: %v", p.ran, err)
	}
}

// One page of the journal that cannot be read keeps no trial from its end.
func TestTrialEndsBesideAPageThatCannotBeRead(t *testing.T) {
	dir, journal := home(t), filepath.Join(t.TempDir(), "journal")
	before := snapshot(t, dir)
	synctest.Test(t, func(t *testing.T) {
		x := fixer(t, dir, journal, finding.Pass)
		x.Machine = &programsOf{}
		if _, err := x.Apply(t.Context(), []finding.Fix{guarded(t, x)}); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(journal, "0002.json"), []byte("junk"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(TrialTime + time.Second)
		if taken, _, err := x.Recover(); len(taken) != 1 || err == nil {
			t.Errorf("%v: %v", taken, err)
		}
		if _, err := x.Apply(t.Context(), []finding.Fix{guarded(t, x)}); err == nil {
			t.Error("something was begun, though it is not known how the journal stands")
		}
	})
	asBefore(t, dir, before)
}

// A program with capabilities keeps them, or is left alone.
func TestProgramWithRightsOfItsOwnIsLeftAlone(t *testing.T) {
	needRoot(t)
	dir := home(t)
	// Version 2, effective, cap_net_raw (capabilities(7)).
	rights := []byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if err := unix.Setxattr(filepath.Join(dir, "etc/old"), "security.capability", rights, 0); err != nil {
		t.Fatalf("this wants a file system with capabilities for the temporary files: %v", err)
	}
	x := fixer(t, dir, filepath.Join(t.TempDir(), "journal"), finding.Pass)
	for what, do := range map[string]func(*Draft){
		"another owner":   func(d *Draft) { d.Owner("/etc/old", somebody, 0) },
		"another content": func(d *Draft) { d.Write("/etc/old", 0o644, "new\n") },
	} {
		d := Begin(hostOf(x.Disk), "Does it.", "")
		do(d)
		f, err := d.Fix()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.Apply(t.Context(), []finding.Fix{f}); !IsRefusal(err) || !strings.Contains(err.Error(), "capabilities") {
			t.Errorf("%s: %v", what, err)
		}
	}
	d := Begin(hostOf(x.Disk), "Closes.", "")
	d.Mode("/etc/old", 0o700)
	f, err := d.Fix()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Apply(t.Context(), []finding.Fix{f}); err != nil {
		t.Error(err)
	}
	if n, err := unix.Getxattr(filepath.Join(dir, "etc/old"), "security.capability", nil); err != nil || n != len(rights) {
		t.Errorf("closed, it has %d bytes of rights: %v", n, err)
	}
}
