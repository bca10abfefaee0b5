package checks

import (
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func inetDNS() audit.Check {
	return audit.Check{
		ID: "inet.dns", Title: "Nobody else reads the password of the house's name", Severity: finding.Low,
		Why:       "Who has it leads your address to his own machine, and gets a certificate for it.",
		Fix:       "chmod 600 the file that is named, owned by the account that the updater runs as.",
		Reference: []string{"ddclient(8)", "DuckDNS: install"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return serviceFiles(h, "nothing here updates a name", []string{"duck.sh", "duckdns/duck.sh"}, []string{"/etc/ddclient.conf", "/etc/ddclient/ddclient.conf", "/etc/inadyn.conf", "/etc/inadyn/inadyn.conf"}, func(t facts.Text) ([]finding.Evidence, error) {
				info, err := h.Stat(t.Path)
				if err != nil {
					return nil, err
				}
				if info.Mode.Perm()&0o007 != 0 {
					return []finding.Evidence{audit.At(t.Path, 0, fmt.Sprintf("mode %04o", info.Mode.Perm()))}, nil
				}
				return nil, nil
			})
		},
	}
}
