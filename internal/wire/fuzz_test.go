package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// memoryConn is a conn that reads from memory.
func memoryConn(b []byte) *conn {
	c := &conn{s: &serving{Server: &Server{}, Limits: Limits{}.withDefaults()}}
	c.nc = silentConn{Reader: bytes.NewReader(b)}
	c.in.start(c.nc, &c.s.Limits)
	c.watch.in = &c.in
	c.watch.leave = func() {}
	return c
}

func (c *conn) forget() {
	c.watch.disarm()
	c.in.end()
}

// FuzzRequest: what is taken, net/http takes as well and reads the same, and
// written anew it is read the same again. What is refused is refused with a
// reason of the closed set.
func FuzzRequest(f *testing.F) {
	for _, s := range corpus() {
		if len(s.send) < 2000 {
			f.Add([]byte(s.send))
		}
	}
	reasons := Reasons()
	f.Fuzz(func(t *testing.T, b []byte) {
		c := memoryConn(b)
		defer c.forget()
		r, body, reason := readOne(t, c)
		if reason != "" {
			if !slices.Contains(reasons, reason) {
				t.Fatalf("unknown reason %q", reason)
			}
			return
		}
		if r == nil {
			return
		}
		consumed := len(b) - (c.in.w - c.in.r)
		if rest, _ := io.ReadAll(c.nc); len(rest) > 0 {
			consumed -= len(rest)
		}
		std, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b[:consumed])))
		if err != nil {
			t.Fatalf("net/http refuses what we took: %v", err)
		}
		stdBody, err := io.ReadAll(std.Body)
		if err != nil {
			t.Fatalf("net/http refuses the body that we took: %v", err)
		}
		for name := range std.Header {
			if strings.Contains(name, "_") {
				delete(std.Header, name)
			}
		}
		if std.Method != r.Method || std.RequestURI != r.RequestURI || !strings.EqualFold(std.Host, r.Host) ||
			std.ContentLength != r.ContentLength || !maps.EqualFunc(std.Header, r.Header, slices.Equal) || !bytes.Equal(stdBody, body) ||
			!sameURL(std.URL, r.URL) {
			t.Fatalf("net/http read %+v with body %q, we %+v with %q", std, stdBody, r, body)
		}
		again := memoryConn([]byte(rewrite(r, body)))
		defer again.forget()
		r2, body2, reason := readOne(t, again)
		if reason != "" || r2 == nil {
			t.Fatalf("what we took, written anew, is refused: %q\n%q", reason, rewrite(r, body))
		}
		if r2.RequestURI != r.RequestURI || r2.Host != r.Host || !maps.EqualFunc(r2.Header, r.Header, slices.Equal) || !bytes.Equal(body, body2) {
			t.Fatalf("written anew it is %+v with %q", r2, body2)
		}
	})
}

func sameURL(a, b *url.URL) bool { return fmt.Sprintf("%+v", *a) == fmt.Sprintf("%+v", *b) }

// readOne reads a request and its body. r is nil when nothing was sent.
func readOne(t *testing.T, c *conn) (r *http.Request, body []byte, reason Reason) {
	text, lines, err := c.in.readHead(time.Now(), c.s.Limits.IdleTimeout)
	if err == errIdle {
		return nil, nil, ""
	}
	var refused *RefusedError
	if errors.As(err, &refused) {
		return nil, nil, refused.Reason
	}
	c.header = make(http.Header)
	hd, reason := parseHead(text, lines, c.header)
	if reason != "" {
		return nil, nil, reason
	}
	c.base = &http.Request{}
	r, _, err = c.request(t.Context(), &hd)
	if err != nil {
		t.Fatalf("net/url refuses the target %q: %v", hd.target, err)
	}
	body, err = io.ReadAll(r.Body)
	if errors.As(err, &refused) {
		return nil, nil, refused.Reason
	}
	if err != nil {
		t.Fatal(err)
	}
	return r, body, ""
}

// rewrite writes a request in its plainest form.
func rewrite(r *http.Request, body []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.RequestURI, r.Host)
	for name, values := range r.Header {
		for _, v := range values {
			fmt.Fprintf(&b, "%s: %s\r\n", name, v)
		}
	}
	if r.ContentLength < 0 {
		b.WriteString("Transfer-Encoding: chunked\r\n")
	}
	b.WriteString("\r\n")
	if r.ContentLength >= 0 {
		b.Write(body)
		return b.String()
	}
	if len(body) > 0 {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(body), body)
	}
	return b.String() + "0\r\n\r\n"
}

// FuzzChunked: a chunked body that is taken is read the same by net/http, whatever
// sizes it is read in.
func FuzzChunked(f *testing.F) {
	for _, s := range corpus() {
		if _, body, ok := strings.Cut(s.send, chunkedLine+"\r\n"); ok {
			f.Add([]byte(body), 7)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, step int) {
		c := memoryConn(b)
		defer c.forget()
		var got []byte
		var err error
		buf := make([]byte, 1+uint(step)%5000)
		body := &body{c: c, chunked: true}
		for err == nil {
			var n int
			n, err = body.Read(buf)
			got = append(got, buf[:n]...)
		}
		if err != io.EOF {
			var refused *RefusedError
			if !errors.As(err, &refused) || c.refused.Load() == nil || *c.refused.Load() != refused.Reason {
				t.Fatalf("%v", err)
			}
			return
		}
		want, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(b)))
		if err != nil || !bytes.Equal(want, got) {
			t.Fatalf("net/http read %q, %v; we %q", want, err, got)
		}
	})
}

// FuzzTarget: a target that is taken is one that net/url reads, and the quick way
// of reading it ends in the same.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"/", "/a?b", "/a?", "/a??", "/%41", "/a;b=c,d", "/a!b", "//a", "/a//b?c#", "*", "http://h/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !isTarget(s) {
			return
		}
		got, err := parseTarget(s)
		if err != nil {
			t.Fatal(err)
		}
		want, err := url.ParseRequestURI(s)
		if err != nil || !sameURL(want, got) {
			t.Fatalf("net/url: %+v, %v; we: %+v", want, err, got)
		}
	})
}
