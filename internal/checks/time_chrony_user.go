package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func timeChronyUser() audit.Check {
	return audit.Check{
		ID: "time.chrony-user", Title: "chrony is not root, and gives the time to nobody outside", Severity: finding.Low,
		Why:       "A program that speaks with the whole network needs no more than its own account; an open time server is used to flood others.",
		Fix:       "Take user root out of /etc/chrony/chrony.conf and -u root out of /etc/default/chrony; name your own network after allow, or take it out.",
		Reference: []string{"CIS Debian 12 2.3.3.2", "CIS RHEL 9 2.3.3", "chrony.conf(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			lines, err := linesOf(h, []string{"/etc/chrony/chrony.conf", "/etc/chrony.conf", "/etc/chrony/conf.d/*.conf", "/etc/chrony.d/*.conf"})
			if err != nil {
				return audit.Unknown(err)
			}
			if len(lines) == 0 {
				return audit.NotApplicable("chrony is not installed")
			}
			options, err := linesOf(h, []string{"/etc/default/chrony", "/etc/sysconfig/chronyd"})
			if err != nil {
				return audit.Unknown(err)
			}
			var bad []finding.Evidence
			user, explicit := "its own", false
			for _, l := range lines {
				f := strings.Fields(l.text)
				switch strings.ToLower(f[0]) {
				case "user":
					if len(f) > 1 {
						user, explicit = f[1], true
					}
					if user == "root" {
						bad = append(bad, audit.At(l.file, l.line, l.text))
					}
				case "allow":
					if len(f) == 1 || slices.Contains([]string{"all", "0/0", "0.0.0.0/0", "::/0", "0"}, f[len(f)-1]) {
						bad = append(bad, audit.At(l.file, l.line, l.text))
					}
				}
			}
			for _, l := range options {
				if strings.Contains(l.text, "-u root") {
					bad = append(bad, audit.At(l.file, l.line, l.text))
				}
			}
			return audit.PassIf(len(bad) == 0, user, bad...).Explicitly(explicit)
		},
		Profile: audit.ProfileHome,
		Repair:  chronyUserRepair,
	}
}
