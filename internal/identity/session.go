package identity

import (
	"cmp"
	"context"
	"crypto/sha256"
	"net/netip"
	"slices"
	"sync"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
)

// Recognise says whose cookie this is. It reads memory alone, and notes that the
// session was used.
func (i *Identity) Recognise(cookie string) Recognised {
	if len(cookie) != cookieLen {
		return Recognised{}
	}
	var b [cookieLen]byte
	copy(b[:], cookie)
	h := hash(sha256.Sum256(b[:]))
	now := i.cfg.Now()
	i.mu.RLock()
	defer i.mu.RUnlock()
	e, ok := i.cookies[h]
	if !ok {
		return Recognised{}
	}
	p, d := e.device.person, e.device
	r := Recognised{Standing: StandingEnded, Session: e.id, Who: policy.Who{Person: p.id, Name: p.name, Role: p.role,
		Device: d.id, Kind: d.kind, HAUser: p.haID, Revoked: !d.revoked.IsZero()}}
	if n := e.notice.Load(); n != nil {
		r.Notice = *n
	}
	if !i.live(e, now) {
		return r
	}
	r.Standing, r.Who.Proof = StandingLive, policy.ProofDevice
	if now.UnixMilli() < e.fresh.Load() {
		r.Who.Proof = policy.ProofFresh
	}
	e.use(now)
	return r
}

// live reports whether a session is one, now.
func (i *Identity) live(e *session, now time.Time) bool {
	return e.ended.IsZero() && e.device.revoked.IsZero() && now.Before(i.expires(e))
}

// expires returns when a session ends if it is not used again.
func (i *Identity) expires(e *session) time.Time {
	idle := ledger.Instant(e.seen.Load()).Add(i.cfg.SessionIdle)
	if end := e.created.Add(i.cfg.SessionMax); end.Before(idle) {
		return end
	}
	return idle
}

// use notes that a session was used. Times within a second are not told apart, so
// that requests of one page do not fight over a cache line.
func (e *session) use(now time.Time) {
	n := now.UnixMilli()
	if n-e.seen.Load() >= 1000 {
		e.seen.Store(n)
	}
	if n-e.device.seen.Load() >= 1000 {
		e.device.seen.Store(n)
	}
}

// Seen notes where a session was last used from: the door and the address. It reports
// whether that is worth telling: it is another place, or a minute has passed.
func (i *Identity) Seen(session string, door policy.Door, addr netip.Addr) bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	e, ok := i.sessions[session]
	if !ok {
		return false
	}
	moved := e.device.at(door, addr)
	return e.device.tell(moved, i.cfg.Now())
}

// at notes where a device is; true where it is another place than before.
func (d *device) at(door policy.Door, addr netip.Addr) bool {
	here := place{addr, door}
	if *d.where.Load() == here {
		return false
	}
	d.where.Store(&here)
	return true
}

// tell reports whether where a device is should be told on: at once where it has moved,
// but once a second at most (it may use two addresses in turn), and else every minute.
func (d *device) tell(moved bool, now time.Time) bool {
	every := time.Minute
	if moved || d.moved.Load() {
		every = time.Second
	}
	last, n := d.told.Load(), now.UnixMilli()
	if n-last < every.Milliseconds() && n >= last {
		if moved {
			d.moved.Store(true)
		}
		return false
	}
	if !d.told.CompareAndSwap(last, n) {
		return false
	}
	d.moved.Store(false)
	return true
}

// ownSession returns the live session of a visit's cookie. The caller holds writing or mu.
func (i *Identity) ownSession(v Visit) *session {
	e := i.cookies[hashOf(v.Cookie)]
	if e == nil || !i.live(e, i.cfg.Now()) {
		return nil
	}
	return e
}

// SetNotice leaves a word for a session's next page; see Recognised. It is not kept
// over a restart.
func (i *Identity) SetNotice(session, notice string) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if e, ok := i.sessions[session]; ok {
		e.notice.Store(&notice)
	}
}

// ClearNotice takes the word back.
func (i *Identity) ClearNotice(session string) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if e, ok := i.sessions[session]; ok {
		e.notice.Store(nil)
	}
}

// Sessions returns every session that is remembered, the last used first.
func (i *Identity) Sessions() []SessionInfo {
	i.mu.RLock()
	defer i.mu.RUnlock()
	now := i.cfg.Now()
	all := make([]SessionInfo, 0, len(i.sessions))
	for _, e := range i.sessions {
		info := SessionInfo{ID: e.id, DeviceID: e.device.id, DeviceName: e.device.name, PersonName: e.device.person.name,
			Created: e.created, LastSeen: ledger.Instant(e.seen.Load()), Expires: i.expires(e), Ended: e.ended}
		if info.Ended.IsZero() && !i.live(e, now) {
			info.Ended = info.Expires
		}
		all = append(all, info)
	}
	slices.SortFunc(all, func(a, b SessionInfo) int { return cmp.Or(b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.ID, b.ID)) })
	return all
}

// SignOut ends the session of a cookie, if it has one.
func (i *Identity) SignOut(ctx context.Context, cookie string) error {
	i.writing.Lock()
	e := i.cookies[hashOf(cookie)]
	i.writing.Unlock()
	if e == nil {
		return nil
	}
	return i.end(ctx, e, event.SignedOut)
}

// EndSession ends a session; ErrNotFound if there is none of this id.
func (i *Identity) EndSession(ctx context.Context, id string) error {
	i.writing.Lock()
	e := i.sessions[id]
	i.writing.Unlock()
	if e == nil {
		return ErrNotFound
	}
	return i.end(ctx, e, event.SessionEnded)
}

// end ends a session for good; one that has ended is left alone.
func (i *Identity) end(ctx context.Context, e *session, why event.Kind) error {
	i.writing.Lock()
	if !e.ended.IsZero() {
		i.writing.Unlock()
		return nil
	}
	now := i.cfg.Now()
	err := i.change(ctx, func(tx *ledger.Tx) error { return writeEnded(tx, e, now) }, func() { e.ended = now })
	i.writing.Unlock()
	if err != nil {
		return err
	}
	i.emit(why, nil, e.device.person, e.device.id, "")
	i.watchers.tell(Ended{Device: e.device.id, Session: e.id})
	return nil
}

func writeEnded(tx *ledger.Tx, e *session, at time.Time) error {
	_, err := tx.Exec(`UPDATE sessions SET ended = $1 WHERE id = $2 AND ended = 0`, ledger.Millis(at), e.id)
	return err
}

// watchers are told of what ended, after the ledger has it.
type watchers struct {
	mu   sync.Mutex
	next int
	all  map[int]func(Ended)
	keys map[int]func()
}

// Watch has f called for each session and key that ends and each device that is revoked,
// after the ledger has it and nobody is recognised by it any more. f is called by
// whoever ended it and must not wait. stop ends the watch; a call that has begun
// may still be running when it returns.
func (i *Identity) Watch(f func(Ended)) (stop func()) {
	w := &i.watchers
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = make(map[int]func(Ended))
	}
	id := w.next
	w.next++
	w.all[id] = f
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all, id)
	}
}

func (w *watchers) tell(e Ended) {
	w.mu.Lock()
	all := make([]func(Ended), 0, len(w.all))
	for _, f := range w.all {
		all = append(all, f)
	}
	w.mu.Unlock()
	for _, f := range all {
		f(e)
	}
	if e.Session == "" {
		w.tellKeys()
	}
}

// SetDeviceNotice leaves a notice for every session of a device.
func (i *Identity) SetDeviceNotice(device, notice string) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	d, ok := i.devices[device]
	if !ok {
		return
	}
	for _, e := range d.sessions {
		e.notice.Store(&notice)
	}
}
