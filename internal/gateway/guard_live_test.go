package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/guard"
	"gatehouse/internal/ha"
	"gatehouse/internal/ha/client"
	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

// TestLiveGuard guesses at each surface of a real Home Assistant, each from an address of its
// own, until our threshold is reached: the fifth is the last that it sees, known devices at
// the very address go on, and Home Assistant's own threshold, which is 10, is never reached.
// GATEHOUSE_LIVE_VERSION names the release (tests/live/run).
func TestLiveGuard(t *testing.T) {
	release := os.Getenv("GATEHOUSE_LIVE_VERSION")
	if release == "" {
		return
	}
	dir, base := liveHA(t, release)
	line := newTap(t, strings.TrimPrefix(base, "http://"))
	h := newHouse(t, func(s *setting) { s.haURL, s.overall = "http://"+line.addr, 1000 }) // each surface for itself
	home := h.open(testDoor{name: policy.LAN, home: true})

	const password = "correct horse battery"
	u, err := url.Parse(base)
	h.must(err)
	c, err := client.New(client.Config{URL: u})
	h.must(err)
	tokens, err := c.Login(t.Context(), "owner", password, nil)
	h.must(err)
	admin := c.WithToken(tokens.Access)
	id, err := admin.CreateUser(t.Context(), "anna", []string{client.GroupUsers}, false)
	h.must(err)
	h.must(admin.SetPassword(t.Context(), id, "anna", "anna"))
	olga := h.owner().loggedIn("owner", password)
	phone := h.settled("Anna", ha.ClientIOS, "anna")
	iss := issuerOf(t, phone.access)

	type surface struct {
		name    string
		door    string
		reaches bool // Home Assistant, until there were too many
		try     func(s *browser, n int)
	}
	step := `{"client_id":"` + clientID + `","username":"owner","password":"wrong"}`
	login := func(s *browser, n int) { s.post("/auth/login_flow/"+hexOf(n, 32), step) }
	token := func(s *browser, n int) {
		s.post("/auth/token", "grant_type=refresh_token&client_id="+url.QueryEscape(clientID)+"&refresh_token="+hexOf(n, 128))
	}
	bearers := func(s *browser, n int) { s.shows("/api/states", accessToken(n, time.Hour)) }
	sockets := func(s *browser, n int) {
		ws, status := s.socket(map[string]string{"User-Agent": iosUA})
		if ws == nil {
			t.Fatalf("a socket is refused with %d", status)
		}
		defer ws.CloseNow()
		s.say(ws, says(accessToken(n, time.Hour)))
		for {
			if _, _, err := ws.Read(t.Context()); err != nil {
				return
			}
		}
	}
	for k, c := range []surface{
		{"login at home", home, true, login},
		{"token at home", home, true, token},
		{"bearer at home", home, true, bearers},
		{"socket at home", home, true, sockets},
		{"signature at home", home, true, func(s *browser, n int) {
			s.do(request{path: "/api/states?authSig=" + signature(hexOf(n, 32), "/api/states")})
		}},
		{"signature in an app's name", h.addr, true, func(s *browser, n int) {
			s.do(request{path: "/api/states?authSig=" + signature(iss, "/api/states")})
		}},
		{"login", h.addr, false, login},
		{"token", h.addr, false, token},
		{"bearer", h.addr, false, bearers},
		{"socket", h.addr, false, sockets},
		{"webhook", h.addr, false, func(s *browser, n int) { s.post("/api/webhook/"+hexOf(n, 64), "{}") }},
		{"picture", h.addr, false, func(s *browser, n int) {
			s.do(request{path: fmt.Sprintf("/api/camera_proxy/camera.demo_camera?token=%d", n)})
		}},
		{"scan", h.addr, false, func(s *browser, n int) { s.do(request{path: fmt.Sprintf("/admin%d.php", n)}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := netip.AddrFrom4([4]byte{127, 0, 1, byte(10 + k)})
			s := h.stranger().from(addr.String(), c.door)
			for n := range 25 {
				if banned := !h.guard.Listens(addr); banned != (n >= 5) {
					t.Fatalf("after %d it is banned: %t", n, banned)
				}
				c.try(s, n)
				want := 0
				if c.reaches {
					want = min(n+1, 5)
				}
				// The last word of a socket that Home Assistant has closed may still be on its way.
				if got := line.seen(addr); got != want {
					t.Fatalf("after %d Home Assistant has seen %d, want %d", n+1, got, want)
				}
			}
			other := netip.AddrFrom4([4]byte{127, 0, 2, byte(10 + k)})
			c.try(h.stranger().from(other.String(), c.door), 100)
			if got := line.seen(other); c.reaches != (got == 1) || !h.guard.Listens(other) {
				t.Errorf("from another address: Home Assistant has seen %d, listened to: %t", got, h.guard.Listens(other))
			}

			// Known devices at the banned address.
			b := olga.from(addr.String(), h.addr)
			b.wants(b.get("/api/states"), http.StatusOK)
			b.ready().CloseNow()
			b.wants(b.post("/auth/token", "grant_type=refresh_token&client_id="+url.QueryEscape(clientID)+"&refresh_token="+b.refresh), http.StatusOK)
			p := *phone
			p.browser = phone.from(addr.String(), h.addr)
			p.wants(p.refreshToken(), http.StatusOK)
			p.wants(p.api("GET", "/api/states", ""), http.StatusOK)
			p.wants(p.call("get_config", "{}"), http.StatusOK)
			p.connect().CloseNow()
		})
	}

	// A sign-in of a known device that ended in Home Assistant bans nobody, here or there.
	const at = "127.0.3.1"
	h.must(c.Revoke(t.Context(), phone.refresh))
	h.must(c.Revoke(t.Context(), olga.refresh))
	p := *phone
	p.browser = phone.from(at, h.addr)
	b := olga.from(at, h.addr)
	for range 12 {
		p.refreshToken()
		b.post("/auth/token", "grant_type=refresh_token&client_id="+url.QueryEscape(clientID)+"&refresh_token="+b.refresh)
	}
	if !h.guard.Listens(netip.MustParseAddr(at)) {
		t.Error("a known device's refresh token that ended bans its address")
	}
	if n := line.seen(netip.MustParseAddr(at)); n != 2 {
		t.Errorf("Home Assistant was asked %d times about them, want 2", n)
	}

	// Home Assistant has banned nobody whom it could tell apart; and it does ban at ten.
	bans := filepath.Join(dir, "ip_bans.yaml")
	if text, err := os.ReadFile(bans); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Home Assistant has bans of its own: %v\n%s", err, text)
	}
	const control = "127.0.3.2"
	for n := range 10 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/auth/login_flow/"+hexOf(n, 32), strings.NewReader(step))
		h.must(err)
		r.Header.Set("X-Forwarded-For", control)
		answer, err := h.client.Do(r)
		h.must(err)
		_ = answer.Body.Close()
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		text, _ := os.ReadFile(bans)
		if bytes.Contains(text, []byte(control)) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("Home Assistant does not ban at ten: %s", text)
		}
	}
	for _, k := range h.failed() {
		if k.Kind == guard.SignIn {
			t.Errorf("nobody signed in here, and yet: %+v", k)
		}
	}
}

// open opens another door of the house, and returns its address.
func (h *house) open(d Door) string {
	h.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = (&wire.Server{Handler: h.Handler(d)}).Serve(ctx, l) })
	h.t.Cleanup(func() { cancel(); running.Wait() })
	return l.Addr().String()
}

// tap is the line to Home Assistant, and remembers what was said on it.
type tap struct {
	addr string
	mu   sync.Mutex
	said []*bytes.Buffer // of each connection
}

func newTap(t *testing.T, to string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{addr: l.Addr().String()}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.carry(c, to) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); running.Wait() })
	return p
}

// carry carries one connection to its end.
func (p *tap) carry(c net.Conn, to string) {
	defer c.Close()
	ha, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	said := &bytes.Buffer{}
	p.mu.Lock()
	p.said = append(p.said, said)
	p.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() { _, _ = io.Copy(c, ha); _ = c.Close() })
	_, _ = io.Copy(ha, io.TeeReader(c, locked{&p.mu, said}))
	_ = ha.Close()
	back.Wait()
}

// locked writes under a lock.
type locked struct {
	mu *sync.Mutex
	to io.Writer
}

func (l locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(b)
}

// seen is how many requests of a client's Home Assistant has seen.
func (p *tap) seen(addr netip.Addr) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, said := range p.said {
		n += bytes.Count(bytes.ToLower(said.Bytes()), []byte("\r\nx-forwarded-for: "+addr.String()+"\r\n"))
	}
	return n
}

// liveHA starts a Home Assistant that bans at ten, and makes its owner. It returns its
// folder and address.
func liveHA(t *testing.T, release string) (dir, base string) {
	t.Helper()
	lab := os.Getenv("HA_LAB")
	if lab == "" {
		lab = filepath.Join(os.Getenv("HOME"), ".cache", "gatehouse-lab")
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(lab, "run"), 0o755))
	dir, err := os.MkdirTemp(filepath.Join(lab, "run"), "guard-")
	must(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	port := l.Addr().(*net.TCPAddr).Port
	must(l.Close())
	yaml := "homeassistant: {name: Lab, latitude: 52.37, longitude: 4.9, elevation: 2, unit_system: metric, time_zone: Europe/Amsterdam, country: NL}\nfrontend:\nconfig:\napi:\nmobile_app:\ndemo:\nlogger: {default: warning}\n"
	if strings.HasPrefix(release, "2026.2.") {
		yaml += fmt.Sprintf("http: {server_port: %d, server_host: 127.0.0.1, use_x_forwarded_for: true, trusted_proxies: [127.0.0.1], ip_ban_enabled: true, login_attempts_threshold: 10}\n", port)
	} else {
		must(os.Mkdir(filepath.Join(dir, ".storage"), 0o755))
		must(os.WriteFile(filepath.Join(dir, ".storage", "http"), fmt.Appendf(nil, `{"version": 2, "minor_version": 1, "key": "http", "data": {"pending": null, "yaml_migration_done": true, "stable": {"server_port": %d, "server_host": ["127.0.0.1"], "use_x_forwarded_for": true, "trusted_proxies": ["127.0.0.1/32"], "cors_allowed_origins": [], "login_attempts_threshold": 10, "ip_ban_enabled": true, "ssl_profile": "modern", "use_x_frame_options": true, "created_at": "2026-01-01T00:00:00+00:00", "error": null, "error_message": null}}}`, port), 0o644))
	}
	must(os.WriteFile(filepath.Join(dir, "configuration.yaml"), []byte(yaml), 0o644))
	log, err := os.Create(filepath.Join(t.TempDir(), "home-assistant.log"))
	must(err)
	c := exec.Command("bash", "../../lab/ha", "start", release, dir, fmt.Sprint(port))
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(c.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		_ = c.Wait()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("Home Assistant's log:\n%s", text[max(0, len(text)-4096):])
		}
		_ = log.Close()
	})
	base = fmt.Sprintf("http://127.0.0.1:%d", port)
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("Home Assistant does not start")
		}
	}
	out, err := exec.CommandContext(t.Context(), "bash", "../../lab/ha", "onboard", base).CombinedOutput()
	if err != nil {
		t.Fatalf("onboard: %v\n%s", err, out)
	}
	return dir, base
}
