package checks

import (
	"errors"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func tunnelOrigin() audit.Check {
	return audit.Check{
		ID: "tun.origin", Title: "Tunnels end at the gateway, not at Home Assistant itself", Severity: finding.High,
		Why:       "A tunnel straight to Home Assistant goes past whatever stands before it: its login, its limits and its log.",
		Fix:       "Let the tunnel end at the gateway's port (8443) instead of 8123: in permitopen of the key, and in -R of the unit.",
		Reference: []string{"sshd(8)", "ssh(1)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			outgoing, err := outgoingTunnels(h)
			if err != nil {
				return audit.Unknown(err)
			}
			accounts, s, err := tunnelAccounts(h)
			if err != nil && !errors.Is(err, facts.ErrNoSSHD) {
				return sshRefused(err)
			}
			if len(accounts)+len(outgoing) == 0 {
				return audit.NotApplicable("there are no tunnels")
			}
			own := func(port string) bool { return h.IsHA("127.0.0.1:" + port) } // Home Assistant's
			var bad, good []finding.Evidence
			for _, t := range outgoing {
				for _, r := range t.remotes {
					at := audit.At(t.file, t.line, "-R "+r)
					if good = append(good, at); own(tunnelPort(r)) && strings.Count(r, ":") > 1 {
						bad = append(bad, at)
					}
				}
			}
			for _, a := range accounts {
				for _, k := range a.keys {
					local, err := tunnelForwards(s, k, "local")
					if err != nil {
						return sshRefused(err)
					}
					if good = append(good, audit.At(k.File, k.Line, sshKeySays(k))); !local {
						continue
					}
					ends, err := tunnelLimits(s, k, "permitopen")
					if err != nil {
						return sshRefused(err)
					}
					for _, end := range ends {
						if port := tunnelPort(end); own(port) || port == "*" || end == "any" {
							bad = append(bad, audit.At(k.File, k.Line, "may reach "+end))
						}
					}
				}
			}
			if len(bad) > 0 {
				return audit.Fail(bad[0].Value, bad...)
			}
			return audit.Pass(len(good), good...)
		},
		ByHand: "The tunnel has to be moved at both ends at once, and only after the gateway answers there.",
	}
}
