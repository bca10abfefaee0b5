package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/finding"
)

func sshGatewayPorts() audit.Check {
	return audit.Check{
		ID: "ssh.gateway-ports", Title: "Tunnels that are opened here are for this machine alone", Severity: finding.High,
		Why:       "With it, whoever may open a tunnel can offer something of theirs on this machine's addresses, or put Home Assistant on the Internet.",
		Fix:       "Say \"GatewayPorts no\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge:     sshOpenTo("GatewayPorts", sshIs("no")),
		Profile:   audit.ProfileHome,
		Repair: sshRepair("Has the SSH server open tunnels for this machine alone.",
			"Other machines no longer reach what a tunnel to here leads to.", sshYes("GatewayPorts", "no")),
	}
}
