package facts

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// No key: its room filled with one byte.
const keyOfEd25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH"

func TestAuthorizedKeys(t *testing.T) {
	for line, want := range map[string]AuthorizedKey{
		keyOfEd25519 + " olga on the laptop":                        {Type: "ssh-ed25519", Comment: "olga on the laptop"},
		"\tno-pty \t" + keyOfEd25519:                                {Type: "ssh-ed25519", Options: []SSHKeyOption{{"no-pty", ""}}},
		`Restrict,from="a,b",command="say \"x y\"" ` + keyOfEd25519: {Type: "ssh-ed25519", Options: []SSHKeyOption{{"restrict", ""}, {"from", "a,b"}, {"command", `say "x y"`}}},
		"ssh-ed25519 AAAA":                                          {Options: []SSHKeyOption{{"ssh-ed25519", ""}}, Trouble: "no key"},
		`command="x ssh-rsa AAAA`:                                   {Trouble: "quotes that do not end"},
		"ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH": {Options: []SSHKeyOption{{"ssh-rsa", ""}}, Trouble: "no key"},
	} {
		all := parseAuthorizedKeys(User{Name: "olga"}, "/f", []string{"# one", "", line})
		if len(all) != 1 || all[0].Line != 3 {
			t.Fatalf("%q: %+v", line, all)
		}
		got := all[0]
		got.User, got.File, got.Line, got.Print = User{}, "", 0, ""
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", line, diff)
		}
	}
}

func TestKeyAllows(t *testing.T) {
	for options, want := range map[string]bool{"": true, "restrict": false, "restrict,pty": true, "no-pty": false, "pty,restrict": false, "no-x11-forwarding": true} {
		if got := (AuthorizedKey{Options: parseKeyOptions(options)}).Allows("pty"); got != want {
			t.Errorf("%q allows a terminal: %v", options, got)
		}
	}
}

func TestCompareDebian(t *testing.T) {
	order := strings.Fields("9.9 1:8.4p1-5+deb11u3 1:9.2p1-2 1:9.2p1-2+deb12u2 1:9.2p1-2+deb12u3 1:9.2p1-2+deb12u10 1:9.7p1-7~bpo 1:9.7p1-7 1:10.0p1-1")
	for n := range order {
		for k := range order {
			if got := comparePackageVersions(order[n], order[k]); (got < 0) != (n < k) || (got > 0) != (n > k) {
				t.Errorf("%s and %s: %d", order[n], order[k], got)
			}
		}
	}
}

func TestSSHRelease(t *testing.T) {
	for version, want := range map[string][2]int{"1:9.2p1-2+deb12u10": {9, 2}, "9.7_p1-r4": {9, 7}, "1:10.0p1-7": {10, 0}, "": {0, 0}, "x": {0, 0}} {
		if r := parseSSHRelease(version, ""); r.Major != want[0] || r.Minor != want[1] {
			t.Errorf("%q: %+v", version, r)
		}
	}
}

// Of a peer that is known in part every value is said that may hold, and no other.
func TestSSHDPossible(t *testing.T) {
	const root = `
PermitRootLogin no
Match User olga
PermitRootLogin yes
Match Address 192.0.2.0/24 User root
PermitRootLogin prohibit-password
Match all
PermitRootLogin forced-commands-only
Match Address 198.51.100.0/24
PermitRootLogin yes
`
	for _, c := range []struct {
		config, keyword string
		peer            SSHPeer
		want            []string
	}{
		{root, "permitrootlogin", SSHPeer{User: "root"}, []string{"prohibit-password", "forced-commands-only"}},
		{root, "permitrootlogin", SSHPeer{User: "root", Address: "203.0.113.1"}, []string{"forced-commands-only"}},
		{root, "permitrootlogin", SSHPeer{}, []string{"yes", "prohibit-password", "forced-commands-only"}},
		{"AllowUsers a\nAllowUsers b\nMatch User c\nAllowUsers d", "allowusers", SSHPeer{}, []string{"d", "a b"}},
		{"Match User c\nCiphers aes128-ctr", "ciphers", SSHPeer{}, nil},
		{"MACs -*-etm@openssh.com,*sha1,umac*", "macs", SSHPeer{}, []string{"hmac-sha2-256,hmac-sha2-512"}},
		{"Match User c\nPubkeyAcceptedAlgorithms ssh-rsa", "pubkeyacceptedalgorithms", SSHPeer{User: "c"}, []string{"ssh-rsa"}},
		{"Match Group !wheel,*\nX11Forwarding yes", "x11forwarding", SSHPeer{Groups: []string{"wheel", "users"}}, []string{"no"}},
		{"", "maxauthtries", SSHPeer{}, []string{"6"}},
	} {
		s := drawnSSHD(t, fmt.Sprintf(sshdPackage, "1:9.2p1-2+deb12u10")+"-- etc/ssh/sshd_config --\n"+c.config+"\n")
		all, err := s.Values(c.keyword, c.peer)
		var got []string
		for _, v := range all {
			got = append(got, v.Value)
		}
		if diff := cmp.Diff(c.want, got); diff != "" || (err != nil) != (c.want == nil) {
			t.Errorf("%s of %+v: %v %s", c.keyword, c.peer, err, diff)
		}
	}
}

// A configuration that reads itself over and over comes to an end.
func TestSSHDBounds(t *testing.T) {
	drawing := "-- etc/ssh/sshd_config --\nInclude d/0\n"
	for n := range 12 {
		drawing += fmt.Sprintf("-- etc/ssh/d/%d --\n%s", n, strings.Repeat(fmt.Sprintf("Include d/%d\n", n+1), 8))
	}
	tree, err := Draw(drawing + "-- etc/ssh/d/12 --\n\n")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&Host{Tree: tree}).SSHD(); err == nil {
		t.Error("files that are included a billion times were all read")
	}
}
