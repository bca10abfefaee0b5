package wire

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// directRead is the size from which on a body is read past the buffer.
const directRead = 2 << 10

// maxChunkDigits bounds a chunk size: eight digits are 4 GiB.
const maxChunkDigits = 8

// drainMax is how much of a body that the handler did not want is read so that the
// connection can go on, and drainTime how long that may take.
const (
	drainMax  = 64 << 10
	drainTime = 5 * time.Second
)

// body is a request's content. It is made anew for each request: a reader that
// outlives its request finds it closed and never reads the next one's bytes.
type body struct {
	c       *conn
	w       *response // to be told to continue; nil once it was, or if nobody waits for it
	limit   atomic.Int64
	closing atomic.Bool // set before mu is taken to close it

	mu      sync.Mutex // held while reading
	chunked bool
	begun   bool  // a chunk has been read: CR LF stands before the next size
	left    int64 // bytes until the end, or until the end of the chunk
	err     error // what Read returns from now on: io.EOF once all is read
	broken  bool  // where the body ends is not known any more
	// waited is how long the client let us wait for the last got bytes.
	waited time.Duration
	got    int
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closing.Load():
		return 0, http.ErrBodyReadAfterClose
	case b.err != nil:
		return 0, b.err
	case len(p) == 0:
		return 0, nil
	}
	if w := b.w; w != nil {
		b.w = nil
		if err := w.sendContinue(); err != nil {
			b.err = err
			return 0, err
		}
	}
	n, err := b.read(p)
	if err != nil {
		b.end(err)
	}
	return n, err
}

// Close ends reading, also one that is under way; what is left is the server's
// to deal with.
func (b *body) Close() error {
	b.closing.Store(true)
	if !b.mu.TryLock() {
		b.c.in.interrupt(aLongTimeAgo)
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = http.ErrBodyReadAfterClose
	}
	return nil
}

// end remembers how reading ended.
func (b *body) end(err error) {
	b.err = err
	if err == io.EOF {
		b.left = 0
		b.c.watch.arm()
		return
	}
	b.broken = true
	var refused *RefusedError
	if errors.As(err, &refused) {
		b.c.refused.CompareAndSwap(nil, &refused.Reason)
	}
}

// ended reports whether all of the body has been read.
func (b *body) ended() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err == io.EOF
}

// tooMuchLeft reports whether more is to come than drain would read.
func (b *body) tooMuchLeft() bool {
	if !b.mu.TryLock() {
		return false // it is being read
	}
	defer b.mu.Unlock()
	return b.broken || !b.chunked && b.left > drainMax
}

// drain reads what the handler left, if it is little, so that the connection can
// go on; false means that it cannot. The body has been closed.
func (b *body) drain() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == io.EOF || b.broken {
		return !b.broken
	}
	b.w = nil
	b.limit.Store(time.Now().Add(drainTime).UnixNano())
	b.closing.Store(false)
	scratch := make([]byte, directRead)
	for total := 0; total <= drainMax; {
		n, err := b.read(scratch)
		if err != nil {
			return err == io.EOF
		}
		total += n
	}
	return false
}

func (b *body) read(p []byte) (int, error) {
	if b.chunked && b.left == 0 {
		if err := b.nextChunk(); err != nil {
			return 0, err
		}
	}
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.some(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err == nil && b.left == 0 && !b.chunked {
		err = io.EOF
	}
	return n, err
}

// some reads at least one byte of content.
func (b *body) some(p []byte) (int, error) {
	in := &b.c.in
	if in.r == in.w {
		if len(p) >= directRead {
			return b.fetch(p)
		}
		if err := b.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, in.buf[in.r:in.w])
	in.r += n
	return n, nil
}

// octet reads one byte of chunk framing.
func (b *body) octet() (byte, error) {
	in := &b.c.in
	if in.r == in.w {
		if err := b.fill(); err != nil {
			return 0, err
		}
	}
	in.r++
	return in.buf[in.r-1], nil
}

func (b *body) fill() error {
	in := &b.c.in
	in.r, in.w = 0, 0
	n, err := b.fetch(in.buf)
	in.w = n
	return err
}

// fetch reads from the connection. Only time in which the client lets us wait is
// counted: a handler may take as long as it likes between two reads. An error
// comes without bytes.
func (b *body) fetch(p []byte) (int, error) {
	in := &b.c.in
	now := time.Now()
	own, err := b.setDeadline(now)
	if err != nil {
		return 0, refuse(ReasonTruncated)
	}
	if b.closing.Load() { // after the deadline was set: see Close
		return 0, http.ErrBodyReadAfterClose
	}
	n := 0
	for n == 0 && err == nil {
		n, err = in.nc.Read(p)
	}
	b.waited += time.Since(now)
	if b.got += n; b.got >= in.limits.MinProgress {
		b.waited, b.got = 0, 0
	}
	switch {
	case n > 0:
		return n, nil
	case b.closing.Load():
		return 0, http.ErrBodyReadAfterClose
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return 0, refuse(ReasonTruncated)
	case own:
		return 0, os.ErrDeadlineExceeded
	}
	return 0, refuse(ReasonSlowBody)
}

// setDeadline sets until when the next read may take; own says that this is the
// handler's doing.
func (b *body) setDeadline(now time.Time) (own bool, err error) {
	for {
		limit := b.limit.Load()
		until := now.Add(b.c.in.limits.BodyTimeout - b.waited)
		if own = limit != 0 && limit < until.UnixNano(); own {
			until = time.Unix(0, limit)
		}
		err = b.c.in.until(until)
		if b.limit.Load() == limit {
			return own, err
		}
	}
}

// nextChunk reads up to the content of the next chunk; io.EOF after the last one.
func (b *body) nextChunk() error {
	if b.begun {
		if err := b.lineEnd(ReasonChunk); err != nil {
			return err
		}
	}
	b.begun = true
	size, digits := int64(0), 0
	for ; ; digits++ {
		c, err := b.octet()
		if err != nil {
			return err
		}
		if c == '\r' && digits > 0 {
			break
		}
		if !isHex(c) || digits == maxChunkDigits {
			return refuse(ReasonChunk) // an extension, a space, a sign, a bare LF
		}
		size = size<<4 | int64(hexValue(c))
	}
	if c, err := b.octet(); err != nil {
		return err
	} else if c != '\n' {
		return refuse(ReasonChunk)
	}
	if b.left = size; size > 0 {
		return nil
	}
	if err := b.lineEnd(ReasonTrailer); err != nil {
		return err
	}
	return io.EOF
}

// lineEnd reads a CR LF; anything else is what reason says.
func (b *body) lineEnd(reason Reason) error {
	for _, want := range []byte("\r\n") {
		c, err := b.octet()
		if err != nil {
			return err
		}
		if c != want {
			return refuse(reason)
		}
	}
	return nil
}

func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
