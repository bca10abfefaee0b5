package facts

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// file is the text of one file of a made-up machine.
func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text), Mode: 0o644} }

// homeIn puts a configuration directory into a machine.
func homeIn(machine fstest.MapFS, dir, release, yaml string, done ...string) {
	machine[dir+"/.HA_VERSION"] = file(release)
	machine[dir+"/configuration.yaml"] = file(yaml)
	steps := `"` + strings.Join(done, `","`) + `"`
	machine[dir+"/.storage/onboarding"] = file(`{"version":4,"minor_version":1,"key":"onboarding","data":{"done":[` + steps + `]}}`)
}

var all = []string{"user", "core_config", "analytics", "integration"}

const stored = `{"version":3,"minor_version":1,"key":"http","data":{"pending":null,"yaml_migration_done":true,"stable":{
"server_port":8124,"server_host":["127.0.0.1"],"use_x_forwarded_for":true,"trusted_proxies":["127.0.0.1/32"],
"cors_allowed_origins":[],"login_attempts_threshold":-1,"ip_ban_enabled":true,"ssl_profile":"modern_v6","use_x_frame_options":true,
"created_at":"2026-01-01T00:00:00+00:00","error":null,"error_message":null}}}`

func command(args ...string) *fstest.MapFile { return file(strings.Join(args, "\x00") + "\x00") }

func same(t *testing.T, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateErrors()); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
}

func TestNothingThere(t *testing.T) {
	found := FindHomes(fstest.MapFS{"etc/passwd": file("root:x:0:0::/root:/bin/sh\n"), "home/anna/notes": file("")})
	if found.Outcome() != NotFound || len(found.Homes) != 0 || len(found.Closed) != 0 {
		t.Errorf("%+v", found)
	}
}

func TestUsualDirectories(t *testing.T) {
	for dir, kind := range map[string]Kind{
		"home/anna/.homeassistant":          Core,
		"root/.homeassistant":               Core,
		"usr/share/hassio/homeassistant":    Supervised,
		"var/lib/docker/volumes/ha/_data":   Container,
		"homeassistant":                     Supervised,
		"config":                            Container,
		"home/anna/homeassistant/config":    Container,
		"mnt/data/supervisor/homeassistant": Supervised,
		"var/lib/homeassistant":             Core,
		"srv/homeassistant":                 Core,
	} {
		machine := fstest.MapFS{}
		homeIn(machine, dir, "2026.11.0", "default_config:\n", all...)
		machine[dir+"/.storage/http"] = file(stored)
		found := FindHomes(machine)
		same(t, found, Search{Homes: []Home{{Dir: "/" + dir, Kind: kind, Release: "2026.11.0", URL: "http://127.0.0.1:8124",
			Trusts: []string{"127.0.0.1/32"}, Onboarded: Yes}}})
	}
}

// A directory that has configuration.yaml alone is a home only if Home Assistant has
// kept something there.
func TestWhatIsNoHome(t *testing.T) {
	machine := fstest.MapFS{"config/configuration.yaml": file("a: b\n"), "srv/homeassistant/bin/hass": file("")}
	if found := FindHomes(machine); len(found.Homes) != 0 {
		t.Errorf("%+v", found.Homes)
	}
	machine["config/.storage/core.config"] = file("{}")
	if found := FindHomes(machine); len(found.Homes) != 1 || found.Homes[0].Onboarded != No {
		t.Errorf("%+v", found.Homes)
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		name, release, yaml, storage, url string
		trusts                            []string
	}{
		{"default", "2026.2.3", "default_config:\n", "", "http://127.0.0.1:8123", []string{}},
		{"yaml", "2026.2.3", "http:\n  server_port: 80\n  server_host: 192.168.1.5\n  use_x_forwarded_for: true\n  trusted_proxies: [10.0.0.0/8]\n", "",
			"http://192.168.1.5:80", []string{"10.0.0.0/8"}},
		{"forwarded headers are off", "2026.2.3", "http:\n  trusted_proxies: [10.0.0.0/8]\n", "", "http://127.0.0.1:8123", []string{}},
		{"certificate", "2026.2.3", "http:\n  ssl_certificate: /ssl/a.pem\n  ssl_key: /ssl/a.key\n", "", "https://127.0.0.1:8123", []string{}},
		{"all addresses", "2026.2.3", "http:\n  server_host: [0.0.0.0, \"::\"]\n", "", "http://127.0.0.1:8123", []string{}},
		{"loopback comes first", "2026.2.3", "http:\n  server_host: [192.168.1.5, 127.0.0.1]\n", "", "http://127.0.0.1:8123", []string{}},
		{"all of IPv6", "2026.2.3", "http:\n  server_host: \"::\"\n", "", "http://[::1]:8123", []string{}},
		{"pending", "2026.11.0", "", strings.Replace(strings.Replace(stored, `"pending":null`, `"pending":{"server_port":9000,"error":null}`, 1), "\n", "", -1),
			"http://127.0.0.1:9000", []string{}},
		{"pending has failed", "2026.11.0", "", strings.Replace(stored, `"pending":null`, `"pending":{"server_port":9000,"error":"not_promoted"}`, 1),
			"http://127.0.0.1:8124", []string{"127.0.0.1/32"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			machine := fstest.MapFS{}
			homeIn(machine, "config", c.release, c.yaml, all...)
			if c.storage != "" {
				machine["config/.storage/http"] = file(c.storage)
			}
			h, err := HomeAt(machine, "/config")
			if err != nil || h.Unread != nil {
				t.Fatal(err, h.Unread)
			}
			if h.URL != c.url || !slices.Equal(h.Trusts, c.trusts) {
				t.Errorf("answers at %s and trusts %v; want %s, %v", h.URL, h.Trusts, c.url, c.trusts)
			}
		})
	}
}

// A change that cannot be read says so, and is not taken for a default.
func TestBrokenFiles(t *testing.T) {
	for name, text := range map[string]string{
		"configuration.yaml":  "http: [\n",
		".storage/onboarding": "{",
		".HA_VERSION":         "what",
	} {
		machine := fstest.MapFS{}
		homeIn(machine, "config", "2026.2.3", "default_config:\n", all...)
		machine["config/"+name] = file(text)
		h, err := HomeAt(machine, "/config")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if h.Unread == nil {
			t.Errorf("%s: broken, and nothing is said", name)
		}
		switch name {
		case ".storage/onboarding":
			if h.Onboarded != Unknown {
				t.Errorf("%s: onboarded is %q", name, h.Onboarded)
			}
		default:
			if h.URL != "" || h.Trusts != nil {
				t.Errorf("%s: answers at %q, trusts %v", name, h.URL, h.Trusts)
			}
		}
	}
}

func TestOnboarding(t *testing.T) {
	machine := fstest.MapFS{}
	homeIn(machine, "config", "2026.11.0", "", "user")
	if h, err := HomeAt(machine, "/config"); h.Onboarded != No || err != nil {
		t.Errorf("one step of four is done: %q, %v", h.Onboarded, err)
	}
	delete(machine, "config/.storage/onboarding")
	if h, err := HomeAt(machine, "/config"); h.Onboarded != No || err != nil {
		t.Errorf("no step is done: %q, %v", h.Onboarded, err)
	}
}

// closedFS is a machine some of whose places are closed to who looks.
type closedFS struct {
	fs.FS
	closed []string
}

func (c closedFS) Open(name string) (fs.File, error) {
	for _, place := range c.closed {
		if name == place || strings.HasPrefix(name, place+"/") {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
		}
	}
	return c.FS.Open(name)
}

func TestClosed(t *testing.T) {
	machine := fstest.MapFS{}
	homeIn(machine, "root/.homeassistant", "2026.11.0", "", all...)
	found := FindHomes(closedFS{machine, []string{"root"}})
	if found.Outcome() != CannotJudge || len(found.Homes) != 0 || !slices.Equal(found.Closed, []string{"/" + "root/.homeassistant"}) {
		t.Errorf("%+v", found)
	}
	if _, err := HomeAt(closedFS{machine, []string{"root"}}, "/"+"root/.homeassistant"); err == nil {
		t.Error("took a closed directory for a home")
	}
	// One that is open is found all the same.
	homeIn(machine, "home/anna/.homeassistant", "2026.11.0", "", all...)
	found = FindHomes(closedFS{machine, []string{"root"}})
	if found.Outcome() != Found || len(found.Homes) != 1 || len(found.Closed) != 1 {
		t.Errorf("%+v", found)
	}
	// The directory may be seen and its private files not.
	found = FindHomes(closedFS{machine, []string{"root", "home/anna/.homeassistant/.storage"}})
	if len(found.Homes) != 1 || found.Homes[0].Onboarded != Unknown || found.Homes[0].Unread == nil || found.Homes[0].URL != "" {
		t.Errorf("%+v", found.Homes)
	}
}

func TestHomeAt(t *testing.T) {
	machine := fstest.MapFS{"etc/passwd": file("")}
	homeIn(machine, "data/ha", "2026.11.0", "", all...)
	for dir, good := range map[string]bool{"/data/ha": true, "/data/ha/": true, "/data/../data/ha": true, "/data": false, "/etc": false, "/etc/passwd": false, "/gone": false, "data/ha": false, "": false, "/": false} {
		h, err := HomeAt(machine, dir)
		if (err == nil) != good {
			t.Errorf("%q: %v", dir, err)
		}
		if good && h.Dir != "/data/ha" {
			t.Errorf("%q: %q", dir, h.Dir)
		}
	}
}

func TestProcess(t *testing.T) {
	machine := fstest.MapFS{
		"proc/self/mountinfo":  file("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 8:2 / /srv rw - ext4 /dev/sdb1 rw\n"),
		"proc/1/cmdline":       command("/sbin/init"),
		"proc/12/cmdline":      command(),
		"proc/77/cmdline":      command("/usr/local/bin/python3", "-m", "homeassistant", "--config", "/config"),
		"proc/77/mountinfo":    file("90 80 0:50 / / rw - overlay overlay rw\n91 90 8:2 /my\\040home /config rw - ext4 /dev/sdb1 rw\n"),
		"proc/irq/0/spurious":  file(""),
		"proc/99/cmdline":      command("python3", "-m", "homeassistant", "-c", "/gone"),
		"proc/100/cmdline":     command("vi", "homeassistant", "-c", "/config"),
		"var/lib/other/readme": file(""),
	}
	// The container's own root, and the same directory as the host has it.
	homeIn(machine, "proc/77/root/config", "2026.11.0", "", all...)
	homeIn(machine, "srv/my home", "2026.11.0", "", all...)
	found := FindHomes(machine)
	same(t, found, Search{Homes: []Home{{Dir: "/srv/my home", Kind: Container, Release: "2026.11.0", Process: 77, URL: "http://127.0.0.1:8123", Trusts: []string{}, Onboarded: Yes}}})

	// Where the host cannot see it, the process's own root is what there is.
	for name := range machine {
		if strings.HasPrefix(name, "srv/") {
			delete(machine, name)
		}
	}
	found = FindHomes(machine)
	if len(found.Homes) != 1 || found.Homes[0].Dir != "/proc/77/root/config" || found.Homes[0].Kind != Container {
		t.Errorf("%+v", found.Homes)
	}

	// A process whose root is closed: something may be there.
	found = FindHomes(closedFS{machine, []string{"proc/77/root"}})
	if found.Outcome() != CannotJudge || !slices.Equal(found.Closed, []string{"/proc/77"}) {
		t.Errorf("%+v", found)
	}
}

// A process that sees our own root, with a real file system: which directories are
// the same can only be said of one.
func TestProcessOfThisMachine(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "data", "ha")
	for name, text := range map[string]string{"data/ha/.HA_VERSION": "2026.2.3", "data/ha/configuration.yaml": "default_config:\n", "proc/5/cmdline": "/srv/homeassistant/bin/python3\x00/srv/homeassistant/bin/hass\x00-c\x00ha\x00"} {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// The links of /proc/5 as the kernel shows them: absolute, from the machine's root.
	for link, target := range map[string]string{"proc/5/root": root, "proc/5/cwd": "/data"} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	found := FindHomes(os.DirFS(root))
	if len(found.Homes) != 1 || found.Homes[0].Dir != "/data/ha" || found.Homes[0].Kind != Core || found.Homes[0].Process != 5 {
		t.Errorf("%+v; the home is %s", found, dir)
	}
}

func TestConfigDir(t *testing.T) {
	for _, c := range []struct {
		line string
		dir  string
		ok   bool
	}{
		{"python3 -m homeassistant -c /config", "/config", true},
		{"python3 -m homeassistant --config=/config --skip-pip", "/config", true},
		{"/srv/ha/bin/hass --verbose --config /a", "/a", true},
		{"/srv/ha/bin/python /srv/ha/bin/hass", "", true},
		{"python3 -I -m homeassistant -c", "", true},
		{"python3 -m other homeassistant -c /x", "", false},
		{"grep -r hassle /etc", "", false},
		{"docker run -v /x:/config ghcr.example/home-assistant", "", false},
		{"", "", false},
	} {
		dir, ok := configDir(strings.Split(c.line, " "))
		if dir != c.dir || ok != c.ok {
			t.Errorf("%q: %q, %v", c.line, dir, ok)
		}
	}
}

func TestOnHost(t *testing.T) {
	l := &looking{root: fstest.MapFS{
		"proc/self/mountinfo": file("22 1 8:1 / / rw\n23 22 8:9 /vols /mnt/vols rw\nbroken\n"),
		"proc/7/mountinfo":    file("90 80 0:50 / / rw\n91 90 8:9 /vols/ha /config rw\n92 91 8:1 /opt/media /config/media rw\n93 90 8:77 /x /else rw\n"),
	}}
	for dir, want := range map[string]string{"/config": "mnt/vols/ha", "/config/a": "mnt/vols/ha/a", "/config/media": "opt/media", "/configs": "", "/else": ""} {
		got, ok := l.onHost("proc/7", dir)
		if got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v; want %q", dir, got, ok, want)
		}
	}
}
