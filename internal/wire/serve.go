package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// serving is one call of Serve.
type serving struct {
	*Server
	Limits Limits // with defaults; hides the Server's own
	ctx    context.Context
	date   atomic.Pointer[dateText]
	crowd  *crowd
	http2  *http2Side

	mu     sync.Mutex
	conns  map[net.Conn]*conn  // nil value: not HTTP/1.1, or not yet
	http2s map[net.Conn]*place // of those that speak HTTP/2, as net/http knows them
	wg     sync.WaitGroup
}

// Serve answers what comes in at l until ctx ends, then returns nil, or until l
// fails for good. It closes l. When ctx ends, requests' contexts end too, idle
// connections are closed, and after Limits.GraceTimeout all others; Serve returns
// when every handler has.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if s.Handler == nil {
		return errors.New("wire: serve: no handler")
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	sv := &serving{Server: s, Limits: s.Limits.withDefaults(), ctx: inner, conns: make(map[net.Conn]*conn), http2s: make(map[net.Conn]*place)}
	sv.crowd = newCrowd(sv.Limits.MaxConns, sv.Limits.MaxConnsPerAddr, 0)
	sv.http2 = newHTTP2Side(sv, l.Addr())
	told := sv.http2.server.ConnState
	sv.http2.server.ConnState = func(nc net.Conn, state http.ConnState) {
		sv.http2Is(nc, state)
		told(nc, state)
	}
	sv.wg.Go(sv.http2.run)
	stopped := context.AfterFunc(inner, func() { _ = l.Close() })
	defer stopped()
	err := sv.acceptAll(l)
	if ctx.Err() != nil {
		err = nil
	}
	cancel()
	_ = l.Close()
	sv.shutdown()
	return err
}

// acceptAll takes connections until l fails for good.
func (s *serving) acceptAll(l net.Listener) error {
	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err != nil {
			var ne net.Error
			//lint:ignore SA1019 for Accept it still means what it says, and net/http relies on it
			if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) || !errors.As(err, &ne) || !ne.Temporary() {
				return err
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(pause):
			case <-s.ctx.Done():
			}
			continue
		}
		pause = 0
		s.admit(nc)
	}
}

// admit serves a connection in a goroutine of its own, if there is room. Where there
// is none, the one that has been idle longest makes room.
func (s *serving) admit(nc net.Conn) {
	addr := addrOf(nc.RemoteAddr())
	p, reason := s.crowd.enter(source{addr: network(addr), many: isLocal(nc) || s.Proxies.TrustedProxy(addr)}, func() {
		_ = closeBelow(nc)
		s.refused(nc, ReasonTooMany)
	})
	if reason != "" {
		_ = closeBelow(nc)
		s.refused(nc, reason)
		return
	}
	s.mu.Lock()
	s.conns[nc] = nil
	s.mu.Unlock()
	s.wg.Go(func() {
		defer func() {
			s.mu.Lock()
			delete(s.conns, nc)
			s.mu.Unlock()
			p.leave()
		}()
		s.serveConn(nc, p)
	})
}

// closeBelow closes a connection without TLS saying goodbye.
func closeBelow(nc net.Conn) error {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn().Close()
	}
	return nc.Close()
}

// serveConn finds out what a connection speaks and answers it to its end.
func (s *serving) serveConn(nc net.Conn, p *place) {
	ctx := s.ctx
	if s.ConnContext != nil {
		ctx = s.ConnContext(ctx, nc)
	}
	c := &conn{s: s, nc: nc, place: p}
	var secure *tls.Conn
	switch t := nc.(type) {
	case *Conn:
		secure = t.Conn
	case *tls.Conn:
		secure = t
		if reason := s.handshake(ctx, t); reason != "" {
			_ = t.NetConn().Close()
			if !p.gaveWay() {
				s.refused(nc, reason)
			}
			return
		}
	}
	if secure != nil {
		state := secure.ConnectionState()
		switch c.tls = &state; state.NegotiatedProtocol {
		case "h2":
			s.serveHTTP2(ctx, secure, p)
			return
		case "", "http/1.1":
		default:
			_ = secure.NetConn().Close()
			s.refused(nc, ReasonHandshake)
			return
		}
	}
	s.mu.Lock()
	s.conns[nc] = c
	s.mu.Unlock()
	if s.ctx.Err() == nil {
		c.serve(ctx)
	} else {
		_ = nc.Close()
	}
}

// serveHTTP2 hands a connection to net/http and waits for its end.
func (s *serving) serveHTTP2(ctx context.Context, t *tls.Conn, p *place) {
	s.mu.Lock()
	s.http2s[t] = p
	s.mu.Unlock()
	s.http2.serve(ctx, t)
	s.mu.Lock()
	delete(s.http2s, t)
	s.mu.Unlock()
}

// http2Is hears from net/http whether an HTTP/2 connection has streams.
func (s *serving) http2Is(nc net.Conn, state http.ConnState) {
	s.mu.Lock()
	p := s.http2s[nc]
	s.mu.Unlock()
	switch {
	case p == nil:
	case state == http.StateActive:
		p.work()
	case state == http.StateIdle:
		p.wait(queueSilent)
	}
}

// handshake makes the TLS handshake where the listener left it to us.
func (s *serving) handshake(ctx context.Context, t *tls.Conn) Reason {
	ctx, cancel := context.WithTimeout(ctx, s.Limits.HandshakeTimeout)
	defer cancel()
	switch err := t.HandshakeContext(ctx); {
	case err == nil:
		return ""
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return ReasonSlowHello
	case errors.Is(err, io.EOF):
		return ReasonTruncated
	}
	return ReasonHandshake
}

// shutdown ends what is still there: at once what is idle, the rest when its
// handler returns or when the time of grace is over.
func (s *serving) shutdown() {
	s.mu.Lock()
	for nc, c := range s.conns {
		if c != nil && c.state.CompareAndSwap(int32(connIdle), int32(connClosed)) {
			_ = closeBelow(nc)
		}
	}
	s.mu.Unlock()
	s.http2.stop()
	late := time.AfterFunc(s.Limits.GraceTimeout, func() {
		s.http2.kill()
		s.mu.Lock()
		defer s.mu.Unlock()
		for nc := range s.conns {
			_ = closeBelow(nc)
		}
	})
	s.wg.Wait()
	late.Stop()
}

func (s *serving) refused(nc net.Conn, reason Reason) {
	if s.Refused != nil && !isLocal(nc) {
		s.Refused(nc.RemoteAddr(), reason)
	}
}

func (s *serving) dropped(nc net.Conn) {
	if s.Dropped != nil {
		s.Dropped(nc.RemoteAddr())
	}
}

// dateText is the Date header of one second.
type dateText struct {
	second int64
	text   string
}

// dateNow is the time as a Date header says it.
func (s *serving) dateNow() string {
	now := time.Now()
	d := s.date.Load()
	if d == nil || d.second != now.Unix() {
		d = &dateText{second: now.Unix(), text: now.UTC().Format(http.TimeFormat)}
		s.date.Store(d)
	}
	return d.text
}
