package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshBanner() audit.Check {
	return audit.Check{
		ID: "ssh.banner", Title: "A text is shown before the login", Severity: finding.Info,
		Why:       "Some want a notice for strangers there; it keeps nobody out.",
		Fix:       "Say \"Banner /etc/issue.net\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd.",
		Reference: []string{"CIS Debian 12 5.1.5", "CIS RHEL 9 5.1.8", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge:     sshSetting("Banner", func(v facts.SSHDValue) bool { return v.Value != "none" }),
		Repair: sshRepair("Has the SSH server show /etc/issue.net before the login.",
			"Programs that read what comes before a login see one text more.", []sshWish{{"Banner", "/etc/issue.net", func(v facts.SSHDValue) bool { return v.Value != "none" }}}),
	}
}
