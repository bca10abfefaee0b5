// Package fix repairs what the auditor found: it plans, shows, applies and undoes. It is
// the only code that writes to the host, and the only code that writes as root.
//
// A fix is data (finding.Fix), drafted on a copy in memory of what lies there (Draft), and
// judged again on that copy before a byte is written: a plan whose finding would not be gone
// is no plan. Apply writes the whole plan down first (the journal), then takes one step
// after the other, each of them atomic, has the programs whose files they are look at them,
// and judges once more. Whatever goes wrong, at any of these points and in the middle of
// any, everything is put back: by Apply itself, by the keeper that outlives it, or by
// whoever opens the journal next.
//
// What could lock the owner out is on trial: it is taken back when its time is over unless
// somebody who came in afterwards confirms it.
package fix

import (
	"errors"
	"fmt"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

// Rule is a check, as far as a repair needs it.
type Rule struct {
	ID     string
	Judge  func(*facts.Host) finding.Finding
	Repair func(*facts.Host) (finding.Fix, error) // nil where a person has to do it
	ByHand string                                 // why; empty where there is a Repair
}

// A Refusal says why something is left alone, and what the owner may do.
type Refusal struct {
	Why  string
	Hint string
}

func (r *Refusal) Error() string { return r.Why }

// Refuse is an error that leaves a home as it is.
func Refuse(hint, format string, args ...any) error {
	return &Refusal{fmt.Sprintf(format, args...), hint}
}

// HintOf is what the owner may do about an error; empty where it does not say.
func HintOf(err error) string {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Hint
	}
	return ""
}

// IsRefusal reports whether an error leaves a home as it is, for a reason that its owner can
// do something about.
func IsRefusal(err error) bool {
	var r *Refusal
	return errors.As(err, &r)
}
