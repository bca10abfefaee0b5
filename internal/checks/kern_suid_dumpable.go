package checks

import (
	"errors"
	"fmt"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func kernelSUIDDumpable() audit.Check {
	return audit.Check{
		ID: "kern.suid-dumpable", Title: "Privileged programs that crash leave no picture of their memory", Severity: finding.Med,
		Why:       "What sudo or su has in its memory, such as your password, would lie in a file after a crash, which an attacker can bring about.",
		Fix:       "Put fs.suid_dumpable = 0 into a file in /etc/sysctl.d, * hard core 0 into a file in /etc/security/limits.d, and ProcessSizeMax=0 and Storage=none into /etc/systemd/coredump.conf.d where systemd-coredump is installed.",
		Reference: []string{"CIS Debian 12 1.5.3", "core(5)", "limits.conf(5)", "coredump.conf(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			dumpable, err := h.Sysctl("fs.suid_dumpable")
			if err != nil {
				return audit.Unknown(err)
			}
			if !dumpable.Known {
				return audit.Unknown(errors.New("fs.suid_dumpable is not known"))
			}
			pattern, err := h.Sysctl("kernel.core_pattern")
			if err != nil {
				return audit.Unknown(err)
			}
			storage, err := h.Settings("/systemd/coredump.conf", "")
			if err != nil {
				return audit.Unknown(err)
			}
			piped := strings.HasPrefix(pattern.Value, "|")
			kept := true
			if s, ok := storage.Last("Coredump", "Storage"); ok && strings.EqualFold(s.Value, "none") && strings.Contains(pattern.Value, "systemd-coredump") {
				kept = false
			}
			switch {
			case dumpable.Value == "0":
				return audit.Pass("0").Explicitly(dumpable.Explicit)
			case dumpable.Value == "2" && piped && !kept:
				return audit.Pass("2, and what systemd-coredump is given it does not store").Explicitly(dumpable.Explicit)
			case dumpable.Value != "1" && dumpable.Value != "2":
				return audit.Unknown(fmt.Errorf("%s: %q is none of its values", dumpable.Key, dumpable.Value))
			}
			return audit.Fail(dumpable.Value, sysctlAt(dumpable), sysctlAt(pattern)).Explicitly(dumpable.Explicit)
		},
		Profile: audit.ProfileHome,
		Repair: sysctlRepair("Has privileged programs leave no picture of their memory when they crash.", "",
			tuned{key: "fs.suid_dumpable", value: "0", ok: exactly(0)}),
	}
}
