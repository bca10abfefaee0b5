package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func updates() []audit.Check {
	return []audit.Check{
		updSecurityPending(), updEOL(), updUnattended(), updSources(), updCVE(), updListsFresh(), updRebootRequired(), updContainers(), updHeld(), updFirmware(),
	}
}

// packageEvidence is where dpkg says what is installed.
func packageEvidence(p facts.Package, value string) finding.Evidence {
	return audit.At(facts.DpkgStatus, p.Line, p.Name+" "+p.Version+value)
}

// apt reports whether the system's packages are apt's; the verdict says it if not.
func apt(h *facts.Host) (audit.Verdict, bool) {
	switch _, err := h.Packages(); {
	case errors.Is(err, facts.ErrRPM):
		return audit.NotApplicable("the packages are rpm's, not apt's"), false
	case errors.Is(err, fs.ErrNotExist):
		return audit.NotApplicable("the packages are not apt's (no " + facts.DpkgStatus + ")"), false
	case err != nil:
		return audit.Unknown(err), false
	}
	return audit.Verdict{}, true
}

// listsAge is how old what apt heard is.
func listsAge(h *facts.Host) (time.Duration, facts.AptLists, error) {
	l, err := h.AptLists()
	if err != nil {
		return 0, l, err
	}
	if l.Latest.IsZero() {
		return 0, l, fmt.Errorf("%s: apt has heard nothing yet (apt-get update)", facts.AptListsDir)
	}
	return h.Now.Sub(l.Latest), l, nil
}

const week = 7 * 24 * time.Hour
