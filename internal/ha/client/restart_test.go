package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"

	"gatehouse/internal/ha/client"
)

func TestRestart(t *testing.T) {
	answer := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil || r.Method != http.MethodPost || r.URL.Path != "/api/services/homeassistant/restart" || r.Header.Get("Authorization") != "Bearer token" || string(body) != "{}" {
				t.Errorf("%s %s %q %q, %v", r.Method, r.URL, r.Header, body, err)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `[]`)
		}
	}
	if err := serve(t, answer(http.StatusOK)).Restart(t.Context()); err != nil {
		t.Error(err)
	}
	if err := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }).Restart(t.Context()); err != nil {
		t.Errorf("it hangs up: %v", err)
	}
	cut := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "[")
	})
	if err := cut.Restart(t.Context()); err != nil {
		t.Errorf("it hangs up within its answer: %v", err)
	}
	if err := serve(t, answer(http.StatusUnauthorized)).Restart(t.Context()); !errors.Is(err, client.ErrUnauthorized) {
		t.Errorf("a member: %v", err)
	}
	var status *client.StatusError
	if err := serve(t, answer(http.StatusInternalServerError)).Restart(t.Context()); !errors.As(err, &status) {
		t.Errorf("its configuration is bad: %v", err)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	if err := at(t, gone.URL).WithToken("token").Restart(t.Context()); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("nobody there: %v", err)
	}
	if err := at(t, gone.URL).Restart(t.Context()); !errors.Is(err, client.ErrInvalidAuth) {
		t.Errorf("without a token: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := serve(t, answer(http.StatusOK)).Restart(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("not wanted any more: %v", err)
	}
}

func TestCheckConfig(t *testing.T) {
	for _, c := range []struct{ said, problem string }{
		{`{"result":"valid","errors":null,"warnings":"x"}`, ""},
		{`{"result":"invalid","errors":"Integration error:\n  x","warnings":null}`, "Integration error: x"},
		{`{"result":"invalid","errors":null}`, "Home Assistant does not say why"},
		{`{"result":"invalid","errors":"` + strings.Repeat("ä", 300) + `"}`, strings.Repeat("ä", 200) + "…"},
	} {
		problem, err := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, c.said) }).CheckConfig(t.Context())
		if problem != c.problem || err != nil {
			t.Errorf("%s: %q, %v", c.said, problem, err)
		}
	}
	for _, said := range []string{`{}`, `[]`, `{"result":"x"}`, `<html>`} {
		if _, err := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, said) }).CheckConfig(t.Context()); !errors.Is(err, client.ErrNotHomeAssistant) {
			t.Errorf("%s: %v", said, err)
		}
	}
}

func TestListener(t *testing.T) {
	o := client.Options{"server_host": []byte(`["0.0.0.0"]`), "server_port": []byte("80"), "new": []byte("1")}
	for _, c := range []struct {
		hosts []string
		port  int
		want  string
	}{
		{[]string{"127.0.0.1"}, 8124, `{"new":1,"server_host":["127.0.0.1"],"server_port":8124}`},
		{nil, 8123, `{"new":1,"server_port":8123}`},
		{[]string{"127.0.0.1", "::1"}, 1, `{"new":1,"server_host":["127.0.0.1","::1"],"server_port":1}`},
	} {
		got, err := o.WithListener(c.hosts, c.port)
		if err != nil || text(t, got) != c.want || !slices.Equal(got.Hosts(), c.hosts) || got.Port() != c.port {
			t.Errorf("%v %d: %s, %v", c.hosts, c.port, text(t, got), err)
		}
	}
	if text(t, o) != `{"new":1,"server_host":["0.0.0.0"],"server_port":80}` {
		t.Errorf("the original has changed: %s", text(t, o))
	}
	for _, port := range []int{-1, 0, 65536} {
		if _, err := o.WithListener(nil, port); err == nil {
			t.Errorf("port %d was taken", port)
		}
	}
	if _, err := o.WithListener([]string{""}, 1); err == nil {
		t.Error("an empty host was taken")
	}
	var none client.Options
	if got, err := none.WithListener(nil, 5); err != nil || got.Port() != 5 || none.Port() != 8123 || none.Hosts() != nil {
		t.Errorf("of nothing: %v, %v", got, err)
	}
	odd := client.Options{"server_host": []byte(`"::"`), "server_port": []byte(`"x"`)}
	if odd.Port() != 8123 || !slices.Equal(odd.Hosts(), []string{"::"}) {
		t.Errorf("%v %d", odd.Hosts(), odd.Port())
	}
}

// Every connection goes by way of Dial: of HTTP, of WebSockets, and of what asks for
// our own address.
func TestDial(t *testing.T) {
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "ha.example.org:8123" {
			t.Errorf("asked as %q", r.Host)
		}
		if r.URL.Path != "/api/websocket" {
			return
		}
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		_ = conn.Write(r.Context(), websocket.MessageText, []byte(`{"type":"auth_required","ha_version":"2026.11.0"}`))
		_, _, _ = conn.Read(r.Context())
	}))
	t.Cleanup(home.Close)
	var dialed atomic.Int32
	c, err := client.New(client.Config{URL: &url.URL{Scheme: "http", Host: "ha.example.org:8123"}, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialed.Add(1)
		if _, bounded := ctx.Deadline(); network != "tcp" || addr != "ha.example.org:8123" || !bounded {
			return nil, fmt.Errorf("dialed %s %s", network, addr)
		}
		return (&net.Dialer{}).DialContext(ctx, network, home.Listener.Addr().String())
	}})
	if err != nil {
		t.Fatal(err)
	}
	if version, err := c.Version(t.Context()); version != "2026.11.0" || err != nil {
		t.Errorf("%q, %v", version, err)
	}
	if trusts, err := c.TrustsProxy(t.Context()); !trusts || err != nil {
		t.Errorf("%v, %v", trusts, err)
	}
	if addr, err := c.LocalAddr(t.Context()); !addr.IsLoopback() || err != nil {
		t.Errorf("%v, %v", addr, err)
	}
	if n := dialed.Load(); n != 4 {
		t.Errorf("%d connections were made by way of Dial, want 4", n)
	}
}

// How Home Assistant shuts addresses out is read with its defaults, and changed in a copy.
func TestBanning(t *testing.T) {
	for said, want := range map[string]struct {
		enabled  bool
		attempts int
	}{
		`{}`: {true, -1},
		`{"ip_ban_enabled":false,"login_attempts_threshold":7}`:     {false, 7},
		`{"ip_ban_enabled":null,"login_attempts_threshold":null}`:   {true, -1},
		`{"ip_ban_enabled":"no","login_attempts_threshold":"some"}`: {true, -1},
	} {
		var o client.Options
		if err := json.Unmarshal([]byte(said), &o); err != nil {
			t.Fatal(err)
		}
		enabled, attempts := o.Banning()
		if enabled != want.enabled || attempts != want.attempts {
			t.Errorf("%s is %v, %d", said, enabled, attempts)
		}
		if got := text(t, o.WithBanning(true, 10)); got != `{"ip_ban_enabled":true,"login_attempts_threshold":10}` {
			t.Errorf("%s becomes %s", said, got)
		}
		if again, n := o.Banning(); again != enabled || n != attempts {
			t.Errorf("%s: the original has changed", said)
		}
	}
}
