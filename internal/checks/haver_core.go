package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/finding"
)

func haVerCore() audit.Check {
	return audit.Check{
		ID: "haver.core", Title: "Home Assistant is new enough for the holes of 2026", Severity: finding.Crit,
		Why:       "Older releases run a stranger's code with a backup, or answer without a login. How that is done is known to everybody.",
		Fix:       "Make a backup and update Home Assistant to 2026.7.0 or newer.",
		Reference: []string{"CVE-2026-64824", "CVE-2026-91130", "CVE-2026-54317", "CVE-2026-64825"},
		Needs:     audit.NeedHA,
		Judge:     haAdvisories("2026"),
		ByHand:    "An update changes how Home Assistant works: make a backup first and read what it says about the releases in between.",
	}
}
