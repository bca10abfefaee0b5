package checks

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

// homeAssistantReleases are the checks of what holes the releases in use still have.
func homeAssistantReleases() []audit.Check {
	return []audit.Check{haVerCore(), haVerCore2023(), haVerSupervisor(), haVerCore2025(), haVerOld(), haVerApps(), haVerPython()}
}

// haRelease is which Home Assistant last ran with this configuration.
func haRelease(h *facts.Host) (ha.Release, error) {
	t, err := h.Text(h.HAPath(".HA_VERSION"))
	if err != nil {
		return ha.Release{}, err
	}
	r, err := ha.ParseRelease(strings.TrimSpace(string(t.Bytes)))
	if err != nil {
		return r, fmt.Errorf("%s:1: %w", h.HAPath(".HA_VERSION"), err)
	}
	return r, nil
}

// haAdvisories judges Home Assistant's release by those advisories that one of years names.
func haAdvisories(years ...string) func(*facts.Host) audit.Verdict {
	return func(h *facts.Host) audit.Verdict {
		r, err := haRelease(h)
		if err != nil {
			return audit.Unknown(err)
		}
		var evidence []finding.Evidence
		for _, a := range facts.HAAdvisories() {
			year, _, _ := strings.Cut(a.Fixed, ".")
			if a.Program != "core" || !slices.Contains(years, year) {
				continue
			}
			fixed, err := ha.ParseRelease(a.Fixed)
			if err != nil {
				return audit.Unknown(err)
			}
			if r.Compare(fixed) < 0 {
				evidence = append(evidence, audit.At(h.HAPath(".HA_VERSION"), 1, a.ID+": "+a.What+"; closed in "+a.Fixed))
			}
		}
		return haAdvised(h, r.String(), evidence)
	}
}

// haAdvised is the verdict on a release with these holes. A list that is too old calls
// nothing fine.
func haAdvised(h *facts.Host, effective any, evidence []finding.Evidence) audit.Verdict {
	if until := facts.HAAdvisoriesUntil(); len(evidence) == 0 && h.Now.After(until) {
		return audit.Unknown(errors.New("the list of advisories in this release ends on " + until.Format(time.DateOnly)))
	}
	return audit.PassIf(len(evidence) == 0, effective, evidence...)
}
