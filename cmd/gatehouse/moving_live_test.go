package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"
	"github.com/pquerna/otp/totp"
	"golang.org/x/sys/unix"

	"gatehouse/internal/ha"
	"gatehouse/internal/ha/client"
)

// TestLiveMovingIn has a house that lived before us: a real Home Assistant on its usual
// port with people, apps, a program, automations and a screen, in a network of its own.
// Gatehouse moves in, learns, closes; nobody signs in again, strangers reach nothing, and
// every way back works. GATEHOUSE_LIVE_VERSION names the release (tests/live/run).
func TestLiveMovingIn(t *testing.T) {
	release := os.Getenv("GATEHOUSE_LIVE_VERSION")
	if release == "" {
		return
	}
	v := newVillage(t)
	v.startHome(release)
	l := v.settle()
	v.startGateway()
	v.ownerArrives()

	// What was there before is found in Home Assistant's own files and over its API.
	v.verb("people", "add", "Anna", "--ha-user", "anna")
	l.awaitStarted("http://" + homeAddr + ":8123")
	before := v.residents()
	for kind, want := range map[string]int{"app": 3, "browser": 2, "program": 1, "webhook": 2} {
		if got := before[kind]; len(got) != want {
			t.Errorf("%d residents of the kind %s, want %d: %v", len(got), kind, want, got)
		}
	}
	l.works(v.phone, "http://"+homeAddr+":8123")

	// First in front: nothing is refused, and what only passes by is seen.
	v.verb("close", "--in-front", "--yes")
	v.verb("confirm")
	v.standsBehind(true)
	v.bansAfter(secondLineAt)
	l.works(v.phone, "http://"+homeAddr+":8123")
	v.wants(v.speaker, "GET", l.picture("http://"+homeAddr+":8123"), nil, http.StatusOK)
	v.wants(v.guest, "GET", "http://"+homeAddr+":8123/", nil, http.StatusOK)
	v.verb("residents", "give", "--all")
	var source, hook, local string
	for _, r := range v.residents()["source"] {
		if r.LastAddr == "192.168.77.30" {
			source = r.ID
		}
	}
	for _, r := range v.residents()["webhook"] {
		if strings.Contains(r.Name, "Doorbell") {
			hook = r.ID
		} else {
			local = r.ID
		}
	}
	if source == "" || hook == "" || local == "" {
		t.Fatalf("not found: source %q, doorbell %q, other %q in %v", source, hook, local, v.residents())
	}
	v.verb("residents", "give", source, "Olga")
	v.verb("residents", "give", hook, "Olga", "--outside", "--method", "POST", "--rate", "60")
	if _, err := v.run("residents", "give", local, "Olga", "--outside"); err == nil {
		t.Error("what Home Assistant keeps at home is given to the outside")
	}
	v.verb("residents", "leave", local)

	// Closed: all that was given works on, from where it always came, without a new sign-in.
	v.verb("close", "--yes")
	v.verb("confirm")
	l.works(v.phone, "http://"+homeAddr+":8123")
	l.works(v.phone, "https://"+homeAddr+":8443")
	v.wants(v.speaker, "GET", l.picture("http://"+homeAddr+":8123"), nil, http.StatusOK)
	v.wants(v.phone, "POST", "http://"+homeAddr+":8123/api/webhook/"+l.doorbell, nil, http.StatusOK)
	v.wants(v.phone, "POST", "http://"+homeAddr+":8123/api/webhook/"+l.local, nil, http.StatusForbidden)
	v.strangers()
	v.closedTo(v.guest)
	// A tablet that has another address now shows who it is by what its browser keeps.
	v.wants(v.moved, "GET", "http://"+homeAddr+":8123/", map[string]string{"Accept": "text/html"}, http.StatusUnauthorized)
	form := url.Values{"grant_type": {"refresh_token"}, "client_id": {l.browser.client}, "refresh_token": {l.browser.refresh}}
	if status, text, err := v.ask(v.moved, "POST", "http://"+homeAddr+":8123/auth/token", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, form.Encode()); err != nil || status != http.StatusOK {
		t.Errorf("refresh from another address: %d %s %v", status, text, err)
	}
	v.wants(v.moved, "GET", "http://"+homeAddr+":8123/", map[string]string{"Accept": "text/html"}, http.StatusOK)
	if out := v.verb("devices", "--json"); strings.Count(out, `"kind": "app"`) != 3 {
		t.Errorf("the apps are not among the devices: %s", out)
	}

	v.fixesAsk(l)

	// A gateway that is killed leaves the house as it was.
	v.stopGateway(syscall.SIGKILL)
	v.startGateway()
	l.works(v.phone, "http://"+homeAddr+":8123")
	v.wants(v.speaker, "GET", l.picture("http://"+homeAddr+":8123"), nil, http.StatusOK)
	v.closedTo(v.guest)

	// The ways back.
	v.verb("open")
	v.wants(v.guest, "GET", "http://"+homeAddr+":8123/", nil, http.StatusOK)
	v.verb("off")
	v.standsBehind(false)
	v.bansAfter(-1)
	l.works(v.phone, "http://"+homeAddr+":8123")

	// A gateway that is killed in the middle of a move: as before, by itself.
	v.killInTheMiddle()
	v.standsBehind(false)
	l.works(v.phone, "http://"+homeAddr+":8123")

	// Without a gateway the verb does it alone.
	v.verb("close", "--yes")
	v.verb("confirm")
	v.standsBehind(true)
	v.stopGateway(syscall.SIGKILL)
	v.verb("off")
	l.works(v.phone, "http://"+homeAddr+":8123")

	// And without Home Assistant, in its files.
	v.startGateway()
	v.verb("close", "--yes")
	v.verb("confirm")
	v.stopHome()
	v.verb("off")
	v.runHome()
	v.await("http://" + homeAddr + ":8123/manifest.json")
	v.standsBehind(false)
	l.works(v.phone, "http://"+homeAddr+":8123")
}

const homeAddr = "192.168.77.10"

// village is a home's network with a router, and the Internet behind it, made of network
// namespaces.
type village struct {
	t                     *testing.T
	prefix                string
	home                  world
	phone, speaker, guest world
	moved, outside        world
	dir, state            string
	binary, config        string
	release               string
	ha, gateway           *exec.Cmd
	homeEnds              chan struct{}
}

// world is one machine's network.
type world struct{ name string }

func newVillage(t *testing.T) *village {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces want root: run tests/live/run as root")
	}
	v := &village{t: t, prefix: fmt.Sprintf("gh%d", os.Getpid())}
	v.dir = t.TempDir()
	v.binary = filepath.Join(v.dir, "gatehouse")
	v.sh("go", "build", "-o", v.binary, ".")
	router := v.world("router")
	v.ip("-n", router.name, "link", "add", "br0", "type", "bridge")
	v.ip("-n", router.name, "addr", "add", "192.168.77.1/24", "dev", "br0")
	v.ip("-n", router.name, "link", "set", "br0", "up")
	for n, w := range []*world{&v.home, &v.phone, &v.speaker, &v.guest, &v.moved} {
		*w = v.world([]string{"home", "phone", "speaker", "guest", "moved"}[n])
		v.ip("-n", w.name, "link", "add", "eth0", "type", "veth", "peer", "name", fmt.Sprintf("port%d", n), "netns", router.name)
		v.ip("-n", router.name, "link", "set", fmt.Sprintf("port%d", n), "master", "br0", "up")
		v.ip("-n", w.name, "addr", "add", []string{homeAddr, "192.168.77.20", "192.168.77.30", "192.168.77.40", "192.168.77.50"}[n]+"/24", "dev", "eth0")
		v.ip("-n", w.name, "link", "set", "eth0", "up")
		v.ip("-n", w.name, "route", "add", "default", "via", "192.168.77.1")
	}
	v.outside = v.world("outside")
	v.ip("-n", v.outside.name, "link", "add", "eth0", "type", "veth", "peer", "name", "wan", "netns", router.name)
	v.ip("-n", router.name, "addr", "add", "203.0.113.1/24", "dev", "wan")
	v.ip("-n", router.name, "link", "set", "wan", "up")
	v.ip("-n", v.outside.name, "addr", "add", "203.0.113.7/24", "dev", "eth0")
	v.ip("-n", v.outside.name, "link", "set", "eth0", "up")
	v.ip("-n", v.outside.name, "route", "add", "default", "via", "203.0.113.1")
	v.sh("ip", "netns", "exec", router.name, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	return v
}

func (v *village) world(name string) world {
	w := world{v.prefix + name}
	v.ip("netns", "add", w.name)
	v.t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", w.name).Run() })
	v.ip("-n", w.name, "link", "set", "lo", "up")
	// There is no Internet: who asks for a name there is told so at once.
	resolv := filepath.Join("/etc/netns", w.name)
	v.must(os.MkdirAll(resolv, 0o755))
	v.t.Cleanup(func() { _ = os.RemoveAll(resolv) })
	v.must(os.WriteFile(filepath.Join(resolv, "resolv.conf"), []byte("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"), 0o644))
	return w
}

func (v *village) ip(args ...string) { v.t.Helper(); v.sh("ip", args...) }

func (v *village) sh(program string, args ...string) string {
	v.t.Helper()
	out, err := exec.CommandContext(v.t.Context(), program, args...).CombinedOutput()
	if err != nil {
		v.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// dial connects from a world.
func (w world) dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	there, err := os.Open("/run/netns/" + w.name)
	if err != nil {
		return nil, err
	}
	defer there.Close()
	done := make(chan struct{})
	go func() { // its thread stays in that world, and ends with the goroutine
		defer close(done)
		runtime.LockOSThread()
		if err = unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
			return
		}
		c, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, addr)
	}()
	<-done
	return c, err
}

func (w world) client() *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: w.dial, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// startHome starts a fresh Home Assistant as most people have it: on all addresses, with no
// word about it in its configuration.
func (v *village) startHome(release string) {
	v.t.Helper()
	lab := os.Getenv("HA_LAB")
	if lab == "" {
		lab = filepath.Join(os.Getenv("HOME"), ".cache/gatehouse-lab")
	}
	v.release = release
	v.state = filepath.Join(lab, "run", v.prefix+"-moving")
	v.must(os.MkdirAll(v.state, 0o755))
	v.t.Cleanup(func() { _ = os.RemoveAll(v.state) })
	configuration, err := os.ReadFile("testdata/moving/configuration.yaml")
	v.must(err)
	v.must(os.WriteFile(filepath.Join(v.state, "configuration.yaml"), configuration, 0o644))
	v.runHome()
	v.sh("ip", "netns", "exec", v.home.name, "bash", "../../lab/ha", "onboard", "http://127.0.0.1:8123")
}

// runHome runs Home Assistant, again whenever it asks for it.
func (v *village) runHome() {
	v.t.Helper()
	log, err := os.OpenFile(filepath.Join(v.dir, "home-assistant.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	v.must(err)
	start := func() *exec.Cmd {
		c := exec.Command("ip", "netns", "exec", v.home.name, "bash", "../../lab/ha", "start", v.release, v.state, "8123")
		c.Stdout, c.Stderr = log, log
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		v.must(c.Start())
		return c
	}
	v.ha, v.homeEnds = start(), make(chan struct{})
	stopped := make(chan struct{})
	stop := context.AfterFunc(v.t.Context(), func() { v.stopHome() })
	go func() {
		defer close(stopped)
		defer log.Close()
		for {
			err := v.ha.Wait()
			exit, ok := err.(*exec.ExitError)
			select {
			case <-v.homeEnds:
				return
			default:
			}
			if !ok || exit.ExitCode() != 100 {
				return
			}
			v.ha = start()
		}
	}()
	v.t.Cleanup(func() {
		stop()
		v.stopHome()
		<-stopped
		if v.t.Failed() {
			v.t.Logf("Home Assistant's log:\n%s", lastLines(filepath.Join(v.dir, "home-assistant.log")))
		}
	})
}

// lastLines are the last lines of a file, for whoever wants to understand a failure.
func lastLines(name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	const most = 4 << 10
	return string(text[max(0, len(text)-most):])
}

func (v *village) stopHome() {
	select {
	case <-v.homeEnds:
		return
	default:
		close(v.homeEnds)
	}
	_ = syscall.Kill(-v.ha.Process.Pid, syscall.SIGKILL)
	deadline := time.Now().Add(20 * time.Second)
	for syscall.Kill(-v.ha.Process.Pid, 0) == nil && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
	}
}

func (v *village) startGateway() {
	v.t.Helper()
	if v.config == "" {
		v.config = filepath.Join(v.dir, "gatehouse.toml")
		password := filepath.Join(v.dir, "password")
		v.must(os.WriteFile(password, []byte("correct horse battery\n"), 0o600))
		out, err := v.run("setup", "--yes", "--ha-url", "http://127.0.0.1:8123", "--ha-dir", v.state, "--ha-user", "owner", "--ha-password-file", password,
			"--lan-listen", ":8443", "--state-dir", filepath.Join(v.dir, "state"))
		if err != nil && !strings.Contains(out, "trust") {
			v.t.Fatalf("setup: %v\n%s", err, out)
		}
	}
	log, err := os.OpenFile(filepath.Join(v.dir, "gatehouse.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	v.must(err)
	defer log.Close()
	c := exec.Command("ip", "netns", "exec", v.home.name, v.binary, "serve", "--config", v.config)
	c.Stdout, c.Stderr = log, log
	v.must(c.Start())
	v.gateway = c
	v.t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if v.t.Failed() {
			v.t.Logf("the gateway's log:\n%s", lastLines(filepath.Join(v.dir, "gatehouse.log")))
			v.must(os.WriteFile(filepath.Join(v.dir, "gatehouse.log"), nil, 0o600))
		}
	})
	deadline := time.Now().Add(20 * time.Second)
	for {
		if _, err := v.run("status"); err == nil {
			return
		}
		if time.Now().After(deadline) {
			v.t.Fatal("the gateway does not start")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (v *village) stopGateway(how syscall.Signal) {
	v.t.Helper()
	v.must(v.gateway.Process.Signal(how))
	_ = v.gateway.Wait()
}

// run runs a verb in the home; verb fails the test if that fails.
func (v *village) run(args ...string) (string, error) {
	c := exec.CommandContext(v.t.Context(), "ip", append([]string{"netns", "exec", v.home.name, v.binary, "--config", v.config}, args...)...)
	out, err := c.CombinedOutput()
	return string(out), err
}

func (v *village) verb(args ...string) string {
	v.t.Helper()
	began := time.Now()
	out, err := v.run(args...)
	if err != nil {
		v.t.Fatalf("gatehouse %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	v.t.Logf("gatehouse %s (%d ms)\n%s", strings.Join(args, " "), time.Since(began).Milliseconds(), out)
	return out
}

// residents are those that are shown, by kind.
func (v *village) residents() map[string][]residentRow {
	v.t.Helper()
	c := exec.CommandContext(v.t.Context(), "ip", "netns", "exec", v.home.name, v.binary, "--config", v.config, "residents", "--json")
	out, err := c.Output()
	v.must(err)
	var doc residentsDocument
	v.must(json.Unmarshal(out, &doc))
	if doc.Unread != "" {
		v.t.Errorf("not looked into: %s", doc.Unread)
	}
	all := make(map[string][]residentRow)
	for _, r := range doc.Residents {
		all[r.Kind] = append(all[r.Kind], r)
	}
	return all
}

func (v *village) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

// ask asks from a world.
func (v *village) ask(from world, method, address string, header map[string]string, body string) (int, []byte, error) {
	r, err := http.NewRequestWithContext(v.t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	res, err := from.client().Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, text, err
}

func (v *village) wants(from world, method, address string, header map[string]string, status int) []byte {
	v.t.Helper()
	got, text, err := v.ask(from, method, address, header, "")
	if err != nil || got != status {
		v.t.Errorf("%s %s: %d %.200s %v, want %d", method, address, got, text, err, status)
	}
	return text
}

func (v *village) await(address string) {
	v.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		if got, _, err := v.ask(v.phone, "GET", address, nil, ""); err == nil && got == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("%s does not answer", address)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// standsBehind checks who listens where.
func (v *village) standsBehind(want bool) {
	v.t.Helper()
	c, err := v.phone.dial(v.t.Context(), "tcp", homeAddr+":18123")
	if err == nil {
		c.Close()
		v.t.Error("Home Assistant is reached at the port behind us")
	}
	_, text, err := v.ask(v.phone, "GET", "http://"+homeAddr+":8123/_gatehouse/auth/static/gatehouse.css", nil, "")
	if ours := err == nil && bytes.Contains(text, []byte("{")); ours != want {
		v.t.Errorf("the gateway answers at Home Assistant's address: %t (%v)", ours, err)
	}
}

// bansAfter waits until Home Assistant's own files say after how many wrong passwords it bans.
func (v *village) bansAfter(want int) {
	v.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		s, err := ha.ReadSettings(os.DirFS(v.state))
		got := s.HTTP.LoginAttemptsThreshold
		if err == nil && got == want && s.HTTP.IPBanEnabled {
			return
		}
		if time.Now().After(deadline) {
			v.t.Errorf("Home Assistant bans after %d wrong passwords, want %d (%v)", got, want, err)
			return
		}
	}
}

// strangers reach nothing, and get not one byte.
func (v *village) strangers() {
	v.t.Helper()
	for _, port := range []string{"8123", "18123", "8443"} {
		c, err := v.outside.dial(v.t.Context(), "tcp", homeAddr+":"+port)
		if err != nil {
			continue
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = c.Write([]byte("GET / HTTP/1.1\r\nHost: " + homeAddr + ":" + port + "\r\n\r\n"))
		if n, _ := c.Read(make([]byte, 1)); n > 0 {
			v.t.Errorf("a stranger hears something at port %s", port)
		}
		c.Close()
	}
}

// closedTo checks that somebody who is at home and not known comes no further than a page of ours.
func (v *village) closedTo(from world) {
	v.t.Helper()
	base := "http://" + homeAddr + ":8123"
	if text := v.wants(from, "GET", base+"/", map[string]string{"Accept": "text/html"}, http.StatusUnauthorized); !bytes.Contains(text, []byte("https://"+homeAddr+":8443")) {
		v.t.Errorf("nobody says where to sign in: %.300s", text)
	}
	for _, path := range []string{"/manifest.json", "/auth/providers", "/api/", "/frontend_latest/x.js", "/local/x", "/api/states"} {
		v.wants(from, "GET", base+path, nil, http.StatusUnauthorized)
	}
	v.wants(from, "POST", base+"/auth/login_flow", nil, http.StatusUnauthorized)
	v.wants(from, "POST", base+"/api/webhook/guessed", nil, http.StatusForbidden)
}

// killInTheMiddle kills the gateway while Home Assistant is on its way behind it.
func (v *village) killInTheMiddle() {
	v.t.Helper()
	closing := exec.Command("ip", "netns", "exec", v.home.name, v.binary, "--config", v.config, "close", "--yes")
	v.must(closing.Start())
	deadline := time.Now().Add(30 * time.Second)
	for {
		if out, _ := v.run("status", "--json"); strings.Contains(out, `"step": "moving"`) {
			break
		}
		if time.Now().After(deadline) {
			v.t.Fatal("nothing moves")
		}
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(300 * time.Millisecond)
	v.stopGateway(syscall.SIGKILL)
	_ = closing.Wait()
	v.startGateway()
	deadline = time.Now().Add(8 * time.Minute)
	for {
		out, _ := v.run("status", "--json")
		if strings.Contains(out, `"step": "restore"`) {
			v.verb("off") // before 2026.8, root has to change configuration.yaml back
		} else if !strings.Contains(out, `"step"`) {
			break
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("the move is not taken back: %s", out)
		}
		time.Sleep(200 * time.Millisecond)
	}
	v.await("http://" + homeAddr + ":8123/manifest.json")
}

// ownerArrives makes the owner known, in a browser.
func (v *village) ownerArrives() {
	v.t.Helper()
	var doc inviteDocument
	c := exec.Command("ip", "netns", "exec", v.home.name, v.binary, "--config", v.config, "invite", "--owner", "--json")
	out, err := c.Output()
	v.must(err)
	v.must(json.Unmarshal(out, &doc))
	base := "https://" + homeAddr + ":8443"
	post := func(path string, in any, out any) {
		v.t.Helper()
		body, err := json.Marshal(in)
		v.must(err)
		status, text, err := v.ask(v.phone, "POST", base+"/_gatehouse/api/"+path, map[string]string{"Content-Type": "application/json", "Origin": base, "Sec-Fetch-Site": "same-origin"}, string(body))
		if err != nil || status != http.StatusOK {
			v.t.Fatalf("%s: %d %s %v", path, status, text, err)
		}
		v.must(json.Unmarshal(text, out))
	}
	var app struct {
		ID     string `json:"id"`
		Secret string `json:"secret"`
	}
	code := doc.Link[strings.LastIndex(doc.Link, "/")+1:]
	post("invite/totp/begin", map[string]string{"invite": code, "name": "Olga"}, &app)
	number, err := totp.GenerateCode(strings.ReplaceAll(app.Secret, " ", ""), time.Now())
	v.must(err)
	var done any
	post("invite/totp", map[string]string{"invite": code, "name": "Olga", "id": app.ID, "code": number}, &done)
	v.verb("people", "add", "Owner", "--role", "owner", "--ha-user", "owner")
}

// life is what lived in the house before.
type life struct {
	v        *village
	apps     []*livedApp
	browser  *livedApp
	program  string // long-lived token
	doorbell string // webhook ids
	local    string
}

type livedApp struct{ client, access, refresh, webhook string }

// settle lets people and things move in, directly at Home Assistant.
func (v *village) settle() *life {
	v.t.Helper()
	base := "http://" + homeAddr + ":8123"
	l := &life{v: v, doorbell: "doorbell-4f1c8a7e20", local: "local-7d20b1c3ee"}
	u, err := url.Parse(base)
	v.must(err)
	api, err := client.New(client.Config{URL: u, Dial: v.phone.dial})
	v.must(err)
	ctx := v.t.Context()
	owner, err := api.Login(ctx, "owner", "correct horse battery", nil)
	v.must(err)
	admin := api.WithToken(owner.Access)
	id, err := admin.CreateUser(ctx, "Anna", []string{client.GroupUsers}, false)
	v.must(err)
	v.must(admin.SetPassword(ctx, id, "anna", "tidal lantern seventeen"))
	l.program, err = admin.LongLivedToken(ctx, "Node-RED", 3650)
	v.must(err)
	for _, a := range []struct{ username, password, client, app, device string }{
		{"owner", "correct horse battery", ha.ClientAndroid, "io.homeassistant.companion.android", "Olga's Pixel"},
		{"anna", "tidal lantern seventeen", ha.ClientIOS, "io.robbie.HomeAssistant", "Anna's iPhone"},
		{"anna", "tidal lantern seventeen", ha.ClientAndroid, "io.homeassistant.companion.android", "Anna's tablet"},
	} {
		app := v.signIn(base, a.client, a.username, a.password)
		status, text, err := v.ask(v.phone, "POST", base+"/api/mobile_app/registrations", map[string]string{"Authorization": "Bearer " + app.access, "Content-Type": "application/json"},
			fmt.Sprintf(`{"app_id":%q,"app_name":"Home Assistant","app_version":"2026.8","device_id":%q,"device_name":%q,"manufacturer":"X","model":"Y","os_name":"Z","os_version":"1","supports_encryption":false,"app_data":{}}`, a.app, "id of "+a.device, a.device))
		v.must(err)
		if status != http.StatusCreated {
			v.t.Fatalf("register %s: %d %s", a.device, status, text)
		}
		app.webhook, err = ha.ParseRegistered(text)
		v.must(err)
		l.apps = append(l.apps, app)
	}
	l.browser = v.signIn(base, base+"/", "anna", "tidal lantern seventeen")
	v.must(api.Revoke(ctx, owner.Refresh))
	v.wants(v.speaker, "GET", l.picture(base), nil, http.StatusOK)
	time.Sleep(2 * time.Second) // Home Assistant writes its files with a delay of a second
	return l
}

// picture is the address of a camera's picture, which holds a secret of its own.
func (l *life) picture(base string) string {
	v := l.v
	v.t.Helper()
	_, text, err := v.ask(v.phone, "GET", base+"/api/states/camera.demo_camera", map[string]string{"Authorization": "Bearer " + l.program}, "")
	v.must(err)
	var camera struct {
		Attributes struct {
			Picture string `json:"entity_picture"`
		} `json:"attributes"`
	}
	if err := json.Unmarshal(text, &camera); err != nil || camera.Attributes.Picture == "" {
		v.t.Errorf("no picture: %s %v", text, err)
	}
	return base + camera.Attributes.Picture
}

// signIn signs in to Home Assistant with its own login.
func (v *village) signIn(base, clientID, username, password string) *livedApp {
	v.t.Helper()
	redirect := clientID
	if ha.IsAppClient(clientID) {
		redirect = "homeassistant://auth-callback"
	}
	var flow struct {
		ID     string `json:"flow_id"`
		Result string `json:"result"`
	}
	_, text, err := v.ask(v.phone, "POST", base+"/auth/login_flow", nil, fmt.Sprintf(`{"client_id":%q,"redirect_uri":%q,"handler":["homeassistant",null]}`, clientID, redirect))
	v.must(err)
	v.must(json.Unmarshal(text, &flow))
	_, text, err = v.ask(v.phone, "POST", base+"/auth/login_flow/"+flow.ID, nil, fmt.Sprintf(`{"client_id":%q,"username":%q,"password":%q}`, clientID, username, password))
	v.must(err)
	v.must(json.Unmarshal(text, &flow))
	a := &livedApp{client: clientID}
	a.token(v, base, url.Values{"grant_type": {"authorization_code"}, "client_id": {clientID}, "code": {flow.Result}})
	return a
}

// token asks for tokens.
func (a *livedApp) token(v *village, base string, form url.Values) {
	v.t.Helper()
	status, text, err := v.ask(v.phone, "POST", base+"/auth/token", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, form.Encode())
	var got struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err == nil && status == http.StatusOK {
		err = json.Unmarshal(text, &got)
	}
	if err != nil || got.Access == "" {
		v.t.Fatalf("%s of %s at %s: %d %s %v\n%s%s", form.Get("grant_type"), a.client, base, status, text, err, v.verb("devices"), v.verb("status"))
	}
	a.access = got.Access
	if got.Refresh != "" {
		a.refresh = got.Refresh
	}
}

// works has everything that lived in the house do what it does every day, by an address.
func (l *life) works(from world, base string) {
	v := l.v
	v.t.Helper()
	l.awaitStarted(base)
	for _, a := range append([]*livedApp{l.browser}, l.apps...) {
		bearer := map[string]string{"Authorization": "Bearer " + a.access}
		v.wants(from, "GET", base+"/api/config", bearer, http.StatusOK)
		a.token(v, base, url.Values{"grant_type": {"refresh_token"}, "client_id": {a.client}, "refresh_token": {a.refresh}})
		bearer["Authorization"] = "Bearer " + a.access
		v.wants(from, "GET", base+"/api/states", bearer, http.StatusOK)
		l.socket(from, base, a.access)
		if a.webhook == "" {
			continue
		}
		status, text, err := v.ask(from, "POST", base+"/api/webhook/"+a.webhook, map[string]string{"Content-Type": "application/json"}, `{"type":"get_config"}`)
		if err != nil || status != http.StatusOK || len(text) == 0 {
			v.t.Errorf("webhook of an app at %s: %d %s %v", base, status, text, err)
		}
	}
	v.wants(from, "GET", base+"/", map[string]string{"Accept": "text/html"}, http.StatusOK)
	v.wants(from, "GET", base+"/manifest.json", nil, http.StatusOK)
	v.wants(from, "GET", base+"/api/prometheus", map[string]string{"Authorization": "Bearer " + l.program}, http.StatusOK)
	v.wants(v.home, "GET", strings.Replace(base, homeAddr, "127.0.0.1", 1)+"/api/states", map[string]string{"Authorization": "Bearer " + l.program}, http.StatusOK)
}

// awaitStarted waits until Home Assistant has started: before, its answers mean little.
func (l *life) awaitStarted(base string) {
	v := l.v
	v.t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for {
		status, text, err := v.ask(v.phone, "GET", base+"/api/config", map[string]string{"Authorization": "Bearer " + l.apps[0].access}, "")
		if err == nil && bytes.Contains(text, []byte(`"RUNNING"`)) {
			return
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("Home Assistant does not start, seen at %s: %d %.200s %v", base, status, text, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// socket opens the API's socket with a token.
func (l *life) socket(from world, base, access string) {
	v := l.v
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), 20*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, strings.Replace(base, "http", "ws", 1)+"/api/websocket", &websocket.DialOptions{HTTPClient: from.client(),
		HTTPHeader: http.Header{"Origin": {base}}})
	if err != nil {
		v.t.Errorf("socket at %s: %v", base, err)
		return
	}
	defer c.CloseNow()
	if err := c.Write(ctx, websocket.MessageText, ha.AppendAuth(nil, access)); err != nil {
		v.t.Error(err)
	}
	for range 2 {
		_, text, err := c.Read(ctx)
		if err != nil {
			v.t.Errorf("socket at %s: %v", base, err)
			return
		}
		if bytes.Contains(text, []byte(`"auth_ok"`)) {
			return
		}
	}
	v.t.Errorf("socket at %s: no auth_ok", base)
}

// fixesAsk has a real Home Assistant do what fixes ask of it: look at its configuration,
// restart, and since 2026.8 run with other settings of its web server, and keep them.
func (v *village) fixesAsk(l *life) {
	v.t.Helper()
	base := "http://" + homeAddr + ":8123"
	v.verb(homeVerb, "check")
	file := filepath.Join(v.state, "configuration.yaml")
	good, err := os.ReadFile(file)
	v.must(err)
	v.must(os.WriteFile(file, append(slices.Clone(good), "automation: 7\nscript: [\n"...), 0o644))
	if out, err := v.run(homeVerb, "check"); err == nil {
		v.t.Errorf("a broken configuration is taken: %s", out)
	}
	v.must(os.WriteFile(file, good, 0o644))
	v.verb(homeVerb, "restart")
	l.awaitStarted(base)
	l.works(v.phone, base)
	if !hasHTTPConfig(v.release) {
		return
	}
	options := func() string {
		v.t.Helper()
		text, err := os.ReadFile(filepath.Join(v.state, storedHTTP))
		v.must(err)
		o, err := ha.StoredOptions(text)
		v.must(err)
		return o
	}
	before := options()
	after, err := ha.WithOption(before, "login_attempts_threshold", 7)
	v.must(err)
	v.verb(homeVerb, "http", before, after)
	if !strings.Contains(options(), `"login_attempts_threshold": 7`) {
		v.t.Errorf("the settings are not kept: %s", options())
	}
	l.awaitStarted(base)
	l.works(v.phone, base)
	if out, err := v.run(homeVerb, "http", before, after); err == nil {
		v.t.Errorf("settings that changed since are written over: %s", out)
	}
	v.verb(homeVerb, "http", options(), before)
	if options() != before {
		v.t.Errorf("not as before: %s, was %s", options(), before)
	}
	l.awaitStarted(base)
	l.works(v.phone, base)
}
