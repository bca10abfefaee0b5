// Package audit runs checks over a home: in order, each by itself, with a third outcome
// beside good and bad. What a check cannot judge, or crashes over, is unknown and never
// fine.
package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

// Need says what there has to be for a check to mean something.
type Need int

// The needs; they add up.
const (
	NeedHost   Need = 1 << iota // a host's own file system: not in a container, not of HA OS, not --ha
	NeedHA                      // Home Assistant's configuration directory
	NeedLive                    // the running host
	AlsoHA                      // Home Assistant's configuration directory as well, where there is one
	NeedRouter                  // the router, which is asked from there; the check itself says whether it was
)

// Check is one rule. Its words are for the owner of a house.
type Check struct {
	ID        string // stable, "topic.short-name"
	Title     string // what is so where all is well
	Severity  finding.Severity
	Why       string   // why it matters, in a sentence or two
	Fix       string   // what to do where it fails
	Reference []string // "CIS Debian 12 5.4.2.1", "sshd_config(5)", "RFC 9110"
	Needs     Need
	Judge     func(*facts.Host) Verdict
	// Repair drafts what makes a home that fails good; nil where a person has to do it.
	Repair func(*facts.Host) (finding.Fix, error)
	// ByHand is why there is no Repair, in words for the owner.
	ByHand  string
	Profile Profile
}

// Profile says for which homes a repair is recommended unasked.
type Profile string

// The profiles; the empty one is of repairs that are made only where they are asked for.
const (
	ProfileHome   Profile = "home"   // nobody in a home misses what it takes away
	ProfileStrict Profile = "strict" // it costs some comfort, or some care
)

// Verdict is what a check says.
type Verdict struct {
	Result    finding.Result
	Reason    string // of an unknown or not applicable one
	Effective any
	Explicit  *bool
	Evidence  []finding.Evidence
}

// Pass, Fail, Unknown and NotApplicable begin a verdict; its effective value is what
// holds, as a text, a number, a boolean or a list of texts, nil where there is none.
func Pass(effective any, evidence ...finding.Evidence) Verdict {
	return Verdict{Result: finding.Pass, Effective: effective, Evidence: evidence}
}

// Fail says that it is bad.
func Fail(effective any, evidence ...finding.Evidence) Verdict {
	return Verdict{Result: finding.Fail, Effective: effective, Evidence: evidence}
}

// PassIf is Pass or Fail.
func PassIf(ok bool, effective any, evidence ...finding.Evidence) Verdict {
	if ok {
		return Pass(effective, evidence...)
	}
	return Fail(effective, evidence...)
}

// Unknown says that it could not be judged, and why.
func Unknown(err error) Verdict {
	reason := err.Error()
	if errors.Is(err, fs.ErrPermission) {
		reason = "only root may look: " + reason
	}
	return Verdict{Result: finding.Unknown, Reason: reason}
}

// NotApplicable says that there is nothing here that the check could be about.
func NotApplicable(because string) Verdict {
	return Verdict{Result: finding.NotApplicable, Reason: because}
}

// Explicitly adds whether somebody wrote the value down.
func (v Verdict) Explicitly(yes bool) Verdict {
	v.Explicit = &yes
	return v
}

// At is a line of a file as evidence; line 0 where there is none.
func At(file string, line int, value string) finding.Evidence {
	return finding.Evidence{File: file, Line: line, Value: value}
}

// Run judges a home by checks, in their order. told hears of each as it is done; may be nil.
func Run(h *facts.Host, checks []Check, told func(done int, f finding.Finding)) []finding.Finding {
	all := make([]finding.Finding, 0, len(checks))
	for n, c := range checks {
		f := c.on(h)
		all = append(all, f)
		if told != nil {
			told(n+1, f)
		}
	}
	return all
}

// on judges a home by one check.
func (c Check) on(h *facts.Host) finding.Finding {
	v := c.judge(h)
	f := finding.Finding{ID: c.ID, Title: c.Title, Result: v.Result, Severity: c.Severity, Effective: v.Effective, Explicit: v.Explicit,
		Evidence: v.Evidence, Why: c.Why, Topic: c.Topic(), Reference: c.Reference}
	if f.Evidence == nil {
		f.Evidence = []finding.Evidence{}
	}
	if f.Reference == nil {
		f.Reference = []string{}
	}
	switch v.Result {
	case finding.Fail:
		f.Fix, f.Fixable = c.Fix, c.Repair != nil
	case finding.Unknown, finding.NotApplicable:
		f.Why = v.Reason
	}
	return f
}

// Askable reports whether a run can answer at all: what takes the running machine is left
// open where only files are looked at, whatever they hold.
func (c Check) Askable(h *facts.Host) bool { return h.Live || c.Needs&(NeedLive|NeedRouter) == 0 }

// Topic is the part of the id before the point.
func (c Check) Topic() string {
	for n := range c.ID {
		if c.ID[n] == '.' {
			return c.ID[:n]
		}
	}
	return c.ID
}

func (c Check) judge(h *facts.Host) (v Verdict) {
	defer func() {
		if p := recover(); p != nil {
			v = Unknown(fmt.Errorf("the check itself failed: %v\n%s", p, firstLines(debug.Stack())))
		}
	}()
	defer func() {
		if c.Needs&AlsoHA != 0 && h.HAUnseen() != nil && (v.Result == finding.Pass || v.Result == finding.NotApplicable) {
			v = Unknown(h.HAUnseen())
		}
	}()
	switch {
	case c.Needs&NeedHA != 0 && h.HAUnseen() != nil:
		return Unknown(h.HAUnseen())
	case c.Needs&NeedHA != 0 && h.HADir == "":
		return NotApplicable("no configuration of Home Assistant was found")
	case c.Needs&NeedHost != 0 && h.HAOnly:
		return NotApplicable("only Home Assistant's configuration was looked at")
	case c.Needs&NeedLive != 0 && !h.Live:
		return Unknown(errors.New("it takes the running machine to tell"))
	}
	if c.Needs&NeedHost != 0 {
		kind, err := h.Kind()
		switch {
		case err != nil:
			return Unknown(err)
		case kind != facts.KindMachine:
			return NotApplicable("this is " + string(kind))
		}
	}
	v = c.Judge(h)
	switch v.Result {
	case finding.Pass, finding.Fail:
	case finding.Unknown, finding.NotApplicable:
		if v.Reason == "" {
			return Unknown(errors.New("the check does not say why"))
		}
	default:
		return Unknown(errors.New("the check says nothing"))
	}
	return v
}

// firstLines is the beginning of a stack, for whoever mends the check.
func firstLines(stack []byte) string {
	const most = 600
	return string(stack[:min(most, len(stack))])
}
