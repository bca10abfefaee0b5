package checks

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

// accountsFelt has the account files looked at, and puts the fix on trial.
func accountsFelt(d *fix.Draft) (finding.Fix, error) {
	d.Guard()
	d.Validate("accounts")
	return d.Fix()
}

// rootStays makes sure that somebody but root still can become root, if somebody could.
func rootStays(d *fix.Draft, was *facts.Host) {
	if _, err := d.Fix(); err != nil {
		return
	}
	before, after := accountsSudoUserExists().Judge(was), accountsSudoUserExists().Judge(d.Host)
	if before.Result != finding.Pass || after.Result == finding.Pass {
		return
	}
	why := "it could not be judged"
	if len(after.Evidence) > 0 {
		why = after.Evidence[0].Value
	}
	d.Refuse("give an account in the group sudo a password (passwd NAME), then try again", "nobody but root could come in and become root afterwards: %s", why)
}

// lockEmpty locks the accounts that have an empty password.
func lockEmpty(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Locks the accounts that have an empty password.",
		"Whoever came in by one of them without a password needs to be given one (passwd NAME).")
	users, err := h.Users()
	if err != nil {
		return finding.Fix{}, err
	}
	shadows, err := h.Shadow()
	if err != nil {
		return finding.Fix{}, err
	}
	for _, u := range users {
		if u.Password != "" {
			continue
		}
		kept := slices.ContainsFunc(shadows, func(s facts.Shadow) bool { return s.Name == u.Name })
		accountField(d, "/etc/passwd", u.Name, 1, func(string) (string, error) {
			if kept {
				return "x", nil // the one in /etc/shadow holds
			}
			return "!", nil
		})
	}
	for _, s := range shadows {
		if s.Hash == "" {
			accountField(d, "/etc/shadow", s.Name, 1, func(string) (string, error) { return "!", nil })
		}
	}
	after, err := logins(d.Host)
	if err != nil {
		d.Fail(err)
	}
	able, err := sudoers(d.Host)
	for _, s := range able {
		if at := slices.IndexFunc(after, func(l login) bool { return l.Name == s.Name }); err == nil && at >= 0 && s.anything && !s.free && after[at].LoginShell() && after[at].shadowed && after[at].shadow.Hash == "!" {
			d.Refuse("passwd "+s.Name, "%s becomes root with sudo, and could not type a password any more", s.Name)
		}
	}
	rootStays(d, h)
	return accountsFelt(d)
}

// moveToShadow moves passwords to where root alone reads them, as pwconv does.
func moveToShadow(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Moves the passwords from /etc/passwd, which everybody can read, to /etc/shadow. Change them afterwards: they may have been read.", "")
	users, err := h.Users()
	if err != nil {
		return finding.Fix{}, err
	}
	if _, err := h.Shadow(); err != nil {
		return finding.Fix{}, fix.Refuse("pwconv", "/etc/shadow cannot be read: %v", err)
	}
	for _, u := range users {
		if u.Password == "x" || u.Password == "" || facts.ParsePassword(u.Password).Kind == facts.PasswordNone {
			continue
		}
		accountField(d, "/etc/passwd", u.Name, 1, func(string) (string, error) { return "x", nil })
		d.Edit("/etc/shadow", func(text string) (string, error) {
			lines := strings.SplitAfter(text, "\n")
			for n, line := range lines {
				if f := strings.SplitN(line, ":", 3); f[0] == u.Name && len(f) == 3 {
					lines[n] = f[0] + ":" + u.Password + ":" + f[2]
					return strings.Join(lines, ""), nil
				}
			}
			if text != "" && !strings.HasSuffix(text, "\n") {
				text += "\n"
			}
			return text + fmt.Sprintf("%s:%s:%d:0:99999:7:::\n", u.Name, u.Password, h.Now.Unix()/86400), nil
		})
	}
	d.Secret("/etc/passwd")
	d.Secret("/etc/shadow")
	rootStays(d, h)
	return accountsFelt(d)
}

// removeMember takes an account out of a group.
func removeMember(d *fix.Draft, group, name string) {
	without := func(list string) (string, error) {
		names := strings.Split(list, ",")
		return strings.Join(slices.DeleteFunc(names, func(n string) bool { return strings.TrimSpace(n) == name }), ","), nil
	}
	accountField(d, "/etc/group", group, 3, without)
	there, err := d.Host.Exists("/etc/gshadow")
	if err != nil {
		d.Fail(err)
	}
	if there && strings.Contains("\n"+d.Text("/etc/gshadow"), "\n"+group+":") {
		accountField(d, "/etc/gshadow", group, 2, without)
		accountField(d, "/etc/gshadow", group, 3, without)
	}
}

// emptyShadowGroup takes everybody out of the group that may read the passwords.
func emptyShadowGroup(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Takes everybody out of the group that may read the passwords.",
		"A program that reads them as one of these accounts, as some chat and mail servers do, cannot check passwords any more.")
	groups, err := h.Groups()
	if err != nil {
		return finding.Fix{}, err
	}
	users, err := h.Users()
	if err != nil {
		return finding.Fix{}, err
	}
	for _, g := range groups {
		if g.Name != "shadow" {
			continue
		}
		for _, u := range users {
			if u.GID == g.GID {
				return finding.Fix{}, fix.Refuse("usermod -g GROUP "+u.Name, "shadow is the own group of %s, which needs another", u.Name)
			}
		}
		for _, m := range g.Members {
			removeMember(d, "shadow", m)
		}
	}
	d.Validate("accounts")
	return d.Fix()
}

// closeRootPath lets nobody else write where root finds its commands.
func closeRootPath(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Lets nobody but root put programs where root finds its commands.",
		"Whoever installed programs there without sudo needs it.")
	for _, e := range accountsRootPath().Judge(h).Evidence {
		dir, _, open := strings.Cut(e.Value, ": open to others: ")
		if !open {
			return finding.Fix{}, fix.Refuse("take that part out of PATH", "what %s:%d puts into root's PATH depends on where root stands (%s)", e.File, e.Line, e.Value)
		}
		info, err := h.Stat(dir)
		if err != nil {
			return finding.Fix{}, err
		}
		if info.UID != 0 {
			return finding.Fix{}, fix.Refuse(fmt.Sprintf("take it out of PATH in %s:%d, or give it to root after a look at what lies in it", e.File, e.Line), "%s belongs to somebody else, whose programs lie in it", dir)
		}
		d.Mode(dir, facts.ModeBits(info.Mode)&^0o022)
	}
	return d.Fix()
}

// closeDotfiles lets nobody else write what runs at a login.
func closeDotfiles(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Lets nobody else change what runs when a person logs in, and takes away the files that let other machines in without a password.",
		"Old programs that came in by .rhosts or .shosts need a key.")
	for _, e := range accountsDotfiles().Judge(h).Evidence {
		info, err := h.Lstat(e.File)
		if err != nil {
			return finding.Fix{}, err
		}
		base := path.Base(e.File)
		switch {
		case base == ".forward":
			return finding.Fix{}, fix.Refuse("say in /etc/aliases where that mail goes, then take the file away", "%s says where somebody's mail goes, which would stay here without it", e.File)
		case base == ".rhosts" || base == ".shosts":
			d.Delete(e.File)
		case strings.HasPrefix(e.Value, "it belongs"):
			return finding.Fix{}, fix.Refuse("read it, then chown it", "somebody else wrote %s, and what it says would run in its owner's name", e.File)
		case base == ".netrc":
			d.Mode(e.File, facts.ModeBits(info.Mode)&^0o077)
		default:
			d.Mode(e.File, facts.ModeBits(info.Mode)&^0o022)
		}
	}
	return d.Fix()
}

// assign gives a name a value in a file of lines NAME VALUE, or with a sign between them:
// in the line that holds, or at the end.
func assign(d *fix.Draft, file, name, sign, value string, now facts.Setting) {
	line := name + sign + value + "\n"
	if now.Path == file && now.Line > 0 {
		relined(d, file, now.Line, func(string) string { return line })
		return
	}
	text := d.Text(file)
	if text == "" {
		d.Write(file, 0o644, line)
		return
	}
	d.Edit(file, func(text string) (string, error) {
		if !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		return text + line, nil
	})
}

// loginDefs gives a name of /etc/login.defs a value.
func loginDefs(d *fix.Draft, name, value string) {
	defs, err := d.Host.LoginDefs()
	if err != nil {
		d.Fail(err)
		return
	}
	now := defs[name]
	assign(d, "/etc/login.defs", name, "\t", value, now)
}

// strongHashes has new passwords kept in a way that is slow to guess.
func strongHashes(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has passwords that are set from now on kept in a way that is slow to guess.", "")
	method := "SHA512"
	if r, err := h.Release(); err == nil {
		for id, since := range map[string]int{"debian": 11, "raspbian": 11, "ubuntu": 22} {
			if r.ID == id && versionAtLeast(r.Version, since) {
				method = "YESCRYPT"
			}
		}
	}
	defs, err := h.LoginDefs()
	if err != nil {
		return finding.Fix{}, err
	}
	if now, ok := defs["ENCRYPT_METHOD"]; !ok || !slowMethod(now.Value) {
		loginDefs(d, "ENCRYPT_METHOD", method)
	}
	stack, err := h.PAM("passwd")
	for _, l := range stack {
		if err != nil || l.Type != "password" || l.Module != "pam_unix.so" || !l.Reached {
			continue
		}
		for _, word := range []string{"sha256", "md5", "bigcrypt"} {
			if _, ok := l.Arg(word); ok {
				replaceWord(d, l.File, l.Line, word, strings.ToLower(method))
			}
		}
	}
	return d.Fix()
}

// noShells takes the shell from accounts of programs.
func noShells(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Takes the shell from accounts of programs.",
		"A program that is started as one of them by \"su\" instead of systemd or cron does not start.")
	shell, err := nologin(h)
	if err != nil {
		return finding.Fix{}, err
	}
	all, err := logins(h)
	if err != nil {
		return finding.Fix{}, err
	}
	for _, e := range accountsSystemShell().Judge(h).Evidence {
		name, _, _ := strings.Cut(e.Value, ": ")
		if slices.ContainsFunc(all, func(l login) bool { return l.Name == name && l.password.Usable() }) {
			return finding.Fix{}, fix.Refuse("passwd -l "+name+", if nobody logs in by it", "%s has a password: somebody seems to log in by that account", name)
		}
		accountField(d, "/etc/passwd", name, 6, func(string) (string, error) { return shell, nil })
	}
	return accountsFelt(d)
}

// lockRoot locks root's password where somebody else can become root.
func lockRoot(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Locks root's password, which is kept weakly: root is become with sudo alone.",
		"When the machine does not start, its emergency shell asks for root's password and lets nobody in: it has to be started with init=/bin/bash, or from another medium.")
	if v := accountsSudoUserExists().Judge(h); v.Result != finding.Pass {
		return finding.Fix{}, fix.Refuse("passwd root", "nobody but root can become root here")
	}
	lockPassword(d, "root")
	rootStays(d, h)
	return accountsFelt(d)
}

// closeHomes closes people's homes to others.
func closeHomes(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Closes people's homes to others.",
		"Programs of other accounts that read or serve files in a home need to be let in.")
	for _, e := range accountsHomeExists().Judge(h).Evidence {
		if !strings.HasPrefix(e.Value, "mode ") {
			return finding.Fix{}, fix.Refuse("mkhomedir_helper NAME makes a home, chown gives it to its owner", "%s: %s, and whose files are to lie there is yours to say", e.File, e.Value)
		}
		info, err := h.Stat(e.File)
		if err != nil {
			return finding.Fix{}, err
		}
		if home, err := h.Resolve(e.File); err == nil && h.HADir != "" && strings.HasPrefix(h.HADir+"/", home+"/") {
			ha, err := h.Stat(h.HADir)
			if err != nil {
				return finding.Fix{}, err
			}
			if ha.UID != info.UID && ha.UID != 0 {
				return finding.Fix{}, fix.Refuse("move it out of that home", "Home Assistant's files lie in %s and belong to another account, which would not reach them", e.File)
			}
		}
		away := uint32(0o027)
		if there, err := h.Exists(path.Join(e.File, "public_html")); err != nil {
			return finding.Fix{}, err
		} else if there {
			away = 0o026
		}
		d.Mode(e.File, facts.ModeBits(info.Mode)&^away)
	}
	return d.Fix()
}

// lockWithoutShell locks the passwords of accounts that have no shell.
func lockWithoutShell(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Locks the passwords of accounts that have no shell.", "")
	services, err := h.PAMServices()
	if err != nil {
		return finding.Fix{}, err
	}
	for _, s := range services {
		if slices.Contains([]string{"dovecot", "vsftpd", "proftpd", "pure-ftpd", "ftp", "imap", "pop", "pop3", "smtp", "samba", "cyrus", "xmpp", "prosody", "openvpn"}, s) {
			return finding.Fix{}, fix.Refuse("lock the ones that nobody uses: passwd -l NAME", "%s asks for this machine's passwords, also of accounts that have no shell", s)
		}
	}
	for _, e := range accountsNologinLocked().Judge(h).Evidence {
		name, _, _ := strings.Cut(e.Value, ": ")
		lockPassword(d, name)
	}
	return accountsFelt(d)
}

// warnOfAge has people told a week before their password runs out.
func warnOfAge(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has people of new accounts told a week before their password runs out.", "")
	loginDefs(d, "PASS_WARN_AGE", "7")
	return d.Fix()
}

// closedFiles keeps new files from everybody.
func closedFiles(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Keeps files that people make from now on from everybody else.",
		"What is made in a shell for another account's program, as a web server's, has to be opened to it by hand.")
	u, err := systemUmask(h)
	if err != nil {
		return finding.Fix{}, err
	}
	if u.Value == "pam_umask" || strings.HasPrefix(u.Value, "UMASK") {
		stack, err := h.PAM("login")
		if err != nil {
			return finding.Fix{}, err
		}
		for _, l := range stack {
			if value, ok := l.Arg("umask"); ok && l.Module == "pam_umask.so" && l.Type == "session" && l.Reached {
				replaceWord(d, l.File, l.Line, "umask="+value, "umask=027")
				return d.Fix()
			}
		}
		loginDefs(d, "UMASK", "027")
		return d.Fix()
	}
	// The last file that the shell reads holds.
	d.Write("/etc/profile.d/zz-gatehouse-umask.sh", 0o644, "# Written by gatehouse; \"gatehouse undo\" takes it back.\numask 027\n")
	return d.Fix()
}

// closedRootFiles keeps what root writes from everybody.
func closedRootFiles(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Keeps files that root makes in a shell from everybody else.",
		"What root puts down for other accounts has to be opened to them by hand (chmod).")
	home, err := rootHome(h)
	if err != nil {
		return finding.Fix{}, err
	}
	for _, name := range []string{".bash_profile", ".bash_login", ".profile", ".bashrc"} {
		file := path.Join(home, name)
		there, err := h.Exists(file)
		if err != nil {
			return finding.Fix{}, err
		}
		for range 20 {
			mask, line, err := umaskIn(d.Host, file)
			if err != nil {
				return finding.Fix{}, err
			}
			if line == 0 || mask&0o027 == 0o027 {
				break
			}
			t, err := d.Host.Text(file)
			if err != nil {
				return finding.Fix{}, err
			}
			if words := strings.Fields(t.Lines[line-1]); len(words) < 2 || words[0] != "umask" {
				return finding.Fix{}, fix.Refuse("", "%s:%d sets it among other things", file, line)
			}
			remark(d, file, line)
		}
		if !there && name != ".bashrc" && name != ".profile" {
			continue
		}
		if mask, line, err := umaskIn(d.Host, file); err != nil {
			return finding.Fix{}, err
		} else if line == 0 || mask&0o027 != 0o027 {
			text := d.Text(file)
			if text != "" && !strings.HasSuffix(text, "\n") {
				text += "\n"
			}
			d.Write(file, 0o644, text+"umask 027\n")
		}
	}
	return d.Fix()
}

// shellsEnd has a shell that is left alone end.
func shellsEnd(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Ends a shell that nobody has typed in for a quarter of an hour.",
		"What waits at such a shell ends with it.")
	d.Write("/etc/profile.d/zz-gatehouse-tmout.sh", 0o644, "# Written by gatehouse; \"gatehouse undo\" takes it back.\nTMOUT=900\nreadonly TMOUT\nexport TMOUT\n")
	return d.Fix()
}
