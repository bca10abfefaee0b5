package client_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A flow is what was asked of a real Home Assistant, in order, and what it answered.
type flow struct {
	Version   string      `json:"version"`
	Username  string      `json:"username"`
	Password  string      `json:"password"`
	Token     string      `json:"token"`
	Exchanges []*exchange `json:"exchanges"`

	mu   sync.Mutex
	next int
}

// An exchange is one request and its answer, or one WebSocket.
type exchange struct {
	Request  string    `json:"request"` // method and path
	Status   int       `json:"status"`
	Location string    `json:"location,omitzero"`
	Body     string    `json:"body,omitzero"`
	Messages []message `json:"messages,omitzero"`
}

// A message is one of a WebSocket: of ours only its type, because what else is in it
// differs from run to run.
type message struct {
	Ours   string         `json:"ours,omitzero"`
	Theirs jsontext.Value `json:"theirs,omitzero"`
}

func readFlow(t *testing.T, name string) *flow {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f := &flow{}
	if err := json.Unmarshal(data, f); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return f
}

func (f *flow) write(t *testing.T, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, err := json.Marshal(f, jsontext.WithIndent("  "))
	if err == nil {
		if err = os.MkdirAll(filepath.Dir(name), 0o755); err == nil {
			err = os.WriteFile(name, append(data, '\n'), 0o644)
		}
	}
	if err != nil {
		t.Errorf("keep the recording: %v", err)
	}
}

// typeOf is the type of a message of ours.
func typeOf(data []byte) string {
	var m struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(data, &m) != nil {
		return "no JSON"
	}
	return m.Type
}

// play answers as the recording says, and fails the test if something else is asked.
func (f *flow) play(t *testing.T) http.Handler {
	t.Cleanup(func() {
		if f.next < len(f.Exchanges) {
			t.Errorf("%d questions were asked, not %d", f.next, len(f.Exchanges))
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.Method + " " + r.URL.Path
		f.mu.Lock()
		e := &exchange{Status: http.StatusTeapot}
		if f.next < len(f.Exchanges) {
			e = f.Exchanges[f.next]
		}
		f.next++
		f.mu.Unlock()
		if e.Request != asked {
			t.Errorf("asked %s, want %q", asked, e.Request)
		}
		if e.Messages != nil {
			e.playSocket(t, w, r)
			return
		}
		if e.Location != "" {
			w.Header().Set("Location", e.Location)
		}
		w.WriteHeader(e.Status)
		_, _ = io.WriteString(w, e.Body)
	})
}

func (e *exchange) playSocket(t *testing.T, w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	for _, m := range e.Messages {
		if m.Ours == "" {
			if conn.Write(r.Context(), websocket.MessageText, m.Theirs) != nil {
				return // as when somebody has heard enough
			}
			continue
		}
		_, data, err := conn.Read(r.Context())
		if err != nil || typeOf(data) != m.Ours {
			t.Errorf("said %q, %v; want %q", typeOf(data), err, m.Ours)
			return
		}
	}
	_, _, _ = conn.Read(r.Context()) // until the other side closes
}

// record passes everything on to a Home Assistant and keeps what it answers.
func (f *flow) record(t *testing.T, address string) http.Handler {
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := &exchange{Request: r.Method + " " + r.URL.Path}
		f.mu.Lock()
		f.Exchanges = append(f.Exchanges, e)
		f.mu.Unlock()
		if r.Header.Get("Upgrade") != "" {
			f.recordSocket(t, e, address, w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		out, err := http.NewRequestWithContext(r.Context(), r.Method, address+r.URL.RequestURI(), bytes.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		out.Header = r.Header.Clone()
		resp, err := transport.RoundTrip(out)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
			return
		}
		e.Status, e.Location = resp.StatusCode, resp.Header.Get("Location")
		// A page is only looked at for its status.
		if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") && r.URL.Path != "/manifest.json" {
			e.Body = string(answer)
		}
		if e.Location != "" {
			w.Header().Set("Location", e.Location)
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = w.Write(answer)
	})
}

func (f *flow) recordSocket(t *testing.T, e *exchange, address string, w http.ResponseWriter, r *http.Request) {
	e.Status = http.StatusSwitchingProtocols
	ours, err := websocket.Accept(w, r, nil)
	if err != nil {
		t.Error(err)
		return
	}
	defer ours.CloseNow()
	theirs, _, err := websocket.Dial(r.Context(), address+r.URL.Path, nil)
	if err != nil {
		t.Error(err)
		return
	}
	defer theirs.CloseNow()
	theirs.SetReadLimit(64 << 20)
	keep := func(m message) {
		f.mu.Lock()
		defer f.mu.Unlock()
		e.Messages = append(e.Messages, m)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			_, data, err := theirs.Read(r.Context())
			if err != nil {
				_ = ours.CloseNow()
				return
			}
			keep(message{Theirs: data})
			if ours.Write(r.Context(), websocket.MessageText, data) != nil {
				return
			}
		}
	}()
	for {
		_, data, err := ours.Read(r.Context())
		if err != nil {
			_ = theirs.CloseNow()
			<-done
			return
		}
		keep(message{Ours: typeOf(data)})
		if theirs.Write(r.Context(), websocket.MessageText, data) != nil {
			<-done
			return
		}
	}
}
