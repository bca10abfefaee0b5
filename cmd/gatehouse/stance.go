package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/ledger"
)

// mode is what the house is to those who are at home.
type mode string

// The modes.
const (
	modeOpen   mode = "open"   // moving in: nothing is refused at home, and what Home Assistant accepts is taken down
	modeClosed mode = "closed" // only what is known comes in
	modeOff    mode = "off"    // as open, and Home Assistant has its own listener back
)

// step is how far a move of Home Assistant's listener is. Whatever ends in the middle of
// one, the house or the machine, goes on from here.
type step string

// The steps. A house whose step is stepNone stands still.
const (
	stepNone    step = ""
	stepEditing step = "editing" // configuration.yaml is changed by the verb, as root
	stepMoving  step = "moving"  // Home Assistant restarts behind us
	stepTrial   step = "trial"   // all is as it will be, until somebody confirms it or time runs out
	stepBack    step = "back"    // Home Assistant is on its way back to its own listener
	stepRestore step = "restore" // likewise, once root has changed configuration.yaml back
)

// stance is what the house is and where Home Assistant listens. It is one value in the
// ledger, so that no two parts of it can disagree.
type stance struct {
	Mode mode `json:"mode"`
	Step step `json:"step"`
	Next mode `json:"next"` // what it will be when the move is done

	// Home is where Home Assistant listens behind us; zero where it was not moved.
	Home netip.AddrPort `json:"home"`
	// Was is how it listened before, and Before where it was asked then: the configuration may
	// name another address by now.
	Was    listening `json:"was"`
	Before string    `json:"before"`
	// User is whose process listened there then, as a number; empty where that was not seen.
	User string `json:"user"`
	// YAML: the move is made in configuration.yaml, not by the API.
	YAML bool `json:"yaml"`
	// Stays: a trial is of the mode alone, and Home Assistant stays where it is.
	Stays bool `json:"stays"`
	// InternalURL: we have set the address that it gives to speakers.
	InternalURL bool `json:"internal_url"`
	// SecondLine: Home Assistant shuts addresses out after ten wrong passwords while it is behind us;
	// Was says what it did before.
	SecondLine bool   `json:"second_line"`
	Given      string `json:"given"` // what it is

	Deadline time.Time `json:"deadline"` // of a trial: when it is taken back
	Problem  string    `json:"problem"`  // why the last move was taken back; empty if it was not
}

// listening is how Home Assistant listens.
type listening struct {
	Hosts []string `json:"hosts"` // none means all addresses
	Port  int      `json:"port"`
	// Banning is how it shuts addresses out.
	Banning banning `json:"banning"`
}

// only is the one address on which it listens; empty where there is not just one.
func (l listening) only() string {
	if len(l.Hosts) == 1 && l.Hosts[0] != "0.0.0.0" && l.Hosts[0] != "::" {
		return l.Hosts[0]
	}
	return ""
}

// plain is where the door without TLS listens: where Home Assistant did. Of several addresses
// it is all, unless they are this machine's alone.
func (l listening) plain() string {
	host := ""
	local := func(h string) bool {
		a, err := netip.ParseAddr(h)
		return h == "localhost" || err == nil && a.IsLoopback()
	}
	if len(l.Hosts) > 1 && !slices.ContainsFunc(l.Hosts, func(h string) bool { return !local(h) }) {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(cmp.Or(l.only(), host), strconv.Itoa(l.Port))
}

// url is where a program on this machine reaches it.
func (l listening) url() *url.URL {
	return &url.URL{Scheme: "http", Host: net.JoinHostPort(cmp.Or(l.only(), "127.0.0.1"), strconv.Itoa(l.Port))}
}

// moved reports whether Home Assistant listens behind us, or is on the way there.
func (s stance) moved() bool { return s.Home.IsValid() }

// closed reports whether only what is known comes in.
func (s stance) closed() bool {
	return s.Mode == modeClosed || s.Step == stepTrial && s.Next == modeClosed
}

// url is where Home Assistant listens behind us.
func (s stance) url() *url.URL { return &url.URL{Scheme: "http", Host: s.Home.String()} }

// word is the stance in a word, for documents.
func (s stance) word() string {
	if s.Step != stepNone {
		return string(s.Step)
	}
	return string(s.Mode)
}

// stanceSecret is the name under which the ledger keeps it.
const stanceSecret = "house"

// loadStance reads the stance. A house that never had one is open.
func loadStance(ctx context.Context, l *ledger.Ledger) (stance, error) {
	text, err := l.Secret(ctx, stanceSecret)
	if errors.Is(err, ledger.ErrNotFound) {
		return stance{Mode: modeOpen}, nil
	}
	if err != nil {
		return stance{}, fmt.Errorf("read whether the house is closed: %w", err)
	}
	var s stance
	if err := json.Unmarshal(text, &s); err != nil {
		return stance{}, fmt.Errorf("read whether the house is closed: %w", err)
	}
	return s, nil
}

// saveStance writes the stance, before anything is done that it tells of.
func saveStance(ctx context.Context, l *ledger.Ledger, s stance) error {
	text, err := json.Marshal(s)
	if err == nil {
		err = l.PutSecret(context.WithoutCancel(ctx), stanceSecret, text)
	}
	if err != nil {
		return fmt.Errorf("write down whether the house is closed: %w", err)
	}
	return nil
}
