package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/internal/config"
	"gatehouse/internal/fix"
)

// The verbs undo and history, and what keeps a trial.

// rooted is a run of a verb that needs nothing but a root and its journal.
type rooted struct {
	app  *app
	root string
}

func (r *rooted) flag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.root, "root", "/", "the file system in `DIR` instead of this machine's")
}

func (r *rooted) open() (*fix.Fixer, func(), error) {
	root, err := filepath.Abs(r.root)
	if err != nil {
		return nil, nil, fmt.Errorf("--root: %w", err)
	}
	if sameDirectory(root, "/") {
		root = "/"
	}
	if info, err := os.Stat(root); err != nil || !info.IsDir() {
		return nil, nil, &problem{status: statusUsage, err: fmt.Errorf("--root %s is no directory", root), hint: "name the directory that holds etc, usr and var"}
	}
	r.root = root
	cfg, err := r.app.someConfig()
	if err != nil {
		return nil, nil, err
	}
	return r.app.openFixer(root, cfg, nil, fix.OpenJournal)
}

// someConfig is the configuration, nil where there is none and nobody named one.
func (a *app) someConfig() (*config.Config, error) {
	cfg, _, err := a.loadConfig()
	if _, named := a.configPath(); err != nil && !named && (errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission)) {
		return nil, nil
	}
	return cfg, err
}

func (a *app) newUndoCommand() *cobra.Command {
	r := &rooted{app: a}
	interrupted := false
	cmd := &cobra.Command{
		Use:   "undo [N]",
		Short: "Take a fix back, exactly",
		Long: `Takes back what a fix did: the last one, or the one of that number in "gatehouse history".
Every file has its old bytes, mode and owner again.

Where somebody has changed one of its files since, nothing is touched, and it says which
and how to go on. What cannot be taken back, as some settings of the kernel that hold until
the machine starts again, is named in the plan before it is done.`,
		Example: `  gatehouse undo
  gatehouse undo 3
  gatehouse undo --root /mnt/card`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			x, closing, err := r.open()
			switch {
			case errors.Is(err, os.ErrNotExist) && interrupted:
				return nil
			case errors.Is(err, os.ErrNotExist):
				return nothingToUndo()
			case err != nil:
				return err
			}
			defer closing()
			if interrupted {
				if m, ok := x.Machine.(machine); ok {
					m.starting = true
					x.Machine = m
				}
				return a.recover(x)
			}
			n := 0
			if len(args) > 0 {
				if n, err = strconv.Atoi(args[0]); err != nil || n < 1 {
					return &problem{status: statusUsage, err: fmt.Errorf("%q is no number of a fix", args[0]), hint: `"gatehouse history" lists them`}
				}
			}
			return r.undo(cmd.Context(), x, n)
		},
	}
	r.flag(cmd)
	cmd.Flags().BoolVar(&interrupted, "interrupted", false, "put back what was interrupted, and every trial whose time is over")
	_ = cmd.Flags().MarkHidden("interrupted") // it is defined one line above
	return cmd
}

func nothingToUndo() error {
	return &problem{status: statusNo, err: errors.New("there is nothing to take back"), hint: `"gatehouse history" lists what was done`}
}

// recover puts back what was interrupted.
func (a *app) recover(x *fix.Fixer) error {
	taken, _, err := x.Recover()
	for _, t := range taken {
		a.note("fix %d (%s) is taken back: %s", t.N, t.Says(), t.Note())
	}
	if err != nil {
		return refusal(err)
	}
	return nil
}

func (r *rooted) undo(ctx context.Context, x *fix.Fixer, n int) error {
	var t *fix.Transaction
	var err error
	if n == 0 {
		if t, err = x.Journal.Last(); err == nil && t == nil {
			return nothingToUndo()
		}
	} else {
		t, err = x.Journal.Read(n)
	}
	if err != nil {
		return refusal(err)
	}
	if err := r.app.confirm(ctx, fmt.Sprintf("Take back fix %d of %s (%s)?", t.N, t.At.Local().Format(time.DateTime), t.Says())); err != nil {
		return err
	}
	if t, err = x.Undo(t.N); err != nil {
		return refusal(err)
	}
	doc := entryDocument(t)
	return r.app.print(doc, func(w io.Writer) {
		fmt.Fprintf(w, "Fix %d is taken back: %s.\n", t.N, t.Says())
		if note := t.Note(); note != "" {
			fmt.Fprintln(w, note)
		}
	})
}

// historyDocument is what a journal holds.
type historyDocument struct {
	SchemaVersion int               `json:"schema_version"`
	Root          string            `json:"root"`
	History       []historyDocEntry `json:"history"`
}

// historyDocEntry is one transaction.
type historyDocEntry struct {
	SchemaVersion int       `json:"schema_version"`
	N             int       `json:"n"`
	At            string    `json:"at"`
	State         fix.State `json:"state"`
	Deadline      string    `json:"deadline,omitzero"`
	Note          string    `json:"note,omitzero"`
	Fixes         []fixRow  `json:"fixes"`
}

func entryDocument(t *fix.Transaction) historyDocEntry {
	doc := historyDocEntry{SchemaVersion: schemaVersion, N: t.N, At: stamp(t.At), State: t.State(), Deadline: stamp(t.Deadline()), Note: t.Note(), Fixes: []fixRow{}}
	for _, f := range t.Fixes {
		doc.Fixes = append(doc.Fixes, fixRowOf(f, t.Root))
	}
	return doc
}

func (a *app) newHistoryCommand() *cobra.Command {
	r := &rooted{app: a}
	cmd := &cobra.Command{
		Use:     "history [N]",
		Short:   "List the fixes that were made and taken back, or show one",
		Example: "  gatehouse history\n  gatehouse history 3",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			x, closing, err := r.open()
			if errors.Is(err, os.ErrNotExist) {
				if len(args) > 0 {
					return refusal(fix.ErrNoTransaction)
				}
				return a.print(historyDocument{schemaVersion, r.root, []historyDocEntry{}}, func(w io.Writer) { fmt.Fprintln(w, "Nothing was repaired here yet.") })
			}
			if err != nil {
				return err
			}
			defer closing()
			if len(args) > 0 {
				n, err := strconv.Atoi(args[0])
				if err != nil {
					return &problem{status: statusUsage, err: fmt.Errorf("%q is no number of a fix", args[0]), hint: `"gatehouse history" lists them`}
				}
				t, err := x.Journal.Read(n)
				if err != nil {
					return refusal(err)
				}
				doc := entryDocument(t)
				return a.print(doc, func(w io.Writer) {
					fmt.Fprintf(w, "Fix %d of %s: %s\n\n", t.N, t.At.Local().Format(time.DateTime), t.State())
					sayFixes(w, fixDocument{Fixes: doc.Fixes})
				})
			}
			all, err := x.Journal.All()
			if err != nil {
				return refusal(err)
			}
			doc := historyDocument{SchemaVersion: schemaVersion, Root: r.root, History: []historyDocEntry{}}
			rows := [][]string{{"N", "WHEN", "STATE", "WHAT"}}
			for _, t := range all {
				doc.History = append(doc.History, entryDocument(t))
				state := string(t.State())
				if t.State() == fix.Trial {
					state += " until " + t.Deadline().Local().Format(time.TimeOnly)
				}
				rows = append(rows, []string{fmt.Sprint(t.N), t.At.Local().Format(time.DateTime), state, t.Says()})
			}
			return a.print(doc, func(w io.Writer) {
				if len(all) == 0 {
					fmt.Fprintln(w, "Nothing was repaired here yet.")
					return
				}
				table(w, rows)
			})
		},
	}
	r.flag(cmd)
	return cmd
}

// confirmFix keeps a fix that is on trial; done says that there was one. The trial is of
// whether somebody still gets in: so who confirms it has to have come in since.
func (a *app) confirmFix() (done bool, err error) {
	if os.Geteuid() != 0 {
		return false, nil
	}
	r := &rooted{app: a, root: "/"}
	x, closing, err := r.open()
	if errors.Is(err, os.ErrNotExist) {
		return false, nil // nothing was ever repaired here
	}
	if err != nil {
		return false, err
	}
	defer closing()
	t, err := x.Journal.OnTrial()
	if err != nil || t == nil {
		return false, err
	}
	if err := session().since(t); err != nil {
		return true, err
	}
	if t, err = x.Confirm(); err != nil {
		return true, refusal(err)
	}
	return true, a.print(entryDocument(t), func(w io.Writer) { fmt.Fprintf(w, "Fix %d stays: %s.\n", t.N, t.Says()) })
}

// fixKeeperVerb is what a fix leaves behind, to put everything back if it is killed.
const fixKeeperVerb = "keep-fix"

func (a *app) newFixKeeperCommand() *cobra.Command {
	r := &rooted{app: a}
	cmd := &cobra.Command{
		Use:    fixKeeperVerb,
		Short:  "Put back what is interrupted, and what nobody confirms in time",
		Hidden: true,
		Args:   noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			signal.Ignore(syscall.SIGHUP)
			x, closing, err := r.open()
			if err != nil {
				return err
			}
			defer closing()
			return x.Keep(cmd.Context())
		},
	}
	r.flag(cmd)
	return cmd
}
