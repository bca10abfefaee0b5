package client

import "context"

// Call runs one WebSocket command that no function of the package is for.
func Call(ctx context.Context, c *Client, name string, fields map[string]any, result any) error {
	return c.call(ctx, name, fields, result)
}

// Post sends a document in the name of the Client's own token.
func Post(ctx context.Context, c *Client, path string, document any) error {
	return c.postAs(ctx, path, document, nil)
}

// RemoveEntry removes a config entry.
func RemoveEntry(ctx context.Context, c *Client, id string) error { return c.removeEntry(ctx, id) }
