package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func inetNATPMP() audit.Check {
	return audit.Check{
		ID: "inet.natpmp", Title: "The router opens no ports over NAT-PMP or PCP", Severity: finding.Med,
		Why:       "It is UPnP's younger brother: any program may open a port, and nobody can list which are open.",
		Fix:       "Turn NAT-PMP and PCP off in the router.",
		Reference: []string{"RFC 6886", "RFC 6887"},
		Judge: router(func(r facts.Router) audit.Verdict {
			return audit.PassIf(!r.PCP, r.PCP, audit.At("router", 0, map[bool]string{true: "answers", false: "does not answer"}[r.PCP]))
		}),
	}
}
