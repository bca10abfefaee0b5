package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/finding"
)

func sshUserEnv() audit.Check {
	return audit.Check{
		ID: "ssh.user-env", Title: "Who logs in does not set the environment of the server's programs", Severity: finding.High,
		Why:       "A file of the account could make the login load code of its own, and get around what the account is limited to.",
		Fix:       "Say \"PermitUserEnvironment no\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"CIS Debian 12 5.1.21", "CIS RHEL 9 5.1.21", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge:     sshSetting("PermitUserEnvironment", sshIs("no")),
		Profile:   audit.ProfileHome,
		Repair: sshRepair("Has the SSH server ignore what an account's files say of the environment.",
			"A program that finds its way by ~/.ssh/environment has to be told otherwise.", sshYes("PermitUserEnvironment", "no")),
	}
}
