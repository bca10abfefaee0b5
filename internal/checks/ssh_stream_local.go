package checks

import (
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshStreamLocal() audit.Check {
	return audit.Check{
		ID: "ssh.stream-local", Title: "Accounts for tunnels reach no sockets of programs", Severity: finding.Med,
		Why:       "Through a forwarded socket, such as that of Docker, an account that should only carry a tunnel can become root.",
		Fix:       "Say \"AllowStreamLocalForwarding no\" in the Match block of the account, or for everybody in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			accounts, s, err := tunnelAccounts(h)
			if err != nil {
				return sshRefused(err)
			}
			if len(accounts) == 0 {
				return audit.NotApplicable("no account is there for tunnels")
			}
			var worst audit.Verdict
			for n, a := range accounts {
				v := audit.Pass("no", a.shown())
				off := !slices.ContainsFunc(a.keys, func(k facts.AuthorizedKey) bool { return k.Allows("port-forwarding") })
				if !off {
					if off, err = sshAlways(s, "disableforwarding", "yes", a.peer()); err != nil {
						return sshRefused(err)
					}
				}
				if !off {
					v = sshValues(s, "AllowStreamLocalForwarding", a.peer(), sshIs("no"))
				}
				if worst = sshBoth(worst, v); n == 0 {
					worst = v
				}
			}
			return worst
		},
		Profile: audit.ProfileStrict,
		Repair: sshRepair("Has the SSH server reach no sockets of programs for who logs in.",
			"Editors and tools that work with Docker here over SSH stop.", sshYes("AllowStreamLocalForwarding", "no")),
	}
}
