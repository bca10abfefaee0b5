package ha

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// A change is made where it is asked for, and nowhere else: comments, quotes and line ends
// stay.
func TestRewriteYAML(t *testing.T) {
	is := func(texts ...string) func(YAMLEntry) bool {
		return func(e YAMLEntry) bool { return e.Kind == TextNode && slices.Contains(texts, e.Text) }
	}
	kind := func(texts ...string) func(YAMLEntry) bool {
		return func(e YAMLEntry) bool { return slices.Contains(texts, e.Field("type")) }
	}
	for _, c := range []struct {
		name, text, want string
		put              string // "": it is removed
		at               func(YAMLEntry) bool
	}{
		{"nothing", "a: 1\n", "a: 1\n", "x", is("2")},
		{"plain", "a: no # why\nb: 2\n", "a: true # why\nb: 2\n", "true", is("no")},
		{"quotes over lines", "a: \"x\n  y\" # z\nb: 1\n", "a: !secret q # z\nb: 1\n", "!secret q", is("x y")},
		{"anchor", "a: &p hunter\nb: *p\n", "a: &p !secret q\nb: *p\n", "!secret q", is("hunter")},
		{"tag and anchor", "a: !!str &p 12 # x\nb: *p\n", "a: &p !secret q # x\nb: *p\n", "!secret q", is("12")},
		{"braces", `{"a":"x","b":[x,y]}`, `{"a": !secret q,"b":[!secret q,y]}`, "!secret q", is("x")},
		{"block of text", "k:\n  a: | # the key\n    one\n\n      two\n\n  # next\n  b: 1\n", "k:\n  a: !secret q # the key\n\n  # next\n  b: 1\n", "!secret q", is("one\n\n  two\n")},
		{"a tab in a block", "a: |\n  one\n  \t\nb: 1\n", "a: !secret q\nb: 1\n", "!secret q", is("one\n\t\n")},
		{"folded, at the end", "a: >-\n  one\n  two", "a: !secret q", "!secret q", is("one two")},
		{"CRLF", "a: 1\r\nb: x # y\r\nc: 3\r\n", "a: 1\r\nb: 7 # y\r\nc: 3\r\n", "7", is("x")},
		{"letters beyond ASCII", "ä: {ü: é} # ö\n", "ä: {ü: 7} # ö\n", "7", is("é")},
		{"item goes", "p:\n  # first\n  - type: x\n    users:\n      a: 1\n  # second\n  - type: y # z\nq: 1\n", "p:\n  # first\n  # second\n  - type: y # z\nq: 1\n", "", kind("x")},
		{"last item goes", "p:\n- type: y\n- type: x\n  n: [1,\n    2]\nq: 1\n", "p:\n- type: y\nq: 1\n", "", kind("x")},
		{"all items go", "h:\n  p: # these\n    - type: x\n  o: 1\n", "h:\n  o: 1\n", "", kind("x")},
		{"all there is goes", "# top\np:\n  - a\n# end\n", "# top\n# end\n", "", is("a")},
		{"braces: first", "a: [x, y, z]\n", "a: [y, z]\n", "", is("x")},
		{"braces: last two", "a: [x, y, z] # c\n", "a: [x] # c\n", "", is("y", "z")},
		{"braces: all", "a: [x]\nb: 1\n", "b: 1\n", "", is("x")},
		{"braces: a key", "{a: x, b: 1}\n", "{b: 1}\n", "", is("x")},
		{"key with nothing after", "a:\n  b: x\n  c:\n", "a:\n  c:\n", "", is("x")},
		{"text that contains a mark", "a: x#y\nb: 'it''s # x'\n", "a: 1\nb: 1\n", "1", is("x#y", "it's # x")},
	} {
		got, err := RewriteYAML("f.yaml", []byte(c.text), func(e YAMLEntry) YAMLChange {
			if c.at(e) {
				return YAMLChange{Remove: c.put == "", Put: c.put}
			}
			return YAMLChange{}
		})
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %v\n got %q\nwant %q", c.name, err, got, c.want)
		}
	}
	for name, text := range map[string]string{
		"over lines without quotes": "a: x\n  y\n", "something refers to it": "a: &l [x y]\nb: *l\n", "on one line with its dash": "- {a: 1}\n- b: x y\n  c: 1\n",
		"no text": "a: [b\n", "two documents": "a: x y\n---\nb: 1\n", "a comment between": "a: [1, # one\n  x y] # two\n",
	} {
		got, err := RewriteYAML("f.yaml", []byte(text), func(e YAMLEntry) YAMLChange { return YAMLChange{Remove: e.Text == "x y"} })
		if err == nil || !strings.Contains(err.Error(), "f.yaml") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// Whatever stands in a file, nothing is changed that was not asked for, and what comes out
// says what was asked for.
func FuzzRewriteYAML(f *testing.F) {
	for _, s := range []string{"a: x\n", "a: [x, {b: x}]\n", "- a: &x 'y'\n  b: *x\n- |\n  x\n", "? a\n: b\n", "a:\n- x\n-\n", "a: {x: , y}\n"} {
		f.Add([]byte(s), uint8(1), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, nth uint8, remove bool) {
		same, err := RewriteYAML("f", text, func(YAMLEntry) YAMLChange { return YAMLChange{} })
		if err == nil && !bytes.Equal(same, text) {
			t.Fatalf("%q became %q", text, same)
		}
		n := 0
		count := func(t []byte) (all int) {
			_, _ = RewriteYAML("f", t, func(YAMLEntry) YAMLChange { all++; return YAMLChange{} })
			return all
		}
		after, err := RewriteYAML("f", text, func(e YAMLEntry) YAMLChange {
			if n++; n != int(nth)+1 {
				return YAMLChange{}
			}
			if remove {
				return YAMLChange{Remove: true}
			}
			return YAMLChange{Put: "!secret z"}
		})
		if err != nil || bytes.Equal(after, text) {
			return
		}
		if was, now := count(text), count(after); !remove && was != now || remove && now >= was && now > 1 {
			t.Fatalf("%q became %q: %d values, %d before", text, after, now, was)
		}
	})
}

func folderOf(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// Each secret gets a name that says what it is of, and stands in secrets.yaml as it was written.
func TestMoveSecrets(t *testing.T) {
	isKey := func(e YAMLEntry) bool {
		last := ""
		if len(e.Keys) > 0 {
			last = e.Keys[len(e.Keys)-1]
		}
		return e.Tag == "" && slices.Contains([]string{"password", "token", "db_url", "key"}, last)
	}
	for _, c := range []struct {
		name, file, text, had, want, secrets string
	}{
		{"plain", "configuration.yaml", "mqtt:\n  # the broker\n  password: hunter2 # mine\n", "", "mqtt:\n  # the broker\n  password: !secret mqtt_password # mine\n", "mqtt_password: hunter2\n"},
		{"platform", "configuration.yaml", "sensor:\n  - platform: rest\n    password: \"a\\tb\"\n", "x: 1 # y\n", "sensor:\n  - platform: rest\n    password: !secret sensor_rest_password\n", "x: 1 # y\nsensor_rest_password: \"a\\tb\"\n"},
		{"number stays one", "configuration.yaml", "a: {password: 0123}\n", "b: 1", "a: {password: !secret a_password}\n", "b: 1\na_password: 0123\n"},
		{"taken", "configuration.yaml", "a:\n  password: x\n", "a_password: z\na_password_2: z\n", "a:\n  password: !secret a_password_3\n", "a_password: z\na_password_2: z\na_password_3: x\n"},
		{"twice the same", "configuration.yaml", "a:\n  - password: x\n  - password: x\n  - password: y\n", "", "a:\n  - password: !secret a_password\n  - password: !secret a_password\n  - password: !secret a_password_2\n", "a_password: x\na_password_2: y\n"},
		{"block", "configuration.yaml", "ssh:\n  key: |\n    -----BEGIN\n    x\n  b: 1\n", "", "ssh:\n  key: !secret ssh_key\n  b: 1\n", "ssh_key: \"-----BEGIN\\nx\\n\"\n"},
		{"quotes", "configuration.yaml", "a:\n  password: 'it''s: #1'\n", "", "a:\n  password: !secret a_password\n", "a_password: 'it''s: #1'\n"},
		{"a file below", "parts/sensors.yaml", "- platform: x\n  token: abc\n", "", "- platform: x\n  token: !secret x_token\n", "x_token: abc\n"},
		{"a file of one thing", "recorder.yaml", "db_url: mysql://u:p@h/d\n", "", "db_url: !secret recorder_db_url\n", "recorder_db_url: mysql://u:p@h/d\n"},
		{"package", "configuration.yaml", "homeassistant:\n  packages:\n    attic:\n      mqtt:\n        password: &p x\nb: *p\n", "", "homeassistant:\n  packages:\n    attic:\n      mqtt:\n        password: &p !secret attic_mqtt_password\nb: *p\n", "attic_mqtt_password: x\n"},
		{"CRLF", "configuration.yaml", "a:\r\n  password: x\r\n", "b: 1\r\n", "a:\r\n  password: !secret a_password\r\n", "b: 1\r\na_password: x\r\n"},
	} {
		files := map[string]string{"configuration.yaml": "parts: !include parts/sensors.yaml\nrecorder: !include recorder.yaml\n", c.file: c.text}
		if c.had != "" {
			files["secrets.yaml"] = c.had
		}
		got, secrets, err := MoveSecrets(folderOf(files), c.file, "secrets.yaml", isKey)
		if err != nil || string(got) != c.want || string(secrets) != c.secrets {
			t.Errorf("%s: %v\n got %q\nwant %q\n got %q\nwant %q", c.name, err, got, c.want, secrets, c.secrets)
		}
	}
	for name, files := range map[string]map[string]string{
		"over lines":               {"configuration.yaml": "a:\n  password: one\n    two\n"},
		"secrets in braces":        {"configuration.yaml": "a:\n  password: x\n", "secrets.yaml": "{b: 1}\n"},
		"secrets are a list":       {"configuration.yaml": "a:\n  password: x\n", "secrets.yaml": "- b\n"},
		"secrets end early":        {"configuration.yaml": "a:\n  password: x\n", "secrets.yaml": "b: 1\n...\n"},
		"a text that has a tag":    {"configuration.yaml": "a:\n  password: !!str |\n    x\n"},
		"nothing is to be moved":   {"configuration.yaml": "a: 1\n"},
		"the file cannot be read":  {"configuration.yaml": "a: [\n"},
		"secrets cannot be read":   {"configuration.yaml": "a:\n  password: x\n", "secrets.yaml": "a: [\n"},
		"there is no such a file":  {"b.yaml": ""},
		"secrets are not mappings": {"configuration.yaml": "a:\n  password: x\n", "secrets.yaml": "~\n"},
	} {
		if got, secrets, err := MoveSecrets(folderOf(files), "configuration.yaml", "secrets.yaml", isKey); err == nil {
			t.Errorf("%s: %q, %q", name, got, secrets)
		} else if strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: the error says a secret", name)
		}
	}
}

// PyYAML, with Home Assistant's tags, reads every value after a move as it did before.
func TestMoveSecretsDifferential(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Python")
	}
	python := startReaders(t)
	base := []string{
		"mqtt:\n  password: hunter2 # x\n  username: u\n", "sensor:\n  - platform: rest\n    password: \"a\\tb\\u00e9\"\n  - {password: 'it''s', token: 0123}\n",
		"a: {token: yes, password: 1_000, key: ~}\nb:\n  - token: 1:30\n  - token: 2001-01-01\n", "ssh:\n  key: |\n    -----BEGIN\n\n      x\n  password: >-\n    a\n    b\n  b: 1\n",
		"a:\n  password: &p \"x\n    y\"\nb: *p\nc: {<<: {password: z}}\n", "a: !include a.yaml\nb: !include p/b.yaml\npassword: \"\\x41\\\n  b\"\n", "a:\r\n  password: x\r\n", "# ü\n\"ä\": {\"token\": \"é\", key: ö}\n",
	}
	texts := append(slices.Clone(base), mutate(base, []string{":", " ", "\n", "  ", "- ", "'", `"`, "#", "&a ", "*a", "|", ">", "|+\n", ">2\n", "{", "}", "[", "]", ",", "yes", "0o17", "017", "!!str ", "!!int ", "=", "<<: *p", "---\n", "\t", "\r\n", "?",
		"ü", "\\", "password: x", "token: ", "\u2028", ".5", "1e3", "null", "!secret mqtt_password", "- password: x\n"}, 1200)...)
	dir := t.TempDir()
	write := func(name, text string) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	moved := 0
	for _, text := range texts {
		write("a.yaml", "password: here\n")
		write("p/b.yaml", "- token: 'there'\n")
		write("secrets.yaml", "mqtt_password: taken\n")
		write("configuration.yaml", text)
		var before, after string
		if python.ask(asked{Kind: "tree", Folder: dir}, &before) != "" {
			continue
		}
		done := false
		for _, file := range []string{"configuration.yaml", "a.yaml", "p/b.yaml"} {
			changed, secrets, err := MoveSecrets(os.DirFS(dir), file, "secrets.yaml", func(e YAMLEntry) bool {
				return e.Tag == "" && len(e.Keys) > 0 && slices.Contains([]string{"password", "token", "key"}, e.Keys[len(e.Keys)-1])
			})
			if err != nil {
				continue
			}
			done = true
			write(file, string(changed))
			write("secrets.yaml", string(secrets))
		}
		if !done {
			continue
		}
		moved++
		if refused := python.ask(asked{Kind: "tree", Folder: dir}, &after); refused != "" || before != after {
			changed, _ := os.ReadFile(filepath.Join(dir, "configuration.yaml"))
			secrets, _ := os.ReadFile(filepath.Join(dir, "secrets.yaml"))
			t.Errorf("%q became\n%q and\n%q:\n%s\n%s\n%s", text, changed, secrets, before, after, refused)
		}
	}
	t.Logf("%d configurations, secrets of %d were moved", len(texts), moved)
	if moved < 250 {
		t.Error("the mutations do not try much any more")
	}
}

// An option is set where it stands, or made; what cannot be done with certainty is refused.
func TestSetHTTP(t *testing.T) {
	for _, c := range []struct {
		name, text, option string
		values             []string
		want               string
	}{
		{"no block", "a: 1\n", "login_attempts_threshold", []string{"10"}, "a: 1\nhttp:\n  login_attempts_threshold: 10\n"},
		{"there", "http:\n  # why\n  ip_ban_enabled: no # x\n", "ip_ban_enabled", []string{"true"}, "http:\n  # why\n  ip_ban_enabled: true # x\n"},
		{"fewer", "http:\n  use_x_forwarded_for: true\n  trusted_proxies:\n    - 10.0.0.0/8 # all\n    - 10.0.0.1\n", "trusted_proxies", []string{"127.0.0.1"}, "http:\n  use_x_forwarded_for: true\n  trusted_proxies:\n    - 127.0.0.1 # all\n"},
		{"some stay", "http:\n  use_x_forwarded_for: true\n  trusted_proxies:\n    # wide\n    - 10.0.0.0/8 # all\n    - \"10.0.0.1\" # one\n", "trusted_proxies", []string{"10.0.0.1", "127.0.0.1"}, "http:\n  use_x_forwarded_for: true\n  trusted_proxies:\n    # wide\n    - \"10.0.0.1\" # one\n    - 127.0.0.1\n"},
		{"default", "http:\n  cors_allowed_origins: ['*']\n  server_port: 80\n", "cors_allowed_origins", nil, "http:\n  server_port: 80\n"},
	} {
		_, _, after, err := SetHTTP(folderOf(map[string]string{"configuration.yaml": c.text, ".HA_VERSION": "2026.2.3", "secrets.yaml": "x: 10.0.0.0/8\n"}), c.option, c.values...)
		if err != nil || string(after) != c.want {
			t.Errorf("%s: %v\n got %q\nwant %q", c.name, err, after, c.want)
		}
	}
	for name, files := range map[string]map[string]string{
		"a secret":                  {"configuration.yaml": "http: {ip_ban_enabled: !secret x}\n", "secrets.yaml": "x: no\n"},
		"a package has it":          {"configuration.yaml": "homeassistant: {packages: {a: {http: {ip_ban_enabled: false}}}}\n"},
		"kept by Home Assistant":    {"configuration.yaml": "a: 1\n", ".HA_VERSION": "2026.11.0", ".storage/http": `{"version":3,"key":"http","data":{"stable":{"server_port":8123},"pending":null}}`},
		"merged from somewhere":     {"configuration.yaml": "x: &x {ip_ban_enabled: false}\nhttp: {<<: *x}\n"},
		"an option nobody knows of": {"configuration.yaml": "http: {ip_ban: 1}\n"},
	} {
		if _, _, after, err := SetHTTP(folderOf(files), "ip_ban_enabled", "true"); err == nil {
			t.Errorf("%s: %q", name, after)
		}
	}
}
