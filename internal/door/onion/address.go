package onion

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"strings"
)

// Sizes in bytes.
const (
	seedSize    = ed25519.SeedSize
	clientSize  = 32
	addressSize = 56 // characters, without ".onion"
)

// base32 as tor writes keys, and, in lower case, addresses.
func encoding() *base32.Encoding { return base32.StdEncoding.WithPadding(base32.NoPadding) }

// NewSeed makes the secret of an onion service: what its address comes from and is proved
// by. Whoever has it can be that service.
func NewSeed() []byte {
	seed := make([]byte, seedSize)
	rand.Read(seed)
	return seed
}

// Address is an onion service's address of version 3, without ".onion"
// (spec.torproject.org/rend-spec/encoding-onion-addresses).
func Address(seed []byte) (string, error) {
	if len(seed) != seedSize {
		return "", errors.New("an onion service's secret of another length")
	}
	key := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	return addressOf(key), nil
}

const version3 = 3

func addressOf(key ed25519.PublicKey) string {
	sum := sha3.Sum256(append(append([]byte(".onion checksum"), key...), version3))
	return strings.ToLower(encoding().EncodeToString(append(append(append([]byte{}, key...), sum[:2]...), version3)))
}

// IsAddress reports whether a text is an onion address of version 3, without ".onion".
func IsAddress(s string) bool {
	if len(s) != addressSize || s != strings.ToLower(s) {
		return false
	}
	raw, err := encoding().DecodeString(strings.ToUpper(s))
	return err == nil && len(raw) == 35 && addressOf(raw[:32]) == s
}

// blob is the secret as ADD_ONION takes it: the seed expanded as by Ed25519.
func blob(seed []byte) string {
	h := sha512.Sum512(seed)
	h[0] &= 248
	h[31] &= 63
	h[31] |= 64
	return base64.StdEncoding.EncodeToString(h[:])
}

// A Client is the key by which one device, and nobody else, can find its onion service.
type Client struct {
	Public  string // base32, as ADD_ONION takes it
	Private string // base32, as Tor Browser asks for it
}

// NewClient makes one.
func NewClient() (Client, error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return Client{}, err
	}
	return Client{Public: encoding().EncodeToString(key.PublicKey().Bytes()), Private: encoding().EncodeToString(key.Bytes())}, nil
}

// File is the line that the programs keep, tor itself in NAME.auth_private.
func (c Client) File(address string) string {
	return address + ":descriptor:x25519:" + c.Private
}

// isClient reports whether a text is a Client's Public.
func isClient(s string) bool {
	raw, err := encoding().DecodeString(s)
	return err == nil && len(raw) == clientSize && encoding().EncodeToString(raw) == s
}
