package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func kernelKptr() audit.Check {
	return audit.Check{
		ID: "kern.kptr", Title: "The kernel tells ordinary programs nothing of its own addresses", Severity: finding.Med,
		Why:       "To break the kernel an attacker has to know where its parts lie; pointers in /proc, its log and its performance counters give that away.",
		Fix:       "Put kernel.kptr_restrict = 1, kernel.dmesg_restrict = 1 and kernel.perf_event_paranoid = 3 into a file in /etc/sysctl.d; netdata and perf then need root.",
		Reference: []string{"proc_sys_kernel(5)", "Linux documentation: admin-guide/sysctl/kernel"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeSysctls(h, wanted{key: "kernel.kptr_restrict", ok: atLeast(1)}, wanted{key: "kernel.dmesg_restrict", ok: exactly(1)},
				wanted{key: "kernel.perf_event_paranoid", ok: atLeast(3)})
		},
		Profile: audit.ProfileHome,
		Repair: sysctlRepair("Keeps the kernel's addresses, log and counters from ordinary programs.", "Reading the kernel's log (dmesg) and measuring with perf or netdata need root.",
			tuned{key: "kernel.kptr_restrict", value: "1", ok: atLeast(1)},
			tuned{key: "kernel.dmesg_restrict", value: "1", ok: exactly(1)},
			tuned{key: "kernel.perf_event_paranoid", value: "3", ok: atLeast(3)}),
	}
}
