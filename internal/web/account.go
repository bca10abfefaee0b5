package web

import (
	"net/http"
	"time"

	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// ownView is what one's own page shows.
type ownView struct {
	Person   identity.Person
	Owner    bool
	Device   identity.Device
	Passkeys []passkeyView
	CanMake  bool // passkeys work at this address
	CanProve bool // there is something to prove oneself with
}

type passkeyView struct {
	identity.Passkey
	Here   bool   // made in this browser
	Device string // name of the device it was made on; empty where that is gone
}

// own is one's own page; for a browser that is not signed in, the sign-in page.
func (p *Pages) own(c *call) error {
	if !c.signedIn() {
		return p.showSignIn(c, http.StatusOK, c.here(), false)
	}
	person, ok := p.cfg.Identity.PersonByName(c.known.Who.Name)
	if !ok {
		return identity.ErrNotFound
	}
	v := ownView{Person: person, Owner: person.Role >= policy.RoleOwner, CanMake: p.cfg.Identity.PasskeysAt(c.visit),
		CanProve: person.Passkeys > 0 || person.TOTP || person.RecoveryLeft > 0}
	names := make(map[string]string)
	for _, d := range p.cfg.Identity.Devices() {
		names[d.ID] = d.Name
		if d.ID == c.known.Who.Device {
			v.Device = d
		}
	}
	for _, k := range p.cfg.Identity.Passkeys() {
		if k.PersonID == person.ID {
			v.Passkeys = append(v.Passkeys, passkeyView{Passkey: k, Here: k.Device == v.Device.ID, Device: names[k.Device]})
		}
	}
	return p.show(c, http.StatusOK, "account", view{Title: c.lang.words.OwnTitle, Script: "account.js", Page: v})
}

// moment is a time as a page shows it: for people, and for the script that writes it
// in their own zone and manner.
type moment struct{ Machine, Text string }

func newMoment(t time.Time) moment {
	return moment{t.UTC().Format(time.RFC3339), t.UTC().Format("2006-01-02 15:04 UTC")}
}

// confirm makes the session fresh by a code of its own person's.
func (p *Pages) confirm(c *call) error {
	in, err := read[struct {
		Code string `json:"code"`
	}](c)
	if err != nil {
		return err
	}
	cookie, err := p.cfg.Identity.SignInCode(c.r.Context(), c.visit, c.known.Who.Name, in.Code)
	return p.replySignIn(c, cookie, err)
}

func (p *Pages) beginAddPasskey(c *call) error {
	if _, err := read[struct{}](c); err != nil {
		return err
	}
	made, err := p.cfg.Identity.BeginAddPasskey(c.r.Context(), c.visit)
	return p.replyCeremony(c, made, err)
}

func (p *Pages) addPasskey(c *call) error {
	in, err := read[ceremonyAnswer](c)
	if err != nil {
		return err
	}
	if err := p.cfg.Identity.FinishAddPasskey(c.r.Context(), c.visit, in.ID, in.Response); err != nil {
		return err
	}
	return p.replyOK(c)
}

// removePasskey forgets a passkey of one's own.
func (p *Pages) removePasskey(c *call) error {
	in, err := read[struct {
		ID string `json:"id"`
	}](c)
	if err != nil {
		return err
	}
	if err := p.cfg.Identity.RemoveOwnPasskey(c.r.Context(), c.visit, in.ID); err != nil {
		return err
	}
	return p.replyOK(c)
}

func (p *Pages) beginResetTOTP(c *call) error {
	if _, err := read[struct{}](c); err != nil {
		return err
	}
	id, url, secret, err := p.cfg.Identity.BeginResetTOTP(c.r.Context(), c.visit)
	return p.replyAuthenticator(c, id, url, secret, err)
}

func (p *Pages) resetTOTP(c *call) error {
	in, err := read[struct {
		ID   string `json:"id"`
		Code string `json:"code"`
	}](c)
	if err != nil {
		return err
	}
	if err := p.cfg.Identity.FinishResetTOTP(c.r.Context(), c.visit, in.ID, in.Code); err != nil {
		return err
	}
	return p.replyOK(c)
}

func (p *Pages) renewRecovery(c *call) error {
	if _, err := read[struct{}](c); err != nil {
		return err
	}
	codes, err := p.cfg.Identity.NewRecoveryCodes(c.r.Context(), c.visit)
	if err != nil {
		return err
	}
	return p.reply(c, http.StatusOK, enrolled{Recovery: codes})
}
