package guard

import (
	"container/list"
	"time"
)

// counter is what is remembered of one source or account.
type counter struct {
	times []time.Time // failures within the window, oldest first; shorter than the threshold
	last  time.Time   // last failure
	until time.Time   // end of the ban, or of being slow
	level int         // how often an account was slowed, less what it was quiet for
}

// fail counts a failure; true where it was one too many, and then the counter
// is shut for the time given.
func (c *counter) fail(now time.Time, cfg Config, shut time.Duration) bool {
	kept := c.times[:0]
	for _, t := range c.times {
		if now.Sub(t) < cfg.Window {
			kept = append(kept, t)
		}
	}
	c.times, c.last = append(kept, now), now
	if len(c.times) < cfg.Threshold {
		return false
	}
	c.times, c.until = nil, now.Add(shut)
	return true
}

// levelAt returns the level that is left after a quiet time.
func (c *counter) levelAt(now time.Time) int {
	quietSince := c.last
	if c.until.After(quietSince) {
		quietSince = c.until
	}
	return max(0, c.level-int(max(0, now.Sub(quietSince))/calm))
}

// counters is a bounded set of counters. The one touched longest ago goes first.
type counters[K comparable] struct {
	max   int
	byKey map[K]*list.Element // of *entry[K]
	age   *list.List          // most recently counted first
}

type entry[K comparable] struct {
	key     K
	counter *counter
}

func newCounters[K comparable](max int) *counters[K] {
	return &counters[K]{max: max, byKey: make(map[K]*list.Element), age: list.New()}
}

// peek returns a counter that exists.
func (s *counters[K]) peek(key K) (*counter, bool) {
	e, ok := s.byKey[key]
	if !ok {
		return nil, false
	}
	return e.Value.(*entry[K]).counter, true
}

// get returns a counter, new if need be, and marks it as just used.
func (s *counters[K]) get(key K, now time.Time) *counter {
	if e, ok := s.byKey[key]; ok {
		s.age.MoveToFront(e)
		return e.Value.(*entry[K]).counter
	}
	for len(s.byKey) >= s.max {
		s.evict(now)
	}
	c := &counter{}
	s.byKey[key] = s.age.PushFront(&entry[K]{key, c})
	return c
}

// look bounds how far an eviction searches for somebody who is not shut out.
const look = 64

// evict forgets one counter: of those quiet longest the first that is not shut
// out, or the very oldest if all of them are. Those passed over are moved to the
// front, so that the next eviction does not meet them again.
func (s *counters[K]) evict(now time.Time) {
	for range look {
		e := s.age.Back()
		if !now.Before(e.Value.(*entry[K]).counter.until) {
			break
		}
		s.age.MoveToFront(e)
	}
	s.drop(s.age.Back().Value.(*entry[K]).key)
}

func (s *counters[K]) drop(key K) {
	if e, ok := s.byKey[key]; ok {
		s.age.Remove(e)
		delete(s.byKey, key)
	}
}
