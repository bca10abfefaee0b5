package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// framed is a client that writes HTTP/2 frames as it likes.
type framed struct {
	*http2.Framer
	conn *tls.Conn
	head bytes.Buffer
	enc  *hpack.Encoder
}

func (ts *testServer) framed(t testing.TB) *framed {
	t.Helper()
	cfg := ts.tls.Clone()
	cfg.NextProtos = []string{"h2"}
	c, err := tls.Dial("tcp", ts.addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.NetConn().Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	f := &framed{Framer: http2.NewFramer(c, c), conn: c}
	f.AllowIllegalWrites = true
	f.enc = hpack.NewEncoder(&f.head)
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return f
}

// block encodes header fields, given as name, value, name, value.
func (f *framed) block(fields ...string) []byte {
	f.head.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = f.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(f.head.Bytes())
}

// request sends a request without a body, or the head of one with.
func (f *framed) request(stream uint32, end bool, fields ...string) error {
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: f.block(fields...), EndStream: end, EndHeaders: true})
}

// outcome reads until a stream is answered or ended: its status, "reset" or "closed".
func (f *framed) outcome(stream uint32) string { return f.outcomes(stream)[stream] }

// outcomes is outcome for several streams.
func (f *framed) outcomes(streams ...uint32) map[uint32]string {
	dec := hpack.NewDecoder(4096, nil)
	all := make(map[uint32]string)
	for len(all) < len(streams) {
		frame, err := f.ReadFrame()
		if err != nil {
			for _, s := range streams {
				if all[s] == "" {
					all[s] = "closed"
				}
			}
			break
		}
		switch frame := frame.(type) {
		case *http2.HeadersFrame:
			fields, err := dec.DecodeFull(frame.HeaderBlockFragment())
			if err != nil {
				all[frame.StreamID] = err.Error()
			} else {
				all[frame.StreamID] = fields[0].Value
			}
		case *http2.RSTStreamFrame:
			if all[frame.StreamID] == "" {
				all[frame.StreamID] = "reset"
			}
		}
	}
	return all
}

// h2get are the pseudo-headers of a good request, and more fields.
func h2get(more ...string) []string {
	return append([]string{":method", "GET", ":scheme", "https", ":authority", "localhost", ":path", "/p?q"}, more...)
}

func h2post(more ...string) []string { return slices.Replace(h2get(more...), 1, 2, "POST") }

func TestHTTP2Requests(t *testing.T) {
	var seen atomic.Pointer[http.Request]
	ts := serveTLS(t, Limits{}, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		if err == nil {
			seen.Store(r.Clone(context.Background()))
		}
		w.WriteHeader(http.StatusNoContent)
	})
	without := func(name string) []string {
		f := h2get()
		i := slices.Index(f, name)
		return slices.Delete(f, i, i+2)
	}
	with := func(name, value string) []string {
		f := h2get()
		f[slices.Index(f, name)+1] = value
		return f
	}
	for _, tc := range []struct {
		name    string
		fields  []string
		body    string // "" means that the stream ends with its headers
		trailer []string
		ok      bool
	}{
		{name: "plain", fields: h2get("accept", "*/*"), ok: true},
		{name: "capitals in authority", fields: with(":authority", "LOCALHOST:8443"), ok: true},
		{name: "host as well", fields: h2get("host", "localhost"), ok: true},
		{name: "host instead", fields: append(without(":authority"), "host", "localhost"), ok: true},
		{name: "te trailers", fields: h2get("te", "trailers"), ok: true},
		{name: "cookies", fields: h2get("cookie", "a=b", "cookie", "c=d"), ok: true},
		{name: "underscore", fields: h2get("x_thing", "1"), ok: true},
		{name: "POST", fields: h2post("content-length", "3"), body: "abc", ok: true},
		{name: "POST without length", fields: h2post(), body: "abc", ok: true},
		{name: "POST without body", fields: h2post("content-length", "0"), ok: true},
		{name: "DELETE", fields: with(":method", "DELETE"), ok: true},
		{name: "scheme http", fields: with(":scheme", "http"), ok: true}, // net/http does not tell; nothing depends on it

		{name: "other host", fields: h2get("host", "other.example")},
		{name: "two hosts", fields: h2get("host", "localhost", "host", "localhost")},
		{name: "no host", fields: without(":authority")},
		{name: "empty authority", fields: with(":authority", "")},
		{name: "authority with user", fields: with(":authority", "u@localhost")},
		{name: "authority with path", fields: with(":authority", "localhost/a")},
		{name: "no path", fields: without(":path")},
		{name: "no method", fields: without(":method")},
		{name: "no scheme", fields: without(":scheme")},
		{name: "scheme gopher", fields: with(":scheme", "gopher")},
		{name: "two paths", fields: h2get(":path", "/b")},
		{name: "path after headers", fields: append(append(without(":path"), "a", "b"), ":path", "/")},
		{name: "unknown pseudo-header", fields: h2get(":x", "y")},
		{name: "response pseudo-header", fields: h2get(":status", "200")},
		{name: "asterisk", fields: with(":path", "*")},
		{name: "absolute form", fields: with(":path", "https://localhost/")},
		{name: "two slashes", fields: with(":path", "//other.example/")},
		{name: "empty path", fields: with(":path", "")},
		{name: "space in path", fields: with(":path", "/a b")},
		{name: "request in path", fields: with(":path", "/ HTTP/1.1\r\nHost: x")},
		{name: "fragment", fields: with(":path", "/a#b")},
		{name: "raw UTF-8 in path", fields: with(":path", "/ä")},
		{name: "CONNECT", fields: []string{":method", "CONNECT", ":authority", "localhost:443"}},
		{name: "extended CONNECT", fields: append([]string{":protocol", "websocket"}, with(":method", "CONNECT")...)},
		{name: "TRACE", fields: with(":method", "TRACE")},
		{name: "unknown method", fields: with(":method", "FOO")},
		{name: "method with space", fields: with(":method", "GET /x")},
		{name: "connection", fields: h2get("connection", "close")},
		{name: "keep-alive", fields: h2get("keep-alive", "1")},
		{name: "proxy-connection", fields: h2get("proxy-connection", "x")},
		{name: "transfer-encoding", fields: h2post("transfer-encoding", "chunked"), body: "abc"},
		{name: "upgrade", fields: h2get("upgrade", "h2c")},
		{name: "te gzip", fields: h2get("te", "gzip")},
		{name: "capitals in name", fields: h2get("X-A", "b")},
		{name: "space in name", fields: h2get("x a", "b")},
		{name: "colon in name", fields: h2get("x:a", "b")},
		{name: "line in name", fields: h2get("x\r\na", "b")},
		{name: "CR LF in value", fields: h2get("x-a", "b\r\nx-b: c")},
		{name: "LF in value", fields: h2get("x-a", "b\nc")},
		{name: "NUL in value", fields: h2get("x-a", "b\x00c")},
		{name: "Latin-1 value", fields: h2get("x-a", "\xfc")},
		{name: "space around value", fields: h2get("x-a", " b")},
		{name: "underscore that forwards", fields: h2get("x_forwarded_for", "::1")},
		{name: "underscore that frames", fields: h2post("content_length", "3"), body: "abc"},
		{name: "two lengths", fields: h2post("content-length", "3", "content-length", "3"), body: "abc"},
		{name: "different lengths", fields: h2post("content-length", "3", "content-length", "4"), body: "abc"},
		{name: "length too short", fields: h2post("content-length", "2"), body: "abc"},
		{name: "length too long", fields: h2post("content-length", "4"), body: "abc"},
		{name: "length without body", fields: h2post("content-length", "4")},
		{name: "signed length", fields: h2post("content-length", "+3"), body: "abc"},
		{name: "empty length", fields: h2post("content-length", ""), body: "abc"},
		{name: "GET with body", fields: h2get(), body: "abc"},
		{name: "GET with length", fields: h2get("content-length", "3")},
		{name: "two authorizations", fields: h2get("authorization", "a", "authorization", "b")},
		{name: "expectation", fields: h2post("expect", "x"), body: "abc"},
		{name: "announced trailer", fields: h2post("trailer", "x-t"), body: "abc", trailer: []string{"x-t", "1"}},
		{name: "too many headers", fields: h2get(strings.Split(strings.Repeat("a b ", 101), " ")[:202]...)},
		{name: "long line", fields: h2get("x-a", strings.Repeat("a", 25000))},
		{name: "long head", fields: h2get("x-a", strings.Repeat("a", 20000), "x-b", strings.Repeat("b", 20000))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			seen.Store(nil)
			f := ts.framed(t)
			block := f.block(tc.fields...)
			first := block[:min(len(block), 16<<10)]
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: first, EndStream: tc.body == "", EndHeaders: len(first) == len(block)})
			for rest := block[len(first):]; len(rest) > 0; {
				piece := rest[:min(len(rest), 16<<10)]
				rest = rest[len(piece):]
				_ = f.WriteContinuation(1, len(rest) == 0, piece)
			}
			if tc.body != "" {
				_ = f.WriteData(1, tc.trailer == nil, []byte(tc.body))
			}
			if tc.trailer != nil {
				_ = f.request(1, true, tc.trailer...)
			}
			got := f.outcome(1)
			r := seen.Load()
			if (r != nil) != tc.ok || (got == "204") != tc.ok && tc.name != "length too long" && tc.name != "length too short" {
				t.Errorf("%s; reached the handler: %v", got, r != nil)
			}
			if r != nil && (r.Host != strings.ToLower(r.Host) || len(r.Header["Host"]) > 0 || r.Header["X_thing"] != nil || r.RequestURI != "/p?q") {
				t.Errorf("%+v", r)
			}
		})
	}
}

// The checks do not depend on net/http having made them before.
func TestCheckHTTP2(t *testing.T) {
	good := func() *http.Request {
		return &http.Request{Method: "GET", ProtoMajor: 2, RequestURI: "/", Host: "h", TLS: &tls.ConnectionState{}, Header: http.Header{}}
	}
	if err := CheckHTTP2(good()); err != nil {
		t.Error(err)
	}
	for _, tc := range []struct {
		want   Reason
		change func(*http.Request)
	}{
		{ReasonPseudoHeader, func(r *http.Request) { r.ProtoMajor = 1 }},
		{ReasonPseudoHeader, func(r *http.Request) { r.TLS = nil }},
		{ReasonMethod, func(r *http.Request) { r.Method = "CONNECT" }},
		{ReasonTarget, func(r *http.Request) { r.RequestURI = "*" }},
		{ReasonHost, func(r *http.Request) { r.Host = "" }},
		{ReasonHost, func(r *http.Request) { r.Header["Host"] = []string{"other"} }},
		{ReasonTrailer, func(r *http.Request) { r.Trailer = http.Header{"X": nil} }},
		{ReasonTrailer, func(r *http.Request) { r.Header.Set("Trailer", "x") }},
		{ReasonBody, func(r *http.Request) { r.ContentLength = -1 }},
		{ReasonLength, func(r *http.Request) { r.Header.Set("Content-Length", "3") }},
		{ReasonLength, func(r *http.Request) { r.Header.Set("Content-Length", "x") }},
		{ReasonRepeated, func(r *http.Request) { r.Header["Content-Length"] = []string{"0", "0"} }},
		{ReasonConnection, func(r *http.Request) { r.Header.Set("Connection", "close") }},
		{ReasonConnection, func(r *http.Request) { r.Header.Set("Te", "gzip") }},
		{ReasonConnection, func(r *http.Request) { r.Header.Set("Upgrade", "websocket") }},
		{ReasonConnection, func(r *http.Request) { r.Header.Set("Transfer-Encoding", "chunked") }},
		{ReasonExpect, func(r *http.Request) { r.Header.Set("Expect", "x") }},
		{ReasonHeaderName, func(r *http.Request) { r.Header[":protocol"] = []string{"websocket"} }},
		{ReasonHeaderName, func(r *http.Request) { r.Header[""] = []string{""} }},
		{ReasonHeaderValue, func(r *http.Request) { r.Header["A"] = []string{"b\x00"} }},
		{ReasonLineEnd, func(r *http.Request) { r.Header["A"] = []string{"b\rc"} }},
		{ReasonUnderscore, func(r *http.Request) { r.Header["Transfer_encoding"] = []string{"chunked"} }},
	} {
		r := good()
		tc.change(r)
		var refused *RefusedError
		if err := CheckHTTP2(r); !errors.As(err, &refused) || refused.Reason != tc.want {
			t.Errorf("%v, want %q", err, tc.want)
		}
	}
}

// Streams that are opened and reset at once cost little, and not for long.
func TestRapidReset(t *testing.T) {
	var begun atomic.Int64
	over := make(chan struct{})
	end := sync.OnceFunc(func() { close(over) })
	ts := serveTLS(t, Limits{MaxStreams: 20}, func(w http.ResponseWriter, r *http.Request) {
		begun.Add(1)
		<-over // does not look at its context
	})
	t.Cleanup(end)
	f := ts.framed(t)
	closed := make(chan struct{})
	go func() { defer close(closed); _, _ = io.Copy(io.Discard, f.conn) }()
	before := heap()
	block := f.block(h2get()...)
	for sent := range 50000 {
		id := uint32(2*sent + 1)
		if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: true, EndHeaders: true}) != nil ||
			f.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
			break
		}
	}
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("the connection is still open")
	}
	if n := begun.Load(); n > 20 {
		t.Errorf("%d handlers at one time", n)
	}
	end()
	if after := heap(); after > before+16<<20 {
		t.Errorf("heap grew from %d to %d bytes", before, after)
	}
	if r := ts.lastReason(t); r != ReasonHTTP2 {
		t.Errorf("counted %q", r)
	}
	t.Logf("%d handlers were begun", begun.Load())
}

// Headers that never end are not collected.
func TestContinuationFlood(t *testing.T) {
	ts := serveTLS(t, Limits{}, func(w http.ResponseWriter, r *http.Request) { t.Error("reached the handler") })
	f := ts.framed(t)
	go func() { _, _ = io.Copy(io.Discard, f.conn) }()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.block(h2get()...), EndStream: true})
	sent := 0
	piece := f.block("x-flood", strings.Repeat("y", 8000))
	for ; sent < 100<<20; sent += len(piece) {
		if f.WriteContinuation(1, false, piece) != nil {
			break
		}
	}
	runtime.ReadMemStats(&after)
	if sent >= 100<<20 || after.TotalAlloc-before.TotalAlloc > 64<<20 {
		t.Errorf("%d bytes of headers were taken, %d bytes allocated", sent, after.TotalAlloc-before.TotalAlloc)
	}
	t.Logf("ended after %d bytes", sent)
}

// Frames that ask for answers which nobody reads do not pile up.
func TestPingFlood(t *testing.T) {
	ts := serveTLS(t, Limits{WriteTimeout: 300 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {})
	f := ts.framed(t)
	before := heap()
	for range 5 << 20 {
		if f.WritePing(false, [8]byte{}) != nil {
			if after := heap(); after > before+16<<20 {
				t.Errorf("heap grew from %d to %d bytes", before, after)
			}
			return
		}
	}
	t.Error("the server took 5 million pings")
}

// A connection on which nothing is asked, or whose headers stop in the middle, is closed.
func TestHTTP2SlowHead(t *testing.T) {
	ts := serveTLS(t, Limits{IdleTimeout: 200 * time.Millisecond, HeaderTimeout: 200 * time.Millisecond}, func(http.ResponseWriter, *http.Request) {
		t.Error("reached the handler")
	})
	for _, half := range []bool{false, true} {
		f := ts.framed(t)
		if half {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.block(h2get()...), EndStream: true})
		}
		began := time.Now()
		if got := f.outcome(1); got != "closed" || time.Since(began) > 5*time.Second {
			t.Errorf("half a request %v: %s after %v", half, got, time.Since(began))
		}
	}
}

// Whatever is refused on HTTP/2 gets the same answer, and the connection ends.
func TestHTTP2Refusal(t *testing.T) {
	ts := serveTLS(t, Limits{}, func(http.ResponseWriter, *http.Request) {})
	f := ts.framed(t)
	_ = f.request(1, true, h2get("x_forwarded_for", "::1")...)
	answered, goaway := "", false
	dec := hpack.NewDecoder(4096, nil)
	for !goaway || answered == "" {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatalf("answer %q, goaway %v: %v", answered, goaway, err)
		}
		switch frame := frame.(type) {
		case *http2.GoAwayFrame:
			goaway = true
		case *http2.HeadersFrame:
			fields, err := dec.DecodeFull(frame.HeaderBlockFragment())
			if err != nil {
				t.Fatal(err)
			}
			for _, field := range fields {
				if field.Name != "date" {
					answered += field.Name + "=" + field.Value + " "
				}
			}
		}
	}
	if answered != ":status=400 content-length=0 " {
		t.Errorf("answer %q", answered)
	}
	if r := ts.lastReason(t); r != ReasonUnderscore {
		t.Errorf("counted %q", r)
	}
}

func TestHTTP2SlowBody(t *testing.T) {
	got := make(chan error, 1)
	ts := serveTLS(t, Limits{BodyTimeout: 200 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(400 * time.Millisecond) // our own slowness does not count
		_, err := io.ReadAll(r.Body)
		got <- err
	})
	f := ts.framed(t)
	_ = f.request(1, false, h2post()...)
	_ = f.WriteData(1, false, []byte("abc"))
	var refused *RefusedError
	if err := <-got; !errors.As(err, &refused) || refused.Reason != ReasonSlowBody {
		t.Errorf("%v", err)
	}
	if r := ts.lastReason(t); r != ReasonSlowBody {
		t.Errorf("counted %q", r)
	}
}

func TestHTTP2ClientThatDoesNotRead(t *testing.T) {
	for _, last := range []bool{false, true} {
		got := make(chan error, 1)
		ts := serveTLS(t, Limits{WriteTimeout: 200 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
			if last {
				_, err := w.Write(make([]byte, 1000)) // waits in net/http until the handler returns
				got <- err
				return
			}
			_, err := w.Write(make([]byte, 1<<20))
			got <- err
		})
		f := ts.framed(t)
		_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		_ = f.request(1, true, h2get()...)
		err := <-got
		if last != (err == nil) {
			t.Errorf("last %v: %v", last, err)
		}
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				t.Fatalf("last %v: the stream was not reset: %v", last, err)
			}
			if _, ok := frame.(*http2.RSTStreamFrame); ok {
				break
			}
		}
	}
}

func TestHTTP2Panic(t *testing.T) {
	ts := serveTLS(t, Limits{}, func(w http.ResponseWriter, r *http.Request) { panic("token-1234") })
	if _, err := ts.client(t, "h2").Get(ts.url("/")); err == nil {
		t.Error("answered")
	}
	if log := ts.log(); strings.Contains(log, "token-1234") || strings.Count(log, "handler panicked") != 1 {
		t.Errorf("log: %s", log)
	}
}

// Two requests on one HTTP/2 connection run side by side, deadlines are each one's own.
func TestHTTP2SideBySide(t *testing.T) {
	both := make(chan struct{}, 2)
	ts := serveTLS(t, Limits{}, func(w http.ResponseWriter, r *http.Request) {
		both <- struct{}{}
		for len(both) < 2 && r.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		if r.URL.Path == "/late" {
			if err := http.NewResponseController(w).SetReadDeadline(time.Now()); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadAll(r.Body); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%v", err)
			}
		}
		fmt.Fprint(w, r.URL.Path)
	})
	f := ts.framed(t)
	_ = f.request(1, true, h2get()...)
	_ = f.request(3, false, slices.Replace(h2post(), 7, 8, "/late")...)
	if all := f.outcomes(1, 3); all[1] != "200" || all[3] != "200" {
		t.Error(all)
	}
}

// An answer to a small body that nobody read ends its stream as any other does.
func TestHTTP2SmallBodyLeftUnread(t *testing.T) {
	ts := serveTLS(t, Limits{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusUnauthorized)
	})
	f := ts.framed(t)
	answered := 0
	for n := range uint32(20) {
		id := 2*n + 1
		if err := f.request(id, false, h2post("content-length", "2")...); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond) // the handler has returned before the body comes
		if err := f.WriteData(id, true, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		for ended := false; !ended; {
			frame, err := f.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			switch frame := frame.(type) {
			case *http2.RSTStreamFrame:
				t.Fatalf("stream %d is reset: %v", frame.StreamID, frame.ErrCode)
			case *http2.HeadersFrame:
				ended = frame.StreamEnded()
				answered++
			}
		}
	}
	if answered != 20 {
		t.Errorf("%d answers", answered)
	}
}
