package https

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gatehouse/internal/ledger"
	"gatehouse/internal/pki"
	"gatehouse/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, c Config) *Door {
	t.Helper()
	l, err := ledger.Open(t.Context(), "", ledger.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	a, err := pki.Open(t.Context(), l, pki.Options{Names: []string{"house.test"}})
	if err != nil {
		t.Fatal(err)
	}
	c.Listen, c.Names, c.TLS = "127.0.0.1:0", []string{"house.test"}, pki.ServerConfig(a.GetCertificate([]string{"house.test"}, nil))
	d, err := Listen(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// Who names the home exactly gets through; anybody else gets not one byte.
func TestNameOrNothing(t *testing.T) {
	var mu sync.Mutex
	refused := 0
	d := open(t, Config{Refused: func(net.Addr, string) { mu.Lock(); refused++; mu.Unlock() }})
	through := make(chan net.Conn, 1)
	go func() {
		for {
			c, err := d.Accept()
			if err != nil {
				return
			}
			through <- c
		}
	}()
	names := []string{"example.com", "127.0.0.1", "", "xhouse.test", "house.test.evil.example", "a.house.test"}
	for _, name := range names {
		c, err := net.Dial("tcp", d.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		heard := &ears{Conn: c}
		client := tls.Client(heard, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if err := client.HandshakeContext(ctx); err == nil {
			t.Errorf("%q gets through", name)
		}
		cancel()
		if heard.n != 0 {
			t.Errorf("%q hears %d bytes", name, heard.n)
		}
		_ = c.Close()
	}
	mu.Lock()
	if refused != len(names) {
		t.Errorf("%d were counted of %d", refused, len(names))
	}
	mu.Unlock()
	c, err := tls.Dial("tcp", d.Addr().String(), &tls.Config{ServerName: "HOUSE.test", InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	_ = (<-through).Close()
}

// ears counts what is heard.
type ears struct {
	net.Conn
	n int
}

func (e *ears) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	e.n += n
	return n, err
}

// Hosts are the home's name with a port on which it is reached, and nobody is at home.
func TestHosts(t *testing.T) {
	d := open(t, Config{PublicPort: 443})
	_, port, err := net.SplitHostPort(d.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{"house.test": true, "house.test:443": true, "house.test:" + port: true, "house.test:1": false, "house.test.": false, "HOUSE.test": false, "x.house.test": false, "127.0.0.1": false, "": false} {
		if d.HostAllowed(host) != want {
			t.Errorf("%q: %t", host, !want)
		}
	}
	if got := d.Origins(); !slices.Equal(got, []string{"https://house.test", "https://house.test:" + port}) || d.Port() != 443 {
		t.Errorf("origins %v, port %d", got, d.Port())
	}
	if d.AtHome(netip.MustParseAddr("192.168.1.2")) {
		t.Error("somebody is at home here")
	}
}

func TestIncomplete(t *testing.T) {
	if _, err := Listen(Config{Listen: "127.0.0.1:0", TLS: &tls.Config{}}); err == nil {
		t.Error("a door without a name opens")
	}
	if _, err := Listen(Config{Listen: "127.0.0.1:0", Names: []string{"house.test"}}); err == nil {
		t.Error("a door without TLS opens")
	}
}

// A door without a certificate gives nobody a byte; an issuer gets its proof while it is
// waited for, and no further; and the door opens by itself.
func TestProofOrNothing(t *testing.T) {
	l, err := ledger.Open(t.Context(), "", ledger.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := pki.Open(t.Context(), l, pki.Options{Names: []string{"house.test"}})
	if err != nil {
		t.Fatal(err)
	}
	show := a.GetCertificate([]string{"house.test"}, nil)
	proof, err := show(nil) // what it says is acme's business
	if err != nil {
		t.Fatal(err)
	}
	var ready, waited atomic.Bool
	d := open(t, Config{
		Ready: func(string) bool { return ready.Load() },
		Proof: func(name string) *tls.Certificate {
			if !waited.Load() || name != "house.test" {
				return nil
			}
			return proof
		},
	})
	through := make(chan string, 10)
	go func() {
		for {
			c, err := d.Accept()
			if err != nil {
				return
			}
			through <- c.(*wire.Conn).Protocol
			_ = c.Close()
		}
	}()
	knock := func(name string, protocols ...string) (heard int, protocol string) {
		t.Helper()
		c, err := net.Dial("tcp", d.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ears := &ears{Conn: c}
		client := tls.Client(ears, &tls.Config{ServerName: name, NextProtos: protocols, InsecureSkipVerify: true})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_ = client.HandshakeContext(ctx)
		return ears.n, client.ConnectionState().NegotiatedProtocol
	}
	silent := func(when, name string, protocols ...string) {
		t.Helper()
		if n, _ := knock(name, protocols...); n != 0 {
			t.Errorf("%s: %s %v hears %d bytes", when, name, protocols, n)
		}
	}
	const closed, ordered, opened = "no certificate", "an order is pending", "a certificate"
	silent(closed, "house.test", "h2", "http/1.1")
	silent(closed, "house.test")
	silent(closed, "house.test", "acme-tls/1")
	waited.Store(true)
	silent(ordered, "house.test", "h2")
	silent(ordered, "house.test", "acme-tls/1", "h2")
	silent(ordered, "other.test", "acme-tls/1")
	if n, protocol := knock("HOUSE.test", "acme-tls/1"); n == 0 || protocol != "acme-tls/1" {
		t.Errorf("the issuer hears %d bytes and speaks %q", n, protocol)
	}
	waited.Store(false)
	ready.Store(true)
	silent(opened, "house.test", "acme-tls/1")
	if _, protocol := knock("house.test", "h2"); protocol != "h2" {
		t.Errorf("a visitor speaks %q", protocol)
	}
	if first := <-through; first != "h2" {
		t.Errorf("somebody who speaks %q came through", first)
	}
}
