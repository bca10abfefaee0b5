package pki

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gatehouse/internal/ledger"
)

// open opens an authority over a ledger in memory, with a clock that the test turns.
func open(t *testing.T, names ...string) (*Authority, *ledger.Ledger, *time.Time) {
	t.Helper()
	l, err := ledger.Open(t.Context(), "", ledger.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	a, err := Open(t.Context(), l, Options{Names: names, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return a, l, &now
}

// pair is a connection of loopback, both ends.
func pair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	return near, far
}

// shown is the certificate that a client sees who trusts the root, or why it does not.
func shown(t *testing.T, a *Authority, get GetCertificate, name string, now time.Time) (*x509.Certificate, error) {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(a.RootPEM()) {
		t.Fatal("the root is no PEM")
	}
	near, far := pair(t)
	cfg := ServerConfig(get)
	cfg.Time = func() time.Time { return now }
	go func() { _ = tls.Server(far, cfg).HandshakeContext(context.Background()) }()
	client := tls.Client(near, &tls.Config{RootCAs: roots, ServerName: name, Time: func() time.Time { return now }})
	if err := client.HandshakeContext(t.Context()); err != nil {
		return nil, err
	}
	return client.ConnectionState().PeerCertificates[0], nil
}

// Whoever trusts the root believes it for the home's names and addresses, and for
// nothing on the Internet.
func TestNameConstraints(t *testing.T) {
	a, _, now := open(t, "ha.example.org", "house.test")
	for _, name := range []string{"ha.example.org", "house.test", "nas.local", "a.home.arpa", "localhost", "router.lan"} {
		if _, err := a.signer().issue([]string{name}, nil, *now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"example.org", "bank.example", "ha.example.com", "google.com", "xlocal"} {
		if _, err := a.signer().issue([]string{name}, nil, *now); err == nil {
			t.Errorf("%s has a certificate that a client takes", name)
		}
	}
	for addr, want := range map[string]bool{"192.168.1.2": true, "10.0.0.1": true, "fd00::1": true, "127.0.0.1": true, "203.0.113.7": false, "2001:db8::1": false} {
		if _, err := a.signer().issue(nil, []netip.Addr{netip.MustParseAddr(addr)}, *now); (err == nil) != want {
			t.Errorf("%s: %v", addr, err)
		}
	}
	block, _ := pem.Decode(a.RootPEM())
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if !root.PermittedDNSDomainsCritical || !root.IsCA || !root.MaxPathLenZero || len(root.PermittedIPRanges) == 0 {
		t.Errorf("the root: %+v", root)
	}
	if err := root.CheckSignatureFrom(root); err != nil {
		t.Error(err)
	}
}

// A certificate is made when it is first asked for, is kept, and is another one in
// good time and when the machine's addresses change.
func TestLeafIsRenewed(t *testing.T) {
	a, _, now := open(t, "house.test")
	addrs := []netip.Addr{netip.MustParseAddr("192.168.1.2"), netip.MustParseAddr("203.0.113.7")}
	made := 0
	a.Watch(func(names []string, until time.Time) {
		made++
		if names[0] != "house.test" || until.Sub(*now) > 398*24*time.Hour {
			t.Errorf("made for %v until %s", names, until)
		}
	})
	get := a.GetCertificate([]string{"house.test"}, func() []netip.Addr { return addrs })
	first, err := shown(t, a, get, "house.test", *now)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.VerifyHostname("192.168.1.2"); err != nil {
		t.Error(err)
	}
	if first.VerifyHostname("203.0.113.7") == nil {
		t.Error("it vouches for an address of the Internet")
	}
	*now = now.AddDate(0, 0, 200)
	if again, err := shown(t, a, get, "house.test", *now); err != nil || !again.Equal(first) || made != 1 {
		t.Errorf("after 200 days it is another: %v, %d made", err, made)
	}
	*now = now.AddDate(0, 0, 70)
	second, err := shown(t, a, get, "house.test", *now)
	if err != nil || second.Equal(first) {
		t.Errorf("after 270 days it is the same: %v", err)
	}
	addrs = addrs[:0]
	if third, err := shown(t, a, get, "house.test", *now); err != nil || third.Equal(second) || len(third.IPAddresses) != 0 {
		t.Errorf("with other addresses: %v", err)
	}
	if _, err := shown(t, a, get, "other.test", *now); err == nil {
		t.Error("a client takes it for another name")
	}
}

// The authority is the same after a restart, is another after a renewal, and is not
// opened for a name that it was not made for.
func TestAuthorityIsKept(t *testing.T) {
	a, l, _ := open(t, "house.test")
	again, err := Open(t.Context(), l, Options{Names: []string{"house.test", "x.local"}})
	if err != nil || again.Fingerprint() != a.Fingerprint() || len(a.Fingerprint()) != 95 {
		t.Errorf("%v: %s, then %s", err, a.Fingerprint(), again.Fingerprint())
	}
	var name *NameError
	if _, err := Open(t.Context(), l, Options{Names: []string{"ha.example.org"}}); !errors.As(err, &name) || name.Name != "ha.example.org" {
		t.Errorf("opened for a name that it may not vouch for: %v", err)
	}
	renewed, err := Renew(t.Context(), l, Options{Names: []string{"ha.example.org"}})
	if err != nil || renewed.Fingerprint() == a.Fingerprint() {
		t.Errorf("%v", err)
	}
	if err := l.PutSecret(t.Context(), rootSecret, []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), l, Options{}); err == nil {
		t.Error("nonsense is an authority")
	}
}

// The doors speak TLS 1.3, by choice 1.2 with forward secrecy as well, and nothing older; the
// post-quantum key exchange comes first.
func TestServerConfig(t *testing.T) {
	a, _, now := open(t, "house.test")
	get := a.GetCertificate([]string{"house.test"}, nil)
	for name, policy := range map[string]struct {
		config *tls.Config
		speaks map[uint16]bool
	}{
		"modern":       {ServerConfig(get), map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: false, tls.VersionTLS13: true}},
		"intermediate": {IntermediateConfig(get), map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true}},
	} {
		for version, want := range policy.speaks {
			near, far := pair(t)
			cfg := policy.config.Clone()
			cfg.Time = func() time.Time { return *now }
			go func() { _ = tls.Server(far, cfg).HandshakeContext(context.Background()); _ = far.Close() }()
			client := tls.Client(near, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
			err := client.HandshakeContext(t.Context())
			if (err == nil) != want {
				t.Errorf("%s, TLS %x: %v", name, version, err)
			}
			if state := client.ConnectionState(); err == nil && version == tls.VersionTLS13 && state.CurveID != tls.X25519MLKEM768 {
				t.Errorf("%s: the key exchange is %s", name, state.CurveID)
			}
			_ = near.Close()
		}
		for _, id := range policy.config.CipherSuites {
			for _, s := range tls.InsecureCipherSuites() {
				if s.ID == id {
					t.Errorf("%s: %s is chosen", name, s.Name)
				}
			}
		}
	}
}

func TestLoadFile(t *testing.T) {
	a, _, now := open(t, "house.test")
	dir := t.TempDir()
	cert, err := a.signer().issue([]string{"house.test"}, nil, *now)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c, k := write("c.pem", "CERTIFICATE", cert.Certificate[0]), write("k.pem", "PRIVATE KEY", key)
	loaded, err := LoadFile(c, k, *now)
	if err != nil {
		t.Fatal(err)
	}
	for when, at := range map[string]time.Time{"too late": now.AddDate(2, 0, 0), "too early": now.AddDate(-1, 0, 0)} {
		if _, err := LoadFile(c, k, at); err == nil {
			t.Errorf("%s, it is loaded", when)
		}
	}
	if _, err := LoadFile(c, c, *now); err == nil {
		t.Error("without its key it is loaded")
	}
	other := a.GetCertificate([]string{"x.local"}, nil)
	get := WithFile(loaded, other)
	for name, want := range map[string]string{"house.test": "house.test", "x.local": "x.local", "": "x.local"} {
		if got, err := get(&tls.ClientHelloInfo{ServerName: name}); err != nil || got.Leaf.DNSNames[0] != want {
			t.Errorf("%q is shown %v, %v", name, got.Leaf.DNSNames, err)
		}
	}
}

func TestIsHomeName(t *testing.T) {
	for name, want := range map[string]bool{"house": true, "house.local": true, "a.b.home.arpa": true, "localhost": true, "house.test": true, "ha.example.org": false, "local.example.org": false, "notlocal.com": false} {
		if IsHomeName(name) != want {
			t.Errorf("%s: %t", name, !want)
		}
	}
}
