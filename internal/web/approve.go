package web

import (
	"errors"
	"net/http"
	"time"

	"gatehouse/internal/identity"
)

// ask asks the devices that are signed in to let this browser in.
func (p *Pages) ask(c *call) error {
	if _, err := read[struct{}](c); err != nil {
		return err
	}
	a, err := p.cfg.Identity.AskApproval(c.r.Context(), c.visit)
	if err != nil {
		return err
	}
	return p.reply(c, http.StatusOK, struct {
		Ticket  string    `json:"ticket"`
		Code    string    `json:"code"`
		Number  int       `json:"number"`
		Expires time.Time `json:"expires"`
	}{a.Ticket, a.Code, a.Number, a.Expires})
}

// poll says how far the question is, and gives an approved browser its cookie.
func (p *Pages) poll(c *call) error {
	in, err := read[struct {
		Ticket string `json:"ticket"`
	}](c)
	if err != nil {
		return err
	}
	state, cookie, err := p.cfg.Identity.PollApproval(c.r.Context(), c.visit, in.Ticket)
	switch {
	case errors.Is(err, identity.ErrRefused):
		state = identity.ApprovalGone // another request took the cookie a moment ago
	case errors.Is(err, identity.ErrRevoked):
		state = identity.ApprovalDenied
	case err != nil:
		return err
	}
	c.remember(cookie)
	return p.reply(c, http.StatusOK, struct {
		State string `json:"state"`
	}{approvalWord(state)})
}

func approvalWord(s identity.ApprovalState) string {
	switch s {
	case identity.ApprovalWaiting:
		return "waiting"
	case identity.ApprovalApproved:
		return "approved"
	case identity.ApprovalDenied:
		return "denied"
	}
	return "gone"
}

// asking is a browser that asks, as a device that may approve it is told.
type asking struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Addr    string    `json:"addr"`
	Door    string    `json:"door"`
	Expires time.Time `json:"expires"`
}

func (p *Pages) waiting(c *call) error {
	all := []asking{}
	for _, w := range p.cfg.Identity.Waiting() {
		all = append(all, asking{w.ID, w.Name, w.Addr, w.Door, w.Expires})
	}
	return p.reply(c, http.StatusOK, struct {
		Waiting []asking `json:"waiting"`
	}{all})
}

// answer lets a browser that asks in, or not: without a number it is denied.
func (p *Pages) answer(c *call) error {
	in, err := read[struct {
		ID     string `json:"id"`
		Number *int   `json:"number"`
	}](c)
	if err != nil {
		return err
	}
	if in.Number == nil {
		err = p.cfg.Identity.Deny(c.r.Context(), c.known.Who, in.ID)
	} else {
		err = p.cfg.Identity.Approve(c.r.Context(), c.known.Who, in.ID, *in.Number)
	}
	if err != nil {
		return err
	}
	return p.replyOK(c)
}
