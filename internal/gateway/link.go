package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lineIdle   = 50 * time.Second // Home Assistant closes idle ones after 75 s (aiohttp)
	lineMax    = 256              // idle lines that are kept
	lineBuffer = 4 << 10          // nearly every head, and most states, fit in
	dialMax    = 5 * time.Second
	// hasteMax is how long an exchange goes on without looking whether anybody still waits
	// for it. Nearly all are over sooner, and cost neither a timer nor a watch.
	hasteMax = time.Second
	// early is how many answers with a status of 1xx may come before the one that counts.
	early = 8
)

// link is the short way to Home Assistant: GET and HEAD over plain TCP. The goroutine
// that asks writes the head and reads the answer itself, where net/http's Transport
// wakes two others for each request. Everything else takes the Transport.
//
// An answer can only be that of the request before it: a line carries one request at
// a time, its answer is read by one framing (answer.go), and the line is used again
// only if the answer was read to its end, the server promised to go on, nobody had to
// break it off, and not one byte more has come, neither with the answer nor since.
type link struct {
	dialer net.Dialer
	haste  time.Duration // see hasteMax

	mu     sync.Mutex
	addr   string  // where a new line leads
	idle   []*line // the one used last is last
	sweep  *time.Timer
	swept  bool // sweep will look at what is idle
	closed bool
}

// line is one connection. Whoever took it from the link owns it.
type line struct {
	nc    net.Conn
	raw   controller
	in    []byte // what has come; in[r:w] is unread
	r, w  int
	large *[]byte // in, while a large body is read
	small []byte  // in, otherwise

	deadline time.Time // of nc; at most a moment off
	since    time.Time // when it became idle
	fields   []field   // used again for each answer
}

// controller is a connection's way past net.Conn.
type controller interface{ Control(func(fd uintptr)) error }

func newLink(addr string) *link {
	return &link{addr: addr, haste: hasteMax, dialer: net.Dialer{Timeout: dialMax, KeepAlive: 30 * time.Second}}
}

// moveTo dials another address from now on.
func (l *link) moveTo(addr string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addr = addr
	l.drop(len(l.idle))
}

// close ends the idle lines; those in use end with their exchanges.
func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.sweep != nil {
		l.sweep.Stop()
	}
	l.drop(len(l.idle))
}

// drop closes the n lines that are idle longest. The caller holds mu.
func (l *link) drop(n int) {
	for _, ln := range l.idle[:n] {
		_ = ln.nc.Close()
	}
	rest := copy(l.idle, l.idle[n:])
	clear(l.idle[rest:])
	l.idle = l.idle[:rest]
}

// take returns an idle line that is still good, or nil.
func (l *link) take(now time.Time) *line {
	for {
		l.mu.Lock()
		n := len(l.idle)
		if n == 0 {
			l.mu.Unlock()
			return nil
		}
		ln := l.idle[n-1]
		l.idle[n-1] = nil
		l.idle = l.idle[:n-1]
		l.mu.Unlock()
		if now.Sub(ln.since) < lineIdle && ln.silent() {
			return ln
		}
		_ = ln.nc.Close()
	}
}

// silent reports whether a line is open and nothing has come on it that nobody asked for.
func (ln *line) silent() bool {
	quiet := false
	err := ln.raw.Control(func(fd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		quiet = n == 0 && err == nil // neither bytes nor an end
	})
	return err == nil && quiet
}

// put keeps a line for the next request.
func (l *link) put(ln *line) {
	ln.since = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = ln.nc.Close()
		return
	}
	if len(l.idle) >= lineMax {
		l.drop(1)
	}
	l.idle = append(l.idle, ln)
	switch {
	case l.swept:
	case l.sweep == nil:
		l.sweep = time.AfterFunc(lineIdle, l.sweepIdle)
	default:
		l.sweep.Reset(lineIdle)
	}
	l.swept = true
}

// sweepIdle closes the lines that have been idle too long, in the timer's goroutine.
func (l *link) sweepIdle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, old := time.Now(), 0
	for old < len(l.idle) && now.Sub(l.idle[old].since) >= lineIdle {
		old++
	}
	l.drop(old)
	if l.swept = len(l.idle) > 0; l.swept {
		l.sweep.Reset(lineIdle - now.Sub(l.idle[0].since))
	}
}

// dial opens a line.
func (l *link) dial(ctx context.Context) (*line, error) {
	l.mu.Lock()
	addr := l.addr
	l.mu.Unlock()
	nc, err := l.dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil, errors.Join(errors.New("connection is not TCP"), nc.Close())
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	small := make([]byte, lineBuffer)
	return &line{nc: tcp, raw: raw, in: small, small: small}, nil
}

// exchange is a request that was sent and the answer to it. It is one goroutine's,
// but for abort.
type exchange struct {
	link *link
	line *line
	ctx  context.Context
	answerHead
	content

	heard   bool        // a byte of the answer has come
	patient bool        // haste is over; the end of ctx aborts
	stop    func() bool // takes the watch of ctx back

	mu            sync.Mutex
	over, aborted bool
}

// send sends the head of a request without a body and reads the head of the answer.
// A kept line that ended before a byte of the answer came is replaced once: the
// server has not taken the request, or it is one that may be repeated (RFC 9110
// section 9.2.2: GET and HEAD). The exchange is the caller's to close.
func (l *link) send(ctx context.Context, method string, head []byte) (*exchange, error) {
	now := time.Now()
	if ln := l.take(now); ln != nil {
		x := &exchange{link: l, line: ln, ctx: ctx}
		err := x.ask(now, method, head)
		if err == nil {
			return x, nil
		}
		x.close()
		if x.heard || x.patient || ctx.Err() != nil || !ended(err) {
			return nil, err
		}
	}
	ln, err := l.dial(ctx)
	if err != nil {
		return nil, err
	}
	x := &exchange{link: l, line: ln, ctx: ctx}
	if err := x.ask(time.Now(), method, head); err != nil {
		x.close()
		return nil, err
	}
	return x, nil
}

// ended reports whether an error is that of a connection that the other side has ended.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}

// ask writes the head and reads that of the answer.
func (x *exchange) ask(now time.Time, method string, head []byte) error {
	if left := x.line.deadline.Sub(now); left < x.link.haste {
		x.line.deadline = now.Add(2 * x.link.haste)
		if err := x.line.nc.SetDeadline(x.line.deadline); err != nil {
			return err
		}
	}
	for len(head) > 0 {
		n, err := x.line.nc.Write(head)
		head = head[n:]
		if err != nil {
			if err := x.wait(err); err != nil {
				return err
			}
		}
	}
	return x.readHead(method)
}

// wait decides what an error of the connection means: where only haste is over, the
// exchange goes on and is watched from now on.
func (x *exchange) wait(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) && !x.patient {
		x.patient = true
		x.line.deadline = time.Time{}
		if err := x.line.nc.SetDeadline(time.Time{}); err != nil {
			return err
		}
		x.stop = context.AfterFunc(x.ctx, x.abort)
		err = nil
	}
	// abort sets its mark first and its deadline then: it cannot have been undone unseen.
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.ctx.Err() != nil:
		return x.ctx.Err()
	case x.aborted:
		return context.Canceled
	}
	return err
}

// abort breaks the exchange off, from any goroutine. After close it does nothing.
func (x *exchange) abort() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.over {
		x.aborted = true
		_ = x.line.nc.SetDeadline(time.Unix(1, 0)) // ends reads and writes under way
	}
}

// close keeps the line for the next request if nothing speaks against it, and else
// ends it.
func (x *exchange) close() {
	if x.stop != nil {
		x.stop()
	}
	x.mu.Lock()
	done := x.over
	x.over = true
	x.mu.Unlock()
	if done {
		return
	}
	ln := x.line
	good := x.end && x.keep && !x.aborted && ln.r == ln.w
	ln.shrink()
	if !good {
		_ = ln.nc.Close()
		return
	}
	x.link.put(ln)
}

// shrink gives back what a large answer took. What the answer's head said is forgotten.
func (ln *line) shrink() {
	if ln.large != nil {
		buffers.Put(ln.large)
		ln.large = nil
	}
	ln.in, ln.r, ln.w = ln.small, 0, 0
	if cap(ln.fields) > 64 {
		ln.fields = nil
	}
	clear(ln.fields[:cap(ln.fields)])
	ln.fields = ln.fields[:0]
}

// more reads at least one byte behind those that are unread.
func (x *exchange) more() error {
	ln := x.line
	for {
		n, err := ln.nc.Read(ln.in[ln.w:])
		if n > 0 {
			ln.w += n
			x.heard = true
			return nil
		}
		if err == nil {
			err = io.ErrNoProgress
		}
		if err := x.wait(err); err != nil {
			return err
		}
	}
}

// lasts reports whether the answer may take so long that its device could end meanwhile.
func (x *exchange) lasts() bool { return !x.end && (x.length < 0 || x.length > 1<<20) }

// pass writes the answer's content to w as it comes. Where it has no length each piece
// leaves before the next is waited for (SSE, MJPEG, logs that are followed, long polls).
func (x *exchange) pass(w http.ResponseWriter) error {
	held := false // something was written and may not have left
	wait := func() error {
		if !held || x.length >= 0 {
			return nil
		}
		held = false
		return http.NewResponseController(w).Flush()
	}
	for {
		piece, err := x.next(wait)
		if len(piece) > 0 {
			held = true
			if _, err := w.Write(piece); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
