package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func kernelPtrace() audit.Check {
	return audit.Check{
		ID: "kern.ptrace", Title: "A program cannot look into the memory of another", Severity: finding.Med,
		Why:       "Without this a program that is taken over reads the keys and passwords out of all others of the same user, the SSH agent's for one.",
		Fix:       "Put kernel.yama.ptrace_scope = 1 into a file in /etc/sysctl.d (2 lets only root; 3 cannot be taken back without a restart).",
		Reference: []string{"CIS Debian 12 1.5.2", "CIS RHEL 9 1.5.2", "ptrace(2)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeSysctls(h, wanted{key: "kernel.yama.ptrace_scope", ok: atLeast(1), must: true})
		},
		Profile: audit.ProfileHome,
		Repair: sysctlRepair("Lets a program look only into programs that it started itself.", "A debugger that is attached to a running program needs root.",
			tuned{key: "kernel.yama.ptrace_scope", value: "1", ok: atLeast(1)}),
	}
}
