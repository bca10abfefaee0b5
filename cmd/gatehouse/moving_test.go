package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/event"
	"gatehouse/internal/ha/client"
	"gatehouse/internal/ha/hatest"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
)

// movingHome is a small Home Assistant that listens where its settings say, and
// nowhere for a moment when it restarts.
type movingHome struct {
	*hatest.Home
	t      *testing.T
	serves map[string]bool // addresses where it never comes up
	falls  bool            // from there it falls back on where it listened first, once
	first  string          // where it listened first

	mu   sync.Mutex
	at   string
	stop func()
}

func newMovingHome(t *testing.T) *movingHome {
	t.Helper()
	h := &movingHome{t: t, Home: hatest.New(hatest.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}), serves: map[string]bool{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.first = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = h.Run(ctx) })
	h.listen(l)
	h.settle()
	running.Go(func() { h.follow(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		h.mu.Lock()
		defer h.mu.Unlock()
		h.stop()
	})
	return h
}

// settle has the settings say where it listens, as they do in a real home.
func (h *movingHome) settle() {
	h.t.Helper()
	api := h.api(h.first)
	now, err := api.HTTPConfig(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	at := netip.MustParseAddrPort(h.first)
	options, err := now.Stable.WithListener([]string{at.Addr().String()}, int(at.Port()))
	if err == nil {
		_, err = api.Configure(h.t.Context(), options)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	for quiet := time.Now(); time.Since(quiet) < 200*time.Millisecond; { // it lets go of its sockets a moment later
		if _, err := api.Me(h.t.Context()); err != nil {
			quiet = time.Now()
		}
	}
	if err := api.Promote(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// api is its API, as its owner.
func (h *movingHome) api(at string) *client.Client {
	h.t.Helper()
	c, err := client.New(client.Config{URL: &url.URL{Scheme: "http", Host: at}})
	if err != nil {
		h.t.Fatal(err)
	}
	tokens, err := c.Login(h.t.Context(), "demo", "demo", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return c.WithToken(tokens.Access)
}

func (h *movingHome) listen(l net.Listener) {
	server := &http.Server{Handler: h.Home, ReadHeaderTimeout: time.Minute}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(l) }()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at, h.stop = l.Addr().String(), func() { _ = server.Close(); <-ended }
}

// follow has it listen where its settings say.
func (h *movingHome) follow(ctx context.Context) {
	for ctx.Err() == nil {
		hosts, port := h.Listening()
		want := net.JoinHostPort(append(hosts, "127.0.0.1")[0], strconv.Itoa(port))
		h.mu.Lock()
		at, never := h.at, h.serves[want]
		h.mu.Unlock()
		if want != at {
			h.mu.Lock()
			h.stop()
			h.at, h.stop = "", func() {}
			h.mu.Unlock()
			if h.falls && never {
				time.Sleep(500 * time.Millisecond) // it takes longer to start
				never, want = false, h.first
			}
			if !never {
				if l, err := net.Listen("tcp", want); err == nil {
					h.listen(l)
				}
			}
			h.mu.Lock()
			fell := h.falls && want == h.first
			h.falls = h.falls && !fell
			h.mu.Unlock()
			if fell {
				return
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (h *movingHome) where() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

// gate is a gateway in front of it, on a ledger that outlives it.
type gate struct {
	t      *testing.T
	home   *movingHome
	ledger *ledger.Ledger
	cfg    *config.Config
	*server
	end func()
}

func newGate(t *testing.T, h *movingHome) *gate {
	t.Helper()
	l, err := ledger.Open(t.Context(), "", ledger.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	token, err := h.api(h.first).LongLivedToken(t.Context(), "Gatehouse", 30)
	if err == nil {
		err = saveHAToken(t.Context(), l, token)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Home.HAURL = "http://" + h.first
	c.Doors.LAN = &config.LAN{Listen: "127.0.0.1:0", Names: []string{"house.test"}}
	c.State.Socket = filepath.Join(t.TempDir(), "control.sock")
	g := &gate{t: t, home: h, ledger: l, cfg: c}
	g.start()
	if _, err := g.identity.AddPerson(t.Context(), "Olga", policy.RoleOwner, "", ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.end() })
	return g
}

func (g *gate) start() {
	g.t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := newServer(g.t.Context(), g.cfg, parts{ledger: g.ledger, events: event.NewLog(log, nil), log: log})
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.run(ctx) }()
	g.server, g.end = s, func() { cancel(); <-ended; s.close() }
}

// await waits until the house stands as it shall.
func (g *gate) await(what string, ok func(stance) bool) stance {
	g.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		s := g.mover.stance()
		if ok(s) {
			return s
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("not %s: %+v, Home Assistant at %q, done: %q", what, s, g.home.where(), g.house.document().Did)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (g *gate) still() stance {
	g.t.Helper()
	return g.await("still", func(s stance) bool { return s.Step == stepNone })
}

func (g *gate) onTrial() stance {
	g.t.Helper()
	s := g.await("on trial", func(s stance) bool { return s.Step == stepTrial || s.Problem != "" })
	if s.Problem != "" {
		g.t.Fatalf("taken back: %s; done: %q", s.Problem, g.house.document().Did)
	}
	return s
}

// answers says who answers where Home Assistant was: the gateway, Home Assistant or nobody.
func (g *gate) answers() string {
	g.t.Helper()
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Get("http://" + g.home.first + "/manifest.json")
	if err != nil {
		return "nobody"
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusUnauthorized {
		return "the gateway"
	}
	return "Home Assistant"
}

func (g *gate) is(want string) {
	g.t.Helper()
	if got := g.answers(); got != want {
		g.t.Errorf("%s answers, want %s (%+v)", got, want, g.mover.stance())
	}
}

func (g *gate) begin(next mode) {
	g.t.Helper()
	if _, err := beginClose(g.t.Context(), g.house, closeWish{Next: string(next)}); err != nil {
		g.t.Fatal(err)
	}
}

// The house is closed, kept, opened and given back; Home Assistant is where it shall be.
func TestCloseTheHouse(t *testing.T) {
	h := newMovingHome(t)
	g := newGate(t, h)
	g.is("Home Assistant")
	doc, err := previewClose(t.Context(), g.house, closeWish{Next: "closed"})
	if err != nil || doc.How != howAPI || doc.Takes != h.first || doc.Known != 0 {
		t.Fatalf("%+v, %v", doc, err)
	}
	g.begin(modeClosed)
	s := g.onTrial()
	if s.Problem != "" || !s.closed() || h.where() != s.Home.String() {
		t.Fatalf("%+v, at %s", s, h.where())
	}
	g.is("the gateway")
	if _, err := confirmHouse(t.Context(), g.house, none{}); err != nil {
		t.Fatal(err)
	}
	if now := g.still(); !now.closed() || now.Mode != modeClosed {
		t.Errorf("%+v", now)
	}
	if kept, err := h.api(s.Home.String()).HTTPConfig(t.Context()); err != nil || kept.Active != "stable" || kept.Stable.Port() != int(s.Home.Port()) {
		t.Errorf("%+v, %v", kept, err)
	}
	if _, err := confirmHouse(t.Context(), g.house, none{}); err == nil {
		t.Error("confirmed twice")
	}
	if _, err := previewClose(t.Context(), g.house, closeWish{Next: "closed"}); err == nil {
		t.Error("closed twice")
	}

	g.end()
	g.start()
	if s := g.still(); !s.closed() {
		t.Errorf("open after a restart: %+v", s)
	}
	g.is("the gateway")

	if _, err := openToHome(t.Context(), g.house, none{}); err != nil {
		t.Fatal(err)
	}
	if s := g.still(); s.closed() || !s.moved() {
		t.Errorf("%+v", s)
	}
	// Closed again Home Assistant need not restart, and a trial is all the same.
	g.mover.trial = 50 * time.Millisecond
	g.begin(modeClosed)
	if s := g.still(); s.closed() || !s.moved() || s.Problem == "" {
		t.Errorf("a trial that nobody confirmed: %+v", s)
	}
	if _, err := offHouse(t.Context(), g.house, none{}); err != nil {
		t.Fatal(err)
	}
	if s := g.still(); s.Mode != modeOff || s.moved() {
		t.Errorf("%+v", s)
	}
	g.is("Home Assistant")
	if kept, err := h.api(h.first).HTTPConfig(t.Context()); err != nil || kept.Active != "stable" || kept.Pending != nil {
		t.Errorf("%+v, %v", kept, err)
	}
}

// A trial that nobody confirms is taken back, and so is one that somebody opens.
func TestTrialIsTakenBack(t *testing.T) {
	for _, how := range []string{"time", "open", "restart"} {
		t.Run(how, func(t *testing.T) {
			h := newMovingHome(t)
			g := newGate(t, h)
			if how != "open" {
				g.mover.trial = 200 * time.Millisecond
			}
			g.begin(modeClosed)
			g.onTrial()
			switch how {
			case "open":
				if _, err := openToHome(t.Context(), g.house, none{}); err != nil {
					t.Fatal(err)
				}
			case "restart": // the machine is off until it is over
				g.end()
				time.Sleep(200 * time.Millisecond)
				g.start()
			}
			if s := g.still(); s.Mode != modeOpen || s.moved() || s.Problem == "" {
				t.Errorf("%+v", s)
			}
			g.is("Home Assistant")
			if now, err := h.api(h.first).HTTPConfig(t.Context()); err != nil || now.Active != "stable" || now.Pending != nil {
				t.Errorf("%+v, %v", now, err)
			}
		})
	}
}

// Wherever the gateway ends in the middle, Home Assistant is reached again.
func TestKilledInTheMiddle(t *testing.T) {
	for after := range 5 {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			g := newGate(t, newMovingHome(t))
			g.begin(modeClosed)
			g.await("that far", func(s stance) bool { return len(g.house.document().Did) >= after || s.Step == stepTrial })
			g.end()
			g.start()
			s := g.await("settled", func(s stance) bool { return s.Step == stepNone || s.Step == stepTrial })
			if s.Step == stepTrial {
				g.is("the gateway")
				if _, err := openToHome(t.Context(), g.house, none{}); err != nil {
					t.Fatal(err)
				}
				s = g.still()
			}
			if s.closed() || s.moved() {
				t.Errorf("%+v", s)
			}
			g.is("Home Assistant")
		})
	}
}

// What does not work is taken back at once.
func TestMoveThatFails(t *testing.T) {
	h := newMovingHome(t)
	g := newGate(t, h)
	g.mover.restart = 2 * time.Second
	plan, err := previewClose(t.Context(), g.house, closeWish{Next: "closed"})
	if err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	h.serves[strings.TrimPrefix(plan.HomeAssistant, "http://")] = true
	h.mu.Unlock()
	g.begin(modeClosed)
	s := g.await("being taken back", func(s stance) bool { return s.Step == stepBack })
	if s.Problem == "" || s.closed() {
		t.Errorf("%+v", s)
	}
	// Home Assistant itself takes the trial back after five minutes; here it is helped.
	h.mu.Lock()
	clear(h.serves)
	h.mu.Unlock()
	if s := g.still(); s.moved() || s.Problem == "" {
		t.Errorf("%+v", s)
	}
	g.is("Home Assistant")
}

// A home that was moved in configuration.yaml and is upgraded since takes that for a trial.
// It is kept.
func TestUpgradedBehindUs(t *testing.T) {
	h := newMovingHome(t)
	g := newGate(t, h)
	g.begin(modeClosed)
	s := g.onTrial()
	if err := g.mover.change(t.Context(), func(s *stance) error {
		s.Mode, s.Next, s.Step, s.YAML = modeClosed, "", stepNone, true // confirmed, and not by the API
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	g.await("taken for upgraded", func(s stance) bool { return !s.YAML })
	now, err := h.api(s.Home.String()).HTTPConfig(t.Context())
	if err != nil || now.Active != "stable" || now.Stable.Port() != int(s.Home.Port()) {
		t.Errorf("%+v, %v", now, err)
	}
	if _, err := offHouse(t.Context(), g.house, none{}); err != nil {
		t.Fatal(err)
	}
	g.still()
	g.is("Home Assistant")
}

// Without a server the verb gives Home Assistant its listener back itself.
func TestOffWithoutServer(t *testing.T) {
	h := newMovingHome(t)
	g := newGate(t, h)
	g.begin(modeClosed)
	g.onTrial()
	if _, err := confirmHouse(t.Context(), g.house, none{}); err != nil {
		t.Fatal(err)
	}
	g.end()
	g.end = func() {}
	m, err := newMover(t.Context(), g.cfg, g.ledger, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	alone := &house{cfg: g.cfg, ledger: g.ledger, mover: m}
	if doc, err := offHouse(t.Context(), alone, none{}); err != nil || !doc.Answers || doc.Step != string(stepBack) {
		t.Fatalf("%+v, %v", doc, err)
	}
	if doc, err := bringBack(t.Context(), alone, none{}); err != nil || doc.Step != "" || doc.Mode != string(modeOff) {
		t.Fatalf("%+v, %v", doc, err)
	}
	g.is("Home Assistant")
}

// What cannot be closed says why, and nothing is changed.
func TestCloseRefuses(t *testing.T) {
	h := newMovingHome(t)
	g := newGate(t, h)
	for what, c := range map[string]struct {
		spoil func(*house)
		says  string
	}{
		"no server":         {func(x *house) { x.server = nil }, "no server is running"},
		"no door":           {func(x *house) { x.cfg.Doors.LAN = nil }, "no door lan"},
		"another machine":   {func(x *house) { x.cfg.Home.HAURL = "http://192.0.2.9:8123" }, "another machine"},
		"TLS of its own":    {func(x *house) { x.cfg.Home.HAURL = "https://127.0.0.1:8123" }, "TLS itself"},
		"away":              {func(x *house) { x.cfg.Home.HAURL = "http://127.0.0.1:1"; x.mover.cfg = x.cfg }, "no answer"},
		"without its token": {func(x *house) { _ = x.ledger.DropSecret(t.Context(), tokenSecret) }, "no token"},
	} {
		t.Run(what, func(t *testing.T) {
			spoilt, cfg := *g.house, *g.cfg
			move := mover{cfg: &cfg, ledger: g.ledger, log: g.mover.log, trial: trialTime, around: g.mover.around}
			now := g.mover.stance()
			move.now.Store(&now)
			spoilt.cfg, spoilt.mover = &cfg, &move
			c.spoil(&spoilt)
			_, err := previewClose(t.Context(), &spoilt, closeWish{Next: "closed"})
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
	if s := g.mover.stance(); s.Step != stepNone || s.Mode != modeOpen {
		t.Errorf("%+v", s)
	}
	if _, err := beginClose(t.Context(), g.house, closeWish{Next: "shut"}); err == nil {
		t.Error("a mode that is none")
	}
}

// The stance is read as it was written, and a ledger without one is an open house.
func TestStanceIsKept(t *testing.T) {
	l, err := ledger.Open(t.Context(), "", ledger.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if s, err := loadStance(t.Context(), l); err != nil || s.Mode != modeOpen || s.moved() || s.closed() {
		t.Errorf("%+v, %v", s, err)
	}
	want := stance{Mode: modeOpen, Step: stepTrial, Next: modeClosed, Home: netip.MustParseAddrPort("127.0.0.1:18123"), Was: listening{Hosts: []string{"::"}, Port: 8123},
		InternalURL: true, Given: "http://192.168.1.10:8123", Deadline: time.Now().UTC().Truncate(time.Second), Problem: "x"}
	if err := saveStance(t.Context(), l, want); err != nil {
		t.Fatal(err)
	}
	got, err := loadStance(t.Context(), l)
	if err != nil || !slices.Equal(got.Was.Hosts, want.Was.Hosts) || got.Home != want.Home || !got.Deadline.Equal(want.Deadline) || !got.closed() || got.Was.plain() != ":8123" {
		t.Errorf("%+v, %v", got, err)
	}
}

// A file of Home Assistant's is put in place at once, as it was but for its text, and
// nothing leads out of its folder.
func TestReplaceInStaysInside(t *testing.T) {
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(elsewhere, "http:\n", 0o600)
	write(filepath.Join(dir, "configuration.yaml"), "# mine\nhttp:\n  server_port: 8123\n", 0o640)
	l := stance{Home: netip.MustParseAddrPort("127.0.0.1:18123")}.listener()
	undo, err := editYAML(dir, l)
	if err != nil {
		t.Fatal(err)
	}
	read := func() string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, "configuration.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	info, err := os.Stat(filepath.Join(dir, "configuration.yaml"))
	if err != nil || info.Mode().Perm() != 0o640 || !strings.Contains(read(), "18123") || !strings.HasPrefix(read(), "# mine\n") {
		t.Errorf("%v %v:\n%s", info.Mode(), err, read())
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := undo(); err != nil || read() != "# mine\nhttp:\n  server_port: 8123\n" {
		t.Errorf("%v:\n%s", err, read())
	}
	write(filepath.Join(dir, "configuration.yaml"), "http:\n  server_port: 9000\n", 0o640)
	if err := undo(); err == nil {
		t.Error("what somebody else wrote meanwhile is written over")
	}

	if err := os.Remove(filepath.Join(dir, "configuration.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(dir, "configuration.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, err := editYAML(dir, l); err == nil {
		t.Error("a link that leads elsewhere is followed")
	}
	if text, err := os.ReadFile(elsewhere); err != nil || string(text) != "http:\n" {
		t.Errorf("written elsewhere: %q, %v", text, err)
	}
	if _, err := editYAML("", l); err == nil {
		t.Error("edited without a folder")
	}
}

// Two who close at once do not begin twice, and who has changed configuration.yaml for what
// is over by then is told so.
func TestCloseAtOnce(t *testing.T) {
	h := newMovingHome(t)
	g := newGate(t, h)
	var begun atomic.Int32
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if _, err := beginClose(t.Context(), g.house, closeWish{Next: string(modeClosed)}); err == nil {
				begun.Add(1)
			}
		})
	}
	all.Wait()
	if n := begun.Load(); n != 1 {
		t.Errorf("begun %d times", n)
	}
	g.onTrial()
	for _, s := range []step{stepEditing, stepRestore, stepTrial, ""} {
		if _, err := editedHome(t.Context(), g.house, edited{s}); err == nil {
			t.Errorf("goes on from a trial as if configuration.yaml were changed for %q", s)
		}
	}
	if _, err := unedited(t.Context(), g.house, named{"x"}); err == nil {
		t.Error("a trial is forgotten")
	}
}

// Where Home Assistant was is known whatever the configuration says by now.
func TestBackWithAnotherConfiguration(t *testing.T) {
	h := newMovingHome(t)
	g := newGate(t, h)
	g.begin(modeClosed)
	s := g.onTrial()
	if _, err := confirmHouse(t.Context(), g.house, none{}); err != nil {
		t.Fatal(err)
	}
	g.end()
	g.cfg.Home.HAURL = "http://" + s.Home.String() // as setup finds it
	g.start()
	g.is("the gateway")
	if _, err := offHouse(t.Context(), g.house, none{}); err != nil {
		t.Fatal(err)
	}
	if s := g.still(); s.moved() {
		t.Errorf("%+v", s)
	}
	g.is("Home Assistant")
}

// The owner takes the trial back in Home Assistant's own pages, and it finds its port free.
func TestTrialIsTakenBackThere(t *testing.T) {
	h := newMovingHome(t)
	g := newGate(t, h)
	g.begin(modeClosed)
	s := g.onTrial()
	time.Sleep(100 * time.Millisecond) // it is seen behind us
	if _, err := h.api(s.Home.String()).Configure(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if s := g.still(); s.moved() || s.Mode != modeOpen || s.Problem == "" {
		t.Errorf("%+v", s)
	}
	g.is("Home Assistant")
}

// Whoever takes Home Assistant's port while it is away is not shown the token.
func TestNobodyElseSeesTheToken(t *testing.T) {
	if users := portUsers(1); len(users) != 0 {
		t.Errorf("%q listens on port 1", users)
	}
	h := newMovingHome(t)
	g := newGate(t, h)
	own := strconv.Itoa(os.Getuid())
	if users := portUsers(portOf(h.first)); !slices.Equal(users, []string{own}) {
		t.Errorf("%q listen, want %s", users, own)
	}
	g.begin(modeClosed)
	g.onTrial()
	if _, err := confirmHouse(t.Context(), g.house, none{}); err != nil {
		t.Fatal(err)
	}
	g.end() // the verb does it
	g.end = func() {}
	m, err := newMover(t.Context(), g.cfg, g.ledger, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	m.around.users = func(port int) []string {
		if port == portOf(h.first) {
			return []string{"4711"}
		}
		return portUsers(port)
	}
	alone := &house{cfg: g.cfg, ledger: g.ledger, mover: m}
	if _, err := offHouse(t.Context(), alone, none{}); err != nil {
		t.Fatal(err)
	}
	if _, err := bringBack(t.Context(), alone, none{}); err == nil || !strings.Contains(err.Error(), "user 4711 listens") {
		t.Errorf("%v", err)
	}
	m.around.users = portUsers
	if doc, err := bringBack(t.Context(), alone, none{}); err != nil || doc.Mode != string(modeOff) {
		t.Errorf("%+v, %v", doc, err)
	}
	g.is("Home Assistant")
}

// The port of a Home Assistant that cannot listen behind us stays free: it falls back on that in
// the same start (ha-protocol 4.1), and does not try twice.
func TestFallsBackOnItsPort(t *testing.T) {
	h := newMovingHome(t)
	g := newGate(t, h)
	g.mover.restart = 3 * time.Second
	plan, err := previewClose(t.Context(), g.house, closeWish{Next: "closed"})
	if err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	h.serves[strings.TrimPrefix(plan.HomeAssistant, "http://")], h.falls = true, true
	h.mu.Unlock()
	g.begin(modeClosed)
	tried := func() bool { h.mu.Lock(); defer h.mu.Unlock(); return !h.falls }
	for begun := time.Now(); !tried() || h.where() != h.first; time.Sleep(time.Millisecond) {
		if time.Since(begun) > 2*time.Second {
			t.Fatalf("it listens at %q", h.where())
		}
	}
}

// What the owner says while Home Assistant is being moved counts: the move does not end in a
// trial all the same.
func TestSaidWhileMoving(t *testing.T) {
	for what, say := range map[mode]func(context.Context, *house, none) (houseDocument, error){modeOpen: openToHome, modeOff: offHouse} {
		t.Run(string(what), func(t *testing.T) {
			g := newGate(t, newMovingHome(t))
			reached, goOn := make(chan struct{}), make(chan struct{})
			g.mover.around.reaches = func(context.Context) error { close(reached); <-goOn; return nil }
			g.begin(modeClosed)
			<-reached
			if _, err := say(t.Context(), g.house, none{}); err != nil {
				t.Fatal(err)
			}
			close(goOn)
			s := g.await("over", func(s stance) bool { return s.Step == stepNone || s.Step == stepTrial })
			if s.Step != stepNone || s.moved() || s.Mode != what {
				t.Errorf("%+v", s)
			}
			g.is("Home Assistant")
		})
	}
}

// A trial is taken back where that cannot be written down: a disk may be full.
func TestTakenBackOnFullDisk(t *testing.T) {
	g := newGate(t, newMovingHome(t))
	g.mover.trial = 300 * time.Millisecond
	g.begin(modeClosed)
	g.onTrial()
	full := func(sql string) {
		t.Helper()
		if err := g.ledger.Update(t.Context(), func(tx *ledger.Tx) error { _, err := tx.Exec(sql); return err }); err != nil {
			t.Fatal(err)
		}
	}
	full(`CREATE TRIGGER full BEFORE INSERT ON secrets BEGIN SELECT RAISE(ABORT, 'disk is full'); END`)
	g.await("taken back", func(s stance) bool { return s.Step == stepBack && !s.closed() })
	for begun := time.Now(); g.answers() != "Home Assistant"; time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			t.Fatal("Home Assistant has not its port back")
		}
	}
	full(`DROP TRIGGER full`)
	if s := g.still(); s.moved() || s.Mode != modeOpen {
		t.Errorf("%+v", s)
	}
}

// A gateway that begins keeps Home Assistant's port free where that may come up on it.
func TestBeginsInTheMiddle(t *testing.T) {
	l, err := ledger.Open(t.Context(), "", ledger.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := config.Default()
	c.Home.HAURL = "http://127.0.0.1:1"
	c.Doors.LAN = &config.LAN{Listen: "127.0.0.1:0", Names: []string{"house.test"}}
	c.State.Socket = filepath.Join(t.TempDir(), "control.sock")
	log := slog.New(slog.DiscardHandler)
	at := netip.MustParseAddrPort("127.0.0.1:18123")
	for what, c2 := range map[string]struct {
		s    stance
		step step
		open bool
	}{
		"closed":       {stance{Mode: modeClosed, Home: at}, stepNone, true},
		"trial":        {stance{Mode: modeOpen, Next: modeClosed, Step: stepTrial, Home: at, Deadline: time.Now().Add(time.Hour)}, stepTrial, true},
		"trial, over":  {stance{Mode: modeOpen, Next: modeClosed, Step: stepTrial, Home: at, Deadline: time.Now().Add(-time.Second)}, stepBack, false},
		"moving":       {stance{Mode: modeOpen, Next: modeClosed, Step: stepMoving, Home: at}, stepBack, false},
		"being edited": {stance{Mode: modeOpen, Next: modeClosed, Step: stepEditing, YAML: true, Home: at, Deadline: time.Now().Add(time.Hour)}, stepEditing, false},
		"restored":     {stance{Mode: modeOpen, Next: modeOpen, Step: stepRestore, YAML: true, Home: at}, stepRestore, false},
	} {
		c2.s.Was = listening{Hosts: []string{"127.0.0.1"}}
		if err := saveStance(t.Context(), l, c2.s); err != nil {
			t.Fatal(err)
		}
		s, err := newServer(t.Context(), c, parts{ledger: l, events: event.NewLog(log, nil), log: log})
		if err != nil {
			t.Fatal(err)
		}
		if now := s.mover.stance().Step; now != c2.step || (s.plain.listener != nil) != c2.open {
			t.Errorf("%s: %q, the port is taken: %v", what, now, s.plain.listener != nil)
		}
		s.close()
	}
}

// The door without TLS is no wider than Home Assistant's was.
func TestPlainWhereHomeAssistantWas(t *testing.T) {
	for want, hosts := range map[string][][]string{
		":8123":            {nil, {"0.0.0.0"}, {"::"}, {"0.0.0.0", "::"}, {"127.0.0.1", "192.168.1.5"}},
		"127.0.0.1:8123":   {{"127.0.0.1"}, {"127.0.0.1", "::1"}, {"localhost", "::1"}},
		"192.168.1.5:8123": {{"192.168.1.5"}},
		"[fd00::5]:8123":   {{"fd00::5"}},
	} {
		for _, h := range hosts {
			if got := (listening{Hosts: h, Port: 8123}).plain(); got != want {
				t.Errorf("%q: %s, want %s", h, got, want)
			}
		}
	}
}
