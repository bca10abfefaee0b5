package gateway

import (
	"net/http"
	"strings"
	"time"

	"gatehouse/internal/guard"
	"gatehouse/internal/ha"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// What counts against a source (ha-protocol 2.5), and what does not.
//
// Two things count. What Home Assistant itself was asked and refused, each time: a
// password or code, a token, a signature. And what nobody whom we know has shown and what
// we refused in Home Assistant's place: it did not reach it, but a stranger who tries
// passwords at a door that leads nowhere is a stranger who tries passwords.
//
// Decisions taken here:
//   - A known device never counts against its address, whatever it shows: it is let in
//     past a ban, so the ban would hit others alone. What it can guess is bounded for
//     itself (Gateway.logins; identity for our own codes).
//   - A browser whose session ended, and an app or browser that was revoked, goes on for
//     days from the family's own address with what it had. What it shows is refused and
//     counts for nothing, and neither do the tokens of sign-ins that were found while moving
//     in and given to nobody. A thief may hold the same token, but guesses nothing with it:
//     it opens nothing here, and Home Assistant is told to revoke it (Gateway.endAtHA).
//   - A token or signature that ran out counts for nothing: it is what honest clients are
//     left with. Whoever makes one up that ran out is refused before Home Assistant.
//   - What only a machine would remember (tokens, codes, ids of webhooks, in the form that
//     Home Assistant gives them) counts once a week for each source that shows it
//     (repeats): an app that was never enrolled refreshes every few minutes for weeks.
//     Passwords, and whatever has not that form, count each time.
//   - What a page of another site makes a browser send (Sec-Fetch-Site) counts only where
//     it was tried: otherwise any page on the Internet could have the family's own
//     address banned. Whoever writes that header to escape is refused all the same.
//   - Asking without a credential is no failure: frontends, speakers and previews do.
//     While the house is open Home Assistant answers at home, and what it refuses counts,
//     with or without a token, because it counts there, too. A member's token that is not
//     good for an administrator's route does not (mayBeGood).
//   - A right login at Home Assistant forgives nothing: who has an account could guess
//     another's in between.

// attempt is something that was shown and is not good for what was asked. The zero attempt
// is none.
type attempt struct {
	kind  guard.Kind
	shown string // the same again is known by this; empty where each time counts
}

// fail reports a failure of somebody whom we do not know.
func (f *flight) fail(kind guard.Kind, account, what string) {
	f.gw.Guard.Fail(guard.Failure{Addr: f.addr, Kind: kind, Account: account, Door: string(f.door.Name()), What: what})
}

// blame counts a refusal, if it is one that honest clients do not get. Nothing of the
// request was tried. Of who is not listened to nothing counts, and nothing is remembered:
// it would push out what honest apps have shown in vain (repeats).
func (f *flight) blame(no *refusal) {
	if f.own || f.unheard || no.down || no.closed || !f.addr.IsValid() {
		return
	}
	if f.path == "" { // arrive has not got far
		f.readCookie()
		if _, learned := f.gw.Identity.AccessToken(bearer(f.r.Header)); learned {
			return
		}
	}
	if f.isKnown() || f.known.Standing != identity.StandingNone || f.fromOtherSite() {
		return
	}
	if f.tried.kind == "" {
		f.blameScan()
		return
	}
	if f.tried.shown != "" && !f.gw.repeats.first(f.addr, f.tried.kind, f.tried.shown) {
		return
	}
	account := ""
	if f.route == ha.RouteLoginFlow {
		step, _ := ha.ParseLoginStep(f.login.body)
		account = haAccount(step.Username)
	}
	f.fail(f.tried.kind, account, string(f.route))
}

// blameScan counts what only scanners ask for. At home nothing does: televisions, printers
// and the owner's own tools look around there.
func (f *flight) blameScan() {
	what := scanShaped(f.r.Method, f.r.RequestURI, f.door.HostAllowed(f.r.Host))
	if what == "" || f.inside() {
		return
	}
	// An integration that the owner added may have a path of its own below /api/, and
	// something that calls it again and again.
	if what == scanPath && strings.HasPrefix(f.path, "/api/") && !f.gw.repeats.first(f.addr, guard.Scan, f.path) {
		return
	}
	if what == scanPath {
		what += ": " + firstWords(f.path)
	}
	f.fail(guard.Scan, "", what)
}

// firstWords is the beginning of a path: what follows may be a secret.
func firstWords(path string) string {
	first, rest, more := strings.Cut(path[1:], "/")
	if first != "api" || !more {
		return "/" + first
	}
	second, _, _ := strings.Cut(rest, "/")
	return "/api/" + second
}

// fromOtherSite reports whether a page of another site made a browser send this. One that
// hides what it is (a frame in a sandbox, a form without a referrer) has the origin null.
func (f *flight) fromOtherSite() bool {
	switch f.r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return true
	}
	origin := f.r.Header["Origin"]
	return len(origin) == 1 && (strings.HasPrefix(origin[0], "http") || origin[0] == "null") && origin[0] != f.origin()
}

// bearer is the token in a request's header; empty if there is not exactly one.
func bearer(h http.Header) string {
	if values := h["Authorization"]; len(values) == 1 {
		token, _ := strings.CutPrefix(values[0], "Bearer ")
		return token
	}
	return ""
}

// triedToken says what an access token counts as whose device is not the one that asks.
func (f *flight) triedToken(kind guard.Kind, token string, t identity.Token, learned bool) attempt {
	switch {
	case learned && t.Revoked, !learned && (ranOut(ha.ExpiryOf(token)) || f.gw.Identity.Remembers(token)):
		return attempt{}
	case learned || ha.IssuerOf(token) != "":
		return attempt{kind, token}
	}
	return attempt{kind: kind}
}

// triedRefresh says the same of a refresh token.
func (f *flight) triedRefresh(token string, t identity.Token, learned bool) attempt {
	switch {
	case learned && t.Revoked, !learned && f.gw.Identity.Remembers(token):
		return attempt{}
	case learned || isHex(token, 128):
		return attempt{guard.HAToken, token}
	}
	return attempt{kind: guard.HAToken}
}

// triedCode says the same of an authorization code.
func triedCode(code string) attempt {
	if isHex(code, 32) {
		return attempt{guard.HAToken, code}
	}
	return attempt{kind: guard.HAToken}
}

// triedSignature says the same of a signature in an address. Home Assistant signs for
// speakers and screens in the name of one user of its own, so of a name that we do not
// know it is the name that is known again.
func triedSignature(signed ha.AuthSig, t identity.Token, learned bool) attempt {
	switch {
	case ranOut(signed.Expires), learned && t.Revoked:
		return attempt{}
	case learned:
		return attempt{kind: guard.HASigned}
	}
	return attempt{guard.HASigned, signed.Issuer}
}

// triedPicture says the same of the token in a picture's address. One in Home Assistant's
// form counts once: they change every five minutes, and a page has many.
func (f *flight) triedPicture() attempt {
	if f.route != ha.RouteCapability {
		return attempt{}
	}
	for pair := range strings.SplitSeq(f.query, "&") {
		token, found := strings.CutPrefix(pair, "token=")
		switch {
		case found && isHex(token, 64):
			return attempt{guard.HASigned, "a picture's token"}
		case found:
			return attempt{kind: guard.HASigned}
		}
	}
	return attempt{}
}

// ranOut reports whether a time in Unix seconds has passed, by Home Assistant's clock and
// ours. Zero has not.
func ranOut(expires int64) bool { return expires > 0 && time.Now().Unix() > expires+signatureLeeway }

// isHex reports whether s has n lower-case hexadecimal digits and nothing else.
func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}

// heard counts what Home Assistant refused to somebody whom we do not know. It counts
// each 401 itself (ha-protocol 2.5), so each counts here.
func (f *flight) heard(status int) {
	f.foundBearer(status)
	if f.isKnown() {
		return
	}
	switch reason := f.decision.Reason; {
	case reason == policy.ReasonSigned, reason == policy.ReasonSource && f.signedByHA:
		if status == http.StatusUnauthorized || status == http.StatusForbidden {
			f.fail(guard.HASigned, "", string(f.route))
		}
	case reason == policy.ReasonHome && status == http.StatusUnauthorized:
		if _, signed, _ := ha.SignatureIn(f.query); signed || f.triedPicture().kind != "" {
			f.fail(guard.HASigned, "", string(f.route))
		} else if !f.mayBeGood(bearer(f.r.Header)) {
			f.fail(guard.HABearer, "", string(f.route))
		}
	}
}

// mayBeGood reports whether a token that Home Assistant refused at home may well be good:
// a member's at an administrator's route. It answers these as it does a wrong one. So a
// token that it never accepted before our eyes counts there once a week; who guesses shows
// another each time. Elsewhere the answer says that it is none.
func (f *flight) mayBeGood(token string) bool {
	if f.gw.Identity.Remembers(token) {
		return true
	}
	return f.route.ForAdministrators() && ha.IssuerOf(token) != "" && !f.gw.repeats.first(f.addr, guard.HABearer, token)
}
