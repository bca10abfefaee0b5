package hatest

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
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
	NotOnboarded   bool                // fresh: anybody may create the owner, as with a new Home Assistant
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
	opt Options
}

// New makes a home. It starts nothing: a home is ready to serve at once.
func New(opt Options) *Home {
	return &Home{opt: opt}
}

// Run lets time pass in the home until ctx ends: cameras change their tokens
// and sensors drift. A test that needs neither can do without.
func (h *Home) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// ServeHTTP answers one request as Home Assistant would.
func (h *Home) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.opt.Tap != nil {
		h.opt.Tap(r)
	}
	http.NotFound(w, r)
}
