package checks

import (
	"errors"
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/router"
)

func inetPortForward() audit.Check {
	return audit.Check{
		ID: "inet.portforward", Title: "Home Assistant's and SSH's own ports are not reached from outside", Severity: finding.High,
		Why:       "An open port is found within hours by those who look at every address of the Internet.",
		Fix:       "Take the opening out of the router, and come in over a VPN, or over a proxy on port 443 that asks first.",
		Reference: []string{"HA docs: Remote access"},
		Judge: asRouterSays(func(h *facts.Host, r router.Answers) audit.Verdict {
			var evidence []finding.Evidence
			var open []string
			var doubts []error
			for _, m := range r.Mappings {
				if m.Off {
					continue
				}
				what, forbidden, err := behind(h, r, m)
				if err != nil {
					doubts = append(doubts, err)
				}
				if forbidden {
					open = append(open, m.String())
					evidence = append(evidence, audit.At("router", 0, m.String()+": "+what))
				}
			}
			for _, p := range r.Reached {
				if p == 8123 || p == 22 {
					open = append(open, fmt.Sprint(p))
					evidence = append(evidence, audit.At("router", 0, fmt.Sprintf("port %d is reached from outside", p)))
				}
			}
			switch {
			case len(evidence) > 0:
				return audit.Fail(open, evidence...)
			case len(doubts) > 0:
				return audit.Unknown(errors.Join(doubts...))
			case len(r.Tried) == 0:
				// A router lists over UPnP what programs opened, and not always what its owner did.
				return audit.Unknown(errors.New("the router tells of no such opening, but need not tell of what was set on its own pages, and nobody outside tried to reach the house"))
			}
			return audit.Pass(r.Reached)
		}),
		ByHand: "It is set in the router, which is not this machine's to change.",
	}
}
