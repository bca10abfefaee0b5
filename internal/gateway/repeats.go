package gateway

import (
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"

	"gatehouse/internal/guard"
)

// repeats remembers what a source has shown in vain, so that the same again is no new
// failure: who guesses does not repeat themselves, and an honest app or script whose token
// is no good any more shows it again every few minutes, for weeks. Only hashes are kept,
// and at most repeatsMax twice.
type repeats struct {
	now func() time.Time

	mu         sync.Mutex
	young, old map[repeated]struct{}
	since      time.Time // when young was begun
}

// repeated is what was shown, and by whom.
type repeated [16]byte

const (
	// repeatsFor is how long the same again is no new failure: this long at least, and twice
	// as long at most.
	repeatsFor = 7 * 24 * time.Hour
	// repeatsMax bounds what is remembered; after as many, the oldest are forgotten early.
	repeatsMax = 16 << 10
)

func newRepeats(now func() time.Time) *repeats {
	return &repeats{now: now, young: make(map[repeated]struct{}), since: now()}
}

// first reports whether a source has not shown this before, and remembers it.
func (r *repeats) first(addr netip.Addr, kind guard.Kind, what string) bool {
	source := guard.Source(addr).As16()
	h := sha256.New()
	h.Write(source[:])
	h.Write([]byte(kind))
	h.Write([]byte{0})
	h.Write([]byte(what))
	key := repeated(h.Sum(nil)[:len(repeated{})])

	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.now(); len(r.young) >= repeatsMax || now.Sub(r.since) >= repeatsFor {
		r.old, r.young, r.since = r.young, make(map[repeated]struct{}), now
	}
	_, again := r.young[key]
	if _, older := r.old[key]; older {
		again = true
	}
	r.young[key] = struct{}{}
	return !again
}
