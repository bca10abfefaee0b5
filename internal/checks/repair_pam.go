package checks

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

// pamKnown are programs whose files an edit may be made in: they ask before they write
// over what somebody changed.
func pamKnown() []string { return []string{"pam-auth-update"} }

// replaceWord replaces a word of a line, or takes it away with the space before it.
func replaceWord(d *fix.Draft, file string, line int, word, by string) {
	form := regexp.MustCompile(`([ \t])` + regexp.QuoteMeta(word) + `([ \t\r\n]|$)`)
	changed := false
	relined(d, file, line, func(l string) string {
		var next string
		if by == "" {
			next = regexp.MustCompile(`[ \t]+`+regexp.QuoteMeta(word)+`([ \t\r\n]|$)`).ReplaceAllString(l, "$1")
		} else {
			next = form.ReplaceAllString(l, "${1}"+strings.ReplaceAll(by, "$", "$$")+"$2")
		}
		changed = next != l
		return next
	}, pamKnown()...)
	if !changed {
		d.Refuse("", "%s:%d goes over several lines", file, line)
	}
}

// noEmptyPasswords has logins take no empty password.
func noEmptyPasswords(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has logins take no empty password.", "")
	all, err := logins(h)
	if err != nil {
		return finding.Fix{}, err
	}
	for _, l := range all {
		if l.password.Usable() && l.password.Kind == facts.PasswordEmpty && l.LoginShell() {
			return finding.Fix{}, fix.Refuse("passwd "+l.Name, "%s has an empty password and could not log in afterwards", l.Name)
		}
	}
	for _, e := range authenticationNullok().Judge(h).Evidence {
		word := e.Value[strings.LastIndexByte(e.Value, ' ')+1:]
		replaceWord(d, e.File, e.Line, word, "")
	}
	d.Guard()
	return d.Fix()
}

// lockAfterWrong has accounts locked for a while after wrong passwords.
func lockAfterWrong(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Locks an account for a quarter of an hour after ten wrong passwords.",
		"Whoever can try passwords, as somebody in the house at its screen, can keep an account's owner out for that long; keys still work.")
	f, err := faillockOf(h)
	if err != nil {
		return finding.Fix{}, err
	}
	if len(f.missing) > 0 {
		there, err := h.PAMModule("pam_faillock.so")
		if err != nil {
			return finding.Fix{}, err
		}
		if !there {
			return finding.Fix{}, fix.Refuse("update the system: newer releases bring it", "pam_faillock is not installed")
		}
		for _, e := range f.missing {
			if e.File != "/etc/pam.d/common-auth" {
				return finding.Fix{}, fix.Refuse("on Red Hat: authselect enable-feature with-faillock", "%s:%d asks for passwords in a way of its own", e.File, e.Line)
			}
		}
		if err := faillockStack(d); err != nil {
			return finding.Fix{}, err
		}
	}
	for _, r := range []pwRule{{"deny", 3, 1, 10, 10}, {"unlock_time", 600, 600, 1800, 900}} {
		now, err := faillockOf(d.Host)
		if err != nil {
			return finding.Fix{}, err
		}
		if now.first == nil {
			return finding.Fix{}, fix.Refuse("", "the stack would not be asked")
		}
		n, _, explicit, err := now.number(r.name, r.otherwise)
		if err != nil {
			return finding.Fix{}, err
		}
		if !explicit || n < r.least || n > r.most {
			moduleSetting(d, *now.first, "/etc/security/faillock.conf", r.name, r.want, now.settings)
		}
	}
	d.Guard()
	return d.Fix()
}

// faillockStack puts pam_faillock around pam_unix, in a stack as Debian makes it and in no other.
func faillockStack(d *fix.Draft) error {
	stock := func(file string, want []string) (lines []int, ok bool) {
		t, err := d.Host.Text(file)
		if err != nil {
			return nil, false
		}
		for n, line := range t.Lines {
			line, _, _ = strings.Cut(line, "#")
			if words := strings.Fields(line); len(words) > 0 {
				if len(lines) == len(want) || !strings.HasPrefix(strings.Join(words, " "), want[len(lines)]) {
					return nil, false
				}
				lines = append(lines, n+1)
			}
			if len(lines) == len(want) {
				break // what comes after it decides nothing any more
			}
		}
		return lines, len(lines) == len(want)
	}
	auth, ok := stock("/etc/pam.d/common-auth", []string{"auth [success=1 default=ignore] pam_unix.so", "auth requisite pam_deny.so", "auth required pam_permit.so"})
	account, also := stock("/etc/pam.d/common-account", []string{"account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so", "account requisite pam_deny.so", "account required pam_permit.so"})
	if !ok || !also {
		return fix.Refuse("write a profile of pam_faillock for pam-auth-update", "the stacks of PAM are not those that Debian makes, and a wrong jump in them lets everybody in or nobody")
	}
	relined(d, "/etc/pam.d/common-auth", auth[0], func(l string) string {
		return "auth\trequisite\t\t\tpam_faillock.so preauth\n" + strings.Replace(l, "success=1", "success=2", 1) + "auth\t[default=die]\t\t\tpam_faillock.so authfail\n"
	}, pamKnown()...)
	relined(d, "/etc/pam.d/common-account", account[2], func(l string) string {
		return strings.TrimSuffix(l, "\n") + "\naccount\trequired\t\t\tpam_faillock.so\n"
	}, pamKnown()...)
	_, err := d.Fix()
	return err
}

// moduleSetting gives a setting of a module a value: in its line of the stack where that
// says it, and in its file otherwise.
func moduleSetting(d *fix.Draft, l facts.PAMLine, file, name string, value int, all map[string]facts.Setting) {
	text := strconv.Itoa(value)
	if now, ok := l.Arg(name); ok {
		replaceWord(d, l.File, l.Line, name+"="+now, name+"="+text)
		return
	}
	assign(d, file, name, " = ", text, all[name])
}

// lockRootToo has root locked after wrong passwords for a minute.
func lockRootToo(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Locks root, too, for a minute after wrong passwords.",
		"Whoever can try root's password can keep root out for that long, also at the screen.")
	f, err := faillockOf(h)
	if err != nil {
		return finding.Fix{}, err
	}
	if len(f.missing) > 0 || f.first == nil {
		return finding.Fix{}, fix.Refuse("gatehouse fix pam.faillock", "nothing locks accounts here yet")
	}
	moduleSetting(d, *f.first, "/etc/security/faillock.conf", "root_unlock_time", 60, f.settings)
	d.Guard()
	return d.Fix()
}

// longPasswords asks for long new passwords.
func longPasswords(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has new passwords be fourteen signs long.", "Shorter ones that are there stay; a new one has to be longer.")
	return pwquality(d, []pwRule{{"minlen", 8, 14, 1000, 14}, {"dcredit", 0, -100, 0, 0}, {"ucredit", 0, -100, 0, 0}, {"lcredit", 0, -100, 0, 0}, {"ocredit", 0, -100, 0, 0}, {"enforcing", 1, 1, 1, 1}})
}

// variedPasswords asks for new passwords that are not one sign again and again.
func variedPasswords(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has new passwords be neither one sign again and again nor like the last.", "A new password has to have three kinds of signs.")
	return pwquality(d, []pwRule{{"difok", 1, 2, 1000, 2}, {"maxrepeat", 0, 1, 3, 3}, {"maxsequence", 0, 1, 3, 3}, {"minclass", 0, 3, 4, 3}})
}

// pwRule is a setting of a module: its default, what is good, and what it shall be.
type pwRule struct {
	name                         string
	otherwise, least, most, want int
}

func pwquality(d *fix.Draft, rules []pwRule) (finding.Fix, error) {
	l, ok, err := passwordLine(d.Host, "pam_pwquality.so")
	if err != nil {
		return finding.Fix{}, err
	}
	there, err := d.Host.PAMModule("pam_pwquality.so")
	if err != nil {
		return finding.Fix{}, err
	}
	if !ok || !there {
		return finding.Fix{}, fix.Refuse("apt install libpam-pwquality", "pam_pwquality is not installed, or nothing asks it; a stack that names what is not there takes no new password at all")
	}
	for _, r := range rules {
		all, err := d.Host.PAMSettings("pwquality")
		if err != nil {
			return finding.Fix{}, err
		}
		n, _, _, err := moduleNumber(l, all, "/etc/security/pwquality.conf", r.name, r.otherwise)
		if err != nil {
			return finding.Fix{}, err
		}
		if n < r.least || n > r.most {
			moduleSetting(d, l, "/etc/security/pwquality.conf", r.name, r.want, all)
		}
	}
	return d.Fix()
}

// notTheLastFive has new passwords differ from the last five.
func notTheLastFive(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has a new password be none of the last five.", "")
	if l, ok, err := passwordLine(h, "pam_pwhistory.so"); err != nil {
		return finding.Fix{}, err
	} else if ok {
		all, err := h.PAMSettings("pwhistory")
		if err != nil {
			return finding.Fix{}, err
		}
		moduleSetting(d, l, "/etc/security/pwhistory.conf", "remember", 5, all)
		return d.Fix()
	}
	l, ok, err := passwordLine(h, "pam_unix.so")
	if err != nil {
		return finding.Fix{}, err
	}
	if !ok {
		return finding.Fix{}, fix.Refuse("", "this machine keeps no passwords")
	}
	if now, said := l.Arg("remember"); said {
		replaceWord(d, l.File, l.Line, "remember="+now, "remember=5")
	} else {
		relined(d, l.File, l.Line, func(line string) string {
			body, remark, found := strings.Cut(strings.TrimRight(line, "\r\n"), "#")
			if found {
				remark = " #" + remark
			}
			return strings.TrimRight(body, " \t") + " remember=5" + remark + "\n"
		}, pamKnown()...)
	}
	if there, err := h.Exists("/etc/security/opasswd"); err != nil {
		return finding.Fix{}, err
	} else if !there {
		d.Write("/etc/security/opasswd", 0o600, "") // where pam_unix keeps them
	}
	return d.Fix()
}

// suForFew lets the people of one group use su.
func suForFew(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Lets only the people who may use sudo use su.", "Everybody else cannot become another account any more, whose password they know.")
	groups, err := h.Groups()
	if err != nil {
		return finding.Fix{}, err
	}
	able, err := sudoers(h)
	if err != nil {
		return finding.Fix{}, err
	}
	group := ""
	for _, name := range []string{"sudo", "wheel"} {
		for _, s := range able {
			if group == "" && s.anything && slices.ContainsFunc(facts.GroupsOf(s.User, groups), func(g facts.Group) bool { return g.Name == name }) {
				group = name
			}
		}
	}
	if group == "" {
		return finding.Fix{}, fix.Refuse("adduser NAME sudo", "nobody is in the group sudo or wheel")
	}
	rootOK := regexp.MustCompile(`^auth[ \t]+sufficient[ \t]+pam_rootok\.so`)
	d.Edit("/etc/pam.d/su", func(text string) (string, error) {
		lines := strings.SplitAfter(text, "\n")
		for n, line := range lines {
			if words := strings.Fields(line); len(words) > 2 && words[0] == "auth" && words[2] == "pam_wheel.so" {
				return "", fix.Refuse("", "it has a rule of pam_wheel already, which says otherwise")
			}
			if rootOK.MatchString(line) {
				lines[n] = strings.TrimSuffix(line, "\n") + "\nauth       required   pam_wheel.so use_uid group=" + group + "\n"
				return strings.Join(lines, ""), nil
			}
		}
		return "", fix.Refuse("put pam_wheel where it belongs by hand", "it does not begin as su's stack does, and root itself could be kept out")
	}, pamKnown()...)
	d.Guard()
	return d.Fix()
}
