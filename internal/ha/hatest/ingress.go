package hatest

import (
	"fmt"
	"net/http"
	"sync"

	"github.com/coder/websocket"
)

// ingressToken is the address of the one add-on, which echoes. ingressSlug is its name.
const (
	ingressToken = "7e57000000000000000000000000000000000000000000000000000000add001"
	ingressSlug  = "demo_echo"
)

// ingressSessions are those that may use add-ons.
type ingressSessions struct {
	mu   sync.Mutex
	open map[string]bool
}

func (s *ingressSessions) add() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[string]bool{}
	}
	id := hexID(64)
	s.open[id] = true
	return id
}

func (s *ingressSessions) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[id]
}

// ingress stands in for the supervisor and the add-on behind it: the cookie is
// looked at, Home Assistant's own login is not.
func (h *Home) ingress(r *request) {
	cookie, err := r.Cookie("ingress_session")
	if err != nil || !h.ingressSessions.has(cookie.Value) {
		r.refuse(http.StatusUnauthorized)
		return
	}
	if r.args["token"] != ingressToken {
		r.refuse(http.StatusServiceUnavailable)
		return
	}
	if upgradeProblem(r.Header) == "" {
		h.ingressSocket(r)
		return
	}
	data, ok := r.read()
	if !ok {
		return
	}
	r.plain(http.StatusOK, fmt.Sprintf("%s /%s\n%s", r.Method, r.args["path"], data))
}

// ingressSocket echoes messages.
func (h *Home) ingressSocket(r *request) {
	protocols := r.Header.Values("Sec-Websocket-Protocol")
	conn, err := websocket.Accept(r.w, r.Request, &websocket.AcceptOptions{InsecureSkipVerify: true, Subprotocols: protocols})
	if err != nil {
		h.log.Debug("refuse an add-on's websocket", "err", err)
		return
	}
	conn.SetReadLimit(16 << 20)
	defer h.links.add(func() { _ = conn.CloseNow() })()
	defer func() { _ = conn.CloseNow() }()
	for {
		kind, data, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		if err := conn.Write(r.Context(), kind, data); err != nil {
			return
		}
	}
}

// ingressCommands give sessions for add-ons.
func (h *Home) ingressCommands() map[string]command {
	table := map[string]command{
		"supervisor/api": {takes: takes(need("endpoint", isString), need("method", isString), may("data", isObject), may("params", isObject), may("timeout", orNull(isNumber))), does: supervisorAPI},
	}
	if h.release.since(2026, 11) {
		table["supervisor/ingress/session"] = command{takes: takes(need("slug", isString)), does: func(a *ask) {
			if a.text("slug") != ingressSlug {
				a.fail("not_found", "Add-on not found")
				return
			}
			a.result(object{"session": a.h.ingressSessions.add()})
		}}
		table["supervisor/ingress/validate_session"] = command{takes: takes(need("session", isString)), does: func(a *ask) {
			if !a.h.ingressSessions.has(a.text("session")) {
				a.fail("unknown_error", "")
				return
			}
			a.result(object{})
		}}
	}
	return table
}

// supervisorAPI passes on what the supervisor is asked; a few endpoints are open
// to everybody, whatever the method.
func supervisorAPI(a *ask) {
	endpoint := a.text("endpoint")
	switch {
	case endpoint == "/ingress/session":
		a.result(object{"session": a.h.ingressSessions.add()})
	case endpoint == "/ingress/validate_session":
		data, _ := a.object["data"].(object)
		if !a.h.ingressSessions.has(text(data, "session")) {
			a.fail("unknown_error", "")
			return
		}
		a.result(object{})
	case endpoint == "/addons/"+ingressSlug+"/info":
		a.result(object{"slug": ingressSlug, "name": "Echo", "state": "started", "ingress": true, "ingress_entry": "/api/hassio_ingress/" + ingressToken, "ingress_url": "/api/hassio_ingress/" + ingressToken + "/"})
	case !a.h.accounts.isAdmin(a.user):
		a.fail("unauthorized", "Unauthorized")
	case endpoint == "/supervisor/info":
		a.result(object{"version": "2026.11.0", "healthy": true, "supported": true})
	default:
		a.fail("unknown_error", "404: Not Found")
	}
}
