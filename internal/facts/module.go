package facts

import (
	"strings"
)

// ModuleRule is what modprobe.d(5) says of a module of the kernel.
type ModuleRule struct {
	Install     string // the command instead of loading it
	InstallAt   string
	InstallLine int
	Blacklisted bool // it is not loaded for a device that would need it
	BlackAt     string
	BlackLine   int
}

// Blocked reports whether the module is not loaded, even if somebody asks for it.
func (r ModuleRule) Blocked() bool {
	words := strings.Fields(r.Install)
	if len(words) == 0 {
		return false
	}
	switch words[0] {
	case "/bin/false", "/usr/bin/false", "/bin/true", "/usr/bin/true", "false", "true", ":", "/sbin/nologin", "/usr/sbin/nologin":
		return true
	}
	return false
}

// moduleName is a module's name as kmod compares it.
func moduleName(s string) string { return strings.ReplaceAll(s, "-", "_") }

// parseModprobe reads a modprobe.d file into rules.
func parseModprobe(t Text, rules map[string]ModuleRule) {
	for n := 0; n < len(t.Lines); n++ {
		first, line := n, t.Lines[n]
		if strings.HasSuffix(line, `\`) {
			var parts []string
			for strings.HasSuffix(line, `\`) && n+1 < len(t.Lines) {
				n++
				parts, line = append(parts, line[:len(line)-1]), t.Lines[n]
			}
			line = strings.Join(append(parts, line), "")
		}
		f := strings.Fields(line)
		if len(f) < 2 || strings.HasPrefix(f[0], "#") {
			continue
		}
		name := moduleName(f[1])
		r := rules[name]
		switch f[0] {
		case "blacklist":
			r.Blacklisted, r.BlackAt, r.BlackLine = true, t.Path, first+1
		case "install":
			r.Install, r.InstallAt, r.InstallLine = strings.Join(f[2:], " "), t.Path, first+1
		default:
			continue
		}
		rules[name] = r
	}
}

// ModuleRules returns the rules of all modprobe.d directories, by the module's name, in
// which "-" is "_".
func (h *Host) ModuleRules() (map[string]ModuleRule, error) {
	return remember(h, "modprobe.d", func() (map[string]ModuleRule, error) {
		texts, err := h.configFiles(configDirs("modprobe.d"))
		if err != nil {
			return nil, err
		}
		rules := map[string]ModuleRule{}
		for _, t := range texts {
			parseModprobe(t, rules)
		}
		return rules, nil
	})
}

// LoadedModules returns what /proc/modules lists.
func (h *Host) LoadedModules() (map[string]bool, error) {
	return remember(h, "loaded modules", func() (map[string]bool, error) {
		t, err := h.Text("/proc/modules")
		if err != nil {
			return nil, err
		}
		loaded := map[string]bool{}
		for _, line := range t.Lines {
			if f := strings.Fields(line); len(f) > 0 {
				loaded[moduleName(f[0])] = true
			}
		}
		return loaded, nil
	})
}
