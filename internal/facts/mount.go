package facts

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Mount is a file system and where it is, or will be, mounted.
type Mount struct {
	Point   string
	Type    string
	Source  string
	Options []string // of the mount and of its file system
	File    string   // that says so
	Line    int
}

// Has reports whether a mount has an option, by its whole text or by its name ("hidepid"
// of "hidepid=2").
func (m Mount) Has(option string) bool {
	_, ok := m.Option(option)
	return ok
}

// Option is what an option is set to; empty if it is only there.
func (m Mount) Option(name string) (string, bool) {
	for _, o := range slices.Backward(m.Options) {
		key, value, _ := strings.Cut(o, "=")
		if key == name || o == name {
			return value, true
		}
	}
	return "", false
}

// unescape reads the octal escapes of mountinfo and fstab.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for n := 0; n < len(s); n++ {
		if s[n] == '\\' && n+3 < len(s) {
			v, ok := 0, true
			for _, c := range []byte(s[n+1 : n+4]) {
				ok = ok && c >= '0' && c <= '7'
				v = v*8 + int(c-'0')
			}
			if ok && v < 256 {
				b.WriteByte(byte(v))
				n += 3
				continue
			}
		}
		b.WriteByte(s[n])
	}
	return b.String()
}

// parseMountinfo reads /proc/self/mountinfo (proc_pid_mountinfo(5)).
func parseMountinfo(t Text) ([]Mount, error) {
	var all []Mount
	for n, line := range t.Lines {
		f := strings.Fields(line)
		dash := slices.Index(f, "-")
		if dash < 6 || len(f) < dash+4 {
			return nil, fmt.Errorf("%s:%d: not a mount", t.Path, n+1)
		}
		all = append(all, Mount{Point: unescape(f[4]), Type: f[dash+1], Source: unescape(f[dash+2]),
			Options: append(strings.Split(f[5], ","), strings.Split(f[dash+3], ",")...), File: t.Path, Line: n + 1})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no mounts", t.Path)
	}
	return all, nil
}

// parseFstab reads /etc/fstab (fstab(5)).
func parseFstab(t Text) ([]Mount, error) {
	var all []Mount
	for n, line := range t.Lines {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if len(f) < 3 {
			return nil, fmt.Errorf("%s:%d: %d fields instead of 4 at least", t.Path, n+1, len(f))
		}
		m := Mount{Source: unescape(f[0]), Point: unescape(f[1]), Type: f[2], Options: []string{"defaults"}, File: t.Path, Line: n + 1}
		if strings.HasPrefix(m.Point, "/") {
			m.Point = path.Clean(m.Point)
		}
		if len(f) > 3 {
			m.Options = strings.Split(f[3], ",")
		}
		all = append(all, m)
	}
	return all, nil
}

// Fstab reads /etc/fstab; nothing where there is none.
func (h *Host) Fstab() ([]Mount, error) {
	return remember(h, "fstab", func() ([]Mount, error) {
		t, err := h.Text("/etc/fstab")
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return parseFstab(t)
	})
}

// Mounts returns what is mounted on the running host; of another what will be: by
// /etc/fstab and systemd's mount units. Of one place, the last one counts.
func (h *Host) Mounts() ([]Mount, error) {
	return remember(h, "mounts", func() ([]Mount, error) {
		if h.Live {
			t, err := h.Text("/proc/self/mountinfo")
			if err != nil {
				return nil, err
			}
			return parseMountinfo(t)
		}
		vendor, err := h.mountUnits([]string{"/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"})
		if err != nil {
			return nil, err
		}
		table, err := h.Fstab()
		if err != nil {
			return nil, err
		}
		own, err := h.mountUnits([]string{"/etc/systemd/system"})
		if err != nil {
			return nil, err
		}
		return slices.Concat(vendor, table, own), nil
	})
}

// MountAt is what is mounted at a place itself.
func (h *Host) MountAt(point string) (Mount, bool, error) {
	all, err := h.Mounts()
	if err != nil {
		return Mount{}, false, err
	}
	for _, m := range slices.Backward(all) {
		if m.Point == point && m.Type != "autofs" {
			return m, true, nil
		}
	}
	return Mount{}, false, nil
}

// MountOf is the file system that a path lies on.
func (h *Host) MountOf(name string) (Mount, bool, error) {
	for p := path.Clean(name); ; p = path.Dir(p) {
		m, ok, err := h.MountAt(p)
		if err != nil || ok || p == "/" || p == "." {
			return m, ok, err
		}
	}
}

// mountUnits are the mount units of some directories that something wants.
func (h *Host) mountUnits(dirs []string) ([]Mount, error) {
	var all []Mount
	seen := map[string]bool{}
	for _, dir := range dirs {
		names, err := h.Dir(dir)
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			if !strings.HasSuffix(n, ".mount") || seen[n] {
				continue
			}
			seen[n] = true
			wanted, err := h.Wanted(n)
			if err != nil {
				return nil, err
			}
			if !wanted {
				continue
			}
			unit, err := h.Settings("/systemd/system/"+n, dir+"/"+n)
			if err != nil {
				return nil, err
			}
			where, ok := unit.Last("Mount", "Where")
			if !ok {
				continue
			}
			m := Mount{Point: path.Clean(where.Value), Options: []string{"defaults"}, File: where.File, Line: where.Line}
			if what, ok := unit.Last("Mount", "What"); ok {
				m.Source = what.Value
			}
			if typ, ok := unit.Last("Mount", "Type"); ok {
				m.Type = typ.Value
			}
			if o, ok := unit.Last("Mount", "Options"); ok {
				m.Options, m.File, m.Line = strings.Split(o.Value, ","), o.File, o.Line
			}
			all = append(all, m)
		}
	}
	return all, nil
}
