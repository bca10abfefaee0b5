package identity

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/ha"
	"gatehouse/internal/policy"
)

const appUA = "Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Home Assistant/2026.8.1-20000 (Android 16; Pixel 9)"

// app lets a person's companion app in by invitation, with tokens.
func (h *house) app(name string) (device, cookie string) {
	h.t.Helper()
	ctx := h.t.Context()
	_, err := h.AddPerson(ctx, name, policy.RoleMember, "", "")
	h.must(err)
	inv, err := h.Invite(ctx, name)
	h.must(err)
	v := visit("")
	v.UserAgent = appUA
	e, err := h.EnrolBrowser(ctx, v, inv.Code)
	h.must(err)
	device = h.Recognise(e.Cookie).Who.Device
	h.must(h.BindHAUser(ctx, device, "user-"+name, name))
	h.must(h.LearnTokens(ctx, device, ha.ClientAndroid, "user-"+name, answer(len(h.refresh)+1)))
	return device, e.Cookie
}

func (h *house) device(id string) Device {
	h.t.Helper()
	for _, d := range h.Devices() {
		if d.ID == id {
			return d
		}
	}
	h.t.Fatalf("no device %s", id)
	return Device{}
}

func TestAppIsKnownWithoutCookie(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	device, _ := h.app("Anna")
	h.must(h.LearnWebhook(ctx, device, ha.Registration{DeviceID: "a1", DeviceName: "Anna's\u202e phone " + strings.Repeat("ü", 100)}, "hook-1"))
	check := func(when string) {
		t.Helper()
		tok, ok := h.Webhook("hook-1")
		if !ok || tok.Device != device || tok.Kind != KindApp || tok.HAUserID != "user-Anna" || tok.Revoked || !tok.WithoutCookie() {
			t.Errorf("%s: the webhook is %+v, %t", when, tok, ok)
		}
		if tok, ok := h.AccessToken("access-1"); !ok || !tok.WithoutCookie() {
			t.Errorf("%s: the token is %+v, %t", when, tok, ok)
		}
		who, ok := h.Who(device)
		if !ok || who.Name != "Anna" || who.Proof != policy.ProofDevice || who.Kind != KindApp {
			t.Errorf("%s: it is %+v, %t", when, who, ok)
		}
	}
	check("at once")
	h.restart()
	check("after a restart")
	if d := h.device(device); d.Kind != KindApp || len(d.Name) > maxDeviceName || strings.Contains(d.Name, "\u202e") {
		t.Errorf("it is listed as %+v", d)
	}
	h.SeenDevice(device, policy.LAN, netip.MustParseAddr("192.168.1.7"))
	if d := h.device(device); d.LastAddr != "192.168.1.7" || d.LastDoor != "lan" {
		t.Errorf("it was last seen %+v", d)
	}
	if _, ok := h.Webhook("hook-2"); ok {
		t.Error("an unknown webhook is known")
	}
	if !h.saw(event.AppRegistered) {
		t.Error("nothing was told")
	}
}

func TestWebhooksAreFew(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	device, _ := h.app("Anna")
	h.must(h.LearnWebhook(ctx, device, ha.Registration{DeviceID: "a1"}, "hook-1"))
	h.must(h.LearnWebhook(ctx, device, ha.Registration{DeviceID: "a1"}, "hook-2"))
	if _, ok := h.Webhook("hook-1"); ok {
		t.Error("the webhook of a registration before is known still")
	}
	for n := range maxWebhooks + 3 {
		h.pass(time.Second)
		h.must(h.LearnWebhook(ctx, device, ha.Registration{DeviceID: fmt.Sprint("b", n)}, fmt.Sprint("hook-b", n)))
	}
	if n := len(h.webhooks); n != maxWebhooks {
		t.Errorf("%d webhooks are kept", n)
	}
	other, _ := h.app("Ben")
	if err := h.LearnWebhook(ctx, other, ha.Registration{}, fmt.Sprint("hook-b", maxWebhooks)); err == nil {
		t.Error("somebody else's webhook is learned")
	}
	if err := h.LearnWebhook(ctx, other, ha.Registration{}, ""); err == nil {
		t.Error("no webhook is learned")
	}
}

func TestRevokedAppLeavesSomethingBehind(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	device, cookie := h.app("Anna")
	h.must(h.LearnWebhook(ctx, device, ha.Registration{DeviceID: "a1"}, "hook-1"))
	if len(h.Leftovers()) != 0 {
		t.Error("a known device is to be taken out")
	}
	h.must(h.RevokeDevice(ctx, device))
	h.restart()
	tok, ok := h.Webhook("hook-1")
	if !ok || !tok.Revoked {
		t.Errorf("its webhook is %+v, %t", tok, ok)
	}
	if who, ok := h.Who(device); !ok || !who.Revoked || who.Proof != policy.ProofNone {
		t.Errorf("it is %+v, %t", who, ok)
	}
	if err := h.LearnWebhook(ctx, device, ha.Registration{}, "hook-2"); !errors.Is(err, ErrRevoked) {
		t.Errorf("it registers again: %v", err)
	}
	if _, err := h.Beside(ctx, device, KindApp, appUA, visit("")); !errors.Is(err, ErrRevoked) {
		t.Errorf("another comes beside it: %v", err)
	}
	left := h.Leftovers()
	if len(left) != 1 || left[0].HADeviceID != "a1" || left[0].Device != device {
		t.Fatalf("to be taken out: %+v", left)
	}
	h.must(h.TookOut(ctx, left[0]))
	h.restart()
	if len(h.Leftovers()) != 0 {
		t.Error("it is to be taken out again")
	}
	if h.Recognise(cookie).Standing == StandingLive {
		t.Error("its web view is signed in")
	}
}

func TestBeside(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	device, cookie := h.app("Anna")
	watch, err := h.Beside(ctx, device, KindApp, "Home Assistant/1 (Android 16; Watch)", visit(""))
	h.must(err)
	if !h.HasTokens(device, ha.ClientAndroid) || h.HasTokens(watch, ha.ClientAndroid) || h.HasTokens(device, client) {
		t.Error("tokens are said to be where they are not")
	}
	h.must(h.LearnTokens(ctx, watch, ha.ClientAndroid, "user-Anna", answer(2)))
	h.restart()
	if d := h.device(watch); d.PersonName != "Anna" || d.Kind != KindApp {
		t.Errorf("the watch is %+v", d)
	}
	h.must(h.RevokeDevice(ctx, device))
	if tok, ok := h.AccessToken("access-2"); !ok || tok.Revoked {
		t.Errorf("the watch went with the phone: %+v, %t", tok, ok)
	}
	h.must(h.SignOutDevice(ctx, device))
	if h.Recognise(cookie).Standing != StandingEnded {
		t.Error("signed out, and signed in")
	}
}

func TestPeekCode(t *testing.T) {
	h := newHouse(t)
	h.LearnCode("d1", "code", ha.ClientIOS)
	if d, ok := h.PeekCode("code"); !ok || d != "d1" {
		t.Errorf("%s, %t", d, ok)
	}
	if d, c, ok := h.TakeCode("code"); !ok || d != "d1" || c != ha.ClientIOS {
		t.Errorf("%s, %s, %t", d, c, ok)
	}
	if _, ok := h.PeekCode("code"); ok {
		t.Error("it was taken, and is there")
	}
	h.LearnCode("d1", "code", ha.ClientIOS)
	h.pass(codeFor)
	if _, ok := h.PeekCode("code"); ok {
		t.Error("it ran out, and is there")
	}
}

// No passkey is offered where none works.
func TestNoPasskeysInApps(t *testing.T) {
	h := newHouse(t)
	v := visit("")
	if !h.PasskeysAt(v) {
		t.Error("not in a browser")
	}
	v.UserAgent = appUA
	if h.PasskeysAt(v) {
		t.Error("in an app's web view")
	}
}

// In an app, whose web view opens no link, a member types the code of an invitation.
func TestSignInByInvitation(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	olga := newPhone(t)
	h.becomeOwner(olga)
	for _, name := range []string{"Anna", "Ben"} {
		_, err := h.AddPerson(ctx, name, policy.RoleMember, "", "")
		h.must(err)
	}
	inv, err := h.Invite(ctx, "Anna")
	h.must(err)
	own, err := h.Invite(ctx, "Olga")
	h.must(err)
	v := visit("")
	v.UserAgent = appUA
	before := h.failures()
	for name, code := range map[string]string{"Ben": inv.Code, "": inv.Code, "Olga": own.Code, "Zoe": inv.Code, "Anna": own.Code} {
		if cookie, err := h.SignInCode(ctx, v, name, code); err != ErrRefused || cookie != "" {
			t.Errorf("%q: %q, %v", name, cookie, err)
		}
	}
	if n := h.failures() - before; n != 5 {
		t.Errorf("%d failures were counted", n)
	}
	cookie, err := h.SignInCode(ctx, v, "anna", strings.ToUpper(inv.Code))
	h.must(err)
	if r := h.stands(cookie, StandingLive, policy.ProofDevice); r.Who.Name != "Anna" || r.Who.Kind != KindApp {
		t.Errorf("let in as %+v", r.Who)
	}
	if _, err := h.SignInCode(ctx, v, "Anna", inv.Code); err != ErrRefused {
		t.Errorf("twice: %v", err)
	}
	late, err := h.Invite(ctx, "Anna")
	h.must(err)
	h.pass(inviteFor)
	if _, err := h.SignInCode(ctx, v, "Anna", late.Code); err != ErrRefused {
		t.Errorf("too late: %v", err)
	}
}
