package acme

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// Port 80 answers the challenge of a pending order and nothing else: everybody else gets
// not one byte.
func TestHTTP01OrNothing(t *testing.T) {
	m := &Manager{cfg: Config{Now: time.Now}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.ServeHTTP01(ctx, l) }()
	ask := func(request string) string {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(c, request)
		heard, _ := io.ReadAll(c)
		return string(heard)
	}
	const good = "GET /.well-known/acme-challenge/abc HTTP/1.1\r\nHost: house.example.org\r\n\r\n"
	if got := ask(good); got != "" {
		t.Errorf("nothing is pending: %q", got)
	}
	m.answers.mu.Lock()
	m.answers.texts = map[string]string{"house.example.org/.well-known/acme-challenge/abc": "abc.key"}
	m.answers.mu.Unlock()
	if got := ask(good); !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(got, "\r\n\r\nabc.key") {
		t.Errorf("the challenge: %q", got)
	}
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: house.example.org\r\n\r\n",
		"GET /.well-known/acme-challenge/abd HTTP/1.1\r\nHost: house.example.org\r\n\r\n",
		"GET /.well-known/acme-challenge/abc HTTP/1.1\r\nHost: other.example.org\r\n\r\n",
		"POST /.well-known/acme-challenge/abc HTTP/1.1\r\nHost: house.example.org\r\n\r\n",
		"GET /.well-known/acme-challenge/abc HTTP/1.1\r\n\r\n",
		"GET /.well-known/acme-challenge/abc HTTP/1.1\r\nHost: house.example.org\r\nHost: house.example.org\r\n\r\n",
		"GET /" + strings.Repeat("a", http01Head) + "\r\n\r\n",
		"\x16\x03\x01\x00\x05hello\r\n\r\n",
	} {
		if got := ask(request); got != "" {
			t.Errorf("%.60q hears %q", request, got)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Whoever holds as many connections as they can keeps no issuer out.
func TestHTTP01InACrowd(t *testing.T) {
	m := &Manager{cfg: Config{Now: time.Now}}
	m.answers.texts = map[string]string{"house.example.org/.well-known/acme-challenge/abc": "abc.key"}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.ServeHTTP01(ctx, l) }()
	from := func(addr string) net.Conn {
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}).Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		return c
	}
	for range 2 * http01Many {
		defer from("127.0.0.2").Close()
	}
	c := from("127.0.0.3")
	defer c.Close()
	_, _ = io.WriteString(c, "GET /.well-known/acme-challenge/abc HTTP/1.1\r\nHost: house.example.org\r\n\r\n")
	if heard, _ := io.ReadAll(c); !strings.HasSuffix(string(heard), "abc.key") {
		t.Errorf("the issuer hears %q", heard)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A source is an address of IPv4, and of IPv6 the network that a house is given; whoever leaves
// makes room.
func TestCrowd(t *testing.T) {
	here := crowd{by: map[netip.Prefix]int{}}
	at := func(addr string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr)) }
	var leaves []func()
	for n := range http01Each {
		leave, ok := here.enter(at(fmt.Sprintf("[2001:db8::%d]:1", n+1)))
		if !ok {
			t.Fatalf("number %d finds no room", n)
		}
		leaves = append(leaves, leave)
	}
	if _, ok := here.enter(at("[2001:db8::ffff]:1")); ok {
		t.Error("one more of the same network finds room")
	}
	for _, other := range []string{"[2001:db8:0:1::1]:1", "192.0.2.1:1", "[::ffff:192.0.2.1]:1"} {
		leave, ok := here.enter(at(other))
		if !ok {
			t.Fatalf("%s finds no room", other)
		}
		leaves = append(leaves, leave)
	}
	if n := len(here.by); n != 3 {
		t.Errorf("%d sources", n)
	}
	for _, leave := range leaves {
		leave()
	}
	if here.all != 0 || len(here.by) != 0 {
		t.Errorf("left: %d, %v", here.all, here.by)
	}
}

// What is taken has one reading.
func FuzzHTTP01(f *testing.F) {
	f.Add([]byte("GET /.well-known/acme-challenge/abc HTTP/1.1\r\nHost: house.example.org:80\r\nAccept: */*"))
	f.Add([]byte("GET /.well-known/acme-challenge/ HTTP/1.1\r\nHost: a\r\nHost: b"))
	f.Fuzz(func(t *testing.T, head []byte) {
		host, path, ok := parseHTTP01(head)
		if !ok {
			return
		}
		again, samePath, ok := parseHTTP01(fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s", path, host))
		if !ok || again != host || samePath != path {
			t.Errorf("%q is %q %q, written again %q %q", head, host, path, again, samePath)
		}
	})
}
