package checks

import (
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsDupUID() audit.Check {
	return audit.Check{
		ID: "acct.dup-uid", Title: "No two accounts share a name or a number", Severity: finding.High,
		Why:       "Two accounts with one number are one to the machine: each can do what the other can, and the log does not tell them apart.",
		Fix:       "Give one of them a number or a name of its own (usermod -u, groupmod -g), and its files to it.",
		Reference: []string{"CIS Debian 12 7.2.5", "CIS Debian 12 7.2.6", "CIS Debian 12 7.2.7", "CIS Debian 12 7.2.8", "CIS RHEL 9 7.2.4", "CIS RHEL 9 7.2.5", "CIS RHEL 9 7.2.6", "CIS RHEL 9 7.2.7"},
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
			twice := []string{}
			var evidence []finding.Evidence
			first := map[string]int{}
			note := func(file string, line int, what string) {
				if at, ok := first[file+what]; ok {
					twice = append(twice, what)
					evidence = append(evidence, audit.At(file, line, fmt.Sprintf("%s, as in line %d", what, at)))
					return
				}
				first[file+what] = line
			}
			for _, u := range users {
				note("/etc/passwd", u.Line, "account "+u.Name)
				note("/etc/passwd", u.Line, fmt.Sprintf("account number %d", u.UID))
			}
			for _, g := range groups {
				note("/etc/group", g.Line, "group "+g.Name)
				note("/etc/group", g.Line, fmt.Sprintf("group number %d", g.GID))
			}
			return audit.PassIf(len(evidence) == 0, twice, evidence...)
		},
		ByHand: "Which files belong to which of the two accounts is known to you alone.",
	}
}
