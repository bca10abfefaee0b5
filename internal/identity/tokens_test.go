package identity

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"gatehouse/internal/ha"
	"gatehouse/internal/policy"
)

func answer(n int) ha.TokenAnswer {
	return ha.TokenAnswer{AccessToken: fmt.Sprint("access-", n), RefreshToken: fmt.Sprint("refresh-", n),
		Issuer: fmt.Sprint("issuer-", n), ExpiresIn: 30 * 60}
}

const client = "https://home.example:8443/"

// withTokens returns a device that has learned one login's tokens.
func withTokens(h *house) (device string, person Person) {
	h.t.Helper()
	person, cookie := h.member("Anna")
	device = h.Recognise(cookie).Who.Device
	h.must(h.BindHAUser(h.t.Context(), device, "user-anna", "Anna"))
	h.must(h.LearnTokens(h.t.Context(), device, client, "user-anna", answer(1)))
	return device, person
}

func TestTokens(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	device, anna := withTokens(h)
	want := Token{Device: device, Kind: KindBrowser, Person: anna.ID, HAUserID: "user-anna", ClientID: client, Issuer: "issuer-1"}
	check := func(when string, access string) {
		t.Helper()
		for name, find := range map[string]func() (Token, bool){
			"refresh": func() (Token, bool) { return h.RefreshToken("refresh-1") },
			"access":  func() (Token, bool) { return h.AccessToken(access) },
			"issuer":  func() (Token, bool) { return h.Issuer("issuer-1") },
		} {
			if got, ok := find(); !ok || got != want {
				t.Errorf("%s, by %s: %+v, %t", when, name, got, ok)
			}
		}
	}
	check("at once", "access-1")
	h.restart()
	check("after a restart", "access-1")
	for _, token := range []string{"", "access-2", "refresh-1", "Access-1"} {
		if got, ok := h.AccessToken(token); ok {
			t.Errorf("%q is known as %+v", token, got)
		}
	}
	if _, ok := h.Issuer(""); ok {
		t.Error("no issuer is somebody's")
	}
	h.pass(30 * time.Minute)
	if _, ok := h.AccessToken("access-1"); ok {
		t.Error("an expired token counts")
	}
	h.must(h.LearnAccess(ctx, "refresh-1", answer(2)))
	check("after a refresh", "access-2")
	h.tidy(ctx)
	h.restart()
	check("tidied", "access-2")
	if n := len(h.access); n != 1 {
		t.Errorf("%d access tokens are kept", n)
	}
	if err := h.LearnAccess(ctx, "refresh-9", answer(9)); !errors.Is(err, ErrNotFound) {
		t.Errorf("a refresh of nobody's: %v", err)
	}
	_, ben := h.member("Ben")
	bens := h.Recognise(ben).Who.Device
	var other *OtherHAUserError
	for _, user := range []string{"", "user-ben", "user-anna"} {
		if err := h.LearnTokens(ctx, bens, client, user, answer(7)); !errors.As(err, &other) {
			t.Errorf("learned for the user %q, who is not known to be Ben: %v", user, err)
		}
	}
	h.must(h.BindHAUser(ctx, bens, "user-ben", "Ben"))
	if err := h.LearnTokens(ctx, bens, client, "user-ben", answer(1)); err == nil {
		t.Error("a token changed hands")
	}
	check("after somebody else had it", "access-2")

	h.must(h.RevokeDevice(ctx, device))
	want.Revoked = true
	check("revoked", "access-2")
	h.must(h.ForgetRefresh(ctx, "refresh-1"))
	h.restart()
	check("revoked and not forgotten", "access-2")
	if err := h.LearnAccess(ctx, "refresh-1", answer(3)); !errors.Is(err, ErrRevoked) {
		t.Errorf("a refresh of a revoked device: %v", err)
	}
	if err := h.LearnTokens(ctx, device, client, "user-anna", answer(4)); !errors.Is(err, ErrRevoked) {
		t.Errorf("a login of a revoked device: %v", err)
	}
	if _, ok := h.AccessToken("access-3"); ok {
		t.Error("it was learned all the same")
	}
}

func TestForgetRefresh(t *testing.T) {
	for _, token := range []string{"refresh-1", "access-1"} { // one companion app gives the latter
		h, ctx := newHouse(t), t.Context()
		withTokens(h)
		h.must(h.ForgetRefresh(ctx, "nosuch"))
		h.must(h.ForgetRefresh(ctx, token))
		for range 2 {
			if _, ok := h.RefreshToken("refresh-1"); ok {
				t.Errorf("%s: the refresh token is known", token)
			}
			if _, ok := h.AccessToken("access-1"); ok {
				t.Errorf("%s: the access token is known", token)
			}
			if _, ok := h.Issuer("issuer-1"); ok {
				t.Errorf("%s: the issuer is known", token)
			}
			h.restart()
		}
	}
}

func TestTokensAreBounded(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	device, _ := withTokens(h)
	for n := 2; n <= maxRefresh+1; n++ {
		h.pass(time.Second)
		h.must(h.LearnTokens(ctx, device, client, "user-anna", answer(n)))
	}
	if _, ok := h.RefreshToken("refresh-1"); ok {
		t.Error("the oldest of too many logins is known")
	}
	for n := 1000; n < 1000+3*maxAccess; n++ {
		h.pass(time.Second)
		h.must(h.LearnAccess(ctx, "refresh-2", answer(n)))
	}
	h.must(h.LearnAccess(ctx, "refresh-2", answer(1000+3*maxAccess-1))) // the same again
	h.restart()
	if len(h.refresh) != maxRefresh || len(h.access) != maxRefresh-1+maxAccess {
		t.Errorf("%d refresh and %d access tokens", len(h.refresh), len(h.access))
	}
	if _, ok := h.AccessToken(fmt.Sprint("access-", 1000+3*maxAccess-1)); !ok {
		t.Error("the newest is not known")
	}
	a := answer(5000)
	a.ExpiresIn = 1 << 60
	h.must(h.LearnAccess(ctx, "refresh-2", a))
	h.pass(maxAccessLife)
	if _, ok := h.AccessToken("access-5000"); ok {
		t.Error("a token lives for centuries")
	}
}

func TestLoginCodes(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	device, _ := withTokens(h)
	h.LearnCode(device, "code", client)
	if _, _, ok := h.TakeCode("other"); ok {
		t.Error("another code is known")
	}
	if d, c, ok := h.TakeCode("code"); !ok || d != device || c != client {
		t.Errorf("took %q, %q, %t", d, c, ok)
	}
	if _, _, ok := h.TakeCode("code"); ok {
		t.Error("taken twice")
	}
	h.LearnCode(device, "late", client)
	h.pass(codeFor)
	if _, _, ok := h.TakeCode("late"); ok {
		t.Error("taken too late")
	}
	for n := range 3 * maxCodes {
		h.pass(time.Millisecond)
		h.LearnCode(device, fmt.Sprint(n), client)
	}
	h.LearnCode("", "nobody's", client)
	h.LearnCode(device, "", client)
	if n := len(h.codes.all); n != maxCodes {
		t.Errorf("%d codes are kept", n)
	}
	if _, _, ok := h.TakeCode(fmt.Sprint(3*maxCodes - 1)); !ok {
		t.Error("the newest is not known")
	}
	h.must(h.RevokeDevice(ctx, device))
	if n := len(h.codes.all); n != 0 {
		t.Errorf("%d codes of a revoked device are kept", n)
	}
	h.LearnCode("x", "y", client)
	h.pass(codeFor)
	h.tidy(ctx)
	if n := len(h.codes.all); n != 0 {
		t.Errorf("%d old codes are kept", n)
	}
}

func TestOwnAccount(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	phone := newPhone(t)
	e := h.becomeOwner(phone)
	v := visit(e.Cookie)

	if _, err := h.BeginAddPasskey(ctx, v); !errors.Is(err, ErrNotFresh) {
		t.Errorf("signing in is enough to add a passkey: %v", err)
	}
	h.confirm(phone, e.Cookie)
	c, err := h.BeginAddPasskey(ctx, v)
	h.must(err)
	second := newPhone(t)
	response := second.create(c)
	h.must(h.FinishAddPasskey(ctx, v, c.ID, response))
	if err := h.FinishAddPasskey(ctx, v, c.ID, response); !errors.Is(err, ErrNotFresh) {
		t.Errorf("one confirmation was enough for two: %v", err)
	}
	h.confirm(phone, e.Cookie)
	if err := h.FinishAddPasskey(ctx, v, c.ID, response); !errors.Is(err, ErrRefused) {
		t.Errorf("added twice: %v", err)
	}
	if _, err := h.signIn(second, visit("")); err != nil {
		t.Errorf("the second passkey: %v", err)
	}
	id, _, secret, err := h.BeginResetTOTP(ctx, v)
	h.must(err)
	if err := h.FinishResetTOTP(ctx, v, id, "000"); !errors.Is(err, ErrWrongCode) {
		t.Errorf("a wrong code: %v", err)
	}
	h.must(h.FinishResetTOTP(ctx, v, id, h.code(secret)))
	h.confirm(phone, e.Cookie)
	codes, err := h.NewRecoveryCodes(ctx, v)
	h.must(err)
	h.restart()
	h.pass(time.Minute)
	for name, c := range map[string]struct {
		code string
		want error
	}{
		"old secret": {h.code(e.TOTPSecret), ErrRefused}, "new secret": {h.code(secret), nil},
		"old recovery": {e.Recovery[0], ErrRefused}, "new recovery": {codes[0], nil},
	} {
		if _, err := h.SignInCode(ctx, visit(""), "Olga", c.code); err != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(h.Passkeys()) != 2 {
		t.Errorf("passkeys: %+v", h.Passkeys())
	}
	for _, k := range h.Passkeys() {
		h.must(h.RemovePasskey(ctx, k.ID))
	}
	h.restart()
	if _, err := h.signIn(second, visit("")); err != ErrRefused {
		t.Errorf("a removed passkey: %v", err)
	}
	h.pass(freshFor)
	h.stands(e.Cookie, StandingLive, policy.ProofDevice)
	for name, try := range map[string]func() error{
		"add a passkey":  func() error { _, err := h.BeginAddPasskey(ctx, v); return err },
		"finish one":     func() error { return h.FinishAddPasskey(ctx, v, c.ID, response) },
		"reset the app":  func() error { _, _, _, err := h.BeginResetTOTP(ctx, v); return err },
		"finish it":      func() error { return h.FinishResetTOTP(ctx, v, id, h.code(secret)) },
		"renew recovery": func() error { _, err := h.NewRecoveryCodes(ctx, v); return err },
	} {
		if err := try(); !errors.Is(err, ErrNotFresh) {
			t.Errorf("%s without fresh proof: %v", name, err)
		}
	}
}
