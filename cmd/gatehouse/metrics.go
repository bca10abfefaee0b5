package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/event"
	"gatehouse/internal/gateway"
	"gatehouse/internal/wire"
)

// Metrics, in Prometheus' text format, for whoever may ask on this machine. No person,
// device or address is in them.

const (
	metricsPath = "/metrics"
	metricsWait = 5 * time.Second
	metricsType = "text/plain; version=0.0.4; charset=utf-8"
)

// listenMetrics opens what metrics are asked at; nil where they are not.
func listenMetrics(c *config.Config, r *rights) (net.Listener, error) {
	switch network, at := c.Events.MetricsAt(); network {
	case "unix":
		// Its group may ask, too: the directory says who comes to it at all.
		return listenSocket("socket of metrics", "events.metrics", at, 0o117, r)
	case "tcp":
		l, err := net.Listen(network, at)
		if err != nil {
			return nil, cannotListen(fmt.Errorf("open the port of metrics: %w", err), "events.metrics")
		}
		return l, nil
	}
	return nil, nil
}

// serveMetrics answers GET /metrics, and nothing else, until ctx ends.
func serveMetrics(ctx context.Context, l net.Listener, write func(io.Writer) error, log *slog.Logger) error {
	local := l.Addr().Network() == "unix"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+metricsPath, func(w http.ResponseWriter, r *http.Request) {
		if !local && !isHere(r.Host) {
			http.Error(w, "metrics are for this machine alone", http.StatusForbidden)
			return
		}
		var text bytes.Buffer
		if err := write(&text); err != nil {
			http.Error(w, "metrics cannot be read", http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Content-Type", metricsType)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(text.Bytes())
	})
	server := &http.Server{Handler: mux, ReadTimeout: metricsWait, WriteTimeout: metricsWait, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 8 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

// isHere reports whether a Host names this machine: a page on the Internet can have a
// browser ask here, but by its own name alone (DNS rebinding).
func isHere(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if name = strings.ToLower(strings.Trim(name, "[]")); name == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.IsLoopback()
}

// exposition collects families of metrics in the text format. What is written of them
// is ours: labels need no more than quotes escaped.
type exposition struct{ text bytes.Buffer }

// family begins a metric. kind is counter or gauge.
func (x *exposition) family(name, kind, help string) {
	fmt.Fprintf(&x.text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// one is a metric without labels.
func (x *exposition) one(name, kind, help string, value float64) {
	x.family(name, kind, help)
	x.sample(name, "", "", value)
}

// by is a metric with one label.
func by[V uint64 | float64](x *exposition, name, kind, help, label string, values map[string]V) {
	if len(values) == 0 {
		return
	}
	x.family(name, kind, help)
	for _, k := range slices.Sorted(maps.Keys(values)) {
		x.sample(name, label, k, float64(values[k]))
	}
}

func (x *exposition) sample(name, label, is string, value float64) {
	x.text.WriteString(name)
	if label != "" {
		fmt.Fprintf(&x.text, `{%s="%s"}`, label, strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(is))
	}
	fmt.Fprintf(&x.text, " %s\n", strconv.FormatFloat(value, 'g', -1, 64))
}

const (
	counter = "counter"
	gauge   = "gauge"
)

// writeMetrics writes how the server is and what it did since its start.
func (s *server) writeMetrics(w io.Writer) error {
	x := &exposition{}
	s.measureDoors(x)
	s.measureEndings(x, time.Now())
	s.measureDDNS(x)
	s.measureEvents(x)
	s.measureRequests(x)
	s.measureGuard(x)
	s.measureHome(x)
	measureProcess(x, s.started)
	_, err := x.text.WriteTo(w)
	return err
}

func (s *server) measureDoors(x *exposition) {
	open, ends := map[string]float64{}, map[string]float64{}
	for _, d := range s.doors {
		why, _ := d.closed()
		open[d.label()] = number(why == "")
		if d.shows == nil || d.listener == nil {
			continue
		}
		if shown, err := d.shows(&tls.ClientHelloInfo{ServerName: s.cfg.Home.Name}); err == nil && shown.Leaf != nil {
			ends[d.label()] = float64(shown.Leaf.NotAfter.Unix())
		}
	}
	if row, ok := s.plain.row(); ok {
		open[row.Name+"-plain"] = number(row.Open)
	}
	by(x, "gatehouse_door_open", gauge, "Whether a door of the configuration is open.", "door", open)
	by(x, "gatehouse_certificate_expiry_timestamp_seconds", gauge, "When the certificate that a door shows ends, in Unix time.", "door", ends)
}

func (s *server) measureEvents(x *exposition) {
	totals := s.parts.events.Totals()
	happened, held := map[string]uint64{}, map[string]uint64{}
	for _, k := range event.Kinds() {
		happened[string(k)] = totals.Events[k]
		if k.ByStrangers() {
			held[string(k)] = totals.Held[k]
		}
	}
	by(x, "gatehouse_events_total", counter, "Security events, those held back too.", "kind", happened)
	by(x, "gatehouse_events_held_back_total", counter, "Events of strangers that are in the log as a number alone.", "kind", held)
	x.one("gatehouse_events_lost_total", counter, "Events that could not be written to the event log.", float64(totals.Lost))
}

func (s *server) measureRequests(x *exposition) {
	refused, others := map[string]uint64{}, map[string]uint64{}
	denied := uint64(0)
	for what, n := range s.gateway.Counts() {
		why, is := strings.CutPrefix(what, gateway.CountRefused)
		switch {
		case is && isRule(why):
			denied += n
			refused["a rule of [guard]"] += n
		case is:
			refused[why] += n
		default:
			others[what] = n
		}
	}
	atDoors := map[string]uint64{}
	s.refused.into(atDoors)
	denied += atDoors[string(wire.ReasonNotAllowed)]
	x.one("gatehouse_requests_forwarded_total", counter, "Requests that Home Assistant answered.", float64(others[gateway.CountForwarded]))
	x.one("gatehouse_sockets_total", counter, "WebSockets that were led to Home Assistant.", float64(others[gateway.CountSockets]))
	by(x, "gatehouse_requests_refused_total", counter, "Requests, sockets and commands that were refused, by reason.", "reason", refused)
	by(x, "gatehouse_connections_refused_total", counter, "Connections, handshakes and malformed requests that a door turned away, by reason.", "reason", atDoors)
	x.one("gatehouse_rule_denials_total", counter, "What the rules for addresses refused, at the doors and in requests.", float64(denied))
	x.one("gatehouse_live_connections", gauge, "Connections that a revocation would have to end now.", float64(s.gateway.Live()))
}

// isRule reports whether a refusal is by one of the owner's rules: see ruleSays.
func isRule(why string) bool {
	n := 0
	_, err := fmt.Sscanf(why, "rule %d of [guard]", &n)
	return err == nil && why == ruleSays(n)
}

func (s *server) measureGuard(x *exposition) {
	now, failed := s.guard.Status(), map[string]uint64{}
	s.failed.into(failed)
	by(x, "gatehouse_failures_total", counter, "Failures of those who are not known, by what they failed at.", "kind", failed)
	x.one("gatehouse_guard_bans", gauge, "Prefixes that are not listened to now.", float64(now.Bans))
	x.one("gatehouse_guard_sources", gauge, "Addresses and networks that the guard remembers.", float64(now.Sources))
	x.one("gatehouse_guard_accounts", gauge, "Accounts that the guard remembers.", float64(now.Accounts))
	x.one("gatehouse_guard_slowed_accounts", gauge, "Accounts whose codes unknown devices have to wait for.", float64(len(now.Slowed)))
	x.one("gatehouse_guard_shared_addresses", gauge, "Addresses that are never banned, because many are behind them.", float64(len(now.Shared)))
	x.one("gatehouse_guard_wary", gauge, "Whether strangers are met warily, for too much fails from all over.", number(time.Now().Before(now.Wary)))
}

func (s *server) measureHome(x *exposition) {
	up, _ := s.home.last()
	devices, sessions := 0, 0
	for _, d := range s.identity.Devices() {
		if d.RevokedAt.IsZero() {
			devices++
		}
	}
	for _, session := range s.identity.Sessions() {
		if session.Ended.IsZero() {
			sessions++
		}
	}
	x.one("gatehouse_home_assistant_up", gauge, "Whether Home Assistant answered when it was last asked.", number(up))
	x.one("gatehouse_house_closed", gauge, "Whether only what is known comes in, at home too.", number(s.mover.closed()))
	x.one("gatehouse_known_devices", gauge, "Devices that are known and not revoked.", float64(devices))
	x.one("gatehouse_sessions", gauge, "Sessions that have not ended.", float64(sessions))
	x.one("gatehouse_ledger_errors_total", counter, "Transactions of the ledger that failed.", float64(s.parts.ledger.Failures()))
}

// measureProcess writes what is usual to know of a process and of Go, by the names that
// are usual for it.
func measureProcess(x *exposition, started time.Time) {
	x.family("gatehouse_build_info", gauge, "What is running; always 1.")
	x.sample("gatehouse_build_info", "version", version(), 1)
	x.family("go_info", gauge, "The version of Go; always 1.")
	x.sample("go_info", "version", runtime.Version(), 1)
	x.one("go_goroutines", gauge, "Goroutines that exist.", float64(runtime.NumGoroutine()))
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	x.one("go_memstats_heap_alloc_bytes", gauge, "Bytes of the heap that are in use.", float64(m.HeapAlloc))
	x.one("go_memstats_sys_bytes", gauge, "Bytes had from the system.", float64(m.Sys))
	x.one("go_gc_duration_seconds_total", counter, "Time in which the collection of garbage stopped the program.", float64(m.PauseTotalNs)/1e9)
	x.one("process_start_time_seconds", gauge, "When the gateway was started, in Unix time.", float64(started.UnixMilli())/1000)
	var used runtimeUse
	if used.read() == nil {
		x.one("process_cpu_seconds_total", counter, "Processor time used.", used.cpu.Seconds())
		x.one("process_resident_memory_bytes", gauge, "Memory in use.", float64(used.resident))
		x.one("process_open_fds", gauge, "Open files and connections.", float64(used.files))
	}
}

// runtimeUse is what the process uses, as the kernel says.
type runtimeUse struct {
	cpu      time.Duration
	resident int64
	files    int
}

func (u *runtimeUse) read() error {
	var spent syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &spent); err != nil {
		return err
	}
	u.cpu = time.Duration(spent.Utime.Nano() + spent.Stime.Nano())
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return errors.New("/proc/self/statm has another form")
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return err
	}
	u.resident = pages * int64(os.Getpagesize())
	open, err := os.ReadDir("/proc/self/fd")
	u.files = len(open)
	return err
}

// number is a yes or no as a metric.
func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
