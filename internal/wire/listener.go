package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// TLSOptions say who may shake hands on a TLSListener and for how long. Zero
// numbers and times mean their defaults.
type TLSOptions struct {
	// Admit judges a ClientHello before TLS answers. It is called from several
	// goroutines. Who is not admitted gets not one byte. nil admits everybody.
	Admit func(*ClientHello, net.Conn) bool
	// HelloTimeout is from accept to the end of the ClientHello; default 5 s.
	HelloTimeout time.Duration
	// HandshakeTimeout is for the rest of the handshake; default 10 s.
	HandshakeTimeout time.Duration
	// MaxPending bounds the connections between accept and the end of their
	// handshake; default 512. MaxPendingPerAddr bounds those of one address
	// (IPv6: one /64); default 64. More of one address are closed at once without a
	// byte. Where there are too many in all, the oldest that has not sent its whole
	// ClientHello is closed in place of the newcomer, or else the oldest that has
	// stood still in its handshake for two seconds.
	MaxPending, MaxPendingPerAddr int
	// Refused is told why a connection did not come through; it must be quick
	// and safe for concurrent use. The string is a Reason. May be nil.
	Refused func(remote net.Addr, reason string)
}

// Conn is a connection whose TLS handshake is done.
type Conn struct {
	*tls.Conn
	ServerName string // lower-case name that the client asked for; "" if none
	Protocol   string // what ALPN agreed on; "" if nothing
}

// TLSListener makes TLS handshakes, many at a time, and gives out connections
// that have one behind them. One slow client never holds up another.
type TLSListener struct {
	inner   net.Listener
	config  *tls.Config
	opt     TLSOptions
	pending *crowd

	start   sync.Once
	ready   chan *Conn
	failed  chan struct{} // closed when inner fails; err says how
	err     error
	closing chan struct{}
	close   sync.Once

	mu    sync.Mutex
	conns map[net.Conn]struct{} // those in a handshake; nil once closed
	wg    sync.WaitGroup
}

// handshakePatience is how long a handshake may take before it gives way to a
// newcomer where there are too many. From far away one takes half a second.
const handshakePatience = 2 * time.Second

// ListenTLS makes a TLSListener over inner. It starts nothing: the first Accept does.
func ListenTLS(inner net.Listener, cfg *tls.Config, opt TLSOptions) *TLSListener {
	if opt.HelloTimeout <= 0 {
		opt.HelloTimeout = 5 * time.Second
	}
	if opt.HandshakeTimeout <= 0 {
		opt.HandshakeTimeout = 10 * time.Second
	}
	if opt.MaxPending <= 0 {
		opt.MaxPending = 512
	}
	if opt.MaxPendingPerAddr <= 0 {
		opt.MaxPendingPerAddr = 64
	}
	return &TLSListener{
		inner: inner, config: cfg, opt: opt,
		pending: newCrowd(opt.MaxPending, opt.MaxPendingPerAddr, handshakePatience),
		ready:   make(chan *Conn),
		failed:  make(chan struct{}),
		closing: make(chan struct{}),
		conns:   make(map[net.Conn]struct{}),
	}
}

// Accept waits for the next connection whose handshake is done. What it returns
// is always a *Conn.
func (l *TLSListener) Accept() (net.Conn, error) {
	l.start.Do(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.conns != nil {
			l.wg.Go(l.acceptAll)
		}
	})
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.closing:
		return nil, net.ErrClosed
	case <-l.failed:
		return nil, l.err
	}
}

// Addr is the inner listener's.
func (l *TLSListener) Addr() net.Addr { return l.inner.Addr() }

// Close ends the inner listener and every handshake that is under way, and waits
// for them. Connections that Accept returned stay.
func (l *TLSListener) Close() error {
	err := net.ErrClosed
	l.close.Do(func() {
		close(l.closing)
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
func (l *TLSListener) acceptAll() {
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
func (l *TLSListener) passing(err error) bool {
	var ne net.Error
	select {
	case <-l.closing:
		return false
	default:
	}
	//lint:ignore SA1019 for Accept it still means what it says, and net/http relies on it
	return !errors.Is(err, net.ErrClosed) && errors.As(err, &ne) && ne.Temporary()
}

func (l *TLSListener) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.closing:
		return false
	}
}

// admit starts a connection's handshake if there is room.
func (l *TLSListener) admit(c net.Conn) {
	p, reason := l.pending.enter(sourceOf(c.RemoteAddr()), func() { _ = c.Close() })
	if reason != "" {
		_ = c.Close()
		l.refused(c, reason)
		return
	}
	l.mu.Lock()
	if l.conns == nil {
		l.mu.Unlock()
		p.leave()
		_ = c.Close()
		return
	}
	l.conns[c] = struct{}{}
	l.wg.Add(1)
	l.mu.Unlock()
	go func() {
		defer l.wg.Done()
		defer p.leave()
		done, reason := l.shake(c, p)
		l.mu.Lock()
		delete(l.conns, c)
		l.mu.Unlock()
		if !p.work() {
			done, reason = nil, ReasonTooMany // closed already, for a newcomer
		}
		if done == nil {
			_ = c.Close() // the connection below TLS: nothing is written, no alert either
			l.refused(c, reason)
			return
		}
		select {
		case l.ready <- done:
		case <-l.closing:
			_ = c.Close()
		}
	}()
}

// shake makes a connection's handshake: hello, verdict, TLS.
func (l *TLSListener) shake(c net.Conn, p *place) (*Conn, Reason) {
	if err := c.SetDeadline(time.Now().Add(l.opt.HelloTimeout)); err != nil {
		return nil, ReasonHello
	}
	hello, replay, err := ReadClientHello(c)
	if err != nil {
		var refused *RefusedError
		if errors.As(err, &refused) {
			return nil, refused.Reason
		}
		return nil, ReasonTruncated
	}
	if l.opt.Admit != nil && !l.opt.Admit(hello, c) {
		return nil, ReasonName
	}
	p.wait(queueSlow)
	if err := c.SetDeadline(time.Now().Add(l.opt.HandshakeTimeout)); err != nil {
		return nil, ReasonHandshake
	}
	secure := tls.Server(newGather(replay), l.config)
	if err := secure.HandshakeContext(context.Background()); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, ReasonSlowHello
		}
		return nil, ReasonHandshake
	}
	state := secure.ConnectionState()
	if !strings.EqualFold(state.ServerName, hello.ServerName) {
		return nil, ReasonDifferentHello
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		return nil, ReasonHandshake
	}
	return &Conn{Conn: secure, ServerName: hello.ServerName, Protocol: state.NegotiatedProtocol}, ""
}

func (l *TLSListener) refused(c net.Conn, reason Reason) {
	if l.opt.Refused != nil {
		l.opt.Refused(c.RemoteAddr(), string(reason))
	}
}
