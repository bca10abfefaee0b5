package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func ctrResource() audit.Check {
	return audit.Check{
		ID: "ctr.resource", Title: "No container can take all memory and all processes", Severity: finding.Info,
		Why:       "One program that runs wild takes the others along, the alarm among them.",
		Fix:       "Write mem_limit: and pids_limit: to each service.",
		Reference: []string{"CIS Docker 5.11", "CIS Docker 5.29"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeContainers(h, func(c facts.ContainerSpec) []finding.Evidence {
				memory, pids := len(c.All("mem_limit")) > 0, len(c.All("pids_limit")) > 0
				for _, s := range c.All("deploy") {
					memory = memory || strings.HasPrefix(s.Value, "resources.limits.memory=")
					pids = pids || strings.HasPrefix(s.Value, "resources.limits.pids=")
				}
				if memory && pids {
					return nil
				}
				return []finding.Evidence{audit.At(c.File, c.Line, c.Name+": no bound")}
			})
		},
	}
}
