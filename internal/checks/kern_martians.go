package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func kernelMartians() audit.Check {
	return audit.Check{
		ID: "kern.martians", Title: "Packets with impossible addresses are logged", Severity: finding.Info,
		Why:       "They are the trace of somebody who forges addresses, or of a network that is wired wrongly.",
		Fix:       "Put net.ipv4.conf.all.log_martians = 1 into a file in /etc/sysctl.d; in a house with several networks it fills the log.",
		Reference: []string{"CIS Debian 12 3.3.9", "CIS RHEL 9 3.3.9", "RFC 1812"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeInterfaces(h, exactly(1), ofInterface{"net/ipv4/conf", "log_martians", either})
		},
		Profile: audit.ProfileStrict,
		Repair: sysctlRepair("Has the kernel log packets with impossible addresses.", "In a house with several networks it fills the log.",
			tuned{key: "net.ipv4.conf.all.log_martians", value: "1", ok: exactly(1)}),
	}
}
