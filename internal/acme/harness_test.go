package acme

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"gatehouse/internal/ledger"
	"gatehouse/internal/resolver"
	"gatehouse/internal/zone"
)

func TestMain(m *testing.M) {
	if os.Getenv(killedDir) != "" {
		toBeKilled()
		return
	}
	goleak.VerifyTestMain(m)
}

// home is the name that certificates are got for.
const home = "house.example.org"

// The key that updates of the zone are signed with (RFC 8945).
const (
	tsigName = "gatehouse."
	tsigKey  = "c2l4dGVlbiBieXRlcyBvZiBrZXk="
)

// A nameServer is the authoritative server of example.org and a resolver, in one. It
// takes dynamic updates (RFC 2136) that are signed.
type nameServer struct {
	addr string

	mu      sync.Mutex
	records []dns.RR
	silent  bool // answers SERVFAIL
	written []string
}

func newNameServer(t *testing.T, records ...string) *nameServer {
	t.Helper()
	s := &nameServer{}
	packet, stream := listenBoth(t)
	s.addr = packet.LocalAddr().String()
	for _, r := range append([]string{
		"example.org. 60 IN SOA ns.example.org. root.example.org. 1 60 60 60 60", "example.org. 60 IN NS ns.example.org.", "ns.example.org. 60 IN A 127.0.0.1",
	}, records...) {
		s.add(t, r)
	}
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait) // the last of the cleanups
	for _, server := range []*dns.Server{{PacketConn: packet}, {Listener: stream}} {
		started := make(chan struct{})
		server.Handler, server.TsigSecret, server.NotifyStartedFunc = s, map[string]string{tsigName: tsigKey}, func() { close(started) }
		server.MsgAcceptFunc = func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }
		wg.Go(func() { _ = server.ActivateAndServe() })
		<-started
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	return s
}

// listenBoth listens by UDP and TCP on one port, which others may have by one of the two.
func listenBoth(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for tries := 0; ; tries++ {
		packet, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		stream, err := net.Listen("tcp", packet.LocalAddr().String())
		if err == nil {
			return packet, stream
		}
		_ = packet.Close()
		if tries > 50 {
			t.Fatal(err)
		}
	}
}

func (s *nameServer) add(t *testing.T, record string) {
	t.Helper()
	rr, err := dns.NewRR(record)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.records = append(s.records, rr)
	s.mu.Unlock()
}

func (s *nameServer) texts() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rr := range s.records {
		if t, ok := rr.(*dns.TXT); ok {
			all = append(all, t.Hdr.Name)
		}
	}
	return all
}

func (s *nameServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := new(dns.Msg).SetReply(q)
	answer.Authoritative, answer.RecursionAvailable = true, true
	defer func() {
		if sig := q.IsTsig(); sig != nil {
			answer.SetTsig(sig.Hdr.Name, sig.Algorithm, 300, time.Now().Unix())
		}
		_ = w.WriteMsg(answer)
	}()
	switch {
	case s.silent:
		answer.Rcode = dns.RcodeServerFailure
	case q.Opcode == dns.OpcodeUpdate:
		if q.IsTsig() == nil || w.TsigStatus() != nil {
			answer.Rcode = dns.RcodeNotAuth
			return
		}
		s.update(q.Ns)
	case len(q.Question) == 1:
		s.answer(answer, q.Question[0])
	}
}

func (s *nameServer) update(changes []dns.RR) {
	for _, rr := range changes {
		h := rr.Header()
		if h.Class == dns.ClassINET {
			s.records = append(s.records, rr)
			s.written = append(s.written, h.Name)
			continue
		}
		h.Class, h.Ttl = dns.ClassINET, 0 // "delete an RR from an RRset"
		for i := len(s.records) - 1; i >= 0; i-- {
			if dns.IsDuplicate(s.records[i], rr) {
				s.records = append(s.records[:i], s.records[i+1:]...)
			}
		}
	}
}

func (s *nameServer) answer(answer *dns.Msg, q dns.Question) {
	name, found := q.Name, false
	for range 5 {
		next := ""
		for _, rr := range s.records {
			h := rr.Header()
			if !strings.EqualFold(h.Name, name) {
				continue
			}
			found = true
			if c, ok := rr.(*dns.CNAME); ok && q.Qtype != dns.TypeCNAME {
				next = c.Target
				answer.Answer = append(answer.Answer, rr)
			} else if h.Rrtype == q.Qtype {
				answer.Answer = append(answer.Answer, rr)
			}
		}
		if next == "" {
			break
		}
		name = next
	}
	if !found {
		answer.Rcode = dns.RcodeNameError
	}
}

// resolver asks this server, and this server alone.
func (s *nameServer) resolver() resolver.Resolver {
	_, port, _ := net.SplitHostPort(s.addr)
	return resolver.Resolver{Servers: []string{s.addr}, Port: port}
}

// zone writes into the server's zone.
func (s *nameServer) zone() func(context.Context) (Zone, error) {
	return func(context.Context) (Zone, error) {
		return zone.Open(zone.Settings{Provider: zone.RFC2136, Server: s.addr, KeyName: tsigName}, []string{tsigKey}, s.resolver().Zone)
	}
}

// A pebble is a real ACME server: Let's Encrypt's own, made for tests.
type pebble struct {
	directory, manage string
	roots             *x509.CertPool
	config            map[string]any
	dir, dns          string
	stop              func()
	log               *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// pebbleAt is where `go tool` keeps the program, built once.
var pebbleAt = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "tool", "-n", "pebble").Output()
	return strings.TrimSpace(string(out)), err
})

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// newPebble makes a server that asks the name server, and houses at a port. more goes
// into its configuration. It does not run yet.
func newPebble(t *testing.T, names *nameServer, port int, more map[string]any) *pebble {
	t.Helper()
	p := &pebble{dir: t.TempDir(), dns: names.addr, log: &lockedBuffer{}, stop: func() {}}
	cert, key, roots := selfSigned(t)
	p.roots = roots
	for name, data := range map[string][]byte{"cert.pem": cert, "key.pem": key} {
		if err := os.WriteFile(filepath.Join(p.dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at, manage := fmt.Sprintf("127.0.0.1:%d", freePort(t)), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	p.directory, p.manage = "https://"+at+"/dir", "https://"+manage
	p.config = map[string]any{
		"listenAddress": at, "managementListenAddress": manage, "certificate": filepath.Join(p.dir, "cert.pem"), "privateKey": filepath.Join(p.dir, "key.pem"),
		"httpPort": port, "tlsPort": port, "keyAlgorithm": "ecdsa", "caaIdentities": []string{"ca.example.org"},
		"retryAfter": map[string]any{"authz": 1, "order": 1},
	}
	for k, v := range more {
		p.config[k] = v
	}
	return p
}

// run starts the server and waits until it answers.
func (p *pebble) run(t *testing.T) *pebble {
	t.Helper()
	program, err := pebbleAt()
	if err != nil {
		t.Fatalf("go tool -n pebble: %v (it is a tool of go.mod)", err)
	}
	data, err := json.Marshal(map[string]any{"pebble": p.config})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(p.dir, "config.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-config", file, "-dnsserver", p.dns, "-strict")
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0")
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.stop = sync.OnceFunc(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("pebble says\n%s", p.log)
		}
	})
	client := p.client()
	defer client.CloseIdleConnections()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		answer, err := client.Get(p.directory)
		if err == nil {
			_ = answer.Body.Close()
			return p
		}
		if time.Now().After(deadline) {
			t.Fatalf("pebble does not answer: %v\n%s", err, p.log)
		}
	}
}

func (p *pebble) client() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.roots}}, Timeout: 5 * time.Second}
}

// renewAt has the server want a certificate renewed within a window.
func (p *pebble) renewAt(t *testing.T, leaf *x509.Certificate, start, end time.Time) {
	t.Helper()
	body, err := json.Marshal(map[string]string{
		"Certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})),
		"ARIResponse": fmt.Sprintf(`{"suggestedWindow": {"start": %q, "end": %q}}`, start.UTC().Format(time.RFC3339), end.UTC().Format(time.RFC3339)),
	})
	if err != nil {
		t.Fatal(err)
	}
	client := p.client()
	defer client.CloseIdleConnections()
	answer, err := client.Post(p.manage+"/set-renewal-info/", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		t.Fatalf("pebble: %s: %s", answer.Status, text)
	}
}

func (p *pebble) issuer(name string) Issuer {
	return Issuer{Name: name, Directory: p.directory, Roots: p.roots}
}

// selfSigned makes a certificate for this machine, and what trusts it.
func selfSigned(t *testing.T) (cert, key []byte, roots *x509.CertPool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pebble"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), roots
}

// A doorstep is where an issuer asks by TLS-ALPN-01. It can be told what to do first.
type doorstep struct {
	port int

	mu    sync.Mutex
	m     []*Manager
	first func()
}

func newDoorstep(t *testing.T) *doorstep {
	t.Helper()
	d := &doorstep{}
	config := &tls.Config{NextProtos: []string{"acme-tls/1"}, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.first != nil {
			d.first()
		}
		for _, m := range d.m {
			if c := m.Proof(hello.ServerName); c != nil {
				return c, nil
			}
		}
		return nil, fmt.Errorf("nothing is pending for %s", hello.ServerName)
	}}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	d.port = l.Addr().(*net.TCPAddr).Port
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				_ = c.SetDeadline(time.Now().Add(5 * time.Second))
				_ = c.(*tls.Conn).Handshake()
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return d
}

func (d *doorstep) of(m ...*Manager) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.m = m
}

func openLedger(t *testing.T, dir string) *ledger.Ledger {
	t.Helper()
	key := ledger.Key{1}
	l, err := ledger.Open(t.Context(), dir, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// config is what the tests have in common.
func config(t *testing.T, names *nameServer, issuers ...Issuer) Config {
	t.Helper()
	return Config{Ledger: openLedger(t, t.TempDir()), Names: []string{home}, Issuers: issuers, Challenge: ByTLS, Resolver: names.resolver(),
		Holder: "a", Lease: 20 * time.Second, Spread: 5 * time.Second, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

func newManager(t *testing.T, c Config) *Manager {
	t.Helper()
	m, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// runManager runs it until the test ends, or stop is called.
func runManager(t *testing.T, m *Manager) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func has(m *Manager) func() bool { return func() bool { return m.Certificate(home) != nil } }
