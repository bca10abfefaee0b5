package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsTmout() audit.Check {
	return audit.Check{
		ID: "acct.tmout", Title: "A shell that is left alone ends within a quarter of an hour", Severity: finding.Info,
		Why:       "Somebody may walk up to a screen that was left open. It also ends long work that shows nothing; no home has to.",
		Fix:       "Only if you must: a file in /etc/profile.d with: readonly TMOUT=900; export TMOUT.",
		Reference: []string{"CIS Debian 12 5.4.3.2", "CIS RHEL 9 5.4.3.2", "bash(1)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			files, err := shellFiles(h)
			if err != nil {
				return audit.Unknown(err)
			}
			seconds, at := 0, audit.At("/etc/profile", 0, "TMOUT is not set")
			for _, f := range files {
				t, err := h.Text(f)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return audit.Unknown(err)
				}
				for n, line := range t.Lines {
					for _, words := range shellWords(line) {
						value, ok := strings.CutPrefix(words[0], "TMOUT=")
						if !ok {
							continue
						}
						if seconds, err = strconv.Atoi(strings.Trim(value, `"'`)); err != nil {
							return audit.Unknown(fmt.Errorf("%s:%d: TMOUT is not a number", f, n+1))
						}
						at = audit.At(f, n+1, "TMOUT="+strconv.Itoa(seconds))
					}
				}
			}
			return audit.PassIf(seconds > 0 && seconds <= 900, seconds, at).Explicitly(at.Line != 0)
		},
		Repair: shellsEnd,
	}
}
