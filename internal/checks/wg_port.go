package checks

import (
	"fmt"
	"strconv"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func wireguardPort() audit.Check {
	return audit.Check{
		ID: "wg.port", Title: "The firewall lets the VPN in, and not everything else beside it", Severity: finding.Med,
		Why:       "A VPN is the one door that has to be open to the Internet. If everything else is open beside it, nobody needs it; if it is closed, nobody gets in from outside.",
		Fix:       "Let in UDP on the VPN's port and refuse what no rule names: in nftables udp dport 51820 accept and policy drop, with ufw: ufw allow 51820/udp and ufw default deny incoming.",
		Reference: []string{"wg(8): ListenPort", "nft(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			all, err := h.WireGuards()
			ports, said := map[int]facts.WireGuard{}, []string{}
			for _, w := range all {
				port, perr := strconv.Atoi(w.Port)
				if w.Server() && perr == nil && port > 0 {
					ports[port] = w
					said = append(said, w.Port)
				}
			}
			switch {
			case err != nil:
				return audit.Unknown(err)
			case len(ports) == 0:
				return audit.NotApplicable("no WireGuard waits for peers here")
			}
			b, err := firewalls(h)
			if err != nil {
				return audit.Unknown(err)
			}
			var bad []finding.Evidence
			for port, w := range ports {
				at := func(text string) {
					bad = append(bad, audit.At(w.File, w.PortLine, fmt.Sprintf("port %d: %s", port, text)))
				}
				switch {
				case len(b.managers) == 0:
					at("no firewall is loaded at boot, so everything else is open beside it")
				case !b.v4.Denies:
					at("what no rule names is let in, too")
				case !b.v6.Denies && !withoutIPv6(h):
					at("over IPv6, what no rule names is let in, too")
				default:
					if _, open := b.v4.Admits("udp", port); !open {
						if _, open = b.v6.Admits("udp", port); !open || withoutIPv6(h) {
							at("no rule lets it in")
						}
					}
				}
			}
			return audit.PassIf(len(bad) == 0, said, bad...)
		},
	}
}
