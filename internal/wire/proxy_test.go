package wire

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// fromConn is a fakeConn that comes from an address.
type fromConn struct {
	fakeConn
	remote string
}

func (c fromConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.remote))
}

// binaryHeader is a header of version 2.
func binaryHeader(command, family byte, rest ...byte) string {
	b := append([]byte(proxySignature), command, family, byte(len(rest)>>8), byte(len(rest)))
	return string(append(b, rest...))
}

// The ends of a connection in version 2: 203.0.113.7:50000 to 192.0.2.1:443, and the same
// over IPv6.
var (
	ends4 = []byte{203, 0, 113, 7, 192, 0, 2, 1, 0xc3, 0x50, 1, 0xbb}
	ends6 = slices.Concat(
		netip.MustParseAddr("2001:db8::7").AsSlice(), netip.MustParseAddr("2001:db8::1").AsSlice(), []byte{0xc3, 0x50, 1, 0xbb})
)

// part is what stands behind the addresses.
func part(kind byte, value string) []byte {
	return append([]byte{kind, byte(len(value) >> 8), byte(len(value))}, value...)
}

// summed is a header with its checksum, behind the ends and between two other parts.
func summed(spoil func(header []byte)) string {
	before, after := part(0x04, "no-op"), part(0x05, "an id")
	rest := slices.Concat(ends4, before, part(proxyChecksum, "\x00\x00\x00\x00"), after)
	b := []byte(binaryHeader(proxyRelayed, proxyTCP4, rest...))
	at := proxyFixed + len(ends4) + len(before) + 3
	binary.BigEndian.PutUint32(b[at:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	spoil(b)
	return string(b)
}

// Whoever relays a connection says whose it is, exactly so; what comes behind it is the
// connection's, whether it comes with it or later.
func TestProxyHeader(t *testing.T) {
	const proxy = "192.0.2.9:1234"
	tls := part(proxyTLS, "\x01\x00\x00\x00\x00"+string(part(0x21, "TLSv1.3")))
	for name, tc := range map[string]struct{ sent, want string }{
		"version 1":                   {"PROXY TCP4 203.0.113.7 192.0.2.1 50000 443\r\n", "203.0.113.7:50000"},
		"version 1, IPv6":             {"PROXY TCP6 2001:db8::7 2001:db8::1 50000 443\r\n", "[2001:db8::7]:50000"},
		"version 1, IPv6, long":       {"PROXY TCP6 2001:db8:0:0:0:0:0:7 2001:db8:1::1:2:3:4 50000 443\r\n", "[2001:db8::7]:50000"},
		"version 1, IPv4 in IPv6":     {"PROXY TCP6 ::ffff:203.0.113.7 ::ffff:192.0.2.1 50000 443\r\n", "203.0.113.7:50000"},
		"version 1, longest":          {"PROXY TCP6 fdff:ffff:ffff:ffff:ffff:ffff:fffe:fffe fd00:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "[fdff:ffff:ffff:ffff:ffff:ffff:fffe:fffe]:65535"},
		"version 1, port 0":           {"PROXY TCP4 203.0.113.7 192.0.2.1 0 0\r\n", "203.0.113.7:0"},
		"version 1, unknown":          {"PROXY UNKNOWN\r\n", proxy},
		"version 1, unknown and more": {"PROXY UNKNOWN ffff::1 whatever it says 1 2\r\n", proxy},
		"version 1, loopback":         {"PROXY TCP4 127.0.0.1 127.0.0.1 50000 443\r\n", proxy},
		"version 1, itself":           {"PROXY TCP4 192.0.2.9 192.0.2.1 1234 443\r\n", proxy},
		"version 2":                   {binaryHeader(proxyRelayed, proxyTCP4, ends4...), "203.0.113.7:50000"},
		"version 2, IPv6":             {binaryHeader(proxyRelayed, proxyTCP6, ends6...), "[2001:db8::7]:50000"},
		"version 2, loopback":         {binaryHeader(proxyRelayed, proxyTCP6, append(netip.IPv6Loopback().AsSlice(), ends6[16:]...)...), proxy},
		"version 2, local":            {binaryHeader(proxyLocal, 0), proxy},
		"version 2, local and more":   {binaryHeader(proxyLocal, 0x31, ends6...), proxy},
		"version 2, parts":            {binaryHeader(proxyRelayed, proxyTCP4, slices.Concat(ends4, part(0x02, "house.test"), part(0xe0, ""), tls)...), "203.0.113.7:50000"},
		"version 2, checksum":         {summed(func([]byte) {}), "203.0.113.7:50000"},
		"version 2, longest":          {binaryHeader(proxyRelayed, proxyTCP4, append(ends4, part(0x04, strings.Repeat("x", 505))...)...), "203.0.113.7:50000"},
	} {
		t.Run(name, func(t *testing.T) {
			for how, reader := range map[string]io.Reader{
				"at once": strings.NewReader(tc.sent + "GET /"), "by the byte": oneByte{strings.NewReader(tc.sent + "GET /")},
			} {
				h, c, err := ReadProxyHeader(fromConn{fakeConn{Reader: reader, t: t}, proxy})
				if err != nil {
					t.Fatalf("%s: %v", how, err)
				}
				if got := c.RemoteAddr().String(); got != tc.want || isLocal(c) != (tc.want == proxy) {
					t.Errorf("%s: comes from %s, local %t, want %s", how, got, isLocal(c), tc.want)
				}
				if rest, err := io.ReadAll(c); string(rest) != "GET /" || err != nil {
					t.Errorf("%s: then %q, %v", how, rest, err)
				}
				if want := netip.MustParseAddrPort("192.0.2.1:443"); tc.want == "203.0.113.7:50000" && name != "version 1, IPv4 in IPv6" && h.Destination != want {
					t.Errorf("%s: to %s", how, h.Destination)
				}
			}
		})
	}
}

// oneByte gives one byte at a time.
type oneByte struct{ io.Reader }

func (r oneByte) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(1, len(p))]) }

// What is no header, or one that says two things, names nobody.
func TestProxyHeaderThatIsNone(t *testing.T) {
	long := "PROXY UNKNOWN " + strings.Repeat("x", 92)
	for name, tc := range map[string]struct {
		sent   string
		reason Reason
	}{
		"HTTP":                          {"GET / HTTP/1.1\r\n", ReasonProxyHeader},
		"TLS":                           {"\x16\x03\x01\x02\x00", ReasonProxyHeader},
		"half a word":                   {"PRO", ReasonTruncated},
		"small letters":                 {"proxy TCP4 203.0.113.7 192.0.2.1 50000 443\r\n", ReasonProxyHeader},
		"half a line":                   {"PROXY TCP4 203.0.113.7", ReasonTruncated},
		"line feed alone":               {"PROXY TCP4 203.0.113.7 192.0.2.1 50000 443\n", ReasonProxyHeader},
		"carriage return alone":         {"PROXY TCP4 203.0.113.7 192.0.2.1 50000 443\r", ReasonTruncated},
		"carriage return and more":      {"PROXY TCP4 203.0.113.7 192.0.2.1 50000 443\rx", ReasonProxyHeader},
		"no ends":                       {"PROXY TCP4\r\n", ReasonProxyHeader},
		"nothing at all":                {"PROXY \r\n", ReasonProxyHeader},
		"the word alone":                {"PROXY\r\n", ReasonProxyHeader},
		"two spaces":                    {"PROXY TCP4  203.0.113.7 192.0.2.1 50000 443\r\n", ReasonProxyHeader},
		"space at the end":              {"PROXY TCP4 203.0.113.7 192.0.2.1 50000 443 \r\n", ReasonProxyHeader},
		"tab":                           {"PROXY\tTCP4 203.0.113.7 192.0.2.1 50000 443\r\n", ReasonProxyHeader},
		"UDP":                           {"PROXY UDP4 203.0.113.7 192.0.2.1 50000 443\r\n", ReasonProxyHeader},
		"IPv6 as IPv4":                  {"PROXY TCP4 2001:db8::7 2001:db8::1 50000 443\r\n", ReasonProxyHeader},
		"IPv4 as IPv6":                  {"PROXY TCP6 203.0.113.7 192.0.2.1 50000 443\r\n", ReasonProxyHeader},
		"address with zeros":            {"PROXY TCP4 203.000.113.7 192.0.2.1 50000 443\r\n", ReasonProxyHeader},
		"short address":                 {"PROXY TCP4 203.0.7 192.0.2.1 50000 443\r\n", ReasonProxyHeader},
		"address with zone":             {"PROXY TCP6 fe80::1%eth0 2001:db8::1 50000 443\r\n", ReasonProxyHeader},
		"address in brackets":           {"PROXY TCP6 [2001:db8::7] [2001:db8::1] 50000 443\r\n", ReasonProxyHeader},
		"name":                          {"PROXY TCP4 house.test 192.0.2.1 50000 443\r\n", ReasonProxyHeader},
		"nobody's address":              {"PROXY TCP4 0.0.0.0 192.0.2.1 50000 443\r\n", ReasonProxyHeader},
		"everybody's address":           {"PROXY TCP4 255.255.255.255 192.0.2.1 50000 443\r\n", ReasonProxyHeader},
		"group's address":               {"PROXY TCP6 ff02::1 2001:db8::1 50000 443\r\n", ReasonProxyHeader},
		"port with zeros":               {"PROXY TCP4 203.0.113.7 192.0.2.1 050000 443\r\n", ReasonProxyHeader},
		"port too great":                {"PROXY TCP4 203.0.113.7 192.0.2.1 65536 443\r\n", ReasonProxyHeader},
		"port with sign":                {"PROXY TCP4 203.0.113.7 192.0.2.1 +443 443\r\n", ReasonProxyHeader},
		"port missing":                  {"PROXY TCP4 203.0.113.7 192.0.2.1 50000\r\n", ReasonProxyHeader},
		"too long":                      {long + "\r\n", ReasonProxyHeader},
		"too long without end":          {long, ReasonProxyHeader},
		"unknown, with a control":       {"PROXY UNKNOWN \x00\r\n", ReasonProxyHeader},
		"unknown and letters":           {"PROXY UNKNOWNS\r\n", ReasonProxyHeader},
		"version 2, half":               {proxySignature, ReasonTruncated},
		"version 2, other signature":    {"\r\n\r\n\x00\r\nQUIT\r", ReasonProxyHeader},
		"version 2, other version":      {binaryHeader(0x11, proxyTCP4, ends4...), ReasonProxyHeader},
		"version 2, version 3":          {binaryHeader(0x31, proxyTCP4, ends4...), ReasonProxyHeader},
		"version 2, other command":      {binaryHeader(0x22, proxyTCP4, ends4...), ReasonProxyHeader},
		"version 2, no family":          {binaryHeader(proxyRelayed, 0x00), ReasonProxyHeader},
		"version 2, family of no kind":  {binaryHeader(proxyRelayed, 0x41, ends4...), ReasonProxyHeader},
		"version 2, UDP":                {binaryHeader(proxyRelayed, 0x12, ends4...), ReasonProxyHeader},
		"version 2, Unix":               {binaryHeader(proxyRelayed, 0x31, make([]byte, 216)...), ReasonProxyHeader},
		"version 2, short ends":         {binaryHeader(proxyRelayed, proxyTCP4, ends4[:11]...), ReasonProxyHeader},
		"version 2, short ends of IPv6": {binaryHeader(proxyRelayed, proxyTCP6, ends4...), ReasonProxyHeader},
		"version 2, cut short":          {binaryHeader(proxyRelayed, proxyTCP4, ends4...)[:20], ReasonTruncated},
		"version 2, nobody's address":   {binaryHeader(proxyRelayed, proxyTCP4, append(make([]byte, 4), ends4[4:]...)...), ReasonProxyHeader},
		"version 2, half a part":        {binaryHeader(proxyRelayed, proxyTCP4, append(ends4, 4, 0)...), ReasonProxyHeader},
		"version 2, part too long":      {binaryHeader(proxyRelayed, proxyTCP4, append(ends4, 4, 0, 9, 1)...), ReasonProxyHeader},
		"version 2, half of TLS":        {binaryHeader(proxyRelayed, proxyTCP4, append(ends4, part(proxyTLS, "\x01\x00")...)...), ReasonProxyHeader},
		"version 2, TLS part too long":  {binaryHeader(proxyRelayed, proxyTCP4, append(ends4, part(proxyTLS, "\x01\x00\x00\x00\x00\x21\x00\x09x")...)...), ReasonProxyHeader},
		"version 2, wrong checksum":     {summed(func(b []byte) { b[proxyFixed]++ }), ReasonProxyHeader},
		"version 2, short checksum":     {binaryHeader(proxyRelayed, proxyTCP4, append(ends4, part(proxyChecksum, "\x00\x00")...)...), ReasonProxyHeader},
		"version 2, too long":           {binaryHeader(proxyRelayed, proxyTCP4, append(ends4, part(0x04, strings.Repeat("x", 506))...)...), ReasonProxyHeader},
		"version 2, local too long":     {binaryHeader(proxyLocal, 0, make([]byte, 521)...), ReasonProxyHeader},
	} {
		t.Run(name, func(t *testing.T) {
			for how, reader := range map[string]io.Reader{"at once": strings.NewReader(tc.sent), "by the byte": oneByte{strings.NewReader(tc.sent)}} {
				_, _, err := ReadProxyHeader(fromConn{fakeConn{Reader: reader, t: t}, "192.0.2.9:1234"})
				var refused *RefusedError
				if !errors.As(err, &refused) || refused.Reason != tc.reason {
					t.Errorf("%s: %v, want %q", how, err, tc.reason)
				}
			}
		})
	}
}

// A proxy that connects and says nothing has only looked whether we are there.
func TestProxyThatLooks(t *testing.T) {
	if _, _, err := ReadProxyHeader(fromConn{fakeConn{Reader: strings.NewReader(""), t: t}, "192.0.2.9:1234"}); err != io.EOF {
		t.Errorf("%v", err)
	}
}

// Two checksums cannot both be right.
func TestProxyHeaderWithTwoChecksums(t *testing.T) {
	sum := func(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
	rest := slices.Concat(ends4, part(proxyChecksum, "\x00\x00\x00\x00"), part(proxyChecksum, "\x00\x00\x00\x00"))
	b := []byte(binaryHeader(proxyRelayed, proxyTCP4, rest...))
	binary.BigEndian.PutUint32(b[proxyFixed+len(ends4)+3:], sum(b))
	if _, _, reason := parseProxyHeader(b); reason != ReasonProxyHeader {
		t.Errorf("taken: %q", reason)
	}
}

// Whatever is taken for a header is taken at the same place however it is cut, and is
// read back the same from what it says.
func FuzzProxyHeader(f *testing.F) {
	for _, s := range []string{
		"PROXY TCP4 203.0.113.7 192.0.2.1 50000 443\r\nGET /", "PROXY TCP6 2001:db8::7 ::1 1 2\r\n", "PROXY UNKNOWN\r\n", "PROXY UNKNOWN x\r\n",
		binaryHeader(proxyRelayed, proxyTCP4, ends4...), binaryHeader(proxyRelayed, proxyTCP6, ends6...), binaryHeader(proxyLocal, 0), summed(func([]byte) {}),
		binaryHeader(proxyRelayed, proxyTCP4, append(ends4, part(proxyTLS, "\x01\x00\x00\x00\x00")...)...),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, length, reason := parseProxyHeader(b)
		if h == nil {
			return
		}
		if reason != "" || length > len(b) || length > maxProxyHeader || b[0] == 'P' && length > maxProxyLine {
			t.Fatalf("%d bytes of %d, %q", length, len(b), reason)
		}
		for cut := range length {
			if h, _, reason := parseProxyHeader(b[:cut]); h != nil || reason != "" {
				t.Fatalf("the first %d of %d bytes: %+v, %q", cut, length, h, reason)
			}
		}
		if h.Local {
			return
		}
		if !isSource(h.Source.Addr()) {
			t.Fatalf("comes from %s", h.Source)
		}
		family, kind, size := "TCP4", byte(proxyTCP4), 4
		if h.Source.Addr().Is6() {
			family, kind, size = "TCP6", proxyTCP6, 16
		}
		line := "PROXY " + family + " " + h.Source.Addr().String() + " " + h.Destination.Addr().String() + " " + portText(h.Source) + " " + portText(h.Destination) + "\r\n"
		ends := slices.Concat(h.Source.Addr().AsSlice(), h.Destination.Addr().AsSlice())
		ends = binary.BigEndian.AppendUint16(ends, h.Source.Port())
		ends = binary.BigEndian.AppendUint16(ends, h.Destination.Port())
		if len(ends) != 2*size+4 {
			t.Fatalf("ends of two families: %+v", h)
		}
		for _, again := range []string{line, binaryHeader(proxyRelayed, kind, ends...)} {
			if got, n, reason := parseProxyHeader([]byte(again)); reason != "" || got == nil || *got != *h || n != len(again) {
				t.Fatalf("%q is read as %+v, %d, %q", again, got, n, reason)
			}
		}
	})
}

func portText(a netip.AddrPort) string {
	_, port, _ := net.SplitHostPort(a.String())
	return port
}

// Trusted proxies are those of the list, however their address is written.
func TestTrustedProxy(t *testing.T) {
	p := Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/30"), netip.MustParsePrefix("fd00::1/128")}}
	for addr, want := range map[string]bool{
		"192.0.2.1": true, "::ffff:192.0.2.3": true, "192.0.2.4": false, "fd00::1": true, "fd00::1%eth0": true, "fd00::2": false, "::1": false,
	} {
		a := netip.MustParseAddr(addr)
		if p.TrustedProxy(a) != want || p.Forwards(a) != want {
			t.Errorf("%s: %t, %t", addr, p.TrustedProxy(a), p.Forwards(a))
		}
		if (Proxies{Trusted: p.Trusted, Protocol: true}).Forwards(a) || (Proxies{}).TrustedProxy(a) {
			t.Errorf("%s: believed", addr)
		}
	}
	if p.TrustedProxy(netip.Addr{}) {
		t.Error("no address is trusted")
	}
}
