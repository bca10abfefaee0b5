package web

import (
	"bytes"
	"encoding/base64"
	"image/png"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

func TestBecomeOwnerByPasskey(t *testing.T) {
	h := newHouse(t)
	inv, err := h.id.InviteOwner(t.Context())
	h.must(err)
	b := h.browser()
	for range 3 { // looking does not use it up
		wants(t, b.get(pathInvite+inv.Code), http.StatusOK, `id="name"`, `data-code="`+inv.Code+`"`, `data-passkeys="true"`)
	}
	wants(t, b.get(pathInvite+strings.ToUpper(inv.Code)), http.StatusOK)
	wants(t, b.submit(pathInvite+inv.Code), http.StatusForbidden) // no owner by the link alone
	var c begun
	wants(t, b.ask("invite/passkey/begin", fields{"invite": inv.Code, "name": " "}, nil), http.StatusUnprocessableEntity, `{"error":"name"}`)
	b.ask("invite/passkey/begin", fields{"invite": inv.Code, "name": "Olga"}, &c)
	a := b.create(c)
	var e enrolled
	b.ask("invite/passkey", fields{"invite": inv.Code, "name": "Olga", "id": a.ID, "response": a.Response}, &e)
	if len(e.Recovery) != 10 || e.App == nil || !strings.HasPrefix(e.App.URL, "otpauth://totp/") || e.App.ID != "" {
		t.Errorf("the owner got %+v", e)
	}
	if r := b.standing(); r.Standing != identity.StandingLive || r.Who.Role != policy.RoleOwner || r.Who.Proof != policy.ProofDevice {
		t.Errorf("the cookie is worth %+v", r)
	}
	data, ok := strings.CutPrefix(e.App.QR, "data:image/png;base64,")
	picture, err := base64.StdEncoding.DecodeString(data)
	h.must(err)
	if _, err := png.Decode(bytes.NewReader(picture)); !ok || err != nil {
		t.Errorf("the QR code is no picture: %v", err)
	}
	h.pass(time.Minute)
	wants(t, h.browser().submit(pathSignIn, "name", "Olga", "code", h.code(e.App.Secret)), http.StatusSeeOther)
}

func TestBecomeOwnerByApp(t *testing.T) {
	h := newHouse(t)
	inv, err := h.id.InviteOwner(t.Context())
	h.must(err)
	b := h.browser()
	b.origin = "https://192.0.2.1:8443" // no passkeys here
	wants(t, b.get(pathInvite+inv.Code), http.StatusOK, `data-passkeys="false"`)
	wants(t, b.ask("invite/passkey/begin", fields{"invite": inv.Code, "name": "Olga"}, nil), http.StatusConflict, `{"error":"no-passkey"}`)
	var a authenticator
	b.ask("invite/totp/begin", fields{"invite": inv.Code, "name": "Olga"}, &a)
	in := fields{"invite": inv.Code, "name": "Olga", "id": a.ID, "code": "000000"}
	wants(t, b.ask("invite/totp", in, nil), http.StatusUnprocessableEntity, `{"error":"code"}`)
	in["code"] = h.code(a.Secret)
	var e enrolled
	b.ask("invite/totp", in, &e)
	if len(e.Recovery) != 10 || e.App != nil || b.standing().Standing != identity.StandingLive {
		t.Errorf("the owner got %+v", e)
	}
}

func TestBecomeMember(t *testing.T) {
	h := newHouse(t)
	h.browser().becomeOwner("Olga")
	b := h.browser()
	code := h.invite("Anna", policy.RoleMember)
	w := b.get(pathInvite + code)
	wants(t, w, http.StatusOK, "Welcome, Anna", `id="remember"`)
	if strings.Contains(w.Body.String(), `id="name"`) || strings.Contains(w.Body.String(), "Olga") {
		t.Errorf("the page asks for a name or tells another's: %s", w.Body)
	}
	var a authenticator
	b.ask("invite/totp/begin", fields{"invite": code, "name": ""}, &a)
	var e enrolled
	b.ask("invite/totp", fields{"invite": code, "name": "", "id": a.ID, "code": h.code(a.Secret)}, &e)
	if e.Recovery != nil || e.App != nil || b.standing().Who.Name != "Anna" {
		t.Errorf("the member got %+v", e)
	}
	wants(t, b.get(pathInvite+h.invite("Anna", policy.RoleMember)), http.StatusOK, "takes the place of")

	other := h.browser()
	other.becomeMember("Ben")
	code = h.invite("Anna", policy.RoleMember)
	wants(t, other.get(pathInvite+code), http.StatusOK, "belongs to Ben until now")
	w = other.submit(pathInvite + code)
	if wants(t, w, http.StatusSeeOther); w.Header().Get("Location") != "/" || other.standing().Who.Name != "Anna" {
		t.Errorf("leads to %q as %+v", w.Header().Get("Location"), other.standing())
	}
}

// Used, run out and never made look the same, and each look counts as a failure.
func TestInvitationThatIsNone(t *testing.T) {
	h := newHouse(t)
	h.browser().becomeOwner("Olga")
	used, late := h.invite("Anna", policy.RoleMember), h.invite("Anna", policy.RoleMember)
	wants(t, h.browser().submit(pathInvite+used), http.StatusSeeOther)
	h.pass(25 * time.Hour)
	bodies := map[string]bool{}
	for _, code := range []string{used, late, "aaaa-bbbb", "%20", "x"} {
		before := h.failures()
		w := h.browser().get(pathInvite + code)
		wants(t, w, http.StatusNotFound, "This invitation does not work")
		bodies[w.Body.String()] = true
		if h.failures() != before+1 {
			t.Errorf("%s: %d failures", code, h.failures()-before)
		}
		wants(t, h.browser().submit(pathInvite+code), http.StatusNotFound)
		for _, path := range []string{"invite/passkey/begin", "invite/totp/begin"} {
			wants(t, h.browser().ask(path, fields{"invite": code, "name": "Eve"}, nil), http.StatusNotFound, `{"error":"invitation"}`)
		}
	}
	if len(bodies) != 1 {
		t.Errorf("%d different pages", len(bodies))
	}
	wants(t, h.browser().get(pathInvite), http.StatusNotFound, "Page not found")
	wants(t, h.browser().get(pathInvite+"a/b"), http.StatusNotFound, "Page not found")
}
