package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func torSocks() audit.Check {
	return audit.Check{
		ID: "tor.socks", Title: "Tor takes connections from this machine only", Severity: finding.Crit,
		Why:       "An open SOCKS port is a proxy for whoever finds it, under your address, and it leads to your onion services too.",
		Fix:       "Set SocksPort 127.0.0.1:9050, or 0 where nobody needs it; the same with HTTPTunnelPort, TransPort, NATDPort and DNSPort.",
		Reference: []string{"tor(1): SocksPort, SocksPolicy"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeTor(h, func(t facts.Tor) audit.Verdict {
				var bad []facts.Directive
				ports, explicit := []string{}, false
				for _, name := range []string{"socksport", "sockslistenaddress", "httptunnelport", "transport", "natdport", "dnsport"} {
					for _, d := range t.Option(name) {
						explicit = explicit || name == "socksport"
						ports = append(ports, name+" "+d.Arg(0))
						if torOpen(d.Arg(0)) {
							bad = append(bad, d)
						}
					}
				}
				if !explicit {
					ports = append(ports, "socksport 127.0.0.1:9050")
				}
				if len(bad) > 0 && torPolicy(t) {
					bad = nil
				}
				return audit.PassIf(len(bad) == 0, ports, torLines(bad...)...).Explicitly(explicit)
			})
		},
		Profile: audit.ProfileHome,
		Repair:  torRepairSocks(),
	}
}

// torPolicy reports whether SocksPolicy refuses everybody whom it does not name.
func torPolicy(t facts.Tor) bool {
	for _, d := range t.Option("sockspolicy") {
		for _, rule := range strings.Split(strings.Join(d.Args, " "), ",") {
			switch strings.TrimSpace(rule) {
			case "reject *", "reject *:*":
				return true
			case "accept *", "accept *:*":
				return false
			}
		}
	}
	return false
}
