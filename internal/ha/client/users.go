package client

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
)

// Groups of Home Assistant's users (homeassistant/auth/const.py).
const (
	GroupAdmin = "system-admin"
	GroupUsers = "system-users"
)

// A User is whose a token is.
type User struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Owner bool   `json:"is_owner"`
	Admin bool   `json:"is_admin"`
}

// An Account is a user as an administrator sees it.
type Account struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Username  string   `json:"username"` // empty where the user has no password
	Owner     bool     `json:"is_owner"`
	Active    bool     `json:"is_active"`
	LocalOnly bool     `json:"local_only"`
	System    bool     `json:"system_generated"`
	Groups    []string `json:"group_ids"`
	// Logins are the providers by which the user can sign in.
	Logins []struct {
		Type string `json:"type"`
	} `json:"credentials"`
}

// Admin reports whether the account is an administrator's.
func (a Account) Admin() bool { return a.Owner || slices.Contains(a.Groups, GroupAdmin) }

// CurrentUser returns whose an access token is; ErrInvalidAuth if it is nobody's.
func (c *Client) CurrentUser(ctx context.Context, accessToken string) (User, error) {
	var u User
	err := c.as(ctx, accessToken, func(ctx context.Context, s *socket) error {
		return s.command(ctx, "auth/current_user", nil, &u)
	})
	if err == nil && u.ID == "" {
		err = ErrNotHomeAssistant
	}
	if err != nil {
		return User{}, fmt.Errorf("ask whose an access token is: %w", err)
	}
	return u, nil
}

// Me returns the user of the Client's own token.
func (c *Client) Me(ctx context.Context) (User, error) {
	var u User
	err := c.call(ctx, "auth/current_user", nil, &u)
	return u, err
}

// Revoke ends the sign-in of a refresh token. Home Assistant answers alike whether
// there was one (ha-protocol 2.3).
func (c *Client) Revoke(ctx context.Context, refreshToken string) error {
	if err := c.postForm(ctx, "/auth/revoke", url.Values{"token": {refreshToken}}, nil); err != nil {
		return fmt.Errorf("end a sign-in at Home Assistant: %w", err)
	}
	return nil
}

// Accounts lists all users. It wants an administrator.
func (c *Client) Accounts(ctx context.Context) ([]Account, error) {
	var list []Account
	err := c.call(ctx, "config/auth/list", nil, &list)
	return list, err
}

// CreateUser makes a user without a password and returns its id. It wants an administrator.
func (c *Client) CreateUser(ctx context.Context, name string, groups []string, localOnly bool) (string, error) {
	var made struct {
		User struct {
			ID string `json:"id"`
		} `json:"user"`
	}
	err := c.call(ctx, "config/auth/create", map[string]any{"name": name, "group_ids": groups, "local_only": localOnly}, &made)
	if err == nil && made.User.ID == "" {
		err = ErrNotHomeAssistant
	}
	return made.User.ID, err
}

// DeleteUser removes a user and ends all its sign-ins. It wants an administrator.
func (c *Client) DeleteUser(ctx context.Context, id string) error {
	return c.call(ctx, "config/auth/delete", map[string]any{"user_id": id}, nil)
}

// SetPassword gives a user that has none a user name and a password. It wants an administrator.
func (c *Client) SetPassword(ctx context.Context, userID, username, password string) error {
	return c.call(ctx, "config/auth_provider/homeassistant/create",
		map[string]any{"user_id": userID, "username": username, "password": password}, nil)
}

// DropPassword takes a user name and its password away; its tokens stay. It wants an administrator.
func (c *Client) DropPassword(ctx context.Context, username string) error {
	return c.call(ctx, "config/auth_provider/homeassistant/delete", map[string]any{"username": username}, nil)
}

// LongLivedToken makes an access token of the Client's own user that is good for
// so many days. Its name must be new among that user's.
func (c *Client) LongLivedToken(ctx context.Context, name string, days int) (string, error) {
	var token string
	err := c.call(ctx, "auth/long_lived_access_token", map[string]any{"client_name": name, "lifespan": days}, &token)
	if err == nil && token == "" {
		err = ErrNotHomeAssistant
	}
	return token, err
}

// A SignIn is one of a user's refresh tokens, as the user sees it.
type SignIn struct {
	ID      string `json:"id"`
	Type    string `json:"type"`         // normal, long_lived_access_token
	Current bool   `json:"is_current"`   // the one that the Client's token belongs to
	LastIP  string `json:"last_used_ip"` // where its last access token was made for; may be empty
}

// SignIns lists those of the Client's own user.
func (c *Client) SignIns(ctx context.Context) ([]SignIn, error) {
	var list []SignIn
	err := c.call(ctx, "auth/refresh_tokens", nil, &list)
	return list, err
}

// SeenAs is the address from which Home Assistant saw the Client's own token being
// made, the zero Addr if it does not say.
func (c *Client) SeenAs(ctx context.Context) (netip.Addr, error) {
	list, err := c.SignIns(ctx)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, s := range list {
		if addr, err := netip.ParseAddr(s.LastIP); s.Current && err == nil {
			return addr.Unmap().WithZone(""), nil
		}
	}
	return netip.Addr{}, nil
}

// EndSignIn ends a sign-in, by the id of its refresh token, in the name of the user
// whose access token this is: nobody else may (ha-protocol 2.4). The access token is
// worth nothing afterwards.
func (c *Client) EndSignIn(ctx context.Context, accessToken, refreshTokenID string) error {
	err := c.as(ctx, accessToken, func(ctx context.Context, s *socket) error {
		err := s.command(ctx, "auth/delete_refresh_token", map[string]any{"refresh_token_id": refreshTokenID}, nil)
		if errors.Is(err, ErrUnreachable) {
			return nil // the socket's own token is the one that ends, and it ends without an answer
		}
		return err
	})
	if err != nil && !errors.Is(err, ErrInvalidAuth) {
		return fmt.Errorf("end a sign-in: %w", err)
	}
	return nil
}
