package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"gatehouse/internal/guard"
	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

// behindProxy has a door believe what requests from an address say.
func behindProxy(trusted ...string) option {
	return func(s *setting) {
		for _, t := range trusted {
			s.door.proxies.Trusted = append(s.door.proxies.Trusted, netip.MustParsePrefix(t))
		}
	}
}

// What a proxy says of its clients is read from the right, as far as it is trusted, and
// must be addresses.
func TestForwardedFor(t *testing.T) {
	trusted := wire.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fd00::/64")}}.TrustedProxy
	for said, want := range map[string]string{
		"203.0.113.7":                          "203.0.113.7",
		" 203.0.113.7\t":                       "203.0.113.7",
		"::ffff:203.0.113.7":                   "203.0.113.7",
		"2001:db8::7":                          "2001:db8::7",
		"1.2.3.4, 203.0.113.7":                 "203.0.113.7",
		"203.0.113.7, 192.0.2.1,fd00::1":       "203.0.113.7",
		"198.51.100.1, 203.0.113.7, 192.0.2.1": "203.0.113.7",
		"unknown, 203.0.113.7":                 "203.0.113.7",
		"\"; drop table, 203.0.113.7":          "203.0.113.7",
		"192.0.2.1":                            "192.0.2.1",
		"192.0.2.2, 192.0.2.1":                 "192.0.2.2",
		"192.168.1.20, 203.0.113.7":            "203.0.113.7",
		"":                                     "",
		" ":                                    "",
		",":                                    "",
		"203.0.113.7,":                         "",
		"203.0.113.7, ":                        "",
		"203.0.113.7,,192.0.2.1":               "",
		"unknown, 192.0.2.1":                   "",
		"unknown":                              "",
		"_hidden":                              "",
		"203.0.113.7:1234":                     "",
		"[2001:db8::7]":                        "",
		"[2001:db8::7]:443":                    "",
		"203.0.113.007":                        "",
		"203.0.113":                            "",
		"fe80::1%eth0":                         "",
		"203.0.113.7 192.0.2.1":                "",
		"203.0.113.7; 192.0.2.1":               "",
		"for=203.0.113.7":                      "",
		"0.0.0.0":                              "",
		"::":                                   "",
		"ff02::1":                              "",
		"\u00a0203.0.113.7":                    "",
		"203.0.113.7\x00":                      "",
		"0x7f.1":                               "",
		"3405803783":                           "",
		"203.0.113.7/32":                       "",
		"house.test":                           "",
		"203.0.113.7, 192.0.2.1, not an address, fd00::1 ": "",
	} {
		addr, ok := forwardedFor(said, trusted)
		if ok != (want != "") || ok && addr != netip.MustParseAddr(want) {
			t.Errorf("%q: %s, %t; want %q", said, addr, ok, want)
		}
	}
}

// Whatever stands in the header: the address is one that was written there and is trusted
// by nobody, or all that were written are.
func FuzzForwardedFor(f *testing.F) {
	for _, s := range []string{"203.0.113.7", "1.2.3.4, 192.0.2.1", "a,b", ",", "::1, 192.0.2.9"} {
		f.Add(s)
	}
	trusted := wire.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}.TrustedProxy
	f.Fuzz(func(t *testing.T, said string) {
		addr, ok := forwardedFor(said, trusted)
		if !ok {
			return
		}
		if !addr.IsValid() || addr.Is4In6() || addr.Zone() != "" || addr.IsUnspecified() {
			t.Fatalf("%q: %s", said, addr)
		}
		if again, ok := forwardedFor(addr.String(), trusted); !ok || again != addr {
			t.Fatalf("%s is read as %s", addr, again)
		}
		if more, ok := forwardedFor("junk, 8.8.8.8, "+said, trusted); !ok || more != addr && !trusted(addr) {
			t.Fatalf("what a client writes in front of %q changes it to %s", said, more)
		}
	})
}

// The address that a trusted proxy says is what Home Assistant is told and the guard
// counts; what cannot be judged is refused, whoever asks; and from elsewhere the header
// says nothing.
func TestBehindProxy(t *testing.T) {
	h := newHouse(t, behindProxy("127.0.0.1/32"))
	b := h.owner().loggedIn("demo", "demo")
	ask := func(said string) answer {
		return b.do(request{path: "/api/config", header: map[string]string{"Authorization": "Bearer " + b.access, "X-Forwarded-For": said,
			"X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example", "Forwarded": "for=198.51.100.1", "X-Real-IP": "198.51.100.1"}})
	}
	h.reached()
	for _, said := range []string{"203.0.113.7", "192.168.1.20, 203.0.113.7", "203.0.113.7, 127.0.0.1"} {
		b.wants(ask(said), http.StatusOK)
		all := h.reached()
		if len(all) != 1 || all[0].Header.Get("X-Forwarded-For") != "203.0.113.7" || all[0].Header.Get("X-Forwarded-Proto") != "https" || all[0].Host != testHost ||
			all[0].Header.Get("X-Real-Ip") != "" || all[0].Header.Get("Forwarded") != "" {
			t.Errorf("%q: Home Assistant was told %v", said, all[0].Header)
		}
	}
	for _, said := range []string{"", "unknown", "203.0.113.7:1", "203.0.113.7, "} {
		if got := ask(said); got.status != http.StatusBadRequest || got.body != "" || got.header.Get("Connection") != "close" && got.header.Get("Content-Length") != "0" {
			t.Errorf("%q: %d %q", said, got.status, got.body)
		}
	}
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests that could not be judged reached Home Assistant", n)
	}
	two := request{path: "/api/config"}
	if got := h.raw("GET " + two.path + " HTTP/1.1\r\nHost: " + testHost + "\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 203.0.113.7\r\nConnection: close\r\n\r\n"); got != http.StatusBadRequest {
		t.Errorf("two headers: %d", got)
	}

	for range 5 {
		h.guard.Fail(guard.Failure{Addr: netip.MustParseAddr("203.0.113.7"), Kind: guard.SignIn})
	}
	s := h.stranger()
	from := func(said string) string {
		return s.do(request{path: "/_gatehouse/auth/x", header: map[string]string{"X-Forwarded-For": said}}).body
	}
	if got := from("203.0.113.8"); got != "ours: /_gatehouse/auth/x true 203.0.113.8" {
		t.Errorf("a neighbour of whoever is banned: %q", got)
	}
	if got := from("203.0.113.7"); got != "ours, unheard: /_gatehouse/auth/x true 203.0.113.7" {
		t.Errorf("whoever is banned: %q", got)
	}
	if got := s.do(request{path: "/_gatehouse/auth/x"}).body; got != "ours: /_gatehouse/auth/x true 127.0.0.1" {
		t.Errorf("the proxy itself: %q", got)
	}
	b.wants(ask("203.0.113.7"), http.StatusOK) // a known device passes

	open := newHouse(t, behindProxy("192.0.2.0/24"))
	if got := open.stranger().do(request{path: "/_gatehouse/auth/x", header: map[string]string{"X-Forwarded-For": "203.0.113.8"}}).body; got != "ours: /_gatehouse/auth/x true 127.0.0.1" {
		t.Errorf("somebody whom nobody trusts: %q", got)
	}
}

// raw sends a request as it is and returns the answer's status.
func (h *house) raw(text string) int {
	h.t.Helper()
	c, err := net.Dial("tcp", h.addr)
	h.must(err)
	defer c.Close()
	h.must(c.SetDeadline(time.Now().Add(10 * time.Second)))
	_, err = io.WriteString(c, text)
	h.must(err)
	b, err := io.ReadAll(c)
	h.must(err)
	if len(b) < 12 {
		return 0
	}
	return int(b[9]-'0')*100 + int(b[10]-'0')*10 + int(b[11]-'0')
}

// Nobody is at home by what a header says, whatever the address in it: a proxy may hand
// on what its client wrote.
func TestNobodyIsAtHomeByHeader(t *testing.T) {
	h := newHouse(t, atHome, behindProxy("127.0.0.1/32"))
	s := h.stranger()
	for _, said := range []string{"192.168.1.20", "127.0.0.5", "203.0.113.7"} {
		if got := s.do(request{path: "/auth/providers", header: map[string]string{"X-Forwarded-For": said}}); got.status != http.StatusUnauthorized {
			t.Errorf("%s: %d", said, got.status)
		}
	}
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant", n)
	}
	home := newHouse(t, atHome)
	if got := home.stranger().do(request{path: "/auth/providers", header: map[string]string{"X-Forwarded-For": "203.0.113.7"}}); got.status != http.StatusOK {
		t.Errorf("at home, where nobody is trusted: %d", got.status)
	}
}

// HTTP/2 goes the same way: one header, read alike, and refused alike.
func TestBehindProxyHTTP2(t *testing.T) {
	h := newHouse(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	h.must(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{testName}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	h.must(err)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	proxies := wire.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	l := wire.ListenTLS(inner, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"h2"}}, wire.TLSOptions{Proxies: proxies})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	server := &wire.Server{Handler: h.Handler(testDoor{name: policy.HTTPS, proxies: proxies}), Proxies: proxies}
	go func() { done <- server.Serve(ctx, l) }()
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{Protocols: protocols, TLSClientConfig: &tls.Config{ServerName: testName, InsecureSkipVerify: true}}}
	defer func() { client.CloseIdleConnections(); cancel(); h.must(<-done) }()
	for _, tc := range []struct {
		said   []string
		status int
		body   string
	}{
		{nil, http.StatusOK, "ours: /_gatehouse/auth/x true 127.0.0.1"},
		{[]string{"1.2.3.4, 203.0.113.7"}, http.StatusOK, "ours: /_gatehouse/auth/x true 203.0.113.7"},
		{[]string{"203.0.113.7", "203.0.113.8"}, http.StatusBadRequest, ""},
		{[]string{"unknown"}, http.StatusBadRequest, ""},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+inner.Addr().String()+"/_gatehouse/auth/x", nil)
		h.must(err)
		r.Host = testHost
		if tc.said != nil {
			r.Header["X-Forwarded-For"] = tc.said
		}
		res, err := client.Do(r)
		h.must(err)
		body, err := io.ReadAll(res.Body)
		h.must(err)
		_ = res.Body.Close()
		if res.StatusCode != tc.status || string(body) != tc.body || res.ProtoMajor != 2 {
			t.Errorf("%q: %d %q over %s", tc.said, res.StatusCode, body, res.Proto)
		}
	}
}
