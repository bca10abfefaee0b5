package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/agent"
	"gatehouse/internal/config"
	"gatehouse/internal/ha/hatest"
	"gatehouse/internal/ledger"
)

// nobody is the other user in these tests. Run by root they give directories to it;
// run by anybody else the directories stay the tester's own, and what is shown is that
// nothing changes for who has no rights to lay down.
const nobody = 65534

// another makes a file or directory another user's, where we may, and says whose it is.
func another(t *testing.T, names ...string) (uid int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Log("not run by root: the other user is this one")
		return os.Geteuid()
	}
	for _, name := range names {
		if err := os.Lchown(name, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	return nobody
}

// reachable is a folder for a test that other users can go through.
func reachable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// anothersHouse makes a configuration and an empty state directory of another user.
func anothersHouse(t *testing.T, more string) (dir, file string, uid int) {
	t.Helper()
	dir = reachable(t)
	file = filepath.Join(dir, "gatehouse.toml")
	if !strings.Contains(more, "[doors") {
		more += "[doors.https]\nlisten = \"127.0.0.1:8444\"\n"
	}
	text := fmt.Sprintf("[home]\nname = \"house.test\"\n[state]\ndir = %q\nsocket = %q\n%s", filepath.Join(dir, "state"), filepath.Join(dir, "run", "control.sock"), more)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir, file, another(t, filepath.Join(dir, "state"))
}

// program is this program as it is run from a shell.
func program(t *testing.T, args ...string) *exec.Cmd {
	c := exec.CommandContext(t.Context(), os.Args[0], args...)
	c.Args[0] = "gatehouse"
	c.Env = append(os.Environ(), "NO_COLOR=1", "GATEHOUSE_CONFIG=")
	return c
}

func owner(t *testing.T, name string) int {
	t.Helper()
	info, err := os.Lstat(name)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

// A verb that root runs on the service's state makes everything as the service's user,
// so that the service can go on with it.
func TestVerbActsAsOwner(t *testing.T) {
	dir, file, uid := anothersHouse(t, "")
	events := filepath.Join(dir, "log")
	if err := os.Mkdir(events, 0o755); err != nil {
		t.Fatal(err)
	}
	another(t, events)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = fmt.Appendf(text, "[events]\nfile = %q\n", filepath.Join(events, "events.jsonl"))
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"people", "add", "Anna"}, {"people"}, {"ca", "fingerprint"}} {
		if out, err := program(t, append(args, "--config", file)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	seen := 0
	for _, top := range []string{filepath.Join(dir, "state"), events} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if got := owner(t, path); got != uid {
				t.Errorf("%s belongs to %d, want %d", path, got, uid)
			}
			info, err := d.Info()
			if err == nil && !d.IsDir() && info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			seen++
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 6 {
		t.Errorf("only %d files: state, lock, key, ledger, log and its file are missing something", seen)
	}
}

// What the state's owner plants there gets nobody but themselves anywhere, whoever
// runs a verb.
func TestPlantedLinks(t *testing.T) {
	for _, name := range []string{"lock", ledger.Name, ledger.Name + "-wal", ledger.Name + "-shm", ledger.KeyName, "control.sock", "events.jsonl"} {
		for kind, plant := range map[string]func(victim, path string) error{"to a file": os.Symlink, "to nothing": func(victim, path string) error {
			return os.Symlink(victim+"-new", path)
		}} {
			dir, file, _ := anothersHouse(t, "")
			state := filepath.Join(dir, "state")
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text = bytes.Replace(text, []byte(filepath.Join(dir, "run", "control.sock")), []byte(filepath.Join(state, "control.sock")), 1)
			text = fmt.Appendf(text, "[events]\nfile = %q\n", filepath.Join(state, "events.jsonl"))
			if err := os.WriteFile(file, text, 0o644); err != nil {
				t.Fatal(err)
			}
			// Root's own folder, as /etc is.
			victims := filepath.Join(dir, "victims")
			if err := os.Mkdir(victims, 0o755); err != nil {
				t.Fatal(err)
			}
			victim := filepath.Join(victims, "victim")
			if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			if os.Geteuid() != 0 {
				// The tester may do to their own files what they like; what they must
				// not is to anybody else's.
				if err := os.Chmod(victims, 0o500); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = os.Chmod(victims, 0o700) })
				if err := os.Chmod(victim, 0o400); err != nil {
					t.Fatal(err)
				}
			}
			planted := filepath.Join(state, name)
			if err := plant(victim, planted); err != nil {
				t.Fatal(err)
			}
			another(t, planted)
			was, err := os.Stat(victim)
			if err != nil {
				t.Fatal(err)
			}
			out, _ := program(t, "people", "add", "Anna", "--config", file).CombinedOutput()
			is, err := os.Stat(victim)
			if err != nil {
				t.Fatal(err)
			}
			if owner(t, victim) != os.Geteuid() || is.Mode() != was.Mode() || is.Size() != was.Size() || !is.ModTime().Equal(was.ModTime()) {
				t.Errorf("%s, a link %s: the victim belongs to %d and is %v of %d bytes now\n%s", name, kind, owner(t, victim), is.Mode(), is.Size(), out)
			}
			if left, err := os.ReadDir(victims); err != nil || len(left) != 1 {
				t.Errorf("%s, a link %s: there is %v beside the victim, %v", name, kind, left, err)
			}
		}
	}
}

// Root's server for another user opens a port and reads a key that are root's alone,
// and then is that user for good; verbs reach it as before.
func TestServeActsAsOwner(t *testing.T) {
	home := newSetupHome(t, hatest.Options{})
	listen := "127.77.88.99:443" // root's alone to open
	if os.Geteuid() != 0 {
		l, err := net.Listen("tcp", "127.77.88.99:0")
		if err != nil {
			t.Fatal(err)
		}
		listen = l.Addr().String()
		_ = l.Close()
	}
	dir, file, uid := anothersHouse(t, fmt.Sprintf("[doors.https]\nlisten = %q\n", listen))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key := rootsCertificate(t, dir)
	text = bytes.Replace(text, []byte("[state]"), fmt.Appendf(nil, "ha_url = %q\n[certificates]\ncertificate = %q\nkey = %q\n[state]", home.url, certificate, key), 1)
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	serve := program(t, "serve", "--config", file)
	serve.Stderr = &said
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			_ = serve.Process.Signal(syscall.SIGTERM)
			if err := serve.Wait(); err != nil {
				t.Errorf("serve: %v\n%s", err, said.String())
			}
		}
	}
	defer stop()
	socket := filepath.Join(dir, "run", "control.sock")
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Lstat(socket); err == nil {
			break
		}
		if time.Since(began) > 20*time.Second {
			stop()
			t.Fatalf("it does not start\n%s", said.String())
		}
	}
	if out, err := program(t, "status", "--config", file).CombinedOutput(); err != nil {
		t.Errorf("status: %v\n%s", err, out)
	}
	for _, name := range []string{socket, filepath.Dir(socket)} {
		if got := owner(t, name); got != uid {
			t.Errorf("%s belongs to %d, want %d", name, got, uid)
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", serve.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", uid); !bytes.Contains(status, []byte(want)) {
		t.Errorf("the server runs as\n%s", regexp.MustCompile(`(?m)^(Uid|Gid|Groups):.*$`).FindAll(status, -1))
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", serve.Process.Pid))
	if err != nil || len(tasks) < 2 {
		t.Fatalf("threads: %v, %v", tasks, err)
	}
	if os.Geteuid() == 0 {
		for _, name := range tasks {
			text, err := os.ReadFile(name)
			if os.IsNotExist(err) {
				continue // it has ended
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"Uid:\t65534\t65534\t65534\t65534\n", "Gid:\t65534\t65534\t65534\t65534\n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n"} {
				if !bytes.Contains(text, []byte(want)) {
					t.Errorf("%s has not %q", name, want)
				}
			}
			if regexp.MustCompile(`(?m)^Groups:.*\b0\b`).Match(text) {
				t.Errorf("%s is still in root's group", name)
			}
		}
	}
	if out, err := program(t, "people", "add", "Anna", "--config", file).CombinedOutput(); err != nil {
		t.Errorf("a verb: %v\n%s", err, out)
	}
	// What was read at the start is shown; that a renewal could not be is said now.
	out, err := program(t, "certificates", "--config", file).CombinedOutput()
	if err != nil {
		t.Errorf("certificates: %v\n%s", err, out)
	}
	for _, want := range []string{"the one before is still shown", "the gateway runs as " + userName(nobody)} {
		if bytes.Contains(out, []byte(want)) != (os.Geteuid() == 0) {
			t.Errorf("%q is said or not:\n%s", want, out)
		}
	}
	stop()
	for _, want := range []string{" belongs to " + userName(nobody) + ": the gateway runs as that user from here on", userName(nobody) + " may not read " + key} {
		if strings.Contains(said.String(), want) != (os.Geteuid() == 0) {
			t.Errorf("%q is said or not:\n%s", want, said.String())
		}
	}
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket is still there")
	}
}

// rootsCertificate makes a certificate for the house whose key its maker alone may read.
func rootsCertificate(t *testing.T, dir string) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"house.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(dir, "house.pem"), filepath.Join(dir, "house.key")
	for name, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

// Root does not work in a directory of its own that others could exchange, nor by a
// configuration that others can write.
func TestStateOwner(t *testing.T) {
	dir := reachable(t)
	make := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := func(to, name string) string {
		path := filepath.Join(dir, name)
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := filepath.Join(dir, "theirs.toml")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	theirs, ours, within := make("theirs"), make("ours"), make("house/state")
	home := filepath.Dir(within)
	tricky := link(ours, "theirs.link")
	uid := another(t, theirs, file, home, tricky)
	if os.Geteuid() != 0 {
		if r, err := actFor(theirs, file); r != nil || err != nil {
			t.Errorf("without root's rights: %v, %v", r, err)
		}
	}
	owned := func(dir, file string, want int, refused string) {
		t.Helper()
		who, err := stateOwner(dir, file)
		switch {
		case refused != "":
			if err == nil || !strings.Contains(err.Error(), refused) {
				t.Errorf("%s: %v, want %q", dir, err, refused)
			}
		case err != nil:
			t.Errorf("%s: %v", dir, err)
		case who == nil && want != 0, who != nil && int(who.Uid) != want:
			t.Errorf("%s: %v, want %d", dir, who, want)
		}
	}
	owned(theirs, "", uid, "")
	owned(filepath.Join(theirs, "not", "yet"), "", uid, "")
	owned(theirs, file, uid, "")
	if os.Geteuid() != 0 {
		return // below, what is root's would be the tester's
	}
	owned(ours, "", 0, "")
	owned(filepath.Join(ours, "not", "yet"), "", 0, "")
	owned(link("../"+filepath.Base(dir)+"/ours", "ours.link"), "", 0, "")
	owned(link("theirs/../ours", "by.theirs"), "", 0, theirs+" belongs to "+userName(nobody))
	owned(tricky, "", 0, tricky+" belongs to "+userName(nobody))
	owned(link("theirs.link", "two.links"), "", 0, tricky+" belongs to "+userName(nobody))
	owned(within, "", 0, home+" belongs to "+userName(nobody))
	owned(ours, file, 0, "the configuration "+file+" belongs to "+userName(nobody))
	if out, err := program(t, "people", "--config", writeConfig(t, ours, file)).CombinedOutput(); err == nil || !strings.Contains(string(out), "both must be one user's") {
		t.Errorf("%v\n%s", err, out)
	}
	if left, err := os.ReadDir(ours); err != nil || len(left) > 0 {
		t.Errorf("made %v, %v", left, err)
	}
}

// writeConfig writes a configuration with a state directory into a file that is there.
func writeConfig(t *testing.T, state, file string) string {
	t.Helper()
	text := fmt.Sprintf("[home]\nname = \"house.test\"\n[doors.https]\nlisten = \"127.0.0.1:8444\"\n[state]\ndir = %q\n", state)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Setup makes what belongs to the state's owner as that user, and is root again after.
func TestSetupActsAsOwner(t *testing.T) {
	h := newSetupHome(t, trusting())
	h.dir = reachable(t)
	if err := os.Mkdir(h.path("state"), 0o700); err != nil {
		t.Fatal(err)
	}
	uid := another(t, h.path("state"))
	for range 2 {
		h.input = "demo\n"
		status, _, said := h.run(t, "--ha-url", h.url, "--ha-user", "demo", "--ha-password-file", "-", "--yes", "--force")
		if status != statusDone {
			t.Fatalf("status %d\n%s", status, said)
		}
		for _, name := range []string{"state/lock", "state/key", "state/" + ledger.Name, "etc/gatehouse.toml"} {
			if got := owner(t, h.path(name)); got != uid {
				t.Errorf("%s belongs to %d, want %d", name, got, uid)
			}
		}
		if got := owner(t, h.path("etc")); got != os.Getuid() || os.Geteuid() != os.Getuid() {
			t.Errorf("afterwards the process acts as %d", os.Geteuid())
		}
	}
}

// A link of an old demonstration may lead to what is somebody else's by now.
func TestStaleDemo(t *testing.T) {
	dir := reachable(t)
	getenv := func(name string) string {
		return map[string]string{"XDG_RUNTIME_DIR": dir}[name]
	}
	folder := filepath.Join(dir, "gatehouse-demo-1")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(folder, "control.sock")
	if _, ok := findDemo(getenv); ok {
		t.Error("found one where none is")
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	withdraw, err := offerSocket(demoSocket(getenv), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer withdraw()
	if got, ok := findDemo(getenv); !ok || got != socket {
		t.Errorf("found %q, %v", got, ok)
	}
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, ok := findDemo(getenv); ok {
		t.Errorf("in a folder that others may look into: %q", got)
	}
	if err := os.Chmod(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		another(t, folder)
		if got, ok := findDemo(getenv); ok {
			t.Errorf("in a folder of somebody else's: %q", got)
		}
		if err := os.Chown(folder, 0, 0); err != nil {
			t.Fatal(err)
		}
		another(t, demoSocket(getenv))
		if got, ok := findDemo(getenv); ok {
			t.Errorf("by a link of somebody else's: %q", got)
		}
		if err := os.Lchown(demoSocket(getenv), 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	_ = l.Close()
	if got, ok := findDemo(getenv); ok {
		t.Errorf("nobody listens at %q", got)
	}
	if os.Geteuid() != 0 {
		return // nobody else can be made to listen
	}
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	other := program(t, socket)
	other.Args[0] = "listener"
	other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	keep, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	ready, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	other.Path = readableCopy(t, dir)
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(io.LimitReader(ready, 1)); err != nil || len(b) != 1 {
		t.Fatalf("the other does not listen: %q, %v", b, err)
	}
	if err := os.Chmod(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if got, ok := findDemo(getenv); ok {
		t.Errorf("somebody else listens at %q", got)
	}
	_ = keep.Close()
	if err := other.Wait(); err != nil {
		t.Error(err)
	}
}

// readableCopy is this program where others may run it.
func readableCopy(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "listener")
	if err := os.WriteFile(name, text, 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// listener is a program that listens at the socket that it is told, until its
// standard input ends.
func listener() {
	l, err := net.Listen("unix", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer l.Close()
	fmt.Print("!")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// The server listens to root and to the user that it acts as, and knows them by what
// the kernel says.
func TestWhoMayControl(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := listenControl(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if !mayControl(in) {
		t.Error("who runs the server may not control it")
	}
	for _, end := range []net.Conn{c, in} {
		if uid, ok := agent.PeerOf(end); !ok || int(uid) != os.Geteuid() {
			t.Errorf("at the other end is %d, %v", uid, ok)
		}
	}
	if a, b := net.Pipe(); mayControl(a) {
		t.Error("nobody knows who this is")
	} else {
		_, _ = a.Close(), b.Close()
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := become(&config.Config{State: config.State{Dir: filepath.Dir(path)}}, ""); err != nil {
		t.Error(err)
	}
}
