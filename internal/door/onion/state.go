package onion

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"
)

// trouble is why the door lets nobody in, and what to do.
type trouble struct{ why, hint string }

func (t *trouble) Error() string { return t.why }

// state is what is known of tor, for those who ask.
type state struct {
	trouble  *trouble // nil while all is well
	version  version
	power    string        // of work: why it is not on; empty if it is
	progress string        // of reaching the network; empty once it has
	warning  string        // of tor's about that
	skew     time.Duration // by how much tor found the clock to be wrong
	failed   map[string]string
}

// Why says why nobody can come in now, and what to do; empty if devices can.
func (d *Door) Why() (why, hint string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &d.state
	switch {
	case s.trouble != nil:
		return s.trouble.why, s.trouble.hint
	case s.progress != "" && s.skew != 0:
		return fmt.Sprintf("the clock of this machine is wrong by %s, as tor sees it, and tor cannot reach its network: %s", s.skew.Abs(), s.progress),
			"set the clock, as in: timedatectl set-ntp true"
	case s.progress != "" && s.warning != "":
		return fmt.Sprintf("tor cannot reach its network yet: %s; it says: %s", s.progress, s.warning), "tor needs to reach the Internet"
	case s.progress != "":
		return "tor has not reached its network yet: " + s.progress, "this takes up to a minute; tor needs to reach the Internet, and nothing has to be forwarded to it"
	}
	return "", ""
}

// Health says what else is worth knowing of the open door, a sentence each.
func (d *Door) Health() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	whose := "a tor of its own"
	if d.cfg.Control != "" {
		whose = "the tor at " + d.cfg.Control
	}
	said := []string{fmt.Sprintf("it uses %s, version %s", whose, d.state.version)}
	published := 0
	for _, s := range d.up {
		if s.published {
			published++
		}
	}
	switch n := len(d.wanted); {
	case n == 0:
		said = append(said, `no device has an onion service yet: gatehouse invite NAME --onion`)
	case n == published:
		said = append(said, fmt.Sprintf("%s, all of them published", count(n, "onion service")))
	default:
		said = append(said, fmt.Sprintf("%s, %d published; a new one takes up to a minute", count(n, "onion service"), published))
	}
	if d.state.power != "" {
		said = append(said, d.state.power)
	}
	for _, address := range sortedKeys(d.state.failed) {
		said = append(said, fmt.Sprintf("the onion service %s….onion is not there: %s", address[:8], d.state.failed[address]))
	}
	return said
}

// Published reports whether tor has put a service's descriptor where its device finds it.
func (d *Door) Published(address string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.up[address]
	return s != nil && s.published
}

// change changes the state.
func (d *Door) change(f func(*state)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(&d.state)
}

// fail takes down why tor is not there.
func (d *Door) fail(err error) {
	t := d.explain(err)
	d.mu.Lock()
	first := d.state.trouble == nil || d.state.trouble.why != t.why
	d.state = state{trouble: t}
	d.mu.Unlock()
	if first {
		d.cfg.Log.Warn("door onion: "+t.why, "hint", t.hint)
	}
}

// explain says an error in the owner's words.
func (d *Door) explain(err error) *trouble {
	var t *trouble
	switch {
	case errors.As(err, &t):
		return t
	case errors.Is(err, ErrMissing):
		return &trouble{shown(err.Error()), "install it, as in: apt-get install tor; or say where it is: doors.onion.program"}
	case d.cfg.Control == "":
		return &trouble{"tor does not run: " + shown(err.Error()), "it is tried again; the gateway's log has what tor said"}
	case errors.Is(err, fs.ErrPermission):
		return &trouble{"tor may not be commanded at " + d.cfg.Control + ": " + shown(err.Error()),
			"make the gateway's user a member of the group that may, as in: adduser gatehouse debian-tor"}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return &trouble{"no tor answers at " + d.cfg.Control, "start it, and have its torrc say ControlPort; or leave doors.onion.control out, and the gateway runs one of its own"}
	}
	return &trouble{"tor at " + d.cfg.Control + " cannot be used: " + shown(err.Error()), "see doors.onion.control in the configuration"}
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func count(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// version is tor's, as in 0.4.9.11.
type version [4]int

func (v version) String() string { return fmt.Sprintf("%d.%d.%d.%d", v[0], v[1], v[2], v[3]) }

func (v version) before(w version) bool { return slices.Compare(v[:], w[:]) < 0 }

// What tor must be able to do, by version.
func oldest() version { return version{0, 4, 7, 0} } // client authorization over the control port, and still looked after by Debian

// parseVersion reads "0.4.9.11", with what may stand behind it.
func parseVersion(s string) (v version, err error) {
	s, _, _ = strings.Cut(s, " ")
	s, _, _ = strings.Cut(s, "-")
	if n, err := fmt.Sscanf(s, "%d.%d.%d.%d", &v[0], &v[1], &v[2], &v[3]); n != 4 || err != nil || v.String() != s {
		return version{}, fmt.Errorf("tor says that its version is %q", shown(s))
	}
	return v, nil
}
