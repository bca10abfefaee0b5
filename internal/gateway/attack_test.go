package gateway

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/ha"
	"gatehouse/internal/identity"
)

// issuerOf reads the issuer of a token, as anybody can who sees it or a signed path.
func issuerOf(t *testing.T, token string) string {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(payload), `"iss":"`)
	iss, _, _ := strings.Cut(after, `"`)
	return iss
}

// signature makes a signature that is none, for a path, in the name of an issuer.
func signature(iss, path string) string {
	part := base64.RawURLEncoding.EncodeToString
	now := time.Now().Unix()
	return part([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." +
		part(fmt.Appendf(nil, `{"iss":%q,"path":%q,"params":[],"iat":%d,"exp":%d}`, iss, path, now, now+600)) + "." + part(make([]byte, 32))
}

// Whoever has read an app's issuer in a signed path cannot sign: a made-up signature
// opens nothing that Home Assistant does not itself ask a signature for, lifts no ban,
// and counts.
func TestForgedSignature(t *testing.T) {
	h := newHouse(t)
	p := h.settled("Anna", ha.ClientIOS, "anna")
	iss := issuerOf(t, p.access)
	s := h.stranger()
	for _, path := range []string{"/", "/manifest.json", "/auth/providers", "/auth/authorize", "/static/a.js", "/sw-modern.js", "/api/webhook/" + p.webhook, "/api/webhook/x",
		"/local/x.png", "/api/tts_proxy/a.mp3", "/api/hls/abc/playlist.m3u8", "/api/image/serve/0/original", "/api/websocket", "/api/stream", "/api/hassio_ingress/abc/", "/api/onboarding"} {
		got := s.do(request{path: path + "?authSig=" + signature(iss, path)})
		if got.status == http.StatusOK || got.body != "" {
			t.Errorf("%s: %d %.80s", path, got.status, got.body)
		}
	}
	s.wants(s.do(request{method: "POST", path: "/api/services/light/toggle?authSig=" + signature(iss, "/api/services/light/toggle"), body: "{}"}), http.StatusUnauthorized)
	s.wants(s.do(request{path: "/api/states?authSig=" + signature(iss, "/api/config")}), http.StatusUnauthorized) // for another path
	if c, status := s.socket(map[string]string{"User-Agent": "curl"}); c != nil || status != http.StatusUnauthorized {
		t.Errorf("a socket: %d", status)
	}
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant", n)
	}
	for range 5 {
		s.wants(s.do(request{path: "/api/states?authSig=" + signature(iss, "/api/states")}), http.StatusUnauthorized)
	}
	if h.guard.Listens(visit().Addr) {
		t.Error("made-up signatures do not count")
	}
	h.reached()
	s.wants(s.do(request{path: "/api/states?authSig=" + signature(iss, "/api/states")}), http.StatusUnauthorized)
	if n := len(h.reached()); n != 0 {
		t.Error("a banned source reaches Home Assistant by a signature")
	}
}

// A browser that was revoked and is let in again gets on with what it kept of its old self.
func TestEnrolledAgain(t *testing.T) {
	h := newHouse(t)
	h.owner()
	old := h.member("Anna").loggedIn("anna", "anna")
	h.must(h.id.RevokeDevice(t.Context(), old.device))
	b := h.member("Anna")
	b.access, b.refresh = old.access, old.refresh
	b.wants(b.navigate("/"), http.StatusOK)
	b.wants(b.token(map[string][]string{"grant_type": {"refresh_token"}, "client_id": {clientID}, "refresh_token": {b.refresh}}), http.StatusBadRequest, "invalid_grant")
	c, _ := b.socket(nil)
	if c == nil {
		t.Fatal("its socket is refused")
	}
	b.say(c, `{"type":"auth","access_token":"`+b.access+`"}`)
	b.hears(c, `"auth_required"`)
	b.hears(c, `"auth_invalid"`)
	b.loggedIn("anna", "anna")
	b.wants(b.get("/api/states"), http.StatusOK)
}

// What a device asked for and held back is not done after it was revoked.
func TestHeldBackBody(t *testing.T) {
	for _, path := range []string{"/api/services/light/toggle", "/auth/login_flow", "/auth/token", "/api/mobile_app/registrations"} {
		h := newHouse(t)
		b := h.owner().loggedIn("demo", "demo")
		conn, err := net.Dial("tcp", h.addr)
		h.must(err)
		defer conn.Close()
		body := `{"entity_id":"light.kitchen_lights"}`
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nCookie: %s=%s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			path, testHost, identity.CookieName, b.cookie, b.access, len(body), body[:len(body)-1])
		before := h.home.State("light.kitchen_lights")
		deadline := time.Now().Add(5 * time.Second)
		for path == "/api/services/light/toggle" && h.Live() == 0 {
			if time.Now().After(deadline) {
				t.Fatal("the request does not arrive")
			}
			time.Sleep(time.Millisecond)
		}
		if path != "/api/services/light/toggle" {
			time.Sleep(50 * time.Millisecond)
		}
		h.must(h.id.RevokeDevice(t.Context(), b.device))
		_, _ = conn.Write([]byte(body[len(body)-1:]))
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		line, _ := bufio.NewReader(conn).ReadString('\n')
		if strings.Contains(line, " 200 ") || strings.Contains(line, " 201 ") {
			t.Errorf("%s: answered %q", path, line)
		}
		if now := h.home.State("light.kitchen_lights"); now != before {
			t.Errorf("%s: the light is %s", path, now)
		}
	}
}

// An app's web view that signed in as a browser has a browser's tokens.
func TestWebViewTokensNeedTheCookie(t *testing.T) {
	h := newHouse(t)
	p := h.phone("Anna", ha.ClientIOS)
	p.view.loggedIn("anna", "anna")
	without := &browser{h: h, access: p.view.access}
	without.wants(without.get("/api/states"), http.StatusUnauthorized)
	p.view.wants(p.view.get("/api/states"), http.StatusOK)
}

// The holder of a dead token does not have us ask Home Assistant again and again.
func TestRevokedTokenIsToldOnce(t *testing.T) {
	h := newHouse(t)
	p := h.settled("Anna", ha.ClientIOS, "anna")
	h.must(h.id.RevokeDevice(t.Context(), p.device))
	for range 3 {
		p.wants(p.refreshToken(), http.StatusBadRequest, "invalid_grant")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	told := 0
	for _, r := range h.tapped {
		if r.URL.Path == "/auth/revoke" {
			told++
		}
	}
	if told != 1 {
		t.Errorf("Home Assistant was told %d times", told)
	}
}
