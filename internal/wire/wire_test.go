package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testServer is a Server on loopback that remembers what it refused.
type testServer struct {
	*Server
	addr string
	tls  *tls.Config // for clients; nil without TLS

	mu      sync.Mutex
	reasons []Reason
	dropped int
	logged  bytes.Buffer
}

func (ts *testServer) refusals() []Reason {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return append([]Reason(nil), ts.reasons...)
}

// lastReason waits until a refusal has been counted and takes it away.
func (ts *testServer) lastReason(t *testing.T) Reason {
	t.Helper()
	for range 500 {
		ts.mu.Lock()
		if n := len(ts.reasons); n > 0 {
			r := ts.reasons[n-1]
			ts.reasons = nil
			ts.mu.Unlock()
			return r
		}
		ts.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("nothing was counted as refused")
	return ""
}

func (ts *testServer) log() string {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.logged.String()
}

func (ts *testServer) Write(p []byte) (int, error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.logged.Write(p)
}

// serve starts a Server and stops it when the test ends.
func serve(t testing.TB, limits Limits, h http.HandlerFunc) *testServer {
	return serveOn(t, limits, h, false)
}

func serveTLS(t testing.TB, limits Limits, h http.HandlerFunc) *testServer {
	return serveOn(t, limits, h, true)
}

func serveOn(t testing.TB, limits Limits, h http.HandlerFunc, secure bool) *testServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ts := &testServer{addr: l.Addr().String()}
	ts.Server = &Server{
		Handler: h, Limits: limits,
		Refused: func(_ net.Addr, r Reason) {
			ts.mu.Lock()
			defer ts.mu.Unlock()
			ts.reasons = append(ts.reasons, r)
		},
		Dropped: func(net.Addr) {
			ts.mu.Lock()
			defer ts.mu.Unlock()
			ts.dropped++
		},
		ErrorLog: slog.New(slog.NewTextHandler(ts, nil)),
	}
	if secure {
		serverConfig, clientConfig := testCertificate(t)
		ts.tls = clientConfig
		l = ListenTLS(l, serverConfig, TLSOptions{})
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ts.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Serve did not return")
		}
	})
	return ts
}

// testCertificate makes a certificate for localhost and the two ends' configurations.
func testCertificate(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost", "home.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"h2", "http/1.1"}}
	return server, &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

// dial connects to a server and closes at the end of the test.
func (ts *testServer) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", ts.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// send sends bytes and returns all that comes back until the server closes.
func (ts *testServer) send(t testing.TB, text string) string {
	t.Helper()
	c := ts.dial(t)
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("reading the answer to %.80q: %v", text, err)
	}
	return string(answer)
}

// client is a net/http client for a test server.
func (ts *testServer) client(t testing.TB, protocols ...string) *http.Client {
	transport := &http.Transport{DisableCompression: true, ReadBufferSize: 64 << 10}
	if ts.tls != nil {
		transport.TLSClientConfig = ts.tls.Clone()
		p := new(http.Protocols)
		for _, name := range protocols {
			p.SetHTTP2(name == "h2")
			p.SetHTTP1(name == "http/1.1")
		}
		if len(protocols) > 0 {
			transport.Protocols = p
		}
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 60 * time.Second}
}

func (ts *testServer) url(path string) string {
	if ts.tls != nil {
		return "https://" + ts.addr + path
	}
	return "http://" + ts.addr + path
}

// readAnswer reads one answer to a method from a connection.
func readAnswer(t testing.TB, r *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("reading an answer: %v", err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("reading an answer's body: %v", err)
	}
	return res, string(b)
}
