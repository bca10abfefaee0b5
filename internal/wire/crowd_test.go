package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Who has to give way in a full crowd: the silent before the slow, the slow only
// after a while, whoever works never, and of one address only so many come in at all.
func TestWhoGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(3, 2, 2*time.Second)
		var gone []string
		enter := func(name, addr string) *place {
			p, reason := c.enter(source{addr: netip.MustParseAddr(addr)}, func() { gone = append(gone, name) })
			if reason != "" {
				gone = append(gone, name+": "+string(reason))
			}
			return p
		}
		check := func(want ...string) {
			t.Helper()
			if !slices.Equal(gone, want) {
				t.Errorf("gone: %q, want %q", gone, want)
			}
			gone = nil
		}
		a, b := enter("a", "192.0.2.1"), enter("b", "192.0.2.1")
		enter("c", "192.0.2.1")
		check("c: " + string(ReasonTooManyOfOne))
		d := enter("d", "192.0.2.2")
		a.wait(queueSilent) // it said something: b is now the one silent for longest
		e := enter("e", "192.0.2.3")
		check("b")
		if b.work() || !b.gaveWay() || !a.work() || a.gaveWay() {
			t.Error("who gave way does not know, or somebody else believes it")
		}
		b.leave() // counts once
		d.wait(queueSlow)
		enter("f", "192.0.2.4")
		check("e") // d began something
		if e.work() {
			t.Error("e was taken for one that is still there")
		}
		f := enter("g", "192.0.2.5")
		check("f")
		if !f.work() {
			t.Error("g gave way")
		}
		enter("h", "192.0.2.6")
		check("h: " + string(ReasonTooMany)) // a and g work, d is slow but not yet too slow
		time.Sleep(2 * time.Second)
		h := enter("h", "192.0.2.6")
		check("d")
		for _, p := range []*place{a, f, h} {
			p.leave()
			p.leave()
		}
		if c.all != 0 || len(c.each) != 0 {
			t.Errorf("left behind: %d, %v", c.all, c.each)
		}
	})
}

// In a crowd that is full of strangers there is room for who is favoured, as far as that
// goes, and whoever stands before many has no limit of its own.
func TestFavouredHaveRoom(t *testing.T) {
	c := newCrowd(2, 2, time.Hour)
	c.spare = 1
	enter := func(s source) Reason {
		p, reason := c.enter(s, func() { t.Error("somebody gave way") })
		if p != nil {
			p.work()
		}
		return reason
	}
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i, tc := range []struct {
		source source
		want   Reason
	}{
		{source{addr: a}, ""}, {source{addr: a}, ""}, {source{addr: b}, ReasonTooMany}, {source{addr: b, rank: rankSeldom}, ReasonTooMany},
		{source{addr: a, rank: rankFavoured}, ReasonTooManyOfOne},
		{source{addr: b, rank: rankFavoured}, ""}, {source{addr: b, rank: rankFavoured}, ReasonTooMany},
	} {
		if got := enter(tc.source); got != tc.want {
			t.Errorf("%d: %q, want %q", i, got, tc.want)
		}
	}
	c = newCrowd(10, 2, time.Hour)
	for i := range 10 {
		if got := enter(source{addr: a, many: true}); got != "" {
			t.Errorf("%d of a proxy's: %q", i, got)
		}
	}
}

// flood keeps connecting from many addresses, each time saying the same and then
// nothing more, until the test ends. It returns when the place is full.
func flood(t *testing.T, to string, addresses, ofEach int, say []byte) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	var made atomic.Int64
	for i := range addresses * ofEach {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%addresses))}}
		wg.Go(func() {
			for ctx.Err() == nil {
				c, err := dialer.DialContext(ctx, "tcp", to)
				if err != nil {
					continue // the listener's queue is full, as it may be
				}
				made.Add(1)
				stop := context.AfterFunc(ctx, func() { _ = c.Close() })
				_, _ = c.Write(say)
				_, _ = io.Copy(io.Discard, c) // until it gives way, which makes it come back
				stop()
				_ = c.Close()
				time.Sleep(20 * time.Millisecond) // a flood of some thousand a second
			}
		})
	}
	for began := time.Now(); made.Load() < int64(addresses*ofEach); time.Sleep(time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("the flood made %d connections", made.Load())
		}
	}
}

// dialFrom connects from an address of this machine.
func dialFrom(t *testing.T, from, to string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	c, err := d.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// Strangers at more addresses than it takes to fill the place, who say nothing or half
// of a ClientHello, keep nobody out who shakes hands.
func TestHandshakeThroughFlood(t *testing.T) {
	config, client := testCertificate(t)
	hello := recordHello(t, client)
	for name, say := range map[string][]byte{"silent": nil, "half a hello": hello[:len(hello)/2]} {
		t.Run(name, func(t *testing.T) {
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var gaveWay, other atomic.Int64
			l := ListenTLS(inner, config, TLSOptions{MaxPending: 64, MaxPendingPerAddr: 8, HelloTimeout: time.Hour,
				Refused: func(_ net.Addr, reason string) {
					if reason == string(ReasonTooMany) {
						gaveWay.Add(1)
					} else {
						other.Add(1)
					}
				}})
			accepted := make(chan struct{})
			go func() {
				defer close(accepted)
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = io.WriteString(c, "well")
					_ = c.Close()
				}
			}()
			defer func() { _ = l.Close(); <-accepted }()
			flood(t, inner.Addr().String(), 16, 8, say)
			for i := range 20 {
				c := tls.Client(dialFrom(t, "127.0.0.1", inner.Addr().String()), client)
				if b, err := io.ReadAll(c); err != nil || string(b) != "well" {
					t.Fatalf("handshake %d: %q, %v", i, b, err)
				}
			}
			if gaveWay.Load() < 20 {
				t.Errorf("only %d gave way", gaveWay.Load())
			}
			if n := other.Load(); n > 0 {
				t.Errorf("%d were refused for another reason", n)
			}
		})
	}
}

// Whoever gives way gets not one byte, and the newest comer from an address that has
// its fill is still turned away itself.
func TestGivesWayWithoutAByte(t *testing.T) {
	config, client := testCertificate(t)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reasons := make(chan string, 10)
	l := ListenTLS(inner, config, TLSOptions{MaxPending: 2, MaxPendingPerAddr: 2, HelloTimeout: time.Hour,
		Refused: func(remote net.Addr, reason string) { reasons <- remote.String() + " " + reason }})
	done := make(chan struct{})
	go func() { defer close(done); _, _ = l.Accept() }()
	defer func() { _ = l.Close(); <-done }()
	to := inner.Addr().String()
	first := dialFrom(t, "127.0.1.1", to)
	_, _ = first.Write(recordHello(t, client)[:20])
	second := dialFrom(t, "127.0.1.1", to)
	if b, err := say("127.0.1.1", to, nil); len(b) > 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("one too many of an address: %q, %v", b, err)
	}
	if r := <-reasons; !strings.HasPrefix(r, "127.0.1.1:") || !strings.HasSuffix(r, " "+string(ReasonTooManyOfOne)) {
		t.Errorf("counted %q", r)
	}
	dialFrom(t, "127.0.1.2", to)
	if b, err := io.ReadAll(first); len(b) > 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the oldest: %q, %v", b, err)
	}
	if r := <-reasons; r != first.LocalAddr().String()+" "+string(ReasonTooMany) {
		t.Errorf("counted %q", r)
	}
	_ = second.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := second.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the second oldest: %v", err)
	}
}

// The same where connections are open: those that wait for a request, or trickle one,
// give way to newcomers; one in a request goes on.
func TestRequestsThroughFlood(t *testing.T) {
	for name, say := range map[string]string{
		"silent": "", "half a request": "GET / HTTP/1.1\r\nHost: h\r\nX: y", "idle after one": get(),
	} {
		t.Run(name, func(t *testing.T) {
			began, end := make(chan struct{}), make(chan struct{})
			var once sync.Once
			release := func() { once.Do(func() { close(end) }) }
			defer release()
			ts := serve(t, Limits{MaxConns: 64, MaxConnsPerAddr: 8, HeaderTimeout: time.Hour, IdleTimeout: time.Hour},
				func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/long" {
						close(began)
						<-end
					}
					_, _ = io.WriteString(w, "well")
				})
			long := dialFrom(t, "127.0.0.1", ts.addr)
			_, _ = io.WriteString(long, "GET /long HTTP/1.1\r\nHost: h\r\n\r\n")
			<-began
			flood(t, ts.addr, 16, 8, []byte(say))
			for i := range 20 {
				c := dialFrom(t, "127.0.0.1", ts.addr)
				_, _ = io.WriteString(c, get("Connection: close\r\n"))
				if b, err := io.ReadAll(c); err != nil || !bytes.HasSuffix(b, []byte("well")) {
					t.Fatalf("request %d: %q, %v", i, b, err)
				}
				_ = c.Close()
			}
			release()
			if res, b := readAnswer(t, bufio.NewReader(long), "GET"); res.StatusCode != http.StatusOK || b != "well" {
				t.Errorf("the request that was going on: %d %q", res.StatusCode, b)
			}
			tooMany := 0
			for _, r := range ts.refusals() {
				if r == ReasonTooMany {
					tooMany++
				} else {
					t.Errorf("refused for %q", r)
				}
			}
			if tooMany < 20 {
				t.Errorf("only %d gave way", tooMany)
			}
		})
	}
}

// A full house in which everybody is in a request turns newcomers away. HTTP/2 counts
// like the rest: idle it gives way, with a stream it does not.
func TestBusyNeverGivesWay(t *testing.T) {
	busy, end := make(chan struct{}, 10), make(chan struct{})
	var closeEnd sync.Once
	release := func() { closeEnd.Do(func() { close(end) }) }
	ts := serveTLS(t, Limits{MaxConns: 2}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			busy <- struct{}{}
			<-end
		}
		_, _ = fmt.Fprint(w, r.Proto)
	})
	defer release()
	answers := make(chan string, 2)
	ask := func(c *http.Client, path string) {
		res, err := c.Get(ts.url(path))
		if err != nil {
			answers <- err.Error()
			return
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			b = []byte(err.Error())
		}
		answers <- string(b)
	}
	two, one := ts.client(t, "h2"), ts.client(t, "http/1.1")
	go ask(two, "/long")
	<-busy
	go ask(one, "/long")
	<-busy
	late := tls.Client(dialFrom(t, "127.0.1.1", ts.addr), ts.tls)
	_, _ = io.WriteString(late, get())
	if b, _ := io.ReadAll(late); len(b) > 0 {
		t.Errorf("came in where everybody was busy: %q", b)
	}
	if r := ts.lastReason(t); r != ReasonTooMany {
		t.Errorf("counted %q", r)
	}
	release()
	got := []string{<-answers, <-answers}
	slices.Sort(got)
	if !slices.Equal(got, []string{"HTTP/1.1", "HTTP/2.0"}) {
		t.Errorf("answers %q", got)
	}
	// Both are idle now, and make room one after the other.
	var open []net.Conn
	for range 2 {
		c := tls.Client(dialFrom(t, "127.0.1.2", ts.addr), ts.tls)
		_, _ = io.WriteString(c, get())
		if res, b := readAnswer(t, bufio.NewReader(c), "GET"); res.StatusCode != http.StatusOK || b != "HTTP/1.1" {
			t.Fatalf("%d %q", res.StatusCode, b)
		}
		open = append(open, c)
	}
	if n := len(ts.refusals()); n != 2 {
		t.Errorf("%d gave way, want 2", n)
	}
	// And those come back whom nobody else keeps out.
	go ask(ts.client(t, "h2"), "/")
	if got := <-answers; got != "HTTP/2.0" {
		t.Errorf("afterwards: %q", got)
	}
	for _, c := range open {
		_ = c.Close()
	}
}
