package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/finding"
)

func haVerCore2023() audit.Check {
	return audit.Check{
		ID: "haver.core-2023", Title: "Home Assistant is new enough for the holes of 2023", Severity: finding.Crit,
		Why:       "Before 2023.9 a link was enough to take an account over, and before 2023.3 the Supervisor obeyed strangers.",
		Fix:       "Make a backup and update Home Assistant; go over the releases in between that its notes name.",
		Reference: []string{"CVE-2023-50715", "CVE-2023-41893", "CVE-2023-41895", "CVE-2023-27482"},
		Needs:     audit.NeedHA,
		Judge:     haAdvisories("2023"),
		ByHand:    "An update over years is done in steps, with a backup before each.",
	}
}
