package gateway

import (
	"sync"

	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// live knows every connection that outlasts a moment, so that the end of a device
// or a session ends them too: sockets, streams, long downloads.
type live struct {
	mu   sync.Mutex
	next uint64
	all  map[uint64]lasting
}

type lasting struct {
	device, session string
	key             policy.Key // that its connection has shown; zero without one
	open            bool       // was let in because everybody was
	end             func()
}

func newLive() *live { return &live{all: make(map[uint64]lasting)} }

// put registers something lasting; its end is called at most once, from any goroutine,
// and must not block. remove takes it out again.
func (l *live) put(x lasting) (remove func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	id := l.next
	l.all[id] = x
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.all, id)
	}
}

// end ends what belongs to an ended session or key, or to a whole device.
func (l *live) end(e identity.Ended) {
	l.endIf(func(x lasting) bool {
		return x.device != "" && x.device == e.Device && (e.Session == "" || x.session == e.Session) && (e.Key == policy.Key{} || x.key == e.Key)
	})
}

func (l *live) endAll() { l.endIf(func(lasting) bool { return true }) }

func (l *live) endIf(match func(lasting) bool) {
	l.mu.Lock()
	var ends []func()
	for id, x := range l.all {
		if match(x) {
			ends = append(ends, x.end)
			delete(l.all, id)
		}
	}
	l.mu.Unlock()
	for _, end := range ends {
		end()
	}
}

func (l *live) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.all)
}
