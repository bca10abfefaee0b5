package wireguard

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/netstack"

	"gatehouse/internal/ledger"
	"gatehouse/internal/pki"
	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const houseName = "house.test"

var networks = []netip.Prefix{netip.MustParsePrefix("10.77.0.1/24"), netip.MustParsePrefix("fd77::1/64")}

// house is an open door, served.
type house struct {
	*Door
	t    *testing.T
	root *x509.CertPool
	came chan policy.Key // each connection that came through
}

func open(t *testing.T, change func(*Config)) *house {
	t.Helper()
	t.Parallel() // what hears nothing is waited for
	l, err := ledger.Open(t.Context(), "", ledger.NewKey())
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	a, err := pki.Open(t.Context(), l, pki.Options{Names: []string{houseName}})
	must(t, err)
	h := &house{t: t, root: x509.NewCertPool(), came: make(chan policy.Key, 1000)}
	h.root.AppendCertsFromPEM(a.RootPEM())
	c := Config{Listen: "127.0.0.1:0", PrivateKey: NewPrivateKey(), Networks: networks, Names: []string{houseName},
		TLS: pki.ServerConfig(a.GetCertificate([]string{houseName}, nil))}
	if change != nil {
		change(&c)
	}
	h.Door, err = Listen(c)
	must(t, err)
	if len(c.Reach) > 0 {
		h.dial = behind
	}
	h.serve()
	return h
}

// serve answers requests, and runs the door, until the test ends.
func (h *house) serve() {
	ctx, cancel := context.WithCancel(context.Background())
	s := &wire.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RemoteAddr, " ", r.URL.Path) }),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			h.came <- keyOf(c)
			return ctx
		}}
	served, ran := make(chan error, 1), make(chan error, 1)
	go func() { served <- s.Serve(ctx, h.Door) }()
	go func() { ran <- h.Run(ctx) }()
	h.t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			h.t.Errorf("serve: %v", err)
		}
		if err := <-ran; err != nil {
			h.t.Errorf("run: %v", err)
		}
		_ = h.Close() // a second time
	})
}

// keyOf finds the key as the gateway does.
func keyOf(c net.Conn) policy.Key {
	for c != nil {
		if k, ok := c.(interface{ Key() policy.Key }); ok {
			return k.Key()
		}
		outer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = outer.NetConn()
	}
	return policy.Key{}
}

// phone is a real peer: WireGuard's own implementation with its own TCP/IP.
type phone struct {
	t       *testing.T
	private Key
	peer    Peer
	net     *netstack.Net
	device  *device.Device
}

// newPhone makes a peer with the number n, and the key that it has.
func newPhone(t *testing.T, n int) *phone {
	t.Helper()
	p := &phone{t: t, private: NewPrivateKey()}
	public, err := p.private.Public()
	must(t, err)
	p.peer = Peer{Key: public, Preshared: NewPresharedKey(), Addresses: []netip.Addr{
		netip.AddrFrom4([4]byte{10, 77, 0, byte(n)}), netip.MustParseAddr(fmt.Sprintf("fd77::%x", n))}}
	return p
}

// dial sets its tunnel up, with the addresses that it claims to have.
func (p *phone) dial(h *house, claims ...netip.Addr) *phone {
	p.t.Helper()
	if len(claims) == 0 {
		claims = p.peer.Addresses
	}
	tun, stack, err := netstack.CreateNetTUN(claims, []netip.Addr{networks[0].Addr()}, LeastMTU)
	must(p.t, err)
	p.net = stack
	p.device = device.NewDevice(tun, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	p.t.Cleanup(p.device.Close)
	must(p.t, p.device.IpcSet(fmt.Sprintf("private_key=%s\npublic_key=%s\npreshared_key=%s\nendpoint=127.0.0.1:%d\nallowed_ip=0.0.0.0/0\nallowed_ip=::/0\n",
		p.private.hex(), h.Public().hex(), p.peer.Preshared.hex(), h.Port())))
	must(p.t, p.device.Up())
	return p
}

// tcp connects to an address inside.
func (p *phone) tcp(to string, patience time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	c, err := p.net.DialContextTCPAddrPort(ctx, netip.MustParseAddrPort(to))
	if err != nil {
		return nil, err
	}
	return c, nil
}

// browse asks for a page by TLS at one of the door's addresses.
func (p *phone) browse(h *house, at netip.Addr, name string) (string, error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return p.net.DialContextTCPAddrPort(ctx, netip.AddrPortFrom(at, 443))
		}, TLSClientConfig: &tls.Config{RootCAs: h.root, ServerName: name}}}
	answer, err := client.Get("https://" + name + "/page")
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

// A peer's connections say whose they are, by both families, and carry pages.
func TestPeerIsKnownByItsKey(t *testing.T) {
	h := open(t, nil)
	one, two := newPhone(t, 2), newPhone(t, 3)
	must(t, h.SetPeers([]Peer{one.peer, two.peer}))
	for _, p := range []*phone{one.dial(h), two.dial(h)} {
		for i, n := range networks {
			got, err := p.browse(h, n.Addr(), houseName)
			must(t, err)
			if addr := p.peer.Addresses[i].String(); !strings.Contains(got, addr) || !strings.HasSuffix(got, " /page") {
				t.Errorf("from %s: %q", addr, got)
			}
			if key := <-h.came; key != (policy.Key{Kind: "peer", ID: p.peer.Key.String()}) {
				t.Errorf("it is %+v", key)
			}
		}
	}
	stats, err := h.Stats()
	must(t, err)
	for _, s := range stats {
		if time.Since(s.Handshake) > time.Minute || s.Received == 0 || s.Sent == 0 || !s.Endpoint.Addr().IsLoopback() {
			t.Errorf("%+v", s)
		}
	}
	if len(stats) != 2 {
		t.Errorf("%d peers", len(stats))
	}
}

// Who is no peer, or has not the preshared key, hears nothing at all, whatever they send.
func TestUnknownPeerHearsNothing(t *testing.T) {
	h := open(t, nil)
	known := newPhone(t, 2)
	must(t, h.SetPeers([]Peer{known.peer}))
	c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", h.Port()))
	must(t, err)
	defer c.Close()
	for _, packet := range [][]byte{append([]byte{1, 0, 0, 0}, make([]byte, 144)...), append([]byte{4, 0, 0, 0}, make([]byte, 60)...), []byte("hello"), make([]byte, 1400)} {
		_, err := c.Write(packet)
		must(t, err)
	}
	stranger := newPhone(t, 3).dial(h)
	half := newPhone(t, 2)
	half.private, half.peer.Preshared = known.private, NewPresharedKey()
	half.dial(h)
	for name, p := range map[string]*phone{"a stranger": stranger, "one without the preshared key": half} {
		if _, err := p.tcp("10.77.0.1:443", 1500*time.Millisecond); err == nil {
			t.Errorf("%s gets through", name)
		}
	}
	text, err := stranger.device.IpcGet()
	must(t, err)
	if s, err := parseState(text); err != nil || s.peers[0].Received != 0 {
		t.Errorf("the stranger heard %+v, %v", s.peers, err)
	}
	must(t, c.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	if n, err := c.Read(make([]byte, 100)); err == nil {
		t.Errorf("a stranger hears %d bytes", n)
	}
	known.dial(h)
	_, err = known.browse(h, networks[0].Addr(), houseName)
	must(t, err)
}

// A peer that claims another's address is not heard under it.
func TestPeerCannotUseAnothersAddress(t *testing.T) {
	h := open(t, nil)
	one, two := newPhone(t, 2), newPhone(t, 3)
	must(t, h.SetPeers([]Peer{one.peer, two.peer}))
	thief := two.dial(h, one.peer.Addresses...)
	for _, n := range networks {
		if _, err := thief.tcp(netip.AddrPortFrom(n.Addr(), 443).String(), 1500*time.Millisecond); err == nil {
			t.Errorf("by %s it gets through", n)
		}
	}
	one.dial(h)
	_, err := one.browse(h, networks[0].Addr(), houseName)
	must(t, err)
	if key := <-h.came; key.ID != one.peer.Key.String() {
		t.Error("the connection is another's")
	}
}

// A peer that is taken away loses what it has open, and gets nothing more; the others
// lose nothing.
func TestTunnelEndsWithItsPeer(t *testing.T) {
	h := open(t, nil)
	one, two := newPhone(t, 2), newPhone(t, 3)
	must(t, h.SetPeers([]Peer{one.peer, two.peer}))
	open := map[*phone]net.Conn{}
	for _, p := range []*phone{one.dial(h), two.dial(h)} {
		c, err := p.tcp("10.77.0.1:443", 5*time.Second)
		must(t, err)
		secure := tls.Client(c, &tls.Config{RootCAs: h.root, ServerName: houseName})
		must(t, secure.HandshakeContext(t.Context()))
		open[p] = secure
		<-h.came
	}
	must(t, h.SetPeers([]Peer{two.peer}))
	for _, m := range h.peers.all() {
		if m.Key == one.peer.Key {
			t.Error("it may still come")
		}
	}
	if n := h.peers.open(); n != 1 {
		t.Errorf("%d connections are open", n)
	}
	if _, err := one.tcp("10.77.0.1:443", 1500*time.Millisecond); err == nil {
		t.Error("it gets through")
	}
	fmt.Fprintf(open[two], "GET /still HTTP/1.1\r\nHost: %s\r\n\r\n", houseName)
	answer, err := http.ReadResponse(bufio.NewReader(open[two]), nil)
	must(t, err)
	body, err := io.ReadAll(answer.Body)
	must(t, err)
	if !strings.HasSuffix(string(body), "/still") {
		t.Errorf("the other gets %q", body)
	}
}

// A peer's time ends by itself, and at the moment itself nothing more is taken.
func TestPeerExpires(t *testing.T) {
	h := open(t, nil)
	p := newPhone(t, 2)
	p.peer.Expires = time.Now().Add(1500 * time.Millisecond)
	must(t, h.SetPeers([]Peer{p.peer}))
	p.dial(h)
	c, err := p.tcp("10.77.0.1:80", time.Second)
	must(t, err)
	defer c.Close()
	deadline := time.After(10 * time.Second)
	for len(h.peers.all()) > 0 || h.peers.open() > 0 {
		select {
		case <-deadline:
			t.Fatal("it stays")
		case <-time.After(20 * time.Millisecond):
		}
	}
	if _, err := p.tcp("10.77.0.1:80", time.Second); err == nil {
		t.Error("it gets through")
	}
	past := newTable()
	past.put(Peer{Key: p.peer.Key, Addresses: p.peer.Addresses, Expires: time.Now()})
	if past.at(p.peer.Addresses[0]) != nil {
		t.Error("whose time is over is known")
	}
}

// In the tunnel TLS answers to the home's name alone, port 80 leads there, and nothing
// else listens.
func TestWhatAPeerReaches(t *testing.T) {
	h := open(t, nil)
	p, other := newPhone(t, 2), newPhone(t, 3)
	must(t, h.SetPeers([]Peer{p.peer, other.peer}))
	p.dial(h)
	other.dial(h)
	for _, name := range []string{"other.test", ""} {
		c, err := p.tcp("10.77.0.1:443", 5*time.Second)
		must(t, err)
		if err := tls.Client(c, &tls.Config{ServerName: name, InsecureSkipVerify: true}).HandshakeContext(t.Context()); err == nil {
			t.Errorf("%q is answered", name)
		}
		_ = c.Close()
	}
	for _, to := range []string{"10.77.0.1:8123", "10.77.0.1:22", "10.77.0.3:443", "[fd77::3]:443", "127.0.0.1:443", "192.0.2.1:80", "169.254.169.254:80"} {
		if c, err := p.tcp(to, 700*time.Millisecond); err == nil {
			_ = c.Close()
			t.Errorf("%s is reached", to)
		}
	}
	l, err := other.net.ListenTCPAddrPort(netip.MustParseAddrPort("10.77.0.3:443"))
	must(t, err)
	defer l.Close()
	if _, err := p.tcp("10.77.0.3:443", 700*time.Millisecond); err == nil {
		t.Error("a peer reaches another")
	}
	for _, c := range []struct{ request, want string }{
		{"GET /a?b=c HTTP/1.1\r\nHost: " + houseName + "\r\n\r\n", "Location: https://" + houseName + "/a?b=c\r\n"},
		{"GET / HTTP/1.1\r\nHost: 10.77.0.1\r\n\r\n", "404"},
		{"POST / HTTP/1.1\r\nHost: " + houseName + "\r\nContent-Length: 0\r\n\r\n", "404"},
	} {
		conn, err := p.tcp("10.77.0.1:80", 5*time.Second)
		must(t, err)
		_, err = io.WriteString(conn, c.request)
		must(t, err)
		must(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
		answer := make([]byte, 1000)
		n, err := conn.Read(answer)
		must(t, err)
		if !strings.Contains(string(answer[:n]), c.want) {
			t.Errorf("%q: %q", c.request, answer[:n])
		}
		_ = conn.Close()
	}
}

// A peer has room for so many connections, and another peer for its own.
func TestConnectionsOfAPeerAreBounded(t *testing.T) {
	h := open(t, nil)
	p, other := newPhone(t, 2), newPhone(t, 3)
	must(t, h.SetPeers([]Peer{p.peer, other.peer}))
	p.dial(h)
	other.dial(h)
	m := h.peers.at(p.peer.Addresses[0])
	var filled []*Conn
	for m.enter(&Conn{peer: m}) {
		filled = append(filled, nil)
	}
	if len(filled) != maxStreams {
		t.Errorf("there is room for %d", len(filled))
	}
	if _, err := p.tcp("10.77.0.1:443", time.Second); err == nil {
		t.Error("one too many gets through")
	}
	c, err := other.tcp("10.77.0.1:443", 5*time.Second)
	must(t, err)
	_ = c.Close()
	h.peers.mu.Lock()
	clear(m.streams)
	h.peers.mu.Unlock()
}

// A peer that cannot be is left out, and the others may come.
func TestPeersThatCannotBe(t *testing.T) {
	h := open(t, nil)
	good := newPhone(t, 2).peer
	with := func(n int, addrs ...string) Peer {
		p := newPhone(t, n).peer
		p.Addresses = nil
		for _, a := range addrs {
			p.Addresses = append(p.Addresses, netip.MustParseAddr(a))
		}
		return p
	}
	err := h.SetPeers([]Peer{good, with(3, "10.77.0.2"), with(4, "10.77.0.1"), with(5, "192.168.1.4"), with(6), with(7, "10.77.0.7", "10.77.0.8"), {}, {Key: h.Public(), Addresses: good.Addresses}})
	if err == nil || strings.Count(err.Error(), "peer ") != 7 {
		t.Errorf("it says %v", err)
	}
	if all := h.peers.all(); len(all) != 1 || all[0].Key != good.Key {
		t.Errorf("%d may come", len(all))
	}
}

// Who is shut out by the owner's rules shakes no hands.
func TestRulesHoldForHandshakes(t *testing.T) {
	asked := make(chan netip.Addr, 100)
	h := open(t, func(c *Config) {
		c.Allow = func(a netip.Addr) bool {
			select {
			case asked <- a:
			default:
			}
			return false
		}
	})
	p := newPhone(t, 2)
	must(t, h.SetPeers([]Peer{p.peer}))
	p.dial(h)
	if _, err := p.tcp("10.77.0.1:443", time.Second); err == nil {
		t.Error("it gets through")
	}
	if a := <-asked; a != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("asked for %s", a)
	}
}

// A door without a certificate lets nobody in, and one that lacks something does not open.
func TestIncomplete(t *testing.T) {
	whole := Config{Listen: "127.0.0.1:0", PrivateKey: NewPrivateKey(), Networks: networks, Names: []string{houseName}, TLS: &tls.Config{}}
	for what, change := range map[string]func(*Config){
		"key":     func(c *Config) { c.PrivateKey = Key{} },
		"names":   func(c *Config) { c.Names = nil },
		"TLS":     func(c *Config) { c.TLS = nil },
		"network": func(c *Config) { c.Networks = nil },
		"reach":   func(c *Config) { c.Reach = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} },
		"MTU":     func(c *Config) { c.MTU = 100 },
		"listen":  func(c *Config) { c.Listen = "51820" },
	} {
		c := whole
		change(&c)
		if d, err := Listen(c); err == nil {
			_ = d.Close()
			t.Errorf("without its %s it opens", what)
		}
	}
	first, err := Listen(whole)
	must(t, err)
	defer first.Close()
	whole.Listen = fmt.Sprintf("127.0.0.1:%d", first.Port())
	if d, err := Listen(whole); err == nil {
		_ = d.Close()
		t.Error("a port is taken twice")
	}
	h := open(t, func(c *Config) { c.Ready = func(string) bool { return false } })
	p := newPhone(t, 2)
	must(t, h.SetPeers([]Peer{p.peer}))
	if _, err := p.dial(h).browse(h, networks[0].Addr(), houseName); err == nil {
		t.Error("it is served without a certificate")
	}
}

// The socket is opened anew after it failed, and peers find it on the same port.
func TestSocketIsOpenedAnew(t *testing.T) {
	h := open(t, nil)
	p := newPhone(t, 2)
	must(t, h.SetPeers([]Peer{p.peer}))
	p.dial(h)
	_, err := p.browse(h, networks[0].Addr(), houseName)
	must(t, err)
	port := h.Port()
	must(t, h.bind.Bind.Close())
	h.bind.failed <- struct{}{}
	deadline := time.Now().Add(10 * time.Second)
	for {
		_, err := p.browse(h, networks[0].Addr(), houseName)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	must(t, h.findPort())
	if h.Port() != port || h.Trouble() != nil {
		t.Errorf("port %d, was %d; %v", h.Port(), port, h.Trouble())
	}
}

func TestHosts(t *testing.T) {
	h := open(t, nil)
	for host, want := range map[string]bool{houseName: true, houseName + ":443": true, houseName + ":80": false, "10.77.0.1": false, "": false, "x." + houseName: false} {
		if h.HostAllowed(host) != want {
			t.Errorf("%q: %t", host, !want)
		}
	}
	if h.AtHome(networks[0].Addr()) || h.Name() != policy.WireGuard || !slices.Equal(h.Origins(), []string{"https://" + houseName}) {
		t.Error("it is another door")
	}
}

// Keys are as wg(8) writes them, in one spelling.
func TestKeys(t *testing.T) {
	// A pair that wg genkey and wg pubkey made.
	theirs, err := ParseKey("UJCtzvJSTNcKMneSj9alGzaRKJBgYsTMPKYefDcB6nA=")
	must(t, err)
	if public, err := theirs.Public(); err != nil || public.String() != "1juTE1Wtxx1IeepRr4JZqIUxeYGGQR+dWk2WrpAtxDw=" {
		t.Errorf("its public half is %s, %v", public, err)
	}
	k := NewPrivateKey()
	again, err := ParseKey(k.String())
	must(t, err)
	if again != k {
		t.Error("a key is read as another")
	}
	for _, wrong := range []string{"", "a", k.String() + " ", k.String()[:43], strings.Repeat("A", 44), k.String()[:43] + "\n", strings.Repeat("A", 42) + "B="} {
		if _, err := ParseKey(wrong); err == nil {
			t.Errorf("%q is a key", wrong)
		}
	}
	if _, err := (Key{}).Public(); err == nil {
		t.Error("no key has a public half")
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
