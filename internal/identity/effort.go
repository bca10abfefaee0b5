package identity

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/internal/guard"
)

// effort bounds what sign-ins cost, and counts it. Each checks a code (three HMACs) or a
// signature (some tenths of a millisecond); nothing that a person types is hashed slowly,
// because nothing of that is a password. There are three rooms, so that a flood from outside
// takes nothing from home, and neither anything from devices that we know, which confirm
// and come back. In each so many are checked at once, so many wait for a moment, so many
// come in a second, and of these so many from one source or device. Whoever is too many is
// told to come again, whatever they brought.
//
// Memory is bounded: those who come to a room share a fixed number of buckets. Two may meet in
// one by chance; who does is drawn anew with each start.
type effort struct {
	now   func() time.Time
	rooms [3]room

	mu   sync.Mutex // of all buckets
	seed maphash.Seed

	codes, signatures, hashes atomic.Uint64
}

// Effort is what was checked since the start.
type Effort struct {
	Codes      uint64 // of authenticator apps
	Signatures uint64 // of passkeys
	Hashes     uint64 // of recovery codes, compared
}

// Effort returns what was checked since the start.
func (i *Identity) Effort() Effort {
	return Effort{i.effort.codes.Load(), i.effort.signatures.Load(), i.effort.hashes.Load()}
}

// The rooms.
const (
	roomKnown   = iota // devices that we know, with a live session or an ended one
	roomHome           // strangers at home
	roomOutside        // strangers elsewhere
)

// Bounds of a room, and of one source or device in it. A sign-in takes two: one to begin
// and one to end.
const (
	roomPlaces   = 2               // checked at the same time
	roomWaiting  = 16              // that wait for a place
	roomPatience = 2 * time.Second // as long
	roomBurst    = 80              // at once
	roomRate     = 40              // a second, from then on
	ownBurst     = 20
	ownRate      = 1
	bucketCount  = 2048
)

// room is where sign-ins of one sort are checked. Its zero value has not been opened.
type room struct {
	places  chan struct{}
	waiting atomic.Int32
	bucket  bucket              // of all
	own     [bucketCount]bucket // of each
}

// bucket gives out as many as it holds, and fills again. Its zero value is full.
type bucket struct {
	used float64
	at   time.Time
}

func (b *bucket) take(now time.Time, burst, rate float64) bool {
	if past := now.Sub(b.at); past > 0 {
		b.used = max(0, b.used-past.Seconds()*rate)
	}
	b.at = now
	if b.used+1 > burst {
		return false
	}
	b.used++
	return true
}

func newEffort(now func() time.Time) *effort {
	e := &effort{now: now, seed: maphash.MakeSeed()}
	for k := range e.rooms {
		e.rooms[k].places = make(chan struct{}, roomPlaces)
	}
	return e
}

// enter waits for a place in a room; leave, to be called once, gives it back. ErrBusy where
// there is none in time.
func (e *effort) enter(ctx context.Context, which int, who string) (leave func(), err error) {
	r := &e.rooms[which]
	if !e.admit(r, who) {
		return nil, ErrBusy
	}
	leave = func() { <-r.places }
	select {
	case r.places <- struct{}{}:
		return leave, nil
	default:
	}
	defer r.waiting.Add(-1)
	if r.waiting.Add(1) > roomWaiting {
		return nil, ErrBusy
	}
	patience := time.NewTimer(roomPatience)
	defer patience.Stop()
	select {
	case r.places <- struct{}{}:
		return leave, nil
	case <-patience.C:
		return nil, ErrBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// admit counts one more of somebody's in a room; false where it is too many. Theirs is
// asked first, so that one source cannot use up what is there for all.
func (e *effort) admit(r *room, who string) bool {
	at := maphash.String(e.seed, who) % bucketCount
	now := e.now()
	e.mu.Lock()
	defer e.mu.Unlock()
	return r.own[at].take(now, ownBurst, ownRate) && r.bucket.take(now, roomBurst, roomRate)
}

// giveBack takes a sign-in of somebody's back that came to something: a family behind one
// address is not too many.
func (e *effort) giveBack(which int, who string) {
	const both = 2 // to begin and to end
	r := &e.rooms[which]
	at := maphash.String(e.seed, who) % bucketCount
	e.mu.Lock()
	defer e.mu.Unlock()
	r.own[at].used = max(0, r.own[at].used-both)
	r.bucket.used = max(0, r.bucket.used-both)
}

// work takes a visit into its room.
func (i *Identity) work(ctx context.Context, v Visit) (leave func(), err error) {
	which, who := i.roomOf(v)
	return i.effort.enter(ctx, which, who)
}

// roomOf is the room of a visit, and as whom it is counted there.
func (i *Identity) roomOf(v Visit) (which int, who string) {
	i.mu.RLock()
	e := i.cookies[hashOf(v.Cookie)]
	known := e != nil && e.device.revoked.IsZero()
	i.mu.RUnlock()
	switch {
	case known:
		return roomKnown, "device " + e.device.id
	case v.AtHome:
		return roomHome, guard.Network(v.Addr).String()
	}
	return roomOutside, guard.Network(v.Addr).String()
}

// misses bound what a known device can guess of the six digits of anybody, its own person
// too: it is let past a ban of its address and past its person's being slowed, and a script
// that runs in its page could try all of them. After missMax wrong ones its codes are refused
// for missFor, the next time for twice as long, and so on up to a day. A right one forgives
// nothing: a member could put their own between guesses at the owner's. A day without a
// wrong one forgives all. Passkeys and recovery codes go on. It is kept in memory: there are
// as many as known devices.
type misses struct {
	mu  sync.Mutex
	all map[string]*missed // by device
}

type missed struct {
	n     int // wrong ones since it was last refused
	level int // how often it was
	last  time.Time
	until time.Time
}

const (
	missMax  = 5
	missFor  = 10 * time.Minute
	missMost = 24 * time.Hour
)

// shut reports whether a device's codes are refused now.
func (m *misses) shut(device string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.all[device]
	return d != nil && now.Before(d.until)
}

// miss counts a wrong code of a device.
func (m *misses) miss(device string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = make(map[string]*missed)
	}
	d := m.all[device]
	if d == nil || now.Sub(d.last) > missMost && now.Sub(d.until) > missMost {
		d = &missed{}
		m.all[device] = d
	}
	d.last = now
	if now.Before(d.until) {
		return
	}
	if d.n++; d.n >= missMax {
		d.n, d.until = 0, now.Add(min(missFor<<d.level, missMost))
		d.level = min(d.level+1, 16)
	}
}

// tidy forgets devices that have been quiet for long.
func (m *misses) tidy(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for device, d := range m.all {
		if now.Sub(d.last) > missMost && now.Sub(d.until) > missMost {
			delete(m.all, device)
		}
	}
}
