package gateway

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/ha"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// keyDoor is a door whose connections have shown a key.
type keyDoor struct {
	testDoor
	key   *atomic.Pointer[policy.Key]
	plain bool // it encrypts what is plain HTTP on it
}

func (d keyDoor) KeyOf(net.Conn) policy.Key { return *d.key.Load() }
func (d keyDoor) Encrypts() bool            { return d.plain }

// byKey makes a house with such a door, and Anna's key.
func byKey(t *testing.T, plain bool) (h *house, shown *atomic.Pointer[policy.Key], device identity.Device) {
	t.Helper()
	shown = new(atomic.Pointer[policy.Key])
	key := policy.Key{Kind: identity.KindPeer, ID: "k1"}
	shown.Store(&key)
	h = newHouse(t, func(s *setting) { s.keys = &keyDoor{testDoor{name: policy.WireGuard}, shown, plain} })
	_, err := h.id.AddPerson(t.Context(), "Anna", policy.RoleMember, "", "")
	h.must(err)
	device, err = h.id.AddKey(t.Context(), "Anna", "Phone", identity.NewKey{Key: key})
	h.must(err)
	return h, shown, device
}

// The device of a key is let in without a cookie, logs in to Home Assistant once, and loses
// everything with its revocation.
func TestKeyIsProofOfItsDevice(t *testing.T) {
	h, _, d := byKey(t, false)
	b := h.stranger()
	if got := b.navigate("/lovelace/0"); got.status != http.StatusOK || len(h.reached()) != 1 {
		t.Fatalf("a page: %d %q", got.status, got.body)
	}
	b.loggedIn("anna", "anna")
	if tok, ok := h.id.AccessToken(b.access); !ok || tok.Device != d.ID {
		t.Fatalf("its token: %+v, %t", tok, ok)
	}
	c := b.ready()
	h.must(h.id.RevokeDevice(t.Context(), d.ID))
	if _, _, err := c.Read(t.Context()); err == nil {
		t.Error("its socket lives on")
	}
	h.reached()
	if got := b.navigate("/lovelace/0"); got.status != http.StatusBadRequest || got.body != "" {
		t.Errorf("revoked: %d %q", got.status, got.body)
	}
	if n := h.reached(); len(n) != 0 {
		t.Errorf("Home Assistant got %d requests", len(n))
	}
	if len(h.failed()) != 0 {
		t.Errorf("counted: %+v", h.failed())
	}
}

// What is open by a key ends with it, though its device has another by then; what is open by
// that one stays.
func TestReplacedKeyEndsWhatIsOpen(t *testing.T) {
	h, shown, d := byKey(t, false)
	b := h.stranger()
	b.loggedIn("anna", "anna")
	before := b.ready()
	next := policy.Key{Kind: identity.KindPeer, ID: "k2"}
	h.must(h.id.ReplaceKey(t.Context(), d.ID, identity.NewKey{Key: next}, time.Now().Add(time.Hour)))
	shown.Store(&next)
	after := b.ready()
	h.must(h.id.ReplaceKey(t.Context(), d.ID, identity.NewKey{Key: next}, time.Now()))
	if _, _, err := before.Read(t.Context()); err == nil {
		t.Error("the socket that was opened by the first key lives on")
	}
	b.say(after, `{"id":1,"type":"ping"}`)
	b.hears(after, `"pong"`)
}

// A key that is nobody's, or has expired, opens nothing: not the sign-in page either.
func TestUnknownKeyIsRefused(t *testing.T) {
	h, shown, d := byKey(t, false)
	soon := policy.Key{Kind: identity.KindPeer, ID: "soon"}
	h.must(h.id.ReplaceKey(t.Context(), d.ID, identity.NewKey{Key: soon, Expires: time.Now().Add(time.Hour)}, time.Now().Add(time.Minute)))
	h.pass(2 * time.Hour)
	h.reached()
	for _, key := range []policy.Key{soon, {Kind: identity.KindPeer, ID: "k1"}, {Kind: identity.KindSSHKey, ID: "k1"}, {Kind: identity.KindPeer, ID: "made up"}} {
		shown.Store(&key)
		h.client.CloseIdleConnections()
		for _, path := range []string{"/", "/_gatehouse/auth/sign-in", "/api/"} {
			if got := h.stranger().navigate(path); got.status != http.StatusBadRequest || got.body != "" {
				t.Errorf("%s shows %s: %d %q", key.ID, path, got.status, got.body)
			}
		}
	}
	if n := len(h.reached()); n != 0 {
		t.Errorf("Home Assistant got %d requests", n)
	}
}

// What another site's page has the browser send is not the device's doing; a link that
// is followed is.
func TestKeyIsNotProofForOtherSitesPages(t *testing.T) {
	h, _, _ := byKey(t, false)
	b := h.stranger()
	for name, header := range map[string]map[string]string{
		"a request across sites":   {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
		"one of the same site":     {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
		"a form":                   {"Origin": "https://evil.example"},
		"a frame that hides":       {"Origin": "null"},
		"a request with an origin": {"Origin": "http://house.test:8124"},
	} {
		if got := b.do(request{method: http.MethodPost, path: "/auth/login_flow", header: header, body: "{}"}); got.status == http.StatusOK || len(h.reached()) != 0 {
			t.Errorf("%s: %d %q", name, got.status, got.body)
		}
	}
	if got := b.do(request{path: "/lovelace/0", header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}}); got.status != http.StatusOK {
		t.Errorf("a link: %d", got.status)
	}
	if got := b.do(request{path: "/lovelace/0", header: map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://" + testHost, "Accept": "text/html"}}); got.status != http.StatusOK {
		t.Errorf("its own page: %d", got.status)
	}
}

// A live session's cookie is the more exact word: two people may share a tunnel. A revoked
// browser stays out, by whichever tunnel.
func TestCookieBesideAKey(t *testing.T) {
	h, _, _ := byKey(t, false)
	owner := h.owner()
	owner.loggedIn("demo", "demo")
	if tok, ok := h.id.AccessToken(owner.access); !ok || tok.Kind != identity.KindBrowser {
		t.Errorf("the owner's token is %+v, %t", tok, ok)
	}
	h.must(h.id.RevokeDevice(t.Context(), owner.device))
	h.reached()
	if got := owner.navigate("/lovelace/0"); got.status == http.StatusOK || len(h.reached()) != 0 {
		t.Errorf("a revoked browser: %d", got.status)
	}
}

// A phone that is enrolled as an app stays that app in a tunnel of the same person's, and
// another person's app does not become one by it.
func TestAppBesideAKey(t *testing.T) {
	h, shown, d := byKey(t, false)
	p := h.settled("Anna", ha.ClientIOS, "anna")
	tok, ok := h.id.AccessToken(p.access)
	if !ok || tok.Kind != identity.KindApp || tok.Device != p.device {
		t.Fatalf("the app's token is %+v, %t", tok, ok)
	}
	p.wants(p.api("GET", "/api/config", ""), http.StatusOK)
	p.wants(p.refreshToken(), http.StatusOK)
	c := p.connect()
	h.must(h.id.RevokeDevice(t.Context(), d.ID))
	if _, _, err := c.Read(t.Context()); err == nil {
		t.Error("the app's socket survives its tunnel")
	}
	_, err := h.id.AddPerson(t.Context(), "Ben", policy.RoleMember, "", "")
	h.must(err)
	bens := policy.Key{Kind: identity.KindPeer, ID: "ben's"}
	_, err = h.id.AddKey(t.Context(), "Ben", "Phone", identity.NewKey{Key: bens})
	h.must(err)
	shown.Store(&bens)
	h.client.CloseIdleConnections()
	h.reached()
	if got := p.api("GET", "/api/config", ""); got.status == http.StatusOK || len(h.reached()) != 0 {
		t.Errorf("Anna's token in Ben's tunnel: %d %q", got.status, got.body)
	}
}

// The origin of plain HTTP within a door that encrypts is what the browser says it is.
func TestPlainInsideIsItsOwnOrigin(t *testing.T) {
	h, _, _ := byKey(t, true)
	h.stranger().navigate("/lovelace/0")
	for _, r := range h.reached() {
		if got := r.Header.Get("X-Forwarded-Proto"); got != "http" {
			t.Errorf("Home Assistant is told %q", got)
		}
	}
	got := h.stranger().do(request{method: http.MethodPost, path: "/auth/login_flow", header: map[string]string{"Origin": "http://" + testHost},
		body: `{"client_id":"http://` + testHost + `/","handler":["homeassistant",null],"redirect_uri":"http://` + testHost + `/?auth_callback=1"}`})
	if got.status != http.StatusOK {
		t.Errorf("a login of its own page: %d %q", got.status, got.body)
	}
	if h.happened(event.HALoginFailed) {
		t.Error("it failed")
	}
}

// ownNameDoor is a door at which the holder of each key asks by a name of its own.
type ownNameDoor struct {
	keyDoor
	names map[policy.Key]string
}

func (d ownNameDoor) HostOf(key policy.Key) string { return d.names[key] }

// Where each key has a host name of its own, its holder is answered by no other, also where
// that is a name of the door's; nor is anybody who has shown no key.
func TestKeyHoldersAskByTheirOwnNames(t *testing.T) {
	h, shown, _ := byKey(t, true)
	key := *shown.Load()
	d := ownNameDoor{keyDoor{testDoor{name: policy.Onion}, shown, true}, map[policy.Key]string{key: "a.test", {Kind: identity.KindOnionKey, ID: "k2"}: hostName(testHost)}}
	ask := func(of policy.Key) int {
		t.Helper()
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/manifest.json", nil)
		r.Host, r.RemoteAddr, r.RequestURI = testHost, "192.0.2.9:1", "/manifest.json"
		shown.Store(&of)
		ctx := ConnContext(d)(r.Context(), nil)
		h.Handler(d).ServeHTTP(w, r.WithContext(ctx))
		return w.Code
	}
	for name, of := range map[string]policy.Key{"another's name": key, "no key": {}, "a key without a name": {Kind: identity.KindOnionKey, ID: "k3"}} {
		if got := ask(of); got != http.StatusBadRequest || len(h.reached()) != 0 {
			t.Errorf("%s: %d", name, got)
		}
	}
	d.names[key] = hostName(testHost)
	if got := ask(key); got != http.StatusOK || len(h.reached()) != 1 {
		t.Errorf("its own name: %d", got)
	}
}
