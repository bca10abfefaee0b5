package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const smallInput = 4 << 10

// smallInputs holds buffers of smallInput bytes, which nearly every head fits in.
var smallInputs = sync.Pool{New: func() any { b := make([]byte, smallInput); return &b }}

// input is what a connection has sent and nobody has read yet.
type input struct {
	nc       net.Conn
	limits   *Limits
	buf      []byte
	small    *[]byte // buf's origin when it came from the pool
	r, w     int     // buf[r:w] is unread
	deadline time.Time
	stale    atomic.Bool // the deadline was set by interrupt
	gone     error       // how reading ended, found by a watcher
}

func (in *input) start(nc net.Conn, limits *Limits) {
	in.nc, in.limits = nc, limits
	in.small = smallInputs.Get().(*[]byte)
	in.buf = *in.small
}

// end gives the buffer back. Nothing may be read after it.
func (in *input) end() {
	if in.small != nil {
		smallInputs.Put(in.small)
	}
	in.small, in.buf, in.r, in.w = nil, nil, 0, 0
}

// shrink goes back to a small buffer after a big head.
func (in *input) shrink() {
	if in.r == in.w {
		in.r, in.w = 0, 0
		if in.small == nil {
			in.small = smallInputs.Get().(*[]byte)
			in.buf = *in.small
		}
	}
}

// until sets the read deadline, if it is not so set already.
func (in *input) until(t time.Time) error {
	if t.Equal(in.deadline) && !in.stale.Load() {
		return nil
	}
	in.stale.Store(false)
	in.deadline = t
	return in.nc.SetReadDeadline(t)
}

// interrupt sets the deadline of a read that is under way in another goroutine.
func (in *input) interrupt(t time.Time) {
	in.stale.Store(true)
	_ = in.nc.SetReadDeadline(t)
}

// idleUntil is until for a deadline that may come up to an eighth early.
func (in *input) idleUntil(now time.Time, d time.Duration) error {
	if left := in.deadline.Sub(now); !in.stale.Load() && left <= d && left > d-d/8 {
		return nil
	}
	return in.until(now.Add(d))
}

// more reads at least one byte into the buffer, which has room.
func (in *input) more() error {
	if in.gone != nil {
		return in.gone
	}
	for range 100 {
		n, err := in.nc.Read(in.buf[in.w:])
		in.w += n
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// makeRoom makes sure that a head of up to max bytes has room to go on; false
// when it is longer.
func (in *input) makeRoom(max int) bool {
	if in.w < len(in.buf) {
		return true
	}
	if in.r > 0 {
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
		return true
	}
	if len(in.buf) >= max {
		return false
	}
	bigger := make([]byte, min(max, 4*len(in.buf)))
	copy(bigger, in.buf[:in.w])
	if in.small != nil {
		smallInputs.Put(in.small)
		in.small = nil
	}
	in.buf = bigger
	return true
}

// errIdle means that a connection ended or ran out of time between two requests.
var errIdle = errors.New("wire: nothing more was asked")

// readHead reads until the empty line that ends a head, and returns it with the
// number of its header lines. first is when the first byte must be there. The
// error is errIdle when not one byte came, a *RefusedError for all else.
func (in *input) readHead(now time.Time, first time.Duration) (text string, lines int, err error) {
	if in.r == in.w {
		in.shrink()
		if err := in.idleUntil(now, first); err != nil {
			return "", 0, errIdle
		}
		if err := in.more(); err != nil {
			return "", 0, errIdle
		}
	}
	timed := false
	lineStart, scan := 0, 0 // from in.r
	for {
		unread := in.buf[in.r:in.w]
		for {
			i := bytes.IndexByte(unread[scan:], '\n')
			if i < 0 {
				break
			}
			end := scan + i
			switch {
			case end == lineStart || unread[end-1] != '\r' || unread[lineStart] == '\r' && end-1 > lineStart:
				return "", 0, refuse(ReasonLineEnd)
			case end-1-lineStart > in.limits.MaxLine:
				return "", 0, refuse(ReasonLongLine)
			case end+1 > in.limits.MaxHead:
				return "", 0, refuse(ReasonLongHead)
			case end-1 == lineStart && lineStart == 0:
				return "", 0, refuse(ReasonLine)
			case end-1 == lineStart:
				in.r += end + 1
				return string(unread[:end+1]), lines - 1, nil
			}
			if lines++; lines > in.limits.MaxHeaders+1 {
				return "", 0, refuse(ReasonManyHeaders)
			}
			lineStart, scan = end+1, end+1
		}
		scan = len(unread)
		if scan-lineStart > in.limits.MaxLine+1 {
			return "", 0, refuse(ReasonLongLine)
		}
		if !in.makeRoom(in.limits.MaxHead) {
			return "", 0, refuse(ReasonLongHead)
		}
		if !timed {
			timed = true
			if err := in.until(time.Now().Add(in.limits.HeaderTimeout)); err != nil {
				return "", 0, refuse(ReasonTruncated)
			}
		}
		if err := in.more(); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return "", 0, refuse(ReasonSlowHead)
			}
			return "", 0, refuse(ReasonTruncated)
		}
	}
}
