package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func filesystemsAIDE() audit.Check {
	return audit.Check{
		ID: "fs.aide", Title: "Something notices when the system's files are changed", Severity: finding.Info,
		Why:       "A program that knows how the files were says that something was changed which you did not change. It reads the whole disk every night: on an SD card that is a price.",
		Fix:       "apt install aide, aideinit, and keep dailyaidecheck.timer on; or compare with a manifest that lies on another machine.",
		Reference: []string{"CIS Debian 12 6.3.1", "CIS Debian 12 6.3.2", "CIS RHEL 9 6.1.1", "Securing Debian 10.2", "aide(1)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			installed := ""
			for _, name := range []string{"/usr/bin/aide", "/usr/sbin/aide", "/usr/sbin/tripwire", "/usr/bin/samhain", "/usr/sbin/samhain", "/var/ossec/bin/wazuh-agentd"} {
				there, err := h.Exists(name)
				if err != nil {
					return audit.Unknown(err)
				}
				if there {
					installed = name
				}
			}
			if installed == "" {
				return audit.Fail("none", audit.At("/usr/bin/aide", 0, "is not there, nor is anything like it"))
			}
			for _, unit := range []string{"dailyaidecheck.timer", "aidecheck.timer", "aide-check.timer", "samhain.service", "wazuh-agent.service"} {
				on, err := h.Wanted(unit)
				if err != nil {
					return audit.Unknown(err)
				}
				if on {
					return audit.Pass(installed, audit.At(unit, 0, "started"))
				}
			}
			for _, pattern := range []string{"/etc/cron.daily/*aide*", "/etc/cron.daily/tripwire", "/etc/cron.d/*aide*"} {
				found, err := h.Glob(pattern)
				if err != nil {
					return audit.Unknown(err)
				}
				if len(found) > 0 {
					return audit.Pass(installed, audit.At(found[0], 0, "runs it"))
				}
			}
			return audit.Fail(installed, audit.At(installed, 0, "is there, and nothing runs it"))
		},
	}
}
