package web

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/go-json-experiment/json"
	"github.com/pquerna/otp/totp"

	"gatehouse/internal/guard"
	"gatehouse/internal/identity"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
)

const (
	testHost   = "home.example"
	testOrigin = "https://home.example:8443"
)

// house is the pages over a real identity, with a clock that the test turns.
type house struct {
	*Pages
	t  *testing.T
	id *identity.Identity

	mu    sync.Mutex
	now   time.Time
	fails int
	ready bool
	guide *guide
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), ready: true}
	l, err := ledger.Open(t.Context(), "", ledger.Key{1})
	h.must(err)
	t.Cleanup(func() { h.must(l.Close()) })
	h.id, err = identity.New(t.Context(), identity.Config{
		Ledger: l, RPID: testHost, Origins: []string{testOrigin},
		Now:  func() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return h.now },
		Fail: func(guard.Failure) { h.mu.Lock(); defer h.mu.Unlock(); h.fails++ },
	})
	h.must(err)
	h.guide = newGuide(t)
	h.Pages, err = New(Config{Identity: h.id, Authority: h.guide, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Ready: func() bool { return h.ready }})
	h.must(err)
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

func (h *house) failures() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fails
}

// code returns what an authenticator app shows for a secret now.
func (h *house) code(secret string) string {
	h.t.Helper()
	c, err := totp.GenerateCode(strings.ReplaceAll(secret, " ", ""), h.now)
	h.must(err)
	return c
}

// browser is a browser: it keeps the cookie and, if it has one, uses an authenticator.
type browser struct {
	h      *house
	cookie string
	origin string // where it thinks the house is
	addr   string
	header map[string]string
	home   *identity.Visit // where it is instead; nil for outside

	rp   virtualwebauthn.RelyingParty
	auth virtualwebauthn.Authenticator
	key  virtualwebauthn.Credential
}

func (h *house) browser() *browser {
	key := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	// virtualwebauthn writes a coordinate that begins with a zero byte too short, which is not
	// a key: a whole one takes 77 bytes.
	for len(key.Key.AttestationData()) != 77 {
		key = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	}
	return &browser{h: h, origin: testOrigin, addr: "203.0.113.7", key: key, auth: virtualwebauthn.NewAuthenticator(),
		rp: virtualwebauthn.RelyingParty{ID: testHost, Name: "Gatehouse", Origin: testOrigin}}
}

// visit is what the gateway would say of this browser.
func (b *browser) visit() identity.Visit {
	if b.home != nil {
		v := *b.home
		v.Cookie = b.cookie
		return v
	}
	return identity.Visit{Door: policy.HTTPS, Addr: netip.MustParseAddr(b.addr), Host: testHost, Origin: b.origin, Cookie: b.cookie,
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
}

// request makes a request as the gateway hands it on.
func (b *browser) request(method, target, contentType, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = strings.TrimPrefix(b.origin, "https://")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Origin", b.origin)
	}
	for name, value := range b.header {
		r.Header.Set(name, value)
	}
	return r.WithContext(identity.WithVisit(r.Context(), b.visit()))
}

// do sends a request and keeps the cookie that is answered.
func (b *browser) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.h.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.Name == identity.CookieName {
			b.cookie = c.Value
		}
	}
	return w
}

func (b *browser) get(target string) *httptest.ResponseRecorder {
	return b.do(b.request(http.MethodGet, target, "", ""))
}

// submit sends a form, as a browser without scripts does.
func (b *browser) submit(target string, fields ...string) *httptest.ResponseRecorder {
	values := url.Values{}
	for k := 0; k < len(fields); k += 2 {
		values.Set(fields[k], fields[k+1])
	}
	return b.do(b.request(http.MethodPost, target, "application/x-www-form-urlencoded", values.Encode()))
}

// ask asks the API as the scripts do, and reads the answer into out unless it is nil.
func (b *browser) ask(path string, in, out any) *httptest.ResponseRecorder {
	b.h.t.Helper()
	body, err := json.Marshal(in)
	b.h.must(err)
	w := b.do(b.request(http.MethodPost, apiPrefix+path, "application/json", string(body)))
	if out != nil {
		if w.Code != http.StatusOK {
			b.h.t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		b.h.must(json.Unmarshal(w.Body.Bytes(), out))
	}
	return w
}

// create answers the making of a passkey.
func (b *browser) create(c begun) ceremonyAnswer {
	b.h.t.Helper()
	options, err := virtualwebauthn.ParseAttestationOptions(string(c.Options))
	b.h.must(err)
	response := virtualwebauthn.CreateAttestationResponse(b.rp, b.auth, b.key, *options)
	b.auth.Options.UserHandle = []byte(options.UserID)
	b.auth.AddCredential(b.key)
	return ceremonyAnswer{c.ID, []byte(response)}
}

// sign answers a sign-in.
func (b *browser) sign(c begun) ceremonyAnswer {
	b.h.t.Helper()
	options, err := virtualwebauthn.ParseAssertionOptions(string(c.Options))
	b.h.must(err)
	b.key.Counter++
	return ceremonyAnswer{c.ID, []byte(virtualwebauthn.CreateAssertionResponse(b.rp, b.auth, b.key, *options))}
}

// confirm has its person confirm by passkey that it is them.
func (b *browser) confirm() {
	b.h.t.Helper()
	var c begun
	b.ask("sign-in/passkey/begin", fields{}, &c)
	wants(b.h.t, b.ask("sign-in/passkey", b.sign(c), nil), http.StatusOK)
}

type fields map[string]any

// becomeOwner makes a browser the first owner's, by passkey.
func (b *browser) becomeOwner(name string) enrolled {
	b.h.t.Helper()
	inv, err := b.h.id.InviteOwner(b.h.t.Context())
	b.h.must(err)
	var c begun
	b.ask("invite/passkey/begin", fields{"invite": inv.Code, "name": name}, &c)
	a := b.create(c)
	var e enrolled
	b.ask("invite/passkey", fields{"invite": inv.Code, "name": name, "id": a.ID, "response": a.Response}, &e)
	return e
}

// invite names a person, if need be, and invites them.
func (h *house) invite(name string, role policy.Role) string {
	h.t.Helper()
	ctx := context.Background()
	if _, ok := h.id.PersonByName(name); !ok {
		_, err := h.id.AddPerson(ctx, name, role, "", "")
		h.must(err)
	}
	inv, err := h.id.Invite(ctx, name)
	h.must(err)
	return inv.Code
}

// becomeMember makes a browser a member's, by the invitation alone.
func (b *browser) becomeMember(name string) {
	b.h.t.Helper()
	if w := b.submit(pathInvite + b.h.invite(name, policy.RoleMember)); w.Code != http.StatusSeeOther {
		b.h.t.Fatalf("become a member: %d %s", w.Code, w.Body)
	}
}

// standing says what the browser's cookie is worth.
func (b *browser) standing() identity.Recognised { return b.h.id.Recognise(b.cookie) }

// wants checks an answer's status and that its body holds all of want.
func wants(t testing.TB, w *httptest.ResponseRecorder, status int, want ...string) {
	t.Helper()
	if w.Code != status {
		t.Errorf("answered %d, want %d: %s", w.Code, status, w.Body)
	}
	for _, s := range want {
		if !strings.Contains(w.Body.String(), s) {
			t.Errorf("%q is not in the answer: %s", s, w.Body)
		}
	}
}
