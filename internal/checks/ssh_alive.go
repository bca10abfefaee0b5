package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshAlive() audit.Check {
	return audit.Check{
		ID: "ssh.alive", Title: "Connections that are dead are closed", Severity: finding.Info,
		Why:       "A session that was left behind, on a laptop that is lost or asleep, stays open for whoever finds it.",
		Fix:       "Say \"ClientAliveInterval 60\" and \"ClientAliveCountMax 3\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"CIS Debian 12 5.1.7", "CIS RHEL 9 5.1.9", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			one := sshSetting("ClientAliveInterval", sshFrom(1, 300))(h)
			// None at all ends nothing since 8.2.
			return sshBoth(one, sshSetting("ClientAliveCountMax", sshFrom(1, 3))(h))
		},
		Profile: audit.ProfileHome,
		Repair: sshRepair("Ends connections over SSH whose other side has not answered for three minutes.",
			"A session over a line that is down for longer than that ends.", []sshWish{{"ClientAliveInterval", "60", sshFrom(1, 300)}, {"ClientAliveCountMax", "3", sshFrom(1, 3)}}),
	}
}
