package lan

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"gatehouse/internal/wire"
)

var errNothing = errors.New("cannot be read")

func prefixes(all ...string) (p []netip.Prefix) {
	for _, s := range all {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

// links are those of a reading that never changes.
func links(r reading) *Links {
	return &Links{read: func() (reading, error) { return r, nil }, now: time.Now}
}

// A source is at home only as a neighbour on a home's own link: not a router, not a
// bridge's inhabitant, not this machine, not a neighbour in a computing centre.
func TestAtHome(t *testing.T) {
	home := links(reading{
		links: []link{
			{name: "lo", prefixes: prefixes("127.0.0.1/8", "::1/128"), loopback: true},
			{name: "eth0", prefixes: prefixes("192.168.1.10/24", "fd00:1::10/64", "2001:db8:1::10/64", "fe80::1/64")},
			{name: "docker0", prefixes: prefixes("172.17.0.1/16"), hollow: true},
			{name: "br0", prefixes: prefixes("192.168.7.1/24")},
			{name: "wg0", prefixes: prefixes("10.9.0.1/24"), tunnel: true},
		},
		routers: []netip.Addr{netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("fe80::ff")},
	})
	rented := links(reading{links: []link{{name: "eth0", prefixes: prefixes("203.0.113.10/24", "10.1.0.5/16")}}})
	shared := links(reading{links: []link{{name: "eth0", prefixes: prefixes("100.64.3.4/10")}}})
	for _, c := range []struct {
		links *Links
		addr  string
		want  bool
	}{
		{home, "192.168.1.20", true},
		{home, "::ffff:192.168.1.20", true},
		{home, "fd00:1::20", true},
		{home, "2001:db8:1::20", true},
		{home, "192.168.7.20", true},
		{home, "192.168.1.1", false},  // the router: hairpin NAT
		{home, "192.168.1.10", false}, // this machine: a proxy's end
		{home, "172.17.0.5", false},   // a container, or Docker's proxy
		{home, "10.9.0.2", false},     // the other end of a tunnel
		{home, "127.0.0.1", false},
		{home, "192.168.2.20", false},
		{home, "203.0.113.7", false},
		{home, "2001:db8:2::1", false},
		{rented, "203.0.113.11", false},
		{rented, "10.1.0.6", false},
		{shared, "100.64.3.5", false},
	} {
		if got := c.links.AtHome(netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("%s: %t", c.addr, got)
		}
	}
	broken := &Links{read: func() (reading, error) { return reading{}, errNothing }, now: time.Now}
	if broken.AtHome(netip.MustParseAddr("192.168.1.20")) {
		t.Error("somebody is at home where nothing can be read")
	}
	if (&Links{read: func() (reading, error) { return reading{}, nil }, now: time.Now}).AtHome(netip.Addr{}) {
		t.Error("no address is at home")
	}
}

// A neighbour is told the addresses of ours on its own link, and nobody else is told any.
func TestFacing(t *testing.T) {
	l := links(reading{links: []link{
		{name: "eth0", prefixes: prefixes("192.168.1.10/24", "fd00:1::10/64")},
		{name: "eth1", prefixes: prefixes("192.168.7.1/24")},
		{name: "docker0", prefixes: prefixes("172.17.0.1/16"), hollow: true},
		{name: "wg0", prefixes: prefixes("10.9.0.1/24"), tunnel: true},
	}})
	for source, want := range map[string]string{"192.168.1.20": "[192.168.1.10]", "::ffff:192.168.7.9": "[192.168.7.1]", "fd00:1::2%eth0": "[fd00:1::10]",
		"172.17.0.5": "[]", "10.9.0.2": "[]", "203.0.113.7": "[]"} {
		if got := fmt.Sprint(l.Facing(netip.MustParseAddr(source))); got != want {
			t.Errorf("%s: %s, want %s", source, got, want)
		}
	}
	if got := l.Facing(netip.Addr{}); got != nil {
		t.Errorf("no address: %v", got)
	}
}

// Nobody is shut out by an address that many may come from, and it is said whose it is.
func TestSharedAddresses(t *testing.T) {
	l := links(reading{
		links: []link{
			{name: "lo", prefixes: prefixes("127.0.0.1/8"), loopback: true},
			{name: "eth0", prefixes: prefixes("192.168.1.10/24", "fe80::1/64")},
			{name: "docker0", prefixes: prefixes("172.17.0.1/16"), hollow: true},
		},
		routers: []netip.Addr{netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("fe80::ff")},
	})
	for addr, want := range map[string]string{
		"127.0.0.1": "", "127.0.0.9": "", "192.168.1.20": "", "203.0.113.7": "", "fe80::2": "",
		"192.168.1.10": "this machine's own", "::ffff:192.168.1.10": "this machine's own", "fe80::1%eth0": "this machine's own", "172.17.0.1": "this machine's own",
		"192.168.1.1": "a router's", "fe80::ff%eth0": "a router's",
		"172.17.0.5": "a container",
	} {
		if got := l.Shared(netip.MustParseAddr(addr)); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	if got := l.Shared(netip.Addr{}); got != "" {
		t.Errorf("no address: %q", got)
	}
}

// An interface that went away is forgotten after a moment.
func TestLinksAreReadAgain(t *testing.T) {
	now, read := time.Now(), 0
	l := &Links{now: func() time.Time { return now }, read: func() (reading, error) {
		read++
		if read > 1 {
			return reading{}, nil
		}
		return reading{links: []link{{name: "eth0", prefixes: prefixes("192.168.1.10/24")}}}, nil
	}}
	source := netip.MustParseAddr("192.168.1.20")
	first, again := l.AtHome(source), l.AtHome(source)
	if !first || !again || read != 1 {
		t.Errorf("read %d times", read)
	}
	now = now.Add(fresh)
	if l.AtHome(source) {
		t.Error("the link is gone, and the source at home")
	}
}

// The door answers to its names and this machine's addresses with its own port.
func TestHostAllowed(t *testing.T) {
	d := &Door{names: []string{"house.local"}, port: 8443, surroundings: surroundings{links: links(reading{links: []link{{name: "eth0", prefixes: prefixes("192.168.1.10/24", "fd00:1::10/64")}}})}}
	for host, want := range map[string]bool{
		"house.local:8443": true, "192.168.1.10:8443": true, "[fd00:1::10]:8443": true,
		"house.local": false, "house.local:443": false, "house.local:08443": false, "other.local:8443": false, "192.168.1.11:8443": false,
		"fd00:1::10:8443": false, "[fd00:1::10]": false, "[192.168.1.10]:8443": false, "[fd00:1:0::10]:8443": false, "192.168.1.10:8443:1": false, "": false, ":8443": false,
	} {
		if d.HostAllowed(host) != want {
			t.Errorf("%q: %t", host, !want)
		}
	}
	if got := d.Origins(); len(got) != 1 || got[0] != "https://house.local:8443" {
		t.Errorf("origins %v", got)
	}
}

func TestRoutes(t *testing.T) {
	got, err := parseRoutes(strings.NewReader("Iface\tDestination\tGateway \tFlags\n" + "eth0\t00000000\t0101A8C0\t0003\t0\n" + "eth0\t0001A8C0\t00000000\t0001\t0\n"))
	if err != nil || len(got) != 1 || got[0].String() != "192.168.1.1" {
		t.Errorf("%v, %v", got, err)
	}
	got, err = parseRoutes6(strings.NewReader("00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe8000000000000000000000000000ff 00000400 1 0 00000003 eth0\n" +
		"fd000001000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 1 0 00000001 eth0\n"))
	if err != nil || len(got) != 1 || got[0].String() != "fe80::ff" {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"x\neth0\t1\n", "x\neth0\t0\tzz\t3\n", "x\neth0\t0\t0\tzz\n"} {
		if _, err := parseRoutes(strings.NewReader(text)); err == nil {
			t.Errorf("%q is read", text)
		}
	}
	for _, text := range []string{"a b\n", "0 0 0 0 zz 0 0 0 3\n", "0 0 0 0 fe8000000000000000000000000000ff 0 0 0 zz\n"} {
		if _, err := parseRoutes6(strings.NewReader(text)); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}

// A bridge without a network card has containers and virtual machines on it alone.
func TestHollowBridge(t *testing.T) {
	file := &fstest.MapFile{}
	sys := fstest.MapFS{
		"eth0/device":         file,
		"docker0/bridge/x":    file,
		"docker0/brif/veth1":  file,
		"veth1/ifindex":       file,
		"br0/bridge/x":        file,
		"br0/brif/eth0":       file,
		"br1/bridge/x":        file,
		"br1/brif/bond0":      file,
		"bond0/lower_eth1/x":  file,
		"br2/bridge/x":        file,
		"br3/bridge/x":        file,
		"br3/brif/veth2":      file,
		"veth2/addr_len":      file,
		"wlan0/device/vendor": file,
	}
	for name, want := range map[string]bool{"eth0": false, "docker0": true, "br0": false, "br1": false, "br2": true, "br3": true, "wlan0": false} {
		if got := isHollow(sys, name); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// This very machine can be read, and is never at home to itself.
func TestThisMachine(t *testing.T) {
	l := NewLinks()
	if len(l.Addrs()) == 0 {
		t.Fatal("no address was read")
	}
	for _, a := range l.Addrs() {
		if l.AtHome(a) {
			t.Errorf("%s is at home to itself", a)
		}
	}
}

// The door without TLS answers to what means something at home, and to nothing that a
// page on the Internet can call an address of ours.
func TestPlainHostAllowed(t *testing.T) {
	homeName := func(name string) bool { return !strings.Contains(name, ".") || strings.HasSuffix(name, ".local") }
	p := &Plain{names: []string{"house.example"}, port: 8123, homeName: homeName,
		surroundings: surroundings{links: links(reading{links: []link{{name: "eth0", prefixes: prefixes("192.168.1.10/24", "fd00:1::10/64")}}})}}
	for host, want := range map[string]bool{
		"house.local:8123": true, "homeassistant:8123": true, "house.example:8123": true, "192.168.1.10:8123": true, "[fd00:1::10]:8123": true,
		"127.0.0.1:8123": true, "localhost:8123": true,
		"evil.example:8123": false, "192.168.1.11:8123": false, "house.local": false, "house.local:80": false, "house.local:08123": false,
		"": false, ":8123": false, "a b:8123": false, "a/b:8123": false, "192.168.1.10": false, "1.2.3.4:8123": false, "[::ffff:192.168.1.10]:8123": false,
	} {
		if p.HostAllowed(host) != want {
			t.Errorf("%q: %t", host, !want)
		}
	}
	p.port = 80
	for host, want := range map[string]bool{"house.local": true, "house.local:80": true, "192.168.1.10": true, "[fd00:1::10]": true, "evil.example": false, "house.local:8080": false} {
		if p.HostAllowed(host) != want {
			t.Errorf("on port 80, %q: %t", host, !want)
		}
	}
}

// Whoever can be nobody of the house gets not one byte at the door without TLS.
func TestPlainIsSilentOutside(t *testing.T) {
	home := links(reading{
		links: []link{
			{name: "lo", prefixes: prefixes("127.0.0.1/8"), loopback: true},
			{name: "eth0", prefixes: prefixes("192.168.1.10/24")},
			{name: "docker0", prefixes: prefixes("172.17.0.1/16"), hollow: true},
		},
		routers: []netip.Addr{netip.MustParseAddr("192.168.1.1")},
	})
	for addr, want := range map[string]bool{
		"192.168.1.20": true, "127.0.0.1": true, "192.168.1.10": true, "172.17.0.5": true,
		"192.168.1.1": false, "203.0.113.7": false, "192.168.9.1": false, "2001:db8::1": false,
	} {
		if got := home.inside(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %t", addr, got)
		}
	}
	nobody := links(reading{routers: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	var refused atomic.Int32
	p, err := ListenPlain(PlainConfig{Listen: "127.0.0.1:0", Links: nobody, HomeName: func(string) bool { return true },
		Refused: func(net.Addr, string) { refused.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if c, err := p.Accept(); err == nil {
			c.Close()
			t.Error("let in")
		}
	}()
	switch c, err := net.Dial("tcp", p.Addr().String()); {
	case errors.Is(err, syscall.ECONNRESET): // it came so soon
	case err != nil:
		t.Fatal(err)
	default:
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if n, _ := c.Read(make([]byte, 1)); n != 0 {
			t.Error("is answered")
		}
	}
	if refused.Load() != 1 {
		t.Errorf("%d refused", refused.Load())
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	<-ended
}

// A proxy that the owner trusts is neither at home nor this machine, whatever its address:
// it speaks for others. It comes in without TLS, too, where it may be nobody of the house.
func TestProxyIsNobodyOfTheHouse(t *testing.T) {
	home := links(reading{
		links:   []link{{name: "lo", prefixes: prefixes("127.0.0.1/8"), loopback: true}, {name: "eth0", prefixes: prefixes("192.168.1.10/24")}},
		routers: []netip.Addr{netip.MustParseAddr("192.168.1.1")},
	})
	proxies := wire.Proxies{Trusted: prefixes("192.168.1.5/32", "127.0.0.1/32", "192.168.1.1/32"), Protocol: true}
	for name, d := range map[string]interface {
		AtHome(netip.Addr) bool
		Here(netip.Addr) bool
	}{"with TLS": &Door{surroundings: surroundings{proxies, home}}, "without": &Plain{surroundings: surroundings{proxies, home}}} {
		for addr, want := range map[string]struct{ home, here bool }{
			"192.168.1.5": {}, "::ffff:192.168.1.5": {}, "127.0.0.1": {}, "192.168.1.1": {},
			"192.168.1.6": {home: true}, "192.168.1.10": {here: true}, "127.0.0.2": {here: true}, "203.0.113.7": {},
		} {
			a := netip.MustParseAddr(addr)
			if d.AtHome(a) != want.home || d.Here(a) != want.here {
				t.Errorf("%s, %s: at home %t, this machine %t", name, addr, d.AtHome(a), d.Here(a))
			}
		}
	}
}

// Without TLS, too, a connection is its client's that a proxy relays: somebody at home
// comes in, somebody of the Internet gets not one byte, and so does whom a rule does not
// allow, or who comes without a header.
func TestPlainBehindProxy(t *testing.T) {
	home := links(reading{links: []link{{name: "eth0", prefixes: prefixes("192.168.1.10/24")}}})
	refused := make(chan string, 1)
	p, err := ListenPlain(PlainConfig{Listen: "127.0.0.1:0", Links: home, HomeName: func(string) bool { return true },
		Proxies: wire.Proxies{Trusted: prefixes("127.0.0.1/32"), Protocol: true},
		Allow:   func(a netip.Addr) bool { return a != netip.MustParseAddr("192.168.1.66") },
		Refused: func(remote net.Addr, reason string) { refused <- remote.String() + ": " + reason }})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := p.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, c.RemoteAddr().String())
			_ = c.Close()
		}
	}()
	for header, want := range map[string]string{
		"PROXY TCP4 192.168.1.20 192.168.1.10 50000 8123\r\n": "",
		"PROXY TCP4 192.168.1.66 192.168.1.10 50000 8123\r\n": "192.168.1.66:50000: address not allowed",
		"PROXY TCP4 203.0.113.7 192.168.1.10 50000 8123\r\n":  "203.0.113.7:50000: not from home, at the door without TLS",
		"GET / HTTP/1.1\r\nHost: h\r\n\r\n":                   "malformed PROXY header",
	} {
		c, err := net.Dial("tcp", p.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(c, header)
		b, _ := io.ReadAll(c)
		_ = c.Close()
		if want == "" {
			if string(b) != "192.168.1.20:50000" {
				t.Errorf("%q hears %q", header, b)
			}
			continue
		}
		if got := <-refused; len(b) > 0 || !strings.HasSuffix(got, want) {
			t.Errorf("%q hears %q, and is counted as %q", header, b, got)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	<-ended
}
