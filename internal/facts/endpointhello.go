package facts

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// oldCipher is a cipher suite of TLS 1.2 and older.
type oldCipher struct {
	id   uint16
	name string
}

// oldCiphers are those that servers may still take, the good ones first: a client that
// offers only the bad ones would not see what a server prefers, but what it takes is the
// same (IANA TLS Cipher Suites).
func oldCiphers() []oldCipher {
	return []oldCipher{
		{0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"}, {0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"},
		{0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"}, {0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"},
		{0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"}, {0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"},
		{0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"}, {0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"}, {0xccaa, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256"},
		{0xc023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"}, {0xc027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"},
		{0xc024, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384"}, {0xc028, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"},
		{0xc009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"}, {0xc013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"},
		{0xc00a, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"}, {0xc014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"},
		{0x0067, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256"}, {0x006b, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256"},
		{0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA"}, {0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA"},
		{0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256"}, {0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384"},
		{0x003c, "TLS_RSA_WITH_AES_128_CBC_SHA256"}, {0x003d, "TLS_RSA_WITH_AES_256_CBC_SHA256"},
		{0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA"}, {0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA"},
		{0xc008, "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA"}, {0xc012, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA"},
		{0x0016, "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA"}, {0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA"},
		{0xc007, "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA"}, {0xc011, "TLS_ECDHE_RSA_WITH_RC4_128_SHA"},
		{0x0005, "TLS_RSA_WITH_RC4_128_SHA"}, {0x0004, "TLS_RSA_WITH_RC4_128_MD5"},
		{0x0015, "TLS_DHE_RSA_WITH_DES_CBC_SHA"}, {0x0009, "TLS_RSA_WITH_DES_CBC_SHA"},
		{0x0008, "TLS_RSA_EXPORT_WITH_DES40_CBC_SHA"}, {0x0003, "TLS_RSA_EXPORT_WITH_RC4_40_MD5"}, {0x0014, "TLS_DHE_RSA_EXPORT_WITH_DES40_CBC_SHA"},
		{0x0034, "TLS_DH_anon_WITH_AES_128_CBC_SHA"}, {0xc018, "TLS_ECDH_anon_WITH_AES_128_CBC_SHA"},
		{0xc006, "TLS_ECDHE_ECDSA_WITH_NULL_SHA"}, {0xc010, "TLS_ECDHE_RSA_WITH_NULL_SHA"}, {0x003b, "TLS_RSA_WITH_NULL_SHA256"},
		{0x0002, "TLS_RSA_WITH_NULL_SHA"}, {0x0001, "TLS_RSA_WITH_NULL_MD5"},
	}
}

// serverHello is what a server chooses.
type serverHello struct {
	version           uint16
	cipher            uint16
	compresses        bool
	safeRenegotiation bool
}

// errNoHello means that the server does not agree to what was offered.
var errNoHello = errors.New("it does not agree")

// hello offers a version and ciphers, and hears what is chosen; no more is said.
func (o *observing) hello(ctx context.Context, version uint16, offered []oldCipher) (serverHello, error) {
	c, err := o.dial(ctx, o.port)
	if err != nil {
		return serverHello{}, err
	}
	defer c.Close()
	if _, err := c.Write(clientHello(o.host, version, offered)); err != nil {
		return serverHello{}, errNoHello
	}
	head := make([]byte, 5)
	if _, err := io.ReadFull(c, head); err != nil {
		return serverHello{}, helloError(err)
	}
	size := int(binary.BigEndian.Uint16(head[3:]))
	if head[0] != 22 || size > 1<<14 { // an alert, or none of TLS
		return serverHello{}, errNoHello
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c, body); err != nil {
		return serverHello{}, helloError(err)
	}
	return parseServerHello(body)
}

// helloError tells a server that ends the connection, which is its no, from one that says
// nothing at all.
func helloError(err error) error {
	var late interface{ Timeout() bool }
	if errors.As(err, &late) && late.Timeout() {
		return fmt.Errorf("it does not answer: %w", err)
	}
	return errNoHello
}

// clientHello is a record with the first message of a client (RFC 5246, 7.4.1.2), with
// compression offered, too.
func clientHello(host string, version uint16, offered []oldCipher) []byte {
	random := make([]byte, 32)
	rand.Read(random)
	b := binary.BigEndian.AppendUint16(nil, version)
	b = append(b, random...)
	b = append(b, 0) // no session
	b = binary.BigEndian.AppendUint16(b, uint16(2*len(offered)+2))
	for _, c := range offered {
		b = binary.BigEndian.AppendUint16(b, c.id)
	}
	b = append(b, 0x00, 0xff) // TLS_EMPTY_RENEGOTIATION_INFO_SCSV (RFC 5746)
	b = append(b, 2, 1, 0)    // compression: DEFLATE, none
	if version > 0x0300 {
		var x []byte
		extension := func(id uint16, data []byte) {
			x = binary.BigEndian.AppendUint16(x, id)
			x = binary.BigEndian.AppendUint16(x, uint16(len(data)))
			x = append(x, data...)
		}
		if _, err := netip.ParseAddr(host); err != nil && len(host) < 256 {
			name := binary.BigEndian.AppendUint16(nil, uint16(len(host)+3))
			name = append(name, 0)
			name = binary.BigEndian.AppendUint16(name, uint16(len(host)))
			extension(0, append(name, host...))
		}
		extension(10, []byte{0, 8, 0, 29, 0, 23, 0, 24, 0, 25}) // X25519, P-256, P-384, P-521
		extension(11, []byte{1, 0})                             // points as they are
		if version >= 0x0303 {
			extension(13, []byte{0, 26, 4, 3, 5, 3, 6, 3, 8, 7, 8, 4, 8, 5, 8, 6, 4, 1, 5, 1, 6, 1, 2, 3, 2, 1, 1, 1})
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(x)))
		b = append(b, x...)
	}
	message := append([]byte{1, 0, byte(len(b) >> 8), byte(len(b))}, b...)
	record := append([]byte{22, 3, byte(min(version&0xff, 1))}, byte(len(message)>>8), byte(len(message)))
	return append(record, message...)
}

// parseServerHello reads the answer (RFC 5246, 7.4.1.3).
func parseServerHello(b []byte) (s serverHello, err error) {
	if len(b) < 4 || b[0] != 2 {
		return s, errNoHello
	}
	size := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
	if b = b[4:]; size > len(b) || size < 35 {
		return s, errNoHello
	}
	b = b[:size]
	s.version = binary.BigEndian.Uint16(b)
	session := int(b[34])
	if b = b[35:]; len(b) < session+3 {
		return s, errNoHello
	}
	b = b[session:]
	s.cipher, s.compresses = binary.BigEndian.Uint16(b), b[2] != 0
	if b = b[3:]; len(b) < 2 {
		return s, nil
	}
	for b = b[2:]; len(b) >= 4; {
		n := int(binary.BigEndian.Uint16(b[2:]))
		if binary.BigEndian.Uint16(b) == 0xff01 {
			s.safeRenegotiation = true
		}
		if len(b) < 4+n {
			break
		}
		b = b[4+n:]
	}
	return s, nil
}
