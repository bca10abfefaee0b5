package checks

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haSecCustom() audit.Check {
	return audit.Check{
		ID: "hasec.custom-components", Title: "No custom integration is known to be dangerous, and each says what it is", Severity: finding.High,
		Why:       "Custom integrations are programs of strangers that run inside Home Assistant with all its rights. Some were found to steal tokens or to open every file to the network.",
		Fix:       "Remove those that are named here, and change the passwords and tokens that they could see; update the others.",
		Reference: []string{"CVE-2021-3152", "HA docs: custom integrations"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			if _, err := h.Stat(h.HADir); err != nil {
				return audit.Unknown(err)
			}
			all, err := h.HACustom()
			if err != nil {
				return audit.Unknown(err)
			}
			removed, err := h.HACSRemoved()
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return audit.Unknown(err)
			}
			names := []string{}
			var evidence []finding.Evidence
			for _, c := range all {
				names = append(names, c.Domain+" "+c.Version)
				if c.Unread != nil {
					return audit.Unknown(c.Unread)
				}
				if c.Version == "" {
					evidence = append(evidence, audit.At(c.File, 1, c.Domain+": does not say which version it is"))
				}
				if order, ok := facts.CompareHANumbers(c.Version, "1.10.0"); c.Domain == "hacs" && ok && order < 0 {
					evidence = append(evidence, audit.At(c.File, 1, "hacs "+c.Version+": opens every file to the network (CVE-2021-3152), closed in 1.10.0"))
				}
				for _, r := range removed {
					if r.Repository != "" && slices.Contains(c.Repositories, strings.ToLower(r.Repository)) && r.Critical {
						evidence = append(evidence, audit.At(c.File, 1, c.Domain+": HACS calls "+r.Repository+" dangerous"))
					}
				}
			}
			return audit.PassIf(len(evidence) == 0, names, evidence...)
		},
		ByHand: "What the integration does for you is lost with it, and its passwords are yours to change.",
	}
}
