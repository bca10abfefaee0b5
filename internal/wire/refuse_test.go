package wire

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Whatever is refused gets one and the same answer, is counted by its reason, and
// the connection is closed with all that was behind.
func TestCorpus(t *testing.T) {
	answered := 0
	ts := serve(t, Limits{}, func(w http.ResponseWriter, r *http.Request) {
		answered++ // one connection at a time
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadGateway) // what a handler says then does not matter
			_, _ = io.WriteString(w, "the body could not be read")
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	for _, s := range corpus() {
		t.Run(s.name, func(t *testing.T) {
			answered = 0
			got := ts.send(t, s.send)
			if answered != s.answered {
				t.Errorf("%d requests reached the handler, want %d; answer %q", answered, s.answered, got)
			}
			refused := strings.HasSuffix(got, refusal)
			if refused != (s.reason != "") || strings.Count(got, "HTTP/1.1 400 ") > 1 || strings.Contains(got, "could not be read") {
				t.Errorf("answer %q", got)
			}
			if s.reason != "" {
				if reason := ts.lastReason(t); reason != s.reason {
					t.Errorf("refused for %q, want %q", reason, s.reason)
				}
			} else if reasons := ts.refusals(); len(reasons) > 0 {
				t.Errorf("refused for %q", reasons)
			}
			closes := strings.Contains(got, "Connection: close\r\n")
			if closes != (s.reason != "" || s.ends) {
				t.Errorf("says that it closes: %v", closes)
			}
		})
	}
	if n := len(corpus()); n < 200 {
		t.Errorf("only %d shapes", n)
	}
}

// A header with an underscore in its name does not reach the handler.
func TestUnderscoreDropped(t *testing.T) {
	var seen http.Header
	ts := serve(t, Limits{}, func(w http.ResponseWriter, r *http.Request) { seen = r.Header.Clone() })
	ts.send(t, get("X_Thing: 1\r\n", "x_thing: 2\r\n", "X-Thing: 3\r\n"))
	if len(seen) != 1 || seen.Get("X-Thing") != "3" {
		t.Errorf("headers %v", seen)
	}
	if ts.dropped != 2 {
		t.Errorf("%d counted as dropped", ts.dropped)
	}
}

// A client that waits to be asked for its body and gets an answer instead cannot
// hide a request in it.
func TestExpectation(t *testing.T) {
	read := false
	ts := serve(t, Limits{}, func(w http.ResponseWriter, r *http.Request) {
		if read {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		w.Header().Set("X-Path", r.URL.Path)
	})
	hidden := "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"
	request := fmt.Sprintf("POST /first HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(hidden))
	got := ts.send(t, request+hidden+get())
	if strings.Count(got, "HTTP/1.1 ") != 1 || !strings.Contains(got, "Connection: close\r\n") || !strings.Contains(got, "/first") {
		t.Errorf("answered without asking: %q", got)
	}
	read = true
	c := ts.dial(t)
	_, _ = io.WriteString(c, request)
	br := bufio.NewReader(c)
	if line, err := br.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := br.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, hidden+get())
	for _, path := range []string{"/first", "/p"} {
		if res, _ := readAnswer(t, br, "GET"); res.Header.Get("X-Path") != path || res.StatusCode != 200 {
			t.Errorf("%d %q, want %q", res.StatusCode, res.Header.Get("X-Path"), path)
		}
	}
}

// A body that the handler did not want ends the connection if it is long, and is
// read past if it is short.
func TestUnreadBody(t *testing.T) {
	ts := serve(t, Limits{}, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusForbidden) })
	short := post("Content-Length: 100\r\n", strings.Repeat("x", 100))
	if got := ts.send(t, short+short); strings.Count(got, "HTTP/1.1 403") != 2 {
		t.Errorf("short: %q", got)
	}
	chunks := post(chunkedLine, "64\r\n"+strings.Repeat("x", 100)+"\r\n0\r\n\r\n")
	if got := ts.send(t, chunks+chunks); strings.Count(got, "HTTP/1.1 403") != 2 {
		t.Errorf("short chunks: %q", got)
	}
	long := post("Content-Length: 100000\r\n", strings.Repeat("x", 100000))
	if got := ts.send(t, long+short); strings.Count(got, "HTTP/1.1 403") != 1 || !strings.Contains(got, "Connection: close\r\n") {
		t.Errorf("long: %q", got)
	}
}
