package gateway

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gatehouse/internal/ha"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// Moving in. While the house is open nothing is refused at home, and what Home Assistant
// itself accepts there is found (design: "Moving in"). Once it is closed, what was given
// to a person is known at home without a cookie.

// atHome reports whether the request comes from home, on the door that can tell.
func (f *flight) atHome() bool { return f.door.Name() == policy.LAN && f.nearby() }

// machine is a door that knows the addresses of the machine that we run on.
type machine interface{ Here(netip.Addr) bool }

// isProgramHere reports whether a program on this very machine asks, where Home Assistant
// listened before: it shows a credential of Home Assistant's, and is at home as it was. What
// a proxy or a tunnel on this machine hands on of people outside is not.
func (f *flight) isProgramHere() bool {
	if f.secure == nil {
		return false
	}
	switch {
	case len(f.r.Header["Authorization"]) > 0, f.route == ha.RouteWebhook, f.upgrade && f.route == ha.RouteWebSocket && len(f.r.Header["Origin"]) == 0:
	case f.route == ha.RouteToken && f.login.token.Grant == "refresh_token":
	default:
		return false
	}
	return f.isHere()
}

// isHere reports whether a program on this very machine asks for itself, as far as can be seen:
// a proxy or a tunnel that hands on what others ask says so.
func (f *flight) isHere() bool {
	d, ok := f.door.(machine)
	if !ok || f.forwarded || !d.Here(f.addr) {
		return false
	}
	for name := range f.r.Header {
		if isSaid(name) || slices.ContainsFunc(saidPrefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			return false
		}
	}
	return true
}

// inside reports whether the request comes from home, or from a program on this machine.
func (f *flight) inside() bool {
	return f.atHome() || f.door.Name() == policy.LAN && f.isHere()
}

// counts reports whether a token counts without a browser's cookie, here.
func (f *flight) counts(t identity.Token) bool {
	return t.WithoutCookie() && (t.Calls == nil || t.Calls.Outside || f.inside()) || t.Given && f.inside()
}

// mayCall reports whether a webhook may be called in this way, from here.
func (f *flight) mayCall(t identity.Token) bool {
	return t.Calls == nil || (t.Calls.Outside || f.inside()) && (len(t.Calls.Methods) == 0 || slices.Contains(t.Calls.Methods, f.r.Method))
}

// isSource reports whether the request comes from an address at home that was given.
func (f *flight) isSource() bool {
	return f.who.Device == "" && f.atHome() && (!f.signedByHA || f.isForSource()) && f.gw.Identity.GivenSource(f.addr)
}

// isUnsignedSource reports whether a speaker or screen that was given asks, and shows nothing
// with it that could be a guess. It passes a ban of its address, for what it may fetch.
func (f *flight) isUnsignedSource() bool {
	return f.closed() && f.credential == policy.CredentialNone && !f.upgrade && f.isSource()
}

// isForSource reports whether a signature of nobody's whom we know may be one that Home
// Assistant has made for a speaker: on what speakers fetch, and in the name of no sign-in
// that was found and given to nobody. Whoever has one could sign for days ahead while the
// house was open.
func (f *flight) isForSource() bool {
	switch f.route {
	case ha.RouteCapability, ha.RouteMedia:
		signed, found, err := ha.SignatureIn(f.query)
		return found && err == nil && !f.gw.Identity.IsResident(signed.Issuer)
	}
	return false
}

// noteSource takes down an address at home that fetches what needs no credential: a
// speaker, a screen. While the house is closed it is refused, and found all the same.
func (f *flight) noteSource() {
	if f.who.Device != "" || f.credential != policy.CredentialNone && !f.signedByHA || f.upgrade || !f.atHome() {
		return
	}
	switch f.route {
	case ha.RouteShell, ha.RouteCapability, ha.RouteMedia:
	default:
		return
	}
	if err := f.gw.Identity.SawSource(context.WithoutCancel(f.r.Context()), f.addr, f.r.UserAgent()); err != nil {
		f.gw.Log.Error("could not write down who fetches at home", "error", err)
	}
}

// foundLogin takes down a sign-in that Home Assistant has accepted at home.
func (f *flight) foundLogin(ctx context.Context, body []byte) *refusal {
	tokens, err := ha.ParseTokenAnswer(body)
	if err != nil || tokens.Issuer == "" {
		return nil
	}
	t := f.login.token
	refresh := tokens.RefreshToken
	if t.Grant == "refresh_token" {
		refresh = t.RefreshToken
	}
	found := identity.Found{Issuer: tokens.Issuer, Access: []identity.FoundAccess{
		{Hash: ha.Hash(tokens.AccessToken), Expires: time.Now().Add(time.Duration(tokens.ExpiresIn) * time.Second)}}}
	if refresh != "" {
		found.Refresh = ha.Hash(refresh)
	}
	f.found(ctx, tokens.AccessToken, t.ClientID, identity.KindOfClient(t.ClientID), found)
	return nil
}

// foundBearer takes down a bearer that Home Assistant has accepted at home: only at routes
// that ask for one does its answer say so, and only where nothing else was asked for in its
// place: a token that Home Assistant refuses must not reach it in our own name, because it
// counts that against us.
func (f *flight) foundBearer(status int) {
	if _, signed, _ := ha.SignatureIn(f.query); signed || f.r.Method == http.MethodOptions {
		return
	}
	if f.decision.Reason != policy.ReasonHome || status < 200 || status > 299 || f.route != ha.RouteREST && f.route != ha.RouteAdminREST {
		return
	}
	if token, ok := strings.CutPrefix(f.r.Header.Get("Authorization"), "Bearer "); ok {
		f.foundToken(token)
	}
}

// foundToken takes down an access token that Home Assistant has accepted at home.
func (f *flight) foundToken(token string) {
	issuer := ha.IssuerOf(token)
	if f.decision.Reason != policy.ReasonHome || issuer == "" || f.gw.Identity.Knows(issuer, token) {
		return
	}
	expires := ha.ExpiryOf(token)
	if expires == 0 {
		return
	}
	kind := identity.KindBrowser
	switch {
	case time.Until(time.Unix(expires, 0)) > 24*time.Hour:
		kind = identity.KindProgram
	case ha.CompanionApp(f.r.UserAgent()) != ha.AppNone:
		kind = identity.KindApp
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.r.Context()), loginTimeout)
	defer cancel()
	f.found(ctx, token, "", kind, identity.Found{Issuer: issuer, Access: []identity.FoundAccess{{Hash: ha.Hash(token), Expires: time.Unix(expires, 0)}}})
}

// found asks Home Assistant whose a token is that it has just accepted, and takes it down.
// Where that fails the client's own request is none the worse.
func (f *flight) found(ctx context.Context, token, client, kind string, what identity.Found) {
	find := identity.Find{Kind: kind, ClientID: client, Agent: f.r.UserAgent(), Addr: f.addr.String(), Seen: time.Now(), Tokens: []identity.Found{what}}
	user, err := f.gw.Users.CurrentUser(ctx, token)
	if err == nil {
		find.HAUserID, find.HAUserName = user.ID, user.Name
		err = f.gw.Identity.Found(ctx, find)
	}
	if err != nil {
		f.gw.Log.Warn("could not take down who was let in at home", "error", err)
	}
}
