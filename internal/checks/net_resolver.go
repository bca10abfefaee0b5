package checks

import (
	"errors"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func netResolver() audit.Check {
	return audit.Check{
		ID: "net.resolver", Title: "This machine answers questions of names for the house only", Severity: finding.Med,
		Why:       "A name server that answers everybody is used to attack others, and the provider may cut the house off for it.",
		Fix:       "Bind the name server to the home network's address (Pi-hole: Settings, DNS, allow only local requests), and let the firewall admit port 53 from there only.",
		Reference: []string{"CIS Debian 12 2.1.4", "CIS RHEL 9 2.1.5", "RFC 5358"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			b, err := firewalls(h)
			if err != nil {
				return audit.Unknown(err)
			}
			var evidence []finding.Evidence
			all, cerr := h.Containers()
			for _, c := range all {
				for _, p := range c.Ports() {
					if p.Port == 53 && p.HostIP == "" {
						evidence = append(evidence, audit.At(c.File, p.Line, c.Name+": "+p.Text))
					}
				}
			}
			if !h.Live {
				if len(evidence) > 0 {
					return audit.Fail("open", evidence...)
				}
				return audit.Unknown(errors.New("who listens on port 53 takes the running machine to tell"))
			}
			sockets, err := h.Sockets()
			if err != nil && len(sockets) == 0 {
				return audit.Unknown(err)
			}
			for _, s := range sockets {
				private := s.Scope() == "the home network" || s.Loopback()
				if s.At.Port() == 53 && !private && b.lets(s) {
					evidence = append(evidence, atSocket(s))
				}
			}
			if len(evidence) == 0 && cerr != nil && !errors.Is(cerr, facts.ErrNoContainers) {
				return audit.Unknown(cerr)
			}
			return audit.PassIf(len(evidence) == 0, len(evidence), evidence...)
		},
	}
}
