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
func haStarts(s UnitSetting) bool {
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

// HAUnits finds the units that start Home Assistant; of a template those that are started,
// or the template itself if none is. The error says what could not be looked at.
func (h *Host) HAUnits() ([]Unit, error) {
	return remember(h, "ha units", func() ([]Unit, error) {
		names, err := h.Units()
		if err != nil {
			return nil, err
		}
		links, err := h.startLinks()
		if err != nil {
			return nil, err
		}
		var all []Unit
		var errs []error
		for _, name := range names {
			if path.Ext(name) != ".service" {
				continue
			}
			started := []string{name}
			if stem, _, template := strings.Cut(name, "@."); template {
				var instances []string
				for link := range links {
					if strings.HasPrefix(link, stem+"@") && link != name && path.Ext(link) == ".service" && !slices.Contains(names, link) {
						instances = append(instances, link)
					}
				}
				if slices.Sort(instances); len(instances) > 0 {
					started = instances
				}
			}
			for _, name := range started {
				u, err := h.Unit(name)
				if errors.Is(err, fs.ErrNotExist) { // a link to nowhere
					continue
				}
				if err != nil {
					errs = append(errs, err)
				}
				if slices.ContainsFunc(u.All("Service", "ExecStart"), haStarts) {
					all = append(all, u)
				}
			}
		}
		return all, errors.Join(errs...)
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
