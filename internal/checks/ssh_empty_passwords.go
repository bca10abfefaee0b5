package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/finding"
)

func sshEmptyPasswords() audit.Check {
	return audit.Check{
		ID: "ssh.empty-passwords", Title: "Nobody comes in without a password", Severity: finding.Crit,
		Why:       "An account whose password is empty is an open door to everybody who finds the address.",
		Fix:       "Say \"PermitEmptyPasswords no\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"CIS Debian 12 5.1.19", "CIS RHEL 9 5.1.19", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge:     sshSetting("PermitEmptyPasswords", sshIs("no")),
		Profile:   audit.ProfileHome,
		Repair: sshRepair("Has the SSH server refuse accounts that have an empty password.",
			"Whoever came in without a password needs one, or a key.", sshYes("PermitEmptyPasswords", "no"), sshAllGetIn, sshSomebodyGetsIn(true, true)),
	}
}
