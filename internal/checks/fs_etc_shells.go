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

func filesystemsEtcShells() audit.Check {
	return audit.Check{
		ID: "fs.etc-shells", Title: "/etc/shells lists shells only, and is root's", Severity: finding.Low,
		Why:       "Who has one of these shells counts as a person who may sign in: with nologin among them, locked accounts do, too.",
		Fix:       "chown root:root /etc/shells, chmod 0644 it, and take nologin and false out of it.",
		Reference: []string{"CIS Debian 12 5.4.3.1", "CIS Debian 12 7.1.9", "CIS RHEL 9 7.1.9", "shells(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			t, err := h.Text("/etc/shells")
			if errors.Is(err, fs.ErrNotExist) {
				return audit.NotApplicable("there is no /etc/shells")
			}
			if err != nil {
				return audit.Unknown(err)
			}
			info, err := h.Stat("/etc/shells")
			if err != nil {
				return audit.Unknown(err)
			}
			var bad []finding.Evidence
			if info.UID != 0 || info.Mode.Perm()&0o022 != 0 {
				bad = append(bad, audit.At(t.Path, 0, fmt.Sprintf("%s %d:%d", octal(info.Mode), info.UID, info.GID)))
			}
			for n, line := range t.Lines {
				line, _, _ = strings.Cut(line, "#")
				if base := path.Base(strings.TrimSpace(line)); base == "nologin" || base == "false" {
					bad = append(bad, audit.At(t.Path, n+1, strings.TrimSpace(line)))
				}
			}
			return audit.PassIf(len(bad) == 0, nil, bad...)
		},
		Profile: audit.ProfileHome,
		Repair:  etcShellsRepair,
	}
}
