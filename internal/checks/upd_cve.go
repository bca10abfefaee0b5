package checks

import (
	"errors"
	"fmt"
	"io/fs"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func updCVE() audit.Check {
	return audit.Check{
		ID: "upd.cve", Title: "No known hole is open for which the release has a fix", Severity: finding.High,
		Why:       "The distribution keeps a list of known holes and of the version that closes each; what is below it can be attacked by recipe.",
		Fix:       "Install the updates that are named: apt-get update, then apt-get upgrade. Where the list is missing, or older than two weeks, fetch https://security-tracker.debian.org/tracker/data/json and put it into " + facts.TrackerFile + "; Gatehouse itself fetches nothing.",
		Reference: []string{"Debian security tracker", "debsecan(1)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			if v, ok := apt(h); !ok {
				return v
			}
			open, err := h.OpenHoles()
			if errors.Is(err, fs.ErrNotExist) {
				return audit.Unknown(fmt.Errorf("the list of known holes is not here: put what https://security-tracker.debian.org/tracker/data/json gives into %s", facts.TrackerFile))
			}
			if err != nil {
				return audit.Unknown(err)
			}
			names := []string{}
			var evidence []finding.Evidence
			for _, o := range open {
				names = append(names, o.ID)
				evidence = append(evidence, packageEvidence(o.Package, ": "+o.ID+" is closed by "+o.FixedBy))
			}
			return audit.PassIf(len(open) == 0, names, evidence...)
		},
		ByHand: "Installing the release that has the fix is apt's work (apt upgrade); upd.unattended is repaired, so that it happens by itself.",
	}
}
