package fix

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/internal/finding"
)

// chain is all that a transaction does to one thing.
type chain struct {
	path   string
	place  finding.StepKind
	states []*finding.Entry // what it was, and what it was after each step; nil: nothing there
	steps  []int            // the numbers of the steps
	mode   bool             // mode and owner alone
	final  bool             // the kernel does not take it back
}

// before is what the thing was.
func (c *chain) before() *finding.Entry { return c.states[0] }

// content reports whether the thing's content has to be read to know it again.
func (c *chain) content() bool {
	return slices.ContainsFunc(c.states, func(e *finding.Entry) bool { return e != nil && e.Content != nil })
}

// chains are a transaction's steps by thing, in the order in which each was touched first.
func chains(steps []finding.Step) (all []*chain) {
	for n, s := range steps {
		k := slices.IndexFunc(all, func(c *chain) bool { return c.path == s.Path && c.place == place(s) })
		if k < 0 {
			k = len(all)
			all = append(all, &chain{path: s.Path, place: place(s), states: []*finding.Entry{copyOf(s.Before)}, mode: true})
		}
		c := all[k]
		// A step that says nothing of the content leaves it.
		if s.Before != nil && s.Before.Content != nil {
			for _, e := range c.states {
				if e != nil && e.Content == nil && e.Type == finding.EntryFile && c.mode {
					e.Content = s.Before.Content
				}
			}
		}
		after := copyOf(s.After)
		if last := c.states[len(c.states)-1]; after != nil && after.Content == nil && last != nil && last.Content != nil && s.Kind == finding.StepMode {
			after.Content = last.Content
		}
		c.states = append(c.states, after)
		c.steps = append(c.steps, n)
		c.mode = c.mode && s.Kind == finding.StepMode
		c.final = c.final || s.Final
	}
	return all
}

func copyOf(e *finding.Entry) *finding.Entry {
	if e == nil {
		return nil
	}
	c := *e
	return &c
}

// at reports whether a thing is in one of the states that the transaction knows.
func (c *chain) at(now *finding.Entry) bool {
	if slices.ContainsFunc(c.states, func(e *finding.Entry) bool { return same(now, e) }) {
		return true
	}
	// Mode and owner are two calls: a kill may have come between them.
	for n := 1; n < len(c.states); n++ {
		a, b := c.states[n-1], c.states[n]
		if now != nil && a != nil && b != nil && now.Type == a.Type && now.Type == b.Type && (now.UID == a.UID || now.UID == b.UID) && (now.GID == a.GID || now.GID == b.GID) &&
			(now.Mode == a.Mode || now.Mode == b.Mode || now.Mode == a.Mode&^0o6000) && (now.Content == nil || a.Content == nil || *now.Content == *a.Content) && a.Content == b.Content {
			return true
		}
	}
	return false
}

// gone reports whether a thing of which only mode and owner were changed is not there any
// more, as a log or a database's journal: there is nothing to take back, and nothing lost.
func (c *chain) gone(now *finding.Entry) bool {
	return now == nil && c.place == finding.StepEdit && c.mode
}

// revert takes a transaction back, wherever it stands; what was taken back already stays so.
// force: what cannot be taken back, because somebody has changed it since, does not keep
// the rest.
func (x *Fixer) revert(t *Transaction, why string, end State, force bool) error {
	all := chains(t.steps())
	if !force {
		if err := x.undoable(t, all); err != nil {
			return err
		}
	}
	if t.State() != Undoing {
		err := x.Journal.add(t, Line{State: Undoing, Note: why})
		// What is not at its end is taken back whatever is written of it: a full disk, which
		// is often why it failed, must not keep the house half changed.
		if err != nil && !t.Open() {
			return err
		}
	}
	var errs, notes []error
	for _, c := range slices.Backward(all) {
		var theirs *Refusal
		err := x.back(t, c)
		if errors.As(err, &theirs) {
			notes = append(notes, err) // theirs is the newer will
		} else if err != nil {
			errs = append(errs, err)
		}
	}
	if err := x.feel(t); err != nil {
		notes = append(notes, err)
	}
	if err := errors.Join(errs...); err != nil {
		return errors.Join(append(errs, notes...)...)
	}
	l := Line{State: end}
	if err := errors.Join(notes...); err != nil {
		l.Note = "all is as before, but: " + err.Error()
		x.tell("%s", l.Note)
	}
	return x.Journal.add(t, l)
}

// feel makes it felt that steps were undone. What fails here does not change that they were.
func (x *Fixer) feel(t *Transaction) error {
	if x.Machine == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var errs []error
	for _, a := range backwards(t.actions(), t.acted) {
		x.tell("%s %s", a.Kind, a.Of)
		errs = append(errs, x.run(ctx, a))
		if a.Of != "firewall-off" {
			continue
		}
		// An earlier fix may have laid rules of ours, which are there again.
		if _, err := x.Disk.Lstat(inTree(firewallFile)); err == nil {
			errs = append(errs, x.run(ctx, finding.Action{Kind: finding.ActionRun, Of: "firewall"}))
		}
	}
	return errors.Join(errs...)
}

// undoable says why a transaction cannot be taken back whole.
func (x *Fixer) undoable(t *Transaction, all []*chain) error {
	for _, c := range all {
		now, err := x.now(c.path, c.place, c.content())
		if err != nil {
			return err
		}
		if c.at(now) || c.gone(now) {
			continue
		}
		if later := x.later(t, c); later > 0 {
			return Refuse(fmt.Sprintf(`"gatehouse undo %d" first`, later), "%s was changed again by fix %d", c.path, later)
		}
		return Refuse("put it as fix "+fmt.Sprint(t.N)+` left it, or change it by hand; "gatehouse history `+fmt.Sprint(t.N)+`" shows what it was`,
			"%s was changed by somebody else since, and would be lost", c.path)
	}
	return nil
}

// later is the last fix after a transaction that has changed a thing and stays; 0 if there is
// none.
func (x *Fixer) later(t *Transaction, c *chain) int {
	all, err := x.Journal.All()
	if err != nil {
		return 0
	}
	for _, o := range slices.Backward(all) {
		if o.N > t.N && o.State().Stays() && slices.ContainsFunc(o.steps(), func(s finding.Step) bool { return s.Path == c.path }) {
			return o.N
		}
	}
	return 0
}

// back makes a thing what it was. What somebody else has put in the way is theirs: that is
// a Refusal, and no error that keeps a transaction from its end.
func (x *Fixer) back(t *Transaction, c *chain) error {
	err := x.make(t, c)
	switch {
	case err == nil || IsRefusal(err):
		return err
	case c.final:
		return Refuse("", "the kernel keeps %s until the machine starts again", strings.ReplaceAll(c.path, "/", "."))
	case errors.Is(err, unix.ENOTEMPTY):
		return Refuse("", "%s holds something that somebody else put there, and stays", c.path)
	case c.place == finding.StepEdit && (errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR)):
		return Refuse("", "somebody else has put something else in place of a directory on the way to %s", c.path)
	}
	return err
}

func (x *Fixer) make(t *Transaction, c *chain) error {
	for _, n := range c.steps {
		if c.place == finding.StepEdit {
			if err := x.Disk.sweep(c.path, temporary(t, n)); err != nil {
				return err
			}
		}
	}
	now, err := x.now(c.path, c.place, c.content())
	if err != nil {
		return err
	}
	was := c.before()
	switch {
	case same(now, was) && !x.rewritten(t, c), c.gone(now):
		return nil
	case !c.at(now):
		return Refuse("", "%s was changed by somebody else since", c.path)
	case c.place == finding.StepSysctl:
		return x.Disk.setSysctl(c.path, *was.Content)
	case c.place == finding.StepHTTP:
		return x.setHTTP(context.Background(), *now.Content, *was.Content)
	case was == nil:
		return x.Disk.remove(c.path, *now)
	case now == nil && was.Type == finding.EntryFile && was.Content == nil:
		return x.bringBack(t, c)
	case now != nil && was.Content == nil:
		return x.Disk.attributes(c.path, *was, *now)
	}
	return x.Disk.put(c.path, *was, temporary(t, c.steps[0]), t.Times[c.path])
}

// rewritten reports whether a file was written since its transaction began, though it may
// say what it said before.
func (x *Fixer) rewritten(t *Transaction, c *chain) bool {
	when, ok := t.Times[c.path]
	if !ok {
		return false
	}
	info, err := x.Disk.Lstat(inTree(c.path))
	return err == nil && info.ModTime.UnixNano() != when
}

// bringBack brings back what the journal has kept.
func (x *Fixer) bringBack(t *Transaction, c *chain) error {
	last := c.steps[len(c.steps)-1]
	kept, err := x.Journal.dir.Open(path.Join(x.Journal.name(t.N, "kept"), fmt.Sprint(last)))
	if err != nil {
		return err
	}
	defer kept.Close()
	return x.Disk.release(kept, c.path, temporary(t, last))
}

// Undo takes a transaction back: exactly, or not at all where somebody has changed since
// what it had changed.
func (x *Fixer) Undo(n int) (*Transaction, error) {
	lock, err := x.Journal.Lock(false)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	t, err := x.Journal.Read(n)
	if err != nil {
		return nil, err
	}
	all, err := x.Journal.All()
	if err != nil {
		return nil, err
	}
	for _, o := range all {
		if o.N != n && o.Open() {
			return t, Refuse(`"gatehouse undo" without a number, or "gatehouse confirm"`, "fix %d is not at its end yet", o.N)
		}
	}
	switch s := t.State(); s {
	case Undone, Reverted:
		return t, Refuse("", "fix %d is taken back already", n)
	case Applying, Undoing:
		return t, x.revert(t, "interrupted", Reverted, true)
	default:
		return t, x.revert(t, "", Undone, s == Trial)
	}
}

// Last is the transaction that Undo takes back where no number is given: the last one that
// is not taken back; nil where there is none.
func (j *Journal) Last() (*Transaction, error) {
	all, err := j.All()
	if err != nil {
		return nil, err
	}
	for _, t := range slices.Backward(all) {
		if s := t.State(); s != Undone && s != Reverted {
			return t, nil
		}
	}
	return nil, nil
}

// Confirm keeps what is on trial; ErrNoTrial where nothing is.
func (x *Fixer) Confirm() (*Transaction, error) {
	lock, err := x.Journal.Lock(true)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	t, err := x.Journal.OnTrial()
	switch {
	case err != nil:
		return nil, err
	case t == nil:
		return nil, ErrNoTrial
	}
	if !time.Now().Before(t.Deadline()) {
		return t, Refuse("", "it is too late: the trial of fix %d ended at %s", t.N, t.Deadline().Local().Format(time.TimeOnly))
	}
	if err := x.Journal.add(t, Line{State: Confirmed}); err != nil {
		return t, err
	}
	return t, x.dismantle(t)
}

// ErrNoTrial says that there is nothing to confirm.
var ErrNoTrial = errors.New("nothing is on trial")

// OnTrial is the transaction that waits to be confirmed; nil where none does.
func (j *Journal) OnTrial() (*Transaction, error) {
	all, err := j.All()
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		if t.State() == Trial {
			return t, nil
		}
	}
	return nil, nil
}

// settle takes away what held the last trial up, if it was killed when it was confirmed.
// What stands there after that is of a later one.
func (x *Fixer) settle(all []*Transaction) error {
	if len(all) == 0 || all[len(all)-1].State() != Confirmed {
		return nil
	}
	return x.dismantle(all[len(all)-1])
}

// dismantle takes away what held a trial up.
func (x *Fixer) dismantle(t *Transaction) error {
	for _, c := range slices.Backward(chains(t.Scaffold)) {
		if err := x.back(t, c); err != nil && !IsRefusal(err) {
			return err
		}
	}
	return nil
}

// Recover puts back what was interrupted, and every trial whose time is over, or of which
// that cannot be told. It waits for whoever is at work. It returns what it took back, and the
// trial that still goes on.
func (x *Fixer) Recover() (taken []*Transaction, trial *Transaction, err error) {
	lock, err := x.Journal.Lock(true)
	if err != nil {
		return nil, nil, err
	}
	defer lock.Close()
	all, err := x.Journal.All()
	errs := []error{err} // one that cannot be read keeps none of the others
	errs = append(errs, x.settle(all))
	for _, t := range slices.Backward(all) {
		why := ""
		switch t.State() {
		case Applying, Undoing:
			why = "interrupted"
		case Trial:
			now := time.Now()
			// A clock that went back, as of a machine that has none of its own, ends it, too.
			if now.Before(t.Deadline()) && t.Deadline().Sub(now) <= TrialTime {
				trial = t
				continue
			}
			why = "nobody confirmed it in time"
		default:
			continue
		}
		if err := x.revert(t, why, Reverted, true); err != nil {
			errs = append(errs, &Stuck{t.N, err})
			continue
		}
		taken = append(taken, t)
	}
	return taken, trial, errors.Join(errs...)
}

// Keep is the net below: it waits until whoever applies is done or dead, puts back what was
// interrupted, and stays with a trial until that is confirmed, undone or over. What cannot
// be taken back now may be later, as when Home Assistant has started: it is tried again.
func (x *Fixer) Keep(ctx context.Context) error {
	keeps, err := x.Journal.keep()
	if err != nil {
		return err
	}
	defer keeps.Close()
	const first, longest, tries = 5 * time.Second, 5 * time.Minute, 16 // about an hour
	again := first
	for failed := 0; ; {
		_, trial, err := x.Recover()
		var wait time.Duration
		switch {
		case trial != nil: // whatever else went wrong
			wait = min(time.Second, max(time.Until(trial.Deadline()), 10*time.Millisecond))
		case err == nil:
			return nil
		case failed == tries:
			return err
		default:
			failed++
			wait = again
			again = min(2*again, longest)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// Open reports whether something waits for Recover or a confirmation.
func (t *Transaction) Open() bool {
	s := t.State()
	return s == Applying || s == Undoing || s == Trial
}

// Says is a transaction in a line.
func (t *Transaction) Says() string { return strings.Join(t.IDs(), ", ") }
