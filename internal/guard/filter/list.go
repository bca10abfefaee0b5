package filter

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net/netip"
	"strings"

	"github.com/go-json-experiment/json"
)

// Bounds of a list's file.
const (
	maxList    = 64 << 20 // bytes; three million lines and more
	maxEntries = 1 << 22  // prefixes, after ranges were taken apart
	maxLine    = 4096     // bytes; a longer line cannot be read
)

// unreadable says how many lines of a file may be unreadable for the others to be used:
// one in so many. One slip of the finger must not take a million lines away, and a page
// that says "404" must not pass for a list.
const unreadable = 10

// list is what a file holds, one entry for each prefix, in its order. Lines go along so
// that an owner can be told why: together with the prefix they take 8 bytes for IPv4.
type list struct {
	path  string
	four  []entry4
	six   []entry6
	lines int   // that hold something, the bad ones too
	bad   int   // lines that could not be read
	first error // the first of these; nil if there are none
}

// entry4 is an IPv4 prefix: its first address, and its length in the upper 6 bits and its
// line in the lower 26 of at. maxList has room for fewer lines than that.
type entry4 struct{ addr, at uint32 }

const lineBits = 26

// entry6 is an IPv6 prefix.
type entry6 struct {
	addr [16]byte
	line uint32
	bits uint8
}

// entry is a prefix and the line that it stands on.
type entry struct {
	prefix netip.Prefix
	line   int
}

func (e entry4) entry() entry {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], e.addr)
	return entry{netip.PrefixFrom(netip.AddrFrom4(a), int(e.at>>lineBits)), int(e.at & (1<<lineBits - 1))}
}

func (e entry6) entry() entry {
	return entry{netip.PrefixFrom(netip.AddrFrom16(e.addr), int(e.bits)), int(e.line)}
}

// prefixes are all prefixes of the list.
func (l *list) prefixes(yield func(netip.Prefix) bool) {
	for _, e := range l.four {
		if !yield(e.entry().prefix) {
			return
		}
	}
	for _, e := range l.six {
		if !yield(e.entry().prefix) {
			return
		}
	}
}

// find returns the most precise entry that an address is in. It reads the whole list, in
// some milliseconds: it is for explanations.
func (l *list) find(addr netip.Addr) (best entry, ok bool) {
	look := func(e entry) {
		if e.prefix.Contains(addr) && (!ok || e.prefix.Bits() > best.prefix.Bits()) {
			best, ok = e, true
		}
	}
	if addr.Is4() {
		for _, e := range l.four {
			look(e.entry())
		}
		return best, ok
	}
	for _, e := range l.six {
		look(e.entry())
	}
	return best, ok
}

func (l *list) len() int { return len(l.four) + len(l.six) }

func (l *list) add(p netip.Prefix, line int) {
	p = p.Masked()
	if a := p.Addr(); a.Is4() {
		b := a.As4()
		l.four = append(l.four, entry4{binary.BigEndian.Uint32(b[:]), uint32(p.Bits())<<lineBits | uint32(line)})
	} else {
		l.six = append(l.six, entry6{a.As16(), uint32(line), uint8(p.Bits())})
	}
}

// readList reads a list of addresses: one address, prefix or range ("1.2.3.4-1.2.3.9") a
// line, with what follows # or ; left out (FireHOL's and Spamhaus' text form), or one JSON
// document a line with a prefix under "cidr" (Spamhaus' other form).
//
// A line that is none of these is left out, counted, and said; if that is so for more than
// one line in ten, the file is none of addresses and an error. So is one with nothing in
// it, and one that ends within its first comments, which is what a download that failed
// leaves behind: a list that is empty on purpose has a comment, and that line an end.
//
// Bits beyond a prefix's length do not count, as in every firewall; but where they make
// more than a 256th of all addresses of it, somebody meant something else.
func readList(path string, r io.Reader) (*list, error) {
	l := &list{path: path}
	in := bufio.NewReaderSize(&bounded{r: r, left: maxList}, maxLine)
	if bom, err := in.Peek(3); err == nil && bytes.Equal(bom, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(3)
	}
	comments, breaksOff := false, false
	for n := 1; ; n++ {
		line, whole, err := readLine(in)
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		text := content(line)
		blank := len(bytes.TrimSpace(line)) == 0
		comments = comments || len(text) == 0 && !blank
		breaksOff = err == io.EOF && !blank
		if len(text) > 0 || blank && !whole {
			l.lines++
			said := errLong
			if whole {
				said = l.take(text, n, err == io.EOF)
			}
			if said == errMany {
				return nil, fmt.Errorf("%s:%d: %w", path, n, said)
			}
			if l.bad++; said == nil {
				l.bad--
			} else if l.first == nil {
				l.first = fmt.Errorf("%s:%d: %w", path, n, said)
			}
		}
		if err == io.EOF {
			break
		}
	}
	switch {
	case l.bad*unreadable > l.lines:
		return nil, fmt.Errorf("%w (%d of %d lines cannot be read)", l.first, l.bad, l.lines)
	case l.lines == 0 && !comments:
		return nil, fmt.Errorf("%s: is empty", path)
	case l.lines == 0 && breaksOff:
		return nil, fmt.Errorf("%s: holds no network, and breaks off in a comment", path)
	}
	return l, nil
}

var (
	errMany = fmt.Errorf("holds more than %d networks", maxEntries)
	errLong = fmt.Errorf("the line is longer than %d bytes", maxLine)
	errSize = errors.New("is too large")
)

// bounded is a reader that fails where there is more than it may read.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errSize
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, errSize
	}
	return n, err
}

// readLine returns the next line without its end; whole is false for one that is longer
// than maxLine, of which it returns the beginning. At the end of the file err is io.EOF.
func readLine(in *bufio.Reader) (line []byte, whole bool, err error) {
	line, err = in.ReadSlice('\n')
	if err != bufio.ErrBufferFull {
		return bytes.TrimSuffix(line, []byte("\n")), true, err
	}
	line = bytes.Clone(line)
	for err == bufio.ErrBufferFull {
		_, err = in.ReadSlice('\n')
	}
	return line, false, err
}

// content is what a line says: without its comment and the space around it.
func content(line []byte) []byte {
	line = bytes.TrimSpace(line)
	if len(line) > 0 && line[0] == '{' {
		return line
	}
	if i := bytes.IndexAny(line, "#;"); i >= 0 {
		line = bytes.TrimSpace(line[:i])
	}
	return line
}

// take reads the content of line n; last says that the file ends with it, without an end of
// line.
func (l *list) take(text []byte, n int, last bool) error {
	word := string(text)
	if text[0] == '{' {
		var err error
		if word, err = cidrIn(text); err != nil || word == "" {
			return err
		}
	}
	if from, to, ok := strings.Cut(word, "-"); ok {
		return l.takeRange(strings.TrimSpace(from), strings.TrimSpace(to), n)
	}
	p, err := parsePrefix(word)
	if err != nil {
		return fmt.Errorf("%s %w", quoted(word), err)
	}
	if err := plausible(p, last); err != nil {
		return fmt.Errorf("%s %w", quoted(word), err)
	}
	if l.len() >= maxEntries {
		return errMany
	}
	l.add(p, n)
	return nil
}

// plausible holds up what is probably meant otherwise. "198.51.100.0/2" is what is left
// where a download broke off in the middle of "/24", and is a quarter of the Internet.
func plausible(p netip.Prefix, last bool) error {
	const wide = 8
	switch {
	case p.Bits() == 0:
		return errors.New(`is everybody; a rule says that with "any"`)
	case p.Bits() >= wide:
		return nil
	case p != p.Masked():
		return fmt.Errorf("has bits beyond its length; the network would be %s", p.Masked())
	case last:
		return errors.New("is wide, and the file breaks off after it")
	}
	return nil
}

// quoted is a word of a file as an error shows it.
func quoted(word string) string {
	if len(word) > 60 {
		word = word[:60] + "…"
	}
	return fmt.Sprintf("%q", word)
}

// cidrIn reads a line of JSON. The line that describes the file has no prefix.
func cidrIn(text []byte) (string, error) {
	var said struct {
		CIDR string `json:"cidr"`
		Type string `json:"type"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return "", errors.New("is no JSON")
	}
	if said.CIDR == "" && said.Type != "metadata" {
		return "", errors.New(`is JSON without "cidr"`)
	}
	return said.CIDR, nil
}

// takeRange adds the prefixes that make up a range of addresses.
func (l *list) takeRange(from, to string, n int) error {
	a, errA := netip.ParseAddr(from)
	b, errB := netip.ParseAddr(to)
	said := quoted(from + "-" + to)
	if errA != nil || errB != nil || a.Zone() != "" || b.Zone() != "" {
		return fmt.Errorf("%s is no range of addresses", said)
	}
	if a, b = Normal(a), Normal(b); a.BitLen() != b.BitLen() || b.Less(a) {
		return fmt.Errorf("%s does not go from one address to a later one", said)
	}
	if wide := widest(a, b); wide.Bits() == 0 {
		return fmt.Errorf("%s %w", said, plausible(wide, false))
	}
	for {
		if l.len() >= maxEntries {
			return errMany
		}
		p := widest(a, b)
		l.add(p, n)
		end := last(p)
		if end == b {
			return nil
		}
		a = end.Next()
	}
}

// widest returns the widest prefix that begins with a and does not go beyond b.
func widest(a, b netip.Addr) netip.Prefix {
	aHigh, aLow := halves(a)
	bHigh, bLow := halves(b)
	low, borrow := bits.Sub64(bLow, aLow, 0)
	high, _ := bits.Sub64(bHigh, aHigh, borrow)
	// A prefix with n free bits begins with n zeros and has 2^n-1 addresses after its first.
	room := bits.Len64(low)
	if high != 0 {
		room = 64 + bits.Len64(high)
	}
	if bits.OnesCount64(high)+bits.OnesCount64(low) != room {
		room--
	}
	zeros := bits.TrailingZeros64(aLow)
	if aLow == 0 {
		zeros = 64 + bits.TrailingZeros64(aHigh)
	}
	return netip.PrefixFrom(a, a.BitLen()-min(room, zeros, a.BitLen()))
}

// halves returns an address as a number.
func halves(a netip.Addr) (high, low uint64) {
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

// last returns the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	free := p.Addr().BitLen() - p.Bits()
	for i := 15; free > 0; i-- {
		b[i] |= byte(0xff >> max(0, 8-free))
		free -= 8
	}
	if p.Addr().Is4() {
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return netip.AddrFrom16(b)
}
