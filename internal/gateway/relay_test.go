package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"gatehouse/internal/event"
)

// dialled reports whether a WebSocket reached Home Assistant since the last look.
func (h *house) dialled() bool {
	for _, r := range h.reached() {
		if r.Header.Get("Upgrade") != "" {
			return true
		}
	}
	return false
}

// Nothing of a socket reaches Home Assistant before its token is the device's own.
func TestSocketTokens(t *testing.T) {
	h := newHouse(t)
	olga := h.owner().loggedIn("demo", "demo")
	anna := h.member("Anna").loggedIn("anna", "anna")
	for name, first := range map[string]string{
		"no token":        `{"type":"auth"}`,
		"another's token": `{"type":"auth","access_token":"` + olga.access + `"}`,
		"an invented one": `{"type":"auth","access_token":"x"}`,
		"a command":       `{"id":1,"type":"get_states"}`,
		"an array":        `[{"type":"auth","access_token":"` + anna.access + `"}]`,
		"two tokens":      `{"type":"auth","access_token":"x","access_token":"` + anna.access + `"}`,
		"another case":    `{"type":"auth","Access_Token":"` + anna.access + `"}`,
		"something more":  `{"type":"auth","access_token":"` + anna.access + `","id":1}`,
		"no JSON":         `hello`,
		"too long":        `{"type":"auth","access_token":"` + strings.Repeat("a", 70<<10) + `"}`,
	} {
		c, status := anna.socket(nil)
		if c == nil {
			t.Fatalf("%s: %d", name, status)
		}
		anna.hears(c, `"auth_required"`)
		anna.say(c, first)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		for {
			_, got, err := c.Read(ctx)
			if err != nil {
				break
			}
			if bytes.Contains(got, []byte("auth_ok")) {
				t.Errorf("%s: heard %s", name, got)
			}
		}
		if ctx.Err() != nil {
			t.Errorf("%s: the socket stays open", name)
		}
		cancel()
	}
	if h.dialled() {
		t.Error("a socket reached Home Assistant")
	}
	c := anna.ready()
	anna.say(c, `{"id":1,"type":"auth/current_user"}`)
	anna.hears(c, `"Anna"`)
}

// A page of another site cannot use a known browser's cookie for a socket.
func TestSocketOrigin(t *testing.T) {
	h := newHouse(t)
	b := h.owner().loggedIn("demo", "demo")
	for _, origin := range []string{"https://evil.example", "https://house.test", "http://" + testHost, "null"} {
		if c, status := b.socket(map[string]string{"Origin": origin}); c != nil || status == http.StatusSwitchingProtocols {
			t.Errorf("%s opened a socket (%d)", origin, status)
		}
	}
	if c, status := b.socket(map[string]string{"Origin": "https://" + testHost}); c == nil {
		t.Errorf("our own page did not: %d", status)
	}
}

// Commands pass as they are, single, in arrays, large and in pieces; answers too.
func TestSocketPasses(t *testing.T) {
	h := newHouse(t)
	b := h.owner().loggedIn("demo", "demo")
	c := b.ready()
	b.say(c, `{"id":1,"type":"supported_features","features":{"coalesce_messages":1}}`)
	b.hears(c, `"id":1`)
	b.say(c, ` [{"id":2,"type":"ping"},{"id":3,"type":"ping"}] `)
	both := b.hears(c, `"pong"`)
	if !bytes.Contains(both, []byte(`"id":3`)) {
		b.hears(c, `"id":3`)
	}
	b.say(c, `{"id":4,"type":"get_states"}`)
	b.hears(c, `"light.`)
	b.say(c, `{"id":5,"type":"render_template","template":"`+strings.Repeat("x", 1<<20)+`"}`)
	b.hears(c, `"id":5`)
}

// What two readers could read in two ways ends the socket, and Home Assistant never sees it.
func TestSocketMessagesThatLie(t *testing.T) {
	h := newHouse(t)
	b := h.owner().loggedIn("demo", "demo")
	for _, message := range []string{
		`{"id":1,"type":"ping","type":"get_states"}`,
		`{"id":1,"type":"call_service","service_data":{"a":1,"a":2}}`,
		"\ufeff" + `{"id":1,"type":"ping"}`,
		`{"id":1,"type":"ping"}{"id":2,"type":"ping"}`,
		`[[{"id":1,"type":"ping"}]]`,
		`{"id":1,"type":"\ud800"}`,
		"{\"id\":1,\"type\":\"\xff\"}",
		`{"id":NaN,"type":"ping"}`,
		`"ping"`,
		strings.Repeat("[", 3000),
	} {
		c := b.ready()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		// The library refuses to write what is no UTF-8 only where it is told to; here it is not.
		b.h.must(c.Write(ctx, websocket.MessageText, []byte(message)))
		cancel()
		if code := b.silence(c); code != websocket.StatusPolicyViolation {
			t.Errorf("%.40q: closed with %d", message, code)
		}
	}
}

// A member is not given an add-on's session; what stands beside it passes.
func TestMemberOpensNoAddOnSession(t *testing.T) {
	h := newHouse(t)
	b := h.member("Anna").loggedIn("anna", "anna")
	c := b.ready()
	b.say(c, `[{"id":1,"type":"supervisor/api","endpoint":"/ingress/session","method":"post"},{"id":2,"type":"ping"}]`)
	b.hears(c, `{"id":1,"type":"result","success":false,"error":{"code":"unauthorized"`)
	b.hears(c, `"pong"`)
	b.say(c, `{"id":3,"type":"supervisor/ingress/session","slug":"core_ssh"}`)
	b.hears(c, `"unauthorized"`)
	b.say(c, `{"id":4,"type":"supervisor/api","endpoint":"/INGRESS/session","method":"post"}`)
	b.hears(c, `"id":4`)
}

// A revoked device loses its sockets and streams in under a second, and nobody else does.
func TestRevokedDeviceLosesItsSockets(t *testing.T) {
	h := newHouse(t)
	olga := h.owner().loggedIn("demo", "demo")
	anna := h.member("Anna").loggedIn("anna", "anna")
	sockets := []*websocket.Conn{anna.ready(), anna.ready()}
	hers := olga.ready()
	stream := olga.open(t.Context(), request{path: "/api/stream", header: map[string]string{"Authorization": "Bearer " + olga.access}})
	defer stream.Body.Close()
	if stream.StatusCode != http.StatusOK {
		t.Fatalf("the stream: %d", stream.StatusCode)
	}
	begun := time.Now()
	h.must(h.id.RevokeDevice(t.Context(), anna.device))
	for _, c := range sockets {
		if code := anna.silence(c); code != websocket.StatusPolicyViolation {
			t.Errorf("closed with %d", code)
		}
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("gone after %v", took)
	}
	h.reached()
	if c, _ := anna.socket(nil); c != nil { // its page was live, and is told
		anna.hears(c, `"auth_required"`)
		anna.say(c, `{"type":"auth","access_token":"`+anna.access+`"}`)
		anna.hears(c, `"auth_invalid"`)
	}
	if h.dialled() {
		t.Error("a socket of the revoked device reached Home Assistant")
	}
	olga.say(hers, `{"id":1,"type":"ping"}`)
	olga.hears(hers, `"pong"`)
	if !h.happened(event.SocketEnded) {
		t.Error("nothing was told")
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, stream.Body)
		ended <- err
	}()
	h.must(h.id.RevokeDevice(t.Context(), olga.device))
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the stream ended as if it were whole")
		}
	case <-time.After(time.Second):
		t.Error("the stream goes on")
	}
	olga.silence(hers)
}

// A session that runs out ends its sockets as one that is ended does.
func TestEndedSessionLosesItsSockets(t *testing.T) {
	h := newHouse(t)
	b := h.owner().loggedIn("demo", "demo")
	c := b.ready()
	h.must(h.id.SignOut(t.Context(), b.cookie))
	b.silence(c)
}

// A page that was live when its session ended is told so once; one that is just being
// loaded is not: that would cost a Home Assistant login (ha-frontend 4).
func TestEndedSessionIsTold(t *testing.T) {
	h := newHouse(t)
	b := h.owner().loggedIn("demo", "demo")
	c := b.ready()
	h.reached()
	h.must(h.id.SignOut(t.Context(), b.cookie))
	b.silence(c)
	again, _ := b.socket(nil)
	if again == nil {
		t.Fatal("the page is not told")
	}
	b.say(again, `{"type":"auth","access_token":"`+b.access+`"}`)
	b.hears(again, `"auth_required"`)
	b.hears(again, `"auth_invalid"`)
	b.silence(again)
	if c, status := b.socket(nil); c != nil || status != http.StatusUnauthorized {
		t.Errorf("told twice: %d", status)
	}
	h.pass(time.Minute)
	b.wants(b.navigate("/lovelace"), http.StatusUnauthorized, "page 1")
	if c, status := b.socket(nil); c != nil || status != http.StatusUnauthorized {
		t.Errorf("a page that is being loaded is told: %d", status)
	}
	if h.dialled() {
		t.Error("a socket reached Home Assistant")
	}
	if c, status := h.stranger().socket(nil); c != nil || status != http.StatusUnauthorized {
		t.Errorf("a stranger is told: %d", status)
	}
}

// The worker is passed with our lines in front, and its cached page ends where the session did.
func TestWorker(t *testing.T) {
	h := newHouse(t)
	b := h.owner().loggedIn("demo", "demo")
	got := b.do(request{path: "/sw-modern.js", header: map[string]string{"If-None-Match": `"x"`, "Accept-Encoding": "br, gzip"}})
	b.wants(got, http.StatusOK, "stopImmediatePropagation", "addEventListener")
	if !strings.HasPrefix(got.body, workerLines) || got.header.Get("Content-Length") != fmt.Sprint(len(got.body)) || got.header.Get("Etag") != "" {
		t.Errorf("the worker: %v, %.80s", got.header, got.body)
	}
	h.must(h.id.SignOut(t.Context(), b.cookie))
	b.navigate("/")
	b.wants(b.do(request{path: "/sw-modern.js"}), http.StatusOK, "unregister")
	b.do(request{path: "/_gatehouse/auth/static/gatehouse.css"}) // our page is what is shown
	b.wants(b.do(request{path: "/sw-modern.js"}), http.StatusUnauthorized)

	plain := newHouse(t, func(s *setting) { s.plain = true })
	o := plain.owner().loggedIn("demo", "demo")
	if got := o.do(request{path: "/sw-modern.js"}); strings.Contains(got.body, "_gatehouse") {
		t.Error("the worker is not left alone")
	}
}

// Bodies are passed on as they come, both ways, and are never kept whole.
func TestBodiesStream(t *testing.T) {
	const size = 64 << 20
	taken := make(chan int64, 1)
	h := newHouse(t, func(s *setting) {
		s.tap = func(w http.ResponseWriter, r *http.Request) bool {
			switch r.URL.Path {
			case "/api/backup/upload":
				n, _ := io.Copy(io.Discard, r.Body)
				taken <- n
			case "/api/backup/download/1":
				_, _ = io.Copy(w, io.LimitReader(zeros{}, size))
			default:
				return false
			}
			return true
		}
	})
	b := h.owner().loggedIn("demo", "demo")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+h.addr+"/api/backup/upload", io.LimitReader(zeros{}, size))
	h.must(err)
	r.Host, r.ContentLength = testHost, size
	r.Header.Set("Authorization", "Bearer "+b.access)
	r.Header.Set("Cookie", "__Host-gatehouse="+b.cookie)
	res, err := h.client.Do(r)
	h.must(err)
	_ = res.Body.Close()
	if n := <-taken; n != size || res.StatusCode != http.StatusOK {
		t.Errorf("%d of %d octets arrived, answered %d", n, size, res.StatusCode)
	}
	down := b.open(t.Context(), request{path: "/api/backup/download/1", header: map[string]string{"Authorization": "Bearer " + b.access}})
	n, err := io.Copy(io.Discard, down.Body)
	_ = down.Body.Close()
	if n != size || err != nil {
		t.Errorf("%d of %d octets came back, %v", n, size, err)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > size/4 {
		t.Errorf("%d MiB were allocated for 128 MiB that passed", grown>>20)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A client that does not read costs no memory: Home Assistant is held back with it.
func TestSlowReader(t *testing.T) {
	stalled := make(chan struct{})
	h := newHouse(t, func(s *setting) {
		s.tap = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/api/websocket" || r.Header.Get("X-Forwarded-For") == "" {
				return false
			}
			c, err := websocket.Accept(w, r, nil)
			if err != nil {
				return true
			}
			defer c.CloseNow()
			flood(r.Context(), c, stalled)
			return true
		}
	})
	b := h.owner().loggedIn("demo", "demo")
	c := b.ready()
	defer c.CloseNow()
	select {
	case <-stalled:
	case <-time.After(20 * time.Second):
		t.Fatal("Home Assistant was never held back")
	}
	var now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&now)
	if now.HeapAlloc > 64<<20 {
		t.Errorf("%d MiB are kept for one slow reader", now.HeapAlloc>>20)
	}
}

// flood says 1 MiB again and again until a write takes longer than a moment.
func flood(ctx context.Context, c *websocket.Conn, stalled chan<- struct{}) {
	say := func(text string) error { return c.Write(ctx, websocket.MessageText, []byte(text)) }
	if say(`{"type":"auth_required","ha_version":"2026.11.0"}`) != nil {
		return
	}
	if _, _, err := c.Read(ctx); err != nil {
		return
	}
	if say(`{"type":"auth_ok","ha_version":"2026.11.0"}`) != nil {
		return
	}
	big := `"` + strings.Repeat("x", 1<<20) + `"`
	for range 256 {
		short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		err := c.Write(short, websocket.MessageText, []byte(big))
		cancel()
		if err != nil {
			close(stalled)
			return
		}
	}
}

// An add-on's page and socket are the owner's alone, and end with the device.
func TestIngress(t *testing.T) {
	h := newHouse(t, func(s *setting) {
		s.tap = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.URL.Path, "/api/hassio_ingress/") {
				return false
			}
			if r.Header.Get("Upgrade") == "" {
				fmt.Fprintf(w, "add-on %s %s", r.Method, r.Header.Get("Authorization"))
				return true
			}
			c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"tty"}, InsecureSkipVerify: true})
			if err != nil {
				return true
			}
			defer c.CloseNow()
			for {
				kind, text, err := c.Read(r.Context())
				if err != nil || c.Write(r.Context(), kind, text) != nil {
					return true
				}
			}
		}
	})
	b := h.owner().loggedIn("demo", "demo")
	b.wants(b.do(request{method: "PATCH", path: "/api/hassio_ingress/abc/page", body: "x", header: map[string]string{"Authorization": "Basic eDp5"}}), http.StatusOK, "add-on PATCH Basic eDp5")
	dial := func(b *browser, origin string) (*websocket.Conn, error) {
		header := http.Header{"Cookie": {"__Host-gatehouse=" + b.cookie}, "Origin": {origin}}
		c, _, err := websocket.Dial(t.Context(), "ws://"+h.addr+"/api/hassio_ingress/abc/ws?x=1", &websocket.DialOptions{HTTPClient: h.client, HTTPHeader: header, Host: testHost, Subprotocols: []string{"tty"}})
		return c, err
	}
	c, err := dial(b, "https://"+testHost)
	h.must(err)
	defer c.CloseNow()
	if c.Subprotocol() != "tty" {
		t.Errorf("subprotocol %q", c.Subprotocol())
	}
	b.say(c, "not JSON at all")
	b.hears(c, "not JSON at all")
	if _, err := dial(b, "https://evil.example"); err == nil {
		t.Error("another site opens an add-on's socket")
	}
	if _, err := dial(h.member("Anna"), "https://"+testHost); err == nil {
		t.Error("a member opens an add-on's socket")
	}
	h.must(h.id.RevokeDevice(t.Context(), b.device))
	b.silence(c)
}

// Upgrades anywhere else are refused before Home Assistant sees them.
func TestUpgradeElsewhere(t *testing.T) {
	h := newHouse(t)
	b := h.owner().loggedIn("demo", "demo")
	for _, path := range []string{"/api/states", "/", "/api/webhook/abc", "/api/shelly/ws"} {
		_, res, err := websocket.Dial(t.Context(), "ws://"+h.addr+path, &websocket.DialOptions{HTTPClient: h.client, Host: testHost, HTTPHeader: http.Header{"Cookie": {"__Host-gatehouse=" + b.cookie}}})
		if err == nil || res == nil || res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %v", path, res)
		}
	}
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant", n)
	}
}

// Nothing that Home Assistant or something in it answers sets our cookie, names the server or
// ties the house's name to TLS.
func TestAnswerHeaders(t *testing.T) {
	dst := httptest.NewRecorder()
	answerHeaders(dst.Header(), http.Header{
		"Server": {"aiohttp"}, "X-Powered-By": {"x"}, "Alt-Svc": {"h3"}, "Strict-Transport-Security": {"max-age=9; preload"}, "Connection": {"X-Hop, keep-alive"}, "X-Hop": {"1"}, "Keep-Alive": {"1"},
		"Set-Cookie": {"ingress_session=1; Path=/", "__Host-gatehouse=stolen; Path=/", " __Host-gatehouse =x"}, "X-Kept": {"1"}, "Content-Length": {"3"},
	})
	got := dst.Header()
	if len(got) != 3 || len(got["Set-Cookie"]) != 1 || got.Get("X-Kept") != "1" || got.Get("Content-Length") != "3" {
		t.Errorf("passed on: %v", got)
	}
	fields := http.Header{"Strict-Transport-Security": {"ours"}}
	answerFields(fields, []field{{"Strict-Transport-Security", "max-age=9; preload"}, {"X-Kept", "1"}})
	if len(fields) != 2 || len(fields["Strict-Transport-Security"]) != 1 || fields.Get("Strict-Transport-Security") != "ours" {
		t.Errorf("passed on by the link: %v", fields)
	}
}
