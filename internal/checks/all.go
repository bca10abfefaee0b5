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

// Find returns the check of an id.
func Find(id string) (audit.Check, bool) {
	all := All()
	n := slices.IndexFunc(all, func(c audit.Check) bool { return c.ID == id })
	if n < 0 {
		return audit.Check{}, false
	}
	return all[n], true
}

// Repairable returns the checks whose findings a program repairs.
func Repairable() []audit.Check {
	return slices.DeleteFunc(All(), func(c audit.Check) bool { return c.Repair == nil })
}

// Recommended returns the checks whose repairs are recommended for a kind of home, in an
// order in which none stands in another's way: accounts before what takes away ways in, and
// what could lock the owner out last.
func Recommended(p audit.Profile) []audit.Check {
	all := slices.DeleteFunc(Repairable(), func(c audit.Check) bool {
		return c.Profile == "" || c.Profile == audit.ProfileStrict && p != audit.ProfileStrict
	})
	last := []string{"sudo", "pam", "hahttp", "ssh", "net"}
	slices.SortStableFunc(all, func(a, b audit.Check) int {
		return slices.Index(last, a.Topic()) - slices.Index(last, b.Topic())
	})
	return all
}

// All returns every check, by topic, in the order in which they are told.
func All() []audit.Check {
	return slices.Concat(
		homeAssistantHTTP(), homeAssistantUsers(), homeAssistantFiles(), homeAssistantExposure(), homeAssistantReleases(), homeAssistantProcess(),
		exposure(), listeners(), endpoints(), proxies(),
		accounts(), authentication(), sshServer(), sshTunnels(), tor(), vpn(),
		updates(), services(), containers(), filesystems(), kernel(), boot(), confinement(), logging(),
	)
}
