package hatest_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

type object = map[string]any

// talk is a run of the script: who is at the other end, and what was seen.
type talk struct {
	t    *testing.T
	end  end
	host string
	part string // of the script; before the names of its steps
	seen []recorded
	// Values that vary and are replaced by a name in what was seen.
	known map[string]string
}

// answer is what came back on a request.
type answer struct {
	status int
	head   http.Header
	body   []byte
}

// object is the body as a JSON object; nil when it is none.
func (a answer) object() object {
	var o object
	if err := json.Unmarshal(a.body, &o, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil
	}
	return o
}

func (a answer) text(name string) string { s, _ := a.object()[name].(string); return s }

// request is what is sent, exactly.
type request struct {
	method, target string
	head           [][2]string
	body           string
	keep           []string // of a JSON body: only these members are compared
	silent         bool     // not compared at all
	first          int      // read no more than these bytes of the body
}

func ask(method, target string) *request { return &request{method: method, target: target} }

func (r *request) with(name, value string) *request {
	r.head = append(r.head, [2]string{name, value})
	return r
}
func (r *request) bearer(token string) *request { return r.with("Authorization", "Bearer "+token) }
func (r *request) send(kind, body string) *request {
	r.body = body
	if kind != "" {
		r.with("Content-Type", kind)
	}
	return r
}
func (r *request) json(v any) *request { return r.send("application/json", text(v)) }
func (r *request) form(pairs ...string) *request {
	var parts []string
	for i := 0; i < len(pairs); i += 2 {
		parts = append(parts, url.QueryEscape(pairs[i])+"="+url.QueryEscape(pairs[i+1]))
	}
	return r.send("application/x-www-form-urlencoded", strings.Join(parts, "&"))
}
func (r *request) only(names ...string) *request { r.keep = names; return r }
func (r *request) quietly() *request             { r.silent = true; return r }

// text is v in JSON.
func text(v any) string {
	data, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic(err)
	}
	return string(data)
}

// heads are the headers of an answer that are compared.
var heads = []string{
	"Content-Type", "Cache-Control", "Pragma", "Allow", "Location", "Server", "Referrer-Policy", "X-Frame-Options", "X-Content-Type-Options", "Content-Encoding",
	"Upgrade", "Sec-WebSocket-Accept", "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Allow-Credentials", "WWW-Authenticate", "Set-Cookie",
}

// ask sends a request on a connection of its own and notes what came back.
func (k *talk) ask(step string, r *request) answer {
	k.t.Helper()
	a, err := k.send(r)
	if err != nil {
		k.t.Fatalf("%s: %v", step, err)
	}
	if r.silent {
		return a
	}
	head := object{}
	for _, name := range heads {
		if values, ok := a.head[http.CanonicalHeaderKey(name)]; ok {
			head[name] = strings.Join(values, " | ")
		}
	}
	saw := object{"status": a.status, "head": head}
	var v any
	switch {
	case len(a.body) == 0:
	case r.first > 0:
		saw["body"] = string(a.body)
	case strings.Contains(a.head.Get("Content-Type"), "json") && json.Unmarshal(a.body, &v, jsontext.AllowDuplicateNames(true)) == nil:
		if o, ok := v.(object); ok && r.keep != nil {
			maps.DeleteFunc(o, func(name string, _ any) bool { return !slices.Contains(r.keep, name) })
		}
		saw["json"] = v
	case strings.HasPrefix(a.head.Get("Content-Type"), "text/html") || strings.HasPrefix(a.head.Get("Content-Type"), "image/"):
	default:
		saw["body"] = string(a.body)
	}
	k.note(step, saw)
	return a
}

// shape is what kind of value something is: of an object its members' names.
func shape(v any) any {
	switch v := v.(type) {
	case object:
		o := object{}
		for name, value := range v {
			o[name] = shape(value)
		}
		return o
	case []any:
		return "list"
	case string:
		return "string"
	case float64:
		return "number"
	case bool:
		return "bool"
	}
	return nil
}

func (k *talk) note(step string, saw any) {
	step = k.part + ": " + step
	if slices.ContainsFunc(k.seen, func(r recorded) bool { return r.Step == step }) {
		k.t.Fatalf("two steps are called %s", step)
	}
	k.seen = append(k.seen, recorded{step, k.normal("", saw)})
}

func (k *talk) send(r *request) (answer, error) {
	conn, err := net.Dial("tcp", k.host)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", r.method, r.target)
	if !slices.ContainsFunc(r.head, func(h [2]string) bool { return h[0] == "Host" }) {
		fmt.Fprintf(&b, "Host: %s\r\n", k.host)
	}
	if !slices.ContainsFunc(r.head, func(h [2]string) bool { return h[0] == "Connection" }) {
		b.WriteString("Connection: close\r\n")
	}
	for _, h := range r.head {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	if r.body != "" || r.method == "POST" || r.method == "PUT" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.body))
	}
	b.WriteString("\r\n" + r.body)
	go func() { _, _ = conn.Write(b.Bytes()) }() // who refuses a large body may answer before it was read
	got, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: r.method})
	if err != nil {
		return answer{}, err
	}
	// The body is not closed: that would read a stream to its end. The connection is.
	var body []byte
	if r.first > 0 {
		body = make([]byte, r.first)
		n, err := io.ReadFull(got.Body, body)
		if err != nil {
			return answer{}, err
		}
		body = body[:n]
	} else if body, err = io.ReadAll(got.Body); err != nil {
		return answer{}, err
	}
	return answer{got.StatusCode, got.Header, body}, nil
}

// The forms of values that vary.
var (
	tokens  = regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`)
	stamps  = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00`)
	hexes   = regexp.MustCompile(`\b([0-9a-f]{128}|[0-9a-f]{58,64}|[0-9a-f]{32})\b`)
	ulids   = regexp.MustCompile(`\b[0-9A-HJKMNP-TV-Z]{26}\b`)
	whys    = regexp.MustCompile(`(?s)(Message format incorrect|Auth message incorrectly formatted): .*`)
	servers = regexp.MustCompile(`Python/[\d.]+ aiohttp/[\d.]+`)
)

// normal replaces what differs by nature.
func (k *talk) normal(name string, v any) any {
	switch v := v.(type) {
	case object:
		o := object{}
		for name, value := range v {
			o[k.words(name)] = k.normal(name, value)
		}
		if o["code"] == "invalid_format" && o["message"] != "Message incorrectly formatted." {
			o["message"] = "<why>"
		}
		return o
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = k.normal("", e)
		}
		return list
	case string:
		return k.words(v)
	case float64:
		if slices.Contains([]string{"lc", "lu", "iat", "exp"}, name) {
			return "<time>"
		}
	}
	return v
}

func (k *talk) words(s string) string {
	for value, name := range k.known {
		s = strings.ReplaceAll(s, value, name)
	}
	s = strings.ReplaceAll(s, k.end.url, "<url>")
	s = strings.ReplaceAll(s, k.host, "<host>")
	s = tokens.ReplaceAllString(s, "<jwt>")
	s = stamps.ReplaceAllString(s, "<time>")
	s = hexes.ReplaceAllStringFunc(s, func(h string) string { return fmt.Sprintf("<hex%d>", (len(h)+15)/16*16) })
	s = ulids.ReplaceAllString(s, "<ulid>")
	s = whys.ReplaceAllString(s, "$1: <why>")
	s = servers.ReplaceAllString(s, "<aiohttp>")
	return strings.ReplaceAll(s, k.end.version, "<version>")
}

// line is a WebSocket under the script's control.
type line struct {
	k    *talk
	conn *websocket.Conn
	id   int
}

func (k *talk) dial(head http.Header) *line {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+k.host+"/api/websocket", &websocket.DialOptions{HTTPHeader: head}) //nolint:bodyclose
	if err != nil {
		k.t.Fatal(err)
	}
	conn.SetReadLimit(64 << 20)
	k.t.Cleanup(func() { _ = conn.CloseNow() })
	return &line{k: k, conn: conn}
}

// login opens a socket and shows a token.
func (k *talk) login(token string) *line {
	k.t.Helper()
	l := k.dial(nil)
	l.send(text(object{"type": "auth", "access_token": token}))
	l.hear()
	if m, ok := l.hear().(object); !ok || m["type"] != "auth_ok" {
		k.t.Fatalf("auth: %v", m)
	}
	return l
}

func (l *line) send(s string) {
	if err := l.conn.Write(l.k.t.Context(), websocket.MessageText, []byte(s)); err != nil {
		l.k.t.Logf("send %.60s: %v", s, err)
	}
}

func (l *line) binary(b []byte) {
	if err := l.conn.Write(l.k.t.Context(), websocket.MessageBinary, b); err != nil {
		l.k.t.Logf("send: %v", err)
	}
}

// hear returns the next message; the close code when it was closed; "silence"
// when nothing came.
func (l *line) hear() any { return l.hearFor(5 * time.Second) }

func (l *line) hearFor(patience time.Duration) any {
	ctx, cancel := context.WithTimeout(l.k.t.Context(), patience)
	defer cancel()
	_, data, err := l.conn.Read(ctx)
	var closed websocket.CloseError
	switch {
	case errors.As(err, &closed):
		return fmt.Sprintf("closed with %d", closed.Code)
	case ctx.Err() != nil:
		return "silence"
	case err != nil:
		return "gone"
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		l.k.t.Fatal(err)
	}
	return v
}

// says notes what comes back on frames: that many messages.
func (l *line) says(step string, count int, frames ...string) []any {
	l.k.t.Helper()
	for _, f := range frames {
		l.send(f)
	}
	var got []any
	for range count {
		got = append(got, l.hear())
	}
	l.k.note(step, got)
	return got
}

// command sends one command and returns its result without noting it.
func (l *line) command(o object) (any, object) {
	l.k.t.Helper()
	l.id++
	o = maps.Clone(o)
	o["id"] = l.id
	l.send(text(o))
	for {
		m, ok := l.hear().(object)
		if !ok {
			l.k.t.Fatalf("%v: the socket ended", o)
		}
		if m["id"] == float64(l.id) && m["type"] == "result" {
			failed, _ := m["error"].(object)
			return m["result"], failed
		}
	}
}

// does notes the result of one command; keep names the members that are compared.
func (l *line) does(step string, o object, keep ...string) any {
	l.k.t.Helper()
	result, failed := l.command(o)
	saw := result
	if r, ok := result.(object); ok && len(keep) > 0 {
		r = maps.Clone(r)
		maps.DeleteFunc(r, func(name string, _ any) bool { return !slices.Contains(keep, name) })
		saw = r
	}
	if failed != nil {
		saw = failed
	}
	l.k.note(step, object{"ok": failed == nil, "result": saw})
	return result
}

func (l *line) close() { _ = l.conn.Close(websocket.StatusNormalClosure, "") }
