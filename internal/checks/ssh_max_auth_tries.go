package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/finding"
)

func sshMaxAuthTries() audit.Check {
	return audit.Check{
		ID: "ssh.max-auth-tries", Title: "A connection gets four tries", Severity: finding.Med,
		Why:       "The fewer guesses a connection gets, the longer guessing takes. Whose agent holds many keys should name the right one (IdentitiesOnly).",
		Fix:       "Say \"MaxAuthTries 4\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"CIS Debian 12 5.1.16", "CIS RHEL 9 5.1.16", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge:     sshSetting("MaxAuthTries", sshFrom(1, 4)),
		Profile:   audit.ProfileStrict,
		Repair: sshRepair("Has the SSH server end a connection after four wrong tries.",
			"Who carries more than four keys has to name the right one (IdentitiesOnly yes).", []sshWish{{"MaxAuthTries", "4", sshFrom(1, 4)}}),
	}
}
