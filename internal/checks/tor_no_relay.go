package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func torNoRelay() audit.Check {
	return audit.Check{
		ID: "tor.no-relay", Title: "Tor carries nobody else's traffic", Severity: finding.High,
		Why:       "A relay makes the address of your house public and draws traffic and attention to it; as an exit, strangers act under your address.",
		Fix:       "Take ORPort, ExitRelay, BridgeRelay and DirPort out of torrc; a relay belongs on a machine of its own.",
		Reference: []string{"tor(1): SERVER OPTIONS"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeTor(h, func(t facts.Tor) audit.Verdict {
				var bad []facts.Directive
				explicit := false
				for _, name := range []string{"orport", "orlistenaddress", "exitrelay", "bridgerelay", "dirport"} {
					for _, d := range t.Option(name) {
						explicit = true
						if d.Arg(0) != "0" && d.Arg(0) != "auto" || name == "orport" && d.Arg(0) == "auto" {
							bad = append(bad, d)
						}
					}
				}
				return audit.PassIf(len(bad) == 0, len(bad) > 0, torLines(bad...)...).Explicitly(explicit)
			})
		},
		Profile: audit.ProfileStrict,
		Repair:  torRepairRelay(),
	}
}
