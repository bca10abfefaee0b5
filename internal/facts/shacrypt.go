package facts

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// shaCrypt is a password hash of crypt(5): sha256crypt ($5$) or sha512crypt ($6$), after
// Drepper, "Unix crypt using SHA-256 and SHA-512".
type shaCrypt struct {
	long   bool // SHA-512
	rounds int
	salt   string
	hash   string // as it is written
}

// What a hash may ask of us: crypt itself allows 999,999,999 rounds.
const (
	shaRounds     = 5000
	leastRounds   = 1000
	mostRounds    = 1_000_000
	mostSalt      = 16
	cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// parseSHACrypt reads a hash; the error says what it is instead and quotes nothing of it.
func parseSHACrypt(text string) (shaCrypt, error) {
	parts := strings.Split(text, "$")
	if len(parts) < 4 || parts[0] != "" || parts[1] != "5" && parts[1] != "6" {
		return shaCrypt{}, errors.New("not a hash of SHA-crypt")
	}
	c, rest := shaCrypt{long: parts[1] == "6", rounds: shaRounds}, parts[2:]
	if n, ok := strings.CutPrefix(rest[0], "rounds="); ok {
		r, err := strconv.Atoi(n)
		if err != nil || r < 0 {
			return shaCrypt{}, errors.New("its rounds are no number")
		}
		if r > mostRounds {
			return shaCrypt{}, fmt.Errorf("its %d rounds take too long to try", r)
		}
		c.rounds, rest = max(r, leastRounds), rest[1:]
	}
	size := 43
	if c.long {
		size = 86
	}
	if len(rest) != 2 || len(rest[1]) != size || strings.Trim(rest[1], cryptAlphabet) != "" {
		return shaCrypt{}, errors.New("not a whole hash of SHA-crypt")
	}
	c.salt, c.hash = rest[0][:min(len(rest[0]), mostSalt)], rest[1]
	return c, nil
}

func (c shaCrypt) new() hash.Hash {
	if c.long {
		return sha512.New()
	}
	return sha256.New()
}

// is reports whether the hash is of a password. It gives up when ctx ends.
func (c shaCrypt) is(ctx context.Context, password string) (bool, error) {
	sum, err := c.sum(ctx, []byte(password))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare([]byte(c.written(sum)), []byte(c.hash)) == 1, nil
}

// sum is the hash of a password; the steps bear the numbers of the description.
func (c shaCrypt) sum(ctx context.Context, key []byte) ([]byte, error) {
	salt := []byte(c.salt)
	b := c.new() // 4–8
	b.Write(key)
	b.Write(salt)
	b.Write(key)
	sumB := b.Sum(nil)

	a := c.new() // 1–3, 9–12
	a.Write(key)
	a.Write(salt)
	a.Write(shaStretch(sumB, len(key)))
	for n := len(key); n > 0; n >>= 1 {
		if n&1 != 0 {
			a.Write(sumB)
		} else {
			a.Write(key)
		}
	}
	sum := a.Sum(nil)

	p := c.new() // 13–16
	for range key {
		p.Write(key)
	}
	keys := shaStretch(p.Sum(nil), len(key))

	s := c.new() // 17–20
	for range 16 + int(sum[0]) {
		s.Write(salt)
	}
	salts := shaStretch(s.Sum(nil), len(salt))

	h := c.new()
	for n := range c.rounds { // 21
		if n%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		h.Reset()
		if n&1 != 0 {
			h.Write(keys)
		} else {
			h.Write(sum)
		}
		if n%3 != 0 {
			h.Write(salts)
		}
		if n%7 != 0 {
			h.Write(keys)
		}
		if n&1 != 0 {
			h.Write(sum)
		} else {
			h.Write(keys)
		}
		sum = h.Sum(sum[:0])
	}
	return sum, nil
}

// shaStretch repeats a sum up to a length.
func shaStretch(sum []byte, length int) []byte {
	out := make([]byte, 0, length+len(sum))
	for len(out) < length {
		out = append(out, sum...)
	}
	return out[:length]
}

// written is a sum as crypt writes it: bytes in an order of its own, six bits a letter.
func (c shaCrypt) written(sum []byte) string {
	var b strings.Builder
	letters := func(x, y, z byte, n int) {
		for v := uint(x)<<16 | uint(y)<<8 | uint(z); n > 0; n-- {
			b.WriteByte(cryptAlphabet[v&63])
			v >>= 6
		}
	}
	if c.long {
		for i, j, k, n := 0, 21, 42, 0; n < 21; n++ {
			letters(sum[i], sum[j], sum[k], 4)
			i, j, k = j+1, k+1, i+1
		}
		letters(0, 0, sum[63], 2)
		return b.String()
	}
	for i, j, k, n := 0, 10, 20, 0; n < 10; n++ {
		letters(sum[i], sum[j], sum[k], 4)
		i, j, k = k+1, i+1, j+1
	}
	letters(0, sum[31], sum[30], 3)
	return b.String()
}
