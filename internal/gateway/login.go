package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/event"
	"gatehouse/internal/guard"
	"gatehouse/internal/ha"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// loginMax is Home Assistant's own limit for bodies of login, token and revoke.
const loginMax = 64 << 10

// login is what a request to Home Assistant's login says.
type login struct {
	body  []byte
	token ha.TokenRequest
	ours  bool // the code in it is one that this device earned
}

// readLogin reads the body of a request to Home Assistant's login. Of somebody without
// a cookie, who is not at home either, a token request is read, because it may be an
// app's, and a login for the name in it; what is wrong with it they are not told.
func (f *flight) readLogin() *refusal {
	nobody := f.known.Standing == identity.StandingNone && !f.nearby()
	switch f.route {
	case ha.RouteToken, ha.RouteRevoke:
	case ha.RouteLoginFlow:
		if f.r.Method != http.MethodPost {
			break
		}
		f.tried = attempt{kind: guard.HALogin}
	default:
		return nil
	}
	if nobody {
		leave, ok := f.gw.held.enter(f.addr)
		if !ok {
			return nil
		}
		defer leave()
	}
	if no := f.readLoginBody(); no != nil && !nobody {
		return no
	}
	return nil
}

func (f *flight) readLoginBody() *refusal {
	if len(f.r.Header["Content-Encoding"]) > 0 {
		// Home Assistant would inflate it, and read something else than what is judged here.
		return &refusal{why: "login body is encoded", bare: true}
	}
	body, err := io.ReadAll(io.LimitReader(f.r.Body, loginMax+1))
	switch {
	case err != nil:
		return &refusal{why: "body cut short", bare: true}
	case len(body) > loginMax:
		return &refusal{why: "login body too large", status: http.StatusRequestEntityTooLarge, body: `{"message":"Too large"}`}
	}
	f.login.body = body
	f.r.Body, f.r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if f.route == ha.RouteLoginFlow {
		return nil
	}
	f.login.token, err = ha.ParseTokenRequest(f.r.Header.Get("Content-Type"), body)
	if err != nil {
		if f.route == ha.RouteToken {
			f.tried = attempt{kind: guard.HAToken}
		}
		return badToken("token request is malformed", "invalid_request")
	}
	return f.judgeToken()
}

// badToken is a refusal in the words of Home Assistant's token endpoint (RFC 6749
// section 5.2). A known browser takes a 400 as the end of its sign-in to Home Assistant.
func badToken(why, code string) *refusal {
	return &refusal{why: why, status: http.StatusBadRequest, body: `{"error":"` + code + `"}`}
}

// judgeToken judges the refresh token in a token request. The token of a revoked
// device is taken to Home Assistant to be revoked there: only its holder can do that.
func (f *flight) judgeToken() *refusal {
	if t := f.login.token; t.Grant == "authorization_code" && !f.revokes() {
		f.tried = triedCode(t.Code)
		f.judgeCode(t)
		return nil
	}
	refresh := f.login.token.RefreshToken
	if f.revokes() {
		refresh = f.login.token.Token
	}
	if refresh == "" {
		if !f.revokes() {
			f.tried = attempt{kind: guard.HAToken}
		}
		return nil
	}
	known, ok := f.gw.Identity.RefreshToken(refresh)
	if !ok && f.revokes() {
		known, ok = f.gw.Identity.AccessToken(refresh) // iOS signs out with this one
	}
	if ok && known.Revoked {
		f.toEnd = refresh
	}
	f.judgeOwn(known, ok)
	if !f.revokes() { // Home Assistant answers 200 to any nonsense there
		f.tried = f.triedRefresh(refresh, known, ok)
	}
	return nil
}

// endAtHA takes the token of a revoked device to Home Assistant, once: only its holder
// can have it revoked there.
func (f *flight) endAtHA() {
	if f.toEndLong != "" && !f.gw.spent.has(f.toEndLong) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(f.r.Context()), loginTimeout)
		defer cancel()
		if err := f.gw.SignIns.EndSignIn(ctx, f.toEndLong, f.toEndID); err != nil {
			f.gw.Log.Error("a revoked long-lived token lives on in Home Assistant", "error", err)
		} else {
			f.gw.spent.add(f.toEndLong)
			f.emit(event.TokenRevoked, "")
		}
	}
	if f.toEnd == "" || f.gw.spent.has(f.toEnd) {
		return
	}
	if f.revokeAtHA(f.toEnd) {
		f.gw.spent.add(f.toEnd)
	}
}

// judgeCode finds the device that earned a code which is spent without a cookie: by
// the app itself, whose web view earned it, or by somebody the code was handed to.
func (f *flight) judgeCode(t ha.TokenRequest) {
	if f.isKnown() && !f.byKey || f.who.Revoked || f.credential != policy.CredentialNone {
		return
	}
	device, ok := f.gw.Identity.PeekCode(t.Code)
	if !ok {
		return
	}
	who, ok := f.gw.Identity.Who(device)
	switch {
	case !ok, f.byKey && (device == f.who.Device || who.Person != f.who.Person):
	case who.Revoked:
		f.who.Revoked = true
	case who.Kind == identity.KindApp && ha.IsAppClient(t.ClientID), slices.Contains(f.gw.Clients, t.ClientID):
		f.adopt(device)
	}
}

// foreignToken is how a known device is told that a token is not one of its own: in
// the words of the endpoint, so that its page goes to Home Assistant's login.
func (f *flight) foreignToken(no *refusal) *refusal {
	switch {
	case f.revokes():
		// Home Assistant answers 200 to any nonsense here, and so do we, without passing it on.
		no.status, no.body = http.StatusOK, "{}"
	case f.route == ha.RouteToken && f.inBrowser():
		no.status, no.body = http.StatusBadRequest, `{"error":"invalid_grant"}`
	}
	return no
}

func (f *flight) revokes() bool {
	return f.route == ha.RouteRevoke || f.login.token.Action == "revoke"
}

// revokeAtHA ends a refresh token in Home Assistant.
func (f *flight) revokeAtHA(refresh string) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.r.Context()), loginTimeout)
	defer cancel()
	if err := f.gw.Users.Revoke(ctx, refresh); err != nil {
		f.gw.Log.Error("a refused sign-in could not be revoked in Home Assistant", "error", err)
		return false
	}
	f.emit(event.TokenRevoked, "")
	return true
}

// forwardLogin passes a request to Home Assistant's login and reads what it answers.
func (f *flight) forwardLogin() *refusal {
	if no := f.checkLogin(); no != nil {
		return no
	}
	f.r.Header.Set("Accept-Encoding", "identity")
	answer, no := f.ask(f.r.Context())
	if no != nil {
		return no
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, loginMax*4))
	if err != nil {
		return f.unanswered(err)
	}
	if f.route == ha.RouteLoginFlow {
		f.learnLogin(answer.StatusCode, body)
	} else if no := f.learnToken(answer.StatusCode, body); no != nil {
		return no
	}
	h := f.w.Header()
	answerHeaders(h, answer.Header)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	f.w.WriteHeader(answer.StatusCode)
	_, _ = f.w.Write(body)
	return nil
}

// checkLogin refuses what a known browser has no business to send. At home, while
// Home Assistant's own login is enough, it only notes whose code is spent.
func (f *flight) checkLogin() *refusal {
	t := f.login.token
	other := &refusal{why: "login for another client", status: http.StatusBadRequest, body: `{"message":"Invalid client id"}`}
	switch {
	case f.route == ha.RouteLoginFlow && f.r.Method == http.MethodPost && f.path == "/auth/login_flow":
		start, err := ha.ParseLoginStart(f.login.body)
		if f.strict() && (err != nil || !f.mayLogInFor(start.ClientID, start.RedirectURI)) {
			return other
		}
	case f.route == ha.RouteLoginFlow && f.r.Method == http.MethodPost:
		step, err := ha.ParseLoginStep(f.login.body)
		if f.strict() && (err != nil || !f.mayBeFor(step.ClientID)) {
			return other
		}
		if f.isKnown() && !f.gw.logins.take(f.who.Device, loginBurst, loginRate, 0) {
			return &refusal{why: "too many wrong logins on this device", status: http.StatusTooManyRequests,
				body: `{"message":"Too many wrong logins on this device. Try again in a few minutes."}`}
		}
	case f.route == ha.RouteToken && !f.revokes() && t.Grant == "authorization_code":
		device, clientID, ok := f.gw.Identity.TakeCode(t.Code)
		f.login.ours = ok && device == f.who.Device && clientID == t.ClientID
		if f.strict() && !f.login.ours {
			return badToken("authorization code is not one of this device", "invalid_request")
		}
	case f.route == ha.RouteToken && !f.revokes() && t.Grant != "refresh_token" && f.strict():
		return badToken("grant type is not one of Home Assistant's", "unsupported_grant_type")
	}
	return nil
}

// strict reports whether the request is let in because of its device, and not
// because everybody is at home before the house is closed.
func (f *flight) strict() bool { return f.decision.Reason == policy.ReasonDevice }

// mayLogInFor reports whether a login may be for a client and lead to an address: our
// own pages, the app whose web view asks, or a service that the owner has linked.
func (f *flight) mayLogInFor(clientID, redirect string) bool {
	switch {
	case f.isOwn(clientID):
		return f.isOwn(redirect)
	case f.inApp() && ha.IsAppClient(clientID):
		return ha.IsAppRedirect(clientID, redirect)
	}
	return slices.Contains(f.gw.Clients, clientID) // where it leads is held by Home Assistant to the client's own host
}

func (f *flight) mayBeFor(clientID string) bool {
	return f.isOwn(clientID) || f.inApp() && ha.IsAppClient(clientID) || slices.Contains(f.gw.Clients, clientID)
}

// isOwn reports whether a client id or redirect URI belongs to the origin that asks.
func (f *flight) isOwn(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || u.Scheme != f.scheme() {
		return false
	}
	usual := ":443"
	if u.Scheme == "http" {
		usual = ":80"
	}
	return strings.EqualFold(u.Scheme+"://"+strings.TrimSuffix(u.Host, usual), f.origin())
}

// learnLogin feeds what a login step came to: a code for this device, or a failure for the guard.
func (f *flight) learnLogin(status int, body []byte) {
	answer, err := ha.ParseLoginAnswer(status, body)
	if err != nil {
		return
	}
	step, _ := ha.ParseLoginStep(f.login.body)
	switch answer.Outcome {
	case ha.LoginDone:
		f.emit(event.HALogin, "")
		if f.who.Device != "" {
			f.gw.Identity.LearnCode(f.who.Device, answer.Code, step.ClientID)
		}
	case ha.LoginWrong:
		f.emit(event.HALoginFailed, "")
		if f.isKnown() {
			f.gw.logins.take(f.who.Device, loginBurst, loginRate, 1)
			return
		}
		f.fail(guard.HALogin, haAccount(step.Username), string(f.route))
	}
}

// A known device may be wrong so often at Home Assistant's login, and so often a second. It
// is let past a ban of its address, and Home Assistant, which sees the address alone, would
// ban all who share it, for good.
const (
	loginBurst = 5
	loginRate  = 5. / 600
)

// HAAccount begins what a user name of Home Assistant's is counted as: it says nothing of
// the person whom we know by the same name.
const HAAccount = "Home Assistant: "

func haAccount(username string) string {
	if username == "" {
		return ""
	}
	return HAAccount + username
}

// learnToken learns the tokens in an answer of Home Assistant's, after it made sure
// that they are for the HA user of the device's person.
func (f *flight) learnToken(status int, body []byte) *refusal {
	t := f.login.token
	own := f.credential == policy.CredentialKnown
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.r.Context()), loginTimeout)
	defer cancel()
	switch {
	case f.revokes() && own:
		return f.signedOut(ctx)
	case f.revokes():
		return nil
	case status == http.StatusOK && !own && !f.login.ours && f.decision.Reason == policy.ReasonHome:
		return f.foundLogin(ctx, body)
	case status >= 400 && !own && !f.login.ours:
		if !f.isKnown() && !f.gw.Identity.Remembers(t.RefreshToken) {
			f.fail(guard.HAToken, "", string(f.route))
		}
		return nil
	case status == http.StatusBadRequest && t.Grant == "refresh_token":
		return f.must(f.gw.Identity.ForgetRefresh(ctx, t.RefreshToken))
	case status != http.StatusOK || !own && !f.login.ours:
		return nil
	}
	tokens, err := ha.ParseTokenAnswer(body)
	if err != nil {
		return f.unanswered(err)
	}
	if t.Grant == "refresh_token" {
		return f.must(f.gw.Identity.LearnAccess(ctx, t.RefreshToken, tokens))
	}
	return f.bind(ctx, tokens)
}

// bind ties fresh tokens to the device, if they are for the right HA user.
func (f *flight) bind(ctx context.Context, tokens ha.TokenAnswer) *refusal {
	user, err := f.gw.Users.CurrentUser(ctx, tokens.AccessToken)
	if err != nil {
		f.revokeAtHA(tokens.RefreshToken)
		return f.unanswered(err)
	}
	device := f.who.Device
	err = f.gw.Identity.BindHAUser(ctx, device, user.ID, user.Name)
	var other *identity.OtherHAUserError
	if errors.As(err, &other) {
		f.revokeAtHA(tokens.RefreshToken)
		f.emit(event.OtherHAUser, user.Name)
		f.gw.Identity.SetDeviceNotice(device, noticeOtherUser)
		if f.isOwn(f.login.token.ClientID) {
			return &refusal{why: "signed in to Home Assistant as somebody else", status: http.StatusOK,
				body: `{"access_token":"` + turnedAway + `","token_type":"Bearer","refresh_token":"` + turnedAway + `","expires_in":1800}`}
		}
		return &refusal{why: "signed in to Home Assistant as somebody else", status: http.StatusForbidden,
			body: `{"error":"access_denied","error_description":"This browser belongs to somebody else"}`}
	}
	if err == nil {
		device, err = f.holder(ctx, device)
	}
	if err == nil {
		err = f.gw.Identity.LearnTokens(ctx, device, f.login.token.ClientID, user.ID, tokens)
	}
	if err != nil {
		f.revokeAtHA(tokens.RefreshToken)
	}
	return f.must(err)
}

// holder returns the device that fresh tokens belong to: the one whose login earned
// the code; or, where somebody else spent it, one of its own beside that (ha-protocol
// 5.2: a watch, a service's server).
func (f *flight) holder(ctx context.Context, device string) (string, error) {
	client := f.login.token.ClientID
	switch {
	case slices.Contains(f.gw.Clients, client):
		return f.gw.Identity.Beside(ctx, device, identity.KindProgram, client, f.visit())
	case f.byToken && f.gw.Identity.HasTokens(device, client):
		return f.gw.Identity.Beside(ctx, device, identity.KindApp, f.r.UserAgent(), f.visit())
	}
	return device, nil
}

// must turns an error of our own into a refusal: what could not be written down is not answered.
func (f *flight) must(err error) *refusal {
	if err == nil {
		return nil
	}
	f.gw.Log.Error("could not keep what was learned of a token", "error", err)
	return &refusal{why: "ledger failed", down: true}
}

// signedOut follows a person who signed out of Home Assistant: the browser's session
// with us ends with it, so that the next person at this screen is asked who they are.
func (f *flight) signedOut(ctx context.Context) *refusal {
	token := f.login.token.Token
	if t, ok := f.gw.Identity.AccessToken(token); ok && t.Issuer != "" {
		// Home Assistant ignores an access token here and lets the sign-in live on.
		if err := f.gw.SignIns.EndSignIn(ctx, token, t.Issuer); err != nil {
			f.gw.Log.Error("a sign-in that its app ended lives on in Home Assistant", "error", err)
		} else {
			f.emit(event.TokenRevoked, "")
		}
	}
	if err := f.gw.Identity.ForgetRefresh(ctx, token); err != nil {
		return f.must(err)
	}
	if f.byKey {
		return nil // it has no session with us that could end
	}
	if f.who.Kind == identity.KindApp {
		return f.must(f.gw.Identity.SignOutDevice(ctx, f.who.Device))
	}
	return f.must(f.gw.Identity.SignOut(ctx, f.cookie))
}

// The notices of a session whose last Home Assistant login was somebody else's.
const (
	noticeOtherUser = "other-ha-user"
	noticeWaits     = "other-ha-user, and its page is on the way to be told"
)

// showNotice shows on the next navigation what a script could not.
func (f *flight) showNotice() *refusal {
	status := http.StatusForbidden
	if f.shape == shapeAppPage {
		status = http.StatusOK
	}
	f.gw.Pages.Write(f.w, f.visited(), PageOtherUser, status)
	return nil
}
