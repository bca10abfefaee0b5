package hatest

import (
	"bytes"
	"context"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Limits and patience of a WebSocket (ha-protocol 3.1, 3.2).
const (
	messageLimit = 4 << 20
	authLimit    = 64 << 10
	authPatience = 10 * time.Second
	pingEvery    = 55 * time.Second
	pingPatience = pingEvery / 2
	maxQueued    = 4096
	farewell     = 5 * time.Second
)

// socket is one connection of /api/websocket.
type socket struct {
	h     *Home
	r     *request
	conn  *websocket.Conn
	user  *user
	token string // id of the refresh token

	// Of the reading goroutine alone.
	last uint64
	subs map[uint64]func() // by the id of the command

	mu       sync.Mutex
	queue    [][]byte
	coalesce bool
	wake     chan struct{} // holds one
	stop     chan struct{} // closed: say what is queued, then close with 1000
	stopOnce sync.Once
	cancel   context.CancelFunc // drops the connection at once
}

// websocket is GET /api/websocket.
func (h *Home) websocket(r *request) {
	if problem := upgradeProblem(r.Header); problem != "" {
		r.plain(http.StatusBadRequest, problem)
		return
	}
	r.bare()
	conn, err := websocket.Accept(r.w, r.Request, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionContextTakeover})
	if err != nil {
		h.log.Debug("refuse a websocket", "err", err)
		return
	}
	conn.SetReadLimit(messageLimit)
	s := &socket{h: h, r: r, conn: conn, subs: map[uint64]func(){}, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	defer h.links.add(s.end)()
	s.serve()
}

// upgradeProblem is what aiohttp says of a request that is no handshake, "" if it is one.
func upgradeProblem(head http.Header) string {
	none := func(s string) string {
		if s == "" {
			return "None"
		}
		return s
	}
	holds := func(name, word string) bool {
		for e := range strings.SplitSeq(strings.Join(head[name], ","), ",") {
			if strings.EqualFold(strings.TrimSpace(e), word) {
				return true
			}
		}
		return false
	}
	switch {
	case !strings.EqualFold(strings.TrimSpace(head.Get("Upgrade")), "websocket"):
		return "No WebSocket UPGRADE hdr: " + none(head.Get("Upgrade")) + "\n Can \"Upgrade\" only to \"WebSocket\"."
	case !holds("Connection", "upgrade"):
		return "No CONNECTION upgrade hdr: " + none(head.Get("Connection"))
	case !slices.Contains([]string{"13", "8", "7"}, head.Get("Sec-Websocket-Version")):
		return "Unsupported version: " + none(head.Get("Sec-Websocket-Version"))
	case head.Get("Sec-Websocket-Key") == "":
		return "Handshake error: None"
	}
	key := head.Get("Sec-Websocket-Key")
	if random, err := base64.StdEncoding.DecodeString(key); err != nil || len(random) != 16 {
		return "Handshake error: '" + key + "'"
	}
	return ""
}

// end closes the socket with 1000 after what was queued. It does not wait.
func (s *socket) end() { s.stopOnce.Do(func() { close(s.stop) }) }

// serve runs the socket until it is closed by either side.
func (s *socket) serve() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.r.Context()))
	s.cancel = cancel
	var writers sync.WaitGroup
	writers.Go(func() { s.write(ctx); cancel() })
	writers.Go(func() { s.ping(ctx) })
	s.say(object{"type": "auth_required", "ha_version": s.h.release.name})
	if s.authenticate(ctx) {
		remove := s.h.accounts.onEnd(s.token, s.end)
		s.read(ctx)
		remove()
	}
	for _, stop := range s.subs {
		stop()
	}
	s.end()
	writers.Wait()
	cancel()
	_ = s.conn.CloseNow()
}

// authenticate takes the first message.
func (s *socket) authenticate(ctx context.Context) bool {
	// The library ends the connection when the context of a read ends, without
	// a close frame: so the patience ends it in order.
	timer := time.AfterFunc(authPatience, s.end)
	defer timer.Stop()
	kind, data, err := s.conn.Read(ctx)
	if err != nil || kind != websocket.MessageText || len(data) > authLimit && s.h.release.since(2026, 11) {
		return false
	}
	v, err := decodeJSON(data)
	if err != nil {
		return false
	}
	message, err := fields(need("type", oneOf("auth")), may("access_token", isString)).check(v)
	if err != nil {
		s.say(object{"type": "auth_invalid", "message": "Auth message incorrectly formatted: " + err.Error() + ". Got " + string(encodeJSON(v))})
		return false
	}
	a := &s.h.accounts
	a.mu.Lock()
	t := a.validate(text(message, "access_token"))
	why := "Invalid access token or password"
	switch {
	case t == nil:
	case s.h.release.since(2026, 8):
		why = notAllowed(t.user, s.r.remote)
	default:
		why = "" // older releases let a user who is local only in from anywhere
	}
	a.mu.Unlock()
	if why != "" {
		s.say(object{"type": "auth_invalid", "message": why})
		return false
	}
	s.user, s.token = t.user, t.id
	s.say(object{"type": "auth_ok", "ha_version": s.h.release.name})
	return true
}

// read takes commands until the socket ends.
func (s *socket) read(ctx context.Context) {
	for {
		kind, data, err := s.conn.Read(ctx)
		if err != nil {
			return
		}
		if kind == websocket.MessageBinary {
			if len(data) == 0 {
				return
			}
			s.h.log.Debug("no handler for a binary message", "handler", data[0])
			continue
		}
		v, err := decodeJSON(data)
		if err != nil {
			return
		}
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		for _, message := range list {
			s.handle(message)
		}
		select {
		case <-s.stop:
			return
		default:
		}
	}
}

// handle takes one command: its shape, its id, its type, its fields.
func (s *socket) handle(v any) {
	message, ok := v.(object)
	id, good := uint64(0), false
	if ok {
		switch n := message["id"].(type) {
		case int64:
			id, good = uint64(n), n > 0
		case uint64:
			id, good = n, true
		}
	}
	kind := text(message, "type")
	if !good || kind == "" {
		var back any = int64(0)
		if ok {
			back = message["id"]
		}
		s.refuse(back, "invalid_format", "Message incorrectly formatted.")
		return
	}
	if id <= s.last {
		s.refuse(id, "id_reuse", "Identifier values have to increase.")
		return
	}
	command, ok := s.h.commands[kind]
	if !ok {
		s.refuse(id, "unknown_command", "Unknown command.")
		return
	}
	s.last = id
	checked, err := command.takes.check(message)
	switch {
	case err != nil:
		s.refuse(id, "invalid_format", err.Error())
	case command.admin && !s.h.accounts.isAdmin(s.user):
		s.refuse(id, "unauthorized", "Unauthorized")
	default:
		command.does(&ask{socket: s, id: id, object: checked})
	}
}

// refuse answers a command with an error.
func (s *socket) refuse(id any, code, message string) {
	s.say(object{"id": id, "type": "result", "success": false, "error": object{"code": code, "message": message}})
}

// say queues a message.
func (s *socket) say(v any) { s.queued(encodeJSON(v)) }

func (s *socket) queued(data []byte) {
	s.mu.Lock()
	s.queue = append(s.queue, data)
	full := len(s.queue) > maxQueued
	s.mu.Unlock()
	if full { // the client reads too slowly
		s.cancel()
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// taken empties the queue into the messages to send.
func (s *socket) taken() (messages [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	messages, s.queue = s.queue, nil
	if s.coalesce && len(messages) > 1 {
		return [][]byte{slices.Concat([]byte("["), bytes.Join(messages, []byte(",")), []byte("]"))}
	}
	return messages
}

// write sends what is queued until the socket ends.
func (s *socket) write(ctx context.Context) {
	send := func() error {
		for _, m := range s.taken() {
			if err := s.conn.Write(ctx, websocket.MessageText, m); err != nil {
				return err
			}
		}
		return nil
	}
	for {
		select {
		case <-s.wake:
			if send() != nil {
				_ = s.conn.CloseNow()
				return
			}
		case <-s.stop:
			if send() == nil {
				_ = s.conn.Close(websocket.StatusNormalClosure, "")
			}
			return
		case <-ctx.Done():
			return
		}
	}
}

// ping looks now and then whether the client is there.
func (s *socket) ping(ctx context.Context) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			waited, cancel := context.WithTimeout(ctx, pingPatience)
			err := s.conn.Ping(waited)
			cancel()
			if err != nil {
				_ = s.conn.CloseNow()
				return
			}
		case <-s.stop:
			// Who does not take the farewell is dropped.
			timer := time.AfterFunc(farewell, s.cancel)
			<-ctx.Done()
			timer.Stop()
			return
		case <-ctx.Done():
			return
		}
	}
}

// ask is one command on its way.
type ask struct {
	*socket
	id uint64
	object
}

func (a *ask) text(name string) string { return text(a.object, name) }

// result answers the command.
func (a *ask) result(v any) {
	a.say(object{"id": a.id, "type": "result", "success": true, "result": v})
}

func (a *ask) fail(code, message string) { a.refuse(a.id, code, message) }

// event tells a subscription something.
func (a *ask) event(v any) { a.say(object{"id": a.id, "type": "event", "event": v}) }

// keep remembers how the subscription of this command ends.
func (a *ask) keep(stop func()) { a.subs[a.id] = stop }

// command is a type of message and who answers it.
type command struct {
	takes schema // with id and type
	admin bool
	does  func(*ask)
}

// takes makes the schema of a command from the fields beside id and type.
func takes(f ...field) schema {
	return fields(append([]field{need("id", isAny), need("type", isString)}, f...)...)
}

// commandTable is every command that this release of the home knows.
func (h *Home) commandTable() map[string]command {
	table := map[string]command{}
	for _, part := range []map[string]command{h.stateCommands(), h.authCommands(), h.userCommands(), h.registryCommands(), h.phoneCommands(), h.settingCommands(), h.ingressCommands()} {
		maps.Copy(table, part)
	}
	return table
}
