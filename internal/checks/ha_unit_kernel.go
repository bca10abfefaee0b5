package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haProcKernel() audit.Check {
	return audit.Check{
		ID: "ha.unit-kernel", Title: "Home Assistant's unit keeps it away from the kernel's settings", Severity: finding.Med,
		Why:       "Home Assistant has no business with the kernel's settings, its modules or the clock; what gets into it should not have any either.",
		Fix:       "In a drop-in of the unit: ProtectKernelTunables=, ProtectKernelModules=, ProtectKernelLogs=, ProtectControlGroups=, ProtectClock=, ProtectHostname=, LockPersonality=, RestrictRealtime= and RestrictNamespaces=, all yes.",
		Reference: []string{"systemd.exec(5), ProtectKernelTunables=", "systemd-analyze(1), security"},
		Needs:     audit.NeedHA | audit.NeedHost,
		Judge: haUnit(func(u facts.Unit) (string, []finding.Evidence) {
			return haWanting(u, "ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups", "ProtectClock", "ProtectHostname",
				"LockPersonality", "RestrictRealtime", "RestrictNamespaces")
		}),
		Profile: audit.ProfileStrict,
		Repair:  haRepairKernel(),
	}
}
