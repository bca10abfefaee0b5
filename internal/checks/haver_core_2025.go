package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/finding"
)

func haVerCore2025() audit.Check {
	return audit.Check{
		ID: "haver.core-2025", Title: "Home Assistant is new enough for the holes of 2024 and 2025", Severity: finding.High,
		Why:       "Older releases run script that is hidden in a name, or do not check whom they talk to.",
		Fix:       "Make a backup and update Home Assistant to 2025.10.2 or newer.",
		Reference: []string{"CVE-2025-62172", "CVE-2025-65713", "CVE-2025-25305"},
		Needs:     audit.NeedHA,
		Judge:     haAdvisories("2024", "2025"),
		ByHand:    "An update changes how Home Assistant works: make a backup first and read what it says about the releases in between.",
	}
}
