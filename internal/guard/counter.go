package guard

import (
	"math"
	"time"
)

// calm is how long a source or an account must be quiet for one doubling to be taken back.
const calm = 24 * time.Hour

// mark is a failure, or what else is counted, as little of it as can be.
type mark struct {
	at     time.Duration
	from   uint64 // which /64 or IPv4 address it came from
	weight int    // of a strike
}

// counter is what is counted of a source, a prefix or an account. Times are those
// that the guard has been running.
type counter struct {
	recent []mark        // failures within the window, newest last; no more than it takes to be acted on
	empty  time.Duration // when the long count will be down to nothing
	last   time.Duration // last failure
	level  int           // how many doublings the next ban takes, as of last
	since  time.Duration // begin and
	until  time.Duration // end of the ban, or of being slow
	held   int           // the doublings of that
}

// count takes a failure down. keep is how many are remembered at most.
func (c *counter) count(m mark, window time.Duration, keep int) {
	c.level = c.levelAt(m.at)
	c.recent = append(young(c.recent, m.at, window), m)
	c.recent = c.recent[max(0, len(c.recent)-keep):]
	c.last = m.at
}

// young returns the marks that still count.
func young(marks []mark, t, window time.Duration) []mark {
	for len(marks) > 0 && t-marks[0].at >= window {
		marks = marks[1:]
	}
	return marks
}

// countLong takes a failure into the long count, which loses one every cost.
func (c *counter) countLong(t, cost time.Duration, most int) {
	c.empty = min(max(c.empty, t)+cost, t+time.Duration(most)*cost)
}

// long returns the long count.
func (c *counter) long(t, cost time.Duration) int {
	return int(math.Ceil(float64(max(0, c.empty-t)) / float64(cost)))
}

// ease takes failures off the long count.
func (c *counter) ease(t, cost time.Duration, n int) {
	c.empty = max(t, c.empty-time.Duration(n)*cost)
}

// distinct returns how many sources marks came from, as far as that matters.
func distinct(marks []mark, enough int) int {
	var seen []uint64
marks:
	for _, m := range marks {
		for _, s := range seen {
			if s == m.from {
				continue marks
			}
		}
		if seen = append(seen, m.from); len(seen) == enough {
			break
		}
	}
	return len(seen)
}

// shut reports whether it is acted on now.
func (c *counter) shut(t time.Duration) bool { return t < c.until }

// close acts on it: from now, for first, doubled as often as it was before, and at most for longest.
func (c *counter) close(t, first, longest time.Duration) {
	c.held = c.levelAt(t)
	c.recent, c.since, c.until = nil, t, t+span(c.held, first, longest)
	c.level = min(c.held+1, top(first, longest))
}

// levelAt returns the level that is left after a quiet time.
func (c *counter) levelAt(t time.Duration) int {
	return max(0, c.level-int(max(0, t-max(c.last, c.until))/calm))
}

// span returns how long a ban of a level takes.
func span(level int, first, longest time.Duration) time.Duration {
	if level >= top(first, longest) {
		return longest
	}
	return first << level
}

// top returns the first level that takes the longest time.
func top(first, longest time.Duration) (level int) {
	for first < longest {
		level++
		if first > longest/2 {
			break
		}
		first <<= 1
	}
	return level
}
