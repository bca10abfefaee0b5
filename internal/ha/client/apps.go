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
