package identity

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/ha"
	"gatehouse/internal/policy"
)

// signedIn is what is found of a sign-in at home.
func (h *house) signedIn(n int, user, clientID string) Find {
	return Find{Kind: KindOfClient(clientID), HAUserID: "user-" + user, HAUserName: user, Name: fmt.Sprint("Thing ", n), ClientID: clientID, Addr: "192.168.1.7", Seen: h.now,
		Tokens: []Found{{Issuer: fmt.Sprint("issuer-", n), Refresh: ha.Hash(fmt.Sprint("refresh-", n)), Access: []FoundAccess{{ha.Hash(fmt.Sprint("access-", n)), h.now.Add(30 * time.Minute)}}}}}
}

func (h *house) source(addr string) Find {
	return Find{Kind: KindSource, Name: "A speaker", Addr: addr, Seen: h.now}
}

func (h *house) person(name string) {
	h.t.Helper()
	_, err := h.AddPerson(h.t.Context(), name, policy.RoleMember, "", "")
	h.must(err)
}

// resident is the one resident with a name.
func (h *house) resident(name string) Resident {
	h.t.Helper()
	for _, r := range h.Residents() {
		if r.Name == name {
			return r
		}
	}
	h.t.Fatalf("no resident %q among %+v", name, h.Residents())
	return Resident{}
}

// Whatever was found, given or left out is the same after a restart, and ids last.
func TestFoundAndGiven(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.person("Anna")
	tablet, app := h.signedIn(1, "Anna", "http://house:8123/"), h.signedIn(2, "Anna", ha.ClientIOS)
	app.Webhook, app.Registration, app.Name = ha.Hash("hook-2"), "a2", "Anna's phone"
	door := Find{Kind: KindWebhook, Name: "automation: Doorbell", Webhook: ha.Hash("doorbell"), Seen: h.now}
	h.must(h.Found(ctx, tablet, app, door, h.source("192.168.1.20"), h.source("192.168.1.21")))
	h.must(h.Found(ctx, app, tablet)) // twice, in another order
	before := h.Residents()
	if len(before) != 5 {
		t.Fatalf("found were %+v", before)
	}
	h.restart()
	if after := h.Residents(); !slices.Equal(before, after) {
		t.Errorf("after a restart:\n%+v\nwere\n%+v", after, before)
	}
	if _, ok := h.AccessToken("access-1"); ok {
		t.Error("a resident counts before it is given")
	}
	if tok, ok := h.Issuer("issuer-1"); ok || !h.IsResident("issuer-1") || h.IsResident("issuer-9") {
		t.Errorf("its issuer is %+v", tok)
	}
	h.must(h.LeaveResident(ctx, h.resident("A speaker").ID))
	if err := h.LeaveResident(ctx, "00000000"); !errors.Is(err, ErrNotFound) {
		t.Errorf("leaving nothing out: %v", err)
	}

	for _, name := range []string{"Thing 1", "Anna's phone", "automation: Doorbell"} {
		calls := Calls{Methods: []string{"POST"}, PerMinute: 6}
		d, err := h.GiveResident(ctx, h.resident(name).ID, "anna", calls)
		h.must(err)
		if d.PersonName != "Anna" || d.Name != name {
			t.Errorf("given is %+v", d)
		}
	}
	left := h.resident("A speaker") // one of two; either may be the one left out
	_, err := h.GiveResident(ctx, left.ID, "Anna", Calls{})
	h.must(err)
	check := func(when string) {
		t.Helper()
		if p, ok := h.PersonByName("Anna"); !ok || p.HAUserID != "user-Anna" || p.HAUserName != "Anna" {
			t.Errorf("%s: her user is %+v", when, p)
		}
		browser, ok := h.AccessToken("access-1")
		if !ok || browser.Kind != KindBrowser || !browser.Given || browser.WithoutCookie() {
			t.Errorf("%s: the tablet's token is %+v, %t", when, browser, ok)
		}
		phone, ok := h.RefreshToken("refresh-2")
		if !ok || phone.Kind != KindApp || !phone.Given || !phone.WithoutCookie() {
			t.Errorf("%s: the phone's token is %+v, %t", when, phone, ok)
		}
		hook, ok := h.Webhook("hook-2")
		if !ok || hook.Device != phone.Device || hook.Calls != nil || !hook.WithoutCookie() {
			t.Errorf("%s: the phone's webhook is %+v, %t", when, hook, ok)
		}
		bell, ok := h.Webhook("doorbell")
		if !ok || bell.HAUserID != "" || bell.Calls == nil || bell.Calls.Outside || !slices.Equal(bell.Calls.Methods, []string{"POST"}) || bell.Calls.PerMinute != 6 {
			t.Errorf("%s: the doorbell is %+v, %t", when, bell, ok)
		}
		if !h.GivenSource(netip.MustParseAddr(left.LastAddr)) || !h.ExpectsGiven() {
			t.Errorf("%s: the speaker is not known", when)
		}
		if n := len(h.Residents()); n != 1 {
			t.Errorf("%s: %d residents are left", when, n)
		}
	}
	check("at once")
	h.restart()
	check("after a restart")
	if !h.saw(event.DeviceEnrolled) {
		t.Error("nothing was told")
	}
	// What is known is not found again, by whichever way.
	hookAlone := Find{Kind: KindApp, HAUserID: "user-Anna", Webhook: app.Webhook, Seen: h.now}
	h.must(h.Found(ctx, tablet, app, door, hookAlone, h.source(left.LastAddr)))
	if n := len(h.Residents()); n != 1 {
		t.Errorf("%d residents are left", n)
	}
}

// What belongs to a user of Home Assistant goes to nobody else.
func TestGiveToWhoseItIs(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.person("Anna")
	h.person("Ben")
	h.must(h.Found(ctx, h.signedIn(1, "Anna", client), h.signedIn(2, "Ben", client), h.signedIn(3, "Ben", ""), h.signedIn(4, "Zoe", client)))
	_, err := h.GiveResident(ctx, h.resident("Thing 1").ID, "Anna", Calls{})
	h.must(err)
	var other *OtherHAUserError
	if _, err := h.GiveResident(ctx, h.resident("Thing 2").ID, "Anna", Calls{}); !errors.As(err, &other) {
		t.Errorf("Ben's to Anna: %v", err)
	}
	_, err = h.GiveResident(ctx, h.resident("Thing 2").ID, "Ben", Calls{})
	h.must(err)
	h.person("Carl") // has no user yet, but this one is Ben's
	if _, err := h.GiveResident(ctx, h.resident("Thing 3").ID, "Carl", Calls{}); !errors.As(err, &other) {
		t.Errorf("Ben's to Carl: %v", err)
	}
	for _, c := range [][2]string{{"00000000", "Anna"}, {h.resident("Thing 4").ID, "Nobody"}} {
		if _, err := h.GiveResident(ctx, c[0], c[1], Calls{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("%v: %v", c, err)
		}
	}
	if r := h.resident("Thing 3"); r.Person != "Ben" || r.Kind != KindProgram {
		t.Errorf("it is %+v", r)
	}
	if r := h.resident("Thing 4"); r.Person != "" {
		t.Errorf("it is %+v", r)
	}
}

// A given device that is revoked is out, with all that it had, and stays out.
func TestRevokedGiven(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.person("Anna")
	app := h.signedIn(1, "Anna", ha.ClientIOS)
	app.Webhook, app.Registration = ha.Hash("hook-1"), "a1"
	speaker := h.source("192.168.1.20")
	h.must(h.Found(ctx, app, speaker))
	phone, err := h.GiveResident(ctx, h.resident("Thing 1").ID, "Anna", Calls{})
	h.must(err)
	sound, err := h.GiveResident(ctx, h.resident("A speaker").ID, "Anna", Calls{})
	h.must(err)
	at := netip.MustParseAddr("192.168.1.7") // where the phone was
	if !h.GivenSource(at) {
		t.Error("the phone's own web view fetches nothing")
	}
	h.must(h.RevokeDevice(ctx, phone.ID))
	h.must(h.RevokeDevice(ctx, sound.ID))
	check := func(when string) {
		t.Helper()
		for _, token := range []func() (Token, bool){
			func() (Token, bool) { return h.AccessToken("access-1") }, func() (Token, bool) { return h.RefreshToken("refresh-1") },
			func() (Token, bool) { return h.Webhook("hook-1") }, func() (Token, bool) { return h.Issuer("issuer-1") },
		} {
			if tok, ok := token(); !ok || !tok.Revoked {
				t.Errorf("%s: %+v, %t", when, tok, ok)
			}
		}
		if h.GivenSource(at) || h.GivenSource(netip.MustParseAddr("192.168.1.20")) || h.ExpectsGiven() {
			t.Errorf("%s: an address counts", when)
		}
		if left := h.Leftovers(); len(left) != 1 || left[0].HADeviceID != "a1" || left[0].HAUserID != "user-Anna" {
			t.Errorf("%s: to be taken out: %+v", when, left)
		}
	}
	check("at once")
	h.restart()
	check("after a restart")
	app.Tokens[0].Access = append(app.Tokens[0].Access, FoundAccess{ha.Hash("access-later"), h.now.Add(time.Hour)})
	h.must(h.Found(ctx, app))
	if _, ok := h.AccessToken("access-later"); ok || len(h.Residents()) != 0 {
		t.Errorf("a revoked phone is found again: %+v", h.Residents())
	}
	// An address says nothing of who is there now: it can be given again.
	h.must(h.Found(ctx, speaker))
	_, err = h.GiveResident(ctx, h.resident("A speaker").ID, "Anna", Calls{})
	h.must(err)
	h.restart()
	if !h.GivenSource(netip.MustParseAddr("192.168.1.20")) {
		t.Error("it is not known")
	}
}

// What is seen later of a given device's own sign-in joins it; nothing of another's does.
func TestFoundLaterJoins(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.person("Anna")
	seen := h.signedIn(1, "Anna", "")
	seen.Kind, seen.Tokens[0].Refresh = KindApp, "" // on a socket
	h.must(h.Found(ctx, seen))
	d, err := h.GiveResident(ctx, h.resident("Thing 1").ID, "Anna", Calls{})
	h.must(err)
	if h.Knows("issuer-1", "access-later") || !h.Knows("issuer-1", "access-1") {
		t.Error("known is what is not, or the other way round")
	}
	whole := h.signedIn(1, "Anna", ha.ClientIOS)
	whole.Webhook, whole.Registration = ha.Hash("hook-1"), "a1"
	whole.Tokens[0].Access = append(whole.Tokens[0].Access, FoundAccess{ha.Hash("access-later"), h.now.Add(time.Hour)}, FoundAccess{ha.Hash("access-over"), h.now})
	foreign := whole
	foreign.HAUserID = "user-Ben"
	h.must(h.Found(ctx, foreign))
	if _, ok := h.RefreshToken("refresh-1"); ok {
		t.Error("another user's token joined")
	}
	h.must(h.Found(ctx, whole))
	check := func(when string) {
		t.Helper()
		for _, a := range []string{"access-1", "access-later"} {
			if tok, ok := h.AccessToken(a); !ok || tok.Device != d.ID || !tok.Given {
				t.Errorf("%s: %s is %+v, %t", when, a, tok, ok)
			}
		}
		if tok, ok := h.RefreshToken("refresh-1"); !ok || tok.Device != d.ID || !tok.WithoutCookie() {
			t.Errorf("%s: the refresh token is %+v, %t", when, tok, ok)
		}
		if tok, ok := h.Webhook("hook-1"); !ok || tok.Device != d.ID {
			t.Errorf("%s: the webhook is %+v, %t", when, tok, ok)
		}
		if _, ok := h.AccessToken("access-over"); ok {
			t.Errorf("%s: a token that ran out counts", when)
		}
	}
	check("at once")
	h.restart()
	check("after a restart")
	if len(h.Residents()) != 0 {
		t.Errorf("found is %+v", h.Residents())
	}
	h.pass(2 * time.Hour)
	if _, ok := h.AccessToken("access-later"); ok {
		t.Error("it counts for ever")
	}
	h.must(h.LearnAccess(ctx, "refresh-1", ha.TokenAnswer{AccessToken: "access-new", Issuer: "issuer-1", ExpiresIn: 1800}))
	if tok, ok := h.AccessToken("access-new"); !ok || !tok.Given {
		t.Errorf("what a given device is given next is %+v, %t", tok, ok)
	}
}

// A token that ran out between the find and the giving gives nothing.
func TestExpiredIsNotGiven(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.person("Anna")
	f := h.signedIn(1, "Anna", client)
	f.Tokens[0].Refresh = ""
	h.must(h.Found(ctx, f))
	h.pass(time.Hour)
	_, err := h.GiveResident(ctx, h.resident("Thing 1").ID, "Anna", Calls{})
	h.must(err)
	if _, ok := h.AccessToken("access-1"); ok {
		t.Error("it counts")
	}
	if h.Found(ctx, Find{Kind: KindWebhook, Webhook: "no hash"}) == nil {
		t.Error("what is no hash was taken down")
	}
}

// The client that a sign-in is for says what it is, also where a token was seen first.
func TestKindIsLearned(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	f := h.signedIn(1, "Anna", "")
	f.Kind = KindBrowser
	h.must(h.Found(ctx, f))
	h.must(h.Found(ctx, h.signedIn(1, "Anna", ha.ClientAndroid)))
	f.Kind = KindProgram
	h.must(h.Found(ctx, f))
	if r := h.resident("Thing 1"); r.Kind != KindApp || r.ClientID != ha.ClientAndroid {
		t.Errorf("it is %+v", r)
	}
}

// Nobody's flood hides what others have, and what is kept is bounded.
func TestResidentsAreBounded(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.person("Olga")
	h.must(h.Found(ctx, h.signedIn(1, "Olga", client), h.source("192.168.1.20")))
	flood := func(first int) {
		var all []Find
		for n := range 400 {
			all = append(all, h.source(netip.AddrFrom4([4]byte{10, byte(first), byte(n >> 8), byte(n)}).String()))
		}
		h.must(h.Found(ctx, all...))
	}
	sources := func() (n int) {
		for _, r := range h.residents {
			if r.kind == KindSource {
				n++
			}
		}
		return n
	}
	flood(1)
	if n := sources(); n != maxFoundAway {
		t.Errorf("%d addresses are kept", n)
	}
	var logins []Find
	for n := range maxResidents + 100 {
		f := h.signedIn(1000+n, "Guest", client)
		f.Seen = h.now.Add(time.Duration(n) * time.Second)
		logins = append(logins, f)
	}
	h.must(h.Found(ctx, logins...))
	h.must(h.Found(ctx, h.signedIn(2, "Olga", client), h.signedIn(3, "Anna", ha.ClientIOS)))
	for _, name := range []string{"Thing 1", "Thing 2", "Thing 3"} {
		h.resident(name)
	}
	if n := len(h.residents) - sources(); n != maxResidents {
		t.Errorf("%d sign-ins are kept", n)
	}
	h.resident(fmt.Sprint("Thing ", 1000+maxResidents+99)) // the flood's own last
	if _, ok := h.residents[h.signedIn(1000, "Guest", client).ID()]; ok {
		t.Error("the flood's own first did not make room")
	}
	// A speaker finds room a day later, whatever came by.
	h.pass(25 * time.Hour)
	h.must(h.Found(ctx, h.source("192.168.1.22")))
	if _, ok := h.residents[h.source("192.168.1.22").ID()]; !ok || sources() != maxFoundAway {
		t.Errorf("it is found: %t, among %d", ok, sources())
	}
	memory := h.Residents()
	h.restart()
	if got := h.Residents(); len(got) != len(memory) {
		t.Errorf("%d were written down, %d are in memory", len(got), len(memory))
	}
}

// Of a sign-in that is refreshed again and again the newest tokens are kept.
func TestNewestTokensAreKept(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	for n := range 3 * (maxRefresh + maxAccess) {
		f := h.signedIn(1, "Anna", client)
		f.Tokens[0].Access = []FoundAccess{{ha.Hash(fmt.Sprint("access-", n)), h.now.Add(time.Duration(30*60+n) * time.Second)}}
		h.must(h.Found(ctx, f))
		if !h.Knows("issuer-1", fmt.Sprint("access-", n)) {
			t.Fatalf("token %d is not known", n)
		}
	}
	r := h.residents[h.signedIn(1, "Anna", client).ID()]
	if len(r.secrets) != maxRefresh+maxAccess {
		t.Errorf("%d secrets are kept", len(r.secrets))
	}
	if _, ok := r.secrets[hashOf("refresh-1")]; !ok {
		t.Error("the refresh token went")
	}
	h.person("Anna")
	_, err := h.GiveResident(ctx, r.id, "Anna", Calls{})
	h.must(err)
	if _, ok := h.RefreshToken("refresh-1"); !ok {
		t.Error("it was not given")
	}
}

// An id is short: whoever finds an address of the same id takes no sign-in's place, and
// gives it none of its own.
func TestSameShortID(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	speaker := h.source("192.168.1.20")
	h.must(h.Found(ctx, h.signedIn(1, "Anna", client)))
	mine := h.signedIn(1, "Anna", client).ID()
	// As if the two were the same.
	h.residents[speaker.ID()] = h.residents[mine]
	h.must(h.Found(ctx, speaker))
	if r := h.residents[speaker.ID()]; r.kind != KindBrowser || r.addr != "192.168.1.7" {
		t.Errorf("the address became the sign-in's: %+v", r)
	}
	delete(h.residents, speaker.ID())
	h.must(h.Found(ctx, speaker))
	other := h.signedIn(2, "Anna", client)
	h.residents[other.ID()] = h.residents[speaker.ID()]
	h.must(h.Found(ctx, other))
	if r := h.residents[other.ID()]; r.kind != KindBrowser || !h.IsResident("issuer-2") {
		t.Errorf("an address keeps a sign-in out: %+v", r)
	}
}

// Speakers are noted once a minute at most, and are as cheap as a look once they are known.
func TestSawSource(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	addr := netip.MustParseAddr("192.168.1.20")
	h.must(h.SawSource(ctx, addr, "Mozilla/5.0 (X11; Linux; \x1b[31m CrKey/1.56) Chrome/90 \u202e"))
	r := h.resident("Chrome on Linux")
	first := h.now
	h.pass(30 * time.Second)
	h.must(h.SawSource(ctx, addr, "other"))
	if got := h.resident("Chrome on Linux"); !got.LastSeen.Equal(r.LastSeen) {
		t.Errorf("it was noted again: %+v", got)
	}
	h.pass(time.Hour)
	h.must(h.SawSource(ctx, addr, "curl/8"))
	r = h.resident("curl")
	if !r.FirstSeen.Equal(first) || !r.LastSeen.Equal(h.now) || r.LastAddr != addr.String() || r.Kind != KindSource {
		t.Errorf("it is %+v", r)
	}
	h.person("Anna")
	d, err := h.GiveResident(ctx, r.ID, "Anna", Calls{})
	h.must(err)
	if d.Kind != KindProgram || d.Name != "curl" {
		t.Errorf("it is %+v", d)
	}
	h.pass(time.Hour)
	h.must(h.SawSource(ctx, addr, "curl/8"))
	if len(h.Residents()) != 0 || !h.device(d.ID).LastSeen.Equal(h.now) {
		t.Errorf("it is %+v, beside %+v", h.device(d.ID), h.Residents())
	}
	if h.GivenSource(netip.MustParseAddr("192.168.1.21")) {
		t.Error("its neighbor is known")
	}
}

// An address where a device or a sign-in was is not listed besides; a revoked one hides nothing.
func TestAddressOfSomebody(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.person("Anna")
	h.must(h.Found(ctx, h.source("192.168.1.7"), h.source("192.168.1.8")))
	h.must(h.Found(ctx, h.signedIn(1, "Anna", ha.ClientIOS)))
	if n := len(h.Residents()); n != 2 {
		t.Errorf("%+v", h.Residents())
	}
	d, err := h.GiveResident(ctx, h.resident("Thing 1").ID, "Anna", Calls{})
	h.must(err)
	at := netip.MustParseAddr("192.168.1.7")
	if n := len(h.Residents()); n != 1 || !h.GivenSource(at) {
		t.Errorf("%+v", h.Residents())
	}
	h.pass(sourceFor)
	if h.GivenSource(at) {
		t.Error("it counts where it has not been for a month")
	}
	h.SeenDevice(d.ID, policy.HTTPS, at)
	if h.GivenSource(at) {
		t.Error("it counts where it was on another door")
	}
	h.SeenDevice(d.ID, policy.LAN, at)
	if !h.GivenSource(at) {
		t.Error("it does not count where it is")
	}
	h.must(h.RevokeDevice(ctx, d.ID))
	if n := len(h.Residents()); n != 2 {
		t.Errorf("a revoked device hides an address: %+v", h.Residents())
	}
}

// What others write is shown without anything that could turn a terminal around.
func TestResidentsNamesAreClean(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	f := h.signedIn(1, "Anna", "https://x.example/\u202e/"+strings.Repeat("y", 500))
	f.Name, f.HAUserName = "\x1b[2J"+strings.Repeat("ü", 100), "An\u200bna"
	g := h.signedIn(2, "Ben", client)
	g.Name = strings.Repeat("ü", 100)
	h.must(h.Found(ctx, f, g))
	for _, r := range h.Residents() {
		for _, s := range []string{r.Name, r.HAUserName, r.ClientID} {
			if strings.ContainsAny(s, "\x1b\u202e\u200b") || len(s) > maxFoundText+8 {
				t.Errorf("shown is %q", s)
			}
		}
		if len(r.Name) > maxDeviceName {
			t.Errorf("its name is %q", r.Name)
		}
	}
}

// Somebody who was removed keeps no user of Home Assistant from others.
func TestGiveAfterRemoval(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.person("Anna")
	h.must(h.Found(ctx, h.signedIn(1, "Anna", client), h.signedIn(2, "Anna", client)))
	_, err := h.GiveResident(ctx, h.resident("Thing 1").ID, "Anna", Calls{})
	h.must(err)
	p, _ := h.PersonByName("Anna")
	h.must(h.RemovePerson(ctx, p.ID))
	if _, err := h.GiveResident(ctx, h.resident("Thing 2").ID, "Anna", Calls{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("to somebody removed: %v", err)
	}
	h.person("Anne")
	_, err = h.GiveResident(ctx, h.resident("Thing 2").ID, "Anne", Calls{})
	h.must(err)
	if tok, ok := h.AccessToken("access-1"); !ok || !tok.Revoked {
		t.Errorf("what she had is %+v, %t", tok, ok)
	}
}

// Finding, giving, looking and revoking at once leave one consistent state.
func TestResidentsAtOnce(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.person("Anna")
	finds := make([]Find, 24)
	for n := range finds {
		finds[n] = h.signedIn(n, "Anna", client)
	}
	var all sync.WaitGroup
	for k := range 4 {
		all.Go(func() {
			for n, f := range finds {
				if err := h.Found(ctx, f); err != nil {
					t.Error(err)
				}
				if err := h.SawSource(ctx, netip.AddrFrom4([4]byte{192, 168, byte(k), byte(n)}), "curl"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		all.Go(func() {
			for range 40 {
				for _, r := range h.Residents() {
					if r.Kind == KindBrowser {
						d, err := h.GiveResident(ctx, r.ID, "Anna", Calls{})
						if err == nil && d.ID[0]&1 == 0 {
							err = h.RevokeDevice(ctx, d.ID)
						}
						if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrTooMany) {
							t.Error(err)
						}
						break
					}
				}
				h.GivenSource(netip.MustParseAddr("192.168.1.7"))
				h.ExpectsGiven()
				h.Knows("issuer-1", "access-1")
			}
		})
	}
	all.Wait()
	seen := make(map[string]int)
	for _, r := range h.Residents() {
		seen[r.Name]++
	}
	for _, d := range h.Devices() {
		seen[d.Name]++
	}
	for n := range finds {
		if name := fmt.Sprint("Thing ", n); seen[name] != 1 {
			t.Errorf("%s is there %d times", name, seen[name])
		}
	}
	before := h.Residents()
	h.restart()
	if after := h.Residents(); !slices.Equal(before, after) {
		t.Error("the ledger has something else")
	}
}
