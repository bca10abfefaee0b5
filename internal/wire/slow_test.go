package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// pipeListener gives out the server's ends of pipes. With synctest's clock hours
// pass in no time.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return nobody{} }

func (l *pipeListener) dial() net.Conn {
	client, server := net.Pipe()
	l.conns <- server
	return client
}

// inBubble runs a server on pipes in a synctest bubble.
func inBubble(t *testing.T, limits Limits, h http.HandlerFunc, f func(l *pipeListener, reasons func() []Reason)) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var reasons []Reason
		s := &Server{Handler: h, Limits: limits, Refused: func(_ net.Addr, r Reason) {
			mu.Lock()
			defer mu.Unlock()
			reasons = append(reasons, r)
		}}
		l := newPipeListener()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Serve(ctx, l) }()
		f(l, func() []Reason {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return reasons
		})
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		time.Sleep(time.Hour) // for the clients' goroutines to end
	})
}

// closedAfter reads until the server closes and says how long that took.
func closedAfter(c net.Conn) (string, time.Duration) {
	began := time.Now()
	b, _ := io.ReadAll(c)
	return string(b), time.Since(began)
}

func within(d, low, high time.Duration) bool { return d >= low && d <= high }

func TestSilentClient(t *testing.T) {
	inBubble(t, Limits{}, func(http.ResponseWriter, *http.Request) {}, func(l *pipeListener, reasons func() []Reason) {
		c := l.dial()
		if b, d := closedAfter(c); b != "" || d != 10*time.Second {
			t.Errorf("%q after %v", b, d)
		}
		if got := reasons(); len(got) > 0 {
			t.Errorf("counted as refused: %v", got)
		}
	})
}

func TestSlowHead(t *testing.T) {
	inBubble(t, Limits{}, func(http.ResponseWriter, *http.Request) { t.Error("reached the handler") }, func(l *pipeListener, reasons func() []Reason) {
		c := l.dial()
		go func() {
			for _, b := range []byte("GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("y", 1000)) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		if b, d := closedAfter(c); b != refusal || !within(d, 10*time.Second, 12*time.Second) {
			t.Errorf("%q after %v", b, d)
		}
		if got := reasons(); len(got) != 1 || got[0] != ReasonSlowHead {
			t.Errorf("counted %v", got)
		}
	})
}

func TestIdle(t *testing.T) {
	inBubble(t, Limits{}, func(http.ResponseWriter, *http.Request) {}, func(l *pipeListener, reasons func() []Reason) {
		c := l.dial()
		buf := make([]byte, 4096)
		for range 5 {
			_, _ = io.WriteString(c, get())
			if _, err := c.Read(buf); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute) // an open page that asks now and then
		}
		_, d := closedAfter(c)
		if !within(d, 5*time.Second, 15*time.Second) || len(reasons()) > 0 {
			t.Errorf("closed after another %v, refused %v", d, reasons())
		}
	})
}

func TestSlowBody(t *testing.T) {
	for _, lines := range []string{"Content-Length: 100000\r\n", chunkedLine} {
		var got error
		h := func(w http.ResponseWriter, r *http.Request) {
			_, got = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusInternalServerError)
		}
		inBubble(t, Limits{}, h, func(l *pipeListener, reasons func() []Reason) {
			c := l.dial()
			go func() {
				_, _ = io.WriteString(c, post(lines, "fff\r\n"))
				for range 1000 {
					if _, err := c.Write([]byte("x")); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			}()
			b, d := closedAfter(c)
			var refused *RefusedError
			if b != refusal || !within(d, 30*time.Second, 32*time.Second) || !errors.As(got, &refused) || refused.Reason != ReasonSlowBody {
				t.Errorf("%q after %v, handler got %v", b, d, got)
			}
			if got := reasons(); len(got) != 1 || got[0] != ReasonSlowBody {
				t.Errorf("counted %v", got)
			}
		})
	}
}

// A long upload over a thin line, and a handler that takes its time, are neither slow bodies.
func TestThinLine(t *testing.T) {
	const pieces, piece = 3600, 1 << 10
	var total int64
	h := func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 8<<10)
		for {
			n, err := r.Body.Read(buf)
			if total += int64(n); err != nil {
				if err != io.EOF {
					t.Error(err)
				}
				return
			}
			if total%(500*piece) == 0 {
				time.Sleep(10 * time.Minute) // the disk behind is slow
			}
		}
	}
	inBubble(t, Limits{}, h, func(l *pipeListener, reasons func() []Reason) {
		c := l.dial()
		go func() {
			_, _ = io.WriteString(c, post(fmt.Sprintf("Content-Length: %d\r\n", pieces*piece), ""))
			for range pieces {
				_, _ = c.Write(make([]byte, piece))
				time.Sleep(5 * time.Second)
			}
		}()
		buf := make([]byte, 4096)
		n, err := c.Read(buf)
		if err != nil || !bytes.HasPrefix(buf[:n], []byte("HTTP/1.1 200")) || total != pieces*piece {
			t.Errorf("%q, %v, %d bytes", buf[:n], err, total)
		}
		c.Close()
	})
}

func TestClientThatDoesNotRead(t *testing.T) {
	for name, write := range map[string]func(http.ResponseWriter) error{
		"long":  func(w http.ResponseWriter) error { _, err := w.Write(make([]byte, 1<<20)); return err },
		"flush": func(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() },
		"length": func(w http.ResponseWriter) error {
			w.Header().Set("Content-Length", "1048576")
			_, err := w.Write(make([]byte, 1<<20))
			return err
		},
	} {
		h := func(w http.ResponseWriter, r *http.Request) {
			began := time.Now()
			err := write(w)
			if d := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || d > 30*time.Second || d < 26*time.Second {
				t.Errorf("%s: %v after %v", name, err, d)
			}
			if r.Context().Err() == nil {
				t.Errorf("%s: context still alive", name)
			}
		}
		inBubble(t, Limits{}, h, func(l *pipeListener, reasons func() []Reason) {
			c := l.dial()
			defer c.Close()
			_, _ = io.WriteString(c, get())
			time.Sleep(time.Minute)
			if got := reasons(); len(got) != 1 || got[0] != ReasonSlowReader {
				t.Errorf("%s: counted %v", name, got)
			}
		})
	}
}

// A client that reads a little now and then gets all of it; one that reads hardly anything does not.
func TestSlowReader(t *testing.T) {
	for _, tc := range []struct {
		every time.Duration
		whole bool
	}{{20 * time.Second, true}, {40 * time.Second, false}} {
		h := func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1048576")
			_, _ = w.Write(make([]byte, 1<<20))
		}
		inBubble(t, Limits{}, h, func(l *pipeListener, reasons func() []Reason) {
			c := l.dial()
			defer c.Close()
			_, _ = io.WriteString(c, get())
			total := 0
			buf := make([]byte, pieceSize)
			for total < 1<<20 {
				n, err := io.ReadFull(c, buf)
				if total += n; err != nil {
					break
				}
				time.Sleep(tc.every)
			}
			if whole := total >= 1<<20; whole != tc.whole {
				t.Errorf("every %v: got %d bytes", tc.every, total)
			}
		})
	}
}

// Handlers bound reading and writing further, within the limits.
func TestHandlersDeadlines(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if err := errors.Join(control.SetReadDeadline(time.Now().Add(3*time.Second)), control.EnableFullDuplex()); err != nil {
			t.Error(err)
		}
		began := time.Now()
		_, err := io.ReadAll(r.Body)
		if d := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || d != 3*time.Second {
			t.Errorf("reading: %v after %v", err, d)
		}
		if err := control.SetWriteDeadline(time.Now().Add(4 * time.Second)); err != nil {
			t.Error(err)
		}
		began = time.Now()
		_, err = w.Write(make([]byte, 1<<20))
		if d := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || d != 4*time.Second {
			t.Errorf("writing: %v after %v", err, d)
		}
	}
	inBubble(t, Limits{}, h, func(l *pipeListener, reasons func() []Reason) {
		c := l.dial()
		defer c.Close()
		_, _ = io.WriteString(c, post("Content-Length: 10\r\n", "abc"))
		time.Sleep(time.Minute)
		if got := reasons(); len(got) > 0 {
			t.Errorf("counted %v", got)
		}
	})
}

// A reader of the body that outlives its request neither hangs nor reads the next
// request's bytes.
func TestLateReader(t *testing.T) {
	first := make(chan error, 1)
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/p" {
			return
		}
		go func() {
			_, err := io.ReadAll(r.Body)
			first <- err
		}()
		time.Sleep(time.Second)
		w.WriteHeader(http.StatusForbidden)
	}
	inBubble(t, Limits{}, h, func(l *pipeListener, reasons func() []Reason) {
		c := l.dial()
		_, _ = io.WriteString(c, post("Content-Length: 10\r\n", "abc"))
		b, _ := closedAfter(c)
		if err := <-first; !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("late reader got %v", err)
		}
		if !strings.HasPrefix(b, "HTTP/1.1 403") {
			t.Errorf("answer %q", b)
		}
	})
}

// Connections beyond the limits are closed without a byte.
func TestTooManyConnections(t *testing.T) {
	ts := serve(t, Limits{MaxConns: 3, MaxConnsPerAddr: 2}, func(http.ResponseWriter, *http.Request) {})
	a, b := ts.dial(t), ts.dial(t)
	for _, c := range []net.Conn{a, b} { // both are counted once they answer
		_, _ = io.WriteString(c, get())
		if _, err := c.Read(make([]byte, 512)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := io.ReadAll(ts.dial(t)); len(got) > 0 || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if r := ts.lastReason(t); r != ReasonTooManyOfOne {
		t.Errorf("counted %q", r)
	}
	a.Close()
	for range 100 {
		c := ts.dial(t)
		_, _ = io.WriteString(c, get("Connection: close\r\n"))
		if got, _ := io.ReadAll(c); len(got) > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("no room after one left")
}

// After grace, a shutdown ends also what a handler took over.
func TestShutdownEndsHijacked(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	began := make(chan struct{})
	s := &Server{Limits: Limits{GraceTimeout: 100 * time.Millisecond}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		close(began)
		_, _ = io.Copy(io.Discard, rw)
	})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, get("Connection: upgrade\r\n", "Upgrade: websocket\r\n"))
	<-began
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
