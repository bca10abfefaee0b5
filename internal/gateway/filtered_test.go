package gateway

import (
	"net/http"
	"net/netip"
	"sync"
	"testing"

	"gatehouse/internal/ha"
	"gatehouse/internal/policy"
)

// rules stand in for the owner's: what they deny is set by the test.
type rules struct {
	mu    sync.Mutex
	deny  func(route ha.Route, known bool) bool
	asked map[ha.Route]bool
}

func (r *rules) set(deny func(route ha.Route, known bool) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deny = deny
}

func (r *rules) judge(_ netip.Addr, _ policy.Door, route ha.Route, known bool) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked[route] = true
	return "rule 1 of [guard]", r.deny(route, known)
}

func ruled(h *house) *rules {
	r := &rules{deny: func(ha.Route, bool) bool { return false }, asked: map[ha.Route]bool{}}
	h.Filtered = r.judge
	return r
}

// A rule that denies is held before anything reaches Home Assistant, for devices that are
// known as well, and nobody sees that it was a rule.
func TestRulesAreHeld(t *testing.T) {
	h := newHouse(t)
	r := ruled(h)
	b := h.owner().loggedIn("demo", "demo")
	s := h.stranger()
	before := s.navigate("/")
	r.set(func(ha.Route, bool) bool { return true })
	h.reached()
	if after := s.navigate("/"); after.status != before.status || after.body != before.body {
		t.Errorf("a stranger sees that a rule denies: %d %q, %d %q", before.status, before.body, after.status, after.body)
	}
	s.wants(s.do(request{path: "/_gatehouse/api/session"}), http.StatusUnauthorized)
	b.wants(b.get("/api/states"), http.StatusForbidden)
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant", n)
	}
	r.set(func(_ ha.Route, known bool) bool { return !known })
	b.wants(b.get("/api/states"), http.StatusOK)
	s.wants(s.do(request{path: "/_gatehouse/api/session"}), http.StatusUnauthorized)
	r.set(func(route ha.Route, _ bool) bool { return route == ha.RouteREST })
	b.wants(b.get("/api/states"), http.StatusForbidden)
	s.wants(s.do(request{path: "/_gatehouse/api/session"}), http.StatusOK)
	if !r.asked[ha.RouteREST] || !r.asked[ha.RouteNone] || !r.asked[ha.RouteShell] {
		t.Errorf("asked about %v", r.asked)
	}
}

// An app shows only in its socket who it is: where known devices pass, it is let show it, and
// who turns out to be nobody is not.
func TestAppPassesARuleInItsSocket(t *testing.T) {
	h := newHouse(t)
	r := ruled(h)
	h.owner()
	p := h.phone("Anna", ha.ClientIOS)
	p.firstDay("anna", "anna", "light.kitchen_lights")
	r.set(func(_ ha.Route, known bool) bool { return !known })
	c, status := p.socket(map[string]string{"User-Agent": p.ua})
	if c == nil {
		t.Fatalf("its socket: %d", status)
	}
	p.hears(c, "auth_required")
	p.say(c, `{"type":"auth","access_token":"`+p.access+`"}`)
	p.hears(c, "auth_ok")

	h.reached()
	s := h.stranger()
	c, _ = s.socket(map[string]string{"User-Agent": androidUA})
	s.hears(c, "auth_required")
	s.say(c, `{"type":"auth","access_token":"`+p.access+`x"}`)
	if _, _, err := c.Read(t.Context()); err == nil {
		t.Error("a stranger's socket goes on")
	}
	r.set(func(ha.Route, bool) bool { return true })
	if c, status := p.socket(map[string]string{"User-Agent": p.ua}); c != nil || status != http.StatusUnauthorized {
		t.Errorf("a rule for everybody lets the socket open: %d", status)
	}
	if h.dialled() {
		t.Error("what was denied reached Home Assistant")
	}
}
