package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshCompression() audit.Check {
	return audit.Check{
		ID: "ssh.compression", Title: "Nothing is compressed before the login", Severity: finding.Info,
		Why:       "Compression is code that a stranger could reach before the login.",
		Fix:       "Say \"Compression no\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			s, err := h.SSHD()
			if err != nil {
				return sshRefused(err)
			}
			return sshValues(s, "Compression", facts.SSHPeer{}, func(v facts.SSHDValue) bool {
				// Before 7.4 "yes" was before the login, too.
				early := len(v.Args) > 0 && v.Args[0] == "yes" && (!s.Release.Known() || !s.Release.AtLeast(7, 4))
				return !early
			})
		},
		Profile: audit.ProfileHome,
		Repair: sshRepair("Has the SSH server compress nothing.",
			"Copies over a slow line take longer.", []sshWish{{"Compression", "no", func(v facts.SSHDValue) bool { return len(v.Args) == 0 || v.Args[0] != "yes" }}}),
	}
}
