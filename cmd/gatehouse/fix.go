package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"gatehouse/internal/audit"
	"gatehouse/internal/checks"
	"gatehouse/internal/config"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
	"gatehouse/internal/report"
)

// The verbs fix and harden. They begin as an audit does: with the files, the host and Home
// Assistant's directory.

// fixing is one run of them.
type fixing struct {
	auditing

	dryRun      bool
	plan, apply string // files
	without     []string
	profile     string

	rules []fix.Rule
	todo  fix.Plan
}

func (a *app) newFixCommand() *cobra.Command {
	x := &fixing{auditing: auditing{app: a}}
	cmd := &cobra.Command{
		Use:   "fix [ID…]",
		Short: "Repair what the audit found: shown first, proved afterwards, undone on request",
		Long: `Repairs findings of the audit. Every change is shown before it is made; it is written
down in a journal first, so that "gatehouse undo" takes it back exactly; the program whose
file it is looks at it; and the finding has to be gone. Otherwise, and if this is killed in
the middle, all is as before.

Without an ID it shows what can be repaired, and asks. What could lock you out, as changes
of the SSH server or the firewall, is on trial for five minutes: log in once more, say
"gatehouse confirm" there, and it stays. If you cannot, it takes itself back, after a power
cut too.

Nothing is changed that another program looks after, that is immutable, or that Home
Assistant OS or its Supervisor keeps watch over: it says so and leaves it.

With --root it repairs another file system: a mounted card, an image. No program is started
then, and nothing of the machine that runs.

The exit status is 0 if all is repaired, 1 if something is left alone, 3 if something was
repaired and something left, 5 if a change was taken back.`,
		Example: `  gatehouse fix
  gatehouse fix ssh.root-login --dry-run
  gatehouse fix ssh.root-login ssh.password-auth && gatehouse confirm
  gatehouse fix ssh.root-login --plan fix.json; gatehouse fix --apply fix.json
  gatehouse fix fs.shadow-perms --root /mnt/card --yes`,
		RunE: func(cmd *cobra.Command, ids []string) error { return x.run(cmd.Context(), ids) },
	}
	x.flags(cmd)
	cmd.Flags().StringVar(&x.plan, "plan", "", "write the plan into a `FILE`, and change nothing")
	cmd.Flags().StringVar(&x.apply, "apply", "", "do what a plan says, a `FILE` of --plan, if it would still be the same")
	return cmd
}

func (a *app) newHardenCommand() *cobra.Command {
	x := &fixing{auditing: auditing{app: a}}
	cmd := &cobra.Command{
		Use:   "harden --profile home|strict",
		Short: "Make every recommended repair at once, as one change with one undo",
		Long: `Plans every repair that is recommended for a home, in an order in which none stands in
another's way, shows it, and makes it as one change: all of it is proved, or all is as
before, and one "gatehouse undo" takes it back.

The profile home holds what nobody in a home misses; strict what costs some comfort, too.`,
		Example: `  gatehouse harden --profile home --dry-run
  gatehouse harden --profile home --without ssh.password-auth`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error { return x.harden(cmd.Context()) },
	}
	x.flags(cmd)
	cmd.Flags().StringVar(&x.profile, "profile", "", "for which kind of `HOME`: home or strict")
	cmd.Flags().StringArrayVar(&x.without, "without", nil, "leave the finding `ID` as it is; may be given several times")
	return cmd
}

func (x *fixing) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&x.root, "root", "/", "repair the file system in `DIR` instead of this machine's")
	f.StringVar(&x.haDir, "ha", "", "Home Assistant's configuration `DIR` (else the configuration's, else the only one that is found)")
	f.BoolVar(&x.dryRun, "dry-run", false, "show what would be done, and change nothing")
	f.BoolVar(&x.noWalk, "no-walk", false, "do not walk through the whole file system")
}

// open reads what an audit reads.
func (x *fixing) open(ctx context.Context) error {
	for _, step := range []func(context.Context) error{x.readFiles, x.openHost, x.findHome} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	x.walk()
	return nil
}

func (x *fixing) close() {
	if x.host != nil {
		_ = x.host.Tree.(*facts.Disk).Close()
	}
}

// ruleOf is a check as far as a repair needs it. What the owner waives is left.
func (x *fixing) ruleOf(c audit.Check) fix.Rule {
	return fix.Rule{ID: c.ID, Repair: c.Repair, ByHand: c.ByHand, Judge: func(h *facts.Host) finding.Finding {
		found := audit.Run(h, []audit.Check{c}, nil)
		report.Waive(found, x.waivers, h.Now.Format(time.DateOnly))
		return found[0]
	}}
}

func (x *fixing) run(ctx context.Context, ids []string) error {
	switch {
	case x.plan != "" && x.apply != "":
		return &problem{status: statusUsage, err: errors.New("--plan and --apply at once"), hint: "write the plan, read it, then apply it"}
	case x.apply != "" && len(ids) > 0:
		return &problem{status: statusUsage, err: errors.New("--apply and names of findings"), hint: "a plan names its own"}
	}
	defer x.close()
	if err := x.open(ctx); err != nil {
		return err
	}
	var promised *planFile
	if x.apply != "" {
		var err error
		if promised, err = x.readPlan(); err != nil {
			return err
		}
		ids = promised.ids()
	}
	if len(ids) == 0 {
		var err error
		if ids, err = x.choose(ctx); err != nil || len(ids) == 0 {
			return err
		}
	}
	for n, id := range ids {
		if slices.Contains(ids[:n], id) {
			continue
		}
		c, ok := checks.Find(id)
		if !ok {
			return &problem{status: statusUsage, err: fmt.Errorf("there is no check %s", id), hint: nearestCheck(id)}
		}
		x.rules = append(x.rules, x.ruleOf(c))
	}
	x.todo = fix.Make(x.host, x.rules)
	if promised != nil {
		if err := promised.kept(x.todo); err != nil {
			return err
		}
	}
	return x.carryOut(ctx)
}

func (x *fixing) harden(ctx context.Context) error {
	want := audit.Profile(x.profile)
	if want != audit.ProfileHome && want != audit.ProfileStrict {
		return &problem{status: statusUsage, err: fmt.Errorf("--profile is %q", x.profile), hint: "it is home or strict"}
	}
	all := checks.Recommended(want)
	for _, id := range x.without {
		if _, ok := checks.Find(id); !ok {
			return &problem{status: statusUsage, err: fmt.Errorf("--without %s: there is no such check", id), hint: nearestCheck(id)}
		}
	}
	defer x.close()
	if err := x.open(ctx); err != nil {
		return err
	}
	for _, c := range all {
		if !slices.Contains(x.without, c.ID) {
			x.rules = append(x.rules, x.ruleOf(c))
		}
	}
	p := x.app.newProgress()
	p.show("looking at %d findings that have a repair", len(x.rules))
	x.todo = fix.Make(x.host, x.rules)
	p.clear()
	x.todo.Left = slices.DeleteFunc(x.todo.Left, func(l fix.Left) bool { return l.Fine })
	return x.carryOut(ctx)
}

// choose shows what can be repaired, and asks what shall be.
func (x *fixing) choose(ctx context.Context) ([]string, error) {
	ask := &asker{out: x.app.err}
	if f, ok := x.app.in.(*os.File); ok {
		ask.in = f
	}
	if x.app.yes || x.app.json || !ask.terminal() {
		return nil, &problem{status: statusUsage, err: errors.New("fix what?"),
			hint: `name findings, as in "gatehouse fix ssh.root-login"; "gatehouse audit --format json" says which are "fixable"; "gatehouse harden" makes all recommended repairs`}
	}
	x.asked = checks.Repairable()
	if err := x.judge(ctx); err != nil {
		return nil, err
	}
	var bad []finding.Finding
	for _, s := range finding.Severities() {
		for _, f := range x.report.Checks {
			if f.Severity == s && f.Result == finding.Fail {
				bad = append(bad, f)
			}
		}
	}
	if len(bad) == 0 {
		fmt.Fprintln(x.app.out, "Nothing is found that a program could repair. \"gatehouse audit\" says the rest.")
		return nil, nil
	}
	fmt.Fprintf(x.app.err, "These can be repaired:\n\n")
	for n, f := range bad {
		fmt.Fprintf(x.app.err, "  %2d  %-4s  %s  (%s)\n", n+1, f.Severity, f.Title, f.ID)
	}
	answer, err := ask.line(ctx, "\nWhich? Numbers or names, with spaces between; \"all\"; nothing ends this", "none", "their names", func(s string) error {
		_, err := picked(s, bad)
		return err
	})
	if err != nil {
		return nil, err
	}
	return picked(answer, bad)
}

// picked reads what somebody chose from a list.
func picked(answer string, from []finding.Finding) (ids []string, err error) {
	for _, word := range strings.FieldsFunc(answer, func(r rune) bool { return r == ' ' || r == ',' }) {
		n, isNumber := strconv.Atoi(word)
		switch {
		case word == "none":
		case word == "all":
			for _, f := range from {
				ids = append(ids, f.ID)
			}
		case isNumber == nil && n >= 1 && n <= len(from):
			ids = append(ids, from[n-1].ID)
		case slices.ContainsFunc(from, func(f finding.Finding) bool { return f.ID == word }):
			ids = append(ids, word)
		default:
			return nil, fmt.Errorf("%q is not on the list", word)
		}
	}
	return ids, nil
}

// fixDocument is what a run would do, or has done.
type fixDocument struct {
	SchemaVersion int        `json:"schema_version"`
	Root          string     `json:"root"`
	Fixes         []fixRow   `json:"fixes"`
	Left          []fix.Left `json:"left"`
	Applied       bool       `json:"applied"`
	N             int        `json:"n,omitzero"`        // in the journal
	State         fix.State  `json:"state,omitzero"`    // in the journal
	Deadline      string     `json:"deadline,omitzero"` // of a trial
}

// fixRow is one fix.
type fixRow struct {
	ID      string    `json:"id"`
	Does    string    `json:"does"`
	Breaks  string    `json:"breaks,omitzero"`
	Guarded bool      `json:"guarded"`
	Digest  string    `json:"digest"`
	Steps   []stepRow `json:"steps"`
	After   []string  `json:"after"`
}

// stepRow is one step, as it is shown.
type stepRow struct {
	Kind finding.StepKind `json:"kind"`
	Path string           `json:"path"`
	Says string           `json:"says"` // a diff, or a line
}

func (x *fixing) document() fixDocument {
	doc := fixDocument{SchemaVersion: schemaVersion, Root: x.root, Fixes: []fixRow{}, Left: x.todo.Left}
	if doc.Left == nil {
		doc.Left = []fix.Left{}
	}
	for _, f := range x.todo.Fixes {
		doc.Fixes = append(doc.Fixes, fixRowOf(f, x.root))
	}
	return doc
}

// fixRowOf is a fix of a root. On one that does not run nothing is started, and nobody can
// be locked out.
func fixRowOf(f finding.Fix, root string) fixRow {
	row := fixRow{ID: f.ID, Does: f.Does, Breaks: f.Breaks, Guarded: f.Guarded && root == "/", Digest: f.Digest(), Steps: []stepRow{}, After: []string{}}
	for _, s := range f.Steps {
		row.Steps = append(row.Steps, stepRow{s.Kind, s.Path, fix.Show(s)})
	}
	if root != "/" {
		return row
	}
	for _, a := range f.After {
		row.After = append(row.After, string(a.Kind)+" "+a.Of)
	}
	return row
}

func sayFixes(w io.Writer, doc fixDocument) {
	for _, f := range doc.Fixes {
		fmt.Fprintf(w, "%s\n  %s\n", f.ID, f.Does)
		if f.Breaks != "" {
			fmt.Fprintf(w, "  What may break: %s\n", f.Breaks)
		}
		if f.Guarded {
			fmt.Fprintf(w, "  It is on trial for five minutes, and takes itself back unless you confirm it.\n")
		}
		fmt.Fprintln(w)
		for _, s := range f.Steps {
			for line := range strings.Lines(s.Says) {
				fmt.Fprintf(w, "    %s", line)
			}
		}
		for _, a := range f.After {
			fmt.Fprintf(w, "    then %s\n", a)
		}
		fmt.Fprintln(w)
	}
	for _, l := range doc.Left {
		if l.Fine {
			fmt.Fprintf(w, "%s: %s\n", l.ID, l.Why)
			continue
		}
		fmt.Fprintf(w, "%s is left alone: %s\n", l.ID, l.Why)
		if l.Hint != "" {
			fmt.Fprintf(w, "  hint: %s\n", l.Hint)
		}
	}
}

// status is how it ended for a script.
func (x *fixing) status(applied bool) error {
	left := slices.ContainsFunc(x.todo.Left, func(l fix.Left) bool { return !l.Fine })
	switch {
	case left && applied && x.profile == "":
		return &problem{status: statusPartly}
	case left && x.profile == "":
		return &problem{status: statusNo}
	}
	return nil
}

// carryOut shows a plan, asks, and applies it.
func (x *fixing) carryOut(ctx context.Context) error {
	doc := x.document()
	show := func(w io.Writer) error {
		return x.app.print(doc, func(out io.Writer) {
			if w != nil {
				out = w
			}
			sayFixes(out, doc)
		})
	}
	switch {
	case x.plan != "":
		if err := x.writePlan(); err != nil {
			return err
		}
		fallthrough
	case x.dryRun, x.todo.Empty():
		if err := show(nil); err != nil {
			return err
		}
		if x.profile != "" && x.todo.Empty() && !x.app.json {
			fmt.Fprintln(x.app.out, "Nothing of this profile is left to repair.")
		}
		return x.status(false)
	}
	if !x.app.json && !x.app.quiet {
		sayFixes(x.app.err, doc)
	}
	fixer, closing, err := x.app.openFixer(x.root, x.cfg, x.host, fix.MakeJournal)
	if err != nil {
		return err
	}
	defer closing()
	if err := fixer.Ready(x.todo.Fixes); err != nil {
		return refusal(err)
	}
	if err := x.app.confirm(ctx, "Do that?"); err != nil {
		return err
	}
	t, err := fixer.Apply(ctx, x.todo.Fixes)
	if err != nil {
		return refusal(err)
	}
	doc.Applied, doc.N, doc.State, doc.Deadline = true, t.N, t.State(), stamp(t.Deadline())
	err = x.app.print(doc, func(w io.Writer) {
		fmt.Fprintf(w, "Done, and proved: %s. \"gatehouse undo %d%s\" takes it back.\n", t.Says(), t.N, rootFlag(x.root))
		if doc.State == fix.Trial {
			fmt.Fprintf(w, "It is on trial until %s. Log in once more, from another terminal, and say \"gatehouse confirm\" there.\n", t.Deadline().Local().Format(time.TimeOnly))
		}
	})
	if err != nil {
		return err
	}
	return x.status(true)
}

func rootFlag(root string) string {
	if root == "/" {
		return ""
	}
	return " --root " + root
}

// refusal is what to tell the owner about an error of the fixer.
func refusal(err error) error {
	var back *fix.TakenBack
	var stuck *fix.Stuck
	switch {
	case errors.As(err, &stuck):
		return &problem{status: statusCannot, err: err, hint: `see what is in the way, then say "gatehouse undo": it goes on from there`}
	case errors.As(err, &back):
		return &problem{status: statusUndone, err: fmt.Errorf("it did not work, and all is as before: %w", back.Err)}
	case errors.Is(err, fix.ErrBusy):
		return &problem{status: statusCannot, err: err, hint: "wait until it is done"}
	case errors.Is(err, fix.ErrNoTransaction):
		return &problem{status: statusUsage, err: err, hint: `"gatehouse history" lists them`}
	case fix.IsRefusal(err):
		return &problem{status: statusNo, err: err, hint: fix.HintOf(err)}
	}
	return err
}

// openFixer opens what changes a root, and its journal: with MakeJournal, or with OpenJournal
// where nothing begins.
func (a *app) openFixer(root string, cfg *config.Config, host *facts.Host, open func(dir string) (*fix.Journal, error)) (*fix.Fixer, func(), error) {
	disk, err := fix.OpenDisk(root)
	if err != nil {
		return nil, nil, err
	}
	dir, err := journalDir(root, cfg, a.getenv)
	if err != nil {
		return nil, nil, errors.Join(err, disk.Close())
	}
	journal, err := open(dir)
	if err != nil {
		p := refusal(err)
		if os.Geteuid() != 0 && !fix.IsRefusal(err) {
			p = &problem{status: statusCannot, err: err, hint: "run this as root"}
		}
		return nil, nil, errors.Join(p, disk.Close())
	}
	x := &fix.Fixer{Disk: disk, Journal: journal, Root: root, From: session().name(), Tell: func(what string) { a.note("  %s", what) }}
	config, _ := a.configPath()
	x.Guard = func() error { return leaveFixKeeper(config, root) }
	if root == "/" {
		x.Machine, x.Scaffold = machine{config: config}, trialUnit(config)
	}
	x.Prove = func(ids []string) []finding.Finding {
		h := &facts.Host{Tree: disk.Disk, Live: root == "/", Root: os.Geteuid() == 0, Now: time.Now(), NoWalk: host != nil && host.NoWalk}
		if host != nil {
			h.HADir, h.HAOnly = host.HADir, host.HAOnly
		}
		all := slices.DeleteFunc(checks.All(), func(c audit.Check) bool { return !slices.Contains(ids, c.ID) })
		return audit.Run(h, all, nil)
	}
	return x, func() { _ = journal.Close(); _ = disk.Close() }, nil
}

// journalDir is where it is written down what was done to a root: never in that root, but
// this machine's own.
func journalDir(root string, cfg *config.Config, getenv func(string) string) (string, error) {
	state := config.Default().State.Dir
	if cfg != nil {
		state = cfg.State.Dir
	}
	if os.Geteuid() != 0 {
		home := getenv("HOME")
		if state = getenv("XDG_STATE_HOME"); state == "" {
			if home == "" {
				return "", &problem{status: statusCannot, err: errors.New("there is no place for the journal"), hint: "run this as root, or set $HOME"}
			}
			state = filepath.Join(home, ".local", "state")
		}
		state = filepath.Join(state, "gatehouse")
	}
	dir := filepath.Join(state, "journal")
	if root == "/" {
		return dir, nil
	}
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return "", err
	}
	if inside, err := filepath.Rel(real, dir); err == nil && inside != ".." && !strings.HasPrefix(inside, "../") {
		return "", &problem{status: statusUsage, err: fmt.Errorf("the journal %s is inside --root %s", dir, root), hint: "name another [state] dir in the configuration"}
	}
	sum := sha256.Sum256([]byte(real))
	return filepath.Join(dir, "root-"+hex.EncodeToString(sum[:8])), nil
}

// planFile is a plan as it is kept for later: what was shown, by digest. What it says is
// worked out again before it is done.
type planFile struct {
	SchemaVersion int        `json:"schema_version"`
	Kind          string     `json:"kind"`
	Root          string     `json:"root"`
	Fixes         []fixRow   `json:"fixes"`
	Left          []fix.Left `json:"left"`
}

const planKind = "gatehouse fix plan"

func (x *fixing) writePlan() error {
	doc := x.document()
	f, err := os.OpenFile(x.plan, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return &problem{status: statusUsage, err: fmt.Errorf("--plan %s: it is there already", x.plan), hint: "name a new file"}
	}
	if err != nil {
		return &problem{status: statusUsage, err: fmt.Errorf("--plan: %w", err), hint: "name a file that can be written"}
	}
	err = writeJSON(f, planFile{schemaVersion, planKind, x.root, doc.Fixes, doc.Left})
	return errors.Join(err, f.Close())
}

func (x *fixing) readPlan() (*planFile, error) {
	text, err := os.ReadFile(x.apply)
	if err != nil {
		return nil, &problem{status: statusUsage, err: fmt.Errorf("--apply: %w", err), hint: "it is what --plan has written"}
	}
	var p planFile
	if err := json.Unmarshal(text, &p); err != nil || p.Kind != planKind || p.SchemaVersion != schemaVersion || len(p.Fixes) == 0 {
		return nil, &problem{status: statusUsage, err: fmt.Errorf("--apply %s is no plan, or an empty one", x.apply), hint: "it is what --plan has written"}
	}
	if p.Root != x.root {
		return nil, &problem{status: statusUsage, err: fmt.Errorf("--apply %s is for %s, and this is %s", x.apply, p.Root, x.root), hint: "say --root as it was said for the plan"}
	}
	return &p, nil
}

func (p *planFile) ids() (ids []string) {
	for _, f := range p.Fixes {
		ids = append(ids, f.ID)
	}
	return ids
}

// kept says where a plan that was made again is another.
func (p *planFile) kept(now fix.Plan) error {
	hint := "something has changed since: make the plan again"
	for _, l := range now.Left {
		return &problem{status: statusNo, err: fmt.Errorf("%s: %s", l.ID, l.Why), hint: hint}
	}
	for n, f := range now.Fixes {
		if n >= len(p.Fixes) || p.Fixes[n].Digest != f.Digest() {
			return &problem{status: statusNo, err: fmt.Errorf("%s would do something else now than the plan says", f.ID), hint: hint}
		}
	}
	return nil
}
