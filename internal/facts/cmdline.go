package facts

import (
	"errors"
	"io/fs"
	"strings"
)

// Parameter is a word of the kernel's command line.
type Parameter struct {
	Name  string
	Value string // after "="
	File  string
	Line  int
}

// Text is the parameter as it is written.
func (p Parameter) Text() string {
	if p.Value == "" {
		return p.Name
	}
	return p.Name + "=" + p.Value
}

// CommandLine returns the parameters that the running kernel was started with, and those
// that boot loaders are told to start it with: GRUB's settings, its menu without the
// entries that are for repairs, a Raspberry Pi's cmdline.txt, and what systemd-boot and
// extlinux read.
// There are none where there is no boot loader at all (found is false).
func (h *Host) CommandLine() (all []Parameter, found bool, err error) {
	type lines struct {
		all   []Parameter
		found bool
	}
	l, err := remember(h, "command line", func() (lines, error) {
		var l lines
		add := func(t Text, line int, text string) {
			l.found = true
			for _, w := range splitQuoted(text) {
				if w == "--" || w == "---" {
					break
				}
				name, value, _ := strings.Cut(w, "=")
				l.all = append(l.all, Parameter{name, value, t.Path, line})
			}
		}
		read := func(name string, each func(Text)) error {
			t, err := h.Text(name)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil {
				each(t)
			}
			return err
		}
		whole := func(t Text) {
			for n, line := range t.Lines {
				if !strings.HasPrefix(strings.TrimSpace(line), "#") {
					add(t, n+1, line)
				}
			}
		}
		if h.Live {
			t, err := h.Text("/proc/cmdline")
			if err != nil {
				return l, err
			}
			whole(t)
		}
		for _, name := range []string{"/boot/firmware/cmdline.txt", "/boot/cmdline.txt", "/etc/kernel/cmdline"} {
			if err := read(name, whole); err != nil {
				return l, err
			}
		}
		grub := []string{"/etc/default/grub"}
		more, err := h.Glob("/etc/default/grub.d/*.cfg")
		if err != nil {
			return l, err
		}
		for _, name := range append(grub, more...) {
			err := read(name, func(t Text) {
				l.found = true
				for n, line := range t.Lines {
					name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
					if ok && (name == "GRUB_CMDLINE_LINUX" || name == "GRUB_CMDLINE_LINUX_DEFAULT") {
						value = strings.TrimSpace(value)
						if len(value) > 1 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
							value = value[1 : len(value)-1]
						}
						add(t, n+1, value)
					}
				}
			})
			if err != nil {
				return l, err
			}
		}
		for _, name := range []string{"/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"} {
			err := read(name, func(t Text) {
				l.found = true
				repair := false
				for n, line := range t.Lines {
					f := strings.Fields(line)
					if len(f) > 1 && f[0] == "menuentry" {
						repair = strings.Contains(line, "recovery") || strings.Contains(line, "-rescue-")
					}
					if len(f) > 2 && (f[0] == "linux" || f[0] == "linux16" || f[0] == "linuxefi") && !repair {
						add(t, n+1, strings.Join(f[2:], " "))
					}
				}
			})
			if err != nil {
				return l, err
			}
		}
		entries, err := h.Glob("/boot/loader/entries/*.conf")
		if err != nil {
			return l, err
		}
		for _, name := range append(entries, "/boot/extlinux/extlinux.conf") {
			err := read(name, func(t Text) {
				for n, line := range t.Lines {
					f := strings.Fields(line)
					if len(f) > 1 && (f[0] == "options" || strings.EqualFold(f[0], "append")) {
						add(t, n+1, strings.Join(f[1:], " "))
					}
				}
			})
			if err != nil {
				return l, err
			}
		}
		return l, nil
	})
	return l.all, l.found, err
}

// splitQuoted splits at white space, but for that in double quotes, as the kernel does.
func splitQuoted(s string) []string {
	var all []string
	var word strings.Builder
	quoted, any := false, false
	for _, r := range s {
		switch {
		case r == '"':
			quoted, any = !quoted, true
		case !quoted && (r == ' ' || r == '\t' || r == '\n' || r == '\r'):
			if any {
				all = append(all, word.String())
				word.Reset()
			}
			any = false
		default:
			word.WriteRune(r)
			any = true
		}
	}
	if any {
		all = append(all, word.String())
	}
	return all
}
