package guard

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what is kept of names and words, in bytes.
const (
	maxAccount = 256 // of an account that is counted
	maxNote    = 48  // of each word of a Note
	maxWhy     = 256 // of a reason
)

// key is what an address is counted as, and the longer and shorter prefixes that
// are counted beside it: an IPv4 address, or an IPv6 /64, /56 or /48.
type key struct {
	hi   uint64 // the IPv4 address, or the first half of an IPv6 address, masked
	bits uint8  // 32, 64, 56 or 48; no IPv6 prefix of 32 bits is counted
}

// plain returns an address without a zone, and IPv4 as IPv4.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// keyOf returns what a plain, valid address is counted as.
func keyOf(addr netip.Addr) key {
	if addr.Is4() {
		four := addr.As4()
		return key{uint64(binary.BigEndian.Uint32(four[:])), 32}
	}
	sixteen := addr.As16()
	return key{binary.BigEndian.Uint64(sixteen[:8]), 64}
}

// keyFrom returns the key that a prefix is; false if none is counted as that.
func keyFrom(p netip.Prefix) (key, bool) {
	p, err := tidy(p)
	if err != nil {
		return key{}, false
	}
	k := keyOf(p.Addr())
	switch {
	case p.Addr().Is4() && p.Bits() == 32:
		return k, true
	case p.Addr().Is6() && (p.Bits() == 64 || p.Bits() == 56 || p.Bits() == 48):
		return k.within(uint8(p.Bits())), true
	}
	return key{}, false
}

// within returns the shorter prefix of an IPv6 key.
func (k key) within(bits uint8) key {
	return key{k.hi &^ (1<<(64-bits) - 1), bits}
}

// prefix returns the key as a prefix.
func (k key) prefix() netip.Prefix {
	if k.bits == 32 {
		var four [4]byte
		binary.BigEndian.PutUint32(four[:], uint32(k.hi))
		return netip.PrefixFrom(netip.AddrFrom4(four), 32)
	}
	var sixteen [16]byte
	binary.BigEndian.PutUint64(sixteen[:8], k.hi)
	return netip.PrefixFrom(netip.AddrFrom16(sixteen), int(k.bits))
}

// isWide reports whether a key is a prefix to which a ban grew.
func (k key) isWide() bool { return k.bits == 56 || k.bits == 48 }

// isLoopback reports whether a key is of addresses of this machine to itself.
func (k key) isLoopback() bool {
	return k.bits == 32 && k.hi>>24 == 127 || k.bits == 64 && k.hi == 0
}

// isRouted reports whether the Internet routes the addresses of a key.
func (k key) isRouted() bool {
	addr := k.prefix().Addr()
	shared := k.bits == 32 && k.hi>>22 == (100<<2|1) // 100.64.0.0/10, of a provider's own NAT
	return addr.IsGlobalUnicast() && !addr.IsPrivate() && !k.isLoopback() && !shared
}

// Network returns what an address is counted as: itself if it is IPv4 (also mapped
// into IPv6), otherwise its /64. The zero Prefix where there is no address.
func Network(addr netip.Addr) netip.Prefix {
	if !addr.IsValid() {
		return netip.Prefix{}
	}
	return keyOf(plain(addr)).prefix()
}

// Source returns the first address of its Network.
func Source(addr netip.Addr) netip.Addr { return Network(addr).Addr() }

// named returns what an account is counted as.
func named(account string) string {
	return strings.ToLower(strings.TrimSpace(clean(account, maxAccount)))
}

// clean returns at most max bytes of a text, without anything that is not shown as
// a character, and sharing no memory with it.
func clean(text string, max int) string {
	var b strings.Builder
	for _, r := range text {
		if b.Len()+utf8.RuneLen(r) > max {
			break
		}
		if r != utf8.RuneError && unicode.IsPrint(r) {
			b.WriteRune(r)
		}
	}
	return b.String()
}
