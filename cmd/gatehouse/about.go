package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/internal/config"
	"gatehouse/internal/policy"
)

// The verbs that say how things are: status, doors, config and ca.

func (a *app) newStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show what is open, who is in and how Home Assistant is",
		Long:  "Shows the state of the gateway. The exit status is 1 where none runs.",
		Args:  noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := ask(cmd.Context(), a, "status", status, none{})
			if err != nil {
				return err
			}
			if err := a.print(doc, func(w io.Writer) { sayStatus(w, doc) }); err != nil {
				return err
			}
			return running(doc)
		},
	}
}

// running turns the answer into the exit status: what there is to say is out already.
func running(doc statusDocument) error {
	if doc.Running {
		return nil
	}
	return &problem{status: statusNo}
}

func sayStatus(w io.Writer, doc statusDocument) {
	if !doc.Running {
		fmt.Fprintf(w, "The gateway is not running. It knows %s and %s.\nStart it: gatehouse serve\n", count(doc.People, "person", "people"), count(doc.Devices, "device", "devices"))
		return
	}
	fmt.Fprintf(w, "The gateway is running since %s.\n\n", doc.Started)
	sayDoors(w, doc.Doors)
	ha := "Home Assistant at " + doc.HomeAssistant.URL + " is " + strings.ReplaceAll(doc.HomeAssistant.State, "-", " ")
	if doc.HomeAssistant.Version != "" {
		ha += " (" + doc.HomeAssistant.Version + ")"
	}
	fmt.Fprintf(w, "\n%s.\n", ha)
	if doc.hasLAN() {
		fmt.Fprintln(w, doc.House.sentence())
	}
	fmt.Fprintf(w, "%s, %s, %s signed in, %s.\n", count(doc.People, "person", "people"), count(doc.Devices, "known device", "known devices"),
		count(doc.Sessions, "session", "sessions"), count(doc.Live, "live connection", "live connections"))
	if doc.DDNS != nil {
		fmt.Fprintln(w, doc.DDNS.sentence())
	}
	for _, e := range doc.Ending {
		fmt.Fprintf(w, "A certificate ends: %s.\n", e.sentence())
	}
	if !doc.Owner {
		fmt.Fprintln(w, `There is no owner yet: gatehouse invite --owner`)
	}
	for _, q := range doc.Waiting {
		fmt.Fprintf(w, "Asks to be let in: %s from %s, %s.\n", q.Browser, q.Addr, ago(q.Asked))
	}
	for _, s := range doc.Guard.sentences() {
		fmt.Fprintln(w, s)
	}
	for _, b := range doc.Bans[:min(shownBans, len(doc.Bans))] {
		fmt.Fprintf(w, "Not listened to: %s, %s.\n", b.Source, b.ends())
	}
	if more := len(doc.Bans) - shownBans; more > 0 {
		fmt.Fprintf(w, "And %d more are not listened to: gatehouse guard status --all\n", more)
	}
	if len(doc.Counts) > 0 {
		fmt.Fprintln(w)
		rows := [][]string{{"SINCE THE START", "TIMES"}}
		for _, what := range slices.Sorted(maps.Keys(doc.Counts)) {
			rows = append(rows, []string{what, strconv.FormatUint(doc.Counts[what], 10)})
		}
		table(w, rows)
	}
}

// hasLAN reports whether there is a door for home: without one it is open to nobody there.
func (doc statusDocument) hasLAN() bool {
	return slices.ContainsFunc(doc.Doors, func(d doorRow) bool { return d.Name == string(policy.LAN) })
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

func sayDoors(w io.Writer, doors []doorRow) {
	rows := [][]string{{"DOOR", "STATE", "LISTENS ON", "REACHED AS"}}
	for _, d := range doors {
		state, as := "open", orDash(strings.Join(d.Origins, " "))
		if !d.Open {
			state, as = "closed", d.Why
		}
		name := d.Name
		if d.For != "" {
			name += " (" + d.For + ")"
		}
		rows = append(rows, []string{name, state, d.Listen, as})
	}
	table(w, rows)
	for _, d := range doors {
		for _, fact := range d.Health {
			fmt.Fprintf(w, "%s: %s\n", d.Name, fact)
		}
		if d.Hint != "" {
			fmt.Fprintf(w, "%s: hint: %s\n", d.Name, d.Hint)
		}
	}
}

func (a *app) newDoorsCommand() *cobra.Command {
	list := &cobra.Command{
		Use:   "doors",
		Short: "Show the doors, and why one is closed",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			doc, err := ask(cmd.Context(), a, "status", status, none{})
			if err != nil {
				return err
			}
			if err := a.print(struct {
				SchemaVersion int       `json:"schema_version"`
				Running       bool      `json:"running"`
				Doors         []doorRow `json:"doors"`
			}{schemaVersion, doc.Running, doc.Doors}, func(w io.Writer) {
				if !doc.Running {
					fmt.Fprintln(w, "The gateway is not running: every door is closed.")
					return
				}
				sayDoors(w, doc.Doors)
				sayTunnels(w, doc.Doors)
			}); err != nil {
				return err
			}
			return running(doc)
		},
	}
	list.AddCommand(a.newDoorSSHCommand(), a.newImportTunnelCommand())
	return list
}

func (a *app) newConfigCommand() *cobra.Command {
	check := &cobra.Command{
		Use:   "check",
		Short: "Read the configuration, change nothing, say what is wrong",
		Args:  noWords,
		RunE: func(*cobra.Command, []string) error {
			c, path, err := a.loadConfig()
			if err != nil {
				return err
			}
			wrong, err := fileProblems(c)
			if err != nil {
				return err
			}
			if err := wrongWith(path, wrong); err != nil {
				return &problem{status: statusUsage, err: err, problems: wrong}
			}
			return a.print(struct {
				SchemaVersion int    `json:"schema_version"`
				File          string `json:"file"`
				OK            bool   `json:"ok"`
			}{schemaVersion, path, true}, func(w io.Writer) { fmt.Fprintf(w, "%s is good.\n", path) })
		},
	}
	show := &cobra.Command{
		Use:   "show",
		Short: "Show the configuration in force, with every default",
		Args:  noWords,
		RunE: func(*cobra.Command, []string) error {
			c, path, err := a.loadConfig()
			if err != nil {
				return err
			}
			text, err := c.TOML()
			if err != nil {
				return err
			}
			return a.print(struct {
				SchemaVersion int            `json:"schema_version"`
				File          string         `json:"file"`
				Config        *config.Config `json:"config"`
			}{schemaVersion, path, c}, func(w io.Writer) {
				_, _ = w.Write(text) // to the terminal or a buffer
			})
		},
	}
	return group("config", "Check and show the configuration", check, show)
}

// confirm asks whether to go on, unless --yes was given.
func (a *app) confirm(ctx context.Context, question string) error {
	if a.yes {
		return nil
	}
	in, _ := a.in.(*os.File)
	asker := &asker{in: in, out: a.err}
	ok, err := asker.yes(ctx, question, "--yes")
	if errors.Is(err, errNoTerminal) {
		return &problem{status: statusUsage, err: err, hint: question}
	}
	if err == nil && !ok {
		return &problem{status: statusNo, err: errors.New("nothing was changed")}
	}
	return err
}

// origin is https://host[:port] as a browser writes it.
func origin(host string, port int) string {
	u := url.URL{Scheme: "https", Host: host}
	if port != 443 {
		u.Host = net.JoinHostPort(host, strconv.Itoa(port))
	}
	return u.String()
}

// portOf is the port of an address to listen on, which the configuration has checked.
func portOf(listen string) int {
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	return n
}
