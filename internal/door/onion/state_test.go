package onion

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// looked is a session that asks how tor is, and is answered so.
func looked(t *testing.T, d *Door, phase, live string) *torSession {
	t.Helper()
	s := &torSession{d: d, c: conversation(t, [2]string{"GETINFO status/bootstrap-phase", "250-status/bootstrap-phase=" + phase + "\r\n250 OK\r\n"},
		[2]string{"GETINFO network-liveness", "250-network-liveness=" + live + "\r\n250 OK\r\n"}), added: make(map[string]Device)}
	if err := s.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// How far tor is, what keeps it, a wrong clock and a network that went away are said in the
// owner's words; a door that is well says nothing.
func TestHowTorIsIsSaid(t *testing.T) {
	d, err := New(Config{Dir: "/run/x", Control: "127.0.0.1:1", Seed: seeds{}.get})
	if err != nil {
		t.Fatal(err)
	}
	if got := why(d); !strings.Contains(got, "not been reached yet") {
		t.Errorf("at the start: %q", got)
	}
	d.change(func(s *state) { s.trouble = nil })
	const done = `NOTICE BOOTSTRAP PROGRESS=100 TAG=done SUMMARY="Done"`
	for _, c := range []struct{ phase, live, event, why, hint string }{
		{`NOTICE BOOTSTRAP PROGRESS=10 TAG=conn_done SUMMARY="Connected to a relay"`, "down", "", "not reached its network yet: 10 % (Connected to a relay)", "nothing has to be forwarded"},
		{`WARN BOOTSTRAP PROGRESS=5 TAG=conn SUMMARY="Connecting to a relay" WARNING="Network is unreachable" REASON=NOROUTE COUNT=5 RECOMMENDATION=warn`, "down", "",
			"cannot reach its network yet: 5 % (Connecting to a relay); it says: Network is unreachable", "reach the Internet"},
		{done, "down", "", "hears nothing of it now", "reach the Internet"},
		{`WARN BOOTSTRAP PROGRESS=40 TAG=loading_keys SUMMARY="Loading" WARNING="Clock skew"`, "down", "STATUS_GENERAL WARN CLOCK_SKEW SKEW=-7200 SOURCE=DIRSERV:127.0.0.1:1",
			"the clock of this machine is wrong by 2h0m0s", "timedatectl"},
		{done, "up", "STATUS_CLIENT NOTICE CIRCUIT_ESTABLISHED", "", ""},
		{`NOTICE BOOTSTRAP PROGRESS=50 TAG=x SUMMARY="y"`, "down", "", "not reached its network yet: 50 %", ""}, // the clock is forgotten
	} {
		s := looked(t, d, c.phase, c.live)
		if asks := c.event == "" || s.happened(c.event); !asks {
			t.Errorf("%s: tor is not asked how it is", c.event)
		}
		why, hint := d.Why()
		if !strings.Contains(why, c.why) || c.why == "" && why != "" || !strings.Contains(hint, c.hint) {
			t.Errorf("%s, %s: %q, %q", c.phase, c.live, why, hint)
		}
	}
	s := looked(t, d, done, "up")
	for _, text := range []string{"", "HS_DESC", "HS_DESC UPLOADED", "HS_DESC UPLOADED nobody UNKNOWN x", "HS_DESC FAILED x NO_AUTH y REASON=z", "SOMETHING ELSE"} {
		if s.happened(text) {
			t.Errorf("%q: tor is asked how it is", text)
		}
	}
	for _, text := range []string{"STATUS_GENERAL WARN CLOCK_SKEW", "STATUS_GENERAL WARN CLOCK_SKEW SKEW=99999999999999", "STATUS_GENERAL WARN CLOCK_SKEW SKEW=1 SKEW=2"} {
		s.happened(text)
		if d.state.skew != 0 {
			t.Errorf("%q: wrong by %s", text, d.state.skew)
		}
	}
}

// A tor that knows no proof of work for such services makes them without, and that is said;
// another refusal is one.
func TestWithoutProofOfWork(t *testing.T) {
	all := seeds{}
	anna, _ := all.device(t)
	d, err := New(Config{Dir: short(t), Control: "127.0.0.1:1", Seed: all.get})
	if err != nil {
		t.Fatal(err)
	}
	made := "250-ServiceID=" + anna.Address + "\r\n250-ClientAuthV3=" + anna.Client + "\r\n250 OK\r\n"
	s := &torSession{d: d, power: true, added: make(map[string]Device), c: conversation(t, [2]string{"ADD_ONION ED25519-V3:", "512 Unrecognized argument PoWDefensesEnabled\r\n"}, [2]string{"ADD_ONION ED25519-V3:", made})}
	for _, reply := range []string{"550 Onion address collision\r\n", strings.Replace(made, anna.Address, "x", 1), "250-ServiceID=" + anna.Address + "\r\n250 OK\r\n"} {
		other := &torSession{d: d, power: true, c: conversation(t, [2]string{"ADD_ONION ED25519-V3:", reply})}
		if err := other.order(t.Context(), &service{device: anna}, "x"); err == nil {
			t.Errorf("%q is a service", reply)
		}
	}
	if err := s.order(t.Context(), &service{device: anna, path: "/run/x/y"}, "x"); err != nil || s.power {
		t.Fatalf("%v", err)
	}
	d.change(func(s *state) { s.trouble = nil })
	if said := strings.Join(d.Health(), "; "); !strings.Contains(said, "no proof of work here: 0.4.9.2 and newer") {
		t.Error(said)
	}
}

// A device that went while tor made its service has none.
func TestDeviceGoesWhileItsServiceIsMade(t *testing.T) {
	all := seeds{}
	anna, _ := all.device(t)
	d, err := New(Config{Dir: short(t), Control: "127.0.0.1:1", Seed: all.get})
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{})
	s := &torSession{d: d, added: make(map[string]Device), c: conversation(t, [2]string{"DEL_ONION " + anna.Address, "250 OK\r\n"})}
	one, err := newService(d, anna, process{}, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(asked)
		if err := s.keep(t.Context(), one); err != nil {
			t.Error(err)
		}
	}()
	select {
	case <-asked:
	case <-time.After(time.Minute):
		t.Fatal("it is kept waiting")
	}
	if len(s.added) != 0 || len(d.up) != 0 {
		t.Error("a service of nobody's is there")
	}
	if err := errors.Join(d.Close(), d.Close()); err != nil {
		t.Error(err)
	}
}
