package gateway

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"

	"gatehouse/internal/event"
	"gatehouse/internal/ha"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

// plainHost is the house as it is asked for at Home Assistant's own port.
const plainHost = "house.test:8123"

// plainClient is the client id of Home Assistant's own pages there.
const plainClient = "http://" + plainHost + "/"

// spot is a door as the gateway sees one, from one place.
type spot struct {
	name policy.Door
	host string
	home bool
	here bool // whoever comes is a program on this machine
}

func (d spot) Name() policy.Door         { return d.name }
func (d spot) AtHome(netip.Addr) bool    { return d.home }
func (d spot) HostAllowed(h string) bool { return h == d.host }
func (d spot) Here(netip.Addr) bool      { return d.here }

// street is a house with several doors, which can be closed.
type street struct {
	*house
	closed atomic.Bool
	fronts map[string]front
}

type front struct{ addr, host string }

func newStreet(t *testing.T, options ...option) *street {
	t.Helper()
	s := &street{fronts: make(map[string]front)}
	s.house = newHouse(t, append(options, func(set *setting) { set.closed = s.closed.Load })...)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for name, d := range map[string]spot{
		"home":        {policy.LAN, testHost, true, false},
		"lan":         {policy.LAN, testHost, false, false},
		"here":        {policy.LAN, testHost, false, true},
		"https":       {policy.HTTPS, testHost, true, true}, // is no door to ask for home
		"plain":       {policy.LAN, plainHost, true, false},
		"plain, here": {policy.LAN, plainHost, false, true},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		s.must(err)
		handler := s.Handler(d)
		if strings.HasPrefix(name, "plain") {
			handler = s.PlainHandler(d, func(host string) string { return "https://" + host + ":8443" })
		}
		s.fronts[name] = front{l.Addr().String(), d.host}
		running.Go(func() { _ = (&wire.Server{Handler: handler}).Serve(ctx, l) })
	}
	t.Cleanup(func() { cancel(); running.Wait() })
	return s
}

// guest is a client at one of the doors, with an address of its own.
type guest struct {
	s       *street
	front   string
	client  *http.Client
	ua      string
	cookie  string
	access  string
	refresh string
	addr    string
}

func (s *street) guest(front, addr, ua string) *guest {
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
	g := &guest{s: s, front: front, ua: ua, addr: addr, client: &http.Client{Transport: &http.Transport{DialContext: from.DialContext}, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	s.t.Cleanup(g.client.CloseIdleConnections)
	return g
}

// at is the same client at another door.
func (g *guest) at(front string) *guest {
	o := *g
	o.front = front
	return &o
}

// from is the same client, with all that it has, from another address.
func (g *guest) from(addr string) *guest {
	o := g.s.guest(g.front, addr, g.ua)
	o.cookie, o.access, o.refresh = g.cookie, g.access, g.refresh
	return o
}

func (g *guest) do(q request) answer {
	g.s.t.Helper()
	if q.method == "" {
		q.method = http.MethodGet
	}
	f := g.s.fronts[g.front]
	r, err := http.NewRequestWithContext(g.s.t.Context(), q.method, "http://"+f.addr, strings.NewReader(q.body))
	g.s.must(err)
	path, query, _ := strings.Cut(q.path, "?")
	r.URL.Opaque, r.URL.RawQuery, r.Host = path, query, f.host
	r.Header.Set("User-Agent", g.ua)
	if g.cookie != "" {
		r.Header.Set("Cookie", "other=1; "+identity.CookieName+"="+g.cookie)
	}
	for name, value := range q.header {
		r.Header.Set(name, value)
	}
	res, err := g.client.Do(r)
	g.s.must(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	g.s.must(err)
	if g.front == "plain" {
		for _, c := range res.Cookies() {
			if c.Name == identity.CookieName {
				g.s.t.Errorf("%s sets our cookie in plain HTTP", q.path)
			}
		}
	}
	return answer{res.StatusCode, res.Header, string(body)}
}

func (g *guest) get(path string) answer {
	g.s.t.Helper()
	return g.do(request{path: path, header: map[string]string{"Authorization": "Bearer " + g.access}})
}

func (g *guest) navigate(path string) answer {
	g.s.t.Helper()
	return g.do(request{path: path, header: map[string]string{"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}})
}

func (g *guest) token(form url.Values) answer {
	g.s.t.Helper()
	got := g.do(request{method: "POST", path: "/auth/token", body: form.Encode(), header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}})
	if got.status == http.StatusOK {
		g.keep(got.body)
	}
	return got
}

func (g *guest) keep(body string) {
	g.s.t.Helper()
	var tokens struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	g.s.must(json.Unmarshal([]byte(body), &tokens))
	g.access = tokens.Access
	if tokens.Refresh != "" {
		g.refresh = tokens.Refresh
	}
}

func (g *guest) again(client string) answer {
	g.s.t.Helper()
	return g.token(url.Values{"grant_type": {"refresh_token"}, "client_id": {client}, "refresh_token": {g.refresh}})
}

// login walks through Home Assistant's login, and keeps the tokens.
func (g *guest) login(user, client, redirect string) {
	g.s.t.Helper()
	var flow struct {
		ID     string `json:"flow_id"`
		Result string `json:"result"`
	}
	got := g.do(request{method: "POST", path: "/auth/login_flow", body: fmt.Sprintf(`{"client_id":%q,"redirect_uri":%q,"handler":["homeassistant",null]}`, client, redirect)})
	g.wants(got, http.StatusOK)
	g.s.must(json.Unmarshal([]byte(got.body), &flow))
	got = g.do(request{method: "POST", path: "/auth/login_flow/" + flow.ID, body: fmt.Sprintf(`{"client_id":%q,"username":%q,"password":%q}`, client, user, user)})
	g.wants(got, http.StatusOK)
	g.s.must(json.Unmarshal([]byte(got.body), &flow))
	g.wants(g.token(url.Values{"grant_type": {"authorization_code"}, "client_id": {client}, "code": {flow.Result}}), http.StatusOK)
}

func (g *guest) wants(got answer, status int, hold ...string) {
	g.s.t.Helper()
	if got.status != status {
		g.s.t.Errorf("at %s: answered %d, want %d: %.200s", g.front, got.status, status, got.body)
	}
	for _, w := range hold {
		if !strings.Contains(got.body, w) {
			g.s.t.Errorf("at %s: %q is not in %.200s", g.front, w, got.body)
		}
	}
}

// socket opens the API's socket with a token. It returns the first answer to it; empty
// where the socket is refused or ends.
func (g *guest) socket(token string) (c *websocket.Conn, said string) {
	g.s.t.Helper()
	f := g.s.fronts[g.front]
	return dialAPI(g.s.t, "ws://"+f.addr+"/api/websocket", f.host, token, g.client, http.Header{"User-Agent": {g.ua}})
}

func dialAPI(t testing.TB, address, host, token string, client *http.Client, header http.Header) (c *websocket.Conn, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, address, &websocket.DialOptions{HTTPClient: client, HTTPHeader: header, Host: host})
	if err != nil {
		return nil, ""
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	c.SetReadLimit(-1)
	if _, _, err := c.Read(ctx); err != nil {
		return c, ""
	}
	if c.Write(ctx, websocket.MessageText, []byte(`{"type":"auth","access_token":"`+token+`"}`)) != nil {
		return c, ""
	}
	_, text, err := c.Read(ctx)
	if err != nil {
		return c, ""
	}
	return c, string(text)
}

// command gives a command on a socket and returns the answer.
func command(t testing.TB, c *websocket.Conn, text string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
	_, got, err := c.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// longLived has Home Assistant make a long-lived token, by a socket at home.
func (g *guest) longLived(name string) string {
	g.s.t.Helper()
	c, said := g.socket(g.access)
	if !strings.Contains(said, "auth_ok") {
		g.s.t.Fatalf("the socket said %q", said)
	}
	var got struct {
		Result string `json:"result"`
	}
	g.s.must(json.Unmarshal([]byte(command(g.s.t, c, `{"id":1,"type":"auth/long_lived_access_token","client_name":"`+name+`","lifespan":3650}`)), &got))
	_ = c.Close(websocket.StatusNormalClosure, "")
	return got.Result
}

// signedAway is a path that Home Assistant has signed in the name of a sign-in that was
// never seen here, as it does in that of its own content user (ha-protocol 1.4).
func (s *street) signedAway(path string) string {
	s.t.Helper()
	direct := func(to, kind, body string) string {
		res, err := s.house.client.Post(s.HA.String()+to, kind, strings.NewReader(body))
		s.must(err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		s.must(err)
		return string(text)
	}
	var flow struct {
		ID     string `json:"flow_id"`
		Result string `json:"result"`
		Access string `json:"access_token"`
	}
	const own = "http://ha.test/"
	s.must(json.Unmarshal([]byte(direct("/auth/login_flow", "application/json", `{"client_id":"`+own+`","redirect_uri":"`+own+`","handler":["homeassistant",null]}`)), &flow))
	s.must(json.Unmarshal([]byte(direct("/auth/login_flow/"+flow.ID, "application/json", `{"client_id":"`+own+`","username":"demo","password":"demo"}`)), &flow))
	s.must(json.Unmarshal([]byte(direct("/auth/token", "application/x-www-form-urlencoded", url.Values{"grant_type": {"authorization_code"}, "client_id": {own}, "code": {flow.Result}}.Encode())), &flow))
	c, said := dialAPI(s.t, "ws://"+s.HA.Host+"/api/websocket", "", flow.Access, s.house.client, nil)
	if !strings.Contains(said, "auth_ok") {
		s.t.Fatalf("Home Assistant said %q", said)
	}
	defer func() { _ = c.Close(websocket.StatusNormalClosure, "") }()
	return signOn(s.t, c, path)
}

func signOn(t testing.TB, c *websocket.Conn, path string) string {
	t.Helper()
	var signed struct {
		Result struct {
			Path string `json:"path"`
		} `json:"result"`
	}
	if err := json.Unmarshal([]byte(command(t, c, `{"id":9,"type":"auth/sign_path","path":"`+path+`","expires":600}`)), &signed); err != nil {
		t.Fatal(err)
	}
	return signed.Result.Path
}

// residents are what was found, by address.
func (s *street) residents() map[string]identity.Resident {
	all := make(map[string]identity.Resident)
	for _, r := range s.id.Residents() {
		all[r.LastAddr] = r
	}
	return all
}

// give gives the resident at an address to a person.
func (s *street) give(addr, person string) identity.Device {
	s.t.Helper()
	if _, ok := s.id.PersonByName(person); !ok {
		_, err := s.id.AddPerson(s.t.Context(), person, policy.RoleMember, "", "")
		s.must(err)
	}
	r, ok := s.residents()[addr]
	if !ok {
		s.t.Fatalf("nothing was found at %s: %+v", addr, s.id.Residents())
	}
	d, err := s.id.GiveResident(s.t.Context(), r.ID, person, identity.Calls{})
	s.must(err)
	return d
}

// unreached fails where anything of a client's has come to Home Assistant.
func (s *street) unreached(when string) {
	s.t.Helper()
	for _, r := range s.reached() {
		s.t.Errorf("%s: %s %s reached Home Assistant", when, r.Method, r.URL)
	}
}

const (
	screenUA  = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"
	speakerUA = "Mozilla/5.0 (X11; Linux armv7l) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/106.0 Safari/537.36 CrKey/1.56"
	iosClient = ha.ClientIOS
	iosBack   = "homeassistant://auth-callback"
)

// family is who lives in the house while it is open: everybody by an address of their own.
type family struct {
	tablet  *guest // 127.0.0.11, Home Assistant's page in plain HTTP, Anna
	phone   *guest // 127.0.0.12, a companion app, Anna
	screen  *guest // 127.0.0.13, known by a socket alone, the owner
	script  *guest // 127.0.0.14, a long-lived token, the owner
	speaker *guest // 127.0.0.15
	speech  string // path
	hook    string // id of an automation's webhook
	given   map[string]identity.Device
}

// movedIn is everybody who lives in the open house, found there.
func (s *street) movedIn() *family {
	s.t.Helper()
	m := &family{
		tablet: s.guest("plain", "127.0.0.11", screenUA), phone: s.guest("home", "127.0.0.12", iosUA), screen: s.guest("home", "127.0.0.13", screenUA),
		script: s.guest("home", "127.0.0.14", "python-requests/2"), speaker: s.guest("home", "127.0.0.15", speakerUA),
		hook: "demo-doorbell", given: make(map[string]identity.Device),
	}
	m.tablet.wants(m.tablet.navigate("/lovelace/0"), http.StatusOK, "<html")
	m.tablet.login("anna", plainClient, plainClient)
	m.phone.login("anna", iosClient, iosBack)
	m.phone.wants(m.phone.again(iosClient), http.StatusOK)
	// The screen's sign-in is from before; its token comes by on a socket.
	maker := s.guest("home", "127.0.0.19", screenUA)
	maker.login("demo", clientID, clientID)
	m.script.access = maker.longLived("script")
	m.screen.access = maker.longLived("screen")
	m.script.wants(m.script.get("/api/states"), http.StatusOK)
	if _, said := m.screen.socket(m.screen.access); !strings.Contains(said, "auth_ok") {
		s.t.Fatalf("the screen's socket said %q", said)
	}
	var speech struct {
		Path string `json:"path"`
	}
	s.must(json.Unmarshal([]byte(maker.do(request{method: "POST", path: "/api/tts_get_url", body: `{"message":"x","engine_id":"demo"}`, header: map[string]string{"Authorization": "Bearer " + maker.access, "Content-Type": "application/json"}}).body), &speech))
	m.speech = speech.Path
	m.speaker.wants(m.speaker.do(request{path: m.speech}), http.StatusOK)
	bell := s.guest("home", "127.0.0.16", "curl/8")
	bell.wants(bell.do(request{method: "POST", path: "/api/webhook/" + m.hook}), http.StatusOK)
	s.must(s.id.Found(s.t.Context(), identity.Find{Kind: identity.KindWebhook, Name: "automation: Doorbell", Webhook: ha.Hash(m.hook), Addr: "bell", Seen: time.Now()}))
	s.reached()
	return m
}

// give gives everything to its people, and closes the house.
func (m *family) give() {
	s := m.tablet.s
	s.t.Helper()
	if _, ok := s.id.PersonByName("Olga"); !ok {
		s.owner()
	}
	for addr, person := range map[string]string{"127.0.0.11": "Anna", "127.0.0.12": "Anna", "127.0.0.13": "Olga", "127.0.0.14": "Olga", "127.0.0.15": "Anna"} {
		m.given[addr] = s.give(addr, person)
	}
	s.closed.Store(true)
	s.EndStrangers()
	s.reached()
}

// While the house is open everything passes at home that Home Assistant lets in, and is found.
func TestOpenHouse(t *testing.T) {
	s := newStreet(t)
	s.movedIn()
	all := s.residents()
	for addr, want := range map[string]identity.Resident{
		"127.0.0.11": {Kind: identity.KindBrowser, HAUserName: "Anna", ClientID: plainClient},
		"127.0.0.12": {Kind: identity.KindApp, HAUserName: "Anna", ClientID: iosClient},
		"127.0.0.13": {Kind: identity.KindProgram, HAUserName: "Demo"},
		"127.0.0.14": {Kind: identity.KindProgram, HAUserName: "Demo"},
		"127.0.0.15": {Kind: identity.KindSource},
		"127.0.0.19": {Kind: identity.KindBrowser, HAUserName: "Demo", ClientID: clientID},
	} {
		got := all[addr]
		if got.ID == "" || got.Kind != want.Kind || got.HAUserName != want.HAUserName || got.ClientID != want.ClientID {
			t.Errorf("at %s was found %+v, want %+v", addr, got, want)
		}
	}
	if n := len(s.id.Residents()); n != 7 {
		t.Errorf("%d were found: %+v", n, s.id.Residents())
	}
	if n := len(s.id.Devices()); n != 0 {
		t.Errorf("%d devices came of it", n)
	}
}

// From elsewhere, and of what Home Assistant itself refuses, nothing is found; and what it
// refuses does not reach it in our name.
func TestNothingFound(t *testing.T) {
	asked := atomic.Int64{} // sockets that are not a client's
	s := newStreet(t, func(set *setting) {
		set.tap = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/api/websocket" && r.Header.Get("X-Forwarded-For") == "" {
				asked.Add(1)
			}
			if r.Method == http.MethodOptions && r.Header.Get("X-Forwarded-For") != "" {
				w.WriteHeader(http.StatusOK) // to a page on another host, whatever token is beside it (ha-protocol 1.1)
				return true
			}
			return false
		}
	})
	maker := s.guest("home", "127.0.0.19", screenUA)
	maker.login("demo", clientID, clientID)
	secret := maker.longLived("secret")
	c, _ := maker.socket(maker.access)
	signed := signOn(t, c, "/api/config")
	n, before := len(s.id.Residents()), asked.Load()

	forged := maker.access[:strings.LastIndexByte(maker.access, '.')+1] + strings.Repeat("A", 43)
	bad := s.guest("home", "127.0.0.21", screenUA)
	bad.access = forged
	bad.wants(bad.get("/api/states"), http.StatusUnauthorized)
	if _, said := bad.socket(forged); !strings.Contains(said, "auth_invalid") {
		t.Errorf("the socket said %q", said)
	}
	bad.refresh = "x"
	bad.wants(bad.again(clientID), http.StatusBadRequest)
	bad.wants(bad.do(request{method: "OPTIONS", path: "/api/states", header: map[string]string{"Authorization": "Bearer " + forged, "Origin": "https://cast.home-assistant.io", "Access-Control-Request-Method": "GET"}}), http.StatusOK)
	bad.wants(bad.get(signed), http.StatusOK) // by its signature
	if asked.Load() != before {
		t.Errorf("Home Assistant was asked about a forged token %d times", asked.Load()-before)
	}
	for k, front := range []string{"https", "lan", "here"} {
		g := s.guest(front, fmt.Sprint("127.0.0.3", k), iosUA)
		g.access, g.refresh = secret, maker.refresh
		g.wants(g.get("/api/states"), http.StatusUnauthorized)
		g.wants(g.again(clientID), http.StatusServiceUnavailable)
		g.wants(g.do(request{path: "/api/tts_proxy/x.wav"}), http.StatusUnauthorized)
		g.wants(g.do(request{path: "/"}), http.StatusUnauthorized)
		if _, said := g.socket(secret); said != "" {
			t.Errorf("%s: the socket said %q", front, said)
		}
	}
	if got := s.id.Residents(); len(got) != n {
		t.Errorf("found were %+v", got)
	}
}

// tries tries everything that a client may try, and returns what of it passed.
func (g *guest) tries(m *family, client string) (passed []string) {
	g.s.t.Helper()
	note := func(what string, got answer) {
		if got.status < 400 && got.body != fmt.Sprint("page ", PageOverTLS) && got.body != fmt.Sprint("page ", PageSignIn) {
			passed = append(passed, what)
		}
	}
	note("rest", g.get("/api/states"))
	note("action", g.do(request{method: "POST", path: "/api/services/light/toggle", body: "{}", header: map[string]string{"Authorization": "Bearer " + g.access}}))
	if _, said := g.socket(g.access); strings.Contains(said, "auth_ok") {
		passed = append(passed, "socket")
	}
	note("webhook", g.do(request{method: "POST", path: "/api/webhook/" + m.hook}))
	if g.refresh != "" {
		fresh := *g
		note("refresh", fresh.again(client))
	}
	note("login", g.do(request{method: "POST", path: "/auth/login_flow", body: fmt.Sprintf(`{"client_id":%q,"redirect_uri":%q,"handler":["homeassistant",null]}`, clientID, clientID)}))
	note("page", g.navigate("/"))
	note("speech", g.do(request{path: m.speech}))
	return passed
}

// With the house closed, what was found and is nobody's is refused everywhere, and Home
// Assistant sees nothing of it.
func TestClosedHouse(t *testing.T) {
	s := newStreet(t)
	m := s.movedIn()
	c, said := m.screen.socket(m.screen.access)
	if !strings.Contains(said, "auth_ok") {
		t.Fatal(said)
	}
	s.must(s.id.LeaveResident(t.Context(), s.residents()["127.0.0.11"].ID))
	n := len(s.id.Residents())
	s.reached()
	s.closed.Store(true)
	s.EndStrangers()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, text, err := c.Read(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("a stranger's socket goes on: %s", text)
	}
	for _, front := range []string{"home", "plain", "lan", "here", "https"} {
		for client, g := range map[string]*guest{plainClient: m.tablet, iosClient: m.phone, "": m.script, clientID: m.speaker} {
			if passed := g.at(front).tries(m, client); len(passed) != 0 {
				t.Errorf("at %s, %s from %s passes", front, passed, g.addr)
			}
		}
	}
	s.unreached("closed")
	if got := len(s.id.Residents()); got != n {
		t.Errorf("%d residents, were %d", got, n)
	}
	// A speaker that comes for the first time is refused, and found: it can be given at once.
	late := s.guest("plain", "127.0.0.22", speakerUA)
	late.wants(late.do(request{path: m.speech}), http.StatusUnauthorized)
	s.give("127.0.0.22", "Anna")
	late.wants(late.do(request{path: m.speech}), http.StatusOK)
}

// What was given works in the closed house without a cookie, with TLS and without; from
// elsewhere only what is an app's own.
func TestGiven(t *testing.T) {
	s := newStreet(t)
	m := s.movedIn()
	m.give()
	for _, front := range []string{"home", "plain", "here"} {
		for client, g := range map[string]*guest{plainClient: m.tablet, iosClient: m.phone, "script": m.script, "screen": m.screen} {
			g := g.at(front)
			g.wants(g.get("/api/config"), http.StatusOK)
			if front != "here" {
				if _, said := g.socket(g.access); !strings.Contains(said, "auth_ok") {
					t.Errorf("at %s: the socket of %s said %q", front, client, said)
				}
			}
			if g.refresh != "" {
				g.wants(g.again(client), http.StatusOK)
				g.wants(g.get("/api/config"), http.StatusOK)
			}
		}
	}
	reached := s.reached()
	if len(reached) == 0 {
		t.Fatal("nothing reached Home Assistant")
	}
	for _, r := range reached {
		scheme := "https"
		if r.Host == plainHost {
			scheme = "http"
		}
		if r.Header.Get("X-Forwarded-Proto") != scheme || len(r.Header["X-Forwarded-For"]) != 1 || !strings.HasPrefix(r.Header.Get("X-Forwarded-For"), "127.0.0.1") {
			t.Errorf("%s was told %v", r.URL, r.Header)
		}
	}
	for _, front := range []string{"lan", "https"} {
		for client, g := range map[string]*guest{plainClient: m.tablet, "": m.script, "screen": m.screen} {
			g := g.at(front)
			if passed := g.tries(m, client); len(passed) != 0 {
				t.Errorf("at %s, %s of %s passes", front, passed, client)
			}
		}
		s.unreached("from elsewhere")
		app := m.phone.at(front)
		app.wants(app.get("/api/config"), http.StatusOK)
		app.wants(app.again(iosClient), http.StatusOK)
		if _, said := app.socket(app.access); !strings.Contains(said, "auth_ok") {
			t.Errorf("at %s: the app's socket said %q", front, said)
		}
		s.reached()
	}
	for _, d := range m.given {
		if !d.RevokedAt.IsZero() || d.PersonName == "" {
			t.Errorf("given is %+v", d)
		}
	}
}

// Nothing of one given device counts beside another's, or where it was not given.
func TestGivenBesideAnother(t *testing.T) {
	s := newStreet(t)
	m := s.movedIn()
	thief := s.guest("home", "127.0.0.40", screenUA) // found, and given to nobody
	thief.login("anna", clientID, clientID)
	c, _ := thief.socket(thief.access)
	ahead := signOn(t, c, "/api/camera_proxy/camera.demo_camera")
	c, _ = thief.socket(thief.access)
	aheadREST := signOn(t, c, "/api/states")
	m.give()
	// A token of its own beside another's refresh token or webhook.
	m.phone.wants(m.phone.do(request{method: "POST", path: "/auth/token", body: url.Values{"grant_type": {"refresh_token"}, "client_id": {plainClient}, "refresh_token": {m.tablet.refresh}}.Encode(),
		header: map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Authorization": "Bearer " + m.phone.access}}), http.StatusServiceUnavailable)
	m.phone.wants(m.phone.do(request{path: "/api/states", header: map[string]string{"Authorization": "Bearer " + thief.access}}), http.StatusUnauthorized)
	// Somebody else's cookie beside a given token.
	olga := s.member("Zoe")
	mixed := *m.tablet
	mixed.front, mixed.cookie = "home", olga.cookie
	mixed.wants(mixed.get("/api/states"), http.StatusUnauthorized)
	s.unreached("mixed")
	mixed.front = "plain" // where a cookie counts for nothing
	mixed.wants(mixed.get("/api/states"), http.StatusOK)
	s.reached()
	// At the address of a given speaker, or of a given phone, nobody's own signatures count.
	for _, addr := range []string{"127.0.0.15", "127.0.0.12"} {
		for _, front := range []string{"home", "plain"} {
			at := thief.from(addr).at(front)
			for _, path := range []string{ahead, aheadREST} {
				at.wants(at.do(request{path: path}), http.StatusUnauthorized)
			}
			at.wants(at.get("/api/states"), http.StatusUnauthorized)
			at.wants(at.again(clientID), http.StatusServiceUnavailable)
			if _, said := at.socket(at.access); said != "" {
				t.Errorf("its socket said %q", said)
			}
		}
	}
	s.unreached("at another's address")
	// A guess at what is given.
	guess := s.guest("home", "127.0.0.41", screenUA)
	guess.access = m.tablet.access[:strings.LastIndexByte(m.tablet.access, '.')+1] + strings.Repeat("A", 43)
	guess.refresh = strings.Repeat("a", 128)
	if passed := guess.tries(m, plainClient); len(passed) != 0 {
		t.Errorf("%s passes", passed)
	}
	s.unreached("guessed")
}

// An automation's webhook is called as the owner has said.
func TestGivenWebhook(t *testing.T) {
	for _, c := range []struct {
		calls  identity.Calls
		passes map[string]int // by door and method
	}{
		{identity.Calls{}, map[string]int{"home POST": 200, "plain POST": 200, "here POST": 200, "home PUT": 200, "lan POST": 403, "https POST": 403, "https PUT": 403}},
		{identity.Calls{Outside: true}, map[string]int{"home POST": 200, "lan POST": 200, "https POST": 200, "https PUT": 200}},
		{identity.Calls{Outside: true, Methods: []string{"POST"}}, map[string]int{"home POST": 200, "https POST": 200, "https PUT": 403, "home PUT": 403, "home GET": 403, "https HEAD": 403}},
	} {
		s := newStreet(t)
		m := s.movedIn()
		s.owner()
		_, err := s.id.GiveResident(t.Context(), s.residents()["bell"].ID, "Olga", c.calls)
		s.must(err)
		s.closed.Store(true)
		s.reached()
		for where, status := range c.passes {
			front, method, _ := strings.Cut(where, " ")
			g := s.guest(front, "127.0.0.50", "curl/8")
			g.wants(g.do(request{method: method, path: "/api/webhook/" + m.hook}), status)
			g.wants(g.do(request{method: method, path: "/api/webhook/another"}), http.StatusForbidden)
			if n := len(s.reached()); n != map[int]int{200: 1}[status] {
				t.Errorf("%s: %d reached Home Assistant", where, n)
			}
			g.wants(g.do(request{method: method, path: "/api/states"}), http.StatusUnauthorized)
		}
		s.unreached("beside it")
	}
}

// How often an automation's webhook may be called is its own measure.
func TestGivenWebhookRate(t *testing.T) {
	s := newStreet(t)
	m := s.movedIn()
	s.owner()
	_, err := s.id.GiveResident(t.Context(), s.residents()["bell"].ID, "Olga", identity.Calls{PerMinute: 3})
	s.must(err)
	s.closed.Store(true)
	g := s.guest("home", "127.0.0.50", "curl/8")
	for k, status := range []int{200, 200, 200, 503} {
		got := g.do(request{method: "POST", path: "/api/webhook/" + m.hook})
		if g.wants(got, status); k == 3 && got.header.Get("Retry-After") == "" {
			t.Error("it is not told when to come back")
		}
	}
}

// A speaker at a given address fetches what speakers fetch, and nothing else; nor does
// anybody from another address.
func TestGivenSpeaker(t *testing.T) {
	s := newStreet(t)
	m := s.movedIn()
	camera := s.signedAway("/api/camera_proxy/camera.demo_camera")
	states, config := s.signedAway("/api/states"), s.signedAway("/api/config/automation/config/x")
	m.give()
	s.must(s.guard.Allow(netip.MustParsePrefix("127.0.0.0/8"), "bans are held elsewhere"))
	for _, front := range []string{"home", "plain"} {
		g := m.speaker.at(front)
		g.wants(g.do(request{path: m.speech}), http.StatusOK)
		g.wants(g.do(request{method: "HEAD", path: m.speech}), http.StatusOK)
		g.wants(g.do(request{path: camera}), http.StatusOK)
		g.wants(g.do(request{path: "/static/x.js"}), http.StatusNotFound) // Home Assistant's own answer
		s.reached()
		for _, q := range []request{
			{method: "POST", path: m.speech}, {path: "/api/states"}, {path: states}, {path: config}, {path: "/api/config"}, {path: "/api/backup/download/x"},
			{path: "/api/hassio/backups/x"}, {path: "/api/stream"}, {path: "/auth/authorize"}, {path: "/auth/providers"}, {path: "/api/onboarding"}, {path: "/api/hassio_ingress/x/"},
			{method: "POST", path: "/auth/login_flow", body: "{}"}, {method: "POST", path: "/api/tts_get_url", body: "{}"}, {method: "OPTIONS", path: m.speech},
			{method: "POST", path: "/api/services/light/toggle", body: "{}"}, {method: "POST", path: camera},
			{path: strings.Replace(camera, "camera.demo_camera", "camera.other", 1)}, // signed for another path
			{path: "/api/backup/download/x?authSig=" + signature(strings.Repeat("a", 32), "/api/backup/download/x")},
		} {
			if got := g.do(q); got.status < 400 || got.status == http.StatusNotFound {
				t.Errorf("at %s: %s %s: %d", front, q.method, q.path, got.status)
			}
		}
		g.wants(g.do(request{method: "POST", path: "/api/webhook/" + m.hook}), http.StatusForbidden)
		if _, said := g.socket("x"); said != "" {
			t.Errorf("its socket said %q", said)
		}
		s.unreached("a speaker's " + front)
		// A signature that is none: Home Assistant says so.
		const path = "/api/camera_proxy/camera.demo_camera"
		if got := g.do(request{path: path + "?authSig=" + signature(strings.Repeat("a", 32), path)}); got.status != http.StatusUnauthorized && got.status != http.StatusForbidden {
			t.Errorf("a forged signature: %d", got.status)
		}
		s.reached()
		for _, other := range []*guest{g.from("127.0.0.60"), g.at("lan"), g.at("here"), g.at("https")} {
			other.wants(other.do(request{path: m.speech}), http.StatusUnauthorized)
			other.wants(other.do(request{path: camera}), http.StatusUnauthorized)
		}
		s.unreached("from elsewhere")
	}
}

// A given device that is revoked is out at every door, and its sign-in ends in Home Assistant.
func TestRevokedGiven(t *testing.T) {
	s := newStreet(t)
	m := s.movedIn()
	m.give()
	c, said := m.tablet.socket(m.tablet.access)
	if !strings.Contains(said, "auth_ok") {
		t.Fatal(said)
	}
	s.reached()
	for _, d := range m.given {
		s.must(s.id.RevokeDevice(t.Context(), d.ID))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("its socket ended with %v", err)
	}
	for _, open := range []bool{false, true} { // open again: at home, too
		s.closed.Store(!open)
		for _, front := range []string{"home", "plain", "lan", "here", "https"} {
			for _, g := range []*guest{m.tablet, m.phone, m.script, m.screen} {
				g := g.at(front)
				g.wants(g.get("/api/states"), http.StatusUnauthorized)
				if _, said := g.socket(g.access); strings.Contains(said, "auth_ok") {
					t.Errorf("at %s its socket said %q", front, said)
				}
			}
			if !open {
				m.speaker.at(front).wants(m.speaker.at(front).do(request{path: m.speech}), http.StatusUnauthorized)
			}
		}
	}
	s.closed.Store(true)
	for _, r := range s.reached() {
		if r.URL.Path != m.speech {
			t.Errorf("%s reached Home Assistant", r.URL)
		}
	}
	m.tablet.wants(m.tablet.again(plainClient), http.StatusBadRequest, "invalid_grant")
	m.phone.at("https").wants(m.phone.at("https").again(iosClient), http.StatusBadRequest, "invalid_grant")
	if !s.happened(event.TokenRevoked) {
		t.Error("nothing was told")
	}
	for client, g := range map[string]*guest{plainClient: m.tablet, iosClient: m.phone} {
		res, err := s.house.client.PostForm(s.HA.String()+"/auth/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {client}, "refresh_token": {g.refresh}})
		s.must(err)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("the sign-in of %s lives on in Home Assistant: %d", client, res.StatusCode)
		}
	}
}

// In plain HTTP there is no page of ours that anything is typed into, whoever comes.
func TestPlainDoor(t *testing.T) {
	s := newStreet(t)
	m := s.movedIn()
	m.give()
	nobody := s.guest("plain", "127.0.0.70", screenUA)
	over := fmt.Sprint("page ", PageOverTLS)
	nobody.wants(nobody.navigate("/"), http.StatusUnauthorized, over)
	nobody.wants(nobody.navigate("/lovelace/0"), http.StatusUnauthorized, over)
	nobody.wants(nobody.navigate("/_gatehouse/auth/"), http.StatusUnauthorized, over)
	nobody.wants(nobody.do(request{path: "/_gatehouse/auth/static/x.css"}), http.StatusOK, "ours: ")
	for _, path := range []string{"/_gatehouse/auth/", "/_gatehouse/api/sign-in", "/_gatehouse/auth/static/x.css/../.."} {
		if got := nobody.do(request{method: "POST", path: path, body: "{}"}); strings.Contains(got.body, "ours") || got.status < 400 {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	app := s.guest("plain", "127.0.0.71", iosViewUA)
	app.wants(app.navigate("/"), http.StatusOK, over)
	app.wants(app.do(request{path: "/auth/authorize?response_type=code"}), http.StatusOK, over)
	s.unreached("strangers")

	// A cookie of ours, which no browser sends here, says nothing; it goes no further, and
	// opens no page of ours.
	zoe := s.member("Zoe")
	known := s.guest("plain", "127.0.0.72", screenUA)
	known.cookie = zoe.cookie
	known.wants(known.navigate("/"), http.StatusUnauthorized, over)
	known.wants(known.get("/api/states"), http.StatusUnauthorized)
	if got := known.navigate("/_gatehouse/auth/account"); strings.Contains(got.body, "ours") || got.status < 400 {
		t.Errorf("an account is shown: %d %s", got.status, got.body)
	}
	for _, r := range s.reached() {
		if strings.Contains(fmt.Sprint(r.Header["Cookie"]), identity.CookieName) {
			t.Error("Home Assistant was told the cookie")
		}
	}
	s.must(s.id.SignOut(t.Context(), zoe.cookie))
	known.wants(known.navigate("/"), http.StatusUnauthorized, over)
	s.must(s.id.RevokeDevice(t.Context(), zoe.device))
	known.wants(known.navigate("/"), http.StatusUnauthorized, over)
	s.unreached("ended")

	// Home Assistant's own pages there are for their own host, and for no other.
	flow := func(client string) answer {
		return m.tablet.do(request{method: "POST", path: "/auth/login_flow", header: map[string]string{"Authorization": "Bearer " + m.tablet.access},
			body: fmt.Sprintf(`{"client_id":%q,"redirect_uri":%q,"handler":["homeassistant",null]}`, client, client)})
	}
	m.tablet.wants(flow(plainClient), http.StatusOK)
	m.tablet.wants(flow(clientID), http.StatusBadRequest)
	m.tablet.wants(flow("http://evil.example/"), http.StatusBadRequest)
	// Its socket is one of its own origin's.
	for origin, ok := range map[string]bool{"http://" + plainHost: true, "https://" + plainHost: false, "http://evil.example": false} {
		_, said := dialAPI(t, "ws://"+s.fronts["plain"].addr+"/api/websocket", plainHost, m.tablet.access, m.tablet.client, http.Header{"Origin": {origin}})
		if strings.Contains(said, "auth_ok") != ok {
			t.Errorf("a socket of %s: %q", origin, said)
		}
	}
	for _, host := range []string{"house.test", "evil.test:8123", testHost} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.fronts["plain"].addr+"/", nil)
		s.must(err)
		r.Host = host
		res, err := nobody.client.Do(r)
		s.must(err)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("for %s: %d", host, res.StatusCode)
		}
	}
}

// Strangers at home who flood the closed house keep no known device out, and what is kept
// of them is bounded.
func TestFloodAtHome(t *testing.T) {
	s := newStreet(t)
	m := s.movedIn()
	m.give()
	anna := s.member("Anna")
	for n := range 300 {
		g := s.guest("home", fmt.Sprintf("127.1.%d.%d", n/200, n%200+1), speakerUA)
		g.wants(g.do(request{path: "/api/tts_proxy/x.wav"}), http.StatusUnauthorized)
		g.client.CloseIdleConnections()
	}
	s.unreached("a flood")
	if n := len(s.id.Residents()); n > 256+8 || n < 200 {
		t.Errorf("%d are kept", n)
	}
	known := s.guest("home", "127.0.0.80", screenUA)
	known.cookie = anna.cookie
	known.wants(known.navigate("/"), http.StatusOK)
	m.tablet.wants(m.tablet.get("/api/states"), http.StatusOK)
	m.speaker.wants(m.speaker.do(request{path: m.speech}), http.StatusOK)
}

// A given browser that signs out of Home Assistant is signed out; nothing else is.
func TestGivenSignsOut(t *testing.T) {
	s := newStreet(t)
	m := s.movedIn()
	m.give()
	m.tablet.wants(m.tablet.do(request{method: "POST", path: "/auth/revoke", body: url.Values{"token": {m.tablet.refresh}}.Encode(), header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}), http.StatusOK)
	m.tablet.wants(m.tablet.get("/api/states"), http.StatusUnauthorized)
	m.tablet.wants(m.tablet.again(plainClient), http.StatusServiceUnavailable)
	m.phone.wants(m.phone.get("/api/states"), http.StatusOK)
	m.script.wants(m.script.get("/api/states"), http.StatusOK)
}

// A given app goes on as an app does: its registration's webhook is learned, and counts.
func TestGivenAppRegisters(t *testing.T) {
	s := newStreet(t)
	m := s.movedIn()
	m.give()
	got := m.phone.do(request{method: "POST", path: "/api/mobile_app/registrations", header: map[string]string{"Authorization": "Bearer " + m.phone.access, "Content-Type": "application/json"},
		body: `{"app_id":"io.robbie.HomeAssistant","app_name":"Home Assistant","app_version":"2026.8","device_id":"a1","device_name":"Anna's phone","manufacturer":"Apple","model":"iPhone17,1","os_name":"iOS","os_version":"26.0","supports_encryption":false,"app_data":{}}`})
	m.phone.wants(got, http.StatusCreated)
	var said struct {
		Webhook string `json:"webhook_id"`
	}
	s.must(json.Unmarshal([]byte(got.body), &said))
	for _, front := range []string{"home", "plain", "https"} {
		g := s.guest(front, "127.0.0.12", iosUA)
		g.wants(g.do(request{method: "POST", path: "/api/webhook/" + said.Webhook, body: `{"type":"get_config","data":{}}`, header: map[string]string{"Content-Type": "application/json"}}), http.StatusOK)
	}
	s.must(s.id.RevokeDevice(t.Context(), m.given["127.0.0.12"].ID))
	s.reached()
	for _, front := range []string{"home", "plain", "https"} {
		g := s.guest(front, "127.0.0.12", iosUA)
		g.wants(g.do(request{method: "POST", path: "/api/webhook/" + said.Webhook, body: `{"type":"get_config","data":{}}`}), http.StatusForbidden)
	}
	s.unreached("revoked")
}

// What is let in while the house is open and in the very moment when it is closed does not
// outlast that, whosever it is.
func TestClosedInTheMoment(t *testing.T) {
	var s *street
	var now atomic.Bool
	s = newStreet(t, func(set *setting) {
		set.tap = func(_ http.ResponseWriter, r *http.Request) bool {
			if now.Load() && r.URL.Path == "/api/websocket" && r.Header.Get("X-Forwarded-For") != "" {
				s.closed.Store(true)
				s.EndStrangers()
			}
			return false
		}
	})
	g := s.guest("home", "127.0.0.40", screenUA)
	g.login("demo", clientID, clientID)
	now.Store(true)
	c, _ := g.socket(g.access)
	if c == nil {
		t.Fatal("it was refused before the house was closed")
	}
	hearsNothing(t, c)

	// A known device beside a token that is not its own.
	s.closed.Store(false)
	now.Store(false)
	zoe := s.member("Zoe")
	f := s.fronts["home"]
	c, said := dialAPI(t, "ws://"+f.addr+"/api/websocket", f.host, g.access, g.client, http.Header{"Cookie": {identity.CookieName + "=" + zoe.cookie}})
	if !strings.Contains(said, "auth_ok") {
		t.Fatalf("the socket said %q", said)
	}
	s.closed.Store(true)
	s.EndStrangers()
	hearsNothing(t, c)
}

// hearsNothing fails where anything is answered on a socket.
func hearsNothing(t *testing.T, c *websocket.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_ = c.Write(ctx, websocket.MessageText, []byte(`{"id":1,"type":"get_states"}`))
	if _, text, err := c.Read(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("the socket goes on: %.100s", text)
	}
}

// Who makes signatures up at a given address is not listened to before Home Assistant's own,
// lasting ban strikes.
func TestForgedAtGivenAddress(t *testing.T) {
	s := newStreet(t)
	m := s.movedIn()
	m.give()
	const path = "/api/camera_proxy/camera.demo_camera"
	for range 10 {
		m.speaker.do(request{path: path + "?authSig=" + signature(strings.Repeat("a", 32), path)})
	}
	if n := len(s.reached()); n > 5 {
		t.Errorf("%d reached Home Assistant", n)
	}
	m.tablet.wants(m.tablet.get("/api/config"), http.StatusOK)
}

// A known browser calls an automation's webhook as before, in whatever way.
func TestKnownCallsGivenWebhook(t *testing.T) {
	s := newStreet(t)
	m := s.movedIn()
	s.owner()
	_, err := s.id.GiveResident(t.Context(), s.residents()["bell"].ID, "Olga", identity.Calls{Methods: []string{"POST"}})
	s.must(err)
	s.closed.Store(true)
	zoe := s.guest("home", "127.0.0.90", screenUA)
	zoe.cookie = s.member("Zoe").cookie
	for _, method := range []string{"POST", "PUT"} {
		zoe.wants(zoe.do(request{method: method, path: "/api/webhook/" + m.hook}), http.StatusOK)
	}
}

// A program on this machine opens its socket with a token that was given.
func TestGivenSocketHere(t *testing.T) {
	s := newStreet(t)
	m := s.movedIn()
	m.give()
	if _, said := m.script.at("here").socket(m.script.access); !strings.Contains(said, "auth_ok") {
		t.Errorf("its socket said %q", said)
	}
}

// Where Home Assistant listened before, a program on this machine is at home while the
// house is open; what a tunnel or a proxy on it hands on of people outside is not.
func TestProgramHere(t *testing.T) {
	s := newStreet(t)
	m := s.movedIn()
	s.closed.Store(false)
	program := m.script.at("plain, here")
	program.wants(program.get("/api/states"), http.StatusOK)
	if _, said := program.socket(program.access); !strings.Contains(said, "auth_ok") {
		t.Errorf("its socket said %q", said)
	}
	s.reached()
	person := s.guest("plain, here", "127.0.0.91", screenUA)
	person.wants(person.navigate("/"), http.StatusUnauthorized)
	person.wants(person.do(request{path: "/auth/providers"}), http.StatusUnauthorized)
	person.wants(person.do(request{method: "POST", path: "/auth/login_flow", body: "{}"}), http.StatusUnauthorized)
	for _, name := range []string{"X-Forwarded-For", "X-Real-IP", "Forwarded", "Via"} {
		program.wants(program.do(request{path: "/api/states", header: map[string]string{"Authorization": "Bearer " + program.access, name: "203.0.113.7"}}), http.StatusUnauthorized)
	}
	s.unreached("handed on")
	s.closed.Store(true)
	program.wants(program.get("/api/states"), http.StatusUnauthorized)
	s.unreached("closed")
}

// What was given counts at home alone: not what a tunnel on this machine hands on of people
// outside.
func TestGivenIsNotHandedOn(t *testing.T) {
	s := newStreet(t)
	m := s.movedIn()
	m.give()
	s.closed.Store(true)
	program := m.script.at("plain, here")
	program.wants(program.get("/api/states"), http.StatusOK)
	s.reached()
	for _, name := range []string{"X-Forwarded-For", "Cf-Connecting-Ip", "Via"} {
		program.wants(program.do(request{path: "/api/states", header: map[string]string{"Authorization": "Bearer " + program.access, name: "203.0.113.7"}}), http.StatusUnauthorized)
	}
	s.unreached("handed on")
}
