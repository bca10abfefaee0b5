package ssh

import (
	"net"
	"os"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"gatehouse/internal/policy"
)

// conn is a channel as a connection. The library's channels have no deadlines and a write
// waits for as long as the client likes, so two goroutines of its own stand between, with as
// much memory as a socket has.
type conn struct {
	client  *client
	channel gossh.Channel

	mu      sync.Mutex
	changed sync.Cond // anything below
	in      []byte    // received and not read yet; belongs to receive
	inErr   error     // nothing more comes
	out     []byte    // written and not taken by send yet
	outErr  error     // nothing more goes
	half    bool      // nothing more will be written
	closed  bool
	sent    bool        // send has ended
	late    *time.Timer // gives up on what was written before Close

	readUntil, writeUntil time.Time
	readTimer, writeTimer *time.Timer
}

// bufferSize is how much is held on the way out, twice at most, and on the way in.
const bufferSize = 32 << 10

// lingerTime is for what was written before a close to be taken by the client.
const lingerTime = 10 * time.Second

func newConn(c *client, channel gossh.Channel) *conn {
	n := &conn{client: c, channel: channel}
	n.changed.L = &n.mu
	return n
}

// Key is what the client has proved to hold.
func (c *conn) Key() policy.Key { return c.client.key }

// LocalAddr is the door's.
func (c *conn) LocalAddr() net.Addr { return c.client.line.LocalAddr() }

// RemoteAddr is the client's own.
func (c *conn) RemoteAddr() net.Addr { return c.client.line.RemoteAddr() }

// receive takes what comes through the channel, as fast as it is read.
func (c *conn) receive() {
	buf := make([]byte, bufferSize)
	for {
		n, err := c.channel.Read(buf)
		c.mu.Lock()
		c.in, c.inErr = buf[:n], err
		c.changed.Broadcast()
		for len(c.in) > 0 && !c.closed {
			c.changed.Wait()
		}
		ended := err != nil || c.closed
		c.mu.Unlock()
		if ended {
			return
		}
	}
}

// send gives the channel what was written, as fast as the client takes it.
func (c *conn) send() {
	defer c.allSent()
	var spare []byte
	for {
		data, last := c.take(spare)
		_, err := c.channel.Write(data)
		spare = data[:0]
		c.mu.Lock()
		c.outErr = err
		c.changed.Broadcast()
		closed := c.closed
		c.mu.Unlock()
		switch {
		case err != nil || last && closed:
			_ = c.channel.Close() // one that the client has closed is closed
			return
		case last:
			_ = c.channel.CloseWrite()
			c.mu.Lock()
			for !c.closed && c.inErr == nil {
				c.changed.Wait()
			}
			c.mu.Unlock()
			_ = c.channel.Close()
			return
		}
	}
}

func (c *conn) allSent() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = true
	if c.late != nil {
		c.late.Stop()
	}
}

// take waits for something to send, and leaves spare to be filled meanwhile. last means that
// nothing comes after it.
func (c *conn) take(spare []byte) (data []byte, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.out) == 0 && !c.half && !c.closed {
		c.changed.Wait()
	}
	data, c.out = c.out, spare
	c.changed.Broadcast()
	return data, c.half || c.closed
}

// Read reads what has come.
func (c *conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case passed(c.readUntil):
			return 0, os.ErrDeadlineExceeded
		case len(c.in) > 0:
			n := copy(p, c.in)
			if c.in = c.in[n:]; len(c.in) == 0 {
				c.changed.Broadcast()
			}
			return n, nil
		case c.inErr != nil:
			return 0, c.inErr
		}
		c.changed.Wait()
	}
}

// peek waits for the first byte and leaves it to be read.
func (c *conn) peek(d time.Duration) (byte, error) {
	if err := c.SetReadDeadline(time.Now().Add(d)); err != nil {
		return 0, err
	}
	c.mu.Lock()
	for len(c.in) == 0 && c.inErr == nil && !c.closed && !passed(c.readUntil) {
		c.changed.Wait()
	}
	in := c.in
	var first byte
	if len(in) > 0 {
		first = in[0]
	}
	c.mu.Unlock()
	if len(in) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return first, c.SetReadDeadline(time.Time{})
}

// Write takes p where there is room.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := 0; ; {
		switch {
		case c.closed || c.half:
			return n, net.ErrClosed
		case c.outErr != nil:
			return n, c.outErr
		case passed(c.writeUntil):
			return n, os.ErrDeadlineExceeded
		}
		if room := min(bufferSize-len(c.out), len(p)-n); room > 0 {
			c.out = append(c.out, p[n:n+room]...)
			n += room
			c.changed.Broadcast()
		}
		if n == len(p) {
			return n, nil
		}
		c.changed.Wait()
	}
}

// CloseWrite says that nothing more will be written.
func (c *conn) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.half = true
	c.changed.Broadcast()
	return nil
}

// Close ends the connection. What was written is still sent, for a while.
func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	for _, t := range []*time.Timer{c.readTimer, c.writeTimer} {
		if t != nil {
			t.Stop()
		}
	}
	if !c.sent {
		c.late = time.AfterFunc(lingerTime, func() { _ = c.channel.Close() })
	}
	c.changed.Broadcast()
	return nil
}

// SetDeadline sets both.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline says until when a read waits.
func (c *conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(t, &c.readUntil, &c.readTimer)
}

// SetWriteDeadline likewise.
func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(t, &c.writeUntil, &c.writeTimer)
}

func (c *conn) setDeadline(t time.Time, until *time.Time, timer **time.Timer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	*until = t
	wait := time.Until(t)
	switch {
	case t.IsZero():
		if *timer != nil {
			(*timer).Stop()
		}
	case wait <= 0:
		c.changed.Broadcast()
	case *timer == nil:
		*timer = time.AfterFunc(wait, c.wake)
	default:
		(*timer).Reset(wait)
	}
	return nil
}

func (c *conn) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed.Broadcast()
}

func passed(deadline time.Time) bool { return !deadline.IsZero() && !time.Now().Before(deadline) }
