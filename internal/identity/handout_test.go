package identity

import (
	"errors"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/policy"
)

func certificateKey(id string) NewKey {
	return NewKey{Key: policy.Key{Kind: KindCertificate, ID: id}}
}

// A file is fetched once, by its code, also after a restart; its key is a known device from
// then on and not before.
func TestHandoutIsFetchedOnce(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	_, err := h.AddPerson(ctx, "Anna", policy.RoleMember, "", "")
	h.must(err)
	made, err := h.HandOut(ctx, "anna", "Phone", certificateKey("k1"), []byte("the file"))
	h.must(err)
	h.restart()
	if got, err := h.PeekHandout(ctx, visit(""), made.Code); err != nil || got.Person != "Anna" || got.Label != "Phone" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, ok := h.KeyHolder(certificateKey("k1").Key); ok {
		t.Error("it is known before it was fetched")
	}
	var got sync.WaitGroup
	files := make(chan string, 8)
	for range 8 { // at the same time
		got.Go(func() {
			file, _, err := h.TakeHandout(ctx, visit(""), made.Code)
			if err == nil {
				files <- string(file)
			} else if !errors.Is(err, ErrNoInvitation) {
				t.Errorf("fetched again: %v", err)
			}
		})
	}
	got.Wait()
	if len(files) != 1 || <-files != "the file" {
		t.Errorf("%d have fetched it", len(files)+1)
	}
	if who, ok := h.KeyHolder(certificateKey("k1").Key); !ok || who.Kind != KindCertificate || who.Name != "Anna" {
		t.Errorf("%+v, %t", who, ok)
	}
}

// What is wrong counts as a failure; what is too old, or whose person is gone, is not there.
func TestHandoutsThatAreNotThere(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	for _, name := range []string{"Anna", "Ben"} {
		_, err := h.AddPerson(ctx, name, policy.RoleMember, "", "")
		h.must(err)
	}
	old, err := h.HandOut(ctx, "Anna", "Phone", certificateKey("k1"), []byte("1"))
	h.must(err)
	h.pass(handoutFor)
	h.tidy(ctx)
	bens, err := h.HandOut(ctx, "Ben", "Phone", certificateKey("k2"), []byte("2"))
	h.must(err)
	p, _ := h.PersonByName("Ben")
	h.must(h.RemovePerson(ctx, p.ID))
	short := certificateKey("k4")
	short.Expires = h.now.Add(time.Hour)
	over, err := h.HandOut(ctx, "Anna", "Phone", short, []byte("4"))
	h.must(err)
	h.pass(time.Hour)
	before := h.failures()
	codes := []string{old.Code, bens.Code, over.Code, "", "abcd-efgh", "x"}
	for _, code := range codes {
		if _, err := h.PeekHandout(ctx, visit(""), code); !errors.Is(err, ErrNoInvitation) {
			t.Errorf("%q: %v", code, err)
		}
		if _, _, err := h.TakeHandout(ctx, visit(""), code); !errors.Is(err, ErrNoInvitation) {
			t.Errorf("%q is fetched: %v", code, err)
		}
	}
	if n := h.failures() - before; n != 2*len(codes) {
		t.Errorf("%d were counted", n)
	}
	good, err := h.HandOut(ctx, "Anna", "Phone", certificateKey("k3"), []byte("3"))
	h.must(err)
	unheard := visit("")
	unheard.Unheard = true
	if _, _, err := h.TakeHandout(ctx, unheard, good.Code); !errors.Is(err, ErrNoInvitation) {
		t.Errorf("who is not listened to: %v", err)
	}
}

// A person has so many at most; the oldest goes.
func TestHandoutsAreBounded(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	_, err := h.AddPerson(ctx, "Anna", policy.RoleMember, "", "")
	h.must(err)
	var first Handout
	for n := range maxHandouts + 1 {
		made, err := h.HandOut(ctx, "Anna", "Phone", certificateKey(string(rune('a'+n))), []byte("x"))
		h.must(err)
		if n == 0 {
			first = made
		}
		h.pass(time.Second)
	}
	if _, err := h.PeekHandout(ctx, visit(""), first.Code); !errors.Is(err, ErrNoInvitation) || len(h.handouts) != maxHandouts {
		t.Errorf("%v; there are %d", err, len(h.handouts))
	}
	for _, size := range []int{0, maxHandout + 1} {
		if _, err := h.HandOut(ctx, "Anna", "Phone", certificateKey("z"), make([]byte, size)); err == nil {
			t.Errorf("%d bytes are kept", size)
		}
	}
}
