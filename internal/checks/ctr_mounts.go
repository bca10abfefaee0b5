package checks

import (
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func ctrMounts() audit.Check {
	return audit.Check{
		ID: "ctr.mounts", Title: "No container may write to the machine's own folders", Severity: finding.Crit,
		Why:       "A container that may write to /etc or /root can give itself the whole machine, whatever else keeps it in.",
		Fix:       "Mount only the folder that the program needs, and with :ro where it only reads.",
		Reference: []string{"CIS Docker 5.6"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			sensitive := []string{"/", "/etc", "/root", "/run", "/var/run", "/var", "/var/lib", "/var/lib/docker", "/usr", "/usr/bin", "/usr/local/bin", "/bin", "/sbin", "/lib", "/boot", "/home", "/proc", "/sys", "/dev", "/etc/systemd", "/etc/systemd/system", "/etc/cron.d", "/etc/ssh", "/root/.ssh", "/var/spool/cron"}
			return judgeContainers(h, func(c facts.ContainerSpec) (bad []finding.Evidence) {
				for _, m := range c.Mounts() {
					if !m.ReadOnly && slices.Contains(sensitive, m.Source) {
						bad = append(bad, audit.At(c.File, m.Line, c.Name+": "+m.Source))
					}
				}
				return bad
			})
		},
		ByHand: "The container has to be made again with other folders, and what it does with them only you know.",
	}
}
