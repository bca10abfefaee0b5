package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A tellAll greets whoever comes in at a listener with the address that they come from,
// until the test ends, and remembers who did not.
type tellAll struct {
	mu   sync.Mutex
	told []string
}

func (a *tellAll) refused(remote net.Addr, reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.told = append(a.told, addrOf(remote).String()+" "+reason)
}

// last waits for the next refusal.
func (a *tellAll) last(t *testing.T) string {
	t.Helper()
	for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(time.Millisecond) {
		a.mu.Lock()
		if len(a.told) > 0 {
			told := a.told[0]
			a.told = a.told[1:]
			a.mu.Unlock()
			return told
		}
		a.mu.Unlock()
	}
	t.Fatal("nobody was refused")
	return ""
}

// count is how many refusals nobody has asked for.
func (a *tellAll) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.told)
}

func greet(t *testing.T, l net.Listener) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprint(c, addrOf(c.RemoteAddr()))
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
}

func listenHere(t testing.TB) net.Listener {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return inner
}

// say connects, says something and returns all that is heard. Who is not allowed may see
// the reset before anything was said.
func say(from, to string, what []byte) ([]byte, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	c, err := d.Dial("tcp", to)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, before := c.Write(what)
	b, err := io.ReadAll(c)
	if err == nil {
		err = before // which has taken the reset for itself
	}
	return b, err
}

// However somebody is refused before they are answered, they hear nothing and see their
// connection reset: who asks for another name, who says nonsense, nothing, too much, who
// comes too often and who is not allowed. There is one stage at which all of them end,
// before TLS begins, and one function that ends them.
func TestRefusalsEndAlike(t *testing.T) {
	config, client := testCertificate(t)
	named := func(name string) []byte {
		return recordHello(t, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	}
	good := named("localhost")
	random := bytes.Repeat([]byte{0xa7, 0x13, 0xee, 0x5c}, 300)
	big := slices.Concat([]byte{22, 3, 1, 0x40, 0, 1, 0, 0x7f, 0xff}, make([]byte, 16<<10-4))
	now := time.Now()
	for _, tc := range []struct {
		name   string
		from   string
		sent   []byte
		reason Reason
	}{
		{"other name", "127.0.0.1", named("other.example"), ReasonName},
		{"no name", "127.0.0.1", named(""), ReasonName},
		{"address", "127.0.0.1", named("192.0.2.1"), ReasonName},
		{"name, and more behind it", "127.0.0.1", append(named("other.example"), random...), ReasonName},
		{"SSL 2", "127.0.0.1", []byte("\x80\x2e\x01\x03\x00\x00\x15\x00\x00\x00\x10\x01\x00\x80\x03\x00\x80\x07\x00\xc0"), ReasonHello},
		{"SSL 3 without extensions", "127.0.0.1", sslHello, ReasonName},
		{"HTTP", "127.0.0.1", []byte("GET / HTTP/1.1\r\nHost: home.example\r\n\r\n"), ReasonPlain},
		{"HTTP, long", "127.0.0.1", []byte("POST / HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 1000)), ReasonPlain},
		{"SSH", "127.0.0.1", []byte("SSH-2.0-OpenSSH_9.2\r\n"), ReasonHello},
		{"random bytes", "127.0.0.1", random, ReasonHello},
		{"too large", "127.0.0.1", big, ReasonHello},
		{"nothing", "127.0.0.1", nil, ReasonSlowHello},
		{"half", "127.0.0.1", good[:100], ReasonSlowHello},
		{"not allowed", "127.0.0.2", good, ReasonNotAllowed},
		{"not allowed, silent", "127.0.0.2", nil, ReasonNotAllowed},
		{"too fast", "127.0.0.3", good, ReasonTooFast},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inner := listenHere(t)
			var all tellAll
			l := ListenTLS(inner, config, TLSOptions{
				Allow:        func(a netip.Addr) bool { return a != netip.MustParseAddr("127.0.0.2") },
				Tight:        func(a netip.Addr) bool { return a == netip.MustParseAddr("127.0.0.3") },
				Admit:        func(h *ClientHello, _ net.Conn) bool { return h.ServerName == "localhost" },
				Now:          func() time.Time { return now },
				HelloTimeout: 100 * time.Millisecond, Refused: all.refused,
			})
			for tc.reason == ReasonTooFast {
				if _, ok := l.rates.take(netip.MustParseAddr(tc.from), true); !ok {
					break
				}
			}
			greet(t, l)
			if b, err := say(tc.from, inner.Addr().String(), tc.sent); len(b) > 0 || !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("hears % x, %v", b, err)
			}
			if got := all.last(t); got != tc.from+" "+string(tc.reason) {
				t.Errorf("counted %q", got)
			}
			if tc.from == "127.0.0.1" { // and whoever does it right comes in from there
				if b, err := io.ReadAll(tls.Client(dialFrom(t, tc.from, inner.Addr().String()), client)); string(b) != tc.from {
					t.Errorf("afterwards: %q, %v", b, err)
				}
			}
		})
	}
}

// sslHello is a ClientHello of SSL 3: no extensions, so no name.
var sslHello = slices.Concat([]byte{22, 3, 0, 0, 45, 1, 0, 0, 41, 3, 0}, make([]byte, 32), []byte{0, 0, 2, 0, 5, 1, 0})

// Whose connection a proxy relays is who comes in, and is counted; without a header, with
// a wrong one, or from elsewhere nobody does. A proxy that looks for itself comes in with
// its own address, and nothing is counted of it.
func TestProxyListener(t *testing.T) {
	config, client := testCertificate(t)
	inner := listenHere(t)
	var all tellAll
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.9.0/24")}
	l := ListenTLS(ListenProxy(inner, ProxyOptions{Trusted: trusted, HeaderTimeout: 200 * time.Millisecond, Refused: all.refused}), config,
		TLSOptions{Proxies: Proxies{Trusted: trusted, Protocol: true}, Refused: all.refused, HelloTimeout: 200 * time.Millisecond,
			Allow: func(a netip.Addr) bool { return a != netip.MustParseAddr("203.0.113.66") }})
	greet(t, l)
	to := inner.Addr().String()
	hello := string(recordHello(t, client))
	for name, header := range map[string]string{
		"203.0.113.7": "PROXY TCP4 203.0.113.7 192.0.2.1 50000 443\r\n",
		"2001:db8::7": binaryHeader(proxyRelayed, proxyTCP6, ends6...),
		"127.0.9.1":   binaryHeader(proxyLocal, 0),
	} {
		c := dialFrom(t, "127.0.9.1", to)
		_, _ = io.WriteString(c, header)
		if b, err := io.ReadAll(tls.Client(c, client)); string(b) != name {
			t.Errorf("%s comes in as %q, %v", name, b, err)
		}
	}
	for name, tc := range map[string]struct{ from, sent, want string }{
		"no header":            {"127.0.9.1", hello, "127.0.9.1 " + string(ReasonProxyHeader)},
		"half of one":          {"127.0.9.1", "PROXY TCP4 203.0.113.7", "127.0.9.1 " + string(ReasonSlowProxy)},
		"nothing":              {"127.0.9.1", "", "127.0.9.1 " + string(ReasonSlowProxy)},
		"from elsewhere":       {"127.0.8.1", "PROXY TCP4 203.0.113.7 192.0.2.1 50000 443\r\n" + hello, "127.0.8.1 " + string(ReasonProxy)},
		"straight to us":       {"127.0.8.1", hello, "127.0.8.1 " + string(ReasonProxy)},
		"relayed, not allowed": {"127.0.9.1", "PROXY TCP4 203.0.113.66 192.0.2.1 50000 443\r\n" + hello, "203.0.113.66 " + string(ReasonNotAllowed)},
		"relayed, nonsense":    {"127.0.9.1", "PROXY TCP4 203.0.113.8 192.0.2.1 50000 443\r\n" + "nonsense", "203.0.113.8 " + string(ReasonHello)},
		"two headers":          {"127.0.9.1", strings.Repeat("PROXY TCP4 203.0.113.8 192.0.2.1 50000 443\r\n", 2), "203.0.113.8 " + string(ReasonHello)},
	} {
		if b, err := say(tc.from, to, []byte(tc.sent)); len(b) > 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: hears % x, %v", name, b, err)
		}
		if got := all.last(t); got != tc.want {
			t.Errorf("%s: counted %q, want %q", name, got, tc.want)
		}
	}
	for _, sent := range []string{"PROXY UNKNOWN\r\n", binaryHeader(proxyLocal, 0)} {
		c := dialFrom(t, "127.0.9.1", to)
		_, _ = io.WriteString(c, sent)
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.ReadAll(c)
	}
	if n := all.count(); n > 0 {
		t.Errorf("%d were counted of a proxy that looks whether we are there", n)
	}
}

// The limits of one address are those of the clients, not of the proxy that all of them
// come through; and headers that do not come are bounded as well.
func TestLimitsBehindProxy(t *testing.T) {
	config, client := testCertificate(t)
	inner := listenHere(t)
	var all tellAll
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.9.1/32")}
	l := ListenTLS(ListenProxy(inner, ProxyOptions{Trusted: trusted, MaxPending: 8, HeaderTimeout: time.Hour, Refused: all.refused}), config,
		TLSOptions{Proxies: Proxies{Trusted: trusted, Protocol: true}, MaxPendingPerAddr: 2, HelloTimeout: time.Hour, Refused: all.refused})
	greet(t, l)
	to := inner.Addr().String()
	relay := func(addr string) net.Conn {
		c := dialFrom(t, "127.0.9.1", to)
		_, _ = io.WriteString(c, "PROXY TCP4 "+addr+" 192.0.2.1 50000 443\r\n")
		return c
	}
	for range 3 {
		relay("203.0.113.7")
	}
	if got := all.last(t); got != "203.0.113.7 "+string(ReasonTooManyOfOne) {
		t.Errorf("counted %q", got)
	}
	for range 8 {
		dialFrom(t, "127.0.9.1", to) // says nothing
	}
	for i := range 4 {
		c := relay(fmt.Sprintf("203.0.113.%d", 10+i))
		if b, err := io.ReadAll(tls.Client(c, client)); string(b) != fmt.Sprintf("203.0.113.%d", 10+i) {
			t.Errorf("%d: %q, %v", i, b, err)
		}
	}
	if got := all.last(t); got != "127.0.9.1 "+string(ReasonTooMany) {
		t.Errorf("counted %q", got)
	}
}

// A header has its own deadline.
func TestProxyHeaderDeadline(t *testing.T) {
	for name, sent := range map[string]string{"silent": "", "half": "PROXY TCP4 "} {
		synctest.Test(t, func(t *testing.T) {
			inner := newPipeListener()
			reasons := make(chan string, 1)
			l := ListenProxy(inner, ProxyOptions{Trusted: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")},
				Refused: func(_ net.Addr, reason string) { reasons <- reason }})
			l.judge = func(net.Conn) (source, Reason) { return source{many: true}, "" } // a pipe has no address
			done := make(chan struct{})
			go func() { defer close(done); _, _ = l.Accept() }()
			c, began := inner.dial(), time.Now()
			go func() { _, _ = io.WriteString(c, sent) }()
			_, _ = io.Copy(io.Discard, c)
			if d := time.Since(began); d != 5*time.Second {
				t.Errorf("%s: closed after %v", name, d)
			}
			if r := <-reasons; r != string(ReasonSlowProxy) {
				t.Errorf("%s: %q", name, r)
			}
			_ = l.Close()
			<-done
		})
	}
}

// Each address has a bucket that fills with time. A tight one is smaller and fills
// slower; whoever comes seldom is told from who does not; a clock that is put back gives
// nothing away, and takes nothing.
func TestRates(t *testing.T) {
	now := time.Unix(1000, 0)
	r := newRates(func() time.Time { return now })
	a, b, c := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	take := func(addr netip.Addr, tight bool) (rare, all int) {
		for ; ; all++ {
			isRare, ok := r.take(addr, tight)
			if !ok {
				return rare, all
			}
			if isRare {
				rare++
			}
		}
	}
	check := func(what string, addr netip.Addr, tight bool, rare, all int) {
		t.Helper()
		if gotRare, got := take(addr, tight); gotRare != rare || got != all {
			t.Errorf("%s: %d, of them %d seldom; want %d, %d", what, got, gotRare, all, rare)
		}
	}
	check("at once", a, false, seldom, rateBurst)
	check("somebody else", b, false, seldom, rateBurst)
	check("tight", c, true, 0, tightBurst)
	now = now.Add(2 * time.Second)
	check("two seconds later", a, false, 0, 2*ratePace)
	check("tight, two seconds later", c, true, 0, 2*tightPace)
	check("not tight any more", c, false, 3, rateBurst-tightBurst)
	check("tight from now on", b, true, 0, 0)
	now = now.Add(-time.Hour)
	check("the clock is put back", a, false, 0, 0)
	now = now.Add(time.Second)
	check("and goes on", a, false, 0, ratePace)
	now = now.Add(time.Hour)
	check("an hour later", a, false, seldom, rateBurst)
	// Somebody who floods just as fast as it is let does not come seldom.
	rare := 0
	for range 100 {
		now = now.Add(time.Second / ratePace)
		if isRare, ok := r.take(a, false); !ok {
			t.Error("refused at the pace that is let")
		} else if isRare {
			rare++
		}
	}
	if rare > 0 {
		t.Errorf("%d of a flood come seldom", rare)
	}
}

// However many addresses come, as many are remembered as there is room for, and those
// that came last.
func TestRatesAreBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	r := newRates(func() time.Time { return now })
	first := netip.MustParseAddr("192.0.2.1")
	for range rateBurst {
		r.take(first, false)
	}
	addr := netip.MustParseAddr("10.0.0.0")
	for i := range 100_000 {
		addr = addr.Next()
		if _, ok := r.take(addr, false); !ok {
			t.Fatalf("%s has come once", addr)
		}
		if i == maxRates-2 {
			if _, ok := r.take(first, false); ok {
				t.Error("forgotten while there was room")
			}
		}
	}
	if len(r.all) != maxRates || r.age.Len() != maxRates {
		t.Errorf("%d are remembered, in a list of %d", len(r.all), r.age.Len())
	}
	if _, ok := r.all[addr]; !ok {
		t.Error("who came last is forgotten")
	}
}

// Those who are favoured have their turn first, then who comes seldom, then others; within
// a rank it is who came first. Whoever does not wait any more holds up nobody.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1)
		soon := time.Now().Add(time.Second)
		if err := turns.take(t.Context(), rankOften, soon); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var got []string
		tell := func(what string) { mu.Lock(); got = append(got, what); mu.Unlock() }
		wait := func(name string, r rank, ctx context.Context, until time.Time) {
			go func() {
				err := turns.take(ctx, r, until)
				if err != nil {
					tell(name + ": " + err.Error())
					return
				}
				tell(name)
				turns.give()
			}()
			synctest.Wait()
		}
		gone, leave := context.WithCancel(t.Context())
		late := time.Now().Add(time.Hour)
		wait("often", rankOften, t.Context(), late)
		wait("impatient", rankFavoured, t.Context(), soon)
		wait("gone", rankSeldom, gone, late)
		wait("seldom", rankSeldom, t.Context(), late)
		wait("seldom, too", rankSeldom, t.Context(), late)
		wait("favoured", rankFavoured, t.Context(), late)
		leave()
		time.Sleep(time.Second)
		synctest.Wait()
		turns.give()
		synctest.Wait()
		want := []string{"gone: " + errNoTurn.Error(), "impatient: " + os.ErrDeadlineExceeded.Error(), "favoured", "seldom", "seldom, too", "often"}
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		if turns.free != 1 {
			t.Errorf("%d turns are left", turns.free)
		}
	})
}

// A handshake has its turn while it computes and not while it waits: whoever stands still
// after our answer, or does not even take it, holds up nobody where one is computed at a
// time.
func TestTurnIsGivenBackWhileWaiting(t *testing.T) {
	config, client := testCertificate(t)
	inner := newPipeListener() // a write to a pipe waits until it is read
	l := ListenTLS(inner, config, TLSOptions{MaxComputing: 1})
	greet(t, l)
	hello := recordHello(t, client)
	for range 3 {
		reads, doesNot := inner.dial(), inner.dial()
		_, _ = reads.Write(hello)
		_, _ = io.ReadFull(reads, make([]byte, 5))
		_, _ = doesNot.Write(hello)
	}
	for range 3 {
		c := inner.dial()
		if err := tls.Client(c, client).HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	_ = l.Close()
	if l.turns.free != 1 {
		t.Errorf("%d turns are left", l.turns.free)
	}
}

// Who speaks no TLS that is spoken here is told apart from whose handshake fails otherwise: it
// may be the owner's old tablet.
func TestOldTLSIsToldApart(t *testing.T) {
	config, client := testCertificate(t)
	config = config.Clone()
	config.MinVersion = tls.VersionTLS13
	all := &tellAll{}
	inner := listenHere(t)
	l := ListenTLS(inner, config, TLSOptions{Refused: all.refused})
	greet(t, l)
	for _, tc := range []struct {
		highest uint16
		roots   *x509.CertPool
		want    Reason
	}{{tls.VersionTLS12, client.RootCAs, ReasonOldTLS}, {tls.VersionTLS13, x509.NewCertPool(), ReasonHandshake}} {
		c := client.Clone()
		c.MaxVersion, c.RootCAs = tc.highest, tc.roots
		if conn, err := tls.Dial("tcp", inner.Addr().String(), c); err == nil {
			_ = conn.Close()
			t.Errorf("TLS %x is let in", tc.highest)
		}
		if why := all.last(t); why != "127.0.0.1 "+string(tc.want) {
			t.Errorf("TLS %x: %q", tc.highest, why)
		}
	}
}
