package facts

import (
	"slices"
	"strings"
	"testing"
)

// reading parses a text in each way in which files of the network, of packages and of
// containers are read; none of them may panic or run away.
func reading(t *testing.T, text string) {
	t.Helper()
	tree, err := Draw("")
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{Tree: tree}
	f := Text{Path: "/x", Bytes: []byte(text), Lines: strings.Split(text, "\n")}
	_, _, _ = socketLines(f, "tcp")
	_ = parseUnit(&Unit{}, f)
	_, _ = parsePackages("/x", text)
	_ = conffiles(text)
	_, _ = parseAptConf(nil, f)
	_, _ = parseSourcesList(f)
	_, _ = parseSourcesParagraphs(f)
	_, _ = parseCompose(f)
	_, _ = crontab(f, true)
	_, _ = iptablesInput(f, &Firewall{})
	if tokens, err := nftTokens(f); err == nil {
		_ = (&nftReader{h: h}).read("/x", tokens, 0)
	}
	_ = RootCommand{Command: text}.Programs()
	_, _ = openHoles(text, "bookworm", []Package{{Name: "openssl", Version: "1", Installed: true}})
	for _, line := range f.Lines {
		_ = ContainerSpec{Settings: []ContainerSetting{{"ports", line, 1}}}.Ports()
		_ = ContainerSpec{Settings: []ContainerSetting{{"volumes", line, 1}}}.Mounts()
	}
}

func FuzzNetworkFiles(f *testing.F) {
	f.Add("table inet f {\nchain input {\ntype filter hook input priority 0; policy drop;\ntcp dport { 1, 2 } accept\n}\n}")
	f.Add("add rule inet\ndefine x = { 1 }\ninclude \"x\"\n")
	f.Add("APT::X { \"a\"; #clear B; };\n/* x */ // y\n")
	f.Add("services:\n  a: &a {ports: [\"1:2\"], volumes: [\"/:/x\"]}\n  b:\n    <<: *a\n")
	f.Add("*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n")
	f.Add("Package: a\nStatus: install ok installed\nConffiles:\n /etc/a 0123 obsolete\n /etc/b 4567\n\n")
	f.Add("Types: deb\nURIs: http://x\nSuites: a b\n\n")
	f.Add("@daily root /bin/sh -c '/x'\n5 * * * * root x\n")
	f.Add("{\"openssl\":{\"CVE-1\":{\"releases\":{\"bookworm\":{\"status\":\"resolved\",\"fixed_version\":\"2\"}}}}}")
	f.Add("[Service]\nExecStart=a \\\n b\n")
	f.Fuzz(reading)
}

func FuzzPackageVersions(f *testing.F) {
	f.Add("1:2.0~rc1-1", "2.0-1+b1")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := comparePackageVersions(a, b), comparePackageVersions(b, a)
		if x > 0 != (y < 0) || x < 0 != (y > 0) {
			t.Errorf("%q and %q: %d and %d", a, b, x, y)
		}
	})
}

func TestPackageVersions(t *testing.T) {
	for _, v := range [][2]string{{"1.0~rc1", "1.0"}, {"1.0", "1.0-1"}, {"1.0-1", "1.0-1+deb12u1"}, {"9.0", "10.0"}, {"2.0", "1:1.0"}, {"1.0a", "1.0+"}, {"3.0.17-1~deb12u2", "3.0.17-1~deb12u3"}, {"1.2", "1.2.1"}, {"1.0~~", "1.0~"}} {
		if comparePackageVersions(v[0], v[1]) >= 0 || comparePackageVersions(v[1], v[0]) <= 0 {
			t.Errorf("%s is not before %s", v[0], v[1])
		}
	}
	if comparePackageVersions("0:1.00-0", "1.0") != 0 {
		t.Error("0:1.00-0 is not 1.0")
	}
}

func TestUnit(t *testing.T) {
	tree, err := Draw(`
-- usr/lib/systemd/system/a@.service --
[Service]
ExecStart=/bin/a
Environment=X=1
-- etc/systemd/system/a@.service.d/10.conf --
[Service]
ExecStart=
ExecStart=/bin/b \
  --more
-- etc/systemd/system/a@one.service.d/10.conf --
[Service]
User=olga
-- etc/systemd/system/multi-user.target.wants/a@one.service -> /usr/lib/systemd/system/a@.service --
-- etc/systemd/system/m.service -> /dev/null --
-- usr/lib/systemd/system/m.service --
[Service]
`)
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{Tree: tree}
	u, err := h.Unit("a@one.service")
	if err != nil || !u.Starts() {
		t.Fatalf("%+v, %v", u, err)
	}
	// Of two drop-ins of one name that of the instance holds.
	if user, _ := u.Last("Service", "User"); user.Value != "olga" || user.Line != 2 {
		t.Errorf("User: %+v", user)
	}
	if all := u.All("Service", "ExecStart"); len(all) != 1 || all[0].Value != "/bin/a" {
		t.Errorf("ExecStart: %+v", all)
	}
	if u, err := h.Unit("m.service"); err != nil || !u.Masked || u.Starts() {
		t.Errorf("%+v, %v", u, err)
	}
	if u, err := h.Unit("none.service"); err != nil || u.File != "" {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestPrograms(t *testing.T) {
	for command, want := range map[string]string{
		"/bin/sh /config/x.sh >/dev/null": "/bin/sh /config/x.sh", "-/srv/tool --f /etc/x": "/srv/tool",
		"cd / && /usr/bin/nice /opt/x": "/ /usr/bin/nice /opt/x", "[ -x /a ] && A=1 /b": "/a /b",
	} {
		if got := strings.Join(RootCommand{Command: command}.Programs(), " "); got != want {
			t.Errorf("%s: %s, want %s", command, got, want)
		}
	}
}

func TestPorts(t *testing.T) {
	for text, want := range map[string]Published{
		"1880:1880":             {"", 1880, 1880, "tcp", 1, "1880:1880"},
		"127.0.0.1:80:8080/tcp": {"127.0.0.1", 80, 8080, "tcp", 1, "127.0.0.1:80:8080/tcp"},
		"[::1]:80:80":           {"::1", 80, 80, "tcp", 1, "[::1]:80:80"},
		"0.0.0.0:53:53/udp":     {"", 53, 53, "udp", 1, "0.0.0.0:53:53/udp"},
		"3000":                  {"", 0, 3000, "tcp", 1, "3000"},
		"8000-8010:8000-8010":   {"", 8000, 8000, "tcp", 1, "8000-8010:8000-8010"},
		"192.168.1.5::8123":     {"192.168.1.5", 0, 8123, "tcp", 1, "192.168.1.5::8123"},
	} {
		got := ContainerSpec{Settings: []ContainerSetting{{"ports", text, 1}}}.Ports()
		if !slices.Equal(got, []Published{want}) {
			t.Errorf("%s: %+v", text, got)
		}
	}
}
