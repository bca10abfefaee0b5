package guard

import (
	"container/heap"
	"container/list"
	"time"
)

// entry is one source, prefix or account that is remembered.
type entry[K comparable] struct {
	key K
	counter
	struck []mark // of a prefix: what in it was banned within a day

	d *details // of a source or prefix; of an account once it was slowed

	in   *list.List // fresh or scored; nil while it is shut
	at   *list.Element
	heap int // its place among the shut
}

// table is a bounded set of entries, in three parts: those on which nothing
// weighs (fresh), those that were acted on before or are being watched (scored),
// and those that are shut. A flood of new ones takes the place of fresh ones, never
// of the others, unless fresh ones have less than a quarter of the table.
type table[K comparable] struct {
	max    int
	by     map[K]*entry[K]
	fresh  *list.List // last touched first
	scored *list.List // likewise
	shut   shutHeap[K]
	gone   func(*entry[K]) // told of whoever was forgotten
}

func newTable[K comparable](max int, gone func(*entry[K])) *table[K] {
	return &table[K]{max: max, by: map[K]*entry[K]{}, fresh: list.New(), scored: list.New(), gone: gone}
}

// get returns an entry, new if need be, and marks it as just touched.
func (s *table[K]) get(key K, t time.Duration) *entry[K] {
	e := s.by[key]
	if e == nil {
		s.room(t)
		e = &entry[K]{key: key}
		s.by[key] = e
	}
	s.file(e, t)
	return e
}

// file puts an entry where it belongs after it was touched.
func (s *table[K]) file(e *entry[K], t time.Duration) {
	if s.by[e.key] != e {
		return // it was forgotten meanwhile
	}
	if !e.counter.shut(t) {
		s.take(e)
		e.in = s.fresh
		if e.level > 0 || len(e.struck) > 0 {
			e.in = s.scored
		}
		e.at = e.in.PushFront(e)
		return
	}
	if s.isShut(e) {
		heap.Fix(&s.shut, e.heap)
		return
	}
	s.take(e)
	heap.Push(&s.shut, e)
}

// isShut reports whether an entry stands among the shut. Its time may be over.
func (s *table[K]) isShut(e *entry[K]) bool {
	return e.heap < len(s.shut) && s.shut[e.heap] == e
}

// take takes an entry out of where it stands.
func (s *table[K]) take(e *entry[K]) {
	switch {
	case e.in != nil:
		e.in.Remove(e.at)
		e.in, e.at = nil, nil
	case s.isShut(e):
		heap.Remove(&s.shut, e.heap)
	}
}

// expire files those whose time is over among the others.
func (s *table[K]) expire(t time.Duration) {
	for len(s.shut) > 0 && !s.shut[0].counter.shut(t) {
		s.file(s.shut[0], t)
	}
}

// room forgets somebody if the table is full: of the fresh, as long as they have
// more than a quarter of it, or else of the scored, whoever was touched longest
// ago; or else the one whose ban ends first.
func (s *table[K]) room(t time.Duration) {
	if s.expire(t); len(s.by) < s.max {
		return
	}
	switch {
	case s.fresh.Len() > s.max/4:
		s.drop(s.fresh.Back().Value.(*entry[K]))
	case s.scored.Len() > 0:
		s.drop(s.scored.Back().Value.(*entry[K]))
	default:
		s.drop(s.shut[0])
	}
}

// drop forgets an entry.
func (s *table[K]) drop(e *entry[K]) {
	s.take(e)
	delete(s.by, e.key)
	s.gone(e)
}

// crowded reports whether bans take half of the table.
func (s *table[K]) crowded() bool { return len(s.shut) > s.max/2 }

// shutHeap orders entries by the end of their ban.
type shutHeap[K comparable] []*entry[K]

func (h shutHeap[K]) Len() int           { return len(h) }
func (h shutHeap[K]) Less(i, j int) bool { return h[i].until < h[j].until }
func (h shutHeap[K]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heap, h[j].heap = i, j
}

// Push is for container/heap.
func (h *shutHeap[K]) Push(x any) {
	e := x.(*entry[K])
	e.heap = len(*h)
	*h = append(*h, e)
}

// Pop is for container/heap.
func (h *shutHeap[K]) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return e
}
