package ha

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"
)

// folder makes a configuration folder from names and texts by turns.
func folder(files ...string) fstest.MapFS {
	f := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		f[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return f
}

// brief writes settings in one line.
func brief(s Settings) string {
	h := s.HTTP
	return fmt.Sprintf("%s %s:%d %v:%d xff=%v %v ban=%v/%d tls=%s,%s", s.Source, s.File, s.Line, h.ServerHost, h.ServerPort, h.UseXForwardedFor, h.TrustedProxies,
		h.IPBanEnabled, h.LoginAttemptsThreshold, h.SSLCertificate, h.SSLKey)
}

const storedV3 = `{
  "version": 3,
  "minor_version": 1,
  "key": "http",
  "data": {
    "stable": {
      "server_port": 8124,
      "server_host": ["127.0.0.1"],
      "cors_allowed_origins": ["https://cast.home-assistant.io"],
      "use_x_forwarded_for": true,
      "trusted_proxies": ["127.0.0.1/32", "::1/128"],
      "login_attempts_threshold": 10,
      "ip_ban_enabled": true,
      "ssl_profile": "intermediate_v6",
      "use_x_frame_options": true,
      "created_at": "2026-11-01T00:00:00+00:00",
      "error": null,
      "error_message": null
    },
    "pending": null,
    "yaml_migration_done": true
  }
}`

const defaults = "[]:8123 xff=false [] ban=true/-1 tls=,"

func TestReadSettings(t *testing.T) {
	trial := strings.Replace(storedV3, `"pending": null`, `"pending": {"server_port": 8200, "error": null}`, 1)
	for _, c := range []struct {
		name  string
		files fstest.MapFS
		want  string
	}{
		{"storage", folder(".HA_VERSION", "2026.11.0", ".storage/http", storedV3, "configuration.yaml", "http:\n  server_port: 1\n"),
			"storage .storage/http:6 [127.0.0.1]:8124 xff=true [127.0.0.1/32 ::1/128] ban=true/10 tls=,"},
		{"storage, trial", folder(".HA_VERSION", "2026.11.0", ".storage/http", trial), "storage .storage/http:6 [127.0.0.1]:8124 xff=true [127.0.0.1/32 ::1/128] ban=true/10 tls=,"},
		{"storage of before 2026.8", folder(".HA_VERSION", "2026.2.3", ".storage/http", `{"version":1,"key":"http","data":{"server_port":9}}`, "configuration.yaml", "http:\n  server_port: 8125\n"),
			"yaml configuration.yaml:1 []:8125 xff=false [] ban=true/-1 tls=,"},
		{"after the update, before the start", folder(".HA_VERSION", "2026.11.0", ".storage/http", `{"version":1,"key":"http","data":{"server_port":9}}`, "configuration.yaml", "http:\n  server_port: 8125\n"),
			"yaml configuration.yaml:1 []:8125 xff=false [] ban=true/-1 tls=,"},
		{"nothing is set", folder(".HA_VERSION", "2026.2.3\n", "configuration.yaml", "default_config:\n"), "default :0 " + defaults},
		{"empty file", folder(".HA_VERSION", "2026.2.3", "configuration.yaml", ""), "default :0 " + defaults},
		{"never started", folder("configuration.yaml", "# nothing\n"), "default :0 " + defaults},
		{"empty block", folder(".HA_VERSION", "2026.2.3", "configuration.yaml", "\nhttp:\n"), "yaml configuration.yaml:2 " + defaults},
		{"all of it", folder(".HA_VERSION", "2026.2.3", "configuration.yaml", `
homeassistant:
  name: Home
http:
  server_host: 127.0.0.1
  server_port: "8124"
  use_x_forwarded_for: yes
  trusted_proxies:
    - 10.0.0.0/8
    - 192.168.1.0/255.255.255.0
    - ::1
  ip_ban_enabled: off
  login_attempts_threshold: 5
  ssl_certificate: /ssl/a.pem
  ssl_key: !secret key
  cors_allowed_origins: []
`, "secrets.yaml", "key: /ssl/b.pem\n"),
			"yaml configuration.yaml:4 [127.0.0.1]:8124 xff=true [10.0.0.0/8 192.168.1.0/24 ::1/128] ban=false/5 tls=/ssl/a.pem,/ssl/b.pem"},
		{"included", folder(".HA_VERSION", "2026.2.3", "configuration.yaml", "http: !include parts/http.yaml\n", "parts/http.yaml", "server_port: !include port.yaml\ntrusted_proxies: !secret proxies\n",
			"parts/port.yaml", "8126", "secrets.yaml", "proxies: [10.1.1.1, 10.1.1.2]\n"),
			"yaml configuration.yaml:1 []:8126 xff=false [10.1.1.1/32 10.1.1.2/32] ban=true/-1 tls=,"},
		{"secrets beside the file win", folder(".HA_VERSION", "2026.2.3", "configuration.yaml", "http: !include parts/http.yaml\n", "parts/http.yaml", "server_port: !secret port\n",
			"secrets.yaml", "port: 1\n", "parts/secrets.yaml", "port: 2\n"), "yaml configuration.yaml:1 []:2 xff=false [] ban=true/-1 tls=,"},
		{"packages by name", folder(".HA_VERSION", "2026.2.3", "configuration.yaml", "homeassistant:\n  packages: !include_dir_named packages\n",
			"packages/net/proxy.yaml", "http:\n  use_x_forwarded_for: true\n", "packages/a.yaml", "light:\n", "packages/.hidden.yaml", "http:\n  server_port: 1\n", "packages/secrets.yaml", "x: y\n", "packages/e.yaml", ""),
			"yaml packages/net/proxy.yaml:1 []:8123 xff=true [] ban=true/-1 tls=,"},
		{"packages merged", folder(".HA_VERSION", "2026.2.3", "configuration.yaml", "homeassistant: !include ha.yaml\nhttp:\n  server_port: 8127\n", "ha.yaml", "packages: !include_dir_merge_named packages\n",
			"packages/a.yaml", "one:\n  http:\n    server_port: 1\n    trusted_proxies: 10.0.0.1\n", "packages/b.yaml", "- a list\n"),
			"yaml configuration.yaml:2 []:8127 xff=false [10.0.0.1/32] ban=true/-1 tls=,"},
		{"packages listed", folder(".HA_VERSION", "2026.2.3", "configuration.yaml", "homeassistant:\n  packages:\n    p: !include p.yaml\n    q:\n      http: {ip_ban_enabled: false}\n", "p.yaml", "http:\n  server_port: 8128\n"),
			"yaml p.yaml:1 []:8128 xff=false [] ban=false/-1 tls=,"},
		{"lists from a folder", folder(".HA_VERSION", "2026.2.3", "configuration.yaml", "http:\n  trusted_proxies: !include_dir_merge_list p\n  server_host: !include_dir_list h\n",
			"p/a.yaml", "- 10.0.0.1\n- 10.0.0.2\n", "p/b.yaml", "- 10.0.0.3\n", "p/c.yaml", "x: y\n", "h/a.yaml", "127.0.0.1\n"),
			"yaml configuration.yaml:1 [127.0.0.1]:8123 xff=false [10.0.0.1/32 10.0.0.2/32 10.0.0.3/32] ban=true/-1 tls=,"},
		{"anchors", folder(".HA_VERSION", "2026.2.3", "configuration.yaml", "x: &x\n  server_port: 1\n  use_x_forwarded_for: true\nhttp:\n  <<: *x\n  server_port: 8129\n  trusted_proxies: &p [10.0.0.1]\n  server_host: *p\n"),
			"yaml configuration.yaml:4 [10.0.0.1]:8129 xff=true [10.0.0.1/32] ban=true/-1 tls=,"},
		{"twice: the last wins", folder(".HA_VERSION", "2026.2.3", "configuration.yaml", "http:\n  server_port: 1\nhttp:\n  server_port: 2\n  server_port: 3\n"),
			"yaml configuration.yaml:3 []:3 xff=false [] ban=true/-1 tls=,"},
		{"other tags elsewhere", folder(".HA_VERSION", "2026.2.3", "configuration.yaml", "automation: !include automations.yaml\nscript: !include_dir_named nowhere\nlight:\n  - x: !env_var Y\n  - z: !input w\n"), "default :0 " + defaults},
	} {
		s, err := ReadSettings(c.files)
		if err != nil || brief(s) != c.want {
			t.Errorf("%s:\n got %s, %v\nwant %s", c.name, brief(s), err, c.want)
		}
	}

	s, err := ReadSettings(folder(".HA_VERSION", "2026.11.0", ".storage/http", trial))
	if err != nil || s.Pending == nil || s.Pending.ServerPort != 8200 || s.PendingError != "" || s.Version.String() != "2026.11.0" || s.HTTP.Places["server_port"] != (Place{".storage/http", 7}) ||
		s.HTTP.Places["trusted_proxies"].Line != 11 || s.Pending.Places["server_port"].Line != 20 {
		t.Errorf("%+v %+v, %v", s, s.Pending, err)
	}
	s, err = ReadSettings(folder(".HA_VERSION", "2026.11.0", ".storage/http", strings.Replace(trial, `"error": null}`, `"error": "not_promoted"}`, 1)))
	if err != nil || s.PendingError != "not_promoted" {
		t.Errorf("%+v, %v", s, err)
	}
	s, err = ReadSettings(folder(".HA_VERSION", "2026.2.3", "configuration.yaml", "http: !include h.yaml\n", "h.yaml", "# x\nserver_port: 5\n"))
	if err != nil || s.HTTP.Places["server_port"].String() != "h.yaml:2" {
		t.Errorf("%+v, %v", s, err)
	}
}

// unreadable is a folder in which one file cannot be read.
type unreadable struct {
	fstest.MapFS
	name string
}

func (u unreadable) Open(name string) (fs.File, error) {
	if name == u.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return u.MapFS.Open(name)
}

// TestUnreadableIsNoDefault holds the third outcome: what could not be judged has an
// error, and no settings that somebody could take for the default.
func TestUnreadableIsNoDefault(t *testing.T) {
	yaml := func(text string, more ...string) fs.FS {
		return folder(append([]string{".HA_VERSION", "2026.2.3", "configuration.yaml", text}, more...)...)
	}
	stored := func(text string) fs.FS {
		return folder(".HA_VERSION", "2026.11.0", ".storage/http", text, "configuration.yaml", "")
	}
	whole := folder(".HA_VERSION", "2026.11.0", ".storage/http", storedV3, "configuration.yaml", "http:\n")
	for name, fsys := range map[string]fs.FS{
		"no folder":                  folder(),
		"no configuration":           folder(".HA_VERSION", "2026.2.3"),
		"version unreadable":         unreadable{whole, ".HA_VERSION"},
		"storage unreadable":         unreadable{whole, ".storage/http"},
		"configuration unreadable":   unreadable{folder(".HA_VERSION", "2026.2.3", "configuration.yaml", "http:\n"), "configuration.yaml"},
		"version is nonsense":        folder(".HA_VERSION", "newest", "configuration.yaml", ""),
		"version is a folder":        folder(".HA_VERSION/x", "", "configuration.yaml", ""),
		"storage is a folder":        folder(".HA_VERSION", "2026.11.0", ".storage/http/x", "", "configuration.yaml", ""),
		"storage is empty":           stored(""),
		"storage is half":            stored(storedV3[:200]),
		"storage is of tomorrow":     stored(strings.Replace(storedV3, `"version": 3`, `"version": 4`, 1)),
		"storage is another":         stored(strings.Replace(storedV3, `"http"`, `"auth"`, 1)),
		"storage without stable":     stored(strings.Replace(storedV3, `"stable"`, `"unstable"`, 1)),
		"storage with a name twice":  stored(strings.Replace(storedV3, `"server_port": 8124`, `"server_port": 1, "server_port": 8124`, 1)),
		"include is missing":         yaml("http: !include http.yaml\n"),
		"include unreadable":         unreadable{yaml("http: !include http.yaml\n", "http.yaml", "").(fstest.MapFS), "http.yaml"},
		"include leads out":          yaml("http: !include ../http.yaml\n"),
		"include is absolute":        yaml("http: !include /etc/http.yaml\n"),
		"include of itself":          yaml("http: !include http.yaml\n", "http.yaml", "!include http.yaml\n"),
		"include by turns":           yaml("http: !include a.yaml\n", "a.yaml", "!include b.yaml\n", "b.yaml", "!include a.yaml\n"),
		"folder leads out":           yaml("homeassistant:\n  packages: !include_dir_named ../x\n"),
		"package of itself":          yaml("homeassistant:\n  packages: !include_dir_merge_named p\n", "p/a.yaml", "!include_dir_merge_named ../p\n", "p/b.yaml", "!include_dir_merge_named ../p\n"),
		"no such secret":             yaml("http:\n  server_port: !secret port\n", "secrets.yaml", "x: y\n"),
		"no secrets":                 yaml("http:\n  server_port: !secret port\n"),
		"secret of itself":           yaml("http:\n  server_port: !secret port\n", "secrets.yaml", "port: !secret port\n"),
		"from the environment":       yaml("http:\n  server_port: !env_var PORT 8123\n"),
		"unknown tag":                yaml("http: !magic x\n"),
		"unknown tag of an option":   yaml("http:\n  server_port: !magic 1\n"),
		"no YAML":                    yaml("http: [\n"),
		"tabs":                       yaml("http:\n\tserver_port: 1\n"),
		"two documents":              yaml("a: 1\n---\nhttp:\n"),
		"a list":                     yaml("- http\n"),
		"a text":                     yaml("http\n"),
		"block is a list":            yaml("http:\n  - server_port\n"),
		"block is a text":            yaml("http: 8123\n"),
		"option is a mapping":        yaml("http:\n  server_port: {a: b}\n"),
		"proxy is a mapping":         yaml("http:\n  trusted_proxies:\n    - a: b\n"),
		"packages are a list":        yaml("homeassistant:\n  packages:\n    - a\n"),
		"package is unreadable":      unreadable{yaml("homeassistant:\n  packages: !include_dir_named p\n", "p/a.yaml", "").(fstest.MapFS), "p/a.yaml"},
		"huge":                       yaml("# " + strings.Repeat("x", maxYAMLFile)),
		"anchors that grow":          yaml("a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nhttp: {trusted_proxies: [*c]}\n"),
		"merge of itself":            yaml("http: &h\n  <<: *h\n"),
		"invalid port":               yaml("http:\n  server_port: 0\n"),
		"invalid proxy":              yaml("http:\n  trusted_proxies: [10.0.0.1/8]\n"),
		"unknown option":             yaml("http:\n  trusted_proxy: 10.0.0.1\n"),
		"option twice in packages":   yaml("homeassistant:\n  packages:\n    p: {http: {server_port: 1}}\n    q: {http: {server_port: 2}}\n"),
		"invalid port in storage":    stored(strings.Replace(storedV3, `8124`, `"x"`, 1)),
		"invalid option in storage":  stored(strings.Replace(storedV3, `8124`, `{}`, 1)),
		"invalid proxy in storage":   stored(strings.Replace(storedV3, `"::1/128"`, `1`, 1)),
		"invalid pending in storage": stored(strings.Replace(storedV3, `"pending": null`, `"pending": {"server_port": 0}`, 1)),
	} {
		s, err := ReadSettings(fsys)
		if err == nil || s.Source != "" || s.HTTP.ServerPort != 0 || s.HTTP.Places != nil {
			t.Errorf("%s: %s, %v", name, brief(s), err)
		}
		var wrong *SettingError
		if bad := errors.As(err, &wrong); bad != (strings.HasPrefix(name, "invalid") || name == "unknown option" || name == "option twice in packages") {
			t.Errorf("%s: wrong or not judged? %v", name, err)
		}
	}
	_, err := ReadSettings(yaml("http:\n  server_port: !secret port\n", "secrets.yaml", "port: [hunter2\n"))
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error quotes a secret: %v", err)
	}
}

func TestOnboarded(t *testing.T) {
	for done, want := range map[string]bool{
		`["user","core_config","analytics","integration"]`:       true,
		`["integration","user","core_config","analytics","new"]`: true,
		`["user","core_config","analytics"]`:                     false,
		`[]`:                                                     false,
	} {
		s, err := ReadSettings(folder("configuration.yaml", "", ".storage/onboarding", `{"version":4,"minor_version":1,"key":"onboarding","data":{"done":`+done+`}}`))
		if err != nil || s.Onboarded != want {
			t.Errorf("%s: %v, %v", done, s.Onboarded, err)
		}
	}
	for _, text := range []string{"", "{}", `{"version":4,"key":"onboarding","data":{"done":"user"}}`} {
		s, err := ReadSettings(folder("configuration.yaml", "http:\n  server_port: 5\n", ".storage/onboarding", text))
		if err == nil || s.Onboarded || s.HTTP.ServerPort != 5 {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	}
	if s, err := ReadSettings(folder("configuration.yaml", "")); err != nil || s.Onboarded {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestTrusts(t *testing.T) {
	h := HTTPSettings{UseXForwardedFor: true, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	if !h.Trusts(netip.MustParseAddr("10.1.2.3")) || !h.Trusts(netip.MustParseAddr("::ffff:10.1.2.3")) || h.Trusts(netip.MustParseAddr("11.1.2.3")) {
		t.Error("a proxy is trusted that is not, or the other way round")
	}
	h.UseXForwardedFor = false
	if h.Trusts(netip.MustParseAddr("10.1.2.3")) {
		t.Error("a proxy is trusted though Home Assistant does not listen to any")
	}
}

// TestYAMLProxyLines reads the lines that are shown back in.
func TestYAMLProxyLines(t *testing.T) {
	for _, addr := range []string{"127.0.0.1", "::1", "fd00::1", "::ffff:10.0.0.1"} {
		a := netip.MustParseAddr(addr)
		lines := YAMLProxyLines(a)
		s, err := ReadSettings(folder(".HA_VERSION", "2026.2.3", "configuration.yaml", lines))
		if err != nil || !s.HTTP.Trusts(a) || len(s.HTTP.TrustedProxies) != 1 || strings.Count(lines, "\n") != 3 {
			t.Errorf("%s\n%s, %v", lines, brief(s), err)
		}
	}
}

func TestRelease(t *testing.T) {
	ordered := []string{"2024.3.3", "2025.12.10", "2026.2.3", "2026.8.0.dev20260701", "2026.8.0b0", "2026.8.0b10", "2026.8.0rc1", "2026.8.0", "2026.8.3", "2026.11.0"}
	for i, a := range ordered {
		ra, err := ParseRelease(a)
		if err != nil || ra.String() != a {
			t.Fatalf("%s: %v, %v", a, ra, err)
		}
		for j, b := range ordered {
			rb, _ := ParseRelease(b)
			if got := ra.Compare(rb); got != min(1, max(-1, i-j)) {
				t.Errorf("%s against %s: %d", a, b, got)
			}
		}
		if ra.AtLeast(2026, 8) != (i >= 3) {
			t.Errorf("%s: %v", a, ra.AtLeast(2026, 8))
		}
	}
	for _, s := range []string{"", "2026", "2026.11", "2026.11.", "2026.11.0.1", "2026.13.0", "2026.0.1", "2026.011.0", "v2026.11.0", "2026.11.0 ", "2026.11.0-x", "2026.11.0b 1", "12345.1.0", "2026.11.x", "-1.2.3"} {
		if r, err := ParseRelease(s); err == nil {
			t.Errorf("%q is taken: %+v", s, r)
		}
	}
	if (Release{}).String() != "" || (Release{}).AtLeast(2024, 1) {
		t.Error("the zero release is one")
	}
}

func FuzzReadSettings(f *testing.F) {
	f.Add("2026.2.3", "http: !include a.yaml\nhomeassistant: {packages: !include_dir_named p}\n", "server_port: !secret x\n", "x: 1\n", "")
	f.Add("2026.11.0", "", "", "", storedV3)
	f.Add("", "a: &a {<<: *a}\nhttp: *a\n", "- x\n", "", "")
	f.Fuzz(func(t *testing.T, version, configuration, included, secrets, stored string) {
		s, err := ReadSettings(folder(".HA_VERSION", version, "configuration.yaml", configuration, "a.yaml", included, "p/b.yaml", included, "secrets.yaml", secrets, ".storage/http", stored))
		if s.Source == "" && (s.HTTP.ServerPort != 0 || err == nil) || s.Source != "" && (s.HTTP.ServerPort < 1 || s.HTTP.ServerPort > 65535) {
			t.Fatalf("%s, %v", brief(s), err)
		}
		if s.Source == SourceDefault && brief(s) != "default :0 "+defaults {
			t.Fatal(brief(s))
		}
	})
}
