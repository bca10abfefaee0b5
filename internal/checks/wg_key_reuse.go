package checks

import (
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func wireguardKeyReuse() audit.Check {
	return audit.Check{
		ID: "wg.key-reuse", Title: "Every key of the VPN is used once, and none is out of a manual", Severity: finding.Crit,
		Why:       "A key that two devices share cannot be taken from one of them, and a key that stands in a manual is known to everybody.",
		Fix:       "Make a key of its own for every interface and every device (wg genkey), and replace the other half on the other side.",
		Reference: []string{"wg(8)", "wg-quick(8)", "WireGuard whitepaper 5.4"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeWireGuard(h, func(all []facts.WireGuard) any { return len(all) }, func(all []facts.WireGuard) (bad []finding.Evidence, err error) {
				const zero = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
				// The public halves of the keys in wg(8), in wg-quick(8), and on WireGuard's
				// page of ideas.
				known := []string{zero, "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=", "gN65BkIKy1eCE9pP1wdc8ROUtkHLF2PfAqYdyYBz6EA=",
					"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=",
					"cL9S5KV5wAy/AsKyYct3qz9BHxe5FYqxlb/eDthF/VY=", "GtL7fZc/bLnqZldpVofMCD6hDjrK28SsdLxevJ+qtKU="}
				own := map[string]bool{}
				for _, w := range all {
					switch {
					case w.ZeroKey:
						bad = append(bad, audit.At(w.File, w.KeyLine, "a private key of zeros"))
					case slices.Contains(known, w.PublicKey):
						bad = append(bad, audit.At(w.File, w.KeyLine, "a private key out of a manual"))
					case own[w.PublicKey]:
						bad = append(bad, audit.At(w.File, w.KeyLine, "a private key that another interface has too"))
					}
					own[w.PublicKey] = w.PublicKey != ""
				}
				for _, w := range all {
					peers := map[string]bool{}
					for _, p := range w.Peers {
						switch {
						case p.PublicKey == "":
						case slices.Contains(known, p.PublicKey):
							bad = append(bad, audit.At(w.File, p.KeyLine, shortKey(p.PublicKey)+" is out of a manual"))
						case peers[p.PublicKey]:
							bad = append(bad, audit.At(w.File, p.KeyLine, shortKey(p.PublicKey)+" is a peer twice"))
						case p.PublicKey == w.PublicKey:
							bad = append(bad, audit.At(w.File, p.KeyLine, shortKey(p.PublicKey)+" is this machine's own"))
						}
						peers[p.PublicKey] = true
					}
				}
				return bad, nil
			})
		},
		ByHand: "A new key has to be brought to the device that has the other half.",
	}
}
