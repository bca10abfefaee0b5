package config

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Nftables is the value of guard.offload that has the kernel drop what banned sources send.
const Nftables = "nftables"

// ParsePrefix reads an address, which means itself, or a network like "192.168.1.0/24". Its
// error says what is wrong with it, without naming it.
func ParsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		if addr.Zone() != "" {
			return netip.Prefix{}, errors.New("names an interface: write it without %zone")
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return netip.Prefix{}, errors.New("is neither an address nor a network")
	case p.Addr().Is4In6():
		return netip.Prefix{}, errors.New("is IPv4 in IPv6 clothes: write it as IPv4")
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("has bits behind its length: the network is %s", p.Masked())
	}
	return p, nil
}

// checkGuard checks [guard].
func (c *Config) checkGuard(k *checker) {
	g := c.Guard
	if g.Threshold < 1 || g.Threshold > 100 {
		k.say("guard.threshold", "5 is a good number", "is %d; it goes from 1 to 100", g.Threshold)
	}
	k.between("guard.window", g.Window, time.Minute, 7*day)
	k.between("guard.ban", g.Ban, time.Minute, 365*day)
	k.between("guard.max_ban", g.MaxBan, time.Minute, 365*day)
	if g.MaxBan < g.Ban {
		k.say("guard.max_ban", "", "(%s) is shorter than guard.ban (%s)", g.MaxBan, g.Ban)
	}
	const hint = `it looks like "203.0.113.7" or "192.168.1.0/24"`
	for _, text := range g.Allow {
		switch p, err := ParsePrefix(text); {
		case err != nil:
			k.say("guard.allow", hint, "has %q, which %s", text, err)
		case p.Bits() == 0:
			k.say("guard.allow", hint, "has %q, which is everybody: then nobody would ever be banned", text)
		}
	}
	if g.Offload != "" && g.Offload != Nftables {
		k.say("guard.offload", `leave it out, or write "nftables"`, "is %q", g.Offload)
	}
}
