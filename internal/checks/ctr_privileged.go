package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func ctrPrivileged() audit.Check {
	return audit.Check{
		ID: "ctr.privileged", Title: "No container is privileged", Severity: finding.High,
		Why:       "A privileged container is no container: it sees all devices and can change the machine. Home Assistant's own example shows it, but it works without.",
		Fix:       "Write devices: with the sticks that it needs (/dev/serial/by-id/…), device_cgroup_rules for what is plugged in later, and cap_add: NET_ADMIN and NET_RAW for Bluetooth, instead of privileged: true.",
		Reference: []string{"CIS Docker 5.5", "HA docs: Installation, Container"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeContainers(h, func(c facts.ContainerSpec) []finding.Evidence {
				if s, yes := c.Is("privileged", "true"); yes {
					return []finding.Evidence{audit.At(c.File, s.Line, c.Name+": privileged")}
				}
				return nil
			})
		},
		ByHand: "The container has to be made again with the devices that it needs, which only you know.",
	}
}
