package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/internal/event"
	"gatehouse/internal/ledger"
)

// BenchmarkFlight is a request of a known device, with cookie and token, from the
// handler to Home Assistant and back over one kept-alive connection. Reading the
// client's side and TLS come on top; make bench measures all of it beside other proxies.
func BenchmarkFlight(b *testing.B) {
	body := strings.Repeat("x", 1000)
	h := newHouse(b, func(s *setting) {
		s.tap = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/api/states/light.bench" {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, body)
			return true
		}
	})
	known := h.owner().loggedIn("demo", "demo")
	handler := h.Handler(testDoor{name: "https"})
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodGet, "/api/states/light.bench", nil)
		r.Host, r.RemoteAddr = testHost, "127.0.0.1:1"
		r.Header.Set("Authorization", "Bearer "+known.access)
		r.Header.Set("Cookie", "__Host-gatehouse="+known.cookie)
		r.Header.Set("User-Agent", "bench")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}

// BenchmarkRefused is a stranger's request, which is refused and taken down: in the
// flood that it is part of, most are counted and no more.
func BenchmarkRefused(b *testing.B) {
	h := newHouse(b)
	l, err := ledger.Open(b.Context(), "", ledger.NewKey())
	h.must(err)
	defer func() { h.must(l.Close()) }()
	log, err := event.NewChainedLog(nil, nil, event.ChainConfig{Dir: filepath.Join(b.TempDir(), "events"), Sealer: l})
	h.must(err)
	for name, take := range map[string]func(event.Event){"counted": func(event.Event) {}, "taken down": log.Emit} {
		b.Run(name, func(b *testing.B) {
			h.Event = take
			handler := h.Handler(testDoor{name: "https"})
			r := httptest.NewRequest(http.MethodGet, "/api/states/light.bench", nil)
			r.Host, r.RemoteAddr = testHost, "127.0.0.1:1"
			r.Header.Set("User-Agent", "bench")
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				if w.Code != http.StatusUnauthorized {
					b.Fatal(w.Code)
				}
			}
		})
	}
	h.must(log.Close())
}
