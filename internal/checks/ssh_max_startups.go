package checks

import (
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshMaxStartups() audit.Check {
	return audit.Check{
		ID: "ssh.max-startups", Title: "Only some connections wait for a login at once", Severity: finding.Low,
		Why:       "A limit keeps a crowd of half-open connections from shutting everybody else out.",
		Fix:       "Say \"MaxStartups 10:30:60\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"CIS Debian 12 5.1.18", "CIS RHEL 9 5.1.17", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge:     sshSetting("MaxStartups", sshFewStartups),
		Profile:   audit.ProfileHome,
		Repair: sshRepair("Lets ten connections over SSH wait for a login, and turns more and more of the others away.",
			"", []sshWish{{"MaxStartups", "10:30:60", sshFewStartups}}),
	}
}

func sshFewStartups(v facts.SSHDValue) bool {
	var begin, rate, full int
	n, err := fmt.Sscanf(v.Value, "%d:%d:%d", &begin, &rate, &full)
	return n == 3 && err == nil && begin <= 10 && rate >= 30 && full <= 60
}
