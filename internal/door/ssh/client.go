package ssh

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"gatehouse/internal/policy"
)

// line is the connection of a client. It knows when the client was heard last, and does not
// wait without end for one that does not read.
type line struct {
	net.Conn
	in     *bufio.Reader // the library reads the first line byte by byte
	begun  int           // bytes of opening that came
	notSSH bool          // something else came
	heard  atomic.Int64  // Unix time, in nanoseconds
	steady atomic.Bool   // its handshake is made, which had deadlines of its own
}

func newLine(c net.Conn) *line {
	l := &line{Conn: c, in: bufio.NewReader(c)}
	l.heard.Store(time.Now().UnixNano())
	return l
}

// opening is what a client begins with; only servers may say something before (RFC 4253
// section 4.2).
const opening = "SSH-"

func (l *line) Read(p []byte) (int, error) {
	n, err := l.in.Read(p)
	if n > 0 {
		l.heard.Store(time.Now().UnixNano())
	}
	for i := 0; i < n && l.begun < len(opening); i++ {
		if p[i] != opening[l.begun] {
			l.notSSH = true
			return 0, errRefused
		}
		l.begun++
	}
	return n, err
}

func (l *line) Write(p []byte) (int, error) {
	if l.steady.Load() {
		if err := l.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
			return 0, err
		}
	}
	return l.Conn.Write(p)
}

// client is somebody who came in, with all that goes through their tunnel.
type client struct {
	net.Conn // the line
	line     *line
	ssh      *gossh.ServerConn
	channels <-chan gossh.NewChannel
	requests <-chan *gossh.Request
	keys     HostKeys // as they were when it came
	key      policy.Key
	person   string
	until    time.Time // when its certificate, or its key, ends; zero where it does not
	asked    atomic.Bool

	mu        sync.Mutex
	open      int         // channels
	finishing bool        // the door is closed
	late      *time.Timer // ends it then
	parts     sync.WaitGroup
}

// end ends all of it, at once.
func (c *client) end() { _ = c.ssh.Close() } // a second close says nothing that anybody needs

// serve answers what the client asks for, until it has gone.
func (c *client) serve(d *Door) {
	defer c.gone()
	defer c.parts.Wait()
	defer c.end()
	c.parts.Go(c.answerRequests)
	c.announce()
	if !c.until.IsZero() {
		stop := time.AfterFunc(c.until.Sub(d.now()), c.end)
		defer stop.Stop()
	}
	for asked := range c.channels {
		c.openChannel(d, asked)
	}
}

// drain throws away what came of a client that is not served.
func (c *client) drain() {
	c.end()
	c.parts.Go(func() { gossh.DiscardRequests(c.requests) })
	for asked := range c.channels {
		_ = asked.Reject(gossh.Prohibited, "")
	}
	c.parts.Wait()
}

// check asks a silent client whether it is there, and ends one that does not say so.
func (c *client) check(d *Door, now time.Time) {
	silent := now.Sub(time.Unix(0, c.line.heard.Load()))
	switch {
	case silent > goneAfter:
		c.end()
	case silent > askAfter && c.asked.CompareAndSwap(false, true):
		d.running.Go(func() {
			_, _, _ = c.ssh.SendRequest("keepalive@openssh.com", true, nil) // its answer is heard by the line
			c.asked.Store(false)
		})
	}
}

// finish ends the client when nothing goes through it any more.
func (c *client) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finishing = true
	if c.open == 0 {
		c.end()
		return
	}
	c.late = time.AfterFunc(graceTime, c.end)
}

// gone is when nothing of the client is left.
func (c *client) gone() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.late != nil {
		c.late.Stop()
	}
}

// Extensions of OpenSSH by which a client learns the host's next key from the one that it
// knows (PROTOCOL, section 2.5).
const (
	hostKeysRequest = "hostkeys-00@openssh.com"
	proveRequest    = "hostkeys-prove-00@openssh.com"
)

// announce tells the client all keys of the host.
func (c *client) announce() {
	var payload []byte
	for _, s := range c.keys.signers() {
		payload = append(payload, gossh.Marshal(struct{ Key []byte }{s.PublicKey().Marshal()})...)
	}
	_, _, _ = c.ssh.SendRequest(hostKeysRequest, false, payload) // who has gone needs none
}

// answerRequests refuses what a client asks for beside its channels, such as ports of ours
// that lead to it, and proves the host's keys.
func (c *client) answerRequests() {
	for r := range c.requests {
		answer, ok := []byte(nil), false
		if r.Type == proveRequest {
			answer, ok = c.prove(r.Payload)
		}
		_ = r.Reply(ok, answer)
	}
}

// prove signs for each key that the client names, if all are ours.
func (c *client) prove(payload []byte) (answer []byte, ok bool) {
	signers := c.keys.signers()
	for n := 0; len(payload) > 0; n++ {
		var next struct {
			Key  []byte
			Rest []byte `ssh:"rest"`
		}
		if n >= len(signers) || gossh.Unmarshal(payload, &next) != nil {
			return nil, false
		}
		payload = next.Rest
		i := slices.IndexFunc(signers, func(s gossh.Signer) bool { return string(s.PublicKey().Marshal()) == string(next.Key) })
		if i < 0 {
			return nil, false
		}
		signature, err := signers[i].Sign(rand.Reader, gossh.Marshal(struct {
			What         string
			Session, Key []byte
		}{proveRequest, c.ssh.SessionID(), next.Key}))
		if err != nil {
			return nil, false
		}
		answer = append(answer, gossh.Marshal(struct{ Signature []byte }{gossh.Marshal(signature)})...)
	}
	return answer, len(answer) > 0
}

// What a client is told that asks for something else. Whoever reads it has come in.
const (
	onlyPages = "this door carries the pages of the house and nothing else: use ssh -N -L 8123:localhost:8123"
	onlyHere  = "only this house is behind this door: ask for localhost:8123"
	tooMany   = "too many connections at one time"
)

// openChannel makes what a client opens a connection of the door, if it leads to the gateway.
func (c *client) openChannel(d *Door, asked gossh.NewChannel) {
	if asked.ChannelType() != "direct-tcpip" {
		_ = asked.Reject(gossh.Prohibited, onlyPages)
		return
	}
	host, port, ok := parseTarget(asked.ExtraData())
	if !ok || !d.serves(host, port) {
		_ = asked.Reject(gossh.Prohibited, onlyHere)
		return
	}
	if !c.enter() {
		_ = asked.Reject(gossh.ResourceShortage, tooMany)
		return
	}
	channel, requests, err := asked.Accept()
	if err != nil {
		c.leave()
		return
	}
	through := newConn(c, channel)
	c.parts.Go(func() {
		gossh.DiscardRequests(requests)
		c.leave()
	})
	c.parts.Go(through.receive)
	c.parts.Go(through.send)
	c.parts.Go(func() { d.deliver(through) })
}

// parseTarget reads where a channel shall lead (RFC 4254 section 7.2).
func parseTarget(data []byte) (host string, port uint32, ok bool) {
	var target struct {
		Host       string
		Port       uint32
		Origin     string
		OriginPort uint32
	}
	if gossh.Unmarshal(data, &target) != nil {
		return "", 0, false
	}
	return target.Host, target.Port, true
}

func (c *client) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finishing || c.open >= maxChannels {
		return false
	}
	c.open++
	return true
}

func (c *client) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open--; c.open == 0 && c.finishing {
		c.end()
	}
}

// firstByteTime is how long a connection may say nothing, as at other doors.
const firstByteTime = 10 * time.Second

// handshakeByte is what TLS begins with; no method of HTTP does.
const handshakeByte = 0x16

// deliver gives a connection to whoever accepts, as what its first byte says it is.
func (d *Door) deliver(c *conn) {
	stop := context.AfterFunc(d.ctx, func() { _ = c.Close() })
	first, err := c.peek(firstByteTime)
	stop()
	if err != nil {
		_ = c.Close()
		return
	}
	var out net.Conn = c
	if first == handshakeByte {
		if d.cfg.TLS == nil {
			_ = c.Close()
			return
		}
		out = tls.Server(c, d.cfg.TLS)
	}
	select {
	case d.out <- out:
	case <-d.ctx.Done():
		_ = c.Close()
	}
}
