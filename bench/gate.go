package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pquerna/otp/totp"
)

// gate is the gateway under measurement and a device that it knows.
type gate struct {
	process    *process
	base       string        // https://localhost:port
	cookie     string        // name=value of the session
	token      string        // Home Assistant's access token, learned by the gateway
	firstStart time.Duration // of a gateway without any state
	start      time.Duration // median of later ones
}

// openGate starts the gateway in front of home, makes its owner with an
// authenticator app and signs in to Home Assistant, as a browser would.
func openGate(ctx context.Context, binary, dir, home string, starts int) (*gate, error) {
	if err := os.MkdirAll(filepath.Join(dir, "state"), 0o700); err != nil {
		return nil, err
	}
	listen := fmt.Sprintf("127.0.0.1:%d", freePort())
	config := filepath.Join(dir, "gatehouse.toml")
	text := fmt.Sprintf("[home]\nname = \"localhost\"\nha_url = \"http://%s\"\n\n[doors.https]\nlisten = %q\n\n[state]\ndir = %q\n", home, listen, filepath.Join(dir, "state"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	g := &gate{base: "https://localhost" + listen[strings.LastIndexByte(listen, ':'):]}
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	begin := func() (time.Duration, error) {
		begun := time.Now()
		if g.process, err = start(filepath.Join(dir, "gatehouse.log"), nil, binary, "serve", "--config", config); err != nil {
			return 0, err
		}
		if err := answers(ctx, g.base+"/"); err != nil {
			g.process.stop()
			return 0, fmt.Errorf("gatehouse (log: %s): %w", g.process.log.Name(), err)
		}
		return time.Since(begun), nil
	}
	if g.firstStart, err = begin(); err != nil {
		return nil, err
	}
	var took []time.Duration
	for range starts {
		g.process.stop()
		t, err := begin()
		if err != nil {
			return nil, err
		}
		took = append(took, t)
	}
	slices.Sort(took)
	g.start = took[len(took)/2]
	if err := g.becomeKnown(ctx, binary, config); err != nil {
		g.process.stop()
		return nil, fmt.Errorf("become known (log: %s): %w", g.process.log.Name(), err)
	}
	return g, nil
}

// becomeKnown takes the owner's invitation and Home Assistant's login.
func (g *gate) becomeKnown(ctx context.Context, binary, config string) error {
	out, err := exec.CommandContext(ctx, binary, "invite", "--owner", "--json", "--config", config).Output()
	if err != nil {
		return fmt.Errorf("gatehouse invite: %w", err)
	}
	var invitation struct{ Link string }
	if err := json.Unmarshal(out, &invitation); err != nil {
		return fmt.Errorf("gatehouse invite: %w", err)
	}
	client := loopback()
	defer client.CloseIdleConnections()
	type object map[string]any

	var app struct{ ID, Secret string }
	who := object{"invite": path.Base(invitation.Link), "name": "Bench"}
	if _, err := g.post(ctx, client, "/_gatehouse/api/invite/totp/begin", who, &app); err != nil {
		return err
	}
	code, err := totp.GenerateCode(app.Secret, time.Now())
	if err != nil {
		return err
	}
	who["id"], who["code"] = app.ID, code
	cookies, err := g.post(ctx, client, "/_gatehouse/api/invite/totp", who, nil)
	if err != nil {
		return err
	}
	for _, c := range cookies {
		g.cookie = c.Name + "=" + c.Value
	}

	var flow struct {
		FlowID string `json:"flow_id"`
		Result string
	}
	id := g.base + "/"
	if _, err := g.post(ctx, client, "/auth/login_flow", object{"client_id": id, "redirect_uri": id, "handler": []any{"homeassistant", nil}}, &flow); err != nil {
		return err
	}
	if _, err := g.post(ctx, client, "/auth/login_flow/"+flow.FlowID, object{"client_id": id, "username": "demo", "password": "demo"}, &flow); err != nil {
		return err
	}
	var tokens struct {
		AccessToken string `json:"access_token"`
	}
	form := url.Values{"grant_type": {"authorization_code"}, "client_id": {id}, "code": {flow.Result}}
	if _, err := g.send(ctx, client, "/auth/token", "application/x-www-form-urlencoded", []byte(form.Encode()), &tokens); err != nil {
		return err
	}
	if g.token = tokens.AccessToken; g.cookie == "" || g.token == "" {
		return errors.New("no session or no token")
	}
	return nil
}

func (g *gate) post(ctx context.Context, client *http.Client, path string, in, out any) ([]*http.Cookie, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	return g.send(ctx, client, path, "application/json", body, out)
}

// send posts a body as the page of this origin would, and reads the JSON answer.
func (g *gate) send(ctx context.Context, client *http.Client, path, kind string, body []byte, out any) ([]*http.Cookie, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Origin", g.base)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	if g.cookie != "" {
		req.Header.Set("Cookie", g.cookie)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %.200s", path, res.Status, answer)
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return res.Cookies(), nil
}
