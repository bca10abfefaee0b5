package checks

import (
	"errors"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
)

func exposure() []audit.Check {
	return []audit.Check{inetIPv6Global(), inetUPnP(), inetPortForward(), inetSSHWAN(), inetNATPMP(), inetDNS(), inetRebinding(), inetCGNAT()}
}

// router calls f if the router was asked.
func router(f func(facts.Router) audit.Verdict) func(*facts.Host) audit.Verdict {
	return func(h *facts.Host) audit.Verdict {
		if h.Router == nil {
			return audit.Unknown(errors.New("the router was not asked"))
		}
		return f(*h.Router)
	}
}
