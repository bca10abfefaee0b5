package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func kernelRPFilter() audit.Check {
	return audit.Check{
		ID: "kern.rp-filter", Title: "Packets that come in where they cannot come from are dropped", Severity: finding.Low,
		Why:       "Without it a stranger sends packets under the address of a machine at home.",
		Fix:       "Put net.ipv4.conf.all.rp_filter = 2 into a file in /etc/sysctl.d (1 is stricter, and breaks WireGuard and machines in several networks).",
		Reference: []string{"CIS Debian 12 3.3.7", "CIS RHEL 9 3.3.7", "RFC 3704"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeInterfaces(h, func(n int) bool { return n == 1 || n == 2 }, ofInterface{"net/ipv4/conf", "rp_filter", either})
		},
		Profile: audit.ProfileHome,
		Repair: sysctlRepair("Has the kernel drop packets that come from where nothing here would answer to.", "",
			tuned{key: "net.ipv4.conf.all.rp_filter", value: "2", ok: func(n int) bool { return n == 1 || n == 2 }}),
	}
}
