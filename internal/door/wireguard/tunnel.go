package wireguard

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// What the tunnel's end holds of memory: packets that wait to be encrypted, and the
// buffers of one TCP connection, in bytes. A buffer grows from usual to most only with a
// connection that fills it.
const (
	waitingPackets = 1024
	usualBuffer    = 256 << 10
	mostBuffer     = 1 << 20
)

// nicID is the number of the tunnel's only interface.
const nicID = 1

// tunnel is the inner end of the tunnel: TCP/IP in this process, for which the machine
// needs no interface, route or right. What comes out of it is for the gateway's own
// addresses, or for a network that the owner has named; it forwards nothing by itself.
type tunnel struct {
	own   []netip.Addr
	reach []netip.Prefix
	mtu   int
	link  *channel.Endpoint
	stack *stack.Stack

	ctx    context.Context // ends with the tunnel
	end    context.CancelFunc
	events chan tun.Event // never sent to
	once   sync.Once
}

func newTunnel(own []netip.Addr, reach []netip.Prefix, mtu int) (*tunnel, error) {
	t := &tunnel{own: own, reach: reach, mtu: mtu, events: make(chan tun.Event), link: channel.New(waitingPackets, uint32(mtu), ""),
		stack: stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		})}
	t.ctx, t.end = context.WithCancel(context.Background())
	if err := t.prepare(); err != nil {
		_ = t.Close()
		return nil, err
	}
	return t, nil
}

// prepare sets up the interface.
func (t *tunnel) prepare() error {
	selective, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: usualBuffer, Max: mostBuffer}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: usualBuffer, Max: mostBuffer}
	for _, o := range []tcpip.SettableTransportProtocolOption{&selective, &moderate, &receive, &send} {
		if err := t.stack.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return fmt.Errorf("set up the tunnel: %v", err)
		}
	}
	if err := t.stack.CreateNIC(nicID, t.link); err != nil {
		return fmt.Errorf("set up the tunnel: %v", err)
	}
	for _, addr := range t.own {
		a := tcpip.ProtocolAddress{Protocol: protocolOf(addr), AddressWithPrefix: tcpip.AddrFromSlice(addr.AsSlice()).WithPrefix()}
		if err := t.stack.AddProtocolAddress(nicID, a, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("give the tunnel the address %s: %v", addr, err)
		}
	}
	t.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nicID}, {Destination: header.IPv6EmptySubnet, NIC: nicID}})
	if len(t.reach) == 0 {
		return nil
	}
	// It answers in the name of others, where admits lets their packets in.
	if err := t.stack.SetPromiscuousMode(nicID, true); err != nil {
		return fmt.Errorf("set up the tunnel: %v", err)
	}
	if err := t.stack.SetSpoofing(nicID, true); err != nil {
		return fmt.Errorf("set up the tunnel: %v", err)
	}
	return nil
}

// admits reports whether a packet from a peer may come in: to an own address whatever it
// is, to what may be reached TCP and UDP alone. WireGuard has made sure of its source.
func (t *tunnel) admits(packet []byte) bool {
	to, protocol, ok := destination(packet)
	if !ok {
		return false
	}
	if slices.Contains(t.own, to) {
		return true
	}
	// A fragment of IPv6 does not say what it carries; what it is part of is judged whole.
	carries := protocol == uint8(header.TCPProtocolNumber) || protocol == uint8(header.UDPProtocolNumber) ||
		to.Is6() && protocol == uint8(header.IPv6FragmentHeader)
	return carries && within(t.reach, to)
}

// destination reads where an IP packet goes, and what it carries.
func destination(p []byte) (to netip.Addr, protocol uint8, ok bool) {
	switch {
	case len(p) >= header.IPv4MinimumSize && p[0]>>4 == 4:
		return netip.AddrFrom4([4]byte(p[16:20])), p[9], true
	case len(p) >= header.IPv6MinimumSize && p[0]>>4 == 6:
		return netip.AddrFrom16([16]byte(p[24:40])), p[6], true
	}
	return netip.Addr{}, 0, false
}

func within(prefixes []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func protocolOf(addr netip.Addr) tcpip.NetworkProtocolNumber {
	if addr.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// addrOf is an address of the stack's.
func addrOf(a tcpip.Address) netip.Addr {
	addr, _ := netip.AddrFromSlice(a.AsSlice())
	return addr
}

// Write takes what WireGuard has decrypted (tun.Device).
func (t *tunnel) Write(packets [][]byte, offset int) (int, error) {
	if t.ctx.Err() != nil {
		return 0, os.ErrClosed
	}
	for _, p := range packets {
		p = p[offset:]
		if !t.admits(p) {
			continue
		}
		packet := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(p)})
		protocol := header.IPv6ProtocolNumber
		if p[0]>>4 == 4 {
			protocol = header.IPv4ProtocolNumber
		}
		t.link.InjectInbound(protocol, packet)
		packet.DecRef()
	}
	return len(packets), nil
}

// Read waits for what is to be encrypted.
func (t *tunnel) Read(packets [][]byte, sizes []int, offset int) (n int, err error) {
	for p := t.link.ReadContext(t.ctx); p != nil; p = t.link.Read() {
		sizes[n] = take(packets[n][offset:], p)
		if n++; n == len(packets) {
			break
		}
	}
	if n == 0 {
		return 0, os.ErrClosed
	}
	return n, nil
}

// take copies a packet and lets go of it.
func take(to []byte, p *stack.PacketBuffer) (n int) {
	for _, part := range p.AsSlices() {
		n += copy(to[n:], part)
	}
	p.DecRef()
	return n
}

// Close ends every connection in the tunnel.
func (t *tunnel) Close() error {
	t.once.Do(func() {
		t.end()
		t.stack.Close()
		t.link.Close()
		t.stack.RemoveNIC(nicID)
		t.stack.Wait()
		close(t.events)
	})
	return nil
}

// File, Name, MTU, Events and BatchSize are what else a tun.Device has.
func (t *tunnel) File() *os.File           { return nil }
func (t *tunnel) Name() (string, error)    { return "gatehouse", nil }
func (t *tunnel) MTU() (int, error)        { return t.mtu, nil }
func (t *tunnel) Events() <-chan tun.Event { return t.events }
func (t *tunnel) BatchSize() int           { return conn.IdealBatchSize }
