package event

import (
	"fmt"
	"hash/maphash"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

// What strangers cause is limited before it is written anywhere, so that nobody can
// fill the disk, nor push out of the log what happened before. Of each kind a source
// (an IPv4 address, or an IPv6 network of 64 bits) gets ten lines and then one a minute,
// and all sources together sixty and then ten a minute; all kinds together get two
// hundred and then twenty a minute. That is about 10 MB a day at the very worst. What is
// held back is counted, and said in one line a minute and kind.
//
// What is done by the owner or by a known device is never held back; but a device that
// is refused over and over, because a dashboard of its own is broken, gets one line a
// second.
//
// Buckets are found by hashing and have no names: there are as many as there are, and
// sources that meet in one share it. So memory is fixed, whoever comes.
const (
	sourceBuckets = 1024 // of each kind; a power of two
	seenBits      = 1 << 16
)

var (
	limitSource = rate{burst: 10, every: time.Minute}
	limitKind   = rate{burst: 60, every: time.Minute / 10}
	limitAll    = rate{burst: 200, every: time.Minute / 20}
	limitDevice = rate{burst: 60, every: time.Second}
)

// rate is how much a bucket lets through: burst at once, then one in every time.
type rate struct {
	burst int
	every time.Duration
}

// bucket is the time, on the limiter's clock, at which it will be full again.
type bucket time.Duration

// has reports whether there is one left.
func (b bucket) has(now time.Duration, r rate) bool {
	return time.Duration(b) <= now+time.Duration(r.burst-1)*r.every
}

// take takes one that is there.
func (b *bucket) take(now time.Duration, r rate) { *b = bucket(max(time.Duration(*b), now) + r.every) }

// limiter says which events are taken down. It is safe for concurrent use.
type limiter struct {
	start time.Time
	seed  maphash.Seed

	mu    sync.Mutex
	all   bucket
	kinds map[Kind]*limited // every kind that strangers cause
}

// limited is one kind.
type limited struct {
	all     bucket
	sources [sourceBuckets]bucket
	held    uint64                // since it was last said
	total   uint64                // ever
	seen    [seenBits / 64]uint64 // which sources were held back, by their hashes
	known   bool                  // one of them was a known device
}

func newLimiter() *limiter {
	l := &limiter{start: time.Now(), seed: maphash.MakeSeed(), kinds: make(map[Kind]*limited)}
	for _, k := range Kinds() {
		if k.ByStrangers() {
			l.kinds[k] = &limited{}
		}
	}
	return l
}

// lets reports whether an event is taken down; one that is not is counted.
func (l *limiter) lets(e *Event) bool {
	k := l.kinds[e.Kind]
	if k == nil || e.Owner || e.Device != "" && e.Kind != Refused {
		return true
	}
	hash := l.hash(e)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Since(l.start)
	source := &k.sources[hash%sourceBuckets]
	if e.Device != "" {
		if source.has(now, limitDevice) {
			source.take(now, limitDevice)
			return true
		}
		k.known = true
	} else if source.has(now, limitSource) && k.all.has(now, limitKind) && l.all.has(now, limitAll) {
		source.take(now, limitSource)
		k.all.take(now, limitKind)
		l.all.take(now, limitAll)
		return true
	}
	k.held++
	k.total++
	bit := hash / sourceBuckets % seenBits
	k.seen[bit/64] |= 1 << (bit % 64)
	return false
}

// hash tells sources apart.
func (l *limiter) hash(e *Event) uint64 {
	if e.Device != "" {
		return maphash.String(l.seed, e.Device)
	}
	addr := e.Source
	if !addr.IsValid() {
		var err error
		if addr, err = netip.ParseAddr(e.Addr); err != nil {
			p, _ := netip.ParsePrefix(e.Addr) // what is neither is one source
			addr = p.Addr()
		}
	}
	bytes := addr.Unmap().As16()
	if addr.Is6() && !addr.Is4In6() {
		clear(bytes[8:])
	}
	return maphash.Bytes(l.seed, bytes[:])
}

// summaries says what was held back since it was last asked, one event a kind, in the
// order of Kinds.
func (l *limiter) summaries() (said []Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range Kinds() {
		k := l.kinds[name]
		if k == nil || k.held == 0 {
			continue
		}
		said = append(said, Event{Time: time.Now(), Kind: name, More: k.held,
			Detail: fmt.Sprintf("and %s more from %s", thousands(k.held), k.sourcesHeld())})
		k.held, k.known = 0, false
		clear(k.seen[:])
	}
	return said
}

// heldBack returns how many events of each kind were not taken down, ever.
func (l *limiter) heldBack() map[Kind]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := make(map[Kind]uint64, len(l.kinds))
	for name, k := range l.kinds {
		held[name] = k.total
	}
	return held
}

// sourcesHeld estimates how many sources were held back from how many bits are left
// unset (linear counting): within a percent or two up to some 300,000 of them, and
// exactly where they are few.
func (k *limited) sourcesHeld() string {
	set := 0
	for _, word := range k.seen {
		set += bits.OnesCount64(word)
	}
	what := "addresses"
	if k.known {
		what = "addresses and devices"
	}
	switch unset := seenBits - set; {
	case set == 1 && !k.known:
		return "1 address"
	case set == 1:
		return "1 device"
	case unset < seenBits/256:
		return "more than " + thousands(300_000) + " " + what
	case set > 100:
		return "about " + thousands(uint64(math.Round(-seenBits*math.Log(float64(unset)/seenBits)))) + " " + what
	default:
		return strconv.Itoa(set) + " " + what
	}
}

// thousands writes a number with commas: 12,345.
func thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	var parts []string
	for ; len(s) > 3; s = s[:len(s)-3] {
		parts = append(parts, s[len(s)-3:])
	}
	parts = append(parts, s)
	slices.Reverse(parts)
	joined := parts[0]
	for _, p := range parts[1:] {
		joined += "," + p
	}
	return joined
}
