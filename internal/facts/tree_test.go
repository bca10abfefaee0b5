package facts

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func diskHost(t *testing.T, dir string) *Host {
	t.Helper()
	d, err := OpenDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return &Host{Tree: d}
}

// Links lead nowhere but inside the root, absolute ones too; what is no file of text is not
// read, and a pipe makes nobody wait.
func TestDiskStaysInside(t *testing.T) {
	outside, root := t.TempDir(), t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(outside, "secret"), "outside\n")
	write(filepath.Join(root, "etc/real"), "inside\nand more")
	write(filepath.Join(root, "secret"), "the root's own\n")
	write(filepath.Join(root, "etc/junk"), "a\x00b")
	write(filepath.Join(root, "etc/large"), strings.Repeat("x", maxText+1))
	for name, to := range map[string]string{
		"absolute": "/etc/real", "relative": "../etc/real", "up": "../../../../../../../../secret", "out": filepath.Join(outside, "secret"),
		"circle": "circle2", "circle2": "circle", "dir": "/etc", "gone": "/etc/none",
	} {
		if err := os.Symlink(to, filepath.Join(root, "etc", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(root, "etc/pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	h := diskHost(t, root)
	for name, want := range map[string]string{"/etc/real": "inside", "/etc/absolute": "inside", "etc/relative": "inside", "/etc/up": "the root's own", "/etc/dir/dir/real": "inside"} {
		if text, err := h.Text(name); err != nil || text.Lines[0] != want {
			t.Errorf("%s: %v, %v", name, text.Lines, err)
		}
	}
	began := time.Now()
	for name, want := range map[string]error{"/etc/out": fs.ErrNotExist, "/etc/gone": fs.ErrNotExist, "/etc/real/below": fs.ErrNotExist, "/etc/circle": ErrLinks, "/etc/pipe": ErrNotFile, "/etc/large": ErrTooLarge, "/etc": ErrNotFile, "/etc/junk": nil} {
		if _, err := h.Text(name); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if time.Since(began) > 10*time.Second {
		t.Error("something was waited for")
	}
	found, err := h.Glob("/etc/[ar]e*")
	if err != nil || !slices.Equal(found, []string{"/etc/real", "/etc/relative"}) {
		t.Errorf("%v, %v", found, err)
	}
	if found, err := h.Glob("/etc/r*/below"); err != nil || len(found) > 0 { // nothing is below a file
		t.Errorf("%v, %v", found, err)
	}
	if there, err := h.Exists("/etc/none"); there || err != nil {
		t.Errorf("%t, %v", there, err)
	}
	if _, err := OpenDisk(filepath.Join(root, "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// A drawing is a tree like one on a disk.
func TestDrawn(t *testing.T) {
	tree, err := Draw("-- etc/shadow 0640 0:42 --\nroot:*\n-- usr/bin/su 4755 --\n-- a/link -> ../etc --\n-- shut dir closed --\n-- shut/in --\nx\n-- s socket --\n")
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{Tree: tree}
	if i, err := h.Stat("/a/link/shadow"); err != nil || i.Mode != 0o640 || i.GID != 42 || i.Size != 7 {
		t.Errorf("%+v, %v", i, err)
	}
	if i, err := h.Stat("/usr/bin/su"); err != nil || i.Mode&fs.ModeSetuid == 0 {
		t.Errorf("%+v, %v", i, err)
	}
	if _, err := h.Text("/shut/in"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v", err)
	}
	if _, err := h.Dir("/shut"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v", err)
	}
	if names, err := h.Dir("/"); err != nil || !slices.Equal(names, []string{"a", "etc", "s", "shut", "usr"}) {
		t.Errorf("%v, %v", names, err)
	}
	for _, text := range []string{"text first\n-- x --\n", "-- x odd --\n", "-- x 0999 --\n", "-- x size=big --\n"} {
		if _, err := Draw(text); err == nil {
			t.Errorf("%q is a drawing", text)
		}
	}
}

func FuzzDraw(f *testing.F) {
	f.Add("-- etc/passwd 0644 0:0 --\nroot:x:0:0::/root:/bin/sh\n", "/etc/passwd")
	f.Add("-- a -> b --\n-- b -> a --\n", "/a/../b/./c")
	f.Add("-- a -> /../../a/b --\n-- a/b --\n", "a/b")
	f.Fuzz(func(t *testing.T, text, name string) {
		tree, err := Draw(text)
		if err != nil {
			return
		}
		h := &Host{Tree: tree}
		_, _ = h.Text(name)
		_, _ = h.Glob(name)
		_, _ = h.Users()
		_, _ = h.Kind()
	})
}

// How full a disk is, the running machine says of itself.
func TestFullPercent(t *testing.T) {
	d, err := OpenDisk("/")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if full, err := (&Host{Tree: d, Live: true}).FullPercent("/"); err != nil || full < 0 || full > 100 {
		t.Errorf("%d, %v", full, err)
	}
}
