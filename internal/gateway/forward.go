package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatehouse/internal/ha"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

// forward hands the request to Home Assistant and its answer back.
func (f *flight) forward() *refusal {
	switch {
	case f.known.Notice != "" && (f.shape == shapeNavigation || f.shape == shapeAppPage):
		return f.showNotice()
	case f.stale:
		// Speakers and pages that slept ask again and again. Home Assistant would say the same,
		// and count it against them for good.
		return &refusal{why: "signature ran out", status: http.StatusUnauthorized}
	case f.upgrade && f.route == ha.RouteWebSocket:
		return f.relay()
	case f.upgrade:
		return f.tunnel()
	case f.route == ha.RouteToken || f.route == ha.RouteRevoke || f.route == ha.RouteLoginFlow:
		return f.forwardLogin()
	case f.route == ha.RouteWorker && !f.gw.PlainWorker && f.r.Method == http.MethodGet:
		return f.forwardWorker()
	case f.route == ha.RouteRegistration:
		return f.forwardRegistration()
	case f.hook != nil:
		return f.forwardWebhook()
	case f.gw.upstream.short(f.r):
		return f.forwardShort()
	}
	ctx, cancel := context.WithCancel(f.r.Context())
	defer cancel()
	if f.r.ContentLength != 0 {
		// Its body may be held back for as long as its sender likes; what it asks for is not
		// done for a device that is revoked meanwhile.
		remove, ok := f.enlist(cancel)
		if !ok {
			return &refusal{why: string(policy.ReasonRevoked)}
		}
		defer remove()
		f.r.Body = liveBody{ctx, f.r.Body}
	}
	answer, no := f.ask(ctx)
	if no != nil {
		return no
	}
	defer answer.Body.Close()
	f.gw.counts.add(CountForwarded)
	f.heard(answer.StatusCode)
	if lasts(answer) && f.r.ContentLength == 0 {
		remove, ok := f.enlist(cancel)
		if !ok {
			return &refusal{why: string(policy.ReasonRevoked)}
		}
		defer remove()
	}
	f.pass(answer)
	return nil
}

// liveBody is a request's body as long as ctx lives: what comes afterwards is not passed on,
// however long the transport takes to notice.
type liveBody struct {
	ctx context.Context
	io.ReadCloser
}

func (b liveBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.ctx.Err() != nil {
		return 0, context.Cause(b.ctx)
	}
	return n, err
}

// forwardShort is the rest of forward by way of the link.
func (f *flight) forwardShort() *refusal {
	x, no := f.send()
	if no != nil {
		return no
	}
	defer x.close()
	f.gw.counts.add(CountForwarded)
	f.heard(x.status)
	if x.lasts() {
		remove, ok := f.enlist(x.abort)
		if !ok {
			return &refusal{why: string(policy.ReasonRevoked)}
		}
		defer remove()
	}
	answerFields(f.w.Header(), x.fields)
	f.w.WriteHeader(x.status)
	if err := x.pass(f.w); err != nil {
		panic(http.ErrAbortHandler) // see pass
	}
	return nil
}

// heads holds the buffers that requests' heads are written in.
var heads = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}

// send sends the request on the link. The exchange is the caller's to close.
func (f *flight) send() (*exchange, *refusal) {
	buf := heads.Get().(*[]byte)
	head, err := f.gw.upstream.appendHead((*buf)[:0], f)
	var x *exchange
	if err == nil {
		x, err = f.gw.upstream.link.send(f.r.Context(), f.r.Method, head)
		if cap(head) <= 32<<10 {
			*buf = head[:0]
		}
	}
	heads.Put(buf)
	if err != nil {
		return nil, f.unanswered(err)
	}
	return x, nil
}

// ask sends the request to Home Assistant. The answer's body is the caller's to close.
func (f *flight) ask(ctx context.Context) (*http.Response, *refusal) {
	answer, err := f.gw.upstream.transport.RoundTrip(f.gw.upstream.request(ctx, f))
	if err != nil {
		return nil, f.unanswered(err)
	}
	return answer, nil
}

// unanswered is what an error on the way to Home Assistant means to the client.
func (f *flight) unanswered(err error) *refusal {
	var broken *wire.RefusedError
	if errors.As(err, &broken) { // of the client's own body, read on the way
		return &refusal{why: "body is malformed", bare: true}
	}
	if f.r.Context().Err() == nil && !errors.Is(err, context.Canceled) {
		f.gw.silent("route", f.route, "error", err)
	}
	return &refusal{why: "Home Assistant does not answer", down: true}
}

// silent says in the log that Home Assistant did not answer, once in a while: more is how often
// it did not since.
func (g *Gateway) silent(attrs ...any) {
	if more, ok := g.silence.says(time.Now(), unansweredEvery); ok {
		g.Log.Warn("Home Assistant did not answer", append(attrs, "more", more)...)
	}
}

// pass writes Home Assistant's answer to the client as it comes.
func (f *flight) pass(answer *http.Response) {
	answerHeaders(f.w.Header(), answer.Header)
	f.w.WriteHeader(answer.StatusCode)
	if f.r.Method == http.MethodHead {
		return
	}
	if err := f.copy(answer.Body, streams(answer)); err != nil {
		// The client must not take half an answer for a whole one.
		panic(http.ErrAbortHandler)
	}
}

// buffers holds the 32 KiB pieces that bodies are copied by.
var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// copy passes a body on, each piece at once where it is a stream.
func (f *flight) copy(body io.Reader, stream bool) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	control := http.NewResponseController(f.w)
	for {
		n, err := body.Read(*buf)
		if n > 0 {
			if _, werr := f.w.Write((*buf)[:n]); werr != nil {
				return werr
			}
			if stream {
				if ferr := control.Flush(); ferr != nil {
					return ferr
				}
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// streams reports whether an answer must be passed on piece by piece: it has no
// length (SSE, MJPEG, logs that are followed, long polls).
func streams(answer *http.Response) bool { return answer.ContentLength < 0 }

// lasts reports whether an answer may take so long that its device could end meanwhile.
func lasts(answer *http.Response) bool {
	return answer.ContentLength < 0 || answer.ContentLength > 1<<20
}

// enlist makes something lasting end with its device or session. It looks again
// whether they are still live: they may have ended between identify and now, and the house
// may have been closed.
func (f *flight) enlist(end func()) (remove func(), ok bool) {
	session := f.known.Session
	if f.byToken || f.byKey {
		session = "" // the end of an old session of its web view is not the app's
	}
	open := f.decision.Reason == policy.ReasonHome
	remove = f.gw.live.put(lasting{f.who.Device, session, f.key, open, end})
	if f.keyDevice != "" && f.keyDevice != f.who.Device {
		ofKey, ofDevice := f.gw.live.put(lasting{f.keyDevice, "", f.key, false, end}), remove
		remove = func() { ofKey(); ofDevice() }
	}
	if open && f.closed() || f.who.Device != "" && !f.stillLive() {
		remove()
		return nil, false
	}
	return remove, true
}

func (f *flight) stillLive() bool {
	if !f.keyLives() {
		return false
	}
	if f.byToken || f.byKey {
		who, ok := f.gw.Identity.Who(f.who.Device)
		return ok && !who.Revoked
	}
	now := f.gw.Identity.Recognise(f.cookie)
	return now.Standing == identity.StandingLive && !now.Who.Revoked
}

// workerLines stand in front of Home Assistant's service worker: navigations and
// our own pages belong to the network, in every release (ha-frontend section 4).
const workerLines = `self.addEventListener('fetch', (e) => {
  if (e.request.mode === 'navigate' || new URL(e.request.url).pathname.startsWith('/_gatehouse/')) e.stopImmediatePropagation();
});
`

// workerMax bounds the worker script; Home Assistant's has some 100 kB.
const workerMax = 8 << 20

// forwardWorker passes Home Assistant's service worker with our lines in front of it.
func (f *flight) forwardWorker() *refusal {
	f.r.Header.Set("Accept-Encoding", "identity")
	for _, conditional := range []string{"If-None-Match", "If-Modified-Since", "If-Range", "Range"} {
		f.r.Header.Del(conditional)
	}
	answer, no := f.ask(f.r.Context())
	if no != nil {
		return no
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK || !strings.Contains(answer.Header.Get("Content-Type"), "javascript") {
		f.pass(answer)
		return nil
	}
	script, err := io.ReadAll(io.LimitReader(answer.Body, workerMax+1))
	if err != nil || len(script) > workerMax || answer.Header.Get("Content-Encoding") != "" {
		return f.unanswered(errors.New("unusable service worker script"))
	}
	h := f.w.Header()
	answerHeaders(h, answer.Header)
	for _, name := range []string{"Etag", "Last-Modified", "Content-Length", "Accept-Ranges"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Length", strconv.Itoa(len(workerLines)+len(script)))
	f.w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(f.w, workerLines)
	_, _ = f.w.Write(script)
	return nil
}

// loginTimeout bounds what we ask Home Assistant ourselves while a person waits.
const loginTimeout = 15 * time.Second
