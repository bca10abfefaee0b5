package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func loggingSingle() audit.Check {
	return audit.Check{
		ID: "log.single", Title: "The log is written once", Severity: finding.Info,
		Why:       "Journal and rsyslog beside each other write every line twice: twice the wear of an SD card, and two places to look.",
		Fix:       "Take rsyslog off (apt remove rsyslog), or set Storage=volatile in journald.conf if you prefer the files.",
		Reference: []string{"CIS Debian 12 6.1.1.4", "CIS Debian 12 6.1.2.2", "CIS Debian 12 6.1.3.1", "journald.conf(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			storage, e, _, err := journalStorage(h)
			if err != nil {
				return audit.Unknown(err)
			}
			rsyslog, err := rsyslogRuns(h)
			if err != nil {
				return audit.Unknown(err)
			}
			if rsyslog && storage == "persistent" {
				return audit.Fail("journal and rsyslog", e, audit.At("rsyslog.service", 0, "started at boot"))
			}
			if rsyslog {
				return audit.Pass("rsyslog")
			}
			return audit.Pass("journal")
		},
	}
}
