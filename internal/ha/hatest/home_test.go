package hatest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/internal/ha/hatest"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// serve serves a home and returns a talk with it.
func serve(t *testing.T, opt hatest.Options) (*hatest.Home, *talk) {
	t.Helper()
	home := hatest.New(opt)
	server := httptest.NewServer(home)
	t.Cleanup(func() {
		home.Hangup()
		server.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return home, &talk{t: t, end: end{url: server.URL, version: hatest.Latest, username: "demo", password: "demo"}, host: u.Host}
}

func (k *talk) status(want int, r *request) answer {
	k.t.Helper()
	a := k.ask("", r.quietly())
	if a.status != want {
		k.t.Fatalf("%s %.80s: %d %.200s, want %d", r.method, r.target, a.status, a.body, want)
	}
	return a
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestNewIsQuick(t *testing.T) {
	best := time.Hour
	for range 5 {
		begun := time.Now()
		hatest.New(hatest.Options{})
		best = min(best, time.Since(begun))
	}
	if best > 50*time.Millisecond {
		t.Errorf("New took %v", best)
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		hatest.New(hatest.Options{})
	}
}

func TestTapSeesEveryRequest(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	_, k := serve(t, hatest.Options{Tap: func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Method+" "+r.URL.Path)
	}})
	k.status(http.StatusUnauthorized, ask("GET", "/api/"))
	k.status(http.StatusBadRequest, ask("GET", "/api/../x"))
	if got := strings.Join(seen, ", "); got != "GET /api/, GET /api/../x" {
		t.Errorf("tapped %s", got)
	}
}

func TestForwardedFromNobodyTrusted(t *testing.T) {
	_, k := serve(t, hatest.Options{})
	k.status(http.StatusBadRequest, ask("GET", "/").with("X-Forwarded-For", "203.0.113.9"))
	k.status(http.StatusOK, ask("GET", "/"))
}

func TestServiceChangesState(t *testing.T) {
	home, k := serve(t, hatest.Options{})
	l := k.login(k.signIn("anna", "anna").access)
	defer l.close()
	for _, c := range []struct{ domain, service, entity, want string }{
		{"lock", "unlock", "lock.front_door", "unlocked"},
		{"cover", "open_cover", "cover.garage_door", "open"},
		{"light", "turn_off", "light.kitchen_lights", "off"},
		{"homeassistant", "turn_on", "light.kitchen_lights", "on"},
		{"homeassistant", "turn_off", "cover.garage_door", "open"},
		{"homeassistant", "toggle", "cover.garage_door", "closed"},
		{"homeassistant", "toggle", "lock.front_door", "unlocked"},
		{"script", "good_night", "light.kitchen_lights", "off"},
	} {
		l.command(object{"type": "call_service", "domain": c.domain, "service": c.service, "target": object{"entity_id": c.entity}})
		if got := home.State(c.entity); got != c.want {
			t.Errorf("%s.%s: %s is %s, want %s", c.domain, c.service, c.entity, got, c.want)
		}
	}
	if _, failed := l.command(object{"type": "call_service", "domain": "alarm_control_panel", "service": "alarm_arm_away", "service_data": object{"entity_id": "alarm_control_panel.security", "code": "0000"}}); failed == nil {
		t.Error("a wrong code armed the alarm")
	}
	if _, failed := l.command(object{"type": "call_service", "domain": "light", "service": "turn_on", "target": object{"area_id": "kitchen"}}); failed != nil || home.State("light.kitchen_lights") != "on" {
		t.Errorf("by area: %v, %s", failed, home.State("light.kitchen_lights"))
	}
}

func TestConversationUnlocks(t *testing.T) {
	home, k := serve(t, hatest.Options{})
	k.status(http.StatusOK, ask("POST", "/api/conversation/process").bearer(k.signIn("anna", "anna").access).json(object{"text": "Turn off the front door"}))
	if got := home.State("lock.front_door"); got != "unlocked" {
		t.Errorf("the front door is %s", got)
	}
}

func TestHangup(t *testing.T) {
	home, k := serve(t, hatest.Options{})
	token := k.signIn("demo", "demo").access
	l := k.login(token)
	stream := k.status(http.StatusOK, &request{method: "GET", target: "/api/states/camera.demo_camera", head: [][2]string{{"Authorization", "Bearer " + token}}})
	camera, _ := stream.object()["attributes"].(object)["access_token"].(string)
	ends := make(chan error, 2)
	for _, target := range []string{"/api/stream", "/api/camera_proxy_stream/camera.demo_camera?token=" + camera} {
		ask, err := http.NewRequestWithContext(t.Context(), http.MethodGet, k.end.url+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		ask.Header.Set("Authorization", "Bearer "+token)
		got, err := http.DefaultClient.Do(ask)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer func() { _ = got.Body.Close() }()
			_, err := io.Copy(io.Discard, got.Body)
			ends <- err
		}()
	}
	eventually(t, "three are open", func() bool { return home.Live() == 3 })
	home.Hangup()
	if got := l.hear(); got != "closed with 1000" {
		t.Errorf("the socket: %v", got)
	}
	for range 2 {
		if err := <-ends; err != nil {
			t.Errorf("a stream: %v", err)
		}
	}
	eventually(t, "nothing is open", func() bool { return home.Live() == 0 })
	k.status(http.StatusOK, ask("GET", "/api/").bearer(token))
}

func TestRunEndsInOrder(t *testing.T) {
	home, k := serve(t, hatest.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- home.Run(ctx) }()
	l := k.login(k.signIn("demo", "demo").access)
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if got := l.hear(); got != "closed with 1000" {
		t.Errorf("the socket: %v", got)
	}
	eventually(t, "nothing is open", func() bool { return home.Live() == 0 })
}

func TestTimePasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home := hatest.New(hatest.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- home.Run(ctx) }()
		// picture asks for the camera's picture with a token.
		picture := func(token string) int {
			w := httptest.NewRecorder()
			home.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/camera_proxy/camera.demo_camera?token="+token, nil))
			return w.Code
		}
		first := cameraToken(home)
		warm := home.State("sensor.outside_temperature")
		time.Sleep(25 * time.Second)
		if got := home.State("sensor.outside_temperature"); got == warm {
			t.Errorf("the temperature stays %s", got)
		}
		time.Sleep(5 * time.Minute)
		if cameraToken(home) == first || picture(first) != http.StatusOK {
			t.Error("after one turn the old token must be good beside a new one")
		}
		time.Sleep(5 * time.Minute)
		if got := picture(first); got != http.StatusForbidden {
			t.Errorf("after two turns the old token gives %d", got)
		}
		if got := picture(cameraToken(home)); got != http.StatusOK {
			t.Errorf("the newest gives %d", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// cameraToken reads it as the owner, who logs in for it.
func cameraToken(home *hatest.Home) string {
	const client = "http://example.com/"
	do := func(r *http.Request) answer {
		w := httptest.NewRecorder()
		home.ServeHTTP(w, r)
		return answer{status: w.Code, body: w.Body.Bytes()}
	}
	post := func(path, body string) answer {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		if strings.HasPrefix(body, "grant") {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return do(r)
	}
	flow := post("/auth/login_flow", text(object{"client_id": client, "redirect_uri": client, "handler": []any{"homeassistant", nil}})).text("flow_id")
	code := post("/auth/login_flow/"+flow, text(object{"client_id": client, "username": "demo", "password": "demo"})).text("result")
	access := post("/auth/token", "grant_type=authorization_code&client_id="+url.QueryEscape(client)+"&code="+code).text("access_token")
	r := httptest.NewRequest(http.MethodGet, "/api/states/camera.demo_camera", nil)
	r.Header.Set("Authorization", "Bearer "+access)
	attributes, _ := do(r).object()["attributes"].(object)
	token, _ := attributes["access_token"].(string)
	return token
}

// pipes is a listener in memory, so that a test may stop the time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func TestSilentSockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home := hatest.New(hatest.Options{})
		listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		server := &http.Server{Handler: home}
		go func() { _ = server.Serve(listener) }()
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			listener.conns <- theirs
			return ours, nil
		}}
		begun := time.Now()
		conn, _, err := websocket.Dial(t.Context(), "ws://127.0.0.1/api/websocket", &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, _, err = conn.Read(t.Context())
		if got := websocket.CloseStatus(err); got != websocket.StatusNormalClosure || time.Since(begun) != 10*time.Second {
			t.Errorf("closed with %v after %v: %v", got, time.Since(begun), err)
		}
		synctest.Wait()
		if home.Live() != 0 {
			t.Errorf("%d are open", home.Live())
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		transport.CloseIdleConnections()
	})
}

// A client that does not read is dropped, and nobody waits for it.
func TestSlowReaders(t *testing.T) {
	home, k := serve(t, hatest.Options{})
	slow, other := k.login(k.signIn("demo", "demo").access), k.login(k.signIn("demo", "demo").access)
	slow.command(object{"type": "subscribe_events", "event_type": "flood"})
	eventually(t, "both are open", func() bool { return home.Live() == 2 })
	large := strings.Repeat("x", 8<<10)
	for range 8000 {
		if _, failed := other.command(object{"type": "fire_event", "event_type": "flood", "event_data": object{"x": large}}); failed != nil {
			t.Fatal(failed)
		}
		if home.Live() == 1 {
			return
		}
	}
	t.Error("it was never dropped")
}

func TestOnboarding(t *testing.T) {
	_, k := serve(t, hatest.Options{NotOnboarded: true})
	client := k.end.url + "/"
	if a := k.status(http.StatusFound, ask("GET", "/")); a.head.Get("Location") != "/onboarding.html" {
		t.Errorf("a fresh home sends to %s", a.head.Get("Location"))
	}
	if a := k.status(http.StatusBadRequest, ask("GET", "/auth/providers")); a.text("code") != "onboarding_required" {
		t.Errorf("providers: %s", a.body)
	}
	k.status(http.StatusOK, ask("GET", "/api/onboarding"))
	owner := object{"client_id": client, "name": "Olga", "username": "Olga", "password": "", "language": "en"}
	a := k.status(http.StatusOK, ask("POST", "/api/onboarding/users").json(owner))
	k.status(http.StatusForbidden, ask("POST", "/api/onboarding/users").json(owner))
	p := k.exchange(client, a.text("auth_code"))
	k.status(http.StatusUnauthorized, ask("POST", "/api/onboarding/core_config"))
	for _, step := range []string{"core_config", "analytics"} {
		k.status(http.StatusOK, ask("POST", "/api/onboarding/"+step).bearer(p.access).json(object{}))
		k.status(http.StatusForbidden, ask("POST", "/api/onboarding/"+step).bearer(p.access).json(object{}))
	}
	a = k.status(http.StatusOK, ask("POST", "/api/onboarding/integration").bearer(p.access).json(object{"client_id": client, "redirect_uri": client}))
	k.exchange(client, a.text("auth_code"))
	k.status(http.StatusOK, ask("GET", "/"))
	k.signIn("olga", "")
	l := k.login(p.access)
	l.command(object{"type": "call_service", "domain": "homeassistant", "service": "restart"})
	if got := l.hear(); got != "closed with 1000" {
		t.Errorf("after the restart: %v", got)
	}
	k.status(http.StatusNotFound, ask("GET", "/api/onboarding"))
	k.status(http.StatusNotFound, ask("POST", "/api/onboarding/users").json(owner))
}

func TestSettingsOnTrial(t *testing.T) {
	now := &clock{now: time.Now()}
	_, k := serve(t, hatest.Options{Now: now.Now})
	token := k.signIn("demo", "demo").access
	config := object{"server_port": 8123, "server_host": []any{"127.0.0.1"}, "use_x_forwarded_for": true, "trusted_proxies": []any{"127.0.0.1"}}
	forwarded := func() *request { return ask("GET", "/").with("X-Forwarded-For", "203.0.113.9") }
	configure := func(config any) bool {
		l := k.login(token)
		result, failed := l.command(object{"type": "http/config/configure", "config": config})
		if failed != nil {
			t.Fatal(failed)
		}
		restart := result.(object)["restart"] == true
		if !restart {
			l.close()
		} else if got := l.hear(); got != "closed with 1000" {
			t.Errorf("after the restart: %v", got)
		}
		return restart
	}
	k.status(http.StatusBadRequest, forwarded())
	if !configure(config) {
		t.Fatal("new settings need no restart")
	}
	k.status(http.StatusOK, forwarded())
	now.pass(5 * time.Minute)
	k.status(http.StatusBadRequest, forwarded())

	if !configure(config) {
		t.Fatal("a trial that failed is not tried again")
	}
	l := k.login(token)
	result, _ := l.command(object{"type": "http/config"})
	if got := result.(object)["active_config_type"]; got != "pending" {
		t.Errorf("what holds is %v", got)
	}
	if _, failed := l.command(object{"type": "http/config/promote"}); failed != nil {
		t.Fatal(failed)
	}
	now.pass(10 * time.Minute)
	k.status(http.StatusOK, forwarded())
	if _, failed := l.command(object{"type": "get_config"}); failed != nil {
		t.Errorf("the socket did not outlive the promotion: %v", failed)
	}
	if configure(config) {
		t.Error("the same settings want a restart")
	}
}

func TestTokensEnd(t *testing.T) {
	now := &clock{now: time.Now()}
	_, k := serve(t, hatest.Options{Now: now.Now})
	p := k.signIn("anna", "anna")
	k.status(http.StatusOK, ask("GET", "/api/").bearer(p.access))
	now.pass(31 * time.Minute)
	k.status(http.StatusUnauthorized, ask("GET", "/api/").bearer(p.access))
	refresh := func() *request {
		return ask("POST", "/auth/token").form("grant_type", "refresh_token", "client_id", p.client, "refresh_token", p.refresh)
	}
	k.status(http.StatusOK, refresh())
	now.pass(91 * 24 * time.Hour)
	k.status(http.StatusBadRequest, refresh())

	id := k.begin(p.client)
	code := k.status(http.StatusOK, ask("POST", "/auth/login_flow/"+id).json(object{"client_id": p.client, "username": "anna", "password": "anna"})).text("result")
	now.pass(11 * time.Minute)
	k.status(http.StatusBadRequest, ask("POST", "/auth/token").form("grant_type", "authorization_code", "client_id", p.client, "code", code))
}

func TestSecondFactorFromOptions(t *testing.T) {
	const secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
	now := &clock{now: time.Now()}
	_, k := serve(t, hatest.Options{Now: now.Now, Users: []hatest.User{{Name: "Mia", Username: "mia", Password: "mia", TOTPSecret: secret}}})
	client := k.end.url + "/"
	first := func() string {
		id := k.begin(client)
		if a := k.status(http.StatusOK, ask("POST", "/auth/login_flow/"+id).json(object{"client_id": client, "username": "mia", "password": "mia"})); a.text("step_id") != "mfa" {
			t.Fatalf("no code is asked for: %s", a.body)
		}
		return id
	}
	code := func(id string) answer {
		return k.status(http.StatusOK, ask("POST", "/auth/login_flow/"+id).json(object{"client_id": client, "code": totp(secret, now.Now().Add(-30*time.Second))}))
	}
	if a := code(first()); a.text("type") != "create_entry" {
		t.Errorf("the code before: %s", a.body)
	}
	id := first()
	now.pass(6 * time.Minute)
	if a := code(id); a.text("reason") != "login_expired" {
		t.Errorf("after six minutes: %s", a.body)
	}
}

func TestInactiveAndLocalOnly(t *testing.T) {
	_, k := serve(t, hatest.Options{
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		Users:          []hatest.User{{Name: "Ina", Username: "ina", Inactive: true}, {Name: "Lars", Username: "lars", LocalOnly: true}},
	})
	client := k.end.url + "/"
	login := func(from, username string) answer {
		o := object{"client_id": client, "redirect_uri": client, "handler": []any{"homeassistant", nil}}
		id := k.status(http.StatusOK, ask("POST", "/auth/login_flow").with("X-Forwarded-For", from).json(o)).text("flow_id")
		return k.ask("", ask("POST", "/auth/login_flow/"+id).with("X-Forwarded-For", from).json(object{"client_id": client, "username": username, "password": ""}).quietly())
	}
	for _, c := range []struct {
		from, username string
		want           int
	}{
		{"192.168.1.2", "ina", 403}, {"192.168.1.2", "lars", 200}, {"100.64.1.1", "lars", 403}, {"fd00::1", "lars", 200}, {"2001:db8::1", "lars", 403},
	} {
		if a := login(c.from, c.username); a.status != c.want {
			t.Errorf("%s from %s: %d %s, want %d", c.username, c.from, a.status, a.body, c.want)
		}
	}
}

func TestPhoneIsGoneAfterRestart(t *testing.T) {
	home, k := serve(t, hatest.Options{})
	p := k.signIn("demo", "demo")
	a := k.status(http.StatusCreated, ask("POST", "/api/mobile_app/registrations").bearer(p.access).json(object{
		"app_id": "x", "app_name": "x", "app_version": "1", "device_id": "x", "device_name": "Pixel", "manufacturer": "x", "model": "x", "os_name": "x", "os_version": "1", "supports_encryption": true,
	}))
	hook, secret := "/api/webhook/"+a.text("webhook_id"), a.text("secret")
	say := func(kind, data string) *request {
		return ask("POST", hook).json(object{"type": kind, "encrypted": true, "encrypted_data": seal(secret, data)})
	}
	k.status(http.StatusOK, say("call_service", `{"domain":"lock","service":"unlock","service_data":{"entity_id":"lock.front_door"}}`))
	if home.State("lock.front_door") != "unlocked" {
		t.Error("the phone did not unlock")
	}
	k.status(http.StatusOK, say("update_location", `{"location_name":"home"}`))
	if home.State("device_tracker.pixel") != "home" {
		t.Errorf("the phone is at %s", home.State("device_tracker.pixel"))
	}
	l := k.login(p.access)
	l.command(object{"type": "mobile_app/push_notification_channel", "webhook_id": a.text("webhook_id")})
	channel := l.id
	l.id++
	l.send(text(object{"id": l.id, "type": "call_service", "domain": "notify", "service": "mobile_app_pixel", "service_data": object{"message": "hello"}}))
	m, _ := l.hear().(object)
	if event, _ := m["event"].(object); m["id"] != float64(channel) || event["message"] != "hello" {
		t.Errorf("pushed: %v", m)
	}
	entries := k.status(http.StatusOK, ask("GET", "/api/config/config_entries/entry").bearer(p.access))
	var id string
	if _, rest, ok := strings.Cut(string(entries.body), `"entry_id":"`); ok {
		id, _, _ = strings.Cut(rest, `"`)
	}
	k.status(http.StatusOK, ask("DELETE", "/api/config/config_entries/entry/"+id).bearer(p.access))
	k.status(http.StatusOK, say("get_zones", "{}"))
	k.status(http.StatusOK, ask("POST", "/api/services/homeassistant/restart").bearer(p.access).json(object{}))
	k.status(http.StatusGone, say("get_zones", "{}"))
	k.status(http.StatusMethodNotAllowed, ask("GET", hook))
}

func TestDoorbellIsForTheHouse(t *testing.T) {
	_, k := serve(t, hatest.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	l := k.login(k.signIn("demo", "demo").access)
	defer l.close()
	l.command(object{"type": "subscribe_events", "event_type": "doorbell_pressed"})
	k.status(http.StatusOK, ask("POST", "/api/webhook/demo-doorbell").with("X-Forwarded-For", "203.0.113.9"))
	l.send(`{"id":99,"type":"ping"}`)
	if m, _ := l.hear().(object); m["type"] != "pong" {
		t.Errorf("rung from outside: %v", m)
	}
	k.status(http.StatusOK, ask("POST", "/api/webhook/demo-doorbell").with("X-Forwarded-For", "192.168.1.2"))
	if m, _ := l.hear().(object); m["type"] != "event" {
		t.Errorf("rung from home: %v", m)
	}
}

func TestIngress(t *testing.T) {
	_, k := serve(t, hatest.Options{})
	l := k.login(k.signIn("anna", "anna").access)
	defer l.close()
	result, failed := l.command(object{"type": "supervisor/api", "endpoint": "/addons/demo_echo/info", "method": "get"})
	if failed != nil {
		t.Fatal(failed)
	}
	entry := result.(object)["ingress_entry"].(string)
	if _, failed := l.command(object{"type": "supervisor/api", "endpoint": "/supervisor/info", "method": "get"}); failed["code"] != "unauthorized" {
		t.Errorf("a member asks the supervisor: %v", failed)
	}
	k.status(http.StatusUnauthorized, ask("GET", entry+"/"))
	result, failed = l.command(object{"type": "supervisor/ingress/session", "slug": "demo_echo"})
	if failed != nil {
		t.Fatal(failed)
	}
	cookie := "ingress_session=" + result.(object)["session"].(string)
	if a := k.status(http.StatusOK, ask("PUT", entry+"/a/b").with("Cookie", cookie).send("text/plain", "hello")); string(a.body) != "PUT /a/b\nhello" {
		t.Errorf("echoed %s", a.body)
	}
	conn, _, err := websocket.Dial(t.Context(), "ws://"+k.host+entry+"/socket", &websocket.DialOptions{HTTPHeader: http.Header{"Cookie": {cookie}}, Subprotocols: []string{"tty"}})
	if err != nil {
		t.Fatal(err)
	}
	if conn.Subprotocol() != "tty" {
		t.Errorf("the subprotocol is %q", conn.Subprotocol())
	}
	if err := conn.Write(t.Context(), websocket.MessageBinary, []byte("hi")); err != nil {
		t.Fatal(err)
	}
	if _, data, err := conn.Read(t.Context()); err != nil || string(data) != "hi" {
		t.Errorf("echoed %q, %v", data, err)
	}
	_ = conn.CloseNow()
}

// count is a reader of n bytes that says how far it was read.
type count struct{ left int }

func (c *count) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), c.left)
	c.left -= n
	return n, nil
}

func TestBackupsStream(t *testing.T) {
	_, k := serve(t, hatest.Options{})
	token := k.signIn("demo", "demo").access
	const size = 64 << 20
	body := io.MultiReader(strings.NewReader("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.tar\"\r\n\r\n"), &count{size}, strings.NewReader("\r\n--b--\r\n"))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, k.end.url+"/api/backup/upload?agent_id=backup.local", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(got.Body)
	_ = got.Body.Close()
	if err != nil || got.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s %v", got.StatusCode, data, err)
	}
	id := answer{body: data}.text("backup_id")
	if a := k.status(http.StatusOK, ask("GET", "/api/backup/download/"+id+"?agent_id=backup.local").bearer(token)); len(a.body) != size {
		t.Errorf("downloaded %d bytes", len(a.body))
	}
}

func TestSpeech(t *testing.T) {
	_, k := serve(t, hatest.Options{})
	a := k.status(http.StatusOK, ask("POST", "/api/tts_get_url").bearer(k.signIn("anna", "anna").access).json(object{"engine_id": "tts.demo", "message": "hello"}))
	if a := k.status(http.StatusOK, ask("GET", a.text("path"))); string(a.body[:4]) != "RIFF" {
		t.Errorf("heard %q", a.body[:4])
	}
}

func TestEventStream(t *testing.T) {
	_, k := serve(t, hatest.Options{})
	token := k.signIn("demo", "demo").access
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, k.end.url+"/api/stream?restrict=state_changed", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = got.Body.Close() }()
	lines := bufio.NewScanner(got.Body)
	if !lines.Scan() || lines.Text() != "data: ping" {
		t.Fatalf("first: %q", lines.Text())
	}
	k.status(http.StatusOK, ask("POST", "/api/events/other").bearer(token).json(object{}))
	k.status(http.StatusOK, ask("POST", "/api/services/light/turn_off").bearer(token).json(object{"entity_id": "light.kitchen_lights"}))
	for lines.Scan() {
		if lines.Text() != "" {
			break
		}
	}
	if !strings.Contains(lines.Text(), `"event_type":"state_changed"`) || !strings.Contains(lines.Text(), "light.kitchen_lights") {
		t.Errorf("heard %s", lines.Text())
	}
}

func TestCompression(t *testing.T) {
	_, k := serve(t, hatest.Options{})
	token := k.signIn("demo", "demo").access
	for accept, want := range map[string]string{"gzip, deflate": "deflate", "gzip": "gzip", "identity": ""} {
		if a := k.status(http.StatusOK, ask("GET", "/api/states").bearer(token).with("Accept-Encoding", accept)); a.head.Get("Content-Encoding") != want {
			t.Errorf("%s: %q", accept, a.head.Get("Content-Encoding"))
		}
	}
	conn, got, err := websocket.Dial(t.Context(), "ws://"+k.host+"/api/websocket", &websocket.DialOptions{CompressionMode: websocket.CompressionContextTakeover})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	if !strings.Contains(got.Header.Get("Sec-Websocket-Extensions"), "permessage-deflate") {
		t.Error("no compression")
	}
}

func TestCoalescing(t *testing.T) {
	_, k := serve(t, hatest.Options{})
	l := k.login(k.signIn("demo", "demo").access)
	defer l.close()
	l.command(object{"type": "supported_features", "features": object{"coalesce_messages": 1}})
	var many []string
	for id := 2; id < 200; id++ {
		many = append(many, fmt.Sprintf(`{"id":%d,"type":"ping"}`, id))
	}
	l.send("[" + strings.Join(many, ",") + "]")
	heard, arrays := 0, 0
	for heard < len(many) {
		switch m := l.hear().(type) {
		case []any:
			heard += len(m)
			arrays++
		case object:
			heard++
		default:
			t.Fatal(m)
		}
	}
	if arrays == 0 {
		t.Error("no array came")
	}
}

// The page's files name each other by what they hold.
func TestPage(t *testing.T) {
	_, k := serve(t, hatest.Options{})
	for _, path := range []string{"/", "/auth/authorize", "/onboarding.html", "/sw-modern.js", "/manifest.json", "/static/icons/favicon.ico"} {
		a := k.status(http.StatusOK, ask("GET", path))
		for _, part := range strings.Split(string(a.body), `"`) {
			if strings.HasPrefix(part, "/frontend_latest/") && len(part) > len("/frontend_latest/") {
				file := k.status(http.StatusOK, ask("GET", part))
				if file.head.Get("Cache-Control") != "public, max-age=2678400" {
					t.Errorf("%s: %s", part, file.head.Get("Cache-Control"))
				}
				k.status(http.StatusNotModified, ask("GET", part).with("If-None-Match", file.head.Get("ETag")))
			}
		}
	}
}

// Many at once, for the race detector.
func TestManyAtOnce(t *testing.T) {
	home, k := serve(t, hatest.Options{})
	token := k.signIn("demo", "demo").access
	var all sync.WaitGroup
	for i := range 8 {
		l := k.login(token)
		all.Go(func() {
			defer l.close()
			for n := range 20 {
				id := strconv.Itoa(3*n + 1)
				for _, frame := range []string{
					`{"id":` + id + `,"type":"subscribe_entities"}`,
					`{"id":` + strconv.Itoa(3*n+2) + `,"type":"call_service","domain":"light","service":"toggle","target":{"entity_id":"light.bed_light"}}`,
					`{"id":` + strconv.Itoa(3*n+3) + `,"type":"unsubscribe_events","subscription":` + id + `}`,
				} {
					if err := l.conn.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
						t.Error(i, err)
						return
					}
				}
				for {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					_, data, err := l.conn.Read(ctx)
					cancel()
					if err != nil {
						t.Error(i, errors.Unwrap(err))
						return
					}
					if strings.Contains(string(data), `"id":`+strconv.Itoa(3*n+3)+`,`) {
						break
					}
				}
			}
		})
	}
	all.Wait()
	eventually(t, "nothing is open", func() bool { return home.Live() == 0 })
}
