package checks

import (
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func inetUPnP() audit.Check {
	return audit.Check{
		ID: "inet.upnp", Title: "The router lets no program open ports by itself", Severity: finding.High,
		Why:       "Over UPnP any device in the house opens a door to the Internet, without asking and without anybody seeing it.",
		Fix:       "Delete the openings that are named, and turn UPnP off in the router, or off for all but the game console.",
		Reference: []string{"UPnP IGD: WANIPConnection, GetGenericPortMappingEntry", "RFC 6970"},
		Judge: router(func(r facts.Router) audit.Verdict {
			var list []string
			var evidence []finding.Evidence
			for _, m := range r.Mappings {
				value := fmt.Sprintf("%s %d to %s:%d (%s)", m.Proto, m.External, m.Client, m.Internal, m.What)
				list = append(list, value)
				evidence = append(evidence, audit.At("router", 0, value))
			}
			return audit.PassIf(len(evidence) == 0, list, evidence...)
		}),
	}
}
