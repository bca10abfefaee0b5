package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/internal/ha"
	"gatehouse/internal/ha/client"
)

// What close, open, off and confirm have done. Whatever they change is in one stance;
// the mover makes it so.

// houseDocument says how the house stands.
type houseDocument struct {
	SchemaVersion int       `json:"schema_version"`
	Mode          string    `json:"mode"`               // open, closed or off
	Step          string    `json:"step,omitempty"`     // of a move that goes on
	Next          string    `json:"next,omitempty"`     // the mode that it leads to
	Deadline      string    `json:"deadline,omitempty"` // of a trial: when it is taken back
	HomeAssistant string    `json:"home_assistant"`     // where it listens
	Plain         string    `json:"plain,omitempty"`    // where we listen in its place
	Problem       string    `json:"problem,omitempty"`  // why the last move was taken back
	Did           []string  `json:"did,omitempty"`      // of the last move, in words
	YAML          bool      `json:"yaml,omitempty"`     // it is made in configuration.yaml
	Was           listening `json:"was"`
	SecondLine    bool      `json:"second_line,omitempty"` // Home Assistant shuts addresses out behind us, as it did not before
	Running       bool      `json:"running"`               // the gateway is
	Answers       bool      `json:"answers,omitempty"`     // Home Assistant does; where it was looked
}

func (h *house) document() houseDocument {
	m := h.mover
	m.mu.Lock()
	defer m.mu.Unlock()
	s := *m.now.Load()
	doc := houseDocument{SchemaVersion: schemaVersion, Mode: string(s.Mode), Step: string(s.Step), Next: string(s.Next), Deadline: stamp(s.Deadline),
		HomeAssistant: h.cfg.Home.HAURL, Problem: s.Problem, Did: slices.Clone(m.did), YAML: s.YAML, Was: s.Was, SecondLine: s.SecondLine, Running: h.server != nil}
	if s.moved() {
		doc.HomeAssistant, doc.Plain = s.url().String(), s.Was.plain()
	}
	return doc
}

func showHouse(_ context.Context, h *house, _ none) (houseDocument, error) { return h.document(), nil }

// closeWish is what somebody wants of close.
type closeWish struct {
	// Next is what the house shall be: closed, or open with us in front of Home Assistant.
	Next string `json:"next"`
	// Stays: Home Assistant stays where it is; the door lan alone is closed.
	Stays bool `json:"stays"`
	// Was is how Home Assistant listens, as configuration.yaml says; before 2026.8 nobody
	// but root can read it. A port of 0 where nothing is said.
	Was listening `json:"was"`
}

// How a move is made.
const (
	howAPI  = "api"  // by Home Assistant's API, since 2026.8
	howYAML = "yaml" // in configuration.yaml, by root
	howNone = "none" // Home Assistant is behind us already, or stays where it is
)

// previewDocument is what close would do.
type previewDocument struct {
	SchemaVersion int           `json:"schema_version"`
	Next          string        `json:"next"`
	How           string        `json:"how"`            // api, yaml or none
	HomeAssistant string        `json:"home_assistant"` // where it will listen
	Takes         string        `json:"takes"`          // where we will listen in its place; empty where it stays
	Open          bool          `json:"open"`           // Home Assistant stays reachable without us
	Attempts      int           `json:"attempts"`       // wrong passwords after which Home Assistant shuts an address out from then on; 0: as now
	Banning       banning       `json:"banning"`        // how it does so now
	Known         int           `json:"known"`          // devices that come in afterwards as well
	Refused       []residentRow `json:"refused"`        // what would not
}

// previewClose says what close would do, or why it cannot be done.
func previewClose(ctx context.Context, h *house, in closeWish) (doc previewDocument, err error) {
	next, err := h.planClose(ctx, in)
	if err != nil {
		return doc, err
	}
	doc = previewDocument{SchemaVersion: schemaVersion, Next: string(next.Next), How: howNone, HomeAssistant: h.cfg.Home.HAURL, Banning: next.Was.Banning, Refused: []residentRow{}}
	if next.moved() {
		doc.HomeAssistant, doc.Takes = next.url().String(), next.Was.plain()
		if next.SecondLine {
			doc.Attempts = secondLineAt
		}
	} else {
		doc.Open = true
	}
	switch {
	case next.Stays:
	case next.YAML:
		doc.How = howYAML
	default:
		doc.How = howAPI
	}
	for _, d := range h.identity.Devices() {
		if d.RevokedAt.IsZero() {
			doc.Known++
		}
	}
	if next.Next != modeClosed {
		return doc, nil
	}
	list, err := listResidents(ctx, h, none{})
	doc.Refused = list.Residents
	return doc, err
}

// planClose is the stance that close begins with.
func (h *house) planClose(ctx context.Context, in closeWish) (stance, error) {
	s := h.mover.stance()
	cannot := func(status int, hint, format string, args ...any) (stance, error) {
		return stance{}, &problem{status: status, err: fmt.Errorf(format, args...), hint: hint}
	}
	next := mode(in.Next)
	switch {
	case next != modeClosed && next != modeOpen:
		return cannot(statusUsage, "", "a house is not %q", in.Next)
	case h.server == nil:
		return cannot(statusCannot, `start "gatehouse serve"`, "no server is running, and without one nobody would come in")
	case h.cfg.Doors.LAN == nil:
		return cannot(statusUsage, "add [doors.lan] to the configuration", "there is no door lan, by which what is at home comes in")
	case s.Step == stepTrial:
		return cannot(statusNo, `"gatehouse confirm" keeps it, "gatehouse open" takes it back`, "the house is on trial")
	case s.Step != stepNone:
		return cannot(statusNo, `"gatehouse status" says how far it is`, "Home Assistant is being moved")
	case s.Mode == next && (s.moved() || next == modeClosed):
		return cannot(statusNo, "", "the house is %s already", next)
	case next == modeClosed && !h.identity.HasOwner():
		return cannot(statusNo, "gatehouse invite --owner", "there is no owner yet, and nobody would come in")
	}
	s.Next, s.Step, s.Problem, s.Deadline = next, stepTrial, "", time.Now().Add(h.mover.trial)
	if s.moved() || in.Stays {
		s.Stays = true
		return s, nil
	}
	u, err := url.Parse(h.cfg.Home.HAURL)
	if err != nil {
		return stance{}, err
	}
	if u.Scheme != "http" {
		return cannot(statusCannot, "take ssl_certificate out of its settings first: TLS is ours then", "Home Assistant speaks TLS itself")
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if u.Hostname() != "localhost" && (err != nil || !h.server.links.Here(addr)) {
		return cannot(statusCannot, "run Gatehouse where Home Assistant runs; or close the door lan alone with --ha-stays, and have a firewall keep everybody else from "+u.Host,
			"Home Assistant runs on another machine (%s), where it cannot be put behind us", u.Hostname())
	}
	api, err := h.mover.before(ctx)
	if err != nil {
		return stance{}, err
	}
	version, err := api.Version(ctx)
	if err != nil {
		return stance{}, cannotReach(err)
	}
	if _, err := api.Me(ctx); err != nil {
		return cannot(statusCannot, `"gatehouse setup" gets one`, "there is no token with which Home Assistant can be restarted: %v", err)
	}
	if ours, err := api.LocalAddr(ctx); err == nil {
		if seen, err := api.SeenAs(ctx); err == nil && seen.IsValid() && seen != ours && !h.server.links.Here(seen) {
			return cannot(statusCannot, "give its container the host's network (network_mode: host); or close the door lan alone with --ha-stays, and publish its port on 127.0.0.1 only",
				"Home Assistant runs in a network of its own, where it sees us as %s", seen)
		}
	}
	s.YAML = !hasHTTPConfig(version)
	s.Was = in.Was
	if !s.YAML {
		if s.Was, err = listeningNow(ctx, api); err != nil {
			return stance{}, err
		}
	}
	s.takeSecondLine(h.cfg.Guard.Threshold, h.server.sharesAddress())
	if s.Was.Port == 0 {
		s.Was.Port = portOf(":" + portOrUsual(u))
	}
	if s.Was.Port < 1024 && !mayBindLow() {
		return cannot(statusCannot, "give the gateway the capability CAP_NET_BIND_SERVICE, or Home Assistant another port", "port %d of Home Assistant cannot be taken over by this user", s.Was.Port)
	}
	if s.Home, err = freePort(s.Was.Port); err != nil {
		return stance{}, err
	}
	s.Before = h.cfg.Home.HAURL
	if users := h.mover.around.users(s.Was.Port); len(users) == 1 {
		s.User = users[0]
	}
	s.Step, s.Deadline = stepMoving, time.Time{}
	if s.YAML {
		s.Step, s.Deadline = stepEditing, time.Now().Add(editingTime)
	}
	return s, nil
}

// listeningNow is how Home Assistant listens, where its API tells.
func listeningNow(ctx context.Context, api *client.Client) (l listening, err error) {
	now, err := api.HTTPConfig(ctx)
	if err != nil {
		return l, fmt.Errorf("read the settings of Home Assistant's web server: %w", err)
	}
	if now.Active != "stable" {
		return l, &problem{status: statusNo, err: fmt.Errorf("the web server of Home Assistant runs on %s settings", now.Active),
			hint: "confirm or repair them in Home Assistant (Settings, System, Network); then run this again"}
	}
	return listening{now.Stable.Hosts(), now.Stable.Port(), banningOf(now.Stable)}, nil
}

// mayBindLow reports whether this process may listen on ports below 1024 (capabilities(7)).
func mayBindLow() bool {
	if os.Geteuid() == 0 {
		return true
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_NET_BIND_SERVICE) != 0
}

// beginClose begins to close the house. What comes of it is seen in the document.
func beginClose(ctx context.Context, h *house, in closeWish) (houseDocument, error) {
	was := h.mover.stance()
	next, err := h.planClose(ctx, in)
	if err != nil {
		return houseDocument{}, err
	}
	h.mover.forget()
	err = h.mover.change(ctx, func(s *stance) error {
		if s.Step != was.Step || s.Mode != was.Mode || s.Home != was.Home {
			return &problem{status: statusNo, err: errors.New("somebody else is moving Home Assistant in this very moment"), hint: `"gatehouse status" says how far it is`}
		}
		*s = next
		return nil
	})
	if err != nil {
		return houseDocument{}, err
	}
	if next.Step == stepTrial && next.Next == modeClosed {
		h.server.gateway.EndStrangers()
	}
	return h.document(), nil
}

// edited says for what root has changed configuration.yaml: it may be for something else by
// now.
type edited struct {
	For step `json:"for"` // stepEditing or stepRestore
}

// editedHome goes on once root has changed configuration.yaml: on the way behind us, or
// on the way back.
func editedHome(ctx context.Context, h *house, in edited) (houseDocument, error) {
	m := h.mover
	s := m.stance()
	if s.Step != in.For || s.Step != stepEditing && s.Step != stepRestore {
		return houseDocument{}, &problem{status: statusNo, err: errors.New("nothing waits for configuration.yaml any more")}
	}
	api, err := m.answering(ctx)
	if err != nil {
		return houseDocument{}, cannotReach(err)
	}
	wrong, err := api.CheckConfig(ctx)
	switch {
	case err != nil:
		return houseDocument{}, fmt.Errorf("have Home Assistant check its configuration: %w", err)
	case wrong != "":
		return houseDocument{}, &problem{status: statusNo, err: fmt.Errorf("not accepted by Home Assistant when it checks its configuration: %s", wrong)}
	}
	if s.Step == stepEditing {
		if given, err := api.GivenURL(ctx); err == nil {
			if err := m.noteAddress(ctx, api, given); err != nil {
				return houseDocument{}, err
			}
		}
	}
	err = m.change(ctx, func(s *stance) error {
		switch {
		case s.Step != in.For:
			return &problem{status: statusNo, err: errors.New("nothing waits for configuration.yaml any more")}
		case s.Step == stepEditing:
			s.Step = stepMoving
		default:
			s.Step = stepBack
		}
		s.Deadline = time.Time{}
		return nil
	})
	return h.document(), err
}

// unedited forgets a move of which configuration.yaml knows nothing: it was not changed,
// or is changed back, and Home Assistant was not restarted meanwhile.
func unedited(ctx context.Context, h *house, in named) (houseDocument, error) {
	err := h.mover.change(ctx, func(s *stance) error {
		if s.Step != stepEditing && s.Step != stepRestore {
			return &problem{status: statusNo, err: errors.New("nothing waits for configuration.yaml any more")}
		}
		*s = stance{Mode: s.Mode, Problem: in.Name}
		return nil
	})
	return h.document(), err
}

// answering is Home Assistant's API where it answers: where it was, or behind us.
func (m *mover) answering(ctx context.Context) (*client.Client, error) {
	if m.stance().moved() {
		api, err := m.behind(ctx)
		if err != nil {
			return nil, err
		}
		if _, err := api.Onboarded(ctx); err == nil {
			return api, nil
		}
	}
	api, err := m.before(ctx)
	if err == nil {
		_, err = api.Onboarded(ctx)
	}
	return api, err
}

func confirmHouse(ctx context.Context, h *house, _ none) (houseDocument, error) {
	if h.server == nil {
		return houseDocument{}, &problem{status: statusCannot, err: errors.New("no server is running"), hint: `start "gatehouse serve"`}
	}
	err := h.mover.confirm(ctx)
	return h.document(), err
}

// openHouse opens the house to what is at home. A trial is taken back.
func openToHome(ctx context.Context, h *house, _ none) (houseDocument, error) {
	h.mover.forget()
	told := true
	err := h.mover.change(ctx, func(s *stance) error {
		switch s.Step {
		case stepNone:
			if told = s.Mode != modeOpen; !told {
				return nil
			}
			s.Mode, s.Problem = modeOpen, ""
		case stepBack, stepRestore:
			s.Mode, s.Next = modeOpen, modeOpen
		default:
			s.Mode = modeOpen
			s.turnBack("somebody said open")
		}
		return nil
	})
	if err == nil && told {
		h.mover.tellMode(modeOpen)
	}
	return h.looked(ctx), err
}

// offHouse gives Home Assistant its own listener back. Without a server it is done when
// this returns; with one it has begun.
func offHouse(ctx context.Context, h *house, _ none) (houseDocument, error) {
	m := h.mover
	m.forget()
	if s := m.stance(); s.moved() && s.YAML && s.Step == stepNone {
		m.keepUpgraded(ctx) // configuration.yaml means nothing to a later release
	}
	err := m.change(ctx, func(s *stance) error {
		switch {
		case !s.moved():
			*s = stance{Mode: modeOff}
		case s.YAML:
			s.Step, s.Mode, s.Next, s.Deadline, s.Problem = stepRestore, modeOpen, modeOff, time.Time{}, ""
		default:
			s.Step, s.Mode, s.Next, s.Deadline, s.Problem = stepBack, modeOpen, modeOff, time.Time{}, ""
		}
		return nil
	})
	if err == nil {
		m.tellMode(modeOff)
	}
	return h.looked(ctx), err
}

func lookAtHouse(ctx context.Context, h *house, _ none) (houseDocument, error) {
	return h.looked(ctx), nil
}

// looked is the document with whether Home Assistant answers.
func (h *house) looked(ctx context.Context) houseDocument {
	doc := h.document()
	_, err := h.mover.answering(ctx)
	doc.Answers = err == nil
	return doc
}

// bringBack waits until Home Assistant has its own listener back, where no server does that.
func bringBack(ctx context.Context, h *house, _ none) (houseDocument, error) {
	var err error
	if h.server == nil && h.mover.stance().Step == stepBack {
		err = h.mover.back(ctx)
	}
	return h.document(), err
}

// forget forgets what was done before.
func (m *mover) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.did = nil
}

// settled writes down that Home Assistant's own files give it its listener back, and that it
// takes it up when it starts.
func settled(ctx context.Context, h *house, _ none) (houseDocument, error) {
	err := h.mover.change(ctx, func(s *stance) error {
		*s = stance{Mode: modeOff}
		return nil
	})
	if err == nil {
		h.mover.around.dropPlain()
		err = h.mover.around.place(netip.AddrPort{})
	}
	return h.document(), err
}

// listener is how Home Assistant is to listen, for its own files.
func (s stance) listener() ha.Listener {
	return ha.Listener{Hosts: []string{s.Home.Addr().String()}, Port: int(s.Home.Port()), Proxies: []netip.Addr{loopbackAddr}}
}
