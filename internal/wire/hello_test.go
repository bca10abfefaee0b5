package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// recordHello returns the bytes of a real ClientHello of crypto/tls.
func recordHello(t testing.TB, cfg *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Client(client, cfg).Handshake()
	}()
	head := make([]byte, 5)
	if _, err := io.ReadFull(server, head); err != nil {
		t.Fatal(err)
	}
	rest := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(server, rest); err != nil {
		t.Fatal(err)
	}
	server.Close()
	client.Close()
	<-done
	return append(head, rest...)
}

// split spreads a ClientHello over records of n bytes.
func split(record []byte, n int) []byte {
	var out []byte
	for body := record[5:]; len(body) > 0; {
		piece := body[:min(n, len(body))]
		out = append(out, 22, 3, 1, byte(len(piece)>>8), byte(len(piece)))
		out = append(out, piece...)
		body = body[len(piece):]
	}
	return out
}

// fakeConn is a net.Conn that reads from memory and fails the test when written to.
type fakeConn struct {
	net.Conn
	io.Reader
	t testing.TB
}

func (c fakeConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

func (c fakeConn) Write([]byte) (int, error) {
	c.t.Error("something was written")
	return 0, io.ErrClosedPipe
}

func TestReadClientHello(t *testing.T) {
	record := recordHello(t, &tls.Config{ServerName: "Home.Example", NextProtos: []string{"h2", "http/1.1"}})
	for name, sent := range map[string][]byte{
		"whole":    record,
		"spread":   split(record, (len(record)-5)/10),
		"trailing": append(bytes.Clone(record), "more"...),
	} {
		hello, replay, err := ReadClientHello(fakeConn{Reader: bytes.NewReader(sent), t: t})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if hello.ServerName != "home.example" || !slices.Equal(hello.Protocols, []string{"h2", "http/1.1"}) {
			t.Errorf("%s: %+v", name, hello)
		}
		if again, err := io.ReadAll(replay); err != nil || !bytes.Equal(again, sent) {
			t.Errorf("%s: replayed %d of %d bytes, %v", name, len(again), len(sent), err)
		}
	}
	if hello, _, err := ReadClientHello(fakeConn{Reader: bytes.NewReader(recordHello(t, &tls.Config{InsecureSkipVerify: true})), t: t}); err != nil || hello.ServerName != "" || !hello.TLS13 {
		t.Errorf("no name: %+v, %v", hello, err)
	}
	old := recordHello(t, &tls.Config{ServerName: "home.example", MaxVersion: tls.VersionTLS12})
	if hello, _, err := ReadClientHello(fakeConn{Reader: bytes.NewReader(old), t: t}); err != nil || hello.TLS13 {
		t.Errorf("an old device: %+v, %v", hello, err)
	}
}

// change returns a ClientHello with something done to it.
func change(record []byte, f func(b []byte) []byte) []byte { return f(bytes.Clone(record)) }

func TestBadClientHello(t *testing.T) {
	good := recordHello(t, &tls.Config{ServerName: "home.example"})
	at := bytes.Index(good, []byte("home.example"))
	versions := bytes.Index(good, []byte{0, 43, 0, 5, 4, 3, 4, 3, 3})
	if versions < 0 {
		t.Fatal("the hello says no versions")
	}
	for _, tc := range []struct {
		name   string
		sent   []byte
		reason Reason
	}{
		{"nothing", nil, ReasonTruncated},
		{"cut short", good[:len(good)-1], ReasonTruncated},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), ReasonPlain},
		{"SSH", []byte("SSH-2.0-OpenSSH_9.2\r\n"), ReasonHello},
		{"SSL 2", []byte("\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10"), ReasonHello},
		{"alert", []byte{21, 3, 1, 0, 2, 1, 0}, ReasonHello},
		{"empty record", []byte{22, 3, 1, 0, 0}, ReasonHello},
		{"other version", change(good, func(b []byte) []byte { b[1] = 4; return b }), ReasonHello},
		{"record too long", []byte{22, 3, 1, 0x40, 1, 1}, ReasonHello},
		{"message too long", []byte{22, 3, 1, 0, 4, 1, 1, 0, 0}, ReasonHello},
		{"ServerHello", change(good, func(b []byte) []byte { b[5] = 2; return b }), ReasonHello},
		{"too many records", split(good, 4), ReasonHello},
		{"more in the record", change(good, func(b []byte) []byte {
			binary.BigEndian.PutUint16(b[3:], binary.BigEndian.Uint16(b[3:])+1)
			return append(b, 0)
		}), ReasonHello},
		{"NUL in name", change(good, func(b []byte) []byte { b[at+4] = 0; return b }), ReasonHello},
		{"space in name", change(good, func(b []byte) []byte { b[at+4] = ' '; return b }), ReasonHello},
		{"two dots in name", change(good, func(b []byte) []byte { b[at+5] = '.'; return b }), ReasonHello},
		{"dot behind name", change(good, func(b []byte) []byte { b[at+11] = '.'; return b }), ReasonHello},
		{"address for a name", change(good, func(b []byte) []byte { copy(b[at:], "192.168.10.1"); return b }), ReasonHello},
		{"name type", change(good, func(b []byte) []byte { b[at-3] = 1; return b }), ReasonHello},
		{"name length", change(good, func(b []byte) []byte { b[at-1]++; return b }), ReasonHello},
		{"versions end early", change(good, func(b []byte) []byte { b[versions+4]++; return b }), ReasonHello},
		{"half a version", change(good, func(b []byte) []byte { b[versions+4]--; return b }), ReasonHello},
		{"name list length", change(good, func(b []byte) []byte { b[at-4]++; return b }), ReasonHello},
	} {
		_, _, err := ReadClientHello(fakeConn{Reader: bytes.NewReader(tc.sent), t: t})
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Reason != tc.reason {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.reason)
		}
	}
}

// Whatever is taken for a ClientHello is replayed byte by byte, and crypto/tls
// finds the same name and protocols in it.
func FuzzClientHello(f *testing.F) {
	good := recordHello(f, &tls.Config{ServerName: "home.example", NextProtos: []string{"h2", "http/1.1"}})
	f.Add(good)
	f.Add(split(good, 300))
	f.Add(recordHello(f, &tls.Config{ServerName: "a.b", MaxVersion: tls.VersionTLS12}))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		hello, replay, err := ReadClientHello(fakeConn{Reader: bytes.NewReader(b), t: t})
		if err != nil {
			return
		}
		var seen *tls.ClientHelloInfo
		secure := tls.Server(silentConn{Reader: replay}, &tls.Config{
			GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
				seen = info
				return nil, errors.New("seen enough")
			},
		})
		_ = secure.Handshake()
		if seen == nil {
			return // crypto/tls is stricter elsewhere
		}
		if !strings.EqualFold(seen.ServerName, hello.ServerName) || !slices.Equal(seen.SupportedProtos, hello.Protocols) {
			t.Errorf("crypto/tls read %q %q, we %q %q", seen.ServerName, seen.SupportedProtos, hello.ServerName, hello.Protocols)
		}
		if slices.Contains(seen.SupportedVersions, tls.VersionTLS13) != hello.TLS13 {
			t.Errorf("crypto/tls read the versions %x, we TLS 1.3: %t", seen.SupportedVersions, hello.TLS13)
		}
	})
}

// silentConn reads and swallows what is written.
type silentConn struct {
	net.Conn
	io.Reader
}

func (c silentConn) Read(p []byte) (int, error)     { return c.Reader.Read(p) }
func (silentConn) Write(p []byte) (int, error)      { return len(p), nil }
func (silentConn) Close() error                     { return nil }
func (silentConn) SetDeadline(time.Time) error      { return nil }
func (silentConn) SetReadDeadline(time.Time) error  { return nil }
func (silentConn) SetWriteDeadline(time.Time) error { return nil }

// Who is not admitted, or sends no ClientHello, gets not one byte, no alert either.
func TestUnadmitted(t *testing.T) {
	config, client := testCertificate(t)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reasons := make(chan string, 1)
	l := ListenTLS(inner, config, TLSOptions{
		Admit:        func(h *ClientHello, c net.Conn) bool { return h.ServerName == "home.example" && c.RemoteAddr() != nil },
		Refused:      func(_ net.Addr, reason string) { reasons <- reason },
		HelloTimeout: 200 * time.Millisecond,
	})
	accepted := make(chan net.Conn, 1)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	for name, tc := range map[string]struct {
		sent   []byte
		reason Reason
	}{
		"other name": {recordHello(t, &tls.Config{ServerName: "other.example"}), ReasonName},
		"no name":    {recordHello(t, &tls.Config{InsecureSkipVerify: true}), ReasonName},
		"address":    {recordHello(t, &tls.Config{ServerName: "192.0.2.1"}), ReasonName},
		"HTTP":       {[]byte("GET / HTTP/1.1\r\nHost: home.example\r\n\r\n"), ReasonPlain},
		"nothing":    {nil, ReasonSlowHello},
		"half":       {recordHello(t, &tls.Config{ServerName: "home.example"})[:100], ReasonSlowHello},
	} {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(tc.sent)
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		b, err := io.ReadAll(c)
		if len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: got % x, %v", name, b, err)
		}
		if got := <-reasons; got != string(tc.reason) {
			t.Errorf("%s: refused for %q, want %q", name, got, tc.reason)
		}
		c.Close()
	}
	cfg := client.Clone()
	cfg.ServerName, cfg.NextProtos = "Home.Example", []string{"http/1.1"}
	c, err := tls.Dial("tcp", inner.Addr().String(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := (<-accepted).(*Conn)
	if got.ServerName != "home.example" || got.Protocol != "http/1.1" {
		t.Errorf("%q %q", got.ServerName, got.Protocol)
	}
	got.Close()
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
}

// Handshakes that stand still hold up nobody, are bounded in all and per address,
// and end with the listener.
func TestPendingHandshakes(t *testing.T) {
	config, client := testCertificate(t)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reasons := make(chan string, 100)
	l := ListenTLS(inner, config, TLSOptions{MaxPendingPerAddr: 10, HelloTimeout: time.Hour, HandshakeTimeout: time.Hour,
		Refused: func(_ net.Addr, reason string) { reasons <- reason }})
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	for i := range 9 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 {
			_, _ = c.Write(recordHello(t, client)) // stands still after the ServerHello
		}
	}
	c, err := tls.Dial("tcp", inner.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	(<-accepted).Close()
	for len(reasons) == 0 {
		if late, err := net.Dial("tcp", inner.Addr().String()); err == nil { // or it is reset already
			defer late.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	if r := <-reasons; r != string(ReasonTooManyOfOne) {
		t.Errorf("refused for %q", r)
	}
	l.Close()
	if _, ok := <-accepted; ok {
		t.Error("accepted after Close")
	}
}

// Each stage of a handshake has its own deadline.
func TestHandshakeDeadlines(t *testing.T) {
	config, client := testCertificate(t)
	hello := recordHello(t, client)
	for name, tc := range map[string]struct {
		sent  []byte
		after time.Duration
	}{"silent": {nil, 5 * time.Second}, "half a hello": {hello[:50], 5 * time.Second}, "hello alone": {hello, 10 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			inner := newPipeListener()
			reasons := make(chan string, 1)
			l := ListenTLS(inner, config, TLSOptions{Refused: func(_ net.Addr, reason string) { reasons <- reason }})
			done := make(chan struct{})
			go func() { defer close(done); _, _ = l.Accept() }()
			c := inner.dial()
			began := time.Now()
			go func() { _, _ = c.Write(tc.sent) }()
			_, _ = io.Copy(io.Discard, c)
			if d := time.Since(began); d != tc.after {
				t.Errorf("%s: closed after %v, want %v", name, d, tc.after)
			}
			if r := <-reasons; r != string(ReasonSlowHello) {
				t.Errorf("%s: %q", name, r)
			}
			l.Close()
			<-done
		})
	}
}

func TestServerHandshakesItself(t *testing.T) {
	config, client := testCertificate(t)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan Reason, 1)
	s := &Server{Handler: nil, Limits: Limits{HandshakeTimeout: 100 * time.Millisecond}, Refused: func(_ net.Addr, r Reason) { refused <- r }}
	if err := s.Serve(context.Background(), inner); err == nil {
		t.Error("served without a handler")
	}
	ts := serve(t, Limits{}, tell)
	s.Handler = ts.Handler
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, tls.NewListener(inner, config)) }()
	idle, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if r := <-refused; r != ReasonSlowHello {
		t.Errorf("an idle handshake: %q", r)
	}
	c, err := tls.Dial("tcp", inner.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, get("Connection: close\r\n"))
	if b, err := io.ReadAll(c); err != nil || !bytes.HasPrefix(b, []byte("HTTP/1.1 200")) {
		t.Errorf("%q, %v", b, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestCrowdCountsIPv6ByNetwork(t *testing.T) {
	c := newCrowd(10, 2, 0)
	var first *place
	enter := func(addr string) Reason {
		p, reason := c.enter(source{addr: sourceOf(remoteText(addr))}, func() { t.Error("somebody gave way") })
		if first == nil {
			first = p
		}
		return reason
	}
	for i, tc := range []struct {
		addr string
		want Reason
	}{
		{"[2001:db8::1]:1", ""}, {"[2001:db8::2]:1", ""}, {"[2001:db8::3]:1", ReasonTooManyOfOne}, {"[2001:db8:0:1::1]:1", ""},
		{"192.0.2.1:1", ""}, {"[::ffff:192.0.2.1]:1", ""}, {"192.0.2.1:2", ReasonTooManyOfOne},
	} {
		if got := enter(tc.addr); got != tc.want {
			t.Errorf("%d: %s: %q", i, tc.addr, got)
		}
	}
	first.leave()
	if got := enter("[2001:db8::3]:1"); got != "" {
		t.Errorf("after one left: %q", got)
	}
}
