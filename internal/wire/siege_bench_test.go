package wire

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkBesieged measures what a known device waits for, alone and while strangers at
// 200 addresses shake hands as fast as they can: for an answer on a connection that it has,
// and for one with a handshake before it. Attackers replay one ClientHello, which costs
// them nothing; they share the processors with us.
//
//	go test ./internal/wire -run '^$' -bench Besieged -benchtime 2000x
func BenchmarkBesieged(b *testing.B) {
	for _, tc := range []struct {
		name       string
		siege      bool
		favoured   bool
		handshakes bool
	}{
		{"answer/alone", false, true, false},
		{"answer/besieged", true, true, false},
		{"handshake/alone", false, true, true},
		{"handshake/besieged, known address", true, true, true},
		{"handshake/besieged, new address", true, false, true},
	} {
		b.Run(tc.name, func(b *testing.B) {
			config, client := testCertificate(b)
			inner := listenHere(b)
			here := netip.MustParseAddr("127.0.0.1")
			l := ListenTLS(inner, config, TLSOptions{Favoured: func(a netip.Addr) bool { return tc.favoured && a == here }})
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error)
			handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "well") })
			go func() { done <- (&Server{Handler: handler}).Serve(ctx, l) }()
			defer func() { cancel(); <-done }()
			client.ClientSessionCache = nil
			come := 0
			transport := &http.Transport{TLSClientConfig: client, DisableKeepAlives: tc.handshakes,
				DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
					var d net.Dialer
					if come++; !tc.favoured { // each time from elsewhere, as a phone on its way
						d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, byte(100+come/250), byte(1+come%250))}
					}
					return d.DialContext(ctx, network, addr)
				}}
			defer transport.CloseIdleConnections()
			web := &http.Client{Transport: transport, Timeout: 30 * time.Second}
			ask := func() {
				res, err := web.Get("https://" + inner.Addr().String() + "/")
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
			ask()
			var tried, answered atomic.Int64
			if tc.siege {
				defer besiege(inner.Addr().String(), recordHello(b, client), &tried, &answered)()
				time.Sleep(2 * time.Second) // until each attacker has used up what it has at once
			}
			tried.Store(0)
			answered.Store(0)
			began, cpu := time.Now(), cpuTime(b)
			took := make([]time.Duration, 0, b.N)
			for b.Loop() {
				at := time.Now()
				ask()
				took = append(took, time.Since(at))
				time.Sleep(5 * time.Millisecond) // one device, not a load
				if tc.handshakes {
					time.Sleep(50 * time.Millisecond) // below what an address may in the long run
				}
			}
			slices.Sort(took)
			seconds := time.Since(began).Seconds()
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(tried.Load())/seconds, "tried/s")
			b.ReportMetric(float64(answered.Load())/seconds, "answered/s")
			b.ReportMetric(float64(cpuTime(b)-cpu)/1e9/seconds, "cores")
		})
	}
}

// besiege has 200 addresses shake hands until it is told to stop.
func besiege(to string, hello []byte, tried, answered *atomic.Int64) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i := range 200 {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 7, byte(1+i))}, Timeout: time.Second}
		wg.Go(func() {
			for ctx.Err() == nil {
				tried.Add(1)
				c, err := d.DialContext(ctx, "tcp", to)
				if err != nil {
					time.Sleep(time.Millisecond)
					continue
				}
				_ = c.SetDeadline(time.Now().Add(2 * time.Second))
				_, _ = c.Write(hello)
				if n, _ := c.Read(make([]byte, 1)); n > 0 {
					answered.Add(1)
				}
				_ = c.Close()
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}
