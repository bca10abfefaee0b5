package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"gatehouse/internal/finding"
)

// TestLiveRepairs repairs a real Debian (lab/root), starts its SSH server as it is then, and
// comes in with a key while passwords and root are refused; what sudo and PAM were told lets
// the right password through and no other. Undone, the root is what it was. The release of
// Home Assistant that tests/live/run names in GATEHOUSE_LIVE_VERSION only says which Debian:
// each run takes another.
func TestLiveRepairs(t *testing.T) {
	release := os.Getenv("GATEHOUSE_LIVE_VERSION")
	if release == "" {
		return
	}
	if os.Geteuid() != 0 {
		t.Fatal("Debian roots want root: run tests/live/run as root")
	}
	suite := "trixie"
	if year, _, _ := strings.Cut(release, "."); year+"."+strings.Split(release+".0", ".")[1] < "2026.3" && len(strings.Split(release, ".")[1]) == 1 {
		suite = "bookworm"
	}
	r := newPatient(t, suite)
	was := r.contents()

	t.Run("one", func(t *testing.T) {
		r := r.of(t)
		r.gatehouse("fix", "ssh.root-login", "--root", r.dir, "--yes")
		if !slices.Contains(strings.Split(r.in(r.dir, "/usr/sbin/sshd -T"), "\n"), "permitrootlogin no") {
			t.Error("sshd -T of the repaired root does not say that root is refused")
		}
		r.gatehouse("undo", "--root", r.dir, "--yes")
		if diff := cmp.Diff(was, r.contents()); diff != "" {
			t.Errorf("undone, the root is not what it was: %s", diff)
		}
	})
	t.Run("before", func(t *testing.T) {
		s := r.of(t).serve()
		s.comesIn("olga", ssh.PublicKeys(r.key), true)
		s.comesIn("olga", ssh.Password(patientPassword), true)
		s.comesIn("root", ssh.PublicKeys(r.key), true)
		s.comesIn("root", ssh.Password(patientPassword), true)
	})
	t.Run("all", func(t *testing.T) {
		r := r.of(t)
		r.gatehouse("fix", "acct.empty-password", "ssh.root-login", "ssh.password-auth", "ssh.strict-modes", "ssh.max-auth-tries", "ssh.grace", "ssh.alive",
			"ssh.max-startups", "ssh.x11", "ssh.forwarding", "ssh.agent-forwarding", "ssh.allow-users", "ssh.macs", "ssh.kex", "ssh.hostkey-algs",
			"pam.nullok", "pam.faillock", "pam.pwquality", "pam.su-wheel", "sudo.nopasswd", "sudo.timestamp", "acct.umask", "--root", r.dir, "--yes")
		r.in(r.dir, "/usr/sbin/sshd -t; /usr/sbin/visudo -c -q; /usr/sbin/pwck -r -q")
		told := strings.Split(r.in(r.dir, "/usr/sbin/sshd -T"), "\n")
		for _, want := range []string{"permitrootlogin no", "passwordauthentication no", "kbdinteractiveauthentication no", "strictmodes yes", "maxauthtries 4", "x11forwarding no", "allowusers olga", "port 22"} {
			if !slices.Contains(told, want) {
				t.Errorf("sshd -T does not say %q", want)
			}
		}
		s := r.serve()
		s.comesIn("olga", ssh.PublicKeys(r.key), true)
		s.comesIn("olga", ssh.Password(patientPassword), false)
		s.comesIn("olga", ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
			return slices.Repeat([]string{patientPassword}, len(questions)), nil
		}), false)
		s.comesIn("olga", ssh.PublicKeys(r.stranger), false)
		s.comesIn("root", ssh.PublicKeys(r.key), false)
		s.comesIn("root", ssh.Password(patientPassword), false)
		s.comesIn("guest", ssh.Password(""), false)
		if got := s.run("olga", patientPassword+"\n", "sudo -S -k id -u"); got != "0" {
			t.Errorf("sudo with the right password says %q", got)
		}
		if got := s.run("olga", "wrong\nwrong\nwrong\n", "sudo -S -k id -u"); got == "0" {
			t.Error("sudo takes a wrong password")
		}
		if got := s.run("olga", "", "umask"); got != "0007" && got != "0027" {
			t.Errorf("the umask of a login is %s", got)
		}
		r.gatehouse("undo", "--root", r.dir, "--yes")
		if diff := cmp.Diff(was, r.contents()); diff != "" {
			t.Errorf("undone, the root is not what it was: %s", diff)
		}
	})
	t.Run("hardened", func(t *testing.T) {
		r := r.of(t)
		before := r.fails()
		r.gatehouse("harden", "--profile", "strict", "--root", r.dir, "--yes")
		after := r.fails()
		for id := range after {
			if !before[id] {
				t.Errorf("%s fails since", id)
			}
		}
		if len(after) > len(before)/2 {
			t.Errorf("%d findings before, and still %d", len(before), len(after))
		}
		r.in(r.dir, "/usr/sbin/sshd -t; /usr/sbin/visudo -c -q; /usr/sbin/nft -c -f /etc/nftables.conf")
		s := r.serve()
		s.comesIn("olga", ssh.PublicKeys(r.key), true)
		if got := s.run("olga", patientPassword+"\n", "sudo -S -k id -u"); got != "0" {
			t.Errorf("sudo with the right password says %q", got)
		}
		r.gatehouse("harden", "--profile", "strict", "--root", r.dir, "--yes") // there is nothing left to do
		r.gatehouse("undo", "--root", r.dir, "--yes")
		if diff := cmp.Diff(was, r.contents()); diff != "" {
			t.Errorf("undone, the root is not what it was: %s", diff)
		}
	})
	t.Run("nobody is locked out", func(t *testing.T) {
		r := r.of(t)
		keys := filepath.Join(r.dir, "home/olga/.ssh/authorized_keys")
		if err := os.Rename(keys, keys+".away"); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(r.dir, "root/.ssh/authorized_keys")); err != nil {
			t.Fatal(err)
		}
		if out, err := r.command("fix", "ssh.password-auth", "--root", r.dir, "--yes").CombinedOutput(); err == nil || !strings.Contains(string(out), "olga has no key") {
			t.Errorf("passwords are switched off where nobody has a key: %v\n%s", err, out)
		}
	})
}

// TestLiveWhoGetsIn holds what a repair believes of who still gets in against what a real
// sshd does with the same accounts, files and settings: passwords are switched off where a
// key opens a shell, and left on where it does not.
func TestLiveWhoGetsIn(t *testing.T) {
	if os.Getenv("GATEHOUSE_LIVE_VERSION") == "" {
		return
	}
	if os.Geteuid() != 0 {
		t.Fatal("Debian roots want root: run tests/live/run as root")
	}
	r := newPatient(t, "trixie")
	r.in(r.dir, "rm ~root/.ssh/authorized_keys; sed -i 's/^StrictModes no/StrictModes yes/' /etc/ssh/sshd_config; cp -a ~olga/.ssh ~olga/kept")
	for _, c := range []struct {
		name, make, back string
		in               bool
	}{
		{"as it is", "", "", true},
		{"others write her home", "chmod 777 ~olga", "chmod 700 ~olga", false},
		{"others write the list", "chmod 666 ~olga/.ssh/authorized_keys", "", false},
		{"nobody reads the list", "chmod 0 ~olga/.ssh/authorized_keys", "", false},
		{"the list is root's alone", "chown root:root ~olga/.ssh/authorized_keys", "", false},
		{"somebody else's list", "chown guest:guest ~olga/.ssh/authorized_keys; chmod 644 ~olga/.ssh/authorized_keys", "", false},
		{"the list is a link", "mv ~olga/.ssh/authorized_keys ~olga/.ssh/k; ln -s k ~olga/.ssh/authorized_keys", "", true},
		{"the list lies elsewhere", "mkdir /etc/ssh/k; cp ~olga/.ssh/authorized_keys /etc/ssh/k/olga; chmod 644 /etc/ssh/k/olga; echo AuthorizedKeysFile /etc/ssh/k/%u >/etc/ssh/sshd_config.d/10.conf", "rm -r /etc/ssh/k", true},
		{"the list is looked for elsewhere", "echo AuthorizedKeysFile /etc/ssh/k/%u >/etc/ssh/sshd_config.d/10.conf", "", false},
		{"an option that is misspelt", "sed -i 's/^/no-ptty /' ~olga/.ssh/authorized_keys", "", false},
		{"a key for one program", "sed -i 's,^,command=\"/bin/true\" ,' ~olga/.ssh/authorized_keys", "", false},
		{"a key from elsewhere", "sed -i 's,^,from=\"192.0.2.1\" ,' ~olga/.ssh/authorized_keys", "", false},
		{"a key that has run out", "sed -i 's,^,expiry-time=\"20200101\" ,' ~olga/.ssh/authorized_keys", "", false},
		{"she is not named", "echo AllowUsers root >/etc/ssh/sshd_config.d/10.conf", "", false},
		{"she is named", "echo AllowUsers root olg? >/etc/ssh/sshd_config.d/10.conf", "", true},
		{"named from elsewhere", "echo AllowUsers olga@192.0.2.1 >/etc/ssh/sshd_config.d/10.conf", "", false},
		{"her group is not let in", "echo DenyGroups 'sud*' >/etc/ssh/sshd_config.d/10.conf", "", false},
		{"her group is let in", "echo AllowGroups sudo >/etc/ssh/sshd_config.d/10.conf", "", true},
		{"no keys for her", "printf 'Match User olga\n PubkeyAuthentication no\n' >/etc/ssh/sshd_config.d/10.conf", "", false},
		{"no keys for others", "printf 'Match User guest\n PubkeyAuthentication no\n' >/etc/ssh/sshd_config.d/10.conf", "", true},
		{"one program for her group", "printf 'Match Group sudo\n ForceCommand internal-sftp\n' >/etc/ssh/sshd_config.d/10.conf", "", false},
		{"her kind of key is not taken", "echo PubkeyAcceptedAlgorithms -ssh-ed25519 >/etc/ssh/sshd_config.d/10.conf", "", false},
		{"a password is asked for, too", "echo AuthenticationMethods publickey,password >/etc/ssh/sshd_config.d/10.conf", "", false},
		{"a password or a key", "echo AuthenticationMethods publickey password >/etc/ssh/sshd_config.d/10.conf", "", true},
		{"her shell is not there", "usermod -s /bin/nosuch olga", "usermod -s /bin/bash olga", false},
		{"her shell is none", "usermod -s /usr/sbin/nologin olga", "usermod -s /bin/bash olga", false},
		{"her account has run out", "chage -E 2020-01-01 olga", "chage -E -1 olga", false},
		{"her password has to be new", "chage -d 0 olga", "chage -d 2026-01-01 olga", false},
		{"locked, and PAM is asked", "usermod -L olga", "usermod -U olga", true},
		{"locked, and PAM is not", "usermod -L olga; echo UsePAM no >/etc/ssh/sshd_config.d/10.conf", "usermod -U olga", false},
		{"nobody but root", "touch /etc/nologin", "rm /etc/nologin", false},
		{"by PAM nobody", "sed -i '1i account required pam_access.so' /etc/pam.d/sshd; echo '-:olga:ALL' >>/etc/security/access.conf", "sed -i 1d /etc/pam.d/sshd", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := r.of(t)
			r.in(r.dir, "rm -rf ~olga/.ssh /etc/ssh/sshd_config.d/10.conf; cp -a ~olga/kept ~olga/.ssh\n"+c.make)
			defer r.in(r.dir, c.back)
			out, err := r.command("fix", "ssh.password-auth", "--root", r.dir, "--dry-run").CombinedOutput()
			if planned := err == nil && strings.Contains(string(out), "PasswordAuthentication no"); planned != c.in {
				t.Errorf("passwords are switched off: %v, want %v: %v\n%s", planned, c.in, err, out)
			}
			r.start(r.dir).comesIn("olga", ssh.PublicKeys(r.key), c.in)
		})
	}
}

// patientPassword is of everybody there.
const patientPassword = "correct horse battery staple"

// patient is a Debian that is repaired: by default, and with some mistakes.
type patient struct {
	t             *testing.T
	dir, binary   string
	config        string
	key, stranger ssh.Signer
}

func newPatient(t *testing.T, suite string) *patient {
	t.Helper()
	dir := reachable(t)
	r := &patient{t: t, dir: filepath.Join(dir, "root"), binary: filepath.Join(dir, "gatehouse"), config: filepath.Join(dir, "gatehouse.toml")}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", r.binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.WriteFile(r.config, fmt.Appendf(nil, "[home]\nname = \"house.test\"\n[state]\ndir = %q\n[doors.https]\nlisten = \"127.0.0.1:8444\"\n", filepath.Join(dir, "state")), 0o600); err != nil {
		t.Fatal(err)
	}
	r.lab("copy", suite, r.dir)
	var line string
	r.key, line = newSSHKey(t)
	r.stranger, _ = newSSHKey(t)
	r.in(r.dir, `
		mkdir -p /run/sshd # as its unit does
		useradd -m -s /bin/bash -G sudo olga
		useradd -m -s /bin/bash guest; passwd -q -d guest
		printf 'olga:%s\nroot:%s\n' '`+patientPassword+`' '`+patientPassword+`' | chpasswd
		install -d -m 700 -o olga -g olga ~olga/.ssh; install -d -m 700 ~root/.ssh
		echo '`+line+`' >~olga/.ssh/authorized_keys; cp ~olga/.ssh/authorized_keys ~root/.ssh/
		chown olga:olga ~olga/.ssh/authorized_keys; chmod 600 ~olga/.ssh/authorized_keys
		echo 'PasswordAuthentication yes' >/etc/ssh/sshd_config.d/50-cloud-init.conf
		printf 'StrictModes no\nMaxAuthTries 20\nKexAlgorithms +diffie-hellman-group14-sha1\nPubkeyAcceptedAlgorithms +ssh-rsa\nPermitRootLogin yes\nMatch Address 127.0.0.0/8\n  PermitRootLogin yes\n' >>/etc/ssh/sshd_config
		echo 'olga ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/010_olga
		echo 'Defaults timestamp_timeout=-1' >/etc/sudoers.d/lax
		chmod 440 /etc/sudoers.d/*`)
	return r
}

// of is the same root in another test.
func (r *patient) of(t *testing.T) *patient {
	next := *r
	next.t = t
	return &next
}

func (r *patient) lab(args ...string) string {
	r.t.Helper()
	out, err := exec.CommandContext(r.t.Context(), "bash", append([]string{"../../lab/root"}, args...)...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("lab/root %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}

// in runs a script in a root, and returns what it says.
func (r *patient) in(root, script string) string {
	r.t.Helper()
	return strings.TrimSpace(r.lab("in", root, "sh", "-ec", script))
}

func (r *patient) command(args ...string) *exec.Cmd {
	c := exec.CommandContext(r.t.Context(), r.binary, args...)
	c.Dir = filepath.Dir(r.binary)
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GATEHOUSE_CONFIG=" + r.config}
	return c
}

func (r *patient) gatehouse(args ...string) {
	r.t.Helper()
	if out, err := r.command(args...).CombinedOutput(); err != nil {
		r.t.Fatalf("gatehouse %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// fails are the checks that fail.
func (r *patient) fails() map[string]bool {
	r.t.Helper()
	out, err := r.command("audit", "--root", r.dir, "--json").Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	var doc struct {
		Checks []finding.Finding `json:"checks"`
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		r.t.Fatal(err)
	}
	all := map[string]bool{}
	for _, f := range doc.Checks {
		if f.Result == finding.Fail {
			all[f.ID] = true
		}
	}
	return all
}

// contents says of everything in the root what it is: kind, mode, owner, what is in it
// and since when.
func (r *patient) contents() map[string]string {
	r.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(r.dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		owner := info.Sys().(*syscall.Stat_t)
		says := fmt.Sprintf("%s %d:%d", info.Mode(), owner.Uid, owner.Gid)
		switch {
		case info.Mode().IsRegular():
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(text)
			says += " " + hex.EncodeToString(sum[:])
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			says += " " + target
		}
		if !info.IsDir() {
			says += info.ModTime().UTC().Format(" " + time.RFC3339Nano)
		}
		all[name[len(r.dir):]] = says
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

func newSSHKey(t *testing.T) (signer ssh.Signer, line string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if signer, err = ssh.NewSignerFromKey(private); err != nil {
		t.Fatal(err)
	}
	return signer, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// served is the SSH server of a copy of a root, which logins change.
type served struct {
	*patient
	address string
}

// serve starts the sshd of a copy of the root.
func (r *patient) serve() *served {
	r.t.Helper()
	copied := filepath.Join(reachable(r.t), "root")
	if out, err := exec.CommandContext(r.t.Context(), "cp", "-a", "--reflink=auto", r.dir, copied).CombinedOutput(); err != nil {
		r.t.Fatalf("%v\n%s", err, out)
	}
	return r.start(copied)
}

// start starts a root's own sshd on a port of loopback, until the test ends.
func (r *patient) start(root string) *served {
	r.t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	s := &served{r, free.Addr().String()}
	_, port, _ := net.SplitHostPort(s.address)
	if err := free.Close(); err != nil {
		r.t.Fatal(err)
	}
	c := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c",
		`mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"; exec chroot "$0" /usr/sbin/sshd -D -e -p "$1" -o ListenAddress=127.0.0.1`, root, port)
	var said bytes.Buffer
	c.Stderr = &said
	if err := c.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if r.t.Failed() {
			r.t.Logf("sshd: %s", said.Bytes())
		}
	})
	for range 100 {
		if conn, err := net.Dial("tcp", s.address); err == nil {
			_ = conn.Close()
			return s
		}
		time.Sleep(50 * time.Millisecond) // another program's start
	}
	r.t.Fatal("sshd does not listen")
	return nil
}

func (s *served) dial(user string, by ssh.AuthMethod) (*ssh.Client, error) {
	return ssh.Dial("tcp", s.address, &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{by}, HostKeyCallback: s.known, Timeout: 20 * time.Second})
}

// known takes the key that lies in the root, and no other.
func (s *served) known(_ string, _ net.Addr, key ssh.PublicKey) error {
	files, err := filepath.Glob(filepath.Join(s.dir, "etc/ssh/ssh_host_*_key.pub"))
	for _, file := range files {
		text, readErr := os.ReadFile(file)
		if readErr != nil {
			return readErr
		}
		if own, _, _, _, parseErr := ssh.ParseAuthorizedKey(text); parseErr == nil && bytes.Equal(own.Marshal(), key.Marshal()) {
			return nil
		}
	}
	return fmt.Errorf("not the key of this root: %w", err)
}

// comesIn holds whether an account gets a shell by something.
func (s *served) comesIn(user string, by ssh.AuthMethod, want bool) {
	s.t.Helper()
	c, err := s.dial(user, by)
	if err != nil {
		// What PAM refuses is hung up on.
		if want || !strings.Contains(err.Error(), "unable to authenticate") && !strings.HasSuffix(err.Error(), "handshake failed: EOF") {
			s.t.Errorf("%s by %T: %v", user, by, err)
		}
		return
	}
	defer func() { _ = c.Close() }()
	var out []byte
	session, err := c.NewSession()
	if err == nil {
		out, err = session.Output("id -un")
	}
	if in := err == nil && strings.TrimSpace(string(out)) == user; in != want {
		s.t.Errorf("%s has a shell by %T: %v, want %v: %q %v", user, by, in, want, out, err)
	}
}

// run runs a command in a login shell of an account that comes in by key, and returns what it says.
func (s *served) run(user, input, command string) string {
	s.t.Helper()
	c, err := s.dial(user, ssh.PublicKeys(s.key))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	session, err := c.NewSession()
	if err != nil {
		s.t.Fatal(err)
	}
	session.Stdin = strings.NewReader(input)
	var out bytes.Buffer
	session.Stdout, session.Stderr = &out, io.Discard
	_ = session.Run("bash -lc " + strconv.Quote(command)) // how it ended is in what it says
	return strings.TrimSpace(out.String())
}
