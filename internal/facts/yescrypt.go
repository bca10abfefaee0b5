package facts

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"math/bits"
	"strings"
)

// yescrypt is a password hash of crypt(5) in the flavour that systems use ($y$j…): what
// Debian and Fedora make since 2021. Its memory is bounded; other flavours are not tried.
type yescrypt struct {
	n, r int
	salt []byte
	hash string // as it is written

	room *yesRoom
	box  [3][]uint32
	next int // where the third is written
}

// yesRoom is the memory of a try. It is kept for the next one, which may be at another
// hash; it is for one at a time.
type yesRoom struct{ v, x, boxes []uint32 }

// The flavour: six rounds of four times two lanes, boxes of 256 entries of two lanes.
const (
	yesFlavour = 'j'
	yesRounds  = 6
	yesBox     = 256 * 2 * 2 // words of a box
	yesMask    = 255 * 16    // of an offset into it, in bytes
	mostMemory = 64 << 20    // bytes of a try
)

// parseYescrypt reads a hash, which is tried in a room; the error quotes nothing of it.
func parseYescrypt(text string, room *yesRoom) (*yescrypt, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 5 || parts[0] != "" || parts[1] != "y" || len(parts[4]) != 43 || strings.Trim(parts[3]+parts[4], cryptAlphabet) != "" {
		return nil, errors.New("not a whole hash of yescrypt")
	}
	if len(parts[2]) != 3 || parts[2][0] != yesFlavour {
		return nil, errors.New("an unusual flavour of yescrypt")
	}
	logN, r := strings.IndexByte(cryptAlphabet, parts[2][1])+1, strings.IndexByte(cryptAlphabet, parts[2][2])+1
	// Larger than 47 of these letters begin a longer number.
	if logN < 1 || logN > 47 || r < 1 || r > 47 {
		return nil, errors.New("an unusual flavour of yescrypt")
	}
	if logN < 10 || logN > 20 || 128*r<<logN > mostMemory {
		return nil, errors.New("its yescrypt takes too much memory to try, or too little to be one")
	}
	salt, ok := cryptBytes(parts[3])
	if !ok || len(salt) > 64 {
		return nil, errors.New("its salt is none")
	}
	return &yescrypt{n: 1 << logN, r: r, salt: salt, hash: parts[4], room: room}, nil
}

// cryptBytes reads bytes that are written as letters of six bits, the lowest first.
func cryptBytes(text string) ([]byte, bool) {
	var out []byte
	for len(text) > 0 {
		var v uint32
		part := text[:min(4, len(text))]
		text = text[len(part):]
		if len(part) == 1 {
			return nil, false
		}
		for n := range part {
			v |= uint32(strings.IndexByte(cryptAlphabet, part[n])) << (6 * n)
		}
		for range len(part) * 6 / 8 {
			out = append(out, byte(v))
			v >>= 8
		}
		if v != 0 {
			return nil, false
		}
	}
	return out, true
}

// cryptLetters is the reverse.
func cryptLetters(data []byte) string {
	var b strings.Builder
	for len(data) > 0 {
		part := data[:min(3, len(data))]
		data = data[len(part):]
		var v uint32
		for n, x := range part {
			v |= uint32(x) << (8 * n)
		}
		for range (len(part)*8 + 5) / 6 {
			b.WriteByte(cryptAlphabet[v&63])
			v >>= 6
		}
	}
	return b.String()
}

// is reports whether the hash is of a password. It gives up when ctx ends.
func (y *yescrypt) is(ctx context.Context, password string) (bool, error) {
	key := []byte(password)
	if y.n >= 0x100 && y.n*y.r >= 0x20000 {
		var err error
		if key, err = y.derive(ctx, key, y.n>>6, true); err != nil {
			return false, err
		}
	}
	sum, err := y.derive(ctx, key, y.n, false)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare([]byte(cryptLetters(sum)), []byte(y.hash)) == 1, nil
}

func yesMAC(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil)
}

// derive is the whole derivation over n blocks; first is the short one before it.
func (y *yescrypt) derive(ctx context.Context, password []byte, n int, first bool) ([]byte, error) {
	name := "yescrypt"
	if first {
		name = "yescrypt-prehash"
	}
	key := yesMAC([]byte(name), password)
	block, err := pbkdf2.Key(sha256.New, string(key), y.salt, 1, 128*y.r)
	if err != nil {
		return nil, err
	}
	copy(key, block[:32])
	if key, err = y.mix(ctx, block, key, n); err != nil {
		return nil, err
	}
	out, err := pbkdf2.Key(sha256.New, string(key), block, 1, 32)
	if err != nil || first {
		return out, err
	}
	sum := sha256.Sum256(yesMAC(out, []byte("Client Key")))
	return sum[:], nil
}

// mix fills the boxes and the memory from a block, walks through the memory, and returns
// the key that it made of key; block is what came out.
func (y *yescrypt) mix(ctx context.Context, block, key []byte, n int) ([]byte, error) {
	words := 32 * y.r
	m := y.room
	if len(m.v) < n*words || len(m.x) < words {
		m.v, m.x, m.boxes = make([]uint32, max(len(m.v), y.n*words)), make([]uint32, max(len(m.x), words)), make([]uint32, 3*yesBox)
	}
	boxes, x := m.boxes, m.x[:words]
	small := make([]uint32, 32)
	yesShuffle(small, block[:128])
	for at := 0; at < len(boxes); at += 32 {
		copy(boxes[at:], small)
		yesSalsaMix(small)
	}
	yesUnshuffle(block[:128], small)
	y.box, y.next = [3][]uint32{boxes[2*yesBox:], boxes[yesBox : 2*yesBox], boxes[:yesBox]}, 0
	key = yesMAC(block[len(block)-64:], key)

	yesShuffle(x, block)
	last := words - 16
	for i := range n {
		if i%64 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		copy(m.v[i*words:], x)
		if i > 1 {
			floor := 1 << (bits.Len(uint(i)) - 1)
			yesXor(x, m.v[(int(x[last])&(floor-1)+i-floor)*words:])
		}
		y.blockMix(x)
	}
	loops := ((n+2)/3 + 1) &^ 1
	for i := range loops {
		if i%64 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		cell := m.v[(int(x[last])&(n-1))*words:][:words]
		yesXor(x, cell)
		copy(cell, x)
		y.blockMix(x)
	}
	yesUnshuffle(block, x)
	return key, nil
}

func yesXor(x, with []uint32) {
	with = with[:len(x)]
	for n := range x {
		x[n] ^= with[n]
	}
}

// yesShuffle reads bytes into words in the order in which lanes are worked on.
func yesShuffle(to []uint32, from []byte) {
	for at := 0; at < len(to); at += 16 {
		for n := range 16 {
			to[at+n] = binary.LittleEndian.Uint32(from[4*(at+n*5%16):])
		}
	}
}

func yesUnshuffle(to []byte, from []uint32) {
	for at := 0; at < len(from); at += 16 {
		for n := range 16 {
			binary.LittleEndian.PutUint32(to[4*(at+n*5%16):], from[at+n])
		}
	}
}

// yesSalsaMix is scrypt's own mixing of one pair of blocks, with Salsa20/8.
func yesSalsaMix(b []uint32) {
	var x [16]uint32
	copy(x[:], b[16:])
	yesXor(x[:], b[:16])
	yesSalsa(&x, 8)
	copy(b, x[:])
	yesXor(x[:], b[16:])
	yesSalsa(&x, 8)
	copy(b[16:], x[:])
}

// blockMix mixes a block by multiplications and look-ups in the boxes.
func (y *yescrypt) blockMix(b []uint32) {
	var x [16]uint32
	copy(x[:], b[len(b)-16:])
	for at := 0; at < len(b); at += 16 {
		yesXor(x[:], b[at:])
		y.lanes(&x)
		copy(b[at:], x[:])
	}
	yesSalsa(&x, 2)
	copy(b[len(b)-16:], x[:])
}

// lanes is pwxform.
func (y *yescrypt) lanes(x *[16]uint32) {
	s0, s1, s2, w := y.box[0], y.box[1], y.box[2], y.next
	for round := range yesRounds {
		for j := 0; j < 16; j += 4 {
			p0, p1 := s0[x[j]&yesMask/4:][:4], s1[x[j+1]&yesMask/4:][:4]
			for k := 0; k < 4; k += 2 {
				v := uint64(x[j+k+1]) * uint64(x[j+k])
				v += uint64(p0[k+1])<<32 + uint64(p0[k])
				v ^= uint64(p1[k+1])<<32 + uint64(p1[k])
				x[j+k], x[j+k+1] = uint32(v), uint32(v>>32)
				if round != 0 && round != yesRounds-1 {
					s2[w], s2[w+1] = x[j+k], x[j+k+1]
					w += 2
				}
			}
		}
	}
	y.box, y.next = [3][]uint32{s2, s0, s1}, w&(yesBox-1)
}

// yesSalsa is Salsa20 on shuffled words, added to what was there.
func yesSalsa(b *[16]uint32, rounds int) {
	var x [16]uint32
	for n := range 16 {
		x[n*5%16] = b[n]
	}
	quarter := func(a, b, c, d int) {
		x[b] ^= bits.RotateLeft32(x[a]+x[d], 7)
		x[c] ^= bits.RotateLeft32(x[b]+x[a], 9)
		x[d] ^= bits.RotateLeft32(x[c]+x[b], 13)
		x[a] ^= bits.RotateLeft32(x[d]+x[c], 18)
	}
	for range rounds / 2 {
		quarter(0, 4, 8, 12)
		quarter(5, 9, 13, 1)
		quarter(10, 14, 2, 6)
		quarter(15, 3, 7, 11)
		quarter(0, 1, 2, 3)
		quarter(5, 6, 7, 4)
		quarter(10, 11, 8, 9)
		quarter(15, 12, 13, 14)
	}
	for n := range 16 {
		b[n] += x[n*5%16]
	}
}
