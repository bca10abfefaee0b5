package wire

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

// gather is a connection below TLS. From begin on, what is written in quick succession
// goes out at once: net/http flushes the head and the body of each answer of HTTP/2 by
// themselves, and a system call costs more than all else that is done for either. What
// is written waits for no longer than the scheduler needs to let others run.
//
// Whoever writes hears of an error with the next write; the connection is closed then.
type gather struct {
	net.Conn

	mu       sync.Mutex
	moved    sync.Cond // on mu: something of pending was written, or the connection has ended
	timeout  time.Duration
	pending  []byte
	spare    []byte
	flushing bool
	closing  bool
	err      error
}

const (
	// gatherMax bounds what waits, in bytes; more has to wait until that is written.
	gatherMax = 64 << 10
	// gatherLast is how long what was written before a close may still take.
	gatherLast = 5 * time.Second
)

func newGather(c net.Conn) *gather {
	g := &gather{Conn: c}
	g.moved.L = &g.mu
	return g
}

// NetConn is the connection below, for whoever needs to know its kind.
func (g *gather) NetConn() net.Conn { return g.Conn }

// begin begins to gather. A client that takes nothing for timeout loses its connection.
func (g *gather) begin(timeout time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.timeout = timeout
}

// Write takes p, to be written in a moment.
func (g *gather) Write(p []byte) (int, error) {
	g.mu.Lock()
	if g.timeout == 0 {
		g.mu.Unlock()
		return g.Conn.Write(p)
	}
	defer g.mu.Unlock()
	for len(g.pending) >= gatherMax && g.err == nil {
		g.moved.Wait()
	}
	if g.err != nil {
		return 0, g.err
	}
	g.pending = append(g.pending, p...)
	if !g.flushing {
		g.flushing = true
		go g.flush()
	}
	return len(p), nil
}

// flush writes what is pending, until nothing is.
func (g *gather) flush() {
	runtime.Gosched() // what belongs to it is on its way
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.pending) > 0 && g.err == nil {
		out := g.pending
		g.pending, g.spare = g.spare[:0], nil
		timeout := g.timeout
		if g.closing {
			timeout = gatherLast
		}
		g.mu.Unlock()
		err := writeAll(g.Conn, out, timeout)
		g.mu.Lock()
		if cap(out) <= 2*gatherMax {
			g.spare = out[:0]
		}
		if err != nil && g.err == nil {
			g.err = err
			_ = g.Conn.Close() // so that whoever reads hears of it, too
		}
		g.moved.Broadcast()
	}
	g.flushing = false
	if g.closing {
		if g.err == nil {
			g.err = net.ErrClosed
		}
		_ = g.Conn.Close()
	}
}

// writeAll writes everything, as long as something is taken now and then.
func writeAll(c net.Conn, p []byte, timeout time.Duration) error {
	for len(p) > 0 {
		if err := c.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
		n, err := c.Write(p)
		if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return err
		}
		p = p[n:]
	}
	return nil
}

// Close closes the connection, after what was written.
func (g *gather) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closing = true
	if g.flushing && g.err == nil {
		return g.Conn.SetWriteDeadline(time.Now().Add(gatherLast)) // flush closes it
	}
	if g.err == nil {
		g.err = net.ErrClosed
	}
	g.moved.Broadcast()
	return g.Conn.Close()
}

// SetDeadline is for reading alone, once it gathers: how long a write may take flush says.
func (g *gather) SetDeadline(t time.Time) error {
	if g.gathers() {
		return g.SetReadDeadline(t)
	}
	return g.Conn.SetDeadline(t)
}

// SetWriteDeadline does nothing once it gathers.
func (g *gather) SetWriteDeadline(t time.Time) error {
	if g.gathers() {
		return nil
	}
	return g.Conn.SetWriteDeadline(t)
}

func (g *gather) gathers() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.timeout > 0
}
