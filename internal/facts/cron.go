package facts

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// RootCommand is a command that root runs by itself: of cron, of a timer or a service.
type RootCommand struct {
	Command string
	File    string
	Line    int
}

// Programs are the absolute paths that a command names as what it runs: the program, and
// of a shell or an interpreter its script.
func (c RootCommand) Programs() []string {
	var all []string
	start := true
	wants := 0 // words of which the next may be a script
	for _, w := range strings.Fields(strings.NewReplacer(";", " ; ", "&", " ; ", "|", " ; ", "(", " ; ", ")", " ; ", ">", " > ", "<", " > ", `"`, " ", "'", " ", "`", " ; ", "$(", " ; ").Replace(c.Command)) {
		switch {
		case w == ";":
			start, wants = true, 0
		case w == ">":
			start, wants = false, 0
		case start && strings.Contains(w, "=") && !strings.HasPrefix(w, "/"): // of the environment
		case start:
			start = false
			w = strings.TrimLeft(w, "@-:+!|")
			if path.IsAbs(w) {
				all = append(all, w)
			}
			switch base := path.Base(w); {
			case base == "sh", base == "bash", base == "dash", base == "perl", base == "ruby", base == "node", strings.HasPrefix(base, "python"):
				wants = 1
			case base == "nice", base == "ionice", base == "env", base == "nohup", base == "flock", base == "test", base == "[", base == "then", base == "do", base == "if", base == "exec", base == "cd", base == "timeout", base == "chronic", base == "run-parts", base == "command", base == "setpriv", base == "systemd-run":
				wants = 2
			}
		case wants > 0 && path.IsAbs(w):
			all = append(all, w)
			if wants == 1 {
				wants = 0
			}
		}
	}
	return all
}

// maxCommands bounds how many are looked at.
const maxCommands = 20000

// CronCommands returns what root's cron runs (crontab(5)).
func (h *Host) CronCommands() ([]RootCommand, error) {
	return remember(h, "cron commands", func() ([]RootCommand, error) {
		var all []RootCommand
		add := func(file string, user bool) error {
			t, err := h.Text(file)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			found, err := crontab(t, user)
			all = append(all, found...)
			return err
		}
		if err := add("/etc/crontab", true); err != nil {
			return nil, err
		}
		names, err := h.Dir("/etc/cron.d")
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			if strings.HasPrefix(n, ".") || strings.ContainsAny(n, ".~") {
				continue // cron does not read it
			}
			if err := add("/etc/cron.d/"+n, true); err != nil {
				return nil, err
			}
		}
		for _, file := range []string{"/var/spool/cron/crontabs/root", "/var/spool/cron/root"} {
			if err := add(file, false); err != nil {
				return nil, err
			}
		}
		for _, often := range []string{"hourly", "daily", "weekly", "monthly", "yearly"} {
			dir := "/etc/cron." + often
			names, err := h.Dir(dir)
			if err != nil {
				return nil, err
			}
			for _, n := range names {
				if !strings.HasPrefix(n, ".") {
					all = append(all, RootCommand{dir + "/" + n, dir + "/" + n, 0})
				}
			}
		}
		if len(all) > maxCommands {
			return nil, fmt.Errorf("/etc/cron.d: %w", ErrTooLarge)
		}
		return all, nil
	})
}

// crontab reads what root runs of a table; with a column of users where it has one.
func crontab(t Text, user bool) ([]RootCommand, error) {
	var all []RootCommand
	for n, line := range t.Lines {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if name, _, ok := strings.Cut(line, "="); ok && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_\"' \t") == "" && !strings.HasPrefix(line, "@") && !startsWithDigit(line) {
			continue // of the environment
		}
		columns := 5
		if strings.HasPrefix(line, "@") {
			columns = 1
		}
		who := "root"
		for range columns {
			_, line = cutSpace(line)
		}
		if user {
			who, line = cutSpace(line)
		}
		if line == "" {
			return all, fmt.Errorf("%s:%d: no job", t.Path, n+1)
		}
		if who == "root" {
			all = append(all, RootCommand{line, t.Path, n + 1})
		}
	}
	return all, nil
}

func startsWithDigit(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

func cutSpace(s string) (word, rest string) {
	n := strings.IndexAny(s, " \t")
	if n < 0 {
		return s, ""
	}
	return s[:n], strings.TrimLeft(s[n:], " \t")
}

// UnitCommands returns what services run as root.
func (h *Host) UnitCommands() ([]RootCommand, error) {
	return remember(h, "unit commands", func() ([]RootCommand, error) {
		names, err := h.Units()
		if err != nil {
			return nil, err
		}
		var all []RootCommand
		for _, n := range names {
			if path.Ext(n) != ".service" {
				continue
			}
			u, err := h.Unit(n)
			if isMissing(err) {
				continue // a link to nowhere
			}
			if err != nil {
				return nil, err
			}
			if who, ok := u.Last("Service", "User"); ok && who.Value != "root" && who.Value != "0" {
				continue
			}
			if d, ok := u.Last("Service", "DynamicUser"); ok && (d.Value == "yes" || d.Value == "true") {
				continue
			}
			for _, key := range []string{"ExecStart", "ExecStartPre", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost", "ExecCondition"} {
				for _, s := range u.All("Service", key) {
					all = append(all, RootCommand{s.Value, s.File, s.Line})
				}
			}
			if len(all) > maxCommands {
				return nil, fmt.Errorf("units: %w", ErrTooLarge)
			}
		}
		return all, nil
	})
}
