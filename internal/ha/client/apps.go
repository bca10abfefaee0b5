package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

// Running reports whether Home Assistant has finished starting. Before that it knows
// no webhook. It wants a token.
func (c *Client) Running(ctx context.Context) (bool, error) {
	var config struct {
		State string `json:"state"`
	}
	if err := c.call(ctx, "get_config", nil, &config); err != nil {
		return false, fmt.Errorf("ask whether Home Assistant has started: %w", err)
	}
	return config.State == "RUNNING", nil
}

// RemoveApp takes a companion app's registration out of Home Assistant, by the app's
// own id of its device; found is false where there is none. It wants an administrator.
//
// The registration is the config entry of the domain mobile_app whose device has this
// id (homeassistant/components/mobile_app/__init__.py).
func (c *Client) RemoveApp(ctx context.Context, deviceID string) (found bool, err error) {
	const doing = "take an app out of Home Assistant"
	var devices []struct {
		Identifiers   [][]string `json:"identifiers"`
		ConfigEntries []string   `json:"config_entries"`
	}
	var entries []struct {
		ID string `json:"entry_id"`
	}
	if err := c.call(ctx, "config/device_registry/list", nil, &devices); err != nil {
		return false, fmt.Errorf("%s: %w", doing, err)
	}
	if err := c.call(ctx, "config_entries/get", map[string]any{"domain": "mobile_app"}, &entries); err != nil {
		return false, fmt.Errorf("%s: %w", doing, err)
	}
	for _, d := range devices {
		if !slices.ContainsFunc(d.Identifiers, func(i []string) bool { return slices.Equal(i, []string{"mobile_app", deviceID}) }) {
			continue
		}
		for _, e := range entries {
			if !slices.Contains(d.ConfigEntries, e.ID) {
				continue
			}
			if err := c.removeEntry(ctx, e.ID); err != nil {
				return found, fmt.Errorf("%s: %w", doing, err)
			}
			found = true
		}
	}
	return found, nil
}

// A Webhook is an address that Home Assistant answers on to whoever knows its id.
type Webhook struct {
	ID        string // secret
	Domain    string // the integration that answers: mobile_app, automation
	Name      string
	LocalOnly bool     // only senders in the home's own networks are heard
	Methods   []string // POST, PUT and so on
}

// Webhooks lists the webhooks that there are now, at the earliest when Home Assistant
// is running. From 2026.8 on it wants an administrator.
//
// Those of apps that were removed are among them, once Home Assistant has restarted, by
// the name "Deleted Webhook": it answers them 410 (components/mobile_app/__init__.py).
func (c *Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	var said []struct {
		ID        string   `json:"webhook_id"`
		Domain    string   `json:"domain"`
		Name      string   `json:"name"`
		LocalOnly bool     `json:"local_only"`
		Methods   []string `json:"allowed_methods"`
	}
	if err := c.call(ctx, "webhook/list", nil, &said); err != nil {
		return nil, fmt.Errorf("list the webhooks: %w", err)
	}
	list := make([]Webhook, 0, len(said))
	for _, w := range said {
		if w.ID == "" {
			return nil, fmt.Errorf("list the webhooks: %w: one has no id", ErrNotHomeAssistant)
		}
		list = append(list, Webhook(w))
	}
	return list, nil
}

// removeEntry removes a config entry; that it is gone already is no error.
func (c *Client) removeEntry(ctx context.Context, id string) error {
	if c.token == nil {
		return ErrInvalidAuth
	}
	token, err := c.token(ctx)
	if err != nil {
		return err
	}
	path := "/api/config/config_entries/entry/" + url.PathEscape(id)
	a, err := c.ask(ctx, http.MethodDelete, path, "", nil, http.Header{"Authorization": {"Bearer " + token}})
	switch {
	case err != nil:
		return err
	case a.status == http.StatusOK, a.status == http.StatusNotFound:
		return nil
	case a.status == http.StatusUnauthorized:
		return ErrUnauthorized
	}
	return &StatusError{Method: http.MethodDelete, Path: withoutID(path), Status: a.status, Message: a.message()}
}
