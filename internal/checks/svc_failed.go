package checks

import (
	"errors"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func svcFailed() audit.Check {
	return audit.Check{
		ID: "svc.failed", Title: "What protects the machine runs", Severity: finding.Med,
		Why:       "A guard that was set up and does not run protects nobody, and nobody notices.",
		Fix:       "Look why it stopped (systemctl status with the unit that is named, journalctl -u), mend that, and start it.",
		Reference: []string{"systemctl(1)", "cgroups(7)"},
		Needs:     audit.NeedHost | audit.NeedLive,
		Judge: func(h *facts.Host) audit.Verdict {
			slice := ""
			for _, dir := range []string{"/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/systemd/system.slice"} {
				there, err := h.Exists(dir)
				if err != nil {
					return audit.Unknown(err)
				}
				if there && slice == "" {
					slice = dir
				}
			}
			if slice == "" {
				return audit.Unknown(errors.New("/sys/fs/cgroup/system.slice: systemd keeps no services here"))
			}
			list := []string{}
			var evidence []finding.Evidence
			for _, name := range []string{"fail2ban.service", "crowdsec.service", "firewalld.service", "auditd.service", "cron.service", "crond.service", "chrony.service", "chronyd.service", "systemd-timesyncd.service", "unattended-upgrades.service", "rsyslog.service"} {
				u, err := h.Unit(name)
				if err != nil {
					return audit.Unknown(err)
				}
				if !u.Starts() || len(u.All("Unit", "ConditionVirtualization")) > 0 {
					continue
				}
				list = append(list, name)
				runs, err := h.Exists(slice + "/" + name)
				if err != nil {
					return audit.Unknown(err)
				}
				if !runs {
					evidence = append(evidence, audit.At(u.EnabledBy, 0, name+" shall start, and does not run"))
				}
			}
			return audit.PassIf(len(evidence) == 0, list, evidence...)
		},
	}
}
