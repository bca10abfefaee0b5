package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/finding"
)

func sshMaxSessions() audit.Check {
	return audit.Check{
		ID: "ssh.max-sessions", Title: "One connection holds at most ten sessions", Severity: finding.Low,
		Why:       "A limit keeps one connection from using up the machine.",
		Fix:       "Say \"MaxSessions 10\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"CIS Debian 12 5.1.17", "CIS RHEL 9 5.1.18", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge:     sshSetting("MaxSessions", sshFrom(0, 10)),
		Profile:   audit.ProfileHome,
		Repair: sshRepair("Lets one connection over SSH hold ten sessions.",
			"", []sshWish{{"MaxSessions", "10", sshFrom(0, 10)}}),
	}
}
