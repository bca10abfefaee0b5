// Package client is a live connection to Home Assistant's own API: whose an access
// token is, users, sign-ins and tokens, the settings of its web server, whether its
// onboarding is finished.
//
// Every answer is bounded and every request has a deadline. A connection is made
// for what is asked and closed again, so that a Client has nothing to be run or
// closed. No request carries X-Forwarded-* but the one that asks whether it would
// be believed ([Client.TrustsProxy]). Neither passwords nor tokens are part of an
// error; nor is what Home Assistant says about a token that it refuses, because it
// repeats it (ha-protocol 3.1).
package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// requestTime is how long one question may take in all. Home Assistant answers in
	// milliseconds, and in seconds while it starts.
	requestTime = 30 * time.Second
	dialTime    = 5 * time.Second
	// answerMax bounds an answer over HTTP; tokens and forms are a few hundred bytes.
	answerMax = 1 << 20
	headerMax = 64 << 10
)

// Where a caller branches.
var (
	// ErrUnreachable: nothing answers there, or not in time.
	ErrUnreachable = errors.New("no answer from Home Assistant")
	// ErrNotReady: it answers, but is still starting, so that nothing follows from what it says.
	ErrNotReady = errors.New("not ready: Home Assistant is still starting")
	// ErrNotHomeAssistant: something else answers there.
	ErrNotHomeAssistant = errors.New("what answers is not Home Assistant")
	// ErrInvalidAuth: the token, or the user name with this password, is not accepted.
	ErrInvalidAuth = errors.New("not accepted by Home Assistant")
	// ErrInvalidCode: the code of the second factor is not accepted.
	ErrInvalidCode = errors.New("the code is not accepted by Home Assistant")
	// ErrCodeNeeded: the account has a second factor, and nobody was there to say its code.
	ErrCodeNeeded = errors.New("the account has a second factor, and its code is wanted")
	// ErrUnauthorized: the user of the token may not do this; it wants an administrator.
	ErrUnauthorized = errors.New("the Home Assistant user may not do this")
	// ErrUnknownCommand: this release does not know the command.
	ErrUnknownCommand = errors.New("this release of Home Assistant does not know the command")
)

// A StatusError is an answer over HTTP with a status that nobody counted on.
type StatusError struct {
	Method, Path string
	Status       int
	Message      string // Home Assistant's words, may be empty
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s %s: Home Assistant answered %d", e.Method, e.Path, e.Status)
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// A Client asks one Home Assistant. It is safe for use by several goroutines.
type Client struct {
	base  *url.URL
	token func(context.Context) (string, error)
	http  *http.Client
}

// Config is what a Client is made of.
type Config struct {
	// URL is where Home Assistant answers: http(s)://host:port.
	URL *url.URL
	// Token returns an access token for what is asked in somebody's name. It may be
	// nil, and then such questions fail with ErrInvalidAuth.
	Token func(context.Context) (string, error)
	// Dial makes every connection, over HTTP and for WebSockets, in place of the
	// ordinary dialer: for a home that has moved from its address. It may be nil.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// New makes a Client. Nothing is started.
func New(c Config) (*Client, error) {
	base := c.URL
	switch {
	case base == nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "":
		return nil, errors.New("ha/client: Home Assistant's address must be http://host:port")
	case base.User != nil, base.Path != "" && base.Path != "/", base.RawQuery != "", base.Fragment != "":
		return nil, errors.New("ha/client: Home Assistant's address must be no more than a scheme, a host and a port")
	}
	dial := c.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return &Client{
		base:  &url.URL{Scheme: base.Scheme, Host: base.Host},
		token: c.Token,
		http: &http.Client{
			Transport: &http.Transport{
				Proxy:                  nil, // never by way of a proxy from the environment
				DialContext:            within(dialTime, dial),
				TLSHandshakeTimeout:    dialTime,
				ResponseHeaderTimeout:  requestTime,
				MaxResponseHeaderBytes: headerMax,
				DisableKeepAlives:      true, // nothing outlives its question
				DisableCompression:     true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// within bounds the time that a connection takes.
func within(most time.Duration, dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, most)
		defer cancel()
		return dial(ctx, network, addr)
	}
}

// WithToken returns a Client of the same Home Assistant that asks with this access token.
func (c *Client) WithToken(accessToken string) *Client {
	with := *c
	with.token = func(context.Context) (string, error) { return accessToken, nil }
	return &with
}

// URL is the address that the Client asks at, without a path.
func (c *Client) URL() string { return c.base.String() }

// clientID names us to Home Assistant's login flow. It has to be an address of the
// home itself or its host a name or a local address (ha-protocol 2.2).
func (c *Client) clientID() string { return c.base.String() + "/" }

// answer is what came back over HTTP.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// ask sends one request and reads its answer whole.
func (c *Client) ask(ctx context.Context, method, path, contentType string, body []byte, header http.Header) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask Home Assistant: %w", err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("User-Agent", "Gatehouse")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, answerMax+1))
	if err != nil {
		return nil, c.unreachable(err)
	}
	if len(data) > answerMax {
		return nil, fmt.Errorf("%s %s: %w: the answer is longer than %d bytes", method, path, ErrNotHomeAssistant, answerMax)
	}
	return &answer{resp.StatusCode, resp.Header, data}, nil
}

// unreachable names what went wrong on the way. The address is said by us; that of
// net/http's error would repeat a path and, in a form, nothing else of use.
func (c *Client) unreachable(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w at %s: %w", ErrUnreachable, c.base, err)
}

// get reads one path without any credential.
func (c *Client) get(ctx context.Context, path string) (*answer, error) {
	return c.ask(ctx, http.MethodGet, path, "", nil, nil)
}

// postJSON sends a document and reads the answer into result if its status is 200;
// otherwise the error is a *StatusError.
func (c *Client) postJSON(ctx context.Context, path string, document, result any) error {
	body, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("ask Home Assistant: %w", err)
	}
	a, err := c.ask(ctx, http.MethodPost, path, "application/json", body, nil)
	if err != nil {
		return err
	}
	return a.into(http.MethodPost, path, result)
}

// postAs is postJSON in the name of the Client's own token.
func (c *Client) postAs(ctx context.Context, path string, document, result any) error {
	if c.token == nil {
		return fmt.Errorf("%w: there is no token", ErrInvalidAuth)
	}
	token, err := c.token(ctx)
	if err != nil {
		return err
	}
	body, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("ask Home Assistant: %w", err)
	}
	a, err := c.ask(ctx, http.MethodPost, path, "application/json", body, http.Header{"Authorization": {"Bearer " + token}})
	switch {
	case err != nil:
		return err
	case a.status == http.StatusUnauthorized:
		// 401 stands for an unknown token and for a user without the right alike.
		return fmt.Errorf("%w: %w", ErrUnauthorized, &StatusError{Method: http.MethodPost, Path: path, Status: a.status})
	}
	return a.into(http.MethodPost, path, result)
}

// postForm is postJSON for what Home Assistant reads as a form.
func (c *Client) postForm(ctx context.Context, path string, form url.Values, result any) error {
	a, err := c.ask(ctx, http.MethodPost, path, "application/x-www-form-urlencoded", []byte(form.Encode()), nil)
	if err != nil {
		return err
	}
	return a.into(http.MethodPost, path, result)
}

// into reads a good answer into result, which may be nil.
func (a *answer) into(method, path string, result any) error {
	if a.status != http.StatusOK {
		return &StatusError{Method: method, Path: withoutID(path), Status: a.status, Message: a.message()}
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(a.body, result); err != nil {
		return fmt.Errorf("%s %s: %w: %w", method, withoutID(path), ErrNotHomeAssistant, err)
	}
	return nil
}

// withoutID leaves the id of a login flow out of what is shown.
func withoutID(path string) string {
	if strings.HasPrefix(path, loginPath+"/") {
		return loginPath
	}
	return path
}

// message is what Home Assistant says beside a status: {"message"} of its views,
// {"error", "error_description"} of /auth/token.
func (a *answer) message() string {
	var said struct {
		Message     string `json:"message"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(a.body, &said) != nil {
		return ""
	}
	for _, s := range []string{said.Message, said.Description, said.Error} {
		if s != "" {
			return s[:min(len(s), 200)]
		}
	}
	return ""
}

// Onboarded reports whether all steps of Home Assistant's own onboarding are done.
// An error means that it could not be judged.
//
// While there are steps, /api/onboarding lists them; once the onboarded home was
// restarted it is 404 (ha-protocol 1.2). So it is while a fresh home starts, before
// it has any such route: therefore a 404 counts only if the frontend is there, which
// Home Assistant loads after the onboarding and which sends whoever comes to it there.
func (c *Client) Onboarded(ctx context.Context) (bool, error) {
	const path = "/api/onboarding"
	a, err := c.get(ctx, path)
	if err != nil {
		return false, fmt.Errorf("ask whether Home Assistant's onboarding is done: %w", err)
	}
	switch a.status {
	case http.StatusOK:
		var steps []struct {
			Step string `json:"step"`
			Done bool   `json:"done"`
		}
		if err := json.Unmarshal(a.body, &steps); err != nil || len(steps) == 0 {
			return false, fmt.Errorf("ask whether Home Assistant's onboarding is done: %w", ErrNotHomeAssistant)
		}
		for _, s := range steps {
			if !s.Done {
				return false, nil
			}
		}
		return true, nil
	case http.StatusNotFound:
		front, err := c.get(ctx, "/")
		switch {
		case err != nil:
			return false, fmt.Errorf("ask whether Home Assistant's onboarding is done: %w", err)
		case front.status == http.StatusOK:
			return true, nil
		case front.status == http.StatusFound && strings.HasSuffix(front.header.Get("Location"), "/onboarding.html"):
			return false, nil
		}
		return false, fmt.Errorf("ask whether Home Assistant's onboarding is done: %w", ErrNotReady)
	case http.StatusServiceUnavailable:
		return false, fmt.Errorf("ask whether Home Assistant's onboarding is done: %w", ErrNotReady)
	}
	return false, &StatusError{Method: http.MethodGet, Path: path, Status: a.status, Message: a.message()}
}

// probePath is a small public file of every release.
const probePath = "/manifest.json"

// TrustsProxy reports whether Home Assistant believes X-Forwarded-For when it comes
// from here: from others it is a 400 (ha-protocol 4.2). The address that is named is
// loopback, and the path needs no login, so that nothing is counted against anybody.
func (c *Client) TrustsProxy(ctx context.Context) (bool, error) {
	plain, err := c.get(ctx, probePath)
	if err != nil {
		return false, fmt.Errorf("ask whether Home Assistant trusts this proxy: %w", err)
	}
	if plain.status == http.StatusBadRequest || plain.status >= http.StatusInternalServerError {
		return false, &StatusError{Method: http.MethodGet, Path: probePath, Status: plain.status, Message: plain.message()}
	}
	told, err := c.ask(ctx, http.MethodGet, probePath, "", nil, http.Header{"X-Forwarded-For": {"127.0.0.1"}})
	if err != nil {
		return false, fmt.Errorf("ask whether Home Assistant trusts this proxy: %w", err)
	}
	switch told.status {
	case plain.status:
		return true, nil
	case http.StatusBadRequest:
		return false, nil
	}
	return false, &StatusError{Method: http.MethodGet, Path: probePath, Status: told.status, Message: told.message()}
}

// LocalAddr is the address that this machine's side of a connection to Home
// Assistant has. Home Assistant sees another one where addresses are translated on
// the way; SeenAs says that.
func (c *Client) LocalAddr(ctx context.Context) (netip.Addr, error) {
	var local net.Addr
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { local = info.Conn.LocalAddr() }}
	if _, err := c.get(httptrace.WithClientTrace(ctx, trace), probePath); err != nil {
		return netip.Addr{}, fmt.Errorf("find our own address towards Home Assistant: %w", err)
	}
	tcp, ok := local.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, errors.New("find our own address towards Home Assistant: not a TCP connection")
	}
	return tcp.AddrPort().Addr().Unmap().WithZone(""), nil
}

// raw is a value of JSON that is passed on unread.
type raw = jsontext.Value
