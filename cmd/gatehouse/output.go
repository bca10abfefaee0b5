package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"gatehouse/internal/config"
	"gatehouse/internal/ledger"
)

// The exit statuses. Scripts rely on them.
const (
	statusDone   = 0
	statusNo     = 1 // the answer is no
	statusUsage  = 2 // wrong command line or configuration
	statusPartly = 3 // done, but not everything could be reached
	statusCannot = 4 // could not run
	statusUndone = 5 // a change was made, failed its proof and was taken back
)

// schemaVersion stands in every JSON document. It goes up when a field changes its
// meaning or goes away; new fields do not raise it.
const schemaVersion = 1

// problem is an error as the owner gets it: what is wrong, where, and what to do.
type problem struct {
	status   int
	err      error            // nil where the printed result says it all
	hint     string           // what to do; may be empty
	problems []config.Problem // where it is about the configuration
}

func (p *problem) Error() string {
	if p.err == nil {
		return "the answer is no"
	}
	return p.err.Error()
}
func (p *problem) Unwrap() error { return p.err }

// asProblem returns what to tell the owner about any error.
func asProblem(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	p = &problem{status: statusCannot, err: err}
	var disk *ledger.Error
	if errors.As(err, &disk) {
		p.hint = disk.Hint
	}
	return p
}

// fail tells the owner about an error and returns the exit status.
func (a *app) fail(err error) int {
	p := asProblem(err)
	if p.err == nil {
		return p.status // the result has been printed, and says it
	}
	if a.json {
		// A script reads standard output; people read standard error.
		document := struct {
			SchemaVersion int              `json:"schema_version"`
			Error         string           `json:"error"`
			Hint          string           `json:"hint,omitempty"`
			Status        int              `json:"status"`
			Problems      []config.Problem `json:"problems,omitempty"`
		}{schemaVersion, p.Error(), p.hint, p.status, p.problems}
		_ = writeJSON(a.out, document)
	}
	fmt.Fprintf(a.err, "gatehouse: %s\n", strings.ReplaceAll(p.Error(), "\n", "\n           "))
	if p.hint != "" {
		fmt.Fprintf(a.err, "      hint: %s\n", p.hint)
	}
	return p.status
}

// print writes a verb's result: as JSON if --json was given, otherwise as text.
func (a *app) print(document any, text func(io.Writer)) error {
	if a.json {
		return writeJSON(a.out, document)
	}
	text(a.out)
	return nil
}

// writeJSON writes one document and a line end.
func writeJSON(w io.Writer, document any) error {
	if err := json.MarshalWrite(w, document, jsontext.WithIndent("  "), json.Deterministic(true)); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// table writes rows in columns, the first row being the headline.
func table(w io.Writer, rows [][]string) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(tw, strings.Join(r, "\t"))
	}
	_ = tw.Flush() // w is the terminal or a buffer: there is nobody left to tell
}

// wrongFlag says which flag was probably meant.
func wrongFlag(cmd *cobra.Command, err error) error {
	p := &problem{status: statusUsage, err: err, hint: cmd.CommandPath() + " --help lists the flags"}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		name := unknown.GetSpecifiedName()
		p.err = fmt.Errorf("%s has no flag --%s", cmd.CommandPath(), name)
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if config.Near(name, f.Name) {
				p.hint = "did you mean --" + f.Name + "?"
			}
		})
	}
	return p
}
