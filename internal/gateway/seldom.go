package gateway

import (
	"sync"
	"time"
)

// unansweredEvery is how often it is said, at most, that Home Assistant does not answer:
// while it is away every dashboard asks again and again, and in an open house anybody can.
const unansweredEvery = 10 * time.Second

// seldom keeps what may happen thousands of times a second from being said as often. Its
// zero value has said nothing yet.
type seldom struct {
	mu   sync.Mutex
	next time.Time // from then on it is said again
	held int       // how often it was not said since
}

// says reports whether something that happens now is said, and how often it happened
// since it was said last.
func (s *seldom) says(now time.Time, every time.Duration) (held int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.next) && s.next.Sub(now) <= every {
		s.held++
		return 0, false
	}
	held, s.held, s.next = s.held, 0, now.Add(every)
	return held, true
}
