package gateway

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/guard"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// A stranger gets the refusal that fits what asks, and nothing of it reaches Home Assistant.
func TestStrangerReachesNothing(t *testing.T) {
	h := newHouse(t)
	known := h.owner().loggedIn("demo", "demo")
	s := h.stranger()
	const app = "Home Assistant/2026.8.1-20000 (Android 16; Pixel 9)"
	for _, c := range []struct {
		name string
		ask  request
		want int
		page Page
	}{
		{"a navigation", request{path: "/lovelace/0", header: map[string]string{"Sec-Fetch-Mode": "navigate"}}, 401, PageSignIn},
		{"a navigation of an old browser", request{path: "/", header: map[string]string{"Accept": "text/html,*/*"}}, 401, PageSignIn},
		{"an app's web view", request{path: "/", header: map[string]string{"Sec-Fetch-Mode": "navigate", "User-Agent": app}}, 200, PageSignIn},
		{"a script that says html", request{path: "/", header: map[string]string{"Sec-Fetch-Mode": "cors", "Accept": "text/html"}}, 401, -1},
		{"the API", request{path: "/api/states"}, 401, -1},
		{"a static file", request{path: "/static/icons/favicon.ico"}, 401, -1},
		{"the worker", request{path: "/sw-modern.js"}, 401, -1},
		{"what is nothing", request{path: "/api/nothing"}, 401, -1},
		{"onboarding", request{path: "/api/onboarding"}, 401, -1},
		{"a login", request{method: "POST", path: "/auth/login_flow", body: `{"client_id":"` + clientID + `"}`}, 401, -1},
		{"a refresh", request{method: "POST", path: "/auth/token", body: "grant_type=refresh_token&refresh_token=" + known.refresh, header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}, 503, -1},
		{"a webhook", request{method: "POST", path: "/api/webhook/" + strings.Repeat("a", 64), body: "{}"}, 403, -1},
		{"somebody's token", request{path: "/api/states", header: map[string]string{"Authorization": "Bearer " + known.access}}, 401, -1},
		{"a token in the query", request{path: "/api/states?token=" + known.access}, 401, -1},
		{"a forwarded address", request{path: "/api/states", header: map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Real-Ip": "127.0.0.1"}}, 401, -1},
		{"a made-up cookie", request{path: "/api/states", header: map[string]string{"Cookie": "__Host-gatehouse=" + strings.Repeat("a", 43)}}, 401, -1},
	} {
		got := s.do(c.ask)
		if got.status != c.want {
			t.Errorf("%s: answered %d, want %d", c.name, got.status, c.want)
		}
		if isPage := got.body != ""; isPage != (c.page >= 0) {
			t.Errorf("%s: answered %q", c.name, got.body)
		}
		if got.header.Get("Www-Authenticate") != "" || got.header.Get("Server") != "" || got.header.Get("Location") != "" {
			t.Errorf("%s: says too much: %v", c.name, got.header)
		}
	}
	if c, status := s.socket(nil); c != nil || status != http.StatusUnauthorized {
		t.Errorf("a socket: %d, want 401", status)
	}
	if all := h.reached(); len(all) != 0 {
		t.Errorf("%d requests reached Home Assistant, the first %s", len(all), all[0].URL)
	}
}

// What is refused looks the same whatever the reason.
func TestEveryRefusalLooksAlike(t *testing.T) {
	h := newHouse(t)
	known := h.owner().loggedIn("demo", "demo")
	gone := h.member("Anna").loggedIn("anna", "anna")
	h.must(h.id.RevokeDevice(t.Context(), gone.device))
	s := h.stranger()
	same := func(got answer) string {
		got.header.Del("Date")
		return strings.Join([]string{http.StatusText(got.status), got.body, strings.Join(sorted(got.header), "|")}, "\n")
	}
	first := same(s.do(request{path: "/api/states"}))
	for name, q := range map[string]request{
		"no route":              {path: "/api/x"},
		"never published":       {path: "/api/onboarding"},
		"unknown token":         {path: "/api/states", header: map[string]string{"Authorization": "Bearer x"}},
		"known token":           {path: "/api/states", header: map[string]string{"Authorization": "Bearer " + known.access}},
		"revoked token":         {path: "/api/states", header: map[string]string{"Authorization": "Bearer " + gone.access}},
		"cookie of the revoked": {path: "/api/states", header: map[string]string{"Cookie": "__Host-gatehouse=" + gone.cookie}},
		"an entity's picture":   {path: "/api/camera_proxy/camera.front_door?token=1"},
		"an upload":             {method: "POST", path: "/api/backup/upload", body: "x"},
	} {
		if got := same(s.do(q)); got != first {
			t.Errorf("%s differs:\n%s\nfrom\n%s", name, got, first)
		}
	}
	for range 6 {
		h.guard.Fail(guard.Failure{Addr: visit().Addr, Kind: guard.SignIn})
	}
	if got := same(s.do(request{path: "/api/states"})); got != first {
		t.Errorf("not being listened to differs:\n%s\nfrom\n%s", got, first)
	}
	h.setHome(HomeFresh)
	if got := same(s.do(request{path: "/api/states"})); got != first {
		t.Errorf("an unfinished home differs:\n%s\nfrom\n%s", got, first)
	}
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant", n)
	}
}

func sorted(header http.Header) (lines []string) {
	var b strings.Builder
	_ = header.Write(&b)
	return strings.Split(b.String(), "\r\n")
}

// A known device reaches Home Assistant, which is told exactly one address and
// nothing that the client made up, and never sees our cookie.
func TestKnownDeviceReachesHome(t *testing.T) {
	h := newHouse(t)
	b := h.owner().loggedIn("demo", "demo")
	got := b.do(request{path: "/api/states?x=%20y&z", header: map[string]string{
		"Authorization": "Bearer " + b.access, "X-Forwarded-For": "1.2.3.4, 5.6.7.8", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http",
		"Forwarded": "for=1.2.3.4", "X-Real-IP": "1.2.3.4", "X-Ingress-Path": "/", "X-Remote-User-Id": "1", "True-Client-IP": "1.2.3.4", "Te": "trailers", "X-Kept": "yes",
	}})
	b.wants(got, http.StatusOK, "light.")
	if s := got.header.Get("Server"); s != "" {
		t.Errorf("names the server behind: %s", s)
	}
	all := h.reached()
	if len(all) != 1 {
		t.Fatalf("%d requests reached Home Assistant", len(all))
	}
	r := all[0]
	if r.RequestURI != "/api/states?x=%20y&z" || r.Host != testHost {
		t.Errorf("Home Assistant was asked for %s at %s", r.RequestURI, r.Host)
	}
	for name, want := range map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "Cookie": "other=1", "X-Kept": "yes",
		"X-Forwarded-Host": "", "Forwarded": "", "X-Real-Ip": "", "X-Ingress-Path": "", "X-Remote-User-Id": "", "True-Client-Ip": "", "Te": ""} {
		if all := r.Header.Values(name); strings.Join(all, "&") != want {
			t.Errorf("%s: Home Assistant was told %q, want %q", name, all, want)
		}
	}
}

// The onion's visitors have an address that Home Assistant takes for no local one.
func TestOnionAddress(t *testing.T) {
	h := newHouse(t, func(s *setting) { s.door = testDoor{name: policy.Onion} })
	b := h.owner().loggedIn("demo", "demo")
	b.wants(b.get("/api/config"), http.StatusOK)
	if got := h.reached()[0].Header.Get("X-Forwarded-For"); got != "192.0.2.1" {
		t.Errorf("Home Assistant was told %s", got)
	}
}

// A token is worth something only beside the cookie of the browser that it was given to.
func TestForeignTokens(t *testing.T) {
	h := newHouse(t)
	olga := h.owner().loggedIn("demo", "demo")
	anna := h.member("Anna").loggedIn("anna", "anna")
	mixed := &browser{h: h, cookie: anna.cookie, access: olga.access, refresh: olga.refresh}
	mixed.wants(mixed.get("/api/states"), http.StatusUnauthorized)
	invented := &browser{h: h, cookie: anna.cookie, access: "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.AAAA"}
	invented.wants(invented.get("/api/states"), http.StatusUnauthorized)
	mixed.wants(mixed.token(url.Values{"grant_type": {"refresh_token"}, "client_id": {clientID}, "refresh_token": {olga.refresh}}), http.StatusBadRequest, "invalid_grant")
	mixed.wants(mixed.do(request{method: "POST", path: "/auth/revoke", body: "token=" + olga.refresh, header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}), http.StatusOK)
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant", n)
	}
	olga.wants(olga.get("/api/states"), http.StatusOK) // the revocation by somebody else was none
	olga.wants(olga.token(url.Values{"grant_type": {"refresh_token"}, "client_id": {clientID}, "refresh_token": {olga.refresh}}), http.StatusOK)
}

// A signed path opens for the device whose token signed it.
func TestSignedPath(t *testing.T) {
	h := newHouse(t)
	olga := h.owner().loggedIn("demo", "demo")
	anna := h.member("Anna").loggedIn("anna", "anna")
	path := olga.sign("/api/states")
	olga.wants(olga.do(request{path: path}), http.StatusOK, "light.")
	h.reached()
	anna.wants(anna.do(request{path: path}), http.StatusUnauthorized)
	h.stranger().wants(h.stranger().do(request{path: path}), http.StatusUnauthorized)
	for _, q := range []string{"authSig=x", "authSig=" + strings.Repeat("a", 4000), path[strings.IndexByte(path, '?')+1:] + "&authSig=x", "%61uthSig=x"} {
		olga.wants(olga.do(request{path: "/api/states?" + q}), http.StatusUnauthorized)
	}
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant", n)
	}
}

// The login is for our own page alone, and its code for the browser that earned it.
func TestLoginIsForThisBrowser(t *testing.T) {
	h := newHouse(t)
	olga := h.owner()
	anna := h.member("Anna").loggedIn("anna", "anna")
	for name, body := range map[string]string{
		"another client":    `{"client_id":"https://evil.example/","redirect_uri":"https://evil.example/","handler":["homeassistant",null]}`,
		"another way back":  `{"client_id":"` + clientID + `","redirect_uri":"https://evil.example/","handler":["homeassistant",null]}`,
		"two clients":       `{"client_id":"` + clientID + `","client_id":"https://evil.example/","redirect_uri":"` + clientID + `","handler":["homeassistant",null]}`,
		"a user in the URL": `{"client_id":"https://x@` + testHost + `/","redirect_uri":"` + clientID + `","handler":["homeassistant",null]}`,
		"no object":         `[]`,
	} {
		if got := anna.do(request{method: "POST", path: "/auth/login_flow", body: body}); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant", n)
	}
	code, _ := anna.code("anna", "anna")
	if code == "" {
		t.Fatal("no code")
	}
	h.reached()
	form := url.Values{"grant_type": {"authorization_code"}, "client_id": {clientID}, "code": {code}}
	olga.wants(olga.token(form), http.StatusBadRequest, "invalid_request")
	anna.wants(anna.token(form), http.StatusBadRequest) // it was spent by the wrong one
	anna.wants(anna.token(url.Values{"grant_type": {"password"}, "client_id": {clientID}}), http.StatusBadRequest, "unsupported_grant_type")
	anna.wants(anna.do(request{method: "POST", path: "/auth/token", body: `{"grant_type":"refresh_token"}`, header: map[string]string{"Content-Type": "application/json"}}), http.StatusBadRequest)
	anna.wants(anna.do(request{method: "POST", path: "/auth/token", body: strings.Repeat("a", loginMax+1), header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}), http.StatusRequestEntityTooLarge)
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant", n)
	}
}

// Signing in to Home Assistant as somebody else is refused, undone there, and said.
func TestOtherHAUser(t *testing.T) {
	h := newHouse(t)
	h.owner().loggedIn("demo", "demo")
	anna := h.member("Anna")
	anna.wants(anna.logIn("demo", "demo"), http.StatusOK)
	if anna.access != turnedAway || anna.refresh != turnedAway {
		t.Error("she has a token")
	}
	if !h.happened(event.OtherHAUser) || !h.happened(event.TokenRevoked) {
		t.Error("nothing was told or taken back")
	}
	anna.wants(anna.get("/api/states"), http.StatusUnauthorized)
	h.reached()
	anna.ready().CloseNow() // good for nothing but to be lost
	for range 2 {
		c, _ := anna.socket(nil)
		anna.say(c, `{"type":"auth","access_token":"`+anna.access+`"}`)
		anna.hears(c, `"auth_required"`)
		anna.hears(c, `"auth_invalid"`)
	}
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant", n)
	}
	anna.wants(anna.navigate("/"), http.StatusForbidden, "page 2")
	h.id.ClearNotice(h.id.Recognise(anna.cookie).Session)
	anna.loggedIn("anna", "anna")
	anna.wants(anna.get("/api/states"), http.StatusOK)
}

// A malformed body is the client's fault, and not Home Assistant's silence.
func TestMalformedBody(t *testing.T) {
	h := newHouse(t)
	b := h.owner().loggedIn("demo", "demo")
	c, err := net.Dial("tcp", h.addr)
	h.must(err)
	defer c.Close()
	h.must(c.SetDeadline(time.Now().Add(10 * time.Second)))
	_, err = fmt.Fprintf(c, "POST /api/template HTTP/1.1\r\nHost: %s\r\nCookie: %s=%s\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n+0\r\n\r\n",
		testHost, identity.CookieName, b.cookie, b.access)
	h.must(err)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	h.must(err)
	defer res.Body.Close()
	if res.StatusCode != http.StatusBadRequest || !res.Close {
		t.Errorf("answered %s, close: %v", res.Status, res.Close)
	}
}

// Wrong passwords count, though Home Assistant answers them with 200.
func TestWrongPasswordsCount(t *testing.T) {
	h := newHouse(t, atHome)
	s := h.stranger()
	for range 5 {
		if _, got := s.code("demo", "wrong"); got.status != http.StatusOK {
			t.Fatalf("a wrong password: %d %s", got.status, got.body)
		}
	}
	if h.guard.Listens(visit().Addr) {
		t.Error("five wrong passwords, and the source is still listened to")
	}
	s.wants(s.do(request{path: "/auth/providers"}), http.StatusUnauthorized)
	if !h.happened(event.HALoginFailed) {
		t.Error("nothing was told")
	}
}

// A known device passes a ban of its address; nobody else does.
func TestBanPassesKnownDevices(t *testing.T) {
	h := newHouse(t)
	b := h.owner().loggedIn("demo", "demo")
	for range 5 {
		h.guard.Fail(guard.Failure{Addr: visit().Addr, Kind: guard.SignIn})
	}
	b.wants(b.get("/api/states"), http.StatusOK)
	s := h.stranger()
	s.wants(s.do(request{path: "/_gatehouse/api/session"}), http.StatusOK, "ours, unheard: /_gatehouse/api/session true 127.0.0.1")
	h.pass(11 * time.Minute)
	s.wants(s.do(request{path: "/_gatehouse/api/session"}), http.StatusOK, "ours: /_gatehouse/api/session true 127.0.0.1")
}

// What is revoked ends everywhere, and Home Assistant is told when its token comes.
func TestRevokedDevice(t *testing.T) {
	h := newHouse(t)
	b := h.owner().loggedIn("demo", "demo")
	h.must(h.id.RevokeDevice(t.Context(), b.device))
	b.wants(b.get("/api/states"), http.StatusUnauthorized)
	b.wants(b.navigate("/"), http.StatusUnauthorized, "page 1")
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant", n)
	}
	b.wants(b.token(url.Values{"grant_type": {"refresh_token"}, "client_id": {clientID}, "refresh_token": {b.refresh}}), http.StatusBadRequest, "invalid_grant")
	if !h.happened(event.TokenRevoked) {
		t.Error("its refresh token was not revoked in Home Assistant")
	}
}

// At home, Home Assistant's own login is enough before the house is closed; a
// device that was revoked stays out there, too.
func TestAtHome(t *testing.T) {
	h := newHouse(t, atHome)
	s := h.stranger()
	s.wants(s.navigate("/"), http.StatusOK)
	s.loggedIn("anna", "anna")
	s.wants(s.get("/api/states"), http.StatusOK, "light.")
	c := s.ready()
	s.say(c, `{"id":1,"type":"ping"}`)
	s.hears(c, `"pong"`)
	s.wants(s.do(request{path: "/api/onboarding"}), http.StatusUnauthorized)

	olga := h.owner().loggedIn("demo", "demo")
	h.must(h.id.RevokeDevice(t.Context(), olga.device))
	olga.wants(olga.get("/api/states"), http.StatusUnauthorized)
	without := &browser{h: h, access: olga.access}
	without.wants(without.get("/api/states"), http.StatusUnauthorized)
}

// A bearer that we do not know never reaches Home Assistant with a known device's request.
func TestTwoCredentials(t *testing.T) {
	h := newHouse(t)
	b := h.owner().loggedIn("demo", "demo")
	signed := b.sign("/api/states")
	b.wants(b.do(request{path: signed, header: map[string]string{"Authorization": "Bearer x"}}), http.StatusUnauthorized)
	b.wants(b.do(request{path: "/api/states?authSig=x", header: map[string]string{"Authorization": "Bearer " + b.access}}), http.StatusUnauthorized)
	b.wants(b.do(request{path: "/api/config", header: map[string]string{"Authorization": "bearer " + b.access}}), http.StatusUnauthorized)
	b.wants(b.do(request{path: "/api/config", header: map[string]string{"Authorization": "Basic eDp5"}}), http.StatusUnauthorized)
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant", n)
	}
}

// A member reaches neither add-ons nor backups.
func TestMemberIsNoOwner(t *testing.T) {
	h := newHouse(t)
	b := h.member("Anna").loggedIn("anna", "anna")
	b.wants(b.navigate("/api/hassio_ingress/abc/"), http.StatusForbidden, "page 4")
	b.wants(b.do(request{method: "POST", path: "/api/backup/upload", body: "x"}), http.StatusForbidden)
	b.wants(b.navigate("/nothing.of/this"), http.StatusNotFound, "page 0")
	b.wants(b.navigate("/api/onboarding"), http.StatusNotFound, "page 0")
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant", n)
	}
}

// Malformed, crooked and misdirected requests are refused alike, with one answer.
func TestCrookedRequests(t *testing.T) {
	h := newHouse(t)
	b := h.owner().loggedIn("demo", "demo")
	for _, path := range []string{"//api/states", "/api/./states", "/api/../api/states", "/%61pi/states", "/api%2fstates", "/api/states;x", "/_gatehouse/auth/../../api/states", "/_gatehouse/%2e%2e/api/states"} {
		got := b.do(request{path: path, header: map[string]string{"Authorization": "Bearer " + b.access}})
		if got.status != http.StatusBadRequest || got.body != "" {
			t.Errorf("%s: %d %q", path, got.status, got.body)
		}
	}
	for _, host := range []string{"example.com", "house.test", "house.test:443", "HOUSE.test:8443.", "127.0.0.1"} {
		if got := b.do(request{path: "/api/states", host: host}); got.status != http.StatusBadRequest || got.body != "" {
			t.Errorf("Host %s: %d %q", host, got.status, got.body)
		}
	}
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant", n)
	}
}

// A page of the frontend whose address has escaped slashes is the panel's own page;
// nothing of what stands below reaches Home Assistant.
func TestPageWithEscapes(t *testing.T) {
	h := newHouse(t)
	b := h.owner().loggedIn("demo", "demo")
	const path = "/lovelace/app%2Cmedia-source%3A%2F%2Fmedia_source"
	b.wants(b.navigate(path), http.StatusOK)
	if all := h.reached(); len(all) != 1 || all[0].RequestURI != "/lovelace" {
		t.Errorf("Home Assistant was asked for %v", all)
	}
	b.wants(b.do(request{path: path}), http.StatusBadRequest)
	b.wants(b.navigate("/api%2fstates"), http.StatusBadRequest)
	b.wants(b.navigate("/lovelace/..%2fapi%2fstates"), http.StatusBadRequest)
	h.stranger().wants(h.stranger().navigate(path), http.StatusUnauthorized, "page 1")
}

// A compressed login body could be read as something else behind us.
func TestEncodedLogin(t *testing.T) {
	h := newHouse(t)
	b := h.owner().loggedIn("demo", "demo")
	for _, path := range []string{"/auth/token", "/auth/revoke", "/auth/login_flow"} {
		b.wants(b.do(request{method: "POST", path: path, body: "x", header: map[string]string{"Content-Encoding": "deflate"}}), http.StatusBadRequest)
	}
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant", n)
	}
}

// Before Home Assistant's own set-up is finished nobody is shown it, not even at home.
func TestUnfinishedHome(t *testing.T) {
	h := newHouse(t, atHome)
	h.setHome(HomeFresh)
	h.stranger().wants(h.stranger().navigate("/"), http.StatusServiceUnavailable, "page 5")
	b := h.owner()
	b.wants(b.navigate("/"), http.StatusServiceUnavailable, "page 5")
	h.setHome(HomeUnknown)
	b.wants(b.navigate("/"), http.StatusServiceUnavailable, "page 3")
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant", n)
	}
}

// Home Assistant is down: a known device is told so, in the way that its client survives.
func TestHomeAssistantDown(t *testing.T) {
	h := newHouse(t, func(s *setting) { s.haURL = "http://127.0.0.1:1" })
	b := h.owner()
	b.wants(b.navigate("/"), http.StatusServiceUnavailable, "page 3")
	b.wants(b.do(request{path: "/api/states"}), http.StatusServiceUnavailable)
	b.wants(b.token(url.Values{"grant_type": {"authorization_code"}, "client_id": {clientID}, "code": {"1"}}), http.StatusBadRequest)
	if c, status := b.socket(nil); c != nil || status != http.StatusServiceUnavailable {
		t.Errorf("a socket: %d", status)
	}
	h.stranger().wants(h.stranger().do(request{path: "/api/states"}), http.StatusUnauthorized)
}
