package client

import (
	"context"
	"fmt"
)

// InternalURL is the address at home that Home Assistant is set to give to speakers and
// screens; empty if it is to find one out itself.
func (c *Client) InternalURL(ctx context.Context) (string, error) {
	var said struct {
		URL *string `json:"internal_url"`
	}
	if err := c.call(ctx, "get_config", nil, &said); err != nil {
		return "", err
	}
	if said.URL == nil {
		return "", nil
	}
	return *said.URL, nil
}

// GivenURL is the address at home that Home Assistant gives to speakers and screens now:
// the set one, or this machine's with Home Assistant's port. Empty if it knows none.
func (c *Client) GivenURL(ctx context.Context) (string, error) {
	var said struct {
		Internal *string `json:"internal"`
	}
	if err := c.call(ctx, "network/url", nil, &said); err != nil {
		return "", err
	}
	if said.Internal == nil {
		return "", nil
	}
	return *said.Internal, nil
}

// SetInternalURL sets the address at home, or with "" has Home Assistant find one out. It
// wants an administrator.
func (c *Client) SetInternalURL(ctx context.Context, address string) error {
	var to any
	if address != "" {
		to = address
	}
	if err := c.call(ctx, "config/core/update", map[string]any{"internal_url": to}, nil); err != nil {
		return fmt.Errorf("set the address at home in Home Assistant: %w", err)
	}
	return nil
}
