package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func tunnelPermitlisten() audit.Check {
	return audit.Check{
		ID: "tun.permitlisten", Title: "A tunnel that comes back listens where it was told to", Severity: finding.High,
		Why:       "Without a limit the other end can take any free port of this machine, and pretend to be a service of yours.",
		Fix:       "Put permitlisten=\"localhost:PORT\" before the key in authorized_keys, or say \"AllowTcpForwarding local\" and \"GatewayPorts no\" in the account's Match block.",
		Reference: []string{"sshd(8)", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			accounts, s, err := tunnelAccounts(h)
			if err != nil {
				return sshRefused(err)
			}
			if len(accounts) == 0 {
				return audit.NotApplicable("no account is there for tunnels")
			}
			var bad, good []finding.Evidence
			for _, a := range accounts {
				for _, k := range a.keys {
					remote, err := tunnelForwards(s, k, "remote")
					if err != nil {
						return sshRefused(err)
					}
					good = append(good, audit.At(k.File, k.Line, sshKeySays(k)))
					if !remote {
						continue
					}
					ends, err := tunnelLimits(s, k, "permitlisten")
					if err != nil {
						return sshRefused(err)
					}
					for _, end := range ends {
						if end == "any" || tunnelPort(end) == "*" {
							bad = append(bad, audit.At(k.File, k.Line, "may listen on "+end))
						}
					}
					if gateway := sshValues(s, "GatewayPorts", a.peer(), sshIs("no")); gateway.Result == finding.Fail {
						bad = append(bad, gateway.Evidence...)
					}
				}
			}
			if len(bad) > 0 {
				return audit.Fail(len(good), bad...)
			}
			return audit.Pass(len(good), good...)
		},
		ByHand: "Which port the tunnel may take is decided at its other end, which a program here does not see.",
	}
}
