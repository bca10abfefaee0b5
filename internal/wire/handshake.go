package wire

import (
	"context"
	"net"
	"sync"
	"time"
)

// HandshakeListener is for protocols whose handshake others make. It gives out connections
// that have one behind them, and holds those that have not by the same limits as a
// TLSListener does.
type HandshakeListener struct {
	*porter
	threshold
}

// ListenHandshake makes a HandshakeListener over inner. shake makes a connection's handshake
// and returns what Accept shall, or says why there is none; "" is nothing to tell. It starts
// nothing: the first Accept does. Admit of the options is not asked, and HelloTimeout holds
// until the Shaking has met its client.
func ListenHandshake(inner net.Listener, opt TLSOptions, shake func(*Shaking) (net.Conn, Reason)) *HandshakeListener {
	opt = opt.withDefaults()
	l := &HandshakeListener{threshold: newThreshold(opt)}
	l.porter = newPorter(inner, l.threshold.pending())
	l.judge, l.refused = l.judgeSource, opt.Refused
	l.ready = func(ctx context.Context, c net.Conn, p *place) (net.Conn, Reason) {
		s := &Shaking{Conn: c, turns: l.turns, place: p, ctx: ctx, until: time.Now().Add(opt.HelloTimeout), rest: opt.HandshakeTimeout}
		if c.SetDeadline(s.until) != nil {
			return nil, ReasonHandshake
		}
		defer s.over()
		return shake(s)
	}
	return l
}

// Shaking is a connection in its handshake, which may be made by several goroutines of
// which one at a time computes. From what it reads until it reads again, or writes, it has
// its turn (see turns): so many are computed at one time and no more.
type Shaking struct {
	net.Conn
	turns *turns
	place *place
	ctx   context.Context
	rest  time.Duration // for what comes after Met

	mu    sync.Mutex
	until time.Time
	has   bool
	ended bool
}

// Met says that both ends have agreed on keys: what is left waits for a person, perhaps.
func (s *Shaking) Met() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.until = time.Now().Add(s.rest)
	_ = s.Conn.SetDeadline(s.until) // of one that is closed: its next read says so
	s.place.wait(queueSlow)
}

// Done says that the handshake is made. From now on this is the plain connection.
func (s *Shaking) Done() error {
	s.over()
	return s.Conn.SetDeadline(time.Time{})
}

func (s *Shaking) over() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.give()
}

// give gives the turn back. The caller holds mu.
func (s *Shaking) give() {
	if s.has {
		s.has = false
		s.turns.give()
	}
}

// Read waits for the client without a turn, and then for the turn.
func (s *Shaking) Read(p []byte) (int, error) {
	s.pause()
	n, err := s.Conn.Read(p)
	if err != nil {
		return n, err
	}
	return n, s.take()
}

// take waits for the turn.
func (s *Shaking) take() error {
	s.mu.Lock()
	until, ended := s.until, s.ended || s.has
	s.mu.Unlock()
	if ended {
		return nil
	}
	if err := s.turns.take(s.ctx, s.place.source.rank, until); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.has {
		s.turns.give()
		return nil
	}
	s.has = true
	return nil
}

// Write is the last that is done of an answer; what follows waits for the client.
func (s *Shaking) Write(p []byte) (int, error) {
	s.pause()
	return s.Conn.Write(p)
}

func (s *Shaking) pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.give()
}

// NetConn is the connection below.
func (s *Shaking) NetConn() net.Conn { return s.Conn }
