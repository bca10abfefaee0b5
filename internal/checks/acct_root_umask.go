package checks

import (
	"fmt"
	"path"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsRootUmask() audit.Check {
	return audit.Check{
		ID: "acct.root-umask", Title: "What root writes is not open to everybody", Severity: finding.Low,
		Why:       "Backups and settings that root writes often hold secrets. With the usual umask every account and program on the machine may read them.",
		Fix:       "Write umask 027 (or 077) into .bashrc and .profile in the home of root.",
		Reference: []string{"CIS Debian 12 5.4.2.6", "umask(2)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			home, err := rootHome(h)
			if err != nil {
				return audit.Unknown(err)
			}
			mask, text := -1, ""
			var evidence []finding.Evidence
			for _, file := range []string{".bash_profile", ".bash_login", ".profile", ".bashrc"} {
				file = path.Join(home, file)
				m, line, err := umaskIn(h, file)
				if err != nil {
					return audit.Unknown(err)
				}
				if line == 0 {
					continue
				}
				if mask < 0 || m&0o027 != 0o027 { // each kind of shell reads another of them
					mask, text = m, fmt.Sprintf("%03o", m)
				}
				evidence = append(evidence, audit.At(file, line, fmt.Sprintf("umask %03o", m)))
			}
			if mask >= 0 {
				return audit.PassIf(mask&0o027 == 0o027, text, evidence...).Explicitly(true)
			}
			u, err := systemUmask(h)
			if err != nil {
				return audit.Unknown(err)
			}
			u.groups = false // root is no member of any such group
			return audit.PassIf(u.strict(), u.text(), u.Evidence).Explicitly(false)
		},
		Profile: audit.ProfileStrict,
		Repair:  closedRootFiles,
	}
}
