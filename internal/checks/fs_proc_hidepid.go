package checks

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func filesystemsProcHidepid() audit.Check {
	return audit.Check{
		ID: "fs.proc-hidepid", Title: "A service sees only its own processes", Severity: finding.Low,
		Why:       "The list of processes shows everybody what runs and with which arguments, a password among them now and then.",
		Fix:       "Best ProtectProc=invisible in the units of your services; for the whole machine proc /proc proc hidepid=invisible,gid=NNN 0 0 in /etc/fstab, with a group for polkit and systemd-logind.",
		Reference: []string{"proc(5)", "systemd.exec(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			m, ok, err := h.MountAt("/proc")
			if err != nil {
				return audit.Unknown(err)
			}
			if !ok {
				if h.Live {
					return audit.Unknown(errors.New("/proc is not among the mounts"))
				}
				return audit.Fail("off", audit.At("/etc/fstab", 0, "hidepid is not set")).Explicitly(false)
			}
			v, set := m.Option("hidepid")
			hidden := slices.Contains([]string{"1", "2", "4", "noaccess", "invisible", "ptraceable"}, v)
			return audit.PassIf(hidden, cmp.Or(v, "off"), audit.At(m.File, m.Line, "/proc "+strings.Join(m.Options, ","))).Explicitly(set)
		},
	}
}
