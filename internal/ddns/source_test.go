package ddns

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Of a machine's addresses the one is chosen that stays, on the way to the Internet.
func TestChoose(t *testing.T) {
	ways := []way{{link: "eth0"}, {link: "eth0", six: true}}
	own := func(text, link string, flags uint32, forever bool, created uint32) address {
		return address{netip.MustParseAddr(text), link, flags, forever, created}
	}
	const temporary, deprecated, tentative, failed = unix.IFA_F_TEMPORARY, unix.IFA_F_DEPRECATED, unix.IFA_F_TENTATIVE, unix.IFA_F_DADFAILED
	for name, c := range map[string]struct {
		kind  Kind
		addrs []address
		want  string
		why   string
	}{
		"a public one":            {IPv4, []address{own("192.168.1.5", "eth0", 0, true, 1), own("20.1.1.1", "eth0", 0, true, 2)}, "20.1.1.1", ""},
		"at home alone":           {IPv4, []address{own("192.168.1.5", "eth0", 0, true, 1)}, "", "of home alone (192.168.1.5)"},
		"of a container's bridge": {IPv4, []address{own("20.1.1.1", "docker0", 0, true, 1)}, "", "no address of IPv4"},
		"shared by the provider":  {IPv4, []address{own("100.64.1.1", "eth0", 0, true, 1)}, "", "of home alone"},
		"a stable one":            {IPv6, []address{own("2a00:1::aaaa", "eth0", temporary, false, 9), own("fe80::5", "eth0", 0, true, 1), own("2a00:1::5", "eth0", 0, false, 1)}, "2a00:1::5", ""},
		"temporary alone":         {IPv6, []address{own("2a00:1::aaaa", "eth0", temporary, false, 9)}, "", "temporary or on their way out: 2a00:1::aaaa"},
		"on its way out":          {IPv6, []address{own("2a00:1::5", "eth0", deprecated, false, 9), own("fd00::5", "eth0", 0, false, 1)}, "", "on their way out"},
		"not sure yet":            {IPv6, []address{own("2a00:1::5", "eth0", tentative, false, 9), own("2a00:1::6", "eth0", failed, false, 9)}, "", "no address of IPv6"},
		"what somebody chose":     {IPv6, []address{own("2a00:1::1", "eth0", 0, false, 9), own("2a00:1::5", "eth0", 0, true, 1)}, "2a00:1::5", ""},
		"the newest":              {IPv6, []address{own("2a00:1::1", "eth0", 0, false, 1), own("2a00:2::1", "eth0", 0, false, 9)}, "2a00:2::1", ""},
		"always the same":         {IPv6, []address{own("2a00:1::9", "eth0", 0, false, 1), own("2a00:1::1", "eth0", 0, false, 1)}, "2a00:1::1", ""},
		"local alone":             {IPv6, []address{own("fd00::5", "eth0", 0, true, 1)}, "", "of home alone (fd00::5)"},
		"documentation":           {IPv6, []address{own("2001:db8::5", "eth0", 0, true, 1)}, "", "of home alone"},
	} {
		got, err := choose(c.kind, c.addrs, ways)
		var none *None
		if c.want != "" && (err != nil || got.String() != c.want) || c.want == "" && (!errors.As(err, &none) || !strings.Contains(none.Why, c.why)) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	var none *None
	if _, err := choose(IPv6, []address{own("2a00:1::5", "eth0", 0, true, 1)}, ways[:1]); !errors.As(err, &none) || !strings.Contains(none.Why, "no way to the Internet by IPv6") {
		t.Errorf("no way: %v", err)
	}
}

// The kernel's own words are understood: this machine has an address, and what is not
// asked for is left out.
func TestKernelsWords(t *testing.T) {
	text, err := syscall.NetlinkRIB(syscall.RTM_GETADDR, syscall.AF_UNSPEC)
	if err != nil {
		t.Fatal(err)
	}
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	all, err := parseAddrs(text, map[int]string{lo.Index: "lo"})
	if err != nil || len(all) == 0 {
		t.Fatalf("%+v, %v", all, err)
	}
	for _, a := range all {
		if !a.addr.IsLoopback() || a.link != "lo" || !a.forever {
			t.Errorf("%+v", a)
		}
	}
	if none, err := parseAddrs(text, nil); err != nil || len(none) != 0 {
		t.Errorf("%+v, %v", none, err)
	}
	if _, err := readWays(); err != nil {
		t.Error(err)
	}
	if before := Local(); before == "" || Local() != before {
		t.Error("what is here changes by itself")
	}
}

const (
	head4 = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
	nil6  = "00000000000000000000000000000000"
)

// Routes to everywhere are read, with a router or without; others are not.
func TestParseWays(t *testing.T) {
	ways, err := parseWays4([]byte(head4 + "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\nppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n" +
		"eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\nbad0\t00000000\t0101A8C0\t0203\t0\t0\t0\t00000000\t0\t0\t0\n"))
	if err != nil || len(ways) != 2 || ways[0].link != "eth0" || ways[0].metric != 100 || !ways[0].router.Is4() || ways[1].link != "ppp0" || ways[1].router.IsValid() {
		t.Errorf("%+v, %v", ways, err)
	}
	ways, err = parseWays6([]byte(nil6 + " 00 " + nil6 + " 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n" +
		nil6 + " 00 " + nil6 + " 00 " + nil6 + " ffffffff 00000001 00000000 00200200       lo\n" +
		"20010db8000000000000000000000000 40 " + nil6 + " 00 " + nil6 + " 00000100 00000001 00000000 00000001     eth0\n"))
	if err != nil || len(ways) != 1 || ways[0].link != "eth0" || !ways[0].six || ways[0].router.String() != "fe80::1" {
		t.Errorf("%+v, %v", ways, err)
	}
	for _, junk := range []string{"x\n1 2\n", "x\neth0\tz\t0\t3\t0\t0\t0\t0\n"} {
		if _, err := parseWays4([]byte(junk)); err == nil {
			t.Errorf("%q", junk)
		}
	}
	for _, junk := range []string{"0 0\n", nil6 + " 00 " + nil6 + " 00 xx 0 0 0 3 eth0\n"} {
		if _, err := parseWays6([]byte(junk)); err == nil {
			t.Errorf("%q", junk)
		}
	}
}

// A router's address counts where the Internet leads to it; where something stands before
// it, that is said, and by a provider's it is the last word.
func TestRouterSource(t *testing.T) {
	gateway := netip.MustParseAddr("192.168.1.1")
	m := machine{ways: func() ([]way, error) {
		return []way{{link: "eth0", router: gateway}, {link: "eth1", router: netip.MustParseAddr("192.168.2.1")}, {link: "eth0", router: netip.MustParseAddr("fe80::1"), six: true}}, nil
	}}
	for says, c := range map[string]struct {
		why   string
		final bool
	}{
		"20.30.40.50": {}, "100.64.7.9": {"CGNAT", true}, "100.127.1.1": {"CGNAT", true}, "192.0.0.2": {"DS-Lite", true}, "192.168.178.2": {"double NAT", false}, "10.1.1.1": {"double NAT", false}, "203.0.113.5": {"double NAT", false},
	} {
		s := m.router(func(_ context.Context, routers []netip.Addr) (netip.Addr, error) {
			if len(routers) != 1 || routers[0] != gateway {
				t.Errorf("asked: %v", routers)
			}
			return netip.MustParseAddr(says), nil
		})
		a, err := s.Address(t.Context(), IPv4)
		var none *None
		if c.why == "" && (err != nil || a.String() != says) || c.why != "" && (!errors.As(err, &none) || !strings.Contains(none.Why, c.why) || !strings.Contains(none.Why, says) || none.Final != c.final || none.Hint == "") {
			t.Errorf("%s: %v, %v", says, a, err)
		}
		if a, err := s.Address(t.Context(), IPv6); err != nil || a.IsValid() {
			t.Errorf("IPv6: %v, %v", a, err)
		}
	}
	var none *None
	silent := m.router(func(context.Context, []netip.Addr) (netip.Addr, error) { return netip.Addr{}, errSilent })
	if _, err := silent.Address(t.Context(), IPv4); err == nil || errors.As(err, &none) {
		t.Errorf("silent: %v", err)
	}
	m.ways = func() ([]way, error) { return nil, nil }
	if _, err := m.router(nil).Address(t.Context(), IPv4); !errors.As(err, &none) {
		t.Errorf("no router: %v", err)
	}
	m.ways = func() ([]way, error) { return nil, errSilent }
	if _, err := m.router(nil).Address(t.Context(), IPv4); !errors.Is(err, errSilent) {
		t.Errorf("unreadable: %v", err)
	}
}

// An echo service says one address over TLS and nothing more, or it is not believed; it is
// told nothing of us.
func TestEcho(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t.Error("it is followed elsewhere")
		fmt.Fprint(w, "20.9.9.9")
	}))
	defer elsewhere.Close()
	var say http.HandlerFunc
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { say(w, r) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.UserAgent() != "" || len(r.Cookies()) != 0 {
				t.Errorf("it is told %v", r.Header)
			}
			_, _ = io.WriteString(w, s)
		}
	}
	trusting := server.Client().Transport.(*http.Transport)
	for name, c := range map[string]struct {
		say  http.HandlerFunc
		want string
	}{
		"an address":     {text("20.30.40.50"), "20.30.40.50"},
		"with a line":    {text("2a00:1::5\n"), "2a00:1::5"},
		"with both ends": {text("20.30.40.50\r\n"), "20.30.40.50"},
		"two":            {text("20.30.40.50\n20.30.40.51\n"), ""},
		"a space":        {text(" 20.30.40.50"), ""},
		"a page":         {text("<html>20.30.40.50</html>"), ""},
		"a zone":         {text("fe80::1%eth0"), ""},
		"a mapped one":   {text("::ffff:20.30.40.50"), ""},
		"nothing":        {text(""), ""},
		"much":           {text("20.30.40.50" + strings.Repeat("\n", 1<<20)), ""},
		"elsewhere":      {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, ""},
		"an error":       {func(w http.ResponseWriter, r *http.Request) { http.Error(w, "20.30.40.50", http.StatusTooManyRequests) }, ""},
		"half": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "20")
			_, _ = io.WriteString(w, "20.30.40.50")
		}, ""},
	} {
		say = c.say
		got, err := echo(server.URL, trusting).Address(t.Context(), IPv4)
		if c.want != "" && (err != nil || got.String() != c.want) || c.want == "" && err == nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		var none *None
		if errors.As(err, &none) {
			t.Errorf("%s: it is believed that there is none", name)
		}
	}
	say = text("20.30.40.50")
	for name, s := range map[string]Source{"nobody vouches for it": Echo(server.URL), "without TLS": Echo(elsewhere.URL), "no address at all": Echo("https://%"),
		"with an old TLS": echo(server.URL, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusting.TLSClientConfig.RootCAs, MaxVersion: tls.VersionTLS11}})} {
		if got, err := s.Address(t.Context(), IPv4); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got, err := echo(server.URL, trusting).Address(t.Context(), IPv6); err == nil {
		t.Errorf("an address of IPv4 is asked over IPv6: %v", got)
	}
	say = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	slow, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := echo(server.URL, trusting).Address(slow, IPv4); err == nil {
		t.Error("it is waited for")
	}
	trusting.CloseIdleConnections()
}

func FuzzEcho(f *testing.F) {
	for _, s := range []string{"20.30.40.50\n", "2a00:1::5", "::ffff:1.2.3.4", "fe80::1%x", "1.2.3.4\n\n", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := parseEcho(text)
		if err == nil && (!a.IsValid() || a.Zone() != "" || a.Is4In6() || len(text) > echoSize || strings.ContainsAny(strings.TrimRight(string(text), "\r\n"), "\r\n \t")) {
			t.Errorf("%q: %v", text, a)
		}
	})
}

func FuzzWays(f *testing.F) {
	f.Add([]byte(head4 + "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"))
	f.Add([]byte(nil6 + " 00 " + nil6 + " 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		four, _ := parseWays4(text)
		six, _ := parseWays6(text)
		for _, w := range append(four, six...) {
			if w.link == "" || w.router.IsValid() && w.router.Is6() != w.six {
				t.Errorf("%+v", w)
			}
		}
	})
}

func FuzzAddrs(f *testing.F) {
	if text, err := syscall.NetlinkRIB(syscall.RTM_GETADDR, syscall.AF_UNSPEC); err == nil {
		f.Add(text, 1)
	}
	f.Fuzz(func(t *testing.T, text []byte, index int) {
		all, err := parseAddrs(text, map[int]string{index: "x"})
		for _, a := range all {
			if err != nil || a.link != "x" || !a.addr.IsValid() {
				t.Errorf("%+v, %v", a, err)
			}
		}
	})
}
