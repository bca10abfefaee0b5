package checks

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

// sudoFelt has sudo's rules looked at, and puts the fix on trial.
func sudoFelt(d *fix.Draft, was *facts.Host) (finding.Fix, error) {
	rootStays(d, was)
	d.Guard()
	d.Validate("sudo")
	return d.Fix()
}

// haCannotBecomeRoot takes Home Assistant's account out of the groups that are as good as
// root, and out of sudo's rules.
func haCannotBecomeRoot(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Takes Home Assistant's account out of the groups that are as good as root, and out of sudo's rules.",
		"What Home Assistant does as root, or with Docker, stops.")
	accounts, err := accountsOfHA(h)
	if err != nil {
		return finding.Fix{}, err
	}
	groups, err := h.Groups()
	if err != nil {
		return finding.Fix{}, err
	}
	if at := haSays(h, "sudo ", "docker ", "podman "); at != "" {
		return finding.Fix{}, fix.Refuse("give it another way: a timer or a unit of systemd that does the one thing", "an automation relies on it: %s", at)
	}
	for _, u := range accounts {
		if u.UID == 0 {
			return finding.Fix{}, fix.Refuse("gatehouse fix ha.not-root", "Home Assistant runs as root itself")
		}
		for _, g := range facts.GroupsOf(u, groups) {
			if !asGoodAsRootGroup(g.Name) {
				continue
			}
			if g.GID == u.GID {
				return finding.Fix{}, fix.Refuse("usermod -g GROUP "+u.Name, "%s is the own group of %s, and its files are that group's", g.Name, u.Name)
			}
			removeMember(d, g.Name, u.Name)
		}
		for range 50 { // rules for the account itself
			if _, err := d.Fix(); err != nil && !strings.Contains(err.Error(), "nothing to change") {
				return finding.Fix{}, err
			}
			able, err := sudoers(d.Host)
			if err != nil {
				break // there is no sudo, or it is told below
			}
			n := slices.IndexFunc(able, func(s sudoer) bool { return s.Name == u.Name })
			if n < 0 {
				break
			}
			file, line := able[n].file, able[n].line
			if !able[n].anything {
				file, line = able[n].others[0].file, able[n].others[0].line
			}
			if why := sudoNamesOnly(d.Host, file, line, u.Name); why != "" {
				return finding.Fix{}, fix.Refuse("visudo -f "+file, "%s", why)
			}
			remark(d, file, line)
			d.Validate("sudo")
		}
	}
	if units, err := h.HAUnits(); err == nil {
		for _, unit := range units {
			if strings.HasSuffix(unit.Name, ".service") && !strings.Contains(unit.Name, "@.") {
				d.Unit("try-restart", unit.Name) // a process keeps the groups that it began with
			}
		}
	}
	d.Guard()
	return d.Fix()
}

// sudoNamesOnly says why a line of sudo's is about more than one account's rights; "" where
// it is not.
func sudoNamesOnly(h *facts.Host, file string, line int, name string) string {
	s, err := h.Sudoers()
	if err != nil {
		return err.Error()
	}
	t, err := h.Text(file)
	if err != nil {
		return err.Error()
	}
	if line < 1 || line > len(t.Lines) || strings.HasSuffix(t.Lines[line-1], `\`) {
		return fmt.Sprintf("%s:%d goes over several lines", file, line)
	}
	for _, r := range s.Rules {
		if r.File == file && r.Line == line && !slices.Equal(r.Users, []string{name}) {
			return fmt.Sprintf("%s:%d is for others, too", file, line)
		}
	}
	return ""
}

// haSays finds where Home Assistant's own files run a program; "" where they do not.
func haSays(h *facts.Host, words ...string) string {
	for _, pattern := range []string{"*.yaml", "packages/*.yaml"} {
		files, err := h.Glob(path.Join(h.HADir, pattern))
		if err != nil {
			return err.Error()
		}
		for _, file := range files {
			t, err := h.Text(file)
			if err != nil {
				return err.Error()
			}
			for n, line := range t.Lines {
				said, _, _ := strings.Cut(line, "#")
				if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(said, w) }) {
					return fmt.Sprintf("%s:%d", file, n+1)
				}
			}
		}
	}
	return ""
}

// askPassword has sudo ask for a password.
func askPassword(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has sudo ask for the password again.",
		"Programs that use sudo without anybody there stop; give them the exact commands that they need.")
	tag := regexp.MustCompile(`NOPASSWD[ \t]*:[ \t]*`)
	for range 50 {
		all, err := sudoers(d.Host)
		if err != nil {
			return finding.Fix{}, err
		}
		known, err := logins(d.Host)
		if err != nil {
			return finding.Fix{}, err
		}
		file, line := "", 0
		for _, s := range all {
			at, on := "", 0
			if s.anything && s.free {
				at, on = s.file, s.line
			}
			for _, o := range s.others {
				if o.free && asGoodAsRoot(o.command) {
					at, on = o.file, o.line
				}
			}
			if at == "" {
				continue
			}
			file, line = at, on
			n := slices.IndexFunc(known, func(l login) bool { return l.Name == s.Name })
			if n < 0 || !known[n].password.Usable() || known[n].password.Kind == facts.PasswordEmpty {
				return finding.Fix{}, fix.Refuse("passwd "+s.Name+", or where that is a program name its exact commands", "%s has no password to be asked for", s.Name)
			}
		}
		if file == "" {
			break
		}
		t, err := d.Host.Text(file)
		if err != nil {
			return finding.Fix{}, err
		}
		changed := false
		for n := line; n <= len(t.Lines); n++ {
			if tag.MatchString(t.Lines[n-1]) {
				relined(d, file, n, func(l string) string { return tag.ReplaceAllString(l, "") })
				changed = true
			}
			if !strings.HasSuffix(t.Lines[n-1], `\`) {
				break
			}
		}
		if !changed {
			if err := askAgain(d); err != nil {
				return finding.Fix{}, err
			}
		}
		if _, err := d.Fix(); err != nil {
			return finding.Fix{}, err
		}
	}
	return sudoFelt(d, h)
}

// askAgain takes a "Defaults !authenticate" back.
func askAgain(d *fix.Draft) error {
	s, err := d.Host.Sudoers()
	if err != nil {
		return err
	}
	for _, one := range s.Defaults {
		if one.Name == "authenticate" && one.Negated {
			sudoWord(d, one, regexp.MustCompile(`![ \t]*authenticate\b`), "authenticate")
			return nil
		}
	}
	return fix.Refuse("visudo", "it is not known which line of sudo's has it ask for nothing")
}

// sudoWord replaces a word of a Defaults line.
func sudoWord(d *fix.Draft, one facts.SudoDefault, was *regexp.Regexp, is string) {
	changed := false
	relined(d, one.File, one.Line, func(l string) string {
		next := was.ReplaceAllString(l, is)
		changed = next != l
		return next
	})
	if !changed {
		d.Refuse("visudo -f "+one.File, "%s:%d goes over several lines", one.File, one.Line)
	}
}

// closeSudo lets nobody but root read and write sudo's rules.
func closeSudo(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Lets nobody but root read sudo's rules, or write what they let run.", "")
	s, err := h.Sudoers()
	if err != nil {
		return finding.Fix{}, err
	}
	form := regexp.MustCompile(`: others can change (/.*?): (everybody|group \d+|it belongs to number \d+)$`)
	for _, e := range authenticationSudoPerms().Judge(h).Evidence {
		if m := form.FindStringSubmatch(e.Value); m != nil {
			info, err := h.Stat(m[1])
			if err != nil {
				return finding.Fix{}, err
			}
			if info.UID != 0 || info.Mode.IsRegular() {
				// What others wrote there would be run as root all the same.
				return finding.Fix{}, fix.Refuse("look at it, then chown root:root and chmod go-w", "somebody else could have written %s, which sudo runs as root", m[1])
			}
			d.Mode(m[1], facts.ModeBits(info.Mode)&^0o022)
			continue
		}
		info, err := h.Stat(e.File)
		if err != nil {
			return finding.Fix{}, err
		}
		if slices.Contains(s.Dirs, e.File) {
			d.Owner(e.File, 0, info.GID)
			d.Mode(e.File, facts.ModeBits(info.Mode)&^0o022)
			continue
		}
		if why, err := writableBy(h, info, 0); err != nil || why != "" {
			// sudo may have passed it over as it is. Closed, its rules would hold.
			return finding.Fix{}, fix.Refuse("read it, then chown root:root and chmod 0440", "somebody else could have written rules into %s", e.File)
		}
		d.Mode(e.File, 0o440)
	}
	d.Validate("sudo")
	return d.Fix()
}

// sudoForgets has sudo ask again after a quarter of an hour.
func sudoForgets(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has sudo ask for the password again after a quarter of an hour.", "")
	s, err := h.Sudoers()
	if err != nil {
		return finding.Fix{}, err
	}
	bad := authenticationSudoTimestamp().Judge(h).Evidence
	for _, one := range s.Defaults {
		if one.Name == "timestamp_timeout" && !one.Negated && slices.ContainsFunc(bad, func(e finding.Evidence) bool { return e.File == one.File && e.Line == one.Line }) {
			sudoWord(d, one, regexp.MustCompile(`(timestamp_timeout[ \t]*=[ \t]*)-?[0-9.]+`), "${1}15")
		}
	}
	return sudoFelt(d, h)
}

// sudoDropIn is where a repair says what sudo's own files do not.
const sudoDropIn = "/etc/sudoers.d/60-gatehouse"

// sudoOwnTerminal gives what sudo starts a terminal of its own.
func sudoOwnTerminal(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Gives what sudo starts a terminal of its own.", "A program that sudo leaves running in the background ends with its terminal.")
	s, err := h.Sudoers()
	if err != nil {
		return finding.Fix{}, err
	}
	off := false
	for _, one := range s.Defaults {
		if one.Name == "use_pty" && one.Negated {
			sudoWord(d, one, regexp.MustCompile(`![ \t]*use_pty\b`), "use_pty")
			off = true
		}
	}
	if !off {
		if !slices.Contains(s.Dirs, "/etc/sudoers.d") {
			return finding.Fix{}, fix.Refuse("write Defaults use_pty with visudo", "sudo does not read /etc/sudoers.d here")
		}
		d.Write(sudoDropIn, 0o440, d.Text(sudoDropIn)+"Defaults use_pty\n")
	}
	return sudoFelt(d, h)
}

// sudoWrites has sudo write down what is done with it.
func sudoWrites(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has sudo write down what is done with it.", "")
	s, err := h.Sudoers()
	if err != nil {
		return finding.Fix{}, err
	}
	for _, one := range s.Defaults {
		if one.Name == "syslog" && one.Negated && one.Scope == "" {
			sudoWord(d, one, regexp.MustCompile(`![ \t]*syslog\b`), "syslog=authpriv")
		}
	}
	return sudoFelt(d, h)
}
