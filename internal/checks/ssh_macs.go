package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshMacs() audit.Check {
	return audit.Check{
		ID: "ssh.macs", Title: "Connections are sealed by sound methods", Severity: finding.Med,
		Why:       "A seal that is too short, or that is put on before encrypting, lets somebody in between try changes.",
		Fix:       "Say \"MACs hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com,umac-128-etm@openssh.com\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"CIS Debian 12 5.1.15", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			s, err := h.SSHD()
			if err != nil {
				return sshRefused(err)
			}
			if v := sshValues(s, "Ciphers", facts.SSHPeer{}, sshWithout(func(name string) bool {
				return !strings.Contains(name, "-gcm@") && !strings.HasPrefix(name, "chacha20-poly1305")
			})); v.Result != finding.Fail {
				return v // ciphers that seal by themselves: the list is not asked
			}
			return sshWeak(s, "MACs", facts.SSHPeer{}, sshWeakMAC)
		},
		Profile: audit.ProfileHome,
		Repair: sshWithoutWeak("Has the SSH server seal connections by the sound methods alone.",
			"Programs from before 2013 do not connect any more.", sshWeakMAC, "MACs"),
	}
}

func sshWeakMAC(name string) bool {
	return !strings.Contains(name, "-etm@") || strings.Contains(name, "md5") || strings.Contains(name, "-96") || strings.HasPrefix(name, "umac-64")
}
