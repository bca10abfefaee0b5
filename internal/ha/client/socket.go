package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"

	"gatehouse/internal/ha"
)

const (
	socketPath = "/api/websocket"
	// messageMax bounds one message. Lists of users and settings are far smaller.
	messageMax = 4 << 20
	// strayMax is how many messages that answer something else are read past.
	strayMax = 64
)

// A CommandError is Home Assistant's refusal of a WebSocket command.
type CommandError struct {
	Command, Code, Message string
}

func (e *CommandError) Error() string {
	return fmt.Sprintf("Home Assistant refused %s: %s (%s)", e.Command, e.Message, e.Code)
}

// Is makes errors.Is work with the sentinels that a code stands for.
func (e *CommandError) Is(target error) bool {
	switch e.Code {
	case "unauthorized":
		return target == ErrUnauthorized
	case "unknown_command":
		return target == ErrUnknownCommand
	}
	return false
}

// socket is a WebSocket to Home Assistant. It belongs to one goroutine.
type socket struct {
	client  *Client
	conn    *websocket.Conn
	lastID  uint64
	version string
}

// open connects and reads Home Assistant's first message, which names its version.
func (c *Client) open(ctx context.Context) (*socket, error) {
	// The scheme: Dial takes http for ws.
	conn, resp, err := websocket.Dial(ctx, c.base.String()+socketPath, &websocket.DialOptions{
		HTTPClient: c.http,
		HTTPHeader: http.Header{"User-Agent": {"Gatehouse"}},
	})
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			return nil, &StatusError{Method: http.MethodGet, Path: socketPath, Status: resp.StatusCode}
		}
		return nil, c.unreachable(err)
	}
	conn.SetReadLimit(messageMax)
	s := &socket{client: c, conn: conn}
	first, err := s.handshake(ctx)
	if err == nil && first.Type != "auth_required" {
		err = ErrNotHomeAssistant
	}
	if err != nil {
		s.close()
		return nil, err
	}
	s.version = first.Version
	return s, nil
}

// signIn sends the token. It is refused with ErrInvalidAuth.
func (s *socket) signIn(ctx context.Context, accessToken string) error {
	message, err := json.Marshal(map[string]string{"type": "auth", "access_token": accessToken}, json.Deterministic(true))
	if err != nil {
		return errors.New("send the access token: it is no text")
	}
	if err := s.conn.Write(ctx, websocket.MessageText, message); err != nil {
		return s.client.unreachable(err)
	}
	m, err := s.handshake(ctx)
	switch {
	case err != nil:
		return err
	case m.Type == "auth_invalid":
		return fmt.Errorf("sign in with an access token: %w", ErrInvalidAuth)
	case m.Type != "auth_ok":
		return ErrNotHomeAssistant
	}
	return nil
}

func (s *socket) handshake(ctx context.Context) (ha.AuthMessage, error) {
	kind, message, err := s.conn.Read(ctx)
	if err != nil {
		return ha.AuthMessage{}, s.client.unreachable(err)
	}
	if kind != websocket.MessageText {
		return ha.AuthMessage{}, ErrNotHomeAssistant
	}
	m, err := ha.ParseAuthMessage(message)
	if err != nil {
		return ha.AuthMessage{}, ErrNotHomeAssistant
	}
	return m, nil
}

// command sends one command and reads its result into result, which may be nil.
func (s *socket) command(ctx context.Context, name string, fields map[string]any, result any) error {
	s.lastID++
	m := maps.Clone(fields)
	if m == nil {
		m = map[string]any{}
	}
	m["id"], m["type"] = s.lastID, name
	message, err := json.Marshal(m, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := s.conn.Write(ctx, websocket.MessageText, message); err != nil {
		return fmt.Errorf("%s: %w", name, s.client.unreachable(err))
	}
	for range strayMax {
		kind, message, err := s.conn.Read(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", name, s.client.unreachable(err))
		}
		var said struct {
			ID      uint64 `json:"id"`
			Type    string `json:"type"`
			Success bool   `json:"success"`
			Result  raw    `json:"result"`
			Error   struct {
				Code    string `json:"code"`
				Message string `json:"message"`
			} `json:"error"`
		}
		if kind != websocket.MessageText || json.Unmarshal(message, &said) != nil {
			return fmt.Errorf("%s: %w", name, ErrNotHomeAssistant)
		}
		switch {
		case said.Type != "result" || said.ID != s.lastID:
			continue
		case !said.Success:
			return &CommandError{Command: name, Code: said.Error.Code, Message: said.Error.Message}
		case result == nil:
			return nil
		}
		if err := json.Unmarshal(said.Result, result); err != nil {
			return fmt.Errorf("%s: %w: %w", name, ErrNotHomeAssistant, err)
		}
		return nil
	}
	return fmt.Errorf("%s: %w: no result among %d messages", name, ErrNotHomeAssistant, strayMax)
}

func (s *socket) close() {
	// Home Assistant takes its time with the closing handshake; nothing depends on it.
	_ = s.conn.CloseNow()
}

// as runs f on a socket that is signed in with a token, within requestTime.
func (c *Client) as(ctx context.Context, accessToken string, f func(context.Context, *socket) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, requestTime, fmt.Errorf("no answer within %s: %w", requestTime, context.DeadlineExceeded))
	defer cancel()
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.signIn(ctx, accessToken); err != nil {
		return err
	}
	return f(ctx, s)
}

// call runs one command with the Client's own token.
func (c *Client) call(ctx context.Context, name string, fields map[string]any, result any) error {
	if c.token == nil {
		return fmt.Errorf("%s: %w: there is no token", name, ErrInvalidAuth)
	}
	token, err := c.token(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return c.as(ctx, token, func(ctx context.Context, s *socket) error { return s.command(ctx, name, fields, result) })
}

// Version is what Home Assistant says its version is, to anybody who connects.
func (c *Client) Version(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	s, err := c.open(ctx)
	if err != nil {
		return "", fmt.Errorf("ask for Home Assistant's version: %w", err)
	}
	defer s.close()
	if s.version == "" || strings.ContainsFunc(s.version, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("ask for Home Assistant's version: %w", ErrNotHomeAssistant)
	}
	return s.version, nil
}

// timeOf reads a time as Home Assistant writes it, the zero time if there is none.
func timeOf(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t
}
