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

// sshWish is a value that a setting shall have, and which others are as good.
type sshWish struct {
	keyword, value string
	good           func(facts.SSHDValue) bool
}

// sshRepair drafts a fix that gives settings a value for everybody. kept are conditions on
// the home as it would be then, beside the one as it was.
func sshRepair(does, breaks string, wishes []sshWish, kept ...func(d *fix.Draft, was *facts.Host)) func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, does, breaks)
		for _, w := range wishes {
			sshSet(d, w.keyword, w.value, facts.SSHPeer{}, w.good)
		}
		for _, condition := range kept {
			condition(d, h)
		}
		sshFelt(d, h)
		return d.Fix()
	}
}

// sshYes is a wish for one word alone.
func sshYes(keyword, value string) []sshWish {
	return []sshWish{{keyword, value, sshIs(value)}}
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
			sshRemark(d, s.Useless[idle].File, s.Useless[idle].Line)
			continue
		}
		switch bad := all[n]; {
		case bad.Explicit && strings.EqualFold(keyword, "MaxStartups"):
			sshRemark(d, bad.File, bad.Line) // which of several holds is not known of every release
		case bad.Match == "" && !said:
			said = true
			sshSay(d, keyword, value)
		case bad.Explicit:
			sshRemark(d, bad.File, bad.Line)
		default:
			d.Refuse("", "sshd cannot be told %s %s with certainty", keyword, value)
		}
		if _, err := d.Fix(); err != nil {
			return
		}
	}
	d.Refuse("", "too many lines set %s", keyword)
}

// sshRemark makes a remark of a line of sshd's files. What its unit hands over on the
// command line is one line with the port and all else, and is left alone.
func sshRemark(d *fix.Draft, file string, line int) {
	if file == "/etc/default/ssh" || file == "/etc/sysconfig/sshd" {
		d.Refuse("take the option out of that line", "%s:%d sets it on the command line, which comes before every file", file, line)
		return
	}
	remark(d, file, line)
}

// sshSay writes a setting where sshd reads it before all others.
func sshSay(d *fix.Draft, keyword, value string) {
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
func remark(d *fix.Draft, file string, line int, known ...string) {
	relined(d, file, line, func(l string) string { return "# (gatehouse) " + l }, known...)
}

// relined changes one line, its end with it; "" takes it away.
func relined(d *fix.Draft, file string, line int, change func(string) string, known ...string) {
	d.Edit(file, func(text string) (string, error) {
		lines := strings.SplitAfter(text, "\n")
		if line < 1 || line > len(lines) {
			return "", fmt.Errorf("there is no line %d", line)
		}
		lines[line-1] = change(lines[line-1])
		return strings.Join(lines, ""), nil
	}, known...)
}

// sshFelt has sshd look at its configuration and take it up. Whatever changes how it lets
// people in is on trial, and where it listens stays as it was.
func sshFelt(d *fix.Draft, was *facts.Host) {
	d.Guard()
	for _, keyword := range []string{"port", "listenaddress", "addressfamily"} {
		before, err := sshSays(was, keyword)
		if err != nil {
			continue // it was no configuration to start with, which is what is repaired
		}
		if after, err := sshSays(d.Host, keyword); err != nil || after != before {
			d.Refuse("", "sshd would listen elsewhere afterwards: %s", keyword)
		}
	}
	d.Validate("sshd")
	unit := "ssh.service"
	if _, there, err := d.Host.UnitFile("sshd.service"); err == nil && there {
		if _, debian, err := d.Host.UnitFile("ssh.service"); err == nil && !debian {
			unit = "sshd.service"
		}
	}
	d.Unit("try-reload-or-restart", unit)
}

func sshSays(h *facts.Host, keyword string) (string, error) {
	s, err := h.SSHD()
	if err != nil {
		return "", err
	}
	v, err := s.Value(keyword, facts.SSHPeer{})
	return v.Value, err
}

// sshSomebodyGetsIn makes sure that afterwards somebody comes in who may become root: with
// a key, or where that is asked for with a password as well. Root counts where rootToo.
func sshSomebodyGetsIn(password, rootToo bool) func(*fix.Draft, *facts.Host) {
	return func(d *fix.Draft, _ *facts.Host) {
		if _, err := d.Fix(); err != nil {
			return
		}
		in, kept, err := sshEntrants(d.Host)
		if err != nil {
			d.Fail(err)
			return
		}
		if slices.ContainsFunc(in, func(e sshEntrant) bool { return (e.key || password && e.password) && (rootToo || !e.root) }) {
			return
		}
		what, who := "a key in ~/.ssh/authorized_keys", "nobody but root"
		if password {
			what = "a password or a key"
		}
		if rootToo {
			who = "nobody"
		}
		why := "there is no account with sudo and " + what
		if kept = slices.DeleteFunc(kept, func(k string) bool { return !rootToo && strings.HasPrefix(k, "root ") || k == "root has no key" }); len(kept) > 0 {
			why = strings.Join(kept[:min(3, len(kept))], "; ")
		}
		d.Refuse("give an account that is in the group sudo "+what+", log in with it once, then try again", "%s could log in and become root afterwards: %s", who, why)
	}
}

// sshAllGetIn makes sure that everybody who came in and may become root still does.
func sshAllGetIn(d *fix.Draft, was *facts.Host) {
	if _, err := d.Fix(); err != nil {
		return
	}
	before, _, err := sshEntrants(was)
	if err != nil {
		d.Fail(err)
		return
	}
	after, kept, err := sshEntrants(d.Host)
	if err != nil {
		d.Fail(err)
		return
	}
	for _, b := range before {
		if slices.ContainsFunc(after, func(a sshEntrant) bool { return a.name == b.name && (a.key || b.password && a.password) }) {
			continue
		}
		why := "nothing that is left would let them in"
		if n := slices.IndexFunc(kept, func(k string) bool { return strings.HasPrefix(k, b.name+" ") }); n >= 0 {
			why = kept[n]
		}
		d.Refuse("give "+b.name+" a key that is accepted, log in with it once, then try again", "%s could not log in afterwards: %s", b.name, why)
		return
	}
}

// sshKeysStay makes sure that each list of keys that was taken still is.
func sshKeysStay(d *fix.Draft, was *facts.Host) {
	if _, err := d.Fix(); err != nil {
		return
	}
	files, err := was.AuthorizedKeyFiles()
	if err != nil {
		d.Fail(err)
		return
	}
	groups, err := was.Groups()
	if err != nil {
		d.Fail(err)
		return
	}
	for _, f := range files {
		if len(f.Keys) == 0 && f.Err == nil {
			continue
		}
		var own []int
		for _, g := range facts.GroupsOf(f.User, groups) {
			own = append(own, g.GID)
		}
		if why := sshDistrusts(d.Host, f.Path, f.User, own, true); why != "" {
			d.Refuse("give it to its owner and take the right to write from others (chmod go-w), then try again", "the keys of %s would not be taken any more: %s", f.User.Name, why)
			return
		}
	}
}

// sshNoSecondFactor leaves a home alone where that way of asking is for more than a password.
func sshNoSecondFactor(d *fix.Draft, was *facts.Host) {
	stack, err := was.PAM("sshd")
	if err != nil {
		return // no stack, no factor
	}
	for _, l := range stack {
		if l.Type == "auth" && l.Reached && slices.Contains(secondFactors(), l.Module) {
			d.Refuse(`say "AuthenticationMethods publickey,keyboard-interactive", so that a key is asked for too`, "%s:%d asks for a second factor that way", l.File, l.Line)
		}
	}
}

// sshWithoutWeak drafts a fix that takes what is weak out of lists of algorithms.
func sshWithoutWeak(does, breaks string, weak func(string) bool, keywords ...string) func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, does, breaks)
		s, err := h.SSHD()
		if err != nil {
			return finding.Fix{}, err
		}
		for _, keyword := range keywords {
			all, err := s.Values(strings.ToLower(keyword), facts.SSHPeer{})
			if err != nil {
				return finding.Fix{}, err
			}
			if !slices.ContainsFunc(all, func(v facts.SSHDValue) bool { return !sshWithout(weak)(v) }) {
				continue
			}
			value, err := sshStrong(d, s, keyword, all[len(all)-1], weak)
			if err != nil {
				return finding.Fix{}, err
			}
			sshSet(d, keyword, value, facts.SSHPeer{}, sshWithout(weak))
		}
		sshAllGetIn(d, h)
		sshHostKeyStays(d)
		sshFelt(d, h)
		return d.Fix()
	}
}

// sshStrong is a list without what is weak. now is what holds without any condition. Where
// the owner chose a list, the rest of it stays; otherwise it is what the installed release
// knows, less what is weak, so that it goes on with later releases.
func sshStrong(d *fix.Draft, s *facts.SSHD, keyword string, now facts.SSHDValue, weak func(string) bool) (string, error) {
	chosen := now.Explicit
	for _, l := range s.Lines(strings.ToLower(keyword)) {
		if len(l.Args) > 0 && strings.IndexByte("+-^", l.Args[0][0]) >= 0 {
			if l.Args[0][0] == '+' && slices.ContainsFunc(strings.Split(l.Args[0][1:], ","), weak) {
				sshRemark(d, l.File, l.Line)
			}
			chosen = chosen && (l.File != now.File || l.Line != now.Line)
		}
	}
	strong := slices.DeleteFunc(strings.Split(now.Value, ","), weak)
	if chosen && len(strong) > 0 {
		return strings.Join(strong, ","), nil
	}
	all, known := s.Algorithms(keyword)
	strong = slices.DeleteFunc(slices.Clone(all), weak)
	if !known || len(strong) == 0 {
		return "", fix.Refuse("install a newer OpenSSH", "nothing that is strong is known of this sshd's %s", keyword)
	}
	away := slices.DeleteFunc(all, func(name string) bool { return !weak(name) })
	if len(away) == 0 || !s.Release.AtLeast(7, 5) {
		return strings.Join(strong, ","), nil
	}
	return "-" + strings.Join(away, ","), nil
}

// sshHostKeyStays makes sure that the server still has a key to show who it is with.
func sshHostKeyStays(d *fix.Draft) {
	if _, err := d.Fix(); err != nil {
		return
	}
	keys, err := d.Host.SSHHostKeys()
	if err != nil {
		d.Fail(err)
		return
	}
	list, err := sshSays(d.Host, "hostkeyalgorithms")
	if err != nil {
		d.Fail(err)
		return
	}
	kinds := strings.Split(list, ",")
	for _, k := range keys {
		if slices.Contains(kinds, k.Type) || k.Type == "ssh-rsa" && (slices.Contains(kinds, "rsa-sha2-512") || slices.Contains(kinds, "rsa-sha2-256")) {
			return
		}
	}
	if len(keys) > 0 {
		d.Refuse("make an Ed25519 key: ssh-keygen -A", "the server would have no key left to show who it is with")
	}
}

// sshTunnelsStay makes sure that what an account for a tunnel may do stays with it.
func sshTunnelsStay(d *fix.Draft, was *facts.Host) {
	if _, err := d.Fix(); err != nil {
		return
	}
	accounts, before, err := tunnelAccounts(was)
	if err != nil {
		d.Fail(err)
		return
	}
	after, err := d.Host.SSHD()
	if err != nil {
		d.Fail(err)
		return
	}
	for _, a := range accounts {
		for _, k := range a.keys {
			for _, direction := range []string{"local", "remote"} {
				did, err := tunnelForwards(before, k, direction)
				if err != nil {
					d.Fail(err)
					return
				}
				if does, err := tunnelForwards(after, k, direction); err != nil || did && !does {
					d.Refuse(fmt.Sprintf("give it a block of its own at the end of %s: Match User %s, and in it AllowTcpForwarding yes", facts.SSHDConfig, a.user.Name), "the tunnel of %s would end (%s:%d)", a.user.Name, k.File, k.Line)
					return
				}
			}
		}
	}
}
