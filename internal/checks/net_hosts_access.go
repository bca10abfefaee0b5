package checks

import (
	"errors"
	"io/fs"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func netHostsAccess() audit.Check {
	return audit.Check{
		ID: "net.hosts-access", Title: "Nobody relies on hosts.allow and hosts.deny", Severity: finding.Info,
		Why:       "Today's SSH servers and most others do not read these files any more: what is closed there is open.",
		Fix:       "Say the same in the firewall, or with AllowUsers user@address in sshd_config, and empty the files.",
		Reference: []string{"hosts_access(5)", "OpenSSH 6.7 release notes"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			var evidence []finding.Evidence
			for _, file := range []string{"/etc/hosts.allow", "/etc/hosts.deny"} {
				t, err := h.Text(file)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return audit.Unknown(err)
				}
				for n, line := range t.Lines {
					if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
						evidence = append(evidence, audit.At(file, n+1, line))
					}
				}
			}
			return audit.PassIf(len(evidence) == 0, len(evidence), evidence...)
		},
	}
}
