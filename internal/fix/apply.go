package fix

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"gatehouse/internal/finding"
)

// TrialTime is how long somebody has to confirm what could lock the owner out.
const TrialTime = 5 * time.Minute

// Fixer applies plans to one root and takes them back.
type Fixer struct {
	Disk    *Disk
	Journal *Journal
	Root    string // as it is told
	From    string // the login from which this is done; "" where that is no login over the network
	// Machine starts programs; nil on a root that does not run, where nothing is started.
	Machine Machine
	// Prove judges the home anew by the checks of these ids.
	Prove func(ids []string) []finding.Finding
	// Scaffold are the steps that have a trial taken back after the machine has started anew.
	Scaffold []finding.Step
	// Guard starts what takes an interrupted transaction back, before the first step and
	// while the journal is locked; may be nil.
	Guard func() error
	// Tell hears what is being done; may be nil.
	Tell func(what string)
}

func (x *Fixer) tell(format string, args ...any) {
	if x.Tell != nil {
		x.Tell(fmt.Sprintf(format, args...))
	}
}

// A TakenBack says that a change was made, failed, and was taken back; all is as before.
type TakenBack struct {
	N   int
	Err error
}

func (e *TakenBack) Error() string { return "taken back: " + e.Err.Error() }
func (e *TakenBack) Unwrap() error { return e.Err }

// A Stuck says that something could not be taken back, and what.
type Stuck struct {
	N   int
	Err error
}

func (e *Stuck) Error() string { return "could not be taken back whole: " + e.Err.Error() }
func (e *Stuck) Unwrap() error { return e.Err }

// Ready says why a plan could not be applied here, before anything is written: something has
// changed since it was made, or cannot be written.
func (x *Fixer) Ready(fixes []finding.Fix) error {
	if err := alone(fixes); err != nil {
		return err
	}
	type thing struct {
		place finding.StepKind
		path  string
	}
	seen := map[thing]bool{}
	for _, f := range fixes {
		for _, s := range f.Steps {
			what := thing{place(s), s.Path}
			if seen[what] {
				continue // what it comes upon is the plan's own doing
			}
			seen[what] = true
			if err := x.unchanged(s); err != nil {
				return err
			}
			if err := x.Disk.ready(s); err != nil {
				return err
			}
		}
	}
	if x.Machine == nil {
		return nil
	}
	for _, f := range fixes {
		for _, a := range f.After {
			if a.Kind != finding.ActionValidate || strings.HasPrefix(a.Of, "unit ") {
				continue
			}
			if err := x.run(context.Background(), a); err != nil {
				return Refuse("repair that first", "before anything is changed: %v", err)
			}
		}
	}
	return nil
}

// unchanged makes sure that a thing is what a step takes it for.
func (x *Fixer) unchanged(s finding.Step) error {
	now, err := x.now(s.Path, place(s), s.Before != nil && s.Before.Content != nil)
	if err != nil {
		return err
	}
	if !same(now, s.Before) {
		return Refuse("plan it again", "%s has changed since it was looked at", s.Path)
	}
	return nil
}

// now is what lies at a path, the value of a sysctl, or Home Assistant's settings.
func (x *Fixer) now(name string, place finding.StepKind, content bool) (*finding.Entry, error) {
	switch place {
	case finding.StepSysctl:
		return x.Disk.sysctl(name)
	case finding.StepHTTP:
		return x.Disk.httpOptions(name)
	}
	return x.Disk.entry(name, content)
}

// same compares entries; content and size only where both say something of it.
func same(a, b *finding.Entry) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.Type == finding.EntryValue && b.Type == finding.EntryValue {
		return strings.Join(strings.Fields(*a.Content), " ") == strings.Join(strings.Fields(*b.Content), " ")
	}
	mode := a.Mode == b.Mode || a.Type == finding.EntryLink
	return a.Type == b.Type && mode && a.UID == b.UID && a.GID == b.GID && a.Target == b.Target &&
		(a.Content == nil || b.Content == nil || *a.Content == *b.Content)
}

// Apply applies fixes as one transaction: written down, done, validated, made felt and
// proved; or all is as it was. What is guarded is on trial then.
func (x *Fixer) Apply(ctx context.Context, fixes []finding.Fix) (*Transaction, error) {
	lock, err := x.Journal.Lock(false)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	all, err := x.Journal.All()
	if err != nil {
		return nil, err
	}
	if err := nothingOpen(all); err != nil {
		return nil, err
	}
	if err := x.settle(all); err != nil {
		return nil, err
	}
	if err := x.Ready(fixes); err != nil {
		return nil, err
	}
	t := &Transaction{At: time.Now().UTC(), Root: x.Root, From: x.From, Fixes: fixes, Times: x.times(fixes)}
	guarded := t.Guarded() && x.Machine != nil
	if guarded {
		t.Scaffold = x.Scaffold
	}
	if x.Guard != nil {
		if err := x.Guard(); err != nil {
			return nil, fmt.Errorf("start what takes it back if it is interrupted: %w", err)
		}
		if err := x.guarded(ctx); err != nil {
			return nil, err
		}
	}
	if err := x.Journal.begin(t); err != nil {
		return nil, err
	}
	if err := x.do(ctx, t); err != nil {
		return t, x.takeBack(t, err)
	}
	l := Line{State: Applied}
	if guarded {
		if x.Guard != nil {
			if err := x.guarded(ctx); err != nil {
				return t, x.takeBack(t, err)
			}
		}
		l = Line{State: Trial, Deadline: time.Now().Add(TrialTime).UTC()}
	}
	if err := x.Journal.add(t, l); err != nil {
		return t, x.takeBack(t, err)
	}
	return t, nil
}

// guarded waits until the keeper waits: what nobody would take back is not begun.
func (x *Fixer) guarded(ctx context.Context) error {
	const soon = 10 * time.Second // a small computer loads a program slowly
	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	for {
		kept, err := x.Journal.kept()
		if kept || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.New("what takes a change back if it is interrupted does not run, and without it nothing is changed")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// nothingOpen says why nothing can begin: something else is not at its end.
func nothingOpen(all []*Transaction) error {
	for _, t := range all {
		switch t.State() {
		case Trial:
			return Refuse(`"gatehouse confirm" keeps it, "gatehouse undo" takes it back`, "fix %d is still on trial", t.N)
		case Applying, Undoing:
			return Refuse(`"gatehouse undo" puts everything back`, "fix %d was interrupted", t.N)
		}
	}
	return nil
}

// times are when the files that will be changed were changed last.
func (x *Fixer) times(fixes []finding.Fix) map[string]int64 {
	all := map[string]int64{}
	for _, f := range fixes {
		for _, s := range f.Steps {
			if s.Kind != finding.StepEdit {
				continue
			}
			if info, err := x.Disk.Lstat(inTree(s.Path)); err == nil {
				if _, ok := all[s.Path]; !ok {
					all[s.Path] = info.ModTime.UnixNano()
				}
			}
		}
	}
	return all
}

// do takes every step, then has it validated, felt and proved.
func (x *Fixer) do(ctx context.Context, t *Transaction) error {
	if err := x.takeSteps(ctx, t); err != nil {
		return err
	}
	if x.Machine != nil {
		if err := x.makeFelt(ctx, t); err != nil {
			return err
		}
	}
	x.tell("judging it again")
	for _, f := range x.Prove(t.IDs()) {
		if !mended(f) {
			return fmt.Errorf("%s is not proved: %s", f.ID, unmended(f, "the finding is still there"))
		}
	}
	return nil
}

// takeSteps takes every step. While accounts are among them, passwd(1) and its like wait: a
// password that somebody changes in that moment would be lost.
func (x *Fixer) takeSteps(ctx context.Context, t *Transaction) error {
	steps := t.steps()
	accounts := []string{"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow"}
	if slices.ContainsFunc(steps, func(s finding.Step) bool { return slices.Contains(accounts, s.Path) }) {
		unlock, err := x.Disk.lockAccounts()
		if err != nil {
			return err
		}
		defer unlock()
	}
	for n, s := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		x.tell("%s %s", s.Kind, s.Path)
		if err := x.step(ctx, t, n, s); err != nil {
			return err
		}
	}
	return nil
}

// makeFelt carries out the actions, and makes sure that what ran still does: a service that
// is started anew and cannot live with the change ends a moment later, and no program says so.
func (x *Fixer) makeFelt(ctx context.Context, t *Transaction) error {
	var ran []string
	for _, a := range t.actions() {
		if err := ctx.Err(); err != nil {
			return err
		}
		x.tell("%s %s", a.Kind, a.Of)
		verb, unit, _ := strings.Cut(a.Of, " ")
		watched := a.Kind == finding.ActionUnit && unit != "" && verb != "stop" && (verb == "start" || x.active(ctx, unit))
		if err := x.act(ctx, t, a); err != nil {
			return err
		}
		if watched {
			ran = append(ran, unit)
		}
	}
	if len(ran) == 0 {
		return nil
	}
	const moment = 3 * time.Second
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(moment):
	}
	for _, unit := range ran {
		if !x.active(ctx, unit) {
			return fmt.Errorf("%s does not run any more", unit)
		}
	}
	return nil
}

// active reports whether a unit runs.
func (x *Fixer) active(ctx context.Context, unit string) bool {
	_, err := x.Machine.Run(ctx, []string{"systemctl", "is-active", "--quiet", unit})
	return err == nil
}

// temporary is the name under which the n-th step of a transaction makes what it makes.
func temporary(t *Transaction, n int) string { return fmt.Sprintf(".gatehouse-%d-%d", t.N, n) }

// step takes one step.
func (x *Fixer) step(ctx context.Context, t *Transaction, n int, s finding.Step) error {
	if err := x.unchanged(s); err != nil {
		return err
	}
	switch s.Kind {
	case finding.StepSysctl:
		return x.Disk.setSysctl(s.Path, *s.After.Content)
	case finding.StepHTTP:
		return x.setHTTP(ctx, *s.Before.Content, *s.After.Content)
	case finding.StepMode:
		return x.Disk.attributes(s.Path, *s.After, *s.Before)
	case finding.StepCreate, finding.StepEdit:
		return x.Disk.put(s.Path, *s.After, temporary(t, n), 0)
	case finding.StepDelete:
		return x.delete(t, n, s)
	}
	return fmt.Errorf("%q is no step", s.Kind)
}

// setHTTP has Home Assistant change the settings of its web server. When it returns, Home
// Assistant runs with them and keeps them.
func (x *Fixer) setHTTP(ctx context.Context, before, after string) error {
	if x.Machine == nil {
		return Refuse("run this where Home Assistant runs", "the settings of its web server are changed by Home Assistant itself, which does not run here")
	}
	out, err := x.Machine.Run(ctx, []string{"homeassistant", "http", before, after})
	if text := strings.TrimSpace(string(out)); err != nil && text != "" {
		return fmt.Errorf("change the settings of Home Assistant's web server: %s", text)
	}
	if err != nil {
		return fmt.Errorf("change the settings of Home Assistant's web server: %w", err)
	}
	return nil
}

// delete keeps what it takes away.
func (x *Fixer) delete(t *Transaction, n int, s finding.Step) error {
	if s.Before.Type == finding.EntryFile {
		kept, err := x.Journal.openKept(t.N)
		if err != nil {
			return err
		}
		err = x.Disk.keep(s.Path, kept, fmt.Sprint(n))
		if err = errors.Join(err, kept.Close()); err != nil {
			return fmt.Errorf("keep %s: %w", s.Path, err)
		}
		x.Journal.did("kept " + s.Path)
	}
	return x.Disk.remove(s.Path, *s.Before)
}

// act carries an action out. It is written down before, so that it is made good whenever it
// may have happened.
func (x *Fixer) act(ctx context.Context, t *Transaction, a finding.Action) error {
	verb, unit, _ := strings.Cut(a.Of, " ")
	if a.Kind == finding.ActionUnit && (verb == "start" || verb == "stop") && x.active(ctx, unit) == (verb == "start") {
		return nil // it is so already, and stays so afterwards
	}
	if a.Kind != finding.ActionValidate {
		if err := x.Journal.add(t, Line{Acted: a.Of}); err != nil {
			return err
		}
	}
	return x.run(ctx, a)
}

func (x *Fixer) run(ctx context.Context, a finding.Action) error {
	argv, err := argvOf(a)
	if err != nil {
		return err
	}
	out, err := x.Machine.Run(ctx, argv)
	if err == nil {
		return nil
	}
	if text := strings.TrimSpace(string(out)); text != "" {
		const most = 2000
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, text[:min(most, len(text))])
	}
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is not there", argv[0])
	}
	return fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
}

// takeBack puts everything back because of an error.
func (x *Fixer) takeBack(t *Transaction, why error) error {
	x.tell("taking it back: %v", why)
	if err := x.revert(t, why.Error(), Reverted, true); err != nil {
		return &Stuck{t.N, errors.Join(why, err)}
	}
	return &TakenBack{t.N, why}
}
