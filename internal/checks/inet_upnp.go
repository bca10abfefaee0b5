package checks

import (
	"errors"
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/router"
)

func inetUPnP() audit.Check {
	return audit.Check{
		ID: "inet.upnp", Title: "No program has opened a port in the router over UPnP", Severity: finding.High,
		Why:       "Over UPnP any device in the house opens a door to the Internet, without asking and without anybody seeing it.",
		Fix:       "Delete the openings that are named, and turn UPnP off in the router, or off for all but the game console.",
		Reference: []string{"UPnP IGD: WANIPConnection, GetGenericPortMappingEntry", "RFC 6970"},
		Judge: asRouterSays(func(h *facts.Host, r router.Answers) audit.Verdict {
			var list []string
			var evidence []finding.Evidence
			for _, m := range r.Mappings {
				if m.Off {
					continue
				}
				value := m.String()
				// Whatever it leads to, it is open: what cannot be read names it less well only.
				if what, _, _ := behind(h, r, m); what != "" {
					value += ": " + what
				}
				list = append(list, value)
				evidence = append(evidence, audit.At("router", 0, value))
			}
			switch {
			case len(evidence) > 0:
				return audit.Fail(list, evidence...)
			case r.UPnPDoubt != "":
				return audit.Unknown(errors.New(r.UPnPDoubt))
			case r.UPnP:
				return audit.Pass("UPnP is on, and nothing is open", audit.At("router", 0, "lists no opening"))
			}
			if r.UPnPQuiet {
				// A router may answer from another port than it was asked at.
				b, err := firewalls(h)
				if err != nil {
					return audit.Unknown(fmt.Errorf("the router is silent to UPnP, and it is not known whether the firewall here would let its answer in: %w", err))
				}
				if b.v4.Denies {
					return audit.Unknown(errors.New("the router is silent to UPnP, or the firewall here drops its answer; let in UDP from the router and ask again"))
				}
			}
			return audit.Pass("off", audit.At("router", 0, "does not answer to UPnP"))
		}),
		ByHand: "It is set in the router, which is not this machine's to change.",
	}
}
