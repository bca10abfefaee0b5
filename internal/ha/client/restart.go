package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
)

// problemMax bounds what is kept of Home Assistant's words about a configuration, in bytes.
const problemMax = 400

// CheckConfig has Home Assistant read its configuration files as they are now. The
// problem is empty if they are good, otherwise Home Assistant's words, shortened. It
// takes seconds and wants an administrator (components/config/core.py).
func (c *Client) CheckConfig(ctx context.Context) (problem string, err error) {
	const doing = "have Home Assistant check its configuration"
	var said struct {
		Result string  `json:"result"`
		Errors *string `json:"errors"`
	}
	if err := c.postAs(ctx, "/api/config/core/check_config", map[string]any{}, &said); err != nil {
		return "", fmt.Errorf("%s: %w", doing, err)
	}
	switch said.Result {
	case "valid":
		return "", nil
	case "invalid":
		if said.Errors != nil {
			problem = shorten(*said.Errors)
		}
		if problem == "" {
			problem = "Home Assistant does not say why"
		}
		return problem, nil
	}
	return "", fmt.Errorf("%s: %w", doing, ErrNotHomeAssistant)
}

// shorten makes one line of a text, of problemMax at most.
func shorten(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " ")
	if len(s) <= problemMax {
		return s
	}
	return strings.ToValidUTF8(s[:problemMax], "") + "…"
}

// Restart has Home Assistant restart. It checks its configuration first and refuses if
// that is bad (components/homeassistant/__init__.py). That it hangs up while it goes
// down is success; when it is back is for others to watch. It wants an administrator.
func (c *Client) Restart(ctx context.Context) error {
	err := c.postAs(ctx, "/api/services/homeassistant/restart", map[string]any{}, nil)
	if err == nil || ctx.Err() == nil && hungUp(err) {
		return nil
	}
	return fmt.Errorf("restart Home Assistant: %w", err)
}

// hungUp reports whether a connection that was there has ended without an answer.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}
