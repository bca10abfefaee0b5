package facts

import (
	"strings"
	"testing"
)

// Whatever stands in a configuration, reading it ends, and says a value or why there is none.
func FuzzSSHD(f *testing.F) {
	f.Add("PermitRootLogin no\nMatch User olga\nPermitRootLogin yes\n", "Ciphers +3des-cbc\n")
	f.Add("Include /etc/ssh/sshd_config.d/*\nInclude /etc/ssh/sshd_config.d/a\n", "Include /etc/ssh/sshd_config.d/a\nMatch all\n")
	f.Add("Match Address 192.0.2.0/24,!::1 all\n Banner \"x", "Ciphers -\nCiphers ^\nMaxStartups 1:2\nPort=22=\n")
	f.Fuzz(func(t *testing.T, main, other string) {
		d, err := Draw("-- etc/ssh/sshd_config --\n-- etc/ssh/sshd_config.d/a --\n-- var/lib/dpkg/status --\nPackage: openssh-server\nVersion: 1:9.2p1-2+deb12u10\n")
		if err != nil {
			t.Fatal(err)
		}
		d.all["etc/ssh/sshd_config"].text, d.all["etc/ssh/sshd_config.d/a"].text = main, other
		s, err := (&Host{Tree: d}).SSHD()
		if err != nil {
			return
		}
		for name, o := range s.options {
			if o.kind == "ignore" || o.kind == "match" || o.kind == "include" {
				continue
			}
			for _, peer := range []SSHPeer{{}, {User: "root", Groups: []string{"root"}, Address: "192.0.2.1"}} {
				all, err := s.Values(name, peer)
				if err == nil && len(all) == 0 {
					t.Fatalf("%s has neither a value nor a reason", name)
				}
				for _, v := range all {
					if v.Explicit != (v.File != "") {
						t.Fatalf("%s: %+v", name, v)
					}
				}
			}
		}
	})
}

func FuzzAuthorizedKeys(f *testing.F) {
	f.Add(`restrict,permitopen="127.0.0.1:8443",command="echo \"a b\"" ` + keyOfEd25519 + " olga@laptop")
	f.Add("ssh-rsa AAAAB3NzaC1yc2EAAAA\n\tno-pty\tssh-ed25519 AAAA\n\"\n,=,\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, k := range parseAuthorizedKeys(User{Name: "olga"}, "/f", strings.Split(text, "\n")) {
			if (k.Type == "") != (k.Trouble != "") || k.Line < 1 {
				t.Fatalf("%+v", k)
			}
			_ = k.Allows("pty")
		}
	})
}

func FuzzPrivateKey(f *testing.F) {
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n-----END RSA PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ==\n-----END OPENSSH PRIVATE KEY-----\n"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = parsePrivateKey(data) })
}

func FuzzSSHClient(f *testing.F) {
	f.Add("Host *\n  StrictHostKeyChecking=no\nMatch host x\n")
	f.Fuzz(func(t *testing.T, text string) {
		lines, err := parseSSHClient("/f", strings.Split(text, "\n"))
		for _, l := range lines {
			if err == nil && (l.Keyword == "" || len(l.Args) == 0) {
				t.Fatalf("%+v", l)
			}
		}
	})
}

func FuzzCompareDebian(f *testing.F) {
	f.Add("1:9.2p1-2+deb12u3", "1:9.2p1-2~bpo+1")
	f.Fuzz(func(t *testing.T, a, b string) {
		if x, y := comparePackageVersions(a, b), comparePackageVersions(b, a); (x < 0) != (y > 0) || (x == 0) != (y == 0) {
			t.Fatalf("%q and %q: %d and %d", a, b, x, y)
		}
	})
}
