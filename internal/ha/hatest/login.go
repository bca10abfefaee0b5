package hatest

import (
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// flow is a login that is under way.
type flow struct {
	id        string
	redirect  string
	challenge string
	from      netip.Addr
	begun     time.Time
	user      *user // set when the password was right and a code is asked for
	wrong     int   // codes
	link      bool  // adds a login to an account
}

// The answers of a login that are neither form nor end.
const (
	tooManyRetry = "too_many_retry"
	loginExpired = "login_expired"
	maxWrong     = 5
)

var handlerHA = []any{"homeassistant", nil}

// providers is GET /auth/providers.
func (h *Home) providers(r *request) {
	if !h.accounts.done("user") {
		r.json(http.StatusBadRequest, object{"message": "Onboarding not finished", "code": "onboarding_required"})
		return
	}
	r.json(http.StatusOK, object{
		"providers":             []any{object{"name": "Home Assistant Local", "id": nil, "type": "homeassistant"}},
		"preselect_remember_me": isLocal(r.remote),
	})
}

// startSchema is what POST /auth/login_flow takes.
func (h *Home) startSchema() schema {
	long := func(v any) bool { return isString(v) && (!h.release.since(2026, 11) || len(v.(string)) <= 2048) }
	s := fields(need("client_id", long), need("handler", isHandler), need("redirect_uri", long), may("type", isString))
	if h.release.since(2026, 11) {
		s.fields = append(s.fields, may("response_type", isString), may("code_challenge", isChallenge), may("code_challenge_method", isString))
	}
	return s
}

// challenges are S256 challenges: 43 characters of base64url.
var challenges = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

func isChallenge(v any) bool { s, ok := v.(string); return ok && challenges.MatchString(s) }

func isHandler(v any) bool {
	list, ok := v.([]any)
	return ok && len(list) == 2 && !slices.ContainsFunc(list, func(e any) bool { return e != nil && !isString(e) })
}

// startLogin is POST /auth/login_flow.
func (h *Home) startLogin(r *request) {
	data, ok := r.object(h.startSchema())
	if !ok {
		return
	}
	if !r.verifyClient(text(data, "client_id")) {
		r.message(http.StatusBadRequest, "Invalid client id")
		return
	}
	if kind, ok := data["response_type"]; ok && kind != "code" {
		r.message(http.StatusBadRequest, "Response type not supported")
		return
	}
	_, challenged := data["code_challenge"]
	method, named := data["code_challenge_method"]
	if named && !challenged {
		r.message(http.StatusBadRequest, "code_challenge required when code_challenge_method is provided")
		return
	}
	if challenged && method != "S256" {
		r.message(http.StatusBadRequest, "Transform algorithm not supported")
		return
	}
	if handler := data["handler"].([]any); handler[0] != "homeassistant" || handler[1] != nil {
		if !h.release.since(2026, 8) {
			r.trouble()
			return
		}
		r.message(http.StatusNotFound, "Invalid handler specified")
		return
	}
	f := &flow{id: hexID(16), redirect: text(data, "redirect_uri"), challenge: text(data, "code_challenge"), from: r.remote, begun: h.now(), link: data["type"] == "link_user"}
	h.accounts.mu.Lock()
	h.accounts.flows[f.id] = f
	h.accounts.mu.Unlock()
	r.json(http.StatusOK, f.form("init", ""))
}

// form asks for the next step, with what was wrong with the last.
func (f *flow) form(step, wrong string) object {
	asks := []string{"username", "password"}
	var holders any
	if step == "mfa" {
		asks = []string{"code"}
		holders = object{"mfa_module_name": "Authenticator app", "mfa_module_id": "totp"}
	}
	list := []any{}
	for _, name := range asks {
		list = append(list, object{"type": "string", "name": name, "required": true})
	}
	errs := object{}
	if wrong != "" {
		errs["base"] = wrong
	}
	return object{
		"type": "form", "flow_id": f.id, "handler": handlerHA, "step_id": step, "data_schema": list, "errors": errs,
		"description_placeholders": holders, "last_step": nil, "preview": nil,
	}
}

func (f *flow) abort(reason string) object {
	return object{"type": "abort", "flow_id": f.id, "handler": handlerHA, "reason": reason, "description_placeholders": nil}
}

// stepLogin is POST /auth/login_flow/{flow_id}.
func (h *Home) stepLogin(r *request) {
	data, ok := r.object(schema{fields: []field{need("client_id", isString)}, loose: true})
	if !ok {
		return
	}
	clientID := text(data, "client_id")
	if !r.verifyClient(clientID) {
		r.message(http.StatusBadRequest, "Invalid client id")
		return
	}
	delete(data, "client_id")
	status, answer := h.accounts.step(r, clientID, data)
	r.json(status, answer)
}

// step takes what a person filled in.
func (a *accounts) step(r *request, clientID string, data object) (int, object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.flows[r.args["flow_id"]]
	if f == nil {
		return http.StatusNotFound, object{"message": "Invalid flow specified"}
	}
	if f.from != r.remote {
		return http.StatusBadRequest, object{"message": "IP address changed"}
	}
	asks := []string{"username", "password"}
	if f.user != nil {
		asks = []string{"code"}
	}
	for _, name := range asks {
		if !isString(data[name]) {
			return http.StatusBadRequest, object{"message": "User input malformed"}
		}
	}
	if len(data) != len(asks) {
		return http.StatusBadRequest, object{"message": "User input malformed"}
	}
	u := f.user
	if u == nil {
		if u = a.byName(text(data, "username")); u == nil || u.password != text(data, "password") {
			return http.StatusOK, f.form("init", "invalid_auth")
		}
		if u.totp != "" && !f.link {
			f.user, f.begun = u, a.h.now()
			return http.StatusOK, f.form("mfa", "")
		}
	} else {
		switch {
		case a.h.now().Sub(f.begun) > loginLife:
			delete(a.flows, f.id)
			return http.StatusOK, f.abort(loginExpired)
		case totpFits(u.totp, text(data, "code"), a.h.now()):
		default:
			if f.wrong++; f.wrong >= maxWrong {
				delete(a.flows, f.id)
				return http.StatusOK, f.abort(tooManyRetry)
			}
			return http.StatusOK, f.form("mfa", "invalid_code")
		}
	}
	delete(a.flows, f.id)
	if !mayRedirect(clientID, f.redirect) {
		return http.StatusForbidden, object{"message": "Invalid redirect URI"}
	}
	if why := notAllowed(u, r.remote); why != "" {
		return http.StatusForbidden, object{"message": "Login blocked: " + why}
	}
	return http.StatusOK, object{
		"type": "create_entry", "flow_id": f.id, "handler": handlerHA, "description": nil, "description_placeholders": nil,
		"result": a.newCode(code{user: u, clientID: clientID, challenge: f.challenge}),
	}
}

// endLogin is DELETE /auth/login_flow/{flow_id}.
func (h *Home) endLogin(r *request) {
	h.accounts.mu.Lock()
	_, ok := h.accounts.flows[r.args["flow_id"]]
	delete(h.accounts.flows, r.args["flow_id"])
	h.accounts.mu.Unlock()
	if !ok {
		r.message(http.StatusNotFound, "Invalid flow specified")
		return
	}
	r.message(http.StatusOK, "Flow aborted")
}

// verifyClient says whether a client id may be one (ha-protocol 2.2).
func (r *request) verifyClient(id string) bool {
	u, err := url.Parse(id)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Host == "" || strings.Contains(id, "#") {
		return false
	}
	for part := range strings.SplitSeq(u.Path, "/") {
		if part == "." || part == ".." {
			return false
		}
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && !isLocal(addr) {
		return r.h.release.since(2026, 11) && strings.EqualFold(u.Scheme+"://"+u.Host, r.scheme+"://"+r.host)
	}
	return true
}

// The companion apps; they get their code through an address of their own.
var apps = []string{"https://home-assistant.io/iOS", "https://home-assistant.io/android"}

// mayRedirect says whether a client may have its codes sent to an address. Home
// Assistant would also ask the client's own site; this home asks nobody.
func mayRedirect(clientID, redirect string) bool {
	if slices.Contains(apps, clientID) && redirect == "homeassistant://auth-callback" {
		return true
	}
	c, err := url.Parse(clientID)
	if err != nil {
		return false
	}
	u, err := url.Parse(redirect)
	return err == nil && strings.EqualFold(c.Scheme, u.Scheme) && strings.EqualFold(c.Host, u.Host)
}
