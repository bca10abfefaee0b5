package hatest

import (
	"sync"
	"time"
)

// event is something that happened in the home.
type event struct {
	kind          string
	data          object
	origin        string // LOCAL or REMOTE
	at            time.Time
	context       object
	before, after *state // of a state_changed; after is nil when the entity went
}

// json is the event as Home Assistant says it.
func (e event) json() object {
	return object{"event_type": e.kind, "data": e.data, "origin": e.origin, "time_fired": stamp(e.at), "context": e.context}
}

// bus tells events to whoever listens.
type bus struct {
	mu        sync.Mutex
	next      int
	listeners map[int]func(event)
}

// listen calls fn for each event until stop is called. fn must not wait, nor
// call back into the home.
func (b *bus) listen(fn func(event)) (stop func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listeners == nil {
		b.listeners = map[int]func(event){}
	}
	b.next++
	id := b.next
	b.listeners[id] = fn
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.listeners, id)
	}
}

// fire tells everybody, in the order of firing.
func (b *bus) fire(e event) {
	if e.origin == "" {
		e.origin = "LOCAL"
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, fn := range b.listeners {
		fn(e)
	}
}

// counts is how many listen, for GET /api/events.
func (b *bus) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.listeners)
}

// context is who and what caused something; user may be nil.
func (h *Home) context(u *user) object {
	c := object{"id": ulid(h.now()), "parent_id": nil, "user_id": nil}
	if u != nil {
		c["user_id"] = u.id
	}
	return c
}

// ulid is an id of a context: the time in milliseconds, then chance.
func ulid(at time.Time) string {
	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	id := make([]byte, 26)
	ms := at.UnixMilli()
	for i := 9; i >= 0; i-- {
		id[i] = digits[ms&31]
		ms >>= 5
	}
	chance := hexID(16)
	for i := range 16 {
		id[10+i] = digits[(hexDigit(chance[2*i])<<4|hexDigit(chance[2*i+1]))&31]
	}
	return string(id)
}

func hexDigit(c byte) int {
	if c <= '9' {
		return int(c - '0')
	}
	return int(c-'a') + 10
}

// stamp is a time as Python's isoformat says it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000+00:00") }

// epoch is a time in seconds with microseconds.
func epoch(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
