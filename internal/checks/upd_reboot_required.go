package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func updRebootRequired() audit.Check {
	return audit.Check{
		ID: "upd.reboot-required", Title: "What runs is what is installed", Severity: finding.Med,
		Why:       "A program that runs since before an update still has the hole that the update closed.",
		Fix:       "Restart the services that are named, or the machine when nobody needs the alarm.",
		Reference: []string{"needrestart(1)", "proc_pid_maps(5)"},
		Needs:     audit.NeedHost | audit.NeedLive,
		Judge: func(h *facts.Host) audit.Verdict {
			var evidence []finding.Evidence
			for _, file := range []string{"/run/reboot-required", "/var/run/reboot-required"} {
				there, err := h.Exists(file)
				if err != nil {
					return audit.Unknown(err)
				}
				if there && len(evidence) == 0 {
					evidence = append(evidence, audit.At(file, 0, "a restart is asked for"))
				}
			}
			old, err := h.StaleProcesses()
			for _, p := range old {
				evidence = append(evidence, audit.At(p.File, p.Line, p.Command))
			}
			if len(evidence) == 0 && err != nil {
				return audit.Unknown(err)
			}
			return audit.PassIf(len(evidence) == 0, len(evidence), evidence...)
		},
	}
}
