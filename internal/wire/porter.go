package wire

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// porter takes connections from a listener, makes each ready in a goroutine of its own,
// and gives out those that are: one that is slow never holds up another. Whoever is
// refused is dropped without a byte.
type porter struct {
	inner   net.Listener
	pending *crowd
	// judge is asked of a connection before anything of it is read.
	judge func(c net.Conn) (source, Reason)
	// ready makes a connection ready, or says why not; "" is nothing to tell. ctx ends when it has to give way,
	// and with the listener; the connection is then closed.
	ready func(ctx context.Context, c net.Conn, p *place) (net.Conn, Reason)
	// refused is told of those that were not. May be nil.
	refused func(remote net.Addr, reason string)

	start   sync.Once
	out     chan net.Conn
	failed  chan struct{} // closed when inner fails; err says how
	err     error
	ctx     context.Context // ends with Close
	end     context.CancelFunc
	closing sync.Once

	mu    sync.Mutex
	conns map[net.Conn]struct{} // those that are being made ready; nil once closed
	wg    sync.WaitGroup
}

func newPorter(inner net.Listener, pending *crowd) *porter {
	ctx, end := context.WithCancel(context.Background())
	return &porter{inner: inner, pending: pending, out: make(chan net.Conn), failed: make(chan struct{}),
		ctx: ctx, end: end, conns: make(map[net.Conn]struct{})}
}

// Accept waits for the next connection that is ready.
func (l *porter) Accept() (net.Conn, error) {
	l.start.Do(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.conns != nil {
			l.wg.Go(l.acceptAll)
		}
	})
	select {
	case c := <-l.out:
		return c, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	case <-l.failed:
		return nil, l.err
	}
}

// Addr is the inner listener's.
func (l *porter) Addr() net.Addr { return l.inner.Addr() }

// Close ends the inner listener and all that is being made ready, and waits for it.
// Connections that Accept returned stay.
func (l *porter) Close() error {
	err := net.ErrClosed
	l.closing.Do(func() {
		l.end()
		err = l.inner.Close()
		l.mu.Lock()
		conns := l.conns
		l.conns = nil
		l.mu.Unlock()
		for c := range conns {
			_ = c.Close()
		}
	})
	l.wg.Wait()
	return err
}

// acceptAll takes connections from inner until that fails for good.
func (l *porter) acceptAll() {
	pause := time.Duration(0)
	for {
		c, err := l.inner.Accept()
		if err != nil {
			if !l.passing(err) {
				l.err = err
				close(l.failed)
				return
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			if !l.sleep(pause) {
				return
			}
			continue
		}
		pause = 0
		l.admit(c)
	}
}

// passing reports whether an error of Accept goes away by itself, as too many
// open files do.
func (l *porter) passing(err error) bool {
	var ne net.Error
	//lint:ignore SA1019 for Accept it still means what it says, and net/http relies on it
	return l.ctx.Err() == nil && !errors.Is(err, net.ErrClosed) && errors.As(err, &ne) && ne.Temporary()
}

func (l *porter) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// admit begins to make a connection ready if it may come in and there is room.
func (l *porter) admit(c net.Conn) {
	s, reason := l.judge(c)
	if reason != "" {
		l.turnAway(c, reason)
		return
	}
	ctx, end := context.WithCancel(l.ctx)
	p, reason := l.pending.enter(s, func() { end(); _ = Drop(c) })
	if reason != "" {
		end()
		l.turnAway(c, reason)
		return
	}
	l.mu.Lock()
	if l.conns == nil {
		l.mu.Unlock()
		end()
		p.leave()
		_ = c.Close()
		return
	}
	l.conns[c] = struct{}{}
	l.wg.Add(1)
	l.mu.Unlock()
	go func() {
		defer l.wg.Done()
		defer end()
		defer p.leave()
		done, reason := l.ready(ctx, c, p)
		l.mu.Lock()
		delete(l.conns, c)
		l.mu.Unlock()
		if !p.work() {
			done, reason = nil, ReasonTooMany // closed already, for a newcomer
		}
		if done == nil {
			l.turnAway(c, reason)
			return
		}
		select {
		case l.out <- done:
		case <-l.ctx.Done():
			_ = c.Close()
		}
	}()
}

// turnAway closes a connection, the one below TLS: nothing is written, no alert either.
// Whoever counts is told first, so that who sees the end has been counted.
func (l *porter) turnAway(c net.Conn, reason Reason) {
	if l.refused != nil && reason != "" && !isLocal(c) {
		l.refused(c.RemoteAddr(), string(reason))
	}
	if reason == ReasonHandshake || reason == ReasonDifferentHello {
		_ = c.Close() // TLS has answered: an alert of its own may be on its way
	} else {
		_ = Drop(c)
	}
}

// Drop closes a connection of somebody who was refused before anything was answered. It
// is reset, whatever was sent and however much of it was read: a stranger who looks at
// how connections end cannot tell one refusal from another.
func Drop(c net.Conn) error {
	if tcp, ok := below[*net.TCPConn](c); ok {
		_ = tcp.SetLinger(0) // closed already, for a newcomer
	}
	return c.Close()
}
