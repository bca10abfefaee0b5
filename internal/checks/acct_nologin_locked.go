package checks

import (
	"errors"
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsNologinLocked() audit.Check {
	return audit.Check{
		ID: "acct.nologin-locked", Title: "Accounts without a shell have no password either", Severity: finding.Low,
		Why:       "A password of an account that nobody works in is only good for guessing: mail, file sharing and web logins may accept it.",
		Fix:       "Lock it (passwd -l NAME).",
		Reference: []string{"CIS Debian 12 5.4.2.8", "CIS RHEL 9 5.4.2.8", "passwd(1)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			all, err := logins(h)
			if err != nil {
				return audit.Unknown(err)
			}
			transfers, err := filesOnly(h)
			if err != nil {
				return audit.Unknown(err)
			}
			names := []string{}
			var evidence, noted []finding.Evidence
			for _, l := range all {
				if l.LoginShell() || !l.password.Usable() {
					continue
				}
				e := l.where(string(l.password.Kind) + ", shell " + l.Shell)
				if transfers && !l.system {
					noted = append(noted, e) // it may come for its files, and has to have something to come with
					continue
				}
				names, evidence = append(names, l.Name), append(evidence, e)
			}
			if len(evidence) == 0 {
				return audit.Pass(names, noted...)
			}
			return audit.Fail(names, evidence...)
		},
		Profile: audit.ProfileStrict,
		Repair:  lockWithoutShell,
	}
}

// filesOnly reports whether the SSH server lets some come for their files only.
func filesOnly(h *facts.Host) (bool, error) {
	s, err := h.SSHD()
	if errors.Is(err, facts.ErrNoSSHD) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(s.Lines("forcecommand"), func(l facts.SSHDLine) bool {
		return len(l.Args) > 0 && l.Args[0] == "internal-sftp"
	}), nil
}
