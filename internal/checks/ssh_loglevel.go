package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/finding"
)

func sshLoglevel() audit.Check {
	return audit.Check{
		ID: "ssh.loglevel", Title: "Logins are logged", Severity: finding.Low,
		Why:       "Without a log nobody sees who tried to come in; the levels for finding faults write down what is private.",
		Fix:       "Say \"LogLevel VERBOSE\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"CIS Debian 12 5.1.14", "CIS RHEL 9 5.1.15", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge:     sshSetting("LogLevel", sshIs("INFO", "VERBOSE")),
		Profile:   audit.ProfileHome,
		Repair: sshRepair("Has the SSH server write down who logs in, and with which key.",
			"", []sshWish{{"LogLevel", "VERBOSE", sshIs("INFO", "VERBOSE")}}),
	}
}
