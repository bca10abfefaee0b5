package identity

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/policy"
)

func peerKey(id string) policy.Key { return policy.Key{Kind: KindPeer, ID: id} }

// A key makes its device known, over a restart, until the device is revoked; then it stays
// known as that.
func TestKeyMakesKnownUntilItsDeviceIsRevoked(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	_, err := h.AddPerson(ctx, "Anna", policy.RoleMember, "", "")
	h.must(err)
	told := 0
	defer h.WatchKeys(func() { told++ })()
	d, err := h.AddKey(ctx, "anna", "Phone", NewKey{Key: peerKey("k1"), Data: "10.9.0.2"})
	h.must(err)
	if told == 0 || d.Kind != KindPeer || !h.saw(event.DeviceEnrolled) {
		t.Errorf("told %d times; %+v", told, d)
	}
	h.restart()
	who, ok := h.KeyHolder(peerKey("k1"))
	if !ok || who.Device != d.ID || who.Proof != policy.ProofDevice || who.Kind != KindPeer || who.Revoked {
		t.Errorf("after a restart: %+v, %t", who, ok)
	}
	if keys := h.Keys(KindPeer); len(keys) != 1 || keys[0].Data != "10.9.0.2" || keys[0].Device.PersonName != "Anna" {
		t.Errorf("keys: %+v", keys)
	}
	for _, other := range []policy.Key{peerKey("k2"), {Kind: KindSSHKey, ID: "k1"}, {}} {
		if _, ok := h.KeyHolder(other); ok {
			t.Errorf("%+v is somebody's", other)
		}
	}
	h.must(h.RevokeDevice(ctx, d.ID))
	if who, ok := h.KeyHolder(peerKey("k1")); !ok || !who.Revoked || who.Proof != policy.ProofNone {
		t.Errorf("revoked: %+v, %t", who, ok)
	}
	if keys := h.Keys(KindPeer); len(keys) != 0 {
		t.Errorf("a revoked device's key counts: %+v", keys)
	}
}

// A key belongs to one device. A revoked device's may be given anew, and opens nothing by
// the old one.
func TestKeyIsOneDevicesAlone(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	for _, name := range []string{"Anna", "Ben"} {
		_, err := h.AddPerson(ctx, name, policy.RoleMember, "", "")
		h.must(err)
	}
	first, err := h.AddKey(ctx, "Anna", "Phone", NewKey{Key: peerKey("k1")})
	h.must(err)
	if _, err := h.AddKey(ctx, "Ben", "Phone", NewKey{Key: peerKey("k1")}); !errors.Is(err, ErrKeyTaken) {
		t.Errorf("taken: %v", err)
	}
	h.must(h.RevokeDevice(ctx, first.ID))
	second, err := h.AddKey(ctx, "Ben", "Phone", NewKey{Key: peerKey("k1")})
	h.must(err)
	h.restart()
	if who, ok := h.KeyHolder(peerKey("k1")); !ok || who.Device != second.ID || who.Revoked {
		t.Errorf("given anew: %+v, %t", who, ok)
	}
	if _, err := h.AddKey(ctx, "Nobody", "Phone", NewKey{Key: peerKey("k2")}); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody's: %v", err)
	}
	for _, wrong := range []NewKey{{Key: policy.Key{Kind: KindBrowser, ID: "x"}}, {Key: policy.Key{Kind: KindPeer}}, {Key: peerKey("k3"), Expires: h.now}} {
		if _, err := h.AddKey(ctx, "Anna", "Phone", wrong); err == nil {
			t.Errorf("%+v is taken", wrong)
		}
	}
}

// Expiry is checked at use, and what hangs on the key ends by itself.
func TestKeyExpires(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	_, err := h.AddPerson(ctx, "Anna", policy.RoleMember, "", "")
	h.must(err)
	d, err := h.AddKey(ctx, "Anna", "Phone", NewKey{Key: peerKey("k1"), Expires: h.now.Add(time.Hour)})
	h.must(err)
	h.pass(time.Hour)
	if _, ok := h.KeyHolder(peerKey("k1")); ok || len(h.Keys(KindPeer)) != 0 {
		t.Error("an expired key counts")
	}
	h.endedNow()
	told := 0
	defer h.WatchKeys(func() { told++ })()
	h.tidy(ctx)
	if ended := h.endedNow(); len(ended) != 1 || ended[0] != (Ended{Device: d.ID}) || told == 0 {
		t.Errorf("ended %v, told %d times", ended, told)
	}
	h.tidy(ctx)
	if ended := h.endedNow(); len(ended) != 0 {
		t.Errorf("ended again: %v", ended)
	}
	h.restart()
	if all := h.Devices(); len(all) != 1 || all[0].Expires.IsZero() {
		t.Errorf("after a restart: %+v", all)
	}
	h.events = nil
	h.tidy(ctx)
	if ended := h.endedNow(); len(ended) != 0 || len(h.events) != 0 {
		t.Errorf("told anew after a restart: %v, %v", ended, h.events)
	}
}

// A key ends what hangs on it though a clock that was ahead for a while has ended it before.
func TestKeyExpiresAfterAWrongClock(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	_, err := h.AddPerson(ctx, "Anna", policy.RoleMember, "", "")
	h.must(err)
	_, err = h.AddKey(ctx, "Anna", "Phone", NewKey{Key: peerKey("k1"), Expires: h.now.Add(time.Hour)})
	h.must(err)
	for _, restart := range []bool{false, true} {
		h.pass(48 * time.Hour)
		if restart {
			h.restart()
		}
		h.tidy(ctx)
		h.pass(-48 * time.Hour)
		h.tidy(ctx)
	}
	h.endedNow()
	h.pass(time.Hour)
	h.tidy(ctx)
	if ended := h.endedNow(); len(ended) != 1 {
		t.Errorf("ended %v", ended)
	}
}

// A key that is replaced counts a while longer, and the device stays the same.
func TestReplacedKeyCountsForAWhile(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	_, err := h.AddPerson(ctx, "Anna", policy.RoleMember, "", "")
	h.must(err)
	d, err := h.AddKey(ctx, "Anna", "Phone", NewKey{Key: peerKey("k1"), Expires: h.now.Add(24 * time.Hour)})
	h.must(err)
	h.must(h.ReplaceKey(ctx, d.ID, NewKey{Key: peerKey("k2"), Expires: h.now.Add(48 * time.Hour)}, h.now.Add(time.Hour)))
	h.restart()
	for _, k := range []string{"k1", "k2"} {
		if who, ok := h.KeyHolder(peerKey(k)); !ok || who.Device != d.ID {
			t.Errorf("%s: %+v, %t", k, who, ok)
		}
	}
	h.pass(time.Hour)
	h.endedNow()
	h.tidy(ctx)
	if _, ok := h.KeyHolder(peerKey("k1")); ok {
		t.Error("the old key counts on")
	}
	if ended := h.endedNow(); len(ended) != 1 || ended[0] != (Ended{Device: d.ID, Key: peerKey("k1")}) {
		t.Errorf("ended: %v", ended)
	}
	if _, ok := h.KeyHolder(peerKey("k2")); !ok {
		t.Error("the device ended with its old key")
	}
	h.must(h.RevokeDevice(ctx, d.ID))
	if err := h.ReplaceKey(ctx, d.ID, NewKey{Key: peerKey("k3")}, h.now); !errors.Is(err, ErrRevoked) {
		t.Errorf("revoked: %v", err)
	}
	if err := h.ReplaceKey(ctx, "none", NewKey{Key: peerKey("k3")}, h.now); !errors.Is(err, ErrNotFound) {
		t.Errorf("no device: %v", err)
	}
}

// A device whose key counts is not pushed out by others; one whose key has expired is.
func TestKeysThatCountAreNotPushedOut(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	_, err := h.AddPerson(ctx, "Anna", policy.RoleMember, "", "")
	h.must(err)
	id := func(n int) string { return string(rune('a'+n/26)) + string(rune('a'+n%26)) }
	for n := range maxDevices {
		expires := h.now.Add(time.Duration(n+1) * time.Hour)
		_, err := h.AddKey(ctx, "Anna", "Phone", NewKey{Key: peerKey(id(n)), Expires: expires})
		h.must(err)
	}
	if _, err := h.AddKey(ctx, "Anna", "Phone", NewKey{Key: peerKey("one more")}); !errors.Is(err, ErrTooMany) {
		t.Errorf("one too many: %v", err)
	}
	h.pass(time.Hour)
	_, err = h.AddKey(ctx, "Anna", "Phone", NewKey{Key: peerKey("one more")})
	h.must(err)
	if _, ok := h.KeyHolder(peerKey(id(1))); !ok {
		t.Error("a live one was pushed out")
	}
}

// A device whose key is replaced again and again has a few; those that do not count go first.
func TestKeysOfADeviceAreBounded(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	_, err := h.AddPerson(ctx, "Anna", policy.RoleMember, "", "")
	h.must(err)
	d, err := h.AddKey(ctx, "Anna", "Phone", NewKey{Key: peerKey("k0")})
	h.must(err)
	replace := func(n int, keep time.Duration) {
		t.Helper()
		h.pass(time.Second)
		h.must(h.ReplaceKey(ctx, d.ID, NewKey{Key: peerKey(fmt.Sprintf("k%d", n))}, h.now.Add(keep)))
	}
	replace(1, time.Hour)
	replace(2, -time.Second) // k0 and k1 end at once
	replace(3, time.Hour)
	for n := 4; n < 40; n++ {
		replace(n, time.Hour)
		h.restart()
		if all := h.Keys(KindPeer); len(all) > maxKeys || len(h.keys) > maxKeys || len(h.devices[d.ID].keys) != len(h.keys) {
			t.Fatalf("after %d: %d keys, %d that count", n, len(h.keys), len(all))
		}
		for back := range min(n-1, maxKeys) {
			if _, ok := h.KeyHolder(peerKey(fmt.Sprintf("k%d", n-back))); !ok {
				t.Errorf("after %d: the one %d before is gone", n, back)
			}
		}
	}
}
