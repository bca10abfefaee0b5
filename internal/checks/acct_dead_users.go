package checks

import (
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsDeadUsers() audit.Check {
	return audit.Check{
		ID: "acct.dead-users", Title: "Every account that can log in was used in the last half year", Severity: finding.Low,
		Why:       "Nobody notices when somebody else comes in by an account that its owner has forgotten.",
		Fix:       "Lock the account (usermod -L -e 1 NAME) if nobody needs it any more.",
		Reference: []string{"lastlog(8)", "usermod(8)"},
		Needs:     audit.NeedHost | audit.NeedLive,
		Judge: func(h *facts.Host) audit.Verdict {
			all, err := logins(h)
			if err != nil {
				return audit.Unknown(err)
			}
			last, err := h.LastLogins()
			if err != nil {
				return audit.Unknown(err)
			}
			const halfYear = 180 // days
			names := []string{}
			var evidence []finding.Evidence
			for _, l := range all {
				if !l.LoginShell() || l.shadowed && l.shadow.Expired(h.Now) {
					continue
				}
				if !l.password.Usable() {
					keys, err := keysOf(h, l.User)
					if err != nil {
						return audit.Unknown(err)
					}
					if keys == 0 {
						continue
					}
				}
				// Who never came may be new: the day of the password is the last that is known.
				seen := l.shadow.LastChange
				word := "never came, and the password is that old"
				if at, ok := last[l.UID]; ok && int(at.Unix()/86400) >= seen {
					seen, word = int(at.Unix()/86400), "last came then"
				}
				days := int(h.Now.Unix()/86400) - seen
				if days > halfYear {
					names = append(names, l.Name)
					evidence = append(evidence, audit.At("/var/log/lastlog", 0, fmt.Sprintf("%s: %d days: %s", l.Name, days, word)))
				}
			}
			return audit.PassIf(len(evidence) == 0, names, evidence...)
		},
		ByHand: "Whether somebody still comes by that account is known to you alone.",
	}
}
