package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	"golang.org/x/crypto/bcrypt"

	"gatehouse/internal/finding"
)

// TestLiveDebianRoots audits a real Debian (lab/root): as the installer leaves it, as the
// advice of the audit makes it, and spoiled by one mistake after another. The release of
// Home Assistant that tests/live/run names in GATEHOUSE_LIVE_VERSION says which: with its
// http settings in .storage on trixie, and in YAML, as before 2026.8, on bookworm.
func TestLiveDebianRoots(t *testing.T) {
	release := os.Getenv("GATEHOUSE_LIVE_VERSION")
	if release == "" {
		return
	}
	if os.Geteuid() != 0 {
		t.Fatal("Debian roots want root: run tests/live/run as root")
	}
	binary := filepath.Join(reachable(t), "gatehouse")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	suite := "trixie"
	if r := (&debianRoot{release: release}); r.homeRelease() != release {
		suite = "bookworm"
	}
	r := &debianRoot{t: t, binary: binary, release: release, dir: filepath.Join(reachable(t), "root")}
	r.lab("copy", suite, r.dir)
	r.plain()
	r.harden()
	r.hardened()
	r.asNobody(nil)
	r.asNobody(r.spoil())
}

// debianRoot is a copy of one, and what is done to it.
type debianRoot struct {
	t                    *testing.T
	dir, binary, release string
	bytes                bool // digest reads contents, too
}

func (r *debianRoot) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *debianRoot) lab(args ...string) {
	r.t.Helper()
	if out, err := exec.CommandContext(r.t.Context(), "bash", append([]string{"../../lab/root"}, args...)...).CombinedOutput(); err != nil {
		r.t.Fatalf("lab/root %s: %v\n%s", args[0], err, out)
	}
}

// sh runs a script in the root.
func (r *debianRoot) sh(script string) {
	r.t.Helper()
	r.lab("in", r.dir, "sh", "-ec", script)
}

// debianAudit is what one run has said.
type debianAudit struct {
	status int
	checks map[string]finding.Finding
}

func (r *debianRoot) audit(asUser uint32, flags ...string) debianAudit {
	r.t.Helper()
	c := exec.CommandContext(r.t.Context(), r.binary, append([]string{"audit", "--root", r.dir, "--format", "json", "--fail-on", "high"}, flags...)...)
	c.Dir = filepath.Dir(r.binary)
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GATEHOUSE_CONFIG="}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: asUser, Gid: asUser}}
	var errOut bytes.Buffer
	c.Stderr = &errOut
	out, err := c.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	var doc struct {
		Checks []finding.Finding `json:"checks"`
		Here   finding.Finding   `json:"here"` // of --explain
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		r.t.Fatalf("%v\n%s", err, errOut.Bytes())
	}
	a := debianAudit{status: c.ProcessState.ExitCode(), checks: map[string]finding.Finding{}}
	for _, f := range append(doc.Checks, doc.Here) {
		a.checks[f.ID] = f
	}
	return a
}

// only holds which checks have a result, of those that are as bad as high.
func (r *debianRoot) only(a debianAudit, result finding.Result, want ...string) {
	r.t.Helper()
	for _, f := range a.checks {
		if f.Result == result && f.Severity.AtLeast(finding.High) && !slices.Contains(want, f.ID) {
			r.t.Errorf("%s is %s: %v %s", f.ID, f.Result, f.Evidence, f.Why)
		}
	}
	for _, id := range want {
		if got := a.checks[id].Result; got != result {
			r.t.Errorf("%s is %s, want %s", id, got, result)
		}
	}
}

// takesMore are the checks as bad as high that files alone cannot answer.
func (r *debianRoot) takesMore() []string {
	return []string{"inet.ipv6-global", "inet.portforward", "inet.upnp", "kern.running-latest", "net.listeners", "svc.admin-uis"}
}

// unchanged audits and holds that nothing below the root is another thing afterwards: no
// byte, mode, owner or time.
func (r *debianRoot) unchanged(asUser uint32) debianAudit {
	r.t.Helper()
	before := r.digest()
	a := r.audit(asUser)
	if r.digest() != before {
		r.t.Error("the audit has changed the root")
	}
	return a
}

// digest is the sum of all that is there. Who writes to a file also sets a time of it
// (ctime) that nobody can set back, so that the contents need not be read again and again.
func (r *debianRoot) digest() string {
	r.t.Helper()
	sum := sha256.New()
	r.must(filepath.WalkDir(r.dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		s := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(sum, "%s\x00%o %d %d %d %v %v %d\n", name, s.Mode, s.Uid, s.Gid, s.Size, s.Mtim, s.Ctim, s.Rdev)
		switch {
		case e.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(name)
			fmt.Fprintln(sum, to)
			return err
		case !e.Type().IsRegular() || !r.bytes:
			return nil
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(sum, f)
		return err
	}))
	return hex.EncodeToString(sum.Sum(nil))
}

// plain is what Debian's own installation is like: everything of weight is asked and
// judged, nothing is changed, and what fails is what Debian leaves to its owner.
func (r *debianRoot) plain() {
	r.bytes = true
	a := r.unchanged(0)
	r.bytes = false
	weighty := 0
	for _, f := range a.checks {
		if f.Severity.AtLeast(finding.High) {
			weighty++
		}
	}
	if weighty < 142 {
		r.t.Errorf("%d checks are critical or high, want 142", weighty)
	}
	if a.status != statusNo {
		r.t.Errorf("status %d", a.status)
	}
	r.only(a, finding.Fail, "acct.sudo-user-exists", "fs.backup-recent", "inet.ssh-wan", "net.firewall-present", "pam.nullok", "ssh.password-auth")
	r.only(a, finding.Unknown, append(r.takesMore(), "upd.cve")...)
}

// harden lays down testdata/roots/hardened.txt, and does in the root what its owner would.
func (r *debianRoot) harden() {
	r.t.Helper()
	r.sh(`
useradd --create-home --shell /bin/bash --groups sudo olga
echo 'olga:many warm evenings by the stove' | chpasswd
useradd --system --home-dir /var/lib/homeassistant --shell /usr/sbin/nologin homeassistant
chmod 700 ~olga
install -d -m 700 -o olga -g olga ~olga/.ssh
ssh-keygen -q -t ed25519 -N '' -f ~root/key
install -m 600 -o olga -g olga ~root/key.pub ~olga/.ssh/authorized_keys
rm ~root/key ~root/key.pub
install -d -m 755 /mnt/backup
`)
	text, err := os.ReadFile("testdata/roots/hardened.txt")
	r.must(err)
	hash, err := bcrypt.GenerateFromPassword([]byte("correct horse battery"), 12)
	r.must(err)
	values := strings.NewReplacer("@yesterday", time.Now().Add(-24*time.Hour).UTC().Format(time.RFC3339), "@release", r.homeRelease(),
		"@bcrypt", base64.StdEncoding.EncodeToString(hash))
	for _, part := range strings.Split("\n"+values.Replace(string(text)), "\n-- ")[1:] {
		header, body, _ := strings.Cut(part+"\n", " --\n")
		words := strings.Fields(header)
		name := filepath.Join(r.dir, words[0])
		mode, err := strconv.ParseUint(words[len(words)-1], 8, 32)
		r.must(err)
		r.must(os.MkdirAll(filepath.Dir(name), 0o755))
		if words[1] == "dir" {
			r.must(os.Mkdir(name, fs.FileMode(mode)))
		} else {
			r.must(os.WriteFile(name, []byte(body), 0o600))
		}
		r.must(os.Chmod(name, fs.FileMode(mode)))
	}
	r.homeSettings()
	r.sh(`
chown -R homeassistant: /var/lib/homeassistant
sed -i 's/ nullok//' /usr/share/pam-configs/unix
pam-auth-update --package
rm /etc/nginx/sites-enabled/default; ln -s ../sites-available/home /etc/nginx/sites-enabled/home
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=home.example.org -addext subjectAltName=DNS:home.example.org \
  -keyout /etc/ssl/private/home.key -out /etc/ssl/certs/home.pem 2>/dev/null
chmod 600 /etc/ssl/private/home.key
mosquitto_passwd -b -c /etc/mosquitto/passwd homeassistant 'a broker far away'
chown mosquitto: /etc/mosquitto/passwd; chmod 600 /etc/mosquitto/passwd
systemctl enable nftables.service homeassistant.service
systemctl mask ctrl-alt-del.target
chmod 600 /etc/crontab; chmod 700 /etc/cron.*
touch /etc/cron.allow; chmod 600 /etc/cron.allow
awk '$5 >= 3071' /etc/ssh/moduli >/etc/ssh/moduli.long; cat /etc/ssh/moduli.long >/etc/ssh/moduli; rm /etc/ssh/moduli.long
mkdir -p /run/sshd; sshd -t
visudo -c -q
nginx -t -q
rm -f /run/nginx.pid
`)
}

// homeRelease is the release of Home Assistant whose holes are closed and whose settings
// stand where this run's release has them: before 2026.8 in YAML.
func (r *debianRoot) homeRelease() string {
	if strings.HasPrefix(r.release, "2026.2.") {
		return "2026.7.4"
	}
	return r.release
}

func (r *debianRoot) homeSettings() {
	r.t.Helper()
	home := filepath.Join(r.dir, "var/lib/homeassistant")
	r.must(os.WriteFile(filepath.Join(home, ".HA_VERSION"), []byte(r.homeRelease()), 0o600))
	if r.homeRelease() == r.release {
		r.must(os.WriteFile(filepath.Join(home, ".storage/http"), []byte(`{"version": 2, "minor_version": 1, "key": "http", "data": {"pending": null, "yaml_migration_done": true, "stable": {
  "server_port": 8123, "server_host": ["127.0.0.1"], "use_x_forwarded_for": true, "trusted_proxies": ["127.0.0.1/32"],
  "cors_allowed_origins": ["https://cast.home-assistant.io"], "login_attempts_threshold": 5, "ip_ban_enabled": true, "ssl_profile": "modern",
  "use_x_frame_options": true, "created_at": "2026-01-01T00:00:00+00:00", "error": null, "error_message": null}}}
`), 0o600))
		return
	}
	f, err := os.OpenFile(filepath.Join(home, "configuration.yaml"), os.O_APPEND|os.O_WRONLY, 0)
	r.must(err)
	_, err = f.WriteString("http:\n  server_host: 127.0.0.1\n  use_x_forwarded_for: true\n  trusted_proxies: [127.0.0.1]\n  ip_ban_enabled: true\n  login_attempts_threshold: 5\n")
	r.must(err)
	r.must(f.Close())
}

// hardened: nothing that is as bad as high fails, and nothing of it is left unjudged.
func (r *debianRoot) hardened() {
	r.t.Helper()
	a := r.unchanged(0)
	if a.status != statusDone {
		r.t.Errorf("a hardened root: status %d", a.status)
	}
	r.only(a, finding.Fail)
	r.only(a, finding.Unknown, r.takesMore()...)
}

// asNobody: who may not read everything is told so. Nothing is good, or not there, that
// root finds otherwise.
func (r *debianRoot) asNobody(spoiled []mistake) {
	r.t.Helper()
	root, nobody := r.audit(0), r.unchanged(nobody)
	closed := 0
	for id, f := range nobody.checks {
		switch was := root.checks[id]; {
		case f.Result == finding.Unknown && f.Why == "":
			r.t.Errorf("%s is unknown to nobody, and it is not said why", id)
		case f.Result == finding.Unknown && was.Result != finding.Unknown:
			closed++
		case f.Result != was.Result:
			r.t.Errorf("%s is %s to root and %s to nobody: %v", id, was.Result, f.Result, f.Evidence)
		}
	}
	for _, m := range spoiled {
		if f := nobody.checks[m.id]; m.undo == "" && f.Result != finding.Fail && f.Result != finding.Unknown {
			r.t.Errorf("%s is spoiled, and %s to nobody", m.id, f.Result)
		}
	}
	if closed == 0 || nobody.status == statusDone {
		r.t.Errorf("%d checks are unknown to nobody, and the status is %d", closed, nobody.status)
	}
}

// mistake is what somebody does to a root, as a script, and the check that says so.
type mistake struct {
	id, do string
	undo   string // where what follows would not be seen
}

// mistakes are in an order in which each is seen beside those before it.
func mistakes() []mistake {
	const site = "/etc/nginx/sites-available/home"
	const sshd, ha, storage = "/etc/ssh/sshd_config.d/00-", "/var/lib/homeassistant/", "/var/lib/homeassistant/.storage/"
	// The http settings, by an expression of sed's: in JSON since 2026.8, in YAML before.
	http := func(json, yaml string) string {
		return fmt.Sprintf("if [ -e %[1]shttp ]; then sed -i '%[2]s' %[1]shttp; else sed -i '%[3]s' %[4]sconfiguration.yaml; fi", storage, json, yaml, ha)
	}
	return []mistake{
		// The way in.
		{"ssh.config-valid", "echo 'PermitRootLogin perhaps' >" + sshd + "wrong.conf", "rm " + sshd + "wrong.conf"},
		{"ssh.root-login", "echo PermitRootLogin yes >" + sshd + "hoster.conf", ""},
		{"ssh.password-auth", "echo PasswordAuthentication yes >" + sshd + "cloud.conf", ""},
		{"ssh.empty-passwords", "echo PermitEmptyPasswords yes >" + sshd + "empty.conf", ""},
		{"ssh.kbd-interactive", "echo KbdInteractiveAuthentication yes >" + sshd + "asks.conf", ""},
		{"ssh.strict-modes", "echo StrictModes no >" + sshd + "modes.conf", ""},
		{"ssh.hostbased", "echo HostbasedAuthentication yes >" + sshd + "hosts.conf", ""},
		{"ssh.user-env", "echo PermitUserEnvironment yes >" + sshd + "env.conf", ""},
		{"ssh.gateway-ports", "echo GatewayPorts yes >" + sshd + "ports.conf", ""},
		{"ssh.pubkey", "echo PubkeyAuthentication no >" + sshd + "keys.conf", "rm " + sshd + "keys.conf"},
		{"ssh.ciphers", "echo Ciphers +3des-cbc >" + sshd + "ciphers.conf", ""},
		{"ssh.kex", "echo KexAlgorithms +diffie-hellman-group1-sha1 >" + sshd + "kex.conf", ""},
		{"ssh.hostkey-algs", "echo HostKeyAlgorithms +ssh-rsa >" + sshd + "sha1.conf", ""},
		{"ssh.hostkey-perms", "chmod 644 /etc/ssh/ssh_host_ed25519_key", ""},
		{"fs.world-writable", "touch /etc/default/home; chmod 666 /etc/default/home", ""},
		{"ssh.config-perms", "chmod 666 /etc/ssh/sshd_config.d/10-home.conf", ""},
		{"ssh.authkeys", "chmod 666 ~olga/.ssh/authorized_keys", ""},
		{"ssh.authkeys-root", "mkdir -p ~root/.ssh; cp ~olga/.ssh/authorized_keys ~root/.ssh/", ""},
		{"ssh.private-keys", "ssh-keygen -q -t ed25519 -N '' -f ~olga/.ssh/id_ed25519; chmod 644 ~olga/.ssh/id_ed25519", ""},
		// People.
		{"acct.empty-password", "useradd -m -s /bin/bash guest; passwd -q -d guest", ""},
		{"acct.dup-uid", "useradd -o -u $(id -u guest) -M twin", ""},
		{"acct.uid0-only-root", "useradd -o -u 0 -g 0 -M toor", ""},
		{"acct.hash-strength", "useradd -m -s /bin/bash ivo; usermod -p '$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/' ivo", ""},
		{"acct.shadow-group-empty", "gpasswd -a ivo shadow", ""},
		{"acct.shadowed", "useradd -m -s /bin/bash old; sed -i 's,^old:x:,old:$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/:,' /etc/passwd", ""},
		{"acct.dotfiles", "chmod 666 ~olga/.bashrc", ""},
		{"acct.root-path", "echo 'PATH=.:/usr/sbin:/usr/bin:/sbin:/bin' >>~root/.bashrc", ""},
		{"sudo.nopasswd", "echo 'olga ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/olga; chmod 440 /etc/sudoers.d/olga", "rm /etc/sudoers.d/olga"},
		{"sudo.ha-user", "echo 'homeassistant ALL=(root) NOPASSWD: /usr/bin/systemctl' >/etc/sudoers.d/zz-ha; chmod 440 /etc/sudoers.d/zz-ha", ""},
		{"acct.sudo-user-exists", "passwd -q -l olga; gpasswd -d olga sudo", ""},
		{"sudo.perms", "chmod 666 /etc/sudoers.d/zz-ha", ""},
		{"pam.nullok", "sed -i 's/pam_unix.so/& nullok/' /etc/pam.d/common-auth", ""},
		{"pam.faillock", "pam-auth-update --package --remove faillock faillock_notify", ""},
		// The network and the kernel.
		{"net.firewall-v6", "cp -p /etc/nftables.conf ~root; sed -i 's/table inet/table ip/; /icmpv6/d; /ip6/d' /etc/nftables.conf", "mv ~root/nftables.conf /etc/nftables.conf"},
		{"inet.ssh-wan", "cp -p /etc/nftables.conf ~root; sed -i 's/ip saddr .* tcp dport 22/tcp dport 22/' /etc/nftables.conf", "mv ~root/nftables.conf /etc/nftables.conf"},
		{"net.firewall-present", "sed -i 's/input priority filter; policy drop/input priority filter; policy accept/' /etc/nftables.conf", ""},
		{"kern.aslr", "echo kernel.randomize_va_space=0 >/etc/sysctl.d/99-z1.conf", ""},
		{"kern.redirects", "printf 'net.ipv4.conf.%s.accept_redirects=1\\n' all default >/etc/sysctl.d/99-z3.conf", ""},
		{"kern.forwarding", "echo net.ipv4.ip_forward=1 >/etc/sysctl.d/99-z2.conf", ""},
		{"kern.source-route", "printf 'net.ipv4.conf.%s.accept_source_route=1\n' all default >/etc/sysctl.d/99-z4.conf", ""},
		{"kern.syncookies", "echo net.ipv4.tcp_syncookies=0 >/etc/sysctl.d/99-z5.conf", ""},
		{"kern.rp-filter", "printf 'net.ipv4.conf.%s.rp_filter=0\n' all default >/etc/sysctl.d/99-z6.conf", ""},
		{"kern.ptrace", "echo kernel.yama.ptrace_scope=0 >/etc/sysctl.d/99-z7.conf", ""},
		{"kern.links", "echo fs.protected_symlinks=0 >/etc/sysctl.d/99-z8.conf", ""},
		// What stands in front of Home Assistant, and beside it.
		{"px.xff-single", "sed -i 's/X-Forwarded-For .*;/X-Forwarded-For $http_x_forwarded_for;/' " + site, ""},
		{"px.nginx-alias", `sed -i 's,^	location / {,	location /media {\n		alias /srv/media/;\n	}\n&,' ` + site, ""},
		{"tls.key-perms", "chmod 644 /etc/ssl/private/home.key", ""},
		{"svc.mosquitto", "sed -i 's/^allow_anonymous.*/allow_anonymous true/' /etc/mosquitto/conf.d/home.conf", ""},
		{"tor.socks", "echo SocksPort 0.0.0.0:9050 >>/etc/tor/torrc", ""},
		{"tor.control", "printf 'ControlPort 9051\\nCookieAuthentication 0\\n' >>/etc/tor/torrc", ""},
		{"tor.no-relay", "echo ORPort 9001 >>/etc/tor/torrc", ""},
		// What runs, and what keeps it up to date.
		{"svc.legacy", `printf '[Service]\nExecStart=/usr/sbin/in.telnetd -debug 23\n[Install]\nWantedBy=multi-user.target\n' >/etc/systemd/system/remote.service; systemctl enable remote.service`, ""},
		{"svc.unit-writable", "chmod 666 /etc/systemd/system/remote.service", ""},
		{"cron.targets", "echo '* * * * * root /usr/local/bin/clean' >/etc/cron.d/clean; touch /usr/local/bin/clean; chmod 777 /usr/local/bin/clean", ""},
		{"upd.unattended", "echo 'APT::Periodic::Unattended-Upgrade \"0\";' >/etc/apt/apt.conf.d/99off", ""},
		{"upd.cve", "sed -i '/^Package: sudo$/,/^$/s/^Version: .*/Version: 1.9.5p2-3/' /var/lib/dpkg/status", ""},
		{"upd.sources", "echo 'deb [trusted=yes] http://packages.example.org/debian ./' >/etc/apt/sources.list.d/more.list", ""},
		// Files.
		{"fs.suid-list", "cp /bin/dash /usr/local/bin/asroot; chmod 4755 /usr/local/bin/asroot", ""},
		{"fs.file-caps", "cp /bin/dash /usr/local/bin/asother; setcap cap_setuid+ep /usr/local/bin/asother", ""},
		{"fs.passwd-perms", "chmod 644 /etc/shadow", ""},
		{"fs.sticky-tmp", "chmod 0777 /tmp", ""},
		{"fs.backup-recent", `sed -i 's/completed_automatic_backup": "20/completed_automatic_backup": "19/' ` + storage + "backup", ""},
		// Home Assistant: how it runs, who comes in, what lies open.
		{"ha.not-root", "sed -i '/^User=/d' /etc/systemd/system/homeassistant.service", ""},
		{"ha.unit-nnp", "sed -i '/^NoNewPrivileges=/d' /etc/systemd/system/homeassistant.service", ""},
		{"ha.unit-fs", "mkdir /etc/systemd/system/homeassistant.service.d; printf '[Service]\nProtectSystem=no\n' >/etc/systemd/system/homeassistant.service.d/w.conf", ""},
		{"hahttp.bind", http(`s/"server_host": ."127.0.0.1"./"server_host": ["0.0.0.0"]/`, "s/server_host: .*/server_host: 0.0.0.0/"), ""},
		{"hahttp.trusted-proxies", http(`s,"127.0.0.1/32","0.0.0.0/0",`, "s,trusted_proxies: .*,trusted_proxies: [0.0.0.0/0],"), ""},
		{"hahttp.ban", http(`s/"login_attempts_threshold": 5/"login_attempts_threshold": -1/`, "/login_attempts_threshold/d"), ""},
		{"hahttp.cors", http(`s,"https://cast.home-assistant.io","*",`, `s/^http:/&\n  cors_allowed_origins: ["*"]/`), ""},
		{"hahttp.urls", "sed -i 's,https://home.example.org,http://home.example.org:8123,' " + storage + "core.config", ""},
		{"haauth.mfa-admin", "rm " + storage + "auth_module.totp", ""},
		{"haauth.onboarded", `sed -i 's/, "integration"//' ` + storage + "onboarding", ""},
		{"haauth.exposed-entities", `sed -i 's/"entities": \[\]/"entities": [{"entity_id": "lock.door", "options": {"conversation": {"should_expose": true}}}]/' ` + storage + "core.entity_registry", ""},
		{"hasec.secrets-perms", "chmod 755 " + ha + "; chmod 644 " + ha + "secrets.yaml", ""},
		{"haauth.store-perms", "chmod 755 " + storage + "; chmod 644 " + storage + "auth", ""},
		{"hasec.config-writable", "chmod 666 " + ha + "automations.yaml", ""},
		{"hasec.literals", "printf '  password: Zq8mW2xT9pLrV4\n' >>" + ha + "rest_command.yaml", ""},
		{"hasec.www", "cp " + ha + "secrets.yaml " + ha + "www/", ""},
		{"hasec.allowlist", `sed -i 's,^  name: Home,&\n  allowlist_external_dirs: [/],' ` + ha + "configuration.yaml", ""},
		{"hasec.shell-command", `sed -i 's,^frontend:,&\nshell_command: {say: "echo {{ text }} | sh"},' ` + ha + "configuration.yaml", ""},
		{"hasec.custom-components", "mkdir -p " + ha + `custom_components/nameless; echo '{"domain": "nameless"}' >` + ha + "custom_components/nameless/manifest.json", ""},
		{"hasec.backups", `sed -i 's/"password": "[^"]*"/"password": null/' ` + storage + "backup", ""},
		{"haexp.webhook-local", `printf -- '- triggers:\n    - trigger: webhook\n      webhook_id: doorbell\n      local_only: false\n  actions: []\n' >` + ha + "automations.yaml", ""},
		{"haver.core", "cp -p " + ha + ".HA_VERSION ~root; echo 2026.2.3 >" + ha + ".HA_VERSION", "mv ~root/.HA_VERSION " + ha},
	}
}

// spoil makes one mistake after another: the check that is named was content right before,
// and is not right after. In the end they are all seen at once.
func (r *debianRoot) spoil() []mistake {
	r.t.Helper()
	all := mistakes()
	for _, m := range all {
		if before := r.explain(m.id); before.Result != finding.Pass {
			r.t.Errorf("%s is %s before the mistake: %v %v %s", m.id, before.Result, before.Effective, before.Evidence, before.Why)
		}
		r.sh(m.do)
		if after := r.explain(m.id); after.Result != finding.Fail {
			r.t.Errorf("%s is %s after the mistake: %v %v %s", m.id, after.Result, after.Effective, after.Evidence, after.Why)
		}
		if m.undo != "" {
			r.sh(m.undo)
		}
	}
	a := r.unchanged(0)
	if a.status != statusNo {
		r.t.Errorf("a spoiled root: status %d", a.status)
	}
	for _, m := range all {
		if f := a.checks[m.id]; m.undo == "" && f.Result != finding.Fail {
			r.t.Errorf("%s is %s in the end: %v %v %s", m.id, f.Result, f.Effective, f.Evidence, f.Why)
		}
	}
	return all
}

// explain asks one check.
func (r *debianRoot) explain(id string) finding.Finding {
	r.t.Helper()
	f, ok := r.audit(0, "--explain", id).checks[id]
	if !ok {
		r.t.Fatalf("%s is not explained", id)
	}
	return f
}
