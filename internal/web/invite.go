package web

import (
	"net/http"

	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// inviteView is what the page of an invitation shows.
type inviteView struct {
	Code     string
	Person   string // empty for the first owner, who gives a name
	Owner    bool
	Passkeys bool   // passkeys work at this address
	Replaces bool   // another authenticator app takes the place of the one the person has
	Instead  string // who this browser belongs to until now, if to somebody else
}

// invitePage shows what an invitation is for and leaves it as it is: who only looks,
// or a messenger that previews links, does not use it up.
func (p *Pages) invitePage(c *call) error {
	inv, err := p.cfg.Identity.PeekInvitation(c.r.Context(), c.visit, c.arg)
	if err != nil {
		return err
	}
	v := inviteView{Code: c.arg, Person: inv.Person, Owner: inv.Role >= policy.RoleOwner, Passkeys: p.cfg.Identity.PasskeysAt(c.visit)}
	if person, ok := p.cfg.Identity.PersonByName(inv.Person); ok {
		v.Replaces = person.TOTP
	}
	if c.signedIn() && c.known.Who.Name != inv.Person {
		v.Instead = c.known.Who.Name
	}
	t := c.lang.words
	title := t.InviteTitle
	if v.Person == "" {
		title = t.OwnerTitle
	}
	return p.show(c, http.StatusOK, "invite", view{Title: title, Script: "invite.js", Page: v})
}

// inviteBrowser makes a member's browser known by the invitation alone, with or
// without a script.
func (p *Pages) inviteBrowser(c *call) error {
	if _, err := c.fields(); err != nil {
		return err
	}
	e, err := p.cfg.Identity.EnrolBrowser(c.r.Context(), c.visit, c.arg)
	if err != nil {
		return err
	}
	c.remember(e.Cookie)
	return p.lead(c, "/")
}

// invited is what every step of an enrolment brings along. Name counts for the first owner.
type invited struct {
	Invite string `json:"invite"`
	Name   string `json:"name"`
}

func (p *Pages) beginPasskey(c *call) error {
	in, err := read[invited](c)
	if err != nil {
		return err
	}
	made, err := p.cfg.Identity.BeginPasskey(c.r.Context(), c.visit, in.Invite, in.Name)
	return p.replyCeremony(c, made, err)
}

func (p *Pages) enrolPasskey(c *call) error {
	in, err := read[struct {
		invited
		ceremonyAnswer
	}](c)
	if err != nil {
		return err
	}
	e, err := p.cfg.Identity.EnrolPasskey(c.r.Context(), c.visit, in.Invite, in.Name, in.ID, in.Response)
	return p.replyEnrolment(c, e, err)
}

func (p *Pages) beginTOTP(c *call) error {
	in, err := read[invited](c)
	if err != nil {
		return err
	}
	id, url, secret, err := p.cfg.Identity.BeginTOTP(c.r.Context(), c.visit, in.Invite, in.Name)
	return p.replyAuthenticator(c, id, url, secret, err)
}

func (p *Pages) enrolTOTP(c *call) error {
	in, err := read[struct {
		invited
		ID   string `json:"id"`
		Code string `json:"code"`
	}](c)
	if err != nil {
		return err
	}
	e, err := p.cfg.Identity.EnrolTOTP(c.r.Context(), c.visit, in.Invite, in.Name, in.ID, in.Code)
	return p.replyEnrolment(c, e, err)
}

// authenticator is what an authenticator app is set up with. ID is empty where it is
// set up already.
type authenticator struct {
	ID     string `json:"id,omitempty"`
	URL    string `json:"url"`
	Secret string `json:"secret"`
	QR     string `json:"qr"` // the same as a picture, a data: URL
}

func newAuthenticator(id, url, secret string) (*authenticator, error) {
	picture, err := pictureOf(url)
	if err != nil {
		return nil, err
	}
	return &authenticator{id, url, secret, picture}, nil
}

func (p *Pages) replyAuthenticator(c *call, id, url, secret string, err error) error {
	if err != nil {
		return err
	}
	a, err := newAuthenticator(id, url, secret)
	if err != nil {
		return err
	}
	return p.reply(c, http.StatusOK, a)
}

// enrolled is what a person gets, once, when their browser becomes known.
type enrolled struct {
	Recovery []string       `json:"recovery,omitempty"`
	App      *authenticator `json:"app,omitempty"`
}

func (p *Pages) replyEnrolment(c *call, e identity.Enrolment, err error) error {
	if err != nil {
		return err
	}
	c.remember(e.Cookie)
	out := enrolled{Recovery: e.Recovery}
	if e.TOTPURL != "" {
		if out.App, err = newAuthenticator("", e.TOTPURL, e.TOTPSecret); err != nil {
			return err
		}
	}
	return p.reply(c, http.StatusOK, out)
}
