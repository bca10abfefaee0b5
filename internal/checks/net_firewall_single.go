package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func netFirewallSingle() audit.Check {
	return audit.Check{
		ID: "net.firewall-single", Title: "Only one program looks after the firewall", Severity: finding.Med,
		Why:       "Two managers overwrite each other's rules, and after the next start it is chance which of them hold.",
		Fix:       "Keep one of them and disable the others (systemctl disable --now), then look at what is loaded with nft list ruleset.",
		Reference: []string{"CIS Debian 12 4.1.1", "CIS Debian 12 4.2.2", "CIS RHEL 9 4.1.2"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			b, err := firewalls(h)
			if err != nil {
				return audit.Unknown(err)
			}
			if len(b.managers) == 0 {
				return audit.NotApplicable("no firewall is set up (net.firewall-present)")
			}
			var evidence []finding.Evidence
			for _, f := range b.managers {
				evidence = append(evidence, audit.At(f.File, f.Line, f.Name))
			}
			return audit.PassIf(len(b.managers) == 1, b.names(), evidence...)
		},
		ByHand: "Which of the two holds the rules that you want only you know.",
	}
}
