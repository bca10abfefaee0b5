package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

// rootsOwn takes from everybody but root the right to write to a file or directory. The
// bits in also are taken as well.
func rootsOwn(d *fix.Draft, name string, also fs.FileMode) {
	info, err := d.Host.Stat(name)
	if err != nil {
		d.Fail(err)
		return
	}
	if info.UID != 0 {
		d.Owner(name, 0, info.GID)
	}
	d.Mode(name, facts.ModeBits(info.Mode)&^(0o022|uint32(also)))
}

// writersOut takes the right to change what root runs, or reads, from whoever else has it.
// What lies in somebody's home stays theirs.
func writersOut(d *fix.Draft, name string) {
	who, err := d.Host.Writers(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.Fail(err)
		return
	}
	for _, w := range who {
		inHA := d.Host.HADir != "" && (w.Path == d.Host.HADir || strings.HasPrefix(w.Path, strings.TrimSuffix(d.Host.HADir, "/")+"/"))
		if inHA || slices.ContainsFunc([]string{"/home", "/srv", "/opt", "/config", "/mnt", "/media", "/var/www", "/tmp", "/var/tmp"}, func(dir string) bool { return w.Path == dir || strings.HasPrefix(w.Path, dir+"/") }) {
			d.Refuse("move it to /usr/local/sbin, owned by root, or let it run as the user whom it belongs to", "%s is changed through %s, which belongs to somebody for a reason (%s)", name, w.Path, w.Who)
			return
		}
		rootsOwn(d, w.Path, 0)
	}
}

func stickyTmpRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Makes /tmp and /var/tmp root's, and lets nobody in them take away what is another's.", "")
	for _, name := range []string{"/tmp", "/var/tmp"} {
		info, err := h.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return finding.Fix{}, err
		}
		if !info.Mode.IsDir() {
			d.Refuse("", "%s is not a directory", name)
			break
		}
		d.Owner(name, 0, 0)
		d.Mode(name, 0o1777)
	}
	return d.Fix()
}

func passwdPermsRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Makes the lists of accounts root's, and closes those with passwords to everybody else.", "")
	shadow, err := shadowGroup(h)
	if err != nil {
		return finding.Fix{}, err
	}
	for name, most := range map[string]uint32{
		"/etc/passwd": 0o644, "/etc/group": 0o644, "/etc/passwd-": 0o644, "/etc/group-": 0o644, "/etc/shadow": 0o640, "/etc/gshadow": 0o640,
		"/etc/shadow-": 0o640, "/etc/gshadow-": 0o640, "/etc/security/opasswd": 0o600, "/etc/security/opasswd.old": 0o600,
	} {
		info, err := h.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return finding.Fix{}, err
		}
		gid := info.GID
		if info.UID != 0 || gid != 0 && (most != 0o640 || gid != shadow) {
			gid = 0
			if most == 0o640 {
				gid = shadow
			}
		}
		d.Owner(name, 0, gid)
		d.Mode(name, facts.ModeBits(info.Mode)&most)
	}
	return sorted(d.Fix())
}

// sorted brings the steps of a fix into one order, where their order does not matter.
func sorted(f finding.Fix, err error) (finding.Fix, error) {
	slices.SortStableFunc(f.Steps, func(a, b finding.Step) int { return strings.Compare(a.Path, b.Path) })
	return f, err
}

func worldWritableRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Takes from everybody the right to write to these files; in these directories nobody takes away what is another's any more.",
		"A program that changed another's file only because everybody may, does so no more.")
	w, err := h.Walk()
	if err != nil {
		return finding.Fix{}, err
	}
	if w.WritableFiles.Count > len(w.WritableFiles.First) || w.WritableDirs.Count > len(w.WritableDirs.First) {
		d.Refuse("look at gatehouse audit --explain fs.world-writable, and take the folder in which they lie at once: chmod -R o-w", "there are %d", w.WritableFiles.Count+w.WritableDirs.Count)
	}
	for _, f := range w.WritableFiles.First {
		d.Mode(f.Path, facts.ModeBits(f.Info.Mode)&^0o002)
	}
	for _, f := range w.WritableDirs.First {
		d.Mode(f.Path, facts.ModeBits(f.Info.Mode)|0o1000)
	}
	return d.Fix()
}

func etcShellsRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Takes out of /etc/shells what is no shell, and makes the file root's.", "FTP servers that ask /etc/shells refuse accounts without a shell.")
	rootsOwn(d, "/etc/shells", 0)
	t, err := h.Text("/etc/shells")
	if err != nil {
		return finding.Fix{}, err
	}
	for n, line := range t.Lines {
		line, _, _ = strings.Cut(line, "#")
		if base := path.Base(strings.TrimSpace(line)); base == "nologin" || base == "false" {
			remark(d, "/etc/shells", n+1)
		}
	}
	return d.Fix()
}

// mountUnit is what systemd calls the mount of a place.
func mountUnit(point string) string {
	return strings.ReplaceAll(strings.Trim(point, "/"), "/", "-") + ".mount"
}

// mountOptions adds options to a place's mount: in its line of /etc/fstab, or in a drop-in
// of its unit. The running system mounts it anew with them, in its place.
func mountOptions(d *fix.Draft, point string, options ...string) {
	table, err := d.Host.Fstab()
	if err != nil {
		d.Fail(err)
		return
	}
	unit := mountUnit(point)
	if n := slices.IndexFunc(table, func(m facts.Mount) bool { return m.Point == point && m.Type != "autofs" && m.Type != "swap" }); n >= 0 {
		d.Edit("/etc/fstab", func(text string) (string, error) { return fstabOptions(text, table[n].Line, options) })
	} else if file, there, err := d.Host.UnitFile(unit); err != nil {
		d.Fail(err)
	} else if there {
		s, err := d.Host.Settings("/systemd/system/"+unit, file)
		if err != nil {
			d.Fail(err)
			return
		}
		was, _ := s.Last("Mount", "Options")
		have := strings.FieldsFunc(was.Value, func(r rune) bool { return r == ',' })
		for _, o := range options {
			if !slices.Contains(have, o) {
				have = append(slices.DeleteFunc(have, func(h string) bool { return h == opposite(o) }), o)
			}
		}
		dropIn(d, "/etc/systemd/system/"+unit+".d/99-gatehouse.conf", "Mount", "Options="+strings.Join(have, ","))
	} else {
		d.Refuse("give it a line in /etc/fstab first", "nothing in /etc/fstab, and no unit, mounts %s", point)
	}
	d.Unit("daemon-reload", "")
	d.Unit("reload", unit)
}

// opposite is the option that another one takes back.
func opposite(option string) string { return strings.TrimPrefix(option, "no") }

// fstabOptions adds options to a line of fstab(5), and leaves all else as it stands.
func fstabOptions(text string, line int, options []string) (string, error) {
	lines := strings.SplitAfter(text, "\n")
	if line < 1 || line > len(lines) {
		return "", fmt.Errorf("there is no line %d", line)
	}
	l := lines[line-1]
	rest, field := l, 0
	for range 3 { // what, where, which type
		rest = strings.TrimLeft(rest, " \t")
		end := strings.IndexAny(rest, " \t\r\n")
		if end < 0 {
			end = len(rest)
		}
		rest = rest[end:]
	}
	trimmed := strings.TrimLeft(rest, " \t")
	field = len(l) - len(trimmed)
	end := strings.IndexAny(trimmed, " \t\r\n")
	if end < 0 {
		end = len(trimmed)
	}
	have := strings.FieldsFunc(trimmed[:end], func(r rune) bool { return r == ',' })
	gap := ""
	if len(have) == 0 {
		have, gap = []string{"defaults"}, " "
	}
	for _, o := range options {
		have = slices.DeleteFunc(have, func(h string) bool { return h == opposite(o) || h == o })
		have = append(have, o)
	}
	lines[line-1] = l[:field] + gap + strings.Join(have, ",") + trimmed[end:]
	return strings.Join(lines, ""), nil
}

// dropIn writes a file of one section.
func dropIn(d *fix.Draft, file, section string, lines ...string) {
	d.Write(file, 0o644, "#"+ours+"["+section+"]\n"+strings.Join(lines, "\n")+"\n")
}

func tmpMountRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Mounts /tmp so that no device and no setuid program in it comes into force.", "")
	if _, own, err := h.MountAt("/tmp"); err != nil {
		return finding.Fix{}, err
	} else if !own {
		d.Refuse("where there is memory enough: systemctl enable tmp.mount, and restart", "/tmp lies on the disk of the system, whose options have to stay")
	}
	mountOptions(d, "/tmp", "nosuid", "nodev")
	return d.Fix()
}

func shmMountRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Mounts shared memory so that no program is run out of it.", "A program that makes code for itself in shared memory stops; none that is usual in a home does.")
	table, err := h.Fstab()
	if err != nil {
		return finding.Fix{}, err
	}
	if slices.ContainsFunc(table, func(m facts.Mount) bool { return m.Point == "/dev/shm" }) {
		mountOptions(d, "/dev/shm", "nosuid", "nodev", "noexec")
		return d.Fix()
	}
	const line = "tmpfs /dev/shm tmpfs defaults,nosuid,nodev,noexec 0 0\n"
	if text := d.Text("/etc/fstab"); text == "" {
		d.Write("/etc/fstab", 0o644, line)
	} else {
		d.Edit("/etc/fstab", func(text string) (string, error) { return strings.TrimSuffix(text, "\n") + "\n" + line, nil })
	}
	d.Unit("daemon-reload", "")
	d.Unit("reload", "dev-shm.mount")
	return d.Fix()
}

func varHomeMountRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Mounts the file systems that hold only data so that no device and no setuid program in them comes into force.", "A setuid program below /home or /var has only the rights of whoever starts it.")
	for _, point := range []string{"/home", "/var", "/var/tmp", "/var/log", "/var/log/audit"} {
		m, own, err := h.MountAt(point)
		if err != nil {
			return finding.Fix{}, err
		}
		if !own || m.Has("nosuid") && m.Has("nodev") {
			continue
		}
		for _, within := range map[string][]string{"/var": {"/var/lib/lxc", "/var/lib/machines", "/var/lib/snapd", "/var/lib/schroot", "/var/lib/pbuilder"}}[point] {
			if exists(h, within) {
				d.Refuse("", "%s holds systems of their own, which need their setuid programs", within)
			}
		}
		mountOptions(d, point, "nosuid", "nodev")
	}
	return d.Fix()
}
