package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// browserGet is what a browser asks, with the headers that one sends.
const browserGet = "GET /frontend_latest/app.8c1a0e0f.js HTTP/1.1\r\n" +
	"Host: home.example:8443\r\n" +
	"Connection: keep-alive\r\n" +
	"sec-ch-ua-platform: \"Linux\"\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
	"sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\n" +
	"sec-ch-ua-mobile: ?0\r\n" +
	"Accept: */*\r\n" +
	"Origin: https://home.example:8443\r\n" +
	"Sec-Fetch-Site: same-origin\r\n" +
	"Sec-Fetch-Mode: cors\r\n" +
	"Sec-Fetch-Dest: script\r\n" +
	"Referer: https://home.example:8443/lovelace/0\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-US,en;q=0.9\r\n" +
	"Cookie: __Host-gatehouse=AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCdEfG\r\n\r\n"

// BenchmarkServer compares this package's server with net/http's: the same
// requests, the same handler, the same client, on loopback.
func BenchmarkServer(b *testing.B) {
	small, big := make([]byte, 1000), make([]byte, 64<<10)
	upload := "POST /api/webhook/x HTTP/1.1\r\nHost: home.example\r\nContent-Length: 1000\r\nContent-Type: application/json\r\n\r\n" + string(small)
	for _, tc := range []struct {
		name    string
		request string
		answer  []byte
		secure  bool
	}{
		{"get", browserGet, small, false},
		{"get-64k", browserGet, big, false},
		{"post-1k", upload, small, false},
		{"tls-get", browserGet, small, true},
		{"tls-get-64k", browserGet, big, true},
	} {
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ContentLength > 0 {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			h := w.Header()
			h["Content-Type"] = []string{"text/javascript"}
			h["Content-Length"] = []string{strconv.Itoa(len(tc.answer))}
			_, _ = w.Write(tc.answer)
		})
		for _, which := range []string{"wire", "net-http"} {
			b.Run(tc.name+"/"+which, func(b *testing.B) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				addr := l.Addr().String()
				var clientConfig *tls.Config
				if tc.secure {
					server, client := testCertificate(b)
					server.NextProtos, clientConfig = []string{"http/1.1"}, client
					l = tls.NewListener(l, server)
				}
				ctx, cancel := context.WithCancel(context.Background())
				done := make(chan struct{})
				std := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
				go func() {
					defer close(done)
					if which == "wire" {
						_ = (&Server{Handler: handler}).Serve(ctx, l)
					} else {
						_ = std.Serve(l)
					}
				}()
				defer func() { cancel(); std.Close(); <-done }()
				benchmarkRequests(b, addr, clientConfig, tc.request, len(tc.answer))
			})
		}
	}
}

// BenchmarkAlone is BenchmarkServer without a network and a client: requests come
// from memory and answers go nowhere, so that the server's own work is all there is.
func BenchmarkAlone(b *testing.B) {
	answer := make([]byte, 1000)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = []string{"text/javascript"}
		_, _ = w.Write(answer)
	})
	for _, which := range []string{"wire", "net-http"} {
		b.Run(which, func(b *testing.B) {
			l := newPipeListener()
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			std := &http.Server{Handler: handler}
			go func() {
				defer close(done)
				if which == "wire" {
					_ = (&Server{Handler: handler}).Serve(ctx, l)
				} else {
					_ = std.Serve(l)
				}
			}()
			defer func() { cancel(); std.Close(); <-done }()
			c := &endlessConn{request: []byte(browserGet), left: b.N, closed: make(chan struct{})}
			b.ReportAllocs()
			began := cpuTime(b)
			l.conns <- c
			<-c.closed
			b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N), "cpu-ns/op")
		})
	}
}

// endlessConn asks the same so many times and then ends.
type endlessConn struct {
	net.Conn
	request []byte
	at      int
	left    int
	closed  chan struct{}
	once    sync.Once
}

func (c *endlessConn) Read(p []byte) (int, error) {
	if c.at == 0 && c.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.request[c.at:])
	if c.at += n; c.at == len(c.request) {
		c.at = 0
		c.left--
	}
	return n, nil
}

func (*endlessConn) Write(p []byte) (int, error)      { return len(p), nil }
func (c *endlessConn) Close() error                   { c.once.Do(func() { close(c.closed) }); return nil }
func (*endlessConn) RemoteAddr() net.Addr             { return nobody{} }
func (*endlessConn) LocalAddr() net.Addr              { return nobody{} }
func (*endlessConn) SetDeadline(time.Time) error      { return nil }
func (*endlessConn) SetReadDeadline(time.Time) error  { return nil }
func (*endlessConn) SetWriteDeadline(time.Time) error { return nil }

// benchmarkRequests asks the same again and again on a few connections. The client
// allocates nothing and parses no more than it must, so that the server counts.
func benchmarkRequests(b *testing.B, addr string, config *tls.Config, request string, length int) {
	b.ReportAllocs()
	began := cpuTime(b)
	defer func() { b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N), "cpu-ns/op") }()
	b.SetBytes(int64(len(request) + length))
	b.RunParallel(func(pb *testing.PB) {
		var c net.Conn
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		if config != nil {
			c = tls.Client(c, config)
		}
		br := bufio.NewReaderSize(c, 16<<10)
		out := []byte(request)
		for pb.Next() {
			if _, err := c.Write(out); err != nil {
				b.Error(err)
				return
			}
			for {
				line, err := br.ReadSlice('\n')
				if err != nil {
					b.Error(err)
					return
				}
				if len(bytes.TrimSpace(line)) == 0 {
					break
				}
			}
			if _, err := br.Discard(length); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// cpuTime is what this process has used, client and server together, in nanoseconds.
func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
