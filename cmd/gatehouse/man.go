package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"gatehouse/internal/config"
)

// newManCommand makes the verb that writes the manual pages. They come from what
// --help prints, so that the two cannot disagree; completions are cobra's own verb.
func (a *app) newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages into a directory",
		Long: `Writes gatehouse.1, one page for every command below it, and gatehouse.toml.5,
which describes the configuration file, into DIR. The directory is made if it is
missing. Completions for a shell: "gatehouse completion --help".`,
		Example: "  gatehouse man /usr/local/share/man",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			pages, err := manual(cmd.Root())
			if err != nil {
				return err
			}
			var written []string
			for _, p := range pages {
				dir := filepath.Join(args[0], "man"+p.section)
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return fmt.Errorf("make a directory for the manual pages: %w", err)
				}
				name := filepath.Join(dir, p.name+"."+p.section)
				if err := writeFile(name, []byte(p.text), 0o644); err != nil {
					return err
				}
				written = append(written, name)
			}
			return a.print(struct {
				SchemaVersion int      `json:"schema_version"`
				Files         []string `json:"files"`
			}{schemaVersion, written}, func(w io.Writer) {
				fmt.Fprintln(w, strings.Join(written, "\n"))
			})
		},
	}
}

// A page is one manual page in roff.
type page struct{ name, section, text string }

// manual returns the pages of a command line and of its configuration file.
func manual(root *cobra.Command) ([]page, error) {
	var pages []page
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Hidden || cmd.Name() == "help" || strings.Contains(cmd.CommandPath(), " completion") {
			return
		}
		pages = append(pages, page{strings.ReplaceAll(cmd.CommandPath(), " ", "-"), "1", commandPage(cmd)})
		for _, below := range cmd.Commands() {
			visit(below)
		}
	}
	root.InitDefaultCompletionCmd()
	visit(root)
	text, err := config.Default().TOML()
	if err != nil {
		return nil, err
	}
	return append(pages, page{"gatehouse.toml", "5", filePage(string(text))}), nil
}

// commandPage describes one command.
func commandPage(cmd *cobra.Command) string {
	var b strings.Builder
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
	fmt.Fprintf(&b, ".TH %q 1 \"\" \"Gatehouse\" \"Gatehouse\"\n", strings.ToUpper(name))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(name), roff(cmd.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.nf\n%s\n.fi\n", roff(cmd.UseLine()))
	long := cmd.Long
	if long == "" {
		long = cmd.Short + "."
	}
	fmt.Fprintf(&b, ".SH DESCRIPTION\n%s\n", paragraphs(long))
	if below := visible(cmd); len(below) > 0 {
		b.WriteString(".SH COMMANDS\n")
		for _, c := range below {
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(c.Name()), roff(c.Short))
		}
	}
	flags(&b, "OPTIONS", cmd.NonInheritedFlags())
	flags(&b, "OPTIONS OF EVERY COMMAND", cmd.InheritedFlags())
	if cmd.Example != "" {
		fmt.Fprintf(&b, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(cmd.Example))
	}
	if !cmd.HasParent() {
		b.WriteString(`.SH EXIT STATUS
.TP
.B 0
done
.TP
.B 1
the answer is no
.TP
.B 2
wrong command line or configuration
.TP
.B 3
ran, but could not judge or reach everything
.TP
.B 4
could not run
.TP
.B 5
a change was made, failed its proof and was taken back
.SH FILES
.TP
.I ` + roff(config.DefaultPath) + `
the configuration, see
.BR gatehouse.toml (5)
.SH ENVIRONMENT
.TP
.B GATEHOUSE_CONFIG
the configuration file, where \-\-config does not name one
.TP
.B NO_COLOR
no color, whatever its value
`)
	}
	var also []string
	if cmd.HasParent() {
		also = append(also, strings.ReplaceAll(cmd.Parent().CommandPath(), " ", "-"))
	}
	for _, c := range visible(cmd) {
		also = append(also, name+"-"+c.Name())
	}
	if len(also) > 0 {
		b.WriteString(".SH SEE ALSO\n")
		for k, page := range also {
			comma := ","
			if k == len(also)-1 {
				comma = ""
			}
			fmt.Fprintf(&b, ".BR %s (1)%s\n", roff(page), comma)
		}
	}
	return b.String()
}

// visible returns the commands below a command that have pages of their own.
func visible(cmd *cobra.Command) (below []*cobra.Command) {
	for _, c := range cmd.Commands() {
		if !c.Hidden && c.Name() != "help" && c.Name() != "completion" {
			below = append(below, c)
		}
	}
	return below
}

// flags describes a set of flags.
func flags(b *strings.Builder, title string, set *pflag.FlagSet) {
	if !set.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(b, ".SH %s\n", title)
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		b.WriteString(".TP\n.B ")
		if f.Shorthand != "" {
			fmt.Fprintf(b, "%s, ", roff("-"+f.Shorthand))
		}
		b.WriteString(roff("--" + f.Name))
		if value != "" {
			fmt.Fprintf(b, " %s", roff(value))
		}
		b.WriteString("\n" + roff(usage))
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" {
			fmt.Fprintf(b, " (%s unless said)", roff(f.DefValue))
		}
		b.WriteString("\n")
	})
}

// filePage describes the configuration file by one that says all defaults.
func filePage(text string) string {
	return ".TH \"GATEHOUSE.TOML\" 5 \"\" \"Gatehouse\" \"Gatehouse\"\n" +
		".SH NAME\ngatehouse.toml \\- the configuration of gatehouse\n" +
		".SH DESCRIPTION\n" + paragraphs(`The file is TOML. A key that is not known is an error that names its line and the nearest right key: "gatehouse config check" reads a file and changes nothing. No key holds a secret.

A door is open if its table is in the file: [doors.https] for everywhere, [doors.lan] for home alone, [doors.onion] over Tor. The first two have a key listen. Below are all other keys with their defaults.`) +
		"\n.SH KEYS\n.nf\n" + roff(strings.TrimSpace(text)) + "\n.fi\n.SH SEE ALSO\n.BR gatehouse (1),\n.BR gatehouse-config (1)\n"
}

// paragraphs makes text into roff paragraphs, split where it has empty lines.
func paragraphs(text string) string {
	return strings.ReplaceAll(roff(strings.TrimSpace(text)), "\n\n", "\n.PP\n")
}

// roff escapes text: a backslash, a dash, and what a line must not begin with.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for k, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[k] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

// writeFile puts a whole file in its place, or leaves what was there: what is
// written is on the disk before it gets its name.
func writeFile(name string, text []byte, mode fs.FileMode) error {
	return writeFileFor(name, text, mode, -1, -1)
}

// writeFileFor is writeFile for another user, to whom the file belongs before it has
// its name; -1 is nobody else.
func writeFileFor(name string, text []byte, mode fs.FileMode, uid, gid int) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".gatehouse-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", name, err)
		}
	}()
	if err = f.Chmod(mode); err != nil {
		return err
	}
	if uid >= 0 {
		if err = f.Chown(uid, gid); err != nil {
			return err
		}
	}
	if _, err = f.Write(text); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), name); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
