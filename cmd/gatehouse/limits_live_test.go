package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestLiveUnderLimits has gatehouse give Home Assistant an account of its own and its unit
// limits, and starts a real one as that account under them, as far as that goes without
// systemd: its rights, what it may write, its umask. It answers, and writes nowhere else; and
// undone, the root is what it was. What systemd itself makes of the unit is held by
// TestUnitIsLittleExposed.
func TestLiveUnderLimits(t *testing.T) {
	release := os.Getenv("GATEHOUSE_LIVE_VERSION")
	if release == "" {
		return
	}
	if os.Geteuid() != 0 {
		t.Fatal("another account and mounts want root: run tests/live/run as root")
	}
	lab := os.Getenv("HA_LAB")
	if lab == "" {
		lab = filepath.Join(os.Getenv("HOME"), ".cache", "gatehouse-lab")
	}
	venv := filepath.Join(lab, "ha-"+release)
	python, err := os.ReadFile(filepath.Join(venv, "root"))
	if err != nil {
		t.Fatalf("%v: lab/ha build %s makes it", err, release)
	}
	binary, err := filepath.Abs("../../bin/gatehouse")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	http8 := fmt.Sprintf(`{"version": 2, "minor_version": 1, "key": "http", "data": {"pending": null, "yaml_migration_done": true, "stable": {"server_port": %d, "server_host": ["127.0.0.1"], "use_x_forwarded_for": false, "trusted_proxies": [], "cors_allowed_origins": [], "login_attempts_threshold": 10, "ip_ban_enabled": true, "ssl_profile": "modern", "use_x_frame_options": true, "created_at": "2026-01-01T00:00:00+00:00", "error": null, "error_message": null}}}`, port)
	files := map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/bash\n", "etc/group": "root:x:0:\n", "etc/shadow": "root:*:20000:0:99999:7:::\n",
		"etc/systemd/system/ha.service":               "[Service]\nExecStart=/srv/ha/bin/hass -c /srv/config --skip-pip\n",
		"srv/config/.HA_VERSION":                      release + "\n",
		"srv/config/configuration.yaml":               "frontend:\napi:\nconfig:\n",
		"srv/config/.storage/core.config_entries":     `{"version":1,"minor_version":1,"key":"core.config_entries","data":{"entries":[]}}`,
		"srv/config/custom_components/x/nothing.yaml": "",
	}
	if strings.Contains(release, "2026.2") {
		files["srv/config/configuration.yaml"] += fmt.Sprintf("http: {server_port: %d, server_host: 127.0.0.1}\n", port)
	} else {
		files["srv/config/.storage/http"] = http8
	}
	for name, text := range files {
		full := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	state := t.TempDir()
	gatehouse := func(args ...string) {
		t.Helper()
		c := exec.CommandContext(t.Context(), binary, args...)
		c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + state, "XDG_STATE_HOME=" + state}
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("gatehouse %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	was := limitedTree(t, root)
	gatehouse("fix", "ha.not-root", "ha.unit-nnp", "ha.unit-fs", "ha.unit-kernel", "ha.unit-syscalls", "ha.restart", "--root", root, "--ha", "/srv/config", "--yes")
	before := limitedTree(t, root)
	dropIn, err := os.ReadFile(filepath.Join(root, "etc/systemd/system/ha.service.d/60-gatehouse.conf"))
	if err != nil {
		t.Fatal(err)
	}
	said := func(key string) string {
		all := regexp.MustCompile(`(?m)^`+key+`=(.*)$`).FindAllStringSubmatch(string(dropIn), -1)
		if len(all) == 0 {
			t.Fatalf("the drop-in does not set %s:\n%s", key, dropIn)
		}
		return all[len(all)-1][1]
	}
	passwd, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil {
		t.Fatal(err)
	}
	account := regexp.MustCompile(`(?m)^` + said("User") + `:x:([0-9]+):([0-9]+):`).FindStringSubmatch(string(passwd))
	if account == nil || said("NoNewPrivileges") != "yes" || said("ProtectSystem") != "strict" || said("CapabilityBoundingSet") != "" || said("ReadWritePaths") != "/srv/config" {
		t.Fatalf("the account is %q, the limits are\n%s", account, dropIn)
	}

	// The house as it runs: its own configuration, which is undone below, stays what it is.
	work := filepath.Join(t.TempDir(), "house")
	script := `
set -e; debian=$1 venv=$2 config=$3 uid=$4 gid=$5 mask=$6 house=$7
mkdir "$house"; mount --bind "$debian" "$house"; mount -o remount,bind,ro "$house"
mount -t proc proc "$house/proc"; mount --rbind /dev "$house/dev"
mount -t tmpfs -o mode=755 house "$house/srv"; mkdir "$house/srv/ha" "$house/srv/config"
mount --bind "$venv" "$house/srv/ha"; mount -o remount,bind,ro "$house/srv/ha"
mount -t tmpfs -o mode=1777 house "$house/tmp"
mount --bind "$config" "$house/srv/config"; mount -o remount,ro "$house/srv"
umask "$mask"; cd /
exec chroot "$house" setpriv --reuid "$uid" --regid "$gid" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all -- /bin/sh -c '
  for d in / /etc /usr /var /srv /srv/ha /srv/ha/bin /root /boot; do if (: >$d/written) 2>/dev/null; then echo "wrote to $d"; fi; done
  : >/tmp/written && : >/srv/config/written && grep -E "^(Uid|CapEff|CapBnd|NoNewPrivs)" /proc/self/status
  exec env -i PATH=/usr/bin:/bin HOME=/srv/config /srv/ha/bin/python -m homeassistant -c /srv/config --skip-pip'`
	copied := filepath.Join(t.TempDir(), "config")
	if out, err := exec.Command("cp", "-a", filepath.Join(root, "srv/config"), copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for dir := copied; dir != "/"; dir = filepath.Dir(dir) { // to be entered by somebody else
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&1 == 0 && dir != copied {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	ctx := t.Context()
	c := exec.CommandContext(ctx, "unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", script, "-", strings.TrimSpace(string(python)), venv, copied, account[1], account[2], said("UMask"), work)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	stop := func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		<-ended
	}
	client := &http.Client{Timeout: 5 * time.Second}
	status := 0
	for deadline := time.Now().Add(3 * time.Minute); status != http.StatusOK && time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v\n%s", err, out.String())
		default:
		}
		if res, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/manifest.json", port)); err == nil {
			status = res.StatusCode
			res.Body.Close()
		}
	}
	var kept []string // what Home Assistant itself wrote
	for deadline := time.Now().Add(30 * time.Second); len(kept) == 0 && time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if kept, err = filepath.Glob(filepath.Join(copied, "home-assistant.log*")); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	log := out.String()
	if status != http.StatusOK {
		t.Fatalf("it does not answer:\n%s", log)
	}
	if strings.Contains(log, "wrote to") || strings.Contains(log, "PermissionError") || strings.Contains(log, "Read-only file system") {
		t.Errorf("it says\n%s", log)
	}
	for _, want := range []string{"Uid:\t" + account[1] + "\t" + account[1], "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"} {
		if !strings.Contains(log, want) {
			t.Errorf("it runs without %q:\n%s", want, log)
		}
	}
	if len(kept) == 0 {
		t.Errorf("it keeps no log:\n%s", log)
	}
	for _, name := range kept {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if owner := fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid); owner != account[1] || info.Mode().Perm()&0o007 != 0 {
			t.Errorf("%s has mode %v and belongs to %s", name, info.Mode(), owner)
		}
	}
	if diff := cmp.Diff(before, limitedTree(t, root)); diff != "" {
		t.Errorf("the root changed while it ran: %s", diff)
	}
	gatehouse("undo", "--root", root, "--yes")
	if diff := cmp.Diff(was, limitedTree(t, root)); diff != "" {
		t.Errorf("undone, the root is not what it was: %s", diff)
	}
}

// limitedTree says of everything below a root what it is, whose, and what is in it.
func limitedTree(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.Walk(root, func(name string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		s := info.Sys().(*syscall.Stat_t)
		all[name] = fmt.Sprintf("%v %d:%d", info.Mode(), s.Uid, s.Gid)
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(name)
			all[name] += " " + string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
