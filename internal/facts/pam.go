package facts

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// PAMLine is a line of a service's stack (pam.d(5)), with what it includes put in its place.
type PAMLine struct {
	Type    string // "auth", "account", "password" or "session"
	Control string // as written
	Module  string // without its directory: "pam_unix.so"; empty of a substack
	Args    []string
	File    string
	Line    int
	// Reached: the control values of the lines before let one come here.
	Reached bool

	level int // how deep in substacks
}

// Arg returns the value of an argument NAME=VALUE, or "" of NAME alone, and whether there
// is one. The last one holds.
func (l PAMLine) Arg(name string) (string, bool) {
	for _, a := range slices.Backward(l.Args) {
		if a == name {
			return "", true
		}
		if value, ok := strings.CutPrefix(a, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// Bounds of what one service may come to.
const (
	maxPAMDepth = 16
	maxPAMLines = 4096
	maxPAMFiles = 1024
)

// PAMServices returns the names of the services that have a stack of their own, sorted.
func (h *Host) PAMServices() ([]string, error) {
	return remember(h, "pam services", func() ([]string, error) {
		names := map[string]bool{}
		for _, dir := range pamDirs() {
			all, err := h.Dir(dir)
			if err != nil {
				return nil, err
			}
			for _, n := range all {
				if !strings.ContainsAny(n, ".~") {
					names[n] = true
				}
			}
		}
		return slices.Sorted(maps.Keys(names)), nil
	})
}

// pamDirs are where stacks stand, the first that has a service's wins.
func pamDirs() []string { return []string{"/etc/pam.d", "/usr/lib/pam.d"} }

// PAM returns the stack of a service, and that of "other" for what it has none of its own.
// The error wraps fs.ErrNotExist if there is neither.
func (h *Host) PAM(service string) ([]PAMLine, error) {
	return remember(h, "pam "+service, func() ([]PAMLine, error) {
		r := pamReader{h: h}
		if err := r.file(service, "", 0, 0); err != nil && (r.opened > 0 || !errors.Is(err, fs.ErrNotExist)) {
			return nil, err
		}
		// What a service says nothing of is as "other" has it.
		other := pamReader{h: h}
		if err := other.file("other", "", 0, 0); err != nil && (other.opened > 0 || r.opened == 0 || !errors.Is(err, fs.ErrNotExist)) {
			return nil, err
		}
		for _, kind := range []string{"auth", "account", "password", "session"} {
			of := func(l PAMLine) bool { return l.Type == kind }
			if !slices.ContainsFunc(r.lines, of) {
				r.lines = append(r.lines, slices.DeleteFunc(slices.Clone(other.lines), func(l PAMLine) bool { return !of(l) })...)
			}
			reachPAM(r.lines, kind)
		}
		return r.lines, nil
	})
}

type pamReader struct {
	h      *Host
	lines  []PAMLine
	opened int
}

func (r *pamReader) open(name string) (Text, error) {
	if path.IsAbs(name) {
		return r.h.Text(name)
	}
	var first error
	for _, dir := range pamDirs() {
		t, err := r.h.Text(path.Join(dir, name))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return t, err
		}
		if first == nil {
			first = err
		}
	}
	return Text{}, first
}

// file adds the lines of a file; kind is the type that is asked for, "" for every one.
func (r *pamReader) file(name, kind string, level, depth int) error {
	if depth > maxPAMDepth || r.opened >= maxPAMFiles {
		return fmt.Errorf("%s: PAM files that include each other in a circle", name)
	}
	t, err := r.open(name)
	if err != nil {
		return err
	}
	r.opened++
	for n := 0; n < len(t.Lines); n++ {
		line, at := t.Lines[n], n+1
		line, _, _ = strings.Cut(line, "#")
		for strings.HasSuffix(line, `\`) && n+1 < len(t.Lines) {
			n++
			next, _, _ := strings.Cut(t.Lines[n], "#")
			line = strings.TrimSuffix(line, `\`) + " " + next
		}
		words := pamWords(line)
		if len(words) == 0 {
			continue
		}
		where := func(err error) error { return fmt.Errorf("%s:%d: %w", t.Path, at, err) }
		if words[0] == "@include" {
			if len(words) < 2 {
				return where(errors.New("@include of nothing"))
			}
			if err := r.file(words[1], kind, level, depth+1); err != nil {
				return where(err)
			}
			continue
		}
		if len(words) < 3 {
			return where(errors.New("not a line of a PAM stack"))
		}
		l := PAMLine{Type: strings.ToLower(strings.TrimPrefix(words[0], "-")), Control: strings.ToLower(words[1]), File: t.Path, Line: at, level: level}
		if !slices.Contains([]string{"auth", "account", "password", "session"}, l.Type) {
			return where(fmt.Errorf("%q is no type of a PAM stack", words[0]))
		}
		if kind != "" && l.Type != kind {
			continue
		}
		if len(r.lines) >= maxPAMLines {
			return where(errors.New("a PAM stack longer than any that is meant"))
		}
		switch l.Control {
		case "include":
			err = r.file(words[2], l.Type, level, depth+1)
		case "substack":
			r.lines = append(r.lines, l)
			err = r.file(words[2], l.Type, level+1, depth+1)
		default:
			l.Module, l.Args = path.Base(words[2]), words[3:]
			if _, err := l.actions(); err != nil {
				return where(err)
			}
			r.lines = append(r.lines, l)
		}
		if err != nil {
			return where(err)
		}
	}
	return nil
}

// pamWords splits a line; what stands in brackets is one word.
func pamWords(line string) []string {
	var words []string
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" {
			return words
		}
		if line[0] == '[' {
			if end := strings.IndexByte(line, ']'); end > 0 {
				word := line[:end+1]
				if len(words) != 1 {
					word = line[1:end] // an argument
				}
				words, line = append(words, word), line[end+1:]
				continue
			}
		}
		end := strings.IndexAny(line, " \t")
		if end < 0 {
			return append(words, line)
		}
		words, line = append(words, line[:end]), line[end:]
	}
}

// actions are what a line's control does, by what its module returns.
func (l PAMLine) actions() (map[string]string, error) {
	switch l.Control {
	case "required":
		return map[string]string{"success": "ok", "new_authtok_reqd": "ok", "ignore": "ignore", "default": "bad"}, nil
	case "requisite":
		return map[string]string{"success": "ok", "new_authtok_reqd": "ok", "ignore": "ignore", "default": "die"}, nil
	case "sufficient":
		return map[string]string{"success": "done", "new_authtok_reqd": "done", "default": "ignore"}, nil
	case "optional":
		return map[string]string{"success": "ok", "new_authtok_reqd": "ok", "default": "ignore"}, nil
	}
	inner, ok := strings.CutPrefix(l.Control, "[")
	if inner, ok2 := strings.CutSuffix(inner, "]"); ok && ok2 {
		all := map[string]string{}
		for word := range strings.FieldsSeq(inner) {
			value, action, ok := strings.Cut(word, "=")
			if !ok || !isPAMValue(value) || (!isNumber(action) || strings.Trim(action, "0") == "") && !slices.Contains([]string{"ignore", "ok", "done", "bad", "die", "reset"}, action) {
				return nil, fmt.Errorf("control %q cannot be read", l.Control)
			}
			if _, twice := all[value]; value == "default" && twice {
				continue // it is for what nothing was said of, and after the first that is nothing
			}
			all[value] = action
		}
		if _, ok := all["default"]; !ok {
			all["default"] = "bad"
		}
		return all, nil
	}
	return nil, fmt.Errorf("control %q is not known", l.Control)
}

// isPAMValue reports whether a module may return what a control names so (pam.conf(5)).
func isPAMValue(name string) bool {
	const all = " default success open_err symbol_err service_err system_err buf_err perm_denied auth_err cred_insufficient authinfo_unavail user_unknown maxtries new_authtok_reqd " +
		"acct_expired session_err cred_unavail cred_expired cred_err no_module_data conv_err authtok_err authtok_recover_err authtok_lock_busy authtok_disable_aging try_again ignore abort " +
		"authtok_expired module_unknown bad_item conv_again incomplete "
	return name != "" && strings.Contains(all, " "+name+" ")
}

// pamState is how far a stack has come: what is next, what is made of it so far, and what
// that was when each substack began.
type pamState struct {
	next  int
	so    pamSo
	saved string // a pamSo for each level
}

// pamSo is what is made of a stack so far.
type pamSo byte

const (
	pamUndecided pamSo = iota
	pamSucceeds
	pamPositive // but with another value than success
	pamFails
)

// maxPAMStates is how many states are looked at before every line is taken for reached.
const maxPAMStates = 1 << 16

// reachPAM marks the lines of one type that can be come to, by what libpam does
// (pam_dispatch.c) with each value that a module may return.
func reachPAM(lines []PAMLine, kind string) {
	var at []int // the lines of that type
	for n := range lines {
		if lines[n].Type == kind {
			at = append(at, n)
		}
	}
	if len(at) == 0 {
		return
	}
	resets := slices.ContainsFunc(at, func(n int) bool { return strings.Contains(lines[n].Control, "reset") })
	seen := map[pamState]bool{}
	var open []pamState
	reach := func(s pamState) {
		if s.next < len(at) && !seen[s] {
			seen[s] = true
			open = append(open, s)
		}
	}
	reach(pamState{0, pamUndecided, string(rune(pamUndecided))})
	for len(open) > 0 {
		if len(seen) > maxPAMStates {
			for _, n := range at {
				lines[n].Reached = true
			}
			return
		}
		s := open[len(open)-1]
		open = open[:len(open)-1]
		l := &lines[at[s.next]]
		l.Reached = true
		if l.Module == "" { // a substack
			if resets {
				s.saved = s.saved[:l.level+1] + string(rune(s.so))
			}
			reach(pamState{s.next + 1, s.so, s.saved})
			continue
		}
		for _, o := range l.outcomes() {
			to := s
			to.next++
			leave := false
			switch o.action {
			case "ignore":
			case "ok", "done":
				if s.so == pamUndecided || s.so == pamSucceeds {
					to.so = pamPositive
					if o.success {
						to.so = pamSucceeds
					}
				}
				leave = o.action == "done" && to.so != pamFails
			case "bad", "die":
				to.so, leave = pamFails, o.action == "die"
			case "reset":
				to.so = pamSo(s.saved[l.level])
			default:
				steps, err := strconv.Atoi(o.action)
				if err != nil {
					continue
				}
				k := s.next
				inside := func(level int) bool { return k+1 < len(at) && lines[at[k+1]].level >= level }
				for ; steps > 0 && inside(l.level); steps-- {
					for k++; inside(l.level + 1); k++ {
					}
				}
				if to.next = k + 1; steps > 0 {
					to.so = pamFails // a jump does not leave its substack
				}
			}
			for leave && to.next < len(at) && lines[at[to.next]].level >= l.level {
				to.next++
			}
			reach(to)
		}
	}
}

// pamOutcome is what comes of a value that a module returns.
type pamOutcome struct {
	action  string
	success bool
}

// outcomes are what may come of a line; pam_permit.so and pam_deny.so always return the
// same.
func (l PAMLine) outcomes() []pamOutcome {
	actions, err := l.actions()
	if err != nil {
		return nil
	}
	of := func(value string) pamOutcome {
		if action, ok := actions[value]; ok {
			return pamOutcome{action, value == "success"}
		}
		return pamOutcome{actions["default"], value == "success"}
	}
	switch l.Module {
	case "pam_permit.so":
		return []pamOutcome{of("success")}
	case "pam_deny.so":
		return []pamOutcome{of(map[string]string{"auth": "auth_err", "account": "auth_err", "password": "authtok_err", "session": "session_err"}[l.Type])}
	}
	all := []pamOutcome{of("success"), of("ignore"), {actions["default"], false}}
	for value := range actions {
		all = append(all, of(value))
	}
	return all
}

// PAMModule reports whether a module's file is there.
func (h *Host) PAMModule(name string) (bool, error) {
	for _, dir := range []string{"/usr/lib/*/security", "/lib/*/security", "/usr/lib64/security", "/lib64/security", "/usr/lib/security", "/lib/security"} {
		found, err := h.Glob(dir + "/" + name)
		if err != nil || len(found) > 0 {
			return err == nil, err
		}
	}
	return false, nil
}

// PAMSettings reads a module's file in /etc/security, as "pwquality", whose directory of
// *.conf beside it is read first; the last value of a name holds.
func (h *Host) PAMSettings(name string) (map[string]Setting, error) {
	return remember(h, "pam settings "+name, func() (map[string]Setting, error) {
		var files []string
		if name == "pwquality" { // the only one that has a directory
			var err error
			if files, err = h.Glob("/etc/security/pwquality.conf.d/*.conf"); err != nil {
				return nil, err
			}
		}
		all := map[string]Setting{}
		for _, f := range append(files, "/etc/security/"+name+".conf") {
			some, err := h.assignments(f)
			if err != nil {
				return nil, err
			}
			maps.Copy(all, some)
		}
		return all, nil
	})
}
