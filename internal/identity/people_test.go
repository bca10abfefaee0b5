package identity

import (
	"errors"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/policy"
)

func TestNames(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	_, err := h.AddPerson(ctx, "Zoë", policy.RoleMember, "", "")
	h.must(err)
	for typed, want := range map[string]error{
		"":                         ErrName,
		"   ":                      ErrName,
		"a\x00b":                   ErrName,
		"a\nb":                     ErrName,
		"a\u202eb":                 ErrName, // turns text around
		"a\u200bb":                 ErrName, // cannot be seen
		"\xff":                     ErrName,
		strings.Repeat("ä", 65):    ErrName,
		strings.Repeat("x", 1<<20): ErrName,
		"Zoë":                      ErrNameTaken,
		"ZOË":                      ErrNameTaken,
		"Zoe\u0308":                ErrNameTaken, // the same letter in two pieces
		" zoë ":                    ErrNameTaken,
		"ｚｏë":                      ErrNameTaken, // full width
	} {
		if _, err := h.AddPerson(ctx, typed, policy.RoleMember, "", ""); !errors.Is(err, want) {
			t.Errorf("%.20q: %v, want %v", typed, err, want)
		}
	}
	for typed, want := range map[string]string{
		"  Bo  ":                "Bo",
		"Anna Maria":            "Anna Maria",
		"李雷":                    "李雷",
		"E\u0301mile":           "Émile",
		strings.Repeat("ä", 64): strings.Repeat("ä", 64),
	} {
		p, err := h.AddPerson(ctx, typed, policy.RoleMember, "", "")
		if err != nil || p.Name != want {
			t.Errorf("%q: %q, %v", typed, p.Name, err)
		}
		if found, ok := h.PersonByName(strings.ToUpper(typed)); !ok || found.ID != p.ID {
			t.Errorf("%q is not found", typed)
		}
	}
	if _, err := h.AddPerson(ctx, "Rolf", policy.RoleNone, "", ""); err == nil {
		t.Error("a person without a role")
	}
	n := len(h.People())
	h.restart()
	if got := h.People(); len(got) != n || got[0].Name != "Anna Maria" {
		t.Errorf("after a restart there are %d people, first %v", len(got), got[0])
	}
}

func TestBindHAUser(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	device := make(map[string]string)
	for _, p := range []struct{ name, haID, haName string }{
		{"Pinned", "id-pinned", "Pinned User"},
		{"Named", "", "nAmEd"},
		{"Open", "", ""},
		{"Late", "", ""},
	} {
		_, err := h.AddPerson(ctx, p.name, policy.RoleMember, p.haID, p.haName)
		h.must(err)
		inv, err := h.Invite(ctx, p.name)
		h.must(err)
		e, err := h.EnrolBrowser(ctx, visit(""), inv.Code)
		h.must(err)
		device[p.name] = h.Recognise(e.Cookie).Who.Device
	}
	for _, c := range []struct {
		who, id, name string
		ok            bool
	}{
		{"Pinned", "id-other", "Pinned User", false},
		{"Pinned", "id-pinned", "Pinned User", true},
		{"Pinned", "id-pinned", "Renamed", true},
		{"Named", "id-x", "Somebody", false},
		{"Open", "id-pinned", "Renamed", false}, // Pinned's
		{"Open", "id-y", "named", false},        // reserved for Named, who has not logged in yet
		{"Named", "id-named", "Named", true},
		{"Named", "id-x", "Named", false},
		{"Open", "id-open", "Anything", true},
		{"Open", "id-open", "Anything", true},
		{"Open", "id-x", "Anything", false},
		{"Late", "id-open", "Anything", false},
		{"Late", "id-late", "Anything", true}, // the same name, another user
	} {
		err := h.BindHAUser(ctx, device[c.who], c.id, c.name)
		var other *OtherHAUserError
		if c.ok && err != nil || !c.ok && (!errors.As(err, &other) || other.Got != c.name) {
			t.Errorf("%s as %s (%s): %v", c.who, c.name, c.id, err)
		}
	}
	h.restart()
	for name, id := range map[string]string{"Pinned": "id-pinned", "Named": "id-named", "Open": "id-open", "Late": "id-late"} {
		if p, _ := h.PersonByName(name); p.HAUserID != id {
			t.Errorf("%s is %q", name, p.HAUserID)
		}
	}
	if p, _ := h.PersonByName("Pinned"); p.HAUserName != "Renamed" {
		t.Errorf("Pinned is %q", p.HAUserName)
	}
	var other *OtherHAUserError
	if _, err := h.AddPerson(ctx, "Second", policy.RoleMember, "id-open", ""); !errors.As(err, &other) {
		t.Errorf("a user for two people: %v", err)
	}
	h.must(h.RevokeDevice(ctx, device["Open"]))
	if err := h.BindHAUser(ctx, device["Open"], "id-open", "Anything"); !errors.Is(err, ErrRevoked) {
		t.Errorf("a revoked device: %v", err)
	}
}

func TestRemovePerson(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	olga := newPhone(t)
	first := h.becomeOwner(olga)
	if err := h.RemovePerson(ctx, first.Person.ID); !errors.Is(err, ErrLastOwner) {
		t.Errorf("the only owner: %v", err)
	}
	_, err := h.AddPerson(ctx, "Second", policy.RoleOwner, "", "")
	h.must(err)
	inv, err := h.Invite(ctx, "Olga")
	h.must(err)
	h.must(h.RemovePerson(ctx, first.Person.ID))
	if got := h.endedNow(); len(got) != 1 || got[0].Session != "" {
		t.Errorf("watchers were told %v", got)
	}
	for range 2 {
		if r := h.stands(first.Cookie, StandingEnded, policy.ProofNone); !r.Who.Revoked {
			t.Error("her device is not revoked")
		}
		if _, err := h.signIn(olga, visit("")); err != ErrRefused {
			t.Errorf("her passkey: %v", err)
		}
		h.pass(time.Minute)
		if _, err := h.SignInCode(ctx, visit(""), "Olga", h.code(first.TOTPSecret)); err != ErrRefused {
			t.Errorf("her code: %v", err)
		}
		if _, err := h.SignInCode(ctx, visit(""), "Olga", first.Recovery[0]); err != ErrRefused {
			t.Errorf("her recovery code: %v", err)
		}
		if _, err := h.PeekInvitation(ctx, visit(""), inv.Code); err != ErrNoInvitation {
			t.Errorf("her invitation: %v", err)
		}
		if _, ok := h.PersonByName("Olga"); ok {
			t.Error("she is still one of the house")
		}
		h.restart()
	}
	again, err := h.AddPerson(ctx, "Olga", policy.RoleMember, "", "")
	if err != nil || again.ID == first.Person.ID {
		t.Errorf("somebody of the same name: %+v, %v", again, err)
	}
	if err := h.RemovePerson(ctx, first.Person.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}
