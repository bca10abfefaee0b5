package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshKbdInteractive() audit.Check {
	return audit.Check{
		ID: "ssh.kbd-interactive", Title: "Nobody is asked for a password by another name", Severity: finding.High,
		Why:       "This way of asking leads to the same passwords through PAM, even where passwords are turned off.",
		Fix:       "Say \"KbdInteractiveAuthentication no\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd. Where it asks for a second factor, keep it and say \"AuthenticationMethods publickey,keyboard-interactive\".",
		Reference: []string{"sshd_config(5)"},
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
			return sshValues(s, "KbdInteractiveAuthentication", facts.SSHPeer{}, sshIs("no"))
		},
		Profile: audit.ProfileHome,
		Repair: sshRepair("Has the SSH server ask no questions of its own, by a file that it reads before its others.",
			"Whoever has neither a key nor the plain way of typing a password does not come in any more.", sshYes("KbdInteractiveAuthentication", "no"), sshNoSecondFactor, sshAllGetIn),
	}
}
