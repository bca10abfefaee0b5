package wire

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// headRoom is kept free in front of an answer's content, so that head, chunk
	// size and content leave in one write.
	headRoom = 1536
	tailRoom = 16
	// outSize is what TLS puts in one record at most.
	outSize = 16 << 10
	// pieceSize is what a client must take within a WriteTimeout.
	pieceSize = 64 << 10
)

// outBuffer holds an answer on its way out.
type outBuffer struct {
	head []byte // status line and headers
	b    [outSize]byte
}

var outBuffers = sync.Pool{New: func() any { return &outBuffer{head: make([]byte, 0, headRoom)} }}

// output writes to a connection, by one goroutine at a time and never for longer
// than the client has to take what is written.
type output struct {
	nc      net.Conn
	timeout time.Duration
	limit   atomic.Int64 // the handler's own deadline, as UnixNano; 0 for none
	slow    atomic.Bool  // the client did not take what it was sent

	mu       sync.Mutex
	deadline time.Time
	err      error // sticky
}

// write writes all of p.
func (o *output) write(p []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(p) > 0 && o.err == nil {
		piece := p[:min(len(p), pieceSize)]
		own, err := o.extend()
		if err == nil {
			_, err = o.nc.Write(piece)
		}
		if err != nil {
			o.err = err
			o.slow.Store(!own && errors.Is(err, os.ErrDeadlineExceeded))
		}
		p = p[len(piece):]
	}
	return o.err
}

// extend moves the write deadline on, which may then come up to an eighth early.
// own says that it is the handler's.
func (o *output) extend() (own bool, err error) {
	now := time.Now()
	until := now.Add(o.timeout)
	if limit := o.limit.Load(); limit != 0 && limit < until.UnixNano() {
		o.deadline = time.Unix(0, limit)
		return true, o.nc.SetWriteDeadline(o.deadline)
	}
	if left := o.deadline.Sub(now); left <= o.timeout && left > o.timeout-o.timeout/8 {
		return false, nil
	}
	o.deadline = until
	return false, o.nc.SetWriteDeadline(until)
}
