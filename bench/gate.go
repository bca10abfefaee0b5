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

// gate is the gateway under measurement and the devices that it knows.
type gate struct {
	process    *process
	cli        cli
	base       string // https://localhost:port
	owner      visitor
	apps       []app
	firstStart time.Duration // of a gateway without any state
	start      time.Duration // median of later ones
}

// openGate starts the gateway in front of home, makes its owner with an
// authenticator app and signs in to Home Assistant, as a browser would.
// more is added to its configuration.
func openGate(ctx context.Context, binary, dir, home, more string, starts int) (*gate, error) {
	if err := os.MkdirAll(filepath.Join(dir, "state"), 0o700); err != nil {
		return nil, err
	}
	listen := fmt.Sprintf("127.0.0.1:%d", freePort())
	config := filepath.Join(dir, "gatehouse.toml")
	text := fmt.Sprintf("[home]\nname = \"localhost\"\nha_url = \"http://%s\"\n\n[doors.https]\nlisten = %q\n\n[state]\ndir = %q\n", home, listen, filepath.Join(dir, "state")) + more
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
	g.cli = cli{binary, config}
	g.owner = visitor{base: g.base, client: loopback()}
	defer g.owner.client.CloseIdleConnections()
	if err := g.owner.becomeOwner(ctx, g.cli); err != nil {
		g.process.stop()
		return nil, fmt.Errorf("become known (log: %s): %w", g.process.log.Name(), err)
	}
	return g, nil
}

// enrolApps makes the apps known.
func (g *gate) enrolApps(ctx context.Context) error {
	if _, err := g.cli.run(ctx, "people", "add", appPerson); err != nil {
		return err
	}
	for range appCount {
		a, err := newApp(ctx, g.cli, g.base)
		if err != nil {
			return fmt.Errorf("app: %w", err)
		}
		g.apps = append(g.apps, a)
	}
	return nil
}

// cli is the gateway's command line.
type cli struct{ binary, config string }

// run returns what a verb says.
func (c cli) run(ctx context.Context, args ...string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, c.binary, append(args, "--config", c.config)...).Output()
	if err != nil {
		return nil, fmt.Errorf("gatehouse %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

// invite returns the code of an invitation.
func (c cli) invite(ctx context.Context, whom string) (string, error) {
	out, err := c.run(ctx, "invite", whom, "--json")
	if err != nil {
		return "", err
	}
	var invitation struct{ Link string }
	if err := json.Unmarshal(out, &invitation); err != nil {
		return "", fmt.Errorf("gatehouse invite: %w", err)
	}
	return path.Base(invitation.Link), nil
}

// visitor is a client of the gateway's: a browser, or an app's web view and, without a
// cookie, its own requests.
type visitor struct {
	base      string
	client    *http.Client
	userAgent string
	cookie    string // name=value of the session
	token     string // Home Assistant's access token, learned by the gateway
	refresh   string
}

type object map[string]any

// becomeOwner takes the owner's invitation with an authenticator app, and Home
// Assistant's login.
func (v *visitor) becomeOwner(ctx context.Context, gatehouse cli) error {
	code, err := gatehouse.invite(ctx, "--owner")
	if err != nil {
		return err
	}
	var authenticator struct{ ID, Secret string }
	who := object{"invite": code, "name": "Bench"}
	if err := v.post(ctx, "/_gatehouse/api/invite/totp/begin", who, &authenticator); err != nil {
		return err
	}
	digits, err := totp.GenerateCode(authenticator.Secret, time.Now())
	if err != nil {
		return err
	}
	who["id"], who["code"] = authenticator.ID, digits
	if err := v.post(ctx, "/_gatehouse/api/invite/totp", who, nil); err != nil {
		return err
	}
	code, err = v.logIn(ctx, v.base+"/", v.base+"/", "demo")
	if err != nil {
		return err
	}
	return v.spend(ctx, v.base+"/", code)
}

// logIn walks through Home Assistant's login and returns the code that it comes to. The
// demonstration home's users have their names as passwords.
func (v *visitor) logIn(ctx context.Context, clientID, redirect, user string) (string, error) {
	var flow struct {
		FlowID string `json:"flow_id"`
		Result string
	}
	if err := v.post(ctx, "/auth/login_flow", object{"client_id": clientID, "redirect_uri": redirect, "handler": []any{"homeassistant", nil}}, &flow); err != nil {
		return "", err
	}
	err := v.post(ctx, "/auth/login_flow/"+flow.FlowID, object{"client_id": clientID, "username": user, "password": user}, &flow)
	return flow.Result, err
}

// spend exchanges a code for tokens.
func (v *visitor) spend(ctx context.Context, clientID, code string) error {
	var tokens struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
	}
	form := url.Values{"grant_type": {"authorization_code"}, "client_id": {clientID}, "code": {code}}
	if err := v.send(ctx, "/auth/token", formType, []byte(form.Encode()), &tokens); err != nil {
		return err
	}
	if v.token, v.refresh = tokens.AccessToken, tokens.RefreshToken; v.cookie == "" || v.token == "" || v.refresh == "" {
		return errors.New("no session or no token")
	}
	return nil
}

func (v *visitor) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return v.send(ctx, path, "application/json", body, out)
}

const formType = "application/x-www-form-urlencoded"

// send posts a body as the page of this origin would, keeps the cookie that it is
// given, and reads the JSON answer.
func (v *visitor) send(ctx context.Context, path, kind string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Origin", v.base)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	if v.userAgent != "" {
		req.Header.Set("User-Agent", v.userAgent)
	}
	if v.cookie != "" {
		req.Header.Set("Cookie", v.cookie)
	}
	if v.token != "" {
		req.Header.Set("Authorization", "Bearer "+v.token)
	}
	res, err := v.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusCreated {
		return fmt.Errorf("%s: %s: %.200s", path, res.Status, answer)
	}
	for _, c := range res.Cookies() {
		v.cookie = c.Name + "=" + c.Value
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}
