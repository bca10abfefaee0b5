package client_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/ha/client"
)

// The tests named TestLive ask the Home Assistant that GATEHOUSE_LIVE_HA names, with
// GATEHOUSE_LIVE_VERSION, _USERNAME, _PASSWORD and _TOKEN of its owner. Where it names
// none, what real ones have answered to the same questions is played back: one file a
// test in testdata/flows, a directory for each release. -update, with a Home Assistant
// named, writes them anew.
var update = flag.Bool("update", false, "record what Home Assistant answers")

// home is a Home Assistant, its owner signed in.
type home struct {
	*client.Client
	version, username, password, token string
}

// each runs a test on the Home Assistant that is named, otherwise on all recordings.
func each(t *testing.T, test func(*testing.T, home)) {
	t.Helper()
	address := os.Getenv("GATEHOUSE_LIVE_HA")
	if address == "" {
		files, err := filepath.Glob(filepath.Join("testdata", "flows", "*", t.Name()+".json"))
		if err != nil || len(files) < 2 {
			t.Fatalf("%d recordings, %v: name a Home Assistant and run with -update", len(files), err)
		}
		for _, file := range files {
			t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
				f := readFlow(t, file)
				server := httptest.NewServer(f.play(t))
				t.Cleanup(server.Close)
				test(t, home{at(t, server.URL).WithToken(f.Token), f.Version, f.Username, f.Password, f.Token})
			})
		}
		return
	}
	h := home{
		version:  os.Getenv("GATEHOUSE_LIVE_VERSION"),
		username: os.Getenv("GATEHOUSE_LIVE_USERNAME"),
		password: os.Getenv("GATEHOUSE_LIVE_PASSWORD"),
		token:    os.Getenv("GATEHOUSE_LIVE_TOKEN"),
	}
	if *update {
		f := &flow{Version: h.version, Username: h.username, Password: h.password, Token: h.token}
		name := filepath.Join("testdata", "flows", h.version, t.Name()+".json")
		t.Cleanup(func() { f.write(t, name) })
		server := httptest.NewServer(f.record(t, address))
		t.Cleanup(server.Close)
		address = server.URL
	}
	h.Client = at(t, address).WithToken(h.token)
	test(t, h)
}

func at(t *testing.T, address string) *client.Client {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Config{URL: u})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// since reports whether the home's release is of that month or later.
func (h home) since(t *testing.T, year, month int) bool {
	t.Helper()
	parts := strings.Split(h.version, ".")
	if len(parts) < 2 {
		t.Fatalf("no release: %q", h.version)
	}
	y, err1 := strconv.Atoi(parts[0])
	m, err2 := strconv.Atoi(parts[1])
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return y > year || y == year && m >= month
}

// user makes a user of that name with a password; it is removed after the test.
func (h home) user(t *testing.T, name string, groups ...string) (id, username, password string) {
	t.Helper()
	id, err := h.CreateUser(t.Context(), name, groups, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.DeleteUser(context.WithoutCancel(t.Context()), id); err != nil {
			t.Errorf("remove the user: %v", err)
		}
	})
	username, password = "live-"+strings.ToLower(rand.Text()), rand.Text()
	if err := h.SetPassword(t.Context(), id, username, password); err != nil {
		t.Fatal(err)
	}
	return id, username, password
}

func TestLiveVersion(t *testing.T) { each(t, liveVersion) }

func liveVersion(t *testing.T, h home) {
	version, err := h.Version(t.Context())
	if err != nil || version != h.version {
		t.Errorf("version %q, %v; want %q", version, err, h.version)
	}
}

func TestLiveOnboarded(t *testing.T) { each(t, liveOnboarded) }

func liveOnboarded(t *testing.T, h home) {
	if done, err := h.Onboarded(t.Context()); !done || err != nil {
		t.Errorf("onboarded: %v, %v", done, err)
	}
}

func TestLiveProxy(t *testing.T) { each(t, liveProxy) }

func liveProxy(t *testing.T, h home) {
	if trusts, err := h.TrustsProxy(t.Context()); !trusts || err != nil {
		t.Errorf("trusts a proxy on loopback: %v, %v", trusts, err)
	}
	if addr, err := h.LocalAddr(t.Context()); err != nil || !addr.IsLoopback() {
		t.Errorf("our own address: %v, %v", addr, err)
	}
}

func TestLiveLogin(t *testing.T) { each(t, liveLogin) }

func liveLogin(t *testing.T, h home) {
	tokens, err := h.Login(t.Context(), h.username, h.password, nil)
	if err != nil {
		t.Fatal(err)
	}
	if tokens.Expires != 30*time.Minute {
		t.Errorf("the access token is good for %v", tokens.Expires)
	}
	user, err := h.CurrentUser(t.Context(), tokens.Access)
	if err != nil || !user.Owner || !user.Admin || user.ID == "" || user.Name == "" {
		t.Errorf("the owner is %+v, %v", user, err)
	}
	if me, err := h.Me(t.Context()); me != user || err != nil {
		t.Errorf("I am %+v, %v; the sign-in is %+v", me, err, user)
	}
	if addr, err := h.WithToken(tokens.Access).SeenAs(t.Context()); err != nil || !addr.IsLoopback() {
		t.Errorf("seen as %v, %v", addr, err)
	}
	// Its end ends the access token as well, at once.
	if err := h.Revoke(t.Context(), tokens.Refresh); err != nil {
		t.Fatal(err)
	}
	if _, err := h.CurrentUser(t.Context(), tokens.Access); !errors.Is(err, client.ErrInvalidAuth) {
		t.Errorf("after the end of the sign-in: %v", err)
	}
	if err := h.Revoke(t.Context(), "no such token"); err != nil {
		t.Errorf("ending what never was: %v", err)
	}
}

func TestLiveWrongLogin(t *testing.T) { each(t, liveWrongLogin) }

func liveWrongLogin(t *testing.T, h home) {
	for _, wrong := range [][2]string{{h.username, h.password + "x"}, {"nobody", h.password}, {h.username, ""}} {
		_, err := h.Login(t.Context(), wrong[0], wrong[1], nil)
		if !errors.Is(err, client.ErrInvalidAuth) {
			t.Errorf("%q with a wrong password: %v", wrong[0], err)
		}
		if wrong[1] != "" && strings.Contains(fmt.Sprint(err), wrong[1]) {
			t.Errorf("the error repeats the password: %v", err)
		}
	}
	for _, token := range []string{"", "x", "\x00", h.token + "x"} {
		_, err := h.CurrentUser(t.Context(), token)
		if !errors.Is(err, client.ErrInvalidAuth) {
			t.Errorf("a wrong token: %v", err)
		}
		if token != "" && strings.Contains(fmt.Sprint(err), token) && len(token) > 1 {
			t.Errorf("the error repeats the token")
		}
	}
}

// What setup does: a user without a password in the end, whose token goes on.
func TestLiveLongLivedToken(t *testing.T) { each(t, liveLongLivedToken) }

func liveLongLivedToken(t *testing.T, h home) {
	id, username, password := h.user(t, "Live test", client.GroupAdmin)
	own, err := h.Login(t.Context(), username, password, nil)
	if err != nil {
		t.Fatal(err)
	}
	as := h.WithToken(own.Access)
	token, err := as.LongLivedToken(t.Context(), "Live test", 3650)
	if err != nil {
		t.Fatal(err)
	}
	var refused *client.CommandError
	if _, err := as.LongLivedToken(t.Context(), "Live test", 3650); !errors.As(err, &refused) {
		t.Errorf("a second token of that name: %v", err)
	}
	if err := h.Revoke(t.Context(), own.Refresh); err != nil {
		t.Fatal(err)
	}
	if err := h.DropPassword(t.Context(), username); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Login(t.Context(), username, password, nil); !errors.Is(err, client.ErrInvalidAuth) {
		t.Errorf("a sign-in after the password was taken away: %v", err)
	}
	user, err := h.CurrentUser(t.Context(), token)
	if want := (client.User{ID: id, Name: "Live test", Admin: true}); user != want || err != nil {
		t.Errorf("the token is %+v's, %v", user, err)
	}
	accounts, err := h.WithToken(token).Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, a := range accounts {
		if a.ID == id {
			found = true
			if !a.LocalOnly || !a.Active || !a.Admin() || a.Owner || a.System || a.Username != "" || len(a.Logins) != 0 {
				t.Errorf("the account is %+v", a)
			}
		}
	}
	if !found {
		t.Errorf("the account is not among %d", len(accounts))
	}
}

func TestLiveUnauthorized(t *testing.T) { each(t, liveUnauthorized) }

func liveUnauthorized(t *testing.T, h home) {
	_, username, password := h.user(t, "Live member", client.GroupUsers)
	tokens, err := h.Login(t.Context(), username, password, nil)
	if err != nil {
		t.Fatal(err)
	}
	member := h.WithToken(tokens.Access)
	if user, err := member.Me(t.Context()); user.Admin || user.Owner || err != nil {
		t.Errorf("the member is %+v, %v", user, err)
	}
	if _, err := member.Accounts(t.Context()); !errors.Is(err, client.ErrUnauthorized) {
		t.Errorf("a member lists the accounts: %v", err)
	}
	if _, err := member.CreateUser(t.Context(), "x", nil, true); !errors.Is(err, client.ErrUnauthorized) {
		t.Errorf("a member makes a user: %v", err)
	}
	if h.since(t, 2026, 8) {
		if _, err := member.HTTPConfig(t.Context()); !errors.Is(err, client.ErrUnauthorized) {
			t.Errorf("a member reads the web server's settings: %v", err)
		}
	}
}

func TestLiveSecondFactor(t *testing.T) { each(t, liveSecondFactor) }

func liveSecondFactor(t *testing.T, h home) {
	_, username, password := h.user(t, "Live factor", client.GroupUsers)
	tokens, err := h.Login(t.Context(), username, password, nil)
	if err != nil {
		t.Fatal(err)
	}
	secret := enableTOTP(t, h.WithToken(tokens.Access))
	if _, err := h.Login(t.Context(), username, password, nil); !errors.Is(err, client.ErrCodeNeeded) {
		t.Errorf("without a code: %v", err)
	}
	asked := []bool{}
	if _, err := h.Login(t.Context(), username, password, func(_ context.Context, again bool) (string, error) {
		asked = append(asked, again)
		return "000000", nil
	}); !errors.Is(err, client.ErrInvalidCode) {
		t.Errorf("with wrong codes: %v", err)
	}
	if want := []bool{false, true, true}; fmt.Sprint(asked) != fmt.Sprint(want) {
		t.Errorf("asked for the code again: %v, want %v", asked, want)
	}
	stop := errors.New("enough")
	if _, err := h.Login(t.Context(), username, password, func(context.Context, bool) (string, error) { return "", stop }); !errors.Is(err, stop) {
		t.Errorf("whoever gives up: %v", err)
	}
	if _, err := h.Login(t.Context(), username, password, func(_ context.Context, again bool) (string, error) {
		if !again {
			return "000000", nil // a slip of the finger is forgiven
		}
		return totp(t, secret), nil
	}); err != nil {
		t.Errorf("with the right code: %v", err)
	}
}

// enableTOTP gives the client's user a second factor and returns its secret.
func enableTOTP(t *testing.T, c *client.Client) string {
	t.Helper()
	var form struct {
		FlowID string `json:"flow_id"`
		Holder struct {
			Code string `json:"code"`
		} `json:"description_placeholders"`
	}
	ctx := t.Context()
	if err := client.Call(ctx, c, "auth/setup_mfa", map[string]any{"mfa_module_id": "totp"}, &form); err != nil {
		t.Fatal(err)
	}
	var done struct {
		Type string `json:"type"`
	}
	if err := client.Call(ctx, c, "auth/setup_mfa", map[string]any{"flow_id": form.FlowID, "user_input": map[string]string{"code": totp(t, form.Holder.Code)}}, &done); err != nil {
		t.Fatal(err)
	}
	if done.Type != "create_entry" {
		t.Fatalf("the second factor was not set up: %q", done.Type)
	}
	return form.Holder.Code
}

// totp is the code of now (RFC 6238, with the values that everybody uses).
func totp(t *testing.T, secret string) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(secret, "="))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, time.Now().Unix()/30)
	sum := mac.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[len(sum)-1]&0xf:]) & 0x7fffffff
	return fmt.Sprintf("%06d", n%1_000_000)
}

// Settings of the web server, as far as nothing has to restart.
func TestLiveHTTPConfig(t *testing.T) { each(t, liveHTTPConfig) }

func liveHTTPConfig(t *testing.T, h home) {
	ctx := t.Context()
	now, err := h.HTTPConfig(ctx)
	if !h.since(t, 2026, 8) {
		if !errors.Is(err, client.ErrUnknownCommand) {
			t.Errorf("a release before 2026.8 answers %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	loopback := netip.MustParseAddr("127.0.0.1")
	if now.Active != "stable" || now.Pending != nil || !now.Revert.IsZero() || !now.Running().Trusts(loopback) {
		t.Errorf("active %q, pending %v, revert %v, stable %s", now.Active, now.Pending, now.Revert, text(t, now.Stable))
	}
	same, err := now.Running().WithProxy(loopback)
	if err != nil {
		t.Fatal(err)
	}
	if restart, err := h.Configure(ctx, same); restart || err != nil {
		t.Errorf("the settings that hold already: restart %v, %v", restart, err)
	}
	if restart, err := h.Configure(ctx, nil); restart || err != nil {
		t.Errorf("taking back what is not pending: restart %v, %v", restart, err)
	}
	var refused *client.CommandError
	if err := h.Promote(ctx); !errors.As(err, &refused) || refused.Code != "not_allowed" {
		t.Errorf("confirming what is not pending: %v", err)
	}
	wrong, err := now.Running().WithProxy(loopback)
	if err != nil {
		t.Fatal(err)
	}
	wrong["trusted_proxies"] = []byte(`["10.0.0.1/8"]`) // has host bits
	if _, err := h.Configure(ctx, wrong); !errors.As(err, &refused) || refused.Code != "invalid_format" {
		t.Errorf("a network with host bits: %v", err)
	}
}

// Home Assistant takes a port without hosts, but neither null nor an empty list of them.
func TestLiveListener(t *testing.T) { each(t, liveListener) }

func liveListener(t *testing.T, h home) {
	if !h.since(t, 2026, 8) {
		return
	}
	ctx := t.Context()
	now, err := h.HTTPConfig(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if hosts, port := now.Stable.Hosts(), now.Stable.Port(); !slices.Equal(hosts, []string{"127.0.0.1"}) || port == 8123 || now.Default.Port() != 8123 || now.Default.Hosts() != nil {
		t.Errorf("listens on %v, %d; by default on %v, %d", hosts, port, now.Default.Hosts(), now.Default.Port())
	}
	same, err := now.Stable.WithListener([]string{"127.0.0.1"}, now.Stable.Port())
	if err != nil {
		t.Fatal(err)
	}
	if restart, err := h.Configure(ctx, same); restart || err != nil {
		t.Errorf("where it listens already: restart %v, %v", restart, err)
	}
	var refused *client.CommandError
	for _, none := range []string{"[]", "null"} {
		wrong := maps.Clone(same)
		wrong["server_host"] = []byte(none)
		if _, err := h.Configure(ctx, wrong); !errors.As(err, &refused) || refused.Code != "invalid_format" {
			t.Errorf("hosts %s: %v", none, err)
		}
	}
	// A place that cannot be had is refused before anything restarts.
	nowhere, err := now.Stable.WithListener([]string{"192.0.2.1"}, 18123)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Configure(ctx, nowhere); !errors.As(err, &refused) || refused.Code != "bind_failed" {
		t.Errorf("another's address: %v", err)
	}
}

func TestLiveWebhooks(t *testing.T) { each(t, liveWebhooks) }

func liveWebhooks(t *testing.T, h home) {
	ctx := t.Context()
	before, err := h.Webhooks(ctx)
	if err != nil {
		t.Fatal(err)
	}
	err = client.Post(ctx, h.Client, "/api/mobile_app/registrations", map[string]any{"device_id": "live-webhooks", "app_id": "io.homeassistant.companion.android", "app_name": "Home Assistant",
		"app_version": "2026.11.1", "device_name": "Live test", "manufacturer": "x", "model": "y", "os_name": "Android", "os_version": "16", "supports_encryption": false})
	if created := (*client.StatusError)(nil); !errors.As(err, &created) || created.Status != http.StatusCreated {
		t.Fatal(err)
	}
	after, err := h.Webhooks(ctx)
	if err != nil || len(after) != len(before)+1 {
		t.Fatalf("%d webhooks and then %d, %v", len(before), len(after), err)
	}
	hook := after[len(after)-1]
	if len(hook.ID) < 32 || hook.Domain != "mobile_app" || hook.Name == "" || hook.LocalOnly || !slices.Equal(hook.Methods, []string{"POST", "PUT"}) {
		t.Errorf("the app's webhook is %+v", hook)
	}
	var entries []struct {
		ID string `json:"entry_id"`
	}
	if err := client.Call(ctx, h.Client, "config_entries/get", map[string]any{"domain": "mobile_app"}, &entries); err != nil || len(entries) == 0 {
		t.Fatalf("%d registrations, %v", len(entries), err)
	}
	if err := client.RemoveEntry(ctx, h.Client, entries[len(entries)-1].ID); err != nil {
		t.Fatal(err)
	}
	if last, err := h.Webhooks(ctx); err != nil || len(last) != len(before) {
		t.Errorf("%d webhooks, %v", len(last), err)
	}
}

func TestLiveCheckConfig(t *testing.T) { each(t, liveCheckConfig) }

func liveCheckConfig(t *testing.T, h home) {
	if problem, err := h.CheckConfig(t.Context()); problem != "" || err != nil {
		t.Errorf("%q, %v", problem, err)
	}
	if _, err := h.WithToken("x").CheckConfig(t.Context()); !errors.Is(err, client.ErrUnauthorized) {
		t.Errorf("without a token that counts: %v", err)
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
