package checks

import (
	"errors"
	"fmt"
	"io/fs"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func bootGrubPerms() audit.Check {
	return audit.Check{
		ID: "boot.grub-perms", Title: "Nobody but root reads GRUB's settings", Severity: finding.Low,
		Why:       "GRUB's menu may hold a password's hash, and shows how the machine is started.",
		Fix:       "chown root:root /boot/grub/grub.cfg and chmod 0600 it; update-grub keeps that mode if it finds it, else a drop-in of its umask helps.",
		Reference: []string{"CIS Debian 12 1.4.2", "CIS RHEL 9 1.4.2", "Securing Debian 4.3"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			var bad []finding.Evidence
			found := false
			for _, name := range []string{"/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/grub2/user.cfg"} {
				info, err := h.Stat(name)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return audit.Unknown(err)
				}
				found = true
				if info.UID != 0 || info.GID != 0 || info.Mode.Perm()&0o177 != 0 {
					bad = append(bad, audit.At(name, 0, fmt.Sprintf("%s %d:%d", octal(info.Mode), info.UID, info.GID)))
				}
			}
			if !found {
				return audit.NotApplicable("GRUB is not what starts this machine")
			}
			return audit.PassIf(len(bad) == 0, nil, bad...)
		},
		Profile: audit.ProfileHome,
		Repair:  grubPermsRepair,
	}
}
