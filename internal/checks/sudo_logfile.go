package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func authenticationSudoLogfile() audit.Check {
	return audit.Check{
		ID: "sudo.logfile", Title: "What is done with sudo is written down", Severity: finding.Info,
		Why:       "Afterwards it tells who did what. By default the journal has it.",
		Fix:       "Take !syslog out of sudo's files, or write Defaults logfile=/var/log/sudo.log with visudo.",
		Reference: []string{"CIS Debian 12 5.2.3", "CIS RHEL 9 5.2.3", "sudoers(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			s, err := h.Sudoers()
			if err != nil {
				return sudoRefused(h, err)
			}
			syslog, file := true, ""
			at := audit.At("/etc/sudoers", 0, "neither syslog nor logfile is set: the journal has it")
			explicit := false
			for _, d := range s.Defaults {
				if d.Scope != "" || d.Name != "syslog" && d.Name != "logfile" {
					continue
				}
				explicit = true
				if d.Name == "syslog" {
					syslog = !d.Negated
				} else if file = d.Value; d.Negated {
					file = ""
				}
				at = audit.At(d.File, d.Line, map[bool]string{true: "!"}[d.Negated]+d.Name+d.Op+d.Value)
			}
			switch {
			case file != "":
				return audit.Pass(file, at).Explicitly(explicit)
			case syslog:
				return audit.Pass("syslog", at).Explicitly(explicit)
			}
			return audit.Fail("nowhere", at).Explicitly(explicit)
		},
		Profile: audit.ProfileHome,
		Repair:  sudoWrites,
	}
}
