package identity

import (
	"errors"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/policy"
)

func TestPasskeyRefused(t *testing.T) {
	h := newHouse(t)
	olga := newPhone(t)
	h.becomeOwner(olga)
	for name, try := range map[string]func(p *phone, v Visit) error{
		"another site": func(p *phone, v Visit) error {
			p.rp.Origin = "https://evil.example"
			_, err := h.signIn(p, v)
			return err
		},
		"another port of this host": func(p *phone, v Visit) error {
			p.rp.Origin = "https://home.example"
			_, err := h.signIn(p, v)
			return err
		},
		"upper case": func(p *phone, v Visit) error {
			p.rp.Origin = "https://HOME.example:8443"
			_, err := h.signIn(p, v)
			return err
		},
		"another rpID": func(p *phone, v Visit) error {
			p.rp.ID = "example"
			_, err := h.signIn(p, v)
			return err
		},
		"no PIN, no finger": func(p *phone, v Visit) error {
			p.auth.Options.UserNotVerified = true
			_, err := h.signIn(p, v)
			return err
		},
		"nobody there": func(p *phone, v Visit) error {
			p.auth.Options.UserNotPresent = true
			_, err := h.signIn(p, v)
			return err
		},
		"another person's handle": func(p *phone, v Visit) error {
			p.auth.Options.UserHandle = []byte("somebody")
			_, err := h.signIn(p, v)
			return err
		},
		"a passkey that is not known": func(p *phone, v Visit) error {
			p.cred = newPhone(t).cred
			_, err := h.signIn(p, v)
			return err
		},
		"a key of one's own": func(p *phone, v Visit) error {
			id := p.cred.ID
			p.cred = newPhone(t).cred
			p.cred.ID = id
			_, err := h.signIn(p, v)
			return err
		},
		"another challenge": func(p *phone, v Visit) error {
			one, err := h.BeginSignIn(t.Context(), v)
			h.must(err)
			other, err := h.BeginSignIn(t.Context(), v)
			h.must(err)
			_, err = h.SignInPasskey(t.Context(), v, one.ID, p.sign(other))
			return err
		},
		"a challenge of one's own": func(p *phone, v Visit) error {
			c, err := h.BeginSignIn(t.Context(), v)
			h.must(err)
			_, err = h.SignInPasskey(t.Context(), v, c.ID[:len(c.ID)-4]+"AAAA", p.sign(c))
			return err
		},
		"too late": func(p *phone, v Visit) error {
			c, err := h.BeginSignIn(t.Context(), v)
			h.must(err)
			h.pass(ceremonyFor)
			_, err = h.SignInPasskey(t.Context(), v, c.ID, p.sign(c))
			return err
		},
		"twice": func(p *phone, v Visit) error {
			c, err := h.BeginSignIn(t.Context(), v)
			h.must(err)
			response := p.sign(c)
			_, err = h.SignInPasskey(t.Context(), v, c.ID, response)
			h.must(err)
			_, err = h.SignInPasskey(t.Context(), v, c.ID, response)
			return err
		},
		"not JSON": func(p *phone, v Visit) error {
			c, err := h.BeginSignIn(t.Context(), v)
			h.must(err)
			_, err = h.SignInPasskey(t.Context(), v, c.ID, []byte("{"))
			return err
		},
		"a megabyte": func(p *phone, v Visit) error {
			c, err := h.BeginSignIn(t.Context(), v)
			h.must(err)
			_, err = h.SignInPasskey(t.Context(), v, c.ID, append([]byte(strings.Repeat(" ", 1<<20)), p.sign(c)...))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			mine := *olga
			before := h.failures()
			h.pass(time.Minute) // so that there is room for it
			if err := try(&mine, visit("")); err != ErrRefused {
				t.Errorf("got %v, want ErrRefused", err)
			}
			if h.failures() != before+1 {
				t.Errorf("%d failures were reported, want 1", h.failures()-before)
			}
			olga.cred.Counter = mine.cred.Counter
		})
	}
	olga.cred.Counter += 100
	if _, err := h.signIn(olga, visit("")); err != nil {
		t.Errorf("and the right one: %v", err)
	}
}

func TestPasskeyElsewhere(t *testing.T) {
	h := newHouse(t)
	v := visit("")
	v.Origin = "https://192.168.1.2:8443"
	if h.PasskeysAt(v) {
		t.Error("passkeys work at an address that they were not made for")
	}
	if _, err := h.BeginSignIn(t.Context(), v); !errors.Is(err, ErrNoPasskeyHere) {
		t.Errorf("got %v", err)
	}
}

func TestClonedPasskey(t *testing.T) {
	h := newHouse(t)
	olga := newPhone(t)
	h.becomeOwner(olga)
	olga.cred.Counter = 10
	if _, err := h.signIn(olga, visit("")); err != nil {
		t.Fatal(err)
	}
	h.restart()
	if h.saw(event.PasskeyCloned) {
		t.Error("cloned without a reason")
	}
	olga.cred.Counter = 5
	if _, err := h.signIn(olga, visit("")); err != nil {
		t.Fatal(err)
	}
	if !h.saw(event.PasskeyCloned) {
		t.Error("a counter that goes backwards went unnoticed")
	}
}

func TestCodes(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	e := h.becomeOwner(newPhone(t))
	for name, c := range map[string]struct {
		shift time.Duration
		want  error
	}{
		"two steps early": {60 * time.Second, ErrRefused},
		"a step early":    {30 * time.Second, nil},
		"now":             {0, nil},
		"a step late":     {-30 * time.Second, nil},
		"two steps late":  {-60 * time.Second, ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			h.pass(10 * time.Minute)
			h.pass(c.shift)
			code := h.code(e.TOTPSecret)
			h.pass(-c.shift)
			if _, err := h.SignInCode(ctx, visit(""), " OLGA ", code); err != c.want {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if _, err := h.SignInCode(ctx, visit(""), "Olga", code); err != ErrRefused {
				t.Errorf("again: %v", err)
			}
			h.restart()
			if _, err := h.SignInCode(ctx, visit(""), "Olga", code); err != ErrRefused {
				t.Errorf("again after a restart: %v", err)
			}
		})
	}
	// A code that is accepted spends those before it.
	h.pass(10 * time.Minute)
	old := h.code(e.TOTPSecret)
	h.pass(30 * time.Second)
	_, err := h.SignInCode(ctx, visit(""), "Olga", h.code(e.TOTPSecret))
	h.must(err)
	if _, err := h.SignInCode(ctx, visit(""), "Olga", old); err != ErrRefused {
		t.Errorf("an older code after a newer: %v", err)
	}
}

// Everything that is wrong looks the same: one error, one failure, with the name
// that was typed as account, and no name of anybody who was not named.
func TestCodeRefusedAlike(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.becomeOwner(newPhone(t))
	h.member("Anna") // has no authenticator
	for _, c := range []struct{ name, code string }{
		{"Olga", "000000"}, {"Anna", "000000"}, {"Nobody", "000000"}, {"", "000000"},
		{"Olga", "2222-2222-2222-2222"}, {"Anna", "2222-2222-2222-2222"}, {"Nobody", "2222-2222-2222-2222"},
		{"Olga", ""}, {"Olga", "hunter2"}, {"Nobody", "hunter2"}, {strings.Repeat("x", 1<<16), strings.Repeat("0", 1<<16)},
	} {
		before := h.failures()
		cookie, err := h.SignInCode(ctx, visit(""), c.name, c.code)
		if cookie != "" || err != ErrRefused || h.failures() != before+1 {
			t.Errorf("%.20q, %.20q: cookie %q, %v, %d failures", c.name, c.code, cookie, err, h.failures()-before)
		}
		if last := h.fails[len(h.fails)-1].Account; last != nameKey(c.name) && len(c.name) < 100 || len(last) > maxName {
			t.Errorf("%.20q: the account is %.20q", c.name, last)
		}
		if e := h.events[len(h.events)-1]; e.Kind != event.SignInFailed || strings.Contains(e.Person+e.Detail, "Nobody") {
			t.Errorf("event is %+v", e)
		}
	}
}

func TestRecovery(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	e := h.becomeOwner(newPhone(t))
	h.restart()
	code := e.Recovery[3]
	if len(code) != 19 || strings.Count(code, "-") != 3 {
		t.Errorf("a recovery code is %q", code)
	}
	cookie, err := h.SignInCode(ctx, visit(""), "Olga", strings.ToUpper(strings.ReplaceAll(code, "-", " ")))
	h.must(err)
	h.stands(cookie, StandingLive, policy.ProofDevice)
	if _, err := h.SignInCode(ctx, visit(""), "Olga", code); err != ErrRefused {
		t.Errorf("again: %v", err)
	}
	h.restart()
	if _, err := h.SignInCode(ctx, visit(""), "Olga", code); err != ErrRefused {
		t.Errorf("again after a restart: %v", err)
	}
	if p, _ := h.PersonByName("olga"); p.RecoveryLeft != 9 {
		t.Errorf("%d left", p.RecoveryLeft)
	}
	if !h.saw(event.RecoveryUsed) {
		t.Error("no event")
	}
}

// While an account is slowed, only its six digits are refused, and only to devices
// that are not that person's.
func TestSlowAccount(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	phone := newPhone(t)
	e := h.becomeOwner(phone)
	_, anna := h.member("Anna")
	h.pass(31 * 24 * time.Hour) // the sessions have ended
	h.slow = true
	if _, err := h.SignInCode(ctx, visit(""), "Olga", h.code(e.TOTPSecret)); err != ErrRefused {
		t.Errorf("an unknown device: %v", err)
	}
	if _, err := h.SignInCode(ctx, visit(anna), "Olga", h.code(e.TOTPSecret)); err != ErrRefused {
		t.Errorf("another person's device: %v", err)
	}
	if _, err := h.SignInCode(ctx, visit(e.Cookie), "Olga", h.code(e.TOTPSecret)); err != nil {
		t.Errorf("her own: %v", err)
	}
	if _, err := h.SignInCode(ctx, visit(""), "Olga", e.Recovery[0]); err != nil {
		t.Errorf("a recovery code: %v", err)
	}
	if _, err := h.signIn(phone, visit("")); err != nil {
		t.Errorf("a passkey: %v", err)
	}
	h.pass(time.Minute)
	h.must(h.RevokeDevice(ctx, h.Recognise(e.Cookie).Who.Device))
	if _, err := h.SignInCode(ctx, visit(e.Cookie), "Olga", h.code(e.TOTPSecret)); err != ErrRefused {
		t.Errorf("a revoked device: %v", err)
	}
}
