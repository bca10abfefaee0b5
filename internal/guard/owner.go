package guard

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// maxWords bounds how many prefixes the owner may speak of.
const maxWords = 65536

// Errors of Ban and Allow.
var (
	ErrPrefix = errors.New("not a prefix")
	ErrPast   = errors.New("ends before it begins")
	ErrFull   = errors.New("too many prefixes")
)

// word is what the owner said of a prefix: it is banned, or it is allowed.
type word struct {
	prefix  netip.Prefix
	allowed bool
	since   time.Time // on the wall clock; so is until
	until   time.Time // of a ban; zero: until it is lifted
	why     string
}

// holds reports whether a word is in force. It compares wall clocks: a day that
// the owner named comes when the calendar says so.
func (w *word) holds(now time.Time) bool {
	return w.until.IsZero() || now.Before(w.until)
}

// words are all that the owner said, found by the most specific prefix. The owner
// speaks of prefixes of few lengths, and imports mostly single addresses: so one
// map is asked once for every length in use, the longest first. That takes no
// more than a few look-ups, and needs no tree of its own. A million prefixes of
// list files are not for here but for the filter.
type words struct {
	by   map[netip.Prefix]*word
	v4   []int       // the lengths in use, longest first
	v6   []int       // likewise
	uses map[int]int // how many prefixes have a length; IPv4's are counted as negative
}

func newWords() *words {
	return &words{by: map[netip.Prefix]*word{}, uses: map[int]int{}}
}

// tidy returns a prefix as it is kept: masked, without a zone, IPv4 as IPv4.
func tidy(p netip.Prefix) (netip.Prefix, error) {
	addr, bits := p.Addr().WithZone(""), p.Bits()
	if !p.IsValid() {
		return netip.Prefix{}, ErrPrefix
	}
	if addr.Is4In6() {
		if bits < 96 {
			return netip.Prefix{}, fmt.Errorf("%v: %w of IPv4 or IPv6", p, ErrPrefix)
		}
		addr, bits = addr.Unmap(), bits-96
	}
	return netip.PrefixFrom(addr, bits).Masked(), nil
}

// say keeps a word. An earlier one of the same prefix is gone: the later word holds.
func (ws *words) say(w word) error {
	if ws.by[w.prefix] == nil {
		if len(ws.by) >= maxWords {
			return ErrFull
		}
		ws.use(w.prefix, 1)
	}
	ws.by[w.prefix] = &w
	return nil
}

// drop forgets a word; false if there is none.
func (ws *words) drop(p netip.Prefix) bool {
	if ws.by[p] == nil {
		return false
	}
	delete(ws.by, p)
	ws.use(p, -1)
	return true
}

// use counts a length, and lists the lengths anew where one comes or goes.
func (ws *words) use(p netip.Prefix, n int) {
	length, list := p.Bits(), &ws.v6
	if p.Addr().Is4() {
		length, list = -1-p.Bits(), &ws.v4
	}
	ws.uses[length] += n
	at, listed := slices.BinarySearchFunc(*list, p.Bits(), func(a, b int) int { return cmp.Compare(b, a) })
	switch {
	case ws.uses[length] > 0 && !listed:
		*list = slices.Insert(*list, at, p.Bits())
	case ws.uses[length] <= 0 && listed:
		*list = slices.Delete(*list, at, at+1)
	}
}

// of returns the word that holds for an address: that of the most specific prefix
// that is in force. nil if there is none. addr is unmapped and has no zone.
func (ws *words) of(addr netip.Addr, now time.Time) *word {
	lengths := ws.v6
	if addr.Is4() {
		lengths = ws.v4
	}
	for _, bits := range lengths {
		p, err := addr.Prefix(bits)
		if err != nil {
			return nil
		}
		if w := ws.by[p]; w != nil && w.holds(now) {
			return w
		}
	}
	return nil
}

// all returns the words that a prefix covers or is covered by, in order of the prefix.
func (ws *words) all(p netip.Prefix) (found []*word) {
	for q, w := range ws.by {
		if q.Overlaps(p) {
			found = append(found, w)
		}
	}
	slices.SortFunc(found, func(a, b *word) int { return a.prefix.Compare(b.prefix) })
	return found
}
