package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"
)

const (
	loginPath = "/auth/login_flow"
	tokenPath = "/auth/token"
	// codeTries is how often a second factor's code is asked for. Home Assistant gives
	// up at the fifth wrong one (ha-protocol 2.1).
	codeTries = 3
)

// Tokens are what a sign-in is given.
type Tokens struct {
	Access  string
	Refresh string
	Expires time.Duration // of Access
}

// A Blocked is a sign-in that Home Assistant gives up or does not allow although
// the password may be right: too_many_retry, login_expired, "User is not active".
type Blocked struct{ Reason string }

func (e *Blocked) Error() string { return "Home Assistant does not allow the sign-in: " + e.Reason }

// step is an answer of the login flow.
type step struct {
	Type   string            `json:"type"` // form, create_entry, abort
	FlowID string            `json:"flow_id"`
	StepID string            `json:"step_id"` // init, select_mfa_module, mfa
	Errors map[string]string `json:"errors"`
	Result raw               `json:"result"` // of create_entry: the authorization code
	Reason string            `json:"reason"` // of abort
	Schema []struct {
		Name    string `json:"name"`
		Options raw    `json:"options"`
	} `json:"data_schema"`
}

// Login signs in with Home Assistant's own login flow. code is asked for the code
// of a second factor if the account has one, again after a wrong one; it may be
// nil, and then such an account fails with ErrCodeNeeded. A wrong user name or
// password is ErrInvalidAuth, wrong codes are ErrInvalidCode, and what Home
// Assistant does not allow at all is a *Blocked.
func (c *Client) Login(ctx context.Context, username, password string, code func(ctx context.Context, again bool) (string, error)) (Tokens, error) {
	t, err := c.login(ctx, username, password, code)
	if err != nil {
		return Tokens{}, fmt.Errorf("sign in to Home Assistant: %w", err)
	}
	return t, nil
}

func (c *Client) login(ctx context.Context, username, password string, code func(context.Context, bool) (string, error)) (Tokens, error) {
	var now step
	err := c.postJSON(ctx, loginPath, map[string]any{
		"client_id": c.clientID(), "redirect_uri": c.clientID(), "handler": []any{"homeassistant", nil},
	}, &now)
	if err != nil {
		return Tokens{}, err
	}
	if now.Type != "form" || now.FlowID == "" {
		return Tokens{}, ErrNotHomeAssistant
	}
	flow := loginPath + "/" + url.PathEscape(now.FlowID)
	done := false
	defer func() {
		if !done {
			// It would end by itself in five minutes; tidiness is not worth an error.
			_, _ = c.ask(context.WithoutCancel(ctx), http.MethodDelete, flow, "", nil, nil)
		}
	}()
	fields := map[string]any{"username": username, "password": password}
	for tries := 0; ; {
		fields["client_id"] = c.clientID()
		if now, err = c.submit(ctx, flow, fields); err != nil {
			return Tokens{}, err
		}
		switch {
		case now.Type == "create_entry":
			done = true
			return c.exchange(ctx, now.Result)
		case now.Type == "abort":
			done = true
			if now.Reason == "too_many_retry" {
				return Tokens{}, ErrInvalidCode
			}
			return Tokens{}, &Blocked{now.Reason}
		case now.Type != "form":
			return Tokens{}, ErrNotHomeAssistant
		}
		switch now.StepID {
		case "init":
			return Tokens{}, ErrInvalidAuth
		case "select_mfa_module":
			fields = map[string]any{"multi_factor_auth_module": now.module()}
		case "mfa":
			if code == nil {
				return Tokens{}, ErrCodeNeeded
			}
			if tries == codeTries {
				return Tokens{}, ErrInvalidCode
			}
			said, err := code(ctx, now.Errors["base"] != "")
			if err != nil {
				return Tokens{}, err
			}
			fields = map[string]any{"code": said}
			tries++
		default:
			return Tokens{}, &Blocked{"it asks for " + now.StepID}
		}
	}
}

// submit answers a form of the flow.
func (c *Client) submit(ctx context.Context, flow string, fields map[string]any) (step, error) {
	var next step
	err := c.postJSON(ctx, flow, fields, &next)
	var refused *StatusError
	if errors.As(err, &refused) && refused.Status == http.StatusForbidden {
		return step{}, &Blocked{refused.Message}
	}
	return next, err
}

// module chooses one of several second factors: the authenticator app, otherwise the first.
func (s step) module() string {
	first := ""
	for _, f := range s.Schema {
		// Options are pairs of a value and its label.
		var options [][]string
		if f.Name != "multi_factor_auth_module" || json.Unmarshal(f.Options, &options) != nil {
			continue
		}
		for _, o := range options {
			if len(o) == 0 {
				continue
			}
			if o[0] == "totp" {
				return o[0]
			}
			if first == "" {
				first = o[0]
			}
		}
	}
	return first
}

// exchange turns the flow's authorization code into tokens.
func (c *Client) exchange(ctx context.Context, result raw) (Tokens, error) {
	var code string
	if err := json.Unmarshal(result, &code); err != nil || code == "" {
		return Tokens{}, ErrNotHomeAssistant
	}
	var given struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		Expires int    `json:"expires_in"` // seconds
	}
	err := c.postForm(ctx, tokenPath, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "client_id": {c.clientID()}}, &given)
	var refused *StatusError
	if errors.As(err, &refused) && refused.Status == http.StatusForbidden {
		return Tokens{}, &Blocked{refused.Message}
	}
	if err != nil {
		return Tokens{}, err
	}
	if given.Access == "" || given.Refresh == "" {
		return Tokens{}, ErrNotHomeAssistant
	}
	return Tokens{given.Access, given.Refresh, time.Duration(given.Expires) * time.Second}, nil
}
