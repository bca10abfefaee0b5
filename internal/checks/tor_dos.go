package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func torDoS() audit.Check {
	return audit.Check{
		ID: "tor.dos", Title: "The onion service makes floods expensive", Severity: finding.Low,
		Why:       "Who knows the address can keep everybody out with little effort, unless each visitor has to work for his way in when it gets crowded.",
		Fix:       "Set HiddenServicePoWDefensesEnabled 1 (Tor 0.4.8 and newer), or HiddenServiceEnableIntroDoSDefense 1, at the service.",
		Reference: []string{"tor(1): HiddenServicePoWDefensesEnabled, HiddenServiceEnableIntroDoSDefense, HiddenServiceMaxStreams"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeOnions(h, func(t facts.Tor) audit.Verdict {
				var bad []facts.Directive
				defences, explicit := []string{}, false
				for _, s := range t.Services {
					some := false
					for _, name := range []string{"hiddenservicepowdefensesenabled", "hiddenserviceenableintrodosdefense"} {
						d, ok := s.Last(name)
						explicit = explicit || ok
						if ok && d.Arg(0) == "1" {
							some = true
							defences = append(defences, d.Name)
						}
					}
					if !some {
						bad = append(bad, s.Dir)
					}
				}
				return audit.PassIf(len(bad) == 0, defences, torLines(bad...)...).Explicitly(explicit)
			})
		},
		Profile: audit.ProfileHome,
		Repair:  torRepairDoS(),
	}
}
