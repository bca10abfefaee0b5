// Package checks is the rules of the auditor, one file each, and All. A rule reads facts
// and says a verdict; it opens nothing itself and changes nothing.
//
// The drawings in testdata/ID.txt hold each rule: homes that are good, bad, and such that
// it cannot judge. docs/checks is written from the rules.
package checks

import (
	"slices"

	"gatehouse/internal/audit"
)

// All returns every check, by topic, in the order in which they are told.
func All() []audit.Check {
	return slices.Concat(
		homeAssistantHTTP(), homeAssistantUsers(), homeAssistantFiles(), homeAssistantExposure(), homeAssistantReleases(), homeAssistantProcess(),
		exposure(), listeners(), endpoints(), proxies(),
		accounts(), authentication(), sshServer(), sshTunnels(), tor(), vpn(),
		updates(), services(), containers(), filesystems(), kernel(), boot(), confinement(), logging(),
	)
}
