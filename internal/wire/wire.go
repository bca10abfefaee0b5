// Package wire reads what the Internet sends before anybody is known: the TLS
// ClientHello and HTTP/1.1, strictly, and calls an http.Handler.
//
// It knows RFC 9112 and nothing lenient. A request is taken only when every
// other program would read it the same way; what could be read in two ways is
// refused with one and the same answer, counted, and the connection is closed
// with everything that it still held. The rules that are narrower than the RFC:
//
//   - HTTP/1.1 only. HTTP/1.0 is refused: it has neither Host nor chunks to rely on.
//   - GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS; no other method.
//   - The target is a path that begins with one slash (origin form).
//   - No empty line before a request line, no whitespace around it.
//   - Transfer-Encoding is "chunked" and nothing else, never beside a
//     Content-Length; Content-Length is a plain number without leading zeros, once.
//   - No chunk extensions, no trailer section, no Trailer header.
//   - GET and HEAD have no body; Expect is "100-continue" and comes with a body.
//   - Connection names close, keep-alive, upgrade and te; nothing else is per hop.
//   - Upgrade comes with GET, no body, and "Connection: upgrade"; when the handler
//     does not take the connection over, it is closed after the answer.
//   - Fields that mean one thing (Content-Type, Authorization, …) come once.
//   - Header values are visible ASCII or valid UTF-8.
//   - A header whose name has an underscore is dropped; where it would pass for one
//     that frames, names or authenticates a request, the request is refused.
//
// Requests that are pipelined are answered one after the other. HTTP/2 is the
// standard library's, held by limits, and CheckHTTP2 asks of it what is asked here.
//
// What a handler finds is what net/http would give it, with these differences:
// the answer's Content-Type is never guessed, answers have no trailers, reading
// and writing at the same time is always possible, and Request.Header and
// ResponseWriter.Header belong to the connection: a handler that needs them
// after it returned clones them.
package wire

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits bound what a connection may cost. A zero field means its default.
type Limits struct {
	MaxLine         int // bytes of the request line or one header line; default 24570, as many as Home Assistant takes
	MaxHead         int // bytes of request line and headers together; default 32768
	MaxHeaders      int // header lines; default 100 (Home Assistant takes fewer than 300)
	MaxConns        int // connections at one time; default 4096. One more takes the place of the one that has been idle longest
	MaxConnsPerAddr int // the same of one address (IPv6: one /64); default 512

	HandshakeTimeout time.Duration // TLS handshake, where the listener has not made it; default 10 s
	HeaderTimeout    time.Duration // first byte to end of the headers, and accept to first byte; default 10 s
	IdleTimeout      time.Duration // between two requests; default 75 s
	BodyTimeout      time.Duration // waiting in which at least MinProgress of a body must arrive; default 30 s
	MinProgress      int           // bytes; default 4096
	WriteTimeout     time.Duration // for each 64 KiB that the client takes; default 30 s
	GraceTimeout     time.Duration // for handlers to end when the server shuts down; default 5 s

	MaxStreams int // HTTP/2 streams at one time on a connection; default 100
}

func (l Limits) withDefaults() Limits {
	number := func(n *int, d int) {
		if *n <= 0 {
			*n = d
		}
	}
	duration := func(t *time.Duration, d time.Duration) {
		if *t <= 0 {
			*t = d
		}
	}
	number(&l.MaxLine, 24570)
	number(&l.MaxHead, 32<<10)
	number(&l.MaxHeaders, 100)
	number(&l.MaxConns, 4096)
	number(&l.MaxConnsPerAddr, 512)
	number(&l.MinProgress, 4<<10)
	number(&l.MaxStreams, 100)
	duration(&l.HandshakeTimeout, 10*time.Second)
	duration(&l.HeaderTimeout, 10*time.Second)
	duration(&l.IdleTimeout, 75*time.Second)
	duration(&l.BodyTimeout, 30*time.Second)
	duration(&l.WriteTimeout, 30*time.Second)
	duration(&l.GraceTimeout, 5*time.Second)
	return l
}

// Server answers HTTP/1.1 with its own reader and HTTP/2 with net/http's, both
// by Handler. One Server may serve several listeners.
type Server struct {
	Handler http.Handler
	Limits  Limits
	// Proxies are in front of the listeners: the limits of one address do not hold for them.
	Proxies Proxies
	// Refused is told of every request or connection that was refused and why;
	// it must be quick and safe for concurrent use. What net/http refuses of HTTP/2
	// by itself comes as ReasonHTTP2 with an address whose String is "". May be nil.
	Refused func(remote net.Addr, reason Reason)
	// Dropped is told of every header that was dropped for an underscore in its
	// name; its request went on. May be nil.
	Dropped func(remote net.Addr)
	// ErrorLog is told of panics in Handler: type and stack, never the value,
	// which may hold what a client sent. May be nil.
	ErrorLog *slog.Logger
	// ConnContext may add values to a connection's context. May be nil.
	ConnContext func(ctx context.Context, c net.Conn) context.Context
}
