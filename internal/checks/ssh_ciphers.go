package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshCiphers() audit.Check {
	return audit.Check{
		ID: "ssh.ciphers", Title: "Connections are encrypted by sound methods", Severity: finding.High,
		Why:       "The old ways of encryption give away parts of what they should hide.",
		Fix:       "Say \"Ciphers -*-cbc,arcfour*\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd. On RHEL choose another policy with update-crypto-policies instead.",
		Reference: []string{"CIS Debian 12 5.1.6", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			s, err := h.SSHD()
			if err != nil {
				return sshRefused(err)
			}
			return sshWeak(s, "Ciphers", facts.SSHPeer{}, sshWeakCipher)
		},
		Profile: audit.ProfileHome,
		Repair: sshWithoutWeak("Has the SSH server encrypt by none of the broken methods.",
			"Programs from before 2005 do not connect any more.", sshWeakCipher, "Ciphers"),
	}
}

func sshWeakCipher(name string) bool {
	return strings.Contains(name, "-cbc") || strings.HasPrefix(name, "arcfour") || name == "none"
}
