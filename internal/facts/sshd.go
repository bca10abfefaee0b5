package facts

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// ErrNoSSHD says that no SSH server is installed.
var ErrNoSSHD = errors.New("no SSH server is installed")

// SSHDConfig is where sshd's configuration begins.
const SSHDConfig = "/etc/ssh/sshd_config"

// Bounds of what sshd reads; the first is its own.
const (
	sshdDepth  = 16
	sshdLines  = 100000
	sshdBlocks = 4096 // Match lines and included files
)

// SSHD is the configuration of the SSH server (sshd_config(5)) as sshd reads it: with its
// Include and Match, where the first value wins.
type SSHD struct {
	Release SSHRelease
	Files   []string // as they are read; a file that is included twice is there once
	// Faults are the lines over which sshd refuses to start; Useless are lines that change nothing.
	Faults, Useless []SSHDLine
	// Unsure is why it is not known what sshd makes of the configuration: it is of another
	// release than those whose keywords are known here.
	Unsure error

	options map[string]sshdOption
	lines   []SSHDLine
	blocks  []sshdBlock // the first is what stands before any Match
	cmdline bool        // ports were given on the command line
}

// SSHDLine is a line of a configuration.
type SSHDLine struct {
	Keyword string // in small letters, by its present name
	Args    []string
	File    string
	Line    int
	Trouble string // of a fault or a useless line

	value string // as sshd says it
	block int
}

// SSHDValue is a value that may hold.
type SSHDValue struct {
	Value    string // as "sshd -T" says it; several words with spaces between
	Args     []string
	File     string // "" where nobody wrote it down
	Line     int
	Explicit bool
	Match    string // the condition under which it holds; "" where it always does
}

type sshdBlock struct {
	parent   int // that has to hold, too; -1 of the first
	criteria []sshCriterion
	text     string
	all      bool
}

// SSHD reads the server's configuration. The error wraps ErrNoSSHD where there is none,
// and says of one that cannot be read which file that is.
func (h *Host) SSHD() (*SSHD, error) {
	return remember(h, "sshd", func() (*SSHD, error) {
		program, err := h.Exists("/usr/sbin/sshd")
		if err != nil {
			return nil, err
		}
		config, err := h.Exists(SSHDConfig)
		if err != nil {
			return nil, err
		}
		if !program && !config {
			return nil, ErrNoSSHD
		}
		release, err := h.SSHRelease()
		if err != nil {
			release = SSHRelease{} // what depends on it says so
		}
		s := &SSHD{Release: release, options: sshdOptions(), blocks: []sshdBlock{{parent: -1}}}
		file, err := s.commandLine(h)
		if err != nil {
			return nil, err
		}
		if err := s.read(h, file, 0, 0); err != nil {
			return nil, err
		}
		s.findUseless()
		s.findClosed()
		return s, nil
	})
}

// Fault is what sshd says instead of starting, or why that is not known; nil where it starts.
func (s *SSHD) Fault() error {
	if len(s.Faults) == 0 {
		return s.Unsure
	}
	f := s.Faults[0]
	return fmt.Errorf("%s:%d: sshd does not start: %s", f.File, f.Line, f.Trouble)
}

// commandLine reads the options that the system's units hand to sshd, which come before
// its file, and returns that file's name.
func (s *SSHD) commandLine(h *Host) (string, error) {
	config := SSHDConfig
	for _, file := range []string{"/etc/default/ssh", "/etc/sysconfig/sshd"} {
		t, err := h.Text(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		for n, line := range t.Lines {
			name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
			if !ok || name != "SSHD_OPTS" && name != "OPTIONS" {
				continue
			}
			words, _ := sshWords(strings.Trim(value, `"'`))
			for k := 0; k < len(words); k++ {
				option := words[k]
				if len(option) < 2 || option[0] != '-' || !strings.Contains("ofp", option[1:2]) {
					continue
				}
				argument := option[2:]
				if argument == "" && k+1 < len(words) {
					k++
					argument = words[k]
				}
				switch option[1] {
				case 'o':
					if _, err := s.line(h, file, n+1, argument, 0, 0); err != nil {
						return "", err
					}
				case 'f':
					config = path.Join("/", argument)
				case 'p':
					if _, err := s.line(h, file, n+1, "Port "+argument, 0, 0); err != nil {
						return "", err
					}
					s.cmdline = true
				}
			}
		}
	}
	return config, nil
}

// read reads a file whose first lines belong to a block.
func (s *SSHD) read(h *Host, name string, block, depth int) error {
	t, err := h.Text(name)
	if err != nil {
		return err
	}
	if !slices.Contains(s.Files, name) {
		s.Files = append(s.Files, name)
	}
	inner := block
	for n, line := range t.Lines {
		if inner, err = s.line(h, name, n+1, line, inner, depth); err != nil {
			return err
		}
	}
	return nil
}

// line reads a line and returns the block that the next one belongs to.
func (s *SSHD) line(h *Host, file string, n int, line string, block, depth int) (int, error) {
	keyword, rest, ok := sshKeyword(line)
	if keyword == "" && ok {
		return block, nil
	}
	l := SSHDLine{Keyword: strings.ToLower(keyword), File: file, Line: n, block: block}
	fault := func(form string, args ...any) (int, error) {
		const most = 160 // what stands there may be anything
		l.Trouble = strings.ToValidUTF8(fmt.Sprintf(form, args...), "")
		l.Trouble = strings.ToValidUTF8(l.Trouble[:min(most, len(l.Trouble))], "")
		s.Faults = append(s.Faults, l)
		return block, nil
	}
	if len(s.lines)+len(s.Faults) >= sshdLines || len(s.blocks) >= sshdBlocks {
		return block, fmt.Errorf("%s:%d: %w", file, n, ErrTooLarge)
	}
	if !ok {
		return fault("quotes that do not end")
	}
	o, known := s.options[l.Keyword]
	switch {
	case !known && (!s.Release.known() || s.Release.AtLeast(10, 3)):
		if s.Unsure == nil {
			s.Unsure = fmt.Errorf("%s:%d: whether this sshd knows a keyword %s is not known here", file, n, keyword)
		}
		return block, nil
	case !known:
		return fault("there is no keyword %s", keyword)
	case o.since != (SSHRelease{}) && s.Release.known() && s.Release.before(o.since):
		return fault("%s is not known before OpenSSH %d.%d", keyword, o.since.Major, o.since.Minor)
	case rest == "":
		return fault("%s says nothing", keyword)
	}
	l.Keyword = o.name
	if o.kind == "match" {
		criteria, all, err := sshCriteria(rest, s.Release)
		if err != nil {
			return fault("%s", err)
		}
		s.blocks = append(s.blocks, sshdBlock{parent: s.outside(block), criteria: criteria, all: all, text: rest})
		return len(s.blocks) - 1, nil
	}
	words, whole := sshWords(rest)
	if !whole {
		return fault("quotes that do not end")
	}
	if o.kind == "include" {
		if depth == sshdDepth {
			return block, fmt.Errorf("%s:%d: files that include one another, more than %d deep", file, n, sshdDepth)
		}
		for _, w := range words {
			if w == "" {
				return fault("Include of nothing")
			}
			if !strings.HasPrefix(w, "/") && !strings.HasPrefix(w, "~") {
				w = "/etc/ssh/" + w
			}
			names, err := h.Glob(path.Clean(w))
			if err != nil {
				return block, fmt.Errorf("%s:%d: %w", file, n, err)
			}
			for _, name := range names {
				s.blocks = append(s.blocks, sshdBlock{parent: block, all: true, text: ""})
				inner := len(s.blocks) - 1
				if err := s.read(h, name, inner, depth+1); err != nil {
					return block, fmt.Errorf("%s:%d: %w", file, n, err)
				}
			}
		}
		return block, nil
	}
	if !s.first(block) && !o.match {
		return fault("%s cannot stand in a Match block", keyword)
	}
	if o.kind == "ignore" {
		l.Trouble = keyword + " means nothing any more"
		s.Useless = append(s.Useless, l)
		return block, nil
	}
	if o.kind == "text" {
		words = []string{rest}
	}
	if len(words) == 0 && (strings.HasSuffix(o.name, "users") || strings.HasSuffix(o.name, "groups")) {
		return block, nil // sshd takes a list of nobody for none
	}
	value, err := o.read(words)
	if err != nil {
		return fault("%s: %s", keyword, err)
	}
	l.Args, l.value = words, value
	s.lines = append(s.lines, l)
	return block, nil
}

// outside is the block that a Match in a block stands in: one Match ends another of the
// same file, and what an included file says holds only while the line that includes it does.
func (s *SSHD) outside(block int) int {
	for s.blocks[block].parent >= 0 && s.blocks[block].text != "" {
		block = s.blocks[block].parent
	}
	return block
}

// first reports whether a block's lines count before it is known who comes.
func (s *SSHD) first(block int) bool {
	for ; block >= 0; block = s.blocks[block].parent {
		if b := s.blocks[block]; b.parent >= 0 && !b.all {
			return false
		}
	}
	return true
}

// conditional reports whether a block stands under any Match, "Match all" too.
func (s *SSHD) conditional(block int) bool {
	for ; block >= 0; block = s.blocks[block].parent {
		if s.blocks[block].text != "" {
			return true
		}
	}
	return false
}

func (s *SSHD) matches(block int, c SSHPeer) answer {
	result := yes
	for ; block >= 0; block = s.blocks[block].parent {
		b := s.blocks[block]
		if b.all {
			continue
		}
		for _, k := range b.criteria {
			result = min(result, k.holds(c))
		}
	}
	return result
}

func (s *SSHD) condition(block int) string {
	var all []string
	for ; block >= 0; block = s.blocks[block].parent {
		if t := s.blocks[block].text; t != "" {
			all = append(all, t)
		}
	}
	slices.Reverse(all)
	return strings.Join(all, " and ")
}

// Values returns the values of a setting that may hold for who comes in, what is not said
// of them being anything: those of Match blocks first, then what holds without any. Of a
// peer that is known in full there is one. The error says that sshd does not start, or
// that its defaults are not known here.
func (s *SSHD) Values(keyword string, c SSHPeer) ([]SSHDValue, error) {
	if err := s.Fault(); err != nil {
		return nil, err
	}
	o := s.options[keyword]
	var all []SSHDValue
	if o.match {
		done := map[string]bool{}
		var certain []SSHDLine // of lists that grow
		for _, l := range s.lines {
			if l.Keyword != o.name || !s.conditional(l.block) {
				continue
			}
			m := s.matches(l.block, c)
			if m == no || done[s.condition(l.block)] && o.kind != "words" {
				continue
			}
			done[s.condition(l.block)] = true
			if o.kind == "words" {
				if m == yes {
					certain = append(certain, l)
					continue
				}
				all = append(all, o.join(append(slices.Clone(certain), l), s))
				continue
			}
			all = append(all, o.join([]SSHDLine{l}, s))
			if m == yes {
				return s.assemble(o, all)
			}
		}
		if len(certain) > 0 {
			return s.assemble(o, append(all, o.join(certain, s)))
		}
	}
	var lines []SSHDLine
	for _, l := range s.lines {
		if l.Keyword == o.name && s.first(l.block) && (o.kind == "words" || o.kind == "startups" || len(lines) == 0) {
			lines = append(lines, l)
			if o.name == "port" && s.cmdline {
				break
			}
		}
	}
	if o.kind == "startups" && len(lines) > 1 {
		v, err := s.startups(o, lines)
		return []SSHDValue{v}, err
	}
	if len(lines) > 0 {
		return s.assemble(o, append(all, o.join(lines, s)))
	}
	def := o.def
	if o.kind == "algorithms" {
		list, known := sshAlgorithms(o.name, s.Release)
		if !known {
			return nil, fmt.Errorf("%s is left to the default of an OpenSSH that is not known here", o.name)
		}
		def = strings.Join(list, ",")
	}
	v := SSHDValue{Value: def}
	if def != "" {
		v.Args = strings.Fields(def)
	}
	if all, err := s.assemble(o, all); err != nil || len(all) > 0 {
		return append(all, v), err
	}
	return []SSHDValue{v}, nil
}

// Value is the value for a peer that is known in full; of another, the first that may hold.
func (s *SSHD) Value(keyword string, c SSHPeer) (SSHDValue, error) {
	all, err := s.Values(keyword, c)
	if err != nil {
		return SSHDValue{}, err
	}
	return all[0], nil
}

// assemble makes whole lists of algorithms of those that add to the default or take away.
func (s *SSHD) assemble(o sshdOption, all []SSHDValue) ([]SSHDValue, error) {
	if o.kind != "algorithms" {
		return all, nil
	}
	for n := range all {
		def, known := sshAlgorithms(o.name, s.Release)
		if !known && strings.ContainsAny(all[n].Value[:1], "+-^") {
			return nil, fmt.Errorf("%s:%d: %s changes the default of an OpenSSH that is not known here", all[n].File, all[n].Line, o.name)
		}
		list := sshAssemble(o.name, all[n].Value, def)
		all[n].Value, all[n].Args = strings.Join(list, ","), []string{strings.Join(list, ",")}
	}
	return all, nil
}

// startups is which of several MaxStartups holds. Up to 9.2, against its manual, sshd takes
// the last, and of one with a single number the rate that was said before; of later
// releases it is not known here which of them began to take the first.
func (s *SSHD) startups(o sshdOption, lines []SSHDLine) (SSHDValue, error) {
	last := lines[len(lines)-1]
	same := !slices.ContainsFunc(lines, func(l SSHDLine) bool { return l.value != last.value })
	if !same && (!s.Release.known() || s.Release.AtLeast(9, 3)) {
		return SSHDValue{}, fmt.Errorf("%s:%d: which of several MaxStartups holds is not known of this OpenSSH", last.File, last.Line)
	}
	rate := "30"
	for _, l := range lines {
		if parts := strings.Split(l.Args[0], ":"); len(parts) == 3 {
			rate = parts[1]
		}
	}
	v := o.join([]SSHDLine{last}, s)
	if !strings.Contains(last.Args[0], ":") {
		v.Value = last.Args[0] + ":" + rate + ":" + last.Args[0]
	}
	return v, nil
}

func (o sshdOption) join(lines []SSHDLine, s *SSHD) SSHDValue {
	v := SSHDValue{File: lines[0].File, Line: lines[0].Line, Explicit: true, Match: s.condition(lines[0].block)}
	var values []string
	for _, l := range lines {
		v.Args = append(v.Args, l.Args...)
		values = append(values, l.value)
	}
	v.Value = strings.Join(values, " ")
	return v
}

// Algorithms is what the installed release offers by itself for a list of algorithms; known
// is false where that is not known here.
func (s *SSHD) Algorithms(keyword string) (list []string, known bool) {
	return sshAlgorithms(strings.ToLower(keyword), s.Release)
}

// Lines returns the lines that set something, as they are read.
func (s *SSHD) Lines(keyword string) []SSHDLine {
	var all []SSHDLine
	for _, l := range s.lines {
		if l.Keyword == keyword {
			all = append(all, l)
		}
	}
	return all
}

// findUseless finds the lines that an earlier one makes idle with another value.
func (s *SSHD) findUseless() {
	type place struct {
		keyword string
		always  bool
		block   int
	}
	seen := map[place]SSHDLine{}
	for _, l := range s.lines {
		if kind := s.options[l.Keyword].kind; kind == "words" || kind == "startups" {
			continue
		}
		p := place{l.Keyword, !s.conditional(l.block), l.block}
		if p.always {
			p.block = 0
		}
		if before, ok := seen[p]; !ok {
			seen[p] = l
		} else if before.value != l.value {
			l.Trouble = fmt.Sprintf("%s is idle: %s:%d says it first", l.Keyword, before.File, before.Line)
			s.Useless = append(s.Useless, l)
		}
	}
}

// findClosed finds methods of authentication that are asked for and switched off: sshd
// does not start where no list of AuthenticationMethods is left (sshd.c).
func (s *SSHD) findClosed() {
	value := func(keyword string) SSHDValue {
		all, err := s.Values(keyword, SSHPeer{})
		if err != nil || len(all) == 0 {
			return SSHDValue{}
		}
		return all[len(all)-1] // that holds without any Match
	}
	methods := value("authenticationmethods")
	if !methods.Explicit {
		return
	}
	settings := map[string]string{"publickey": "pubkeyauthentication", "password": "passwordauthentication", "keyboard-interactive": "kbdinteractiveauthentication",
		"hostbased": "hostbasedauthentication", "gssapi-with-mic": "gssapiauthentication"}
	closed := ""
	for _, list := range methods.Args {
		open := true
		for method := range strings.SplitSeq(list, ",") {
			method, _, _ = strings.Cut(method, ":")
			if name := settings[method]; name != "" && value(name).Value == "no" {
				open, closed = false, method
			}
		}
		if open {
			return
		}
	}
	s.Faults = append(s.Faults, SSHDLine{Keyword: "authenticationmethods", File: methods.File, Line: methods.Line,
		Trouble: "AuthenticationMethods asks for " + closed + ", which is switched off"})
}

// SSHRelease is a release of OpenSSH.
type SSHRelease struct {
	Major, Minor int
	Package      string // the package's whole version, "1:9.2p1-2+deb12u3"
	Manager      string // "dpkg" or "apk"
}

func (r SSHRelease) known() bool { return r.Major > 0 }

// Known reports whether it is known.
func (r SSHRelease) Known() bool { return r.known() }

func (r SSHRelease) before(o SSHRelease) bool {
	return r.Major < o.Major || r.Major == o.Major && r.Minor < o.Minor
}

// AtLeast reports whether a release is one or a later one.
func (r SSHRelease) AtLeast(major, minor int) bool {
	return !r.before(SSHRelease{Major: major, Minor: minor})
}

// parseSSHRelease reads a package's version, "1:9.2p1-2+deb12u3" or "9.7_p1-r4".
func parseSSHRelease(version, manager string) SSHRelease {
	upstream := version
	if _, after, ok := strings.Cut(version, ":"); ok {
		upstream = after
	}
	first, rest, _ := strings.Cut(upstream, ".")
	end := 0
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	major, err1 := strconv.Atoi(first)
	minor, err2 := strconv.Atoi(rest[:end])
	if err1 != nil || err2 != nil {
		return SSHRelease{Package: version, Manager: manager}
	}
	return SSHRelease{major, minor, version, manager}
}

// SSHRelease is the installed server's release by what the package manager says; zero
// where no package manager that can be read here knows of it.
func (h *Host) SSHRelease() (SSHRelease, error) {
	return remember(h, "ssh release", func() (SSHRelease, error) {
		t, err := h.Text("/var/lib/dpkg/status")
		if err == nil {
			if v := stanzaVersion(t.Lines, "Package: openssh-server", "Version: "); v != "" {
				return parseSSHRelease(v, "dpkg"), nil
			}
			return SSHRelease{}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return SSHRelease{}, err
		}
		t, err = h.Text("/lib/apk/db/installed")
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return SSHRelease{}, nil
		case err != nil:
			return SSHRelease{}, err
		}
		return parseSSHRelease(stanzaVersion(t.Lines, "P:openssh-server", "V:"), "apk"), nil
	})
}

// stanzaVersion finds a field of an installed package in a package manager's list.
func stanzaVersion(lines []string, head, field string) string {
	inside, version, installed := false, "", true
	for _, line := range append(lines, "") {
		switch {
		case line == "":
			if inside && version != "" && installed {
				return version
			}
			inside, version, installed = false, "", true
		case line == head:
			inside = true
		case strings.HasPrefix(line, field):
			version = line[len(field):]
		case strings.HasPrefix(line, "Status: "):
			installed = strings.HasSuffix(line, " installed")
		}
	}
	return ""
}
