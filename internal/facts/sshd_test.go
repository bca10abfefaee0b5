package facts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawnSSHD reads a configuration that is drawn.
func drawnSSHD(t interface {
	Helper()
	Fatal(...any)
}, drawing string) *SSHD {
	t.Helper()
	tree, err := Draw(drawing)
	if err != nil {
		t.Fatal(err)
	}
	s, err := (&Host{Tree: tree}).SSHD()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const sshdPackage = "-- var/lib/dpkg/status --\nPackage: openssh-server\nStatus: install ok installed\nVersion: %s\n\n"

// The oracle's own words: ours are looked up in "sshd -T" of a machine that has sshd.
func realSSHD(t *testing.T) (release string) {
	t.Helper()
	if testing.Short() {
		t.Skip("asks the real sshd some hundred times")
	}
	if _, err := os.Stat("/usr/sbin/sshd"); err != nil {
		t.Fatal("there is no /usr/sbin/sshd to compare with: apt-get install openssh-server (it need not run)")
	}
	out, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", "openssh-server").Output()
	if err != nil {
		t.Fatalf("the package openssh-server is not there: %v", err)
	}
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return string(out)
}

// generated is a configuration of several files, with the names that both sides see.
type generated struct{ main, one, two string }

func drawLine(r *rapid.T, match bool) string {
	flag := []string{"yes", "no", "YES", "No", `"yes"`}
	choose := func(label string, all ...string) string { return rapid.SampledFrom(all).Draw(r, label) }
	var keyword, value string
	for {
		keyword = choose("keyword", "PermitRootLogin", "PasswordAuthentication", "KbdInteractiveAuthentication", "ChallengeResponseAuthentication", "PubkeyAuthentication",
			"PermitEmptyPasswords", "X11Forwarding", "AllowTcpForwarding", "AllowAgentForwarding", "AllowStreamLocalForwarding", "GatewayPorts", "PermitTunnel", "MaxAuthTries",
			"MaxSessions", "ClientAliveInterval", "ClientAliveCountMax", "LogLevel", "Banner", "AllowUsers", "DenyGroups", "AcceptEnv", "AuthorizedKeysFile", "AuthenticationMethods",
			"HostbasedAuthentication", "IgnoreRhosts", "DisableForwarding", "PermitOpen", "ForceCommand", "PubkeyAcceptedAlgorithms", "PubkeyAcceptedKeyTypes",
			"LoginGraceTime", "MaxStartups", "UsePAM", "StrictModes", "PermitUserEnvironment", "Compression", "Ciphers", "MACs", "KexAlgorithms", "HostKeyAlgorithms", "Port", "PrintLastLog")
		if !match || sshdOptions()[strings.ToLower(keyword)].match {
			break
		}
	}
	algorithms := func(all []string) string {
		names := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, 3, func(s string) string { return s }).Draw(r, "names")
		return choose("sign", "", "+", "-", "^") + strings.Join(names, ",")
	}
	offered := func(all string) []string {
		var kept []string
		for _, name := range strings.Split(all, ",") {
			if !strings.Contains(name, "arcfour") && !strings.Contains(name, "blowfish") && !strings.Contains(name, "cast128") && !strings.Contains(name, "ripemd") &&
				!strings.Contains(name, "rijndael") && !strings.Contains(name, "tinyssh") && !strings.Contains(name, "mlkem") {
				kept = append(kept, name)
			}
		}
		return kept
	}
	switch o := sshdOptions()[strings.ToLower(keyword)]; {
	case keyword == "MaxStartups":
		value = choose("startups", "10:30:60", "5", "3:50:10")
	case keyword == "KexAlgorithms":
		value = algorithms(offered(sshAllKex))
	case keyword == "Ciphers":
		value = algorithms(offered(sshAllCiphers))
	case keyword == "MACs":
		value = algorithms(offered(sshAllMACs))
	case o.kind == "algorithms":
		value = algorithms(append(offered(sshAllKeys), "*ed25519*", "ssh-*", "ecdsa-sha2-nistp???"))
	case o.kind == "flag", keyword == "PermitUserEnvironment":
		value = choose("flag", flag...)
	case o.kind == "choice":
		value = choose("choice", o.choices...)
	case keyword == "Port":
		value = choose("port", "22", "2222", "8022")
	case o.kind == "int":
		value = choose("int", "0", "1", "4", "10")
	case o.kind == "time":
		value = choose("time", "0", "30", "1m", "1h30m", "2M")
	case keyword == "Banner":
		value = choose("banner", "none", "/etc/issue.net", `"/etc/issue net"`)
	case keyword == "AuthenticationMethods":
		// Not "any": whether it may follow another line depends on the release.
		value = choose("methods", "publickey", "publickey,password", "publickey keyboard-interactive")
	case keyword == "PermitOpen":
		value = choose("open", "none", "any", "127.0.0.1:8123", "127.0.0.1:8123 [::1]:443")
	case keyword == "ForceCommand":
		value = choose("command", "none", "/bin/true", `internal-sftp -u "0022" x`)
	case keyword == "AuthorizedKeysFile":
		value = choose("file", "none", ".ssh/authorized_keys", "/etc/ssh/keys/%u .ssh/authorized_keys")
	default:
		value = choose("words", "olga", "olga anna@192.0.2.*", "LANG LC_*", `"two words" one`)
	}
	if rapid.IntRange(0, 30).Draw(r, "case") == 0 {
		keyword = strings.ToUpper(keyword)
	}
	line := choose("indent", "", "  ", "\t") + keyword + choose("between", " ", "\t", "=", " = ", "  ") + value
	if keyword != "ForceCommand" && !strings.EqualFold(keyword, "ForceCommand") {
		line += choose("end", "", "", "", " ", " # why", "\t#")
	}
	return line
}

func drawFile(r *rapid.T, includes ...string) string {
	var lines []string
	match := false
	for range rapid.IntRange(0, 8).Draw(r, "lines") {
		switch k := rapid.IntRange(-1, 11).Draw(r, "kind"); {
		case k == -1 && rapid.IntRange(0, 2).Draw(r, "odd") == 0:
			lines = append(lines, rapid.SampledFrom([]string{"NoSuchKeyword yes", "PermitRootLogin", "PermitRootLogin never", "Banner \"/x", "Banner '/x y'", "MaxAuthTries x", "MaxAuthTries -1",
				"Match Address 192.0.2.7/24", "Match all User olga", "Match User", "Match Colour red", "Match User olga # one", "Match all # everybody", "Port 0", "Port 99999", "X11Forwarding yes no",
				"UsePAM yes", "UsePAM maybe", "ClientAliveInterval 5x", "ClientAliveInterval 1h2", "MaxStartups 1:2", "MaxStartups 10:0:20", "MaxStartups 10:30:5", "Ciphers none-such", "Ciphers +aes*", "Ciphers -aes*",
				"KexAlgorithms ^curve25519-sha256", "HostKeyAlgorithms +ssh-x", "UsePrivilegeSeparation yes", "Protocol 2", "PerSourcePenalties yes", "PermitRootLogin=yes=", "=", "\"PermitRootLogin\" no",
				"PermitRootLogin \"no\"#x", "PermitTTY\tno\f", "Banner /a\\ b", "AllowUsers # none", "Subsystem sftp internal-sftp", "Match LocalPort x", "Match Address ::1/129", "Match Address 300.1.1.1/8",
				"Match exec true", "Match invalid-user", "Match version x", "LogLevel info", "Banner \"\"", "AcceptEnv \"\"", "Match User \"olga\"", "Match User=root", "Include", "Include \"\""}).Draw(r, "line"))
		case k <= 0:
			lines = append(lines, "# PermitRootLogin yes")
		case k <= 2:
			match = true
			var criteria []string
			if rapid.IntRange(0, 5).Draw(r, "all") == 0 {
				criteria = []string{"all"}
			} else {
				criteria = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"User olga", "User root", "user *,!root", "User ol?a,anna", "Group root", "Group no*,!nobody", "GROUP !root,*",
					"Address 192.0.2.0/24", "Address !192.0.2.7,192.0.2.*", "Address 2001:db8::/32", "LocalPort 22", "LocalPort 2222", "Host *.example", "Host home.EXAMPLE",
					"LocalAddress 127.0.0.1"}), 1, 2, strings.ToLower).Draw(r, "criteria")
			}
			lines = append(lines, "Match "+strings.Join(criteria, " "))
		case k == 3 && len(includes) > 0:
			lines = append(lines, "Include "+rapid.SampledFrom(includes).Draw(r, "include"))
		default:
			lines = append(lines, drawLine(r, match))
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// We say of a configuration what the real sshd says, and that it does not start where
// the real one does not.
func TestSSHDAgrees(t *testing.T) {
	release := realSSHD(t)
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	compared, refused, runs := 0, 0, 0
	check := func(r *rapid.T) {
		runs++
		one, two := filepath.Join(dir, "d", "1.conf"), filepath.Join(dir, "d", "2.conf")
		g := generated{
			two: drawFile(r), one: drawFile(r, two),
			main: drawFile(r, one, two, filepath.Join(dir, "d", "*.conf"), filepath.Join(dir, "none", "*")),
		}
		if err := os.MkdirAll(filepath.Join(dir, "d"), 0o755); err != nil {
			r.Fatal(err)
		}
		main := filepath.Join(dir, "sshd_config")
		for name, text := range map[string]string{one: g.one, two: g.two, main: "HostKey " + key + "\n" + g.main} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				r.Fatal(err)
			}
		}
		peer := SSHPeer{User: rapid.SampledFrom([]string{"root", "nobody"}).Draw(r, "user"), Host: rapid.SampledFrom([]string{"home.example", "elsewhere"}).Draw(r, "host"),
			Address: rapid.SampledFrom([]string{"192.0.2.7", "192.0.2.8", "2001:db8::1", "198.51.100.1"}).Draw(r, "address"), LocalAddress: "127.0.0.1", LocalPort: 22}
		peer.Groups = []string{map[string]string{"root": "root", "nobody": "nogroup"}[peer.User]}
		out, failed := exec.Command("/usr/sbin/sshd", "-T", "-f", main, "-C",
			fmt.Sprintf("user=%s,host=%s,addr=%s,laddr=%s,lport=%d", peer.User, peer.Host, peer.Address, peer.LocalAddress, peer.LocalPort)).CombinedOutput()
		drawing := fmt.Sprintf(sshdPackage, release) + "-- etc/ssh/sshd_config --\nHostKey " + key + "\n" + g.main
		drawing += "-- " + one + " --\n" + g.one + "-- " + two + " --\n" + g.two
		s := drawnSSHD(r, drawing)
		if (failed != nil) != (s.Fault() != nil) {
			r.Fatalf("sshd: %v %s\nwe: %v", failed, out, s.Fault())
		}
		if failed != nil {
			refused++
			return
		}
		real := map[string][]string{}
		for line := range strings.Lines(string(out)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			real[name] = append(real[name], value)
		}
		for name, o := range s.options {
			if o.name != name || o.kind == "ignore" || o.kind == "match" || o.kind == "include" || real[name] == nil || name == "listenaddress" || name == "gssapikexalgorithms" {
				continue
			}
			all, err := s.Values(name, peer)
			if err != nil || len(all) != 1 {
				r.Fatalf("%s: %v %v", name, all, err)
			}
			got, want := all[0].Value, strings.Join(real[name], " ")
			if name == "permitrootlogin" && want == "without-password" {
				want = "prohibit-password"
			}
			if name == "compression" && want == "yes" {
				want = "delayed"
			}
			if want == "SILENT" {
				want = "QUIET" // another name of it
			}
			if got == "" && !all[0].Explicit {
				continue // a default that nobody asks us for
			}
			if name == "authorizedkeyscommand" || name == "port" {
				gotWords, wantWords := strings.Fields(got), strings.Fields(want)
				slices.Sort(gotWords)
				slices.Sort(wantWords)
				got, want = strings.Join(gotWords, " "), strings.Join(wantWords, " ")
			}
			if got != want {
				r.Fatalf("%s is %q (%s:%d %s), sshd says %q", name, got, all[0].File, all[0].Line, all[0].Match, want)
			}
			compared++
		}
	}
	runRapid(t, *sshdRuns, check)
	t.Logf("%d configurations: %d values agree, %d configurations refused by both", runs, compared, refused)
	if compared < runs {
		t.Errorf("only %d values were compared in %d configurations", compared, runs)
	}
}

// A server that asks for a way in that is switched off does not start.
func TestSSHDWithoutAWayIn(t *testing.T) {
	drawing := fmt.Sprintf(sshdPackage, "1:9.2p1-2+deb12u5") + "-- etc/ssh/sshd_config --\nPubkeyAuthentication no\nAuthenticationMethods publickey,password"
	const want = "/etc/ssh/sshd_config:2: sshd does not start: AuthenticationMethods asks for publickey, which is switched off"
	if err := drawnSSHD(t, drawing+"\n").Fault(); err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
	if err := drawnSSHD(t, drawing+" password\nMatch User olga\nPasswordAuthentication no\n").Fault(); err != nil {
		t.Errorf("another way is left: %v", err)
	}
}
