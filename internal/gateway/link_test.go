package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// far is a server that says exactly what a test wants it to say.
type far struct {
	*link
	t     *testing.T
	conns atomic.Int32
	asked atomic.Int32
}

// newFar serves each connection by serve, which is told its number and may call
// request to read one.
func newFar(t *testing.T, serve func(f *far, n int, c net.Conn, in *bufio.Reader)) *far {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &far{link: newLink(l.Addr().String()), t: t}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := int(f.conns.Add(1))
			running.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				serve(f, n, c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		f.link.close()
		_ = l.Close()
		running.Wait()
	})
	return f
}

// request reads a request and reports whether there was one.
func (f *far) request(in *bufio.Reader) bool {
	r, err := http.ReadRequest(in)
	if err != nil {
		return false
	}
	_ = r.Body.Close()
	f.asked.Add(1)
	return true
}

// saying answers every request with the same text; it then ends the connection if
// the text does not say where it ends.
func saying(text string, end bool) func(*far, int, net.Conn, *bufio.Reader) {
	return func(f *far, _ int, c net.Conn, in *bufio.Reader) {
		for f.request(in) {
			if _, err := io.WriteString(c, text); err != nil || end {
				return
			}
		}
	}
}

const testHead = " /api/ HTTP/1.1\r\nHost: house.test\r\n\r\n"

// get is one exchange, whole.
func (f *far) get(method string) (*httptest.ResponseRecorder, error) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 20*time.Second)
	defer cancel()
	x, err := f.send(ctx, method, []byte(method+testHead))
	if err != nil {
		return nil, err
	}
	defer x.close()
	w := httptest.NewRecorder()
	answerFields(w.Header(), x.fields)
	w.WriteHeader(x.status)
	return w, x.pass(w)
}

func (f *far) wants(method string, status int, body string) {
	f.t.Helper()
	w, err := f.get(method)
	switch {
	case err != nil:
		f.t.Fatalf("%s: %v", method, err)
	case w.Code != status || w.Body.String() != body:
		f.t.Fatalf("%s: answered %d with %d bytes, want %d with %d: %.200q", method, w.Code, w.Body.Len(), status, len(body), w.Body.String())
	}
}

// idleLines is the number of lines that are kept.
func (f *far) idleLines() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.idle)
}

func TestLinkAnswers(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 20<<10)
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, c := range []struct {
		name, method, text string
		end                bool // the server ends the connection
		status             int
		body               string
		kept               bool
	}{
		{"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, 200, "hello", true},
		{"no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, 200, "", true},
		{"large", "GET", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(large), large), false, 200, large, true},
		{"large head", "GET", "HTTP/1.1 200 OK\r\nX-A: " + large[:30000] + "\r\nContent-Length: 2\r\n\r\nok", false, 200, "ok", true},
		{"chunks", "GET", chunked + "3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n0\r\nX-Trailer: no\r\n\r\n", false, 200, "abc0123456789", true},
		{"large chunks", "GET", chunked + fmt.Sprintf("%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", len(large), large, len(large), large), false, 200, large + large, true},
		{"no chunk", "GET", chunked + "0\r\n\r\n", false, 200, "", true},
		{"to the end", "GET", "HTTP/1.1 200 OK\r\n\r\nuntil I hang up", true, 200, "until I hang up", false},
		{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", true, 200, "ok", false},
		{"close", "GET", "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nok", true, 200, "ok", false},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", false, 200, "", true},
		{"HEAD of chunks", "HEAD", chunked, false, 200, "", true},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", false, 204, "", true},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\nEtag: \"x\"\r\n\r\n", false, 304, "", true},
		{"early hints", "GET", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", false, 404, "no", true},
		{"surplus", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", false, 200, "ok", false},
		{"surplus after HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", false, 200, "", false},
		{"surplus after chunks", "GET", chunked + "0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", false, 200, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFar(t, saying(c.text, c.end))
			for n := 1; n <= 3; n++ {
				f.wants(c.method, c.status, c.body)
				if got := f.idleLines(); (got == 1) != c.kept {
					t.Fatalf("%d lines are kept, want one: %v", got, c.kept)
				}
				if got := int(f.conns.Load()); c.kept && got != 1 || !c.kept && got != n {
					t.Fatalf("%d answers took %d connections", n, got)
				}
			}
		})
	}
}

// What is no answer by RFC 9112, or two, is none: nothing of it is passed on as whole.
func TestLinkRefusesAnswers(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, text := range map[string]string{
		"two lengths":              ok + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
		"twice the same length":    ok + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
		"list of lengths":          ok + "Content-Length: 2, 2\r\n\r\nok",
		"signed length":            ok + "Content-Length: +2\r\n\r\nok",
		"length too large":         ok + "Content-Length: 9999999999999999999\r\n\r\nok",
		"length and coding":        ok + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"coding and length":        ok + "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"two codings":              ok + "Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"twice the coding":         ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"unknown coding":           ok + "Transfer-Encoding: identity\r\n\r\nok",
		"coding of HTTP/1.0":       "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"folded line":              ok + "X-A: b\r\n Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
		"space before colon":       ok + "Content-Length : 2\r\n\r\nok",
		"no name":                  ok + ": 2\r\n\r\nok",
		"no colon":                 ok + "Content-Length\r\n\r\nok",
		"bare line feed":           ok + "X-A: b\nContent-Length: 2\r\n\r\nok",
		"bare carriage return":     ok + "X-A: b\rContent-Length: 2\r\n\r\nok",
		"null":                     ok + "X-A: b\x00\r\nContent-Length: 2\r\n\r\nok",
		"another version":          "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"no version":               "200 OK\r\nContent-Length: 2\r\n\r\nok",
		"short status":             "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
		"long status":              "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
		"status 000":               "HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok",
		"status 999":               "HTTP/1.1 999 OK\r\nContent-Length: 2\r\n\r\nok",
		"nothing":                  "",
		"half a head":              ok + "Content-Length: 2\r\n",
		"cut short":                ok + "Content-Length: 3\r\n\r\nok",
		"cut short between chunks": ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
		"cut short in a chunk":     ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nok",
		"cut short before the end": ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
		"no chunk size":            ok + "Transfer-Encoding: chunked\r\n\r\n\r\nok\r\n0\r\n\r\n",
		"signed chunk size":        ok + "Transfer-Encoding: chunked\r\n\r\n+2\r\nok\r\n0\r\n\r\n",
		"chunk size too large":     ok + "Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\nok\r\n0\r\n\r\n",
		"chunk longer than said":   ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nok\r\n0\r\n\r\n",
		"chunk line without CR":    ok + "Transfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n",
		"endless extension":        ok + "Transfer-Encoding: chunked\r\n\r\n2;" + strings.Repeat("x", 1000) + "\r\nok\r\n0\r\n\r\n",
		"endless trailers":         ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("A: b\r\n", 100) + "\r\n",
		"another protocol":         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
		"endless 1xx":              strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100),
		"204 with content":         "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
		"giant head":               ok + "X-A: " + strings.Repeat("x", answerHeadMax) + "\r\n\r\n",
		"giant head without end":   strings.Repeat("x", 2*answerHeadMax),
		"too many lines":           ok + strings.Repeat("A: b\r\n", answerLinesMax+1) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFar(t, saying(text, true))
			if w, err := f.get(http.MethodGet); err == nil {
				t.Errorf("taken for an answer: %d %.100q", w.Code, w.Body.String())
			}
			if f.idleLines() != 0 {
				t.Error("the line is kept")
			}
		})
	}
}

// A line that ended while it was idle costs nobody an answer, and a server that takes
// no request is asked twice and not for ever.
func TestLinkAfterIdleEnd(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	t.Run("seen", func(t *testing.T) {
		closed := make(chan bool, 8)
		f := newFar(t, func(f *far, _ int, c net.Conn, in *bufio.Reader) {
			if f.request(in) {
				_, _ = io.WriteString(c, answer)
			}
			_ = c.Close()
			closed <- true
		})
		for range 3 {
			f.wants(http.MethodGet, http.StatusOK, "ok")
			<-closed
		}
	})
	t.Run("crossed", func(t *testing.T) {
		f := newFar(t, func(f *far, n int, c net.Conn, in *bufio.Reader) {
			for i := 0; f.request(in) && (n > 1 || i == 0); i++ {
				_, _ = io.WriteString(c, answer)
			}
		})
		f.wants(http.MethodGet, http.StatusOK, "ok")
		f.wants(http.MethodGet, http.StatusOK, "ok")
		if got := f.asked.Load(); got != 3 {
			t.Errorf("asked %d times", got)
		}
	})
	t.Run("for ever", func(t *testing.T) {
		f := newFar(t, func(f *far, n int, c net.Conn, in *bufio.Reader) {
			if f.request(in) && n == 1 {
				_, _ = io.WriteString(c, answer)
				f.request(in)
			}
		})
		f.wants(http.MethodGet, http.StatusOK, "ok")
		if _, err := f.get(http.MethodGet); err == nil {
			t.Error("answered")
		}
		if got := f.conns.Load(); got != 2 {
			t.Errorf("%d connections", got)
		}
	})
	t.Run("half an answer", func(t *testing.T) {
		f := newFar(t, func(f *far, _ int, c net.Conn, in *bufio.Reader) {
			f.request(in)
			_, _ = io.WriteString(c, answer)
			f.request(in)
			_, _ = io.WriteString(c, "H")
		})
		f.wants(http.MethodGet, http.StatusOK, "ok")
		if _, err := f.get(http.MethodGet); !errors.Is(err, io.ErrUnexpectedEOF) || f.conns.Load() != 1 {
			t.Errorf("%v after %d connections", err, f.conns.Load())
		}
	})
}

// What comes on a line while it is idle is nobody's answer.
func TestLinkUnaskedAnswer(t *testing.T) {
	more := make(chan bool)
	f := newFar(t, func(f *far, n int, c net.Conn, in *bufio.Reader) {
		f.request(in)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		if n == 1 {
			<-more
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
			more <- true
			f.request(in)
		}
	})
	f.wants(http.MethodGet, http.StatusOK, "ok")
	more <- true
	<-more
	f.wants(http.MethodGet, http.StatusOK, "ok")
	if got := f.conns.Load(); got != 2 {
		t.Errorf("%d connections", got)
	}
}

// An answer that nobody reads to its end costs the line.
func TestLinkEarlyClose(t *testing.T) {
	gone := make(chan error, 1)
	f := newFar(t, func(f *far, _ int, c net.Conn, in *bufio.Reader) {
		f.request(in)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
		_, err := in.ReadByte()
		gone <- err
	})
	x, err := f.send(t.Context(), http.MethodGet, []byte("GET"+testHead))
	if err != nil {
		t.Fatal(err)
	}
	x.close()
	x.close()
	x.abort() // comes too late and does nothing
	if err := <-gone; err == nil || errors.Is(err, os.ErrDeadlineExceeded) || f.idleLines() != 0 {
		t.Errorf("the line goes on: %v", err)
	}
}

// flushed tells of each Flush what had been written by then.
type flushed struct {
	*httptest.ResponseRecorder
	said chan string
}

func (w flushed) FlushError() error { w.said <- w.Body.String(); return nil }

// Each piece of a stream leaves when it comes, and a stream ends at once when its
// reader goes, when its device is revoked, and when the server says so.
func TestLinkStream(t *testing.T) {
	for name, end := range map[string]func(cancel func(), x *exchange, more chan<- string){
		"context": func(cancel func(), _ *exchange, _ chan<- string) { cancel() },
		"abort":   func(_ func(), x *exchange, _ chan<- string) { x.abort() },
		"server":  func(_ func(), _ *exchange, more chan<- string) { more <- "0\r\n\r\n" },
	} {
		for _, haste := range []time.Duration{time.Millisecond, 10 * time.Second} {
			if name == "context" && haste > time.Second {
				continue // then the end of the context is seen when haste is over
			}
			t.Run(fmt.Sprint(name, " ", haste), func(t *testing.T) {
				more, gone := make(chan string, 1), make(chan bool)
				f := newFar(t, func(f *far, _ int, c net.Conn, in *bufio.Reader) {
					f.request(in)
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
					for f.t.Context().Err() == nil {
						select {
						case text := <-more:
							_, _ = io.WriteString(c, text)
							continue
						default:
						}
						_ = c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
						if _, err := in.ReadByte(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
							break
						}
					}
					close(gone)
				})
				f.haste = haste
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				x, err := f.send(ctx, http.MethodGet, []byte("GET"+testHead))
				if err != nil {
					t.Fatal(err)
				}
				w := flushed{httptest.NewRecorder(), make(chan string)}
				passed := make(chan error, 1)
				go func() {
					err := x.pass(w)
					x.close()
					passed <- err
				}()
				all := ""
				for _, event := range []string{"data: 1\n\n", "data: 2\n\n", "data: 3\n\n"} {
					more <- fmt.Sprintf("%x\r\n%s\r\n", len(event), event)
					if all += event; <-w.said != all {
						t.Fatal("a piece did not leave")
					}
				}
				end(cancel, x, more)
				if err := <-passed; (err == nil) != (name == "server") || err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("ended with %v", err)
				}
				if kept := f.idleLines(); (kept == 1) != (name == "server") {
					t.Errorf("%d lines are kept", kept)
				}
				f.link.close()
				<-gone
			})
		}
	}
}

// A request whose client goes while Home Assistant thinks ends soon.
func TestLinkCancelBeforeAnswer(t *testing.T) {
	asked := make(chan bool, 1)
	f := newFar(t, func(f *far, _ int, _ net.Conn, in *bufio.Reader) {
		f.request(in)
		asked <- true
		_, _ = in.ReadByte()
	})
	f.haste = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if _, err := f.send(ctx, http.MethodGet, []byte("GET"+testHead)); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if _, err := f.send(ctx, http.MethodGet, []byte("GET"+testHead)); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

// Slow answers are none the worse for haste being over, and their lines are kept.
func TestLinkSlowAnswer(t *testing.T) {
	f := newFar(t, func(f *far, _ int, c net.Conn, in *bufio.Reader) {
		for f.request(in) {
			for _, b := range []byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello") {
				_, _ = c.Write([]byte{b})
				time.Sleep(time.Millisecond)
			}
		}
	})
	f.haste = 5 * time.Millisecond
	for range 3 {
		f.wants(http.MethodGet, http.StatusOK, "hello")
	}
	if got := f.conns.Load(); got != 1 {
		t.Errorf("%d connections", got)
	}
}

// Idle lines are few and do not grow old.
func TestLinkIdle(t *testing.T) {
	f := newFar(t, saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false))
	var all []*exchange
	for range lineMax + 3 {
		x, err := f.send(t.Context(), http.MethodGet, []byte("GET"+testHead))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, x)
	}
	for _, x := range all {
		if err := x.pass(httptest.NewRecorder()); err != nil {
			t.Fatal(err)
		}
		x.close()
	}
	if got := f.idleLines(); got != lineMax {
		t.Fatalf("%d lines are kept", got)
	}
	f.mu.Lock()
	for i, ln := range f.idle {
		if i < lineMax/2 {
			ln.since = ln.since.Add(-lineIdle)
		}
	}
	f.mu.Unlock()
	f.sweepIdle()
	if got := f.idleLines(); got != lineMax/2 {
		t.Fatalf("%d lines are kept after the others grew old", got)
	}
	f.mu.Lock()
	for _, ln := range f.idle {
		ln.since = ln.since.Add(-lineIdle)
	}
	f.mu.Unlock()
	before := f.conns.Load()
	f.wants(http.MethodGet, http.StatusOK, "ok")
	if f.conns.Load() != before+1 {
		t.Error("a line that had grown old was used")
	}
	f.link.close()
	f.wants(http.MethodGet, http.StatusOK, "ok")
	if got := f.idleLines(); got != 0 {
		t.Errorf("%d lines are kept after the end", got)
	}
}

// Home Assistant is told the same on both ways.
func TestLinkTellsTheSame(t *testing.T) {
	base, err := url.Parse("http://127.0.0.1:8123")
	if err != nil {
		t.Fatal(err)
	}
	u := newUpstream(base)
	for _, c := range []struct {
		method, path, query string
		header              http.Header
	}{
		{"GET", "/", "", nil},
		{"HEAD", "/api/", "", http.Header{"User-Agent": {"x"}}},
		{"GET", "/api/", "a=b&c=%2F", http.Header{"Accept": {"a", "b"}, "X-Own": {"é"}, "Accept-Encoding": {"br"}}},
		{"GET", "/caf%C3%A9/a@b:c", "", http.Header{"Cookie": {"a=b; " + identity.CookieName + "=secret; c=d", "e=f"}}},
		{"GET", "/", "", http.Header{"Cookie": {identity.CookieName + "=secret"}}},
		{"GET", "/", "", http.Header{"Connection": {"X-Hop, keep-alive"}, "X-Hop": {"1"}, "Te": {"trailers"}, "Keep-Alive": {"1"}, "Proxy-Authorization": {"x"}}},
		{"GET", "/", "", http.Header{"X-Forwarded-For": {"1.2.3.4"}, "X-Forwarded-Proto": {"http"}, "Forwarded": {"for=1"}, "Via": {"x"}, "X-Real-Ip": {"1"}, "X-Hass-Is-Admin": {"1"}, "A_b": {"c"}}},
		{"GET", "/", "", http.Header{"Content-Length": {"7"}, "Transfer-Encoding": {"chunked"}, "Upgrade": {"x"}, "Trailer": {"x"}}},
	} {
		target := c.path
		if c.query != "" {
			target += "?" + c.query
		}
		path, err := url.PathUnescape(c.path)
		if err != nil {
			t.Fatal(err)
		}
		f := &flight{door: testDoor{name: policy.HTTPS}, addr: netip.MustParseAddr("203.0.113.9"), path: path, raw: c.path, query: c.query,
			r: &http.Request{Method: c.method, RequestURI: target, Host: testHost, Header: c.header}}
		head, err := u.appendHead([]byte("x"), f)
		if err != nil {
			t.Fatal(err)
		}
		short, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head[1:])))
		if err != nil {
			t.Fatal(err)
		}
		var wire bytes.Buffer
		if err := u.request(t.Context(), f).Write(&wire); err != nil {
			t.Fatal(err)
		}
		long, err := http.ReadRequest(bufio.NewReader(&wire))
		if err != nil {
			t.Fatal(err)
		}
		if short.Method != long.Method || short.RequestURI != long.RequestURI || short.Host != long.Host || short.ContentLength != 0 ||
			!reflect.DeepEqual(short.Header, long.Header) {
			t.Errorf("%s %s\nthe link:   %s %s %v\nTransport:  %s %s %v", c.method, target, short.Method, short.RequestURI, short.Header, long.Method, long.RequestURI, long.Header)
		}
		if bytes.Contains(head, []byte("secret")) || short.Header.Get("X-Forwarded-For") != "203.0.113.9" || short.Header.Get("X-Forwarded-Proto") != "https" {
			t.Errorf("Home Assistant is told %q", head)
		}
	}
	for _, evil := range []*http.Request{
		{Method: "GET", Host: "a\r\nX: y", RequestURI: "/"},
		{Method: "GET", Host: testHost, RequestURI: "/", Header: http.Header{"A": {"b\r\nContent-Length: 5"}}},
		{Method: "GET", Host: testHost, RequestURI: "/", Header: http.Header{"A": {"b\nC: d"}}},
		{Method: "GET", Host: testHost, RequestURI: "/", Header: http.Header{"A\r\nC": {"d"}}},
		{Method: "GET", Host: testHost, RequestURI: "/ HTTP/1.1"},
	} {
		f := &flight{door: testDoor{name: policy.HTTPS}, path: evil.RequestURI, raw: evil.RequestURI, r: evil}
		if head, err := u.appendHead(nil, f); err == nil {
			t.Errorf("Home Assistant would be told %q", head)
		}
	}
}

// script is a connection whose other side has said all it will say, in pieces.
type script struct {
	net.Conn
	text  []byte
	piece int
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.text) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.text[:min(len(s.text), s.piece)])
	s.text = s.text[n:]
	return n, nil
}
func (s *script) Write(p []byte) (int, error) { return len(p), nil }
func (s *script) SetDeadline(time.Time) error { return nil }
func (s *script) Close() error                { return nil }

// read reads text as the answer to a request, and returns how much of it is unread.
func readAnswer(method string, text []byte, piece int) (w *httptest.ResponseRecorder, keep bool, left int, err error) {
	c := &script{text: text, piece: piece}
	small := make([]byte, 64)
	x := &exchange{link: newLink(""), line: &line{nc: c, in: small, small: small}, ctx: context.Background()}
	if err := x.ask(time.Now(), method, []byte("x")); err != nil {
		return nil, false, 0, err
	}
	w = httptest.NewRecorder()
	answerFields(w.Header(), x.fields)
	w.WriteHeader(x.status)
	err = x.pass(w)
	return w, x.end && x.keep, len(c.text) + x.line.w - x.line.r, err
}

// FuzzLinkAnswer holds the link's reader against net/http's: what it takes for a whole
// answer net/http takes for the same one that ends at the same byte, however it is cut
// in pieces on the way.
func FuzzLinkAnswer(f *testing.F) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n0\r\nX: y\r\n\r\nmore",
		"HTTP/1.0 200\r\nX-A: \xff\r\n\r\nuntil the end",
		"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 304 Not\r\nContent-Length: 9\r\nConnection: a, close\r\n\r\n",
		"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
	} {
		f.Add([]byte(text), true, 7)
		f.Add([]byte(text), false, 4096)
	}
	f.Fuzz(func(t *testing.T, text []byte, head bool, piece int) {
		method := http.MethodGet
		if head {
			method = http.MethodHead
		}
		got, keep, left, err := readAnswer(method, text, 1+piece&0xfff)
		again, keep1, left1, err1 := readAnswer(method, text, len(text)+1)
		if (err == nil) != (err1 == nil) || err == nil && (keep != keep1 || got.Body.String() != again.Body.String() || keep && left != left1) {
			t.Fatalf("read in pieces: %v, %v, %d unread; in one: %v, %v, %d unread", err, keep, left, err1, keep1, left1)
		}
		if err != nil {
			return
		}
		in := bufio.NewReader(bytes.NewReader(text))
		var res *http.Response
		for {
			if res, err = http.ReadResponse(in, &http.Request{Method: method}); err != nil {
				t.Fatalf("net/http: %v", err)
			}
			if res.StatusCode >= 200 {
				break
			}
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatalf("net/http: %v", err)
		}
		unread, _ := io.ReadAll(in)
		if res.StatusCode != got.Code || string(body) != got.Body.String() || keep && (res.Close || len(unread) != left) {
			t.Fatalf("net/http: %d %q, close %v, %d unread; the link: %d %q, keep %v, %d unread",
				res.StatusCode, body, res.Close, len(unread), got.Code, got.Body, keep, left)
		}
	})
}
