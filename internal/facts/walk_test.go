package facts

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A walk of a disk finds the same as a walk of its drawing, and goes nowhere by links.
func TestWalkOfADisk(t *testing.T) {
	root := t.TempDir()
	for name, mode := range map[string]os.FileMode{
		"usr/bin/su": 0o755 | os.ModeSetuid, "usr/bin/wall": 0o755 | os.ModeSetgid, "srv/open": 0o666, "mnt/open": 0o666,
		"var/lib/docker/x/su": 0o755 | os.ModeSetuid, "opt/data": 0o644 | os.ModeSetuid,
	} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(root, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"srv/shared": 0o777, "tmp": 0o777 | os.ModeSticky} {
		if err := os.Mkdir(filepath.Join(root, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(root, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("..", filepath.Join(root, "srv/loop")); err != nil {
		t.Fatal(err)
	}
	disk, err := OpenDisk(root)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	drawing, err := Draw(`
-- usr/bin/su 4755 --
-- usr/bin/wall 2755 --
-- srv/open 0666 --
-- mnt/open 0666 --
-- var/lib/docker/x/su 4755 --
-- opt/data 4644 --
-- srv/shared dir 0777 --
-- tmp dir 1777 --
-- srv/loop -> .. --
`)
	if err != nil {
		t.Fatal(err)
	}
	for name, tree := range map[string]Tree{"disk": disk, "drawing": drawing} {
		w, err := (&Host{Tree: tree}).Walk()
		if err != nil {
			t.Fatal(err)
		}
		paths := func(s Sighted) (all []string) {
			for _, one := range s.First {
				all = append(all, one.Path)
			}
			return all
		}
		for what, both := range map[string][2][]string{
			"setuid": {paths(w.SetID), {"/usr/bin/su", "/usr/bin/wall"}}, "files": {paths(w.WritableFiles), {"/mnt/open", "/srv/open"}},
			"directories": {paths(w.WritableDirs), {"/srv/shared"}},
		} {
			if !slices.Equal(both[0], both[1]) {
				t.Errorf("%s: %s: %q, want %q", name, what, both[0], both[1])
			}
		}
		if len(w.Owners) != 1 || w.Closed != 0 {
			t.Errorf("%s: %v, %d closed", name, w.Owners, w.Closed)
		}
	}
	if _, err := (&Host{Tree: disk, NoWalk: true}).Walk(); !errors.Is(err, ErrNoWalk) {
		t.Errorf("%v", err)
	}
}

// Capabilities are read as the kernel writes them.
func TestParseCaps(t *testing.T) {
	v2 := []byte{1, 0, 0, 2, 0, 0x30, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0}
	if got := CapNames(parseCaps(v2)); !slices.Equal(got, []string{"cap_net_admin", "cap_net_raw", "cap_bpf"}) {
		t.Errorf("%q", got)
	}
	if parseCaps(nil) != 0 || parseCaps(v2[:7]) != 0 {
		t.Error("half a value counts")
	}
}
