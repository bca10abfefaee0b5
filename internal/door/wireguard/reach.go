package wireguard

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// What a peer reaches behind the gateway, where the owner has named a network.

const (
	dialTime = 10 * time.Second // for somebody behind to answer
	flowIdle = 90 * time.Second // a flow of UDP without a packet ends
	maxUDP   = 64 << 10         // bytes of one packet
)

// endsOf are who begins a connection, and where it goes.
func endsOf(id stack.TransportEndpointID) (from, to netip.AddrPort) {
	return netip.AddrPortFrom(addrOf(id.RemoteAddress), id.RemotePort), netip.AddrPortFrom(addrOf(id.LocalAddress), id.LocalPort)
}

// reaches reports whether peers may reach an address. In a network that the owner has named
// it may be any but what is no single neighbour, and what is spared.
func (d *Door) reaches(a netip.Addr) bool {
	switch {
	case !within(d.cfg.Reach, a), a.IsUnspecified(), a.IsLoopback(), a.IsMulticast(), a.IsLinkLocalUnicast(), a.Is4In6():
		return false
	case d.cfg.Spare != nil && d.cfg.Spare(a):
		return false
	}
	for _, n := range d.cfg.Reach {
		if isBroadcast(n.Masked(), a) {
			return false
		}
	}
	for _, n := range d.cfg.Networks {
		if n.Masked().Contains(a) {
			return false
		}
	}
	return true
}

// isBroadcast reports whether an address is everybody in an IPv4 network, or its own name.
func isBroadcast(n netip.Prefix, a netip.Addr) bool {
	if !a.Is4() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return a.Is4()
	}
	if !n.Contains(a) || n.Bits() >= 31 {
		return false
	}
	return a == n.Addr() || !n.Contains(a.Next())
}

// reachStream makes a connection to somebody behind for a peer, and carries between them.
// Who is not reached refuses, as one does at whom nothing listens.
func (d *Door) reachStream(r *tcp.ForwarderRequest, from, to netip.AddrPort) {
	if !d.reaches(to.Addr()) {
		r.Complete(true)
		return
	}
	c := d.room(from.Addr()) // before anybody is asked: what waits for an answer counts, too
	if c == nil {
		r.Complete(true)
		return
	}
	behind, err := d.dial(d.tunnel.ctx, "tcp", to.String())
	begun := err == nil && c.begin(r)
	r.Complete(!begun)
	if begun {
		carry(c, behind)
		return
	}
	c.giveUp()
	if err == nil {
		_ = behind.Close()
	}
}

// carry copies both ways until both have ended, or one has failed.
func carry(c, behind net.Conn) {
	var wg sync.WaitGroup
	stop := func() { _ = c.Close(); _ = behind.Close() }
	wg.Go(func() {
		if _, err := io.Copy(behind, c); err != nil || closeWrite(behind) != nil {
			stop()
		}
	})
	wg.Go(func() {
		if _, err := io.Copy(c, behind); err != nil || closeWrite(c) != nil {
			stop()
		}
	})
	wg.Wait()
	stop()
}

// closeWrite says that no more follows.
func closeWrite(c net.Conn) error {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// flow judges the first packet of a flow of UDP. Those to the door itself that nothing
// listens for end here. It must be quick: the peer's packets wait for it.
func (d *Door) flow(r *udp.ForwarderRequest) {
	from, to := endsOf(r.ID())
	m := d.peers.at(from.Addr())
	if m == nil || d.isOwn(to.Addr()) || !d.reaches(to.Addr()) {
		return
	}
	f := &flow{peer: m}
	f.ctx, f.end = context.WithCancel(d.tunnel.ctx)
	if !m.flow(f) || !d.open(f, r, to) {
		m.leave(f)
		f.end()
		return
	}
	go f.carry()
}

// open opens both ends of a flow. Nothing is waited for.
func (d *Door) open(f *flow, r *udp.ForwarderRequest, to netip.AddrPort) bool {
	behind, err := d.dial(f.ctx, "udp", to.String())
	if err != nil {
		return false
	}
	var wq waiter.Queue
	ep, tcpErr := r.CreateEndpoint(&wq)
	if tcpErr != nil {
		_ = behind.Close()
		return false
	}
	f.inside, f.behind = gonet.NewUDPConn(&wq, ep), behind
	return true
}

// flow is UDP between a peer and somebody behind.
type flow struct {
	peer           *member
	inside, behind net.Conn
	ctx            context.Context
	end            context.CancelFunc
	used           atomic.Int64 // when it was last, in nanoseconds since 1970
}

// cut ends the flow.
func (f *flow) cut() { f.end() }

// carry copies both ways until nothing came for a while.
func (f *flow) carry() {
	defer f.end()
	defer f.peer.leave(f)
	stop := context.AfterFunc(f.ctx, func() { _ = f.inside.Close(); _ = f.behind.Close() })
	defer stop()
	f.used.Store(time.Now().UnixNano())
	var wg sync.WaitGroup
	wg.Go(func() { f.copy(f.behind, f.inside) })
	wg.Go(func() { f.copy(f.inside, f.behind) })
	wg.Wait()
	_ = f.inside.Close()
	_ = f.behind.Close()
}

func (f *flow) copy(to, from net.Conn) {
	defer f.end()
	packet := make([]byte, maxUDP)
	for f.ctx.Err() == nil {
		_ = from.SetReadDeadline(time.Now().Add(flowIdle)) // closed already: Read says so
		n, err := from.Read(packet)
		if err != nil {
			if time.Since(time.Unix(0, f.used.Load())) >= flowIdle || !isTimeout(err) {
				return
			}
			continue
		}
		f.used.Store(time.Now().UnixNano())
		if _, err := to.Write(packet[:n]); err != nil && !isRefused(err) {
			return
		}
	}
}

func isTimeout(err error) bool { return errors.Is(plainError(err), os.ErrDeadlineExceeded) }

// isRefused reports whether somebody behind said that nothing listens there, which UDP
// learns a packet too late.
func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
