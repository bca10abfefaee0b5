package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func TestPlainRequests(t *testing.T) {
	ts := serve(t, Limits{}, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Seen", fmt.Sprintf("%s %s %s %s", r.Method, r.RequestURI, r.URL.Path, r.Host))
		_, _ = w.Write(body)
	})
	c := ts.dial(t)
	br := bufio.NewReader(c)
	for _, tc := range []struct{ send, seen, body string }{
		{"GET /a?b=c HTTP/1.1\r\nHost: Home.Example:8123\r\n\r\n", "GET /a?b=c /a home.example:8123", ""},
		{"POST /x%41 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", "POST /x%41 /xA h", "hello"},
		{"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n", "PUT / / h", "abc0123456789abcdef"},
		{"POST / HTTP/1.1\r\nHost: h\r\n\r\n", "POST / / h", ""},
	} {
		if _, err := io.WriteString(c, tc.send); err != nil {
			t.Fatal(err)
		}
		res, body := readAnswer(t, br, "GET")
		if res.StatusCode != 200 || res.Header.Get("X-Seen") != tc.seen || body != tc.body || res.ContentLength != int64(len(tc.body)) {
			t.Errorf("%q: %d %q %q length %d", tc.send, res.StatusCode, res.Header.Get("X-Seen"), body, res.ContentLength)
		}
		if _, err := http.ParseTime(res.Header.Get("Date")); err != nil {
			t.Errorf("Date: %v", err)
		}
	}
	if got := ts.refusals(); len(got) != 0 {
		t.Errorf("refused: %v", got)
	}
}

// Requests that are sent at once are answered in order, one after the other.
func TestPipelining(t *testing.T) {
	running := make(chan struct{}, 1)
	ts := serve(t, Limits{}, func(w http.ResponseWriter, r *http.Request) {
		select {
		case running <- struct{}{}:
		default:
			t.Error("two handlers of one connection at the same time")
		}
		time.Sleep(2 * watchAfter) // long enough for the watcher to take in what follows
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s%s", r.URL.Path, b)
		<-running
	})
	var all strings.Builder
	want := ""
	for i := range 5 {
		fmt.Fprintf(&all, "POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n%02d", i, i)
		want += fmt.Sprintf("/%d%02d ", i, i)
	}
	c := ts.dial(t)
	if _, err := io.WriteString(c, all.String()); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(c)
	got := ""
	for range 5 {
		_, body := readAnswer(t, br, "POST")
		got += body + " "
	}
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWebSocket(t *testing.T) {
	for _, secure := range []bool{false, true} {
		h := func(w http.ResponseWriter, r *http.Request) {
			c, err := websocket.Accept(w, r, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.CloseNow()
			c.SetReadLimit(1 << 20)
			for {
				kind, message, err := c.Read(context.Background())
				if err != nil {
					return
				}
				if err := c.Write(context.Background(), kind, message); err != nil {
					t.Error(err)
				}
			}
		}
		ts := serveOn(t, Limits{}, h, secure)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		c, _, err := websocket.Dial(ctx, ts.url("/api/websocket"), &websocket.DialOptions{HTTPClient: ts.client(t, "http/1.1")})
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"one", strings.Repeat("long", 20000)} {
			c.SetReadLimit(1 << 20)
			if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
				t.Fatal(err)
			}
			if _, got, err := c.Read(ctx); err != nil || string(got) != text {
				t.Errorf("echoed %d bytes, %v", len(got), err)
			}
		}
		_ = c.Close(websocket.StatusNormalClosure, "")
	}
}

// What a client sends right behind an upgrade is in the reader that Hijack returns.
func TestHijackKeepsEarlyBytes(t *testing.T) {
	ts := serve(t, Limits{}, func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if rw.Reader.Buffered() != len("early") {
			t.Errorf("%d bytes buffered", rw.Reader.Buffered())
		}
		line := make([]byte, len("early late"))
		if _, err := io.ReadFull(rw, line); err != nil {
			t.Error(err)
		}
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\n\r\n%s", line)
		rw.Flush()
		if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("Write: %v", err)
		}
	})
	c := ts.dial(t)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nearly")
	time.Sleep(2 * watchAfter)
	io.WriteString(c, " late")
	all, err := io.ReadAll(c)
	if err != nil || !strings.HasSuffix(string(all), "\r\n\r\nearly late") {
		t.Errorf("%q, %v", all, err)
	}
}

// The context of a request ends when its client goes away, also after its body.
func TestClientGone(t *testing.T) {
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	} {
		began, ended := make(chan struct{}), make(chan error, 1)
		ts := serve(t, Limits{}, func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Error(err)
			}
			close(began)
			select {
			case <-r.Context().Done():
				ended <- nil
			case <-time.After(10 * time.Second):
				ended <- errors.New("context still alive")
			}
		})
		c := ts.dial(t)
		io.WriteString(c, request)
		<-began
		c.Close()
		if err := <-ended; err != nil {
			t.Errorf("%q: %v", request, err)
		}
	}
}

// When Serve's context ends, requests end, idle connections are closed, and Serve returns.
func TestShutdown(t *testing.T) {
	began := make(chan struct{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		w.WriteHeader(http.StatusServiceUnavailable)
	})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, l) }()
	idle, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	busy, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	io.WriteString(busy, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	<-began
	cancel()
	if b, err := io.ReadAll(idle); len(b) != 0 || err != nil {
		t.Errorf("idle connection got %q, %v", b, err)
	}
	res, _ := readAnswer(t, bufio.NewReader(busy), "GET")
	if res.StatusCode != http.StatusServiceUnavailable || !res.Close {
		t.Errorf("busy connection got %d, close %v", res.StatusCode, res.Close)
	}
	busy.Close()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// A handler's panic costs its connection and nothing else, and what it says is not logged.
func TestPanic(t *testing.T) {
	ts := serve(t, Limits{}, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/secret":
			panic("token-1234")
		case "/gone":
			runtime.Goexit()
		case "/taken":
			if _, _, err := http.NewResponseController(w).Hijack(); err != nil {
				t.Error(err)
			}
			panic(http.ErrAbortHandler)
		case "/abort":
			panic(http.ErrAbortHandler)
		case "/half":
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(make([]byte, 50000))
			panic(http.ErrAbortHandler)
		}
	})
	for _, path := range []string{"/secret", "/abort", "/gone", "/taken"} {
		if got := ts.send(t, "GET "+path+" HTTP/1.1\r\nHost: h\r\n\r\n"); got != "" {
			t.Errorf("%s: answered %q", path, got)
		}
	}
	if res, err := ts.client(t).Get(ts.url("/half")); err == nil {
		if _, err := io.ReadAll(res.Body); err == nil {
			t.Error("half an answer was taken for a whole one")
		}
		res.Body.Close()
	}
	if log := ts.log(); strings.Contains(log, "token-1234") || strings.Count(log, "handler panicked") != 1 {
		t.Errorf("log: %s", log)
	}
	if got := ts.send(t, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") {
		t.Errorf("afterwards: %q", got)
	}
}

// A handler may change the request; how it is answered does not depend on that.
func TestChangedRequest(t *testing.T) {
	ts := serve(t, Limits{}, func(w http.ResponseWriter, r *http.Request) {
		r.Method, r.Close = "GET", false
		clear(r.Header)
		_, _ = io.WriteString(w, "hello")
	})
	if got := ts.send(t, "HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); strings.Contains(got, "hello") || !strings.Contains(got, "Connection: close\r\n") {
		t.Errorf("HEAD: %q", got)
	}
	if got := ts.send(t, get("Connection: upgrade\r\n", "Upgrade: websocket\r\n")+get()); strings.Count(got, "HTTP/1.1 200") != 1 {
		t.Errorf("upgrade: %q", got)
	}
}
