package checks

import (
	"errors"
	"fmt"
	"io/fs"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func cronPerms() audit.Check {
	return audit.Check{
		ID: "cron.perms", Title: "Only root reads and writes what cron does", Severity: finding.Low,
		Why:       "Who reads it knows when backups run and where they go; who writes it is root.",
		Fix:       "chown root:root and chmod og-rwx /etc/crontab /etc/cron.d /etc/cron.hourly /etc/cron.daily /etc/cron.weekly /etc/cron.monthly.",
		Reference: []string{"CIS Debian 12 2.4.1.2", "CIS Debian 12 2.4.1.7", "CIS RHEL 9 2.4.1.2"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			seen := false
			var evidence []finding.Evidence
			for _, name := range []string{"/etc/crontab", "/etc/cron.d", "/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly"} {
				info, err := h.Stat(name)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return audit.Unknown(err)
				}
				seen = true
				if info.Mode.Perm()&0o077 != 0 || info.UID != 0 {
					evidence = append(evidence, audit.At(name, 0, fmt.Sprintf("%04o, user %d", info.Mode.Perm(), info.UID)))
				}
			}
			if !seen {
				return audit.NotApplicable("there is no cron")
			}
			return audit.PassIf(len(evidence) == 0, len(evidence), evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  cronPermsRepair,
	}
}
