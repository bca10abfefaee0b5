package facts

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Sysctl is a setting of the kernel.
type Sysctl struct {
	Key   string // as a path below /proc/sys
	Value string // that is in force; several numbers with one space between
	Known bool   // false: this kernel has no such setting, or its default is not known
	Live  bool   // the value was read from the running kernel
	// Explicit: a file sets it, and File, Line and Written say which and to what.
	Explicit bool
	File     string
	Line     int
	Written  string
}

// sysctlLine is one assignment of a sysctl.d file (sysctl.d(5)).
type sysctlLine struct {
	key, value string
	exclude    bool // "-key": no pattern sets it
	file       string
	line       int
}

// configDirs are the places of systemd's and kmod's configuration, the first one first.
func configDirs(name string) []string {
	return []string{"/etc/" + name, "/run/" + name, "/usr/local/lib/" + name, "/usr/lib/" + name, "/lib/" + name}
}

// configFiles returns the .conf files of such directories in the order in which they are
// read: by name, whatever the directory, and of one name only the first directory's. A
// link to /dev/null, and an empty name of one, hide the others. Hidden files are not read.
func (h *Host) configFiles(dirs []string) ([]Text, error) {
	chosen := map[string]string{}
	for _, dir := range dirs {
		names, err := h.Dir(dir)
		if err != nil {
			if info, statErr := h.Stat(dir); statErr == nil && !info.Mode.IsDir() {
				continue
			}
			return nil, err
		}
		for _, n := range names {
			if strings.HasSuffix(n, ".conf") && n[0] != '.' && chosen[n] == "" {
				chosen[n] = dir + "/" + n
			}
		}
	}
	names := make([]string, 0, len(chosen))
	for n := range chosen {
		names = append(names, n)
	}
	slices.Sort(names)
	const most = 4096
	if len(names) > most {
		return nil, fmt.Errorf("%s and its like hold more than %d files", dirs[0], most)
	}
	var all []Text
	for _, n := range names {
		name := chosen[n]
		if info, err := h.Lstat(name); err == nil && info.Target == "/dev/null" {
			continue
		}
		t, err := h.Text(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrLinks) {
			continue // a link that leads nowhere
		}
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

// sysctlKey is a key as a path: if its first separator is a point, points and slashes
// change places.
func sysctlKey(key string) string {
	at := strings.IndexAny(key, "./")
	if at < 0 || key[at] == '/' {
		return strings.Trim(path.Clean("/"+key), "/")
	}
	key = strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, key)
	return strings.Trim(path.Clean("/"+key), "/")
}

// parseSysctl reads a sysctl.d file. A line that is no assignment is ignored, as
// systemd-sysctl does.
func parseSysctl(t Text) []sysctlLine {
	var all []sysctlLine
	for n, line := range t.Lines {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		key, value, assigned := strings.Cut(line, "=")
		key = strings.TrimSpace(key)
		bare, dash := strings.CutPrefix(key, "-")
		bare = strings.TrimSpace(bare)
		const longest = 4096 // of a path
		if !assigned && !dash || bare == "" || len(bare) > longest {
			continue
		}
		all = append(all, sysctlLine{sysctlKey(bare), strings.Join(strings.Fields(value), " "), !assigned, t.Path, n + 1})
	}
	return all
}

// sysctls are all assignments that are in force, as systemd-sysctl orders them.
func (h *Host) sysctls() ([]sysctlLine, error) {
	return remember(h, "sysctl.d", func() ([]sysctlLine, error) {
		texts, err := h.configFiles(configDirs("sysctl.d"))
		if err != nil {
			return nil, err
		}
		var all []sysctlLine
		for _, t := range texts {
			all = append(all, parseSysctl(t)...)
		}
		return inForce(all), nil
	})
}

func isGlob(s string) bool { return strings.ContainsAny(s, "*?[") }

// inForce leaves of all assignments one for each key, in the order in which they are
// made: at the place of the first that says this value.
func inForce(all []sysctlLine) []sysctlLine {
	at := map[string]int{}
	out := make([]sysctlLine, 0, len(all))
	for _, l := range all {
		before, twice := at[l.key]
		if twice && out[before].value == l.value && out[before].exclude == l.exclude {
			out[before] = l
			continue
		}
		if twice {
			out[before].key = "" // taken back
		}
		at[l.key] = len(out)
		out = append(out, l)
	}
	return slices.DeleteFunc(out, func(l sysctlLine) bool { return l.key == "" })
}

// written is the assignment that counts for a key, of those that are in force: that which
// names it, else the last pattern that fits it. An excluded pattern excludes nothing but
// itself.
func written(all []sysctlLine, key string) (sysctlLine, bool) {
	for _, l := range all {
		if l.key == key {
			if l.exclude {
				return sysctlLine{}, false
			}
			return l, true
		}
	}
	for _, l := range slices.Backward(all) {
		if l.exclude || !isGlob(l.key) {
			continue
		}
		for _, pattern := range globBraces(l.key) {
			if globFits(pattern, key) {
				return l, true
			}
		}
	}
	return sysctlLine{}, false
}

// globBraces takes a pattern's braces apart, as "{all,eth0}"; no more of them than
// anybody means.
func globBraces(pattern string) []string {
	const most = 256
	all := []string{pattern}
	for n := 0; n < len(all) && len(all) < most; {
		before, parts, after, ok := cutBraces(all[n])
		if !ok {
			n++
			continue
		}
		var apart []string
		for _, p := range parts[:min(len(parts), most)] {
			apart = append(apart, before+p+after)
		}
		all = slices.Replace(all, n, n+1, apart...)
	}
	return all
}

// cutBraces finds the first pair of braces, and what its commas part.
func cutBraces(pattern string) (before string, parts []string, after string, ok bool) {
	open := strings.IndexByte(pattern, '{')
	if open < 0 {
		return pattern, nil, "", false
	}
	level, from := 0, open+1
	for n := open; n < len(pattern); n++ {
		switch c := pattern[n]; {
		case c == '\\':
			n++
		case c == '{':
			level++
		case c == ',' && level == 1:
			parts, from = append(parts, pattern[from:n]), n+1
		case c == '}':
			if level--; level == 0 {
				return pattern[:open], append(parts, pattern[from:n]), pattern[n+1:], true
			}
		}
	}
	return pattern, nil, "", false
}

// globFits reports whether a pattern of glob(7) fits a path, whose parts begin with no
// point: Go's own patterns with what they say differently put into their words.
func globFits(pattern, name string) bool {
	var b strings.Builder
	for n := 0; n < len(pattern); n++ {
		c := pattern[n]
		if c == '\\' && n+1 < len(pattern) {
			n++
			b.WriteByte(c)
			c = pattern[n]
		}
		if c != '[' || n > 0 && pattern[n-1] == '\\' {
			b.WriteByte(c)
			continue
		}
		set, rest, ok := globSet(pattern[n+1:])
		if !ok {
			b.WriteString(`\[`)
			continue
		}
		b.WriteString(set)
		n = len(pattern) - len(rest) - 1
	}
	ok, err := path.Match(b.String(), name)
	return err == nil && ok
}

// globSet reads what stands behind the "[" of a set, and returns it as path.Match has it.
func globSet(s string) (set, rest string, ok bool) {
	var b strings.Builder
	b.WriteByte('[')
	if s != "" && (s[0] == '!' || s[0] == '^') {
		b.WriteByte('^')
		s = s[1:]
	}
	for first := true; s != "" && s[0] != '/'; first = false {
		if class, after, found := strings.Cut(strings.TrimPrefix(s, "[:"), ":]"); found && strings.HasPrefix(s, "[:") {
			ranges, known := map[string]string{"alpha": "a-zA-Z", "digit": "0-9", "alnum": "a-zA-Z0-9", "lower": "a-z", "upper": "A-Z", "xdigit": "0-9a-fA-F"}[class]
			if !known {
				return "", "", false
			}
			b.WriteString(ranges)
			s = after
			continue
		}
		c := s[0]
		switch {
		case c == ']' && !first:
			b.WriteByte(']')
			return b.String(), s[1:], true
		case c == '-' && !first && len(s) > 1 && s[1] != ']':
			b.WriteByte('-')
		case c == '\\' && len(s) > 1:
			b.WriteString(s[:2])
			s = s[1:]
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
		}
		s = s[1:]
	}
	return "", "", false
}

// Sysctl returns a setting, by its name with points ("kernel.sysrq") or as a path below
// /proc/sys, which is a must where an interface's name has a point: on the running host
// what the kernel says, else what systemd-sysctl will set, else the kernel's default.
func (h *Host) Sysctl(name string) (Sysctl, error) {
	s := Sysctl{Key: sysctlKey(name)}
	all, err := h.sysctls()
	if err != nil && !h.Live {
		return s, err
	}
	if l, ok := written(all, s.Key); ok {
		s.Explicit, s.File, s.Line, s.Written = true, l.file, l.line, l.value
	}
	if h.Live {
		t, err := h.Text("/proc/sys/" + s.Key)
		if errors.Is(err, fs.ErrNotExist) {
			// The kernel has no such setting: but then there has to be a kernel that says so.
			there, err := h.Exists("/proc/sys/kernel")
			if err == nil && !there {
				err = errors.New("/proc/sys is not there")
			}
			return s, err
		}
		if err != nil {
			return s, err
		}
		s.Known, s.Live = true, true
		s.Value = strings.Join(strings.Fields(strings.Join(t.Lines, " ")), " ")
		return s, nil
	}
	if s.Explicit {
		s.Known, s.Value = true, s.Written
		return s, nil
	}
	r, err := h.Release()
	if err != nil {
		return s, fmt.Errorf("the kernel's default is not known: %w", err)
	}
	for _, mark := range []string{"/boot/firmware/config.txt", "/boot/config.txt"} {
		there, err := h.Exists(mark)
		if err != nil {
			return s, err
		}
		if there { // a Raspberry Pi, whose kernel is its maker's and not the distribution's
			r = Release{}
		}
	}
	s.Value, s.Known = kernelDefault(s.Key, r)
	return s, nil
}

// SysctlInterfaces returns the interfaces that a setting may be about, below a directory
// such as "net/ipv4/conf": those of the running kernel; else those that a file names.
// "default" is among them, "all" and "lo" are not.
func (h *Host) SysctlInterfaces(dir string) ([]string, error) {
	var names []string
	if h.Live {
		found, err := h.Dir("/proc/sys/" + dir)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, nil
		}
		names = found
	} else {
		all, err := h.sysctls()
		if err != nil {
			return nil, err
		}
		for _, l := range all {
			if rest, ok := strings.CutPrefix(l.key, dir+"/"); ok && !isGlob(rest) {
				names = append(names, strings.Split(rest, "/")[0])
			}
		}
		names = append(names, "default")
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == "all" || n == "lo" })
	slices.Sort(names)
	return slices.Compact(names), nil
}

// kernelDefault is what a kernel does if nobody sets a key: the kernel's own documentation,
// and what distributions build into theirs.
func kernelDefault(key string, r Release) (string, bool) {
	debian, redhat := r.Is("debian"), r.Is("rhel") || r.Is("fedora")
	if rest, ok := strings.CutPrefix(key, "net/ipv4/conf/"); ok {
		iface, name, _ := strings.Cut(rest, "/")
		switch name {
		case "accept_redirects", "send_redirects", "secure_redirects":
			return "1", true
		case "accept_source_route":
			if iface == "all" {
				return "0", true
			}
			return "1", true
		case "rp_filter", "log_martians", "forwarding":
			return "0", true
		}
		return "", false
	}
	if rest, ok := strings.CutPrefix(key, "net/ipv6/conf/"); ok {
		_, name, _ := strings.Cut(rest, "/")
		switch name {
		case "accept_redirects", "accept_ra":
			return "1", true
		case "accept_source_route", "forwarding", "disable_ipv6", "accept_ra_rt_info_max_plen":
			return "0", true
		}
		return "", false
	}
	switch key {
	case "kernel/randomize_va_space":
		return "2", true
	case "fs/suid_dumpable", "kernel/kexec_load_disabled", "net/ipv4/ip_forward", "net/core/bpf_jit_harden",
		"fs/protected_hardlinks", "fs/protected_symlinks", "fs/protected_fifos", "fs/protected_regular":
		return "0", true
	case "kernel/kptr_restrict":
		return "0", true
	case "kernel/core_pattern":
		return "core", true
	case "kernel/yama/ptrace_scope":
		if debian || redhat {
			if r.ID == "ubuntu" {
				return "1", true
			}
			return "0", true
		}
	case "kernel/dmesg_restrict":
		if debian {
			return "1", true
		}
	case "kernel/perf_event_paranoid":
		if r.ID == "ubuntu" {
			return "4", true
		}
		if debian {
			return "3", true
		}
		return "2", true
	case "kernel/unprivileged_bpf_disabled":
		if debian || redhat {
			return "2", true
		}
	case "kernel/sysrq":
		switch {
		case debian:
			return "438", true
		case redhat:
			return "16", true
		}
		return "1", true
	case "kernel/unprivileged_userns_clone":
		if debian && r.ID != "ubuntu" {
			return "1", true
		}
	case "vm/mmap_min_addr":
		if debian || redhat {
			return "65536", true
		}
		return "4096", true
	case "net/ipv4/tcp_syncookies", "net/ipv4/icmp_echo_ignore_broadcasts", "net/ipv4/icmp_ignore_bogus_error_responses":
		return "1", true
	}
	return "", false
}
