package facts

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Shadow is a line of /etc/shadow (shadow(5)). A day that is not given is -1.
type Shadow struct {
	Name       string
	Hash       string // never to be shown
	LastChange int    // days since 1970
	MaxDays    int
	Warn       int
	Inactive   int
	Expire     int // days since 1970
	Line       int
}

// Shadow reads /etc/shadow.
func (h *Host) Shadow() ([]Shadow, error) {
	return remember(h, "shadow", func() ([]Shadow, error) {
		t, err := h.Text("/etc/shadow")
		if err != nil {
			return nil, err
		}
		var all []Shadow
		for n, line := range t.Lines {
			if noAccount(line) {
				continue
			}
			f := strings.Split(line, ":")
			if len(f) != 9 || f[0] == "" {
				return nil, fmt.Errorf("/etc/shadow:%d: not an account's line", n+1)
			}
			s := Shadow{Name: f[0], Hash: f[1], Line: n + 1}
			for k, to := range map[int]*int{2: &s.LastChange, 4: &s.MaxDays, 5: &s.Warn, 6: &s.Inactive, 7: &s.Expire} {
				*to = -1
				if f[k] == "" {
					continue
				}
				v, err := strconv.Atoi(f[k])
				if err != nil {
					return nil, fmt.Errorf("/etc/shadow:%d: field %d is not a number", n+1, k+1)
				}
				*to = v
			}
			all = append(all, s)
		}
		if len(all) == 0 {
			return nil, errors.New("/etc/shadow: no accounts")
		}
		return all, nil
	})
}

// noAccount reports whether a line of the account files is empty, a remark, or NIS's.
func noAccount(line string) bool {
	return strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "+") || strings.HasPrefix(line, "-")
}

// PasswordKind is how a password is kept (crypt(5)).
type PasswordKind string

// The kinds. None matches no password at all, Empty lets everybody in without one.
const (
	PasswordNone     PasswordKind = "none"
	PasswordEmpty    PasswordKind = "empty"
	PasswordYescrypt PasswordKind = "yescrypt"
	PasswordScrypt   PasswordKind = "scrypt"
	PasswordBcrypt   PasswordKind = "bcrypt"
	PasswordSHA512   PasswordKind = "sha512"
	PasswordSHA256   PasswordKind = "sha256"
	PasswordSHA1     PasswordKind = "sha1"
	PasswordMD5      PasswordKind = "md5"
	PasswordNT       PasswordKind = "nt"
	PasswordDES      PasswordKind = "des"
)

// Password is what a password field says, without the hash itself.
type Password struct {
	Kind   PasswordKind
	Rounds int  // of sha256 and sha512
	Locked bool // a "!" stands before it: the password opens nothing
}

// Usable reports whether somebody can come in by a password, or by none.
func (p Password) Usable() bool { return !p.Locked && p.Kind != PasswordNone }

// ParsePassword reads the second field of a line of /etc/shadow or /etc/passwd.
func ParsePassword(field string) Password {
	rest := strings.TrimLeft(field, "!")
	p := Password{Locked: rest != field}
	if rest == "" {
		p.Kind = PasswordEmpty
		if p.Locked {
			p.Kind = PasswordNone
		}
		return p
	}
	id, value, ok := "", "", false
	if strings.HasPrefix(rest, "$") {
		id, value, ok = strings.Cut(rest[1:], "$")
	}
	const itoa64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	switch {
	case ok && (id == "y" || id == "gy"):
		p.Kind = PasswordYescrypt
	case ok && id == "7":
		p.Kind = PasswordScrypt
	case ok && len(id) == 2 && id[0] == '2':
		p.Kind = PasswordBcrypt
	case ok && (id == "6" || id == "5"):
		p.Kind, p.Rounds = PasswordSHA512, 5000
		if id == "5" {
			p.Kind = PasswordSHA256
		}
		if text, found := strings.CutPrefix(value, "rounds="); found {
			text, _, _ = strings.Cut(text, "$")
			if n, err := strconv.Atoi(text); err == nil {
				p.Rounds = n
			}
		}
	case ok && id == "sha1":
		p.Kind = PasswordSHA1
	case ok && (id == "1" || strings.HasPrefix(id, "md5")):
		p.Kind = PasswordMD5
	case ok && id == "3":
		p.Kind = PasswordNT
	case len(rest) == 13 && strings.Trim(rest, itoa64) == "",
		len(rest) == 20 && rest[0] == '_' && strings.Trim(rest[1:], itoa64) == "":
		p.Kind = PasswordDES
	default:
		p.Kind = PasswordNone
	}
	return p
}

// Expired reports whether the account itself is past its date.
func (s Shadow) Expired(now time.Time) bool {
	return s.Expire >= 0 && s.Expire <= int(now.Unix()/86400)
}

// Group is a line of /etc/group (group(5)).
type Group struct {
	Name     string
	Password string
	GID      int
	Members  []string
	Line     int
}

// Groups reads /etc/group.
func (h *Host) Groups() ([]Group, error) {
	return remember(h, "group", func() ([]Group, error) {
		t, err := h.Text("/etc/group")
		if err != nil {
			return nil, err
		}
		var all []Group
		for n, line := range t.Lines {
			if noAccount(line) {
				continue
			}
			f := strings.Split(line, ":")
			if len(f) != 4 || f[0] == "" {
				return nil, fmt.Errorf("/etc/group:%d: not a group's line", n+1)
			}
			gid, err := strconv.Atoi(f[2])
			if err != nil {
				return nil, fmt.Errorf("/etc/group:%d: %q is no number", n+1, f[2])
			}
			all = append(all, Group{f[0], f[1], gid, commaNames(f[3]), n + 1})
		}
		if len(all) == 0 {
			return nil, errors.New("/etc/group: no groups")
		}
		return all, nil
	})
}

// GroupShadow is a line of /etc/gshadow (gshadow(5)).
type GroupShadow struct {
	Name    string
	Hash    string // never to be shown
	Admins  []string
	Members []string
	Line    int
}

// GroupShadows reads /etc/gshadow; none where there is no such file.
func (h *Host) GroupShadows() ([]GroupShadow, error) {
	return remember(h, "gshadow", func() ([]GroupShadow, error) {
		t, err := h.Text("/etc/gshadow")
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		var all []GroupShadow
		for n, line := range t.Lines {
			if noAccount(line) {
				continue
			}
			f := strings.Split(line, ":")
			if len(f) != 4 || f[0] == "" {
				return nil, fmt.Errorf("/etc/gshadow:%d: not a group's line", n+1)
			}
			all = append(all, GroupShadow{f[0], f[1], commaNames(f[2]), commaNames(f[3]), n + 1})
		}
		return all, nil
	})
}

func commaNames(list string) []string {
	var names []string
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// GroupsOf are the groups that an account is in, its primary one too.
func GroupsOf(u User, groups []Group) []Group {
	var in []Group
	for _, g := range groups {
		if g.GID == u.GID || slices.Contains(g.Members, u.Name) {
			in = append(in, g)
		}
	}
	return in
}

// Setting is a value that stands in a file.
type Setting struct {
	Value string
	Path  string
	Line  int
}

// LoginDefs reads /etc/login.defs (login.defs(5)), where the last line of a name holds;
// nothing where there is no such file.
func (h *Host) LoginDefs() (map[string]Setting, error) {
	return remember(h, "login.defs", func() (map[string]Setting, error) {
		t, err := h.Text("/etc/login.defs")
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		all := map[string]Setting{}
		for n, line := range t.Lines {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			at := strings.IndexAny(line, " \t")
			if at < 0 {
				continue // a name without a value is passed over
			}
			all[line[:at]] = Setting{strings.Trim(strings.TrimSpace(line[at:]), `"`), t.Path, n + 1}
		}
		return all, nil
	})
}

// UseraddDefaults reads /etc/default/useradd (useradd(8)); nothing where there is none.
func (h *Host) UseraddDefaults() (map[string]Setting, error) {
	return remember(h, "useradd", func() (map[string]Setting, error) { return h.assignments("/etc/default/useradd") })
}

// assignments reads a file of lines NAME = VALUE or NAME VALUE, where the last of a name holds; a line
// that is a name alone has the value "". Nothing where there is no such file.
func (h *Host) assignments(name string) (map[string]Setting, error) {
	t, err := h.Text(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := map[string]Setting{}
	for n, line := range t.Lines {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		key, value := line, ""
		if at := strings.IndexAny(line, "= \t"); at >= 0 {
			key, value = line[:at], strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line[at:]), "="))
		}
		all[key] = Setting{value, t.Path, n + 1}
	}
	return all, nil
}

// UIDMin is the first number of people's accounts.
func (h *Host) UIDMin() (int, error) {
	defs, err := h.LoginDefs()
	if err != nil {
		return 0, err
	}
	s, ok := defs["UID_MIN"]
	if !ok {
		return 1000, nil
	}
	n, err := strconv.Atoi(s.Value)
	if err != nil {
		return 0, fmt.Errorf("%s:%d: UID_MIN is not a number", s.Path, s.Line)
	}
	return n, nil
}

// LoginShell reports whether the account's shell lets somebody work.
func (u User) LoginShell() bool {
	switch path.Base(u.Shell) {
	case "nologin", "false", "true", "sync", "shutdown", "halt", "poweroff", "reboot":
		return false
	}
	return true
}

// ErrLastlogDatabase says that logins are kept in a database that is not read here.
var ErrLastlogDatabase = errors.New("the last logins are kept in a database (lastlog2), which is not read")

// LastLogins are the times of the last logins by the accounts' numbers, from
// /var/log/lastlog (lastlog(8)); who never came is left out. The error wraps
// fs.ErrNotExist where nobody keeps them.
func (h *Host) LastLogins() (map[int]time.Time, error) {
	return remember(h, "lastlog", func() (map[int]time.Time, error) {
		at, err := resolve(h.Tree, "/var/log/lastlog", true)
		if errors.Is(err, fs.ErrNotExist) {
			for _, name := range []string{"/var/lib/lastlog/lastlog2.db", "/var/lib/wtmpdb/wtmp.db"} {
				if there, err := h.Exists(name); err == nil && there {
					return nil, fmt.Errorf("%s: %w", name, ErrLastlogDatabase)
				}
			}
		}
		if err != nil {
			return nil, err
		}
		const most, record = 64 << 20, 4 + 32 + 256 // struct lastlog of glibc
		data, err := h.Tree.ReadFile(at, most)
		if err != nil {
			return nil, err
		}
		all := map[int]time.Time{}
		for uid := 0; (uid+1)*record <= len(data); uid++ {
			if seconds := binary.LittleEndian.Uint32(data[uid*record:]); seconds != 0 {
				all[uid] = time.Unix(int64(seconds), 0)
			}
		}
		return all, nil
	})
}
