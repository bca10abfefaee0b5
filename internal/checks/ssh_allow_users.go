package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshAllowUsers() audit.Check {
	return audit.Check{
		ID: "ssh.allow-users", Title: "Only accounts that are named may log in", Severity: finding.Med,
		Why:       "An account that a package or a guest brought along is a way in as well, unless the server has a list of its own.",
		Fix:       "Say \"AllowUsers\" with the accounts that log in, your own first, in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd. Keep a session open until you have tried it.",
		Reference: []string{"CIS Debian 12 5.1.4", "CIS RHEL 9 5.1.7", "Securing Debian 5.1", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			s, err := h.SSHD()
			if err != nil {
				return sshRefused(err)
			}
			users := sshValues(s, "AllowUsers", facts.SSHPeer{}, sshNames)
			if users.Result != finding.Fail {
				return users
			}
			groups := sshValues(s, "AllowGroups", facts.SSHPeer{}, sshNames)
			if groups.Result == finding.Pass {
				return groups
			}
			return sshBoth(users, groups)
		},
		Profile: audit.ProfileStrict,
		Repair:  sshAllowThose,
	}
}

// sshNames reports whether a list names somebody, and not everybody.
func sshNames(v facts.SSHDValue) bool {
	return len(v.Args) > 0 && !slices.ContainsFunc(v.Args, func(a string) bool { return strings.Trim(a, "*?") == "" })
}
