package ssh

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

// minRSA is how long an RSA key must be, in bits; maxRSA is how long it may be, because
// whoever checks a signature pays for its length.
const (
	minRSA = 3072
	maxRSA = 8192
)

// maxText bounds what is read as keys, in bytes.
const maxText = 64 << 10

// Key is a public key that is strong enough.
type Key struct {
	public  gossh.PublicKey
	Comment string // what stands behind it, usually whose it is
}

// ID is its fingerprint, as OpenSSH prints it: SHA256:….
func (k Key) ID() string { return gossh.FingerprintSHA256(k.public) }

// Line is the key as a line of a file, without its comment.
func (k Key) Line() string {
	return strings.TrimSuffix(string(gossh.MarshalAuthorizedKey(k.public)), "\n")
}

// Type is its type, such as ssh-ed25519.
func (k Key) Type() string { return k.public.Type() }

// What is wrong with a text that is to be one public key.
var (
	ErrPrivate     = errors.New("this is a private key: it stays where it is, and nobody else needs it; the file beside it that ends in .pub is meant")
	ErrNoKey       = errors.New("this is not a public key of SSH")
	ErrManyKeys    = errors.New("this is more than one key")
	ErrOptions     = errors.New("there are options before the key, as a file authorized_keys has them; they mean nothing here, so leave them out")
	ErrCertificate = errors.New("this is a certificate: its authority is named in the configuration (doors.ssh.ca), and it needs no invitation")
)

// WeakError says why a key is not strong enough.
type WeakError struct{ Why string }

// Error says why.
func (e *WeakError) Error() string { return e.Why }

// ParseKey reads a text that is one public key: a line as ssh-keygen writes it.
func ParseKey(text []byte) (Key, error) {
	keys, err := ParseKeys(text)
	switch {
	case err != nil:
		return Key{}, err
	case len(keys) == 0:
		return Key{}, ErrNoKey
	case len(keys) > 1:
		return Key{}, ErrManyKeys
	}
	return keys[0], nil
}

// ParseKeys reads a text with a public key a line; lines that are empty, or begin with #, are
// nothing.
func ParseKeys(text []byte) ([]Key, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrNoKey, maxText)
	}
	if bytes.Contains(text, []byte("PRIVATE KEY")) || bytes.HasPrefix(text, []byte("PuTTY-User-Key-File")) {
		return nil, ErrPrivate
	}
	var keys []Key
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		k, err := parseLine(line)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// parseLine reads TYPE BASE64 [COMMENT].
func parseLine(line string) (Key, error) {
	if strings.HasPrefix(line, "ssh-dss ") {
		return Key{}, &WeakError{notTaken("ssh-dss")} // the library reads none
	}
	public, comment, options, rest, err := gossh.ParseAuthorizedKey([]byte(line))
	switch {
	case err != nil || len(rest) > 0:
		return Key{}, ErrNoKey
	case len(options) > 0:
		return Key{}, ErrOptions
	}
	kind, _, _ := strings.Cut(line, " ")
	if tab, _, found := strings.Cut(kind, "\t"); found {
		kind = tab
	}
	if kind != public.Type() {
		return Key{}, ErrNoKey // what it says it is and what it is are two things
	}
	if _, ok := public.(*gossh.Certificate); ok {
		return Key{}, ErrCertificate
	}
	if why := weak(public); why != "" {
		return Key{}, &WeakError{why}
	}
	return Key{public, comment}, nil
}

// weak says why a key is not taken; empty if it is. The set of those that are is closed.
func weak(key gossh.PublicKey) string {
	switch key.Type() {
	case gossh.KeyAlgoED25519, gossh.KeyAlgoSKED25519, gossh.KeyAlgoSKECDSA256:
		return ""
	case gossh.KeyAlgoRSA:
		c, ok := key.(gossh.CryptoPublicKey)
		if !ok {
			break
		}
		r, ok := c.CryptoPublicKey().(*rsa.PublicKey)
		if !ok {
			break
		}
		switch bits := r.N.BitLen(); {
		case bits < minRSA:
			return fmt.Sprintf("an RSA key of %d bits is too short: at least %d, or better ed25519", bits, minRSA)
		case bits > maxRSA:
			return fmt.Sprintf("an RSA key of %d bits is too long: %d at most", bits, maxRSA)
		}
		return ""
	}
	return notTaken(key.Type())
}

func notTaken(kind string) string {
	return fmt.Sprintf("keys of the type %s are not taken: ed25519, a security key (ed25519-sk, ecdsa-sk), or RSA from %d bits on", kind, minRSA)
}
