package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"gatehouse/internal/event"
	"gatehouse/internal/guard"
	"gatehouse/internal/ha"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// The relay of /api/websocket. It ends the client's socket and opens its own to
// Home Assistant only after the first message has named a token of the device that
// asks; from then on every message of the client is read as Home Assistant would
// read it (ha-protocol 3) before it passes, and what Home Assistant says is passed
// on in pieces, so that neither a slow reader nor a large answer costs memory.
const (
	authTimeout   = 10 * time.Second // Home Assistant's own (ha-protocol 3.1)
	authMax       = 64 << 10
	clientMax     = 4 << 20   // what Home Assistant accepts in one message
	haMax         = 256 << 20 // what it may answer: registries, states, history
	writeTimeout  = 30 * time.Second
	lookEvery     = writeTimeout / 3 // for writes that do not end
	pingEvery     = 55 * time.Second
	pingTimeout   = 30 * time.Second
	compressAbove = 512 // octets; smaller messages are not worth it
)

// relay serves a client's WebSocket until one of both sides, the device or its session ends.
func (f *flight) relay() *refusal {
	if !f.sameOrigin() {
		return &refusal{why: "WebSocket from another site"}
	}
	hello := ha.AuthRequiredOfNobody
	if f.held {
		leave, ok := f.gw.held.enter(f.addr)
		if !ok {
			return &refusal{why: "too many sockets without a token"}
		}
		f.unheld = leave
		defer leave()
	} else {
		version := f.gw.haVersion(f.r.Context())
		if version == "" {
			return &refusal{why: "Home Assistant does not answer", down: true}
		}
		hello = ha.AuthRequired(version)
	}
	s, err := f.accept()
	if err != nil {
		f.takeDown(&refusal{why: "WebSocket handshake is malformed"})
		return nil // accept has answered
	}
	defer s.client.CloseNow()
	if f.authenticate(s, hello) {
		s.run()
	}
	return nil
}

// sameOrigin holds against cross-site WebSocket hijacking: a page's origin must be
// the host it speaks to. Programs send none.
func (f *flight) sameOrigin() bool {
	origin := f.r.Header["Origin"]
	return len(origin) == 0 || len(origin) == 1 && (origin[0] == f.origin() ||
		origin[0] == "wss://"+f.r.Host && ha.CompanionApp(f.r.UserAgent()) == ha.AppIOS) // older apps' own socket library
}

// socket is one relayed connection.
type socket struct {
	f      *flight
	ctx    context.Context
	cancel context.CancelFunc
	client *websocket.Conn
	ha     *websocket.Conn

	toClient, toHA stall
	revoked        atomic.Bool
}

// accept answers the upgrade. Compression is without context takeover: 71 kB a
// connection instead of 284.
func (f *flight) accept() (*socket, error) {
	c, err := websocket.Accept(f.w, f.r, &websocket.AcceptOptions{
		InsecureSkipVerify:   true, // sameOrigin has looked
		CompressionMode:      websocket.CompressionNoContextTakeover,
		CompressionThreshold: compressAbove,
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.r.Context()))
	return &socket{f: f, ctx: ctx, cancel: cancel, client: c}, nil
}

// sayInvalid accepts an upgrade only to say that the sign-in has ended: a page that
// was live reloads itself then and comes to the sign-in page (ha-frontend section 4).
func (f *flight) sayInvalid() {
	s, err := f.accept()
	if err != nil {
		return
	}
	defer s.client.CloseNow()
	defer s.cancel()
	ctx, cancel := context.WithTimeout(s.ctx, authTimeout)
	defer cancel()
	if s.client.Write(ctx, websocket.MessageText, ha.AuthRequiredOfNobody) != nil {
		return
	}
	s.client.SetReadLimit(authMax)
	if _, _, err := s.client.Read(ctx); err != nil {
		return
	}
	_ = s.client.Write(ctx, websocket.MessageText, ha.AuthInvalid)
	_ = s.client.Close(websocket.StatusNormalClosure, "")
}

// authenticate reads the client's first message and, if its token is one of the
// device's, opens the socket to Home Assistant with it. Nothing of the client has
// reached Home Assistant before that.
func (f *flight) authenticate(s *socket, hello []byte) bool {
	ctx, cancel := context.WithTimeout(s.ctx, authTimeout)
	defer cancel()
	if err := s.client.Write(ctx, websocket.MessageText, hello); err != nil {
		return false
	}
	s.client.SetReadLimit(authMax)
	kind, first, err := s.client.Read(ctx)
	if err != nil || kind != websocket.MessageText {
		f.takeDown(&refusal{why: "no token on the socket"})
		return false
	}
	token, err := ha.ParseAuth(first)
	if err != nil {
		f.takeDown(&refusal{why: "first message is no token"})
		if !f.isKnown() && f.known.Standing == identity.StandingNone && !f.inside() {
			f.fail(guard.Scan, "", "first message of a socket is no token")
		}
		_ = s.client.Close(websocket.StatusNormalClosure, "")
		return false
	}
	if token == turnedAway {
		version, _ := f.gw.version.Load().(string)
		f.lead(ctx, s, version)
		return false
	}
	t, learned := f.gw.Identity.AccessToken(token)
	f.judgeOwn(t, learned)
	f.tried = f.triedToken(guard.HASocket, token, t, learned)
	no := f.filtered(f.isKnown())
	if no == nil && !f.isKnown() && !f.gw.Guard.Listens(f.addr) { // many sockets may have been opened before the ban
		f.unheard, no = true, notHeard()
	}
	if no == nil {
		no = f.decide()
	}
	if no != nil {
		f.blame(no)
		f.takeDown(no)
		if no.reason == policy.ReasonCredential && f.inBrowser() {
			_ = s.client.Write(ctx, websocket.MessageText, ha.AuthInvalid)
		}
		_ = s.client.Close(websocket.StatusPolicyViolation, "")
		return false
	}
	if f.unheld != nil {
		f.unheld()
	}
	return f.open(ctx, s, token)
}

// turnedAway is the token of a browser that signed in to Home Assistant as somebody
// else. It is good for nothing but to be known again here.
const turnedAway = "turned-away"

// settle is how long a page is given to begin with a connection before it loses it.
const settle = 2 * time.Second

// lead brings the page of a browser that was turned away to the notice that waits for
// it. Where /auth/token refuses, the frontend says for a minute that it cannot connect;
// where a socket that it had does not come back for auth_invalid, it reloads itself at
// once (ha-frontend 3). So the first socket is good for a moment, and the next is not.
func (f *flight) lead(ctx context.Context, s *socket, version string) {
	answer := ha.AuthInvalid
	if f.known.Notice == noticeOtherUser {
		f.gw.Identity.SetNotice(f.known.Session, noticeWaits)
		answer = ha.AuthOK(version)
	}
	if s.client.Write(ctx, websocket.MessageText, answer) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	for f.known.Notice == noticeOtherUser {
		if _, _, err := s.client.Read(ctx); err != nil {
			return // CloseNow is to follow
		}
	}
	_ = s.client.Close(websocket.StatusNormalClosure, "")
}

// open dials Home Assistant and lets it accept the token.
func (f *flight) open(ctx context.Context, s *socket, token string) bool {
	upstream := f.gw.upstream
	header := upstream.headers(f)
	for _, name := range []string{"Origin", "Cookie", "Authorization"} {
		header.Del(name)
	}
	for name := range header {
		if len(name) > 14 && name[:14] == "Sec-Websocket-" {
			delete(header, name)
		}
	}
	conn, _, err := websocket.Dial(ctx, upstream.socketURL(f.path), &websocket.DialOptions{
		HTTPClient:      &http.Client{Transport: upstream.transport},
		HTTPHeader:      header,
		Host:            f.r.Host,
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		f.unanswered(err)
		_ = s.client.Close(websocket.StatusTryAgainLater, "")
		return false
	}
	s.ha = conn
	conn.SetReadLimit(authMax)
	answer, err := f.greet(ctx, conn, token)
	if err != nil {
		conn.CloseNow()
		f.unanswered(err)
		_ = s.client.Close(websocket.StatusTryAgainLater, "")
		return false
	}
	if said, err := ha.ParseAuthMessage(answer); err != nil || said.Type != "auth_ok" {
		conn.CloseNow()
		if !f.isKnown() && !f.gw.Identity.Remembers(token) {
			f.fail(guard.HASocket, "", string(f.route))
		}
		if !f.byToken { // an app would take its sign-in for gone; its next refresh says so, if it is
			_ = s.client.Write(ctx, websocket.MessageText, ha.AuthInvalid)
		}
		_ = s.client.Close(websocket.StatusNormalClosure, "")
		return false
	}
	f.foundToken(token)
	if s.client.Write(ctx, websocket.MessageText, answer) != nil {
		conn.CloseNow()
		return false
	}
	return true
}

// greet is Home Assistant's side of the first three messages. It returns its answer to the token.
func (f *flight) greet(ctx context.Context, conn *websocket.Conn, token string) ([]byte, error) {
	_, hello, err := conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	if said, err := ha.ParseAuthMessage(hello); err != nil || said.Type != "auth_required" {
		return nil, errors.New("socket did not open with auth_required")
	} else if said.Version != "" {
		f.gw.version.Store(said.Version)
	}
	if err := conn.Write(ctx, websocket.MessageText, ha.AppendAuth(nil, token)); err != nil {
		return nil, err
	}
	kind, answer, err := conn.Read(ctx)
	if err == nil && kind != websocket.MessageText {
		err = errors.New("binary answer to a token")
	}
	return answer, err
}

// run relays until one side ends.
func (s *socket) run() {
	f := s.f
	defer s.ha.CloseNow()
	defer s.cancel()
	stop := make(chan struct{})
	remove, ok := f.enlist(func() { s.revoked.Store(true); close(stop) })
	if !ok { // revoked in this very moment
		f.emit(event.SocketEnded, "")
		_ = s.client.Close(websocket.StatusPolicyViolation, "")
		return
	}
	defer remove()
	f.gw.counts.add(CountSockets)
	s.client.SetReadLimit(clientMax)
	s.ha.SetReadLimit(haMax)

	ended := make(chan error, 3)
	go func() { ended <- s.fromHA() }()
	go func() { ended <- s.fromClient() }()
	go func() { ended <- s.keepAlive() }()
	var err error
	running := 3
	select {
	case err = <-ended:
		running--
	case <-stop:
	}
	s.farewell(err)
	s.cancel()
	s.client.CloseNow()
	s.ha.CloseNow()
	for range running {
		<-ended
	}
}

// farewell tells the client why its socket ends, in at most a moment.
func (s *socket) farewell(err error) {
	code := websocket.CloseStatus(err)
	switch {
	case s.revoked.Load():
		code = websocket.StatusPolicyViolation
		s.f.emit(event.SocketEnded, "")
	case errors.Is(err, errRefused):
		code = websocket.StatusPolicyViolation
	case code < 0 || code == websocket.StatusNoStatusRcvd || code == websocket.StatusAbnormalClosure:
		code = websocket.StatusNormalClosure
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.client.Close(code, "") }()
	select {
	case <-done:
	case <-time.After(200 * time.Millisecond):
		s.client.CloseNow()
		<-done
	}
}

var (
	errRefused = errors.New("client broke the protocol")
	errStalled = errors.New("what was written was not taken")
)

// fromHA passes on what Home Assistant says: a small message in one frame, a large one
// piece by piece. No context and no timer goes with each message: run ends the reads
// and writes by closing both sides, and keepAlive sees writes that do not end.
func (s *socket) fromHA() error {
	for {
		kind, r, err := s.ha.Reader(context.Background())
		if err != nil {
			return err
		}
		buf := buffers.Get().(*[]byte) // not held while nothing is said
		err = s.passMessage(kind, r, *buf)
		buffers.Put(buf)
		if err != nil {
			return err
		}
	}
}

// passMessage passes one message to the client.
func (s *socket) passMessage(kind websocket.MessageType, r io.Reader, buf []byte) error {
	n, err := 0, error(nil)
	for n < len(buf) && err == nil {
		var more int
		more, err = r.Read(buf[n:])
		n += more
	}
	if err == io.EOF {
		s.toClient.begin()
		defer s.toClient.end()
		return s.client.Write(context.Background(), kind, buf[:n])
	}
	if err != nil {
		return err
	}
	w, err := s.client.Writer(context.Background(), kind)
	if err != nil {
		return err
	}
	for err == nil {
		if err := s.passPiece(w, buf[:n], false); err != nil {
			return err
		}
		n, err = r.Read(buf)
	}
	if err == io.EOF {
		return s.passPiece(w, buf[:n], true)
	}
	return err
}

// passPiece writes a piece of a message; each has its own time.
func (s *socket) passPiece(w io.WriteCloser, piece []byte, last bool) error {
	s.toClient.begin()
	defer s.toClient.end()
	if len(piece) > 0 {
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	if last {
		return w.Close()
	}
	return nil
}

// stall says since when a write has been under way.
type stall struct{ since atomic.Int64 } // UnixNano; 0 while there is none

func (s *stall) begin() { s.since.Store(time.Now().UnixNano()) }
func (s *stall) end()   { s.since.Store(0) }

// over reports whether a write has been under way for too long.
func (s *stall) over(now time.Time) bool {
	since := s.since.Load()
	return since != 0 && now.UnixNano()-since > int64(writeTimeout)
}

// fromClient passes on what the client says, after it was read and judged.
func (s *socket) fromClient() error {
	var buf []byte
	for {
		kind, r, err := s.client.Reader(context.Background()) // see fromHA
		if err != nil {
			return err
		}
		if buf, err = readAll(r, buf[:0]); err != nil {
			return err
		}
		out := buf
		if kind == websocket.MessageText {
			if out, err = s.inspect(buf); err != nil {
				s.f.takeDown(&refusal{why: "message is malformed"})
				return errRefused
			}
		}
		if len(out) > 0 {
			s.toHA.begin()
			err = s.ha.Write(context.Background(), kind, out)
			s.toHA.end()
			if err != nil {
				return err
			}
		}
		if cap(buf) > 64<<10 {
			buf = nil // a large message's memory is not kept
		}
	}
}

// inspect reads the commands of one message, answers those that are refused and
// returns what is left to pass on.
func (s *socket) inspect(message []byte) ([]byte, error) {
	commands, err := ha.ParseCommands(message)
	if err != nil {
		return nil, err
	}
	refused := 0
	for i, c := range commands {
		if !s.allowed(c) {
			commands[i].Raw = nil
			refused++
			s.f.takeDown(&refusal{why: "command"})
			if err := s.answerUnauthorized(c.ID); err != nil {
				return nil, err
			}
		}
	}
	if refused == 0 {
		return message, nil
	}
	var left []byte
	for _, c := range commands {
		if c.Raw == nil {
			continue
		}
		if len(left) > 0 {
			left = append(left, ',')
		}
		left = append(left, c.Raw...)
	}
	if len(left) == 0 {
		return nil, nil
	}
	return append(append([]byte{'['}, left...), ']'), nil
}

// allowed asks the policy about one command of a known device.
func (s *socket) allowed(c ha.Command) bool {
	if !s.f.strict() {
		return true
	}
	endpoint := ""
	if c.Type == "supervisor/api" {
		endpoint = ha.SupervisorEndpoint(c.Raw)
	}
	return policy.Command(s.f.who, c.Type, endpoint).Allow
}

func (s *socket) answerUnauthorized(id uint64) error {
	ctx, cancel := context.WithTimeout(s.ctx, writeTimeout)
	defer cancel()
	return s.client.Write(ctx, websocket.MessageText, []byte(`{"id":`+strconv.FormatUint(id, 10)+
		`,"type":"result","success":false,"error":{"code":"unauthorized","message":"Unauthorized"}}`))
}

// keepAlive pings the client, and looks whether the session is still live: it may
// run out without anybody ending it. It ends a socket on which a write does not end.
func (s *socket) keepAlive() error {
	look, tick := time.NewTicker(lookEvery), time.NewTicker(pingEvery)
	defer look.Stop()
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return s.ctx.Err()
		case <-look.C:
			if now := time.Now(); s.toClient.over(now) || s.toHA.over(now) {
				return errStalled
			}
			continue
		case <-tick.C:
		}
		if s.f.who.Device != "" && !s.f.stillLive() {
			s.revoked.Store(true)
			return errRefused
		}
		ctx, cancel := context.WithTimeout(s.ctx, pingTimeout)
		err := s.client.Ping(ctx)
		cancel()
		if err != nil {
			return err
		}
	}
}

// readAll reads r to its end, into buf where it fits.
func readAll(r io.Reader, buf []byte) ([]byte, error) {
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

// haVersion is what Home Assistant says its version is. It is asked for the first
// time when the first socket comes, and learned anew from each one.
func (g *Gateway) haVersion(ctx context.Context) string {
	if v, _ := g.version.Load().(string); v != "" {
		return v
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	v, err := g.Users.Version(ctx)
	if err != nil {
		g.silent("error", err)
		return ""
	}
	g.version.Store(v)
	return v
}
