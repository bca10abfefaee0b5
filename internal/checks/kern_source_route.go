package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func kernelSourceRoute() audit.Check {
	return audit.Check{
		ID: "kern.source-route", Title: "A sender cannot choose the way of its packets through this machine", Severity: finding.Med,
		Why:       "Packets that bring their own route get around the firewall and pretend to come from inside.",
		Fix:       "Put net.ipv4.conf.all.accept_source_route = 0, net.ipv4.conf.default.accept_source_route = 0 and the same of net.ipv6 into a file in /etc/sysctl.d.",
		Reference: []string{"CIS Debian 12 3.3.8", "CIS RHEL 9 3.3.8", "Linux documentation: networking/ip-sysctl"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeInterfaces(h, func(n int) bool { return n <= 0 }, ofInterface{"net/ipv4/conf", "accept_source_route", bothOf}, ofInterface{"net/ipv6/conf", "accept_source_route", bothOf})
		},
		Profile: audit.ProfileHome,
		Repair:  sourceRouteRepair,
	}
}
