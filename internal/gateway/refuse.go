package gateway

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/ha"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// refusal says why a request ends here. The client never sees why.
type refusal struct {
	why    string
	reason policy.Reason
	bare   bool // the request is malformed or for another house: no page, and the connection ends
	closed bool // the device is known, but Home Assistant is not to be shown yet
	down   bool // the device is known, but Home Assistant does not answer
	status int  // for a known device only: answer this instead
	body   string
}

// shape is what the asking client is, as far as its refusal depends on it. It is
// read from the request alone: what exists behind the door plays no part.
type shape int

const (
	shapeQuiet      shape = iota // anything that is not below
	shapeNavigation              // a person looking at a page
	shapeAppPage                 // a companion app's web view looking at a page
	shapeToken                   // a client refreshing its token
	shapeWebhook                 // a phone's background call
)

// shapeOf reads the shape from method, path and headers (ha-protocol 2.3, 3.1, 5.4; ha-frontend 3).
func shapeOf(r *http.Request, upgrade bool) shape {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	switch {
	case upgrade:
		return shapeQuiet
	case path == "/auth/token":
		return shapeToken
	case strings.HasPrefix(path, "/api/webhook/"):
		return shapeWebhook
	case path == "/auth/authorize" && r.Method == http.MethodGet && ha.CompanionApp(r.UserAgent()) != ha.AppNone:
		return shapeAppPage // iOS looks whether there is a page before it shows it (ha-protocol 5.2)
	case !isNavigation(r):
		return shapeQuiet
	case ha.CompanionApp(r.UserAgent()) != ha.AppNone:
		return shapeAppPage
	}
	return shapeNavigation
}

// isNavigation reports whether a person waits for a page. Where the browser says
// what it does (Fetch Metadata) nothing else counts.
func isNavigation(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// refuse is the one place that ends a request. A stranger's answer depends on the
// request's shape alone, so that it is the same whatever exists and whatever the reason.
func (f *flight) refuse(no *refusal) {
	f.takeDown(no)
	if no.bare {
		f.w.Header().Set("Connection", "close")
		f.empty(http.StatusBadRequest)
		return
	}
	if f.isKnown() {
		f.refuseKnown(no)
		return
	}
	if f.known.Standing == identity.StandingEnded && f.welcomeBack() {
		return
	}
	if no.closed || no.down {
		f.refuseKnown(no) // at home, where no device is asked for
		return
	}
	page := PageSignIn
	if f.secure != nil {
		page = PageOverTLS
	}
	switch f.shape {
	case shapeNavigation:
		f.gw.Pages.Write(f.w, f.visited(), page, http.StatusUnauthorized)
	case shapeAppPage:
		f.gw.Pages.Write(f.w, f.visited(), page, http.StatusOK)
	case shapeToken:
		if f.toEnd != "" && f.gw.spent.has(f.toEnd) {
			// It is dead in Home Assistant, too: its app may as well ask for a new sign-in.
			f.json(http.StatusBadRequest, `{"error":"invalid_grant"}`)
			return
		}
		f.empty(http.StatusServiceUnavailable)
	case shapeWebhook:
		f.empty(http.StatusForbidden)
	default:
		f.empty(http.StatusUnauthorized)
	}
}

// takeDown counts a refusal and has it taken down, as cheaply as it can be: there may be thousands a
// second, of which the log keeps a few. That Home Assistant does not answer, or not yet,
// is no refusal of anybody, and an event of its own.
func (f *flight) takeDown(no *refusal) {
	f.gw.counts.add(CountRefused + no.why)
	if no.down || no.closed || no.status == http.StatusServiceUnavailable {
		return
	}
	e := event.Event{Kind: event.Refused, Source: f.addr, Door: string(f.door.Name()), Route: string(f.route), Detail: no.why}
	if no.why == whyTarget {
		e.Kind = event.BadRequest
	}
	if f.isKnown() {
		e.Person, e.Device = f.who.Name, f.who.Device
	}
	f.gw.Event(e)
}

// whyTarget is the refusal of a path that may be one thing to us and another to Home Assistant.
const whyTarget = "target is not canonical"

// refuseKnown tells a known device what is the matter.
func (f *flight) refuseKnown(no *refusal) {
	page, status := PageNotAllowed, http.StatusForbidden
	switch {
	case no.closed:
		page, status = PageNotOnboarded, http.StatusServiceUnavailable
	case no.down:
		page, status = PageHADown, http.StatusServiceUnavailable
	case no.reason == policy.ReasonRoute, no.reason == policy.ReasonNever:
		page, status = PageNotFound, http.StatusNotFound
	case no.reason == policy.ReasonCredential:
		status = http.StatusUnauthorized
	}
	if no.status != 0 {
		status = no.status
	}
	switch {
	case no.body != "":
		f.json(status, no.body)
	case f.shape == shapeAppPage:
		f.gw.Pages.Write(f.w, f.visited(), page, http.StatusOK) // an error status breaks its web view
	case f.shape == shapeNavigation:
		f.gw.Pages.Write(f.w, f.visited(), page, status)
	case f.shape == shapeWebhook && status < http.StatusInternalServerError:
		f.empty(http.StatusForbidden) // of a 404 or 410 an app would take its registration for gone
	case f.shape == shapeToken && !no.down && no.status == 0:
		f.empty(http.StatusServiceUnavailable)
	default:
		f.empty(status)
	}
}

// json answers in the words of one of Home Assistant's endpoints.
func (f *flight) json(status int, body string) {
	h := f.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	f.w.WriteHeader(status)
	_, _ = f.w.Write([]byte(body))
}

// empty answers a status and nothing else.
func (f *flight) empty(status int) {
	h := f.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", "0")
	f.w.WriteHeader(status)
}

// emit records a security event about this flight.
func (f *flight) emit(kind event.Kind, detail string) {
	f.gw.Event(event.Event{Time: time.Now(), Kind: kind, Person: f.who.Name, Device: f.who.Device,
		Door: string(f.door.Name()), Addr: f.addr.String(), Route: string(f.route), Detail: detail})
}

// counts are the totals since the start, by a closed set of sentences.
type counts struct {
	forwarded atomic.Uint64 // by itself: it is counted with every request

	mu sync.Mutex
	n  map[string]uint64
}

// What Counts calls things.
const (
	CountForwarded = "forwarded" // requests that Home Assistant answered
	CountSockets   = "sockets"   // those that were led to Home Assistant
	CountRefused   = "refused: " // begins each refusal; why follows
)

func (c *counts) add(what string) {
	if what == CountForwarded {
		c.forwarded.Add(1)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = make(map[string]uint64)
	}
	c.n[what]++
}

func (c *counts) snapshot() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]uint64, len(c.n)+1)
	for k, v := range c.n {
		out[k] = v
	}
	if n := c.forwarded.Load(); n > 0 {
		out[CountForwarded] = n
	}
	return out
}
