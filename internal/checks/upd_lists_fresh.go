package checks

import (
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func updListsFresh() audit.Check {
	return audit.Check{
		ID: "upd.lists-fresh", Title: "The machine asked for updates within the last week", Severity: finding.Med,
		Why:       "Who does not ask for updates never hears that there are any.",
		Fix:       "Start apt-daily.timer (systemctl enable --now apt-daily.timer), and find out why apt-get update fails if it does.",
		Reference: []string{"apt.systemd.daily(8)", "Securing Debian Manual 4.2"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			if v, ok := apt(h); !ok {
				return v
			}
			l, err := h.AptLists()
			if err != nil {
				return audit.Unknown(err)
			}
			if l.Latest.IsZero() {
				return audit.Fail("never", audit.At(facts.AptListsDir, 0, "apt has heard nothing yet"))
			}
			at := l.Latest.UTC().Format(time.DateOnly)
			return audit.PassIf(h.Now.Sub(l.Latest) <= week, at, audit.At(facts.AptListsDir, 0, at))
		},
		ByHand: "Only apt-get update, which asks the archives over the network, makes the lists new; Gatehouse asks nobody. What does it each day is upd.unattended.",
	}
}
