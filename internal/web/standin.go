package web

import "net/http"

// Seconds between two looks at whether Home Assistant is back, for browsers without scripts.
const reloadDown = 10

// reloadKnown is after how many seconds a device that has only moved is looked at again.
const reloadKnown = 20

// standInView is what a page that stands in for one of Home Assistant's shows.
type standInView struct {
	Text    string
	More    string // a second paragraph; may be empty
	Working bool   // something goes on by itself
	Resume  string // words of the button that goes on to Home Assistant after a notice
	Again   string // words of the link that asks for this page again
	Home    string // words of the link to the start
	Own     bool   // a link to one's own page

	Elsewhere string // a link to the same house at another address; may be empty
	Trust     bool   // a link to where a device is told to trust that address
}

// Write writes a whole page in answer to r, whatever its URL. The request's context
// carries the visit (identity.WithVisit).
func (p *Pages) Write(w http.ResponseWriter, r *http.Request, page Page, status int) {
	c, ok := p.call(w, r)
	if !ok {
		return
	}
	if err := p.standIn(c, page, status); err != nil {
		p.fail(c, err)
	}
}

func (p *Pages) standIn(c *call, page Page, status int) error {
	t := c.lang.words
	switch page {
	case PageSignIn:
		return p.showSignIn(c, status, c.here(), false)
	case PageOtherUser:
		return p.showStandIn(c, status, t.OtherUserTitle, standInView{Text: sayName(t.OtherUserText, c.known.Who.Name),
			More: t.OtherUserMore, Resume: t.OtherUserResume, Own: true})
	case PageHADown:
		c.w.Header().Set("Retry-After", "5")
		return p.show(c, status, "standin", view{Title: t.DownTitle, Script: "down.js", Reload: reloadDown,
			Page: standInView{Text: t.DownText, Working: true, Again: t.TryAgain}})
	case PageNotAllowed:
		return p.showStandIn(c, status, t.NotAllowedTitle, standInView{Text: t.NotAllowedText, Home: t.ToStart, Own: c.signedIn()})
	case PageOverTLS:
		return p.show(c, status, "standin", view{Title: t.OverTLSTitle, Script: "known.js", Refresh: reloadKnown,
			Page: standInView{Text: t.OverTLSText, Elsewhere: c.visit.Secure, More: t.OverTLSMore, Trust: p.warns(c)}})
	case PageNotOnboarded:
		return p.showStandIn(c, status, t.NotOnboardedTitle, standInView{Text: t.NotOnboardedText, More: t.NotOnboardedMore, Again: t.TryAgain})
	}
	return p.showStandIn(c, status, t.NotFoundTitle, standInView{Text: t.NotFoundText, Home: t.ToStart})
}

func (p *Pages) showStandIn(c *call, status int, title string, v standInView) error {
	return p.show(c, status, "standin", view{Title: title, Page: v})
}

// showNoInvitation says that an invitation is none, whatever the reason.
func (p *Pages) showNoInvitation(c *call) error {
	t := c.lang.words
	v := standInView{Text: t.NoInviteText, More: t.NoInviteMore}
	if c.signedIn() {
		v.Home = t.ToStart
	}
	return p.showStandIn(c, http.StatusNotFound, t.NoInviteTitle, v)
}

// showFailed says that something did not work.
func (p *Pages) showFailed(c *call, status int) error {
	t := c.lang.words
	return p.showStandIn(c, status, t.FailedTitle, standInView{Text: t.FailedText, Home: t.ToStart})
}
