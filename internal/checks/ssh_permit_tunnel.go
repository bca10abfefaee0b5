package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/finding"
)

func sshPermitTunnel() audit.Check {
	return audit.Check{
		ID: "ssh.permit-tunnel", Title: "Nobody makes a network device through SSH", Severity: finding.Med,
		Why:       "Such a tunnel joins whole networks and goes past every rule about single ports.",
		Fix:       "Say \"PermitTunnel no\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge:     sshOpenTo("PermitTunnel", sshIs("no")),
		Profile:   audit.ProfileHome,
		Repair: sshRepair("Has the SSH server make no network devices for who logs in.",
			"A network that was joined over SSH (ssh -w) is cut off.", sshYes("PermitTunnel", "no")),
	}
}
