package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshKex() audit.Check {
	return audit.Check{
		ID: "ssh.kex", Title: "Keys are agreed on by sound methods", Severity: finding.High,
		Why:       "Old methods can be broken by who records the connection, or forced upon it by who sits in between.",
		Fix:       "Say \"KexAlgorithms -diffie-hellman-group1-sha1,diffie-hellman-group14-sha1,diffie-hellman-group-exchange-sha1\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd. On RHEL choose another policy with update-crypto-policies instead.",
		Reference: []string{"CIS Debian 12 5.1.12", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			s, err := h.SSHD()
			if err != nil {
				return sshRefused(err)
			}
			nist := func(v facts.SSHDValue) bool {
				return slices.ContainsFunc(strings.Split(v.Value, ","), func(name string) bool { return !strings.HasPrefix(name, "ecdh-sha2-nistp") })
			}
			if v := sshValues(s, "KexAlgorithms", facts.SSHPeer{}, nist); v.Result != finding.Pass {
				return v
			}
			return sshWeak(s, "KexAlgorithms", facts.SSHPeer{}, sshWeakKex)
		},
		Profile: audit.ProfileHome,
		Repair: sshWithoutWeak("Has the SSH server agree on keys by none of the broken methods.",
			"Programs from before 2014 do not connect any more.", sshWeakKex, "KexAlgorithms"),
	}
}

func sshWeakKex(name string) bool {
	return strings.HasSuffix(strings.TrimSuffix(name, "-"), "-sha1")
}
