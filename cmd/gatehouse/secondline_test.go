package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gatehouse/internal/ha"
)

// Home Assistant's own ban stays where it comes after the guard's and at ten at the latest, and
// is set to ten everywhere else: with the guard's own number it would strike with the same
// wrong password, and for good.
func TestSecondLine(t *testing.T) {
	for _, c := range []struct {
		was       banning
		threshold int
		stays     bool
	}{
		{banning{true, true, -1}, 5, false},
		{banning{true, true, 0}, 5, false},
		{banning{true, true, 3}, 5, false},
		{banning{true, true, 5}, 5, false},
		{banning{true, true, 6}, 5, true},
		{banning{true, true, 10}, 5, true},
		{banning{true, true, 11}, 5, false},
		{banning{true, false, 10}, 5, false},
		{banning{true, true, 10}, 20, true}, // more than ten is no second line
		{banning{true, true, 4}, 3, true},
	} {
		s := stance{Was: listening{Banning: c.was}}
		s.takeSecondLine(c.threshold, false)
		if s.SecondLine == c.stays {
			t.Errorf("%+v behind %d: is it changed? %v", c.was, c.threshold, s.SecondLine)
		}
		if s.takeSecondLine(c.threshold, true); s.SecondLine {
			t.Errorf("%+v: Home Assistant would shut out an address that everybody shares", c.was)
		}
	}
	var unknown stance
	if unknown.takeSecondLine(5, false); unknown.SecondLine {
		t.Error("what is not known is changed")
	}
}

// How a home shuts addresses out, by its API.
func (h *movingHome) banning(at string) banning {
	h.t.Helper()
	now, err := h.api(at).HTTPConfig(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return banningOf(now.Running())
}

// Behind the gateway Home Assistant is the second line, and the owner sees it before; with its
// own listener it has its own number back, unless somebody has chosen another one meanwhile.
func TestSecondLineBehindUs(t *testing.T) {
	h := newMovingHome(t)
	g := newGate(t, h)
	plan, err := previewClose(t.Context(), g.house, closeWish{Next: string(modeClosed)})
	if err != nil || plan.Attempts != 10 || plan.Banning != (banning{true, true, -1}) {
		t.Fatalf("the preview: %+v, %v", plan, err)
	}
	g.begin(modeClosed)
	s := g.onTrial()
	if got := h.banning(s.Home.String()); got != (banning{true, true, 10}) {
		t.Errorf("behind us: %+v", got)
	}
	if _, err := confirmHouse(t.Context(), g.house, none{}); err != nil {
		t.Fatal(err)
	}
	if _, err := offHouse(t.Context(), g.house, none{}); err != nil {
		t.Fatal(err)
	}
	g.still()
	if got := h.banning(h.first); got != (banning{true, true, -1}) {
		t.Errorf("with its own listener: %+v", got)
	}
	s.SecondLine = true
	now, err := h.api(h.first).HTTPConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if enabled, attempts := s.withoutSecondLine(now.Stable.WithBanning(true, 8)).Banning(); !enabled || attempts != 8 {
		t.Errorf("what somebody chose meanwhile is %v, %d", enabled, attempts)
	}
}

// In configuration.yaml it is two lines more, and the file is the same to the last byte
// afterwards.
func TestSecondLineInFiles(t *testing.T) {
	const text = "# mine\nhttp:\n  server_port: 8123 # as ever\n  ip_ban_enabled: false\nlight: []\n"
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) string {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	write(".HA_VERSION", "2026.2.3")
	write("configuration.yaml", text)
	undo, err := setBanning(dir, banning{true, true, 10})
	if err != nil {
		t.Fatal(err)
	}
	const want = "# mine\nhttp:\n  login_attempts_threshold: 10\n  server_port: 8123 # as ever\nlight: []\n"
	if got := read("configuration.yaml"); got != want {
		t.Errorf("it says\n%s", got)
	}
	before := banning{true, false, -1}
	if b := before.ifOurs(dir); b != before {
		t.Errorf("what we have set is taken for somebody's: %+v", b)
	}
	if err := undo(); err != nil || read("configuration.yaml") != text {
		t.Errorf("%v, undone it says\n%s", err, read("configuration.yaml"))
	}
	if b := before.ifOurs(dir); b.Known {
		t.Error("what somebody has set would be set back")
	}

	// What only a person can do is no reason to stop.
	write("configuration.yaml", "http:\n  server_port: 8123\n  login_attempts_threshold: !secret tries\n")
	write("secrets.yaml", "tries: 3\n")
	if _, err := setBanning(dir, banning{true, true, 10}); err == nil {
		t.Error("a secret was changed")
	}
	l := stance{Home: netip.AddrPortFrom(loopbackAddr, 18123)}.listener()
	undo, left, err := editHome(dir, l, banning{true, true, 10})
	if err != nil || left == nil {
		t.Fatalf("%v, %v", left, err)
	}
	if err := undo(); err != nil {
		t.Error(err)
	}

	// From 2026.8 on they stand in Home Assistant's own storage.
	write(".HA_VERSION", "2026.8.0")
	write(storedHTTP, `{"version": 2, "minor_version": 1, "key": "http", "data": {"pending": null, "yaml_migration_done": true, "stable": {"server_port": 18123, "server_host": ["127.0.0.1"], "login_attempts_threshold": 10, "ip_ban_enabled": true, "created_at": "`+time.Now().UTC().Format(time.RFC3339)+`", "error": null, "error_message": null}}}`)
	b := banning{true, true, 3}.ifOurs(dir)
	if err := editStoredHome(dir, ha.Listener{Port: 8123}, b); err != nil {
		t.Fatal(err)
	}
	if got := (banning{true, true, 3}).ifOurs(dir); got.Known {
		t.Errorf("it is as it was behind us:\n%s", read(storedHTTP))
	}
}
