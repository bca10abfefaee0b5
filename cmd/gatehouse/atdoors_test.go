package main

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/event"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

// frontDoors runs a gateway with both doors, as a configuration has them, in a house that
// stands as the last of stands says, if one does.
func frontDoors(t *testing.T, change func(*config.Config), stands ...stance) *server {
	t.Helper()
	l, err := ledger.Open(t.Context(), "", ledger.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return frontDoorsOver(t, l, change, stands...)
}

// frontDoorsOver does, over a ledger that holds something already.
func frontDoorsOver(t *testing.T, l *ledger.Ledger, change func(*config.Config), stands ...stance) *server {
	t.Helper()
	c := config.Default()
	c.Home.Name, c.Home.HAURL = "house.home.arpa", "http://127.0.0.1:1"
	c.Doors.HTTPS = &config.HTTPS{Listen: "127.0.0.1:0"}
	c.Doors.LAN = &config.LAN{Listen: "127.0.0.1:0", Names: []string{"house.lan"}}
	c.State.Socket = filepath.Join(t.TempDir(), "control.sock")
	change(c)
	for _, s := range stands {
		if err := saveStance(t.Context(), l, s); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	s, err := newServer(t.Context(), c, parts{ledger: l, events: event.NewLog(log, nil), log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended; s.close() })
	return s
}

// doorAt is where a door listens.
func (s *server) doorAt(name policy.Door) string {
	for _, d := range s.doors {
		if d.name == name {
			return d.listener.Addr().String()
		}
	}
	return ""
}

// comes connects from an address of this machine, behind a header, and asks; with a name,
// over TLS. It returns when the connection has ended.
func comes(t *testing.T, from, to, header, name, asks string) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	c, err := d.Dial("tcp", to)
	if err != nil {
		return // not listened to: reset while it connects
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(c, header)
	if name != "" {
		c = tls.Client(c, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	}
	_, _ = io.WriteString(c, asks)
	_, _ = io.Copy(io.Discard, c)
}

// Five times something that only those send who look for holes, and the address is not
// listened to: names that are not served, nonsense for a ClientHello, requests that say two
// things at once. What befalls people is not counted; at home a wrong name is not either.
func TestScanIsBanned(t *testing.T) {
	s := frontDoors(t, func(*config.Config) {})
	https, home := s.doorAt(policy.HTTPS), s.doorAt(policy.LAN)
	const two = "GET / HTTP/1.1\r\nHost: house.home.arpa\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
	for i, tc := range []struct {
		to, name, asks string
		banned         bool
	}{
		{https, "example.com", "", true},
		{https, "", "SSH-2.0-scan\r\n", true},
		{https, "house.home.arpa", two, true},
		{https, "", "GET / HTTP/1.1\r\nHost: house.home.arpa\r\n\r\n", false},
		{https, "house.home.arpa", "GET / HTTP/1.1\r\nHost: house.home.arpa\r\nX: " + strings.Repeat("x", 40000) + "\r\n\r\n", false},
		{home, "example.com", "", false},
	} {
		from := netip.AddrFrom4([4]byte{127, 0, 3, byte(10 + i)})
		for range 4 {
			comes(t, from.String(), tc.to, "", tc.name, tc.asks)
		}
		if !s.guard.Listens(from) {
			t.Errorf("%d: banned too soon", i)
		}
		for range 4 {
			comes(t, from.String(), tc.to, "", tc.name, tc.asks)
		}
		if s.guard.Listens(from) == tc.banned {
			t.Errorf("%d: %q at %q: listened to: %t", i, tc.asks[:min(20, len(tc.asks))], tc.name, !tc.banned)
		}
	}
}

// A page of somebody's can have the family's own browser ask the open door for any name and
// send it what is no TLS. That bans nobody at an address from which a known device came.
func TestPageCannotBanTheFamilysAddress(t *testing.T) {
	s := frontDoors(t, func(*config.Config) {})
	family, stranger := netip.MustParseAddr("127.0.3.50"), netip.MustParseAddr("127.0.3.51")
	s.guard.Seen(family, "phone")
	for range 8 {
		for _, from := range []netip.Addr{family, stranger} {
			comes(t, from.String(), s.doorAt(policy.HTTPS), "", "a.evil.example", "")
			comes(t, from.String(), s.doorAt(policy.HTTPS), "", "", "\x00\x03\x00\x08!\x12\xa4Bxxxxxxxxxxxx")
		}
	}
	if !s.guard.Listens(family) || s.guard.Listens(stranger) {
		t.Errorf("listened to: the family %t, a stranger %t", s.guard.Listens(family), s.guard.Listens(stranger))
	}
}

// Behind a proxy it is the client whom the guard does not listen to any more, never the
// proxy; and who comes past the proxy is nobody.
func TestScanThroughProxyIsItsClients(t *testing.T) {
	s := frontDoors(t, func(c *config.Config) {
		c.Doors.HTTPS.ProxyProtocol, c.Doors.HTTPS.TrustedProxies = true, []string{"127.0.4.1"}
	})
	https, proxy, client := s.doorAt(policy.HTTPS), netip.MustParseAddr("127.0.4.1"), netip.MustParseAddr("203.0.113.7")
	for range 8 {
		comes(t, proxy.String(), https, "PROXY TCP4 203.0.113.7 192.0.2.1 50000 443\r\n", "example.com", "")
		comes(t, proxy.String(), https, "PROXY UNKNOWN\r\n", "example.com", "")
		comes(t, proxy.String(), https, "", "example.com", "")
		comes(t, "127.0.4.2", https, "PROXY TCP4 203.0.113.8 192.0.2.1 50000 443\r\n", "example.com", "")
	}
	for addr, want := range map[netip.Addr]bool{
		client: false, proxy: true, netip.MustParseAddr("127.0.4.2"): true, netip.MustParseAddr("203.0.113.8"): true,
	} {
		if s.guard.Listens(addr) != want {
			t.Errorf("%s is listened to: %t", addr, !want)
		}
	}
	counts := map[string]uint64{}
	s.refused.into(counts)
	if counts[string(wire.ReasonProxy)] != 8 || counts[string(wire.ReasonProxyHeader)] != 8 || counts[string(wire.ReasonName)] != 8 {
		t.Errorf("counted %v", counts)
	}
	if why := sharedBy(s.cfg, s.links)(proxy); !strings.Contains(why, "trusted_proxies") {
		t.Errorf("of the proxy it is said: %q", why)
	}
}
