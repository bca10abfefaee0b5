package wire

import (
	"container/list"
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// rank says whose turn comes first.
type rank int

// The ranks. The highest comes first.
const (
	rankOften    rank = iota
	rankSeldom        // comes seldom
	rankFavoured      // where a known device was lately
	ranks
)

// turns bound how many handshakes are computed at one time. Each costs some hundred
// microseconds; a flood of them takes so many processors and no more.
type turns struct {
	mu    sync.Mutex
	free  int
	queue [ranks]list.List // of chan struct{}, closed when the turn has come
}

func newTurns(n int) *turns { return &turns{free: n} }

// errNoTurn means that a turn did not come in time, or that nobody waits for it any more.
var errNoTurn = errors.New("wire: no turn")

// take waits for a turn, to be given back with give.
func (t *turns) take(ctx context.Context, r rank, until time.Time) error {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return nil
	}
	come := make(chan struct{})
	e := t.queue[r].PushBack(come)
	t.mu.Unlock()
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	err := errNoTurn
	select {
	case <-come:
		return nil
	case <-timer.C:
		err = os.ErrDeadlineExceeded
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-come: // in this moment
		t.next()
	default:
		t.queue[r].Remove(e)
	}
	return err
}

// give gives a turn back.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next()
}

// next gives a turn to whoever waits for one. The caller holds mu.
func (t *turns) next() {
	for r := ranks - 1; r >= 0; r-- {
		if e := t.queue[r].Front(); e != nil {
			close(t.queue[r].Remove(e).(chan struct{}))
			return
		}
	}
	t.free++
}

// turnConn is a connection below a handshake. It has its turn while that computes, and
// gives it back as long as it waits for its client: for what that takes, or for what it
// sends next. Only the goroutine of the handshake uses it.
type turnConn struct {
	net.Conn // gives the ClientHello once more
	turns    *turns
	rank     rank
	ctx      context.Context
	until    time.Time
	has      bool
}

func (c *turnConn) take() error {
	if c.has {
		return nil
	}
	err := c.turns.take(c.ctx, c.rank, c.until)
	c.has = err == nil
	return err
}

func (c *turnConn) give() {
	if c.has {
		c.has = false
		c.turns.give()
	}
}

func (c *turnConn) Read(p []byte) (int, error) {
	if r, ok := c.Conn.(*replayConn); !ok || len(r.unread) == 0 {
		c.give()
	}
	n, err := c.Conn.Read(p)
	if err != nil {
		return n, err
	}
	return n, c.take()
}

// Write is the last that is done of an answer; what follows waits for the client.
func (c *turnConn) Write(p []byte) (int, error) {
	c.give()
	return c.Conn.Write(p)
}

// NetConn is the connection below.
func (c *turnConn) NetConn() net.Conn { return c.Conn }
