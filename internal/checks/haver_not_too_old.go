package checks

import (
	"errors"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haVerOld() audit.Check {
	return audit.Check{
		ID: "haver.not-too-old", Title: "Home Assistant is not more than three months behind", Severity: finding.Med,
		Why:       "Home Assistant mends holes in its newest release only. The longer one waits, the harder it is to follow.",
		Fix:       "Make a backup and update Home Assistant, month by month if its notes ask for it.",
		Reference: []string{"HA docs: common-tasks/general, updates"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			r, err := haRelease(h)
			if err != nil {
				return audit.Unknown(err)
			}
			behind := h.Now.Year()*12 + int(h.Now.Month()) - r.Year*12 - r.Month
			if behind < -2 {
				return audit.Unknown(errors.New("the clock is older than Home Assistant " + r.String()))
			}
			return audit.PassIf(behind <= 3, r.String(), audit.At(h.HAPath(".HA_VERSION"), 1, r.String()))
		},
	}
}
