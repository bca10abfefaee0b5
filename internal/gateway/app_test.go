package gateway

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"
	"golang.org/x/crypto/nacl/secretbox"

	"gatehouse/internal/event"
	"gatehouse/internal/ha"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// The user agents of the apps' web views and of their own requests (ha-protocol 5.2).
const (
	androidUA     = "Home Assistant/2026.8.1-20000 (Android 16; Pixel 9)"
	androidViewUA = "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36 Home Assistant/2026.8.1-20000 (Android 16; Pixel 9)"
	iosUA         = "Home Assistant/2026.8 (io.robbie.HomeAssistant; build:2026.1; iOS 26.0.0)"
	iosProbeUA    = "Home%20Assistant/2026.1 CFNetwork/3826.500.131 Darwin/25.0.0"
	iosViewUA     = "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Mobile/HomeAssistant, like Safari"
)

// phone is a companion app: a web view with a cookie, and requests of its own that
// have one too (Android) or none (iOS).
type phone struct {
	*browser // its own requests
	view     *browser
	client   string // id
	ua       string
	webhook  string
	secret   string // for what the webhook is told; empty where it is told in clear
}

// phone enrols a person's app by an invitation in its web view.
func (h *house) phone(name, client string) *phone {
	h.t.Helper()
	ctx := h.t.Context()
	if _, ok := h.id.PersonByName(name); !ok {
		_, err := h.id.AddPerson(ctx, name, policy.RoleMember, "", "")
		h.must(err)
	}
	inv, err := h.id.Invite(ctx, name)
	h.must(err)
	v := visit()
	p := &phone{client: client, ua: androidUA}
	v.UserAgent = androidViewUA
	if client == ha.ClientIOS {
		p.ua, v.UserAgent = iosUA, iosViewUA
	}
	e, err := h.id.EnrolBrowser(ctx, v, inv.Code)
	h.must(err)
	p.view = h.enrolled(e)
	p.browser = &browser{h: h, device: p.view.device}
	if client == ha.ClientAndroid {
		p.browser.cookie = e.Cookie
	}
	return p
}

// send is a request of the app's own.
func (p *phone) send(q request) answer {
	p.h.t.Helper()
	if q.header == nil {
		q.header = map[string]string{}
	}
	q.header["User-Agent"] = p.ua
	return p.do(q)
}

func (p *phone) api(method, path, body string) answer {
	p.h.t.Helper()
	return p.send(request{method: method, path: path, body: body, header: map[string]string{"Authorization": "Bearer " + p.access, "Content-Type": "application/json"}})
}

func (p *phone) form(path string, form url.Values) answer {
	p.h.t.Helper()
	return p.send(request{method: "POST", path: path, body: form.Encode(), header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}})
}

func (p *phone) hook(body string) answer {
	p.h.t.Helper()
	return p.send(request{method: "POST", path: "/api/webhook/" + p.webhook, body: body, header: map[string]string{"Content-Type": "application/json"}})
}

func (p *phone) refreshToken() answer {
	p.h.t.Helper()
	got := p.form("/auth/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {p.client}, "refresh_token": {p.refresh}})
	p.keep(got)
	return got
}

// signIn walks through Home Assistant's login in the web view; the code is the app's to spend.
func (p *phone) signIn(username, password string) (code string) {
	p.h.t.Helper()
	var flow struct {
		ID     string `json:"flow_id"`
		Result string `json:"result"`
	}
	got := p.view.do(request{method: "POST", path: "/auth/login_flow", body: fmt.Sprintf(`{"client_id":%q,"redirect_uri":"homeassistant://auth-callback","handler":["homeassistant",null]}`, p.client)})
	p.wants(got, http.StatusOK)
	p.h.must(json.Unmarshal([]byte(got.body), &flow))
	got = p.view.do(request{method: "POST", path: "/auth/login_flow/" + flow.ID, body: fmt.Sprintf(`{"client_id":%q,"username":%q,"password":%q}`, p.client, username, password)})
	p.wants(got, http.StatusOK)
	p.h.must(json.Unmarshal([]byte(got.body), &flow))
	return flow.Result
}

func (p *phone) spend(code string) answer {
	p.h.t.Helper()
	got := p.form("/auth/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {p.client}, "code": {code}})
	p.keep(got)
	return got
}

func (p *phone) register(deviceID, name string) answer {
	p.h.t.Helper()
	got := p.api("POST", "/api/mobile_app/registrations", fmt.Sprintf(`{"app_id":"io.robbie.HomeAssistant","app_name":"Home Assistant","app_version":"2026.8","device_id":%q,"device_name":%q,"manufacturer":"Apple","model":"iPhone17,1","os_name":"iOS","os_version":"26.0","supports_encryption":%t,"app_data":{"push_token":"x","push_url":"https://push.example","push_websocket_channel":true}}`, deviceID, name, p.client == ha.ClientIOS))
	var said struct {
		WebhookID string `json:"webhook_id"`
		Secret    string `json:"secret"`
	}
	if got.status == http.StatusCreated {
		p.h.must(json.Unmarshal([]byte(got.body), &said))
		p.webhook, p.secret = said.WebhookID, said.Secret
	}
	return got
}

// settled is an app that is signed in and registered.
func (h *house) settled(name, client, username string) *phone {
	h.t.Helper()
	p := h.phone(name, client)
	p.wants(p.spend(p.signIn(username, username)), http.StatusOK)
	p.wants(p.register("id of "+name+"'s phone", name+"'s phone"), http.StatusCreated)
	h.reached()
	return p
}

// connect opens the app's own socket.
func (p *phone) connect() *websocket.Conn {
	p.h.t.Helper()
	c, status := p.socket(map[string]string{"User-Agent": p.ua})
	if c == nil {
		p.h.t.Fatalf("the app's socket is refused with %d", status)
	}
	p.say(c, `{"type":"auth","access_token":"`+p.access+`"}`)
	p.hears(c, `"auth_required"`)
	p.hears(c, `"auth_ok"`)
	return c
}

// firstDay is what an app does on its first day. light is one of Home Assistant's.
func (p *phone) firstDay(username, password, light string) {
	p.h.t.Helper()
	if p.client == ha.ClientIOS {
		p.wants(p.send(request{path: "/auth/authorize?response_type=code&client_id=" + url.QueryEscape(p.client)}), http.StatusOK, "page 1")
	}
	p.wants(p.view.do(request{path: "/auth/authorize?client_id=" + url.QueryEscape(p.client), header: map[string]string{"Sec-Fetch-Mode": "navigate", "User-Agent": iosViewUA}}), http.StatusOK)
	code := p.signIn(username, password)
	p.wants(p.spend(code), http.StatusOK, "refresh_token")
	twice := http.StatusServiceUnavailable // nobody we know
	if p.cookie != "" {
		twice = http.StatusBadRequest
	}
	p.wants(p.spend(code), twice)
	p.wants(p.api("GET", "/api/config", ""), http.StatusOK)
	p.wants(p.register("the app's own id of "+username+"'s phone", username+"'s phone"), http.StatusCreated)
	p.background(light)
	p.wants(p.api("GET", "/api/config", ""), http.StatusOK)

	c := p.connect()
	p.say(c, `{"id":1,"type":"auth/sign_path","path":"/api/config","expires":600}`)
	var signed struct {
		Result struct {
			Path string `json:"path"`
		} `json:"result"`
	}
	p.h.must(json.Unmarshal(p.hears(c, "authSig="), &signed))
	p.wants(p.send(request{path: signed.Result.Path}), http.StatusOK) // as a notification's picture
	p.say(c, `{"id":2,"type":"mobile_app/push_notification_channel","webhook_id":"`+p.webhook+`","support_confirm":true}`)
	p.hears(c, `"success":true`)
	_ = c.Close(websocket.StatusNormalClosure, "")
}

// background is what an app does while nobody looks: its webhook, and another token.
func (p *phone) background(light string) {
	p.h.t.Helper()
	for kind, data := range map[string]string{
		"get_config":           `{}`,
		"get_zones":            `{}`,
		"update_location":      `{"gps":[52.1,4.9],"gps_accuracy":10,"battery":80}`,
		"call_service":         `{"domain":"light","service":"turn_on","service_data":{"entity_id":"` + light + `"}}`,
		"render_template":      `{"one":{"template":"x"}}`,
		"update_sensor_states": `[]`,
	} {
		if got := p.call(kind, data); got.status != http.StatusOK || got.body == "" {
			p.h.t.Errorf("webhook %s: %d %.200s", kind, got.status, got.body)
		}
	}
	old := p.access
	p.wants(p.refreshToken(), http.StatusOK, "access_token")
	fresh := p.access
	p.access = old
	p.wants(p.api("GET", "/api/states/"+light, ""), http.StatusOK)
	p.access = fresh
	p.wants(p.api("GET", "/api/states/"+light, ""), http.StatusOK)
}

// call calls the webhook, in a box where the registration asks for it (ha-protocol 5.4).
func (p *phone) call(kind, data string) answer {
	p.h.t.Helper()
	if p.secret == "" {
		return p.hook(`{"type":"` + kind + `","data":` + data + `}`)
	}
	raw, err := hex.DecodeString(p.secret)
	p.h.must(err)
	var nonce [24]byte
	_, err = rand.Read(nonce[:])
	p.h.must(err)
	box := secretbox.Seal(nonce[:], []byte(data), &nonce, (*[32]byte)(raw))
	return p.hook(`{"type":"` + kind + `","encrypted":true,"encrypted_data":"` + base64.StdEncoding.EncodeToString(box) + `"}`)
}

// Both apps live through a first day: sign-in, registration, background, refresh,
// pictures, socket; and all of it is one device of one person.
func TestApps(t *testing.T) {
	for _, client := range []string{ha.ClientAndroid, ha.ClientIOS} {
		t.Run(client[strings.LastIndexByte(client, '/')+1:], func(t *testing.T) {
			h := newHouse(t)
			h.owner()
			p := h.phone("Anna", client)
			p.firstDay("anna", "anna", "light.kitchen_lights")

			var apps []identity.Device
			for _, d := range h.id.Devices() {
				if d.Kind == identity.KindApp {
					apps = append(apps, d)
				}
			}
			if len(apps) != 1 || apps[0].Name != "anna's phone" || apps[0].PersonName != "Anna" || apps[0].LastAddr != "127.0.0.1" {
				t.Errorf("known are %+v", apps)
			}
			if !h.happened(event.AppRegistered) {
				t.Error("nothing was told")
			}
		})
	}
}

// A phone that is revoked loses its web view, tokens, webhook and sockets together, is
// refused in a way that no app takes for something else, and leaves nothing to use.
func TestRevokedApp(t *testing.T) {
	h := newHouse(t)
	p := h.settled("Anna", ha.ClientIOS, "anna")
	c := p.connect()
	h.reached()
	h.must(h.id.RevokeDevice(t.Context(), p.device))
	if code := p.silence(c); code != websocket.StatusPolicyViolation {
		t.Errorf("its socket closed with %d", code)
	}
	p.wants(p.api("GET", "/api/states", ""), http.StatusUnauthorized)
	p.wants(p.call("get_config", "{}"), http.StatusForbidden)
	p.wants(p.view.do(request{path: "/", header: map[string]string{"Sec-Fetch-Mode": "navigate", "User-Agent": iosViewUA}}), http.StatusOK, "page 1")
	if again, _ := p.socket(map[string]string{"User-Agent": p.ua}); again != nil {
		p.say(again, `{"type":"auth","access_token":"`+p.access+`"}`)
		p.hears(again, `"auth_required"`)
		p.silence(again)
	}
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant", n)
	}
	p.wants(p.refreshToken(), http.StatusBadRequest, "invalid_grant") // dead in Home Assistant as well
	if !h.happened(event.TokenRevoked) {
		t.Error("its sign-in lives on in Home Assistant")
	}
	left := h.id.Leftovers()
	if len(left) != 1 || left[0].HADeviceID != "id of Anna's phone" {
		t.Errorf("to be taken out of Home Assistant: %+v", left)
	}
	h.must(h.id.TookOut(t.Context(), left[0]))
	if len(h.id.Leftovers()) != 0 {
		t.Error("it is to be taken out again")
	}
	p.wants(p.call("get_config", "{}"), http.StatusForbidden)
}

// What an app was given is worth nothing in another's hands where that can be told.
func TestStolenFromApps(t *testing.T) {
	h := newHouse(t)
	olga := h.owner().loggedIn("demo", "demo")
	anna := h.settled("Anna", ha.ClientIOS, "anna")
	other := h.phone("Ben", ha.ClientIOS)
	// The token of a browser never goes without its cookie, whatever the client says it is.
	thief := &phone{browser: &browser{h: h, access: olga.access, refresh: olga.refresh}, client: clientID, ua: iosUA}
	thief.wants(thief.api("GET", "/api/states", ""), http.StatusUnauthorized)
	thief.wants(thief.refreshToken(), http.StatusServiceUnavailable)
	if c, _ := thief.socket(map[string]string{"User-Agent": iosUA}); c != nil {
		thief.say(c, `{"type":"auth","access_token":"`+olga.access+`"}`)
		thief.hears(c, `{"type":"auth_required"}`)
		thief.silence(c)
	}
	// An app's webhook beside another's cookie, and a token beside another's webhook.
	other.view.wants(other.view.do(request{method: "POST", path: "/api/webhook/" + anna.webhook, body: `{"type":"get_config"}`}), http.StatusForbidden)
	other.webhook = strings.Repeat("a", 64)
	other.wants(other.call("get_config", "{}"), http.StatusForbidden)
	anna.wants(anna.send(request{method: "POST", path: "/api/webhook/" + anna.webhook, body: "{}", header: map[string]string{"Authorization": "Bearer x"}}), http.StatusForbidden)
	// A token that claims a real issuer.
	forged := anna.access[:strings.LastIndexByte(anna.access, '.')+1] + strings.Repeat("A", 43)
	thief.access = forged
	thief.wants(thief.api("GET", "/api/states", ""), http.StatusUnauthorized)
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant", n)
	}
}

// Codes are spent once, by the app whose web view earned them.
func TestAppCodes(t *testing.T) {
	h := newHouse(t)
	olga := h.owner()
	anna := h.phone("Anna", ha.ClientIOS)
	code := anna.signIn("anna", "anna")
	h.reached()
	olga.wants(olga.token(url.Values{"grant_type": {"authorization_code"}, "client_id": {ha.ClientIOS}, "code": {code}}), http.StatusBadRequest)
	anna.wants(anna.spend(code), http.StatusServiceUnavailable) // it was spent by the wrong one
	code = anna.signIn("anna", "anna")
	stranger := &phone{browser: h.stranger(), client: ha.ClientAndroid, ua: androidUA}
	h.reached()
	stranger.wants(stranger.spend(code), http.StatusBadRequest) // for another client
	h.pass(11 * time.Minute)
	code = anna.signIn("anna", "anna")
	h.pass(11 * time.Minute)
	anna.wants(anna.spend(code), http.StatusServiceUnavailable)
	for _, r := range h.reached() {
		if r.URL.Path == "/auth/token" {
			t.Error("a token request reached Home Assistant")
		}
	}
	// A browser does not log in for an app, nor an app's web view for somebody else's page.
	olga.wants(olga.do(request{method: "POST", path: "/auth/login_flow", body: `{"client_id":"https://home-assistant.io/iOS","redirect_uri":"homeassistant://auth-callback","handler":["homeassistant",null]}`}), http.StatusBadRequest)
	anna.view.wants(anna.view.do(request{method: "POST", path: "/auth/login_flow", body: `{"client_id":"https://home-assistant.io/iOS","redirect_uri":"https://evil.example/","handler":["homeassistant",null]}`}), http.StatusBadRequest)
}

// Anna's app does not sign in as the owner, and her web view says so.
func TestAppOfSomebodyElse(t *testing.T) {
	h := newHouse(t)
	h.owner().loggedIn("demo", "demo")
	p := h.phone("Anna", ha.ClientIOS)
	p.wants(p.spend(p.signIn("demo", "demo")), http.StatusForbidden, "access_denied")
	if p.access != "" {
		t.Error("it has a token")
	}
	if !h.happened(event.OtherHAUser) || !h.happened(event.TokenRevoked) {
		t.Error("nothing was told or taken back")
	}
	p.wants(p.view.do(request{path: "/", header: map[string]string{"Sec-Fetch-Mode": "navigate", "User-Agent": iosViewUA}}), http.StatusOK, "page 2")
}

// The web view's session runs out; what the app does by itself goes on.
func TestAppOutlivesItsWebView(t *testing.T) {
	for _, client := range []string{ha.ClientAndroid, ha.ClientIOS} {
		h := newHouse(t)
		p := h.settled("Anna", client, "anna")
		h.must(h.id.SignOut(t.Context(), p.view.cookie))
		p.wants(p.call("get_config", "{}"), http.StatusOK)
		p.wants(p.refreshToken(), http.StatusOK)
		p.wants(p.api("GET", "/api/config", ""), http.StatusOK)
		p.connect()
		p.wants(p.view.do(request{path: "/", header: map[string]string{"Sec-Fetch-Mode": "navigate", "User-Agent": iosViewUA}}), http.StatusOK, "page 1")
	}
}

// iOS signs out with its access token, which Home Assistant ignores: the sign-in ends there all the same.
func TestAppSignsOut(t *testing.T) {
	h := newHouse(t)
	p := h.settled("Anna", ha.ClientIOS, "anna")
	p.wants(p.form("/auth/revoke", url.Values{"token": {p.access}}), http.StatusOK)
	direct := &browser{h: h, access: p.access, refresh: p.refresh}
	r, err := http.PostForm(h.HA.String()+"/auth/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {p.client}, "refresh_token": {direct.refresh}})
	h.must(err)
	_ = r.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if r.StatusCode != http.StatusBadRequest {
		t.Errorf("its refresh token lives on in Home Assistant: %d", r.StatusCode)
	}
	p.wants(p.api("GET", "/api/config", ""), http.StatusUnauthorized)
	if h.id.Recognise(p.view.cookie).Standing != identity.StandingEnded {
		t.Error("its web view is signed in still")
	}
}

// Home Assistant knows no webhook while it starts, and goes on serving those of users
// who may do nothing any more.
func TestWebhooksThatMeanNothing(t *testing.T) {
	empty := false
	h := newHouse(t, func(s *setting) {
		s.tap = func(w http.ResponseWriter, r *http.Request) bool {
			if empty && strings.HasPrefix(r.URL.Path, "/api/webhook/") {
				w.Header().Set("Content-Length", "0")
				return true
			}
			return false
		}
	})
	p := h.settled("Anna", ha.ClientIOS, "anna")
	h.mu.Lock()
	h.starting, empty = true, true
	h.mu.Unlock()
	p.wants(p.call("update_registration", "{}"), http.StatusServiceUnavailable)
	h.mu.Lock()
	h.starting = false
	h.mu.Unlock()
	p.wants(p.call("update_registration", "{}"), http.StatusOK)
	user := h.id.People()[0].HAUserID
	set := func(a Account) { h.mu.Lock(); h.accounts = map[string]Account{user: a}; h.mu.Unlock() }
	set(Account{Known: true})
	p.wants(p.call("get_config", "{}"), http.StatusForbidden)
	set(Account{Known: true, Active: true, LocalOnly: true})
	p.wants(p.call("get_config", "{}"), http.StatusOK) // 127.0.0.1 is local
	set(Account{Known: true, Active: true})
	for range hookBurst + 50 {
		if got := p.hook(`{}`); got.status == http.StatusServiceUnavailable {
			if got.header.Get("Retry-After") == "" {
				t.Error("it is not told when to come back")
			}
			return
		}
	}
	t.Error("a flood of calls is let through")
}

// One sign-in may lead to several devices; each is listed and revoked alone.
func TestSeveralDevicesOfOneSignIn(t *testing.T) {
	const google = "https://oauth-redirect.googleusercontent.com/r/home"
	h := newHouse(t, func(s *setting) { s.clients = []string{google} })
	p := h.settled("Anna", ha.ClientIOS, "anna")
	watch := &phone{browser: h.stranger(), client: ha.ClientIOS, ua: strings.Replace(iosUA, "iOS", "watchOS", 1)}
	watch.wants(watch.spend(p.signIn("anna", "anna")), http.StatusOK)
	watch.wants(watch.api("GET", "/api/config", ""), http.StatusOK)
	olga := h.owner()
	var flow struct {
		ID     string `json:"flow_id"`
		Result string `json:"result"`
	}
	got := olga.do(request{method: "POST", path: "/auth/login_flow", body: `{"client_id":"` + google + `","redirect_uri":"` + google + `","handler":["homeassistant",null]}`})
	olga.wants(got, http.StatusOK)
	h.must(json.Unmarshal([]byte(got.body), &flow))
	got = olga.do(request{method: "POST", path: "/auth/login_flow/" + flow.ID, body: `{"client_id":"` + google + `","username":"demo","password":"demo"}`})
	h.must(json.Unmarshal([]byte(got.body), &flow))
	cloud := &phone{browser: h.stranger(), client: google, ua: "google"}
	cloud.wants(cloud.spend(flow.Result), http.StatusOK)
	cloud.wants(cloud.api("GET", "/api/config", ""), http.StatusOK)

	kinds := map[string]int{}
	var cloudID string
	for _, d := range h.id.Devices() {
		kinds[d.Kind]++
		if d.Kind == identity.KindProgram {
			cloudID = d.ID
			if d.PersonName != "Olga" {
				t.Errorf("the cloud is %s's", d.PersonName)
			}
		}
	}
	if kinds[identity.KindApp] != 2 || kinds[identity.KindProgram] != 1 || kinds[identity.KindBrowser] != 1 {
		t.Errorf("known are %v", kinds)
	}
	h.must(h.id.RevokeDevice(t.Context(), cloudID))
	cloud.wants(cloud.api("GET", "/api/config", ""), http.StatusUnauthorized)
	h.must(h.id.RevokeDevice(t.Context(), p.device))
	p.wants(p.api("GET", "/api/config", ""), http.StatusUnauthorized)
	watch.wants(watch.api("GET", "/api/config", ""), http.StatusOK)
}

// A stranger does not get a socket by saying that they are no app, and not many by
// saying that they are; none of them is told a version.
func TestHeldSockets(t *testing.T) {
	h := newHouse(t)
	s := h.stranger()
	if c, status := s.socket(map[string]string{"User-Agent": "curl/8"}); c != nil || status != http.StatusUnauthorized {
		t.Errorf("a stranger's socket: %d", status)
	}
	open := 0
	for range heldPerAddr + 4 {
		if c, _ := s.socket(map[string]string{"User-Agent": androidUA}); c != nil {
			open++
			s.hears(c, `{"type":"auth_required"}`)
		}
	}
	if open != heldPerAddr {
		t.Errorf("%d sockets wait for a token, want %d", open, heldPerAddr)
	}
	if h.dialled() {
		t.Error("one reached Home Assistant")
	}
}

// Registrations are bounded and read strictly.
func TestRegistrationsThatLie(t *testing.T) {
	h := newHouse(t)
	p := h.settled("Anna", ha.ClientIOS, "anna")
	p.wants(p.api("POST", "/api/mobile_app/registrations", `{"device_id":"a","device_id":"b"}`), http.StatusBadRequest)
	p.wants(p.api("POST", "/api/mobile_app/registrations", `{"x":"`+strings.Repeat("a", registrationMax)+`"}`), http.StatusRequestEntityTooLarge)
	if n := len(h.reached()); n != 0 {
		t.Errorf("%d requests reached Home Assistant", n)
	}
	c := p.connect()
	p.say(c, `{"id":1,"type":"webhook/handle","webhook_id":"`+p.webhook+`","method":"POST","body":"{}","headers":{},"query":""}`)
	p.hears(c, `"unauthorized"`)
}
