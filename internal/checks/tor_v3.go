package checks

import (
	"errors"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func torV3() audit.Check {
	return audit.Check{
		ID: "tor.v3", Title: "The onion services are of version 3", Severity: finding.Med,
		Why:       "Addresses of version 2 were short enough to be guessed and listed; nothing answers to them any more, and their keys are left over.",
		Fix:       "Take HiddenServiceVersion 2 out of torrc and remove the old folder with its private_key.",
		Reference: []string{"tor(1): HiddenServiceVersion", "rend-spec-v3"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeOnions(h, func(t facts.Tor) audit.Verdict {
				var bad []finding.Evidence
				var errs []error
				explicit := false
				for _, s := range t.Services {
					if d, ok := s.Last("hiddenserviceversion"); ok {
						explicit = true
						if d.Arg(0) != "3" {
							bad = append(bad, torLines(d)...)
						}
					}
					name := s.Path() + "/hostname"
					text, err := h.Text(name)
					if err == nil && len(text.Lines) > 0 && len(strings.TrimSuffix(strings.TrimSpace(text.Lines[0]), ".onion")) == 16 {
						bad = append(bad, audit.At(name, 1, "an address of 16 characters"))
					} else if err != nil && !proxyMissing(err) {
						errs = append(errs, err)
					}
					old := s.Path() + "/private_key"
					if there, err := h.Exists(old); err == nil && there {
						bad = append(bad, audit.At(old, 0, "a key of version 2"))
					} else if err != nil {
						errs = append(errs, err)
					}
				}
				if len(bad) == 0 && len(errs) > 0 {
					return audit.Unknown(errors.Join(errs...))
				}
				return audit.PassIf(len(bad) == 0, map[bool]int{true: 3, false: 2}[len(bad) == 0], bad...).Explicitly(explicit)
			})
		},
		Profile: audit.ProfileHome,
		Repair:  torRepairV3(),
	}
}
