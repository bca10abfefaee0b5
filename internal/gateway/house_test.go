package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"
	"github.com/pquerna/otp/totp"
	"go.uber.org/goleak"

	"gatehouse/internal/event"
	"gatehouse/internal/guard"
	"gatehouse/internal/ha/client"
	"gatehouse/internal/ha/hatest"
	"gatehouse/internal/identity"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testName = "house.test"
	testHost = "house.test:8443"
)

// testDoor is a door as the gateway sees one.
type testDoor struct {
	name    policy.Door
	home    bool
	proxies wire.Proxies
}

func (d testDoor) Name() policy.Door         { return d.name }
func (d testDoor) AtHome(netip.Addr) bool    { return d.home }
func (d testDoor) HostAllowed(h string) bool { return h == testHost }

func (d testDoor) Forwards(addr netip.Addr) bool { return d.proxies.Forwards(addr) }

// testPages says which page would be shown.
type testPages struct{}

func (testPages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v, ok := identity.VisitFrom(r.Context())
	ours := "ours"
	if v.Unheard {
		ours = "ours, unheard"
	}
	fmt.Fprintf(w, "%s: %s %v %s", ours, r.URL.Path, ok, v.Addr)
}

func (testPages) Plain(r *http.Request) bool { return r.URL.Path == "/_gatehouse/auth/static/x.css" }

func (testPages) Write(w http.ResponseWriter, r *http.Request, page Page, status int) {
	body := fmt.Sprintf("page %d", page)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, body)
	}
}

// house is a gateway behind one door in front of a small Home Assistant, with a tap
// on the line between the two.
type house struct {
	*Gateway
	t        testing.TB
	home     *hatest.Home
	id       *identity.Identity
	guard    *guard.Guard
	addr     string // of the door
	homeAddr string // of the small Home Assistant
	client   *http.Client

	mu       sync.Mutex
	tapped   []*http.Request // what reached Home Assistant, without bodies
	events   []event.Event
	fails    []guard.Failure
	seen     []string // devices
	haState  Home
	starting bool // Home Assistant is
	accounts map[string]Account
	ahead    time.Duration // of the clock
}

type option func(*setting)

type setting struct {
	door    testDoor
	keys    *keyDoor // in its place
	haURL   string   // instead of the small home
	plain   bool
	overall int // of the guard; 0 is its own
	clients []string
	tap     func(http.ResponseWriter, *http.Request) bool // answers in Home Assistant's place
	closed  func() bool
}

func atHome(s *setting)      { s.door = testDoor{name: policy.LAN, home: true} }
func closedHouse(s *setting) { s.closed = func() bool { return true } }

func newHouse(t testing.TB, options ...option) *house {
	t.Helper()
	set := setting{door: testDoor{name: policy.HTTPS}}
	for _, o := range options {
		o(&set)
	}
	h := &house{t: t, haState: HomeReady}
	log := slog.New(slog.DiscardHandler)
	h.home = hatest.New(hatest.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	behind, err := net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	h.homeAddr = behind.Addr().String()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.tapped = append(h.tapped, r.Clone(context.Background()))
		h.mu.Unlock()
		if set.tap == nil || !set.tap(w, r) {
			h.home.ServeHTTP(w, r)
		}
	}), ReadHeaderTimeout: time.Minute}
	if set.haURL == "" {
		set.haURL = "http://" + behind.Addr().String()
	}
	ha, err := url.Parse(set.haURL)
	h.must(err)
	users, err := client.New(client.Config{URL: ha})
	h.must(err)
	l, err := ledger.Open(t.Context(), "", ledger.NewKey())
	h.must(err)
	now := func() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return time.Now().Add(h.ahead) }
	h.guard = guard.New(guard.Config{Now: now, Overall: set.overall})
	emit := func(e event.Event) { h.mu.Lock(); defer h.mu.Unlock(); h.events = append(h.events, e) }
	h.id, err = identity.New(t.Context(), identity.Config{Ledger: l, RPID: testName, Origins: []string{"https://" + testHost}, Now: now, Event: emit, Log: log,
		Fail: noting{h.guard, h}.Fail, Slow: h.guard.Slow})
	h.must(err)
	h.Gateway, err = New(Config{HA: ha, Users: users, Identity: h.id, Pages: testPages{}, Guard: noting{h.guard, h}, Event: emit, Log: log, PlainWorker: set.plain,
		SignIns: users, Clients: set.clients, Closed: set.closed,
		Running: func(context.Context) bool { h.mu.Lock(); defer h.mu.Unlock(); return !h.starting },
		Account: func(id string) Account { h.mu.Lock(); defer h.mu.Unlock(); return h.accounts[id] },
		Home:    func() Home { h.mu.Lock(); defer h.mu.Unlock(); return h.haState }})
	h.must(err)
	h.Gateway.ended.now, h.Gateway.repeats.now, h.Gateway.logins.now = now, now, now
	front, err := net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	h.addr = front.Addr().String()

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(behind) })
	running.Go(func() { _ = h.home.Run(ctx) })
	running.Go(func() { _ = h.Gateway.Run(ctx) })
	running.Go(func() {
		w := &wire.Server{Handler: h.Handler(set.door)}
		if set.keys != nil {
			w.Handler, w.ConnContext = h.Handler(set.keys), ConnContext(set.keys)
		}
		_ = w.Serve(ctx, front)
	})
	h.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 30 * time.Second}
	t.Cleanup(func() {
		h.client.CloseIdleConnections()
		cancel()
		_ = server.Close()
		running.Wait()
		h.must(l.Close())
	})
	return h
}

// noting is the guard, and takes down what it is told.
type noting struct {
	*guard.Guard
	h *house
}

func (n noting) Fail(f guard.Failure) {
	n.h.mu.Lock()
	n.h.fails = append(n.h.fails, f)
	n.h.mu.Unlock()
	n.Guard.Fail(f)
}

func (n noting) Seen(addr netip.Addr, device string) {
	n.h.mu.Lock()
	n.h.seen = append(n.h.seen, device+" "+addr.String())
	n.h.mu.Unlock()
	n.Guard.Seen(addr, device)
}

// failed returns what the guard was told since the last call.
func (h *house) failed() []guard.Failure {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.fails
	h.fails = nil
	return all
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// pass lets time go by.
func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ahead += d
}

func (h *house) setHome(s Home) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.haState = s
}

// reached returns what reached Home Assistant since the last call, but for the
// questions that the gateway itself asks.
func (h *house) reached() []*http.Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []*http.Request
	for _, r := range h.tapped {
		if r.Header.Get("X-Forwarded-For") != "" {
			all = append(all, r)
		}
	}
	h.tapped = nil
	return all
}

// happened reports whether an event was told.
func (h *house) happened(kind event.Kind) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e.Kind == kind {
			return true
		}
	}
	return false
}

// request is one request of a client's.
type request struct {
	method, path string
	header       map[string]string
	body         string
	host         string
}

// answer is what came back, whole.
type answer struct {
	status int
	header http.Header
	body   string
}

// browser is one device: its cookie and its tokens of Home Assistant.
type browser struct {
	h       *house
	cookie  string
	access  string
	refresh string
	device  string
	client  *http.Client // the house's, if nil
	door    string       // the house's, if empty: its address
}

// from is the same device at another address of this machine, and at a door.
func (b *browser) from(addr, door string) *browser {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
	o := *b
	o.door = door
	o.client = &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext}, CheckRedirect: b.h.client.CheckRedirect, Timeout: b.h.client.Timeout}
	b.h.t.Cleanup(o.client.CloseIdleConnections)
	return &o
}

// way is by what and where the house is asked.
func (b *browser) way() (client *http.Client, door string) {
	client, door = b.client, b.door
	if client == nil {
		client = b.h.client
	}
	if door == "" {
		door = b.h.addr
	}
	return client, door
}

// do sends a request and reads the whole answer.
func (b *browser) do(q request) answer {
	b.h.t.Helper()
	res := b.open(b.h.t.Context(), q)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	b.h.must(err)
	return answer{res.StatusCode, res.Header, string(body)}
}

func (b *browser) open(ctx context.Context, q request) *http.Response {
	b.h.t.Helper()
	if q.method == "" {
		q.method = http.MethodGet
	}
	client, door := b.way()
	r, err := http.NewRequestWithContext(ctx, q.method, "http://"+door, strings.NewReader(q.body))
	b.h.must(err)
	path, query, _ := strings.Cut(q.path, "?")
	r.URL.Opaque, r.URL.RawQuery = path, query
	r.Host = testHost
	if q.host != "" {
		r.Host = q.host
	}
	if b.cookie != "" {
		r.Header.Set("Cookie", "other=1; "+identity.CookieName+"="+b.cookie)
	}
	for name, value := range q.header {
		r.Header.Set(name, value)
	}
	res, err := client.Do(r)
	b.h.must(err)
	return res
}

// get asks with the access token.
func (b *browser) get(path string) answer {
	b.h.t.Helper()
	return b.do(request{path: path, header: map[string]string{"Authorization": "Bearer " + b.access}})
}

// navigate is a person looking at a page.
func (b *browser) navigate(path string) answer {
	b.h.t.Helper()
	return b.do(request{path: path, header: map[string]string{"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}})
}

func (h *house) stranger() *browser { return &browser{h: h} }

// visitNet has the addresses of all who come.
var visitNet = netip.MustParsePrefix("127.0.0.0/8")

// visit is a browser that comes to be enrolled.
func visit() identity.Visit {
	return identity.Visit{Door: policy.HTTPS, Addr: netip.MustParseAddr("127.0.0.1"), Host: testName, Origin: "https://" + testHost, UserAgent: "test"}
}

// owner makes a browser the first owner's.
func (h *house) owner() *browser {
	h.t.Helper()
	b, _ := h.ownerWithCode()
	return b
}

// ownerWithCode is an owner, and the secret of her authenticator app.
func (h *house) ownerWithCode() (b *browser, secret string) {
	h.t.Helper()
	ctx := h.t.Context()
	inv, err := h.id.InviteOwner(ctx)
	h.must(err)
	id, _, secret, err := h.id.BeginTOTP(ctx, visit(), inv.Code, "Olga")
	h.must(err)
	e, err := h.id.EnrolTOTP(ctx, visit(), inv.Code, "Olga", id, h.code(secret))
	h.must(err)
	return h.enrolled(e), secret
}

// code is what an authenticator app shows, by the house's clock.
func (h *house) code(secret string) string {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	code, err := totp.GenerateCode(strings.ReplaceAll(secret, " ", ""), time.Now().Add(h.ahead))
	h.must(err)
	return code
}

// member makes a browser a member's.
func (h *house) member(name string) *browser {
	h.t.Helper()
	ctx := h.t.Context()
	if _, ok := h.id.PersonByName(name); !ok {
		_, err := h.id.AddPerson(ctx, name, policy.RoleMember, "", "")
		h.must(err)
	}
	inv, err := h.id.Invite(ctx, name)
	h.must(err)
	e, err := h.id.EnrolBrowser(ctx, visit(), inv.Code)
	h.must(err)
	return h.enrolled(e)
}

func (h *house) enrolled(e identity.Enrolment) *browser {
	b := &browser{h: h, cookie: e.Cookie}
	b.device = h.id.Recognise(e.Cookie).Who.Device
	return b
}

const clientID = "https://" + testHost + "/"

// logIn walks through Home Assistant's login, and returns the answer to the last step
// that was taken. What it expects is checked by the caller.
func (b *browser) logIn(username, password string) answer {
	b.h.t.Helper()
	code, last := b.code(username, password)
	if code == "" {
		return last
	}
	got := b.token(url.Values{"grant_type": {"authorization_code"}, "client_id": {clientID}, "code": {code}})
	b.keep(got)
	return got
}

// code walks through the login up to the authorization code.
func (b *browser) code(username, password string) (string, answer) {
	b.h.t.Helper()
	var flow struct {
		ID     string `json:"flow_id"`
		Result string `json:"result"`
	}
	got := b.do(request{method: "POST", path: "/auth/login_flow", body: `{"client_id":"` + clientID + `","redirect_uri":"` + clientID + `","handler":["homeassistant",null]}`})
	if got.status != http.StatusOK {
		return "", got
	}
	b.h.must(json.Unmarshal([]byte(got.body), &flow))
	got = b.do(request{method: "POST", path: "/auth/login_flow/" + flow.ID, body: fmt.Sprintf(`{"client_id":%q,"username":%q,"password":%q}`, clientID, username, password)})
	if got.status == http.StatusOK {
		b.h.must(json.Unmarshal([]byte(got.body), &flow))
	}
	return flow.Result, got
}

func (b *browser) token(form url.Values) answer {
	b.h.t.Helper()
	return b.do(request{method: "POST", path: "/auth/token", body: form.Encode(), header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}})
}

// keep remembers tokens, if the answer has some.
func (b *browser) keep(got answer) {
	var tokens struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if json.Unmarshal([]byte(got.body), &tokens) == nil && tokens.Access != "" {
		b.access = tokens.Access
		if tokens.Refresh != "" {
			b.refresh = tokens.Refresh
		}
	}
}

// loggedIn is a browser that is logged in to Home Assistant, too.
func (b *browser) loggedIn(username, password string) *browser {
	b.h.t.Helper()
	if got := b.logIn(username, password); got.status != http.StatusOK || b.access == "" {
		b.h.t.Fatalf("log in as %s: %d %s", username, got.status, got.body)
	}
	b.h.reached()
	return b
}

// socket opens the API's WebSocket.
func (b *browser) socket(header map[string]string) (*websocket.Conn, int) {
	b.h.t.Helper()
	h := http.Header{}
	if b.cookie != "" {
		h.Set("Cookie", identity.CookieName+"="+b.cookie)
	}
	for name, value := range header {
		h.Set(name, value)
	}
	ctx, cancel := context.WithTimeout(b.h.t.Context(), 10*time.Second)
	defer cancel()
	client, door := b.way()
	c, res, err := websocket.Dial(ctx, "ws://"+door+"/api/websocket", &websocket.DialOptions{HTTPClient: client, HTTPHeader: h, Host: testHost})
	if err != nil {
		if res == nil {
			b.h.t.Fatal(err)
		}
		return nil, res.StatusCode
	}
	b.h.t.Cleanup(func() { _ = c.CloseNow() })
	c.SetReadLimit(-1)
	return c, res.StatusCode
}

// ready opens a socket and says the token; the connection is past auth_ok.
func (b *browser) ready() *websocket.Conn {
	b.h.t.Helper()
	c, status := b.socket(nil)
	if c == nil {
		b.h.t.Fatalf("the socket was refused with %d", status)
	}
	b.say(c, `{"type":"auth","access_token":"`+b.access+`"}`)
	b.hears(c, `"auth_required"`)
	b.hears(c, `"auth_ok"`)
	return c
}

func (b *browser) say(c *websocket.Conn, text string) {
	b.h.t.Helper()
	ctx, cancel := context.WithTimeout(b.h.t.Context(), 10*time.Second)
	defer cancel()
	b.h.must(c.Write(ctx, websocket.MessageText, []byte(text)))
}

// hears reads one message that has to hold want.
func (b *browser) hears(c *websocket.Conn, want string) []byte {
	b.h.t.Helper()
	ctx, cancel := context.WithTimeout(b.h.t.Context(), 10*time.Second)
	defer cancel()
	_, got, err := c.Read(ctx)
	b.h.must(err)
	if !bytes.Contains(got, []byte(want)) {
		b.h.t.Fatalf("heard %.300s, want %s", got, want)
	}
	return got
}

// silence waits for the end of a socket, and fails if anything is said before. It
// returns what the other side closed it with, or -1.
func (b *browser) silence(c *websocket.Conn) websocket.StatusCode {
	b.h.t.Helper()
	ctx, cancel := context.WithTimeout(b.h.t.Context(), 10*time.Second)
	defer cancel()
	_, got, err := c.Read(ctx)
	if err == nil {
		b.h.t.Fatalf("heard %.300s", got)
	}
	if ctx.Err() != nil {
		b.h.t.Fatal("the socket did not end")
	}
	return websocket.CloseStatus(err)
}

// wants checks an answer.
func (b *browser) wants(got answer, status int, hold ...string) {
	b.h.t.Helper()
	if got.status != status {
		b.h.t.Errorf("answered %d, want %d: %.300s", got.status, status, got.body)
	}
	for _, s := range hold {
		if !strings.Contains(got.body, s) {
			b.h.t.Errorf("%q is not in %.300s", s, got.body)
		}
	}
}

// sign has Home Assistant sign a path with the browser's token.
func (b *browser) sign(path string) string {
	b.h.t.Helper()
	c := b.ready()
	b.say(c, `{"id":1,"type":"auth/sign_path","path":"`+path+`","expires":600}`)
	var got struct {
		Result struct {
			Path string `json:"path"`
		} `json:"result"`
	}
	b.h.must(json.Unmarshal(b.hears(c, `authSig=`), &got))
	_ = c.Close(websocket.StatusNormalClosure, "")
	b.h.reached()
	return got.Result.Path
}
