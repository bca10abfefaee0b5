package gateway

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// sharedText is a buffer that several goroutines write to.
type sharedText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *sharedText) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *sharedText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// While Home Assistant does not answer nobody fills the service's log, however often they ask.
func TestUnansweredIsSaidSeldom(t *testing.T) {
	h := newHouse(t, atHome, func(s *setting) {
		s.tap = func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
	})
	said := &sharedText{}
	h.Log = slog.New(slog.NewTextHandler(said, nil))
	for range 30 {
		h.stranger().wants(h.stranger().do(request{path: "/api/states"}), http.StatusServiceUnavailable)
	}
	if n := strings.Count(said.String(), "Home Assistant did not answer"); n < 1 || n > 5 {
		t.Errorf("it was said %d times", n)
	}
}

func TestSeldom(t *testing.T) {
	var s seldom
	now := time.Now()
	for _, c := range []struct {
		after time.Duration
		held  int
		ok    bool
	}{{0, 0, true}, {time.Second, 0, false}, {9 * time.Second, 0, false}, {10 * time.Second, 2, true}, {11 * time.Second, 0, false}, {-time.Hour, 1, true}} {
		if held, ok := s.says(now.Add(c.after), 10*time.Second); held != c.held || ok != c.ok {
			t.Errorf("after %s: %d, %t", c.after, held, ok)
		}
	}
}
