package facts

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

func drawnHost(t *testing.T, drawing string) *Host {
	t.Helper()
	tree, err := Draw(drawing)
	if err != nil {
		t.Fatal(err)
	}
	return &Host{Tree: tree, Root: true}
}

// Sysctls have the value that systemd-sysctl would set, whatever the files look like.
func TestSysctl(t *testing.T) {
	for name, one := range map[string]struct{ drawing, key, value, at string }{
		"default":             {"", "kernel.sysrq", "438", ":0"},
		"set":                 {"-- etc/sysctl.d/a.conf --\n; x\nkernel.sysrq = 1\n", "kernel.sysrq", "1", "/etc/sysctl.d/a.conf:2"},
		"last":                {"-- etc/sysctl.d/a.conf --\nkernel.sysrq = 1\nkernel.sysrq = 2\n", "kernel.sysrq", "2", "/etc/sysctl.d/a.conf:2"},
		"by name":             {"-- etc/sysctl.d/a.conf --\nkernel.sysrq=1\n-- usr/lib/sysctl.d/b.conf --\nkernel.sysrq=3\n", "kernel.sysrq", "3", "/usr/lib/sysctl.d/b.conf:1"},
		"run before usr":      {"-- run/sysctl.d/a.conf --\nkernel.sysrq=1\n-- usr/lib/sysctl.d/a.conf --\nkernel.sysrq=3\n", "kernel.sysrq", "1", "/run/sysctl.d/a.conf:1"},
		"local before usr":    {"-- usr/local/lib/sysctl.d/a.conf --\nkernel.sysrq=4\n-- usr/lib/sysctl.d/a.conf --\nkernel.sysrq=3\n", "kernel.sysrq", "4", "/usr/local/lib/sysctl.d/a.conf:1"},
		"lib is usr/lib":      {"-- lib -> usr/lib --\n-- usr/lib/sysctl.d/a.conf --\nkernel.sysrq=3\n", "kernel.sysrq", "3", "/usr/lib/sysctl.d/a.conf:1"},
		"not a conf":          {"-- etc/sysctl.d/a.conf.bak --\nkernel.sysrq=3\n", "kernel.sysrq", "438", ":0"},
		"slashes":             {"-- etc/sysctl.d/a.conf --\nkernel/sysrq=3\n", "kernel.sysrq", "3", "/etc/sysctl.d/a.conf:1"},
		"interface with dots": {"-- etc/sysctl.d/a.conf --\nnet.ipv4.conf.eth0/20.rp_filter=2\n", "net/ipv4/conf/eth0.20/rp_filter", "2", "/etc/sysctl.d/a.conf:1"},
		"dash":                {"-- etc/sysctl.d/a.conf --\n-kernel.sysrq=3\n", "kernel.sysrq", "3", "/etc/sysctl.d/a.conf:1"},
		"no assignment":       {"-- etc/sysctl.d/a.conf --\nkernel.sysrq 3\n", "kernel.sysrq", "438", ":0"},
		"name beats pattern":  {"-- etc/sysctl.d/a.conf --\nnet.ipv4.conf.eth0.rp_filter=1\nnet.ipv4.conf.*.rp_filter=2\n", "net.ipv4.conf.eth0.rp_filter", "1", "/etc/sysctl.d/a.conf:1"},
		"pattern":             {"-- etc/sysctl.d/a.conf --\nnet.ipv4.conf.*.rp_filter=2\n", "net.ipv4.conf.eth0.rp_filter", "2", "/etc/sysctl.d/a.conf:1"},
		"last pattern":        {"-- etc/sysctl.d/a.conf --\nnet.ipv4.conf.*.rp_filter=2\nnet.ipv4.conf.eth*.rp_filter=1\n", "net.ipv4.conf.eth0.rp_filter", "1", "/etc/sysctl.d/a.conf:2"},
		"excluded":            {"-- etc/sysctl.d/a.conf --\nnet.ipv4.conf.*.rp_filter=2\n-net.ipv4.conf.all.rp_filter\n", "net.ipv4.conf.all.rp_filter", "0", ":0"},
		"several numbers":     {"-- etc/sysctl.d/a.conf --\nkernel.printk =  3\t4  1 3\n", "kernel.printk", "3 4 1 3", "/etc/sysctl.d/a.conf:1"},
		"hidden":              {"-- etc/sysctl.d/.a.conf --\nkernel.sysrq=3\n", "kernel.sysrq", "438", ":0"},
		"excluded pattern":    {"-- etc/sysctl.d/a.conf --\nnet.ipv4.conf.*.rp_filter=2\n-net.ipv4.conf.e*.rp_filter\n", "net.ipv4.conf.eth0.rp_filter", "2", "/etc/sysctl.d/a.conf:1"},
		"pattern taken back":  {"-- etc/sysctl.d/a.conf --\nnet.ipv4.conf.*.rp_filter=2\n- net.ipv4.conf.*.rp_filter\n", "net.ipv4.conf.eth0.rp_filter", "0", ":0"},
		"pattern said again":  {"-- etc/sysctl.d/a.conf --\nnet.ipv4.conf.*.rp_filter=2\nnet.ipv4.conf.e*.rp_filter=1\nnet.ipv4.conf.*.rp_filter=2\n", "net.ipv4.conf.eth0.rp_filter", "1", "/etc/sysctl.d/a.conf:2"},
		"all but":             {"-- etc/sysctl.d/a.conf --\nnet.ipv4.conf.[!a]*.rp_filter=2\n", "net.ipv4.conf.all.rp_filter", "0", ":0"},
		"braces":              {"-- etc/sysctl.d/a.conf --\nnet.ipv4.conf.{all,eth*}.rp_filter=2\n", "net.ipv4.conf.all.rp_filter", "2", "/etc/sysctl.d/a.conf:1"},
		"dangling":            {"-- etc/sysctl.d/a.conf -> nowhere --\n", "kernel.sysrq", "438", ":0"},
	} {
		s, err := drawnHost(t, "-- etc/os-release --\nID=debian\n"+one.drawing).Sysctl(one.key)
		if at := fmt.Sprintf("%s:%d", s.File, s.Line); err != nil || s.Value != one.value || at != one.at {
			t.Errorf("%s: %q at %s, %v, want %q at %s", name, s.Value, at, err, one.value, one.at)
		}
	}
	if _, err := drawnHost(t, "-- etc/sysctl.d/a.conf closed --\n").Sysctl("kernel.sysrq"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("closed: %v", err)
	}
}

// Mounts are read from mountinfo, fstab and units; the last one of a place counts.
func TestMounts(t *testing.T) {
	h := drawnHost(t, `-- proc/self/mountinfo --
24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
35 24 0:31 / /mnt/a\040b rw,nosuid shared:17 master:3 - tmpfs none rw,size=1k
36 35 0:32 / /mnt/a\040b/x rw - autofs systemd-1 rw
`)
	h.Live = true
	m, ok, err := h.MountOf("/mnt/a b/x/y")
	if err != nil || !ok || m.Point != "/mnt/a b" || m.Type != "tmpfs" || !m.Has("nosuid") || m.Line != 2 {
		t.Errorf("%v %v %v", m, ok, err)
	}
	if v, ok := m.Option("size"); !ok || v != "1k" {
		t.Errorf("size is %q", v)
	}
	h = drawnHost(t, `-- etc/fstab --
# comment
UUID=1 / ext4 errors=remount-ro 0 1
tmpfs /tmp/ tmpfs
-- etc/systemd/system/srv-x.mount --
[Mount]
What=/dev/sdb1
Where=/srv/x
Options=nodev
-- etc/systemd/system/multi-user.target.wants/srv-x.mount -> ../srv-x.mount --
`)
	all, err := h.Mounts()
	var got []string
	for _, m := range all {
		got = append(got, fmt.Sprint(m.Point, " ", m.Source, " ", strings.Join(m.Options, ",")))
	}
	if want := []string{"/ UUID=1 errors=remount-ro", "/tmp tmpfs defaults", "/srv/x /dev/sdb1 nodev"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
}

// Settings are those of the file and then of its drop-ins; what is set to nothing is unset.
func TestSettingsOfSystemd(t *testing.T) {
	h := drawnHost(t, `-- etc/systemd/x.conf --
[A]
# Name=no
Name=one \
  two
List=1
-- usr/lib/systemd/x.conf --
[A]
Name=hidden
-- usr/lib/systemd/x.conf.d/10.conf --
[A]
List=
List=2
[B]
Name=other
-- etc/systemd/x.conf.d/20.conf --
[A]
List=3
Gone=
`)
	s, err := h.Settings("/systemd/x.conf", "")
	if err != nil {
		t.Fatal(err)
	}
	if one, ok := s.Last("A", "Name"); !ok || strings.Join(strings.Fields(one.Value), " ") != "one two" || one.Line != 3 {
		t.Errorf("%v", one)
	}
	if l := s.List("A", "List"); len(l) != 2 || l[0].Value != "2" || l[1].Value != "3" || l[1].File != "/etc/systemd/x.conf.d/20.conf" {
		t.Errorf("%v", l)
	}
	if _, ok := s.Last("A", "Gone"); ok {
		t.Error("what was set to nothing is set")
	}
}

// Modules are blocked by an install line alone; "-" and "_" are one.
func TestModuleRules(t *testing.T) {
	rules, err := drawnHost(t, "-- etc/modprobe.d/a.conf --\ninstall usb-storage \\\n /bin/true\nblacklist a\ninstall b /sbin/modprobe --ignore-install b\nalias x y\n").ModuleRules()
	if err != nil || !rules["usb_storage"].Blocked() || rules["usb_storage"].InstallLine != 1 || rules["a"].Blocked() || !rules["a"].Blacklisted || rules["b"].Blocked() {
		t.Errorf("%v, %v", rules, err)
	}
}

// What readers are given may be anything.
func FuzzHostSettings(f *testing.F) {
	for _, seed := range []string{
		"net.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\n", "24 1 8:1 / / rw - ext4 /dev/sda1 rw\n", "tmpfs /tmp\\040x tmpfs defaults 0 0\n",
		"[Journal]\nStorage=auto\\\n# x\n y\n", "install x \\\n /bin/true\nblacklist y\n", "root=\"a b\" -- init=/bin/sh", "\\", "=", "-", "[", "[]", "\"",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = text[:min(len(text), 2000)] // some of what is held here takes the square of it
		in := Text{Path: "/x", Lines: strings.Split(text, "\n")}
		lines := inForce(parseSysctl(in))
		for _, l := range lines {
			if got, ok := written(lines, l.key); ok && got.file != "/x" {
				t.Errorf("%v", got)
			}
		}
		_, _ = parseMountinfo(in)
		_, _ = parseFstab(in)
		if s, err := parseSettings(in); err == nil {
			for _, one := range s {
				if one.Line < 1 || one.Line > len(in.Lines) {
					t.Errorf("%v", one)
				}
				s.List(one.Section, one.Name)
			}
		}
		rules := map[string]ModuleRule{}
		parseModprobe(in, rules)
		for _, r := range rules {
			r.Blocked()
		}
		for _, w := range splitQuoted(text) {
			if strings.Contains(w, `"`) {
				t.Errorf("%q", w)
			}
		}
		parseCaps([]byte(text))
		if h := unescape(text); len(h) > len(text) {
			t.Errorf("%q", h)
		}
	})
}
