package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hinted checks that an error is an *Error with the hint that belongs to it.
func hinted(t *testing.T, err error, hint string) {
	t.Helper()
	var own *Error
	if !errors.As(err, &own) {
		t.Fatalf("got %v, not an *Error", err)
	}
	if own.Hint != hint || hint == "" {
		t.Errorf("%v: the hint is %q, want %q", err, own.Hint, hint)
	}
	if !strings.HasPrefix(err.Error(), "ledger: ") {
		t.Errorf("the error is %q", err)
	}
}

// A full disk is an error, loses nothing that was acknowledged, and is over when
// there is room again.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	l := openDir(t, dir)
	var pages int
	if err := l.write.QueryRow("PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	limit := func(n int) {
		t.Helper()
		if _, err := l.write.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", n)); err != nil {
			t.Fatal(err)
		}
	}
	limit(pages + 10)
	kept := 0
	var err error
	for ; err == nil; kept++ {
		err = l.PutSecret(t.Context(), fmt.Sprint(kept), make([]byte, 2000))
	}
	kept--
	hinted(t, err, hintFull)
	if kept < 5 {
		t.Fatalf("only %d writes before the disk was full", kept)
	}
	check := func(l *Ledger, n int) {
		t.Helper()
		var found int
		if err := l.View(t.Context(), func(tx *Tx) error { return tx.One([]any{&found}, `SELECT count(*) FROM secrets`) }); err != nil {
			t.Fatal(err)
		}
		if found != n {
			t.Errorf("%d are there, %d were acknowledged", found, n)
		}
	}
	check(l, kept)
	limit(pages + 1000)
	if err := l.PutSecret(t.Context(), "more", nil); err != nil {
		t.Errorf("after there is room again: %v", err)
	}
	l.Close()
	check(openDir(t, dir), kept+1)
}

// mounting runs the test again in a mount namespace of its own, where it may mount
// and where nothing it mounts outlives it. It reports whether this is that run.
func mounting(t *testing.T) bool {
	t.Helper()
	const mark = "GATEHOUSE_TEST_MOUNTS"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), mark+"="+t.Name())
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		child.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		child.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		child.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := child.CombinedOutput()
	switch {
	case errors.Is(err, syscall.EPERM):
		t.Logf("not shown here: this needs a mount namespace, which the system refuses (%v)", err)
	case err != nil:
		t.Errorf("in a mount namespace: %v\n%s", err, out)
	default:
		t.Logf("in a mount namespace:\n%s", out)
	}
	return false
}

// mount mounts for as long as the namespace lasts.
func mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := syscall.Mount(source, target, kind, flags, data); err != nil {
		t.Fatalf("mount %s: %v", target, err)
	}
}

// The same on a file system that is really full.
func TestFullFileSystem(t *testing.T) {
	if !mounting(t) {
		return
	}
	dir := t.TempDir()
	mount(t, "none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	mount(t, "tmpfs", dir, "tmpfs", 0, "size=1m,mode=0700")
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	l, err := Open(t.Context(), dir, key)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	kept := 0
	for ; err == nil; kept++ {
		err = l.PutSecret(t.Context(), fmt.Sprint(kept), make([]byte, 2000))
	}
	kept--
	hinted(t, err, hintFull)
	l.Close()
	l = openDir(t, dir)
	defer l.Close()
	for n := range kept {
		if _, err := l.Secret(t.Context(), fmt.Sprint(n)); err != nil {
			t.Fatalf("%d of %d: %v", n, kept, err)
		}
	}
	t.Logf("%d writes acknowledged before the disk was full, all there", kept)
}

func TestDamagedFile(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"not a ledger": func([]byte) []byte { return []byte(strings.Repeat("hello, world\n", 500)) },
		"cut":          func(b []byte) []byte { return b[:len(b)/2] },
		"overwritten":  func(b []byte) []byte { return append(b[:4096], bytes.Repeat([]byte{0xa5}, len(b)-4096)...) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := openDir(t, dir)
			for n := range 100 {
				if err := l.PutSecret(t.Context(), fmt.Sprint(n), make([]byte, 500)); err != nil {
					t.Fatal(err)
				}
			}
			l.Close()
			path := filepath.Join(dir, Name)
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			broken := damage(whole)
			if err := os.WriteFile(path, broken, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = Open(t.Context(), dir, key)
			hinted(t, err, hintDamaged)
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, broken) {
				t.Errorf("opening changed the file: %v", err)
			}
		})
	}
}

func TestNotADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), file, key); err == nil {
		t.Error("a file was taken for a directory")
	}
}

// A directory that others may read is closed to them if it is Gatehouse's, and left
// alone if it is not.
func TestSharedDirectory(t *testing.T) {
	mode := func(dir string) os.FileMode {
		t.Helper()
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 { // empty, and with a ledger in it
		openDir(t, dir).Close()
		if mode(dir) != 0o700 {
			t.Errorf("mode %04o", mode(dir))
		}
		if err := os.WriteFile(filepath.Join(dir, "log"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, Name)); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), dir, key)
	hinted(t, err, hintShared)
	if mode(dir) != 0o755 {
		t.Errorf("mode %04o", mode(dir))
	}
	if _, err := LoadKey(filepath.Join(dir, KeyName)); err != nil || mode(dir) != 0o755 {
		t.Errorf("a key beside other things: %v, mode %04o", err, mode(dir))
	}
}

func TestReadOnlyDisk(t *testing.T) {
	if !mounting(t) {
		return
	}
	dir := t.TempDir()
	openDir(t, dir).Close()
	mount(t, "none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	mount(t, dir, dir, "", syscall.MS_BIND, "")
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	mount(t, "", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
	_, err := Open(t.Context(), dir, key)
	hinted(t, err, hintReadOnly)
	_, err = LoadKey(filepath.Join(dir, "key"))
	hinted(t, err, hintReadOnly)
}

// Whether a transaction holds does not depend on its caller's context once it has begun.
func TestContext(t *testing.T) {
	l := openDir(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	err := l.Update(ctx, func(tx *Tx) error {
		cancel()
		_, err := tx.Exec(`INSERT INTO secrets (name, sealed) VALUES ('a', 'b')`)
		return err
	})
	if err != nil {
		t.Errorf("canceled in the middle: %v", err)
	}
	if err := l.Update(ctx, func(*Tx) error { t.Error("it ran"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled before: %v", err)
	}
	short, done := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer done()
	err = l.Update(t.Context(), func(*Tx) error {
		return l.Update(short, func(*Tx) error { return nil }) // waits for its turn, which does not come
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for the turn: %v", err)
	}
}

func TestUndo(t *testing.T) {
	l := openDir(t, t.TempDir())
	boom := errors.New("boom")
	insert := func(tx *Tx) {
		if _, err := tx.Exec(`INSERT INTO secrets (name, sealed) VALUES ('a', 'b')`); err != nil {
			t.Error(err)
		}
	}
	if err := l.Update(t.Context(), func(tx *Tx) error { insert(tx); return boom }); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	func() {
		defer func() { recover() }()
		l.Update(t.Context(), func(tx *Tx) error { insert(tx); panic(boom) })
	}()
	if _, err := l.Secret(t.Context(), "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a part of a failed transaction holds: %v", err)
	}
	err := l.View(t.Context(), func(tx *Tx) error { _, err := tx.Exec(`DELETE FROM secrets`); return err })
	hinted(t, err, hintReadOnly)
	err = l.Update(t.Context(), func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO recovery_codes (hash, person_id) VALUES ('x', 'nobody')`)
		return err
	})
	if err == nil {
		t.Error("foreign keys are not looked at")
	}
}

// What is sealed opens for the same name, with the same key, unchanged, and not otherwise.
func TestSeal(t *testing.T) {
	l := openDir(t, "")
	sealed := l.Seal("a", []byte("secret"))
	if bytes.Contains(sealed, []byte("secret")) || bytes.Equal(sealed, l.Seal("a", []byte("secret"))) {
		t.Error("sealing hides nothing")
	}
	if got, err := l.Open("a", sealed); err != nil || string(got) != "secret" {
		t.Errorf("opened %q, %v", got, err)
	}
	other, err := Open(t.Context(), "", Key{9})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for name, open := range map[string]func() ([]byte, error){
		"another name": func() ([]byte, error) { return l.Open("b", sealed) },
		"another key":  func() ([]byte, error) { return other.Open("a", sealed) },
		"nothing":      func() ([]byte, error) { return l.Open("a", nil) },
		"cut":          func() ([]byte, error) { return l.Open("a", sealed[:len(sealed)-1]) },
		"changed": func() ([]byte, error) {
			changed := bytes.Clone(sealed)
			changed[len(changed)-1] ^= 1
			return l.Open("a", changed)
		},
	} {
		if got, err := open(); err == nil {
			t.Errorf("%s: opened %q", name, got)
		}
	}
}

// What a secret is found by again is the same each time, another for another name, key or
// secret, and shows nothing of it.
func TestFingerprint(t *testing.T) {
	l := openDir(t, "")
	f := l.Fingerprint("a", []byte("secret"))
	if !bytes.Equal(f, l.Fingerprint("a", []byte("secret"))) || len(f) != 32 || bytes.Contains(f, []byte("secret")) {
		t.Errorf("%x", f)
	}
	other, err := Open(t.Context(), "", Key{9})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for what, g := range map[string][]byte{
		"another name": l.Fingerprint("b", []byte("secret")), "another key": other.Fingerprint("a", []byte("secret")),
		"another secret": l.Fingerprint("a", []byte("Secret")), "a name that runs on": l.Fingerprint("as", []byte("ecret")),
	} {
		if bytes.Equal(f, g) {
			t.Errorf("%s has the same", what)
		}
	}
}

func TestLoadKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "key")
	first, err := LoadKey(path)
	if err != nil || first == (Key{}) {
		t.Fatalf("made %v, %v", first, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if again, err := LoadKey(path); err != nil || again != first {
		t.Errorf("loaded another: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err = LoadKey(path)
	hinted(t, err, "run: chmod 600 "+path)
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = LoadKey(path); err == nil {
		t.Error("a short key was taken")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "short" {
		t.Errorf("a wrong key file was written over: %q, %v", b, err)
	}
}

func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	lock, err := TryLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := TryLock(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("locked twice: %v", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	lock, err = TryLock(dir)
	if err != nil {
		t.Errorf("after it was let go: %v", err)
	} else {
		lock.Unlock()
	}
}

// What has the name of a file of ours and is a link, a pipe or somebody else's file is
// neither opened nor changed, whoever runs this.
func TestLinksAreNotFollowed(t *testing.T) {
	for _, name := range []string{lockName, Name, Name + "-wal", Name + "-shm", Name + "-journal"} {
		for kind, plant := range map[string]func(victim, path string) error{
			"symbolic link": os.Symlink,
			"loose link":    func(_, path string) error { return os.Symlink("nowhere", path) },
			"second name":   os.Link,
			"pipe":          func(_, path string) error { return syscall.Mkfifo(path, 0o600) },
		} {
			if kind == "second name" && name != lockName && name != Name {
				continue // SQLite's own, which root never opens in somebody else's directory
			}
			dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
			if err := os.Chmod(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
				t.Fatal(err)
			}
			before, err := os.Stat(victim)
			if err != nil {
				t.Fatal(err)
			}
			if os.Geteuid() == 0 {
				// The directory is somebody else's, as an attacker's is.
				if err := os.Chown(dir, 65534, 65534); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(dir, name)
			if err := plant(victim, path); err != nil {
				t.Fatal(err)
			}
			if name == lockName {
				_, err = TryLock(dir)
			} else {
				_, err = Open(t.Context(), dir, key)
			}
			hinted(t, err, hintOdd)
			if !strings.Contains(err.Error(), path) {
				t.Errorf("%s as a %s: %v", name, kind, err)
			}
			after, err := os.Stat(victim)
			if err != nil {
				t.Fatal(err)
			}
			was, is := before.Sys().(*syscall.Stat_t), after.Sys().(*syscall.Stat_t)
			if before.Mode() != after.Mode() || was.Uid != is.Uid || was.Gid != is.Gid || was.Size != is.Size {
				t.Errorf("%s as a %s: the victim is %v of %d:%d now, was %v of %d:%d", name, kind, after.Mode(), is.Uid, is.Gid, before.Mode(), was.Uid, was.Gid)
			}
			if _, err := os.Stat(filepath.Join(dir, "nowhere")); err == nil {
				t.Errorf("%s as a %s: made what it points to", name, kind)
			}
		}
	}
}

// What root makes in another user's directory is that user's; what was there already
// stays whose it was.
func TestWhoseFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(dir, lockName)
	if err := os.WriteFile(old, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	made, want := filepath.Join(dir, Name), uint32(os.Geteuid())
	if os.Geteuid() == 0 {
		want = 65534
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	lock, err := TryLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	l, err := Open(t.Context(), dir, key)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, uid := range map[string]uint32{old: uint32(os.Geteuid()), made: want} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Sys().(*syscall.Stat_t).Uid; got != uid || info.Mode().Perm() != 0o600 {
			t.Errorf("%s belongs to %d with mode %v, want %d", name, got, info.Mode(), uid)
		}
	}
}
