package checks

import (
	"errors"
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func inetPortForward() audit.Check {
	return audit.Check{
		ID: "inet.portforward", Title: "Home Assistant's and SSH's own ports are not reached from outside", Severity: finding.High,
		Why:       "An open port is found within hours by those who look at every address of the Internet.",
		Fix:       "Take the opening out of the router, and come in over a VPN, or over a proxy on port 443 that asks first.",
		Reference: []string{"HA docs: Remote access"},
		Judge: router(func(r facts.Router) audit.Verdict {
			if len(r.Tried) == 0 {
				return audit.Unknown(errors.New("nobody outside tried to reach the house"))
			}
			var evidence []finding.Evidence
			for _, p := range r.Reached {
				if p == 8123 || p == 22 {
					evidence = append(evidence, audit.At("router", 0, fmt.Sprintf("port %d is reached from outside", p)))
				}
			}
			return audit.PassIf(len(evidence) == 0, r.Reached, evidence...)
		}),
	}
}
