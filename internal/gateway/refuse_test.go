package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"gatehouse/internal/event"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// Every refusal is an event: a stranger's by address, a known device's with its name;
// what is only Home Assistant's silence is none.
func TestRefusalsAreEvents(t *testing.T) {
	h := newHouse(t)
	known := h.owner()
	h.refusals() // of the sign-in itself
	for _, c := range []struct {
		cookie, target, host string
		want                 event.Event
	}{
		{"", "/api/states", testHost, event.Event{Kind: event.Refused, Route: "rest", Detail: string(policy.ReasonStranger)}},
		{"", "/api/nothing/such", testHost, event.Event{Kind: event.Refused, Detail: string(policy.ReasonRoute)}},
		{"", "/api/states", "other.test", event.Event{Kind: event.Refused, Detail: "wrong host"}},
		{"", "/api/../auth/token", testHost, event.Event{Kind: event.BadRequest, Detail: "target is not canonical"}},
		{known.cookie, "/api/nothing/such", testHost, event.Event{Kind: event.Refused, Detail: string(policy.ReasonRoute), Person: "Olga", Device: "yes"}},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RequestURI, r.Host, r.RemoteAddr = c.target, c.host, "203.0.113.7:1000"
		if c.cookie != "" {
			r.Header.Set("Cookie", identity.CookieName+"="+c.cookie)
		}
		h.Handler(testDoor{name: "https"}).ServeHTTP(httptest.NewRecorder(), r)
		got := h.refusals()
		if len(got) != 1 {
			t.Errorf("%s at %s: %d events: %+v", c.target, c.host, len(got), got)
			continue
		}
		e := got[0]
		if (e.Device != "") != (c.want.Device != "") || e.Source != netip.MustParseAddr("203.0.113.7") || e.Door != "https" ||
			e.Kind != c.want.Kind || e.Detail != c.want.Detail || (e.Person != "") != (c.want.Person != "") || c.want.Route != "" && e.Route == "" {
			t.Errorf("%s at %s: %+v, want %+v", c.target, c.host, e, c.want)
		}
	}
	h.setHome(HomeUnknown)
	h.Handler(testDoor{name: "https"}).ServeHTTP(httptest.NewRecorder(), func() *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/api/states", nil)
		r.Host, r.RemoteAddr = testHost, "203.0.113.7:1000"
		r.Header.Set("Cookie", identity.CookieName+"="+known.cookie)
		return r
	}())
	if got := h.refusals(); len(got) != 0 {
		t.Errorf("Home Assistant's silence is %+v", got)
	}
}

// refusals are the events of refused requests since the last call.
func (h *house) refusals() (all []event.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e.Kind == event.Refused || e.Kind == event.BadRequest {
			all = append(all, e)
		}
	}
	h.events = nil
	return all
}
