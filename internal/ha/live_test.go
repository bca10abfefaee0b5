package ha

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"
)

// TestLive holds what this package knows against each Home Assistant that
// GATEHOUSE_LIVE_HA names (tests/live/run starts them), with GATEHOUSE_LIVE_VERSION,
// _CONFIG, _USERNAME, _PASSWORD and _TOKEN of its owner.
func TestLive(t *testing.T) {
	for _, address := range strings.Fields(os.Getenv("GATEHOUSE_LIVE_HA")) {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		t.Run("settings", func(t *testing.T) { liveSettings(t, u) })
		t.Run("paths", func(t *testing.T) { livePaths(t, u) })
		t.Run("login", func(t *testing.T) { liveLogin(t, u) })
		t.Run("socket", func(t *testing.T) { liveSocket(t, u) })
	}
}

func liveSettings(t *testing.T, u *url.URL) {
	s, err := ReadSettings(os.DirFS(os.Getenv("GATEHOUSE_LIVE_CONFIG")))
	if err != nil {
		t.Fatal(err)
	}
	if s.Version.String() != os.Getenv("GATEHOUSE_LIVE_VERSION") || !s.Onboarded || strconv.Itoa(s.HTTP.ServerPort) != u.Port() {
		t.Errorf("%+v", s)
	}
	if want := map[bool]Source{true: SourceStorage, false: SourceYAML}[s.Version.AtLeast(2026, 8)]; s.Source != want || s.File == "" || s.Line == 0 {
		t.Errorf("from %s, %s:%d", s.Source, s.File, s.Line)
	}
}

// liveAsk sends a request to a live Home Assistant.
func liveAsk(t *testing.T, u *url.URL, method, target, contentType, body string) (status int, answer []byte, kind string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, u.Scheme+"://"+u.Host+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	client := &http.Client{Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, answer, res.Header.Get("Content-Type")
}

func livePaths(t *testing.T, u *url.URL) {
	for path, status := range map[string]int{
		"/": 200, "/lovelace/x": 200, "/config/integrations": 200, "/profile/": 200, "/auth/authorize": 200, "/manifest.json": 200, "/service_worker.js": 200,
		"/auth/providers": 200, "/.well-known/oauth-authorization-server": 200, "/api/states": 401, "/api/config": 401, "/api/webhook/nothing": 200, "/media/local/x": 401,
		"/wp-login.php": 404, "/.env": 404, "/api/what": 404, "/api/states/": 404, "/auth/x": 404, "/auth/token/": 404, "/api/hls/zz/x": 404, "/_gatehouse/x": 404, "/media/local": 404,
	} {
		decoded, _, err := CanonicalTarget(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		got, _, kind := liveAsk(t, u, "GET", path, "", "")
		route := Classify("GET", decoded)
		if got != status || (route == RouteNone) != (status == 404) || (route == RouteShell) != (status == 200 && strings.HasPrefix(kind, "text/html") && path != "/auth/authorize") {
			t.Errorf("%s is %q here and %d %s there", path, route, got, kind)
		}
	}
}

func liveLogin(t *testing.T, u *url.URL) {
	own := u.Scheme + "://" + u.Host + "/"
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	step := func(target, body string, want LoginOutcome) (LoginAnswer, []byte) {
		t.Helper()
		status, answer, _ := liveAsk(t, u, "POST", target, "text/plain;charset=UTF-8", body)
		got, err := ParseLoginAnswer(status, answer)
		if err != nil || got.Outcome != want {
			t.Fatalf("%s: %d %s is %+v, %v", target, status, answer, got, err)
		}
		return got, answer
	}
	start := text(map[string]any{"client_id": own, "handler": []any{"homeassistant", nil}, "redirect_uri": own})
	if s, err := ParseLoginStart([]byte(start)); err != nil || s.ClientID != own {
		t.Fatalf("%+v, %v", s, err)
	}
	_, form := step("/auth/login_flow", start, LoginForm)
	var flow struct {
		ID string `json:"flow_id"`
	}
	if err := json.Unmarshal(form, &flow); err != nil {
		t.Fatal(err)
	}
	user := os.Getenv("GATEHOUSE_LIVE_USERNAME")
	step("/auth/login_flow/"+flow.ID, text(map[string]string{"client_id": own, "username": user, "password": "wrong"}), LoginWrong)
	done, _ := step("/auth/login_flow/"+flow.ID, text(map[string]string{"client_id": own, "username": user, "password": os.Getenv("GATEHOUSE_LIVE_PASSWORD")}), LoginDone)
	step("/auth/login_flow/"+flow.ID, text(map[string]string{"client_id": own}), LoginWrong)

	body := part("client_id", own) + part("code", done.Code) + part("grant_type", "authorization_code") + "--b0--\r\n"
	if r, err := ParseTokenRequest(multipartB0, []byte(body)); err != nil || r.Code != done.Code {
		t.Fatalf("%+v, %v", r, err)
	}
	status, answer, _ := liveAsk(t, u, "POST", "/auth/token", multipartB0, body)
	tokens, err := ParseTokenAnswer(answer)
	if status != 200 || err != nil || tokens.RefreshToken == "" || !isHex32(tokens.Issuer) || tokens.ExpiresIn != 30*60 {
		t.Fatalf("%d %+v, %v", status, tokens, err)
	}
	status, answer, _ = liveAsk(t, u, "POST", "/auth/token", urlencoded, url.Values{"client_id": {own}, "grant_type": {"refresh_token"}, "refresh_token": {tokens.RefreshToken}}.Encode())
	again, err := ParseTokenAnswer(answer)
	if status != 200 || err != nil || again.RefreshToken != "" || again.Issuer != tokens.Issuer {
		t.Errorf("%d %+v, %v", status, again, err)
	}
	if status, _, _ := liveAsk(t, u, "POST", "/auth/revoke", urlencoded, url.Values{"token": {tokens.RefreshToken}}.Encode()); status != 200 {
		t.Errorf("revoke: %d", status)
	}
}

func liveSocket(t *testing.T, u *url.URL) {
	conn, _, err := websocket.Dial(t.Context(), "ws://"+u.Host+"/api/websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 20)
	read := func() []byte {
		t.Helper()
		_, message, err := conn.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return message
	}
	write := func(message []byte) {
		t.Helper()
		if err := conn.Write(t.Context(), websocket.MessageText, message); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := ParseAuthMessage(read()); err != nil || m != (AuthMessage{"auth_required", os.Getenv("GATEHOUSE_LIVE_VERSION")}) {
		t.Fatalf("%+v, %v", m, err)
	}
	token := os.Getenv("GATEHOUSE_LIVE_TOKEN")
	write(AppendAuth(nil, token))
	if m, err := ParseAuthMessage(read()); err != nil || m.Type != "auth_ok" {
		t.Fatalf("%+v, %v", m, err)
	}
	for _, c := range []struct{ message, code string }{
		{`{"id":0,"type":"ping"}`, "invalid_format"}, {`{"id":1.0,"type":"ping"}`, "invalid_format"}, {`{"type":"ping"}`, "invalid_format"}, {`{"id":1}`, "invalid_format"},
	} {
		commands, err := ParseCommands([]byte(c.message))
		if err != nil || len(commands) != 1 || commands[0].ID != 0 && commands[0].Type != "" {
			t.Errorf("%s: %+v, %v", c.message, commands, err)
		}
		if write([]byte(c.message)); !bytes.Contains(read(), []byte(c.code)) {
			t.Errorf("%s is not answered with %s", c.message, c.code)
		}
	}
	message := []byte(`[{"id":7,"type":"auth/sign_path","path":"/api/camera_proxy/camera.x?b=1&a=%C3%BC","expires":60}]`)
	if commands, err := ParseCommands(message); err != nil || commands[0].ID != 7 || commands[0].Type != "auth/sign_path" {
		t.Fatalf("%+v, %v", commands, err)
	}
	write(message)
	var answer struct {
		Result struct {
			Path string `json:"path"`
		} `json:"result"`
	}
	if err := json.Unmarshal(read(), &answer); err != nil {
		t.Fatal(err)
	}
	signed, err := url.Parse(answer.Result.Path)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := ParseAuthSig(signed.Query().Get("authSig"))
	if err != nil || sig.Path != "/api/camera_proxy/camera.x" || sig.Expires-sig.IssuedAt != 60 || sig.Issuer != issuerOf(token) || len(sig.Params) != 2 || sig.Params[1] != [2]string{"a", "ü"} {
		t.Errorf("%s: %+v, %v", answer.Result.Path, sig, err)
	}
}
