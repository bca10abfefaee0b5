package checks

import (
	"fmt"
	"slices"
	"strings"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

// sshDropIn is where a repair says its settings: before the other files of its directory,
// because sshd takes the first value that it reads.
const sshDropIn = "/etc/ssh/sshd_config.d/00-gatehouse.conf"

// sshRepair drafts a fix that gives a setting a value for everybody of a kind of peers.
func sshRepair(does, breaks, keyword, value string, peer facts.SSHPeer, good func(facts.SSHDValue) bool, before ...func(*fix.Draft)) func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, does, breaks)
		for _, condition := range before {
			condition(d)
		}
		sshSet(d, keyword, value, peer, good)
		sshFelt(d)
		return d.Fix()
	}
}

// sshSet has sshd take a value: by a file that it reads first, and where something still
// says otherwise, as a Match block does, by making a remark of that line.
func sshSet(d *fix.Draft, keyword, value string, peer facts.SSHPeer, good func(facts.SSHDValue) bool) {
	const most = 50 // lines that say otherwise
	said := false
	for range most {
		s, err := d.Host.SSHD()
		if err != nil {
			d.Fail(err)
			return
		}
		all, err := s.Values(strings.ToLower(keyword), peer)
		if err != nil {
			d.Fail(err)
			return
		}
		n := slices.IndexFunc(all, func(v facts.SSHDValue) bool { return !good(v) })
		if n < 0 {
			idle := slices.IndexFunc(s.Useless, func(l facts.SSHDLine) bool { return said && l.Keyword == strings.ToLower(keyword) })
			if idle < 0 {
				return
			}
			// What no longer holds would make its owner believe otherwise.
			remark(d, s.Useless[idle].File, s.Useless[idle].Line)
			continue
		}
		switch bad := all[n]; {
		case bad.Match == "" && !said:
			said = true
			sshSay(d, s, keyword, value)
		case bad.Explicit:
			remark(d, bad.File, bad.Line)
		default:
			d.Refuse("", "sshd cannot be told %s %s with certainty", keyword, value)
		}
		if _, err := d.Fix(); err != nil {
			return
		}
	}
	d.Refuse("", "too many lines set %s", keyword)
}

// sshSay writes a setting where sshd reads it before all others.
func sshSay(d *fix.Draft, s *facts.SSHD, keyword, value string) {
	line := keyword + " " + value + "\n"
	if included, err := sshIncludes(d.Host); err != nil {
		d.Fail(err)
		return
	} else if !included {
		d.Edit(facts.SSHDConfig, func(text string) (string, error) { return line + text, nil })
		return
	}
	text := d.Text(sshDropIn)
	if text == "" {
		text = "# Written by gatehouse; \"gatehouse undo\" takes it back.\n"
	}
	var kept []string
	for l := range strings.Lines(text) {
		if word, _, _ := strings.Cut(strings.TrimSpace(l), " "); !strings.EqualFold(word, keyword) {
			kept = append(kept, l)
		}
	}
	d.Write(sshDropIn, 0o644, strings.Join(kept, "")+line)
}

// sshIncludes reports whether sshd reads its directory of drop-ins before anything that is set.
func sshIncludes(h *facts.Host) (bool, error) {
	t, err := h.Text(facts.SSHDConfig)
	if err != nil {
		return false, err
	}
	for _, line := range t.Lines {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0][0] == '#':
			continue
		case strings.EqualFold(words[0], "Include") && slices.ContainsFunc(words[1:], func(w string) bool {
			return strings.Trim(w, `"`) == "/etc/ssh/sshd_config.d/*.conf" || strings.Trim(w, `"`) == "sshd_config.d/*.conf"
		}):
			return true, nil
		}
		return false, nil
	}
	return false, nil
}

// remark makes a remark of a line.
func remark(d *fix.Draft, file string, line int) {
	d.Edit(file, func(text string) (string, error) {
		lines := strings.SplitAfter(text, "\n")
		if line < 1 || line > len(lines) {
			return "", fmt.Errorf("there is no line %d", line)
		}
		lines[line-1] = "# (gatehouse) " + lines[line-1]
		return strings.Join(lines, ""), nil
	})
}

// sshFelt has sshd look at its configuration and take it up. Whatever changes who comes in
// is on trial.
func sshFelt(d *fix.Draft) {
	d.Guard()
	d.Validate("sshd")
	unit := "ssh.service"
	if _, there, err := d.Host.UnitFile("sshd.service"); err == nil && there {
		if _, debian, err := d.Host.UnitFile("ssh.service"); err == nil && !debian {
			unit = "sshd.service"
		}
	}
	d.Unit("try-reload-or-restart", unit)
}

// sshSomebodyGetsIn makes sure that somebody who may become root still comes in: with a key,
// or where that is allowed with a password.
func sshSomebodyGetsIn(password bool) func(*fix.Draft) {
	return func(d *fix.Draft) {
		all, err := logins(d.Host)
		if err != nil {
			d.Fail(err)
			return
		}
		able, err := sudoers(d.Host)
		if err != nil {
			d.Fail(err)
			return
		}
		for _, s := range able {
			at := slices.IndexFunc(all, func(l login) bool { return l.Name == s.Name })
			if !s.anything || at < 0 {
				continue
			}
			l := all[at]
			if !l.LoginShell() || l.shadowed && l.shadow.Expired(d.Host.Now) || !l.password.Usable() && !s.free {
				continue
			}
			keys, err := keysOf(d.Host, l.User)
			if err != nil {
				d.Fail(err)
				return
			}
			if keys > 0 || password && l.password.Usable() {
				return
			}
		}
		what := "a key in ~/.ssh/authorized_keys"
		if password {
			what = "a password or a key"
		}
		d.Refuse("give an account that is in the group sudo "+what+", log in with it once, then try again", "nobody but root could log in and become root afterwards: there is no account with sudo and %s", what)
	}
}
