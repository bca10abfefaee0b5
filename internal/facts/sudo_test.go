package facts

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

func TestSudoers(t *testing.T) {
	h := hostOf(t, `-- etc/hostname --
house
-- etc/sudoers --
# a remark
Defaults	env_reset, !lecture, secure_path="/usr/sbin:/usr/bin"
Defaults:olga,%sudo timestamp_timeout=5
Defaults!/usr/bin/less noexec
Defaults env_keep += "A B"
User_Alias ADMINS = olga, #1001, !eve : STAFF = ADMINS, mia
Cmnd_Alias REBOOT = /sbin/reboot, /sbin/shutdown -r now
root ALL=(ALL:ALL) ALL
STAFF house, home = (root, www-data) NOPASSWD: /bin/a b\, c, NOEXEC: REBOOT, PASSWD: /bin/c : laptop = (:adm) ALL # remark
%sudo	ALL = TIMEOUT=5m CWD=/tmp SETENV: NOPASSWD : \
	ALL
#include /etc/sudoers-%h
@includedir sudoers.d
-- etc/sudoers-house --
#1000 ALL=ALL
-- etc/sudoers.d/README.txt --
olga ALL=(ALL) NOPASSWD: ALL
-- etc/sudoers.d/old~ --
junk
-- etc/sudoers.d/20-b --
"olga b" ALL=ALL
-- etc/sudoers.d/10-a --
olga ALL=ALL
-- etc/sudoers.d/dir dir --
`)
	s, err := h.Sudoers()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/etc/sudoers", "/etc/sudoers-house", "/etc/sudoers.d/10-a", "/etc/sudoers.d/20-b"}; !slices.Equal(s.Files, want) {
		t.Errorf("read %v", s.Files)
	}
	if want := []string{"/etc/sudoers.d/README.txt", "/etc/sudoers.d/old~"}; !slices.Equal(s.Ignored, want) {
		t.Errorf("ignored %v", s.Ignored)
	}
	var defaults []string
	for _, d := range s.Defaults {
		defaults = append(defaults, fmt.Sprint(d.Scope, d.For, d.Negated, d.Name, d.Op, d.Value, " ", d.Line))
	}
	if want := []string{"[] false env_reset  2", "[] true lecture  2", "[] false secure_path = /usr/sbin:/usr/bin 2"}; len(defaults) != 6 {
		t.Errorf("defaults %q, want %q first", defaults, want)
	}
	if d := s.Defaults[2]; d.Value != "/usr/sbin:/usr/bin" || d.Name != "secure_path" {
		t.Errorf("%+v", d)
	}
	if d := s.Defaults[3]; d.Scope != ":" || !slices.Equal(d.For, []string{"olga", "%sudo"}) || d.Value != "5" {
		t.Errorf("%+v", d)
	}
	if d := s.Defaults[5]; d.Op != "+=" || d.Value != "A B" || d.Name != "env_keep" {
		t.Errorf("%+v", d)
	}
	if got := s.Alias("User", "STAFF"); !slices.Equal(got, []string{"olga", "#1001", "!eve", "mia"}) {
		t.Errorf("STAFF is %v", got)
	}
	var rules []string
	for _, r := range s.Rules {
		for _, c := range r.Commands {
			rules = append(rules, fmt.Sprintf("%s @ %s (%s) %s %s %d", strings.Join(r.Users, ","), strings.Join(r.Hosts, ","), strings.Join(c.RunAs, ","), strings.Join(c.Tags, ","), c.Command, r.Line))
		}
	}
	want := []string{
		"root @ ALL (ALL)  ALL 8",
		`STAFF @ house,home (root,www-data) NOPASSWD /bin/a b\, c 9`,
		"STAFF @ house,home (root,www-data) NOPASSWD,NOEXEC REBOOT 9",
		"STAFF @ house,home (root,www-data) NOEXEC,PASSWD /bin/c 9",
		"STAFF @ laptop ()  ALL 9",
		"%sudo @ ALL () SETENV,NOPASSWD ALL 10",
		"#1000 @ ALL ()  ALL 1",
		"olga @ ALL ()  ALL 1",
		"olga b @ ALL ()  ALL 1",
	}
	if !slices.Equal(rules, want) {
		t.Errorf("rules:\n%s\nwant:\n%s", strings.Join(rules, "\n"), strings.Join(want, "\n"))
	}
	for text, want := range map[string]string{
		"<html>":                         "/etc/sudoers:1: ",
		"olga":                           "/etc/sudoers:1: ",
		"\nolga ALL=":                    "/etc/sudoers:2: ",
		"Defaults":                       "/etc/sudoers:1: ",
		"User_Alias A":                   "/etc/sudoers:1: ",
		"@include sudoers":               "/etc/sudoers:1: ",
		"@include /etc/nothing":          "/etc/sudoers:1: ",
		"olga ALL=(ALL) NOPASSWD:":       "/etc/sudoers:1: ",
		"olga ALL=bin/x":                 "/etc/sudoers:1: ",
		"olga ALL=ALL x":                 "/etc/sudoers:1: ",
		"olga ALL=ALL:":                  "/etc/sudoers:1: ",
		"olga ALL=/bin/x #5":             "/etc/sudoers:1: ",
		"Defaults use_pty,":              "/etc/sudoers:1: ",
		"Defaults env_keep += A B":       "/etc/sudoers:1: ",
		"User_Alias ALL = olga":          "/etc/sudoers:1: ",
		"User_Alias A = olga : ":         "/etc/sudoers:1: ",
		"Host_Alias H=a\nHost_Alias H=b": "/etc/sudoers:2: ",
	} {
		if _, err := hostOf(t, "-- etc/sudoers --\n"+text+"\n").Sudoers(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// What the real sudo made us see: a remark ends where its line does, "#include" is one
// where it is indented, an option of a command may have room around its sign, an IPv6
// address is one word, and what excludes twice does not.
func TestSudoersOddly(t *testing.T) {
	s, err := hostOf(t, `-- etc/sudoers --
# a remark \
olga ALL = CWD = /tmp NOPASSWD: ALL
 #include /etc/none
@include one # why
User_Alias U = #1000, !!eve
Host_Alias H = 2001:db8::1, home : H2 = house
-- etc/one --
eve H, 2001:db8::/32 = !!sha224:00 /bin/x \
`).Sudoers()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range s.Rules {
		for _, c := range r.Commands {
			got = append(got, fmt.Sprint(r.Users, r.Hosts, c.Tags, c.Command))
		}
	}
	for _, a := range s.Aliases {
		got = append(got, fmt.Sprint(a.Name, a.Members))
	}
	if want := []string{"[olga] [ALL] [NOPASSWD]ALL", "[eve] [H 2001:db8::/32] []/bin/x", "U[#1000 eve]", "H[2001:db8::1 home]", "H2[house]"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// Aliases that name each other come to an end.
func TestSudoAliasesInACircle(t *testing.T) {
	s, err := hostOf(t, "-- etc/sudoers --\nUser_Alias A = B, olga\nUser_Alias B = A, eve\n").Sudoers()
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Alias("User", "A"); !slices.Equal(got, []string{"eve", "olga"}) {
		t.Errorf("%v", got)
	}
}

func TestSudoVersion(t *testing.T) {
	v, err := hostOf(t, "-- var/lib/dpkg/status --\nPackage: bash\nVersion: 5\n\nPackage: sudo\nVersion: 1:1.9.13p3-1+deb12u1\n").SudoVersion()
	if v != "1.9.13p3" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
}

func FuzzSudoers(f *testing.F) {
	f.Add("Defaults:olga !use_pty, a+=\"b,c\"\nolga ALL=(a:b) NOPASSWD: ALL : h = X=1 /bin/x \\\n y\n@include two\n", "User_Alias A = B : B = A\nA ALL=ALL\n")
	f.Add("#includedir .\n", "%:x ALL=!ALL")
	f.Fuzz(func(t *testing.T, one, two string) {
		tree := &Drawn{all: map[string]*drawn{
			".": {info: Info{Mode: fs.ModeDir}}, "etc": {info: Info{Mode: fs.ModeDir}}, "etc/sudoers": {text: one}, "etc/two": {text: two},
		}}
		s, err := (&Host{Tree: tree}).Sudoers()
		if err != nil {
			return
		}
		for _, r := range s.Rules {
			if len(r.Users) == 0 || len(r.Hosts) == 0 || len(r.Commands) == 0 {
				t.Errorf("%+v is no rule", r)
			}
			for _, u := range r.Users {
				s.Alias("User", u)
			}
		}
	})
}
