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
// Pages are rendered here. Signing in by code, signing out and being remembered by
// invitation work without a script; the scripts are ES modules of our own, embedded,
// with no build step and nothing from elsewhere. answer.go says what a page may load.
//
// A page before sign-in says nothing of the house: no name of a person, no word of
// Home Assistant, no version. Every refused sign-in is answered alike. The one page that
// names the home has devices trust its authority, and is for who is at home (trust.go).
//
// Requests that change something must come from a page of this very origin, in the
// one content type that their route takes, and below its length. The order in which
// a request is judged is ServeHTTP's.
//
// Every text is in the catalogue (messages.go), once for each language.
package web

import (
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"strings"

	"gatehouse/internal/identity"
)

// Config is what Pages is made of.
type Config struct {
	Identity *identity.Identity // must not be nil
	Log      *slog.Logger       // nil is slog.Default
	// Certificates makes the next certificate of devices that have one. Nil where none has.
	Certificates Certificates
	// Ready reports whether Home Assistant answers. The page that says it does not waits for
	// this. Nil says it always does.
	Ready func() bool
	// Authority is what the page about the local authority asks. Nil where there is no such page.
	Authority Authority
}

// Pages serves the pages. It is safe for use by several goroutines.
type Pages struct {
	cfg       Config
	templates *template.Template
	routes    map[string]map[string]route // by path, then method
	languages []language
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
	PageOverTLS                  // this door has no TLS: where the same house has it
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
	templates, err := parseTemplates()
	if err != nil {
		return nil, err
	}
	return &Pages{cfg: c, templates: templates, routes: routes(), languages: languages()}, nil
}

// ServeHTTP serves all below /_gatehouse/auth/ and /_gatehouse/api/. The request's
// context carries the visit (identity.WithVisit).
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, ok := p.call(w, r)
	if !ok {
		return
	}
	methods, arg := p.find(r.URL.Path)
	if methods == nil {
		p.fail(c, errNoRoute)
		return
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	rt, ok := methods[method]
	if !ok {
		c.w.Header().Set("Allow", allowed(methods))
		p.fail(c, errMethod)
		return
	}
	c.route, c.arg = rt, arg
	switch {
	case rt.takes != nothing && !c.fromHere():
		if c.fromNowhere() && !c.signedIn() {
			p.cfg.Identity.FailedUnread(c.visit)
		}
		p.fail(c, errForeign)
	case rt.takes != nothing && !c.hasType():
		p.fail(c, errType)
	case rt.signedIn && !c.signedIn():
		p.fail(c, errSignedOut)
	default:
		if rt.takes != nothing {
			r.Body = http.MaxBytesReader(w, r.Body, rt.limit)
		}
		if err := rt.serve(p, c); err != nil {
			p.fail(c, err)
		}
	}
}

// call is one request and what is known of it.
type call struct {
	w     http.ResponseWriter
	r     *http.Request
	visit identity.Visit
	known identity.Recognised
	lang  language
	route route
	arg   string // what follows a route's path that ends in a slash
}

// call reads who is asking. It answers by itself where the gateway said nothing of the visit.
func (p *Pages) call(w http.ResponseWriter, r *http.Request) (*call, bool) {
	v, ok := identity.VisitFrom(r.Context())
	if !ok {
		p.cfg.Log.Error("a request came without its visit")
		w.WriteHeader(http.StatusInternalServerError)
		return nil, false
	}
	return &call{w: w, r: r, visit: v, known: p.cfg.Identity.Recognise(v.Cookie), lang: p.language(r.Header.Get("Accept-Language"))}, true
}

// signedIn reports whether this browser has a live session.
func (c *call) signedIn() bool { return c.known.Standing == identity.StandingLive }

// api reports whether a script is asking.
func (c *call) api() bool { return strings.HasPrefix(c.r.URL.Path, apiPrefix) }
