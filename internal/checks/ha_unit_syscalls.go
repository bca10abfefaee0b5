package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haProcSyscalls() audit.Check {
	return audit.Check{
		ID: "ha.unit-syscalls", Title: "Home Assistant's unit leaves it only the system calls of a service", Severity: finding.Med,
		Why:       "Most holes in the kernel are reached by calls that no such service makes.",
		Fix:       "In a drop-in of the unit: SystemCallFilter=@system-service, SystemCallArchitectures=native, RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK, with AF_BLUETOOTH and AF_PACKET where bluetooth and dhcp are in use.",
		Reference: []string{"systemd.exec(5), SystemCallFilter=", "systemd-analyze(1), security"},
		Needs:     audit.NeedHA | audit.NeedHost,
		Judge: haUnit(func(u facts.Unit) (string, []finding.Evidence) {
			var evidence []finding.Evidence
			if s, _ := u.Last("Service", "SystemCallArchitectures"); s.Value != "native" {
				evidence = append(evidence, haAtUnit(u, "SystemCallArchitectures"))
			}
			calls := haUnitWords(u, "SystemCallFilter")
			if len(calls) == 0 || strings.HasPrefix(calls[0], "~") {
				evidence = append(evidence, haAtUnit(u, "SystemCallFilter"))
			}
			families := haUnitWords(u, "RestrictAddressFamilies")
			if len(families) == 0 || strings.HasPrefix(families[0], "~") {
				evidence = append(evidence, haAtUnit(u, "RestrictAddressFamilies"))
			}
			return strings.Join(append(calls, families...), " "), evidence
		}),
		Profile: audit.ProfileStrict,
		Repair:  haRepairSyscalls(),
	}
}
