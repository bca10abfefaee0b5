package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func ctrCapabilities() audit.Check {
	return audit.Check{
		ID: "ctr.caps-nnp", Title: "Containers can gain no rights, and have none that they do not need", Severity: finding.Med,
		Why:       "If a program in a container is taken over, these two lines are what keeps it from becoming more.",
		Fix:       "Write security_opt: [\"no-new-privileges:true\"] to each service, and cap_drop: [ALL] with what it needs in cap_add; images with s6 need CHOWN, SETUID and SETGID.",
		Reference: []string{"CIS Docker 5.3", "CIS Docker 5.25"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			d, err := h.DockerDaemon()
			if err != nil {
				return audit.Unknown(err)
			}
			everywhere := d.Settings["no-new-privileges"] == true
			dangerous := []string{"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "DAC_READ_SEARCH", "BPF", "SYS_BOOT"}
			return judgeContainers(h, func(c facts.ContainerSpec) (bad []finding.Evidence) {
				nnp := slices.ContainsFunc(c.All("security_opt"), func(s facts.ContainerSetting) bool {
					return strings.HasPrefix(s.Value, "no-new-privileges") && !strings.HasSuffix(s.Value, "false")
				})
				if !nnp && !everywhere {
					bad = append(bad, containerAt(c, "security_opt", "no-new-privileges is not set"))
				}
				for _, s := range c.All("cap_add") {
					if slices.Contains(dangerous, strings.TrimPrefix(strings.ToUpper(s.Value), "CAP_")) {
						bad = append(bad, audit.At(c.File, s.Line, c.Name+": "+s.Value))
					}
				}
				return bad
			})
		},
	}
}
