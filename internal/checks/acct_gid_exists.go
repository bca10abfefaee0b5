package checks

import (
	"fmt"
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsGIDExists() audit.Check {
	return audit.Check{
		ID: "acct.gid-exists", Title: "Every account's own group exists", Severity: finding.Low,
		Why:       "A group that does not exist may be made tomorrow by another program with the same number, which then shares the account's files.",
		Fix:       "Make the group (groupadd -g NUMBER NAME) or give the account another (usermod -g).",
		Reference: []string{"CIS Debian 12 7.2.3", "CIS RHEL 9 7.2.3", "group(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			users, err := h.Users()
			if err != nil {
				return audit.Unknown(err)
			}
			groups, err := h.Groups()
			if err != nil {
				return audit.Unknown(err)
			}
			names := []string{}
			var evidence []finding.Evidence
			for _, u := range users {
				if !slices.ContainsFunc(groups, func(g facts.Group) bool { return g.GID == u.GID }) {
					names = append(names, u.Name)
					evidence = append(evidence, audit.At("/etc/passwd", u.Line, fmt.Sprintf("%s: group %d", u.Name, u.GID)))
				}
			}
			return audit.PassIf(len(evidence) == 0, names, evidence...)
		},
	}
}
