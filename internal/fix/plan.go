package fix

import (
	"errors"
	"fmt"
	"slices"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

// Plan is what would be done to a home, and what is left alone.
type Plan struct {
	Fixes []finding.Fix
	Left  []Left
}

// Left is a finding that is not repaired.
type Left struct {
	ID   string `json:"id"`
	Why  string `json:"why"`
	Hint string `json:"hint,omitempty"`
	// Fine: there is nothing to repair.
	Fine bool `json:"fine,omitempty"`
}

// Make plans to repair what rules find, in their order, each on what the ones before it would
// leave. A fix is in the plan if its finding is gone on a copy in memory of what would be
// there then, and not otherwise.
func Make(h *facts.Host, rules []Rule) Plan {
	var p Plan
	tree := newOverlay(h.Tree, h.Now)
	for _, r := range rules {
		f, err := one(h.Over(tree), r)
		if err == nil {
			err = alone(append(slices.Clone(p.Fixes), f))
		}
		if err != nil {
			p.Left = append(p.Left, Left{ID: r.ID, Why: err.Error(), Hint: HintOf(err), Fine: errors.Is(err, errFine)})
			continue
		}
		for _, s := range f.Steps {
			tree.take(s)
		}
		p.Fixes = append(p.Fixes, f)
	}
	return p
}

// alone makes sure that what one fix takes away no other touches.
func alone(fixes []finding.Fix) error {
	gone, touched := map[string]string{}, map[string]string{}
	for _, f := range fixes {
		for _, s := range f.Steps {
			if place(s) != finding.StepEdit {
				continue
			}
			other, twice := touched[s.Path]
			if deleted, ok := gone[s.Path]; ok {
				other, twice = deleted, true
			}
			if _, ok := gone[s.Path]; twice && (ok || s.Kind == finding.StepDelete) {
				return Refuse("make them one after the other", "%s is changed by %s, and taken away", s.Path, other)
			}
			touched[s.Path] = f.ID
			if s.Kind == finding.StepDelete {
				gone[s.Path] = f.ID
			}
		}
	}
	return nil
}

var errFine = errors.New("nothing is to be repaired")

// one plans one fix.
func one(h *facts.Host, r Rule) (finding.Fix, error) {
	switch now := r.Judge(h); now.Result {
	case finding.Fail:
	case finding.Unknown:
		return finding.Fix{}, Refuse("", "it could not be judged: %s", now.Why)
	case finding.NotApplicable:
		return finding.Fix{}, fmt.Errorf("%w: %s", errFine, now.Why)
	case finding.Waived:
		return finding.Fix{}, fmt.Errorf("%w: the owner leaves it as it is", errFine)
	default:
		return finding.Fix{}, errFine
	}
	if r.Repair == nil {
		return finding.Fix{}, Refuse("gatehouse audit --explain "+r.ID, "a person has to do it: %s", r.ByHand)
	}
	f, err := repair(h, r)
	if err != nil {
		return finding.Fix{}, err
	}
	f.ID = r.ID
	after := newOverlay(h.Tree, h.Now)
	for _, s := range f.Steps {
		after.take(s)
	}
	then := r.Judge(h.Over(after))
	if then.Result == finding.Pass || then.Result == finding.NotApplicable {
		return f, nil
	}
	// What runs tells only after the programs were told; Apply looks then.
	if h.Live && slices.ContainsFunc(f.After, func(a finding.Action) bool { return a.Kind != finding.ActionValidate }) && then.Result == finding.Fail && runs(then) {
		return f, nil
	}
	why := then.Why
	if then.Result == finding.Fail {
		why = "the finding would still be there"
		if len(then.Evidence) > 0 {
			why += fmt.Sprintf(" (%s: %s)", then.Evidence[0].File, then.Evidence[0].Value)
		}
	}
	return finding.Fix{}, Refuse("gatehouse audit --explain "+r.ID, "it cannot be repaired with certainty: %s", why)
}

// runs reports whether a finding rests on what runs alone, and on no file.
func runs(f finding.Finding) bool {
	return !slices.ContainsFunc(f.Evidence, func(e finding.Evidence) bool {
		return len(e.File) > 0 && e.File[0] == '/' && !procOrSys(e.File)
	})
}

func procOrSys(name string) bool {
	return len(name) > 5 && (name[:5] == "/proc" || name[:4] == "/sys" || name[:4] == "/run")
}

// repair drafts a rule's fix. A rule that crashes leaves the home alone.
func repair(h *facts.Host, r Rule) (f finding.Fix, err error) {
	defer func() {
		if p := recover(); p != nil {
			f, err = finding.Fix{}, fmt.Errorf("the fix itself failed: %v", p)
		}
	}()
	return r.Repair(h)
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Fixes) == 0 }

// Home is the home as it would be afterwards, in memory.
func (p Plan) Home(h *facts.Host) *facts.Host {
	tree := newOverlay(h.Tree, h.Now)
	for _, f := range p.Fixes {
		for _, s := range f.Steps {
			tree.take(s)
		}
	}
	return h.Over(tree)
}

// Guarded reports whether one of the fixes could lock the owner out.
func (p Plan) Guarded() bool {
	return slices.ContainsFunc(p.Fixes, func(f finding.Fix) bool { return f.Guarded })
}
