package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func kernelBPF() audit.Check {
	return audit.Check{
		ID: "kern.bpf", Title: "Ordinary programs cannot run code inside the kernel", Severity: finding.Med,
		Why:       "The kernel's own small machine, BPF, was the way of many attacks from an ordinary account to root; at home nothing but root has a use for it.",
		Fix:       "Put kernel.unprivileged_bpf_disabled = 2 (1 cannot be taken back without a restart) and net.core.bpf_jit_harden = 2 into a file in /etc/sysctl.d.",
		Reference: []string{"bpf(2)", "Linux documentation: admin-guide/sysctl/kernel"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeSysctls(h, wanted{key: "kernel.unprivileged_bpf_disabled", ok: atLeast(1)}, wanted{key: "net.core.bpf_jit_harden", ok: exactly(2)})
		},
		Profile: audit.ProfileHome,
		Repair: sysctlRepair("Lets only root run code inside the kernel, and has the kernel harden that code.", "",
			tuned{key: "kernel.unprivileged_bpf_disabled", value: "2", ok: atLeast(1)},
			tuned{key: "net.core.bpf_jit_harden", value: "2", ok: exactly(2)}),
	}
}
