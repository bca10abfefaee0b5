package checks

import (
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func timeSyncedNow() audit.Check {
	return audit.Check{
		ID: "time.synced-now", Title: "The clock is right at this moment", Severity: finding.Med,
		Why:       "With a clock that is off nobody gets in with a second factor, certificates seem to have run out, and the times in the log mean nothing.",
		Fix:       "Look at timedatectl timesync-status or chronyc tracking; most often the firewall stops UDP 123, or the server's name cannot be resolved.",
		Reference: []string{"timedatectl(1)", "adjtimex(2)"},
		Needs:     audit.NeedHost | audit.NeedLive,
		Judge: func(h *facts.Host) audit.Verdict {
			synced, from, err := h.ClockSynced()
			if err != nil {
				return audit.Unknown(err)
			}
			return audit.PassIf(synced, synced, audit.At(from, 0, fmt.Sprintf("synchronised: %t", synced)))
		},
	}
}
