package checks

import (
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func tunnelNoShell() audit.Check {
	return audit.Check{
		ID: "tun.no-shell", Title: "An account for tunnels has no shell and no password", Severity: finding.High,
		Why:       "With a shell, whoever takes over the tunnel's other end runs programs here.",
		Fix:       "usermod -s /usr/sbin/nologin and passwd -l the account, and say \"ForceCommand /usr/sbin/nologin\" in its Match block; ssh -N works all the same.",
		Reference: []string{"sshd(8)", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			accounts, s, err := tunnelAccounts(h)
			if err != nil {
				return sshRefused(err)
			}
			if len(accounts) == 0 {
				return audit.NotApplicable("no account is there for tunnels")
			}
			var bad, good []finding.Evidence
			for _, a := range accounts {
				forced, err := tunnelForced(s, a)
				if err != nil {
					return sshRefused(err)
				}
				if !a.noShell() && !forced {
					bad = append(bad, audit.At("/etc/passwd", a.user.Line, a.user.Name+" has the shell "+a.user.Shell))
				}
				good = append(good, a.shown())
				if !a.own {
					continue // a person's, which may have a password
				}
				password, at, err := tunnelPassword(h, a.user)
				if err != nil {
					return audit.Unknown(err)
				}
				if password {
					bad = append(bad, at)
				}
			}
			if len(bad) > 0 {
				return audit.Fail(len(good), bad...)
			}
			return audit.Pass(len(good), good...)
		},
		Profile: audit.ProfileStrict,
		Repair:  tunnelsWithoutShell,
	}
}

// tunnelForced reports whether each of an account's keys runs one program, whatever is asked.
func tunnelForced(s *facts.SSHD, a tunnelAccount) (bool, error) {
	all, err := s.Values("forcecommand", a.peer())
	if err != nil {
		return false, err
	}
	if !slices.ContainsFunc(all, func(v facts.SSHDValue) bool { return v.Value == "none" }) {
		return true, nil
	}
	return len(a.keys) > 0 && !slices.ContainsFunc(a.keys, func(k facts.AuthorizedKey) bool { return len(k.Option("command")) == 0 }), nil
}
