package facts

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Unit is a unit of systemd as it is in force: its file, and the drop-ins after it
// (systemd.unit(5)).
type Unit struct {
	Name      string
	File      string        // empty: there is no such unit
	DropIns   []string      // in their order
	Masked    bool          // nothing can start it
	EnabledBy string        // the link that starts it at boot; empty if none does
	Settings  []UnitSetting // of all files, in their order, without what a later one resets
}

// UnitSetting is a line of a unit.
type UnitSetting struct {
	Section, Key, Value string
	File                string
	Line                int
}

// Starts reports whether it is started at boot.
func (u Unit) Starts() bool { return u.File != "" && !u.Masked && u.EnabledBy != "" }

// All returns what a list is set to.
func (u Unit) All(section, key string) []UnitSetting {
	var all []UnitSetting
	for _, s := range u.Settings {
		if s.Section == section && s.Key == key {
			all = append(all, s)
		}
	}
	return all
}

// Last returns what a single setting is set to, and whether it is set at all.
func (u Unit) Last(section, key string) (UnitSetting, bool) {
	all := u.All(section, key)
	if len(all) == 0 {
		return UnitSetting{}, false
	}
	return all[len(all)-1], true
}

// Start is the line that starts it; without one, the beginning of its file.
func (u Unit) Start() UnitSetting {
	if all := u.All("Service", "ExecStart"); len(all) > 0 {
		return all[0]
	}
	return UnitSetting{File: u.File, Line: 1}
}

// unitDirs are the folders of units, the strongest first. What generators write is none
// of a system that lies still.
func unitDirs() []string {
	return configDirs("systemd/system")
}

// Units returns the names of all units that have files, sorted, also masked ones; units
// of a running system only that systemd made are not among them.
func (h *Host) Units() ([]string, error) {
	return remember(h, "units", func() ([]string, error) {
		var all []string
		for _, dir := range unitDirs() {
			names, err := h.Dir(dir)
			if err != nil {
				return nil, err
			}
			for _, n := range names {
				switch path.Ext(n) {
				case ".service", ".socket", ".timer", ".path", ".mount", ".automount":
					all = append(all, n)
				}
			}
		}
		slices.Sort(all)
		return slices.Compact(all), nil
	})
}

// startLinks are the links by which units are started, by the unit's name; of several the
// strongest.
func (h *Host) startLinks() (map[string]string, error) {
	return remember(h, "start links", func() (map[string]string, error) {
		all := map[string]string{}
		for _, dir := range unitDirs() {
			names, err := h.Dir(dir)
			if err != nil {
				return nil, err
			}
			for _, n := range names {
				if ext := path.Ext(n); ext != ".wants" && ext != ".requires" {
					continue
				}
				links, err := h.Dir(dir + "/" + n)
				if err != nil {
					return nil, err
				}
				for _, l := range links {
					at := dir + "/" + n + "/" + l
					all[l] = cmp.Or(all[l], at)
					if info, err := h.Lstat(at); err == nil && info.Target != "" { // under another name
						if target := path.Base(info.Target); target != l {
							all[target] = cmp.Or(all[target], at)
						}
					}
				}
			}
		}
		// What System V's scripts start (systemd-sysv-generator(8)).
		for _, level := range []string{"2", "3", "4", "5"} {
			links, err := h.Dir("/etc/rc" + level + ".d")
			if err != nil {
				return nil, err
			}
			for _, l := range links {
				if len(l) > 3 && l[0] == 'S' {
					name := l[3:] + ".service"
					all[name] = cmp.Or(all[name], "/etc/rc"+level+".d/"+l)
				}
			}
		}
		return all, nil
	})
}

// Unit reads a unit. One that is not there has no File.
func (h *Host) Unit(name string) (Unit, error) {
	return remember(h, "unit "+name, func() (Unit, error) {
		u := Unit{Name: name}
		stem, rest, instance := strings.Cut(name, "@")
		files := []string{name}
		if _, ext, ok := strings.Cut(rest, "."); instance && ok && !strings.HasPrefix(rest, ".") {
			files = append(files, stem+"@."+ext)
		}
		for _, file := range files {
			for _, dir := range unitDirs() {
				at := dir + "/" + file
				info, err := h.Lstat(at)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return u, err
				}
				u.File = at
				u.Masked = info.Target == "/dev/null" || info.Target == "" && info.Mode.IsRegular() && info.Size == 0
				break
			}
			if u.File != "" {
				break
			}
		}
		links, err := h.startLinks()
		if err != nil {
			return u, err
		}
		u.EnabledBy = links[name]
		if u.File == "" && strings.HasPrefix(u.EnabledBy, "/etc/rc") {
			u.File = "/etc/init.d/" + strings.TrimSuffix(name, ".service")
			return u, nil
		}
		if u.File == "" || u.Masked {
			return u, nil
		}
		if err := h.readUnit(&u, u.File); err != nil {
			return u, err
		}
		if err := h.readDropIns(&u, dropInNames(files)); err != nil {
			return u, err
		}
		if name, _, ok := strings.Cut(rest, "."); instance && ok && name != "" {
			fill := strings.NewReplacer("%%", "%%", "%i", name, "%I", name)
			for n := range u.Settings {
				u.Settings[n].Value = fill.Replace(u.Settings[n].Value)
			}
		}
		return u, nil
	})
}

// dropInNames are the names whose folders of drop-ins hold for a unit, the strongest first:
// its own, those of all that begin alike up to a hyphen, and its kind's.
func dropInNames(files []string) []string {
	all := slices.Clone(files)
	stem, ext := strings.TrimSuffix(files[0], path.Ext(files[0])), path.Ext(files[0])
	for n := len(stem) - 1; n > 0; n-- {
		if stem[n] == '-' && n < len(stem)-1 {
			all = append(all, stem[:n+1]+ext)
		}
	}
	return append(all, strings.TrimPrefix(ext, "."))
}

func (h *Host) readDropIns(u *Unit, files []string) error {
	places := map[string]string{}
	for _, file := range files {
		for _, dir := range unitDirs() {
			names, err := h.Dir(dir + "/" + file + ".d")
			if err != nil {
				return err
			}
			for _, n := range names {
				if path.Ext(n) == ".conf" && places[n] == "" {
					places[n] = dir + "/" + file + ".d/" + n
				}
			}
		}
	}
	var order []string
	for n := range places {
		order = append(order, n)
	}
	slices.Sort(order)
	for _, n := range order {
		if info, err := h.Lstat(places[n]); err == nil && info.Target == "/dev/null" {
			continue
		}
		u.DropIns = append(u.DropIns, places[n])
		if err := h.readUnit(u, places[n]); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) readUnit(u *Unit, file string) error {
	t, err := h.Text(file)
	if err != nil {
		return err
	}
	t.Path = file
	return parseUnit(u, t)
}

// parseUnit adds the settings of a file. An empty value resets; that no capability is left
// is a value. What stands before the first section is none of systemd's business.
func parseUnit(u *Unit, t Text) error {
	return unitLines(t, func(s UnitSetting) error {
		if s.Section == "" {
			return nil
		}
		if s.Value == "" {
			u.Settings = slices.DeleteFunc(u.Settings, func(o UnitSetting) bool { return o.Section == s.Section && o.Key == s.Key })
			if s.Key != "CapabilityBoundingSet" {
				return nil
			}
		}
		u.Settings = append(u.Settings, s)
		return nil
	})
}

// unitLines tells each setting of a file of a unit (systemd.syntax(7)), in their order.
func unitLines(t Text, tell func(UnitSetting) error) error {
	section, joined, from := "", "", 0
	for n, line := range t.Lines {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") || line == "" && joined == "" {
			continue
		}
		if joined == "" {
			from = n + 1
		}
		if part, more := strings.CutSuffix(line, `\`); more {
			joined += part + " "
			continue
		}
		line, joined = joined+line, ""
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			section = line[1 : len(line)-1]
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return fmt.Errorf("%s:%d: not a setting", t.Path, from)
		}
		if err := tell(UnitSetting{section, strings.TrimSpace(key), strings.TrimSpace(value), t.Path, from}); err != nil {
			return err
		}
	}
	return nil
}

// Sections reads a file in the form of a unit's, and the drop-ins of folders after it; the
// first folder is the strongest. Files that are not there say nothing.
func (h *Host) Sections(name string, folders ...string) (Unit, error) {
	return remember(h, "sections "+name, func() (Unit, error) {
		u := Unit{Name: name}
		read := func(file string) error {
			t, err := h.Text(file)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			return parseUnit(&u, t)
		}
		if err := read(name); err != nil {
			return u, err
		}
		places := map[string]string{}
		var order []string
		for _, dir := range folders {
			names, err := h.Dir(dir)
			if err != nil {
				return u, err
			}
			for _, n := range names {
				if path.Ext(n) == ".conf" && places[n] == "" {
					places[n] = dir + "/" + n
					order = append(order, n)
				}
			}
		}
		slices.Sort(order)
		for _, n := range order {
			if err := read(places[n]); err != nil {
				return u, err
			}
		}
		return u, nil
	})
}
