package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func loggingRemote() audit.Check {
	return audit.Check{
		ID: "log.remote", Title: "A copy of the log goes to another machine", Severity: finding.Info,
		Why:       "Whoever becomes root wipes his traces out of the log here; not out of a copy somewhere else.",
		Fix:       "systemd-journal-upload, or rsyslog with action(type=\"omfwd\" …), to a machine that you trust, over TLS or a VPN.",
		Reference: []string{"CIS Debian 12 6.1.2.1.1", "CIS Debian 12 6.1.2.1.2", "CIS RHEL 9 6.2.2.1.1", "systemd-journal-upload.service(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			up, err := h.Wanted("systemd-journal-upload.service")
			if err != nil {
				return audit.Unknown(err)
			}
			if up {
				return audit.Pass("systemd-journal-upload", audit.At("systemd-journal-upload.service", 0, "started at boot"))
			}
			lines, err := rsyslogLines(h)
			if err != nil {
				return audit.Unknown(err)
			}
			for _, l := range lines {
				f := strings.Fields(l.text)
				if strings.Contains(strings.ToLower(l.text), "omfwd") || strings.Contains(strings.ToLower(l.text), "omrelp") || len(f) > 1 && strings.HasPrefix(f[1], "@") {
					return audit.Pass("rsyslog", audit.At(l.file, l.line, f[0]+" …"))
				}
			}
			for _, unit := range []string{"promtail.service", "alloy.service", "vector.service", "fluent-bit.service", "filebeat.service", "syslog-ng.service"} {
				on, err := h.Wanted(unit)
				if err != nil {
					return audit.Unknown(err)
				}
				if on {
					return audit.Pass(unit, audit.At(unit, 0, "started at boot"))
				}
			}
			return audit.Fail("none", audit.At("systemd-journal-upload.service", 0, "is not started, nor is anything like it"))
		},
	}
}
