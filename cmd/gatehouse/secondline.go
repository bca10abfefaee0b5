package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"gatehouse/internal/ha"
	"gatehouse/internal/ha/client"
)

// Home Assistant can shut out addresses as well. Its bans never end, and its counts never
// age, so it is the second line: it strikes after ten wrong passwords, when the guard has
// been passed over. Where it would strike with the guard's threshold or before, somebody of
// the house who mistypes would be shut out for good.

// secondLineAt is the number of wrong passwords after which Home Assistant shuts out an address.
const secondLineAt = 10

// banning is how Home Assistant shuts out addresses. The zero value is not known.
type banning struct {
	Known    bool `json:"known"`
	Enabled  bool `json:"enabled"`  // ip_ban_enabled
	Attempts int  `json:"attempts"` // login_attempts_threshold; below 1 it never does
}

func banningOf(o client.Options) banning {
	enabled, attempts := o.Banning()
	return banning{true, enabled, attempts}
}

// isSecondLine reports whether Home Assistant shuts addresses out behind the guard, whose
// threshold is given: later than it, and still after ten at most.
func (b banning) isSecondLine(threshold int) bool {
	return b.Enabled && b.Attempts <= secondLineAt && (b.Attempts > threshold || b.Attempts == secondLineAt)
}

// words says after how many wrong passwords it does so.
func (b banning) words() string {
	switch {
	case !b.Known:
		return "nobody knows when"
	case !b.Enabled || b.Attempts < 1:
		return "never"
	case b.Attempts == 1:
		return "after 1 wrong password"
	}
	return "after " + strconv.Itoa(b.Attempts) + " wrong passwords"
}

// takeSecondLine has a stance say what Home Assistant's own ban is to be while it is behind us.
// Where visitors share an address, Home Assistant would shut out all of them: it is left alone.
func (s *stance) takeSecondLine(threshold int, shared bool) {
	s.SecondLine = s.Was.Banning.Known && !shared && !s.Was.Banning.isSecondLine(threshold)
}

// withSecondLine are Home Assistant's settings with its own ban as the stance has it.
func (s stance) withSecondLine(o client.Options) client.Options {
	if !s.SecondLine {
		return o
	}
	return o.WithBanning(true, secondLineAt)
}

// withoutSecondLine are Home Assistant's settings as they were before, unless somebody has set
// them otherwise meanwhile.
func (s stance) withoutSecondLine(o client.Options) client.Options {
	if !s.SecondLine || banningOf(o) != (banning{true, true, secondLineAt}) {
		return o
	}
	return o.WithBanning(s.Was.Banning.Enabled, s.Was.Banning.Attempts)
}

// The options of Home Assistant's own ban.
const (
	optionBan      = "ip_ban_enabled"
	optionAttempts = "login_attempts_threshold"
)

// setBanning has configuration.yaml say how Home Assistant shuts addresses out. undo writes
// what was there.
func setBanning(dir string, b banning) (undo func() error, err error) {
	undo = func() error { return nil }
	for _, o := range []struct{ option, value string }{
		{optionBan, strconv.FormatBool(b.Enabled)}, {optionAttempts, strconv.Itoa(b.Attempts)},
	} {
		back, err := setYAML(dir, o.option, o.value)
		if err != nil {
			return nil, errors.Join(err, undo())
		}
		before := undo
		undo = func() error { return errors.Join(back(), before()) }
	}
	return undo, nil
}

// setYAML has an http option in configuration.yaml say something; what is the default already
// is left out.
func setYAML(dir, option, value string) (undo func() error, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, cannotEdit(err)
	}
	defer root.Close()
	now, err := ha.ReadSettings(homeFiles{root})
	if err != nil {
		return nil, cannotEdit(err)
	}
	is := map[string]string{optionBan: strconv.FormatBool(now.HTTP.IPBanEnabled), optionAttempts: strconv.Itoa(now.HTTP.LoginAttemptsThreshold)}
	if is[option] == value {
		return func() error { return nil }, nil
	}
	var values []string
	if value != map[string]string{optionBan: "true", optionAttempts: "-1"}[option] {
		values = []string{value}
	}
	name, before, after, err := ha.SetHTTP(homeFiles{root}, option, values...)
	if err == nil {
		err = replaceIn(dir, name, before, after)
	}
	if err != nil {
		return nil, cannotEdit(fmt.Errorf("%s: %w", option, err))
	}
	return func() error { return replaceIn(dir, name, after, before) }, nil
}

// editHome has configuration.yaml say how Home Assistant is to listen and, where b is known,
// how it shuts addresses out. undo writes what was there. said is why only a person can do
// the latter: that is no reason to stop.
func editHome(dir string, l ha.Listener, b banning) (undo func() error, said, err error) {
	undoListener, err := editYAML(dir, l)
	if err != nil || !b.Known {
		return undoListener, nil, err
	}
	undoBanning, err := setBanning(dir, b)
	if err != nil {
		return undoListener, err, nil
	}
	return func() error { return errors.Join(undoBanning(), undoListener()) }, nil, nil
}

// back is how Home Assistant is to shut addresses out once it has its own listener back: not
// known where that was not changed.
func (d houseDocument) back() banning {
	if !d.SecondLine {
		return banning{}
	}
	return d.Was.Banning
}

// ifOurs is b where the files of Home Assistant say what we had them say, and not known where
// somebody has set it otherwise meanwhile.
func (b banning) ifOurs(dir string) banning {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return banning{}
	}
	defer root.Close()
	now, err := ha.ReadSettings(homeFiles{root})
	if err != nil || !now.HTTP.IPBanEnabled || now.HTTP.LoginAttemptsThreshold != secondLineAt {
		return banning{}
	}
	return b
}

// editStoredHome has Home Assistant's own storage say how to listen and, where b is known, how
// it shuts addresses out. It is not running. Where the latter cannot be said, the former is
// all the same.
func editStoredHome(dir string, l ha.Listener, b banning) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	before, err := root.ReadFile(storedHTTP)
	if err != nil {
		return err
	}
	after, err := ha.EditStoredHTTP(before, l)
	if err != nil {
		return err
	}
	var unsaid error
	if b.Known {
		var both []byte
		if both, unsaid = b.inStored(after); unsaid == nil {
			after = both
		}
	}
	return errors.Join(replaceIn(dir, storedHTTP, before, after), unsaid)
}

// inStored is the text of Home Assistant's own storage with b in it.
func (b banning) inStored(text []byte) ([]byte, error) {
	options, err := ha.StoredOptions(text)
	if err == nil {
		options, err = ha.WithOption(options, optionBan, b.Enabled)
	}
	if err == nil {
		options, err = ha.WithOption(options, optionAttempts, b.Attempts)
	}
	if err != nil {
		return nil, err
	}
	return ha.WithStoredOptions(text, options)
}

// sharesAddress reports whether visitors come from an address that many share.
func (s *server) sharesAddress() bool { return len(s.guard.Status().Shared) > 0 }
