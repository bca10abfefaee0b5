package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func kernelSyncookies() audit.Check {
	return audit.Check{
		ID: "kern.syncookies", Title: "A flood of half connections does not stop the machine", Severity: finding.Low,
		Why:       "Otherwise one computer that only begins connections keeps everybody else out; and pings to all could be answered by your server, too.",
		Fix:       "Put net.ipv4.tcp_syncookies = 1, net.ipv4.icmp_echo_ignore_broadcasts = 1 and net.ipv4.icmp_ignore_bogus_error_responses = 1 into a file in /etc/sysctl.d.",
		Reference: []string{"CIS Debian 12 3.3.3", "CIS Debian 12 3.3.4", "CIS Debian 12 3.3.10", "CIS RHEL 9 3.3.3", "CIS RHEL 9 3.3.4", "CIS RHEL 9 3.3.10", "RFC 4987"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeSysctls(h, wanted{key: "net.ipv4.tcp_syncookies", ok: atLeast(1)}, wanted{key: "net.ipv4.icmp_echo_ignore_broadcasts", ok: exactly(1)},
				wanted{key: "net.ipv4.icmp_ignore_bogus_error_responses", ok: exactly(1)})
		},
		Profile: audit.ProfileHome,
		Repair: sysctlRepair("Has the kernel stand a flood of half connections, and answer no ping that is for everybody.", "",
			tuned{key: "net.ipv4.tcp_syncookies", value: "1", ok: atLeast(1)},
			tuned{key: "net.ipv4.icmp_echo_ignore_broadcasts", value: "1", ok: exactly(1)},
			tuned{key: "net.ipv4.icmp_ignore_bogus_error_responses", value: "1", ok: exactly(1)}),
	}
}
