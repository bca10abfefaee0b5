package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func tunnelRestrict() audit.Check {
	return audit.Check{
		ID: "tun.restrict", Title: "A tunnel's key opens that tunnel and nothing else", Severity: finding.High,
		Why:       "The key lies on another machine, often a rented one. Whoever takes that machine over can do here whatever the key may do.",
		Fix:       "Put restrict,port-forwarding,permitopen=\"127.0.0.1:8443\" (or permitlisten=\"localhost:PORT\" of one that comes back) before the key in authorized_keys.",
		Reference: []string{"sshd(8)"},
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
					good = append(good, audit.At(k.File, k.Line, sshKeySays(k)))
					for _, c := range []struct{ keyword, what string }{{"permittty", "pty"}, {"allowagentforwarding", "agent-forwarding"}, {"x11forwarding", "x11-forwarding"}} {
						never, err := sshAlways(s, c.keyword, "no", a.peer())
						if err != nil {
							return sshRefused(err)
						}
						if k.Allows(c.what) && !never {
							bad = append(bad, audit.At(k.File, k.Line, "may use "+c.what))
						}
					}
					local, err := tunnelForwards(s, k, "local")
					if err != nil {
						return sshRefused(err)
					}
					ends, err := tunnelLimits(s, k, "permitopen")
					if err != nil {
						return sshRefused(err)
					}
					for _, end := range ends {
						if local && (end == "any" || tunnelHost(end) == "*" || tunnelPort(end) == "*") {
							bad = append(bad, audit.At(k.File, k.Line, "may reach "+end))
						}
					}
				}
			}
			if len(bad) > 0 {
				return audit.Fail(len(good), bad...)
			}
			return audit.Pass(len(good), good...)
		},
		Profile: audit.ProfileStrict,
		Repair:  tunnelsRestricted,
	}
}
