package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
)

// maxProxyLine bounds a PROXY header of version 1 with its line end, in bytes, and
// maxProxyHeader one of version 2: it is sent in one piece, and each network carries
// pieces of this size.
const (
	maxProxyLine   = 107
	maxProxyHeader = 536
)

// proxySignature begins a header of version 2.
const proxySignature = "\r\n\r\n\x00\r\nQUIT\n"

// Proxies are the reverse proxies in front of a listener whose word about the addresses
// of their clients counts. The zero value believes nobody.
type Proxies struct {
	Trusted []netip.Prefix // where they connect from
	// Protocol has them say it by the PROXY protocol, ahead of each connection, and lets
	// nobody else connect. Otherwise they say it by X-Forwarded-For, in each request.
	Protocol bool
}

// TrustedProxy reports whether an address is that of a trusted proxy. Many may stand
// behind it, of whom nothing is known, or only the proxy itself.
func (p Proxies) TrustedProxy(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, t := range p.Trusted {
		if t.Contains(a) {
			return true
		}
	}
	return false
}

// Forwards reports whether whoever connects from an address says by X-Forwarded-For whom
// a request comes from.
func (p Proxies) Forwards(a netip.Addr) bool { return !p.Protocol && p.TrustedProxy(a) }

// Listen returns what gives out connections with their clients' addresses: a
// ProxyListener over inner where they are told by the PROXY protocol, inner itself where
// they are not. refused is ProxyOptions.Refused.
func (p Proxies) Listen(inner net.Listener, refused func(remote net.Addr, reason string)) net.Listener {
	if !p.Protocol {
		return inner
	}
	return ListenProxy(inner, ProxyOptions{Trusted: p.Trusted, Refused: refused})
}

// ProxyHeader is what a proxy says of a connection, ahead of it.
type ProxyHeader struct {
	// Local says that there is no client whom the proxy could name: it connects for
	// itself, to see whether we are there (command LOCAL), or does not know (UNKNOWN).
	Local       bool
	Source      netip.AddrPort // of the client; zero if Local
	Destination netip.AddrPort // to which it connected; zero if Local
}

// ReadProxyHeader reads a connection's header of the PROXY protocol, version 1 or 2, and
// returns a connection that begins behind it and has the client's address for its own
// (HAProxy's proxy-protocol.txt, sections 2.1 and 2.2). It writes nothing; deadlines are
// the caller's, and so is the question whether to believe it. The error is a
// *RefusedError for what is no whole and well-formed header or too slow, and io.EOF where
// the connection ended before it had begun: so proxies look whether somebody is there.
//
// Narrower than the protocol: what is relayed is TCP over IPv4 or IPv6; other families
// and protocols, and addresses that nobody connects from, are refused. A client on the
// proxy's own machine, named by a loopback address that would here mean this machine, is
// taken for the proxy itself, and so is one whose connection is the proxy's own (HAProxy
// looks whether we are there in this way). What stands behind the addresses in version 2 must be
// well-formed, and a checksum right.
func ReadProxyHeader(c net.Conn) (*ProxyHeader, net.Conn, error) {
	buf := make([]byte, 0, maxProxyHeader)
	for {
		n, err := c.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		h, length, reason := parseProxyHeader(buf)
		switch {
		case reason != "":
			return nil, nil, refuse(reason)
		case h != nil:
			return h, proxied(c, h, buf[length:]), nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, nil, refuse(ReasonSlowProxy)
		case err != nil && len(buf) == 0:
			return nil, nil, io.EOF
		case err != nil:
			return nil, nil, refuse(ReasonTruncated)
		}
	}
}

// proxied is a connection behind its header; unread came with it.
func proxied(c net.Conn, h *ProxyHeader, unread []byte) net.Conn {
	p := &proxiedConn{replayConn: replayConn{Conn: c, unread: bytes.Clone(unread)}, remote: c.RemoteAddr(), local: h.Local}
	switch {
	case h.Local:
	case h.Source.String() == c.RemoteAddr().String(),
		h.Source.Addr().Unmap().IsLoopback() && !addrOf(c.RemoteAddr()).IsLoopback():
		p.local = true
	default:
		p.remote = net.TCPAddrFromAddrPort(h.Source)
	}
	return p
}

// proxiedConn is a connection that a proxy relays for somebody.
type proxiedConn struct {
	replayConn
	remote net.Addr
	local  bool // for itself: what comes of it is nobody's fault and is not counted
}

// RemoteAddr is the client's address.
func (c *proxiedConn) RemoteAddr() net.Addr { return c.remote }

// CloseWrite closes our side alone.
func (c *proxiedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// isLocal reports whether a connection is a proxy's own.
func isLocal(c net.Conn) bool {
	p, ok := below[*proxiedConn](c)
	return ok && p.local
}

// below looks for a kind of connection in one and in those that it is made of.
func below[T net.Conn](c net.Conn) (found T, ok bool) {
	for {
		if found, ok = c.(T); ok {
			return found, true
		}
		outer, is := c.(interface{ NetConn() net.Conn })
		if !is {
			return found, false
		}
		c = outer.NetConn()
	}
}

// parseProxyHeader reads a header off the beginning of b, and how long it is. It returns
// nil and no reason while more bytes are needed.
func parseProxyHeader(b []byte) (*ProxyHeader, int, Reason) {
	switch {
	case len(b) == 0:
		return nil, 0, ""
	case b[0] == proxySignature[0]:
		return parseProxyBinary(b)
	}
	return parseProxyLine(b)
}

// parseProxyLine reads version 1.
func parseProxyLine(b []byte) (*ProxyHeader, int, Reason) {
	const word = "PROXY "
	if n := min(len(b), len(word)); string(b[:n]) != word[:n] {
		return nil, 0, ReasonProxyHeader
	}
	end := bytes.IndexAny(b, "\r\n")
	switch {
	case end < 0 && len(b) >= maxProxyLine-1, end > maxProxyLine-2:
		return nil, 0, ReasonProxyHeader
	case end < 0:
		return nil, 0, ""
	case b[end] != '\r':
		return nil, 0, ReasonProxyHeader
	case len(b) == end+1:
		return nil, 0, ""
	case b[end+1] != '\n' || end < len(word):
		return nil, 0, ReasonProxyHeader
	}
	h, ok := parseProxyWords(string(b[len(word):end]))
	if !ok {
		return nil, 0, ReasonProxyHeader
	}
	return h, end + 2, ""
}

// parseProxyWords reads what stands in a header of version 1 behind its first word.
func parseProxyWords(line string) (*ProxyHeader, bool) {
	family, rest, more := strings.Cut(line, " ")
	if family == "UNKNOWN" {
		// What follows means nothing; that it is text shows that this is the protocol.
		return &ProxyHeader{Local: true}, strings.IndexFunc(rest, func(r rune) bool { return r < ' ' || r > '~' }) < 0
	}
	words := strings.Split(rest, " ")
	if !more || len(words) != 4 {
		return nil, false
	}
	source, ok := proxyEnd(family, words[0], words[2])
	if !ok || !isSource(source.Addr()) {
		return nil, false
	}
	destination, ok := proxyEnd(family, words[1], words[3])
	return &ProxyHeader{Source: source, Destination: destination}, ok
}

// proxyEnd reads one end of a connection. Programs shorten IPv6 addresses in more than
// one way; each of them has one meaning.
func proxyEnd(family, addr, port string) (end netip.AddrPort, ok bool) {
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Zone() != "" || family != "TCP4" && family != "TCP6" || a.Is4() != (family == "TCP4") {
		return end, false
	}
	n, ok := parseLength(port)
	if !ok || n > 65535 || len(port) > 5 {
		return end, false
	}
	return netip.AddrPortFrom(a, uint16(n)), true
}

// isSource reports whether somebody can have connected from an address.
func isSource(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// What stands in a header of version 2.
const (
	proxyFixed      = 16 // bytes that each has
	proxyLocal      = 0x20
	proxyRelayed    = 0x21
	proxyTCP4       = 0x11
	proxyTCP6       = 0x21
	proxyChecksum   = 0x03 // the kind of what holds a checksum of all
	proxyTLS        = 0x20 // the kind of what tells of TLS
	proxyTLSDetails = 5    // where its own parts begin
)

// parseProxyBinary reads version 2.
func parseProxyBinary(b []byte) (*ProxyHeader, int, Reason) {
	if n := min(len(b), len(proxySignature)); string(b[:n]) != proxySignature[:n] {
		return nil, 0, ReasonProxyHeader
	}
	if len(b) < proxyFixed {
		return nil, 0, ""
	}
	command, family := b[12], b[13]
	length := proxyFixed + int(binary.BigEndian.Uint16(b[14:]))
	switch {
	case command != proxyLocal && command != proxyRelayed, length > maxProxyHeader:
		return nil, 0, ReasonProxyHeader
	case len(b) < length:
		return nil, 0, ""
	case command == proxyLocal: // all the rest means nothing
		return &ProxyHeader{Local: true}, length, ""
	}
	c := cursor{b: b[proxyFixed:length]}
	size := 0
	switch family {
	case proxyTCP4:
		size = 4
	case proxyTCP6:
		size = 16
	default:
		return nil, 0, ReasonProxyHeader
	}
	source, _ := netip.AddrFromSlice(c.take(size))
	destination, _ := netip.AddrFromSlice(c.take(size))
	sourcePort, destinationPort := c.number(2), c.number(2)
	if c.bad || !isSource(source) || !areProxyParts(c, b[:length]) {
		return nil, 0, ReasonProxyHeader
	}
	return &ProxyHeader{
		Source:      netip.AddrPortFrom(source, uint16(sourcePort)),
		Destination: netip.AddrPortFrom(destination, uint16(destinationPort)),
	}, length, ""
}

// areProxyParts reports whether what stands behind the addresses of a header is whole,
// and its checksum, if there is one, right.
func areProxyParts(parts cursor, header []byte) bool {
	summed := false
	for len(parts.b) > 0 {
		kind := parts.number(1)
		value := parts.vector(2)
		switch {
		case parts.bad:
			return false
		case kind == proxyChecksum:
			if summed || !isProxySum(value.b, header, len(header)-len(parts.b)-4) {
				return false
			}
			summed = true
		case kind == proxyTLS && !areTLSParts(value):
			return false
		}
	}
	return true
}

// isProxySum reports whether sum, which stands in a header at a place, is the CRC-32C of
// that header with zeros in its place.
func isProxySum(sum, header []byte, at int) bool {
	if len(sum) != 4 {
		return false
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	got := crc32.Update(0, table, header[:at])
	got = crc32.Update(got, table, make([]byte, 4))
	got = crc32.Update(got, table, header[at+4:])
	return binary.BigEndian.Uint32(sum) == got
}

// areTLSParts reports whether what tells of the client's TLS is whole. It is not believed.
func areTLSParts(value cursor) bool {
	value.take(proxyTLSDetails)
	for len(value.b) > 0 {
		value.number(1)
		value.vector(2)
	}
	return !value.bad
}
