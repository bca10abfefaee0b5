package pki

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// GetCertificate is what tls.Config asks for a certificate.
type GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// ServerConfig returns how a door speaks TLS: 1.3 alone (Mozilla's "modern" of its Server
// Side TLS), the post-quantum key exchange where the client has it, HTTP/2 before HTTP/1.1.
// Early data is not taken: Go's server has none. Session tickets are sealed with keys of
// this very configuration, which crypto/tls changes every day and forgets after seven, so a
// ticket of one door opens no other: make one for each door. A ticket resumes a session for
// the name that it was given for, and for no other.
func ServerConfig(get GetCertificate) *tls.Config {
	c := &tls.Config{
		GetCertificate:   get,
		MinVersion:       tls.VersionTLS13,
		MaxVersion:       tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256},
		NextProtos:       []string{"h2", "http/1.1"},
	}
	keys := c // a door may speak by a clone, which has keys of its own
	c.WrapSession = func(at tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		session.Extra = append(session.Extra, ticketName(at))
		return keys.EncryptTicket(at, session)
	}
	c.UnwrapSession = func(ticket []byte, at tls.ConnectionState) (*tls.SessionState, error) {
		session, err := keys.DecryptTicket(ticket, at)
		if err != nil || session == nil || !slices.ContainsFunc(session.Extra, func(said []byte) bool { return bytes.Equal(said, ticketName(at)) }) {
			return nil, err
		}
		return session, nil
	}
	return c
}

// ticketName is how a ticket says for which name it was given.
func ticketName(at tls.ConnectionState) []byte {
	return []byte("gatehouse name " + strings.ToLower(at.ServerName))
}

// IntermediateConfig is ServerConfig for clients from before 2019, too: TLS 1.2 besides, with
// forward secrecy and authenticated encryption alone (Mozilla's "intermediate", less its DHE).
func IntermediateConfig(get GetCertificate) *tls.Config {
	c := ServerConfig(get)
	c.MinVersion = tls.VersionTLS12
	c.CipherSuites = []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
	return c
}

// LoadFile reads a certificate of another authority and its key from PEM files. One
// that has run out, is not yet good or is for no host name is an error.
func LoadFile(certificate, key string, now time.Time) (*tls.Certificate, error) {
	var text [2][]byte
	for i, name := range []string{certificate, key} {
		var err error
		if text[i], err = os.ReadFile(name); err != nil {
			return nil, fmt.Errorf("load certificate: %w", err)
		}
	}
	c, err := ReadPair(text[0], text[1], now)
	if err != nil {
		return nil, fmt.Errorf("load certificate %s: %w", certificate, err)
	}
	return c, nil
}

// ReadPair is LoadFile for what the files hold.
func ReadPair(certificate, key []byte, now time.Time) (*tls.Certificate, error) {
	c, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	switch {
	case now.After(c.Leaf.NotAfter):
		err = fmt.Errorf("it ran out on %s", c.Leaf.NotAfter.Format(time.DateOnly))
	case now.Before(c.Leaf.NotBefore):
		err = fmt.Errorf("it is not good before %s", c.Leaf.NotBefore.Format(time.DateTime))
	case len(c.Leaf.DNSNames) == 0:
		err = errors.New("it is for no host name")
	}
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// WithFile shows a certificate from a file to whoever asks for one of its names, and
// what get returns to the others.
func WithFile(file *tls.Certificate, get GetCertificate) GetCertificate {
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName != "" && file.Leaf.VerifyHostname(hello.ServerName) == nil {
			return file, nil
		}
		return get(hello)
	}
}
