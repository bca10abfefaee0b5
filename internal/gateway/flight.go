package gateway

import (
	"net/http"
	"net/netip"
	"strings"
	"time"

	"gatehouse/internal/guard"
	"gatehouse/internal/ha"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// ownPrefix is where everything of ours on Home Assistant's host lives. Only its
// parts auth/ and api/ are used: no service worker caches these (ha-frontend 2).
const ownPrefix = "/_gatehouse/"

// flight is one request on its way. Each leg fills the fields that the next reads.
type flight struct {
	gw     *Gateway
	door   Door
	secure func(host string) string // leads to the same house with TLS; nil where this is it
	w      http.ResponseWriter
	r      *http.Request

	// arrive
	addr      netip.Addr
	forwarded bool   // addr is what a proxy says
	path      string // decoded; canonical, so it is also what Home Assistant routes on
	raw       string // the same as it is forwarded
	query     string // raw
	own       bool   // below ownPrefix
	route     ha.Route
	upgrade   bool // asks for a WebSocket
	shape     shape

	// identify
	cookie     string
	known      identity.Recognised
	who        policy.Who
	credential policy.Credential
	key        policy.Key      // that the connection has shown; zero without one
	keyDevice  string          // whose it is
	byKey      bool            // the device is known by it
	byToken    bool            // the device is known by what Home Assistant gave it, without a cookie
	hook       *identity.Token // whose webhook is called
	signedByHA bool            // the path is signed, by nobody whom we know
	held       bool            // a socket whose token is still to come
	unheld     func()          // gives the place of a held socket back
	login      login           // what a request to Home Assistant's login says
	tried      attempt         // what was shown that is not good
	stale      bool            // the path's signature ran out, and nothing else is shown
	toEnd      string          // a revoked device's refresh token, to be revoked in Home Assistant
	toEndLong  string          // likewise a long-lived token,
	toEndID    string          // and its id there

	// guarded
	unheard bool // the source is not listened to

	// decide
	decision policy.Decision
}

// fly is the whole path of a request.
func (f *flight) fly() {
	no := f.arrive()
	if no == nil {
		no = f.identify()
	}
	if no == nil {
		no = f.guarded()
	}
	if no == nil && f.own && f.secure != nil && !f.gw.Pages.Plain(f.r) {
		no = &refusal{why: "page of ours without TLS"}
	}
	if no == nil && f.own {
		f.gw.Pages.ServeHTTP(f.w, f.visited())
		return
	}
	if no == nil {
		no = f.decide()
	}
	if no == nil {
		no = f.forward()
	}
	if no != nil {
		f.blame(no)
		f.refuse(no)
	}
}

// arrive says which door, what address and what kind of thing is asked.
func (f *flight) arrive() *refusal {
	r := f.r
	if no := f.source(); no != nil {
		return no
	}
	f.upgrade = isUpgrade(r)
	f.shape = shapeOf(r, f.upgrade)
	if !f.door.HostAllowed(r.Host) {
		return &refusal{why: "wrong host", bare: true}
	}
	if r.TLS != nil && r.TLS.ServerName != "" && !strings.EqualFold(r.TLS.ServerName, hostName(r.Host)) {
		return &refusal{why: "host differs from the name in the handshake", bare: true}
	}
	path, query, err := ha.CanonicalTarget(r.RequestURI)
	f.raw, _, _ = strings.Cut(r.RequestURI, "?")
	if err != nil {
		if path, query, err = ha.PageTarget(r.RequestURI); err != nil || f.shape != shapeNavigation && f.shape != shapeAppPage {
			return &refusal{why: whyTarget, bare: true}
		}
		f.raw = path
	}
	f.path, f.query = path, query
	if f.own = strings.HasPrefix(path, ownPrefix); f.own {
		return nil
	}
	f.route = ha.Classify(r.Method, path)
	if f.upgrade && f.route != ha.RouteWebSocket && f.route != ha.RouteIngress {
		f.route = ha.RouteNone
	}
	return nil
}

// identify turns what the request carries into a policy.Who and says what the
// Home Assistant credential beside it is worth.
func (f *flight) identify() *refusal {
	f.readCookie()
	if no := f.readKey(); no != nil || f.own {
		return no
	}
	if no := f.readBearer(); no != nil {
		return no
	}
	if f.r.Method == http.MethodGet || f.r.Method == http.MethodHead {
		f.readSignature()
	}
	f.readWebhook()
	return f.readLogin()
}

// readCookie judges our own cookie.
func (f *flight) readCookie() {
	if f.secure == nil { // browsers send ours with TLS alone
		f.cookie = sessionCookie(f.r.Header)
	}
	if f.cookie == "" {
		return
	}
	f.known = f.gw.Identity.Recognise(f.cookie)
	f.who = f.known.Who
	if f.known.Standing == identity.StandingEnded {
		f.gw.ended.saw(f.known.Session, f.shape, f.own)
	}
	if f.known.Standing != identity.StandingLive {
		f.who.Proof = policy.ProofNone
		return
	}
	if f.gw.Identity.Seen(f.known.Session, f.door.Name(), f.addr) {
		f.gw.Guard.Seen(f.addr, f.who.Device)
	}
}

// readBearer judges the Authorization header. An add-on's page behind ingress
// may use one of its own: Home Assistant does not look at it there.
func (f *flight) readBearer() *refusal {
	values := f.r.Header["Authorization"]
	switch {
	case len(values) == 0 || f.route == ha.RouteIngress:
		return nil
	case len(values) > 1:
		f.tried = attempt{kind: guard.HABearer}
		return &refusal{why: "two Authorization headers"}
	}
	token := bearer(f.r.Header)
	t, learned := f.gw.Identity.AccessToken(token)
	if learned && t.Revoked && t.Given && t.ClientID == "" {
		f.toEndLong, f.toEndID = token, t.Issuer
	}
	f.judgeOwn(t, learned)
	f.tried = f.triedToken(guard.HABearer, token, t, learned)
	return nil
}

// readSignature judges a signed path by the device that it was signed for. The
// signature itself is Home Assistant's to check (ha-protocol 1.4).
func (f *flight) readSignature() {
	if f.query == "" {
		return
	}
	signed, found, err := ha.SignatureIn(f.query)
	switch {
	case !found:
		if f.tried.kind == "" {
			f.tried = f.triedPicture()
		}
	case err != nil:
		f.tried = attempt{kind: guard.HASigned}
		f.judge(identity.Token{}, false)
	default:
		t, learned := f.gw.Identity.Issuer(signed.Issuer)
		if f.tried.kind == "" {
			f.tried = triedSignature(signed, t, learned)
		}
		f.stale = ranOut(signed.Expires) && ha.IsSigned(f.route, f.path) && len(f.r.Header["Authorization"]) == 0
		switch {
		case learned && f.isSigner(t, signed):
		case !learned && ha.IsSigned(f.route, f.path) && signed.Path == f.path && f.who.Device == "" && f.credential == policy.CredentialNone:
			// Home Assistant signs for speakers and screens as a user of its own. Where they
			// are is asked by the policy, whether the signature is good by Home Assistant.
			f.credential, f.signedByHA = policy.CredentialForeign, true
		default:
			f.judge(t, learned)
		}
	}
}

// isSigner makes the device of a signature the one that asks, as far as a signature
// goes: where nothing else says who it is, for this very path and at this time.
func (f *flight) isSigner(t identity.Token, signed ha.AuthSig) bool {
	now := time.Now().Unix()
	other := f.byKey && t.Person == f.who.Person && t.Device != f.who.Device // another device of who holds the key
	if f.isKnown() && !other || f.upgrade || f.who.Revoked || t.Revoked || !f.counts(t) || f.credential != policy.CredentialNone ||
		!ha.IsSigned(f.route, f.path) || signed.Path != f.path || now >= signed.Expires || signed.IssuedAt > now+signatureLeeway {
		return false
	}
	who, ok := f.gw.Identity.Who(t.Device)
	if !ok {
		return false
	}
	who.Proof = policy.ProofNone
	f.who, f.credential = who, policy.CredentialSigned
	return true
}

// signatureLeeway is how far Home Assistant's clock may be ahead of ours, in seconds.
const signatureLeeway = 60

// judgeOwn judges what only its device can have; without a cookie, that is enough to
// know an app or a program by. On a connection whose key is known, it is the more exact
// word about the same person's devices.
func (f *flight) judgeOwn(t identity.Token, learned bool) {
	if t.Program != nil && !t.Program.Allows(f.route, f.addr) {
		t, learned = identity.Token{}, false
	}
	nobody := !f.isKnown() || f.byKey && t.Person == f.who.Person
	if learned && f.counts(t) && !t.Revoked && !f.who.Revoked && nobody && f.credential == policy.CredentialNone {
		f.adopt(t.Device)
	}
	f.judge(t, learned)
}

// judge says what a credential of Home Assistant's is worth beside what is known
// already. A browser's token needs the browser's cookie; a revoked device's token shuts
// out whoever holds it, but for a browser that has become another device since; one
// foreign credential outweighs any number of good ones.
func (f *flight) judge(t identity.Token, learned bool) {
	if learned && t.Revoked && (f.known.Standing != identity.StandingLive && !f.byKey || t.Device == f.who.Device) {
		f.who.Revoked = true
	}
	switch {
	case !learned || t.Revoked || t.Device != f.who.Device:
		f.credential = policy.CredentialForeign
	case f.credential == policy.CredentialNone:
		f.credential = policy.CredentialKnown
	}
}

// guarded asks the owner's rules for addresses, and whether this source is still listened
// to. A known device passes a ban of its address.
//
// Nobody is told that they are not listened to. Our own pages show themselves as to any
// stranger, and nothing that is typed into them counts (identity.Visit); a socket is
// opened where a stranger's would be, because an app shows only there who it is.
func (f *flight) guarded() *refusal {
	if no := f.filtered(f.isKnown() || f.mayShowToken()); no != nil {
		return no
	}
	if f.isKnown() || f.gw.Guard.Listens(f.addr) {
		f.endAtHA()
		return nil
	}
	f.unheard = true
	if f.own || f.mayShowToken() || f.isUnsignedSource() {
		return nil
	}
	return notHeard()
}

func notHeard() *refusal { return &refusal{why: "not listened to for now"} }

// decide asks the policy.
func (f *flight) decide() *refusal {
	closed := f.closed()
	f.decision = policy.Decide(policy.Ask{
		Door:       f.door.Name(),
		AtHome:     f.nearby() || f.isProgramHere(),
		Closed:     closed,
		Source:     closed && f.isSource(),
		SignedByHA: f.signedByHA,
		Route:      f.route,
		Method:     f.r.Method,
		Who:        f.who,
		Credential: f.credential,
	})
	if f.unheard && !f.isKnown() && !f.isUnsignedSource() {
		if f.held || !f.mayShowToken() { // the house may have been opened since guarded was asked
			return notHeard()
		}
		f.held = true // see guarded
		return nil
	}
	f.noteSource()
	if no := f.decision.Reason; !f.decision.Allow {
		if no == policy.ReasonStranger && f.mayShowToken() && !f.held {
			f.held = true
			return nil
		}
		refused := &refusal{why: string(no), reason: no}
		if no == policy.ReasonCredential {
			return f.foreignToken(refused)
		}
		return refused
	}
	if len(f.login.body) > 0 && f.who.Device != "" && f.decision.Reason == policy.ReasonDevice && !f.stillLive() {
		return &refusal{why: string(policy.ReasonRevoked)} // while its body was awaited
	}
	switch f.gw.Home() {
	case HomeReady:
		return nil
	case HomeFresh:
		return &refusal{why: "not published yet", closed: true}
	}
	return &refusal{why: "Home Assistant does not answer", down: true}
}

// closed reports whether the house is.
func (f *flight) closed() bool { return f.gw.Closed != nil && f.gw.Closed() }

// visit is what the pages and identity are told about where a request came from.
func (f *flight) visit() identity.Visit {
	return identity.Visit{
		Door:      f.door.Name(),
		AtHome:    f.nearby(),
		Addr:      f.addr,
		Host:      hostName(f.r.Host),
		Origin:    f.origin(),
		UserAgent: f.r.UserAgent(),
		Cookie:    f.cookie,
		Secure:    f.overTLS(),
		Unheard:   f.unheard,
		Key:       f.key,
	}
}

// overTLS is where the same house is found with TLS; empty where this is it.
func (f *flight) overTLS() string {
	if f.secure == nil {
		return ""
	}
	return f.secure(hostName(f.r.Host))
}

// scheme is how the client speaks to us.
func (f *flight) scheme() string {
	if f.secure != nil || f.plainInside() {
		return "http"
	}
	return "https"
}

// plainInside reports whether the client speaks plain HTTP within what the door encrypts.
func (f *flight) plainInside() bool {
	e, ok := f.door.(Encrypting)
	return ok && f.r.TLS == nil && e.Encrypts()
}

// origin is the request's own origin as a browser writes it.
func (f *flight) origin() string {
	if f.scheme() == "http" {
		return "http://" + strings.TrimSuffix(f.r.Host, ":80")
	}
	return "https://" + strings.TrimSuffix(f.r.Host, ":443")
}

// visited is the request with the visit in its context, for the pages.
func (f *flight) visited() *http.Request {
	return f.r.WithContext(identity.WithVisit(f.r.Context(), f.visit()))
}

// sessionCookie finds our cookie without building the others. Two of them are
// none: a page cannot tell which one it set.
func sessionCookie(h http.Header) string {
	found := ""
	for _, line := range h["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
			if !ok || name != identity.CookieName {
				continue
			}
			if found != "" && found != value {
				return ""
			}
			found = value
		}
	}
	return found
}

// isUpgrade reports whether a request asks to become a WebSocket (RFC 6455 section 4.1).
func isUpgrade(r *http.Request) bool {
	return len(r.Header["Upgrade"]) > 0
}
