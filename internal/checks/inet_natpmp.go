package checks

import (
	"errors"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/router"
)

func inetNATPMP() audit.Check {
	return audit.Check{
		ID: "inet.natpmp", Title: "The router opens no ports over NAT-PMP or PCP", Severity: finding.Med,
		Why:       "It is UPnP's younger brother: any program may open a port, and nobody can list which are open.",
		Fix:       "Turn NAT-PMP and PCP off in the router.",
		Reference: []string{"RFC 6886", "RFC 6887"},
		Judge: asRouterSays(func(_ *facts.Host, r router.Answers) audit.Verdict {
			switch {
			case r.PCP:
				return audit.Fail(true, audit.At("router", 0, "answers"))
			case r.PCPDoubt != "":
				return audit.Unknown(errors.New(r.PCPDoubt))
			}
			return audit.Pass(false, audit.At("router", 0, "does not answer"))
		}),
		ByHand: "It is set in the router, which is not this machine's to change.",
	}
}
