package web

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/identity"
)

// contentPolicy is what a page of ours may load, run, ask and be shown in: its own
// files and nothing else. No text becomes markup or script (Trusted Types).
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'"

// permissions is which features of the browser a page of ours may use.
const permissions = "publickey-credentials-get=(self), publickey-credentials-create=(self), clipboard-write=(self), " +
	"camera=(), microphone=(), geolocation=(), payment=(), usb=()"

// guardHeaders sets what every answer of ours carries. The referrer policy names the
// origin alone: a path may hold an invitation, and with no-referrer a form would not
// say where it comes from.
func guardHeaders(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", permissions)
	h.Set("Referrer-Policy", "strict-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Robots-Tag", "noindex")
}

//go:embed templates
var templateFiles embed.FS

func parseTemplates() (*template.Template, error) {
	t, err := template.New("").Funcs(template.FuncMap{
		"moment":   newMoment,
		"sayName":  sayName,
		"sayCount": sayCount,
	}).ParseFS(templateFiles, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("read the pages: %w", err)
	}
	return t, nil
}

// view is what every template is given.
type view struct {
	T      *messages
	Lang   string
	Title  string
	Script string // name of the page's module; empty without one
	Reload int    // seconds after which a browser without scripts asks again; 0 never
	Page   any    // what this page shows

	Refresh int // seconds after which every browser asks again; 0 never

	Connect []string // origins that its script may ask beside its own
}

// show writes a page.
func (p *Pages) show(c *call, status int, name string, v view) error {
	v.T, v.Lang = c.lang.words, c.lang.tag
	var b bytes.Buffer
	if err := p.templates.ExecuteTemplate(&b, name, v); err != nil {
		return fmt.Errorf("write page %s: %w", name, err)
	}
	h := c.w.Header()
	h.Set("Content-Language", c.lang.tag)
	p.sendWith(c, status, "text/html; charset=utf-8", b.Bytes(), v.Connect)
	return nil
}

// send writes a whole answer. A HEAD gets its headers.
func (p *Pages) send(c *call, status int, contentType string, body []byte) {
	p.sendWith(c, status, contentType, body, nil)
}

// sendWith does, for a page whose script may ask other origins too.
func (p *Pages) sendWith(c *call, status int, contentType string, body []byte, connect []string) {
	h := c.w.Header()
	guardHeaders(h)
	if len(connect) > 0 {
		const own = "connect-src 'self'"
		h.Set("Content-Security-Policy", strings.Replace(contentPolicy, own, own+" "+strings.Join(connect, " "), 1))
	}
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	if c.r.Method == http.MethodHead {
		return
	}
	if _, err := c.w.Write(body); err != nil {
		p.cfg.Log.Debug("a browser left before its page was written", "error", err)
	}
}

// reply answers a script.
func (p *Pages) reply(c *call, status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write an answer: %w", err)
	}
	p.send(c, status, "application/json", body)
	return nil
}

// lead sends a browser on to a local path. 303, so that it asks with GET.
func (p *Pages) lead(c *call, next string) error {
	c.w.Header().Set("Location", next)
	p.send(c, http.StatusSeeOther, "text/plain; charset=utf-8", nil)
	return nil
}

// remember gives the browser its cookie, if there is a new one.
func (c *call) remember(cookie string) {
	if cookie == "" {
		return
	}
	http.SetCookie(c.w, &http.Cookie{Name: identity.CookieName, Value: cookie, Path: "/", MaxAge: identity.CookieMaxAge,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// What is wrong with a request itself.
var (
	errNoRoute   = errors.New("web: no such page")
	errMethod    = errors.New("web: not with this method")
	errForeign   = errors.New("web: not from a page of ours")
	errType      = errors.New("web: wrong content type")
	errBody      = errors.New("web: cannot read what was sent")
	errSignedOut = errors.New("web: not signed in")
)

// failure is how an error is told: a status, and the word that scripts look up
// their sentence by.
type failure struct {
	err    error
	status int
	word   string
}

// failures returns how each error that people can cause is told.
func failures() []failure {
	return []failure{
		{errNoRoute, http.StatusNotFound, "not-found"},
		{errMethod, http.StatusMethodNotAllowed, "method"},
		{errForeign, http.StatusForbidden, "foreign"},
		{errType, http.StatusUnsupportedMediaType, "type"},
		{errBody, http.StatusBadRequest, "body"},
		{errSignedOut, http.StatusUnauthorized, "signed-out"},
		{identity.ErrRefused, http.StatusUnauthorized, "refused"},
		{errNoCertificate, http.StatusNotFound, "not-found"},
		{identity.ErrNoInvitation, http.StatusNotFound, "invitation"},
		{identity.ErrCeremony, http.StatusConflict, "again"},
		{identity.ErrWrongCode, http.StatusUnprocessableEntity, "code"},
		{identity.ErrNotFresh, http.StatusForbidden, "not-fresh"},
		{identity.ErrNotFound, http.StatusNotFound, "gone"},
		{identity.ErrRevoked, http.StatusUnauthorized, "signed-out"},
		{identity.ErrName, http.StatusUnprocessableEntity, "name"},
		{identity.ErrNameTaken, http.StatusUnprocessableEntity, "name-taken"},
		{identity.ErrBusy, http.StatusTooManyRequests, "busy"},
		{identity.ErrWrongNumber, http.StatusUnprocessableEntity, "number"},
		{identity.ErrMembersOnly, http.StatusForbidden, "members"},
		{identity.ErrNoPasskeyHere, http.StatusConflict, "no-passkey"},
		{identity.ErrTooMany, http.StatusConflict, "too-many"},
	}
}

// fail tells an error: a word to scripts, a page to people.
func (p *Pages) fail(c *call, err error) {
	f := failure{err, http.StatusInternalServerError, "failed"}
	for _, known := range failures() {
		if errors.Is(err, known.err) {
			f = known
			break
		}
	}
	if errors.Is(err, errBody) && errors.As(err, new(*http.MaxBytesError)) {
		f.status = http.StatusRequestEntityTooLarge
	}
	if f.status == http.StatusInternalServerError {
		p.cfg.Log.Error("could not answer", "path", cmp.Or(c.routePath(), "none"), "error", err)
	}
	if c.api() {
		err = p.reply(c, f.status, map[string]string{"error": f.word})
	} else {
		err = p.failPage(c, f)
	}
	if err != nil {
		p.cfg.Log.Error("could not say what is wrong", "error", err)
		c.w.WriteHeader(http.StatusInternalServerError)
	}
}

// failPage tells a person what went wrong.
func (p *Pages) failPage(c *call, f failure) error {
	switch {
	case errors.Is(f.err, errSignedOut), errors.Is(f.err, identity.ErrRevoked):
		return p.lead(c, pathSignIn)
	case errors.Is(f.err, identity.ErrRefused):
		return p.showSignIn(c, f.status, "/", true)
	case errors.Is(f.err, identity.ErrNoInvitation):
		return p.showNoInvitation(c)
	case errors.Is(f.err, errNoRoute):
		return p.standIn(c, PageNotFound, f.status)
	}
	return p.showFailed(c, f.status)
}

// routePath returns a request's path without its argument, which may be a secret.
func (c *call) routePath() string { return c.r.URL.Path[:len(c.r.URL.Path)-len(c.arg)] }
