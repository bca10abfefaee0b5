package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func svcMTA() audit.Check {
	return audit.Check{
		ID: "svc.mta", Title: "The mail server takes mail from this machine only", Severity: finding.Low,
		Why:       "A mail server that is open to others is used to send their advertising, in your name.",
		Fix:       "Postfix: inet_interfaces = loopback-only. Exim: dc_local_interfaces='127.0.0.1 ; ::1' in /etc/exim4/update-exim4.conf.conf.",
		Reference: []string{"CIS Debian 12 2.1.21", "CIS RHEL 9 2.1.21"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return serviceFiles(h, "there is no Postfix and no Exim", nil, []string{"/etc/postfix/main.cf", "/etc/exim4/update-exim4.conf.conf"}, func(t facts.Text) ([]finding.Evidence, error) {
				name, value, line := "inet_interfaces", "all (default)", 0
				if strings.Contains(t.Path, "exim4") {
					name = "dc_local_interfaces"
				}
				for n, l := range t.Lines {
					if k, v, ok := strings.Cut(l, "="); ok && strings.TrimSpace(k) == name {
						value, line = strings.Trim(strings.TrimSpace(v), `'"`), n+1
					}
				}
				for f := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ' ' || r == ',' || r == ';' }) {
					if f != "loopback-only" && f != "localhost" && !strings.HasPrefix(f, "127.") && f != "::1" && f != "[::1]" {
						return []finding.Evidence{audit.At(t.Path, line, name+" "+value)}, nil
					}
				}
				if value == "" {
					return []finding.Evidence{audit.At(t.Path, line, name+" is empty: every address")}, nil
				}
				return nil, nil
			})
		},
		Profile: audit.ProfileStrict,
		Repair:  mtaRepair,
	}
}
