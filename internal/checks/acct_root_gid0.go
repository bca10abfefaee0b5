package checks

import (
	"fmt"
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsRootGID0() audit.Check {
	return audit.Check{
		ID: "acct.root-gid0", Title: "Only root is in root's group by number", Severity: finding.Med,
		Why:       "Files that belong to root are often open to the group with number 0. An account that has it as its own group reads and sometimes changes them.",
		Fix:       "Give the account another group (usermod -g), and root the group 0.",
		Reference: []string{"CIS Debian 12 5.4.2.2", "CIS Debian 12 5.4.2.3", "CIS RHEL 9 5.4.2.2", "CIS RHEL 9 5.4.2.3", "passwd(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			users, err := h.Users()
			if err != nil {
				return audit.Unknown(err)
			}
			var names []string
			var evidence []finding.Evidence
			for _, u := range users {
				// Red Hat gives these four the group of root.
				mayHave := slices.Contains([]string{"root", "sync", "shutdown", "halt", "operator"}, u.Name)
				if u.GID == 0 {
					names = append(names, u.Name)
				}
				if u.GID == 0 && !mayHave || u.Name == "root" && u.GID != 0 {
					evidence = append(evidence, audit.At("/etc/passwd", u.Line, fmt.Sprintf("%s: group %d", u.Name, u.GID)))
				}
			}
			return audit.PassIf(len(evidence) == 0, names, evidence...)
		},
		ByHand: "Which group such an account should have instead, and which files go with it, is yours to say.",
	}
}
