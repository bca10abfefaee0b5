package identity

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-webauthn/webauthn/protocol"

	"gatehouse/internal/event"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
)

const day = 24 * time.Hour

func TestCookiesThatAreNone(t *testing.T) {
	h := newHouse(t)
	h.becomeOwner(newPhone(t))
	for _, c := range []string{"", "x", strings.Repeat("A", cookieLen), strings.Repeat("A", 1<<16), newCookie()} {
		h.stands(c, StandingNone, policy.ProofNone)
	}
}

func TestIdleAndMax(t *testing.T) {
	h := newHouse(t)
	olga := newPhone(t)
	cookie := h.becomeOwner(olga).Cookie
	for range 36 { // used every ten days, it lives for a year
		h.pass(10 * day)
		h.stands(cookie, StandingLive, policy.ProofDevice)
	}
	h.pass(5 * day)
	h.stands(cookie, StandingEnded, policy.ProofNone)
	next, err := h.signIn(olga, visit(cookie))
	h.must(err)
	h.pass(30*day - time.Second)
	h.stands(next, StandingLive, policy.ProofDevice)
	h.pass(30 * day)
	h.stands(next, StandingEnded, policy.ProofNone)
	h.pass(-time.Hour)
	h.stands(next, StandingLive, policy.ProofDevice)
}

// An ended session's browser keeps its device and gets a new cookie.
func TestDeviceIsKept(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	olga := newPhone(t)
	first := h.becomeOwner(olga).Cookie
	device := h.Recognise(first).Who.Device
	cookie := first
	for range 3 * maxEndedSessions {
		h.must(h.SignOut(ctx, cookie))
		h.stands(cookie, StandingEnded, policy.ProofNone)
		h.pass(time.Minute)
		next, err := h.signIn(olga, visit(cookie))
		h.must(err)
		if next == cookie || next == "" {
			t.Fatalf("cookie %q after %q", next, cookie)
		}
		if r := h.stands(next, StandingLive, policy.ProofDevice); r.Who.Device != device {
			t.Errorf("device %s became %s", device, r.Who.Device)
		}
		h.stands(cookie, StandingEnded, policy.ProofNone)
		cookie = next
	}
	if n := len(h.Sessions()); n != maxEndedSessions {
		t.Errorf("%d sessions are kept", n)
	}
	h.restart()
	if n := len(h.Sessions()); n != maxEndedSessions {
		t.Errorf("%d sessions are kept after a restart", n)
	}
	h.stands(cookie, StandingLive, policy.ProofDevice)
	h.stands(first, StandingNone, policy.ProofNone)
}

// Somebody else who signs in in the same browser is another device, and ends the session that was there.
func TestAnotherPersonInThisBrowser(t *testing.T) {
	h := newHouse(t)
	olga := newPhone(t)
	h.becomeOwner(olga)
	_, anna := h.member("Anna")
	was := h.Recognise(anna)
	cookie, err := h.signIn(olga, visit(anna))
	h.must(err)
	if now := h.stands(cookie, StandingLive, policy.ProofDevice); now.Who.Device == was.Who.Device || now.Who.Name != "Olga" {
		t.Errorf("signed in as %+v", now.Who)
	}
	h.stands(anna, StandingEnded, policy.ProofNone)
	if got := h.endedNow(); !slices.Equal(got, []Ended{{Device: was.Who.Device, Session: was.Session}}) {
		t.Errorf("watchers were told %v", got)
	}
}

func TestEndedSessionsAreTold(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	olga := newPhone(t)
	cookie := h.becomeOwner(olga).Cookie
	r := h.Recognise(cookie)
	told := []Ended{{Device: r.Who.Device, Session: r.Session}}
	h.must(h.EndSession(ctx, r.Session))
	h.must(h.EndSession(ctx, r.Session))
	if got := h.endedNow(); !slices.Equal(got, told) {
		t.Errorf("ended: told %v", got)
	}
	if err := h.EndSession(ctx, "nosuch"); err != ErrNotFound {
		t.Errorf("no session: %v", err)
	}
	cookie, err := h.signIn(olga, visit(cookie))
	h.must(err)
	h.pass(30 * day)
	h.tidy(ctx)
	h.tidy(ctx)
	r = h.stands(cookie, StandingEnded, policy.ProofNone)
	if got := h.endedNow(); !slices.Equal(got, []Ended{{Device: r.Who.Device, Session: r.Session}}) {
		t.Errorf("expired: told %v", got)
	}
	if !h.saw(event.SessionExpired) || !h.saw(event.SessionEnded) {
		t.Error("an event is missing")
	}
	h.must(h.SignOut(ctx, "nosuch"))
	stop := h.Watch(func(Ended) { t.Error("told after stop") })
	stop()
	cookie, err = h.signIn(olga, visit(cookie))
	h.must(err)
	h.must(h.SignOut(ctx, cookie))
}

// When Watch tells of a revoked device, the ledger has it and nobody is recognised by it.
func TestWatchComesAfter(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	cookie := h.becomeOwner(newPhone(t)).Cookie
	var told bool
	h.Watch(func(Ended) {
		told = true
		if h.Recognise(cookie).Standing != StandingEnded {
			t.Error("the device is still recognised")
		}
		var revoked int64
		h.must(h.l.View(ctx, func(tx *ledger.Tx) error { return tx.One([]any{&revoked}, `SELECT revoked FROM devices`) }))
		if revoked == 0 {
			t.Error("the ledger does not have it")
		}
	})
	h.must(h.RevokeDevice(ctx, h.Recognise(cookie).Who.Device))
	if !told {
		t.Error("nobody was told")
	}
	if err := h.RevokeDevice(ctx, "nosuch"); err != ErrNotFound {
		t.Errorf("no device: %v", err)
	}
}

func TestLastSeenIsKept(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	cookie := h.becomeOwner(newPhone(t)).Cookie
	h.pass(20 * day)
	r := h.stands(cookie, StandingLive, policy.ProofDevice)
	h.Seen(r.Session, policy.LAN, netip.MustParseAddr("192.168.1.9"))
	h.flush(ctx)
	seenAt := h.now
	h.restart()
	h.pass(20 * day)
	if d := h.Devices()[0]; !d.LastSeen.Equal(seenAt) || d.LastAddr != "192.168.1.9" || d.LastDoor != "lan" {
		t.Errorf("device is %+v", d)
	}
	h.stands(cookie, StandingLive, policy.ProofDevice)
}

func TestNotice(t *testing.T) {
	h := newHouse(t)
	cookie := h.becomeOwner(newPhone(t)).Cookie
	session := h.Recognise(cookie).Session
	h.SetNotice(session, "hello")
	if got := h.Recognise(cookie).Notice; got != "hello" {
		t.Errorf("notice is %q", got)
	}
	h.ClearNotice(session)
	if got := h.Recognise(cookie).Notice; got != "" {
		t.Errorf("notice is %q", got)
	}
	h.SetNotice("nosuch", "x")
}

// Private windows come back as new devices; there is room for a bounded number.
func TestDevicesAreBounded(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	olga := newPhone(t)
	h.becomeOwner(olga)
	for range maxDevices + 5 {
		h.pass(time.Minute)
		cookie, err := h.signIn(olga, visit(""))
		h.must(err)
		h.must(h.SignOut(ctx, cookie))
	}
	if n := len(h.Devices()); n != maxDevices {
		t.Errorf("there are %d devices", n)
	}
	h.restart()
	if n := len(h.Devices()); n != maxDevices {
		t.Errorf("there are %d devices after a restart", n)
	}
}

// Run, on a clock that the bubble turns: a session runs out and is told, and what
// was seen is written when Run ends.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := ledger.Open(t.Context(), "", ledger.Key{1})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		i, err := New(t.Context(), Config{Ledger: l, RPID: testHost, Origins: []string{testOrigin}, SessionIdle: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		h := &house{t: t, Identity: i}
		told := make(chan Ended, 1)
		i.Watch(func(e Ended) { told <- e })
		cookie := h.becomeOwner(newPhone(t)).Cookie
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- i.Run(ctx) }()
		time.Sleep(59 * time.Minute)
		h.stands(cookie, StandingLive, policy.ProofDevice)
		start := time.Now()
		e := <-told
		if e.Session == "" || time.Since(start) < time.Hour || time.Since(start) > time.Hour+tidyEvery {
			t.Errorf("told %v after %v", e, time.Since(start))
		}
		h.stands(cookie, StandingEnded, policy.ProofNone)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		var seen int64
		h.must(l.View(t.Context(), func(tx *ledger.Tx) error { return tx.One([]any{&seen}, `SELECT last_seen FROM sessions`) }))
		if got := ledger.Instant(seen); !got.Equal(start.Truncate(time.Millisecond)) {
			t.Errorf("last seen %v, want %v", got, start)
		}
	})
}

func BenchmarkRecognise(b *testing.B) {
	l, err := ledger.Open(b.Context(), "", ledger.Key{1})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	i, err := New(b.Context(), Config{Ledger: l})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := i.AddPerson(b.Context(), "Anna", policy.RoleMember, "", ""); err != nil {
		b.Fatal(err)
	}
	inv, err := i.Invite(b.Context(), "Anna")
	if err != nil {
		b.Fatal(err)
	}
	e, err := i.EnrolBrowser(b.Context(), Visit{}, inv.Code)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if i.Recognise(e.Cookie).Standing != StandingLive {
				b.Error("not recognised")
			}
		}
	})
}

// Revoking a device takes the passkeys that cannot be anywhere else.
func TestRevokedDeviceLosesItsPasskeys(t *testing.T) {
	for name, c := range map[string]struct {
		attachment protocol.AuthenticatorAttachment
		synced     bool
		want       error
	}{
		"built in":     {protocol.Platform, false, ErrRefused},
		"synced":       {protocol.Platform, true, nil},
		"security key": {protocol.CrossPlatform, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			olga := newPhone(t)
			olga.auth.Options.BackupEligible = c.synced
			cookie := h.becomeOwner(olga).Cookie
			for _, k := range h.passkeys { // the virtual authenticator does not say what it is
				k.record.Authenticator.Attachment = c.attachment
			}
			h.must(h.RevokeDevice(t.Context(), h.Recognise(cookie).Who.Device))
			for range 2 {
				if _, err := h.signIn(olga, visit("")); err != c.want {
					t.Errorf("got %v, want %v", err, c.want)
				}
				h.restart()
			}
		})
	}
}

// Without the key that sealed them, authenticator apps count for nothing; the rest goes on.
func TestLostKey(t *testing.T) {
	h := newHouse(t)
	olga := newPhone(t)
	e := h.becomeOwner(olga)
	h.must(h.l.Close())
	l, err := ledger.Open(t.Context(), h.dir, ledger.Key{2})
	h.must(err)
	h.l = l
	if h.Identity, err = New(t.Context(), Config{Ledger: l, RPID: testHost, Origins: []string{testOrigin},
		Now: func() time.Time { return h.now }, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	h.stands(e.Cookie, StandingLive, policy.ProofDevice)
	if _, err := h.signIn(olga, visit("")); err != nil {
		t.Errorf("her passkey: %v", err)
	}
	if _, err := h.SignInCode(t.Context(), visit(""), "Olga", h.code(e.TOTPSecret)); err != ErrRefused {
		t.Errorf("her code: %v", err)
	}
}
