package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/finding"
)

func sshGrace() audit.Check {
	return audit.Check{
		ID: "ssh.grace", Title: "Who does not log in within a minute is cut off", Severity: finding.Med,
		Why:       "Connections that wait for a login hold the places of those who want in; without any limit a few machines block the server for good.",
		Fix:       "Say \"LoginGraceTime 60\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"CIS Debian 12 5.1.13", "CIS RHEL 9 5.1.14", "CVE-2024-6387", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge:     sshSetting("LoginGraceTime", sshFrom(1, 60)),
		Profile:   audit.ProfileHome,
		Repair: sshRepair("Gives whoever connects over SSH a minute to log in.",
			"", []sshWish{{"LoginGraceTime", "60", sshFrom(1, 60)}}),
	}
}
