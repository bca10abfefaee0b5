package ssh

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"gatehouse/internal/wire"
)

// What is agreed on, the best first. A client's own order counts (RFC 4253 section 7.1).
// Strict key exchange comes with the library.
var (
	exchanges = []string{gossh.KeyExchangeMLKEM768X25519, gossh.KeyExchangeCurve25519}
	ciphers   = []string{gossh.CipherChaCha20Poly1305, gossh.CipherAES256GCM, gossh.CipherAES128GCM}
	macs      = []string{gossh.HMACSHA256ETM, gossh.HMACSHA512ETM}
	// signatures are those of clients' keys; RSA's are never SHA-1.
	signatures = []string{gossh.KeyAlgoED25519, gossh.KeyAlgoSKED25519, gossh.KeyAlgoSKECDSA256, gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256}
)

// ourVersion says nothing of what we are: the protocol wants a word there.
const ourVersion = "SSH-2.0-SSH"

// An arrival is a client that shows who it is. One goroutine uses it.
type arrival struct {
	door *Door
	keys HostKeys

	met   bool // both ends have agreed on keys
	tried bool // something that it showed was refused
	known bool // it showed a key that is somebody's
}

// errRefused is the one answer to whatever is refused, whatever the reason.
var errRefused = errors.New("refused")

// shownKey is where Permissions keep whose key was shown.
type shownKey struct{}

func (a *arrival) config(met func()) *gossh.ServerConfig {
	a.keys = a.door.HostKeys()
	c := &gossh.ServerConfig{
		Config:                    gossh.Config{KeyExchanges: exchanges, Ciphers: ciphers, MACs: macs},
		PublicKeyAuthAlgorithms:   signatures,
		MaxAuthTries:              maxTries,
		PublicKeyCallback:         a.judge,
		VerifiedPublicKeyCallback: a.proved,
		AuthLogCallback: func(_ gossh.ConnMetadata, method string, err error) {
			a.tried = a.tried || err != nil && method != "none"
		},
		PreAuthConnCallback: func(gossh.ServerPreAuthConn) { a.met = true; met() },
		ServerVersion:       ourVersion,
	}
	if signers := a.keys.signers(); len(signers) > 0 {
		c.AddHostKey(signers[0])
	}
	return c
}

// judge says whether a key may be used under the name that was given. Nothing is proved yet.
func (a *arrival) judge(conn gossh.ConnMetadata, key gossh.PublicKey) (*gossh.Permissions, error) {
	person, named := a.door.person(conn.User())
	if cert, ok := key.(*gossh.Certificate); ok {
		return a.judgeCertificate(person, named, cert)
	}
	if weak(key) != "" {
		return nil, errRefused
	}
	known, ok := a.door.holder(gossh.FingerprintSHA256(key))
	if !ok {
		return nil, errRefused
	}
	a.known = true
	if known.Certified || !named || known.Person != person {
		return nil, errRefused
	}
	return &gossh.Permissions{ExtraData: map[any]any{shownKey{}: known}}, nil
}

// maxName is how long a name may be that is looked for, in bytes, and maxPrincipals how many
// a certificate may have, as with OpenSSH.
const (
	maxName       = 256
	maxPrincipals = 256
)

func (d *Door) person(name string) (string, bool) {
	if name == "" || len(name) > maxName {
		return "", false
	}
	return d.cfg.Person(name)
}

// holder says whose key a fingerprint is of.
func (d *Door) holder(id string) (Known, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k, ok := d.known[id]
	return k, ok && (k.Expires.IsZero() || d.now().Before(k.Expires))
}

const (
	mayForward = "permit-port-forwarding" // what a certificate must allow, as sshd has it
	noTouch    = "no-touch-required"      // what it must not
)

// judgeCertificate says the same of a certificate's key: one of the owner's authority, for
// this person, of now, for tunnels, and with no condition that we do not know.
func (a *arrival) judgeCertificate(person string, named bool, cert *gossh.Certificate) (*gossh.Permissions, error) {
	d := a.door
	if d.cfg.Certify == nil || !d.isAuthority(cert.SignatureKey) {
		return nil, errRefused
	}
	a.known = true
	_, forward := cert.Extensions[mayForward]
	_, untouched := cert.Extensions[noTouch]
	if !named || cert.CertType != gossh.UserCert || cert.Signature.Format == gossh.KeyAlgoRSA || weak(cert.Key) != "" || !forward || untouched {
		return nil, errRefused
	}
	checker := gossh.CertChecker{Clock: d.now, SupportedCriticalOptions: []string{"source-address"}}
	if checker.CheckCert(d.principal(person, cert), cert) != nil {
		return nil, errRefused
	}
	shown := Known{ID: gossh.FingerprintSHA256(cert.Key), Person: person, Certified: true}
	if cert.ValidBefore != gossh.CertTimeInfinity {
		shown.Expires = time.Unix(int64(cert.ValidBefore), 0) // CheckCert has seen that it is one
	}
	if had, ok := d.holder(shown.ID); ok && had.Person != person {
		return nil, errRefused
	}
	return &gossh.Permissions{CriticalOptions: cert.CriticalOptions, ExtraData: map[any]any{shownKey{}: shown}}, nil
}

func (d *Door) isAuthority(key gossh.PublicKey) bool {
	for _, ca := range d.cfg.Authorities {
		if bytes.Equal(ca.public.Marshal(), key.Marshal()) {
			return true
		}
	}
	return false
}

// principal is the name on a certificate that is a person's; empty if there is none.
func (d *Door) principal(person string, cert *gossh.Certificate) string {
	for _, name := range cert.ValidPrincipals[:min(len(cert.ValidPrincipals), maxPrincipals)] {
		if p, ok := d.person(name); ok && p == person {
			return name
		}
	}
	return ""
}

// certifyTime is how long it may take to make a certificate's key known.
const certifyTime = 10 * time.Second

// proved is told that the client holds the key. A certificate makes its key a known one.
func (a *arrival) proved(conn gossh.ConnMetadata, key gossh.PublicKey, p *gossh.Permissions, _ string) (*gossh.Permissions, error) {
	shown := p.ExtraData[shownKey{}].(Known)
	cert, ok := key.(*gossh.Certificate)
	if !ok {
		return p, nil
	}
	if had, ok := a.door.holder(shown.ID); !ok || had.Certified && outlives(shown.Expires, had.Expires) {
		ctx, cancel := context.WithTimeout(context.Background(), certifyTime)
		defer cancel()
		if a.door.cfg.Certify(ctx, Certified{ID: shown.ID, Person: shown.Person, Label: cert.KeyId, Expires: shown.Expires}) != nil {
			return nil, errRefused
		}
	}
	if had, ok := a.door.holder(shown.ID); !ok || had.Person != shown.Person {
		return nil, errRefused
	}
	return p, nil
}

// outlives reports whether a time is later than another, where zero is never.
func outlives(a, b time.Time) bool { return !b.IsZero() && (a.IsZero() || a.After(b)) }

// shown is what the client has proved.
func (a *arrival) shown(conn *gossh.ServerConn) Known {
	k, _ := conn.Permissions.ExtraData[shownKey{}].(Known)
	return k
}

// why says why there is no client after all. A key that is nobody's counts once, however many
// a client has tried; one of ours under another name, or that nobody touched, is a mistake.
func (a *arrival) why(err error) wire.Reason {
	var refused *gossh.ServerAuthError
	var trouble net.Error
	left := errors.Is(err, io.EOF) || errors.As(err, &refused) || errors.As(err, &trouble) || strings.HasPrefix(err.Error(), "ssh: disconnect")
	switch {
	case !a.met:
		return wire.ReasonHandshake
	case a.known && left:
		return wire.ReasonUser
	case a.known, a.tried:
		return wire.ReasonKey
	}
	return wire.ReasonTruncated
}
