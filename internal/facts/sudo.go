package facts

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// Sudoers is what sudo's files say (sudoers(5)), in the order in which sudo reads them.
type Sudoers struct {
	Files    []string // that were read, the first being /etc/sudoers
	Dirs     []string // that are included
	Ignored  []string // in those directories, with names that sudo passes over
	Defaults []SudoDefault
	Rules    []SudoRule
	Aliases  []SudoAlias
}

// SudoDefault is one parameter of a Defaults line.
type SudoDefault struct {
	Scope   string // "" for everybody, or one of "@:!>"
	For     []string
	Name    string
	Op      string // "=", "+=", "-=", or "" of a flag
	Value   string
	Negated bool
	File    string
	Line    int
}

// SudoRule is one of who, where, as whom, what. Every command stands with all that
// applies to it.
type SudoRule struct {
	Users    []string // "olga", "%sudo", "#1000", "+netgroup", "ALL", an alias; "!" before it excludes
	Hosts    []string
	Commands []SudoCommand
	File     string
	Line     int
}

// SudoCommand is one command of a rule.
type SudoCommand struct {
	RunAs   []string // nil: root
	Tags    []string // "NOPASSWD", "NOEXEC", as they are in force here
	Command string   // "ALL", an alias, or a path with arguments; "!" before it excludes
}

// NoPassword reports whether the command needs no password.
func (c SudoCommand) NoPassword() bool { return slices.Contains(c.Tags, "NOPASSWD") }

// SudoAlias is a name for a list.
type SudoAlias struct {
	Kind    string // "User", "Runas", "Host" or "Cmnd"
	Name    string
	Members []string
}

// Alias returns the members of an alias, with the aliases among them taken apart; an item
// that is no alias stands for itself. What excludes keeps its "!".
func (s Sudoers) Alias(kind, item string) []string {
	var out []string
	seen := map[string]bool{}
	var walk func(item string)
	walk = func(item string) {
		bare := strings.TrimLeft(item, "!")
		not := (len(item)-len(bare))%2 == 1
		if !seen[item] && len(seen) < maxSudoItems {
			for _, a := range s.Aliases {
				if a.Kind == kind && a.Name == bare && bare != "ALL" {
					seen[item] = true
					for _, m := range a.Members {
						if not {
							m = "!" + m
						}
						walk(m)
					}
					return
				}
			}
		} else if seen[item] {
			return
		}
		if not {
			bare = "!" + bare
		}
		out = append(out, bare)
	}
	walk(item)
	return out
}

// Bounds of what sudo's files may come to.
const (
	maxSudoDepth = 32
	maxSudoFiles = 1024
	maxSudoItems = 65536
)

// Sudoers reads /etc/sudoers and what it includes. The error wraps fs.ErrNotExist where
// there is no sudo.
func (h *Host) Sudoers() (Sudoers, error) {
	return remember(h, "sudoers", func() (Sudoers, error) {
		r := sudoReader{h: h}
		if err := r.file("/etc/sudoers", 0); err != nil {
			return Sudoers{}, err
		}
		return r.Sudoers, nil
	})
}

type sudoReader struct {
	Sudoers
	h     *Host
	items int
}

func (r *sudoReader) file(name string, depth int) error {
	if depth > maxSudoDepth || len(r.Files) >= maxSudoFiles {
		return fmt.Errorf("%s: sudo's files include each other without end", name)
	}
	t, err := r.h.Text(name)
	if err != nil {
		return err
	}
	r.Files = append(r.Files, t.Path)
	for n := 0; n < len(t.Lines); n++ {
		line, at := t.Lines[n], n+1
		for n+1 < len(t.Lines) && sudoContinues(line) {
			n++
			line = strings.TrimSuffix(line, `\`)
			if !sudoQuoted(line) {
				line += " "
			}
			line += strings.TrimLeft(t.Lines[n], " \t")
		}
		if n+1 == len(t.Lines) && sudoContinues(line) {
			line = strings.TrimSuffix(line, `\`)
		}
		if strings.HasPrefix(strings.TrimLeft(line, " \t"), "#include") && line[0] != '#' {
			continue // a remark
		}
		if err := r.line(strings.TrimSpace(line), t.Path, at, depth); err != nil {
			return fmt.Errorf("%s:%d: %w", t.Path, at, err)
		}
		if r.items > maxSudoItems {
			return fmt.Errorf("%s:%d: more rules than anybody means", t.Path, at)
		}
	}
	return nil
}

func (r *sudoReader) line(line, file string, at, depth int) error {
	for _, word := range []string{"include", "includedir"} {
		for _, sign := range "#@" {
			rest, ok := strings.CutPrefix(line, string(sign)+word)
			if !ok || rest == "" || rest[0] != ' ' && rest[0] != '\t' {
				continue
			}
			what, _, _ := sudoCut(strings.TrimLeft(rest, " \t"), " \t")
			what = sudoUnquote(what)
			if strings.Contains(what, "%h") {
				name := ""
				if t, err := r.h.Text("/etc/hostname"); err == nil && len(t.Lines) > 0 {
					name, _, _ = strings.Cut(strings.TrimSpace(t.Lines[0]), ".")
				}
				what = strings.ReplaceAll(what, "%h", name)
			}
			if !path.IsAbs(what) {
				what = path.Join(path.Dir(file), what)
			}
			if word == "include" {
				return r.file(what, depth+1)
			}
			return r.dir(what, depth+1)
		}
	}
	line = sudoUncomment(line)
	if line == "" {
		return nil
	}
	if rest, ok := strings.CutPrefix(line, "Defaults"); ok && (rest == "" || strings.ContainsAny(rest[:1], " \t@:!>")) {
		return r.defaults(rest, file, at)
	}
	for _, kind := range []string{"User", "Runas", "Host", "Cmnd", "Cmd"} {
		if rest, ok := strings.CutPrefix(line, kind+"_Alias"); ok && rest != "" && (rest[0] == ' ' || rest[0] == '\t') {
			if kind == "Cmd" {
				kind = "Cmnd"
			}
			return r.alias(kind, rest)
		}
	}
	return r.rule(line, file, at)
}

func (r *sudoReader) dir(name string, depth int) error {
	name = strings.TrimRight(name, "/")
	names, err := r.h.Dir(name)
	if err != nil {
		return err
	}
	r.Dirs = append(r.Dirs, name)
	for _, n := range names {
		full := path.Join(name, n)
		info, err := r.h.Stat(full)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err != nil || !info.Mode.IsRegular() {
			continue
		}
		if strings.HasSuffix(n, "~") || strings.Contains(n, ".") {
			r.Ignored = append(r.Ignored, full)
			continue
		}
		if err := r.file(full, depth); err != nil {
			return err
		}
	}
	return nil
}

// sudoContinues reports whether the next line belongs to this one; a remark ends where its
// line does.
func sudoContinues(line string) bool {
	return strings.HasSuffix(line, `\`) && len(strings.TrimSpace(line)) == len(sudoUncomment(line))
}

// sudoQuoted reports whether a text ends inside quotes.
func sudoQuoted(s string) bool {
	quoted := false
	for n := 0; n < len(s); n++ {
		switch s[n] {
		case '\\':
			n++
		case '"':
			quoted = !quoted
		}
	}
	return quoted
}

// sudoUncomment cuts a remark off; "#1000" is a user's number, and what is quoted stays.
func sudoUncomment(line string) string {
	quoted := false
	for n := 0; n < len(line); n++ {
		switch c := line[n]; {
		case c == '\\':
			n++
		case c == '"':
			quoted = !quoted
		case c == '#' && !quoted:
			digit := n+1 < len(line) && line[n+1] >= '0' && line[n+1] <= '9'
			begins := n == 0 || strings.IndexByte(" \t,%!:>(=", line[n-1]) >= 0
			if digit && begins {
				continue
			}
			return strings.TrimSpace(line[:n])
		}
	}
	return strings.TrimSpace(line)
}

// sudoUnquote takes quotes and backslashes off.
func sudoUnquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	var out strings.Builder
	for n := 0; n < len(s); n++ {
		if s[n] == '\\' && n+1 < len(s) {
			n++
		}
		out.WriteByte(s[n])
	}
	return out.String()
}

// sudoCut splits at the first of some signs that is neither quoted nor escaped; cut is 0
// where there is none.
func sudoCut(s, signs string) (before string, cut byte, after string) {
	quoted := false
	for n := 0; n < len(s); n++ {
		switch {
		case s[n] == '\\':
			n++
		case s[n] == '"':
			quoted = !quoted
		case !quoted && strings.IndexByte(signs, s[n]) >= 0:
			return s[:n], s[n], s[n+1:]
		}
	}
	return s, 0, ""
}

// sudoList reads a list of words with commas between them, and returns what follows it.
func sudoList(s string) (items []string, rest string, err error) {
	s = strings.TrimLeft(s, " \t")
	for {
		not := ""
		for strings.HasPrefix(s, "!") {
			not += "!"
			s = strings.TrimLeft(s[1:], " \t")
		}
		item, cut, after := sudoCut(s, ", \t=:")
		if cut == ':' && strings.HasPrefix(item, "%") && len(item) == 1 { // %:group
			more, cut2, after2 := sudoCut(after, ", \t=:")
			item, cut, after = item+":"+more, cut2, after2
		}
		if cut == ':' {
			address, sign, more := sudoCut(s, ", \t=")
			bare, _, _ := strings.Cut(address, "/")
			if _, err := netip.ParseAddr(bare); err == nil {
				item, cut, after = address, sign, more
			}
		}
		if item == "" {
			return nil, "", errors.New("a list with nothing in it")
		}
		if _, sign, _ := sudoCut(item, "()>!"); sign != 0 {
			return nil, "", errors.New("a list that cannot be read")
		}
		items = append(items, not[:len(not)%2]+sudoUnquote(item))
		if cut == 0 {
			return items, "", nil
		}
		rest = string(cut) + after
		trimmed := strings.TrimLeft(rest, " \t")
		if !strings.HasPrefix(trimmed, ",") {
			return items, trimmed, nil
		}
		s = strings.TrimLeft(trimmed[1:], " \t")
	}
}

func (r *sudoReader) defaults(rest, file string, at int) error {
	d := SudoDefault{File: file, Line: at}
	if rest != "" && strings.IndexByte("@:!>", rest[0]) >= 0 {
		d.Scope = rest[:1]
		var err error
		if d.For, rest, err = sudoList(rest[1:]); err != nil {
			return err
		}
	}
	rest = strings.TrimSpace(rest)
	if rest == "" {
		return errors.New("a Defaults of nothing")
	}
	for rest != "" {
		word, cut, after := sudoCut(rest, ",")
		if cut != 0 && strings.TrimSpace(after) == "" {
			return errors.New("a Defaults that cannot be read")
		}
		one := d
		word = strings.TrimSpace(word)
		for strings.HasPrefix(word, "!") {
			one.Negated = !one.Negated
			word = strings.TrimSpace(word[1:])
		}
		name, value, ok := strings.Cut(word, "=")
		if ok {
			one.Op = "="
			if n := len(name); n > 0 && (name[n-1] == '+' || name[n-1] == '-') {
				one.Op, name = name[n-1:]+"=", name[:n-1]
			}
			value = strings.TrimSpace(value)
			if _, cut, _ := sudoCut(value, " \t"); cut != 0 {
				return errors.New("a Defaults that cannot be read")
			}
			one.Value = sudoUnquote(value)
		}
		one.Name = strings.TrimSpace(name)
		if one.Name == "" || strings.ContainsAny(one.Name, " \t\"") {
			return errors.New("a Defaults that cannot be read")
		}
		r.Sudoers.Defaults = append(r.Sudoers.Defaults, one)
		r.items++
		rest = strings.TrimSpace(after)
	}
	return nil
}

func (r *sudoReader) alias(kind, rest string) error {
	for rest != "" {
		name, cut, after := sudoCut(rest, "=")
		if name = strings.TrimSpace(name); cut == 0 || name == "" || name == "ALL" || name[0] < 'A' || name[0] > 'Z' || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
			return errors.New("an alias that cannot be read")
		}
		list, next := after, ""
		for from := 0; ; { // another alias follows a colon, and not every colon
			text, cut, rest := sudoCut(after[from:], ":")
			if cut == ':' && !isSudoAlias(rest) {
				from += len(text) + 1
				continue
			}
			list, next = after[:from+len(text)], rest
			break
		}
		a := SudoAlias{Kind: kind, Name: name}
		if slices.ContainsFunc(r.Aliases, func(o SudoAlias) bool { return o.Kind == kind && o.Name == name }) {
			return fmt.Errorf("the alias %s is there twice", name)
		}
		if kind != "Cmnd" {
			var err error
			if a.Members, list, err = sudoList(list); err != nil || strings.TrimSpace(list) != "" {
				return errors.New("an alias that cannot be read")
			}
		}
		for again := kind == "Cmnd"; again; {
			item, cut, more := sudoCut(list, ",")
			again = cut != 0
			if item = strings.TrimSpace(item); item == "" {
				return errors.New("an alias that cannot be read")
			}
			list = more
			item = sudoTwiceNot(item)
			word, cut, after := sudoCut(item, ":")
			if isDigest(strings.TrimLeft(word, "! \t")) && strings.HasPrefix(word, "!") {
				return errors.New("an alias that cannot be read")
			}
			if cut == ':' && isDigest(word) {
				if _, _, item = sudoCut(strings.TrimLeft(after, " \t"), " \t"); item == "" {
					continue // another digest of the same command follows
				}
			}
			c := sudoCommand(item)
			if !isSudoCommand(c) {
				return errors.New("an alias that cannot be read")
			}
			a.Members = append(a.Members, c)
		}
		r.Aliases = append(r.Aliases, a)
		r.items += 1 + len(a.Members)
		rest = strings.TrimSpace(next)
	}
	return nil
}

func (r *sudoReader) rule(line, file string, at int) error {
	users, rest, err := sudoList(line)
	if err != nil {
		return err
	}
	for rest != "" {
		rule := SudoRule{Users: users, File: file, Line: at}
		if rule.Hosts, rest, err = sudoList(rest); err != nil {
			return err
		}
		var ok bool
		if rest, ok = strings.CutPrefix(rest, "="); !ok || strings.TrimSpace(rest) == "" {
			return errors.New("a rule without a command")
		}
		var runAs, tags []string
		for {
			c, more := "", true
			for c == "" {
				rest = sudoTwiceNot(strings.TrimLeft(rest, " \t"))
				switch {
				case rest == "":
					return errors.New("a rule without a command")
				case rest[0] == '(':
					list, _, after := sudoCut(rest[1:], ")")
					who, _, _ := strings.Cut(list, ":")
					if runAs = commaNames(who); runAs == nil {
						runAs = []string{}
					}
					rest = after
				default:
					word, cut, after := sudoCut(rest, ":=, \t")
					trimmed := strings.TrimLeft(after, " \t")
					if (cut == ' ' || cut == '\t') && (strings.HasPrefix(trimmed, ":") && isSudoTag(word) || strings.HasPrefix(trimmed, "=")) {
						cut, after = trimmed[0], trimmed[1:]
					}
					switch {
					case cut == ':' && isSudoTag(word):
						tags = withSudoTag(tags, word)
						rest = after
					case cut == ':' && isDigest(word):
						_, _, rest = sudoCut(strings.TrimLeft(after, " \t"), ", \t")
						rest = strings.TrimLeft(rest, ", \t")
					case cut == '=' && word != "" && strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == "":
						_, sign, next := sudoCut(strings.TrimLeft(after, " \t"), " \t") // an option, as CWD=/tmp
						if sign == 0 {
							return errors.New("a rule without a command")
						}
						rest = next
					default:
						text, sign, next := sudoCut(rest, ",:")
						if c = sudoCommand(text); !isSudoCommand(c) || sign == ':' && strings.TrimSpace(next) == "" {
							return errors.New("a rule without a command")
						}
						rest, more = strings.TrimSpace(next), sign == ','
					}
				}
			}
			rule.Commands = append(rule.Commands, SudoCommand{RunAs: runAs, Tags: tags, Command: c})
			if r.items++; r.items > maxSudoItems {
				return errors.New("more rules than anybody means")
			}
			if !more {
				break
			}
		}
		r.Rules = append(r.Rules, rule)
	}
	if len(r.Rules) == 0 || r.Rules[len(r.Rules)-1].Line != at || r.Rules[len(r.Rules)-1].File != file {
		return errors.New("neither a rule nor anything else of sudo's")
	}
	return nil
}

// isSudoAlias reports whether a text begins with an alias and what it stands for.
func isSudoAlias(s string) bool {
	s = strings.TrimLeft(s, " \t")
	rest := strings.TrimLeft(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
	return rest != s && strings.HasPrefix(strings.TrimLeft(rest, " \t"), "=")
}

func isSudoTag(word string) bool {
	return slices.Contains([]string{"EXEC", "FOLLOW", "INTERCEPT", "LOG_INPUT", "LOG_OUTPUT", "MAIL", "PASSWD", "SETENV"}, strings.TrimPrefix(word, "NO"))
}

// isDigest reports whether a word says that a command's digest follows.
func isDigest(word string) bool {
	return slices.Contains([]string{"sha224", "sha256", "sha384", "sha512"}, word)
}

// isSudoCommand reports whether a text is a command as sudo takes it: a path, a pattern,
// one of sudo's own, or an alias.
func isSudoCommand(c string) bool {
	c = strings.TrimPrefix(c, "!")
	if _, cut, _ := sudoCut(c, "#:"); cut == '#' || cut == ':' && c[0] != '^' {
		return false
	}
	name, _, args := strings.Cut(c, " ")
	return c != "" && (c[0] == '/' || c[0] == '^' || name == "sudoedit" || name == "list" ||
		!args && c[0] >= 'A' && c[0] <= 'Z' && strings.Trim(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == "")
}

// sudoTwiceNot takes off what excludes and takes that back.
func sudoTwiceNot(s string) string {
	bare := strings.TrimLeft(s, "!")
	return s[:(len(s)-len(bare))%2] + bare
}

// sudoCommand is a command with one space between its words, and none after a "!".
func sudoCommand(text string) string {
	not := ""
	for text = strings.TrimSpace(text); strings.HasPrefix(text, "!"); text = strings.TrimSpace(text[1:]) {
		not += "!"
	}
	if len(not)%2 == 0 {
		not = ""
	} else {
		not = "!"
	}
	return not + strings.Join(strings.Fields(text), " ")
}

// withSudoTag adds a tag and takes its contrary away.
func withSudoTag(tags []string, tag string) []string {
	bare := strings.TrimPrefix(tag, "NO")
	out := make([]string, 0, len(tags)+1)
	for _, t := range tags {
		if strings.TrimPrefix(t, "NO") != bare {
			out = append(out, t)
		}
	}
	return append(out, tag)
}

// SudoVersion is the release of sudo by Debian's list of packages, as "1.9.13p3"; empty
// where that list does not know sudo. The error wraps fs.ErrNotExist where there is no list.
func (h *Host) SudoVersion() (string, error) {
	return remember(h, "sudo version", func() (string, error) {
		t, err := h.Text("/var/lib/dpkg/status")
		if err != nil {
			return "", err
		}
		within := false
		for _, line := range t.Lines {
			name, value, ok := strings.Cut(line, ": ")
			switch {
			case ok && name == "Package":
				within = value == "sudo" || value == "sudo-ldap"
			case ok && name == "Version" && within:
				value, _, _ = strings.Cut(value, "-")
				if _, after, ok := strings.Cut(value, ":"); ok {
					value = after
				}
				return value, nil
			}
		}
		return "", nil
	})
}
