package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshUsePam() audit.Check {
	return audit.Check{
		ID: "ssh.use-pam", Title: "Logins go through the system's rules (PAM)", Severity: finding.Low,
		Why:       "Without PAM the limits, the lock-out after wrong passwords and the notices of the system do not hold for SSH.",
		Fix:       "Say \"UsePAM yes\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"CIS Debian 12 5.1.22", "CIS RHEL 9 5.1.22", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			if _, err := h.SSHD(); err != nil {
				return sshRefused(err)
			}
			r, err := h.Release()
			if err != nil {
				return audit.Unknown(err)
			}
			if !r.Is("debian") && !r.Is("rhel") && !r.Is("fedora") {
				return audit.NotApplicable("this system's sshd is not known to be built for PAM")
			}
			return sshSetting("UsePAM", sshIs("yes"))(h)
		},
		Profile: audit.ProfileHome,
		Repair: sshRepair("Has the SSH server ask the system's rules for logins (PAM).",
			"Accounts that those rules lock or limit are locked and limited over SSH as well.", sshYes("UsePAM", "yes"), sshAllGetIn),
	}
}
