package wire

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"
)

// refusal is the one answer to whatever is refused, whatever the reason.
const refusal = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

// While a connection ends, what the client still sends is read and thrown away for
// this long and this far, so that the answer is not lost to a reset.
const (
	lingerTime = 500 * time.Millisecond
	lingerMax  = 256 << 10
)

type connState int32

const (
	connIdle   connState = iota // waits for a request, or reads one
	connActive                  // a handler runs
	connClosed                  // closed by the shutdown
)

// conn is one HTTP/1.1 connection. Its goroutine owns everything but what the
// fields' own types guard.
type conn struct {
	s      *serving
	nc     net.Conn
	remote string
	tls    *tls.ConnectionState // nil without TLS
	state  atomic.Int32         // connState
	place  *place               // among all connections
	ctx    context.Context      // ends with the connection and with Serve's
	base   *http.Request        // carries ctx

	in      input
	out     output
	watch   watcher
	current atomic.Pointer[response] // to the request that is being answered

	header, answer http.Header // used again for each request

	// refused says why the request that is being answered is refused after all:
	// its body was malformed or too slow.
	refused atomic.Pointer[Reason]
}

// serve answers requests one after the other until the connection ends.
func (c *conn) serve(ctx context.Context) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	c.ctx = ctx
	c.base = (&http.Request{}).WithContext(ctx)
	c.remote = c.nc.RemoteAddr().String()
	c.header, c.answer = make(http.Header, 24), make(http.Header, 16)
	c.out.nc, c.out.timeout = c.nc, c.s.Limits.WriteTimeout
	c.in.start(c.nc, &c.s.Limits)
	c.watch.in = &c.in
	c.watch.leave = func() {
		if w := c.current.Load(); w != nil {
			w.cancel()
		}
	}
	wait := c.s.Limits.HeaderTimeout
	for c.serveOne(wait) {
		wait = c.s.Limits.IdleTimeout
	}
}

// serveOne reads a request and answers it. It reports whether another may follow;
// if not, the connection is closed or belongs to the handler.
func (c *conn) serveOne(wait time.Duration) bool {
	clear(c.header)
	text, lines, err := c.in.readHead(time.Now(), wait)
	if err == errIdle {
		c.close(false)
		return false
	}
	if err != nil {
		return c.refuse(err.(*RefusedError).Reason)
	}
	hd, reason := parseHead(text, lines, c.header)
	if reason != "" {
		return c.refuse(reason)
	}
	if !c.place.work() || !c.state.CompareAndSwap(int32(connIdle), int32(connActive)) {
		c.close(false)
		return false
	}
	for range hd.dropped {
		c.s.dropped(c.nc)
	}
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	r, b, err := c.request(ctx, &hd)
	if err != nil {
		return c.refuse(ReasonTarget)
	}
	clear(c.answer)
	w := &response{c: c, body: b, cancel: cancel, header: c.answer, expects: hd.expect,
		isHead: hd.method == http.MethodHead, lastOne: hd.close, upgrade: hd.upgrade}
	if b != nil {
		b.w = w
	}
	c.current.Store(w)
	defer w.release()
	if b == nil {
		c.watch.arm()
	}
	whole := c.call(w, r)
	return c.settle(w, whole)
}

// request makes the http.Request of a head.
func (c *conn) request(ctx context.Context, hd *head) (*http.Request, *body, error) {
	u, err := parseTarget(hd.target)
	if err != nil {
		return nil, nil, err
	}
	r := c.base.WithContext(ctx)
	r.Method, r.URL, r.RequestURI = hd.method, u, hd.target
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	r.Header, r.Host, r.ContentLength, r.Close = c.header, hd.host, hd.length, hd.close
	r.RemoteAddr, r.TLS = c.remote, c.tls
	if hd.length == 0 {
		r.Body = http.NoBody
		return r, nil, nil
	}
	b := &body{c: c, chunked: hd.length < 0, left: max(hd.length, 0)}
	if b.chunked {
		r.TransferEncoding = []string{"chunked"}
	}
	r.Body = b
	return r, b, nil
}

// call runs the handler. It reports whether that came to its own end.
func (c *conn) call(w *response, r *http.Request) (whole bool) {
	defer func() {
		if whole {
			return
		}
		switch v := recover(); v {
		case nil: // runtime.Goexit: nobody comes back to close the connection
			_ = c.nc.Close()
		case http.ErrAbortHandler:
		default:
			c.s.panicked(v)
		}
	}()
	c.s.Handler.ServeHTTP(w, r)
	return true
}

// panicked logs a handler's panic without its value, unless that is the runtime's own.
func (s *serving) panicked(v any) {
	if s.ErrorLog == nil {
		return
	}
	stack := make([]byte, 16<<10)
	stack = stack[:runtime.Stack(stack, false)]
	attrs := []any{"stack", string(stack)}
	if err, ok := v.(runtime.Error); ok {
		attrs = append(attrs, "error", err.Error())
	}
	s.ErrorLog.Error("handler panicked", attrs...)
}

// settle ends a request after its handler returned, and decides whether another
// may follow.
func (c *conn) settle(w *response, whole bool) bool {
	if w.body != nil {
		_ = w.body.Close()
	}
	c.watch.disarm()
	if w.hijacked {
		if !whole {
			_ = c.nc.Close()
		}
		return false
	}
	if reason := c.refused.Load(); reason != nil {
		if w.sent {
			c.s.refused(c.nc, *reason)
			c.close(false)
			return false
		}
		return c.refuse(*reason)
	}
	if !whole {
		w.done = true
		c.close(false)
		return false
	}
	w.finish()
	if c.out.slow.Load() {
		c.s.refused(c.nc, ReasonSlowReader)
	}
	switch {
	case c.out.err != nil || c.in.gone != nil,
		w.declared >= 0 && w.hasContent() && w.written < w.declared:
		c.close(false)
		return false
	case w.close || w.status == http.StatusSwitchingProtocols || w.body != nil && !w.body.drain():
		c.close(true)
		return false
	}
	if !c.state.CompareAndSwap(int32(connActive), int32(connIdle)) || c.ctx.Err() != nil {
		c.close(true)
		return false
	}
	c.place.wait(queueSilent)
	return true
}

// refuse counts and answers what is refused, and ends the connection. It returns false.
// What came of a connection that gave way to another has been counted.
func (c *conn) refuse(reason Reason) bool {
	if c.place.gaveWay() {
		c.close(false)
		return false
	}
	c.s.refused(c.nc, reason)
	c.close(c.out.write([]byte(refusal)) == nil)
	return false
}

// close ends the connection with all that it still holds. After an answer it
// lingers: first our side alone is closed.
func (c *conn) close(linger bool) {
	defer c.in.end()
	defer c.nc.Close()
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !linger || !ok || half.CloseWrite() != nil {
		return
	}
	if c.nc.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	for total := 0; total < lingerMax; {
		n, err := c.nc.Read(c.in.buf)
		if total += n; err != nil {
			return
		}
	}
}
