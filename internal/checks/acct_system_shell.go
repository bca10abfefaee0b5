package checks

import (
	"cmp"
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsSystemShell() audit.Check {
	return audit.Check{
		ID: "acct.system-shell", Title: "Accounts of programs have no shell", Severity: finding.Med,
		Why:       "A program's account that has a shell can be worked in by whoever breaks the program or guesses a password.",
		Fix:       "Take the shell away (usermod -s /usr/sbin/nologin NAME).",
		Reference: []string{"CIS Debian 12 5.4.2.7", "CIS RHEL 9 5.4.2.7", "Securing Debian 4.11", "nologin(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			all, err := logins(h)
			if err != nil {
				return audit.Unknown(err)
			}
			names := []string{}
			var evidence, noted []finding.Evidence
			for _, l := range all {
				if !l.system || l.UID == 0 || !l.LoginShell() {
					continue
				}
				keys, err := keysOf(h, l.User)
				if err != nil {
					return audit.Unknown(err)
				}
				e := audit.At("/etc/passwd", l.Line, l.Name+": "+cmp.Or(l.Shell, "/bin/sh"))
				// These are worked in by people, over sudo -u or with a key.
				worked := slices.Contains([]string{"postgres", "git", "gitea", "forgejo", "backup", "homeassistant", "hass"}, l.Name)
				if worked && !l.password.Usable() || keys > 0 {
					noted = append(noted, e)
					continue
				}
				names, evidence = append(names, l.Name), append(evidence, e)
			}
			if len(evidence) == 0 {
				return audit.Pass(names, noted...)
			}
			return audit.Fail(names, evidence...)
		},
		Profile: audit.ProfileStrict,
		Repair:  noShells,
	}
}
