package event

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// A line of the chain is one of three things: an event; the head line of a segment; a
// seal. Its last member is always its hash:
//
//	{"seq":1,"time":…,"segment":1,"after":"00…","key":"…","hash":"…"}
//	{"seq":2,"time":…,"kind":"started","hash":"…"}
//	{"seq":3,"time":…,"seal":"…","next":"…","sig":"…","hash":"…"}
//
// The hash is SHA-256 of the hash before, as 32 bytes, and the line's text up to the
// comma before "hash". A signature covers the hash before and the text up to its own
// comma. So a line is checked as it stands in the file, and nobody has to agree on how
// JSON is written.

// Hash is the hash of a line and of all before it.
type Hash [sha256.Size]byte

// String is the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash reads what String writes.
func ParseHash(s string) (h Hash, err error) {
	if len(s) != hex.EncodedLen(len(h)) || strings.ToLower(s) != s {
		return h, errors.New("a hash is 64 hexadecimal digits")
	}
	_, err = hex.Decode(h[:], []byte(s))
	return h, err
}

// The lines as they are written.
type (
	eventLine struct {
		Seq uint64 `json:"seq"`
		Event
	}
	headLine struct {
		Seq     uint64    `json:"seq"`
		Time    time.Time `json:"time"`
		Segment uint64    `json:"segment"` // the segment's number
		After   string    `json:"after"`   // hash of the line before, which is in another file
		Key     string    `json:"key"`     // of the next seal
	}
	sealLine struct {
		Seq  uint64    `json:"seq"`
		Time time.Time `json:"time"`
		Seal string    `json:"seal"` // the key that signed it
		Next string    `json:"next"` // the key of the next one
	}
)

// record is a line as it is read: one of the three.
type record struct {
	Seq uint64 `json:"seq"`
	Event
	Segment uint64 `json:"segment"`
	After   string `json:"after"`
	Key     string `json:"key"`
	Seal    string `json:"seal"`
	Next    string `json:"next"`
	Sig     string `json:"sig"`
	Hash    string `json:"hash"`
}

// The most that a field may hold, in bytes; and a line, which escapes make longer. A
// line that is longer was not written here.
const (
	maxDetail = 1024
	maxField  = 256
	maxLine   = 32 << 10
)

const (
	beforeHash = `,"hash":"`
	hashEnd    = len(beforeHash) + 2*sha256.Size + len(`"}`)
	beforeSig  = `,"sig":"`
	sealDomain = "gatehouse event log seal\x00" // no signature of ours means anything else
)

// textOf writes one of the three lines, without what comes last: an object without
// its end.
func textOf(line any) ([]byte, error) {
	text, err := stdjson.Marshal(line) // what is not UTF-8 becomes U+FFFD
	if err != nil {
		return nil, fmt.Errorf("write an event: %w", err)
	}
	return Visible(bytes.TrimSuffix(text, []byte("}"))), nil
}

// Visible escapes, in JSON, what could do anything to a terminal or to a reader's eye
// but show a letter: control characters, and those that turn or hide text. In JSON
// these stand in strings alone.
func Visible(text []byte) []byte {
	if !bytes.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return text
	}
	out := make([]byte, 0, len(text)+32)
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case unicode.IsPrint(r):
			out = append(out, text[:n]...)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		text = text[n:]
	}
	return out
}

// link makes a line of its text: the hash is added, and the line's end.
func link(before Hash, text []byte) (line []byte, hash Hash) {
	hash = hashOf(before, text)
	line = append(text, beforeHash...)
	line = hex.AppendEncode(line, hash[:])
	return append(line, "\"}\n"...), hash
}

func hashOf(before Hash, text []byte) (hash Hash) {
	h := sha256.New()
	h.Write(before[:])
	h.Write(text)
	h.Sum(hash[:0])
	return hash
}

// signed is what a seal signs.
func signed(before Hash, text []byte) []byte {
	return append(append([]byte(sealDomain), before[:]...), text...)
}

// readRecord reads a line without its line end. It does not look at the hash.
func readRecord(line []byte) (r record, err error) {
	if len(line) > maxLine {
		return r, errors.New("it is longer than any line that is written here")
	}
	if err := json.Unmarshal(line, &r, json.RejectUnknownMembers(true)); err != nil {
		return r, errors.New("it is not a line of the event log")
	}
	marks := 0
	for _, is := range []bool{r.Kind != "", r.Segment != 0, r.Seal != ""} {
		if is {
			marks++
		}
	}
	if marks != 1 || r.Time.IsZero() {
		return r, errors.New("it is neither an event nor a seal nor the head of a segment")
	}
	return r, nil
}

// splitLine takes a line's own hash from its text.
func splitLine(line []byte) (text []byte, hash Hash, err error) {
	cut := len(line) - hashEnd
	if cut < 0 || !bytes.HasPrefix(line[cut:], []byte(beforeHash)) || !bytes.HasSuffix(line, []byte(`"}`)) {
		return nil, hash, errors.New("it has no hash")
	}
	hash, err = ParseHash(string(line[cut+len(beforeHash) : len(line)-2]))
	if err != nil {
		return nil, hash, errors.New("it has no hash")
	}
	return line[:cut], hash, nil
}

// keyText is a public key in a line.
func keyText(k ed25519.PublicKey) string { return base64.RawURLEncoding.EncodeToString(k) }

func readKey(s string) (ed25519.PublicKey, error) {
	k, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(k) != ed25519.PublicKeySize {
		return nil, errors.New("it names a key that is none")
	}
	return k, nil
}

// place is how far a walk along the chain has come: what the next line must follow.
type place struct {
	seq   uint64 // of the last line
	hash  Hash   // likewise
	key   ed25519.PublicKey
	again ed25519.PublicKey // what made the last seal; nil if there was none
	seal  uint64            // seq of the last seal
	at    time.Time         // of the last line
}

// step checks that a line, without its line end, follows, and goes on to it. After an
// error the place is as it was.
//
// A seal is made with the key that the one before named, or once more with that one's
// own: where the power went between writing a seal and keeping the next key, the next
// key is lost and the old one is not forgotten yet.
func (p *place) step(line []byte) (r record, err error) {
	r, err = readRecord(line)
	if err != nil {
		return r, err
	}
	text, hash, err := splitLine(line)
	switch {
	case err != nil:
		return r, err
	case r.Seq != p.seq+1:
		return r, fmt.Errorf("it has the number %d; %d would come next", r.Seq, p.seq+1)
	case hashOf(p.hash, text) != hash:
		return r, errors.New("its hash is wrong: it, or what was before it, is not what was written")
	}
	next := *p
	next.seq, next.hash, next.at = r.Seq, hash, r.Time
	switch {
	case r.Segment != 0:
		if r.After != p.hash.String() || r.Key != keyText(p.key) {
			return r, errors.New("it does not follow the segment before")
		}
		next.again = nil // a segment begins when the key of the next seal is safe
	case r.Seal != "":
		if err := next.sealed(p.hash, r, text); err != nil {
			return r, err
		}
	}
	*p = next
	return r, nil
}

func (p *place) sealed(before Hash, r record, text []byte) error {
	by, err := readKey(r.Seal)
	if err != nil {
		return err
	}
	if !by.Equal(p.key) && (p.again == nil || !by.Equal(p.again)) {
		return errors.New("it is sealed with a key that no seal before it named")
	}
	cut := bytes.LastIndex(text, []byte(beforeSig))
	sig, err := base64.RawURLEncoding.Strict().DecodeString(r.Sig)
	if err != nil || cut < 0 || !ed25519.Verify(by, signed(before, text[:cut]), sig) {
		return errors.New("its signature is wrong")
	}
	next, err := readKey(r.Next)
	if err != nil {
		return err
	}
	p.key, p.again, p.seal = next, by, r.Seq
	return nil
}

// shorten cuts what somebody made long, at the end of a character.
func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	cut := most - len("…")
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// short is the event with no field longer than a line may have.
func (e Event) short() Event {
	e.Person, e.Device, e.Door = shorten(e.Person, maxField), shorten(e.Device, maxField), shorten(e.Door, maxField)
	e.Addr, e.Route, e.Detail = shorten(e.Addr, maxField), shorten(e.Route, maxField), shorten(e.Detail, maxDetail)
	return e
}
