package wireguard

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"gatehouse/internal/policy"
)

// unheard is how long a peer may not confirm what it was sent, or say nothing at all, until
// a connection is given up. A phone that changes networks is away for seconds.
const unheard = 2 * time.Minute

// Conn is a TCP connection that came through the tunnel.
type Conn struct {
	*gonet.TCPConn
	endpoint tcpip.Endpoint
	peer     *member
	once     sync.Once
}

// Key is the peer's: WireGuard has made sure of it.
func (c *Conn) Key() policy.Key { return c.peer.id }

// Read reads, with the errors that net.Conn has.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	return n, plainError(err)
}

// Write likewise.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	return n, plainError(err)
}

// plainError is the standard library's word for a deadline that has passed.
func plainError(err error) error {
	var waited net.Error
	if errors.As(err, &waited) && waited.Timeout() {
		return os.ErrDeadlineExceeded
	}
	return err
}

// Close ends the connection as TCP does.
func (c *Conn) Close() error {
	c.once.Do(func() { c.peer.leave(c) })
	return c.TCPConn.Close()
}

// cut ends it at once.
func (c *Conn) cut() {
	c.once.Do(func() { c.peer.leave(c) })
	c.endpoint.Abort()
}

// serve has each connection and each flow of UDP that begins judged.
func (t *tunnel) serve(stream func(*tcp.ForwarderRequest), flow func(*udp.ForwarderRequest)) {
	streams := tcp.NewForwarder(t.stack, usualBuffer, maxBegun, stream)
	t.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, streams.HandlePacket)
	t.stack.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(t.stack, flow).HandlePacket)
}

// stream judges a TCP connection that begins.
func (d *Door) stream(r *tcp.ForwarderRequest) {
	from, to := endsOf(r.ID())
	if !d.isOwn(to.Addr()) {
		d.reachStream(r, from, to)
		return
	}
	var handOver func(*Conn)
	switch to.Port() {
	case portTLS:
		handOver = d.secure.put
	case portPlain:
		handOver = d.plain.put
	case portDNS:
		handOver = d.answerStream
	}
	c := d.room(from.Addr())
	if handOver == nil || c == nil || !c.begin(r) {
		c.giveUp()
		r.Complete(true)
		return
	}
	r.Complete(false)
	handOver(c)
}

// room is a connection that has not begun, of a peer that has room for it; nil where it has
// none, or nobody has the address.
func (d *Door) room(from netip.Addr) *Conn {
	c := &Conn{peer: d.peers.at(from)}
	if c.peer == nil || !c.peer.enter(c) {
		return nil
	}
	return c
}

// giveUp gives the room back of a connection that has not begun.
func (c *Conn) giveUp() {
	if c != nil {
		c.peer.leave(c)
	}
}

// begin shakes hands. It is false where that fails, or the peer has gone meanwhile.
func (c *Conn) begin(r *tcp.ForwarderRequest) bool {
	var wq waiter.Queue
	ep, err := r.CreateEndpoint(&wq)
	if err != nil {
		return false
	}
	options(ep)
	c.endpoint, c.TCPConn = ep, gonet.NewTCPConn(&wq, ep)
	if !c.peer.made(c) {
		c.cut()
		return false
	}
	return true
}

// options are those that every connection has. That one cannot be set is no reason to
// refuse a peer.
func options(ep tcpip.Endpoint) {
	gone, idle, every := tcpip.TCPUserTimeoutOption(unheard), tcpip.KeepaliveIdleOption(unheard/2), tcpip.KeepaliveIntervalOption(unheard/4)
	for _, o := range []tcpip.SettableSocketOption{&gone, &idle, &every} {
		_ = ep.SetSockOpt(o)
	}
	_ = ep.SetSockOptInt(tcpip.KeepaliveCountOption, 3)
	ep.SocketOptions().SetKeepAlive(true)
}

// queue is a listener of connections that were judged.
type queue struct {
	addr net.Addr
	come chan *Conn
	done chan struct{}
	once sync.Once
}

func newQueue(addr net.Addr) *queue {
	return &queue{addr: addr, come: make(chan *Conn, maxAccepted), done: make(chan struct{})}
}

// put hands a connection over; where nobody takes any, it ends.
func (q *queue) put(c *Conn) {
	select {
	case <-q.done:
		c.cut()
		return
	default:
	}
	select {
	case q.come <- c:
	default:
		c.cut()
	}
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case <-q.done:
		return nil, net.ErrClosed
	case c := <-q.come:
		return c, nil
	}
}

// Close ends what waits.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.done) })
	for {
		select {
		case c := <-q.come:
			c.cut()
		default:
			return nil
		}
	}
}

func (q *queue) Addr() net.Addr { return q.addr }
