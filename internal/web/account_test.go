package web

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/policy"
)

func TestOwnPage(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.becomeOwner("Olga <b>")
	wants(t, b.get(pathOwn), http.StatusOK, "Hello, Olga &lt;b&gt;", "Owner of this house", "Firefox on Linux", "203.0.113.7",
		"Passkey made in this browser", "10 left.", "2026-11-24T12:00:00Z", `data-prove="true"`)
	m := h.browser()
	m.becomeMember("Anna")
	w := m.get(pathOwn)
	wants(t, w, http.StatusOK, "Member of this house", `data-prove="false"`, "ask the owner for a new invitation")
	if strings.Contains(w.Body.String(), "Olga") || strings.Contains(w.Body.String(), "Passkey made") {
		t.Error("a member is shown the owner, or what is hers")
	}
}

// Nothing changes who gets in unless the person has just confirmed that it is them.
func TestFreshProof(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	e := b.becomeOwner("Olga")
	key := h.id.Passkeys()[0].ID
	h.pass(6 * time.Minute)
	stale := map[string]fields{
		"account/passkey/begin":  {},
		"account/passkey":        {"id": "x", "response": fields{}},
		"account/passkey/remove": {"id": key},
		"account/totp/begin":     {},
		"account/totp":           {"id": "x", "code": "000000"},
		"account/recovery":       {},
		"approvals/answer":       {"id": "x", "number": 10},
	}
	for path, in := range stale {
		wants(t, b.ask(path, in, nil), http.StatusForbidden, `{"error":"not-fresh"}`)
	}
	wants(t, b.ask("account/confirm", fields{"code": "000000"}, nil), http.StatusUnauthorized, `{"error":"refused"}`)
	cookie := b.cookie
	wants(t, b.ask("account/confirm", fields{"code": h.code(e.App.Secret)}, nil), http.StatusOK)
	if b.standing().Who.Proof != policy.ProofFresh || b.cookie != cookie {
		t.Errorf("confirmed, the session is %+v", b.standing())
	}
	h.pass(6 * time.Minute)
	var c begun
	b.ask("sign-in/passkey/begin", fields{}, &c)
	wants(t, b.ask("sign-in/passkey", b.sign(c), nil), http.StatusOK)
	if b.standing().Who.Proof != policy.ProofFresh || b.cookie != cookie {
		t.Errorf("confirmed by passkey, the session is %+v", b.standing())
	}
}

func TestOwnPasskeys(t *testing.T) {
	h := newHouse(t)
	b, second := h.browser(), h.browser()
	b.becomeOwner("Olga")
	b.confirm()
	var c begun
	b.ask("account/passkey/begin", fields{}, &c)
	wants(t, b.ask("account/passkey", second.create(c), nil), http.StatusOK)
	var ids []string
	for _, k := range h.id.Passkeys() {
		ids = append(ids, k.ID)
	}
	if len(ids) != 2 {
		t.Fatalf("%d passkeys", len(ids))
	}
	m := h.browser()
	code := h.invite("Anna", policy.RoleMember)
	var a authenticator
	m.ask("invite/totp/begin", fields{"invite": code, "name": ""}, &a)
	m.ask("invite/totp", fields{"invite": code, "name": "", "id": a.ID, "code": h.code(a.Secret)}, nil)
	h.pass(time.Minute)
	wants(t, m.ask("account/confirm", fields{"code": h.code(a.Secret)}, nil), http.StatusOK)
	wants(t, m.ask("account/passkey/remove", fields{"id": ids[0]}, nil), http.StatusNotFound, `{"error":"gone"}`) // somebody else's
	wants(t, b.ask("account/passkey/remove", fields{"id": ids[0]}, nil), http.StatusForbidden, `{"error":"not-fresh"}`)
	b.confirm()
	wants(t, b.ask("account/passkey/remove", fields{"id": ids[0]}, nil), http.StatusOK)
	wants(t, b.ask("account/passkey/remove", fields{"id": ids[0]}, nil), http.StatusForbidden)
	if all := h.id.Passkeys(); len(all) != 1 || all[0].ID != ids[1] {
		t.Errorf("left is %+v", all)
	}
}

func TestOwnCodes(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	e := b.becomeOwner("Olga")
	b.confirm()
	var fresh enrolled
	b.ask("account/recovery", fields{}, &fresh)
	wants(t, h.browser().submit(pathSignIn, "name", "Olga", "code", e.Recovery[0]), http.StatusUnauthorized)
	wants(t, h.browser().submit(pathSignIn, "name", "Olga", "code", fresh.Recovery[0]), http.StatusSeeOther)

	b.confirm()
	var a authenticator
	b.ask("account/totp/begin", fields{}, &a)
	wants(t, b.ask("account/totp", fields{"id": a.ID, "code": "000000"}, nil), http.StatusUnprocessableEntity, `{"error":"code"}`)
	wants(t, b.ask("account/totp", fields{"id": a.ID, "code": h.code(a.Secret)}, nil), http.StatusOK)
	h.pass(time.Minute)
	wants(t, h.browser().submit(pathSignIn, "name", "Olga", "code", h.code(e.App.Secret)), http.StatusUnauthorized)
	wants(t, h.browser().submit(pathSignIn, "name", "Olga", "code", h.code(a.Secret)), http.StatusSeeOther)
}
