package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

func TestSignInByPasskey(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.becomeOwner("Olga")
	old := b.cookie
	wants(t, b.submit(pathSignOut), http.StatusSeeOther)
	if s := h.id.Recognise(old).Standing; s != identity.StandingEnded {
		t.Errorf("signed out, the session is %v", s)
	}
	var c begun
	b.ask("sign-in/passkey/begin", fields{}, &c)
	wants(t, b.ask("sign-in/passkey", b.sign(c), nil), http.StatusOK, `{"ok":true}`)
	if r := b.standing(); r.Standing != identity.StandingLive || r.Who.Name != "Olga" || b.cookie == old {
		t.Errorf("signed in, the cookie is worth %+v", r)
	}
}

func TestSignInByForm(t *testing.T) {
	h := newHouse(t)
	e := h.browser().becomeOwner("Olga")
	for name, c := range map[string]struct{ next, want string }{
		"where one was":   {"/lovelace/0?edit=1", "/lovelace/0?edit=1"},
		"own page":        {pathOwn, pathOwn},
		"nowhere":         {"", "/"},
		"another site":    {"https://evil.example/", "/"},
		"another host":    {"//evil.example/", "/"},
		"with backslash":  {`/\evil.example/`, "/"},
		"split by a line": {"/a\r\nSet-Cookie: x=y", "/"},
	} {
		t.Run(name, func(t *testing.T) {
			h.pass(time.Minute)
			b := h.browser()
			w := b.submit(pathSignIn, "name", "olga", "code", h.code(e.App.Secret), "next", c.next)
			wants(t, w, http.StatusSeeOther)
			if got := w.Header().Get("Location"); got != c.want {
				t.Errorf("goes on to %q, want %q", got, c.want)
			}
			if b.standing().Standing != identity.StandingLive {
				t.Error("is not signed in")
			}
		})
	}
	b := h.browser()
	wants(t, b.submit(pathSignIn, "name", "Olga", "code", e.Recovery[0]), http.StatusSeeOther)
	wants(t, h.browser().submit(pathSignIn, "name", "Olga", "code", e.Recovery[0]), http.StatusUnauthorized)
}

func TestCookie(t *testing.T) {
	h := newHouse(t)
	e := h.browser().becomeOwner("Olga")
	b := h.browser()
	w := b.submit(pathSignIn, "name", "Olga", "code", e.Recovery[0])
	want := identity.CookieName + "=" + b.cookie + "; Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=Lax"
	if got := w.Header().Values("Set-Cookie"); len(got) != 1 || got[0] != want {
		t.Errorf("Set-Cookie is %q, want %q", got, want)
	}
}

// Whatever is wrong with a sign-in, the answer is one.
func TestSignInRefusedAlike(t *testing.T) {
	h := newHouse(t)
	owner := h.browser()
	e := owner.becomeOwner("Olga")
	h.browser().becomeMember("Anna") // has nothing to sign in with
	bodies := map[string]bool{}
	note := func(w *httptest.ResponseRecorder) {
		t.Helper()
		if w.Code != http.StatusUnauthorized || len(w.Header().Values("Set-Cookie")) > 0 {
			t.Errorf("answered %d %v", w.Code, w.Header())
		}
		bodies[w.Body.String()] = true
	}
	tries := [][2]string{{"Olga", "000000"}, {"Anna", "000000"}, {"Nobody", "000000"}, {"", ""}, {"Olga", "2222-2222-2222-2222"},
		{"Nobody", e.Recovery[0]}, {"Anna", e.Recovery[0]}, {"Olga", strings.Repeat("0", 4000)}}
	for _, c := range tries {
		note(h.browser().submit(pathSignIn, "name", c[0], "code", c[1]))
	}
	if len(bodies) != 1 {
		t.Errorf("forms: %d different answers", len(bodies))
	}
	clear(bodies)
	for _, c := range tries {
		note(h.browser().ask("sign-in/code", fields{"name": c[0], "code": c[1]}, nil))
	}
	b := h.browser()
	var c begun
	b.ask("sign-in/passkey/begin", fields{}, &c)
	note(b.ask("sign-in/passkey", b.sign(c), nil)) // a passkey that nobody has
	note(b.ask("sign-in/passkey", ceremonyAnswer{"x", []byte("{}")}, nil))
	owner.ask("sign-in/passkey/begin", fields{}, &c)
	h.pass(6 * time.Minute)
	note(owner.ask("sign-in/passkey", owner.sign(c), nil)) // too late
	if len(bodies) != 1 {
		t.Errorf("scripts: %d different answers: %v", len(bodies), bodies)
	}
}

// A right passkey that cannot be let in, because its person has as many devices as one
// may have, is refused like a wrong one.
func TestRightButTooMany(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.becomeOwner("Olga")
	for range 100 {
		b.cookie = ""
		h.pass(2 * time.Second) // so that there is room for it
		var c begun
		b.ask("sign-in/passkey/begin", fields{}, &c)
		if w := b.ask("sign-in/passkey", b.sign(c), nil); w.Code != http.StatusOK {
			wants(t, w, http.StatusUnauthorized, `{"error":"refused"}`)
			return
		}
	}
	t.Error("a hundred devices are let in")
}

func TestSignInPage(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	wants(t, b.get(pathSignIn), http.StatusOK, `data-next="/"`, `data-here="false"`, `data-passkeys="true"`)
	wants(t, b.get(pathOwn), http.StatusOK, `data-next="/_gatehouse/auth/"`, `data-here="true"`)
	b.origin = "https://192.0.2.1:8443"
	wants(t, b.get(pathSignIn), http.StatusOK, `data-passkeys="false"`)
	wants(t, b.ask("sign-in/passkey/begin", fields{}, nil), http.StatusConflict, `{"error":"no-passkey"}`)
	b.origin = testOrigin
	b.becomeOwner("Olga")
	w := b.get(pathSignIn)
	if wants(t, w, http.StatusSeeOther); w.Header().Get("Location") != "/" {
		t.Errorf("signed in, the sign-in page leads to %q", w.Header().Get("Location"))
	}
}

func TestSession(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	wants(t, b.get(apiPrefix+"session"), http.StatusOK, `{"signed_in":false}`)
	b.becomeOwner("Olga")
	wants(t, b.get(apiPrefix+"session"), http.StatusOK, `{"signed_in":true}`)
	h.pass(31 * 24 * time.Hour)
	wants(t, b.get(apiPrefix+"session"), http.StatusOK, `{"signed_in":false}`)
}

func TestReady(t *testing.T) {
	h := newHouse(t)
	wants(t, h.browser().get(apiPrefix+"ready"), http.StatusUnauthorized, `{"error":"signed-out"}`)
	b := h.browser()
	b.becomeOwner("Olga")
	wants(t, b.get(apiPrefix+"ready"), http.StatusOK, `{"ready":true}`)
	h.ready = false
	wants(t, b.get(apiPrefix+"ready"), http.StatusOK, `{"ready":false}`)
}

func TestResume(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.becomeOwner("Olga")
	h.id.SetNotice(b.standing().Session, "other-ha-user")
	w := b.submit(pathResume)
	if wants(t, w, http.StatusSeeOther); w.Header().Get("Location") != "/" || b.standing().Notice != "" {
		t.Errorf("leads to %q with notice %q", w.Header().Get("Location"), b.standing().Notice)
	}
}

func TestApproval(t *testing.T) {
	h := newHouse(t)
	owner, other := h.browser(), h.browser()
	owner.becomeOwner("Olga")
	other.addr = "198.51.100.9"
	type question struct {
		Ticket  string    `json:"ticket"`
		Code    string    `json:"code"`
		Number  int       `json:"number"`
		Expires time.Time `json:"expires"`
	}
	type list struct {
		Waiting []asking `json:"waiting"`
	}
	ask := func() (q question, w asking) {
		other.ask("approvals", fields{}, &q)
		wants(t, other.ask("approvals/poll", fields{"ticket": q.Ticket}, nil), http.StatusOK, `{"state":"waiting"}`)
		var l list
		got := owner.get(apiPrefix + "approvals/waiting")
		h.must(json.Unmarshal(got.Body.Bytes(), &l))
		if len(l.Waiting) != 1 || l.Waiting[0].Addr != other.addr || l.Waiting[0].Name != "Firefox on Linux" {
			t.Fatalf("waiting is %s", got.Body)
		}
		if strings.Contains(got.Body.String(), q.Ticket) || strings.Contains(got.Body.String(), q.Code) {
			t.Error("the waiting list tells the secrets of who asks")
		}
		return q, l.Waiting[0]
	}
	q, w := ask()
	owner.confirm()
	wants(t, owner.ask("approvals/answer", fields{"id": w.ID, "number": q.Number}, nil), http.StatusOK, `{"ok":true}`)
	wants(t, other.ask("approvals/poll", fields{"ticket": q.Ticket}, nil), http.StatusOK, `{"state":"approved"}`)
	if r := other.standing(); r.Standing != identity.StandingLive || r.Who.Name != "Olga" || r.Who.Proof != policy.ProofDevice {
		t.Errorf("approved, the browser is %+v", r)
	}
	wants(t, other.ask("approvals/poll", fields{"ticket": q.Ticket}, nil), http.StatusOK, `{"state":"gone"}`)

	q, w = ask()
	owner.confirm()
	wants(t, owner.ask("approvals/answer", fields{"id": w.ID, "number": 109 - q.Number}, nil), http.StatusUnprocessableEntity, `{"error":"number"}`)
	wants(t, other.ask("approvals/poll", fields{"ticket": q.Ticket}, nil), http.StatusOK, `{"state":"denied"}`)
	q, w = ask()
	wants(t, owner.ask("approvals/answer", fields{"id": w.ID}, nil), http.StatusOK)
	wants(t, other.ask("approvals/poll", fields{"ticket": q.Ticket}, nil), http.StatusOK, `{"state":"denied"}`)

	q, w = ask()
	owner.confirm()
	h.pass(5*time.Minute - time.Second)
	wants(t, owner.ask("approvals/answer", fields{"id": w.ID, "number": q.Number}, nil), http.StatusOK)
	q, w = ask()
	owner.confirm()
	h.pass(5*time.Minute + time.Second)
	wants(t, owner.ask("approvals/answer", fields{"id": w.ID, "number": q.Number}, nil), http.StatusForbidden, `{"error":"not-fresh"}`)
}

func TestApprovalsAreFew(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	for range 2 {
		wants(t, b.ask("approvals", fields{}, nil), http.StatusOK)
	}
	wants(t, b.ask("approvals", fields{}, nil), http.StatusTooManyRequests, `{"error":"busy"}`)
}
