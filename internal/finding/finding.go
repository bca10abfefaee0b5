// Package finding is the words in which the auditor speaks: what was looked at, how it
// turned out, and what that rests on; and their JSON form, which other programs read.
//
// There are five results, so that nothing that could not be judged ever looks fine.
package finding

import "slices"

// Severity says how much a finding matters to the owner of a house.
type Severity string

// The severities, worst first.
const (
	Crit Severity = "crit" // the house can be taken over from outside, or as good as
	High Severity = "high"
	Med  Severity = "med"
	Low  Severity = "low"
	Info Severity = "info" // good to know; no home has to
)

// Severities returns them, worst first.
func Severities() []Severity { return []Severity{Crit, High, Med, Low, Info} }

// ParseSeverity reads a severity's word.
func ParseSeverity(s string) (Severity, bool) {
	if slices.Contains(Severities(), Severity(s)) {
		return Severity(s), true
	}
	return "", false
}

// AtLeast reports whether a severity is as bad as another, or worse.
func (s Severity) AtLeast(other Severity) bool {
	all := Severities()
	return slices.Index(all, s) >= 0 && slices.Index(all, s) <= slices.Index(all, other)
}

// Result is how a check turned out.
type Result string

// The results.
const (
	Pass          Result = "pass"
	Fail          Result = "fail"
	Unknown       Result = "unknown"       // it could not be judged; Why says why
	NotApplicable Result = "notapplicable" // there is nothing here that it could be about; Why says what is missing
	Waived        Result = "waived"        // it fails, and the owner knows
)

// Results returns every result.
func Results() []Result { return []Result{Pass, Fail, Unknown, NotApplicable, Waived} }

// Evidence is what a result rests on: a line of a file, or where there is none the
// thing that was looked at.
type Evidence struct {
	File  string `json:"file"`  // as a path of the host; may also be what was asked, as "sshd"
	Line  int    `json:"line"`  // 0 where there is no line
	Value string `json:"value"` // what stands there, never a secret
}

// Finding is what a check says of a home.
type Finding struct {
	ID        string     `json:"id"` // of the check
	Title     string     `json:"title"`
	Result    Result     `json:"result"`
	Severity  Severity   `json:"severity"`
	Effective any        `json:"effective"` // the value that holds, whatever the files say; null where there is none
	Explicit  *bool      `json:"explicit"`  // somebody wrote that value down; null where that means nothing
	Evidence  []Evidence `json:"evidence"`
	Why       string     `json:"why"`     // why it matters; of an unknown one, why it could not be judged
	Fix       string     `json:"fix"`     // what to do; empty where nothing is to be done
	Fixable   bool       `json:"fixable"` // of a failing one: "gatehouse fix" offers to do it
	Topic     string     `json:"topic"`
	Reference []string   `json:"reference"` // CIS sections, manuals, RFCs
}
