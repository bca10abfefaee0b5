package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"gatehouse/internal/nft"
)

// Bounds of what is asked about bans. A question holds at most MaxBans networks; what one
// costs is counted in networks, and refilled every second.
const (
	MaxBans    = 1000
	maxBanBody = 128 << 10
	listCosts  = MaxBans // as much as the largest question: the kernel reads all it has
	askCosts   = 10      // of every question
	budget     = 20 * MaxBans
	aSecond    = MaxBans
)

// Drops is the kernel's packet filter, as the agent changes it (nft.Table).
type Drops interface {
	Ban(bans []nft.Ban) error
	Unban(prefixes []netip.Prefix) error
	Bans() ([]nft.Ban, error)
}

// Bans has the kernel drop new connections to the doors from who is banned. Whoever asks faces
// strangers, and may be one of them: so it is told networks and times alone, and what could
// shut out the people of the house is refused. Whoever holds the gateway can have public
// addresses, at most a /48 at once, not reach the doors for a while; nothing else.
type Bans struct {
	Drops Drops
	// Own are the addresses of this machine, each with the network around it.
	Own func() ([]netip.Prefix, error)
	// Allow are networks that are never dropped, by root's configuration.
	Allow []netip.Prefix
	Now   func() time.Time // the clock; time.Now

	mu    sync.Mutex // held while something is changed: the kernel is asked one thing at a time
	left  float64    // of the budget
	at    time.Time
	ended bool
}

// End has nothing dropped any more from here on, and waits for what has begun.
func (b *Bans) End() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
}

// BanWish is what the gateway wants dropped, each for so many seconds from now.
type BanWish struct {
	Bans []Ban `json:"bans"`
}

// Ban is a network and for how long it is dropped, or is to be.
type Ban struct {
	Prefix  netip.Prefix `json:"prefix"`
	Seconds int64        `json:"seconds"`
}

// UnbanWish is what the gateway listens to again.
type UnbanWish struct {
	Prefixes []netip.Prefix `json:"prefixes"`
}

// nothing is a question that says nothing.
type nothing struct{}

// Refusal is a network that the agent does not drop, and why. The others are.
type Refusal struct {
	Prefix netip.Prefix `json:"prefix"`
	Why    string       `json:"why"`
}

var (
	errOften = errors.New("too much is asked: wait a moment")
	errMany  = fmt.Errorf("more than %d networks at once", MaxBans)
	errOff   = errors.New(`nothing is dropped in the kernel: root's configuration does not say [guard] offload = "nftables", or the agent has not read it since`)
)

func (b *Bans) ban(_ context.Context, w BanWish) (Answer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.pay(len(w.Bans), askCosts); err != nil {
		return Answer{}, err
	}
	own, err := b.Own()
	if err != nil {
		return Answer{}, fmt.Errorf("nothing is dropped while this machine's own addresses cannot be read: %w", err)
	}
	var answer Answer
	var bans []nft.Ban
	for _, x := range w.Bans {
		if why := b.refuses(x, own); why != "" {
			answer.Refused = append(answer.Refused, Refusal{x.Prefix, why})
			continue
		}
		bans = append(bans, nft.Ban{Prefix: x.Prefix, Left: time.Duration(x.Seconds) * time.Second})
	}
	return answer, b.Drops.Ban(bans)
}

func (b *Bans) unban(_ context.Context, w UnbanWish) (Answer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.pay(len(w.Prefixes), askCosts); err != nil {
		return Answer{}, err
	}
	return Answer{}, b.Drops.Unban(w.Prefixes)
}

func (b *Bans) bans(context.Context, nothing) (Answer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.pay(0, listCosts); err != nil {
		return Answer{}, err
	}
	all, err := b.Drops.Bans()
	answer := Answer{Bans: []Ban{}}
	for _, x := range all {
		answer.Bans = append(answer.Bans, Ban{x.Prefix, int64(x.Left / time.Second)})
	}
	return answer, err
}

// pay takes what a question costs from the budget. mu is held.
func (b *Bans) pay(networks, more int) error {
	switch {
	case b.ended:
		return errOff
	case networks > MaxBans:
		return errMany
	}
	now := b.Now()
	b.left = min(budget, b.left+max(0, now.Sub(b.at).Seconds())*aSecond)
	if b.at.IsZero() {
		b.left = budget
	}
	b.at = now
	cost := float64(networks + more)
	if b.left < cost {
		return errOften
	}
	b.left -= cost
	return nil
}

// refuses says why a network is not dropped, or nothing. own is what Own returned.
func (b *Bans) refuses(x Ban, own []netip.Prefix) string {
	switch {
	case !nft.Takes(x.Prefix):
		return "it is neither an IPv4 address nor an IPv6 address or network of /64, /56 or /48"
	case x.Seconds < 1 || x.Seconds > int64(nft.Longest/time.Second):
		return "it is for less than a second or for more than 7 days"
	case !isPublic(x.Prefix):
		return "it is no public address of the Internet"
	case overlaps(x.Prefix, widened(own)):
		return "it is this machine's own, or beside it"
	case overlaps(x.Prefix, b.Allow):
		return "the configuration allows it"
	}
	return ""
}

// site is the longest prefix that a provider gives to one home: what is within ours can be
// our own, in a part of the house that this machine does not see.
const site = 48

// widened are networks, those of public IPv6 addresses with all of the site around them.
func widened(own []netip.Prefix) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range own {
		addr := p.Addr().Unmap().WithZone("")
		bits := min(p.Bits(), addr.BitLen())
		if addr.Is6() && global.Contains(addr) {
			bits = min(bits, site)
		}
		all = append(all, netip.PrefixFrom(addr, bits).Masked())
	}
	return all
}

func overlaps(p netip.Prefix, all []netip.Prefix) bool {
	for _, q := range all {
		if p.Overlaps(q) {
			return true
		}
	}
	return false
}

// global is all of IPv6 that the Internet routes (RFC 4291, IANA's registry).
var global = netip.MustParsePrefix("2000::/3")

// special are the addresses of IPv4 from which nothing comes over the Internet, or nothing
// that says who sent it (RFC 6890). Those kept for examples are like others: nobody has them.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // a provider's, behind which many are
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("224.0.0.0/3"),
}

// isPublic reports whether all of a network is the Internet's.
func isPublic(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return !overlaps(p, special)
	}
	return global.Contains(p.Addr()) && p.Bits() >= global.Bits()
}
