package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func kernelKexecSysrq() audit.Check {
	return audit.Check{
		ID: "kern.kexec-sysrq", Title: "No other kernel can be loaded, and few keys command this one", Severity: finding.Low,
		Why:       "With kexec root starts a kernel that nothing has checked; with all SysRq keys whoever is at the keyboard kills and reads what he likes.",
		Fix:       "Put kernel.kexec_load_disabled = 1 (no way back without a restart; not with kdump) and kernel.sysrq = 176 into a file in /etc/sysctl.d.",
		Reference: []string{"Linux documentation: admin-guide/sysctl/kernel", "Linux documentation: admin-guide/sysrq"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			kdump, err := h.Wanted("kdump-tools.service")
			if err != nil {
				return audit.Unknown(err)
			}
			kdump2, err := h.Wanted("kdump.service")
			if err != nil {
				return audit.Unknown(err)
			}
			if kdump || kdump2 {
				return judgeSysctls(h, wanted{key: "kernel.sysrq", ok: limitedSysrq})
			}
			return judgeSysctls(h, wanted{key: "kernel.kexec_load_disabled", ok: exactly(1)}, wanted{key: "kernel.sysrq", ok: limitedSysrq})
		},
		Profile: audit.ProfileStrict,
		Repair:  kexecSysrqRepair,
	}
}
