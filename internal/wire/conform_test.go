package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// pattern reads as n bytes that differ.
type pattern struct{ at, n int64 }

func (p *pattern) Read(b []byte) (int, error) {
	if p.at == p.n {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.n-p.at)]
	for i := range b {
		b[i] = byte((p.at + int64(i)) * 7 >> 3)
	}
	p.at += int64(len(b))
	return len(b), nil
}

func sum(h hash.Hash) string { return fmt.Sprintf("%x", h.Sum(nil)) }

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Uploads and downloads stream through net/http's client with bounded memory.
func TestStreams(t *testing.T) {
	const size = 96 << 20
	for _, tc := range []struct {
		name    string
		secure  bool
		proto   string
		chunked bool
	}{{"plain", false, "", false}, {"plain chunked", false, "", true}, {"TLS", true, "http/1.1", false}, {"HTTP/2", true, "h2", true}} {
		t.Run(tc.name, func(t *testing.T) {
			size := int64(size)
			if tc.secure {
				size /= 2
			}
			var most atomic.Uint64
			look := func() {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most.Store(max(most.Load(), m.HeapInuse))
			}
			ts := serveOn(t, Limits{}, func(w http.ResponseWriter, r *http.Request) {
				up := sha256.New()
				n, err := io.Copy(up, r.Body)
				if err != nil || n != size {
					t.Errorf("%d bytes came, %v", n, err)
				}
				look()
				w.Header().Set("X-Sum", sum(up))
				if !tc.chunked {
					w.Header().Set("Content-Length", fmt.Sprint(size))
				}
				if _, err := io.Copy(w, &pattern{n: size}); err != nil {
					t.Error(err)
				}
				look()
			}, tc.secure)
			client := ts.client(t, tc.proto)
			before := heap()
			req, err := http.NewRequest(http.MethodPut, ts.url("/"), &pattern{n: size})
			if err != nil {
				t.Fatal(err)
			}
			if !tc.chunked {
				req.ContentLength = size
			}
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			down, want := sha256.New(), sha256.New()
			n, err := io.Copy(down, res.Body)
			if err != nil || n != size {
				t.Errorf("%d bytes came back, %v", n, err)
			}
			_, _ = io.Copy(want, &pattern{n: size})
			if sum(down) != sum(want) || res.Header.Get("X-Sum") != sum(want) {
				t.Error("bytes were changed")
			}
			if !tc.chunked && res.ContentLength != size || tc.chunked && res.ContentLength != -1 {
				t.Errorf("length %d", res.ContentLength)
			}
			if m := most.Load(); m > before+32<<20 {
				t.Errorf("heap grew from %d to %d bytes", before, m)
			}
		})
	}
}

// An answer can begin before its request has ended, and go on beside it.
func TestFullDuplex(t *testing.T) {
	for _, proto := range []string{"", "h2"} {
		ts := serveOn(t, Limits{}, func(w http.ResponseWriter, r *http.Request) {
			control := http.NewResponseController(w)
			w.WriteHeader(http.StatusOK)
			if err := control.Flush(); err != nil {
				t.Error(err)
			}
			buf := make([]byte, 100)
			for {
				n, err := r.Body.Read(buf)
				_, _ = w.Write(bytes.ToUpper(buf[:n]))
				if ferr := control.Flush(); ferr != nil {
					t.Error(ferr)
				}
				if err != nil {
					return
				}
			}
		}, proto == "h2")
		pr, pw := io.Pipe()
		req, _ := http.NewRequest(http.MethodPost, ts.url("/"), pr)
		res, err := ts.client(t, proto).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"one", "two"} {
			_, _ = io.WriteString(pw, word)
			back := make([]byte, 3)
			if _, err := io.ReadFull(res.Body, back); err != nil || string(back) != strings.ToUpper(word) {
				t.Errorf("%s: %q, %v", proto, back, err)
			}
		}
		pw.Close()
		if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
			t.Errorf("%s: %q, %v", proto, rest, err)
		}
		res.Body.Close()
	}
}

// What each kind of answer looks like on the wire.
func TestAnswers(t *testing.T) {
	for _, tc := range []struct {
		name    string
		method  string
		handler http.HandlerFunc
		want    string // without Date, lines sorted but for the first
	}{
		{"nothing", "GET", func(w http.ResponseWriter, r *http.Request) {}, "200 OK|Content-Length: 0||"},
		{"small", "GET", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello") }, "200 OK|Content-Length: 5||hello"},
		{"small, two writes", "GET", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "hel")
			_, _ = w.Write([]byte("lo"))
		}, "200 OK|Content-Length: 5||hello"},
		{"flushed", "GET", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "hel")
			w.(http.Flusher).Flush()
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "lo")
		}, "200 OK|Transfer-Encoding: chunked||3|hel|2|lo|0||"},
		{"flushed, empty", "GET", func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush() }, "200 OK|Transfer-Encoding: chunked||0||"},
		{"declared", "GET", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "hel")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "lo")
		}, "200 OK|Content-Length: 5||hello"},
		{"status", "GET", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(404)
			w.WriteHeader(200)
			w.Header().Set("X-Late", "1")
		}, "404 Not Found|Content-Length: 0||"},
		{"odd status", "GET", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(599) }, "599 Status|Content-Length: 0||"},
		{"head", "HEAD", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello") }, "200 OK|Content-Length: 5||"},
		{"head, empty", "HEAD", func(w http.ResponseWriter, r *http.Request) {}, "200 OK||"},
		{"head, declared", "HEAD", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "77") }, "200 OK|Content-Length: 77||"},
		{"head, long", "HEAD", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(make([]byte, 100000)) }, "200 OK|Content-Length: 100000||"},
		{"no content", "GET", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.WriteHeader(204)
			if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrBodyNotAllowed) {
				t.Error(err)
			}
		}, "204 No Content||"},
		{"not modified", "GET", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.Header().Set("Etag", `"x"`)
			w.WriteHeader(304)
		}, "304 Not Modified|Content-Length: 5|Etag: \"x\"||"},
		{"early hints", "GET", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</a>")
			w.WriteHeader(103)
			w.Header().Del("Link")
		}, "103 Early Hints|Link: </a>||HTTP/1.1 200 OK|Content-Length: 0||"},
		{"own framing", "GET", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Transfer-Encoding", "gzip")
			w.Header().Set("Trailer", "X")
			w.Header().Set(http.TrailerPrefix+"X", "1")
			w.Header().Set("Connection", "keep-alive")
			w.Header().Set("Content-Length", "+5")
			_, _ = io.WriteString(w, "hello")
		}, "200 OK|Content-Length: 5||hello"},
		{"close", "GET", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Connection", "x, Close") }, "200 OK|Connection: close|Content-Length: 0||"},
		{"split header", "GET", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-A", " b\r\nX-B: c\x00 ")
			w.Header()["X C"] = []string{"d"}
			w.Header()["X-D:"] = []string{"d"}
			w.Header()["X-E"] = []string{"1", "2"}
		}, "200 OK|Content-Length: 0|X-A: b  X-B: c |X-E: 1|X-E: 2||"},
		{"too much", "GET", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "2")
			_, _ = io.WriteString(w, "he")
			if _, err := io.WriteString(w, "llo"); !errors.Is(err, http.ErrContentLength) {
				t.Error(err)
			}
		}, "200 OK|Connection: close|Content-Length: 2||he"},
		{"too little", "GET", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "9")
			_, _ = io.WriteString(w, "hello")
		}, "200 OK|Connection: close|Content-Length: 9||hello"},
		{"long head", "GET", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("y", 3000))
			_, _ = io.WriteString(w, "z")
		},
			"200 OK|Content-Length: 1|X-Long: " + strings.Repeat("y", 3000) + "||z"},
		{"switching, not taken over", "GET", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(101) }, "101 Switching Protocols||"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ts := serve(t, Limits{}, tc.handler)
			got := ts.send(t, tc.method+" / HTTP/1.1\r\nHost: h\r\n\r\n")
			if !strings.HasPrefix(got, "HTTP/1.1 ") {
				t.Fatalf("%q", got)
			}
			if normal := normalAnswer(got[len("HTTP/1.1 "):]); normal != tc.want {
				t.Errorf("got  %q\nwant %q", normal, tc.want)
			}
		})
	}
}

// normalAnswer writes an answer with | for CR LF, without Date, headers in order.
func normalAnswer(s string) string {
	parts := strings.SplitAfter(s, "\r\n\r\n")
	for i, head := range parts {
		if !strings.HasSuffix(head, "\r\n\r\n") || i > 0 && !strings.HasPrefix(head, "HTTP/") {
			continue
		}
		lines := strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n")
		headers := lines[1:]
		kept := headers[:0]
		for _, l := range headers {
			if !strings.HasPrefix(l, "Date: ") {
				kept = append(kept, l)
			}
		}
		slices.Sort(kept)
		parts[i] = strings.Join(append(lines[:1], kept...), "\r\n") + "\r\n\r\n"
	}
	return strings.ReplaceAll(strings.Join(parts, ""), "\r\n", "|")
}

// net/http's client gets along with every kind of answer on one connection.
func TestNetHTTPClient(t *testing.T) {
	for _, proto := range []string{"", "http/1.1", "h2"} {
		t.Run("protocol "+proto, func(t *testing.T) {
			ts := serveOn(t, Limits{}, func(w http.ResponseWriter, r *http.Request) {
				if r.TLS == nil != (proto == "") || r.RemoteAddr == "" || r.Host != strings.ToLower(r.Host) || r.RequestURI[0] != '/' {
					t.Errorf("request %+v", r)
				}
				switch r.URL.Path {
				case "/304":
					w.WriteHeader(304)
				case "/204":
					w.WriteHeader(204)
				case "/hints":
					w.Header().Set("Link", "</x>")
					w.WriteHeader(103)
				case "/chunked":
					for range 10 {
						_, _ = w.Write(make([]byte, 5000))
						w.(http.Flusher).Flush()
					}
				case "/echo":
					b, err := io.ReadAll(r.Body)
					if err != nil {
						t.Error(err)
					}
					_, _ = w.Write(b)
				case "/ignored":
					w.WriteHeader(403)
				default:
					_, _ = w.Write(make([]byte, 100))
				}
			}, proto != "")
			client := ts.client(t, proto)
			reused, hints := 0, 0
			trace := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				GotConn: func(i httptrace.GotConnInfo) {
					if i.Reused {
						reused++
					}
				},
				Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
					if code == 103 && h.Get("Link") == "</x>" {
						hints++
					}
					return nil
				},
			})
			for i, tc := range []struct {
				method, path string
				body         int
				expect       bool
				status       int
				length       int64
				got          int
			}{
				{"GET", "/", 0, false, 200, 100, 100},
				{"HEAD", "/", 0, false, 200, 100, 0},
				{"GET", "/304", 0, false, 304, 0, 0},
				{"DELETE", "/204", 0, false, 204, 0, 0},
				{"GET", "/hints", 0, false, 200, 0, 0},
				{"GET", "/chunked", 0, false, 200, -1, 50000},
				{"POST", "/echo", 100, false, 200, 100, 100},
				{"POST", "/echo", 100000, false, 200, -1, 100000},
				{"POST", "/echo", 100, true, 200, 100, 100},
				{"POST", "/ignored", 1000, false, 403, 0, 0},
				{"OPTIONS", "/", 0, false, 200, 100, 100},
			} {
				req, err := http.NewRequestWithContext(trace, tc.method, ts.url(tc.path), nil)
				if err != nil {
					t.Fatal(err)
				}
				if tc.body > 0 {
					req, err = http.NewRequestWithContext(trace, tc.method, ts.url(tc.path), bytes.NewReader(make([]byte, tc.body)))
					if err != nil {
						t.Fatal(err)
					}
				}
				req.Host = "LOCALHOST:99"
				if tc.expect {
					req.Header.Set("Expect", "100-continue")
				}
				res, err := client.Do(req)
				if err != nil {
					t.Fatalf("%s %s: %v; refused %v", tc.method, tc.path, err, ts.refusals())
				}
				b, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != tc.status || len(b) != tc.got || proto != "h2" && res.ContentLength != tc.length {
					t.Errorf("%s %s: %d, length %d, got %d, %v", tc.method, tc.path, res.StatusCode, res.ContentLength, len(b), err)
				}
				if i > 0 && reused != i {
					t.Errorf("%s %s came on a new connection", tc.method, tc.path)
				}
			}
			if hints != 1 || len(ts.refusals()) > 0 {
				t.Errorf("%d early hints, refused %v", hints, ts.refusals())
			}
		})
	}
}

// An answer given while the request is still being sent reaches the client.
func TestEarlyAnswer(t *testing.T) {
	ts := serve(t, Limits{}, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) })
	c := ts.dial(t)
	go func() {
		_, _ = io.WriteString(c, post("Content-Length: 100000000\r\n", ""))
		for range 4 {
			_, _ = c.Write(make([]byte, 32<<10))
			time.Sleep(20 * time.Millisecond)
		}
	}()
	res, _ := readAnswer(t, bufio.NewReader(c), "POST")
	if res.StatusCode != http.StatusRequestEntityTooLarge || !res.Close {
		t.Errorf("%d, close %v", res.StatusCode, res.Close)
	}
}

// Server-sent events reach the client one by one, and end with it.
func TestEvents(t *testing.T) {
	for _, proto := range []string{"", "h2"} {
		ended := make(chan struct{})
		ts := serveOn(t, Limits{}, func(w http.ResponseWriter, r *http.Request) {
			defer close(ended)
			for i := 0; r.Context().Err() == nil; i++ {
				fmt.Fprintf(w, "data: %d\n\n", i)
				if err := http.NewResponseController(w).Flush(); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}, proto != "")
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, ts.url("/"), nil)
		res, err := ts.client(t, proto).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		br := bufio.NewReader(res.Body)
		for i := range 5 {
			line, err := br.ReadString('\n')
			if err != nil || line != fmt.Sprintf("data: %d\n", i) {
				t.Errorf("%q, %v", line, err)
			}
			_, _ = br.ReadString('\n')
		}
		cancel()
		res.Body.Close()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Error("the handler did not learn that its client is gone")
		}
	}
}

// A handler's headers are its own: what one request set does not show in the next.
func TestHeadersDoNotStay(t *testing.T) {
	ts := serve(t, Limits{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/one" {
			w.Header().Set("X-One", r.Header.Get("X-Secret"))
			return
		}
		if len(r.Header) != 0 || len(w.Header()) != 0 {
			t.Errorf("left over: %v, %v", r.Header, w.Header())
		}
	})
	got := ts.send(t, "GET /one HTTP/1.1\r\nHost: h\r\nX-Secret: s\r\n\r\nGET /two HTTP/1.1\r\nHost: h\r\n\r\n")
	if strings.Count(got, "X-One: s\r\n") != 1 || strings.Count(got, "HTTP/1.1 200") != 2 {
		t.Errorf("%q", got)
	}
}
