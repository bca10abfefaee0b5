package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/finding"
)

func sshX11() audit.Check {
	return audit.Check{
		ID: "ssh.x11", Title: "Windows are not forwarded", Severity: finding.Low,
		Why:       "A server in a cupboard has no windows; the forwarding opens a way from it to the screen of whoever logs in.",
		Fix:       "Say \"X11Forwarding no\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge:     sshOpenTo("X11Forwarding", sshIs("no")),
		Profile:   audit.ProfileHome,
		Repair: sshRepair("Has the SSH server forward no windows.",
			"Programs with windows that are started here over SSH have no screen.", sshYes("X11Forwarding", "no")),
	}
}
