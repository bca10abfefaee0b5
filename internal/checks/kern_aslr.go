package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func kernelASLR() audit.Check {
	return audit.Check{
		ID: "kern.aslr", Title: "Programs lie at addresses that nobody can guess", Severity: finding.High,
		Why:       "Most attacks on a program's memory have to know where its parts are; the kernel shuffles them at every start, unless it is told not to.",
		Fix:       "Put kernel.randomize_va_space = 2 into a file in /etc/sysctl.d and run sysctl --system.",
		Reference: []string{"CIS Debian 12 1.5.1", "CIS RHEL 9 1.5.1", "sysctl.d(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeSysctls(h, wanted{key: "kernel.randomize_va_space", ok: exactly(2), must: true})
		},
		Profile: audit.ProfileHome,
		Repair: sysctlRepair("Has the kernel put programs at addresses that nobody can guess.", "",
			tuned{key: "kernel.randomize_va_space", value: "2", ok: exactly(2)}),
	}
}
