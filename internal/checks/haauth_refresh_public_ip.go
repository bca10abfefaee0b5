package checks

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haAuthPublicIP() audit.Check {
	return audit.Check{
		ID: "haauth.refresh-public-ip", Title: "No sign-in was last used from an address on the Internet", Severity: finding.High,
		Why:       "A sign-in that comes from outside is yours on the road, or somebody else's who has your token. Only you can tell which.",
		Fix:       "Look at each: the address of your phone's provider is fine and may be waived; delete what you do not know under profile, Security, Refresh tokens.",
		Reference: []string{"HA docs: authentication, refresh tokens"},
		Needs:     audit.NeedHA,
		Judge: haAuth(func(h *facts.Host, a facts.HAAuth) audit.Verdict {
			var addrs []string
			var evidence []finding.Evidence
			for _, t := range a.Tokens {
				if t.LastIP == "" || t.Type == "system" {
					continue
				}
				addr, err := netip.ParseAddr(t.LastIP)
				if err != nil {
					return audit.Unknown(fmt.Errorf("%s:%d: the address of its last use is none", h.HAPath(".storage/auth"), t.Line))
				}
				if addr = addr.Unmap().WithZone(""); !haPublicAddress(addr) {
					continue
				}
				if !slices.Contains(addrs, addr.String()) {
					addrs = append(addrs, addr.String())
				}
				evidence = append(evidence, haAtAuth(h, t.Line, fmt.Sprintf("%s from %s on %s", a.User(t.UserID).Name, addr, t.LastUsed.Format(time.DateOnly))))
			}
			return audit.PassIf(len(evidence) == 0, addrs, evidence...)
		}),
		ByHand: "Only you can tell your phone on the road from somebody else.",
	}
}

// haPublicAddress reports whether an address is somebody's on the Internet: not of a home, a
// carrier's inside, or set aside for trials between networks.
func haPublicAddress(addr netip.Addr) bool {
	for _, p := range []string{"100.64.0.0/10", "198.18.0.0/15", "fec0::/10"} {
		if netip.MustParsePrefix(p).Contains(addr) {
			return false
		}
	}
	return addr.IsGlobalUnicast() && !addr.IsPrivate()
}
