package checks

import (
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func filesystemsWorldWritable() audit.Check {
	return audit.Check{
		ID: "fs.world-writable", Title: "No file is open for everybody to write to", Severity: finding.High,
		Why:       "What everybody may write to, the most harmless service that is taken over may change as well: a script that root runs tonight, or the settings of your house.",
		Fix:       "chmod o-w each of them; a directory that all have to share gets the sticky bit (chmod +t).",
		Reference: []string{"CIS Debian 12 7.1.11", "CIS RHEL 9 7.1.11", "chmod(1)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			w, err := h.Walk()
			if err != nil {
				return audit.Unknown(err)
			}
			if n := w.WritableFiles.Count + w.WritableDirs.Count; n > 0 {
				return audit.Fail(fmt.Sprintf("%d files, %d directories", w.WritableFiles.Count, w.WritableDirs.Count),
					append(sightings(w.WritableDirs.First), sightings(w.WritableFiles.First)...)...)
			}
			if v, cut := cutWalk(w); cut {
				return v
			}
			return audit.Pass("none", walkLeftOut(w)...)
		},
		Profile: audit.ProfileStrict,
		Repair:  worldWritableRepair,
	}
}
