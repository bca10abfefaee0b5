package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/config"
	"gatehouse/internal/ha/client"
	"gatehouse/internal/ha/hatest"
	"gatehouse/internal/ledger"
)

// setupHome is a small Home Assistant and a machine that setup runs on.
type setupHome struct {
	*hatest.Home
	url   string
	dir   string // for what setup writes
	host  fs.FS
	input string // what is typed where nobody sits
}

func newSetupHome(t *testing.T, o hatest.Options) *setupHome {
	t.Helper()
	h := hatest.New(o)
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return &setupHome{Home: h, url: server.URL, dir: t.TempDir(), host: fstest.MapFS{}}
}

// settled waits until a restarted home has let go of all its sockets, which it does a
// moment after it said so.
func (h *setupHome) settled(t *testing.T) {
	t.Helper()
	owner := h.owner(t)
	for quiet := time.Now(); time.Since(quiet) < 50*time.Millisecond; {
		switch _, err := owner.HTTPConfig(t.Context()); {
		case errors.Is(err, client.ErrUnreachable):
			quiet = time.Now()
		case err != nil:
			t.Fatal(err)
		}
	}
}

func trusting() hatest.Options {
	return hatest.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
}

func (h *setupHome) path(name string) string { return filepath.Join(h.dir, name) }

// run runs setup with these flags beside those that every run has.
func (h *setupHome) run(t *testing.T, args ...string) (status int, out, said string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{in: strings.NewReader(h.input), out: &stdout, err: &stderr, getenv: func(string) string { return "" }}
	root := a.command()
	for _, c := range root.Commands() {
		if c.Name() == "setup" {
			root.RemoveCommand(c)
		}
	}
	root.AddCommand(a.setupOn(h.host))
	root.SetArgs(append([]string{"setup", "--config", h.path("etc/gatehouse.toml"), "--state-dir", h.path("state")}, args...))
	if err := root.ExecuteContext(t.Context()); err != nil {
		status = a.fail(err)
	}
	return status, stdout.String(), stderr.String()
}

// keptToken reads what the ledger holds.
func (h *setupHome) keptToken(t *testing.T) (string, bool) {
	t.Helper()
	st, err := openState(t.Context(), h.path("state"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()
	token, ok, err := loadHAToken(t.Context(), st.ledger)
	if err != nil {
		t.Fatal(err)
	}
	return token, ok
}

// owner is a client with the rights of the demonstration's owner, and the number of
// sign-ins that the owner has in all.
func (h *setupHome) owner(t *testing.T) *client.Client {
	t.Helper()
	s := &setup{}
	if err := s.at(t.Context(), h.url); err != nil {
		t.Fatal(err)
	}
	tokens, err := s.ha.Login(t.Context(), "demo", "demo", nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.ha.WithToken(tokens.Access)
}

func (h *setupHome) accounts(t *testing.T) []client.Account {
	t.Helper()
	list, err := h.owner(t).Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func ours(list []client.Account) int {
	n := 0
	for _, a := range list {
		if isOurs(a) {
			n++
		}
	}
	return n
}

func TestSetup(t *testing.T) {
	h := newSetupHome(t, hatest.Options{})
	h.input = "demo\n"
	status, out, said := h.run(t, "--ha-url", h.url, "--ha-user", "demo", "--name", "Home.Home.Arpa", "--https-listen", ":8444", "--lan-listen", ":8445", "--yes", "--json")
	if status != statusDone {
		t.Fatalf("status %d: %s", status, said)
	}
	var got setupResult
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if got.SchemaVersion != schemaVersion || got.Token != tokenMade || got.TrustedProxy != proxySet || got.Proxy != "127.0.0.1" || got.Home.URL != h.url || got.Home.Version != hatest.Latest {
		t.Errorf("the result is %+v", got)
	}
	if want := []string{h.path("state"), h.path("etc/gatehouse.toml")}; !slices.Equal(got.Written, want) {
		t.Errorf("wrote %v, want %v", got.Written, want)
	}
	for name, mode := range map[string]fs.FileMode{"etc/gatehouse.toml": 0o600, "state": fs.ModeDir | 0o700} {
		if info, err := os.Stat(h.path(name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v; want %v", name, info.Mode(), err, mode)
		}
	}
	c, err := config.Load(h.path("etc/gatehouse.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Home.HAURL != h.url || c.Home.Name != "home.home.arpa" || c.Doors.HTTPS.Listen != ":8444" || c.Doors.LAN.Listen != ":8445" ||
		c.State.Dir != h.path("state") || c.State.Socket != h.path("state/control.sock") || !reflect.DeepEqual(c.Guard, config.Default().Guard) {
		t.Errorf("the configuration is %+v", c)
	}
	token, ok := h.keptToken(t)
	user, err := h.owner(t).CurrentUser(t.Context(), token)
	if !ok || err != nil || user.Name != gatehouseUser || !user.Admin || user.Owner {
		t.Errorf("the token kept: %v, %+v, %v", ok, user, err)
	}
	if n := ours(h.accounts(t)); n != 1 {
		t.Errorf("%d users are ours", n)
	}
	if strings.Contains(out+said, token) {
		t.Error("the token was shown")
	}
	// The order: shown, then done.
	if shown, done := strings.Index(said, "Setup is going to"), strings.Index(said, "whose token is kept"); shown < 0 || done < shown {
		t.Errorf("not shown first: %s", said)
	}
	// Home Assistant trusts us, for good.
	s := &setup{}
	if err := s.at(t.Context(), h.url); err != nil {
		t.Fatal(err)
	}
	if trusts, err := s.ha.TrustsProxy(t.Context()); !trusts || err != nil {
		t.Errorf("trusts: %v, %v", trusts, err)
	}
	if now, err := s.ha.WithToken(token).HTTPConfig(t.Context()); err != nil || now.Active != "stable" || now.Pending != nil || !now.Stable.Trusts(netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("the settings are %+v, %v", now, err)
	}

	// A second run changes nothing and asks for no password.
	h.input = ""
	before, err := os.ReadFile(h.path("etc/gatehouse.toml"))
	if err != nil {
		t.Fatal(err)
	}
	status, out, said = h.run(t, "--ha-url", h.url, "--force", "--yes", "--json")
	if status != statusDone {
		t.Fatalf("the second run: status %d: %s", status, said)
	}
	got = setupResult{}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if got.Token != tokenKept || got.TrustedProxy != proxyWas || len(got.Written) != 0 {
		t.Errorf("the second result is %+v", got)
	}
	after, err := os.ReadFile(h.path("etc/gatehouse.toml"))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the second run changed the file: %v", err)
	}
	if again, _ := h.keptToken(t); again != token {
		t.Error("the second run made another token")
	}
}

// The sign-in that setup makes is ended again, and so is the one of the new user.
func TestSetupLeavesNoSignIn(t *testing.T) {
	h := newSetupHome(t, trusting())
	h.input = "demo"
	owner := h.owner(t)
	before := signIns(t, owner)
	if status, _, said := h.run(t, "--ha-url", h.url, "--ha-user", "demo", "--yes"); status != statusDone {
		t.Fatalf("status %d: %s", status, said)
	}
	if after := signIns(t, owner); after != before {
		t.Errorf("the owner has %d sign-ins, had %d", after, before)
	}
	// The user that was made has its token, and no sign-in beside it.
	s := &setup{}
	if err := s.at(t.Context(), h.url); err != nil {
		t.Fatal(err)
	}
	token, _ := h.keptToken(t)
	if n := signIns(t, s.ha.WithToken(token)); n != 1 {
		t.Errorf("the user %s has %d tokens", gatehouseUser, n)
	}
}

// signIns is how many refresh tokens the user of a client has.
func signIns(t *testing.T, c *client.Client) int {
	t.Helper()
	list, err := c.SignIns(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// A new token replaces the user of an earlier one, and leaves people's own users alone.
func TestSetupReplacesItsUser(t *testing.T) {
	h := newSetupHome(t, trusting())
	h.input = "demo"
	owner := h.owner(t)
	if _, err := owner.CreateUser(t.Context(), gatehouseUser, []string{client.GroupUsers}, false); err != nil {
		t.Fatal(err)
	}
	if status, _, said := h.run(t, "--ha-url", h.url, "--ha-user", "demo", "--yes"); status != statusDone {
		t.Fatalf("status %d: %s", status, said)
	}
	first, _ := h.keptToken(t)
	if err := os.RemoveAll(h.path("state")); err != nil {
		t.Fatal(err)
	}
	status, _, said := h.run(t, "--ha-url", h.url, "--ha-user", "demo", "--yes", "--force")
	if status != statusDone || !strings.Contains(said, `remove the user "Gatehouse" of an earlier setup`) {
		t.Fatalf("status %d: %s", status, said)
	}
	if _, err := owner.CurrentUser(t.Context(), first); !errors.Is(err, client.ErrInvalidAuth) {
		t.Errorf("the first token: %v", err)
	}
	list := h.accounts(t)
	named := 0
	for _, a := range list {
		if a.Name == gatehouseUser {
			named++
		}
	}
	if ours(list) != 1 || named != 2 {
		t.Errorf("%d users are ours, %d are called so", ours(list), named)
	}
}

func TestSetupSecondFactor(t *testing.T) {
	const secret = "JBSWY3DPEHPK3PXP"
	users := []hatest.User{{Name: "Demo", Username: "demo", Password: "demo", Owner: true, TOTPSecret: secret}}
	o := trusting()
	o.Users = users
	h := newSetupHome(t, o)
	h.input = "demo\n"
	status, _, said := h.run(t, "--ha-url", h.url, "--ha-user", "demo", "--yes")
	if status != statusUsage || !strings.Contains(said, "second factor") {
		t.Errorf("without a code: status %d: %s", status, said)
	}
	h.input = "demo\n000000\n"
	status, _, said = h.run(t, "--ha-url", h.url, "--ha-user", "demo", "--yes")
	if status != statusNo || !strings.Contains(said, "code of the second factor is not accepted") {
		t.Errorf("with a wrong code: status %d: %s", status, said)
	}
	if exists(h.path("etc")) || exists(h.path("state")) {
		t.Error("something was written")
	}
}

// A Home Assistant that is found on this machine and listens elsewhere is another one.
func TestSetupOfAnother(t *testing.T) {
	h := newSetupHome(t, trusting())
	h.host = fstest.MapFS{"config/.HA_VERSION": &fstest.MapFile{Data: []byte("2026.11.0")},
		"config/configuration.yaml": &fstest.MapFile{Data: []byte("http: {server_port: 8123}\n")}, "config/.storage/onboarding": &fstest.MapFile{Data: []byte("{}")}}
	status, out, said := h.run(t, "--ha-url", h.url, "--no-token", "--yes", "--json")
	if status != statusDone && status != statusPartly {
		t.Fatalf("status %d: %s", status, said)
	}
	if strings.Contains(out, `"/config"`) || !strings.Contains(said+out, "another Home Assistant") {
		t.Errorf("taken for the one that answers: %s%s", out, said)
	}
}

// Setup says how many addresses of Home Assistant's own list can be taken over.
func TestSetupSaysWhatHomeAssistantHasBanned(t *testing.T) {
	h := newSetupHome(t, trusting())
	at, err := url.Parse(h.url)
	if err != nil {
		t.Fatal(err)
	}
	h.host = fstest.MapFS{"config/.HA_VERSION": &fstest.MapFile{Data: []byte("2026.11.0")}, "config/.storage/onboarding": &fstest.MapFile{Data: []byte("{}")},
		"config/configuration.yaml": &fstest.MapFile{Data: []byte("http: {server_port: " + at.Port() + "}\n")},
		"config/ip_bans.yaml":       &fstest.MapFile{Data: []byte("203.0.113.7: {}\n127.0.0.1: {}\n203.0.113.8: {}\n")}}
	status, out, said := h.run(t, "--ha-url", h.url, "--no-token", "--yes", "--json")
	if status != statusDone && status != statusPartly || !strings.Contains(out, "has banned 2 addresses for good") {
		t.Errorf("status %d: %s%s", status, out, said)
	}
}

// Without a token nothing is changed in Home Assistant.
func TestSetupNoToken(t *testing.T) {
	for _, o := range []hatest.Options{trusting(), {}, {Version: "2026.2.3"}} {
		h := newSetupHome(t, o)
		status, out, said := h.run(t, "--ha-url", h.url, "--no-token", "--yes", "--json")
		want, proxy, hint := statusPartly, proxyMissing, "add 127.0.0.1/32 to the trusted proxies"
		switch {
		case len(o.TrustedProxies) > 0:
			want, proxy, hint = statusDone, proxyWas, ""
		case o.Version != "":
			hint = `trusted_proxies: ["127.0.0.1"]`
		}
		var got setupResult
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if status != want || got.Token != tokenNone || got.TrustedProxy != proxy || !strings.Contains(strings.Join(got.Remarks, "\n"), hint) {
			t.Errorf("%s: status %d, %+v: %s", o.Version, status, got, said)
		}
		if n := ours(h.accounts(t)); n != 0 {
			t.Errorf("%d users are ours", n)
		}
		if _, ok := h.keptToken(t); ok {
			t.Error("a token is kept")
		}
	}
}

// Releases before 2026.8 are told what to write, and keep their token all the same.
func TestSetupBefore20268(t *testing.T) {
	h := newSetupHome(t, hatest.Options{Version: "2026.2.3"})
	h.input = "demo"
	status, out, said := h.run(t, "--ha-url", h.url, "--ha-user", "demo", "--yes")
	if status != statusPartly || !strings.Contains(out, "  use_x_forwarded_for: true\n") || strings.Contains(said, "trusted_proxies [") {
		t.Errorf("status %d: %s%s", status, out, said)
	}
	if _, ok := h.keptToken(t); !ok {
		t.Error("no token is kept")
	}
}

func TestSetupRefuses(t *testing.T) {
	down := httptest.NewServer(nil)
	down.Close()
	other := httptest.NewServer(nil)
	defer other.Close()
	homes := func(dirs ...string) fs.FS {
		machine := fstest.MapFS{}
		for _, dir := range dirs {
			machine[dir+"/.HA_VERSION"] = &fstest.MapFile{Data: []byte("2026.11.0")}
			machine[dir+"/.storage/http"] = &fstest.MapFile{Data: []byte("{")}
		}
		return machine
	}
	for _, c := range []struct {
		name    string
		options hatest.Options
		host    fs.FS
		input   string
		args    []string // HA stands for the home's address
		status  int
		says    string
	}{
		{name: "bad password", input: "wrong", args: []string{"--ha-url", "HA", "--ha-user", "demo", "--yes"}, status: statusNo, says: "demo with this password is not accepted"},
		{name: "empty password", input: "\n", args: []string{"--ha-url", "HA", "--ha-user", "demo", "--yes"}, status: statusUsage, says: "no password"},
		{name: "no password file", args: []string{"--ha-url", "HA", "--ha-user", "demo", "--ha-password-file", "/gone/password", "--yes"}, status: statusUsage, says: "/gone/password"},
		{name: "no user", args: []string{"--ha-url", "HA", "--yes"}, status: statusUsage, says: "--ha-user"},
		{name: "no administrator", input: "anna", args: []string{"--ha-url", "HA", "--ha-user", "anna", "--yes"}, status: statusNo, says: "not an administrator"},
		{name: "nobody agrees", input: "demo", args: []string{"--ha-url", "HA", "--ha-user", "demo"}, status: statusUsage, says: "--yes"},
		{name: "down", args: []string{"--ha-url", down.URL, "--no-token", "--yes"}, status: statusCannot, says: "start Home Assistant"},
		{name: "something else", args: []string{"--ha-url", other.URL, "--no-token", "--yes"}, status: statusCannot, says: "where Home Assistant itself answers"},
		{name: "bad address", args: []string{"--ha-url", "127.0.0.1:8123", "--no-token", "--yes"}, status: statusUsage, says: "not an address"},
		{name: "address with a path", args: []string{"--ha-url", "http://127.0.0.1:8123/lovelace", "--no-token", "--yes"}, status: statusUsage, says: "not an address"},
		{name: "not onboarded", options: hatest.Options{NotOnboarded: true}, args: []string{"--ha-url", "HA", "--no-token", "--yes"}, status: statusNo, says: "whoever opens it first becomes its owner"},
		{name: "bad name", args: []string{"--ha-url", "HA", "--no-token", "--name", "https://x", "--yes"}, status: statusUsage, says: "not a host name"},
		{name: "bad port", args: []string{"--ha-url", "HA", "--no-token", "--lan-listen", "8443", "--yes"}, status: statusUsage, says: "not an address with a port"},
		{name: "no door", args: []string{"--ha-url", "HA", "--no-token", "--lan-listen", "none", "--yes"}, status: statusUsage, says: "no door is open"},
		{name: "no such certificate", args: []string{"--ha-url", "HA", "--no-token", "--name", "a.example.org", "--certificate", "/gone.pem", "--key", "/gone.key", "--yes"}, status: statusUsage, says: "/gone.pem"},
		{name: "certificate without key", args: []string{"--ha-url", "HA", "--no-token", "--name", "a.example.org", "--certificate", "/gone.pem", "--yes"}, status: statusUsage, says: "certificates.key is missing"},
		{name: "no such directory", args: []string{"--ha-dir", "/gone", "--ha-url", "HA", "--no-token", "--yes"}, status: statusUsage, says: "/gone is not Home Assistant's configuration directory"},
		{name: "closed directory", host: shutFS{}, args: []string{"--ha-dir", "/config", "--ha-url", "HA", "--no-token", "--yes"}, status: statusCannot, says: "run this as root"},
		{name: "two homes", host: homes("config", "homeassistant"), args: []string{"--no-token", "--yes"}, status: statusUsage, says: "--ha-dir"},
		{name: "words too many", args: []string{"HA"}, status: statusUsage, says: "wants no words"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newSetupHome(t, c.options)
			if h.input = c.input; c.host != nil {
				h.host = c.host
			}
			args := slices.Clone(c.args)
			for i, a := range args {
				if a == "HA" {
					args[i] = h.url
				}
			}
			status, _, said := h.run(t, args...)
			if status != c.status || !strings.Contains(said, c.says) {
				t.Errorf("status %d, want %d with %q: %s", status, c.status, c.says, said)
			}
			if exists(h.path("etc")) || exists(h.path("state")) {
				t.Error("something was written")
			}
			if c.input != "" && c.input != "\n" && c.input != "demo" && c.input != "anna" && strings.Contains(said, c.input) {
				t.Error("the password was shown")
			}
			if !c.options.NotOnboarded {
				if n := ours(h.accounts(t)); n != 0 {
					t.Errorf("%d users were made", n)
				}
			}
		})
	}
}

// shutFS is a machine that nobody may look into.
type shutFS struct{}

func (shutFS) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

// Whoever may not look everywhere is told where.
func TestSetupCannotLook(t *testing.T) {
	h := newSetupHome(t, hatest.Options{})
	h.host = shutFS{}
	if _, _, said := h.run(t, "--no-token", "--yes"); !strings.Contains(said, "cannot look into") {
		t.Errorf("does not say where it could not look: %s", said)
	}
}

// spoiled puts something between setup and its home that spoils some answers.
func (h *setupHome) spoiled(t *testing.T, spoil func(w http.ResponseWriter, r *http.Request) bool) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !spoil(w, r) {
			h.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// Settings that do not do what they are for are taken back, and said so.
func TestSetupTakesSettingsBack(t *testing.T) {
	h := newSetupHome(t, hatest.Options{})
	h.input = "demo"
	url := h.spoiled(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("X-Forwarded-For") == "" {
			return false
		}
		w.WriteHeader(http.StatusBadRequest)
		return true
	})
	status, _, said := h.run(t, "--ha-url", url, "--ha-user", "demo", "--yes")
	if status != statusUndone || !strings.Contains(said, "are taken back") {
		t.Fatalf("status %d: %s", status, said)
	}
	// What is taken back restarts the home: it lets go of its sockets for a moment.
	now, err := h.owner(t).HTTPConfig(t.Context())
	for errors.Is(err, client.ErrUnreachable) && t.Context().Err() == nil {
		now, err = h.owner(t).HTTPConfig(t.Context())
	}
	if err != nil || now.Active != "stable" || now.Pending != nil || now.Stable.Trusts(netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("the settings are %+v, %v", now, err)
	}
	// All else is done: the next run has its token.
	if _, ok := h.keptToken(t); !ok || !exists(h.path("etc/gatehouse.toml")) {
		t.Error("the token or the configuration is missing")
	}
}

// Settings that a run has left on trial are confirmed by the next one, rather than
// taken for good ones because they work for now.
func TestSetupConfirmsATrial(t *testing.T) {
	h := newSetupHome(t, hatest.Options{})
	h.input = "demo"
	owner := h.owner(t)
	loopback := netip.MustParseAddr("127.0.0.1")
	now, err := owner.HTTPConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o, err := now.Stable.WithProxy(loopback)
	if err != nil {
		t.Fatal(err)
	}
	if restart, err := owner.Configure(t.Context(), o); !restart || err != nil {
		t.Fatal(restart, err)
	}
	for now.Active != "pending" && t.Context().Err() == nil {
		if now, err = owner.HTTPConfig(t.Context()); err != nil && !errors.Is(err, client.ErrUnreachable) {
			t.Fatal(err)
		}
	}
	h.settled(t)
	status, _, said := h.run(t, "--ha-url", h.url, "--ha-user", "demo", "--yes")
	if status != statusDone || !strings.Contains(said, "on trial") {
		t.Fatalf("status %d: %s", status, said)
	}
	if now, err = owner.HTTPConfig(t.Context()); err != nil || now.Active != "stable" || !now.Stable.Trusts(loopback) {
		t.Errorf("the settings are %+v, %v", now, err)
	}
}

// A user whose token cannot be made does not stay.
func TestSetupRemovesHalfAUser(t *testing.T) {
	h := newSetupHome(t, trusting())
	h.input = "demo"
	owner := h.owner(t)
	before := signIns(t, owner)
	logins := 0
	url := h.spoiled(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || r.URL.Path != "/auth/token" {
			return false
		}
		if logins++; logins < 2 { // the administrator's; the second is the new user's
			return false
		}
		w.WriteHeader(http.StatusInternalServerError)
		return true
	})
	status, _, said := h.run(t, "--ha-url", url, "--ha-user", "demo", "--yes")
	if status != statusCannot || !strings.Contains(said, "sign in as Gatehouse") {
		t.Fatalf("status %d: %s", status, said)
	}
	for _, a := range h.accounts(t) {
		if a.Name == gatehouseUser {
			t.Errorf("there is %+v", a)
		}
	}
	if _, ok := h.keptToken(t); ok || exists(h.path("etc")) {
		t.Error("a token is kept, or a configuration was written")
	}
	// owner signed in once more above, for the accounts.
	if after := signIns(t, owner); after != before+1 {
		t.Errorf("the owner has %d sign-ins, had %d", after, before)
	}
}

// The home is found by its files, and so is the address that it answers at.
func TestSetupFinds(t *testing.T) {
	h := newSetupHome(t, trusting())
	_, port, _ := strings.Cut(strings.TrimPrefix(h.url, "http://"), ":")
	stored := `{"version":3,"minor_version":1,"key":"http","data":{"pending":null,"yaml_migration_done":true,"stable":{"server_port":` + port + `,"server_host":["127.0.0.1"]}}}`
	h.host = fstest.MapFS{
		"srv/homeassistant/.HA_VERSION":   {Data: []byte(hatest.Latest)},
		"srv/homeassistant/.storage/http": {Data: []byte(stored)},
	}
	for _, args := range [][]string{{}, {"--ha-dir", "/srv/homeassistant", "--force"}} {
		status, out, said := h.run(t, append(args, "--no-token", "--yes", "--json")...)
		var got setupResult
		if err := json.Unmarshal([]byte(out), &got); err != nil || status != statusDone {
			t.Fatalf("status %d, %v: %s", status, err, said)
		}
		if got.Home.Dir != "/srv/homeassistant" || got.Home.URL != h.url || got.Home.Kind != "core" {
			t.Errorf("found %+v", got.Home)
		}
	}
}

// A file that is there is written over only if somebody says so; what it says and
// nobody asked about stays.
func TestSetupExistingFile(t *testing.T) {
	h := newSetupHome(t, trusting())
	name := h.path("etc/gatehouse.toml")
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	const old = "[home]\nname = \"old.home.arpa\"\n[doors.https]\nlisten = \":4443\"\n[guard]\nthreshold = 9\n"
	if err := os.WriteFile(name, []byte(old), 0o644); err != nil {
		t.Fatal(err)
	}
	status, _, said := h.run(t, "--ha-url", h.url, "--no-token", "--yes")
	if text, _ := os.ReadFile(name); status != statusUsage || !strings.Contains(said, "--force") || string(text) != old || exists(h.path("state")) {
		t.Fatalf("status %d: %s", status, said)
	}
	if status, _, said := h.run(t, "--ha-url", h.url, "--no-token", "--yes", "--force"); status != statusDone {
		t.Fatalf("status %d: %s", status, said)
	}
	c, err := config.Load(name)
	if err != nil || c.Home.Name != "old.home.arpa" || c.Doors.HTTPS.Listen != ":4443" || c.Doors.LAN != nil || c.Guard.Threshold != 9 || c.Home.HAURL != h.url {
		t.Errorf("%+v, %v", c, err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// One that cannot be read as a configuration gives nothing, and is said so.
	if err := os.WriteFile(name, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, _, said = h.run(t, "--ha-url", h.url, "--no-token", "--yes", "--force")
	if status != statusDone || !strings.Contains(said, "has mistakes") {
		t.Errorf("status %d: %s", status, said)
	}
}

// While a server runs on the state directory nothing is changed.
func TestSetupWhileServing(t *testing.T) {
	h := newSetupHome(t, trusting())
	h.input = "demo"
	st, err := openState(t.Context(), h.path("state"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()
	status, _, said := h.run(t, "--ha-url", h.url, "--ha-user", "demo", "--yes")
	if status != statusCannot || !strings.Contains(said, "stop it first") || exists(h.path("etc")) {
		t.Errorf("status %d: %s", status, said)
	}
	if n := ours(h.accounts(t)); n != 0 {
		t.Errorf("%d users were made", n)
	}
}

func TestHAToken(t *testing.T) {
	key := ledger.NewKey()
	l, err := ledger.Open(t.Context(), "", key)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if token, ok, err := loadHAToken(t.Context(), l); token != "" || ok || err != nil {
		t.Errorf("of an empty ledger: %q, %v, %v", token, ok, err)
	}
	for _, want := range []string{"first", "second"} {
		if err := saveHAToken(t.Context(), l, want); err != nil {
			t.Fatal(err)
		}
		if token, ok, err := loadHAToken(t.Context(), l); token != want || !ok || err != nil {
			t.Errorf("%q, %v, %v; want %q", token, ok, err, want)
		}
	}
}

// Somebody types the answers: the address, the name, the password, the consent.
func TestSetupInTerminal(t *testing.T) {
	h := newSetupHome(t, hatest.Options{})
	terminal, keys := openTerminal(t)
	var stdout bytes.Buffer
	a := &app{in: terminal, out: &stdout, err: terminal, getenv: func(string) string { return "" }}
	root := a.command()
	for _, c := range root.Commands() {
		if c.Name() == "setup" {
			root.RemoveCommand(c)
		}
	}
	root.AddCommand(a.setupOn(h.host))
	root.SetArgs([]string{"setup", "--config", h.path("etc/gatehouse.toml"), "--state-dir", h.path("state"), "--ha-url", h.url})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	seen := make(chan string, 1)
	go func() {
		seen <- answer(keys, func() { awaitNoEcho(terminal) }, [][2]string{
			{"of its own? [y/N]: ", "y"},
			{"Host name: ", "https://wrong"},
			{"without a port", ""},
			{"Host name: ", "ha.home.arpa"},
			{"administrator of Home Assistant: ", "demo"},
			{"Password of demo: ", "typo"},
			{"Password of demo: ", "demo"},
			{"Go on? [y/N]: ", "y"},
		})
	}()
	err := root.ExecuteContext(ctx)
	terminal.Close()
	screen := <-seen
	if err != nil {
		t.Fatalf("%v: %s", err, screen)
	}
	c, err := config.Load(h.path("etc/gatehouse.toml"))
	if err != nil || c.Home.Name != "ha.home.arpa" || c.Doors.HTTPS == nil || c.Doors.LAN == nil {
		t.Errorf("%+v, %v", c, err)
	}
	if strings.Contains(screen, "typo") {
		t.Errorf("the password was shown while it was typed: %s", screen)
	}
	if said := stdout.String(); !strings.Contains(said, "gatehouse invite --owner") || !strings.Contains(said, "gatehouse ca fingerprint") {
		t.Errorf("does not say what is next: %s", stdout.String())
	}
}

// answer types each answer once its question is on the screen, and returns all that
// was shown. A password is typed once hidden has returned.
func answer(keys io.ReadWriter, hidden func(), questions [][2]string) string {
	var screen strings.Builder
	at := 0 // what was answered already
	b := make([]byte, 1024)
	for {
		n, err := keys.Read(b)
		screen.Write(b[:n])
		for len(questions) > 0 {
			i := strings.Index(screen.String()[at:], questions[0][0])
			if i < 0 {
				break
			}
			at += i + len(questions[0][0])
			if strings.HasPrefix(questions[0][0], "Password") {
				hidden()
			}
			if a := questions[0][1]; a != "" {
				_, _ = io.WriteString(keys, a+"\n")
			}
			questions = questions[1:]
		}
		if err != nil {
			return screen.String()
		}
	}
}
