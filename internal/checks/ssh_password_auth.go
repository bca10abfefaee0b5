package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

func sshPasswordAuth() audit.Check {
	return audit.Check{
		ID: "ssh.password-auth", Title: "Nobody logs in with a password", Severity: finding.Crit,
		Why:       "A password can be guessed from anywhere, around the clock; a key cannot.",
		Fix:       "Put a key into your account's ~/.ssh/authorized_keys and try it; then say \"PasswordAuthentication no\" and \"KbdInteractiveAuthentication no\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"Securing Debian 5.1", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			s, err := h.SSHD()
			if err != nil {
				return sshRefused(err)
			}
			needsKey, err := sshNeedsKey(s)
			if err != nil {
				return sshRefused(err)
			}
			if needsKey {
				return sshValues(s, "AuthenticationMethods", facts.SSHPeer{}, func(facts.SSHDValue) bool { return true })
			}
			v := sshValues(s, "PasswordAuthentication", facts.SSHPeer{}, sshIs("no"))
			pam, err := sshAlways(s, "usepam", "no", facts.SSHPeer{})
			if err != nil || pam {
				return v
			}
			if asks := sshValues(s, "KbdInteractiveAuthentication", facts.SSHPeer{}, sshIs("no")); asks.Result != finding.Pass {
				return sshBoth(v, asks) // through PAM the same passwords are asked for
			}
			return v
		},
		Profile: audit.ProfileHome,
		Repair: func(h *facts.Host) (finding.Fix, error) {
			d := fix.Begin(h, "Has the SSH server take keys alone, by a file that it reads before its others.",
				"Whoever has no key does not come in any more, from nowhere.")
			sshSet(d, "PasswordAuthentication", "no", facts.SSHPeer{}, sshIs("no"))
			sshSet(d, "KbdInteractiveAuthentication", "no", facts.SSHPeer{}, sshIs("no"))
			sshNoSecondFactor(d, h)
			sshSomebodyGetsIn(false, true)(d, h)
			sshFelt(d, h)
			return d.Fix()
		},
	}
}
