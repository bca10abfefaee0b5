package checks

import (
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsShadowGroupEmpty() audit.Check {
	return audit.Check{
		ID: "acct.shadow-group-empty", Title: "Nobody is in the group that may read the passwords", Severity: finding.High,
		Why:       "The group shadow may read /etc/shadow. It is there for programs; whoever is in it can carry the passwords away and try them out.",
		Fix:       "Take the account out of the group (gpasswd -d NAME shadow), or give it another group of its own (usermod -g).",
		Reference: []string{"CIS Debian 12 7.2.4", "gpasswd(1)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			groups, err := h.Groups()
			if err != nil {
				return audit.Unknown(err)
			}
			at := slices.IndexFunc(groups, func(g facts.Group) bool { return g.Name == "shadow" })
			if at < 0 {
				return audit.NotApplicable("there is no group shadow here")
			}
			users, err := h.Users()
			if err != nil {
				return audit.Unknown(err)
			}
			names := slices.Clone(groups[at].Members)
			var evidence []finding.Evidence
			for _, m := range names {
				evidence = append(evidence, audit.At("/etc/group", groups[at].Line, m))
			}
			for _, u := range users {
				if u.GID == groups[at].GID {
					names = append(names, u.Name)
					evidence = append(evidence, audit.At("/etc/passwd", u.Line, u.Name))
				}
			}
			return audit.PassIf(len(evidence) == 0, names, evidence...)
		},
		Profile: audit.ProfileStrict,
		Repair:  emptyShadowGroup,
	}
}
