package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshHostkeyAlgs() audit.Check {
	return audit.Check{
		ID: "ssh.hostkey-algs", Title: "Nobody shows who they are with SHA-1 or DSA", Severity: finding.High,
		Why:       "A signature over SHA-1 can be forged by who can pay for it; DSA keys are too short.",
		Fix:       "Take ssh-rsa and ssh-dss out of HostKeyAlgorithms and PubkeyAcceptedAlgorithms, or say \"HostKeyAlgorithms -ssh-rsa,ssh-dss\" and \"PubkeyAcceptedAlgorithms -ssh-rsa,ssh-dss\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd. Very old clients need an update.",
		Reference: []string{"sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			s, err := h.SSHD()
			if err != nil {
				return sshRefused(err)
			}
			return sshBoth(sshWeak(s, "HostKeyAlgorithms", facts.SSHPeer{}, sshWeakSignature), sshWeak(s, "PubkeyAcceptedAlgorithms", facts.SSHPeer{}, sshWeakSignature))
		},
		Profile: audit.ProfileHome,
		Repair: sshWithoutWeak("Has the SSH server sign, and take signatures, without SHA-1 and DSA.",
			"Very old clients, as some routers and telephones have them, do not connect any more.", sshWeakSignature, "HostKeyAlgorithms", "PubkeyAcceptedAlgorithms"),
	}
}

func sshWeakSignature(name string) bool {
	name = strings.TrimSuffix(name, "-cert-v01@openssh.com")
	return name == "ssh-rsa" || name == "ssh-dss"
}
