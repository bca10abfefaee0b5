package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func loggingPersistent() audit.Check {
	return audit.Check{
		ID: "log.persistent", Title: "The log outlives a restart", Severity: finding.Low,
		Why:       "After a break-in, or a crash, the log is all there is to tell what happened; one in memory is gone with the restart that everybody tries first.",
		Fix:       "Put Storage=persistent and SystemMaxUse=200M under [Journal] into a file in /etc/systemd/journald.conf.d; on an SD card that you want to spare send the log elsewhere instead.",
		Reference: []string{"CIS Debian 12 6.1.1.1", "CIS Debian 12 6.1.2.3", "CIS Debian 12 6.1.2.4", "CIS RHEL 9 6.2.1.1", "CIS RHEL 9 6.2.2.3", "journald.conf(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			storage, e, explicit, err := journalStorage(h)
			if err != nil {
				return audit.Unknown(err)
			}
			if storage != "persistent" {
				rsyslog, err := rsyslogRuns(h)
				if err != nil {
					return audit.Unknown(err)
				}
				if rsyslog {
					return audit.Pass("rsyslog", e).Explicitly(explicit)
				}
			}
			s, err := h.Settings("/systemd/journald.conf", "")
			if err != nil {
				return audit.Unknown(err)
			}
			if c, ok := s.Last("Journal", "Compress"); ok && slices.Contains([]string{"no", "false", "0", "off"}, strings.ToLower(c.Value)) {
				return audit.Fail("not compressed", audit.At(c.File, c.Line, "Compress="+c.Value)).Explicitly(true)
			}
			return audit.PassIf(storage == "persistent", storage, e).Explicitly(explicit)
		},
		Profile: audit.ProfileStrict,
		Repair:  logPersistentRepair,
	}
}
