package checks

import (
	"fmt"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func loggingRotation() audit.Check {
	return audit.Check{
		ID: "log.rotation", Title: "Logs do not grow until the disk is full", Severity: finding.Low,
		Why:       "On a full disk Home Assistant writes no history any more, updates fail, and nothing is logged of who comes in.",
		Fix:       "Install logrotate where log files are written, keep its timer on, leave the journal a bound (SystemMaxUse=), and clear the disk if it is fuller than nine tenths.",
		Reference: []string{"logrotate(8)", "journald.conf(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			full, err := h.FullPercent("/var/log")
			if err != nil {
				return audit.Unknown(err)
			}
			if full >= 90 {
				return audit.Fail(fmt.Sprintf("%d %% full", full), audit.At("/var/log", 0, fmt.Sprintf("%d %% of its file system are used", full)))
			}
			s, err := h.Settings("/systemd/journald.conf", "")
			if err != nil {
				return audit.Unknown(err)
			}
			if m, ok := s.Last("Journal", "SystemMaxUse"); ok && (strings.HasSuffix(m.Value, "T") || strings.HasSuffix(m.Value, "P") || m.Value == "infinity") {
				return audit.Fail(m.Value, audit.At(m.File, m.Line, "SystemMaxUse="+m.Value)).Explicitly(true)
			}
			rsyslog, err := rsyslogRuns(h)
			if err != nil {
				return audit.Unknown(err)
			}
			config, err := h.Exists("/etc/logrotate.conf")
			if err != nil {
				return audit.Unknown(err)
			}
			if !config {
				return audit.PassIf(!rsyslog, "journal", audit.At("/etc/logrotate.conf", 0, "is not there"))
			}
			timer, err := h.Wanted("logrotate.timer")
			if err != nil {
				return audit.Unknown(err)
			}
			daily, err := h.Exists("/etc/cron.daily/logrotate")
			if err != nil {
				return audit.Unknown(err)
			}
			return audit.PassIf(timer || daily, "logrotate", audit.At("logrotate.timer", 0, fmt.Sprintf("started: %t", timer)))
		},
		Profile: audit.ProfileHome,
		Repair:  logRotationRepair,
	}
}
