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
)

// sshEntrant is an account that comes in over SSH wherever it comes from, and that is root
// or may become it.
type sshEntrant struct {
	name          string
	root          bool
	key, password bool // by what it comes in
}

// sshEntrants judges, for each account that may do everything, what sshd would do with it.
// What would only hold for some addresses, or what is not known, counts as refused; kept
// says of those that have something to come in with why they do not.
func sshEntrants(h *facts.Host) (in []sshEntrant, kept []string, err error) {
	s, err := h.SSHD()
	if err != nil {
		return nil, nil, err
	}
	all, err := logins(h)
	if err != nil {
		return nil, nil, err
	}
	groups, err := h.Groups()
	if err != nil {
		return nil, nil, err
	}
	able, err := sudoers(h)
	if there, thereErr := h.Exists("/etc/sudoers"); err != nil && (thereErr != nil || there) {
		return nil, nil, err
	}
	for _, l := range all {
		free := l.UID == 0
		if !free {
			at := slices.IndexFunc(able, func(s sudoer) bool { return s.Name == l.Name && s.anything })
			if at < 0 {
				continue
			}
			free = able[at].free
		}
		g := sshGate{h: h, s: s, login: l, peer: facts.SSHPeer{User: l.Name, Groups: []string{}}}
		for _, group := range facts.GroupsOf(l.User, groups) {
			g.groups = append(g.groups, group.GID)
			g.peer.Groups = append(g.peer.Groups, group.Name)
		}
		e := sshEntrant{name: l.Name, root: l.UID == 0}
		why := g.account()
		if why == "" && !free && !l.password.Usable() {
			why = "has no password, which sudo asks for"
		}
		if why == "" {
			e.key, e.password, why = g.ways()
		}
		if g.err != nil {
			return nil, nil, g.err
		}
		if e.key || e.password {
			in = append(in, e)
		}
		if why != "" {
			kept = append(kept, l.Name+" "+why)
		}
	}
	return in, kept, nil
}

// sshGate is sshd before one account. After the first error it refuses.
type sshGate struct {
	h *facts.Host
	s *facts.SSHD
	login
	peer   facts.SSHPeer
	groups []int
	err    error
}

// values are those that may hold for the account.
func (g *sshGate) values(keyword string) []facts.SSHDValue {
	all, err := g.s.Values(keyword, g.peer)
	if err != nil {
		g.err = err
	}
	return all
}

// always reports whether a setting is one of some values wherever the account comes from.
func (g *sshGate) always(keyword string, good ...string) bool {
	all := g.values(keyword)
	return len(all) > 0 && !slices.ContainsFunc(all, func(v facts.SSHDValue) bool { return !slices.Contains(good, v.Value) })
}

// account says why sshd refuses an account whatever it brings; "" where it does not.
func (g *sshGate) account() string {
	shell := g.Shell
	if shell == "" {
		shell = "/bin/sh"
	}
	info, err := g.h.Stat(shell)
	pam := g.always("usepam", "yes")
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		g.err = err
		return "cannot be judged"
	case !g.LoginShell():
		return "has no shell"
	case err != nil || !info.Mode.IsRegular() || info.Mode.Perm()&0o111 == 0:
		return "has a shell that is not there"
	case g.shadowed && g.shadow.Expired(g.h.Now):
		return "has run out"
	case g.shadowed && pam && g.shadow.LastChange == 0:
		return "has to set a new password first"
	case g.shadowed && pam && g.shadow.LastChange > 0 && g.shadow.MaxDays > 0 && g.shadow.LastChange+g.shadow.MaxDays < int(g.h.Now.Unix()/86400):
		return "has a password that has run out"
	case !pam && g.passwordField() != "" && g.passwordField()[0] == '!':
		return "is locked, which sshd asks for where it does not ask PAM"
	case !g.always("permittty", "yes"):
		return "gets no terminal"
	case !g.always("forcecommand", "none") || !g.always("chrootdirectory", "none"):
		return "may run one program alone"
	case !g.always("refuseconnection", "no"):
		return "is refused"
	case g.UID == 0 && !g.always("permitrootlogin", "yes", "prohibit-password"):
		return "is refused by PermitRootLogin"
	}
	if why := g.listed(); why != "" {
		return why
	}
	return g.pam(pam)
}

// passwordField is what stands in the place of the account's password.
func (g *sshGate) passwordField() string {
	if g.shadowed {
		return g.shadow.Hash
	}
	return g.User.Password
}

// listed says which list of the server keeps the account out.
func (g *sshGate) listed() string {
	names := append([]string{}, g.peer.Groups...)
	for _, c := range []struct {
		keyword string
		names   []string
		allow   bool
	}{{"denyusers", []string{g.Name}, false}, {"allowusers", []string{g.Name}, true}, {"denygroups", names, false}, {"allowgroups", names, true}} {
		for _, v := range g.values(c.keyword) {
			found := slices.ContainsFunc(v.Args, func(pattern string) bool {
				pattern, host, anywhere := strings.Cut(pattern, "@")
				if strings.HasSuffix(c.keyword, "groups") {
					anywhere = false
				}
				if anywhere && c.allow && strings.Trim(host, "*") != "" {
					return false // from there alone
				}
				return slices.ContainsFunc(c.names, func(n string) bool { return facts.SSHPattern(n, pattern) })
			})
			if c.allow && len(v.Args) > 0 && !found || !c.allow && found {
				return fmt.Sprintf("is not let in from everywhere, by %s:%d (%s)", v.File, v.Line, c.keyword)
			}
		}
	}
	return ""
}

// pam says which module of PAM may keep the account out.
func (g *sshGate) pam(asked bool) string {
	if there, err := g.h.Exists("/etc/nologin"); err != nil || there {
		if g.err = err; g.UID != 0 {
			return "is kept out by /etc/nologin"
		}
	}
	if !asked {
		return ""
	}
	stack, err := g.h.PAM("sshd")
	if errors.Is(err, fs.ErrNotExist) {
		return "is refused by PAM, which has no stack for sshd"
	}
	if err != nil {
		g.err = err
		return "cannot be judged"
	}
	for _, l := range stack {
		if l.Type == "account" && l.Reached && slices.Contains([]string{"pam_access.so", "pam_listfile.so", "pam_succeed_if.so", "pam_time.so"}, l.Module) {
			return fmt.Sprintf("may be kept out by %s (%s:%d)", l.Module, l.File, l.Line)
		}
	}
	return ""
}

// ways says by what the account comes in, and if by nothing why.
func (g *sshGate) ways() (key, password bool, why string) {
	whyNot := g.key()
	works := whyNot == ""
	has := func(method string) bool {
		method, _, _ = strings.Cut(method, ":")
		typed := g.login.password.Usable() && g.login.password.Kind != facts.PasswordEmpty && (g.UID != 0 || g.always("permitrootlogin", "yes"))
		switch method {
		case "publickey":
			return works
		case "password":
			return typed && g.always("passwordauthentication", "yes")
		case "keyboard-interactive":
			return typed && g.always("kbdinteractiveauthentication", "yes") && g.always("usepam", "yes")
		}
		return false
	}
	key, password = true, true
	for _, v := range g.values("authenticationmethods") {
		byKey, byPassword := false, false
		for _, way := range v.Args {
			if way == "any" {
				byKey, byPassword = byKey || has("publickey"), byPassword || has("password") || has("keyboard-interactive")
				continue
			}
			methods := strings.Split(way, ",")
			if slices.ContainsFunc(methods, func(m string) bool { return !has(m) }) {
				continue
			}
			switch strings.Count(way, "publickey") {
			case 0:
				byPassword = true
			case 1:
				byKey = true
			}
		}
		key, password = key && byKey, password && byPassword
	}
	switch {
	case key || password:
		return key, password, ""
	case works:
		return false, false, "has a key, but is asked for more"
	}
	return false, false, whyNot
}

// key says why no key lets the account in; "" where one does.
func (g *sshGate) key() string {
	if !g.always("pubkeyauthentication", "yes") {
		return "could come with a password alone, because keys are not accepted"
	}
	if !g.always("revokedkeys", "none") {
		return "may have a key that is revoked"
	}
	why := "has no key"
	for _, v := range g.values("authorizedkeysfile") {
		found := false
		for _, pattern := range v.Args {
			if strings.EqualFold(pattern, "none") || g.Home == "" {
				continue
			}
			file := facts.SSHKeyPath(pattern, g.User)
			if there, err := g.h.Exists(file); err != nil {
				g.err = err
				return "cannot be judged"
			} else if !there {
				continue
			}
			if open := sshDistrusts(g.h, file, g.User, g.groups, !g.always("strictmodes", "no")); open != "" {
				why = "has a list of keys that is not taken: " + open
				continue
			}
			keys, err := g.h.AuthorizedKeys(file, g.User)
			if err != nil {
				g.err = err
				return "cannot be judged"
			}
			for _, k := range keys {
				if bad := g.keyRefused(k); bad != "" {
					why = fmt.Sprintf("has a key that is not enough: %s:%d: %s", k.File, k.Line, bad)
					continue
				}
				found = true
			}
		}
		if !found {
			return why
		}
	}
	return ""
}

// keyRefused says why a key does not open a shell from everywhere; "" where it does.
func (g *sshGate) keyRefused(k facts.AuthorizedKey) string {
	if k.Trouble != "" {
		return k.Trouble
	}
	for _, o := range k.Options {
		switch {
		case !facts.KnownSSHKeyOption(o.Name):
			return "an option that sshd does not know"
		case slices.Contains([]string{"cert-authority", "command", "from", "expiry-time"}, o.Name):
			return "it is for some use alone (" + o.Name + ")"
		}
	}
	if !k.Allows("pty") {
		return "it gives no terminal"
	}
	algorithms := []string{k.Type}
	if k.Type == "ssh-rsa" {
		algorithms = []string{"rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"}
	}
	for _, v := range g.values("pubkeyacceptedalgorithms") {
		accepted := strings.Split(v.Value, ",")
		if !slices.ContainsFunc(algorithms, func(a string) bool { return slices.Contains(accepted, a) }) {
			return k.Type + " is not accepted"
		}
	}
	if k.Type == "ssh-rsa" {
		least := 1024
		for _, v := range g.values("requiredrsasize") {
			if n, err := strconv.Atoi(v.Value); err == nil {
				least = max(least, n)
			}
		}
		if k.Bits < least {
			return fmt.Sprintf("%d bits are too few", k.Bits)
		}
	}
	return ""
}

// sshDistrusts says why sshd does not take an account's list of keys; "" where it does. It
// reads the list as the account, and with StrictModes nobody else may write it or what it
// lies in, up to the home. Debian's sshd lets the account's own group write; that is not
// relied on.
func sshDistrusts(h *facts.Host, file string, u facts.User, groups []int, strict bool) string {
	at, err := h.Resolve(file)
	if err != nil {
		return file + " cannot be read"
	}
	home, err := h.Resolve(u.Home)
	if err != nil {
		home = path.Clean(u.Home)
	}
	for first := true; ; at, first = path.Dir(at), false {
		info, err := h.Stat(at)
		if err != nil {
			return at + " cannot be read"
		}
		may := info.Mode.Perm()
		need := fs.FileMode(0o1)
		if first {
			need = 0o4
		}
		switch {
		case u.UID == 0:
			may = need
		case int(info.UID) == u.UID:
			may >>= 6
		case slices.Contains(groups, int(info.GID)):
			may >>= 3
		}
		switch {
		case first && !info.Mode.IsRegular():
			return at + " is no file"
		case may&need == 0:
			return u.Name + " may not read " + at
		case strict && info.UID != 0 && int(info.UID) != u.UID:
			return at + " belongs to somebody else"
		case strict && info.Mode.Perm()&0o022 != 0:
			return at + " may be written by others"
		}
		if at == home {
			strict = false
		}
		if at == "/" {
			return ""
		}
	}
}
