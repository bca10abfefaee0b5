package wireguard

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"golang.zx2c4.com/wireguard/conn"
)

// bind is the door's socket. It takes no handshake from whom the owner's rules shut out,
// and tells when reading has failed, so that the door opens it anew.
type bind struct {
	conn.Bind
	allow  func(netip.Addr) bool
	failed chan struct{} // of capacity one
}

// newBind makes the socket of an address; an unspecified one is all addresses, of both
// families, whichever the machine has and will have.
func newBind(addr netip.Addr, allow func(netip.Addr) bool) *bind {
	b := &bind{Bind: &addrBind{addr: addr}, allow: allow, failed: make(chan struct{}, 1)}
	if addr.IsUnspecified() {
		b.Bind = conn.NewStdNetBind()
	}
	return b
}

// Open opens the socket.
func (b *bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	receivers, actual, err := b.Bind.Open(port)
	for i, receive := range receivers {
		receivers[i] = b.watched(receive)
	}
	return receivers, actual, err
}

// watched is receive, judged.
func (b *bind) watched(receive conn.ReceiveFunc) conn.ReceiveFunc {
	return func(packets [][]byte, sizes []int, from []conn.Endpoint) (int, error) {
		n, err := receive(packets, sizes, from)
		if err != nil && !errors.Is(err, net.ErrClosed) {
			select {
			case b.failed <- struct{}{}:
			default:
			}
		}
		for i := range n {
			if b.allow != nil && isInitiation(packets[i][:sizes[i]]) && !b.allow(from[i].DstIP().Unmap().WithZone("")) {
				sizes[i] = 0 // passed over, as what is too short to be anything
			}
		}
		return n, err
	}
}

// isInitiation reports whether a packet begins a handshake (the first message of the
// protocol). All others belong to one.
func isInitiation(packet []byte) bool {
	return len(packet) >= 4 && binary.LittleEndian.Uint32(packet) == 1
}

// addrBind is a socket on one address.
type addrBind struct {
	addr netip.Addr

	mu   sync.Mutex
	conn *net.UDPConn // nil while it is closed
}

func (b *addrBind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(b.addr, port)))
	if err != nil {
		return nil, 0, err
	}
	b.conn = c
	receive := func(packets [][]byte, sizes []int, from []conn.Endpoint) (int, error) {
		n, addr, err := c.ReadFromUDPAddrPort(packets[0])
		if err != nil {
			return 0, err
		}
		sizes[0], from[0] = n, &conn.StdNetEndpoint{AddrPort: netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())}
		return 1, nil
	}
	return []conn.ReceiveFunc{receive}, uint16(c.LocalAddr().(*net.UDPAddr).Port), nil
}

func (b *addrBind) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn == nil {
		return nil
	}
	err := b.conn.Close()
	b.conn = nil
	return err
}

func (b *addrBind) Send(packets [][]byte, to conn.Endpoint) error {
	b.mu.Lock()
	c := b.conn
	b.mu.Unlock()
	if c == nil {
		return net.ErrClosed
	}
	for _, p := range packets {
		if _, err := c.WriteToUDPAddrPort(p, to.(*conn.StdNetEndpoint).AddrPort); err != nil {
			return err
		}
	}
	return nil
}

func (b *addrBind) ParseEndpoint(s string) (conn.Endpoint, error) {
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return nil, err
	}
	return &conn.StdNetEndpoint{AddrPort: a}, nil
}

func (b *addrBind) SetMark(uint32) error { return nil } // nobody sets one

func (b *addrBind) BatchSize() int { return 1 }

// cutListen reads "address:port" or ":port".
func cutListen(s string) (addr netip.Addr, port uint16, err error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return addr, 0, err
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return addr, 0, err
	}
	if addr = netip.IPv6Unspecified(); host != "" {
		if addr, err = netip.ParseAddr(host); err != nil {
			return addr, 0, err
		}
	}
	return addr, uint16(n), nil
}
