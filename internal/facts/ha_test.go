package facts

import (
	"encoding/binary"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"
)

// drawnHA is a host with a drawing, whose Home Assistant is in /config.
func drawnHA(t testing.TB, drawing string) *Host {
	t.Helper()
	tree, err := Draw(drawing)
	if err != nil {
		t.Fatal(err)
	}
	return &Host{Tree: tree, Root: true, HADir: "/config", Now: time.Now()}
}

// The configuration directory is a file system, over links inside the root.
func TestHAFiles(t *testing.T) {
	h := drawnHA(t, "-- srv/real/a.yaml --\na: 1\n-- config/b.yaml -> /srv/real/a.yaml --\n-- config/dir/c.yaml --\nc: 1\n")
	text, err := fs.ReadFile(h.HAFiles(), "b.yaml")
	if err != nil || string(text) != "a: 1\n" {
		t.Errorf("over a link: %q, %v", text, err)
	}
	if _, err := h.HAFiles().Open("../srv"); err == nil {
		t.Error("a name leads out")
	}
	var seen []string
	err = fs.WalkDir(h.HAFiles(), ".", func(name string, _ fs.DirEntry, err error) error {
		seen = append(seen, name)
		return err
	})
	if want := []string{".", "b.yaml", "dir", "dir/c.yaml"}; err != nil || !slices.Equal(seen, want) {
		t.Errorf("walked %v, %v", seen, err)
	}
}

func TestHashKind(t *testing.T) {
	for hash, want := range map[string]string{
		"$2b$12$" + strings.Repeat("a", 53): "bcrypt",
		"$2y$05$" + strings.Repeat("a", 53): "bcrypt",
		"$2b$12$" + strings.Repeat("a", 20): "unknown",
		"$6$salt$hash":                      "unknown",
		"":                                  "placeholder",
		"!":                                 "placeholder",
	} {
		if kind, _ := haHashKind(hash); kind != want {
			t.Errorf("%q is %s, want %s", hash, kind, want)
		}
	}
}

// What is a secret is found by its name, its form and its disorder; what only looks like
// one is left alone.
func TestHALiterals(t *testing.T) {
	for _, c := range []struct{ text, kind string }{
		{"wifi_password: kaninchen", "password"},
		{"psk: '12345678'", "password"},
		{"api_key: 0123456789abcdef", "token"},
		{"client_secret: 8f14e45fceea167a5a36dedd4bea2543", "token"},
		{"x: Bearer abcdefghijklmnop0123", "a bearer token"},
		{"url: https://olga:xyzzy@nas.example.org/", "a password in an address"},
		{"x: {webhook_id: 9f8e7d6c5b4a39281706fedc}", "id of a webhook"},
		{"encryption: {key: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=}", "key"},
		{"x: eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiIxMjM0NTYifQ.c2lnbmF0dXJlLWhlcmU", "a signed token"},
		{"password: ''", ""}, {"password: !secret x", ""}, {"password: !env_var X", ""}, {"password: '{{ states(1) }}'", ""},
		{"password: ${wifi}", ""}, {"password: YOUR_PASSWORD", ""}, {"token: sensor.token", ""}, {"mode: password", ""},
		{"token: none", ""}, {"key: state", ""}, {"translation_key: a_rather_long_name_of_it", ""}, {"secret: false", ""},
		{"url: https://nas.example.org/a@b:c", ""}, {"x: !input password", ""}, {"password: !input password", ""},
	} {
		h := drawnHA(t, "-- config/configuration.yaml --\n"+c.text+"\n-- config/secrets.yaml --\nx: y\n")
		all, err := h.HALiterals()
		switch {
		case err != nil:
			t.Errorf("%s: %v", c.text, err)
		case c.kind == "" && len(all) > 0 || c.kind != "" && (len(all) != 1 || all[0].Kind != c.kind):
			t.Errorf("%s: %v, want %q", c.text, all, c.kind)
		}
	}
}

// gitOf is an index of git with names.
func gitOf(version uint32, names ...string) []byte {
	b := binary.BigEndian.AppendUint32([]byte("DIRC"), version)
	b = binary.BigEndian.AppendUint32(b, uint32(len(names)))
	for _, name := range names {
		entry := append(make([]byte, 62), name...)
		for entry = append(entry, 0); len(entry)%8 != 0; {
			entry = append(entry, 0)
		}
		b = append(b, entry...)
	}
	return b
}

func TestGitIndex(t *testing.T) {
	names, err := gitIndex(gitOf(2, "a.yaml", "secrets.yaml", "x"))
	if want := []string{"a.yaml", "secrets.yaml", "x"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := gitIndex(gitOf(2, "a.yaml")[:40]); err == nil {
		t.Error("half an index is one")
	}
	// Version 4 writes how much of the name before is not kept.
	four := gitOf(4)
	binary.BigEndian.PutUint32(four[8:], 2)
	four = append(append(append(four, make([]byte, 62)...), 0), "abc\x00"...)
	four = append(append(append(four, make([]byte, 62)...), 1), "d\x00"...)
	if names, err := gitIndex(four); err != nil || !slices.Equal(names, []string{"abc", "abd"}) {
		t.Errorf("version 4: %v, %v", names, err)
	}
}

func TestGitIgnored(t *testing.T) {
	for _, c := range []struct {
		lines, name string
		want        bool
	}{
		{"*.db", "home-assistant_v2.db", true}, {".storage", ".storage/auth", true}, {".storage/", ".storage/auth", true},
		{"/secrets.yaml", "secrets.yaml", true}, {"/secrets.yaml", "x/secrets.yaml", false}, {"secrets.yaml", "x/secrets.yaml", true},
		{"*\n!*.yaml", "secrets.yaml", false}, {"*\n!*.yaml\nsecrets.yaml", "secrets.yaml", true}, {"# *.db", "x.db", false},
		{".storage/**", ".storage/auth", true}, {"**/*.key", "a/b.key", true}, {"[", "a", false},
	} {
		if got := gitIgnored(strings.Split(c.lines, "\n"), c.name); got != c.want {
			t.Errorf("%q leaves out %s: %v", c.lines, c.name, got)
		}
	}
}

func TestCompareHANumbers(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
		ok   bool
	}{
		{"2026.03.2", "2026.3.2", 0, true}, {"2026.5.2-full (1)", "2026.5.3", -1, true}, {"2026.10", "2026.9.1", 1, true},
		{"", "1", 0, false}, {"new", "1", 0, false}, {"1.10.0", "1.9", 1, true},
	} {
		if got, ok := CompareHANumbers(c.a, c.b); got != c.want || ok != c.ok {
			t.Errorf("%q and %q: %d, %v", c.a, c.b, got, ok)
		}
	}
}

// A unit is its file with its drop-ins: later ones win by name, an empty setting takes
// back what was there.
func TestHAUnits(t *testing.T) {
	h := drawnHA(t, `-- usr/lib/systemd/system/ha.service --
[Unit]
User=nobody
[Service]
# a comment
ExecStart=-/srv/ha/bin/hass \
  -c /config
User=one
DeviceAllow=a
-- usr/lib/systemd/system/ha.service.d/50-x.conf --
[Service]
User=lost
-- etc/systemd/system/ha.service.d/50-x.conf --
[Service]
User=two
DeviceAllow=
DeviceAllow=b
-- etc/systemd/system/other.service --
[Service]
ExecStart=/usr/bin/docker run homeassistant
-- etc/systemd/system/gone.service -> /dev/null --
-- etc/systemd/system/dangling.service -> /srv/nowhere --
-- usr/lib/systemd/system/home-assistant@.service --
[Service]
User=%i
ExecStart=/srv/%i/bin/hass
-- usr/lib/systemd/system/home-.service.d/10-all.conf --
[Service]
UMask=0077
-- etc/systemd/system/multi-user.target.wants/home-assistant@olga.service -> /usr/lib/systemd/system/home-assistant@.service --
`)
	all, err := h.HAUnits()
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	if u, explicit := all[0].Last("Service", "User"); !explicit || u != (UnitSetting{"Service", "User", "two", "/etc/systemd/system/ha.service.d/50-x.conf", 2}) {
		t.Errorf("user %v", u)
	}
	instance := all[1]
	if u, _ := instance.Last("Service", "User"); instance.Name != "home-assistant@olga.service" || u.Value != "olga" || instance.Start().Value != "/srv/olga/bin/hass" {
		t.Errorf("instance %v", instance)
	}
	if m, _ := instance.Last("Service", "UMask"); m.Value != "0077" {
		t.Errorf("the drop-in for all that begin alike says %v", m)
	}
	if d := all[0].All("Service", "DeviceAllow"); len(d) != 1 || d[0].Value != "b" {
		t.Errorf("devices %v", d)
	}
	if s := all[0].Start(); s.Line != 5 || !strings.HasSuffix(s.Value, "-c /config") {
		t.Errorf("start %v", s)
	}
}

func FuzzGitIndex(f *testing.F) {
	f.Add(gitOf(2, "a", "b/c"))
	f.Add(gitOf(3, "a"))
	f.Add(gitOf(4, "a"))
	f.Fuzz(func(t *testing.T, data []byte) { _, _ = gitIndex(data) })
}

// No pack, and no difference in it, makes the reader crash or read beyond it.
func FuzzGitPack(f *testing.F) {
	f.Add([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x01\x95\x01x\x9c\x03\x00\x00\x00\x00\x01"), []byte("\xfftOc\x00\x00\x00\x02"), int64(12))
	f.Add([]byte("PACK00000000\x65\x0c"), []byte("\x05\x05\x90\x05"), int64(12))
	f.Fuzz(func(t *testing.T, pack, other []byte, at int64) {
		s := gitStore{left: 1 << 20}
		_, _ = s.packed(gitPack{data: pack, offsets: map[string]int64{}}, at, false, 0)
		_, _ = gitPackIndex(other)
		_, _ = gitTree(other)
		_, _ = gitDelta(pack, other)
	})
}

// Nothing that lies in the configuration directory makes a reader crash.
func FuzzHAStorage(f *testing.F) {
	f.Add([]byte(`{"key":"auth","data":{"users":[{"id":"a","group_ids":null}],"credentials":[{"data":1}],"refresh_tokens":[{"created_at":"x"}]}}`))
	f.Add([]byte(`{"key":"lovelace","data":{"cards":[{"type":"iframe","url":"http:"}]}}`))
	f.Add([]byte(`[{"url":{"type":"iframe"}}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if strings.Contains(string(data), "-- ") {
			return // would be a headline of the drawing
		}
		var drawing strings.Builder
		for _, name := range []string{"auth", "auth_provider.homeassistant", "auth_module.totp", "core.config", "core.config_entries", "core.entity_registry",
			"homeassistant.exposed_entities", "cloud", "backup", "hacs.removed", "lovelace", "onboarding"} {
			drawing.WriteString("-- config/.storage/" + name + " --\n" + string(data) + "\n")
		}
		drawing.WriteString("-- etc/systemd/system/ha.service --\n" + string(data) + "\n-- config/configuration.yaml --\n" + string(data) + "\n")
		drawing.WriteString("-- config/custom_components/x/manifest.json --\n" + string(data) + "\n-- usr/share/hassio/config.json --\n" + string(data) + "\n")
		tree, err := Draw(drawing.String())
		if err != nil {
			return
		}
		h := &Host{Tree: tree, HADir: "/config"}
		_, _ = h.HAAuth()
		_, _ = h.HAPasswords()
		_, _ = h.HASecondFactors("totp")
		_, _ = h.HACore()
		_, _ = h.HAEntries()
		_, _ = h.HAExposed()
		_, _ = h.HACloud()
		_, _ = h.HABackups()
		_, _ = h.HACSRemoved()
		_, _ = h.HAFrames()
		_, _ = h.HAOnboarding()
		_, _ = h.HACustom()
		_, _ = h.HASupervisor()
		_, _ = h.HAUnits()
		_, _ = h.HALiterals()
	})
}

var _ fs.ReadDirFS = haFiles{}
