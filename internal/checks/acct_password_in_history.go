package checks

import (
	"errors"
	"io/fs"
	"path"
	"regexp"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsPasswordInHistory() audit.Check {
	return audit.Check{
		ID: "acct.password-in-gecos-history", Title: "No passwords stand in the histories of shells", Severity: finding.Med,
		Why:       "A shell writes down what is typed, and backups copy it. A password on a command line stands there for years.",
		Fix:       "Delete the lines (history -d, or edit the file), change the password, and let programs read it from a file or ask for it.",
		Reference: []string{"bash(1)", "CWE-532"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			users, err := people(h)
			if err != nil {
				return audit.Unknown(err)
			}
			form := regexp.MustCompile(`(?i)(^|\s)(mysql|mysqldump|mariadb)\s(.*\s)?-p[^\s]+|(^|\s)curl\s(.*\s)?(-u|--user)[ =]?\S+:[^\s:@]+|--(password|passwd|pass)[= ]["']?[^\s"'$-][^\s]*|sshpass\s+-p\s*\S+|://[^/\s:@]+:[^/\s:@$]+@|PGPASSWORD=[^\s$]+|echo\s+\S+:\S+\s*\|\s*(sudo\s+)?chpasswd`)
			lines := 0
			var evidence []finding.Evidence
			for _, u := range users {
				home := homeOf(u)
				if home == "" {
					continue
				}
				for _, name := range []string{".bash_history", ".zsh_history", ".sh_history", ".ash_history"} {
					file := path.Join(home, name)
					t, err := h.Text(file)
					if errors.Is(err, fs.ErrNotExist) {
						continue
					}
					if err != nil {
						return audit.Unknown(err)
					}
					for n, line := range t.Lines {
						if form.MatchString(line) {
							lines++
							if lines <= 20 {
								evidence = append(evidence, audit.At(file, n+1, "a command with a password in it"))
							}
						}
					}
				}
			}
			return audit.PassIf(lines == 0, lines, evidence...)
		},
		ByHand: "Taking the line away does not take the password back: it has to be changed where it is used.",
	}
}
