package ssh

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

// HostKeys are the keys of the host: the one that it shows, and the one that it will show
// when that is replaced, which clients are told of before (hostkeys-00@openssh.com).
type HostKeys struct{ Now, Next ed25519.PrivateKey }

// NewHostKeys makes both.
func NewHostKeys() (HostKeys, error) {
	now, err := newHostKey()
	if err != nil {
		return HostKeys{}, err
	}
	next, err := newHostKey()
	return HostKeys{now, next}, err
}

func newHostKey() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a host key: %w", err)
	}
	return key, nil
}

// Rotated makes the next key the one that is shown, and a new one the next.
func (k HostKeys) Rotated() (HostKeys, error) {
	next, err := newHostKey()
	return HostKeys{k.Next, next}, err
}

// Secret is what to keep of the keys, sealed.
func (k HostKeys) Secret() []byte { return append(k.Now.Seed(), k.Next.Seed()...) }

// ParseHostKeys reads what Secret returned.
func ParseHostKeys(secret []byte) (HostKeys, error) {
	if len(secret) != 2*ed25519.SeedSize {
		return HostKeys{}, errors.New("host keys: not what was kept")
	}
	return HostKeys{ed25519.NewKeyFromSeed(secret[:ed25519.SeedSize]), ed25519.NewKeyFromSeed(secret[ed25519.SeedSize:])}, nil
}

// HostKey is the public half of one.
type HostKey struct {
	Fingerprint string // SHA256:…
	Line        string // ssh-ed25519 …
	SSHFP       string // the data of its SSHFP record (RFC 4255, RFC 7479)
}

// Public are the public halves.
func (k HostKeys) Public() (now, next HostKey) { return publicOf(k.Now), publicOf(k.Next) }

func publicOf(key ed25519.PrivateKey) HostKey {
	public, err := gossh.NewPublicKey(key.Public())
	if err != nil {
		return HostKey{} // it is none; those that are made here always are
	}
	sum := sha256.Sum256(public.Marshal())
	return HostKey{
		Fingerprint: gossh.FingerprintSHA256(public),
		Line:        strings.TrimSuffix(string(gossh.MarshalAuthorizedKey(public)), "\n"),
		SSHFP:       "4 2 " + hex.EncodeToString(sum[:]),
	}
}

// KnownHosts is a host's line in a file known_hosts.
func (k HostKey) KnownHosts(host string, port int) string {
	if port != 22 {
		host = fmt.Sprintf("[%s]:%d", host, port)
	}
	return host + " " + k.Line
}

// signers are the keys as a server uses them.
func (k HostKeys) signers() (all []gossh.Signer) {
	for _, key := range []ed25519.PrivateKey{k.Now, k.Next} {
		if s, err := gossh.NewSignerFromKey(key); err == nil && len(key) > 0 {
			all = append(all, s)
		}
	}
	return all
}
