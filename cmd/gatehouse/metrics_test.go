package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"gatehouse/internal/config"
	"gatehouse/internal/event"
	"gatehouse/internal/policy"
)

// scrape asks for metrics by a name, and returns the status and what it says.
func scrape(t *testing.T, s *server, method, path, host string) (int, http.Header, string) {
	t.Helper()
	at := s.metrics.Addr()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, at.Network(), at.String())
	}}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(body)
}

func portOfNobody(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// manualText is all that is written for the owner.
func manualText(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// What is measured is read by Prometheus' own parser, is what happened, has the usual
// names, and names nobody.
func TestMetrics(t *testing.T) {
	s := frontDoors(t, func(c *config.Config) { c.Events.Metrics = fmt.Sprintf("127.0.0.1:%d", portOfNobody(t)) })
	s.emit(event.Event{Kind: event.SignedIn, Person: "Olga", Device: "d1", Addr: "203.0.113.7"})
	for range 100 {
		s.emit(event.Event{Kind: event.HALoginFailed, Addr: "203.0.113.8"})
	}
	comes(t, "127.0.0.1", s.doorAt(policy.HTTPS), "", "other.test", "")
	status, header, text := scrape(t, s, http.MethodGet, metricsPath, "localhost")
	if status != http.StatusOK || !strings.HasPrefix(header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("%d %v\n%s", status, header, text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	name, manual := regexp.MustCompile(`^(gatehouse|process|go)_[a-z_]+$`), manualText(t)
	values := map[string]float64{}
	for _, f := range families {
		if !name.MatchString(f.GetName()) || f.GetHelp() == "" || !strings.HasSuffix(f.GetHelp(), ".") {
			t.Errorf("%s is explained by %q", f.GetName(), f.GetHelp())
		}
		// Of several that begin alike the later ones are written with what is their own.
		if own, _ := strings.CutPrefix(f.GetName(), "gatehouse_guard"); strings.HasPrefix(f.GetName(), "gatehouse_") && !strings.Contains(manual, "`"+f.GetName()) && !strings.Contains(manual, "`"+own+"`") {
			t.Errorf("%s is in no document", f.GetName())
		}
		if isTotal := strings.HasSuffix(f.GetName(), "_total"); isTotal != (f.GetType().String() == "COUNTER") {
			t.Errorf("%s is a %s", f.GetName(), f.GetType())
		}
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for _, l := range m.GetLabel() {
				key += " " + l.GetName() + "=" + l.GetValue()
			}
			values[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for key, low := range map[string]float64{
		"gatehouse_events_total kind=signed-in":                      1,
		"gatehouse_events_total kind=ha-login-failed":                100,
		"gatehouse_events_held_back_total kind=ha-login-failed":      90,
		"gatehouse_door_open door=https":                             1,
		"gatehouse_connections_refused_total reason=name not served": 1,
		"gatehouse_certificate_expiry_timestamp_seconds door=https":  float64(time.Now().Unix()),
		"process_resident_memory_bytes":                              1 << 20,
		"process_start_time_seconds":                                 1e9,
		"process_open_fds":                                           5,
		"go_goroutines":                                              5,
		"gatehouse_build_info version=" + version():                  1,
	} {
		if values[key] < low || low < 200 && low > 1 && values[key] > 4000 {
			t.Errorf("%s is %v, want %v", key, values[key], low)
		}
	}
	for _, key := range []string{"gatehouse_guard_bans", "gatehouse_guard_sources", "gatehouse_known_devices", "gatehouse_sessions", "gatehouse_events_lost_total",
		"gatehouse_ledger_errors_total", "gatehouse_home_assistant_up", "gatehouse_live_connections", "gatehouse_requests_forwarded_total", "gatehouse_rule_denials_total"} {
		if _, there := values[key]; !there {
			t.Errorf("%s is missing", key)
		}
	}
	for _, secret := range []string{"Olga", "d1\"", "203.0.113", "127.0.0.1"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the metrics", secret)
		}
	}
}

// Metrics answer to this machine's own names alone, so that no page on the Internet reads
// them through a browser here; and to nothing but their own question.
func TestMetricsAreForHere(t *testing.T) {
	s := frontDoors(t, func(c *config.Config) { c.Events.Metrics = fmt.Sprintf("127.0.0.1:%d", portOfNobody(t)) })
	for _, c := range []struct {
		method, path, host string
		want               int
	}{
		{"GET", "/metrics", "127.0.0.1:9184", 200},
		{"GET", "/metrics", "LOCALHOST", 200},
		{"GET", "/metrics", "[::1]:9184", 200},
		{"GET", "/metrics", "127.0.0.2:9184", 200}, // where the configuration may have them be asked
		{"HEAD", "/metrics", "localhost", 200},
		{"GET", "/metrics", "rebound.example:9184", 403},
		{"GET", "/metrics", "localhost.example", 403},
		{"GET", "/metrics", "192.168.1.2", 403},
		{"GET", "/metrics", "127.0.0.1.example", 403},
		{"POST", "/metrics", "localhost", 405},
		{"GET", "/", "localhost", 404},
		{"GET", "/metrics/x", "localhost", 404},
		{"GET", "/debug/pprof/", "localhost", 404},
	} {
		if status, _, _ := scrape(t, s, c.method, c.path, c.host); status != c.want {
			t.Errorf("%s %s at %s: %d, want %d", c.method, c.path, c.host, status, c.want)
		}
	}
}

// A socket needs no name, and is for its user and group.
func TestMetricsOnASocket(t *testing.T) {
	name := filepath.Join(t.TempDir(), "metrics.sock")
	s := frontDoors(t, func(c *config.Config) { c.Events.Metrics = "unix:" + name })
	if status, _, text := scrape(t, s, http.MethodGet, metricsPath, "anything"); status != http.StatusOK || !strings.Contains(text, "gatehouse_events_total") {
		t.Errorf("%d\n%s", status, text)
	}
	if mode := fileMode(t, name); mode != 0o660 {
		t.Errorf("its mode is %04o", mode)
	}
}

// A door that has its port and waits for its certificate is not open, here as in status.
func TestMetricsOfADoorThatWaits(t *testing.T) {
	front := frontDoors(t, func(*config.Config) {})
	s := &server{cfg: front.cfg, plain: front.plain, doors: slices.Clone(front.doors)}
	said := func() string {
		x := &exposition{}
		s.measureDoors(x)
		return x.text.String()
	}
	if !strings.Contains(said(), `gatehouse_door_open{door="https"} 1`) {
		t.Error("an open door is not said to be")
	}
	for i := range s.doors {
		s.doors[i].notYet = func() (why, hint string) { return "the first certificate is being got", "" }
	}
	if !strings.Contains(said(), `gatehouse_door_open{door="https"} 0`) {
		t.Error("a door without a certificate is said to be open")
	}
}
