package checks

import (
	"fmt"
	"io/fs"
	"strconv"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

// cutWalk is what a check says that found nothing bad, if the walk did not see everything.
func cutWalk(w *facts.Walked) (audit.Verdict, bool) {
	if w.Closed > 0 {
		return audit.Unknown(fmt.Errorf("%d directories could not be looked into: %w", w.Closed, w.ClosedFirst)), true
	}
	return audit.Verdict{}, false
}

// walkLeftOut adds the mounts that the walk did not look into.
func walkLeftOut(w *facts.Walked) []finding.Evidence {
	var all []finding.Evidence
	for _, l := range w.LeftOut {
		all = append(all, audit.At(l.Path, 0, "left out: "+l.Why))
	}
	return all
}

// maxShown is how many things of one sort are shown as evidence.
const maxShown = 20

// sightings shows the first of what a walk found, with the mode of each.
func sightings(found []facts.Sighting) []finding.Evidence {
	var all []finding.Evidence
	for n, f := range found {
		if n == maxShown {
			break
		}
		all = append(all, audit.At(f.Path, 0, octal(f.Info.Mode)+fmt.Sprintf(" %d:%d", f.Info.UID, f.Info.GID)))
	}
	return all
}

// octal is a mode as chmod takes it.
func octal(mode fs.FileMode) string { return fmt.Sprintf("%04o", facts.ModeBits(mode)) }

// more says how many there are beyond those shown.
func more(count int, what string) string { return strconv.Itoa(count) + " " + what }
