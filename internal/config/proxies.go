package config

import "net/netip"

// The widest networks that proxies may be in, in bits: whoever is in one may say that they
// come from anywhere.
const (
	widest4 = 8
	widest6 = 16
)

// proxies checks what a door's keys say of the proxies in front of it.
func (k *checker) proxies(door string, protocol bool, trusted []string) {
	key := door + ".trusted_proxies"
	const hint = `they look like "192.168.1.5" or "10.0.3.0/24"; whoever is there may say that they come from anywhere`
	if protocol && len(trusted) == 0 {
		k.say(door+".proxy_protocol", "name the proxy's address there", "needs %s: nobody else may connect then", key)
	}
	for _, t := range trusted {
		p, err := ParsePrefix(t)
		switch {
		case err != nil:
			k.say(key, hint, "has %q, which %s", t, err)
		case p.Addr().Is4() && p.Bits() < widest4, p.Addr().Is6() && p.Bits() < widest6:
			k.say(key, hint, "has %q, which is much of the Internet", t)
		case p.Addr().IsUnspecified(), p.Addr().IsMulticast():
			k.say(key, hint, "has %q, from where nobody connects", t)
		}
	}
}

// ProxyNetworks are the networks of a list of trusted proxies that Parse has taken.
func ProxyNetworks(trusted []string) (networks []netip.Prefix) {
	for _, t := range trusted {
		if p, err := ParsePrefix(t); err == nil {
			networks = append(networks, p)
		}
	}
	return networks
}
