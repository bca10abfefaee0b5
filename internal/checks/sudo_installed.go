package checks

import (
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func authenticationSudoInstalled() audit.Check {
	return audit.Check{
		ID: "sudo.installed", Title: "There is a way to become root without root's password", Severity: finding.Med,
		Why:       "Where people work as root, or share its password, nobody sees who did what, and root cannot be closed to the network.",
		Fix:       "Install sudo and put your account into its group (apt install sudo; adduser NAME sudo).",
		Reference: []string{"CIS Debian 12 5.2.1", "CIS RHEL 9 5.2.1", "sudo(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			for _, file := range []string{"/usr/bin/sudo", "/usr/bin/doas", "/usr/local/bin/sudo", "/usr/local/bin/doas"} {
				there, err := h.Exists(file)
				if err != nil {
					return audit.Unknown(err)
				}
				if there {
					return audit.Pass(file, audit.At(file, 0, "is there"))
				}
			}
			users, err := people(h)
			if err != nil {
				return audit.Unknown(err)
			}
			if !slices.ContainsFunc(users, func(u facts.User) bool { return u.UID != 0 }) {
				return audit.NotApplicable("nobody but root works here")
			}
			return audit.Fail("none", audit.At("/usr/bin/sudo", 0, "does not exist"))
		},
		ByHand: "It needs a package, and somebody who is given the right to use it.",
	}
}
