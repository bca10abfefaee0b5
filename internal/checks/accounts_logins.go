package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

// What several checks of accounts ask.

// login is an account with what decides whether somebody can come in by it.
type login struct {
	facts.User
	password facts.Password
	shadow   facts.Shadow
	shadowed bool // it has a line in /etc/shadow
	system   bool // its number is none of people's
}

// logins joins the accounts with their passwords.
func logins(h *facts.Host) ([]login, error) {
	users, err := h.Users()
	if err != nil {
		return nil, err
	}
	shadows, err := h.Shadow()
	if err != nil {
		return nil, err
	}
	least, err := h.UIDMin()
	if err != nil {
		return nil, err
	}
	byName := map[string]facts.Shadow{}
	for _, s := range shadows {
		byName[s.Name] = s
	}
	all := make([]login, 0, len(users))
	for _, u := range users {
		l := login{User: u, password: facts.ParsePassword(u.Password), system: u.UID < least || u.UID == 65534}
		if s, ok := byName[u.Name]; ok && u.Password == "x" {
			l.password, l.shadow, l.shadowed = facts.ParsePassword(s.Hash), s, true
		}
		all = append(all, l)
	}
	return all, nil
}

// where is the line that an account's password stands in, with a word about it.
func (l login) where(word string) finding.Evidence {
	e := finding.Evidence{File: "/etc/passwd", Line: l.Line, Value: l.Name + ": " + word}
	if l.shadowed {
		e.File, e.Line = "/etc/shadow", l.shadow.Line
	}
	return e
}

// weakHash says why a password's hash is weak, or nothing.
func weakHash(p facts.Password) string {
	switch p.Kind {
	case facts.PasswordMD5, facts.PasswordDES, facts.PasswordNT, facts.PasswordSHA1:
		return string(p.Kind)
	case facts.PasswordSHA256, facts.PasswordSHA512:
		if p.Rounds < 5000 {
			return fmt.Sprintf("%s with %d rounds", p.Kind, p.Rounds)
		}
	}
	return ""
}

// people are root and the accounts of persons that have a shell.
func people(h *facts.Host) ([]facts.User, error) {
	users, err := h.Users()
	if err != nil {
		return nil, err
	}
	least, err := h.UIDMin()
	if err != nil {
		return nil, err
	}
	var all []facts.User
	for _, u := range users {
		if u.LoginShell() && (u.UID == 0 || u.UID >= least && u.UID != 65534) {
			all = append(all, u)
		}
	}
	return all, nil
}

// othersIn reports whether a group has anybody in it but root and one account.
func othersIn(h *facts.Host, gid, uid int) (bool, error) {
	if gid == 0 {
		return false, nil
	}
	users, err := h.Users()
	if err != nil {
		return false, err
	}
	groups, err := h.Groups()
	if err != nil {
		return false, err
	}
	for _, u := range users {
		if u.UID != 0 && u.UID != uid && u.GID == gid {
			return true, nil
		}
	}
	for _, g := range groups {
		if g.GID != gid {
			continue
		}
		for _, m := range g.Members {
			if !slices.ContainsFunc(users, func(u facts.User) bool { return u.Name == m && (u.UID == uid || u.UID == 0) }) {
				return true, nil
			}
		}
	}
	return false, nil
}

// writableBy says who but its owner, which has to be root or uid, may write to something;
// empty if nobody may.
func writableBy(h *facts.Host, info facts.Info, uid int) (string, error) {
	if info.UID != 0 && int(info.UID) != uid {
		return fmt.Sprintf("it belongs to number %d", info.UID), nil
	}
	perm := info.Mode.Perm()
	if perm&0o002 != 0 && (!info.Mode.IsDir() || info.Mode&fs.ModeSticky == 0) {
		return "everybody", nil
	}
	if perm&0o020 != 0 {
		others, err := othersIn(h, int(info.GID), uid)
		if err != nil {
			return "", err
		}
		if others {
			return fmt.Sprintf("group %d", info.GID), nil
		}
	}
	return "", nil
}

// shellFiles are what a login shell reads for everybody, in order.
func shellFiles(h *facts.Host) ([]string, error) {
	more, err := h.Glob("/etc/profile.d/*.sh")
	if err != nil {
		return nil, err
	}
	return append([]string{"/etc/bashrc", "/etc/bash.bashrc", "/etc/profile"}, more...), nil
}

// shellWords returns the simple commands of a line of shell, roughly: without remarks,
// parted at separators and the words of conditions.
func shellWords(line string) [][]string {
	if at := strings.IndexByte(line, '#'); at == 0 || at > 0 && (line[at-1] == ' ' || line[at-1] == '\t' || line[at-1] == ';') {
		line = line[:at]
	}
	var all [][]string
	for _, part := range strings.FieldsFunc(line, func(r rune) bool { return r == ';' || r == '&' || r == '|' || r == '{' || r == '}' }) {
		words := strings.Fields(part)
		for len(words) > 0 && slices.Contains([]string{"then", "else", "do", "if", "!", "export", "readonly", "typeset", "declare", "local", "-x", "-r", "-xr", "-rx"}, words[0]) {
			words = words[1:]
		}
		if len(words) > 0 {
			all = append(all, words)
		}
	}
	return all
}

// umaskIn is the loosest umask that a file of shell sets, and its line; -1 if none.
func umaskIn(h *facts.Host, file string) (int, int, error) {
	t, err := h.Text(file)
	if errors.Is(err, fs.ErrNotExist) {
		return -1, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	mask, at := -1, 0
	for n, line := range t.Lines {
		for _, words := range shellWords(line) {
			if words[0] != "umask" || len(words) < 2 || words[len(words)-1][0] == '-' {
				continue
			}
			m, ok := parseUmask(words[len(words)-1])
			if !ok {
				return 0, 0, fmt.Errorf("%s:%d: umask %q cannot be read", file, n+1, words[len(words)-1])
			}
			if at == 0 || m&0o027 != 0o027 && mask&0o027 == 0o027 {
				mask, at = m, n+1
			}
		}
	}
	return mask, at, nil
}

func parseUmask(s string) (int, bool) {
	s = strings.Trim(s, `"'`)
	if n, err := strconv.ParseInt(s, 8, 32); err == nil && n >= 0 && n <= 0o777 {
		return int(n), true
	}
	if !strings.Contains(s, "=") {
		return 0, false
	}
	mask := 0o777 // u=rwx,g=rx,o=
	for part := range strings.SplitSeq(s, ",") {
		who, may, ok := strings.Cut(part, "=")
		if !ok || strings.Trim(may, "rwx") != "" {
			return 0, false
		}
		bits := 0
		for n, c := range []string{"x", "w", "r"} {
			if strings.Contains(may, c) {
				bits |= 1 << n
			}
		}
		for _, w := range who {
			switch w {
			case 'u':
				mask &^= bits << 6
			case 'g':
				mask &^= bits << 3
			case 'o':
				mask &^= bits
			case 'a':
				mask &^= bits<<6 | bits<<3 | bits
			default:
				return 0, false
			}
		}
	}
	return mask, true
}

// umaskOf is what new files are kept from by default.
type umaskOf struct {
	mask     int
	explicit bool
	groups   bool // what it leaves to the group is the account's own group's
	finding.Evidence
}

func (u umaskOf) text() string { return fmt.Sprintf("%03o", u.mask) }

// strict reports whether nobody else may read, and no other group write.
func (u umaskOf) strict() bool {
	if u.groups {
		return u.mask&0o007 == 0o007
	}
	return u.mask&0o027 == 0o027
}

// systemUmask is the default umask of a login shell: the files of the shell, or PAM's, or 022.
func systemUmask(h *facts.Host) (umaskOf, error) {
	files, err := shellFiles(h)
	if err != nil {
		return umaskOf{}, err
	}
	for _, f := range slices.Backward(files) {
		mask, line, err := umaskIn(h, f)
		if err != nil {
			return umaskOf{}, err
		}
		if line != 0 {
			return umaskOf{mask, true, false, finding.Evidence{File: f, Line: line, Value: fmt.Sprintf("umask %03o", mask)}}, nil
		}
	}
	defs, err := h.LoginDefs()
	if err != nil {
		return umaskOf{}, err
	}
	stack, err := h.PAM("login")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return umaskOf{}, err
	}
	for _, l := range stack {
		if l.Type != "session" || l.Module != "pam_umask.so" || !l.Reached {
			continue
		}
		u := umaskOf{mask: 0o022, Evidence: finding.Evidence{File: l.File, Line: l.Line, Value: "pam_umask"}}
		_, u.groups = l.Arg("usergroups")
		u.groups = u.groups || strings.EqualFold(defs["USERGROUPS_ENAB"].Value, "yes")
		text, ok := l.Arg("umask")
		if d, found := defs["UMASK"]; !ok && found {
			text, ok, u.File, u.Line, u.Value = d.Value, true, d.Path, d.Line, "UMASK "+d.Value
		}
		if ok {
			if u.mask, u.explicit = parseUmask(text); !u.explicit {
				return umaskOf{}, fmt.Errorf("%s:%d: umask %q cannot be read", u.File, u.Line, text)
			}
		}
		return u, nil
	}
	return umaskOf{mask: 0o022, Evidence: finding.Evidence{File: "/etc/profile", Value: "no file sets a umask, and pam_umask is not in the stack of login: 022"}}, nil
}

// keysOf counts the keys with which an account may come in over SSH.
func keysOf(h *facts.Host, u facts.User) (int, error) {
	files, err := h.AuthorizedKeyFiles()
	if err != nil {
		return 0, err
	}
	count := 0
	for _, f := range files {
		if f.User.Name != u.Name {
			continue
		}
		if f.Err != nil {
			return 0, f.Err
		}
		for _, k := range f.Keys {
			if k.Trouble == "" {
				count++
			}
		}
	}
	return count, nil
}

// rootHome is the home of root.
func rootHome(h *facts.Host) (string, error) {
	users, err := h.Users()
	if err != nil {
		return "", err
	}
	for _, u := range users {
		if u.UID == 0 && path.IsAbs(u.Home) {
			return path.Clean(u.Home), nil
		}
	}
	return "/root", nil
}

// dotName reports whether a file's name begins with a point and is more than that.
func dotName(name string) bool { return len(name) > 1 && name[0] == '.' && name != ".." }

// homeOf is a person's home, or nothing where it is no place of their own.
func homeOf(u facts.User) string {
	if !path.IsAbs(u.Home) || path.Clean(u.Home) == "/" || strings.HasPrefix(u.Home, "/nonexistent") {
		return ""
	}
	return path.Clean(u.Home)
}

// setting is the number in a file of settings, or what holds where it is not set.
func setting(all map[string]facts.Setting, name string, otherwise int) (value int, explicit bool, err error) {
	s, ok := all[name]
	if !ok {
		return otherwise, false, nil
	}
	n, err := strconv.Atoi(s.Value)
	if err != nil {
		return 0, true, fmt.Errorf("%s:%d: %s is not a number", s.Path, s.Line, name)
	}
	return n, true, nil
}
