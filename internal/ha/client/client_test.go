package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"gatehouse/internal/ha/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers with a function and returns a Client of it, with a token.
func serve(t *testing.T, f http.HandlerFunc) *client.Client {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return at(t, server.URL).WithToken("token")
}

func TestNew(t *testing.T) {
	for address, good := range map[string]bool{
		"http://127.0.0.1:8123": true, "https://ha.example.org": true, "http://[::1]:8123/": true,
		"": false, "127.0.0.1:8123": false, "ftp://127.0.0.1": false, "http://": false, "http://a:b@127.0.0.1": false,
		"http://127.0.0.1/x": false, "http://127.0.0.1?x": false, "http://127.0.0.1#x": false,
	} {
		u, err := url.Parse(address)
		if err != nil {
			continue
		}
		c, err := client.New(client.Config{URL: u})
		if (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
		if good && strings.HasSuffix(c.URL(), "/") {
			t.Errorf("%q: %q", address, c.URL())
		}
	}
	if _, err := client.New(client.Config{}); err == nil {
		t.Error("made without an address")
	}
}

// Every question fails with ErrUnreachable where nothing listens.
func TestUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := at(t, "http://"+listener.Addr().String()).WithToken("token")
	listener.Close()
	for name, err := range everything(t.Context(), c) {
		if !errors.Is(err, client.ErrUnreachable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// everything asks all there is to ask.
func everything(ctx context.Context, c *client.Client) map[string]error {
	errs := map[string]error{}
	_, errs["Version"] = c.Version(ctx)
	_, errs["Onboarded"] = c.Onboarded(ctx)
	_, errs["TrustsProxy"] = c.TrustsProxy(ctx)
	_, errs["LocalAddr"] = c.LocalAddr(ctx)
	_, errs["CurrentUser"] = c.CurrentUser(ctx, "token")
	_, errs["Login"] = c.Login(ctx, "user", "password", nil)
	errs["Revoke"] = c.Revoke(ctx, "token")
	_, errs["Me"] = c.Me(ctx)
	_, errs["Accounts"] = c.Accounts(ctx)
	_, errs["CreateUser"] = c.CreateUser(ctx, "x", nil, true)
	errs["DeleteUser"] = c.DeleteUser(ctx, "x")
	errs["SetPassword"] = c.SetPassword(ctx, "x", "y", "z")
	errs["DropPassword"] = c.DropPassword(ctx, "x")
	_, errs["LongLivedToken"] = c.LongLivedToken(ctx, "x", 1)
	_, errs["SeenAs"] = c.SeenAs(ctx)
	_, errs["HTTPConfig"] = c.HTTPConfig(ctx)
	_, errs["Configure"] = c.Configure(ctx, nil)
	errs["Promote"] = c.Promote(ctx)
	_, errs["Webhooks"] = c.Webhooks(ctx)
	_, errs["CheckConfig"] = c.CheckConfig(ctx)
	return errs
}

// Whatever else answers is an error: never a panic, never a good answer.
func TestSomethingElse(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"not found":   http.NotFound,
		"teapot":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
		"elsewhere":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) },
		"a page":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"null":        func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("null")) },
		"an object":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) },
		"without end": endless,
		"hangs up":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		c := serve(t, answer)
		for what, err := range everything(t.Context(), c) {
			// What is only asked for a status has it here as well.
			fine := what == "LocalAddr" || what == "TrustsProxy" && name != "hangs up" && name != "without end" || what == "Revoke" && (name == "a page" || name == "null" || name == "an object")
			if err == nil && !fine {
				t.Errorf("%s: %s has an answer", name, what)
			}
		}
	}
}

func endless(w http.ResponseWriter, _ *http.Request) {
	part := make([]byte, 64<<10)
	for {
		if _, err := w.Write(part); err != nil {
			return
		}
	}
}

// A WebSocket that says something else than Home Assistant would.
func TestStrangeSocket(t *testing.T) {
	const required, ok = `{"type":"auth_required","ha_version":"2026.11.0"}`, `{"type":"auth_ok","ha_version":"2026.11.0"}`
	for _, c := range []struct {
		name     string
		messages []string
		want     error
	}{
		{"nothing", nil, client.ErrUnreachable},
		{"no JSON", []string{"hello"}, client.ErrNotHomeAssistant},
		{"ok at once", []string{ok}, client.ErrNotHomeAssistant},
		{"a token twice", []string{required, required}, client.ErrNotHomeAssistant},
		{"refused", []string{required, `{"type":"auth_invalid","message":"extra keys: token"}`}, client.ErrInvalidAuth},
		{"ends", []string{required, ok}, client.ErrUnreachable},
		{"a list", []string{required, ok, `[]`}, client.ErrNotHomeAssistant},
		{"a name twice", []string{required, ok, `{"id":1,"type":"result","success":true,"success":true,"result":{}}`}, client.ErrNotHomeAssistant},
		{"another's result", append([]string{required, ok}, slices.Repeat([]string{`{"id":9,"type":"result","success":true,"result":{"id":"a"}}`}, 100)...), client.ErrNotHomeAssistant},
		{"no user", []string{required, ok, `{"id":1,"type":"result","success":true,"result":{}}`}, client.ErrNotHomeAssistant},
		{"a list for a user", []string{required, ok, `{"id":1,"type":"result","success":true,"result":[]}`}, client.ErrNotHomeAssistant},
		{"without rights", []string{required, ok, `{"id":1,"type":"result","success":false,"error":{"code":"unauthorized","message":"Unauthorized"}}`}, client.ErrUnauthorized},
		{"too old", []string{required, ok, `{"id":1,"type":"result","success":false,"error":{"code":"unknown_command","message":"Unknown command."}}`}, client.ErrUnknownCommand},
		{"too large", []string{required, ok, strings.Repeat(" ", 5<<20)}, client.ErrUnreachable},
		{"an event before", []string{required, ok, `{"id":1,"type":"event","event":1}`, `{"id":1,"type":"result","success":true,"result":{"id":"a","name":"A","is_admin":true,"is_owner":false,"credentials":[]}}`}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				conn, err := websocket.Accept(w, r, nil)
				if err != nil {
					return
				}
				defer conn.CloseNow()
				for _, m := range c.messages {
					if conn.Write(r.Context(), websocket.MessageText, []byte(m)) != nil {
						return
					}
				}
				if len(c.messages) > 2 {
					_, _, _ = conn.Read(r.Context())
					_, _, _ = conn.Read(r.Context())
				}
				_ = conn.Close(websocket.StatusNormalClosure, "")
			})
			user, err := s.CurrentUser(t.Context(), "secret-token")
			if c.want == nil {
				if err != nil || user != (client.User{ID: "a", Name: "A", Admin: true}) {
					t.Errorf("%+v, %v", user, err)
				}
				return
			}
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if s := fmt.Sprint(err); strings.Contains(s, "secret-token") || strings.Contains(s, "extra keys") {
				t.Errorf("the error repeats what it should not: %s", s)
			}
		})
	}
}

// A socket that says nothing ends with the caller's patience.
func TestSilentSocket(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		_, _, _ = conn.Read(r.Context())
	})
	if _, err := s.Version(ctx); !errors.Is(err, client.ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	canceled, stop := context.WithCancel(t.Context())
	stop()
	if _, err := s.Onboarded(canceled); !errors.Is(err, context.Canceled) || errors.Is(err, client.ErrUnreachable) {
		t.Errorf("whoever gives up: %v", err)
	}
}

func TestOnboarded(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer map[string]func(http.ResponseWriter)
		done   bool
		err    error
	}{
		{"some steps", steps(`[{"step":"user","done":true},{"step":"core_config","done":false}]`), false, nil},
		{"no step", steps(`[{"step":"user","done":false}]`), false, nil},
		{"all steps", steps(`[{"step":"user","done":true},{"step":"core_config","done":true}]`), true, nil},
		{"an empty list", steps(`[]`), false, client.ErrNotHomeAssistant},
		{"no list", steps(`{"a":1}`), false, client.ErrNotHomeAssistant},
		{"after the restart", map[string]func(http.ResponseWriter){"/": page}, true, nil},
		{"fresh and starting: sent to the onboarding", map[string]func(http.ResponseWriter){"/": func(w http.ResponseWriter) {
			w.Header().Set("Location", "/onboarding.html")
			w.WriteHeader(http.StatusFound)
		}}, false, nil},
		{"starting: nothing is there yet", map[string]func(http.ResponseWriter){}, false, client.ErrNotReady},
		{"stopping", map[string]func(http.ResponseWriter){"/api/onboarding": func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }}, false, client.ErrNotReady},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if f, ok := c.answer[r.URL.Path]; ok {
					f(w)
					return
				}
				w.WriteHeader(http.StatusNotFound)
			})
			done, err := s.Onboarded(t.Context())
			if done != c.done || !errors.Is(err, c.err) {
				t.Errorf("%v, %v; want %v, %v", done, err, c.done, c.err)
			}
		})
	}
}

func page(w http.ResponseWriter) { _, _ = w.Write([]byte("<!doctype html>")) }

func steps(list string) map[string]func(http.ResponseWriter) {
	return map[string]func(http.ResponseWriter){"/api/onboarding": func(w http.ResponseWriter) { _, _ = w.Write([]byte(list)) }, "/": page}
}

// No question but one says where it comes from, and none goes through a proxy.
func TestHeaders(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	var mu sync.Mutex
	said, asked := map[string]int{}, 0
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		for name := range r.Header {
			if strings.HasPrefix(name, "X-") || name == "Forwarded" || name == "Cookie" || name == "Authorization" {
				said[r.URL.Path+" "+name]++
			}
		}
		w.WriteHeader(http.StatusNotFound)
	})
	for what, err := range everything(t.Context(), s) {
		if errors.Is(err, client.ErrUnreachable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// One is for an administrator and over HTTP: it has the token.
	if len(said) != 2 || said["/manifest.json X-Forwarded-For"] != 1 || said["/api/config/core/check_config Authorization"] != 1 || asked < 20 {
		t.Errorf("of %d questions some said %v", asked, said)
	}
}

func TestTrustsProxy(t *testing.T) {
	for _, c := range []struct {
		plain, told int
		trusts, bad bool
	}{
		{http.StatusOK, http.StatusOK, true, false},
		{http.StatusOK, http.StatusBadRequest, false, false},
		{http.StatusNotFound, http.StatusNotFound, true, false}, // a release without that file
		{http.StatusBadRequest, http.StatusBadRequest, false, true},
		{http.StatusForbidden, http.StatusOK, false, true}, // banned
		{http.StatusOK, http.StatusServiceUnavailable, false, true},
	} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Forwarded-For") != "" {
				w.WriteHeader(c.told)
				return
			}
			w.WriteHeader(c.plain)
		})
		if trusts, err := s.TrustsProxy(t.Context()); trusts != c.trusts || (err != nil) != c.bad {
			t.Errorf("%+v: %v, %v", c, trusts, err)
		}
	}
}

func TestOptions(t *testing.T) {
	a, b := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("fd00::1")
	for _, c := range []struct{ use, proxies, want string }{
		{``, ``, `["10.1.2.3/32"]`},
		{`null`, `null`, `["10.1.2.3/32"]`},
		{`true`, `["192.168.0.0/16"]`, `["192.168.0.0/16","10.1.2.3/32"]`},
		{`true`, `["10.0.0.0/8"]`, `["10.0.0.0/8"]`},
		{`true`, `["10.1.2.3"]`, `["10.1.2.3/32"]`},
		{`false`, `["::1"]`, `["::1/128","10.1.2.3/32"]`},
	} {
		o := client.Options{"other": []byte(`[1,{"a":null}]`)}
		if c.use != "" {
			o["use_x_forwarded_for"], o["trusted_proxies"] = []byte(c.use), []byte(c.proxies)
		}
		before := text(t, o)
		changed, err := o.WithProxy(a)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if got := string(changed["trusted_proxies"]); got != c.want || !changed.Trusts(a) || changed.Trusts(b) || string(changed["other"]) != `[1,{"a":null}]` {
			t.Errorf("%+v: %s", c, text(t, changed))
		}
		if text(t, o) != before {
			t.Errorf("%+v: the options themselves were changed", c)
		}
	}
	for _, broken := range []client.Options{
		{"use_x_forwarded_for": []byte(`true`), "trusted_proxies": []byte(`["what"]`)},
		{"use_x_forwarded_for": []byte(`true`), "trusted_proxies": []byte(`"10.0.0.1"`)},
		{"use_x_forwarded_for": []byte(`"yes"`)},
	} {
		if broken.Trusts(a) {
			t.Errorf("%s: trusts", text(t, broken))
		}
		if _, err := broken.TrustedProxies(); err == nil {
			t.Errorf("%s: no error", text(t, broken))
		}
	}
	var none client.Options
	if none.Trusts(a) || none.Failure() != "" {
		t.Error("no options trust somebody")
	}
	if why := (client.Options{"error": []byte(`"not_promoted"`)}).Failure(); why != "not_promoted" {
		t.Errorf("failed for %q", why)
	}
}

func TestLoginAnswers(t *testing.T) {
	for _, c := range []struct {
		name string
		form string // the answer to the start
		next string // the answer to the password; "403 message" is a refusal
		want error
	}{
		{"abort", `{"type":"form","flow_id":"f","step_id":"init"}`, `{"type":"abort","reason":"unknown_error"}`, new(client.Blocked)},
		{"too many codes", `{"type":"form","flow_id":"f","step_id":"init"}`, `{"type":"abort","reason":"too_many_retry"}`, client.ErrInvalidCode},
		{"no result", `{"type":"form","flow_id":"f","step_id":"init"}`, `{"type":"create_entry"}`, client.ErrNotHomeAssistant},
		{"an unknown step", `{"type":"form","flow_id":"f","step_id":"init"}`, `{"type":"form","step_id":"captcha"}`, new(client.Blocked)},
		{"a strange answer", `{"type":"form","flow_id":"f","step_id":"init"}`, `{"type":"menu"}`, client.ErrNotHomeAssistant},
		{"no form", `{"type":"create_entry"}`, ``, client.ErrNotHomeAssistant},
		{"inactive", `{"type":"form","flow_id":"f","step_id":"init"}`, `403`, new(client.Blocked)},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/auth/login_flow":
					_, _ = w.Write([]byte(c.form))
				case r.Method == http.MethodDelete:
				case c.next == "403":
					w.WriteHeader(http.StatusForbidden)
					_, _ = w.Write([]byte(`{"message":"Login blocked: User is not active"}`))
				default:
					_, _ = w.Write([]byte(c.next))
				}
			})
			_, err := s.Login(t.Context(), "user", "hidden", nil)
			var blocked *client.Blocked
			if _, is := c.want.(*client.Blocked); is {
				if !errors.As(err, &blocked) || blocked.Reason == "" {
					t.Errorf("%v", err)
				}
			} else if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if strings.Contains(fmt.Sprint(err), "hidden") {
				t.Errorf("the error repeats the password: %v", err)
			}
		})
	}
}

// One of several second factors is chosen: the authenticator app.
func TestLoginChoosesFactor(t *testing.T) {
	var chose string
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 1000)
		n, _ := r.Body.Read(body)
		said := string(body[:n])
		switch {
		case r.URL.Path == "/auth/login_flow":
			_, _ = w.Write([]byte(`{"type":"form","flow_id":"f","step_id":"init","errors":{}}`))
		case r.URL.Path == "/auth/token":
			_, _ = w.Write([]byte(`{"access_token":"a","refresh_token":"r","expires_in":1800}`))
		case strings.Contains(said, "multi_factor_auth_module"):
			chose = said
			_, _ = w.Write([]byte(`{"type":"form","step_id":"mfa","errors":{}}`))
		case strings.Contains(said, `"code":"123456"`):
			_, _ = w.Write([]byte(`{"type":"create_entry","result":"code"}`))
		default:
			_, _ = w.Write([]byte(`{"type":"form","step_id":"select_mfa_module","errors":{},"data_schema":[{"name":"multi_factor_auth_module","type":"select","options":[["notify","Notify"],["totp","App"]]}]}`))
		}
	})
	tokens, err := s.Login(t.Context(), "user", "password", func(context.Context, bool) (string, error) { return "123456", nil })
	if err != nil || tokens != (client.Tokens{Access: "a", Refresh: "r", Expires: 30 * time.Minute}) || !strings.Contains(chose, `"totp"`) {
		t.Errorf("%+v, %v; chose %s", tokens, err, chose)
	}
}
