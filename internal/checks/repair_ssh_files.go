package checks

import (
	"errors"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

// sshAllowThose has sshd let in who comes in today, and nobody that comes along later.
func sshAllowThose(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has the SSH server let in the accounts alone that have a password or a key today.",
		"An account that you make later comes in over SSH only after you have added it to the list.")
	elsewhere, err := accountsElsewhere(h)
	if err != nil {
		return finding.Fix{}, err
	}
	if elsewhere {
		return finding.Fix{}, fix.Refuse("say AllowGroups with the group of those who log in", "accounts come from another place than this machine's files, and which is not known here")
	}
	names, err := sshComers(h)
	if err != nil {
		return finding.Fix{}, err
	}
	if len(names) == 0 {
		return finding.Fix{}, fix.Refuse("", "nobody has a password or a key to log in with")
	}
	for _, n := range names {
		if strings.ContainsAny(n, `*?@! "#\`) {
			return finding.Fix{}, fix.Refuse("", "the account %q has a name that sshd would take for a pattern", n)
		}
	}
	s, err := h.SSHD()
	if err != nil {
		return finding.Fix{}, err
	}
	for _, l := range s.Lines("allowusers") { // all of them count
		if !sshNames(facts.SSHDValue{Args: l.Args}) {
			sshRemark(d, l.File, l.Line)
		}
	}
	sshSet(d, "AllowUsers", strings.Join(names, " "), facts.SSHPeer{}, sshNames)
	sshAllGetIn(d, h)
	sshSomebodyGetsIn(true, true)(d, h)
	sshFelt(d, h)
	return d.Fix()
}

// sshComers are the accounts that have something to log in with over SSH.
func sshComers(h *facts.Host) ([]string, error) {
	s, err := h.SSHD()
	if err != nil {
		return nil, err
	}
	all, err := logins(h)
	if err != nil {
		return nil, err
	}
	noRoot, err := sshAlways(s, "permitrootlogin", "no", sshRoot())
	if err != nil {
		return nil, err
	}
	var names []string
	for _, l := range all {
		keys, err := keysOf(h, l.User)
		if err != nil {
			return nil, err
		}
		if l.UID == 0 && noRoot || keys == 0 && (!l.password.Usable() || !l.LoginShell()) {
			continue
		}
		names = append(names, l.Name)
	}
	return names, nil
}

// sshCloseHostKeys gives the server's own keys to root and closes them.
func sshCloseHostKeys(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Gives the server's own keys to root, and lets nobody else read the private ones.", "")
	keys, err := h.SSHHostKeys()
	if err != nil {
		return finding.Fix{}, err
	}
	for _, k := range keys {
		group := k.PrivateInfo.GID
		if !sshGroupIs(h, group, "ssh_keys") {
			group = 0
		}
		mode := uint32(0o600)
		if group != 0 {
			mode = 0o640
		}
		d.Owner(k.Private, 0, group)
		d.Mode(k.Private, min(mode, uint32(k.PrivateInfo.Mode.Perm())&mode|0o400))
		if k.Public != "" {
			d.Owner(k.Public, 0, k.PublicInfo.GID)
			d.Mode(k.Public, uint32(k.PublicInfo.Mode.Perm())&0o644|0o400)
		}
	}
	d.Validate("sshd")
	return d.Fix()
}

// sshCloseConfig gives the server's configuration to root.
func sshCloseConfig(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Gives the SSH server's configuration to root, and lets nobody else write it.", "")
	for _, e := range sshConfigPerms().Judge(h).Evidence {
		info, err := h.Stat(e.File)
		if err != nil {
			return finding.Fix{}, err
		}
		d.Owner(e.File, 0, info.GID)
		d.Mode(e.File, uint32(info.Mode.Perm())&^0o022)
	}
	d.Validate("sshd")
	return d.Fix()
}

// sshLargeGroups keeps the large groups alone.
func sshLargeGroups(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Takes the groups below 3072 bits out of those that the SSH server agrees on keys with.",
		"Programs from before 2015 that know no larger ones do not connect any more.")
	s, err := h.SSHD()
	if err != nil {
		return finding.Fix{}, err
	}
	file, err := s.Value("modulifile", facts.SSHPeer{})
	if err != nil {
		return finding.Fix{}, err
	}
	d.Edit(file.Value, func(text string) (string, error) {
		var kept []string
		large := 0
		for line := range strings.Lines(text) {
			if f := strings.Fields(line); len(f) >= 6 && !strings.HasPrefix(f[0], "#") {
				if len(f[4]) < 4 || len(f[4]) == 4 && f[4] < "3071" { // it counts from 0
					continue
				}
				large++
			}
			kept = append(kept, line)
		}
		if large == 0 {
			return "", fix.Refuse("install the openssh-server package again, which brings large ones", "there is no group of 3072 bits or more")
		}
		return strings.Join(kept, ""), nil
	})
	d.Guard()
	return d.Fix()
}

// sshStrongKeys closes lists of keys, and takes those out that are weak or that sshd does
// not take anyway.
func sshStrongKeys(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Lets nobody else read the lists of keys, and makes remarks of the keys in them that are weak or that sshd does not take.",
		"Who has a weak key alone on some device does not come in from there any more.")
	files, err := h.AuthorizedKeyFiles()
	if err != nil {
		return finding.Fix{}, err
	}
	for _, f := range files {
		perm := f.Info.Mode.Perm()
		shared, err := othersIn(h, int(f.Info.GID), f.User.UID)
		if err != nil {
			return finding.Fix{}, err
		}
		if perm&0o002 != 0 || perm&0o020 != 0 && shared || f.Info.UID != 0 && int(f.Info.UID) != f.User.UID {
			// sshd may not have taken the list as it is. Closed, it would take what others wrote.
			return finding.Fix{}, fix.Refuse("see that every key in it is yours, then: chmod 600 "+f.Path+"; chown "+f.User.Name+" "+f.Path, "somebody else could have put keys into %s", f.Path)
		}
		if strings.HasPrefix(f.Path, strings.TrimSuffix(f.User.Home, "/")+"/") {
			d.Mode(f.Path, uint32(perm)&^0o077)
		} else {
			d.Mode(f.Path, uint32(perm)&^0o022)
		}
		left := 0
		for _, k := range f.Keys {
			kind := strings.TrimSuffix(k.Type, "-cert-v01@openssh.com")
			unknown := slices.ContainsFunc(k.Options, func(o facts.SSHKeyOption) bool { return !facts.KnownSSHKeyOption(o.Name) })
			weak := kind == "ssh-dss" || k.Bits > 0 && k.Bits < 3072
			if !unknown && !weak {
				left++
				continue
			}
			remark(d, k.File, k.Line)
			if unknown {
				left++ // it opened nothing
			}
		}
		if left == 0 && len(f.Keys) > 0 {
			return finding.Fix{}, fix.Refuse("make a new one where that account logs in from (ssh-keygen -t ed25519), put it into "+f.Path+", try it, then try again", "%s has weak keys alone", f.User.Name)
		}
	}
	sshAllGetIn(d, h)
	d.Guard()
	return d.Fix()
}

// sshNoRootKeys makes remarks of the keys that make their holder root.
func sshNoRootKeys(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Makes remarks of root's keys that may do everything.",
		"Whoever logs in as root with one of them has to log in as themselves and use sudo; programs that fetch backups as root stop.")
	keys, err := sshRootKeys(h)
	if err != nil {
		return finding.Fix{}, err
	}
	for _, k := range keys {
		remark(d, k.File, k.Line)
	}
	sshSomebodyGetsIn(true, false)(d, h)
	d.Guard()
	return d.Fix()
}

// sshNoIdleLines makes remarks of lines that say something that does not hold.
func sshNoIdleLines(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Makes remarks of the lines in the SSH server's configuration that change nothing.", "")
	const most = 100
	for range most {
		s, err := d.Host.SSHD()
		if err != nil {
			return finding.Fix{}, err
		}
		if len(s.Faults) > 0 {
			f := s.Faults[0]
			return finding.Fix{}, fix.Refuse("mend the line, and look with sshd -t", "only you know what %s:%d was meant to say (%s); without it the server could let in whom you mean to keep out", f.File, f.Line, f.Trouble)
		}
		n := slices.IndexFunc(s.Useless, func(l facts.SSHDLine) bool { return !sshBehindDropIn(l) })
		if n < 0 {
			break
		}
		sshRemark(d, s.Useless[n].File, s.Useless[n].Line)
		if _, err := d.Fix(); err != nil {
			return finding.Fix{}, err
		}
	}
	sshFelt(d, h)
	return d.Fix()
}

// sshKnowsOthers has this machine's client remember whom it has met.
func sshKnowsOthers(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has this machine remember the machines that it logs in to, and refuse one that shows another key later.",
		"A program that logs in to a machine that was set up anew stops until the old key is taken out (ssh-keygen -R NAME).")
	if r, err := h.SSHRelease(); err != nil || r.Known() && !r.AtLeast(7, 6) {
		return finding.Fix{}, fix.Refuse("update the system", "this OpenSSH cannot remember a machine without asking")
	}
	setting := regexp.MustCompile(`(?i)(StrictHostKeyChecking["']?\s*[=\s]\s*["']?)(no|off)\b`)
	for _, e := range sshClientKnown().Judge(h).Evidence {
		t, err := h.Text(e.File)
		if err != nil {
			return finding.Fix{}, err
		}
		near := strings.Join(t.Lines, "\n")
		yaml := strings.HasSuffix(e.File, ".yaml")
		if yaml && e.Line <= len(t.Lines) {
			near = t.Lines[e.Line-1]
		}
		if strings.Contains(near, "/dev/null") {
			return finding.Fix{}, fix.Refuse("name a file that stays instead of /dev/null", "%s:%d forgets whom it has met (UserKnownHostsFile /dev/null)", e.File, e.Line)
		}
		if strings.HasPrefix(e.Value, "forwardagent") {
			remark(d, e.File, e.Line)
			continue
		}
		relined(d, e.File, e.Line, func(l string) string { return setting.ReplaceAllString(l, "${1}accept-new") })
		if yaml {
			d.Validate("homeassistant")
		}
	}
	return d.Fix()
}

// sshClosePrivateKeys closes private keys that others can read.
func sshClosePrivateKeys(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Lets nobody but their owners read private keys.", "")
	for _, e := range sshPrivateKeys().Judge(h).Evidence {
		info, err := h.Stat(e.File)
		if err != nil {
			return finding.Fix{}, err
		}
		switch {
		case e.Value == "everybody can fetch it":
			return finding.Fix{}, fix.Refuse("make a new key, and take the old one out of every list of keys", "%s lies where everybody can fetch it, and has to be given up", e.File)
		case e.Value == "without a passphrase":
			return finding.Fix{}, fix.Refuse("ssh-keygen -p -f "+e.File, "only its owner can choose a passphrase for %s", e.File)
		}
		d.Mode(e.File, uint32(info.Mode.Perm())&0o700)
	}
	return d.Fix()
}

// nologin is the shell of who shall have none.
func nologin(h *facts.Host) (string, error) {
	for _, name := range []string{"/usr/sbin/nologin", "/sbin/nologin", "/usr/bin/nologin", "/bin/false", "/usr/bin/false"} {
		if there, err := h.Exists(name); err != nil || there {
			return name, err
		}
	}
	return "", fix.Refuse("", "there is no program nologin here")
}

// keyLine changes the options before a key: as text, with the comma or space behind them.
func keyLine(d *fix.Draft, k facts.AuthorizedKey, change func(all []facts.SSHKeyOption) []facts.SSHKeyOption) {
	relined(d, k.File, k.Line, func(line string) string {
		key := strings.Index(line, k.Print)
		if key < 0 {
			return line
		}
		from := strings.LastIndex(line[:key], k.Type)
		if from < 0 {
			return line
		}
		var words []string
		for _, o := range change(k.Options) {
			w := o.Name
			if o.Value != "" {
				w += `="` + strings.ReplaceAll(o.Value, `"`, `\"`) + `"`
			}
			words = append(words, w)
		}
		return strings.Join(words, ",") + " " + line[from:]
	})
}

// tunnelsRestricted takes from a tunnel's key all but the tunnel that it names.
func tunnelsRestricted(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has the keys of tunnels open their tunnels and nothing else.",
		"A shell, a copy of files or a window over one of these keys is refused.")
	accounts, s, err := tunnelAccounts(h)
	if err != nil {
		return finding.Fix{}, err
	}
	for _, a := range accounts {
		for _, k := range a.keys {
			local, err := tunnelForwards(s, k, "local")
			if err != nil {
				return finding.Fix{}, err
			}
			ends, err := tunnelLimits(s, k, "permitopen")
			if err != nil {
				return finding.Fix{}, err
			}
			for _, end := range ends {
				if local && (end == "any" || tunnelHost(end) == "*" || tunnelPort(end) == "*") {
					return finding.Fix{}, fix.Refuse(`put permitopen="127.0.0.1:PORT" before the key, with the port that the tunnel leads to; of a tunnel that comes back say "PermitOpen none" in the Match block of the account`,
						"%s:%d does not say where its tunnel ends, and only you know", k.File, k.Line)
				}
			}
			if !k.Allows("pty") && !k.Allows("agent-forwarding") && !k.Allows("x11-forwarding") {
				continue
			}
			keyLine(d, k, func(all []facts.SSHKeyOption) []facts.SSHKeyOption {
				next := []facts.SSHKeyOption{{Name: "restrict"}}
				if k.Allows("port-forwarding") {
					next = append(next, facts.SSHKeyOption{Name: "port-forwarding"})
				}
				for _, o := range all {
					given := strings.TrimPrefix(o.Name, "no-")
					if o.Name != "restrict" && !slices.Contains([]string{"pty", "agent-forwarding", "x11-forwarding", "port-forwarding", "user-rc"}, given) {
						next = append(next, o)
					}
				}
				return next
			})
		}
	}
	sshAllGetIn(d, h)
	d.Guard()
	return d.Fix()
}

// tunnelsWithoutShell takes the shell from accounts that are there for a tunnel alone, and
// from the keys for a tunnel of those that are not.
func tunnelsWithoutShell(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Leaves the accounts and the keys that are for tunnels no shell and no password.",
		"Whoever worked here over one of them comes in no more; the tunnels stay.")
	accounts, s, err := tunnelAccounts(h)
	if err != nil {
		return finding.Fix{}, err
	}
	least, err := h.UIDMin()
	if err != nil {
		return finding.Fix{}, err
	}
	shell, err := nologin(h)
	if err != nil {
		return finding.Fix{}, err
	}
	for _, a := range accounts {
		forced, err := tunnelForced(s, a)
		if err != nil {
			return finding.Fix{}, err
		}
		bare := a.noShell() || forced
		password, _, err := tunnelPassword(h, a.user)
		if err != nil {
			return finding.Fix{}, err
		}
		switch {
		case bare && (!a.own || !password):
		case a.own && a.user.UID >= least && !a.noShell():
			return finding.Fix{}, fix.Refuse("give the tunnel an account of its own", "%s looks like a person's account, and a Match block has it carry a tunnel", a.user.Name)
		case a.own:
			if !bare {
				accountField(d, "/etc/passwd", a.user.Name, 6, func(string) (string, error) { return shell, nil })
			}
			if password {
				lockPassword(d, a.user.Name)
			}
		default:
			for _, k := range a.keys {
				if len(k.Option("command")) == 0 {
					keyLine(d, k, func(all []facts.SSHKeyOption) []facts.SSHKeyOption {
						return append(slices.Clone(all), facts.SSHKeyOption{Name: "command", Value: shell})
					})
				}
			}
		}
	}
	sshAllGetIn(d, h)
	d.Guard()
	return d.Fix()
}

// accountField changes a field of an account's line in a file as /etc/passwd.
func accountField(d *fix.Draft, file, name string, field int, change func(string) (string, error)) {
	d.Edit(file, func(text string) (string, error) {
		lines := strings.SplitAfter(text, "\n")
		found := false
		for n, line := range lines {
			f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
			if f[0] != name || len(f) <= field {
				continue
			}
			var err error
			if f[field], err = change(f[field]); err != nil {
				return "", err
			}
			lines[n], found = strings.Join(f, ":")+line[len(strings.TrimSuffix(line, "\n")):], true
		}
		if !found {
			return "", fix.Refuse("", "%s has no line there", name)
		}
		return strings.Join(lines, ""), nil
	})
	if base := path.Base(file); base == "shadow" || base == "gshadow" {
		d.Secret(file)
	}
}

// lockPassword locks an account's password, as "passwd -l" does: an empty one as well.
func lockPassword(d *fix.Draft, name string) {
	lock := func(field string) (string, error) {
		if strings.HasPrefix(field, "!") || strings.HasPrefix(field, "*") {
			return field, nil
		}
		return "!" + field, nil
	}
	users, err := d.Host.Users()
	if err != nil {
		d.Fail(err)
		return
	}
	for _, u := range users {
		if u.Name == name && u.Password != "x" {
			accountField(d, "/etc/passwd", name, 1, lock)
			d.Secret("/etc/passwd")
			return
		}
	}
	if there, err := d.Host.Exists("/etc/shadow"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.Fail(err)
	} else if there {
		accountField(d, "/etc/shadow", name, 1, lock)
	}
}
