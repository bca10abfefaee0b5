package checks

import (
	"errors"
	"io/fs"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haAuthOnboarded() audit.Check {
	return audit.Check{
		ID: "haauth.onboarded", Title: "Home Assistant is set up, and has its owner", Severity: finding.Crit,
		Why:       "Until the first steps are done, whoever opens the page first becomes the owner, and may restore a backup of their own making.",
		Fix:       "Finish the first steps in the browser now, or stop Home Assistant until you do.",
		Reference: []string{"CVE-2026-64824", "HA docs: getting-started/onboarding"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			if _, err := h.Stat(h.HADir); err != nil {
				return audit.Unknown(err)
			}
			file := h.HAPath(".storage/onboarding")
			missing, err := h.HAOnboarding()
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return audit.Fail(false, audit.At(file, 0, "there is none: no step is done"))
			case err != nil:
				return audit.Unknown(err)
			case len(missing) > 0:
				return audit.Fail(false, audit.At(file, 1, "still to do: "+strings.Join(missing, ", ")))
			}
			return audit.Pass(true)
		},
		ByHand: "The owner's name and password are yours to choose.",
	}
}
