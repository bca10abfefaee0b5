package checks

import (
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func wireguardPSK() audit.Check {
	return audit.Check{
		ID: "wg.psk", Title: "Every device in the VPN has a second, shared key", Severity: finding.Info,
		Why:       "What is recorded today could be read one day by a quantum computer; a pre-shared key for every device prevents that.",
		Fix:       "Make a key with wg genpsk for every peer and put it as PresharedKey into both sides at the same time.",
		Reference: []string{"wg(8): PresharedKey"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			with, peers := 0, 0
			verdict := judgeWireGuard(h, func([]facts.WireGuard) any { return fmt.Sprintf("%d of %d", with, peers) }, func(all []facts.WireGuard) (bad []finding.Evidence, err error) {
				for _, w := range all {
					for _, p := range w.Peers {
						peers++
						if p.Shared {
							with++
						} else {
							bad = append(bad, audit.At(w.File, p.Line, shortKey(p.PublicKey)))
						}
					}
				}
				return bad, nil
			})
			if verdict.Result == finding.Pass && peers == 0 {
				return audit.NotApplicable("the VPN has no peers")
			}
			return verdict
		},
	}
}
