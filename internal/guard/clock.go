package guard

import "time"

// leap is the longest step of a clock that is believed. Between two looks at it
// there are seconds, and after a restart days: a longer step is a clock that was
// set, and counts as one day, so that nobody is forgiven everything by it.
const leap = 30 * 24 * time.Hour

// clock turns the time that the guard is given into how long it has been running.
// That never goes backwards, whatever a wall clock does: a clock that was set back
// has stood still. Times that carry Go's monotonic reading are compared by it, and
// then a clock that is set is not noticed at all.
type clock struct {
	last time.Time
	ran  time.Duration
}

// read returns how long the guard has been running at a time.
func (c *clock) read(now time.Time) time.Duration {
	c.ran += believed(now.Sub(c.last))
	c.last = now
	return c.ran
}

// wall returns what the wall clock says, as it goes now, at some time of running.
func (c *clock) wall(at time.Duration) time.Time {
	return c.last.Round(0).Add(at - c.ran)
}

// believed returns how much of a step of the clock counts.
func believed(step time.Duration) time.Duration {
	switch {
	case step < 0:
		return 0
	case step > leap:
		return calm
	}
	return step
}
