package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func svcAdminUIs() audit.Check {
	return audit.Check{
		ID: "svc.admin-uis", Title: "Pages that administer the machine are not open to the network", Severity: finding.High,
		Why:       "Portainer, code-server, phpMyAdmin and the like are the machine itself behind one password, often a weak one.",
		Fix:       "Publish the port on 127.0.0.1 only and reach it over SSH, WireGuard or a proxy that asks first.",
		Reference: []string{"OWASP ASVS 14.3"},
		Needs:     audit.NeedHost | audit.NeedLive,
		Judge: func(h *facts.Host) audit.Verdict {
			evidence, err := openPorts(h, 9000, 9443, 8443, 3000, 8086, 9090, 9100, 10000, 19999, 8081, 5050)
			kept := evidence[:0]
			for _, e := range evidence {
				v := strings.ToLower(e.Value)
				for _, name := range []string{"portainer", "code-server", "phpmyadmin", "adminer", "pgadmin", "grafana", "influx", "prometheus", "node_exporter", "node-exporter", "webmin", "miniserv", "cockpit", "netdata"} {
					if strings.Contains(v, name) {
						kept = append(kept, e)
						break
					}
				}
			}
			if len(kept) == 0 && err != nil {
				return audit.Unknown(err)
			}
			return audit.PassIf(len(kept) == 0, len(kept), kept...)
		},
		ByHand: "Who administers the machine from where only you know.",
	}
}
