package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshAuthkeysRoot() audit.Check {
	return audit.Check{
		ID: "ssh.authkeys-root", Title: "No key makes its holder root", Severity: finding.High,
		Why:       "A key of root's that may do anything is all that stands between whoever finds it and the whole house.",
		Fix:       "Move the key to an account of its own that may use sudo; a backup's key gets restrict,command=\"…\" before it.",
		Reference: []string{"sshd(8)", "Securing Debian 5.1"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			s, err := h.SSHD()
			if err != nil {
				return sshRefused(err)
			}
			keys, unread := sshRootKeys(h)
			closed, err := sshAlways(s, "permitrootlogin", "no", sshRoot())
			if err != nil {
				return sshRefused(err)
			}
			switch {
			case len(keys) > 0 && closed:
				return audit.Pass("PermitRootLogin no", keys...) // they open nothing
			case len(keys) > 0:
				return audit.Fail(len(keys), keys...)
			case unread != nil:
				return audit.Unknown(unread)
			}
			return audit.Pass(0)
		},
		Profile: audit.ProfileStrict,
		Repair:  sshNoRootKeys,
	}
}
