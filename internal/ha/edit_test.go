package ha

import (
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"
)

// moved is a home that has gone to loopback and to another port.
var moved = Listener{Hosts: []string{"127.0.0.1"}, Port: 8124, Proxies: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}

func TestEditHTTP(t *testing.T) {
	six := netip.MustParseAddr("::1")
	for _, c := range []struct {
		name  string
		to    Listener
		file  string // that is changed
		text  string // of it
		want  string
		other []string // files beside it
	}{
		{"no block", moved, "configuration.yaml", "# mine\ndefault_config:\n\nlogger:\n    default: info\n",
			"# mine\ndefault_config:\n\nlogger:\n    default: info\nhttp:\n    server_host: 127.0.0.1\n    server_port: 8124\n    use_x_forwarded_for: true\n    trusted_proxies: [127.0.0.1]\n", nil},
		{"no block, no line end", moved, "configuration.yaml", "a: 1", "a: 1\nhttp:\n  server_host: 127.0.0.1\n  server_port: 8124\n  use_x_forwarded_for: true\n  trusted_proxies: [127.0.0.1]\n", nil},
		{"an empty file", Listener{Port: 8124}, "configuration.yaml", "", "http:\n  server_port: 8124\n", nil},
		{"only comments", Listener{Port: 8124}, "configuration.yaml", "---\n# nothing\n", "---\n# nothing\nhttp:\n  server_port: 8124\n", nil},
		{"nothing to do", Listener{}, "configuration.yaml", "a: 1\n", "a: 1\n", nil},
		{"holds already", Listener{Hosts: []string{"127.0.0.1"}, Port: 8124}, "configuration.yaml", "http: {server_port: 8124, server_host: 127.0.0.1}\n", "http: {server_port: 8124, server_host: 127.0.0.1}\n", nil},
		{"empty block", moved, "configuration.yaml", "a: 1\nhttp:  # later\n\nb: 2\n", "a: 1\nhttp:  # later\n  server_host: 127.0.0.1\n  server_port: 8124\n  use_x_forwarded_for: true\n  trusted_proxies: [127.0.0.1]\n\nb: 2\n", nil},
		{"empty block at the end", Listener{Port: 1}, "configuration.yaml", "http:", "http:\n  server_port: 1", nil},
		{"null", Listener{Port: 1}, "configuration.yaml", "http: null\nb: 2\n", "http:\n  server_port: 1\nb: 2\n", nil},
		{"null, comment", Listener{Port: 1}, "configuration.yaml", "http: ~ # x\nb: 2\n", "http:  # x\n  server_port: 1\nb: 2\n", nil},
		{"block", moved, "configuration.yaml", "http:\n  # why\n  server_port: 8123 # the usual\n  ip_ban_enabled: true\nb: 2\n",
			"http:\n  # why\n  server_host: 127.0.0.1\n  use_x_forwarded_for: true\n  trusted_proxies: [127.0.0.1]\n  server_port: 8124 # the usual\n  ip_ban_enabled: true\nb: 2\n", nil},
		{"CRLF", moved, "configuration.yaml", "http:\r\n    server_port: 80\r\n    trusted_proxies:\r\n    - 10.0.0.1 # x\r\n\r\nb: 2\r\n",
			"http:\r\n    server_host: 127.0.0.1\r\n    use_x_forwarded_for: true\r\n    server_port: 8124\r\n    trusted_proxies:\r\n    - 10.0.0.1 # x\r\n    - 127.0.0.1\r\n\r\nb: 2\r\n", nil},
		{"CRLF, no block", Listener{Port: 8124}, "configuration.yaml", "a: 1\r\n", "a: 1\r\nhttp:\r\n  server_port: 8124\r\n", nil},
		{"a mark of the byte order", Listener{Port: 8124}, "configuration.yaml", "\ufeffhttp: {server_port: 1}\n", "\ufeffhttp: {server_port: 8124}\n", nil},
		{"flow", moved, "configuration.yaml", "http: {server_port: 8123, ip_ban_enabled: true}  # one line\n",
			"http: {server_host: 127.0.0.1, use_x_forwarded_for: true, trusted_proxies: [127.0.0.1], server_port: 8124, ip_ban_enabled: true}  # one line\n", nil},
		{"empty flow", Listener{Port: 1}, "configuration.yaml", "http: {}\n", "http: {server_port: 1}\n", nil},
		{"all in braces", Listener{Port: 1}, "configuration.yaml", "{http: , b: 2}\n", "{http: {server_port: 1}, b: 2}\n", nil},
		{"flow over lines", Listener{Hosts: []string{"a.b", "::1"}, Port: 9}, "configuration.yaml", "http: {\n  \"server_port\": \"8123\",\n  \"server_host\":\n    [\"x\",\n     'y']\n}\n",
			"http: {\n  \"server_port\": 9,\n  \"server_host\":\n    [a.b, \"::1\"]\n}\n", nil},
		{"secrets", moved, "configuration.yaml", "http:\n  server_port: !secret port # s\n  server_host: !secret host\n  use_x_forwarded_for: !secret no\n  trusted_proxies: !secret proxies\n",
			"http:\n  server_port: 8124 # s\n  server_host: 127.0.0.1\n  use_x_forwarded_for: true\n  trusted_proxies: [\"10.0.0.0/255.0.0.0\", \"::1\", 127.0.0.1]\n",
			[]string{"secrets.yaml", "port: 8123\nhost: [0.0.0.0, \"::\"]\nno: off\nproxies: [10.0.0.0/255.0.0.0, \"::1\"]\n"}},
		{"included", moved, "parts/http.yaml", "# here\nserver_port: 80\n", "# here\nserver_host: 127.0.0.1\nuse_x_forwarded_for: true\ntrusted_proxies: [127.0.0.1]\nserver_port: 8124\n",
			[]string{"configuration.yaml", "http: !include parts/http.yaml\n"}},
		{"included twice over", Listener{Port: 2}, "c.yaml", "{server_port: 1}", "{server_port: 2}", []string{"configuration.yaml", "http: !include b.yaml\n", "b.yaml", "!include c.yaml\n"}},
		{"included and empty", Listener{Port: 2}, "b.yaml", "# nothing", "# nothing\nserver_port: 2\n", []string{"configuration.yaml", "http: !include b.yaml\n"}},
		{"proxies: text", Listener{Proxies: []netip.Addr{six}}, "configuration.yaml", "http:\n  use_x_forwarded_for: yes\n  trusted_proxies: 10.0.0.0/8\n", "http:\n  use_x_forwarded_for: yes\n  trusted_proxies: [10.0.0.0/8, \"::1\"]\n", nil},
		{"proxies: nothing", Listener{Proxies: []netip.Addr{six}}, "configuration.yaml", "http:\n  use_x_forwarded_for: yes\n  trusted_proxies:\n", "http:\n  use_x_forwarded_for: yes\n  trusted_proxies: [\"::1\"]\n", nil},
		{"proxies: flow", Listener{Proxies: []netip.Addr{six}}, "configuration.yaml", "http:\n  use_x_forwarded_for: yes\n  trusted_proxies: [ 10.0.0.1, ] # x\n", "http:\n  use_x_forwarded_for: yes\n  trusted_proxies: [ 10.0.0.1, \"::1\", ] # x\n", nil},
		{"proxies: empty flow", Listener{Proxies: []netip.Addr{six, six}}, "configuration.yaml", "http:\n  use_x_forwarded_for: yes\n  trusted_proxies: []\n", "http:\n  use_x_forwarded_for: yes\n  trusted_proxies: [\"::1\"]\n", nil},
		{"proxies: covered", Listener{Proxies: []netip.Addr{netip.MustParseAddr("::ffff:10.9.9.9")}}, "configuration.yaml", "http:\n  use_x_forwarded_for: yes\n  trusted_proxies: 10.0.0.0/8\n", "http:\n  use_x_forwarded_for: yes\n  trusted_proxies: 10.0.0.0/8\n", nil},
		{"proxies: at the end of the file", Listener{Proxies: []netip.Addr{six}}, "configuration.yaml", "http:\n  use_x_forwarded_for: yes\n  trusted_proxies:\n    -   \"10.0.0.1\"", "http:\n  use_x_forwarded_for: yes\n  trusted_proxies:\n    -   \"10.0.0.1\"\n    -   \"::1\"", nil},
		{"hosts: fewer", Listener{Hosts: []string{"127.0.0.1"}}, "configuration.yaml", "http:\n  server_host:\n  # all of them\n  - 10.0.0.1 # one\n  # and\n  - 10.0.0.2 # two\n  # or\n  - 10.0.0.3\n  ip_ban_enabled: true\n",
			"http:\n  server_host:\n  # all of them\n  - 127.0.0.1 # one\n  # and\n  # or\n  ip_ban_enabled: true\n", nil},
		{"hosts: more", Listener{Hosts: []string{"127.0.0.1", "::1", "10.0.0.1"}}, "configuration.yaml", "http:\n  server_host:\n    - 10.0.0.1 # one\n  ip_ban_enabled: true\n",
			"http:\n  server_host:\n    - 127.0.0.1 # one\n    - \"::1\"\n    - 10.0.0.1\n  ip_ban_enabled: true\n", nil},
		{"hosts: removed", Listener{}, "configuration.yaml", "http:\n  # where\n  server_host: # here\n  # on\n  - 10.0.0.1 # one\n\n  - 10.0.0.2\n  # more\n  server_port: 8125\nb: 1\n", "http:\n  # where\n  # on\n\n  # more\nb: 1\n", nil},
		{"removed from braces", Listener{}, "configuration.yaml", "http: {server_host: [a, b], ip_ban_enabled: no, server_port: 1}\n", "http: {ip_ban_enabled: no}\n", nil},
		{"removed from braces, the only one", Listener{}, "configuration.yaml", "http: { server_port: 1 , }\n", "http: {  }\n", nil},
		{"removed, the port on its own line", Listener{}, "configuration.yaml", "http:\n  server_port:\n    # c\n    8124\n  ip_ban_enabled: no\n", "http:\n    # c\n  ip_ban_enabled: no\n", nil},
		{"letters beyond ASCII", Listener{Port: 1}, "configuration.yaml", "\"ü\": {\"é\": 1}\nhttp: {\"ssl_key\": \"/ü/é\", server_port: 7} # ä\n", "\"ü\": {\"é\": 1}\nhttp: {\"ssl_key\": \"/ü/é\", server_port: 1} # ä\n", nil},
	} {
		fsys := folder(append([]string{".HA_VERSION", "2026.2.3", c.file, c.text}, c.other...)...)
		file, before, after, err := EditHTTP(fsys, c.to)
		if err != nil || file != c.file || string(before) != c.text || string(after) != c.want {
			t.Errorf("%s: %s, %v\n got %q\nwant %q", c.name, file, err, after, c.want)
			continue
		}
		editedWell(t, fsys, c.to)
	}
}

// editedWell checks that an edit that succeeded is as asked and can be taken back.
func editedWell(t *testing.T, fsys fstest.MapFS, to Listener) {
	t.Helper()
	var was, now, back Settings
	if err := was.readYAML(fsys); err != nil {
		t.Fatal(err)
	}
	file, before, after, err := EditHTTP(fsys, to)
	if err != nil {
		t.Fatal(err)
	}
	changed := maps.Clone(fsys)
	changed[file] = &fstest.MapFile{Data: after}
	to, err = to.check()
	if err != nil {
		t.Fatal(err)
	}
	if err := now.readYAML(changed); err != nil || !now.HTTP.equal(to.wanted(was.HTTP)) {
		t.Fatalf("%q became %q: %s, %v", before, after, brief(now), err)
	}
	for _, addr := range to.Proxies {
		if !now.HTTP.Trusts(addr.Unmap().WithZone("")) {
			t.Fatalf("%q became %q: %v is not trusted", before, after, addr)
		}
	}
	home := Listener{Hosts: was.HTTP.ServerHost}
	if _, set := was.HTTP.Places["server_port"]; set {
		home.Port = was.HTTP.ServerPort
	}
	if _, err := home.check(); err != nil {
		return // no host that could be asked for
	}
	file, _, again, err := EditHTTP(changed, home)
	if err != nil {
		t.Fatalf("%q became %q and does not go back: %v", before, after, err)
	}
	changed[file] = &fstest.MapFile{Data: again}
	want := was.HTTP
	want.UseXForwardedFor, want.TrustedProxies = now.HTTP.UseXForwardedFor, now.HTTP.TrustedProxies
	if err := back.readYAML(changed); err != nil || !back.HTTP.equal(want) {
		t.Fatalf("%q became %q and then %q: %s, %v", before, after, again, brief(back), err)
	}
}

// What a person has to do by hand is said with its place.
func TestEditHTTPRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		want string
		to   Listener
		file []string
	}{
		{"a package", "packages/a.yaml:2: a package", moved, []string{"configuration.yaml", "homeassistant:\n  packages: !include_dir_named packages\n", "packages/a.yaml", "# x\nhttp:\n  server_port: 1\n"}},
		{"twice", "configuration.yaml:3: there is a second", moved, []string{"configuration.yaml", "http:\n  server_port: 1\nhttp:\n"}},
		{"an option twice", "configuration.yaml:3: http option server_port: is set twice", moved, []string{"configuration.yaml", "http:\n  server_port: 1\n  server_port: 2\n"}},
		{"a merge", "configuration.yaml:4: the http block has an anchor", moved, []string{"configuration.yaml", "x: &x\n  server_port: 1\nhttp:\n  <<: *x\n"}},
		{"a merge of the block", "is merged from elsewhere", moved, []string{"configuration.yaml", "x: &x\n  http: {server_port: 1}\n<<: *x\n"}},
		{"an alias", "configuration.yaml:3: the http block is not", moved, []string{"configuration.yaml", "x: &x\n  server_port: 1\nhttp: *x\n"}},
		{"an anchor", "configuration.yaml:2: the http block has an anchor", moved, []string{"configuration.yaml", "http:\n  server_host: &h [a]\nx: *h\n"}},
		{"an anchored block", "configuration.yaml:1: the http block has an anchor", moved, []string{"configuration.yaml", "http: &h {server_port: 1}\nx: *h\n"}},
		{"a folder", "configuration.yaml:1: the http block is not", moved, []string{"configuration.yaml", "http: !include_dir_merge_named h\n", "h/a.yaml", "server_port: 1\n"}},
		{"a list of a folder", "configuration.yaml:2: http option trusted_proxies: stands in another place", moved, []string{"configuration.yaml", "http:\n  trusted_proxies: !include_dir_merge_list h\n"}},
		{"an included port", "configuration.yaml:2: http option server_port: stands in another place", moved, []string{"configuration.yaml", "http:\n  server_port: !include p.yaml\n", "p.yaml", "1"}},
		{"a secret block", "configuration.yaml:1: the http block is not", moved, []string{"configuration.yaml", "http: !secret h\n", "secrets.yaml", "h: {server_port: 1}\n"}},
		{"a comment in a list", "configuration.yaml:2: http option server_host: has a comment", moved, []string{"configuration.yaml", "http:\n  server_host: [a, # x\n    b]\n"}},
		{"a long text", "configuration.yaml:2: http option server_host: is written over", moved, []string{"configuration.yaml", "http:\n  server_host: >-\n    a\n"}},
		{"a quoted text over lines", "configuration.yaml:2: http option server_host: is written over", moved, []string{"configuration.yaml", "http:\n  server_host: \"a\n    b\"\n"}},
		{"braces without a block", "configuration.yaml: it is written in braces", moved, []string{"configuration.yaml", "{a: 1}\n"}},
		{"the end of the document", "configuration.yaml:2: the document ends", moved, []string{"configuration.yaml", "a: 1\n...\n"}},
		{"an open end", "more than its http settings", moved, []string{"configuration.yaml", "a: |\n  text"}},
		{"odd line ends", "usual line ends", moved, []string{"configuration.yaml", "a: 1\rhttp:\r"}},
		{"a wrong option", "configuration.yaml:1: http option server_port: is no port", moved, []string{"configuration.yaml", "http: {server_port: x}\n"}},
		{"another file's root", "configuration.yaml:1: not a mapping of its own", moved, []string{"configuration.yaml", "!include a.yaml\n", "a.yaml", "b: 1\n"}},
		{"no file", "open configuration.yaml", moved, nil},
		{"the storage", "keeps its http settings in .storage/http", moved, []string{".HA_VERSION", "2026.11.0", ".storage/http", storedV3, "configuration.yaml", "http:\n"}},
		{"no port", "70000 is no port", Listener{Port: 70000}, []string{"configuration.yaml", "http:\n"}},
		{"no host", `"a b" is no host`, Listener{Hosts: []string{"a b"}}, []string{"configuration.yaml", "http:\n"}},
		{"no proxy", "a proxy has no address", Listener{Proxies: []netip.Addr{{}}}, []string{"configuration.yaml", "http:\n"}},
	} {
		_, _, after, err := EditHTTP(folder(c.file...), c.to)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, %v; want %q", c.name, after, err, c.want)
		}
	}
	var wrong *SettingError
	if _, _, _, err := EditHTTP(folder("configuration.yaml", "http:\n  server_host: *h\n"), moved); err == nil || errors.As(err, &wrong) {
		t.Errorf("an alias to nothing: %v", err)
	}
}

func FuzzEditHTTP(f *testing.F) {
	for _, s := range []string{
		"", "a: 1\n", "http:\n", "http: null # x\nb: 1\n", "http:\n  server_port: 8123 # x\n  trusted_proxies:\n  - 10.0.0.1\n  - ::1\n", "http: {server_port: 8123, server_host: [a, b]}\n",
		"http: !include http.yaml\n", "http:\n  server_port: !secret port\n  trusted_proxies: !secret proxies\n", "{http: {server_host: 'x', \"server_port\": 1 , }, b: {c: d}}", "http:\r\n    server_host:\r\n      - \"a\"\r\n",
		"x: &x {server_port: 1}\nhttp:\n  <<: *x\n", "homeassistant:\n  packages:\n    p:\n      http: {server_port: 2}\n", "? http\n: server_port: 1\n", "\ufeffhttp:\n  server_host:\n  # c\n  - é\n  - b # d\n", "---\nhttp: !!map {a: b}\n...\n",
	} {
		f.Add(s, "server_port: 1\n", "127.0.0.1", "::1", uint16(8124), []byte{127, 0, 0, 1})
		f.Add(s, "", "localhost", "", uint16(0), []byte{})
	}
	f.Fuzz(func(t *testing.T, config, included, host1, host2 string, port uint16, proxy []byte) {
		l := Listener{Port: int(port)}
		for _, host := range []string{host1, host2} {
			if host != "" {
				l.Hosts = append(l.Hosts, host)
			}
		}
		if addr, ok := netip.AddrFromSlice(proxy); ok {
			l.Proxies = append(l.Proxies, addr)
		}
		fsys := folder("configuration.yaml", config, "http.yaml", included, "secrets.yaml", "port: 8125\nproxies: [10.0.0.0/8, 192.168.0.0/255.255.0.0]\n")
		file, before, after, err := EditHTTP(fsys, l)
		if err != nil {
			return
		}
		if file != "configuration.yaml" && file != "http.yaml" || string(before) != string(fsys[file].Data) {
			t.Fatalf("%s: %q became %q", file, before, after)
		}
		editedWell(t, fsys, l)
	})
}

const storedTrial = `{
  "version": 3,
  "minor_version": 1,
  "key": "http",
  "data": {
    "pending": {
      "server_port": 8200,
      "error": null
    },
    "yaml_migration_done": true,
    "stable": {
      "server_port": 8123,
      "cors_allowed_origins": [],
      "login_attempts_threshold": -1,
      "ssl_profile": "intermediate_v6",
      "created_at": "2026-11-26T00:24:41.483418+00:00",
      "error": null,
      "later": {
        "a": 1.50
      }
    }
  }
}`

func TestEditStoredHTTP(t *testing.T) {
	// Indented as the recorded file of 2026.11.0 is.
	got, err := EditStoredHTTP([]byte(storedTrial[:strings.Index(storedTrial, ",\n      \"later")]+"\n    }\n  }\n}"), moved)
	want := `{
  "version": 3,
  "minor_version": 1,
  "key": "http",
  "data": {
    "pending": null,
    "yaml_migration_done": true,
    "stable": {
      "server_port": 8124,
      "cors_allowed_origins": [],
      "login_attempts_threshold": -1,
      "ssl_profile": "intermediate_v6",
      "created_at": "2026-11-26T00:24:41.483418+00:00",
      "error": null,
      "server_host": [
        "127.0.0.1"
      ],
      "use_x_forwarded_for": true,
      "trusted_proxies": [
        "127.0.0.1/32"
      ]
    }
  }
}`
	if err != nil || string(got) != want {
		t.Fatalf("%s\n%v", got, err)
	}
	again, err := EditStoredHTTP(got, moved)
	if err != nil || string(again) != want {
		t.Errorf("the same once more: %s\n%v", again, err)
	}
	back, err := EditStoredHTTP(got, Listener{Port: 8123})
	if err != nil || strings.Contains(string(back), "server_host") || !strings.Contains(string(back), `"server_port": 8123`) || !strings.Contains(string(back), "127.0.0.1/32") {
		t.Errorf("back: %s\n%v", back, err)
	}
	two, err := EditStoredHTTP([]byte(strings.ReplaceAll(storedV3, "\n", "")), Listener{Hosts: []string{"127.0.0.1", "::1"}, Port: 8124, Proxies: []netip.Addr{netip.MustParseAddr("::2")}})
	if err != nil || !strings.Contains(string(two), "\"server_host\": [\n        \"127.0.0.1\",\n        \"::1\"\n      ]") || !strings.Contains(string(two), `"::2/128"`) || !strings.Contains(string(two), `"created_at": "2026-11-01T00:00:00+00:00"`) {
		t.Errorf("another form: %s\n%v", two, err)
	}
	if v2, err := EditStoredHTTP([]byte(strings.Replace(storedV3, `"version": 3`, `"version": 2`, 1)), moved); err != nil || !strings.Contains(string(v2), `"version": 2,`) {
		t.Errorf("version 2: %s\n%v", v2, err)
	}
	for name, c := range map[string]struct {
		text, want string
		to         Listener
	}{
		"no JSON":        {"http:", "read .storage/http", moved},
		"another file":   {`{"version":3,"key":"auth","data":{}}`, "not a file", moved},
		"a new version":  {strings.Replace(storedV3, `"version": 3`, `"version": 4`, 1), "newer", moved},
		"an old version": {`{"version":1,"key":"http","data":{"server_port":1}}`, "says nothing", moved},
		"not migrated":   {strings.Replace(storedV3, `_done": true`, `_done": false`, 1), "not taken", moved},
		"no stable":      {`{"version":3,"key":"http","data":{"pending":null,"yaml_migration_done":true}}`, "no stable", moved},
		"twice":          {strings.Replace(storedV3, `"server_port": 8124,`, `"server_port": 8124, "server_port": 1,`, 1), "duplicate", moved},
		"an odd option":  {storedTrial, "later", moved},
		"no port":        {storedV3, "does not start", Listener{Hosts: []string{"127.0.0.1"}}},
		"no host":        {storedV3, "no host", Listener{Hosts: []string{""}, Port: 1}},
	} {
		if got, err := EditStoredHTTP([]byte(c.text), c.to); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %s, %v; want %q", name, got, err, c.want)
		}
	}
}

func FuzzEditStoredHTTP(f *testing.F) {
	f.Add([]byte(storedV3), "127.0.0.1", uint16(8124))
	f.Add([]byte(storedTrial), "", uint16(1))
	f.Add([]byte(strings.ReplaceAll(storedV3, "127.0.0.1", `\u0031`)), "x", uint16(1))
	f.Fuzz(func(t *testing.T, text []byte, host string, port uint16) {
		l := Listener{Port: int(port), Proxies: moved.Proxies}
		if host != "" {
			l.Hosts = []string{host}
		}
		after, err := EditStoredHTTP(text, l)
		if err != nil {
			return
		}
		read := func(text []byte) HTTPSettings {
			s, err := ReadSettings(fstest.MapFS{".storage/http": &fstest.MapFile{Data: text}})
			if err != nil || s.Source != SourceStorage {
				t.Fatalf("%s: %v", text, err)
			}
			return s.HTTP
		}
		was, now := read(text), read(after)
		if !now.equal(l.wanted(was)) || !now.Trusts(l.Proxies[0]) {
			t.Fatalf("%s\nbecame\n%s", text, after)
		}
		back, err := EditStoredHTTP(after, Listener{Hosts: was.ServerHost, Port: was.ServerPort})
		if err != nil {
			t.Fatal(err)
		}
		was.UseXForwardedFor, was.TrustedProxies = now.UseXForwardedFor, now.TrustedProxies
		if !read(back).equal(was) {
			t.Fatalf("%s\nwent back to\n%s", text, back)
		}
	})
}

// A file that cannot be read is no file without settings.
func TestEditHTTPClosed(t *testing.T) {
	if _, _, _, err := EditHTTP(closedFS{}, moved); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v", err)
	}
}

type closedFS struct{}

func (closedFS) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}
