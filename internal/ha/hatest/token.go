package hatest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"regexp"
)

// form reads a body that is a form, urlencoded or multipart; with another type
// it is empty, as in aiohttp. It answers and returns false when it cannot be read.
func (r *request) form() ([]pair, bool) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && r.Header.Get("Content-Type") != "" {
		kind = ""
	}
	data, ok := r.read()
	if !ok {
		return nil, false
	}
	switch kind {
	case "", "application/x-www-form-urlencoded":
		return parsePairs(string(bytes.TrimRight(data, " \r\n\t"))), true
	case "multipart/form-data":
		parts := multipart.NewReader(bytes.NewReader(data), params["boundary"])
		var pairs []pair
		for {
			part, err := parts.NextRawPart()
			if err == io.EOF {
				return pairs, true
			}
			if err != nil {
				r.refuse(http.StatusInternalServerError)
				return nil, false
			}
			value, err := io.ReadAll(part)
			if err != nil {
				r.refuse(http.StatusInternalServerError)
				return nil, false
			}
			pairs = append(pairs, pair{part.FormName(), string(value)})
		}
	}
	return nil, true
}

// first is the first parameter of a name.
func first(pairs []pair, name string) (string, bool) {
	for _, p := range pairs {
		if p.name == name {
			return p.value, true
		}
	}
	return "", false
}

// repeated says whether a parameter comes twice.
func repeated(pairs []pair) bool {
	seen := map[string]bool{}
	for _, p := range pairs {
		if seen[p.name] {
			return true
		}
		seen[p.name] = true
	}
	return false
}

// oauthError answers as RFC 6749 5.2 says; an empty description is left out.
func (r *request) oauthError(status int, name, description string) {
	o := object{"error": name}
	if description != "" {
		o["error_description"] = description
	}
	r.json(status, o)
}

// token is POST /auth/token.
func (h *Home) token(r *request) {
	form, ok := r.form()
	if !ok {
		return
	}
	if h.release.since(2026, 11) && repeated(form) {
		r.oauthError(http.StatusBadRequest, "invalid_request", "")
		return
	}
	if action, _ := first(form, "action"); action == "revoke" {
		h.dropToken(r, form)
		return
	}
	switch grant, _ := first(form, "grant_type"); grant {
	case "authorization_code":
		h.exchange(r, form)
	case "refresh_token":
		h.renew(r, form)
	default:
		r.oauthError(http.StatusBadRequest, "unsupported_grant_type", "")
	}
}

// exchange gives tokens for a code.
func (h *Home) exchange(r *request, form []pair) {
	clientID, ok := first(form, "client_id")
	if !ok || !r.verifyClient(clientID) {
		r.oauthError(http.StatusBadRequest, "invalid_request", "Invalid client id")
		return
	}
	name, ok := first(form, "code")
	if !ok {
		r.oauthError(http.StatusBadRequest, "invalid_request", "Invalid code")
		return
	}
	a := &h.accounts
	a.mu.Lock()
	defer a.mu.Unlock()
	c, ok := a.take(name, clientID)
	if !ok {
		r.oauthError(http.StatusBadRequest, "invalid_request", "Invalid code")
		return
	}
	verifier, has := first(form, "code_verifier")
	switch {
	case c.challenge != "" && verifier == "":
		r.oauthError(http.StatusBadRequest, "invalid_request", "Code verifier required")
		return
	case c.challenge != "" && !proves(verifier, c.challenge):
		r.oauthError(http.StatusBadRequest, "invalid_grant", "Invalid code verifier")
		return
	case c.challenge == "" && has && h.release.since(2026, 11):
		r.oauthError(http.StatusBadRequest, "invalid_request", "Code verifier provided but no code challenge was present")
		return
	}
	if why := notAllowed(c.user, r.remote); why != "" {
		r.oauthError(http.StatusForbidden, "access_denied", why)
		return
	}
	t := a.newToken(c.user, kindNormal, clientID)
	noStore(r.w.Header())
	r.json(http.StatusOK, object{
		"access_token": a.access(t, r.remote), "token_type": "Bearer", "refresh_token": t.token,
		"expires_in": int(t.life.Seconds()), "ha_auth_provider": "homeassistant",
	})
}

// verifiers are what RFC 7636 4.1 allows.
var verifiers = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

// proves says whether a verifier is the one that a challenge was made from (S256).
func proves(verifier, challenge string) bool {
	sum := sha256.Sum256([]byte(verifier))
	return verifiers.MatchString(verifier) && base64.RawURLEncoding.EncodeToString(sum[:]) == challenge
}

// renew gives an access token for a refresh token.
func (h *Home) renew(r *request, form []pair) {
	clientID, hasClient := first(form, "client_id")
	if hasClient && !r.verifyClient(clientID) {
		r.oauthError(http.StatusBadRequest, "invalid_request", "Invalid client id")
		return
	}
	token, ok := first(form, "refresh_token")
	if !ok {
		r.oauthError(http.StatusBadRequest, "invalid_request", "")
		return
	}
	a := &h.accounts
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.refresh(token)
	switch {
	case t == nil:
		r.oauthError(http.StatusBadRequest, "invalid_grant", "")
	case t.clientID != clientID:
		r.oauthError(http.StatusBadRequest, "invalid_request", "")
	case notAllowed(t.user, r.remote) != "":
		r.oauthError(http.StatusForbidden, "access_denied", notAllowed(t.user, r.remote))
	default:
		noStore(r.w.Header())
		r.json(http.StatusOK, object{"access_token": a.access(t, r.remote), "token_type": "Bearer", "expires_in": int(t.life.Seconds())})
	}
}

// revoke is POST /auth/revoke, which answers 200 whatever it is given.
func (h *Home) revoke(r *request) {
	form, ok := r.form()
	if !ok {
		return
	}
	h.dropToken(r, form)
}

func (h *Home) dropToken(r *request, form []pair) {
	if token, ok := first(form, "token"); ok {
		h.accounts.mu.Lock()
		var ends []func()
		if t := h.accounts.refresh(token); t != nil {
			ends = h.accounts.drop(t.id)
		}
		h.accounts.mu.Unlock()
		callAll(ends)
	}
	r.empty(http.StatusOK)
}
