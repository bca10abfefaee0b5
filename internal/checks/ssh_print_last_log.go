package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/finding"
)

func sshPrintLastLog() audit.Check {
	return audit.Check{
		ID: "ssh.print-last-log", Title: "A login says when the last one was", Severity: finding.Info,
		Why:       "Who sees a login that was not their own knows that somebody else was in.",
		Fix:       "Say \"PrintLastLog yes\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge:     sshSetting("PrintLastLog", sshIs("yes")),
		Profile:   audit.ProfileHome,
		Repair: sshRepair("Has the SSH server say at each login when the last one was.",
			"", sshYes("PrintLastLog", "yes")),
	}
}
