package wire

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
)

// maxHello bounds a ClientHello message; today's biggest, with post-quantum key
// shares and encrypted ClientHello, stay below 4 KiB.
const maxHello = 16 << 10

// maxHelloRecords bounds over how many TLS records it may be spread.
const maxHelloRecords = 16

// ClientHello is what a TLS client says before anything is answered.
type ClientHello struct {
	ServerName string   // lower-case; "" when the client named none
	Protocols  []string // ALPN, in the client's order
	TLS13      bool     // it speaks TLS 1.3
}

// ReadClientHello reads a connection's ClientHello, which may be spread over
// several TLS records, and returns a connection that gives those bytes once more
// to whoever reads it next. It writes nothing. Deadlines are the caller's. The
// error is a *RefusedError for what is no well-formed ClientHello (RFC 8446
// section 4.1.2, RFC 6066 section 3, RFC 7301) or too slow, and the
// connection's own otherwise.
func ReadClientHello(c net.Conn) (*ClientHello, net.Conn, error) {
	raw, message, err := readHelloRecords(c)
	if err != nil {
		return nil, nil, err
	}
	hello, err := parseClientHello(message)
	if err != nil {
		return nil, nil, err
	}
	return hello, &replayConn{Conn: c, unread: raw}, nil
}

// readHelloRecords reads records until a whole handshake message is there. raw is
// every byte that was read, message the ClientHello without its 4-byte header.
func readHelloRecords(c io.Reader) (raw, message []byte, err error) {
	raw = make([]byte, 0, 2<<10)
	var handshake []byte
	for range maxHelloRecords {
		start := len(raw)
		if raw, err = readMore(c, raw, 5); err != nil {
			return nil, nil, err
		}
		head := raw[start:]
		length := int(binary.BigEndian.Uint16(head[3:]))
		if start == 0 && isPlain(head) {
			return nil, nil, refuse(ReasonPlain)
		}
		// Record version: anything of major version 3, as RFC 8446 section 5.1 asks.
		if head[0] != 22 || head[1] != 3 || length == 0 || length > 16<<10 || len(handshake)+length > maxHello+4 {
			return nil, nil, refuse(ReasonHello)
		}
		if start == 0 {
			// The first byte of the first message is enough to know that it is none.
			if raw, err = readMore(c, raw, 1); err != nil {
				return nil, nil, err
			}
			if raw[5] != 1 {
				return nil, nil, refuse(ReasonHello)
			}
			length--
			handshake = append(handshake, raw[5])
		}
		start = len(raw)
		if raw, err = readMore(c, raw, length); err != nil {
			return nil, nil, err
		}
		handshake = append(handshake, raw[start:]...)
		if len(handshake) < 4 {
			continue
		}
		want := int(handshake[1])<<16 | int(handshake[2])<<8 | int(handshake[3])
		switch {
		case want > maxHello || len(handshake) > want+4:
			return nil, nil, refuse(ReasonHello)
		case len(handshake) == want+4:
			return raw, handshake[4:], nil
		}
	}
	return nil, nil, refuse(ReasonHello)
}

// isPlain reports whether a connection begins as a request does: somebody has typed http
// where https belongs.
func isPlain(head []byte) bool {
	for _, begins := range [...]string{"GET /", "HEAD ", "POST ", "PUT /", "PATCH", "DELET", "OPTIO"} {
		if string(head) == begins {
			return true
		}
	}
	return false
}

// readMore appends exactly n bytes of c to b.
func readMore(c io.Reader, b []byte, n int) ([]byte, error) {
	start := len(b)
	b = append(b, make([]byte, n)...)
	_, err := io.ReadFull(c, b[start:])
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, refuse(ReasonTruncated)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, refuse(ReasonSlowHello)
	}
	return b, err
}

// cursor takes a message apart; once something is missing, bad stays set.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if n > len(c.b) {
		c.bad, c.b = true, nil
		return nil
	}
	t := c.b[:n]
	c.b = c.b[n:]
	return t
}

func (c *cursor) number(size int) int {
	n := 0
	for _, b := range c.take(size) {
		n = n<<8 | int(b)
	}
	return n
}

// vector takes a vector whose length is written in size bytes.
func (c *cursor) vector(size int) cursor {
	v := cursor{b: c.take(c.number(size))}
	v.bad = c.bad
	return v
}

func parseClientHello(message []byte) (*ClientHello, error) {
	c := cursor{b: message}
	version := c.number(2)
	c.take(32) // random
	session := c.vector(1)
	suites := c.vector(2)
	compression := c.vector(1)
	if c.bad || version>>8 != 3 || len(session.b) > 32 || len(suites.b) == 0 || len(suites.b)%2 != 0 || len(compression.b) == 0 {
		return nil, refuse(ReasonHello)
	}
	hello := &ClientHello{TLS13: version >= versionTLS13}
	if len(c.b) == 0 {
		return hello, nil // no extensions: TLS 1.2 and older allow it
	}
	extensions := c.vector(2)
	if c.bad || len(c.b) != 0 {
		return nil, refuse(ReasonHello)
	}
	seen := make(map[int]bool, 24)
	for len(extensions.b) > 0 {
		kind := extensions.number(2)
		data := extensions.vector(2)
		if extensions.bad || seen[kind] {
			return nil, refuse(ReasonHello)
		}
		seen[kind] = true
		ok := true
		switch kind {
		case 0:
			hello.ServerName, ok = parseServerName(data)
		case 16:
			hello.Protocols, ok = parseProtocols(data)
		case 43:
			hello.TLS13, ok = parseVersions(data)
		}
		if !ok {
			return nil, refuse(ReasonHello)
		}
	}
	return hello, nil
}

// parseServerName reads the extension server_name: exactly one host name.
func parseServerName(data cursor) (string, bool) {
	list := data.vector(2)
	kind := list.number(1)
	name := list.vector(2)
	if data.bad || len(data.b) != 0 || list.bad || len(list.b) != 0 || kind != 0 || !isHostName(string(name.b)) {
		return "", false
	}
	return strings.ToLower(string(name.b)), true
}

// parseProtocols reads the extension application_layer_protocol_negotiation.
func parseProtocols(data cursor) ([]string, bool) {
	list := data.vector(2)
	if data.bad || len(data.b) != 0 || len(list.b) == 0 {
		return nil, false
	}
	var names []string
	for len(list.b) > 0 {
		name := list.vector(1)
		if list.bad || len(name.b) == 0 {
			return nil, false
		}
		names = append(names, string(name.b))
	}
	return names, true
}

// versionTLS13 is how TLS 1.3 is written.
const versionTLS13 = 0x0304

// parseVersions reads the extension supported_versions (RFC 8446 section 4.2.1), and reports
// whether TLS 1.3 is among them.
func parseVersions(data cursor) (has13, ok bool) {
	list := data.vector(1)
	if data.bad || len(data.b) != 0 || len(list.b) == 0 || len(list.b)%2 != 0 {
		return false, false
	}
	for len(list.b) > 0 {
		has13 = list.number(2) == versionTLS13 || has13
	}
	return has13, true
}

// isHostName reports whether s is a DNS host name as it may stand in a
// ClientHello: labels of letters, digits, hyphens and underscores, no final dot,
// and no address.
func isHostName(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	digits := true
	for label := range strings.SplitSeq(s, ".") {
		if len(label) == 0 || len(label) > 63 {
			return false
		}
		digits = true
		for _, c := range []byte(label) {
			switch {
			case c >= '0' && c <= '9':
			case c|0x20 >= 'a' && c|0x20 <= 'z', c == '-', c == '_':
				digits = false
			default:
				return false
			}
		}
	}
	return !digits // the last label of a name is never a number, that of an IPv4 address always
}

// replayConn gives bytes that were read already to the next reader.
type replayConn struct {
	net.Conn
	unread []byte
}

func (c *replayConn) Read(p []byte) (int, error) {
	if len(c.unread) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.unread)
	if c.unread = c.unread[n:]; len(c.unread) == 0 {
		c.unread = nil
	}
	return n, nil
}

// NetConn is the connection below, for whoever needs to know its kind.
func (c *replayConn) NetConn() net.Conn { return c.Conn }
