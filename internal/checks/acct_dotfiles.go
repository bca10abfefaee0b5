package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsDotfiles() audit.Check {
	return audit.Check{
		ID: "acct.dotfiles", Title: "Nobody else can change what runs when a person logs in", Severity: finding.High,
		Why:       "A shell reads its files at every login, and some of them let others in without a password. Whoever can write them acts as that person.",
		Fix:       "chmod go-w the file; take .rhosts, .shosts and .forward away; chmod 600 .netrc.",
		Reference: []string{"CIS Debian 12 7.2.10", "CIS RHEL 9 7.2.9", "ruserok(3)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			users, err := people(h)
			if err != nil {
				return audit.Unknown(err)
			}
			files := []string{}
			var evidence []finding.Evidence
			for _, u := range users {
				home := homeOf(u)
				if home == "" {
					continue
				}
				names, err := h.Dir(home)
				if err != nil {
					return audit.Unknown(err)
				}
				for _, name := range names {
					if !dotName(name) {
						continue
					}
					file := path.Join(home, name)
					info, err := h.Lstat(file)
					if errors.Is(err, fs.ErrNotExist) {
						continue
					}
					if err != nil {
						return audit.Unknown(err)
					}
					if info.Mode&fs.ModeSymlink != 0 {
						continue
					}
					why, err := writableBy(h, info, u.UID)
					if err != nil {
						return audit.Unknown(err)
					}
					switch {
					case name == ".rhosts" || name == ".shosts" || name == ".forward":
						why = "should not be there"
					case why != "" && !strings.HasPrefix(why, "it "):
						why = fmt.Sprintf("mode %04o, written to by %s", info.Mode.Perm(), why)
					case name == ".netrc" && info.Mode.Perm()&0o077 != 0:
						why = fmt.Sprintf("mode %04o, and it holds passwords", info.Mode.Perm())
					}
					if why != "" {
						files = append(files, file)
						evidence = append(evidence, audit.At(file, 0, why))
					}
				}
			}
			return audit.PassIf(len(evidence) == 0, files, evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  closeDotfiles,
	}
}
