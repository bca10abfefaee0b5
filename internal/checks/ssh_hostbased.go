package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshHostbased() audit.Check {
	return audit.Check{
		ID: "ssh.hostbased", Title: "No machine vouches for who sits at it", Severity: finding.High,
		Why:       "With host keys for logins, whoever takes over one machine is let in on the others, and a .rhosts file opens an account without a word.",
		Fix:       "Say \"HostbasedAuthentication no\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"CIS Debian 12 5.1.10", "CIS Debian 12 5.1.11", "CIS RHEL 9 5.1.12", "CIS RHEL 9 5.1.13", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			one := sshSetting("HostbasedAuthentication", sshIs("no"))(h)
			return sshBoth(one, sshSetting("IgnoreRhosts", sshIs("yes", "shosts-only"))(h))
		},
		Profile: audit.ProfileHome,
		Repair: sshRepair("Has the SSH server take no other machine's word for who comes in.",
			"Programs on other machines that came in by their machine's name alone need a key.", []sshWish{{"HostbasedAuthentication", "no", sshIs("no")}, {"IgnoreRhosts", "yes", sshIs("yes", "shosts-only")}}),
	}
}
