package identity

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
)

// alphabet is what codes that people type are made of: 32 characters, none of
// which is mistaken for another (no 0, 1, l and o).
const alphabet = "23456789abcdefghijkmnpqrstuvwxyz"

// Lengths of codes in characters of 5 bits.
const (
	inviteLen   = 28 // 140 bits
	recoveryLen = 16 // 80 bits
	approveLen  = 8  // 40 bits; lives for minutes and is of use on the machine alone
	idLen       = 8
	personIDLen = 16
)

// randomText returns n random characters of the alphabet.
func randomText(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand)
	for k := range b {
		b[k] = alphabet[b[k]%32]
	}
	return string(b)
}

// newID returns an id that is not taken.
func newID[V any](taken map[string]V) string {
	for {
		id := randomText(idLen)
		if _, ok := taken[id]; !ok {
			return id
		}
	}
}

// grouped writes a code in groups of four, as it is shown.
func grouped(code string) string {
	var b strings.Builder
	for k := range len(code) {
		if k > 0 && k%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(code[k])
	}
	return b.String()
}

// parseCode reads a code of n characters as people type it: hyphens, spaces and
// upper case do not matter. ok is false for anything that cannot be a code.
func parseCode(typed string, n int) (code string, ok bool) {
	if len(typed) > 4*n {
		return "", false
	}
	b := make([]byte, 0, n)
	for k := range len(typed) {
		c := typed[k]
		switch {
		case c == '-' || c == ' ':
			continue
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		if strings.IndexByte(alphabet, c) < 0 || len(b) == n {
			return "", false
		}
		b = append(b, c)
	}
	return string(b), len(b) == n
}

// cookieLen is the length of a cookie and of a ticket: 256 bits in base64url.
const cookieLen = 43

// newCookie returns a new cookie or ticket.
func newCookie() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
