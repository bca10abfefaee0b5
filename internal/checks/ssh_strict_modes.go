package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/finding"
)

func sshStrictModes() audit.Check {
	return audit.Check{
		ID: "ssh.strict-modes", Title: "Keys that others can write are not accepted", Severity: finding.High,
		Why:       "Without it sshd takes a list of keys that another account can write, and so another account can let itself in. Look before you turn it on whether somebody's home may be written by their group: their key stops working.",
		Fix:       "Say \"StrictModes yes\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge:     sshSetting("StrictModes", sshIs("yes")),
		Profile:   audit.ProfileHome,
		Repair: sshRepair("Has the SSH server refuse lists of keys that others can write.",
			"", sshYes("StrictModes", "yes"), sshKeysStay, sshAllGetIn),
	}
}
