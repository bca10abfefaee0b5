package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"time"
)

// TLSOptions say who may shake hands on a TLSListener and for how long. Zero
// numbers and times mean their defaults. All functions are called from several
// goroutines, must be quick, and may be nil.
type TLSOptions struct {
	// Allow judges an address before anything is read: who is not allowed is dropped
	// without a byte. nil allows everybody.
	Allow func(netip.Addr) bool
	// Admit judges a ClientHello before TLS answers. Who is not admitted gets not one
	// byte. nil admits everybody.
	Admit func(*ClientHello, net.Conn) bool
	// Proxies are in front of the listener; the limits of one address do not hold for them.
	Proxies Proxies
	// Favoured reports whether a known device came from an address lately: it shakes
	// hands before others, and there is room for it when there is none for others.
	Favoured func(netip.Addr) bool
	// Tight reports whether an address gets little: only what a known device needs that
	// happens to be there. Who is favoured is not asked.
	Tight func(netip.Addr) bool
	// HelloTimeout is from accept to the end of the ClientHello; default 5 s.
	HelloTimeout time.Duration
	// HandshakeTimeout is for the rest of the handshake; default 10 s.
	HandshakeTimeout time.Duration
	// MaxPending bounds the connections between accept and the end of their
	// handshake; default 512, and a quarter more for who is favoured. MaxPendingPerAddr
	// bounds those of one address (IPv6: one /64); default 64. More of one address are
	// closed at once without a byte. Where there are too many in all, the oldest that has
	// not sent its whole ClientHello, or whose turn to be answered has not come, is closed
	// in place of the newcomer, or else the oldest that has stood still in its handshake
	// for two seconds.
	MaxPending, MaxPendingPerAddr int
	// MaxComputing is how many handshakes are computed at one time, which is what they
	// take of the processors; default half of them, and at least one. Those who are
	// favoured go first, then addresses that have come seldom, then others.
	MaxComputing int
	// Now is the clock by which the handshakes of an address are counted (see rates.go);
	// default time.Now.
	Now func() time.Time
	// Refused is told why a connection did not come through. The string is a Reason.
	Refused func(remote net.Addr, reason string)
}

// withDefaults fills in what is zero.
func (o TLSOptions) withDefaults() TLSOptions {
	nobody := func(netip.Addr) bool { return false }
	if o.Allow == nil {
		o.Allow = func(netip.Addr) bool { return true }
	}
	if o.Favoured == nil {
		o.Favoured = nobody
	}
	if o.Tight == nil {
		o.Tight = nobody
	}
	if o.HelloTimeout <= 0 {
		o.HelloTimeout = 5 * time.Second
	}
	if o.HandshakeTimeout <= 0 {
		o.HandshakeTimeout = 10 * time.Second
	}
	if o.MaxPending <= 0 {
		o.MaxPending = 512
	}
	if o.MaxPendingPerAddr <= 0 {
		o.MaxPendingPerAddr = 64
	}
	if o.MaxComputing <= 0 {
		o.MaxComputing = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Conn is a connection whose TLS handshake is done.
type Conn struct {
	*tls.Conn
	ServerName string // lower-case name that the client asked for; "" if none
	Protocol   string // what ALPN agreed on; "" if nothing
}

// TLSListener makes TLS handshakes, many at a time, and gives out connections
// that have one behind them. One slow client never holds up another. What its Accept
// returns is always a *Conn.
type TLSListener struct {
	*porter
	threshold
	config *tls.Config
}

// threshold says who may shake hands, and whose turn it is to be answered.
type threshold struct {
	opt   TLSOptions
	rates *rates
	turns *turns
}

func newThreshold(opt TLSOptions) threshold {
	return threshold{opt: opt, rates: newRates(opt.Now), turns: newTurns(opt.MaxComputing)}
}

// pending is the crowd of those who shake hands.
func (t *threshold) pending() *crowd {
	c := newCrowd(t.opt.MaxPending, t.opt.MaxPendingPerAddr, handshakePatience)
	c.spare = t.opt.MaxPending / 4
	return c
}

// handshakePatience is how long a handshake may take before it gives way to a
// newcomer where there are too many. From far away one takes half a second.
const handshakePatience = 2 * time.Second

// ListenTLS makes a TLSListener over inner. It starts nothing: the first Accept does.
func ListenTLS(inner net.Listener, cfg *tls.Config, opt TLSOptions) *TLSListener {
	opt = opt.withDefaults()
	l := &TLSListener{threshold: newThreshold(opt), config: cfg}
	l.porter = newPorter(inner, l.threshold.pending())
	l.judge, l.ready, l.refused = l.judgeSource, l.shake, opt.Refused
	return l
}

// judgeSource is asked before anything is read.
func (l *threshold) judgeSource(c net.Conn) (source, Reason) {
	addr := addrOf(c.RemoteAddr())
	s := source{addr: network(addr)}
	switch {
	case !l.opt.Allow(addr):
		return s, ReasonNotAllowed
	case isLocal(c), l.opt.Proxies.TrustedProxy(addr):
		s.rank, s.many = rankFavoured, true
		return s, ""
	}
	favoured := l.opt.Favoured(addr)
	rare, ok := l.rates.take(s.addr, !favoured && l.opt.Tight(addr))
	switch {
	case !ok:
		return s, ReasonTooFast
	case favoured:
		s.rank = rankFavoured
	case rare:
		s.rank = rankSeldom
	default:
		s.rank = rankOften
	}
	return s, ""
}

// shake makes a connection's handshake: hello, verdict, TLS.
func (l *TLSListener) shake(ctx context.Context, c net.Conn, p *place) (net.Conn, Reason) {
	if err := c.SetDeadline(time.Now().Add(l.opt.HelloTimeout)); err != nil {
		return nil, ReasonHello
	}
	hello, replay, err := ReadClientHello(c)
	if err != nil {
		return nil, reasonOf(err)
	}
	if l.opt.Admit != nil && !l.opt.Admit(hello, c) {
		return nil, ReasonName
	}
	p.wait(queueSilent)
	until := time.Now().Add(l.opt.HandshakeTimeout)
	if err := c.SetDeadline(until); err != nil {
		return nil, ReasonHandshake
	}
	turn := &turnConn{Conn: replay, turns: l.turns, rank: p.source.rank, ctx: ctx, until: until}
	defer turn.give()
	if err := turn.take(); err != nil {
		return nil, ReasonSlowHello
	}
	p.wait(queueSlow)
	gathers := newGather(turn)
	secure := tls.Server(gathers, l.config)
	if err := secure.HandshakeContext(context.Background()); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, ReasonSlowHello
		}
		if l.config.MinVersion >= tls.VersionTLS13 && !hello.TLS13 {
			return nil, ReasonOldTLS
		}
		return nil, ReasonHandshake
	}
	gathers.Conn = replay
	state := secure.ConnectionState()
	if !strings.EqualFold(state.ServerName, hello.ServerName) {
		return nil, ReasonDifferentHello
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		return nil, ReasonHandshake
	}
	return &Conn{Conn: secure, ServerName: hello.ServerName, Protocol: state.NegotiatedProtocol}, ""
}

// reasonOf is why reading ended before there was anything to judge.
func reasonOf(err error) Reason {
	var refused *RefusedError
	if errors.As(err, &refused) {
		return refused.Reason
	}
	return ReasonTruncated
}

// ProxyOptions say what a ProxyListener takes. Zero numbers and times mean their defaults.
type ProxyOptions struct {
	Trusted []netip.Prefix // where proxies connect from; from elsewhere nobody does
	// HeaderTimeout is from accept to the end of the header; default 5 s.
	HeaderTimeout time.Duration
	// MaxPending bounds the connections whose header has not come; default 512. The oldest
	// is closed in place of a newcomer.
	MaxPending int
	// Refused is told why a connection did not come through, as with TLSOptions.
	Refused func(remote net.Addr, reason string)
}

// ProxyListener reads the header of the PROXY protocol ahead of each connection and gives
// out those that have one, each with its client's address. A connection from elsewhere
// than a trusted proxy, or without a whole header in time, ends without a byte.
type ProxyListener struct{ *porter }

// ListenProxy makes a ProxyListener over inner. It starts nothing: the first Accept does.
func ListenProxy(inner net.Listener, opt ProxyOptions) *ProxyListener {
	if opt.HeaderTimeout <= 0 {
		opt.HeaderTimeout = 5 * time.Second
	}
	if opt.MaxPending <= 0 {
		opt.MaxPending = 512
	}
	proxies := Proxies{Trusted: opt.Trusted, Protocol: true}
	l := &ProxyListener{newPorter(inner, newCrowd(opt.MaxPending, opt.MaxPending, 0))}
	l.refused = opt.Refused
	l.judge = func(c net.Conn) (source, Reason) {
		addr := addrOf(c.RemoteAddr())
		if !proxies.TrustedProxy(addr) {
			return source{}, ReasonProxy
		}
		return source{addr: network(addr), many: true}, ""
	}
	l.ready = func(_ context.Context, c net.Conn, _ *place) (net.Conn, Reason) {
		if err := c.SetReadDeadline(time.Now().Add(opt.HeaderTimeout)); err != nil {
			return nil, ReasonTruncated
		}
		_, relayed, err := ReadProxyHeader(c)
		if err == io.EOF {
			return nil, "" // nothing to count: the proxy has looked whether we are there
		}
		if err != nil {
			return nil, reasonOf(err)
		}
		if err := c.SetReadDeadline(time.Time{}); err != nil {
			return nil, ReasonTruncated
		}
		return relayed, ""
	}
	return l
}
