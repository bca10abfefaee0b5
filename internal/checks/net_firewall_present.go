package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func netFirewallPresent() audit.Check {
	return audit.Check{
		ID: "net.firewall-present", Title: "A firewall keeps out what no rule lets in", Severity: finding.High,
		Why:       "Without a firewall every program that opens a port is open to the whole network at once, also one that an update brings along.",
		Fix:       "Set up one firewall that drops by default what comes in, for IPv4 and IPv6, and lets in what you use: with ufw, allow SSH first, then ufw default deny incoming and ufw enable.",
		Reference: []string{"CIS Debian 12 4.2.1", "CIS Debian 12 4.3.8", "CIS RHEL 9 4.1.2", "Securing Debian Manual 5.14"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			b, err := firewalls(h)
			if err != nil {
				return audit.Unknown(err)
			}
			if len(b.managers) == 0 {
				all, _ := h.Firewalls()
				evidence := []finding.Evidence{audit.At("/etc/nftables.conf", 0, "no firewall is loaded at boot")}
				for n, f := range all {
					if n == 0 {
						evidence = nil
					}
					evidence = append(evidence, audit.At(f.File, f.Line, f.Name+" is there, but not loaded at boot"))
				}
				return audit.Fail(b.names(), evidence...)
			}
			var evidence []finding.Evidence
			if !b.v4.Denies {
				evidence = append(evidence, audit.At(b.v4.File, b.v4.Line, "IPv4: what no rule names is let in"))
			}
			if !b.v6.Denies && !withoutIPv6(h) {
				evidence = append(evidence, audit.At(b.v6.File, b.v6.Line, "IPv6: what no rule names is let in"))
			}
			return audit.PassIf(len(evidence) == 0, b.names(), evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  firewallRepair,
	}
}
