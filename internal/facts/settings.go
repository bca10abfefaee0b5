package facts

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Assignment is an assignment in a section of a file that systemd reads, or one like it.
type Assignment struct {
	Section string
	Name    string
	Value   string
	File    string
	Line    int
}

// Assignments are the assignments of a file and its drop-ins, in the order in which they
// are read.
type Assignments []Assignment

// Last is the one that counts of those with a name. One that is set to nothing is as if it
// had never been set.
func (s Assignments) Last(section, name string) (Assignment, bool) {
	for _, one := range slices.Backward(s) {
		if one.Section == section && one.Name == name {
			return one, one.Value != ""
		}
	}
	return Assignment{}, false
}

// List is all of those with a name, from the last that was set to nothing on.
func (s Assignments) List(section, name string) []Assignment {
	var all []Assignment
	for _, one := range s {
		if one.Section != section || one.Name != name {
			continue
		}
		if one.Value == "" {
			all = nil
			continue
		}
		all = append(all, one)
	}
	return all
}

// parseSettings reads a file in the syntax of systemd.syntax(7).
func parseSettings(t Text) (Assignments, error) {
	var all Assignments
	section := ""
	for n := 0; n < len(t.Lines); n++ {
		first := n
		line := strings.TrimSpace(t.Lines[n])
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if strings.HasSuffix(line, `\`) {
			parts := []string{}
			for strings.HasSuffix(line, `\`) && n+1 < len(t.Lines) {
				n++
				if next := strings.TrimSpace(t.Lines[n]); next == "" || next[0] != '#' && next[0] != ';' {
					parts, line = append(parts, line[:len(line)-1]), next
				}
			}
			line = strings.Join(append(parts, line), " ")
		}
		if line[0] == '[' {
			if !strings.HasSuffix(line, "]") {
				return nil, fmt.Errorf("%s:%d: not a section", t.Path, first+1)
			}
			section = line[1 : len(line)-1]
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("%s:%d: not an assignment", t.Path, first+1)
		}
		all = append(all, Assignment{section, strings.TrimSpace(name), strings.TrimSpace(value), t.Path, first + 1})
	}
	return all, nil
}

// Assignments reads a file with its drop-ins. name is what it is called below /etc, /run,
// /usr/local/lib, /usr/lib and /lib ("/systemd/journald.conf"); main is the file itself,
// or empty: the first that is there.
func (h *Host) Settings(name, main string) (Assignments, error) {
	return remember(h, "settings "+name+" "+main, func() (Assignments, error) {
		dirs := configDirs(strings.TrimPrefix(name, "/"))
		mains := dirs
		if main != "" {
			mains = []string{main}
		}
		var all Assignments
		for _, m := range mains {
			if info, err := h.Lstat(m); err == nil && info.Target == "/dev/null" {
				break
			}
			t, err := h.Text(m)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			s, err := parseSettings(t)
			if err != nil {
				return nil, err
			}
			all = s
			break
		}
		for n := range dirs {
			dirs[n] += ".d"
		}
		texts, err := h.configFiles(dirs)
		if err != nil {
			return nil, err
		}
		for _, t := range texts {
			s, err := parseSettings(t)
			if err != nil {
				return nil, err
			}
			all = append(all, s...)
		}
		return all, nil
	})
}

// Wanted reports whether systemd starts a unit by itself: another one wants or requires it
// (or it is there under an alias), and it is not masked.
func (h *Host) Wanted(unit string) (bool, error) {
	links, err := h.unitLinks()
	if err != nil {
		return false, err
	}
	return links.wanted[unit] && !links.masked[unit], nil
}

type unitLinks struct{ wanted, masked map[string]bool }

func (h *Host) unitLinks() (unitLinks, error) {
	return remember(h, "wanted units", func() (unitLinks, error) {
		l := unitLinks{map[string]bool{}, map[string]bool{}}
		for _, dir := range configDirs("systemd/system") {
			names, err := h.Dir(dir)
			if err != nil {
				return l, err
			}
			for _, n := range names {
				if strings.HasSuffix(n, ".wants") || strings.HasSuffix(n, ".requires") {
					units, err := h.Dir(dir + "/" + n)
					if err != nil {
						return l, err
					}
					for _, u := range units {
						l.wanted[u] = true
						if info, err := h.Lstat(dir + "/" + n + "/" + u); err == nil && info.Target != "" {
							l.wanted[info.Target[strings.LastIndexByte(info.Target, '/')+1:]] = true
						}
					}
					continue
				}
				info, err := h.Lstat(dir + "/" + n)
				if err != nil || info.Mode&fs.ModeSymlink == 0 {
					continue
				}
				if info.Target == "/dev/null" {
					l.masked[n] = true
				} else if dir == "/etc/systemd/system" {
					l.wanted[info.Target[strings.LastIndexByte(info.Target, '/')+1:]] = true // an alias
				}
			}
		}
		return l, nil
	})
}

// UnitFile is where a unit is, nothing where there is none or it is masked.
func (h *Host) UnitFile(unit string) (string, bool, error) {
	for _, dir := range configDirs("systemd/system") {
		name := dir + "/" + unit
		info, err := h.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", false, err
		}
		return name, info.Target != "/dev/null", nil
	}
	return "", false, nil
}
