package checks

import (
	"errors"
	"net/netip"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haExpLocalOrigin() audit.Check {
	return audit.Check{
		ID: "haexp.localhost-origin", Title: "Nobody from outside reaches Home Assistant as if from this machine", Severity: finding.Crit,
		Why:       "A tunnel that ends at Home Assistant makes the whole Internet look like this machine: rules for the local network let it in, and one who guesses passwords gets this machine banned.",
		Fix:       "Let the tunnel end at the gateway, which tells Home Assistant who is asking, instead of at Home Assistant's own port.",
		Reference: []string{"torrc(5), HiddenServicePort", "sshd(8), permitopen", "HA docs: integrations/http, trusted_proxies"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			if h.HAOnly {
				return audit.NotApplicable("only Home Assistant's configuration was looked at")
			}
			s, err := h.HASettings()
			if s.Source == "" {
				if err == nil {
					err = errors.New("the port of Home Assistant is not known")
				}
				return audit.Unknown(err)
			}
			ends, err := haTunnelEnds(h, s.HTTP.ServerPort)
			ways := []string{}
			var evidence []finding.Evidence
			for _, e := range ends {
				if e.tells && s.HTTP.Trusts(netip.MustParseAddr("127.0.0.1")) {
					continue
				}
				ways = append(ways, e.File)
				evidence = append(evidence, e.Evidence)
			}
			if err != nil && len(evidence) == 0 {
				return audit.Unknown(err)
			}
			return audit.PassIf(len(evidence) == 0, ways, evidence...)
		},
		ByHand: "Where the tunnel shall end depends on what you put in front; the gateway is set up for it by a person.",
	}
}
