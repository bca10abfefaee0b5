package identity

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/policy"
)

// from returns a visit from an address.
func from(addr string, home bool) Visit {
	v := visit("")
	v.Addr, v.AtHome = netip.MustParseAddr(addr), home
	return v
}

func TestApproval(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	phone := newPhone(t)
	olga := h.becomeOwner(phone)
	by := h.Recognise(olga.Cookie).Who
	asking := from("198.51.100.1", false)
	asking.UserAgent = "Mozilla/5.0 (iPhone)\x1b[31m Safari/605"
	a, err := h.AskApproval(ctx, asking)
	h.must(err)
	if a.Number < 10 || a.Number > 99 || len(a.Ticket) != cookieLen {
		t.Errorf("approval is %+v", a)
	}
	w := h.Waiting()
	if len(w) != 1 || w[0].Addr != "198.51.100.1" || w[0].Name != "Safari on iPhone" || w[0].UserAgent != "Mozilla/5.0 (iPhone)[31m Safari/605" {
		t.Fatalf("waiting: %+v", w)
	}
	poll := func(want ApprovalState) string {
		t.Helper()
		state, cookie, err := h.PollApproval(ctx, asking, a.Ticket)
		if err != nil || state != want || (cookie != "") != (want == ApprovalApproved) {
			t.Errorf("poll: %d, %q, %v; want %d", state, cookie, err, want)
		}
		return cookie
	}
	poll(ApprovalWaiting)
	if err := h.Approve(ctx, by, w[0].ID, a.Number); !errors.Is(err, ErrNotFresh) {
		t.Errorf("without fresh proof: %v", err)
	}
	if err := h.Approve(ctx, policy.Who{Proof: policy.ProofFresh}, w[0].ID, a.Number); err == nil {
		t.Error("approved by nobody")
	}
	by = h.confirm(phone, olga.Cookie)
	h.must(h.Approve(ctx, by, w[0].ID, a.Number))
	if err := h.Approve(ctx, by, w[0].ID, a.Number); !errors.Is(err, ErrNotFresh) {
		t.Errorf("one confirmation was enough for two: %v", err)
	}
	if err := h.Approve(ctx, h.confirm(phone, olga.Cookie), w[0].ID, a.Number); !errors.Is(err, ErrNotFound) {
		t.Errorf("approved twice: %v", err)
	}
	if len(h.Waiting()) != 0 {
		t.Error("it is still waiting")
	}
	cookie := poll(ApprovalApproved)
	poll(ApprovalGone)
	r := h.stands(cookie, StandingLive, policy.ProofDevice) // known, not fresh
	if r.Who.Name != "Olga" || r.Who.Device == by.Device {
		t.Errorf("approved as %+v", r.Who)
	}
	h.restart()
	h.stands(cookie, StandingLive, policy.ProofDevice)
}

func TestApprovalDenied(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	phone := newPhone(t)
	olga := h.becomeOwner(phone)
	by := h.Recognise(olga.Cookie).Who
	for name, answer := range map[string]func(a Approval, id string) error{
		"wrong number": func(a Approval, id string) error {
			if err := h.Approve(ctx, h.confirm(phone, olga.Cookie), id, (a.Number-9)%90+10); err != ErrWrongNumber {
				return fmt.Errorf("a wrong number: %w", err)
			}
			return nil
		},
		"no number": func(a Approval, id string) error {
			if err := h.Approve(ctx, h.confirm(phone, olga.Cookie), id, 0); err != ErrWrongNumber {
				return fmt.Errorf("no number: %w", err)
			}
			return nil
		},
		"denied": func(a Approval, id string) error { return h.Deny(ctx, by, id) },
	} {
		t.Run(name, func(t *testing.T) {
			a, err := h.AskApproval(ctx, from("198.51.100.1", false))
			h.must(err)
			id := h.Waiting()[0].ID
			h.must(answer(a, id))
			if err := h.Approve(ctx, h.confirm(phone, olga.Cookie), id, a.Number); !errors.Is(err, ErrNotFound) {
				t.Errorf("approved after it was denied: %v", err)
			}
			if state, cookie, err := h.PollApproval(ctx, visit(""), a.Ticket); state != ApprovalDenied || cookie != "" || err != nil {
				t.Errorf("poll: %d, %q, %v", state, cookie, err)
			}
			if state, _, _ := h.PollApproval(ctx, visit(""), a.Ticket); state != ApprovalGone {
				t.Errorf("poll again: %d", state)
			}
		})
	}
	if n := len(h.Devices()); n != 1 {
		t.Errorf("there are %d devices", n)
	}
	if !h.saw(event.ApprovalDenied) {
		t.Error("no event")
	}
}

func TestApprovalRunsOut(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	phone := newPhone(t)
	olga := h.becomeOwner(phone)
	a, err := h.AskApproval(ctx, from("198.51.100.1", false))
	h.must(err)
	b, err := h.AskApproval(ctx, from("198.51.100.1", false))
	h.must(err)
	ids := make(map[string]string) // by code
	for _, q := range h.asks.all {
		ids[grouped(q.code)] = q.id
	}
	h.must(h.Approve(ctx, h.confirm(phone, olga.Cookie), ids[a.Code], a.Number)) // and never collected
	h.pass(askFor)
	if err := h.Approve(ctx, h.confirm(phone, olga.Cookie), ids[b.Code], b.Number); !errors.Is(err, ErrNotFound) {
		t.Errorf("approved too late: %v", err)
	}
	for _, ticket := range []string{a.Ticket, b.Ticket, "", newCookie()} {
		if state, cookie, _ := h.PollApproval(ctx, visit(""), ticket); state != ApprovalGone || cookie != "" {
			t.Errorf("poll: %d, %q", state, cookie)
		}
	}
	if n := len(h.Devices()); n != 2 {
		t.Errorf("there are %d devices before tidying", n)
	}
	h.tidy(ctx)
	if n := len(h.Devices()); n != 1 {
		t.Errorf("the device that never came is kept: %d devices", n)
	}
}

// A device that was approved just before a restart cannot come for its cookie any more.
func TestApprovalAndRestart(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.becomeOwner(newPhone(t))
	a, err := h.AskApproval(ctx, from("198.51.100.1", false))
	h.must(err)
	_, err = h.ApproveCode(ctx, a.Code, "olga")
	h.must(err)
	h.restart()
	done, cancel := context.WithCancel(ctx)
	cancel()
	h.must(h.forgetUnclaimed(ctx))
	h.must(h.Run(done))
	if n := len(h.Devices()); n != 1 {
		t.Errorf("there are %d devices", n)
	}
}

func TestApproveCode(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.member("Anna")
	a, err := h.AskApproval(ctx, from("198.51.100.1", false))
	h.must(err)
	for _, c := range []struct{ code, name string }{{a.Code, "Nobody"}, {"2222-2222", "Anna"}, {"", "Anna"}, {"", ""}} {
		if _, err := h.ApproveCode(ctx, c.code, c.name); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q for %q: %v", c.code, c.name, err)
		}
	}
	d, err := h.ApproveCode(ctx, a.Code, "anna")
	if err != nil || d.PersonName != "Anna" {
		t.Fatalf("device %+v, %v", d, err)
	}
	if _, err := h.ApproveCode(ctx, a.Code, "anna"); !errors.Is(err, ErrNotFound) {
		t.Errorf("twice: %v", err)
	}
	for _, c := range []struct {
		add  string
		role policy.Role
		want string // whom no name means; "" where it must be said
	}{{"", 0, "Anna"}, {"Ben", policy.RoleMember, ""}, {"Olga", policy.RoleOwner, "Olga"}, {"Otto", policy.RoleOwner, ""}} {
		if c.add != "" {
			_, err := h.AddPerson(ctx, c.add, c.role, "", "")
			h.must(err)
		}
		p, err := h.whose("")
		if (err == nil) != (c.want != "") || err == nil && p.name != c.want || err != nil && !errors.Is(err, ErrWhose) {
			t.Errorf("with %s no name means %v, %v", c.add, p, err)
		}
	}
	h.must(h.RevokeDevice(ctx, d.ID))
	if _, cookie, err := h.PollApproval(ctx, visit(""), a.Ticket); cookie != "" || err == nil {
		t.Errorf("revoked before it came: cookie %q, %v", cookie, err)
	}
}

// The cookie of an approved browser is handed out once, however many poll at once.
func TestCookieIsHandedOutOnce(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.member("Anna")
	a, err := h.AskApproval(ctx, visit(""))
	h.must(err)
	if won := race(func() error { _, err := h.ApproveCode(ctx, a.Code, "Anna"); return err }); won != 1 {
		t.Errorf("approved %d times", won)
	}
	won := race(func() error {
		_, cookie, err := h.PollApproval(ctx, visit(""), a.Ticket)
		if cookie == "" {
			err = errors.New("no cookie")
		}
		return err
	})
	if won != 1 {
		t.Errorf("%d cookies", won)
	}
}

// Strangers can ask so much and no more, and what they ask pushes nobody out.
func TestAsksAreBounded(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	first, err := h.AskApproval(ctx, from("2001:db8::1", false))
	h.must(err)
	_, err = h.AskApproval(ctx, from("2001:db8::ffff:1", false))
	h.must(err)
	if _, err := h.AskApproval(ctx, from("2001:db8::2", false)); !errors.Is(err, ErrBusy) {
		t.Errorf("a third of one /64: %v", err)
	}
	asked := 2
	for n := range 100 {
		if _, err := h.AskApproval(ctx, from(fmt.Sprintf("198.51.100.%d", n), false)); err == nil {
			asked++
		} else if !errors.Is(err, ErrBusy) {
			t.Fatal(err)
		}
	}
	if asked != maxAsksOutside {
		t.Errorf("%d from outside, want %d", asked, maxAsksOutside)
	}
	for n := range 100 {
		if _, err := h.AskApproval(ctx, from(fmt.Sprintf("192.168.1.%d", n), true)); err == nil {
			asked++
		}
	}
	if asked != maxAsks {
		t.Errorf("%d in all, want %d", asked, maxAsks)
	}
	if state, _, _ := h.PollApproval(ctx, visit(""), first.Ticket); state != ApprovalWaiting {
		t.Errorf("the first was pushed out: %d", state)
	}
	h.pass(askFor + time.Second)
	_, err = h.AskApproval(ctx, from("2001:db8::2", false))
	h.must(err)
	h.tidy(ctx)
	if n := len(h.asks.all); n != 1 {
		t.Errorf("%d questions are kept", n)
	}
}
