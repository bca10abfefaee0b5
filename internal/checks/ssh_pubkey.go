package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/finding"
)

func sshPubkey() audit.Check {
	return audit.Check{
		ID: "ssh.pubkey", Title: "Keys are accepted", Severity: finding.High,
		Why:       "Without keys only passwords are left, and a password can be guessed from anywhere.",
		Fix:       "Say \"PubkeyAuthentication yes\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge:     sshSetting("PubkeyAuthentication", sshIs("yes")),
		Profile:   audit.ProfileHome,
		Repair: sshRepair("Has the SSH server accept keys.",
			"", sshYes("PubkeyAuthentication", "yes")),
	}
}
