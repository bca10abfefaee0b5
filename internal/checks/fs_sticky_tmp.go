package checks

import (
	"errors"
	"fmt"
	"io/fs"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func filesystemsStickyTmp() audit.Check {
	return audit.Check{
		ID: "fs.sticky-tmp", Title: "In /tmp nobody can take away what is somebody else's", Severity: finding.High,
		Why:       "All programs share /tmp and /var/tmp: without the sticky bit each can replace another's file there by its own and be run or believed in its stead.",
		Fix:       "chown root:root /tmp /var/tmp and chmod 1777 them.",
		Reference: []string{"CIS RHEL 9 7.1.11", "chmod(1)", "hier(7)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			var bad, all []finding.Evidence
			for _, name := range []string{"/tmp", "/var/tmp"} {
				info, err := h.Stat(name)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return audit.Unknown(err)
				}
				e := audit.At(name, 0, fmt.Sprintf("%s %d:%d", octal(info.Mode), info.UID, info.GID))
				all = append(all, e)
				open := info.Mode.Perm()&0o022 != 0
				if !info.Mode.IsDir() || info.UID != 0 || open && info.Mode&fs.ModeSticky == 0 {
					bad = append(bad, e)
				}
			}
			if len(all) == 0 {
				return audit.Unknown(errors.New("there is no /tmp"))
			}
			return audit.PassIf(len(bad) == 0, nil, bad...)
		},
		Profile: audit.ProfileHome,
		Repair:  stickyTmpRepair,
	}
}
