package checks

import (
	"net/netip"
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func wireguardAllowedIPs() audit.Check {
	return audit.Check{
		ID: "wg.allowed-ips", Title: "Every device in the VPN has one address of its own", Severity: finding.High,
		Why:       "A device that may use a whole network can pass for any other in it; and where two overlap, the last silently takes the other's place.",
		Fix:       "Give every peer of the server its own address with /32 (IPv6: /128); 0.0.0.0/0 belongs on the side of the telephone only.",
		Reference: []string{"wg(8): AllowedIPs"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			verdict := judgeWireGuard(h, func(all []facts.WireGuard) any {
				networks := []string{}
				for _, w := range all {
					for _, p := range w.Peers {
						if w.Server() {
							for _, a := range p.Allowed[:min(len(p.Allowed), 100)] {
								networks = append(networks, a.String())
							}
						}
					}
				}
				return networks
			}, func(all []facts.WireGuard) (bad []finding.Evidence, err error) {
				for _, w := range all {
					if !w.Server() {
						continue
					}
					var seen []netip.Prefix
					for _, p := range w.Peers {
						for n, a := range p.Allowed {
							overlaps := len(seen) < 2000 && slices.ContainsFunc(seen, a.Overlaps)
							// A peer that has an address outside may be the router of another house.
							if a.Bits() == 0 || !a.IsSingleIP() && p.Endpoint == "" || overlaps {
								say := a.String()
								if overlaps {
									say += ", which another peer has too"
								}
								bad = append(bad, audit.At(w.File, p.AllowedAt[n], say))
							}
						}
						seen = append(seen, p.Allowed...)
					}
				}
				return bad, nil
			})
			if all, err := h.WireGuards(); err == nil && verdict.Result == finding.Pass && !slices.ContainsFunc(all, facts.WireGuard.Server) {
				return audit.NotApplicable("this machine is not the server of a VPN")
			}
			return verdict
		},
		ByHand: "Which address each device has is yours to say, and its own side has to agree.",
	}
}
