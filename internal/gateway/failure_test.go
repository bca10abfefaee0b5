package gateway

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"gatehouse/internal/guard"
	"gatehouse/internal/ha"
	"gatehouse/internal/ha/client"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

const formType = "application/x-www-form-urlencoded"

// accessToken makes up an access token in Home Assistant's form that runs out in a while.
func accessToken(n int, in time.Duration) string {
	part := base64.RawURLEncoding.EncodeToString
	now := time.Now().Unix()
	return part([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." +
		part(fmt.Appendf(nil, `{"iss":"%032x","iat":%d,"exp":%d}`, n, now-7200, now+int64(in.Seconds()))) + "." + part(make([]byte, 32))
}

// stale makes up a signature that ran out an hour ago.
func stale(iss, path string) string {
	part := base64.RawURLEncoding.EncodeToString
	now := time.Now().Unix()
	return part([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." +
		part(fmt.Appendf(nil, `{"iss":%q,"path":%q,"params":[],"iat":%d,"exp":%d}`, iss, path, now-7200, now-3600)) + "." + part(make([]byte, 32))
}

func hexOf(n, digits int) string { return fmt.Sprintf("%0*x", digits, n) }

func (b *browser) post(path, body string) answer {
	b.h.t.Helper()
	return b.do(request{method: "POST", path: path, body: body, header: map[string]string{"Content-Type": formType}})
}

func (b *browser) shows(path, token string) answer {
	b.h.t.Helper()
	return b.do(request{path: path, header: map[string]string{"Authorization": "Bearer " + token}})
}

// opens opens an app's socket and says something; the socket has ended when it returns.
func (b *browser) opens(text string) {
	b.h.t.Helper()
	c, status := b.socket(map[string]string{"User-Agent": iosUA})
	if c == nil {
		b.h.t.Fatalf("a socket is refused with %d", status)
	}
	b.hears(c, `"auth_required"`)
	b.say(c, text)
	for {
		if _, _, err := c.Read(b.h.t.Context()); err != nil {
			return
		}
	}
}

func says(token string) string { return `{"type":"auth","access_token":"` + token + `"}` }

// TestWhatCounts has everything that is a failure of somebody who is not known
// (ha-protocol 2.5, and what is our own), with the kind that the guard is told.
func TestWhatCounts(t *testing.T) {
	start := `{"client_id":"` + clientID + `","redirect_uri":"` + clientID + `","handler":["homeassistant",null]}`
	step := func(name string) string {
		return fmt.Sprintf(`{"client_id":%q,"username":%q,"password":"x"}`, clientID, name)
	}
	const home = true
	shown := map[guard.Kind]bool{}
	for _, c := range []struct {
		name    string
		home    bool // at home, in an open house; otherwise outside
		do      func(h *house, s *browser)
		kind    guard.Kind
		account string
		times   int
		what    string // that it begins with
	}{
		// Home Assistant's login. From outside it is never reached.
		{"login begun outside", !home, func(h *house, s *browser) { s.post("/auth/login_flow", start) }, guard.HALogin, "", 1, "login flow"},
		{"login begun with nonsense", !home, func(h *house, s *browser) { s.post("/auth/login_flow", "x") }, guard.HALogin, "", 1, "login flow"},
		{"the same password outside", !home, func(h *house, s *browser) {
			for range 3 {
				s.post("/auth/login_flow/"+hexOf(1, 32), step("demo"))
			}
		}, guard.HALogin, "Home Assistant: demo", 3, "login flow"},
		{"wrong password at home", home, func(h *house, s *browser) { s.code("demo", "wrong"); s.code("demo", "wrong") }, guard.HALogin, "Home Assistant: demo", 2, "login flow"},
		{"unknown name at home", home, func(h *house, s *browser) { s.code("nobody", "wrong") }, guard.HALogin, "Home Assistant: nobody", 1, "login flow"},
		{"login refused at its start", home, func(h *house, s *browser) {
			s.post("/auth/login_flow", `{"client_id":"x","redirect_uri":"x","handler":["homeassistant",null]}`)
		}, guard.HALogin, "", 1, "login flow"},
		{"login that is none", home, func(h *house, s *browser) { s.post("/auth/login_flow/"+hexOf(1, 32), step("demo")) }, guard.HALogin, "Home Assistant: demo", 1, "login flow"},
		{"wrong second factor", home, func(h *house, s *browser) {
			h.secondFactor("anna")
			_, got := s.code("anna", "anna")
			s.wants(got, http.StatusOK, `"mfa"`)
			_, flow, _ := strings.Cut(got.body, `"flow_id":"`)
			flow, _, _ = strings.Cut(flow, `"`)
			s.wants(s.post("/auth/login_flow/"+flow, `{"client_id":"`+clientID+`","code":"000000"}`), http.StatusOK, "invalid_code")
		}, guard.HALogin, "", 1, "login flow"},

		// /auth/token.
		{"refresh token that is none", !home, func(h *house, s *browser) {
			for range 3 {
				s.post("/auth/token", "grant_type=refresh_token&client_id=x&refresh_token=guess")
			}
		}, guard.HAToken, "", 3, "token"},
		{"refresh tokens guessed", !home, func(h *house, s *browser) {
			for n := range 3 {
				s.post("/auth/token", "grant_type=refresh_token&client_id=x&refresh_token="+hexOf(n, 128))
			}
		}, guard.HAToken, "", 3, "token"},
		{"an old app's refresh token", !home, func(h *house, s *browser) {
			for range 50 {
				s.post("/auth/token", "grant_type=refresh_token&client_id=x&refresh_token="+hexOf(1, 128))
				h.pass(time.Hour)
			}
		}, guard.HAToken, "", 1, "token"},
		{"a browser's refresh token without the browser", !home, func(h *house, s *browser) {
			s.post("/auth/token", "grant_type=refresh_token&client_id=x&refresh_token="+h.owner().loggedIn("demo", "demo").refresh)
		}, guard.HAToken, "", 1, "token"},
		{"codes guessed", !home, func(h *house, s *browser) {
			for n := range 3 {
				s.post("/auth/token", "grant_type=authorization_code&client_id=x&code="+hexOf(n, 32))
			}
		}, guard.HAToken, "", 3, "token"},
		{"a code that is none", !home, func(h *house, s *browser) { s.post("/auth/token", "grant_type=authorization_code&code=x") }, guard.HAToken, "", 1, "token"},
		{"another grant", !home, func(h *house, s *browser) { s.post("/auth/token", "grant_type=password&username=demo&password=demo") }, guard.HAToken, "", 1, "token"},
		{"no form", !home, func(h *house, s *browser) {
			s.do(request{method: "POST", path: "/auth/token", body: `{"grant_type":"refresh_token"}`})
		}, guard.HAToken, "", 1, "token"},
		{"refused by Home Assistant", home, func(h *house, s *browser) {
			for range 3 {
				s.post("/auth/token", "grant_type=refresh_token&client_id="+url.QueryEscape(clientID)+"&refresh_token="+hexOf(1, 128))
			}
		}, guard.HAToken, "", 3, "token"},

		// Sockets.
		{"a token that is none", !home, func(h *house, s *browser) { s.opens(says("guess")); s.opens(says("guess")) }, guard.HASocket, "", 2, "websocket"},
		{"tokens guessed in sockets", !home, func(h *house, s *browser) {
			for n := range 3 {
				s.opens(says(accessToken(n, time.Hour)))
				s.opens(says(accessToken(n, time.Hour)))
			}
		}, guard.HASocket, "", 3, "websocket"},
		{"no token at all", !home, func(h *house, s *browser) { s.opens(`{"type":"hello"}`) }, guard.Scan, "", 1, "first message"},
		{"refused by Home Assistant in a socket", home, func(h *house, s *browser) {
			s.opens(says(accessToken(1, time.Hour)))
			s.opens(says(accessToken(1, time.Hour)))
		}, guard.HASocket, "", 2, "websocket"},

		// Bearers.
		{"a bearer that is none", !home, func(h *house, s *browser) { s.shows("/api/states", "x"); s.shows("/api/states", "x") }, guard.HABearer, "", 2, "rest"},
		{"bearers guessed", !home, func(h *house, s *browser) {
			for n := range 3 {
				s.shows("/api/states", accessToken(n, time.Hour))
				s.shows("/api/config", accessToken(n, time.Hour))
			}
		}, guard.HABearer, "", 3, "rest"},
		{"a browser's token without the browser", !home, func(h *house, s *browser) { s.shows("/api/states", h.owner().loggedIn("demo", "demo").access) }, guard.HABearer, "", 1, "rest"},
		{"another scheme", !home, func(h *house, s *browser) {
			s.do(request{path: "/api/", header: map[string]string{"Authorization": "Basic eDp5"}})
		}, guard.HABearer, "", 1, "rest"},
		{"refused by Home Assistant in a header", home, func(h *house, s *browser) {
			for range 3 {
				s.shows("/api/states", accessToken(1, time.Hour))
			}
		}, guard.HABearer, "", 3, "rest"},
		{"a token that only an administrator's route was shown, over and over", home, func(h *house, s *browser) {
			for range 9 { // good or not, Home Assistant's answer is the same
				s.shows("/api/error_log", accessToken(1, time.Hour))
			}
		}, guard.HABearer, "", 1, "admin rest"},
		{"tokens guessed at an administrator's route", home, func(h *house, s *browser) {
			for n := range 3 {
				s.shows("/api/error_log", accessToken(n, time.Hour))
			}
		}, guard.HABearer, "", 3, "admin rest"},
		{"what is no token at an administrator's route", home, func(h *house, s *browser) {
			for range 3 {
				s.shows("/api/error_log", "x")
			}
		}, guard.HABearer, "", 3, "admin rest"},
		{"no credential at an administrator's route", home, func(h *house, s *browser) {
			for range 3 {
				s.do(request{path: "/api/error_log"})
			}
		}, guard.HABearer, "", 3, "admin rest"},
		{"no credential, refused by Home Assistant", home, func(h *house, s *browser) { s.do(request{path: "/api/states"}) }, guard.HABearer, "", 1, "rest"},

		// Signatures and other secrets in addresses.
		{"a signature that is none", !home, func(h *house, s *browser) {
			s.do(request{path: "/api/states?authSig=x"})
			s.do(request{path: "/api/states?authSig=x"})
		}, guard.HASigned, "", 2, "rest"},
		{"signatures in made-up names", !home, func(h *house, s *browser) {
			for n := range 3 {
				s.do(request{path: "/api/states?authSig=" + signature(hexOf(n, 32), "/api/states")})
			}
		}, guard.HASigned, "", 3, "rest"},
		{"signed by nobody we know, as for a speaker", !home, func(h *house, s *browser) {
			for n := range 9 {
				path := "/api/camera_proxy/camera.n" + strconv.Itoa(n)
				s.do(request{path: path + "?authSig=" + signature(hexOf(7, 32), path)})
			}
		}, guard.HASigned, "", 1, "capability"},
		{"forged in an app's name, refused by Home Assistant", !home, func(h *house, s *browser) {
			iss := issuerOf(t, h.settled("Anna", ha.ClientIOS, "anna").access)
			h.failed()
			for range 3 {
				s.do(request{path: "/api/states?authSig=" + signature(iss, "/api/states")})
			}
		}, guard.HASigned, "", 3, "rest"},
		{"forged in an app's name, for another path", !home, func(h *house, s *browser) {
			iss := issuerOf(t, h.settled("Anna", ha.ClientIOS, "anna").access)
			s.do(request{path: "/api/states?authSig=" + signature(iss, "/api/config")})
		}, guard.HASigned, "", 1, "rest"},
		{"a picture's token that is none", !home, func(h *house, s *browser) {
			s.do(request{path: "/api/camera_proxy/camera.door?token=1"})
			s.do(request{path: "/api/camera_proxy/camera.door?token=2"})
		}, guard.HASigned, "", 2, "capability"},
		{"pictures of a page that was left open", !home, func(h *house, s *browser) {
			for n := range 20 {
				s.do(request{path: "/api/camera_proxy_stream/camera.n" + strconv.Itoa(n) + "?token=" + hexOf(n, 64)})
			}
		}, guard.HASigned, "", 1, "capability"},
		{"a signature refused by Home Assistant at home", home, func(h *house, s *browser) {
			s.do(request{path: "/api/states?authSig=" + signature(hexOf(1, 32), "/api/states")})
		}, guard.HASigned, "", 1, "rest"},

		// Webhooks.
		{"webhooks guessed", !home, func(h *house, s *browser) {
			for n := range 3 {
				s.post("/api/webhook/"+hexOf(n, 64), "{}")
			}
		}, guard.Webhook, "", 3, "webhook"},
		{"a service's old webhook", !home, func(h *house, s *browser) {
			for range 50 {
				s.post("/api/webhook/doorbell", "{}")
			}
		}, guard.Webhook, "", 1, "webhook"},

		// Scanners.
		{"another program's pages", !home, func(h *house, s *browser) {
			s.do(request{path: "/wp-login.php"})
			s.do(request{path: "/wp-login.php"})
		}, guard.Scan, "", 2, "path that is not one of Home Assistant's: /wp-login.php"},
		{"a crooked path", !home, func(h *house, s *browser) { s.do(request{path: "/static/../../.storage/auth"}) }, guard.Scan, "", 1, "crooked path"},
		{"another name", !home, func(h *house, s *browser) { s.do(request{path: "/", host: "203.0.113.5"}) }, guard.Scan, "", 1, "another name"},
		{"a strange method", !home, func(h *house, s *browser) { s.do(request{method: "POST", path: "/"}) }, guard.Scan, "", 1, "method"},
		{"paths below /api/ guessed", !home, func(h *house, s *browser) {
			s.do(request{path: "/api/v1/pods"})
			s.do(request{path: "/api/v1/pods"})
			s.do(request{path: "/api/jsonws/invoke"})
		}, guard.Scan, "", 2, "path that is not one of Home Assistant's: /api/"},

		// Our own.
		{"a wrong code", !home, func(h *house, s *browser) {
			h.owner()
			_, _ = h.id.SignInCode(t.Context(), visit(), " OLGA", "000000")
			_, _ = h.id.SignInCode(t.Context(), visit(), "Olga", "000000")
		}, guard.SignIn, "olga", 2, "wrong name or code"},
		{"a name that nobody has", !home, func(h *house, s *browser) { _, _ = h.id.SignInCode(t.Context(), visit(), "admin", "000000") }, guard.SignIn, "admin", 1, "wrong name or code"},
		{"nothing that could be a code", !home, func(h *house, s *browser) { _, _ = h.id.SignInCode(t.Context(), visit(), "admin", "hunter2") }, guard.SignIn, "admin", 1, "wrong name or code"},
		{"a wrong passkey", !home, func(h *house, s *browser) {
			made, err := h.id.BeginSignIn(t.Context(), visit())
			h.must(err)
			_, _ = h.id.SignInPasskey(t.Context(), visit(), made.ID, []byte("{}"))
		}, guard.SignIn, "", 1, "passkey"},
		{"a passkey's ceremony that is none", !home, func(h *house, s *browser) { _, _ = h.id.SignInPasskey(t.Context(), visit(), "x", nil) }, guard.SignIn, "", 1, "passkey"},
		{"posted by no browser", !home, func(h *house, s *browser) { h.id.FailedUnread(visit()) }, guard.SignIn, "", 1, "not sent by a page"},
		{"a wrong recovery code", !home, func(h *house, s *browser) {
			h.owner()
			_, _ = h.id.SignInCode(t.Context(), visit(), "Olga", "2222-2222-2222-2222")
		}, guard.Recovery, "olga", 1, "wrong name or code"},
		{"a wrong invitation in the place of a code", !home, func(h *house, s *browser) {
			h.owner()
			_, _ = h.id.SignInCode(t.Context(), visit(), "Olga", strings.Repeat("2", 28))
		}, guard.Invitation, "olga", 1, "wrong name or code"},
		{"an invitation that is none, looked at", !home, func(h *house, s *browser) {
			_, _ = h.id.PeekInvitation(t.Context(), visit(), "2222")
		}, guard.Invitation, "", 1, "no such invitation"},
		{"an invitation that is none, used", !home, func(h *house, s *browser) {
			_, _ = h.id.EnrolBrowser(t.Context(), visit(), strings.Repeat("2", 28))
			_, _ = h.id.BeginPasskey(t.Context(), visit(), "x", "Eve")
			_, _, _, _ = h.id.BeginTOTP(t.Context(), visit(), "x", "Eve")
		}, guard.Invitation, "", 3, "no such invitation"},
		{"a wrong number at an approval", !home, func(h *house, s *browser) {
			asked, by := h.asked()
			if err := h.id.Approve(t.Context(), by, asked.id, 109-asked.Number); err != identity.ErrWrongNumber {
				t.Errorf("approved: %v", err)
			}
		}, guard.Approval, "", 1, "wrong number"},
		{"denied", !home, func(h *house, s *browser) {
			asked, by := h.asked()
			h.must(h.id.Deny(t.Context(), by, asked.id))
		}, guard.Approval, "", 1, "a known device said no"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var options []option
			door := policy.HTTPS
			if c.home {
				options, door = append(options, atHome), policy.LAN
			}
			h := newHouse(t, options...)
			h.must(h.guard.Allow(visitNet, "bans are held elsewhere"))
			c.do(h, h.stranger())
			all := h.failed()
			if len(all) != c.times {
				t.Errorf("the guard was told of %d failures, want %d: %+v", len(all), c.times, all)
			}
			for _, f := range all {
				shown[f.Kind] = true
				if f.Kind != c.kind || f.Account != c.account || f.Addr != visit().Addr || f.Door != string(door) && f.Door != string(policy.HTTPS) || !strings.HasPrefix(f.What, c.what) {
					t.Errorf("the guard was told %+v, want %s of %q, %s", f, c.kind, c.account, c.what)
				}
			}
		})
	}
	for _, k := range guard.Kinds() {
		if !shown[k] && k != guard.SSHKey { // the door ssh counts those, before there is a request
			t.Errorf("nothing here is a failure of the kind %s", k)
		}
	}
}

// TestWhatDoesNotCount has what honest clients do that looks like a failure.
func TestWhatDoesNotCount(t *testing.T) {
	refresh := func(token string) string {
		return "grant_type=refresh_token&client_id=" + url.QueryEscape(clientID) + "&refresh_token=" + token
	}
	// everything is what a client does that has nothing right any more.
	everything := func(b *browser) {
		for n := range 7 {
			b.shows("/api/states", b.access)
			b.shows("/api/states", "guess"+strconv.Itoa(n))
			b.post("/auth/token", refresh(b.refresh))
			b.post("/auth/token", refresh(hexOf(n, 128)))
			b.post("/auth/login_flow", "x")
			b.post("/api/webhook/"+hexOf(n, 64), "{}")
			b.do(request{path: "/api/states?authSig=x"})
			b.do(request{path: "/api/camera_proxy/camera.door?token=x"})
			b.do(request{path: "/old-card.php"})
			b.do(request{path: "/api/old_integration"})
			b.do(request{path: "/a/../b"})
			b.do(request{path: "/", host: "old.name"})
			b.do(request{method: "PROPFIND", path: "/"})
			b.socket(nil)
		}
	}
	for _, c := range []struct {
		name    string
		options []option
		do      func(h *house, s *browser)
	}{
		{"a known browser, whatever it does", nil, func(h *house, s *browser) { everything(h.owner().loggedIn("demo", "demo")) }},
		{"a known app, whatever it shows", nil, func(h *house, s *browser) {
			p := h.settled("Anna", ha.ClientIOS, "anna")
			for n := range 7 {
				p.api("GET", "/api/nothing"+strconv.Itoa(n), "")
				p.api("GET", "/a/../b", "")
				p.send(request{path: "/", host: "old.name", header: map[string]string{"Authorization": "Bearer " + p.access}})
				p.send(request{method: "POST", path: "/api/webhook/" + hexOf(n, 64), header: map[string]string{"Authorization": "Bearer " + p.access}})
			}
		}},
		{"wrong passwords of a known device at Home Assistant", nil, func(h *house, s *browser) {
			b := h.owner()
			for range 7 {
				b.code("demo", "wrong")
			}
		}},
		{"a refresh token that ended in Home Assistant, of a browser", nil, func(h *house, s *browser) {
			b := h.owner().loggedIn("demo", "demo")
			h.endInHA(b)
			for range 7 {
				b.post("/auth/token", refresh(b.refresh))
				b.shows("/api/states", b.access)
			}
		}},
		{"a refresh token that ended in Home Assistant, of an app", nil, func(h *house, s *browser) {
			p := h.settled("Anna", ha.ClientIOS, "anna")
			h.endInHA(p.browser)
			for range 7 {
				p.refreshToken()
				p.opens(says(p.access))
				p.call("get_config", "{}")
			}
		}},
		{"an access token that ran out", nil, func(h *house, s *browser) {
			p := h.settled("Anna", ha.ClientIOS, "anna")
			h.pass(31 * time.Minute)
			for range 7 {
				p.api("GET", "/api/states", "")
				p.opens(says(p.access))
				s.shows("/api/states", accessToken(1, -time.Hour))
				s.shows("/api/config", accessToken(2, -time.Hour))
				s.opens(says(accessToken(3, -time.Hour)))
			}
		}},
		{"a browser whose session ended goes on", nil, func(h *house, s *browser) {
			b := h.owner().loggedIn("demo", "demo")
			h.must(h.id.EndSession(t.Context(), h.id.Recognise(b.cookie).Session))
			everything(b)
		}},
		{"a browser that was signed out for a year", nil, func(h *house, s *browser) {
			b := h.owner().loggedIn("demo", "demo")
			h.pass(300 * 24 * time.Hour)
			everything(b)
		}},
		{"a revoked browser goes on", nil, func(h *house, s *browser) {
			b := h.owner().loggedIn("demo", "demo")
			h.must(h.id.RevokeDevice(t.Context(), b.device))
			everything(b)
			without := &browser{h: h, access: b.access, refresh: b.refresh}
			for range 7 {
				without.shows("/api/states", b.access)
				without.post("/auth/token", refresh(b.refresh))
			}
		}},
		{"a revoked app goes on for days", nil, func(h *house, s *browser) {
			p := h.settled("Anna", ha.ClientIOS, "anna")
			h.must(h.id.RevokeDevice(t.Context(), p.device))
			for range 20 {
				p.refreshToken()
				p.api("GET", "/api/states", "")
				p.call("update_location", "{}")
				p.opens(says(p.access))
				p.view.navigate("/")
				h.pass(20 * time.Minute)
			}
		}},
		{"sign-ins that were found and given to nobody", []option{closedHouse}, func(h *house, s *browser) {
			access, hook, token := accessToken(9, time.Hour), hexOf(9, 64), hexOf(9, 128)
			h.must(h.id.Found(t.Context(),
				identity.Find{Kind: identity.KindApp, Seen: time.Now(), Tokens: []identity.Found{{Issuer: hexOf(9, 32), Refresh: ha.Hash(token),
					Access: []identity.FoundAccess{{Hash: ha.Hash(access), Expires: time.Now().Add(time.Hour)}}}}},
				identity.Find{Kind: identity.KindWebhook, Seen: time.Now(), Webhook: ha.Hash(hook)}))
			for range 7 {
				s.post("/auth/token", refresh(token))
				s.shows("/api/states", access)
				s.opens(says(access))
				s.post("/api/webhook/"+hook, "{}")
			}
		}},
		{"a member at an administrator's route, in an open house", []option{atHome}, func(h *house, s *browser) {
			s.loggedIn("anna", "anna")
			for range 7 {
				s.wants(s.shows("/api/error_log", s.access), http.StatusUnauthorized)
			}
		}},
		{"a member at an administrator's route", nil, func(h *house, s *browser) {
			b := h.member("Anna").loggedIn("anna", "anna")
			for range 7 {
				b.wants(b.shows("/api/error_log", b.access), http.StatusUnauthorized)
			}
		}},
		{"a frontend's first visit without a cookie", nil, func(h *house, s *browser) {
			for n := range 1340 {
				s.do(request{path: "/frontend_latest/chunk." + strconv.Itoa(n) + ".js"})
			}
			for _, path := range []string{"/", "/manifest.json", "/favicon.ico", "/static/icons/favicon.ico", "/sw-modern.js", "/sw-modern.js.map", "/service_worker.js", "/auth/providers",
				"/.well-known/oauth-authorization-server", "/auth/authorize", "/api/map_tiles/7/1/2.png", "/api/brands/icon/hue/icon.png", "/local/card.js", "/hacsfiles/x/y.js",
				"/static/translations/en.json", "/lovelace/0", "/api/", "/api/states", "/api/onboarding", "/api/image/serve/1/512x512", "/static/fonts/roboto/Roboto-Regular.woff2"} {
				s.do(request{path: path})
				s.do(request{path: path, header: map[string]string{"Sec-Fetch-Mode": "navigate"}})
				s.do(request{method: "HEAD", path: path})
			}
			s.do(request{method: "DELETE", path: "/auth/login_flow/" + hexOf(1, 32)})
			s.post("/auth/revoke", "token=x")
			s.post("/auth/token", "action=revoke&token=x")
		}},
		{"what browsers look up by themselves", nil, func(h *house, s *browser) {
			for _, path := range []string{"/favicon.ico", "/robots.txt", "/apple-touch-icon.png", "/apple-touch-icon-precomposed.png", "/apple-touch-icon-120x120.png", "/browserconfig.xml",
				"/.well-known/change-password", "/.well-known/assetlinks.json", "/.well-known/appspecific/com.chrome.devtools.json", "/site.webmanifest", "/sw.js"} {
				s.do(request{path: path})
			}
		}},
		{"a socket that says nothing", nil, func(h *house, s *browser) {
			for range 7 {
				c, _ := s.socket(map[string]string{"User-Agent": iosUA})
				_ = c.Close(websocket.StatusNormalClosure, "")
			}
			s.socket(nil)
		}},
		{"a speaker whose address ran out", nil, func(h *house, s *browser) {
			iss := issuerOf(t, h.settled("Anna", ha.ClientIOS, "anna").access)
			for n := range 7 {
				path := "/api/camera_proxy/camera.n" + strconv.Itoa(n)
				s.do(request{path: path + "?authSig=" + stale(iss, path)})
				s.do(request{path: path + "?authSig=" + stale(hexOf(n, 32), path)})
			}
		}},
		{"the same at home", []option{atHome}, func(h *house, s *browser) {
			for n := range 7 {
				path := "/api/camera_proxy/camera.n" + strconv.Itoa(n)
				s.wants(s.do(request{path: path + "?authSig=" + stale(hexOf(n, 32), path)}), http.StatusUnauthorized)
			}
			if n := len(h.reached()); n != 0 {
				t.Errorf("%d reached Home Assistant, which counts them for good", n)
			}
		}},
		{"a known browser that slept", nil, func(h *house, s *browser) {
			b := h.owner().loggedIn("demo", "demo")
			for range 12 {
				b.wants(b.do(request{path: "/api/camera_proxy/camera.demo?authSig=" + stale(issuerOf(t, b.access), "/api/camera_proxy/camera.demo")}), http.StatusUnauthorized)
			}
			if n := len(h.reached()); n != 0 {
				t.Errorf("%d reached Home Assistant, which counts them for good", n)
			}
		}},
		{"things that look around at home", []option{atHome}, func(h *house, s *browser) {
			for _, path := range []string{"/description.xml", "/dmr/SamsungMRDesc.xml", "/cgi-bin/luci", "/wp-login.php", "/a/../b", "/api/1/config"} {
				s.do(request{path: path})
			}
			s.do(request{path: "/", host: "192.168.1.5"})
			s.do(request{method: "PROPFIND", path: "/"})
		}},
		{"things that look around in a closed house", []option{atHome, closedHouse}, func(h *house, s *browser) {
			for _, path := range []string{"/description.xml", "/cgi-bin/luci", "/a/../b", "/api/1/config", "/api/states", "/api/tts_proxy/a.mp3"} {
				s.do(request{path: path})
			}
		}},
		{"what another site's page makes a browser send", nil, func(h *house, s *browser) {
			for n := range 7 {
				other := map[string]string{"Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"}
				s.do(request{method: "POST", path: "/auth/login_flow", body: "x", header: other})
				s.do(request{method: "POST", path: "/auth/token", body: "x", header: other})
				s.do(request{method: "POST", path: "/api/webhook/" + hexOf(n, 64), header: other})
				s.do(request{path: "/wp-login.php", header: other})
				s.do(request{path: "/api/camera_proxy/camera.door?token=x", header: other})
				s.do(request{method: "POST", path: "/auth/login_flow", body: "x", header: map[string]string{"Origin": "https://evil.example"}})
				s.do(request{method: "POST", path: "/auth/login_flow", body: "x", header: map[string]string{"Origin": "null"}})
			}
		}},
		{"while Home Assistant does not answer", []option{atHome}, func(h *house, s *browser) {
			h.setHome(HomeUnknown)
			for range 7 {
				s.post("/auth/login_flow", "x")
				s.shows("/api/states", "x")
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, c.options...)
			c.do(h, h.stranger())
			if all := h.failed(); len(all) != 0 {
				t.Errorf("the guard was told of %d failures, the first %+v", len(all), all[0])
			}
			if !h.guard.Listens(visit().Addr) {
				t.Error("the source is not listened to")
			}
		})
	}
}

// Of what is guessed at home, at each of Home Assistant's own surfaces, it sees as many as
// our threshold says and no more: its own, at ten, is never reached by one address.
func TestHomeAssistantNeverBans(t *testing.T) {
	step := `{"client_id":"` + clientID + `","username":"demo","password":"wrong"}`
	for name, try := range map[string]func(s *browser, n int){
		"login":   func(s *browser, n int) { s.post("/auth/login_flow/"+hexOf(n, 32), step) },
		"token":   func(s *browser, n int) { s.post("/auth/token", "grant_type=refresh_token&client_id=x&refresh_token=x") },
		"bearer":  func(s *browser, n int) { s.shows("/api/states", accessToken(1, time.Hour)) },
		"nothing": func(s *browser, n int) { s.do(request{path: "/api/states"}) },
		"signature": func(s *browser, n int) {
			s.do(request{path: "/api/states?authSig=" + signature(hexOf(1, 32), "/api/states")})
		},
		"socket": func(s *browser, n int) {
			c, _ := s.socket(nil)
			if c != nil {
				s.say(c, says("guess"))
				for _, _, err := c.Read(s.h.t.Context()); err == nil; _, _, err = c.Read(s.h.t.Context()) {
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, atHome)
			for n := range 4 {
				try(h.stranger(), n)
			}
			if !h.guard.Listens(visit().Addr) {
				t.Error("four are too many")
			}
			for n := range 20 {
				try(h.stranger(), n)
			}
			if h.guard.Listens(visit().Addr) {
				t.Error("it is still listened to")
			}
			if n := len(h.reached()); n != 5 {
				t.Errorf("%d reached Home Assistant, want 5", n)
			}
		})
	}
}

// A known device that guesses passwords at Home Assistant's login is stopped before Home
// Assistant bans the address that it shares with others, and no other device with it.
func TestKnownDeviceGuessesPasswords(t *testing.T) {
	h := newHouse(t)
	b, anna := h.owner(), h.member("Anna")
	for range 20 {
		b.code("demo", "wrong")
	}
	wrong := 0
	for _, r := range h.reached() {
		if r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/auth/login_flow/") {
			wrong++
		}
	}
	if wrong != 5 {
		t.Errorf("%d guesses reached Home Assistant, want 5", wrong)
	}
	_, got := b.code("demo", "demo")
	b.wants(got, http.StatusTooManyRequests)
	anna.loggedIn("anna", "anna")
	h.pass(10 * time.Minute)
	b.loggedIn("demo", "demo")
}

// Everything of a known device passes a ban of its address: with a cookie, with tokens, in
// a socket that shows them only once it is open. A stranger there is not told of the ban.
func TestKnownPassesBan(t *testing.T) {
	h := newHouse(t)
	b := h.owner().loggedIn("demo", "demo")
	p := h.settled("Anna", ha.ClientIOS, "anna")
	s := h.stranger()
	asks := map[string]func() string{
		"a page":  func() string { return fmt.Sprint(s.navigate("/").status) },
		"the API": func() string { return fmt.Sprint(s.shows("/api/states", "x").status) },
		"a refresh": func() string {
			return fmt.Sprint(s.post("/auth/token", "grant_type=refresh_token&refresh_token=x").status)
		},
		"a login":          func() string { return fmt.Sprint(s.post("/auth/login_flow", "x").status) },
		"a webhook":        func() string { return fmt.Sprint(s.post("/api/webhook/x", "").status) },
		"a page of ours":   func() string { return fmt.Sprint(s.do(request{path: "/_gatehouse/auth/sign-in"}).status) },
		"a path of no one": func() string { return fmt.Sprint(s.do(request{path: "/wp-login.php"}).status) },
		"an app's socket": func() string {
			c, status := s.socket(map[string]string{"User-Agent": iosUA})
			if c == nil {
				return fmt.Sprint(status)
			}
			heard := s.hears(c, "auth_required")
			s.say(c, says("x"))
			return fmt.Sprintf("%s %d", heard, s.silence(c))
		},
		"a browser's socket": func() string { _, status := s.socket(nil); return fmt.Sprint(status) },
	}
	before := map[string]string{}
	for name, ask := range asks {
		before[name] = ask()
	}
	h.must(h.guard.Ban(visitNet, time.Time{}, "test"))
	h.reached()
	for name, ask := range asks {
		if got := ask(); got != before[name] {
			t.Errorf("%s: answered %s, and %s before", name, got, before[name])
		}
	}
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests of a banned stranger reached Home Assistant", n)
	}
	b.wants(b.navigate("/"), http.StatusOK)
	b.wants(b.get("/api/states"), http.StatusOK)
	b.ready().CloseNow()
	b.wants(b.post("/auth/token", "grant_type=refresh_token&client_id="+url.QueryEscape(clientID)+"&refresh_token="+b.refresh), http.StatusOK)
	p.wants(p.api("GET", "/api/states", ""), http.StatusOK)
	p.wants(p.call("get_config", "{}"), http.StatusOK)
	p.wants(p.refreshToken(), http.StatusOK)
	p.connect().CloseNow()
}

// At home, too, a ban holds in a socket that was opened to see who it is.
func TestBannedSocketAtHome(t *testing.T) {
	h := newHouse(t, atHome)
	s := h.stranger().loggedIn("anna", "anna")
	h.must(h.guard.Ban(visitNet, time.Time{}, "test"))
	c, status := s.socket(map[string]string{"User-Agent": iosUA})
	if c == nil {
		t.Fatalf("an app's socket is refused with %d", status)
	}
	if heard := s.hears(c, "auth_required"); strings.Contains(string(heard), "ha_version") {
		t.Errorf("it is told the version: %s", heard)
	}
	s.say(c, says(s.access))
	s.silence(c)
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant", n)
	}
}

// Somebody who is banned and goes on fills no memory: what honest apps have shown in vain
// stays known, and does not count anew.
func TestBannedFillsNoMemory(t *testing.T) {
	h := newHouse(t)
	s := h.stranger()
	h.must(h.guard.Ban(visitNet, time.Time{}, "test"))
	for n := range 20 {
		s.post("/api/webhook/"+hexOf(n, 64), "{}")
		s.post("/auth/token", "grant_type=refresh_token&client_id=x&refresh_token="+hexOf(n, 128))
		s.shows("/api/states", accessToken(n, time.Hour))
	}
	h.repeats.mu.Lock()
	n := len(h.repeats.young)
	h.repeats.mu.Unlock()
	if all := h.failed(); n != 0 || len(all) != 0 {
		t.Errorf("%d things that a banned source has shown are remembered, and %d were told", n, len(all))
	}
}

// Sockets that were opened before a ban are no way around it: what is shown in them
// afterwards reaches nobody.
func TestSocketsOpenedBeforeBan(t *testing.T) {
	h := newHouse(t, atHome)
	s := h.stranger().loggedIn("anna", "anna")
	var open []*websocket.Conn
	for range 2 {
		c, status := s.socket(nil)
		if c == nil {
			t.Fatalf("a socket at home is refused with %d", status)
		}
		s.hears(c, "auth_required")
		open = append(open, c)
	}
	h.must(h.guard.Ban(visitNet, time.Time{}, "test"))
	h.reached()
	for _, token := range []string{"guess", s.access} {
		s.say(open[0], says(token))
		s.silence(open[0])
		open = open[1:]
	}
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant after the ban", n)
	}
}

// The guard is told where known devices come from, once for each place and minute.
func TestSeen(t *testing.T) {
	h := newHouse(t)
	b := h.owner().loggedIn("demo", "demo")
	p := h.settled("Anna", ha.ClientIOS, "anna")
	h.mu.Lock()
	h.seen = nil
	h.mu.Unlock()
	h.pass(2 * time.Minute)
	for range 20 {
		b.get("/api/states")
		p.call("get_config", "{}")
	}
	h.stranger().get("/api/states")
	h.mu.Lock()
	defer h.mu.Unlock()
	want := []string{b.device + " 127.0.0.1", p.device + " 127.0.0.1"}
	slices.Sort(want)
	slices.Sort(h.seen)
	if !slices.Equal(h.seen, want) {
		t.Errorf("seen: %q, want %q", h.seen, want)
	}
}

// The same again is known for a week, of each source for itself, in bounded memory.
func TestRepeats(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	r := newRepeats(func() time.Time { return now })
	a, b := visit().Addr, visit().Addr.Next()
	first := func(want bool, ask bool, when string) {
		t.Helper()
		if ask != want {
			t.Errorf("%s: new is %v", when, ask)
		}
	}
	first(true, r.first(a, guard.HAToken, "x"), "once")
	first(false, r.first(a, guard.HAToken, "x"), "again")
	first(true, r.first(b, guard.HAToken, "x"), "from elsewhere")
	first(true, r.first(a, guard.HABearer, "x"), "as another kind")
	first(true, r.first(a, guard.HAToken, "y"), "another")
	for range 30 { // it is shown again and again, for a month
		now = now.Add(24 * time.Hour)
		first(false, r.first(a, guard.HAToken, "x"), "a day later")
	}
	now = now.Add(2*repeatsFor + time.Hour)
	r.first(b, guard.HAToken, "z")
	now = now.Add(repeatsFor)
	first(true, r.first(a, guard.HAToken, "x"), "weeks later")
	for n := range 5 * repeatsMax {
		r.first(b, guard.HAToken, strconv.Itoa(n))
	}
	if n := len(r.young) + len(r.old); n > 2*repeatsMax {
		t.Errorf("%d are remembered", n)
	}
}

// secondFactor gives a user of Home Assistant's a second factor.
func (h *house) secondFactor(username string) {
	h.t.Helper()
	u, err := url.Parse("http://" + h.homeAddr)
	h.must(err)
	c, err := client.New(client.Config{URL: u})
	h.must(err)
	tokens, err := c.Login(h.t.Context(), username, username, nil)
	h.must(err)
	b := &browser{h: h, access: tokens.Access}
	ws := b.ready()
	b.say(ws, `{"id":1,"type":"auth/setup_mfa","mfa_module_id":"totp"}`)
	offered := string(b.hears(ws, `"flow_id"`))
	_, flow, _ := strings.Cut(offered, `"flow_id":"`)
	flow, _, _ = strings.Cut(flow, `"`)
	_, secret, _ := strings.Cut(offered, `"code":"`)
	secret, _, _ = strings.Cut(secret, `"`)
	b.say(ws, `{"id":2,"type":"auth/setup_mfa","flow_id":"`+flow+`","user_input":{"code":"`+h.code(secret)+`"}}`)
	b.hears(ws, "create_entry")
	ws.CloseNow()
	h.failed()
}

// endInHA ends a sign-in in Home Assistant, past us.
func (h *house) endInHA(b *browser) {
	h.t.Helper()
	u, err := url.Parse("http://" + h.homeAddr)
	h.must(err)
	c, err := client.New(client.Config{URL: u})
	h.must(err)
	h.must(c.Revoke(h.t.Context(), b.refresh))
}

// question is what a browser asked and its id.
type question struct {
	identity.Approval
	id string
}

// asked is a browser that asks to be let in, and a device that may answer.
func (h *house) asked() (question, policy.Who) {
	h.t.Helper()
	b, secret := h.ownerWithCode()
	a, err := h.id.AskApproval(h.t.Context(), visit())
	h.must(err)
	v := visit()
	v.Cookie = b.cookie
	h.pass(time.Minute)
	_, err = h.id.SignInCode(h.t.Context(), v, "Olga", h.code(secret))
	h.must(err)
	return question{a, h.id.Waiting()[0].ID}, h.id.Recognise(b.cookie).Who
}
