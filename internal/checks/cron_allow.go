package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func cronAllow() audit.Check {
	return audit.Check{
		ID: "cron.allow", Title: "Only those who shall may leave jobs to cron and at", Severity: finding.Info,
		Why:       "A job of cron's is how an intruder stays after the account's password was changed.",
		Fix:       "Write the accounts that need it into /etc/cron.allow and /etc/at.allow, Home Assistant's too if it has jobs.",
		Reference: []string{"CIS Debian 12 2.4.1.8", "CIS Debian 12 2.4.2.1", "crontab(1)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			var evidence []finding.Evidence
			seen := false
			for _, tool := range []string{"cron", "at"} {
				there, err := h.Exists(map[string]string{"cron": "/usr/bin/crontab", "at": "/usr/bin/at"}[tool])
				if err != nil {
					return audit.Unknown(err)
				}
				if !there {
					continue
				}
				seen = true
				allow, err := h.Exists("/etc/" + tool + ".allow")
				if err != nil {
					return audit.Unknown(err)
				}
				if !allow {
					evidence = append(evidence, audit.At("/etc/"+tool+".allow", 0, "is not there"))
				}
			}
			if !seen {
				return audit.NotApplicable("there is no cron and no at")
			}
			return audit.PassIf(len(evidence) == 0, len(evidence), evidence...)
		},
		Profile: audit.ProfileStrict,
		Repair:  cronAllowRepair,
	}
}
