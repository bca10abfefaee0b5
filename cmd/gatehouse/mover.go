package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/event"
	"gatehouse/internal/ha/client"
	"gatehouse/internal/ledger"
)

// How Home Assistant is moved behind us and back. What is done next follows from the
// stance alone (run), so that a house which lost its power in the middle goes on where it
// was. Two nets lie below. A trial of new settings is Home Assistant's own since 2026.8: it
// takes them back by itself, with us or without. And whatever happens, what is at home
// reaches Home Assistant through us as long as it is behind us and we run.

const (
	trialTime   = 5 * time.Minute  // from the moment that all is as it will be
	trialMargin = 20 * time.Second // we take a trial back this long before Home Assistant does
	editingTime = 3 * time.Minute  // in which the verb has changed configuration.yaml, or is gone
	moveEvery   = 500 * time.Millisecond
	backTime    = 7 * time.Minute // longer than Home Assistant takes to take a trial back by itself
	// startPatience is how long a Home Assistant that is still starting is waited for before
	// it is told to restart.
	startPatience = 2 * time.Minute
	movedBy       = 10000 // what is added to the port, so that people recognise it
)

var loopbackAddr = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// surroundings are what a mover acts on beside Home Assistant. A verb that runs without a
// server has none of it.
type surroundings struct {
	place     func(netip.AddrPort) error          // says where Home Assistant listens; zero: where it did before
	openPlain func(ctx context.Context) error     // takes Home Assistant's port; nothing if we have it
	holdPlain func() error                        // takes it, if it is free
	dropPlain func()                              // gives it back
	reaches   func(ctx context.Context) error     // whether visitors reach Home Assistant through us
	strangers func()                              // ends what was let in because everybody was
	own       func() []netip.Addr                 // this machine's addresses
	users     func(port int) []string             // who listens on a port of it
	emit      func(kind event.Kind, about string) // tells the owner
}

// mover moves Home Assistant and opens and closes the house.
type mover struct {
	cfg    *config.Config
	ledger *ledger.Ledger
	log    *slog.Logger
	around surroundings

	trial   time.Duration // how long a move is on trial
	restart time.Duration // how long Home Assistant may take to restart

	poked chan struct{} // the stance has changed

	now atomic.Pointer[stance] // never nil; each request looks at it

	mu  sync.Mutex // whoever changes now holds it, and what was done
	did []string   // of the last move, in words
}

// newMover reads the stance. It starts nothing.
func newMover(ctx context.Context, c *config.Config, l *ledger.Ledger, log *slog.Logger) (*mover, error) {
	s, err := loadStance(ctx, l)
	if err != nil {
		return nil, err
	}
	m := &mover{cfg: c, ledger: l, log: log, trial: trialTime, restart: restartTime, poked: make(chan struct{}, 1), around: surroundings{
		place: func(netip.AddrPort) error { return nil }, openPlain: func(context.Context) error { return nil }, holdPlain: func() error { return nil }, dropPlain: func() {},
		reaches: func(context.Context) error { return nil }, strangers: func() {}, own: func() []netip.Addr { return nil }, users: portUsers, emit: func(event.Kind, string) {},
	}}
	m.now.Store(&s)
	return m, nil
}

// stance is what the house is now.
func (m *mover) stance() stance { return *m.now.Load() }

// closed reports whether only what is known comes in.
func (m *mover) closed() bool { return m.stance().closed() }

// change writes a new stance down and takes it up. do says no by an error.
func (m *mover) change(ctx context.Context, do func(*stance) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := m.stance()
	if err := do(&next); err != nil {
		return err
	}
	if err := saveStance(ctx, m.ledger, next); err != nil {
		return err
	}
	m.now.Store(&next)
	select {
	case m.poked <- struct{}{}:
	default:
	}
	return nil
}

// say takes down what is being done.
func (m *mover) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	m.log.Info("moving Home Assistant", "what", text)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.did = append(m.did, text)
}

// at is a client of Home Assistant's API at an address.
func (m *mover) at(ctx context.Context, u *url.URL) (*client.Client, error) {
	token, ok, err := loadHAToken(ctx, m.ledger)
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Config{URL: u})
	if err != nil {
		return nil, err
	}
	if ok {
		c = c.WithToken(token)
	}
	return c, nil
}

// before is Home Assistant where it was, or is if it was not moved. Where it was is taken
// from the stance: the configuration may say something else by now.
func (m *mover) before(ctx context.Context) (*client.Client, error) {
	s := m.stance()
	where := m.cfg.Home.HAURL
	if s.moved() {
		where = cmp.Or(s.Before, s.Was.url().String())
	}
	u, err := url.Parse(where)
	if err != nil {
		return nil, err
	}
	if !s.moved() || s.User == "" {
		return m.at(ctx, u)
	}
	// While it is away, anybody on this machine could take its port, and would be shown the token.
	for _, user := range m.around.users(s.Was.Port) {
		if user != s.User && user != "0" && user != strconv.Itoa(os.Geteuid()) {
			return nil, fmt.Errorf("user %s listens on port %d, which was user %s's", user, s.Was.Port, s.User)
		}
	}
	return m.at(ctx, u)
}

// portUsers are the users that listen on a TCP port of this machine, as numbers (proc_net(5)).
func portUsers(port int) (users []string) {
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it cannot be told
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) > 7 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) && !slices.Contains(users, f[7]) {
				users = append(users, f[7])
			}
		}
	}
	return users
}

// behind is Home Assistant behind us.
func (m *mover) behind(ctx context.Context) (*client.Client, error) {
	return m.at(ctx, m.stance().url())
}

// wake is for a server that begins: a move in whose middle the one before it ended is
// taken back, and so is a trial whose time is over, before a door is opened in its way.
func (m *mover) wake(ctx context.Context) error {
	return m.change(ctx, func(s *stance) error {
		switch {
		case s.Step == stepMoving:
			s.turnBack("the gateway ended in the middle of it")
		case s.Step == stepTrial && !time.Now().Before(s.Deadline):
			s.turnBack("nobody confirmed it in time")
		}
		return nil
	})
}

// run does what the stance asks for until ctx ends.
func (m *mover) run(ctx context.Context) error {
	seen := false // Home Assistant behind us, in this trial
	for ctx.Err() == nil {
		wait := time.Hour
		if m.stance().Step != stepTrial {
			seen = false
		}
		switch s := m.stance(); s.Step {
		case stepNone:
			if s.moved() && m.around.holdPlain() != nil {
				wait = 5 * time.Second // somebody else has its port
			}
			if s.moved() && s.YAML {
				if wait = min(wait, upgradeEvery); !m.keepUpgraded(ctx) {
					wait = min(wait, 5*time.Second) // it is away, and an upgraded one has five minutes
				}
			}
		case stepMoving:
			if err := m.move(ctx); err != nil && ctx.Err() == nil {
				m.giveUp(ctx, s.Step, err)
			}
			wait = 0
		case stepTrial:
			_ = m.around.holdPlain() // after a restart; what is wrong with it "doors" says
			if wait = time.Until(s.Deadline); wait <= 0 {
				m.giveUp(ctx, s.Step, errors.New("nobody confirmed it in time"))
				wait = 0
				break
			}
			if s.Stays || s.YAML {
				break
			}
			// It takes its settings back where its owner says so in its own pages, too, and needs
			// its port then.
			wait = min(wait, trialLook)
			if gone := isGone(ctx, s.Home); gone && seen {
				m.giveUp(ctx, s.Step, errors.New("nobody listens behind the gateway any more"))
				wait = 0
			} else if !gone {
				seen = true
			}
		case stepBack:
			err := m.back(ctx)
			if wait = moveEvery; err != nil && ctx.Err() == nil {
				m.log.Error("Home Assistant is not back on its own listener yet", "error", err)
				wait = 10 * time.Second
			}
		case stepEditing, stepRestore:
			m.follow(ctx)
			if wait = moveEvery; s.Step == stepEditing && time.Now().After(s.Deadline) {
				m.giveUp(ctx, s.Step, errors.New("configuration.yaml was not changed in time"))
			}
		}
		if err := m.wait(ctx, wait); err != nil {
			return nil
		}
	}
	return nil
}

// trialLook is how often a Home Assistant on trial is looked at: more often than the seconds
// that it takes to restart.
const trialLook = time.Second

// isGone reports whether nobody listens at an address of this machine.
func isGone(ctx context.Context, at netip.AddrPort) bool {
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", at.String())
	if err == nil {
		_ = c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

func (m *mover) wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-m.poked:
	case <-time.After(d):
	}
	return nil
}

// turnBack begins to take a move back. The mode is what it was.
func (s *stance) turnBack(why string) {
	s.Problem, s.Deadline, s.Next = why, time.Time{}, s.Mode
	switch {
	case s.Step == stepTrial && s.Stays:
		s.Step, s.Stays = stepNone, false
	case s.YAML:
		s.Step = stepRestore
	default:
		s.Step = stepBack
	}
}

// errOvertaken says that somebody has said otherwise meanwhile.
var errOvertaken = errors.New("something else was asked for meanwhile")

// giveUp takes back what was being done, if it is still that. It does so where it cannot be
// written down, too: after a restart what the ledger has leads to the same end.
func (m *mover) giveUp(ctx context.Context, from step, why error) {
	m.mu.Lock()
	next := m.stance()
	if next.Step != from {
		m.mu.Unlock()
		return
	}
	next.turnBack(why.Error())
	err := saveStance(ctx, m.ledger, next)
	m.now.Store(&next)
	m.mu.Unlock()
	if err != nil {
		m.log.Error("it cannot be written down that a move of Home Assistant is taken back", "error", err)
	}
	m.say("taken back: %v", why)
	m.around.emit(event.HouseReverted, why.Error())
}

// move has Home Assistant listen behind us, takes its port, and proves that all works.
func (m *mover) move(ctx context.Context) error {
	s := m.stance()
	ctx, cancel := context.WithTimeoutCause(ctx, m.restart, fmt.Errorf("no sign of Home Assistant within %s", m.restart))
	defer cancel()
	if err := m.restartBehind(ctx, s); err != nil {
		return err
	}
	if err := m.around.place(s.Home); err != nil {
		return err
	}
	// Not before: a Home Assistant that cannot listen behind us falls back on this port.
	if err := m.awaitBehind(ctx, s); err != nil {
		return err
	}
	if err := m.around.openPlain(ctx); err != nil {
		return err
	}
	m.say("Home Assistant answers at %s, and %s is ours", s.Home, s.Was.plain())
	until, err := m.prove(ctx, s)
	if err != nil {
		return err
	}
	if err := m.keepAddress(ctx, s); err != nil {
		return err
	}
	m.say("proved: visitors reach Home Assistant through us, and not without us")
	err = m.change(ctx, func(s *stance) error {
		if s.Step != stepMoving {
			return errOvertaken
		}
		s.Step, s.Deadline = stepTrial, until
		return nil
	})
	if err != nil {
		return err
	}
	if s.Next == modeClosed {
		m.around.strangers()
	}
	m.around.emit(event.HouseOnTrial, "until "+stamp(until))
	return nil
}

// restartBehind has Home Assistant restart to listen behind us.
func (m *mover) restartBehind(ctx context.Context, s stance) error {
	api, err := m.before(ctx)
	if err != nil {
		return err
	}
	if s.YAML {
		begun := time.Now()
		for time.Since(begun) < startPatience {
			if running, err := api.Running(ctx); err != nil || running {
				break
			}
			if err := pause(ctx, moveEvery); err != nil {
				return err
			}
		}
		m.say("Home Assistant restarts, to listen at %s alone", s.Home)
		return api.Restart(ctx)
	}
	given, err := api.GivenURL(ctx)
	if err != nil && !errors.Is(err, client.ErrUnknownCommand) {
		return fmt.Errorf("ask for the address that speakers are given: %w", err)
	}
	if err := m.noteAddress(ctx, api, given); err != nil {
		return err
	}
	now, err := api.HTTPConfig(ctx)
	if err != nil {
		return fmt.Errorf("read the settings of Home Assistant's web server: %w", err)
	}
	if now.Active != "stable" {
		return fmt.Errorf("the web server of Home Assistant runs on %s settings", now.Active)
	}
	options, err := now.Stable.WithProxy(loopbackAddr)
	if err == nil {
		options, err = s.withSecondLine(options).WithListener([]string{s.Home.Addr().String()}, int(s.Home.Port()))
	}
	if err != nil {
		return fmt.Errorf("read the settings of Home Assistant's web server: %w", err)
	}
	m.say("Home Assistant restarts, to listen at %s alone", s.Home)
	restart, err := configure(ctx, api, options, func() { m.say("Home Assistant is still starting; that is waited for") })
	switch {
	case err != nil:
		return fmt.Errorf("change the settings of Home Assistant's web server: %w", err)
	case !restart:
		return errors.New("the new settings of its web server were not taken up by Home Assistant")
	}
	return nil
}

// noteAddress takes down that the address that speakers are given has to be set, where
// Home Assistant makes it of its port: it is to stay the same.
func (m *mover) noteAddress(ctx context.Context, api *client.Client, given string) error {
	set, err := api.InternalURL(ctx)
	if err != nil {
		return fmt.Errorf("ask for the address at home: %w", err)
	}
	if set != "" || given == "" {
		return nil
	}
	return m.change(ctx, func(s *stance) error { s.InternalURL, s.Given = true, given; return nil })
}

// keepAddress has Home Assistant go on to give the address to speakers that it gave before.
func (m *mover) keepAddress(ctx context.Context, s stance) error {
	if s = m.stance(); !s.InternalURL {
		return nil
	}
	api, err := m.behind(ctx)
	if err != nil {
		return err
	}
	return api.SetInternalURL(ctx, s.Given)
}

// awaitBehind waits until Home Assistant answers behind us.
func (m *mover) awaitBehind(ctx context.Context, s stance) error {
	api, err := m.behind(ctx)
	if err != nil {
		return err
	}
	for {
		_, err := api.Onboarded(ctx)
		if err == nil {
			return nil
		}
		if m.stance().Step != stepMoving {
			return errOvertaken
		}
		if err := m.cameBack(ctx, s); err != nil {
			return err
		}
		if err := pause(ctx, moveEvery); err != nil {
			return err
		}
	}
}

// cameBack reports, as an error, that Home Assistant has restarted where it was.
func (m *mover) cameBack(ctx context.Context, s stance) error {
	if s.YAML {
		return nil
	}
	old, err := m.before(ctx)
	if err != nil {
		return err
	}
	now, err := old.HTTPConfig(ctx)
	if err != nil {
		return nil // it is away, as it should be, or it is we who answer
	}
	if why := now.Pending.Failure(); now.Active == "stable" && why != "" {
		return fmt.Errorf("the new settings of its web server could not be used by Home Assistant (%s)", why)
	}
	return nil
}

// prove makes sure of what the move is for, and returns until when it is on trial.
func (m *mover) prove(ctx context.Context, s stance) (until time.Time, err error) {
	api, err := m.behind(ctx)
	if err != nil {
		return until, err
	}
	trusts, err := api.TrustsProxy(ctx)
	switch {
	case err != nil:
		return until, err
	case !trusts:
		return until, errors.New("what we say of a visitor's address is not believed by Home Assistant")
	}
	if err := m.around.reaches(ctx); err != nil {
		return until, fmt.Errorf("through the gateway Home Assistant is not reached: %w", err)
	}
	for _, addr := range m.around.own() {
		if addr.IsLoopback() || addr.IsLinkLocalUnicast() {
			continue
		}
		direct := netip.AddrPortFrom(addr, s.Home.Port()).String()
		if c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", direct); err == nil {
			_ = c.Close()
			return until, fmt.Errorf("to others, too, Home Assistant still answers at %s", direct)
		}
	}
	until = time.Now().Add(m.trial)
	if s.YAML {
		return until, nil
	}
	now, err := api.HTTPConfig(ctx)
	switch {
	case err != nil:
		return until, fmt.Errorf("read the settings of Home Assistant's web server: %w", err)
	case now.Active != "pending" || now.Revert.IsZero():
		return until, fmt.Errorf("the web server of Home Assistant runs on %s settings, and should try new ones", now.Active)
	}
	if its := now.Revert.Add(-trialMargin); its.Before(until) {
		until = time.Now().Add(time.Until(its)) // whatever the clock on the wall does meanwhile
	}
	return until, nil
}

// confirm makes a trial stay.
func (m *mover) confirm(ctx context.Context) error {
	s := m.stance()
	if s.Step != stepTrial {
		return &problem{status: statusNo, err: errors.New("nothing is on trial"), hint: `"gatehouse status" says how the house stands`}
	}
	if !s.Stays && !s.YAML {
		api, err := m.behind(ctx)
		if err == nil {
			err = api.Promote(ctx)
		}
		if err != nil {
			return &problem{status: statusPartly, err: fmt.Errorf("confirm the new settings of Home Assistant's web server: %w", err), hint: "try again; until then everything stays on trial"}
		}
	}
	err := m.change(ctx, func(now *stance) error {
		if now.Step != stepTrial {
			return &problem{status: statusUndone, err: errors.New("it was taken back in this very moment"), hint: "gatehouse close"}
		}
		now.Mode, now.Next, now.Step, now.Stays, now.Deadline, now.Problem = s.Next, "", stepNone, false, time.Time{}, ""
		return nil
	})
	if err == nil {
		m.tellMode(s.Next)
	}
	return err
}

// tellMode tells the owner what the house is now.
func (m *mover) tellMode(now mode) {
	if now == modeClosed {
		m.around.emit(event.HouseClosed, "")
	} else {
		m.around.emit(event.HouseOpened, string(now))
	}
}

// back brings Home Assistant back to its own listener, wherever it is by now, and looks
// again and again until it is there.
func (m *mover) back(ctx context.Context) error {
	s := m.stance()
	m.around.dropPlain()
	m.say("Home Assistant gets its own listener back")
	ctx, cancel := context.WithTimeoutCause(ctx, backTime, fmt.Errorf("no sign of Home Assistant at its own listener after %s", backTime))
	defer cancel()
	if users := m.around.users(int(s.Home.Port())); len(users) == 1 && users[0] != s.User {
		if err := m.change(ctx, func(now *stance) error { now.User = users[0]; return nil }); err != nil {
			m.log.Warn("it cannot be written down whose Home Assistant is", "error", err)
		}
	}
	begun, restarted := time.Now(), time.Time{}
	for {
		if m.stance().Step != stepBack {
			return nil // root has changed its files meanwhile
		}
		there, err := m.isBack(ctx, s)
		if err != nil {
			return err
		}
		if there {
			break
		}
		if time.Since(restarted) > time.Minute {
			if s.YAML && !restarted.IsZero() && m.isBehind(ctx) {
				// It took up what configuration.yaml says, and that was not changed back.
				return m.change(ctx, func(s *stance) error { s.Step = stepRestore; return nil })
			}
			if asked, err := m.sendBack(ctx, s, time.Since(begun) < startPatience); err != nil {
				m.log.Warn("Home Assistant does not go back to its own listener yet", "error", err)
			} else if asked {
				restarted = time.Now()
			}
		}
		if err := pause(ctx, moveEvery); err != nil {
			return err
		}
	}
	if s.InternalURL {
		if api, err := m.before(ctx); err == nil {
			if err := api.SetInternalURL(ctx, ""); err != nil {
				m.log.Warn("the address at home that we have set stays set", "error", err)
			}
		}
	}
	if err := m.around.place(netip.AddrPort{}); err != nil {
		return err
	}
	m.say("Home Assistant answers at %s again", m.cfg.Home.HAURL)
	m.around.emit(event.HouseOpened, "Home Assistant has its own listener back")
	return m.change(ctx, func(now *stance) error {
		*now = stance{Mode: now.Next, Problem: now.Problem}
		if now.Mode == modeClosed || now.Mode == "" {
			now.Mode = modeOpen // what was closed cannot be without a listener of ours
		}
		return nil
	})
}

// isBehind reports whether Home Assistant has started behind us.
func (m *mover) isBehind(ctx context.Context) bool {
	api, err := m.behind(ctx)
	if err != nil {
		return false
	}
	running, err := api.Running(ctx)
	return err == nil && running
}

// isBack reports whether Home Assistant runs where it was, for good.
func (m *mover) isBack(ctx context.Context, s stance) (bool, error) {
	old, err := m.before(ctx)
	if err != nil {
		return false, err
	}
	if s.YAML {
		_, err := old.Onboarded(ctx)
		return err == nil, nil
	}
	now, err := old.HTTPConfig(ctx)
	if err != nil {
		return false, nil
	}
	if now.Active == "pending" && now.Pending.Port() == s.Was.Port {
		if err := old.Promote(ctx); err != nil {
			return false, nil
		}
		return true, nil
	}
	return now.Active != "pending" && now.Running().Port() == s.Was.Port, nil
}

// sendBack has Home Assistant, where it runs behind us, restart with its own listener.
func (m *mover) sendBack(ctx context.Context, s stance, patient bool) (asked bool, err error) {
	api, err := m.behind(ctx)
	if err != nil {
		return false, err
	}
	if s.YAML {
		if _, err := api.Onboarded(ctx); err != nil {
			return false, nil // it is away
		}
		if running, err := api.Running(ctx); err == nil && !running && patient {
			return false, nil // what is told to stop before it has started may not hear it
		}
		return true, api.Restart(ctx)
	}
	now, err := api.HTTPConfig(ctx)
	if err != nil {
		return false, nil
	}
	options := client.Options(nil) // takes the trial back
	if now.Active == "stable" {
		if options, err = s.withoutSecondLine(now.Stable).WithListener(s.Was.Hosts, s.Was.Port); err != nil {
			return false, err
		}
	}
	_, err = configure(ctx, api, options, func() {})
	if errors.Is(err, client.ErrUnreachable) {
		err = nil
	}
	return true, err
}

// follow keeps Home Assistant reachable while root has its configuration.yaml in hand: it
// may restart in any moment, with the old listener or the new one.
func (m *mover) follow(ctx context.Context) {
	s := m.stance()
	behind, err := m.behind(ctx)
	if err != nil {
		return
	}
	if _, err := behind.Onboarded(ctx); err == nil {
		if err := m.around.place(s.Home); err == nil {
			_ = m.around.holdPlain() // Home Assistant itself may be there still
		}
		return
	}
	old, err := m.before(ctx)
	if err != nil {
		return
	}
	if _, err := old.Onboarded(ctx); err == nil {
		m.around.dropPlain()
		_ = m.around.place(netip.AddrPort{})
	}
}

// upgradeEvery is how often a Home Assistant that was moved in configuration.yaml is looked
// at. One that is upgraded to 2026.8 or later takes what it says there for a trial, and
// takes that back after five minutes (ha-protocol 4.1).
const upgradeEvery = 30 * time.Second

// keepUpgraded confirms that trial: the owner has confirmed what it says already. answered
// is false where Home Assistant could not be asked.
func (m *mover) keepUpgraded(ctx context.Context) (answered bool) {
	s := m.stance()
	api, err := m.behind(ctx)
	if err != nil {
		return false
	}
	now, err := api.HTTPConfig(ctx)
	switch {
	case errors.Is(err, client.ErrUnknownCommand):
		return true // an older release
	case err != nil:
		return false
	case now.Running().Port() != int(s.Home.Port()):
		return true // somebody has set it otherwise
	}
	if now.Active == "pending" {
		if err := api.Promote(ctx); err != nil {
			m.log.Error("Home Assistant was upgraded, and takes back where it listens unless somebody confirms it there", "error", err)
			return false
		}
		m.log.Info("Home Assistant was upgraded, and keeps where it listens")
	}
	if err := m.change(ctx, func(now *stance) error { now.YAML = now.YAML && now.Home != s.Home; return nil }); err != nil {
		m.log.Error("could not write down that Home Assistant was upgraded", "error", err)
	}
	return true
}

// pause waits a moment.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// configure makes settings of Home Assistant's web server pending, or with nil takes back
// those that are. Home Assistant does either only once it has started for good, which is
// waited for.
func configure(ctx context.Context, api *client.Client, o client.Options, starting func()) (restart bool, err error) {
	for tries := range startTries {
		restart, err = api.Configure(ctx, o)
		var refused *client.CommandError
		notYet := errors.As(err, &refused) && refused.Code == "not_running"
		// Taking back may be said twice, so that a connection which ends in the middle of a
		// restart is no reason to give up.
		if !notYet && (o != nil || !errors.Is(err, client.ErrUnreachable)) {
			return restart, err
		}
		if notYet && tries == 0 {
			starting()
		}
		if err := pause(ctx, restartEvery); err != nil {
			return false, err
		}
	}
	return false, err
}

// freePort finds a port for Home Assistant behind us.
func freePort(was int) (netip.AddrPort, error) {
	first := was + movedBy
	if first > 65000 {
		first = was - movedBy
	}
	for port := first; port < first+64 && port > 1024 && port < 1<<16; port++ {
		at := netip.AddrPortFrom(loopbackAddr, uint16(port))
		l, err := net.Listen("tcp", at.String())
		if err == nil {
			return at, l.Close()
		}
	}
	return netip.AddrPort{}, fmt.Errorf("no port is free near %d", first)
}
