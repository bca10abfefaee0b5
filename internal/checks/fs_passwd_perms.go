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

func filesystemsPasswdPerms() audit.Check {
	return audit.Check{
		ID: "fs.passwd-perms", Title: "The lists of accounts and their passwords are closed as they should be", Severity: finding.High,
		Why:       "Whoever can read the shadow file can try passwords at home, as fast as the machine is; whoever can write to the list of accounts is root.",
		Fix:       "chown root:root /etc/passwd /etc/group and chmod 0644; chown root:shadow /etc/shadow /etc/gshadow and chmod 0640 (on Red Hat root:root, 0000); /etc/security/opasswd 0600.",
		Reference: []string{"CIS Debian 12 7.1.1", "CIS Debian 12 7.1.5", "CIS Debian 12 7.1.6", "CIS Debian 12 7.1.7", "CIS Debian 12 7.1.10", "CIS RHEL 9 7.1.1", "passwd(5)", "shadow(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			shadow, err := shadowGroup(h)
			if err != nil {
				return audit.Unknown(err)
			}
			var bad []finding.Evidence
			for _, one := range []struct {
				name   string
				most   fs.FileMode
				secret bool
			}{
				{"/etc/passwd", 0o644, false}, {"/etc/group", 0o644, false}, {"/etc/passwd-", 0o644, false}, {"/etc/group-", 0o644, false},
				{"/etc/shadow", 0o640, true}, {"/etc/gshadow", 0o640, true}, {"/etc/shadow-", 0o640, true}, {"/etc/gshadow-", 0o640, true},
				{"/etc/security/opasswd", 0o600, true}, {"/etc/security/opasswd.old", 0o600, true},
			} {
				info, err := h.Stat(one.name)
				if errors.Is(err, fs.ErrNotExist) && one.name != "/etc/passwd" {
					continue
				}
				if err != nil {
					return audit.Unknown(err)
				}
				groupMay := info.Mode.Perm()&0o070 != 0
				if info.UID != 0 || info.Mode.Perm()&^one.most != 0 ||
					one.secret && groupMay && info.GID != 0 && info.GID != shadow || !one.secret && info.GID != 0 && info.Mode.Perm()&0o020 != 0 {
					bad = append(bad, audit.At(one.name, 0, fmt.Sprintf("%s %d:%d", octal(info.Mode), info.UID, info.GID)))
				}
			}
			return audit.PassIf(len(bad) == 0, nil, bad...)
		},
		Profile: audit.ProfileHome,
		Repair:  passwdPermsRepair,
	}
}

// shadowGroup is the number of the group that may read the shadow file; root's where
// there is no such group.
func shadowGroup(h *facts.Host) (uint32, error) {
	t, err := h.Text("/etc/group")
	if err != nil {
		return 0, err
	}
	for n, line := range t.Lines {
		f := strings.Split(line, ":")
		if f[0] != "shadow" {
			continue
		}
		if len(f) < 3 {
			return 0, fmt.Errorf("/etc/group:%d: not a group", n+1)
		}
		gid, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil {
			return 0, fmt.Errorf("/etc/group:%d: not a group", n+1)
		}
		return uint32(gid), nil
	}
	return 0, nil
}
