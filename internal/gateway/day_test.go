package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/guard"
	"gatehouse/internal/ha"
	"gatehouse/internal/ha/client"
	"gatehouse/internal/ha/hatest"
	"gatehouse/internal/identity"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

// What Home Assistant is doing on a day.
const (
	haRuns     = iota
	haStops    // it takes connections and drops them
	haStarts   // it answers, but knows no webhook yet (ha-protocol 5.4)
	haRoutes   // it answers, but has no route for webhooks yet
	dayStep    = 10 * time.Minute
	dayRefresh = 30 * time.Minute // an access token's life (ha-protocol 2.1)
)

// day is a house with a clock of its own, a ledger on the disk, and visitors who move.
// Its gateway and its Home Assistant can be started anew.
type day struct {
	*house
	lan    bool
	ha     *url.URL
	users  *client.Client
	start  time.Time // when the clock began
	dir    string
	key    ledger.Key
	ledger *ledger.Ledger
	end    func() // of the gateway, and waits

	at    netip.Addr // where visitors are
	doing int        // what Home Assistant does
}

// dayDoor is a door to a home network.
type dayDoor struct{ testDoor }

func (d dayDoor) AtHome(a netip.Addr) bool {
	return d.home && netip.MustParsePrefix("192.168.1.0/24").Contains(a)
}

// now is the day's clock: it stands still but for pass.
func (d *day) now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.start.Add(d.ahead)
}

func newDay(t *testing.T, lan bool) *day {
	t.Helper()
	h := &house{t: t, haState: HomeReady, client: &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}}
	d := &day{house: h, lan: lan, start: time.Now(), dir: t.TempDir(), key: ledger.NewKey(), at: netip.MustParseAddr("192.168.1.23")}
	h.home = hatest.New(hatest.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Now: d.now})
	h.guard = guard.New(guard.Config{Now: d.now})
	behind, err := net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	server := &http.Server{Handler: http.HandlerFunc(d.serveHA), ReadHeaderTimeout: time.Minute}
	d.ha = &url.URL{Scheme: "http", Host: behind.Addr().String()}
	d.users, err = client.New(client.Config{URL: d.ha})
	h.must(err)
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(behind) })
	d.begin()
	t.Cleanup(func() {
		d.end()
		_ = server.Close()
		running.Wait()
	})
	return d
}

// serveHA is Home Assistant on a day.
func (d *day) serveHA(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	d.tapped = append(d.tapped, r.Clone(context.Background()))
	doing := d.doing
	d.mu.Unlock()
	hook := strings.HasPrefix(r.URL.Path, "/api/webhook/")
	switch {
	case doing == haStops:
		panic(http.ErrAbortHandler)
	case doing == haStarts && hook:
		w.Header().Set("Content-Length", "0")
	case doing == haRoutes && hook:
		http.NotFound(w, r)
	default:
		d.home.ServeHTTP(w, r)
	}
}

// begin starts a gateway over what the ledger holds.
func (d *day) begin() {
	d.t.Helper()
	log := slog.New(slog.DiscardHandler)
	var err error
	d.ledger, err = ledger.Open(d.t.Context(), d.dir, d.key)
	d.must(err)
	emit := func(e event.Event) { d.mu.Lock(); defer d.mu.Unlock(); d.events = append(d.events, e) }
	d.id, err = identity.New(d.t.Context(), identity.Config{Ledger: d.ledger, RPID: testName, Origins: []string{"https://" + testHost}, Now: d.now, Event: emit, Log: log})
	d.must(err)
	d.Gateway, err = New(Config{HA: d.ha, Users: d.users, SignIns: d.users, Identity: d.id, Pages: testPages{}, Guard: d.guard, Event: emit, Log: log,
		Running: func(context.Context) bool { d.mu.Lock(); defer d.mu.Unlock(); return d.doing == haRuns },
		Account: func(string) Account { return Account{Known: true, Active: true} },
		Home:    func() Home { d.mu.Lock(); defer d.mu.Unlock(); return d.haState }})
	d.must(err)
	d.Gateway.ended.now, d.Gateway.hooks.now = d.now, d.now
	front, err := net.Listen("tcp", "127.0.0.1:0")
	d.must(err)
	d.addr = front.Addr().String()
	door := dayDoor{testDoor{name: policy.HTTPS}}
	if d.lan {
		door.name, door.home = policy.LAN, true
	}

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	handler := d.Handler(door) // of this gateway
	gw, id := d.Gateway, d.id
	running.Go(func() { _ = id.Run(ctx) })
	running.Go(func() { _ = gw.Run(ctx) })
	running.Go(func() { _ = (&wire.Server{Handler: handler}).Serve(ctx, farListener{front, d}) })
	d.end = func() {
		d.client.CloseIdleConnections()
		cancel()
		running.Wait()
		d.must(d.ledger.Close())
	}
}

// restart ends the gateway and starts another.
func (d *day) restart() {
	d.t.Helper()
	d.end()
	d.begin()
}

// move takes all visitors elsewhere; from there they connect anew.
func (d *day) move(addr string) {
	d.mu.Lock()
	d.at = netip.MustParseAddr(addr)
	d.mu.Unlock()
	d.client.CloseIdleConnections()
}

func (d *day) does(what int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.doing = what
}

// farListener's connections come from where the day's visitors are.
type farListener struct {
	net.Listener
	d *day
}

func (l farListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	return farConn{c, net.TCPAddrFromAddrPort(netip.AddrPortFrom(l.d.at, 40000))}, nil
}

type farConn struct {
	net.Conn
	from net.Addr
}

func (c farConn) RemoteAddr() net.Addr { return c.from }

// took checks that Home Assistant was asked n times for visitors, each time by the
// address where they are, and for nothing else than paths below prefix.
func (d *day) took(n int, prefix string) {
	d.t.Helper()
	all := d.reached()
	if len(all) != n {
		d.t.Errorf("%d requests reached Home Assistant, want %d", len(all), n)
	}
	for _, r := range all {
		if n == 0 {
			d.t.Errorf("it was asked %s %s by %s", r.Method, r.URL.Path, r.Header.Get("X-Forwarded-For"))
		}
		if got := r.Header.Get("X-Forwarded-For"); got != d.at.String() || !strings.HasPrefix(r.URL.Path, prefix) {
			d.t.Errorf("Home Assistant was asked for %s by %s", r.URL.Path, got)
		}
	}
}

// battery tells a sensor's state, and makes sure that Home Assistant has it.
func (p *phone) battery(d *day, level int) {
	p.h.t.Helper()
	got := p.call("update_sensor_states", fmt.Sprintf(`[{"type":"sensor","unique_id":"battery_level","state":%d}]`, level))
	says := `"success":true`
	if p.secret != "" {
		says = `"encrypted_data"`
	}
	p.wants(got, http.StatusOK, says)
	d.took(1, "/api/webhook/"+p.webhook)
	if is := d.home.State("sensor.anna_s_phone_battery_level"); is != fmt.Sprint(level) {
		d.t.Errorf("Home Assistant has %q, was told %d", is, level)
	}
}

// renews gets another access token, and makes sure that it is one.
func (p *phone) renews(d *day) {
	p.h.t.Helper()
	old := p.access
	p.wants(p.refreshToken(), http.StatusOK, `"access_token"`)
	if p.access == old {
		d.t.Error("the token is the old one")
	}
	d.took(1, "/auth/token")
}

// waits checks that an app is put off without harm: Android forgets its sign-in on 400
// and iOS on 400 to 403, and both register anew on 404, 410 and an empty 200
// (ha-protocol 2.3, 5.4).
func (p *phone) waits(token bool) {
	p.h.t.Helper()
	for _, kind := range []string{"update_registration", "update_location"} {
		p.wants(p.call(kind, `{}`), http.StatusServiceUnavailable)
	}
	if token {
		p.wants(p.refreshToken(), http.StatusServiceUnavailable)
	}
}

// shutOut checks what a revoked app is told: its webhook is not gone but forbidden, and
// its sign-in is over, because it is in Home Assistant, too.
func (p *phone) shutOut(d *day) {
	p.h.t.Helper()
	d.reached()
	for _, kind := range []string{"update_registration", "update_sensor_states", "call_service"} {
		if got := p.call(kind, `{}`); got.status != http.StatusForbidden || got.body != "" {
			d.t.Errorf("webhook %s: %d %.200s", kind, got.status, got.body)
		}
	}
	p.wants(p.refreshToken(), http.StatusBadRequest, `"invalid_grant"`)
	p.wants(p.api("GET", "/api/config", ""), http.StatusUnauthorized)
	d.took(0, "")
}

// restartHA walks through a restart of Home Assistant that its owner asked for.
func (p *phone) restartHA(d *day, owner *browser) {
	d.t.Helper()
	owner.loggedIn("demo", "demo")
	owner.wants(owner.do(request{method: "POST", path: "/api/services/homeassistant/restart", body: "{}", header: map[string]string{"Authorization": "Bearer " + owner.access}}), http.StatusOK)
	d.does(haStops)
	p.waits(true)
	for _, how := range []int{haStarts, haRoutes} {
		d.does(how)
		p.waits(false)
	}
	d.reached()
	p.renews(d) // sign-ins are served before webhooks are
	d.does(haRuns)
	d.pass(time.Minute)
}

// An app that nobody looks at lives through a day and a night: sensors by its webhook,
// a token every half hour, from one network after another, over restarts of Home
// Assistant and of the gateway and of both; and when it is revoked, that holds as long.
func TestBackgroundDay(t *testing.T) {
	for _, lan := range []bool{false, true} {
		for _, app := range []string{ha.ClientAndroid, ha.ClientIOS} {
			name := string(policy.HTTPS)
			if lan {
				name = string(policy.LAN)
			}
			t.Run(name+" "+app[strings.LastIndexByte(app, '/')+1:], func(t *testing.T) {
				t.Parallel()
				backgroundDay(t, newDay(t, lan), app)
			})
		}
	}
}

func backgroundDay(t *testing.T, d *day, app string) {
	owner := d.owner()
	p := d.settled("Anna", app, "anna")
	p.wants(p.call("register_sensor", `{"name":"Battery Level","type":"sensor","unique_id":"battery_level","state":100}`), http.StatusCreated)
	d.reached()
	d.mu.Lock()
	d.events = nil
	d.mu.Unlock()

	places := map[time.Duration]string{
		90 * time.Minute: "203.0.113.77", // leaves by mobile network
		3 * time.Hour:    "2001:db8:7::1",
		5 * time.Hour:    "198.51.100.9", // somebody else's Wi-Fi
		9 * time.Hour:    "203.0.113.78",
		11 * time.Hour:   "192.168.1.23", // home
		15 * time.Hour:   "192.168.1.99", // another lease
		20 * time.Hour:   "203.0.113.79",
	}
	webhooks, tokens := 0, 0
	for at := dayStep; at <= 24*time.Hour; at += dayStep {
		d.pass(dayStep)
		if addr, ok := places[at]; ok {
			d.move(addr)
		}
		switch at {
		case 8 * time.Hour:
			p.restartHA(d, owner)
		case 12 * time.Hour:
			d.restart()
		case 16 * time.Hour: // a power cut: both start, the gateway first
			d.does(haStops)
			d.setHome(HomeUnknown)
			d.restart()
			p.waits(true)
			d.does(haStarts)
			d.setHome(HomeReady)
			p.waits(false)
			d.does(haRuns)
			d.reached()
		}
		if at%dayRefresh == 0 {
			p.renews(d)
			tokens++
		}
		p.battery(d, int(at/dayStep))
		webhooks++
	}
	if webhooks != 144 || tokens != 48 {
		t.Errorf("%d webhooks and %d tokens on a day", webhooks, tokens)
	}
	p.wants(p.api("GET", "/api/config", ""), http.StatusOK)
	d.took(1, "/api/config")
	d.calm(p)

	// Revoked, it stays outside: at once, elsewhere, over restarts, and the day after.
	d.must(d.id.RevokeDevice(t.Context(), p.device))
	p.shutOut(d)
	d.restart()
	p.shutOut(d)
	d.move("192.168.1.23")
	p.shutOut(d)
	d.does(haStops)
	d.restart()
	p.wants(p.call("update_registration", `{}`), http.StatusForbidden)
	p.wants(p.refreshToken(), http.StatusServiceUnavailable) // cannot be taken back in Home Assistant now
	d.does(haRuns)
	p.shutOut(d)
	d.pass(24 * time.Hour)
	d.restart()
	p.wants(p.call("update_registration", `{}`), http.StatusForbidden) // at home
	p.wants(p.refreshToken(), http.StatusBadRequest, `"invalid_grant"`)
	d.move("203.0.113.80")
	p.shutOut(d)
	if is := d.home.State("sensor.anna_s_phone_battery_level"); is != "144" {
		t.Errorf("a revoked app's sensor says %s", is)
	}
}

// calm checks that the day has left no more behind than one device that was seen, and
// that nothing of it looked like an attack.
func (d *day) calm(p *phone) {
	d.t.Helper()
	d.mu.Lock()
	for _, e := range d.events {
		if e.Person != "Olga" {
			d.t.Errorf("told: %+v", e)
		}
	}
	at := d.at
	d.mu.Unlock()
	var apps []identity.Device
	for _, known := range d.id.Devices() {
		if known.PersonName == "Anna" {
			apps = append(apps, known)
		}
	}
	if len(apps) != 1 || apps[0].ID != p.device || apps[0].LastAddr != at.String() || d.now().Sub(apps[0].LastSeen) > dayStep {
		d.t.Errorf("known of Anna are %+v", apps)
	}
	if d.id.Recognise(p.view.cookie).Standing != identity.StandingLive {
		d.t.Error("its web view has to sign in again")
	}
	if !d.guard.Listens(at) || !d.guard.Listens(netip.MustParseAddr("203.0.113.77")) {
		d.t.Error("the phone's address is not listened to")
	}
}
