package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func kernelMmapMin() audit.Check {
	return audit.Check{
		ID: "kern.mmap-min", Title: "No program can put anything at the beginning of its memory", Severity: finding.Low,
		Why:       "A slip of the kernel that follows a null pointer is harmless as long as nothing lies there; an attacker would put his code there.",
		Fix:       "Put vm.mmap_min_addr = 65536 into a file in /etc/sysctl.d (32768 on a 32-bit ARM).",
		Reference: []string{"Linux documentation: admin-guide/sysctl/vm"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			least := 65536
			arm, err := h.Glob("/lib/ld-linux-arm*")
			if err != nil {
				return audit.Unknown(err)
			}
			if len(arm) > 0 {
				least = 32768
			}
			return judgeSysctls(h, wanted{key: "vm.mmap_min_addr", ok: atLeast(least), must: true})
		},
		Profile: audit.ProfileHome,
		Repair:  mmapMinRepair,
	}
}
