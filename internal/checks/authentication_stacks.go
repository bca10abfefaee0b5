package checks

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

// What several checks of PAM ask.

// errNoPAM says that nothing here asks PAM.
var errNoPAM = errors.New("there is no PAM here")

// passwordServices returns the stacks of the services at which people type passwords and
// that have one here; errNoPAM where there is not a single stack.
func passwordServices(h *facts.Host) ([]string, error) {
	all, err := h.PAMServices()
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errNoPAM
	}
	var some []string
	for _, s := range []string{"login", "sshd", "su", "su-l", "sudo", "sudo-i", "polkit-1", "cockpit", "gdm-password", "lightdm", "sddm", "kde", "xrdp-sesman", "vsftpd", "dovecot", "samba"} {
		if slices.Contains(all, s) {
			some = append(some, s)
		}
	}
	if len(some) == 0 {
		some = []string{"other"}
	}
	return some, nil
}

// faillock is what locks accounts after wrong passwords.
type faillock struct {
	settings map[string]facts.Setting
	first    *facts.PAMLine     // that looks before the password
	missing  []finding.Evidence // where passwords are asked for without it
}

// arg is a value of it: that of the stack, of its file, or what holds where neither says.
func (f faillock) arg(name, otherwise string) (string, finding.Evidence, bool) {
	if f.first != nil {
		if value, ok := f.first.Arg(name); ok {
			return value, finding.Evidence{File: f.first.File, Line: f.first.Line, Value: name + "=" + value}, true
		}
	}
	if s, ok := f.settings[name]; ok {
		return s.Value, finding.Evidence{File: s.Path, Line: s.Line, Value: name + " = " + s.Value}, true
	}
	return otherwise, finding.Evidence{File: "/etc/security/faillock.conf", Value: name + " is not set: " + otherwise}, false
}

// number is arg as a number.
func (f faillock) number(name string, otherwise int) (int, finding.Evidence, bool, error) {
	text, e, explicit := f.arg(name, strconv.Itoa(otherwise))
	n, err := strconv.Atoi(text)
	if text == "never" {
		n, err = 0, nil
	}
	if err != nil {
		err = fmt.Errorf("%s:%d: %s is not a number", e.File, e.Line, name)
	}
	return n, e, explicit, err
}

func faillockOf(h *facts.Host) (faillock, error) {
	services, err := passwordServices(h)
	if err != nil {
		return faillock{}, err
	}
	settings, err := h.PAMSettings("faillock")
	if err != nil {
		return faillock{}, err
	}
	f := faillock{settings: settings}
	for _, s := range services {
		stack, err := h.PAM(s)
		if err != nil {
			return faillock{}, err
		}
		var before, counts, asks *facts.PAMLine
		for n := range stack {
			l := &stack[n]
			if l.Type != "auth" || !l.Reached {
				continue
			}
			_, pre := l.Arg("preauth")
			_, fail := l.Arg("authfail")
			switch {
			case l.Module == "pam_unix.so" && asks == nil:
				asks = l
			case l.Module == "pam_faillock.so" && pre && asks == nil:
				before = l
			case l.Module == "pam_faillock.so" && fail && asks != nil:
				counts = l
			}
		}
		if asks == nil {
			continue // no passwords of this machine's
		}
		if before == nil || counts == nil {
			at := slices.IndexFunc(f.missing, func(e finding.Evidence) bool { return e.File == asks.File && e.Line == asks.Line })
			if at < 0 {
				f.missing = append(f.missing, finding.Evidence{File: asks.File, Line: asks.Line, Value: "pam_unix without pam_faillock before and after it, of " + s})
			} else {
				f.missing[at].Value += ", " + s
			}
		} else if f.first == nil {
			f.first = before
		}
	}
	return f, nil
}

// passwordLine is the first line that a module has in the stack of passwd, if it is come to.
func passwordLine(h *facts.Host, module string) (facts.PAMLine, bool, error) {
	services, err := h.PAMServices()
	if err != nil {
		return facts.PAMLine{}, false, err
	}
	if len(services) == 0 {
		return facts.PAMLine{}, false, errNoPAM
	}
	stack, err := h.PAM("passwd")
	if err != nil {
		return facts.PAMLine{}, false, err
	}
	for _, l := range stack {
		if l.Type == "password" && l.Module == module && l.Reached {
			return l, true, nil
		}
	}
	return facts.PAMLine{}, false, nil
}

// moduleNumber is a number that a line of a stack, or else a module's file, gives.
func moduleNumber(l facts.PAMLine, all map[string]facts.Setting, file, name string, otherwise int) (int, finding.Evidence, bool, error) {
	e := finding.Evidence{File: file, Value: fmt.Sprintf("%s is not set: %d", name, otherwise)}
	text, ok := l.Arg(name)
	switch s, found := all[name]; {
	case ok:
		e = finding.Evidence{File: l.File, Line: l.Line, Value: name + "=" + text}
	case found:
		text, e = s.Value, finding.Evidence{File: s.Path, Line: s.Line, Value: name + " = " + s.Value}
	default:
		return otherwise, e, false, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, e, true, fmt.Errorf("%s:%d: %s is not a number", e.File, e.Line, name)
	}
	return n, e, true, nil
}
