package fix

import (
	"errors"
	"fmt"
	"slices"
	"strings"

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
	type touch struct {
		by   string
		gone bool
	}
	last := map[string]touch{}
	for _, f := range fixes {
		for _, s := range f.Steps {
			if place(s) != finding.StepEdit {
				continue
			}
			gone := s.Kind == finding.StepDelete
			if before, ok := last[s.Path]; ok && (before.gone || gone) {
				return Refuse("make them one after the other", "%s is changed by %s, and taken away", s.Path, before.by)
			}
			last[s.Path] = touch{f.ID, gone}
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
	then := r.Judge(Plan{Fixes: []finding.Fix{f}}.Home(h))
	if mended(then) {
		return f, nil
	}
	// What runs tells only after the programs were told; Apply looks then.
	if h.Live && slices.ContainsFunc(f.After, func(a finding.Action) bool { return a.Kind != finding.ActionValidate }) && then.Result == finding.Fail && runs(then) {
		return f, nil
	}
	return finding.Fix{}, Refuse("gatehouse audit --explain "+r.ID, "it cannot be repaired with certainty: %s", unmended(then, "the finding would still be there"))
}

// mended reports whether a finding is gone.
func mended(f finding.Finding) bool {
	return f.Result == finding.Pass || f.Result == finding.NotApplicable
}

// unmended says why a finding is not gone; still is for one that fails.
func unmended(f finding.Finding, still string) string {
	switch {
	case f.Result != finding.Fail:
		return f.Why
	case len(f.Evidence) > 0:
		return fmt.Sprintf("%s (%s: %s)", still, f.Evidence[0].File, f.Evidence[0].Value)
	}
	return still
}

// runs reports whether a finding rests on what runs alone, and on no file.
func runs(f finding.Finding) bool {
	of := func(file string) bool {
		return slices.ContainsFunc([]string{"/proc/", "/sys/", "/run/"}, func(dir string) bool { return strings.HasPrefix(file, dir) })
	}
	return !slices.ContainsFunc(f.Evidence, func(e finding.Evidence) bool { return strings.HasPrefix(e.File, "/") && !of(e.File) })
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
