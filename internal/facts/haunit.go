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

// HASetting is a line of a unit.
type HASetting struct {
	Value string
	File  string
	Line  int
}

// HAUnit is a unit of systemd that starts Home Assistant, with its drop-ins.
type HAUnit struct {
	Name     string
	File     string
	settings map[string][]HASetting
}

// All are the values of a setting of [Service] that hold, in order; an empty one has
// taken back those before it.
func (u HAUnit) All(key string) []HASetting { return u.settings[key] }

// Last is the value that holds of a setting that has one.
func (u HAUnit) Last(key string) (s HASetting, explicit bool) {
	all := u.settings[key]
	if len(all) == 0 {
		return HASetting{File: u.File, Line: u.start().Line}, false
	}
	return all[len(all)-1], true
}

func (u HAUnit) start() HASetting {
	if all := u.settings["ExecStart"]; len(all) > 0 {
		return all[0]
	}
	return HASetting{File: u.File, Line: 1}
}

// Start is the line that starts Home Assistant.
func (u HAUnit) Start() HASetting { return u.start() }

// IsHACommand reports whether a command line is Home Assistant itself, not an engine of
// containers or a shell around it.
func IsHACommand(args []string) bool {
	for i, a := range args {
		base := path.Base(strings.TrimLeft(a, "-@:+!"))
		switch {
		case i == 0 && (base == "docker" || base == "podman" || base == "docker-compose"):
			return false
		case base == "hass" && i < 3:
			return true
		case a == "-m" && i+1 < len(args) && args[i+1] == "homeassistant":
			return true
		}
	}
	return false
}

// haStarts reports whether a line starts Home Assistant, by a shell if need be.
func haStarts(s HASetting) bool {
	words := strings.Fields(s.Value)
	if len(words) > 0 && slices.Contains([]string{"sh", "bash", "dash", "env"}, path.Base(strings.TrimLeft(words[0], "-@:+!"))) {
		for i := range words {
			words[i] = strings.Trim(words[i], `"';&`)
			if IsHACommand(words[i:]) && path.Base(words[i]) == "hass" || words[i] == "homeassistant" && words[i-1] == "-m" {
				return true
			}
		}
	}
	return IsHACommand(words)
}

// HAUnits finds the units that start Home Assistant. The error says what could not be
// looked at.
func (h *Host) HAUnits() ([]HAUnit, error) {
	return remember(h, "ha units", func() ([]HAUnit, error) {
		var all []HAUnit
		var errs []error
		seen := map[string]bool{}
		for _, dir := range unitDirs() {
			names, err := h.Dir(dir)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			for _, name := range names {
				if seen[name] || path.Ext(name) != ".service" {
					continue
				}
				seen[name] = true
				file := dir + "/" + name
				info, err := h.Stat(file)
				switch {
				case errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode.IsRegular():
					continue // a link to nowhere, or masked
				case err != nil:
					errs = append(errs, err)
					continue
				}
				u, err := h.haUnit(name, file)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				if slices.ContainsFunc(u.All("ExecStart"), haStarts) {
					all = append(all, u)
				}
			}
		}
		return all, errors.Join(errs...)
	})
}

func (h *Host) haUnit(name, file string) (HAUnit, error) {
	u := HAUnit{name, file, map[string][]HASetting{}}
	if err := h.addUnit(&u, file); err != nil {
		return u, err
	}
	folders := []string{name + ".d"}
	instance := ""
	if stem, _, template := strings.Cut(name, "@."); template {
		links, err := h.Glob("/etc/systemd/system/*.wants/" + stem + "@*.service")
		if err != nil {
			return u, err
		}
		if len(links) > 0 {
			full := path.Base(links[0])
			folders = append(folders, full+".d")
			instance = strings.TrimSuffix(strings.TrimPrefix(full, stem+"@"), ".service")
		}
	}
	drops := map[string]string{}
	var order []string
	for _, folder := range folders {
		for _, dir := range unitDirs() {
			names, err := h.Dir(dir + "/" + folder)
			if err != nil {
				return u, err
			}
			for _, n := range names {
				if path.Ext(n) == ".conf" && drops[n] == "" {
					drops[n] = dir + "/" + folder + "/" + n
					order = append(order, n)
				}
			}
		}
	}
	slices.Sort(order)
	for _, n := range order {
		if info, err := h.Stat(drops[n]); err == nil && !info.Mode.IsRegular() {
			continue // masked
		}
		if err := h.addUnit(&u, drops[n]); err != nil {
			return u, err
		}
	}
	for _, all := range u.settings {
		for i := range all {
			if instance != "" {
				all[i].Value = strings.NewReplacer("%i", instance, "%I", instance).Replace(all[i].Value)
			}
		}
	}
	return u, nil
}

// addUnit reads a file of a unit.
func (h *Host) addUnit(u *HAUnit, file string) error {
	t, err := h.Text(file)
	if err != nil {
		return err
	}
	return unitLines(t, func(s UnitSetting) error {
		switch {
		case s.Section != "Service":
		case s.Value != "":
			u.settings[s.Key] = append(u.settings[s.Key], HASetting{s.Value, file, s.Line})
		case s.Key == "CapabilityBoundingSet": // empty: none at all
			u.settings[s.Key] = []HASetting{{"", file, s.Line}}
		default:
			delete(u.settings, s.Key)
		}
		return nil
	})
}

// HAProcess is Home Assistant as it runs.
type HAProcess struct {
	ID        int
	UID       int
	Container bool // in one of its own
}

// HAProcesses finds it. Only the running machine can tell.
func (h *Host) HAProcesses() ([]HAProcess, error) {
	return remember(h, "ha processes", func() ([]HAProcess, error) {
		names, err := h.Dir("/proc")
		if err != nil {
			return nil, err
		}
		var all []HAProcess
		var errs []error
		for _, name := range names {
			id, err := strconv.Atoi(name)
			if err != nil {
				continue
			}
			text, err := h.Tree.ReadFile("proc/"+name+"/cmdline", maxText)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				errs = append(errs, err)
				continue
			}
			if !IsHACommand(strings.FieldsFunc(string(text), func(r rune) bool { return r == 0 || r == '\n' })) {
				continue
			}
			p := HAProcess{ID: id, UID: -1}
			status, err := h.Tree.ReadFile("proc/"+name+"/status", maxText)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			for line := range strings.SplitSeq(string(status), "\n") {
				if rest, ok := strings.CutPrefix(line, "Uid:"); ok {
					if f := strings.Fields(rest); len(f) > 1 {
						if p.UID, err = strconv.Atoi(f[1]); err != nil {
							p.UID = -1
						}
					}
				}
			}
			if p.UID < 0 {
				errs = append(errs, fmt.Errorf("/proc/%s/status: no user", name))
				continue
			}
			if group, err := h.Tree.ReadFile("proc/"+name+"/cgroup", maxText); err == nil {
				for _, mark := range []string{"docker", "containerd", "libpod", "kubepods", "lxc"} {
					p.Container = p.Container || strings.Contains(string(group), mark)
				}
			}
			all = append(all, p)
		}
		return all, errors.Join(errs...)
	})
}
