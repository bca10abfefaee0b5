package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshForwarding() audit.Check {
	return audit.Check{
		ID: "ssh.forwarding", Title: "Nobody goes on from this machine into the network", Severity: finding.Med,
		Why:       "Whoever may log in here for one thing reaches every device at home through it, as if they sat on the sofa.",
		Fix:       "Say \"AllowTcpForwarding no\" or \"DisableForwarding yes\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd. Give the accounts that are there for tunnels a Match block of their own. Editors that work over SSH, and jumps to other machines, need it.",
		Reference: []string{"CIS Debian 12 5.1.8", "CIS RHEL 9 5.1.10", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge:     sshOpenTo("AllowTcpForwarding", sshForwardsFew),
		Profile:   audit.ProfileStrict,
		Repair: sshRepair("Has the SSH server carry no connections on for who logs in, but for accounts that a Match block names.",
			"Jumps to other machines over this one end, and so do editors that work here over SSH.", []sshWish{{"AllowTcpForwarding", "no", sshForwardsFew}}, sshTunnelsStay),
	}
}

func sshForwardsFew(v facts.SSHDValue) bool {
	return v.Value == "no" || v.Value == "local" || sshNamesPeople(v.Match)
}
