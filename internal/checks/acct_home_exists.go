package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsHomeExists() audit.Check {
	return audit.Check{
		ID: "acct.home-exists", Title: "People's homes exist, belong to them and are closed to others", Severity: finding.Med,
		Why:       "In a home lie keys and passwords. One that belongs to somebody else, or that everybody may look into, gives them away.",
		Fix:       "Make the home (mkhomedir_helper NAME), give it to its owner (chown), and close it (chmod 0750 or stricter).",
		Reference: []string{"CIS Debian 12 7.2.9", "CIS RHEL 9 7.2.8", "Securing Debian 4.11", "passwd(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			users, err := people(h)
			if err != nil {
				return audit.Unknown(err)
			}
			homes := []string{}
			var evidence []finding.Evidence
			for _, u := range users {
				home := homeOf(u)
				if u.UID == 0 {
					continue
				}
				if home == "" {
					evidence = append(evidence, audit.At("/etc/passwd", u.Line, u.Name+": no home of its own"))
					continue
				}
				homes = append(homes, home)
				info, err := h.Stat(home)
				if errors.Is(err, fs.ErrNotExist) {
					evidence = append(evidence, audit.At("/etc/passwd", u.Line, u.Name+": "+home+" does not exist"))
					continue
				}
				if err != nil {
					return audit.Unknown(err)
				}
				open := info.Mode.Perm() & 0o027
				if open == 0o001 { // a web server goes through to it
					if there, err := h.Exists(path.Join(home, "public_html")); err != nil {
						return audit.Unknown(err)
					} else if there {
						open = 0
					}
				}
				switch {
				case !info.Mode.IsDir():
					evidence = append(evidence, audit.At(home, 0, "not a directory"))
				case int(info.UID) != u.UID:
					evidence = append(evidence, audit.At(home, 0, fmt.Sprintf("belongs to number %d, not to %s", info.UID, u.Name)))
				case open != 0:
					evidence = append(evidence, audit.At(home, 0, fmt.Sprintf("mode %04o", info.Mode.Perm())))
				}
			}
			return audit.PassIf(len(evidence) == 0, homes, evidence...)
		},
		Profile: audit.ProfileStrict,
		Repair:  closeHomes,
	}
}
