package identity

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
)

func TestOwnerInvitation(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	first, err := h.InviteOwner(ctx)
	h.must(err)
	second, err := h.InviteOwner(ctx)
	h.must(err)
	if _, err := h.PeekInvitation(ctx, visit(""), first.Code); !errors.Is(err, ErrNoInvitation) {
		t.Errorf("the first invitation outlives the second: %v", err)
	}
	if inv, err := h.PeekInvitation(ctx, visit(""), strings.ToUpper(second.Code)); err != nil || inv.Role != policy.RoleOwner || inv.Code != "" {
		t.Errorf("peeked %+v, %v", inv, err)
	}
	if _, err := h.EnrolBrowser(ctx, visit(""), second.Code); !errors.Is(err, ErrMembersOnly) {
		t.Errorf("an owner without passkey or code: %v", err)
	}
	h.pass(ownerInviteFor)
	if _, err := h.PeekInvitation(ctx, visit(""), second.Code); !errors.Is(err, ErrNoInvitation) {
		t.Errorf("the invitation outlives its 15 minutes: %v", err)
	}
	if _, err := h.BeginPasskey(ctx, visit(""), second.Code, "Olga"); !errors.Is(err, ErrNoInvitation) {
		t.Errorf("an expired invitation begins a passkey: %v", err)
	}
	if h.failures() != 3 {
		t.Errorf("%d failures were reported, want 3", h.failures())
	}
	h.becomeOwner(newPhone(t))
	if !h.HasOwner() {
		t.Error("there is no owner")
	}
	if _, err := h.InviteOwner(ctx); !errors.Is(err, ErrHasOwner) {
		t.Errorf("a second first owner: %v", err)
	}
}

// An invitation of the first owner that was made before somebody else became one is void.
func TestOwnerInvitationAfterOwner(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	inv, err := h.InviteOwner(ctx)
	h.must(err)
	_, err = h.AddPerson(ctx, "Olga", policy.RoleOwner, "", "")
	h.must(err)
	id, _, secret, err := h.BeginTOTP(ctx, visit(""), inv.Code, "Eve")
	h.must(err)
	if _, err := h.EnrolTOTP(ctx, visit(""), inv.Code, "Eve", id, h.code(secret)); !errors.Is(err, ErrNoInvitation) {
		t.Errorf("a second first owner: %v", err)
	}
	if len(h.People()) != 1 {
		t.Errorf("people are %v", h.People())
	}
}

func TestEnrolTOTP(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	inv, err := h.InviteOwner(ctx)
	h.must(err)
	id, link, secret, err := h.BeginTOTP(ctx, visit(""), inv.Code, "Olga Ö")
	h.must(err)
	if !strings.HasPrefix(link, "otpauth://totp/Gatehouse%20home.example:Olga%20%C3%96?") || !strings.Contains(link, "secret="+secret) ||
		strings.Contains(link, "+") {
		t.Errorf("link is %s", link)
	}
	if _, err := h.EnrolTOTP(ctx, visit(""), inv.Code, "Olga Ö", id, "12345"); !errors.Is(err, ErrWrongCode) {
		t.Errorf("a wrong code: %v", err)
	}
	code := h.code(secret)
	e, err := h.EnrolTOTP(ctx, visit(""), inv.Code, "Olga Ö", id, code[:3]+" "+code[3:])
	h.must(err)
	if len(e.Recovery) != 10 || e.TOTPSecret != "" || !e.Person.TOTP || e.Person.RecoveryLeft != 10 {
		t.Errorf("enrolment is %+v", e)
	}
	h.stands(e.Cookie, StandingLive, policy.ProofDevice)
	if _, err := h.SignInCode(ctx, visit(""), "olga ö", code); !errors.Is(err, ErrRefused) {
		t.Errorf("the code of the enrolment signs in: %v", err)
	}
}

func TestInvitationAndCeremonyBelongTogether(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.becomeOwner(newPhone(t))
	invite := func(name string) string {
		_, err := h.AddPerson(ctx, name, policy.RoleMember, "", "")
		h.must(err)
		inv, err := h.Invite(ctx, name)
		h.must(err)
		return inv.Code
	}
	anna, ben := invite("Anna"), invite("Ben")
	phone := newPhone(t)
	c, err := h.BeginPasskey(ctx, visit(""), anna, "")
	h.must(err)
	response := phone.create(c)
	if _, err := h.EnrolPasskey(ctx, visit(""), ben, "", c.ID, response); !errors.Is(err, ErrCeremony) {
		t.Errorf("a ceremony of another invitation: %v", err)
	}
	if _, err := h.SignInPasskey(ctx, visit(""), c.ID, response); !errors.Is(err, ErrRefused) {
		t.Errorf("a ceremony of another kind: %v", err)
	}
	e, err := h.EnrolPasskey(ctx, visit(""), anna, "", c.ID, response)
	h.must(err)
	if e.Recovery != nil || e.TOTPURL != "" || e.Person.Name != "Anna" || e.Person.Passkeys != 1 {
		t.Errorf("a member's enrolment is %+v", e)
	}
	if _, err := h.EnrolPasskey(ctx, visit(""), anna, "", c.ID, response); !errors.Is(err, ErrNoInvitation) {
		t.Errorf("used twice: %v", err)
	}
	c, err = h.BeginPasskey(ctx, visit(""), ben, "")
	h.must(err)
	h.pass(ceremonyFor)
	if _, err := h.EnrolPasskey(ctx, visit(""), ben, "", c.ID, newPhone(t).create(c)); !errors.Is(err, ErrCeremony) {
		t.Errorf("a ceremony that ran out: %v", err)
	}
	c, err = h.BeginPasskey(ctx, visit(""), ben, "")
	h.must(err)
	stranger := newPhone(t)
	stranger.rp.Origin = "https://evil.example"
	if _, err := h.EnrolPasskey(ctx, visit(""), ben, "", c.ID, stranger.create(c)); !errors.Is(err, ErrRefused) {
		t.Errorf("a passkey made elsewhere: %v", err)
	}
	h.pass(inviteFor)
	if _, err := h.EnrolBrowser(ctx, visit(""), ben); !errors.Is(err, ErrNoInvitation) {
		t.Errorf("an expired invitation: %v", err)
	}
}

// An invitation is redeemed once, however many try at the same moment.
func TestDoubleRedemption(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	_, err := h.AddPerson(ctx, "Anna", policy.RoleMember, "", "")
	h.must(err)
	inv, err := h.Invite(ctx, "Anna")
	h.must(err)
	if won := race(func() error { _, err := h.EnrolBrowser(ctx, visit(""), inv.Code); return err }); won != 1 {
		t.Errorf("%d browsers came in by one invitation", won)
	}
	if n := len(h.Devices()); n != 1 {
		t.Errorf("there are %d devices", n)
	}
	owner, err := h.InviteOwner(ctx)
	h.must(err)
	id, _, secret, err := h.BeginTOTP(ctx, visit(""), owner.Code, "Olga")
	h.must(err)
	won := race(func() error {
		_, err := h.EnrolTOTP(ctx, visit(""), owner.Code, "Olga", id, h.code(secret))
		return err
	})
	if won != 1 {
		t.Errorf("%d first owners", won)
	}
	// The same holds for a code, a recovery code and the answer of a passkey.
	h.pass(time.Minute)
	code := h.code(secret)
	if won := race(func() error { _, err := h.SignInCode(ctx, visit(""), "Olga", code); return err }); won != 1 {
		t.Errorf("a code was used %d times", won)
	}
	codes, err := h.NewRecoveryCodes(ctx, visit(h.freshCookie(secret)))
	h.must(err)
	if won := race(func() error { _, err := h.SignInCode(ctx, visit(""), "Olga", codes[0]); return err }); won != 1 {
		t.Errorf("a recovery code was used %d times", won)
	}
}

// freshCookie signs Olga in by the next code and has her confirm by the one after it.
func (h *house) freshCookie(secret string) string {
	h.t.Helper()
	h.pass(time.Minute)
	cookie, err := h.SignInCode(h.t.Context(), visit(""), "Olga", h.code(secret))
	h.must(err)
	h.pass(time.Minute)
	_, err = h.SignInCode(h.t.Context(), visit(cookie), "Olga", h.code(secret))
	h.must(err)
	return cookie
}

// race runs f many times at once and returns how many succeeded.
func race(f func() error) (won int) {
	var wg sync.WaitGroup
	results := make(chan error, 16)
	for range cap(results) {
		wg.Go(func() { results <- f() })
	}
	wg.Wait()
	for range cap(results) {
		if <-results == nil {
			won++
		}
	}
	return won
}

// An invitation that runs out between the question and the transaction is not redeemed.
func TestConsumeLooksAtTheTime(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	_, err := h.AddPerson(ctx, "Anna", policy.RoleMember, "", "")
	h.must(err)
	_, err = h.Invite(ctx, "Anna")
	h.must(err)
	for _, inv := range h.invitations {
		err := h.l.Update(ctx, func(tx *ledger.Tx) error { return h.consume(tx, inv, inv.expires) })
		if !errors.Is(err, ErrNoInvitation) {
			t.Errorf("got %v", err)
		}
	}
}

func TestInvitationsSurvive(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	_, err := h.AddPerson(ctx, "Anna", policy.RoleMember, "", "")
	h.must(err)
	if _, err := h.Invite(ctx, "Nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("inviting nobody: %v", err)
	}
	inv, err := h.Invite(ctx, "  anna ")
	h.must(err)
	h.restart()
	if got, err := h.PeekInvitation(ctx, visit(""), inv.Code); err != nil || got.Person != "Anna" {
		t.Errorf("after a restart: %+v, %v", got, err)
	}
	for range maxInvitations {
		h.pass(time.Second)
		_, err := h.Invite(ctx, "Anna")
		h.must(err)
	}
	if _, err := h.PeekInvitation(ctx, visit(""), inv.Code); !errors.Is(err, ErrNoInvitation) {
		t.Errorf("the oldest of too many invitations is open: %v", err)
	}
	h.pass(inviteFor)
	h.tidy(ctx)
	h.restart()
	if n := len(h.invitations); n != 0 {
		t.Errorf("%d expired invitations are kept", n)
	}
	if !h.saw(event.Invited) {
		t.Error("no event")
	}
}
