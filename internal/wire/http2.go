package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// http2Side hands connections that speak HTTP/2 to net/http and judges each
// request that it decodes.
type http2Side struct {
	s      *serving
	server *http.Server
	conns  chan *tls.Conn // to net/http's accept loop
	closed chan struct{}
	close  sync.Once
	addr   net.Addr

	mu   sync.Mutex
	open map[net.Conn]http2Conn
}

type http2Conn struct {
	ctx  context.Context
	done chan struct{}
}

// newHTTP2Side sets net/http's limits. Frames, streams, header lists and buffers are
// bounded for each connection; pings find clients that are gone; rapid resets and
// endless CONTINUATION frames are net/http's to stop, within these.
func newHTTP2Side(s *serving, addr net.Addr) *http2Side {
	h := &http2Side{s: s, addr: addr, conns: make(chan *tls.Conn), closed: make(chan struct{}), open: make(map[net.Conn]http2Conn)}
	only := new(http.Protocols)
	only.SetHTTP2(true)
	h.server = &http.Server{
		Handler:           h,
		Protocols:         only,
		TLSConfig:         &tls.Config{NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: s.Limits.HeaderTimeout,
		IdleTimeout:       s.Limits.IdleTimeout,
		MaxHeaderBytes:    s.Limits.MaxHead,
		ErrorLog:          log.New(io.Discard, "", 0), // it writes what clients sent
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
		ConnContext:       h.connContext,
		ConnState:         h.connState,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          s.Limits.MaxStreams,
			MaxDecoderHeaderTableSize:     4 << 10,
			MaxEncoderHeaderTableSize:     4 << 10,
			MaxReadFrameSize:              64 << 10,
			MaxReceiveBufferPerConnection: 1 << 20,
			MaxReceiveBufferPerStream:     256 << 10,
			SendPingTimeout:               30 * time.Second,
			PingTimeout:                   15 * time.Second,
			WriteByteTimeout:              s.Limits.WriteTimeout,
			CountError:                    h.countError,
		},
	}
	return h
}

func (h *http2Side) run() { _ = h.server.Serve((*http2Listener)(h)) }

// serve hands over a connection and waits until net/http has closed it.
func (h *http2Side) serve(ctx context.Context, t *tls.Conn) {
	done := make(chan struct{})
	if g, ok := t.NetConn().(*gather); ok {
		g.begin(h.s.Limits.WriteTimeout)
	}
	h.mu.Lock()
	h.open[t] = http2Conn{ctx, done}
	h.mu.Unlock()
	select {
	case h.conns <- t:
		<-done
	case <-h.closed:
		_ = t.Close()
	}
	h.mu.Lock()
	delete(h.open, t)
	h.mu.Unlock()
}

func (h *http2Side) connContext(ctx context.Context, nc net.Conn) context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c, ok := h.open[nc]; ok {
		return c.ctx
	}
	return ctx
}

func (h *http2Side) connState(nc net.Conn, state http.ConnState) {
	if state != http.StateClosed {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if c, ok := h.open[nc]; ok {
		close(c.done)
		delete(h.open, nc)
	}
}

// countError hears of what net/http refuses by itself. It does not say whose it was.
// Frames for a stream that is closed already have only crossed our answer, and a
// stream too many may have crossed our settings: these are nobody's fault.
func (h *http2Side) countError(what string) {
	if what == "stream_STREAM_CLOSED_closed" || what == "stream_REFUSED_STREAM_over_max_streams_race" || h.s.Refused == nil {
		return
	}
	h.s.Refused(nobody{}, ReasonHTTP2)
}

// nobody is the address of a client that net/http does not tell us.
type nobody struct{}

func (nobody) Network() string { return "tcp" }
func (nobody) String() string  { return "" }

// stop lets requests end and takes no new ones; kill ends all.
func (h *http2Side) stop() {
	h.s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), h.s.Limits.GraceTimeout)
		defer cancel()
		_ = h.server.Shutdown(ctx)
	})
}

func (h *http2Side) kill() { _ = h.server.Close() }

// http2Listener is the http2Side as net/http sees it.
type http2Listener http2Side

func (l *http2Listener) Accept() (net.Conn, error) {
	select {
	case t := <-l.conns:
		return t, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *http2Listener) Close() error {
	l.close.Do(func() { close(l.closed) })
	return nil
}

func (l *http2Listener) Addr() net.Addr { return l.addr }

// ServeHTTP judges a decoded request, makes it look like one of our own reader's,
// and calls the handler with a body and a writer that do not wait for ever.
func (h *http2Side) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	growStack()
	if reason := h.judge(r); reason != "" {
		h.refused(r, reason)
		w.Header().Set("Connection", "close")
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.Host = strings.ToLower(r.Host)
	delete(r.Header, "Host")
	control, ok := w.(http2Control)
	if !ok {
		control = patientControl{http.NewResponseController(w)}
	}
	hw := &http2Writer{ResponseWriter: w, t: http2Timers{h: h, r: r, control: control}}
	t := &hw.t
	length, body := r.ContentLength, r.Body
	if length == 0 {
		r.Body = http.NoBody
	} else {
		r.Body = &http2Body{ReadCloser: body, t: t}
	}
	defer t.stop()
	defer func() {
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler {
				h.s.panicked(v)
			}
			panic(http.ErrAbortHandler) // net/http resets the stream and says nothing
		}
	}()
	h.s.Handler.ServeHTTP(hw, r)
	if length > 0 && length <= leftMax {
		// A stream whose body nobody read is reset, which some clients take for an error
		// although the answer is whole (curl's 92). What is small is read instead.
		if control.SetReadDeadline(time.Now().Add(leftTime)) == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(body, leftMax))
		}
	}
	if hw.wrote {
		// What net/http still holds is written after we return.
		_ = t.control.SetWriteDeadline(time.Now().Add(h.s.Limits.WriteTimeout))
	}
}

// leftMax and leftTime bound what is read of a body that a handler left, in bytes.
const (
	leftMax  = 64 << 10
	leftTime = time.Second
)

// stackRoom is what handlers need of a stack, about.
const stackRoom = 5 << 10

// growStack makes the stack as large as a handler needs it, in one step and while next
// to nothing stands on it. net/http starts a goroutine for each request; that its small
// stack was copied twice, deep within the handler, was a seventh of a request's cost.
//
//go:noinline
func growStack() {
	var room [stackRoom]byte
	runtime.KeepAlive(&room)
}

// judge is CheckHTTP2 and what depends on the limits. It removes headers with an underscore.
func (h *http2Side) judge(r *http.Request) Reason {
	if err := CheckHTTP2(r); err != nil {
		var refused *RefusedError
		if errors.As(err, &refused) {
			return refused.Reason
		}
		return ReasonHTTP2
	}
	if len(r.RequestURI) > h.s.Limits.MaxLine {
		return ReasonLongLine
	}
	lines := 0
	for name, values := range r.Header {
		for _, v := range values {
			if len(name)+len(v) > h.s.Limits.MaxLine {
				return ReasonLongLine
			}
		}
		if lines += len(values); lines > h.s.Limits.MaxHeaders {
			return ReasonManyHeaders
		}
		if strings.IndexByte(name, '_') >= 0 {
			delete(r.Header, name)
			if h.s.Dropped != nil {
				h.s.Dropped(remoteText(r.RemoteAddr))
			}
		}
	}
	return ""
}

func (h *http2Side) refused(r *http.Request, reason Reason) {
	if h.s.Refused != nil {
		h.s.Refused(remoteText(r.RemoteAddr), reason)
	}
}

// remoteText is an address that is known as text.
type remoteText string

func (remoteText) Network() string  { return "tcp" }
func (a remoteText) String() string { return string(a) }

// CheckHTTP2 asks of a request that net/http has decoded what this package's own
// reader asks of HTTP/1.1 (RFC 9113 section 8). The error is a *RefusedError.
// What net/http joins or drops on the way (cookies, a second :authority, a Trailer
// without names) cannot be seen any more; it refuses repeated and unknown
// pseudo-headers and lengths that the content does not keep. Headers of the
// connection and lists of headers that are too long it answers by itself, with 400
// and 431, and does not say so.
func CheckHTTP2(r *http.Request) error {
	_, hasLength := r.Header["Content-Length"]
	switch {
	case r.ProtoMajor != 2 || r.TLS == nil: // :scheme was not https
		return refuse(ReasonPseudoHeader)
	case !isMethod(r.Method):
		return refuse(ReasonMethod)
	case !isTarget(r.RequestURI):
		return refuse(ReasonTarget)
	case !isHost(r.Host):
		return refuse(ReasonHost)
	case len(r.Trailer) > 0:
		return refuse(ReasonTrailer)
	case r.ContentLength != 0 && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		return refuse(ReasonBody)
	}
	for name, values := range r.Header {
		if reason := checkHTTP2Header(r, name, values); reason != "" {
			return refuse(reason)
		}
	}
	if hasLength {
		// net/http leaves ContentLength at 0 where the stream ended with its headers.
		if n, _ := parseLength(r.Header["Content-Length"][0]); n != r.ContentLength {
			return refuse(ReasonLength)
		}
	}
	return nil
}

func checkHTTP2Header(r *http.Request, name string, values []string) Reason {
	if name == "" || !all(name, classToken) {
		return ReasonHeaderName
	}
	if strings.IndexByte(name, '_') >= 0 && isLookAlike(name) {
		return ReasonUnderscore
	}
	for _, v := range values {
		if v != trimSpace(v) {
			return ReasonHeaderValue
		}
		if reason := checkValue(v); reason != "" {
			return reason
		}
	}
	if isSingle(name) && len(values) != 1 {
		if name == "Host" {
			return ReasonHost
		}
		return ReasonRepeated
	}
	switch name {
	case "Host":
		if values[0] != r.Host {
			return ReasonHost
		}
	case "Content-Length":
		if _, ok := parseLength(values[0]); !ok {
			return ReasonLength
		}
	case "Connection", "Proxy-Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return ReasonConnection
	case "Te":
		if len(values) != 1 || values[0] != "trailers" {
			return ReasonConnection
		}
	case "Expect":
		return ReasonExpect // 100-continue is gone already
	case "Trailer":
		return ReasonTrailer
	}
	return ""
}

// http2Control is what net/http's ResponseWriter can do besides.
type http2Control interface {
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	FlushError() error
}

// patientControl is an http2Control by way of net/http's own.
type patientControl struct{ *http.ResponseController }

func (c patientControl) FlushError() error { return c.Flush() }

// http2Timers end a stream whose client neither sends nor takes anything. Reading
// and writing each have a timer that runs only while they wait.
type http2Timers struct {
	h       *http2Side
	r       *http.Request
	control http2Control

	mu          sync.Mutex
	read, write *time.Timer
	over        bool // the handler has returned: control must not be used any more
}

// start runs a timer of t, made when first needed.
func (t *http2Timers) start(timer **time.Timer, d time.Duration, late func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if *timer != nil {
		(*timer).Reset(d)
		return
	}
	*timer = time.AfterFunc(d, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if !t.over {
			late()
		}
	})
}

func (t *http2Timers) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	for _, timer := range []*time.Timer{t.read, t.write} {
		if timer != nil {
			timer.Stop()
		}
	}
}

// http2Body is a body whose client must make progress.
type http2Body struct {
	io.ReadCloser
	t      *http2Timers
	slow   atomic.Bool
	waited time.Duration
	got    int
}

func (b *http2Body) Read(p []byte) (int, error) {
	limits := &b.t.h.s.Limits
	began := time.Now()
	b.t.start(&b.t.read, limits.BodyTimeout-b.waited, b.late)
	n, err := b.ReadCloser.Read(p)
	b.t.read.Stop()
	b.waited += time.Since(began)
	if b.got += n; b.got >= limits.MinProgress {
		b.waited, b.got = 0, 0
	}
	if err != nil && b.slow.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		return n, refuse(ReasonSlowBody)
	}
	return n, err
}

func (b *http2Body) late() {
	if b.slow.CompareAndSwap(false, true) {
		b.t.h.refused(b.t.r, ReasonSlowBody)
		_ = b.t.control.SetReadDeadline(aLongTimeAgo)
	}
}

// http2Writer is a ResponseWriter whose client must take what is written.
type http2Writer struct {
	http.ResponseWriter
	t     http2Timers
	wrote bool
}

// Unwrap is for http.ResponseController.
func (w *http2Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader adds the date, which net/http would write out anew for each answer.
func (w *http2Writer) WriteHeader(status int) {
	if _, own := w.Header()["Date"]; status >= 200 && !own {
		w.Header()["Date"] = []string{w.t.h.s.dateNow()}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *http2Writer) Write(p []byte) (int, error) {
	total := 0
	for {
		piece := p[:min(len(p), pieceSize)]
		w.begin()
		n, err := w.ResponseWriter.Write(piece)
		w.t.write.Stop()
		total += n
		if p = p[len(piece):]; err != nil || len(p) == 0 {
			return total, err
		}
	}
}

// FlushError sends what was written so far.
func (w *http2Writer) FlushError() error {
	w.begin()
	defer w.t.write.Stop()
	return w.t.control.FlushError()
}

// Flush is FlushError for those who do not want to know.
func (w *http2Writer) Flush() { _ = w.FlushError() }

func (w *http2Writer) begin() {
	w.wrote = true
	w.t.start(&w.t.write, w.t.h.s.Limits.WriteTimeout, func() {
		w.t.h.refused(w.t.r, ReasonSlowReader)
		_ = w.t.control.SetWriteDeadline(aLongTimeAgo)
	})
}
