package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func netFirewallLoopback() audit.Check {
	return audit.Check{
		ID: "net.firewall-loopback", Title: "The firewall lets the machine talk to itself, and nobody else pretend to be it", Severity: finding.Low,
		Why:       "Programs trust what comes from 127.0.0.1; a packet from outside that claims to come from there has to be dropped.",
		Fix:       "Accept what comes in over lo, and after that drop what comes from 127.0.0.0/8 (nftables: iif lo accept; ip saddr 127.0.0.0/8 drop).",
		Reference: []string{"CIS Debian 12 4.2.4", "CIS Debian 12 4.3.6"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			b, err := firewalls(h)
			if err != nil {
				return audit.Unknown(err)
			}
			var evidence []finding.Evidence
			seen := false
			for _, f := range b.managers {
				if !f.V4.Denies {
					continue
				}
				seen = true
				if !f.V4.Loopback {
					evidence = append(evidence, audit.At(f.V4.File, f.V4.Line, f.Name+": no rule accepts lo"))
				}
				if !f.AntiSpoof {
					evidence = append(evidence, audit.At(f.V4.File, f.V4.Line, f.Name+": no rule drops a foreign 127.0.0.0/8"))
				}
			}
			if !seen {
				return audit.NotApplicable("no firewall denies anything (net.firewall-present)")
			}
			return audit.PassIf(len(evidence) == 0, b.names(), evidence...)
		},
	}
}
