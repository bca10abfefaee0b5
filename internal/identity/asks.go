package identity

import (
	"net/netip"
	"sync"
	"time"
)

// Bounds of the questions that are open at once.
const (
	askFor         = 5 * time.Minute
	maxAsks        = 16
	maxAsksOutside = 12 // of these, from outside of home
	maxAsksSource  = 2  // of one address, or of one /64
)

// ask is a browser that waits for a known device's word.
type ask struct {
	id      string
	ticket  hash
	code    string
	number  int
	visit   Visit
	source  netip.Addr
	asked   time.Time
	expires time.Time
	state   ApprovalState
	taken   bool    // somebody approves it at this moment
	device  *device // once approved
}

// asks are the open questions. An answered one stays until its browser has heard
// the answer or it runs out, and keeps its place so long.
type asks struct {
	mu  sync.Mutex
	all map[string]*ask // by id
}

// add takes a question in if there is room for it; what has run out makes room.
func (s *asks) add(q *ask, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[string]*ask)
	}
	open, outside, same := 0, 0, 0
	for _, other := range s.all {
		if other.over(now) {
			continue
		}
		open++
		if !other.visit.AtHome {
			outside++
		}
		if other.source == q.source {
			same++
		}
	}
	if open >= maxAsks || same >= maxAsksSource || !q.visit.AtHome && outside >= maxAsksOutside {
		return false
	}
	q.id = newID(s.all)
	s.all[q.id] = q
	return true
}

// over reports whether a question ran out.
func (q *ask) over(now time.Time) bool { return !now.Before(q.expires) }

func (s *asks) byTicket(h hash, now time.Time) *ask {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.all {
		if q.ticket == h && !q.over(now) {
			return q
		}
	}
	return nil
}

func (s *asks) stateOf(q *ask) ApprovalState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return q.state
}

// drop forgets a question; false where somebody else did.
func (s *asks) drop(q *ask) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.all[q.id]
	delete(s.all, q.id)
	return ok
}

// putBack takes a question in again whose browser could not be answered.
func (s *asks) putBack(q *ask) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[q.id] = q
}

// answer settles the one waiting question that match is true of, as verdict says,
// and returns it and the verdict; nil if there is none. An approved question waits
// on, for its browser, until it is granted.
func (s *asks) answer(now time.Time, match func(*ask) bool, verdict func(*ask) ApprovalState) (*ask, ApprovalState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.all {
		if !match(q) || q.state != ApprovalWaiting || q.over(now) || q.taken {
			continue
		}
		to := verdict(q)
		if to == ApprovalApproved {
			q.taken = true
		} else {
			q.state = to
		}
		return q, to
	}
	return nil, ApprovalGone
}
