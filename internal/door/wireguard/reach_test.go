package wireguard

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// What peers may reach is what the owner named, less what is no neighbour and what is
// spared.
func TestReaches(t *testing.T) {
	d := &Door{cfg: Config{Networks: networks, Spare: func(a netip.Addr) bool { return a == netip.MustParseAddr("192.168.1.2") }}}
	for _, n := range []string{"192.168.1.0/24", "10.9.9.9/32", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "fd00:1::/64", "fe80::/10", "::/96"} {
		d.cfg.Reach = append(d.cfg.Reach, netip.MustParsePrefix(n))
	}
	for addr, want := range map[string]bool{
		"192.168.1.1": true, "192.168.1.254": true, "10.9.9.9": true, "fd00:1::5": true,
		"192.168.1.2": false, "192.168.1.255": false, "192.168.1.0": false, "192.168.2.1": false, "10.9.9.8": false,
		"127.0.0.1": false, "169.254.169.254": false, "224.0.0.251": false, "10.77.0.3": false, "fd77::3": false,
		"fe80::1": false, "::1": false, "::": false, "::ffff:192.168.1.1": false, "255.255.255.255": false,
	} {
		if d.reaches(netip.MustParseAddr(addr)) != want {
			t.Errorf("%s: %t", addr, !want)
		}
	}
}

// What comes out of the tunnel is for the door, or TCP and UDP for what may be reached.
func TestWhatTheTunnelAdmits(t *testing.T) {
	in := &tunnel{own: []netip.Addr{networks[0].Addr(), networks[1].Addr()}, reach: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("fd00:1::/64")}}
	packet := func(to string, protocol byte) []byte {
		a := netip.MustParseAddr(to)
		if a.Is4() {
			p := append(make([]byte, 16), a.AsSlice()...)
			p[0], p[9] = 0x45, protocol
			return p
		}
		p := append(make([]byte, 24), a.AsSlice()...)
		p[0], p[6] = 0x60, protocol
		return p
	}
	for _, c := range []struct {
		packet []byte
		want   bool
	}{
		{packet("10.77.0.1", 1), true}, {packet("10.77.0.1", 6), true}, {packet("fd77::1", 58), true},
		{packet("192.168.1.5", 6), true}, {packet("192.168.1.5", 17), true}, {packet("192.168.1.5", 1), false}, {packet("192.168.1.5", 44), false},
		{packet("fd00:1::5", 6), true}, {packet("fd00:1::5", 44), true}, {packet("fd00:1::5", 58), false}, {packet("fd00:1::5", 0), false},
		{packet("10.77.0.3", 6), false}, {packet("192.168.2.5", 6), false}, {packet("ff02::1", 58), false},
		{nil, false}, {packet("10.77.0.1", 6)[:19], false}, {packet("fd77::1", 6)[:39], false}, {[]byte{0x55}, false},
	} {
		if in.admits(c.packet) != c.want {
			t.Errorf("%x: %t", c.packet, !c.want)
		}
	}
}

// behind leads to loopback, by its port, who may be reached: everything of this machine is
// spared otherwise.
func behind(ctx context.Context, network, address string) (net.Conn, error) {
	to := netip.MustParseAddrPort(address)
	return (&net.Dialer{}).DialContext(ctx, network, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), to.Port()).String())
}

// newEcho answers with what it is sent, by TCP once no more follows, by UDP at once. It
// returns its port.
func newEcho(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	u, err := net.ListenPacket("udp", l.Addr().String())
	must(t, err)
	t.Cleanup(func() { _ = l.Close(); _ = u.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				said, _ := io.ReadAll(c)
				_, _ = c.Write(said)
				_ = c.Close()
			}()
		}
	}()
	go func() {
		for packet := make([]byte, 1500); ; {
			n, from, err := u.ReadFrom(packet)
			if err != nil {
				return
			}
			_, _ = u.WriteTo(packet[:n], from)
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String()).Port()
}

// A peer reaches who is in a network that the owner named, by TCP and UDP, and nobody
// else; what it has open ends with it.
func TestPeersReachWhatIsNamed(t *testing.T) {
	spared := netip.MustParseAddr("192.0.2.66")
	h := open(t, func(c *Config) {
		c.Reach = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/64")}
		c.Spare = func(a netip.Addr) bool { return a == spared }
	})
	port := newEcho(t)
	p, other := newPhone(t, 2), newPhone(t, 3)
	must(t, h.SetPeers([]Peer{p.peer, other.peer}))
	p.dial(h)
	for _, to := range []string{"192.0.2.10", "2001:db8::10"} {
		at := netip.AddrPortFrom(netip.MustParseAddr(to), port)
		c, err := p.tcp(at.String(), 5*time.Second)
		must(t, err)
		said := bytes.Repeat([]byte("there and back "), 20000)
		go func() { _, _ = c.Write(said); _ = closeWrite(c) }()
		must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
		back, err := io.ReadAll(c)
		must(t, err)
		if !bytes.Equal(back, said) {
			t.Errorf("%s: %d of %d bytes come back", to, len(back), len(said))
		}
		u, err := p.net.DialUDPAddrPort(netip.AddrPort{}, at)
		must(t, err)
		must(t, u.SetDeadline(time.Now().Add(5*time.Second)))
		for _, said := range []string{"one", "two"} {
			_, err = io.WriteString(u, said)
			must(t, err)
			packet := make([]byte, 100)
			n, err := u.Read(packet)
			must(t, err)
			if string(packet[:n]) != said {
				t.Errorf("%s: %q", to, packet[:n])
			}
		}
		_ = u.Close()
	}
	for _, to := range []string{spared.String(), "192.0.2.255", "192.0.3.1", "10.77.0.3", "127.0.0.1"} {
		if _, err := p.tcp(netip.AddrPortFrom(netip.MustParseAddr(to), port).String(), 700*time.Millisecond); err == nil {
			t.Errorf("%s is reached", to)
		}
	}
	m := h.peers.at(p.peer.Addresses[0])
	for m.enter(&Conn{peer: m}) {
	}
	if _, err := p.tcp(netip.AddrPortFrom(netip.MustParseAddr("192.0.2.10"), port).String(), 700*time.Millisecond); err == nil {
		t.Error("one too many is reached")
	}
	h.peers.mu.Lock()
	clear(m.streams)
	h.peers.mu.Unlock()
	held, err := p.tcp(netip.AddrPortFrom(netip.MustParseAddr("192.0.2.10"), port).String(), 5*time.Second)
	must(t, err)
	defer held.Close()
	must(t, h.SetPeers([]Peer{other.peer}))
	deadline := time.Now().Add(5 * time.Second)
	for h.peers.open() > 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if n := h.peers.open(); n != 0 {
		t.Errorf("%d connections outlive their peer", n)
	}
}
