package hatest

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Latest is the release that a [Home] claims to be unless it is told another.
const Latest = "2026.11.0"

// Options say what home it is. The zero value is the demonstration home, which
// trusts no proxy.
type Options struct {
	Version        string              // release whose ways it has; empty means Latest
	TrustedProxies []netip.Prefix      // peers whose X-Forwarded-For is believed; from others it is a 400
	Users          []User              // empty means DemoUsers
	NotOnboarded   bool                // fresh: anybody may create the owner, as with a new Home Assistant; Users are ignored
	Now            func() time.Time    // nil means time.Now
	Log            *slog.Logger        // nil means silence
	Tap            func(*http.Request) // called for each request that arrives, before anything is decided; may be nil
}

// User is somebody who can log in.
type User struct {
	ID         string // 32 hex digits; empty means that one is made
	Name       string
	Username   string // empty: has no login
	Password   string
	Owner      bool // implies Admin
	Admin      bool
	LocalOnly  bool // may log in from private addresses only
	Inactive   bool
	TOTPSecret string // base32; not empty: a code is asked for after the password
}

// DemoUsers are the owner and the member of the demonstration home. Their
// passwords are said on the screen.
func DemoUsers() []User {
	return []User{
		{ID: "d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0", Name: "Demo", Username: "demo", Password: "demo", Owner: true, Admin: true},
		{ID: "a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0", Name: "Anna", Username: "anna", Password: "anna"},
	}
}

// Home is one small Home Assistant. Its methods may be called at any time from
// any goroutine.
type Home struct {
	release  release
	now      func() time.Time
	log      *slog.Logger
	tap      func(*http.Request)
	started  time.Time
	routes   []route
	commands map[string]command

	accounts accounts
	rooms    rooms
	bus      bus
	phones   phones
	settings settings
	cameras  cameras
	uploads  uploads
	links    links

	ingressSessions ingressSessions
}

// New makes a home. It starts nothing: a home is ready to serve at once.
func New(opt Options) *Home {
	h := &Home{now: opt.Now, log: opt.Log, tap: opt.Tap}
	if h.now == nil {
		h.now = time.Now
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if opt.Version == "" {
		opt.Version = Latest
	}
	if len(opt.Users) == 0 {
		opt.Users = DemoUsers()
	}
	if opt.NotOnboarded {
		opt.Users = nil
	}
	h.release = parseRelease(opt.Version)
	h.started = h.now()
	h.accounts.open(h, opt.Users)
	h.rooms.open(h)
	h.cameras.open(h)
	h.settings.open(opt.TrustedProxies, h.started)
	h.routes = h.routeTable()
	h.commands = h.commandTable()
	return h
}

// Run lets time pass in the home until ctx ends: cameras change their tokens
// and a sensor drifts. Then every live socket and stream ends, as when Home
// Assistant stops. A home that is not run answers all the same.
func (h *Home) Run(ctx context.Context) error {
	drift, turn := time.NewTicker(10*time.Second), time.NewTicker(5*time.Minute)
	defer drift.Stop()
	defer turn.Stop()
	defer h.Hangup()
	for {
		select {
		case <-drift.C:
			h.rooms.drift(h)
		case <-turn.C:
			h.cameras.turn(h)
		case <-ctx.Done():
			return nil
		}
	}
}

// Hangup ends every live socket and stream at once, as a restart of Home
// Assistant does: sockets close with 1000. The home goes on answering.
func (h *Home) Hangup() { h.links.hangup() }

// Live is how many sockets and streams are open.
func (h *Home) Live() int { return h.links.count() }

// State is an entity's state as Home Assistant would say it, "" if there is no
// such entity.
func (h *Home) State(entityID string) string {
	s, _ := h.rooms.get(entityID)
	return s.State
}

// links are the sockets and streams that are open, each with the function that
// ends it.
type links struct {
	mu   sync.Mutex
	next int
	ends map[int]func()
}

// add keeps end until the returned function is called.
func (l *links) add(end func()) (remove func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ends == nil {
		l.ends = make(map[int]func())
	}
	id := l.next
	l.next++
	l.ends[id] = end
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.ends, id)
	}
}

func (l *links) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ends)
}

func (l *links) hangup() {
	l.mu.Lock()
	ends := make([]func(), 0, len(l.ends))
	for _, end := range l.ends {
		ends = append(ends, end)
	}
	l.mu.Unlock()
	for _, end := range ends {
		end()
	}
}
