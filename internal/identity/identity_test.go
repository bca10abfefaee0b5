package identity

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/pquerna/otp/totp"
	"go.uber.org/goleak"

	"gatehouse/internal/event"
	"gatehouse/internal/guard"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testHost   = "home.example"
	testOrigin = "https://home.example:8443"
)

// house is an Identity over a ledger on disk, with a clock that the test turns.
type house struct {
	*Identity
	t   *testing.T
	dir string
	l   *ledger.Ledger
	now time.Time

	mu     sync.Mutex
	events []event.Event
	fails  []guard.Failure
	slow   bool
	ended  []Ended
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	h.open()
	t.Cleanup(func() { h.l.Close() })
	return h
}

func (h *house) open() {
	h.t.Helper()
	var err error
	if h.l, err = ledger.Open(h.t.Context(), h.dir, ledger.Key{1}); err != nil {
		h.t.Fatal(err)
	}
	h.Identity, err = New(h.t.Context(), Config{
		Ledger: h.l, RPID: testHost, Origins: []string{testOrigin},
		Now: func() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return h.now },
		Event: func(e event.Event) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.events = append(h.events, e)
		},
		Fail: func(f guard.Failure) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.fails = append(h.fails, f)
		},
		Slow: func(string) bool { h.mu.Lock(); defer h.mu.Unlock(); return h.slow },
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.Watch(func(e Ended) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.ended = append(h.ended, e)
	})
}

// restart closes the house and opens it again, as a new process would.
func (h *house) restart() {
	h.t.Helper()
	if err := h.l.Close(); err != nil {
		h.t.Fatal(err)
	}
	h.open()
}

func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

func (h *house) failures() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.fails)
}

// saw reports whether an event of a kind was emitted.
func (h *house) saw(k event.Kind) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.events, func(e event.Event) bool { return e.Kind == k })
}

func (h *house) endedNow() []Ended {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.ended
	h.ended = nil
	return all
}

// code returns what an authenticator app shows for a secret as it is typed.
func (h *house) code(secret string) string {
	h.t.Helper()
	c, err := totp.GenerateCode(secret, h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

func visit(cookie string) Visit {
	return Visit{Door: policy.HTTPS, Addr: netip.MustParseAddr("203.0.113.7"), Host: testHost, Origin: testOrigin, Cookie: cookie,
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
}

// phone is an authenticator with the passkeys that were made with it.
type phone struct {
	t    *testing.T
	rp   virtualwebauthn.RelyingParty
	auth virtualwebauthn.Authenticator
	cred virtualwebauthn.Credential
}

func newPhone(t *testing.T) *phone {
	cred := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	// virtualwebauthn writes a coordinate that begins with a zero byte too short, which is not
	// a key: a whole one takes 77 bytes.
	for len(cred.Key.AttestationData()) != 77 {
		cred = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	}
	return &phone{t: t, rp: virtualwebauthn.RelyingParty{ID: testHost, Name: "Gatehouse", Origin: testOrigin},
		auth: virtualwebauthn.NewAuthenticator(), cred: cred}
}

// create answers the making of a passkey.
func (p *phone) create(c Ceremony) []byte {
	p.t.Helper()
	options, err := virtualwebauthn.ParseAttestationOptions(string(c.Options))
	if err != nil {
		p.t.Fatal(err)
	}
	response := virtualwebauthn.CreateAttestationResponse(p.rp, p.auth, p.cred, *options)
	p.auth.Options.UserHandle = []byte(options.UserID)
	p.auth.AddCredential(p.cred)
	return []byte(response)
}

// sign answers a sign-in.
func (p *phone) sign(c Ceremony) []byte {
	p.t.Helper()
	options, err := virtualwebauthn.ParseAssertionOptions(string(c.Options))
	if err != nil {
		p.t.Fatal(err)
	}
	p.cred.Counter++
	return []byte(virtualwebauthn.CreateAssertionResponse(p.rp, p.auth, p.cred, *options))
}

// becomeOwner makes the first owner, by passkey.
func (h *house) becomeOwner(p *phone) Enrolment {
	h.t.Helper()
	ctx := h.t.Context()
	inv, err := h.InviteOwner(ctx)
	h.must(err)
	c, err := h.BeginPasskey(ctx, visit(""), inv.Code, "Olga")
	h.must(err)
	e, err := h.EnrolPasskey(ctx, visit(""), inv.Code, "Olga", c.ID, p.create(c))
	h.must(err)
	return e
}

// invite makes a person known and lets one browser of theirs in by invitation.
func (h *house) member(name string) (Person, string) {
	h.t.Helper()
	ctx := h.t.Context()
	p, err := h.AddPerson(ctx, name, policy.RoleMember, "", "")
	h.must(err)
	inv, err := h.Invite(ctx, name)
	h.must(err)
	e, err := h.EnrolBrowser(ctx, visit(""), inv.Code)
	h.must(err)
	return p, e.Cookie
}

func (h *house) signIn(p *phone, v Visit) (string, error) {
	h.t.Helper()
	c, err := h.BeginSignIn(h.t.Context(), v)
	h.must(err)
	return h.SignInPasskey(h.t.Context(), v, c.ID, p.sign(c))
}

// confirm has a person confirm, in the session that they have, that it is them.
func (h *house) confirm(p *phone, cookie string) policy.Who {
	h.t.Helper()
	if c, err := h.signIn(p, visit(cookie)); c != "" || err != nil {
		h.t.Fatalf("confirming: %q, %v", c, err)
	}
	return h.stands(cookie, StandingLive, policy.ProofFresh).Who
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// stands checks what a cookie is worth.
func (h *house) stands(cookie string, standing Standing, proof policy.Proof) Recognised {
	h.t.Helper()
	r := h.Recognise(cookie)
	if r.Standing != standing || r.Who.Proof != proof {
		h.t.Errorf("cookie is worth standing %d, proof %d; want %d, %d", r.Standing, r.Who.Proof, standing, proof)
	}
	return r
}

func TestFromInvitationToRevocation(t *testing.T) {
	h, ctx := newHouse(t), context.Background()
	olga := newPhone(t)
	e := h.becomeOwner(olga)
	if len(e.Recovery) != 10 || e.TOTPSecret == "" || e.TOTPURL == "" || e.Person.Name != "Olga" || e.Person.Role != policy.RoleOwner {
		t.Errorf("enrolment lacks something: %+v", e)
	}
	r := h.stands(e.Cookie, StandingLive, policy.ProofDevice)
	if r.Who.Name != "Olga" || r.Who.Role != policy.RoleOwner || r.Who.Kind != "browser" || r.Who.Device == "" {
		t.Errorf("recognised as %+v", r.Who)
	}
	if d := h.Devices()[0]; d.Name != "Firefox on Linux" || d.LastAddr != "203.0.113.7" || d.LastDoor != "https" {
		t.Errorf("device is %+v", d)
	}
	h.restart()
	h.stands(e.Cookie, StandingLive, policy.ProofDevice) // freshness is not kept
	if cookie, err := h.signIn(olga, visit(e.Cookie)); cookie != "" || err != nil {
		t.Errorf("confirming gave cookie %q, %v", cookie, err)
	}
	h.stands(e.Cookie, StandingLive, policy.ProofFresh)
	h.pass(freshFor)
	h.stands(e.Cookie, StandingLive, policy.ProofDevice)

	h.must(h.RevokeDevice(ctx, r.Who.Device))
	if got := h.endedNow(); !slices.Equal(got, []Ended{{Device: r.Who.Device}}) {
		t.Errorf("watchers were told %v", got)
	}
	for range 2 {
		if r := h.stands(e.Cookie, StandingEnded, policy.ProofNone); !r.Who.Revoked {
			t.Error("the device is not revoked")
		}
		if s := h.Sessions(); len(s) != 1 || !s[0].Ended.Equal(h.now) {
			t.Errorf("sessions are %+v", s)
		}
		h.restart()
	}
	// The person can enrol the same browser again, as another device.
	cookie, err := h.signIn(olga, visit(e.Cookie))
	h.must(err)
	if again := h.stands(cookie, StandingLive, policy.ProofDevice); again.Who.Device == r.Who.Device || again.Who.Revoked {
		t.Errorf("came back as %+v", again.Who)
	}
	h.stands(e.Cookie, StandingEnded, policy.ProofNone)
}
