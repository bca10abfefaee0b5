package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("GATEHOUSE_TEST_WRITER"); dir != "" {
		writeUntilKilled(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// key is the key of every ledger in these tests.
var key = Key{1, 2, 3}

func openDir(t *testing.T, dir string) *Ledger {
	t.Helper()
	l, err := Open(t.Context(), dir, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestOpenIsFast(t *testing.T) {
	dir := t.TempDir()
	openDir(t, dir).Close()
	best := time.Hour
	for range 5 {
		start := time.Now()
		openDir(t, dir).Close()
		best = min(best, time.Since(start))
	}
	t.Logf("open and close: %v", best)
	if best > 30*time.Millisecond {
		t.Errorf("opening and closing took %v, more than 30 ms", best)
	}
}

func TestSecrets(t *testing.T) {
	for name, dir := range map[string]string{"file": t.TempDir(), "memory": ""} {
		t.Run(name, func(t *testing.T) {
			l := openDir(t, dir)
			ctx := t.Context()
			if _, err := l.Secret(ctx, "token"); !errors.Is(err, ErrNotFound) {
				t.Errorf("a secret that was never put: %v", err)
			}
			for _, want := range []string{"first", "second", ""} {
				if err := l.PutSecret(ctx, "token", []byte(want)); err != nil {
					t.Fatal(err)
				}
				got, err := l.Secret(ctx, "token")
				if err != nil || string(got) != want {
					t.Errorf("got %q, %v; want %q", got, err, want)
				}
			}
			if err := l.DropSecret(ctx, "token"); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Secret(ctx, "token"); !errors.Is(err, ErrNotFound) {
				t.Errorf("a dropped secret: %v", err)
			}
		})
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l := openDir(t, dir)
	if err := l.PutSecret(t.Context(), "a", []byte("b")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %04o", e.Name(), info.Mode().Perm())
		}
	}
	if len(entries) < 2 {
		t.Errorf("only %d files: no WAL", len(entries))
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v", info.Mode(), err)
	}
}
