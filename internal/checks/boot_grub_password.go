package checks

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func bootGrubPassword() audit.Check {
	return audit.Check{
		ID: "boot.grub-password", Title: "GRUB asks for a password before its entries are changed", Severity: finding.Info,
		Why:       "Whoever stands in front of the machine adds init=/bin/sh and is root; only a password there, and an encrypted disk, keep him out.",
		Fix:       "Set superusers and password_pbkdf2 (grub-mkpasswd-pbkdf2) in /etc/grub.d, and --unrestricted for the usual entry: without that the machine does not start by itself any more.",
		Reference: []string{"CIS Debian 12 1.4.1", "CIS RHEL 9 1.4.1", "Securing Debian 4.3"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			found := false
			for _, name := range []string{"/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"} {
				t, err := h.Text(name)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return audit.Unknown(err)
				}
				found = true
				super, password := 0, false
				for n, line := range t.Lines {
					f := strings.Fields(line)
					if len(f) > 1 && f[0] == "set" && strings.HasPrefix(f[1], "superusers=") && strings.Trim(f[1][11:], `"'`) != "" {
						super = n + 1
					}
					password = password || len(f) > 1 && (f[0] == "password_pbkdf2" || f[0] == "password") && !strings.Contains(line, "${GRUB2_PASSWORD}")
				}
				if !password {
					// Red Hat's password is in a file of its own.
					user, err := h.Text(path.Dir(name) + "/user.cfg")
					if err != nil && !errors.Is(err, fs.ErrNotExist) {
						return audit.Unknown(err)
					}
					for _, line := range user.Lines {
						password = password || strings.HasPrefix(line, "GRUB2_PASSWORD=grub.pbkdf2")
					}
				}
				if super > 0 && password {
					return audit.Pass(true, audit.At(name, super, "superusers are set"))
				}
				return audit.Fail(false, audit.At(name, super, "no superusers with a password"))
			}
			if !found {
				return audit.NotApplicable("GRUB is not what starts this machine")
			}
			return audit.Unknown(errors.New("GRUB's menu could not be judged"))
		},
	}
}
