package identity

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/internal/guard"
	"gatehouse/internal/policy"
)

// since is what was checked since before.
func (h *house) since(before Effort) Effort {
	now := h.Effort()
	return Effort{now.Codes - before.Codes, now.Signatures - before.Signatures, now.Hashes - before.Hashes}
}

// As much is computed for nobody as for somebody, for a slowed account, and for a source
// that is not listened to: what is told apart by time is told apart by work. The expensive
// calls are counted, not timed.
func TestNobodyCostsAsMuch(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	olga := newPhone(t)
	e := h.becomeOwner(olga)
	h.member("Anna") // has nothing to sign in with
	stranger := newPhone(t)
	stranger.auth.Options.UserHandle = olga.auth.Options.UserHandle
	unheard := visit("")
	unheard.Unheard = true

	code := func(v Visit, name, code string) func() error {
		return func() error { _, err := h.SignInCode(ctx, v, name, code); return err }
	}
	passkey := func(v Visit, p *phone) func() error {
		return func() error { _, err := h.signIn(p, v); return err }
	}
	forged := *olga
	forged.cred = newPhone(t).cred
	forged.cred.ID = olga.cred.ID
	for kind, all := range map[string]map[string]func() error{
		"six digits": {
			"of somebody":     code(visit(""), "Olga", "000000"),
			"of one without":  code(visit(""), "Anna", "000000"),
			"of nobody":       code(visit(""), "Nobody", "000000"),
			"right, unheard":  func() error { return code(unheard, "Olga", h.code(e.TOTPSecret))() },
			"unheard, nobody": code(unheard, "Nobody", "000000"),
		},
		"recovery codes": {
			"of somebody":    code(visit(""), "Olga", "2222-2222-2222-2222"),
			"of one without": code(visit(""), "Anna", "2222-2222-2222-2222"),
			"of nobody":      code(visit(""), "Nobody", "2222-2222-2222-2222"),
			"right, unheard": code(unheard, "Olga", e.Recovery[0]),
		},
		"passkeys": {
			"somebody's, forged": passkey(visit(""), &forged),
			"nobody's":           passkey(visit(""), stranger),
			"right, unheard":     passkey(unheard, olga),
		},
	} {
		var first *Effort
		for name, try := range all {
			h.pass(time.Minute)
			before := h.Effort()
			if err := try(); err != ErrRefused {
				t.Errorf("%s %s: %v", kind, name, err)
			}
			did := h.since(before)
			if first == nil {
				first = &did
			}
			if did != *first || did == (Effort{}) {
				t.Errorf("%s %s: %+v was done, %+v for another", kind, name, did, *first)
			}
		}
	}
	if _, err := h.SignInCode(ctx, visit(""), "Olga", e.Recovery[0]); err != nil {
		t.Errorf("a recovery code that was shown unheard is spent: %v", err)
	}
}

// Whoever is not listened to gets nothing by anything that is right, and the answer of
// whoever is wrong.
func TestUnheard(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.becomeOwner(newPhone(t))
	_, err := h.AddPerson(ctx, "Anna", policy.RoleMember, "", "")
	h.must(err)
	inv, err := h.Invite(ctx, "Anna")
	h.must(err)
	v := visit("")
	v.Unheard = true
	for name, try := range map[string]func() error{
		"look":    func() error { _, err := h.PeekInvitation(ctx, v, inv.Code); return err },
		"use":     func() error { _, err := h.EnrolBrowser(ctx, v, inv.Code); return err },
		"passkey": func() error { _, err := h.BeginPasskey(ctx, v, inv.Code, ""); return err },
		"app":     func() error { _, _, _, err := h.BeginTOTP(ctx, v, inv.Code, ""); return err },
	} {
		if err := try(); err != ErrNoInvitation {
			t.Errorf("invitation, %s: %v", name, err)
		}
	}
	if _, err := h.SignInCode(ctx, v, "Anna", inv.Code); err != ErrRefused {
		t.Errorf("invitation for a code: %v", err)
	}
	if _, err := h.AskApproval(ctx, v); err != ErrBusy {
		t.Errorf("asks: %v", err)
	}
	if len(h.Waiting()) != 0 {
		t.Error("a known device is asked")
	}
	if _, err := h.EnrolBrowser(ctx, visit(""), inv.Code); err != nil {
		t.Errorf("the invitation is spent: %v", err)
	}
}

// A flood from outside takes no place of those at home or of known devices, and one
// source takes none of another's. Who is too many is told so, whatever they brought.
func TestEffortIsBounded(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	e := h.becomeOwner(newPhone(t))
	flood := func(n int, addr func(int) netip.Addr) (checked int) {
		for k := range n {
			v := visit("")
			v.Addr = addr(k)
			switch _, err := h.SignInCode(ctx, v, "Olga", "000000"); {
			case err == ErrRefused:
				checked++
			case !errors.Is(err, ErrBusy):
				t.Fatal(err)
			}
		}
		return checked
	}
	one := func(int) netip.Addr { return netip.MustParseAddr("198.51.100.1") }
	many := func(k int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, byte(k >> 8), byte(k)}) }
	h.pass(time.Minute)
	if n := flood(1000, one); n != ownBurst {
		t.Errorf("of one source %d were checked, want %d", n, ownBurst)
	}
	before := h.Effort()
	if n := flood(10000, many); n != roomBurst-ownBurst {
		t.Errorf("of all %d were checked, want %d", n, roomBurst-ownBurst)
	}
	if did := h.since(before); did.Codes != roomBurst-ownBurst {
		t.Errorf("%d codes were computed", did.Codes)
	}
	home := visit("")
	home.AtHome = true
	if _, err := h.SignInCode(ctx, home, "Olga", "000000"); err != ErrRefused {
		t.Errorf("at home, under a flood: %v", err)
	}
	h.pass(31 * time.Second)
	flood(10000, many)
	if _, err := h.SignInCode(ctx, visit(e.Cookie), "Olga", h.code(e.TOTPSecret)); err != nil {
		t.Errorf("a known device, under a flood: %v", err)
	}
	h.must(h.SignOut(ctx, e.Cookie))
	h.pass(31 * time.Second)
	flood(10000, many)
	if _, err := h.SignInCode(ctx, visit(e.Cookie), "Olga", h.code(e.TOTPSecret)); err != nil {
		t.Errorf("one that comes back, under a flood: %v", err)
	}
	h.pass(time.Second)
	if n := flood(1000, many); n != roomRate {
		t.Errorf("a second later %d were checked, want %d", n, roomRate)
	}
}

// So many are checked at the same time, so many wait, and nobody for ever.
func TestRoomsHavePlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEffort(time.Now)
		var leaves []func()
		for k := range roomPlaces {
			leave, err := e.enter(t.Context(), roomOutside, fmt.Sprint(k))
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leave)
		}
		errs := make(chan error, roomWaiting+1)
		var all sync.WaitGroup
		for k := range roomWaiting {
			all.Go(func() {
				leave, err := e.enter(t.Context(), roomOutside, fmt.Sprint("w", k))
				if err == nil {
					leave()
				}
				errs <- err
			})
		}
		synctest.Wait()
		if _, err := e.enter(t.Context(), roomOutside, "too many"); err != ErrBusy {
			t.Errorf("one more than may wait: %v", err)
		}
		if leave, err := e.enter(t.Context(), roomKnown, "known"); err != nil {
			t.Errorf("another room: %v", err)
		} else {
			leave()
		}
		leaves[0]()
		all.Wait()
		for range roomWaiting {
			if err := <-errs; err != nil {
				t.Errorf("one that waited: %v", err)
			}
		}
		leave, err := e.enter(t.Context(), roomOutside, "x")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := e.enter(t.Context(), roomOutside, "patient"); err != ErrBusy || time.Since(began) != roomPatience {
			t.Errorf("waited %v: %v", time.Since(began), err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := e.enter(gone, roomOutside, "gone"); err != context.Canceled {
			t.Errorf("one that left: %v", err)
		}
		leave()
		leaves[1]()
	})
}

// A known device, or a script that runs in its page, cannot try all codes: its own person's
// neither. Its passkey and recovery codes go on, other devices too, and nobody's address is
// the worse for it.
func TestKnownDeviceGuesses(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	phone := newPhone(t)
	e := h.becomeOwner(phone)
	_, anna := h.member("Anna")
	try := func(cookie, code string) error {
		h.pass(3 * time.Second)
		_, err := h.SignInCode(ctx, visit(cookie), "Olga", code)
		return err
	}
	for range missMax {
		if err := try(e.Cookie, "000000"); err != ErrRefused {
			t.Fatal(err)
		}
	}
	if n := h.failures(); n != 0 {
		t.Errorf("the guard is told of %d failures of a known device at its own account", n)
	}
	if err := try(e.Cookie, h.code(e.TOTPSecret)); err != ErrRefused {
		t.Errorf("after so many wrong ones: %v", err)
	}
	if err := try(e.Cookie, e.Recovery[0]); err != nil {
		t.Errorf("a recovery code: %v", err)
	}
	if _, err := h.signIn(phone, visit(e.Cookie)); err != nil {
		t.Errorf("a passkey: %v", err)
	}
	if err := try("", h.code(e.TOTPSecret)); err != nil {
		t.Errorf("another device: %v", err)
	}
	h.pass(missFor)
	if err := try(e.Cookie, h.code(e.TOTPSecret)); err != nil {
		t.Errorf("later: %v", err)
	}
	for range missMax {
		h.must(notErr(try(e.Cookie, "000000"), ErrRefused))
	}
	h.pass(missFor)
	if err := try(e.Cookie, h.code(e.TOTPSecret)); err != ErrRefused {
		t.Errorf("the second time it is not twice as long: %v", err)
	}
	h.pass(missFor)
	if err := try(e.Cookie, h.code(e.TOTPSecret)); err != nil {
		t.Errorf("and after that: %v", err)
	}

	// Somebody else's account counts for the account, and not for the address.
	h.fails = nil
	for range missMax + 1 {
		h.must(notErr(try(anna, "000000"), ErrRefused))
	}
	for _, f := range h.fails {
		if f.Addr.IsValid() || f.Account != "olga" || f.Kind != guard.SignIn {
			t.Errorf("the guard is told %+v", f)
		}
	}
	if len(h.fails) != missMax+1 {
		t.Errorf("the guard is told of %d failures", len(h.fails))
	}
	if err := try(anna, h.code(e.TOTPSecret)); err != ErrRefused {
		t.Errorf("it guesses on: %v", err)
	}
	h.pass(3 * day)
	h.misses.tidy(h.now)
	if len(h.misses.all) != 0 {
		t.Error("it is remembered for ever")
	}
}

// notErr is nil where an error is the one that is wanted.
func notErr(err, want error) error {
	if errors.Is(err, want) {
		return nil
	}
	return fmt.Errorf("got %v, want %v", err, want)
}

// Of a month of guesses by a known device hardly any are looked at.
func TestKnownDeviceGuessesInAMonth(t *testing.T) {
	var m misses
	now, looked := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), 0
	for range 30 * 24 * 60 {
		now = now.Add(time.Minute)
		if !m.shut("d", now) {
			looked++
			m.miss("d", now)
		}
	}
	if looked > 30*missMax+10*missMax {
		t.Errorf("%d are looked at", looked)
	}
}

// Whoever comes in is not too many: a house full of phones behind one address is let in one
// after another, and who guesses there is bounded all the same.
func TestWhoComesInIsNotTooMany(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.becomeOwner(newPhone(t))
	_, err := h.AddPerson(ctx, "Anna", policy.RoleMember, "", "")
	h.must(err)
	for n := range 3 * ownBurst {
		inv, err := h.Invite(ctx, "Anna")
		h.must(err)
		if _, err := h.SignInCode(ctx, visit(""), "Anna", inv.Code); err != nil {
			t.Fatalf("phone %d: %v", n, err)
		}
	}
	for range ownBurst + 1 {
		_, err = h.SignInCode(ctx, visit(""), "Anna", "000000")
	}
	if err != ErrBusy {
		t.Errorf("who guesses is told %v", err)
	}
}
