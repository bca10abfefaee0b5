package wireguard

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
)

// Key is a key of WireGuard's: private, public or preshared. The zero Key is none.
type Key [32]byte

// errKey is what is wrong with a text that is no key.
var errKey = errors.New("is no key: a key has 44 characters of base64")

// ParseKey reads a key as wg(8) writes it, in its one spelling.
func ParseKey(s string) (k Key, err error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) != len(k) || base64.StdEncoding.EncodeToString(raw) != s {
		return Key{}, errKey
	}
	return Key(raw), nil
}

// NewPrivateKey makes a private key that was never used before.
func NewPrivateKey() Key {
	k := NewPresharedKey()
	// As wg(8) does (RFC 7748 section 5).
	k[0] &= 248
	k[31] = k[31]&127 | 64
	return k
}

// NewPresharedKey makes a key that two peers share besides their own.
func NewPresharedKey() (k Key) {
	rand.Read(k[:]) // never fails (crypto/rand)
	return k
}

// Public is the public half of a private key.
func (k Key) Public() (Key, error) {
	private, err := ecdh.X25519().NewPrivateKey(k[:])
	if err != nil || k == (Key{}) {
		return Key{}, fmt.Errorf("make a public key: %w", errors.Join(err, errKey))
	}
	return Key(private.PublicKey().Bytes()), nil
}

// String writes a key as wg(8) does.
func (k Key) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// hex writes a key as a device of WireGuard's is told it.
func (k Key) hex() string { return hex.EncodeToString(k[:]) }

// fromHex reads a key as a device tells it.
func fromHex(s string) (k Key, err error) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(k) {
		return Key{}, errKey
	}
	return Key(raw), nil
}
