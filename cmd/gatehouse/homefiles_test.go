package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/ha"
)

// What Home Assistant's user puts in a file's place keeps nobody waiting, and leads nobody out
// of the directory.
func TestHomeFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "elsewhere"), []byte("192.0.2.1:\n  banned_at: '2026-01-01T00:00:00'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(string) error{
		"a named pipe":       func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a directory":        func(path string) error { return os.Mkdir(path, 0o700) },
		"a device":           func(path string) error { return os.Symlink("/dev/zero", path) },
		"a link that leaves": func(path string) error { return os.Symlink("../elsewhere", path) },
	} {
		home := filepath.Join(dir, name)
		if err := os.Mkdir(home, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{"ip_bans.yaml", "configuration.yaml", ".HA_VERSION"} {
			if err := put(filepath.Join(home, file)); err != nil {
				t.Fatal(err)
			}
		}
		done := beside(func() {
			if list, err := readIPBans(filepath.Join(home, "ip_bans.yaml")); err == nil {
				t.Errorf("%s: %+v", name, list)
			}
			root, err := os.OpenRoot(home)
			if err != nil {
				t.Error(err)
				return
			}
			defer root.Close()
			if s, err := ha.ReadSettings(homeFiles{root}); err == nil {
				t.Errorf("%s: %+v", name, s)
			}
		})
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: it waits", name)
		}
	}
}

// beside runs f beside, and says when it has ended.
func beside(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	return done
}
