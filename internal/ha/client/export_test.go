package client

import "context"

// Call runs one WebSocket command that no function of the package is for.
func Call(ctx context.Context, c *Client, name string, fields map[string]any, result any) error {
	return c.call(ctx, name, fields, result)
}
