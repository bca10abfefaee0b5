package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"gatehouse/internal/identity"
)

// signInView is what the sign-in page shows.
type signInView struct {
	Next     string // where to go on to afterwards
	Here     bool   // the page stands in for Next, on its URL
	Failed   bool   // a sign-in was refused just now
	Passkeys bool   // passkeys work at this address
	Host     string // where the house is, as people type it
}

func (p *Pages) showSignIn(c *call, status int, next string, failed bool) error {
	return p.show(c, status, "signin", view{Title: c.lang.words.SignInTitle, Script: "signin.js", Page: signInView{
		Next: next, Here: next == c.r.RequestURI, Failed: failed, Passkeys: p.cfg.Identity.PasskeysAt(c.visit),
		Host: host(c.visit),
	}})
}

// host returns where the visit is, as people type it.
func host(v identity.Visit) string {
	const scheme = "https://"
	if len(v.Origin) > len(scheme) {
		return v.Origin[len(scheme):]
	}
	return v.Host
}

// signInPage is the sign-in page at its own address.
func (p *Pages) signInPage(c *call) error {
	if c.signedIn() {
		return p.lead(c, "/")
	}
	return p.showSignIn(c, http.StatusOK, "/", false)
}

// signInForm signs in by code from a form, for browsers without scripts.
func (p *Pages) signInForm(c *call) error {
	f, err := c.fields()
	if err != nil {
		return err
	}
	next := nextOr(f.Get("next"))
	cookie, err := p.cfg.Identity.SignInCode(c.r.Context(), c.visit, f.Get("name"), f.Get("code"))
	if p.refused(err) {
		return p.showSignIn(c, http.StatusUnauthorized, next, true)
	}
	if err != nil {
		return err
	}
	c.remember(cookie)
	return p.lead(c, next)
}

// refused reports whether an error of a sign-in is the person's. All of these look
// the same from outside. What is left is that something could not be written down.
func (p *Pages) refused(err error) bool {
	for _, theirs := range []error{identity.ErrRefused, identity.ErrRevoked, identity.ErrTooMany, identity.ErrNotFound, identity.ErrCeremony} {
		if errors.Is(err, theirs) {
			if theirs != identity.ErrRefused {
				p.cfg.Log.Warn("a right sign-in was refused", "error", err)
			}
			return true
		}
	}
	return false
}

// begun is a passkey ceremony as scripts are given it.
type begun struct {
	ID      string          `json:"id"`
	Options json.RawMessage `json:"options"`
}

func (p *Pages) replyCeremony(c *call, made identity.Ceremony, err error) error {
	if err != nil {
		return err
	}
	return p.reply(c, http.StatusOK, begun(made))
}

// ceremonyAnswer is an authenticator's answer, as PublicKeyCredential.toJSON writes it.
type ceremonyAnswer struct {
	ID       string          `json:"id"`
	Response json.RawMessage `json:"response"`
}

func (p *Pages) beginSignIn(c *call) error {
	if _, err := read[struct{}](c); err != nil {
		return err
	}
	made, err := p.cfg.Identity.BeginSignIn(c.r.Context(), c.visit)
	return p.replyCeremony(c, made, err)
}

func (p *Pages) signInPasskey(c *call) error {
	in, err := read[ceremonyAnswer](c)
	if err != nil {
		return err
	}
	cookie, err := p.cfg.Identity.SignInPasskey(c.r.Context(), c.visit, in.ID, in.Response)
	return p.replySignIn(c, cookie, err)
}

func (p *Pages) signInCode(c *call) error {
	in, err := read[struct {
		Name string `json:"name"`
		Code string `json:"code"`
	}](c)
	if err != nil {
		return err
	}
	cookie, err := p.cfg.Identity.SignInCode(c.r.Context(), c.visit, in.Name, in.Code)
	return p.replySignIn(c, cookie, err)
}

// replySignIn ends a script's sign-in.
func (p *Pages) replySignIn(c *call, cookie string, err error) error {
	if p.refused(err) {
		return identity.ErrRefused
	}
	if err != nil {
		return err
	}
	c.remember(cookie)
	return p.replyOK(c)
}

func (p *Pages) replyOK(c *call) error {
	return p.reply(c, http.StatusOK, struct {
		OK bool `json:"ok"`
	}{true})
}

// session tells a page that may come from an old cache whether its browser is signed in.
func (p *Pages) session(c *call) error {
	return p.reply(c, http.StatusOK, struct {
		SignedIn bool `json:"signed_in"`
	}{c.signedIn()})
}

// ready tells whoever may see that Home Assistant is down whether it is up again.
func (p *Pages) ready(c *call) error {
	if !c.signedIn() && !c.visit.AtHome {
		return errSignedOut
	}
	return p.reply(c, http.StatusOK, struct {
		Ready bool `json:"ready"`
	}{p.cfg.Ready()})
}

// signOut ends this browser's session. The cookie stays: it is worth nothing now, but
// the browser is known again by it when its person signs in.
func (p *Pages) signOut(c *call) error {
	if _, err := c.fields(); err != nil {
		return err
	}
	if err := p.cfg.Identity.SignOut(context.WithoutCancel(c.r.Context()), c.visit.Cookie); err != nil {
		return err
	}
	return p.lead(c, pathSignIn)
}

// resume takes the notice back that stood in the way and goes on to Home Assistant.
func (p *Pages) resume(c *call) error {
	if _, err := c.fields(); err != nil {
		return err
	}
	p.cfg.Identity.ClearNotice(c.known.Session)
	return p.lead(c, "/")
}
