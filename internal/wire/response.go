package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"time"
)

// response is the http.ResponseWriter of one request. Like every ResponseWriter
// it is used by one goroutine; sendContinue alone comes from the body's reader.
type response struct {
	c      *conn
	body   *body // nil when the request has none
	cancel context.CancelFunc
	header http.Header

	// What the request asked, which a handler may have changed since.
	isHead, lastOne, upgrade bool

	status   int   // 0 until WriteHeader
	declared int64 // Content-Length as the handler said it; -1 if it did not
	written  int64 // bytes of content that the handler wrote
	chunked  bool
	sent     bool // the head has left, or is past changing
	close    bool // the connection ends with this answer
	hijacked bool
	done     bool // the handler has returned

	buf *outBuffer
	n   int // content waits in buf.b[headRoom:n]

	expectMu sync.Mutex
	expects  bool // the client waits for 100 Continue
	answered bool // the head left while it waited
}

var (
	errAnswered  = errors.New("wire: answered without asking for the body")
	errBodyFirst = errors.New("wire: body must be read before taking the connection over")
)

func (w *response) Header() http.Header { return w.header }

// WriteHeader fixes status and headers. A 1xx status other than 101 is sent at
// once, and another one follows.
func (w *response) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("wire: invalid status %d", status))
	}
	if w.status != 0 || w.hijacked || w.done {
		return
	}
	w.need()
	w.buf.head = appendStatus(w.buf.head[:0], status)
	if status < 200 && status != http.StatusSwitchingProtocols {
		if status == http.StatusContinue {
			w.stopWaiting()
		}
		w.buf.head = w.appendHeaders(w.buf.head)
		w.buf.head = append(w.buf.head, "\r\n"...)
		_ = w.c.out.write(w.buf.head)
		return
	}
	w.status, w.declared = status, -1
	w.buf.head = w.appendHeaders(w.buf.head)
}

// appendStatus appends a status line.
func appendStatus(b []byte, status int) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	if text := http.StatusText(status); text != "" {
		return append(append(b, text...), "\r\n"...)
	}
	return append(b, "Status\r\n"...)
}

// appendHeaders appends the handler's headers but for those that say how long the
// answer is and whether the connection goes on: these are w's own affair.
func (w *response) appendHeaders(b []byte) []byte {
	for name, values := range w.header {
		switch name {
		case "Transfer-Encoding", "Trailer":
			continue
		case "Content-Length":
			if len(values) > 0 && w.status != 0 {
				if n, ok := parseLength(values[0]); ok {
					w.declared = n
				}
			}
			continue
		case "Connection":
			if w.status != http.StatusSwitchingProtocols {
				for _, v := range values {
					w.close = w.close || hasClose(v)
				}
				continue
			}
		}
		if !all(name, classToken) || strings.HasPrefix(name, http.TrailerPrefix) {
			continue
		}
		for _, v := range values {
			b = append(append(b, name...), ": "...)
			b = appendValue(b, v)
			b = append(b, "\r\n"...)
		}
	}
	return b
}

// appendValue appends a header value in which no line can end.
func appendValue(b []byte, v string) []byte {
	start := len(b)
	b = append(b, textproto.TrimString(v)...)
	for i, c := range b[start:] {
		if c == '\r' || c == '\n' || c == 0 {
			b[start+i] = ' '
		}
	}
	return b
}

func hasClose(v string) bool {
	for option := range strings.SplitSeq(v, ",") {
		if strings.EqualFold(trimSpace(option), "close") {
			return true
		}
	}
	return false
}

// appendFraming appends what ends the head: date, length or coding, and close.
// final says that all content is in the buffer.
func (w *response) appendFraming(b []byte, final bool) []byte {
	if _, own := w.header["Date"]; !own {
		b = append(b, "Date: "...)
		b = append(b, w.c.s.dateNow()...)
		b = append(b, "\r\n"...)
	}
	length := w.declared
	switch {
	case w.status == http.StatusSwitchingProtocols, w.status == http.StatusNoContent:
		length = -1
	case w.status == http.StatusNotModified:
	case length >= 0:
	case final && (!w.isHead || w.written > 0):
		length = w.written
	case !final && !w.isHead:
		w.chunked = true
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if length >= 0 {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, length, 10)
		b = append(b, "\r\n"...)
	}
	if w.close {
		b = append(b, "Connection: close\r\n"...)
	}
	return append(b, "\r\n"...)
}

// hasContent reports whether content follows the head.
func (w *response) hasContent() bool {
	return !w.isHead && w.status >= 200 && w.status != http.StatusNoContent && w.status != http.StatusNotModified
}

func (w *response) need() {
	if w.buf == nil {
		w.buf = outBuffers.Get().(*outBuffer)
		w.n = headRoom
	}
}

func (w *response) Write(p []byte) (int, error) { return write(w, p) }

// WriteString is Write for a string.
func (w *response) WriteString(s string) (int, error) { return write(w, s) }

func write[T []byte | string](w *response, p T) (int, error) {
	switch {
	case w.hijacked:
		return 0, http.ErrHijacked
	case w.done:
		return 0, errors.New("wire: written after the handler returned")
	case w.c.refused.Load() != nil:
		return 0, &RefusedError{*w.c.refused.Load()}
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if w.status == http.StatusSwitchingProtocols || w.status == http.StatusNoContent || w.status == http.StatusNotModified {
		return 0, http.ErrBodyNotAllowed
	}
	w.written += int64(len(p))
	if w.declared >= 0 && w.written > w.declared {
		w.close = true
		return 0, http.ErrContentLength
	}
	if !w.hasContent() {
		return len(p), nil
	}
	return fill(w, p)
}

// fill puts content in the buffer and sends it whenever it is full.
func fill[T []byte | string](w *response, p T) (int, error) {
	total := len(p)
	for len(p) > 0 {
		room := outSize - tailRoom - w.n
		if room == 0 {
			if err := w.flush(false); err != nil {
				return total - len(p), err
			}
			room = outSize - tailRoom - w.n
		}
		if b, ok := any(p).([]byte); ok && len(b) >= outSize && w.sent && !w.chunked && w.n == headRoom {
			if err := w.send(b); err != nil { // as it is, without copying
				return total - len(p), err
			}
			return total, nil
		}
		n := copy(w.buf.b[w.n:w.n+room], p)
		w.n += n
		p = p[n:]
	}
	return total, nil
}

// flush sends what the buffer holds, after the head if that has not left yet.
// final says that no content follows.
func (w *response) flush(final bool) error {
	if reason := w.c.refused.Load(); reason != nil && !w.sent {
		return &RefusedError{*reason}
	}
	b, start, end := &w.buf.b, headRoom, w.n
	var head []byte
	if !w.sent {
		w.sent = true
		w.stopWaiting()
		w.settleClose()
		w.buf.head = w.appendFraming(w.buf.head, final)
		head = w.buf.head
	}
	if w.chunked {
		if end > start {
			size := strconv.AppendInt(b[headRoom-16:headRoom-16:headRoom], int64(end-start), 16)
			start -= len(size) + 2
			copy(b[start:], size)
			copy(b[headRoom-2:], "\r\n")
			end += copy(b[end:], "\r\n")
		}
		if final {
			end += copy(b[end:], "0\r\n\r\n")
		}
	}
	if len(head) <= start {
		start -= len(head)
		copy(b[start:], head)
	} else if err := w.send(head); err != nil {
		return err
	}
	w.n = headRoom
	if start == end {
		return nil
	}
	return w.send(b[start:end])
}

// send writes to the client; one that cannot be written to has gone.
func (w *response) send(p []byte) error {
	err := w.c.out.write(p)
	if err != nil {
		w.close = true
		w.cancel()
	}
	return err
}

// settleClose decides, before the head leaves, whether the connection can go on.
func (w *response) settleClose() {
	switch {
	case w.lastOne, w.c.ctx.Err() != nil:
		w.close = true
	case w.upgrade && w.status != http.StatusSwitchingProtocols:
		w.close = true // what follows may be meant for the protocol that was asked for
	case w.body != nil && w.body.tooMuchLeft():
		w.close = true
	}
}

// FlushError sends what was written so far.
func (w *response) FlushError() error {
	if w.hijacked {
		return http.ErrHijacked
	}
	if w.done {
		return nil
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.flush(false)
}

// Flush is FlushError for those who do not want to know.
func (w *response) Flush() { _ = w.FlushError() }

// finish ends the answer after the handler returned.
func (w *response) finish() {
	w.done = true
	if w.status == 0 {
		w.done = false
		w.WriteHeader(http.StatusOK)
		w.done = true
	}
	if w.hasContent() && w.declared >= 0 && w.written < w.declared {
		w.close = true // the client must not wait for the rest
	}
	if w.sent && w.n == headRoom && !w.chunked {
		return
	}
	_ = w.flush(true)
}

// release gives the buffer back.
func (w *response) release() {
	if w.buf == nil {
		return
	}
	if cap(w.buf.head) <= 4*headRoom {
		outBuffers.Put(w.buf)
	}
	w.buf = nil
}

// sendContinue asks a client for its body that waits to be asked.
func (w *response) sendContinue() error {
	w.expectMu.Lock()
	defer w.expectMu.Unlock()
	if !w.expects {
		if w.answered {
			return errAnswered
		}
		return nil
	}
	w.expects = false
	return w.c.out.write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
}

// stopWaiting is called when a head leaves. A client that still waits to be asked
// for its body may send it or not: what it sends next cannot be told from a
// request, so the connection ends.
func (w *response) stopWaiting() {
	w.expectMu.Lock()
	defer w.expectMu.Unlock()
	if w.expects && w.status >= 200 {
		w.close, w.answered = true, true
	}
	w.expects = false
}

// Hijack gives the connection to the handler, without deadlines, with what the
// client has sent already in the reader. The server forgets about it.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	switch {
	case w.hijacked:
		return nil, nil, http.ErrHijacked
	case w.done:
		return nil, nil, errors.New("wire: taken over after the handler returned")
	case w.body != nil && !w.body.ended():
		return nil, nil, errBodyFirst
	}
	c := w.c
	c.watch.disarm()
	if w.status != 0 && !w.sent {
		if err := w.flush(true); err != nil {
			return nil, nil, err
		}
	}
	if err := c.nc.SetDeadline(time.Time{}); err != nil {
		return nil, nil, err
	}
	w.hijacked = true
	early := bytes.Clone(c.in.buf[c.in.r:c.in.w])
	c.in.end()
	br := bufio.NewReaderSize(&replayConn{Conn: c.nc, unread: early}, max(4<<10, len(early)))
	if _, err := br.Peek(len(early)); err != nil {
		return nil, nil, err
	}
	return c.nc, bufio.NewReadWriter(br, bufio.NewWriter(c.nc)), nil
}

// SetReadDeadline bounds reading the body, within what Limits allow.
func (w *response) SetReadDeadline(t time.Time) error {
	if w.body != nil {
		w.body.limit.Store(unixNano(t))
		if w.body.mu.TryLock() {
			w.body.mu.Unlock()
		} else if !t.IsZero() && time.Until(t) < w.c.s.Limits.BodyTimeout {
			w.c.in.interrupt(t)
		}
	}
	return nil
}

// SetWriteDeadline bounds writing the answer, within what Limits allow.
func (w *response) SetWriteDeadline(t time.Time) error {
	w.c.out.limit.Store(unixNano(t))
	return nil
}

// EnableFullDuplex changes nothing: a body can be read after the answer has begun.
func (w *response) EnableFullDuplex() error { return nil }

func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(t.UnixNano(), 1)
}
