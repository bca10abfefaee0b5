package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func torAnonMode() audit.Check {
	return audit.Check{
		ID: "tor.anon-mode", Title: "The onion service hides where the house is", Severity: finding.Med,
		Why:       "With a single hop Tor tells others on the way where your house is: exactly what an onion service is there to hide.",
		Fix:       "Take HiddenServiceNonAnonymousMode and HiddenServiceSingleHopMode out of torrc.",
		Reference: []string{"tor(1): HiddenServiceSingleHopMode, HiddenServiceNonAnonymousMode"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeOnions(h, func(t facts.Tor) audit.Verdict {
				var bad []facts.Directive
				explicit := false
				for _, name := range []string{"hiddenservicenonanonymousmode", "hiddenservicesinglehopmode"} {
					on, d, said := torSwitch(t, name)
					explicit = explicit || said
					if on {
						bad = append(bad, d)
					}
				}
				return audit.PassIf(len(bad) == 0, map[bool]string{true: "hidden", false: "single hop"}[len(bad) == 0], torLines(bad...)...).Explicitly(explicit)
			})
		},
		Profile: audit.ProfileHome,
		Repair:  torRepairHidden(),
	}
}
