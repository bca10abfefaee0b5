// Package web is the pages that people see on Home Assistant's own host: sign-in,
// enrolment by invitation, one's own page, and what to say where there is no page
// of Home Assistant's to show.
//
// Everything lies below /_gatehouse/auth/ (what people look at) and
// /_gatehouse/api/ (what its scripts ask): no service worker of Home Assistant's
// caches these (ha-frontend 2). Pages that stand in for one of Home Assistant's are
// written on the URL that was asked for, with Write, so that afterwards one is where
// one was.
//
// # Decisions
//
// The pages are rendered here and work without a script as far as signing in by
// code goes; scripts are ES modules of our own, embedded, with no build step and
// nothing from elsewhere. The policy of what a page may load is in headers.go.
//
// A page before sign-in says nothing of the house: no name of a person, no word
// of Home Assistant, no version. Every failed sign-in is answered alike.
//
// Requests that change something must come from a page of this very origin
// (request.go). The order in which a request is judged is (*Pages).ServeHTTP.
package web

import (
	"errors"
	"log/slog"
	"net/http"

	"gatehouse/internal/identity"
)

// Config is what Pages is made of.
type Config struct {
	Identity *identity.Identity // must not be nil
	Log      *slog.Logger       // nil is slog.Default
	// Ready reports whether Home Assistant answers. The page that says it does not waits for
	// this. Nil says it always does.
	Ready func() bool
}

// Pages serves the pages. It is safe for use by several goroutines.
type Pages struct {
	cfg Config
}

// Page is a page that stands in for one of Home Assistant's.
type Page int

// The pages.
const (
	PageNotFound     Page = iota // there is no such page
	PageSignIn                   // who are you?
	PageOtherUser                // signed in to Home Assistant as somebody else's user
	PageHADown                   // Home Assistant does not answer; recovers by itself
	PageNotAllowed               // not for this person
	PageNotOnboarded             // Home Assistant's own set-up is not finished
)

// New makes Pages. It starts nothing.
func New(c Config) (*Pages, error) {
	if c.Identity == nil {
		return nil, errors.New("web: no identity")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Ready == nil {
		c.Ready = func() bool { return true }
	}
	return &Pages{cfg: c}, nil
}

// ServeHTTP serves all below /_gatehouse/auth/ and /_gatehouse/api/. The request's
// context carries the visit (identity.WithVisit).
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.Write(w, r, PageNotFound, http.StatusNotFound)
}

// Write writes a whole page in answer to r, whatever its URL. The request's context
// carries the visit (identity.WithVisit).
func (p *Pages) Write(w http.ResponseWriter, r *http.Request, page Page, status int) {
	w.WriteHeader(status)
}
