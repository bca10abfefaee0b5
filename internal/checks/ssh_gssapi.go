package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/finding"
)

func sshGssapi() audit.Check {
	return audit.Check{
		ID: "ssh.gssapi", Title: "Kerberos logins are off", Severity: finding.Low,
		Why:       "A home has no Kerberos; code that nobody uses need not face strangers.",
		Fix:       "Say \"GSSAPIAuthentication no\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"CIS Debian 12 5.1.9", "CIS RHEL 9 5.1.11", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge:     sshSetting("GSSAPIAuthentication", sshIs("no")),
		Profile:   audit.ProfileHome,
		Repair: sshRepair("Has the SSH server take no logins by Kerberos.",
			"Who comes in by a domain's ticket needs a key.", sshYes("GSSAPIAuthentication", "no")),
	}
}
