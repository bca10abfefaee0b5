package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func kernelLinks() audit.Check {
	return audit.Check{
		ID: "kern.links", Title: "Nobody is led astray by links that others put into /tmp", Severity: finding.Med,
		Why:       "A link in a shared directory makes a careless program of root's write to a file of the attacker's choice; the kernel can refuse to follow it.",
		Fix:       "Put fs.protected_hardlinks = 1, fs.protected_symlinks = 1, fs.protected_fifos = 1 and fs.protected_regular = 2 into a file in /etc/sysctl.d.",
		Reference: []string{"proc_sys_fs(5)", "Linux documentation: admin-guide/sysctl/fs"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeSysctls(h, wanted{key: "fs.protected_hardlinks", ok: exactly(1)}, wanted{key: "fs.protected_symlinks", ok: exactly(1)},
				wanted{key: "fs.protected_fifos", ok: atLeast(1)}, wanted{key: "fs.protected_regular", ok: atLeast(1)})
		},
		Profile: audit.ProfileHome,
		Repair: sysctlRepair("Has the kernel follow no links and open no files that others have laid out in shared directories.", "",
			tuned{key: "fs.protected_hardlinks", value: "1", ok: exactly(1)},
			tuned{key: "fs.protected_symlinks", value: "1", ok: exactly(1)},
			tuned{key: "fs.protected_fifos", value: "1", ok: atLeast(1)},
			tuned{key: "fs.protected_regular", value: "2", ok: atLeast(1)}),
	}
}
