package checks

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
)

// sudoer is what sudo lets an account do as root.
type sudoer struct {
	facts.User
	anything bool // run whatever it likes
	free     bool // without a password
	file     string
	line     int
	// others are single commands, those that a later word about everything takes back left out.
	others []sudoRight
}

// sudoRight is a command as root.
type sudoRight struct {
	command string
	free    bool
	file    string
	line    int
}

// sudoers returns what each account but root may do by sudo's rules: the last one that
// matches decides. Names that only a directory service could know count where one is used.
func sudoers(h *facts.Host) ([]sudoer, error) {
	s, err := h.Sudoers()
	if err != nil {
		return nil, err
	}
	users, err := h.Users()
	if err != nil {
		return nil, err
	}
	groups, err := h.Groups()
	if err != nil {
		return nil, err
	}
	elsewhere, err := accountsElsewhere(h)
	if err != nil {
		return nil, err
	}
	if elsewhere {
		users = append(slices.Clone(users), unknownToUs(s, users, groups)...)
	}
	var all []sudoer
	for _, u := range users {
		if u.UID == 0 {
			continue
		}
		one := sudoRights(s, u, facts.GroupsOf(u, groups))
		if one.anything || len(one.others) > 0 {
			all = append(all, one)
		}
	}
	return all, nil
}

// accountsElsewhere reports whether accounts come from more than the files of this host.
func accountsElsewhere(h *facts.Host) (bool, error) {
	t, err := h.Text("/etc/nsswitch.conf")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, line := range t.Lines {
		line, _, _ = strings.Cut(line, "#")
		name, sources, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name != "passwd" && name != "group" {
			continue
		}
		for word := range strings.FieldsSeq(sources) {
			if !slices.Contains([]string{"files", "compat", "systemd", "db", "mymachines"}, word) && !strings.ContainsAny(word, "[]=") {
				return true, nil
			}
		}
	}
	return false, nil
}

// unknownToUs makes accounts of the names in sudo's rules that no file of this host knows.
func unknownToUs(s facts.Sudoers, users []facts.User, groups []facts.Group) []facts.User {
	var more []facts.User
	for _, r := range s.Rules {
		for _, item := range r.Users {
			for _, name := range s.Alias("User", item) {
				bare := strings.TrimPrefix(name, "%")
				known := slices.ContainsFunc(users, func(u facts.User) bool { return u.Name == name }) ||
					bare != name && slices.ContainsFunc(groups, func(g facts.Group) bool { return g.Name == bare })
				if name != "ALL" && !known && !strings.ContainsAny(name, "!#") && len(more) < 1000 {
					more = append(more, facts.User{Name: name, UID: -1, GID: -1})
				}
			}
		}
	}
	return more
}

func sudoRights(s facts.Sudoers, u facts.User, groups []facts.Group) sudoer {
	one := sudoer{User: u}
	asks := true
	for _, d := range s.Defaults {
		if d.Name == "authenticate" && d.Op == "" && (d.Scope == "" || d.Scope == ":" && sudoIs(s, d.For, u, groups)) {
			asks = !d.Negated
		}
	}
	for _, r := range s.Rules {
		if !sudoIs(s, r.Users, u, groups) {
			continue
		}
		for _, c := range r.Commands {
			if !sudoAsRoot(s, c) {
				continue
			}
			free := c.NoPassword() || !asks && !slices.Contains(c.Tags, "PASSWD")
			for _, command := range s.Alias("Cmnd", c.Command) {
				switch {
				case command == "ALL":
					one.anything, one.free, one.file, one.line = true, free, r.File, r.Line
					one.others = nil
				case command == "!ALL":
					one.anything, one.others = false, nil
				case strings.HasPrefix(command, "!"):
					one.others = slices.DeleteFunc(one.others, func(o sudoRight) bool { return o.command == command[1:] })
				default:
					one.others = slices.DeleteFunc(one.others, func(o sudoRight) bool { return o.command == command })
					one.others = append(one.others, sudoRight{command, free, r.File, r.Line})
				}
			}
		}
	}
	return one
}

// sudoIs reports whether an account is in a list of sudo's; the last item that names it decides.
func sudoIs(s facts.Sudoers, list []string, u facts.User, groups []facts.Group) bool {
	in := false
	for _, item := range list {
		for _, name := range s.Alias("User", item) {
			bare := strings.TrimPrefix(name, "!")
			match := bare == "ALL" || bare == u.Name || u.UID >= 0 && bare == "#"+strconv.Itoa(u.UID)
			if group, ok := strings.CutPrefix(bare, "%"); ok {
				match = match || slices.ContainsFunc(groups, func(g facts.Group) bool { return g.Name == group || "#"+strconv.Itoa(g.GID) == group })
			}
			if match {
				in = bare == name
			}
		}
	}
	return in
}

// sudoAsRoot reports whether a command may be run as root.
func sudoAsRoot(s facts.Sudoers, c facts.SudoCommand) bool {
	if c.RunAs == nil {
		return true
	}
	root := false
	for _, item := range c.RunAs {
		for _, name := range s.Alias("Runas", item) {
			bare := strings.TrimPrefix(name, "!")
			if bare == "ALL" || bare == "root" || bare == "#0" {
				root = bare == name
			}
		}
	}
	return root
}

// asGoodAsRoot reports whether who may run a command as root can do anything: a shell, an
// editor, or what writes any file, with arguments that are left open.
func asGoodAsRoot(command string) bool {
	if strings.HasPrefix(command, "sudoedit") || strings.HasPrefix(command, "^") {
		return false
	}
	file, args, some := strings.Cut(command, " ")
	if some && !strings.Contains(args, "*") {
		return false
	}
	if strings.HasSuffix(file, "/") || path.Base(file) == "*" {
		return strings.HasSuffix(file, "bin/") || strings.HasSuffix(file, "bin/*")
	}
	base := path.Base(file)
	return slices.Contains([]string{"sh", "bash", "dash", "zsh", "ash", "fish", "busybox", "su", "sudo", "env", "nohup", "nice", "time", "timeout", "xargs", "setpriv", "runuser", "chroot", "unshare", "nsenter", "strace", "gdb",
		"cp", "mv", "install", "tee", "dd", "ln", "rsync", "tar", "unzip", "chmod", "chown", "sed", "awk", "gawk", "find",
		"vi", "vim", "vim.basic", "vim.tiny", "nvim", "nano", "emacs", "ed", "less", "more", "man", "visudo", "usermod", "passwd", "useradd", "chpasswd",
		"perl", "ruby", "lua", "node", "php", "git", "ssh", "scp", "mount", "crontab", "apt", "apt-get", "dpkg", "dnf", "yum", "rpm", "pip", "pip3", "snap",
		"docker", "podman", "ctr", "systemctl", "systemd-run", "insmod", "modprobe"}, base) ||
		strings.HasPrefix(base, "python")
}

// sudoRefused is the verdict where sudo's rules cannot be read: there may be none to read.
func sudoRefused(h *facts.Host, err error) audit.Verdict {
	if errors.Is(err, fs.ErrNotExist) {
		if there, thereErr := h.Exists("/etc/sudoers"); thereErr == nil && !there {
			return audit.NotApplicable("there is no sudo here")
		}
	}
	return audit.Unknown(err)
}
