package checks

import (
	"fmt"
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haAuthStale() audit.Check {
	return audit.Check{
		ID: "haauth.stale-tokens", Title: "Sign-ins that nobody uses any more are gone", Severity: finding.Low,
		Why:       "The browser of a phone that was sold, or of a friend's computer, is still signed in until somebody ends it.",
		Fix:       "Delete them under profile, Security, Refresh tokens.",
		Reference: []string{"HA docs: authentication, refresh tokens"},
		Needs:     audit.NeedHA,
		Judge: haAuth(func(h *facts.Host, a facts.HAAuth) audit.Verdict {
			var evidence []finding.Evidence
			for _, t := range a.Tokens {
				if t.Type != "normal" {
					continue
				}
				last := t.LastUsed
				if last.IsZero() {
					last = t.Created
				}
				if last.IsZero() {
					return audit.Unknown(fmt.Errorf("%s:%d: it is not known when this sign-in was used", h.HAPath(".storage/auth"), t.Line))
				}
				if haDaysAgo(h, last) > 90 {
					evidence = append(evidence, haAtAuth(h, t.Line, a.User(t.UserID).Name+" on "+last.Format(time.DateOnly)))
				}
			}
			return audit.PassIf(len(evidence) == 0, len(evidence), evidence...)
		}),
		Repair: haRepairStale(),
	}
}
