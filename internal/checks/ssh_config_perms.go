package checks

import (
	"errors"
	"io/fs"
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshConfigPerms() audit.Check {
	return audit.Check{
		ID: "ssh.config-perms", Title: "Only root writes the server's configuration", Severity: finding.High,
		Why:       "Whoever can write it can let themselves in.",
		Fix:       "chown root: and chmod 600 the files that are shown.",
		Reference: []string{"CIS Debian 12 5.1.1", "CIS RHEL 9 5.1.1"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			s, err := h.SSHD()
			if err != nil {
				return sshRefused(err)
			}
			names := append([]string{"/etc/ssh", "/etc/ssh/sshd_config.d"}, s.Files...)
			inDirectory, err := h.Dir("/etc/ssh/sshd_config.d")
			if err != nil {
				return audit.Unknown(err)
			}
			for _, n := range inDirectory {
				if name := "/etc/ssh/sshd_config.d/" + n; !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
			var bad []finding.Evidence
			var first string
			for _, name := range names {
				info, err := h.Stat(name)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return audit.Unknown(err)
				}
				if info.UID != 0 || info.Mode.Perm()&0o022 != 0 {
					bad = append(bad, audit.At(name, 0, sshModeSays(info)))
				}
				if name == facts.SSHDConfig {
					first = sshModeSays(info)
				}
			}
			if len(bad) > 0 {
				return audit.Fail(bad[0].Value, bad...)
			}
			return audit.Pass(first, audit.At(facts.SSHDConfig, 0, first))
		},
		Profile: audit.ProfileHome,
		Repair:  sshCloseConfig,
	}
}
