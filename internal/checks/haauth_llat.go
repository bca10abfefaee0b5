package checks

import (
	"fmt"
	"strings"
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haAuthLongLived() audit.Check {
	return audit.Check{
		ID: "haauth.llat", Title: "Every long-lived token is in use and is known by its name", Severity: finding.High,
		Why:       "Such a token opens Home Assistant for ten years without a password or a second factor. One that nobody uses is only of use to somebody who finds it.",
		Fix:       "Delete it under profile, Security, Long-lived access tokens; what still needs one gets a new one with a name that says who has it.",
		Reference: []string{"HA docs: authentication, long-lived access tokens"},
		Needs:     audit.NeedHA,
		Judge: haAuth(func(h *facts.Host, a facts.HAAuth) audit.Verdict {
			count, ok := 0, true
			var evidence []finding.Evidence
			for _, t := range a.Tokens {
				if t.Type != "long_lived_access_token" {
					continue
				}
				count++
				last, used := t.LastUsed, "last used"
				if last.IsZero() {
					last, used = t.Created, "never used since"
				}
				name := fmt.Sprintf("%q of %s", t.ClientName, a.User(t.UserID).Name)
				switch {
				case strings.TrimSpace(t.ClientName) == "":
					ok = false
					evidence = append(evidence, haAtAuth(h, t.Line, name+": nobody knows whose"))
				case last.IsZero():
					return audit.Unknown(fmt.Errorf("%s:%d: it is not known when this token was used", h.HAPath(".storage/auth"), t.Line))
				case haDaysAgo(h, last) > 90:
					ok = false
					evidence = append(evidence, haAtAuth(h, t.Line, name+": "+used+" "+last.Format(time.DateOnly)))
				case haDaysAgo(h, t.Created) > 365:
					evidence = append(evidence, haAtAuth(h, t.Line, name+": in use, made "+t.Created.Format(time.DateOnly)))
				}
			}
			return audit.PassIf(ok, count, evidence...)
		}),
		Repair: haRepairLongLived(),
	}
}
