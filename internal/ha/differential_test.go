package ha

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// readerVersions are what Home Assistant 2026.11.0 pins (package_constraints.txt).
var readerVersions = []string{"aiohttp==3.14.5", "yarl==1.25.1", "orjson==3.13.0", "PyYAML==6.0.3"}

// asked is one case for Home Assistant's readers, answered what they made of it.
type asked struct {
	Kind   string `json:"kind"`
	Data   string `json:"data"` // hex
	Type   string `json:"type,omitempty"`
	Folder string `json:"folder,omitempty"`
}

type answered struct {
	OK      json.RawMessage `json:"ok"`
	Refused string          `json:"refused"`
}

// pythonReaders is a Python that reads with Home Assistant's own readers.
type pythonReaders struct {
	t   *testing.T
	in  *bufio.Writer
	out *bufio.Scanner
}

func startReaders(t *testing.T) *pythonReaders {
	t.Helper()
	c := exec.Command(readersPython(t), "testdata/differential/readers.py")
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		over := time.AfterFunc(5*time.Second, func() { _ = c.Process.Kill() })
		_ = c.Wait()
		over.Stop()
		if t.Failed() && stderr.Len() > 0 {
			t.Logf("the readers said: %s", stderr.String())
		}
	})
	out := bufio.NewScanner(stdout)
	out.Buffer(nil, 16<<20)
	return &pythonReaders{t, bufio.NewWriter(stdin), out}
}

// ask has one case read; into is filled where it was taken.
func (p *pythonReaders) ask(a asked, into any) (refused string) {
	p.t.Helper()
	line, err := json.Marshal(a)
	if err != nil {
		p.t.Fatal(err)
	}
	_, _ = p.in.Write(append(line, '\n'))
	if err := p.in.Flush(); err != nil {
		p.t.Fatal(err)
	}
	if !p.out.Scan() {
		p.t.Fatalf("the readers ended at %+v: %v", a, p.out.Err())
	}
	var r answered
	if err := json.Unmarshal(p.out.Bytes(), &r); err != nil {
		p.t.Fatal(err)
	}
	if r.OK == nil {
		return r.Refused
	}
	if err := json.Unmarshal(r.OK, into); err != nil {
		p.t.Fatal(err)
	}
	return ""
}

// readersPython returns a Python that has the readers, which it installs when they are missing.
func readersPython(t *testing.T) string {
	t.Helper()
	lab := os.Getenv("GATEHOUSE_LAB")
	if lab == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		lab = filepath.Join(cache, "gatehouse-lab")
	}
	dir := filepath.Join(lab, "readers-"+strings.NewReplacer("==", "-").Replace(strings.Join(readerVersions, "-")))
	python := filepath.Join(dir, "bin", "python")
	if _, err := os.Stat(python); err == nil {
		return python
	}
	const how = "it needs Python 3.10 or newer with venv and pip (Debian: apt-get install python3-venv) and a package index; or run the tests with -short"
	if err := os.MkdirAll(lab, 0o755); err != nil {
		t.Fatal(err)
	}
	// Made beside its place and renamed, so that half an installation never passes for a whole one.
	fresh, err := os.MkdirTemp(lab, "readers-new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	t.Logf("installing %v into %s", readerVersions, dir)
	for _, c := range []*exec.Cmd{
		exec.Command("python3", "-m", "venv", fresh),
		exec.Command(filepath.Join(fresh, "bin", "python"), append([]string{"-m", "pip", "install", "-q", "--disable-pip-version-check"}, readerVersions...)...),
	} {
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("Home Assistant's readers could not be installed: %v; %s\n%s", err, how, out)
		}
	}
	if err := os.Rename(fresh, dir); err != nil {
		if _, err2 := os.Stat(python); err2 != nil { // another run may have been first
			t.Fatal(err)
		}
	}
	return python
}

// mutate changes texts at random, always in the same way.
func mutate(from, pieces []string, n int) []string {
	rng := rand.New(rand.NewPCG(2026, 11))
	var out []string
	for len(out) < n {
		text := from[rng.IntN(len(from))]
		if len(text) > 1000 {
			continue
		}
		for range 1 + rng.IntN(3) {
			at := rng.IntN(len(text) + 1)
			switch rng.IntN(4) {
			case 0:
				text = text[:at] + pieces[rng.IntN(len(pieces))] + text[at:]
			case 1:
				text = text[:at] + text[min(len(text), at+1+rng.IntN(3)):]
			case 2:
				text = text[:at] + pieces[rng.IntN(len(pieces))] + text[min(len(text), at+1):]
			case 3:
				other := from[rng.IntN(len(from))]
				text = text[:at] + other[rng.IntN(len(other)+1):]
			}
		}
		if len(text) <= 4000 {
			out = append(out, text)
		}
	}
	return out
}

// TestCommandsDifferential: every message that is taken is read the same by orjson,
// and orjson takes nothing else but what is refused here on purpose.
func TestCommandsDifferential(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Python")
	}
	python := startReaders(t)
	var all []string
	for _, c := range messages {
		all = append(all, c.message)
	}
	all = append(all, badMessages...)
	all = append(all, mutate(all, []string{`"`, `\`, `\u`, `\ud83d\ude00`, `\ud800`, "\xff", "ü", "\x00", "\x1f", "{", "}", "[", "]", ",", ":", "0", "1", "-", "e", ".", " ", "\n", "null", "true", "NaN",
		`"id":9`, `"type":"x"`, `{"id":1,"type":"ping"}`, "\xef\xbb\xbf", "/**/"}, 8000)...)
	taken, onlyThere := 0, 0
	for _, message := range all {
		var there struct {
			Commands [][2]string `json:"commands"`
			Again    string      `json:"again"`
		}
		refused := python.ask(asked{Kind: "json", Data: hex.EncodeToString([]byte(message))}, &there)
		here, err := ParseCommands([]byte(message))
		var read []string
		for _, c := range there.Commands {
			read = append(read, c[0]+" "+c[1])
		}
		switch {
		case err == nil && refused != "":
			// Numbers beyond a float are grammar to us and an error to orjson: nothing comes of them.
			if !strings.Contains(refused, "number is infinity") {
				t.Errorf("%.200q is taken, but Home Assistant says %s", message, refused)
			}
		case err == nil:
			if taken++; said(here) != strings.Join(read, ", ") {
				t.Errorf("%.200q is read as %q, by Home Assistant as %q", message, said(here), strings.Join(read, ", "))
			}
		case refused == "":
			onlyThere++
			if again, _ := hex.DecodeString(there.Again); len(again) < len(message) {
				continue // a name that comes twice has gone, or it is long
			}
			if len(there.Commands) <= maxCommands {
				t.Errorf("%.200q is refused here only: %v", message, err)
			}
		}
	}
	t.Logf("%d messages, %d taken, %d taken by Home Assistant alone", len(all), taken, onlyThere)
	if taken < 350 {
		t.Error("the mutations do not try much any more")
	}
}

// TestTargetsDifferential: every target that is taken means the same to aiohttp and yarl.
func TestTargetsDifferential(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Python")
	}
	python := startReaders(t)
	var all []string
	for _, c := range goodTargets {
		all = append(all, c[0])
	}
	all = append(all, badTargets...)
	all = append(all, "/x?authSig=a.b.c", "/x?a=b&%61uthSig=a.b.c&c", "/x?a=b;authSig=c", "/x?auth+Sig=c", "/x?authSig=a%2Eb", "/x?authSig=a=b&authSi%67")
	for _, p := range patterns {
		all = append(all, p.path)
	}
	all = append(all, mutate(all, []string{"/", "//", ".", "..", "/./", "%2f", "%2e", "%25", "%c3%a4", "%C3", "%41", "%7e", "%3A", "%3a", "%40", "%20", "%2B", "+", ";", "\\", "?", "&", "=", "#", "@", ":", "[", "]", "|",
		"ä", "\x00", "\t", " ", "%00", "%", "*", "!", "'", "(", ")", ",", "~", "$", "{", "^", "authSig=a.b.c", "?authSig=a.b.c", "&auth%53ig=a", "?%61uthSig=%62", "&authSig", "%23", "%3F", "%5B", "%22", "%7C", "%E2%80%A8", "%EF%BC%8F"}, 8000)...)
	taken := 0
	for _, target := range all {
		path, query, err := CanonicalTarget(target)
		if err != nil {
			continue
		}
		var there struct{ Host, Raw, Path, Safe, Query, Sig string }
		if refused := python.ask(asked{Kind: "target", Data: hex.EncodeToString([]byte(target))}, &there); refused != "" {
			t.Errorf("%q is taken, but Home Assistant says %s", target, refused)
			continue
		}
		taken++
		raw, _, _ := strings.Cut(target, "?")
		if there.Host != "" || there.Path != path || there.Safe != path || there.Raw != raw || there.Query != query {
			t.Errorf("%q is %q and %q, to Home Assistant %+v", target, path, query, there)
		}
		if jwt, found, err := signatureText(query); err == nil && (jwt != there.Sig || !found && there.Sig != "") {
			t.Errorf("%q has signature %q, to Home Assistant %q", target, jwt, there.Sig)
		}
	}
	t.Logf("%d targets, %d taken", len(all), taken)
	if taken < 1000 {
		t.Error("the mutations do not try much any more")
	}
}

// TestTokenRequestsDifferential: every token request that is taken has the same
// fields, each once, to aiohttp.
func TestTokenRequestsDifferential(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Python")
	}
	python := startReaders(t)
	var all [][2]string
	types := []string{urlencoded, multipartB0, multipartB0 + "; charset=utf-8", "", "application/x-www-form-urlencoded; charset=utf-8", "text/plain"}
	var bodies []string
	for _, c := range tokenRequests {
		all, bodies = append(all, [2]string{c.contentType, c.body}), append(bodies, c.body)
		types = append(types, c.contentType)
	}
	for _, c := range badTokenRequests {
		all, bodies = append(all, [2]string{c.contentType, c.body}), append(bodies, c.body)
		types = append(types, c.contentType)
	}
	types = append(types, mutate(types, []string{";", "=", `"`, " ", ",", "b0", "charset", "utf-8", "/", "(", "\t", "%", "*"}, 300)...)
	rng := rand.New(rand.NewPCG(6749, 7578))
	for _, body := range mutate(bodies, []string{"&", "=", "+", "%", "%26", "%3D", "%00", "%ff", ";", "\r\n", "\n", "--b0", "--b0--", "--b0\r\n", "\r\n\r\n", `"`, `name="token"`, "Content-Type: text/plain\r\n", "ü", "\x00", "\xff", " ",
		"token=x", "code", part("token", "x"), "token"}, 6000) {
		kind := types[rng.IntN(4)]
		if rng.IntN(6) == 0 {
			kind = types[rng.IntN(len(types))]
		}
		if strings.HasPrefix(body, "--") && kind == urlencoded || !strings.HasPrefix(body, "--") && kind == multipartB0 && rng.IntN(10) > 0 {
			kind = map[bool]string{true: multipartB0, false: urlencoded}[strings.HasPrefix(body, "--")]
		}
		all = append(all, [2]string{kind, body})
	}
	taken, nonEmpty := 0, 0
	for _, c := range all {
		got, err := ParseTokenRequest(c[0], []byte(c[1]))
		if err != nil {
			continue
		}
		var there [][2]string
		if refused := python.ask(asked{Kind: "form", Data: hex.EncodeToString([]byte(c[1])), Type: c[0]}, &there); refused != "" {
			t.Errorf("%q %q is taken, but Home Assistant says %s", c[0], c[1], refused)
			continue
		}
		taken++
		if got != (TokenRequest{}) {
			nonEmpty++
		}
		var want TokenRequest
		f := newFields(&want)
		for _, pair := range there {
			if err := f.set(pair[0], pair[1]); err != nil {
				t.Errorf("%q %q: Home Assistant reads %q twice", c[0], c[1], pair[0])
			}
		}
		if got != want {
			t.Errorf("%q %q is read as %+v, by Home Assistant as %+v", c[0], c[1], got, want)
		}
	}
	t.Logf("%d requests, %d taken, %d say something", len(all), taken, nonEmpty)
	if nonEmpty < 80 {
		t.Error("the mutations do not try much any more")
	}
}

// TestSettingsDifferential: a configuration that is judged has the same http options
// to PyYAML with Home Assistant's tags.
func TestSettingsDifferential(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Python")
	}
	python := startReaders(t)
	base := []string{
		"http:\n  server_host: 127.0.0.1\n  server_port: 8124\n  use_x_forwarded_for: true\n  trusted_proxies:\n    - 10.0.0.0/8\n    - ::1\n",
		"http: !include a.yaml\n", "http:\n  server_port: !secret port\n  trusted_proxies: !secret proxies\n", "homeassistant:\n  packages: !include_dir_named p\n",
		"homeassistant: {packages: !include_dir_merge_named m}\nhttp:\n", "x: &x {server_port: 5}\nhttp:\n  <<: *x\n  ip_ban_enabled: no\n", "http: {server_host: ['0.0.0.0', \"::\"], login_attempts_threshold: -1}\n",
		"default_config:\n\n# x\nautomation: !include_dir_list nowhere\n", "http:\n  ssl_key: >-\n    /ssl/\n    key.pem\n  use_x_frame_options: 'off'\n", "%YAML 1.1\n---\nhttp:\n  server_port: 0x1F90\n...\n",
	}
	more := map[string]string{
		"a.yaml": "server_port: 8125\ntrusted_proxies: [10.0.0.1]\n", "secrets.yaml": "port: 8126\nproxies:\n  - 10.0.0.2\n", "p/n/x.yaml": "http:\n  server_port: 8127\n", "p/y.yaml": "",
		"m/a.yaml": "one:\n  http:\n    use_x_forwarded_for: true\n", "m/b.yaml": "- x\n",
	}
	dir := t.TempDir()
	write := func(name, text string) {
		full := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range more {
		write(name, text)
	}
	write(".HA_VERSION", "2026.2.3")
	all := append(slices.Clone(base), mutate(base, []string{":", " ", "\n", "  ", "- ", "'", `"`, "#", "&a ", "*a", "!secret port", "!include a.yaml", "|", ">", "{", "}", "[", "]", ",", "yes", "off", "null", "~", "1_0", "0o17", "017",
		"1:30", "<<: *x", "http:\n", "---\n", "\t", "\r\n", "?", "ü", "\\", "!!str ", "!!int ", "=", "8123", "true"}, 2500)...)
	judged, wrong := 0, 0
	for _, text := range all {
		write("configuration.yaml", text)
		s, err := ReadSettings(os.DirFS(dir))
		var bad *SettingError
		if err != nil && !errors.As(err, &bad) {
			continue
		}
		var there map[string][]string
		refused := python.ask(asked{Kind: "yaml", Folder: dir}, &there)
		switch {
		case refused != "":
			// Home Assistant does not start with that. It must not pass for settings of ours.
			if err == nil && s.Source == SourceYAML && len(s.HTTP.Places) > 0 {
				t.Logf("%q is judged, but Home Assistant says %s", text, refused)
				wrong++
			}
			continue
		case err != nil:
			if there[bad.Option] == nil {
				t.Errorf("%q is wrong for %v, Home Assistant has %v", text, err, there)
			}
			continue
		}
		judged++
		want := defaultHTTP()
		for _, option := range slices.Sorted(maps.Keys(there)) {
			values := there[option]
			v := optionValue{texts: values, list: option == "server_host" || option == "trusted_proxies" || option == "cors_allowed_origins"}
			if len(values) == 1 && values[0] == "None" {
				v = optionValue{null: true}
			}
			if err := want.set(option, v, Place{}); err != nil {
				t.Errorf("%q is judged, Home Assistant has %v: %v", text, there, err)
			}
		}
		got := s.HTTP
		got.Places, want.Places = nil, nil
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) || (there == nil) != (s.Source == SourceDefault) {
			t.Errorf("%q\nis read as %+v (%s)\nby Home Assistant as %+v (%v)", text, got, s.Source, want, there)
		}
	}
	t.Logf("%d configurations, %d judged, %d that Home Assistant does not read", len(all), judged, wrong)
	if judged < 300 {
		t.Error("the mutations do not try much any more")
	}
}
