package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/internal/config"
)

// app is what every verb is given: where to read and write, and the flags that
// every verb has.
type app struct {
	in     io.Reader
	out    io.Writer // results
	err    io.Writer // progress, messages, errors
	getenv func(string) string

	configFlag string // --config, "" if not given
	json       bool   // --json: one document on out
	yes        bool   // --yes: ask nothing
	quiet      bool   // --quiet: no progress
}

// run carries out a command line and returns the exit status (output.go).
func (a *app) run(ctx context.Context, args []string) int {
	root := a.command()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return statusDone
	}
	return a.fail(err)
}

// command returns the whole command line. It is made anew for each run.
func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "gatehouse",
		Short: "Keep a home that runs on Home Assistant safe",
		Long: `Gatehouse stands in front of Home Assistant and lets through the people and
devices that you know, and nobody else. No cloud, no account, no telemetry.`,
		Example: `  gatehouse demo              a made-up home behind the gateway, nothing kept
  gatehouse setup             find Home Assistant on this machine and write the configuration
  gatehouse serve             the gateway
  gatehouse devices           what is known
  gatehouse invite Anna       a link that makes Anna's browser known`,
		Version:                    version(),
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
		Args: cobra.ArbitraryArgs,
	}
	root.SetVersionTemplate("gatehouse {{.Version}}\n")
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(wrongFlag)
	flags := root.PersistentFlags()
	flags.StringVar(&a.configFlag, "config", "", "configuration `FILE` (else $GATEHOUSE_CONFIG, else "+config.DefaultPath+")")
	flags.BoolVar(&a.json, "json", false, "print one JSON document")
	flags.BoolVar(&a.yes, "yes", false, "ask nothing")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "print results and errors alone")
	root.AddCommand(a.verbs()...)
	return root
}

// version is what the build knows of itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}

// verbs returns every verb, in the order of the help.
func (a *app) verbs() []*cobra.Command {
	return []*cobra.Command{
		a.newDemoCommand(), a.newSetupCommand(), a.newServeCommand(),
		a.newStatusCommand(), a.newDoorsCommand(), a.newDoctorCommand(), a.newLogCommand(),
		a.newPeopleCommand(), a.newDevicesCommand(), a.newResidentsCommand(), a.newSessionsCommand(), a.newInviteCommand(),
		a.newCloseCommand(), a.newConfirmCommand(), a.newOpenCommand(), a.newOffCommand(), a.newGuardCommand(),
		a.newAuditCommand(), a.newFixCommand(), a.newUndoCommand(), a.newHistoryCommand(), a.newHardenCommand(), a.newAgentCommand(),
		a.newConfigCommand(), a.newCACommand(), a.newCertificatesCommand(), a.newDDNSCommand(), a.newManCommand(), a.newKeeperCommand(), a.newFixKeeperCommand(), a.newHomeToolCommand(),
	}
}

// configPath returns the configuration file's path, and whether somebody named it.
func (a *app) configPath() (path string, named bool) {
	if a.configFlag != "" {
		return a.configFlag, true
	}
	if path := a.getenv("GATEHOUSE_CONFIG"); path != "" {
		return path, true
	}
	return config.DefaultPath, false
}

// loadConfig reads the configuration. Its error is a *problem.
func (a *app) loadConfig() (*config.Config, string, error) {
	path, _ := a.configPath()
	c, err := config.Load(path)
	if err == nil {
		err = wrongWith(path, ruleProblems(c))
	}
	if err == nil {
		return c, path, nil
	}
	var wrong *config.Error
	switch {
	case errors.As(err, &wrong):
		return nil, path, &problem{status: statusUsage, err: err, problems: wrong.Problems}
	case errors.Is(err, fs.ErrNotExist):
		return nil, path, &problem{status: statusUsage, err: err, hint: `run "gatehouse setup" to make one, or "gatehouse demo" to look around first`}
	case errors.Is(err, fs.ErrPermission):
		return nil, path, &problem{status: statusCannot, err: err, hint: "run this as root or as the service's own user"}
	}
	return nil, path, &problem{status: statusCannot, err: err}
}

// wrongWith is the error of problems with a configuration; nil if there are none.
func wrongWith(path string, wrong []config.Problem) error {
	if len(wrong) == 0 {
		return nil
	}
	slices.SortStableFunc(wrong, func(a, b config.Problem) int { return cmp.Compare(a.Line, b.Line) })
	return &config.Error{File: path, Problems: wrong}
}

// note says something beside the result, unless --quiet was given.
func (a *app) note(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.err, format+"\n", args...)
	}
}

// isTerminal reports whether results go to somebody who looks at them.
func (a *app) isTerminal() bool { return terminal(a.out) }

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&fs.ModeCharDevice != 0
}

// unknownCommand says what was probably meant.
func unknownCommand(cmd *cobra.Command, word string) error {
	p := &problem{status: statusUsage, err: fmt.Errorf("%s has no command %q", cmd.CommandPath(), word)}
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		p.hint = "did you mean " + strings.Join(near, " or ") + "?"
	} else {
		p.hint = cmd.CommandPath() + " --help lists them"
	}
	return p
}

// group is a verb that has verbs below it and does nothing by itself.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		return &problem{status: statusUsage, err: fmt.Errorf("%s what?", cmd.CommandPath()), hint: cmd.CommandPath() + " --help lists what there is"}
	}
	c.AddCommand(below...)
	return c
}
