package checks

import (
	"fmt"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshHostkeyPerms() audit.Check {
	return audit.Check{
		ID: "ssh.hostkey-perms", Title: "Only root reads the machine's own keys", Severity: finding.High,
		Why:       "Whoever can read such a key can pretend to be this machine and take the passwords of those who log in.",
		Fix:       "chown root: and chmod 600 the private keys, chmod 644 the .pub files in /etc/ssh.",
		Reference: []string{"CIS Debian 12 5.1.2", "CIS Debian 12 5.1.3", "CIS RHEL 9 5.1.2", "CIS RHEL 9 5.1.3"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			keys, err := h.SSHHostKeys()
			if err != nil {
				return sshRefused(err)
			}
			if len(keys) == 0 {
				return audit.NotApplicable("there are no host keys")
			}
			var bad, good []finding.Evidence
			for _, k := range keys {
				says := audit.At(k.Private, 0, sshModeSays(k.PrivateInfo))
				group := k.PrivateInfo.GID != 0 && k.PrivateInfo.Mode.Perm() == 0o640 && sshGroupIs(h, k.PrivateInfo.GID, "ssh_keys") // of RHEL
				if k.PrivateInfo.UID != 0 || k.PrivateInfo.Mode.Perm()&0o177 != 0 && !group {
					bad = append(bad, says)
				}
				if k.Public != "" && (k.PublicInfo.UID != 0 || k.PublicInfo.Mode.Perm()&0o133 != 0) {
					bad = append(bad, audit.At(k.Public, 0, sshModeSays(k.PublicInfo)))
				}
				good = append(good, says)
			}
			if len(bad) > 0 {
				return audit.Fail(bad[0].Value, bad...)
			}
			return audit.Pass(good[0].Value, good...)
		},
		Profile: audit.ProfileHome,
		Repair:  sshCloseHostKeys,
	}
}

func sshModeSays(i facts.Info) string {
	return fmt.Sprintf("%04o of %d:%d", i.Mode.Perm(), i.UID, i.GID)
}

// sshGroupIs reports whether a number is that of a group.
func sshGroupIs(h *facts.Host, gid uint32, name string) bool {
	t, err := h.Text("/etc/group")
	if err != nil {
		return false
	}
	for _, line := range t.Lines {
		if f := strings.Split(line, ":"); len(f) == 4 && f[0] == name && f[2] == strconv.FormatUint(uint64(gid), 10) {
			return true
		}
	}
	return false
}
