package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/finding"
)

func sshAgentForwarding() audit.Check {
	return audit.Check{
		ID: "ssh.agent-forwarding", Title: "The keys of who logs in are not lent to this machine", Severity: finding.Low,
		Why:       "Whoever holds this machine could use a lent agent to log in everywhere its owner can.",
		Fix:       "Say \"AllowAgentForwarding no\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge:     sshOpenTo("AllowAgentForwarding", sshIs("no")),
		Profile:   audit.ProfileHome,
		Repair: sshRepair("Has the SSH server take no keys on loan from who logs in.",
			"From here nobody goes on to another machine with the keys of the one that they came from.", sshYes("AllowAgentForwarding", "no")),
	}
}
