package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// client is a program that people use, or fails the test and says how to get it.
func client(t *testing.T, name, install string) string {
	t.Helper()
	if p := os.Getenv("CHROMIUM"); name == "chromium" && p != "" {
		return p
	}
	p, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install %s (scripts/needs unit does)", name, install)
	}
	return p
}

// runs runs a program in a home of its own and returns all that it says, and whether it
// is content.
func runs(t *testing.T, home, program string, args ...string) (said string, ok bool) {
	t.Helper()
	c := exec.CommandContext(t.Context(), program, args...)
	c.Env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME="+filepath.Join(home, "data"), "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home)
	c.WaitDelay = time.Second // Chromium's children keep its pipes
	out, err := c.CombinedOutput()
	return string(out), err == nil
}

// stolen is what somebody can make who has stolen the root's key: a certificate for
// whatever they like, without our own look at the constraints.
func stolen(t *testing.T, a *Authority, names []string, addrs []net.IP) *tls.Certificate {
	t.Helper()
	by := a.signer()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Stolen"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 6, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
		DNSNames: names, IPAddresses: addrs,
	}, by.root, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serves serves a page over TLS on loopback and returns its port.
func serves(t *testing.T, get GetCertificate) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{TLSConfig: ServerConfig(get), ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<p>the house is reached</p>"))
		})}
	go func() { _ = s.ServeTLS(l, "", "") }() // ends with Close
	t.Cleanup(func() { _ = s.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// today is an authority of today, whose root lies in a file.
func today(t *testing.T) (a *Authority, dir, root string) {
	t.Helper()
	by, key, err := newRoot([]string{"house.test", "ha.example.org"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	a = &Authority{root: by, key: key, now: time.Now}
	dir = t.TempDir()
	root = filepath.Join(dir, "root.pem")
	if err := os.WriteFile(root, a.RootPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return a, dir, root
}

// OpenSSL believes the root for the home's names and addresses, says that its constraints
// are critical, and refuses what somebody makes with a stolen key.
func TestOpenSSL(t *testing.T) {
	openssl := client(t, "openssl", "openssl")
	a, dir, root := today(t)
	said, ok := runs(t, dir, openssl, "x509", "-in", root, "-noout", "-text")
	for _, want := range []string{"Name Constraints: critical", "DNS:local", "DNS:home.arpa", "DNS:ha.example.org", "IP:10.0.0.0/255.0.0.0", "CA:TRUE, pathlen:0"} {
		if !ok || !strings.Contains(said, want) {
			t.Errorf("%q is not in %s", want, said)
		}
	}
	good, err := a.signer().issue([]string{"house.test", "ha.example.org"}, []netip.Addr{netip.MustParseAddr("192.168.1.2")}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if days := good.Leaf.NotAfter.Sub(good.Leaf.NotBefore).Hours() / 24; days > 397 {
		t.Errorf("a leaf lives for %f days", days)
	}
	for name, c := range map[string]struct {
		leaf *tls.Certificate
		args []string
		want bool
	}{
		"a name":              {good, []string{"-verify_hostname", "house.test"}, true},
		"the public name":     {good, []string{"-verify_hostname", "ha.example.org"}, true},
		"an address":          {good, []string{"-verify_ip", "192.168.1.2"}, true},
		"another name":        {good, []string{"-verify_hostname", "nas.local"}, false},
		"stolen: a bank":      {stolen(t, a, []string{"bank.example"}, nil), nil, false},
		"stolen: both":        {stolen(t, a, []string{"house.test", "bank.example"}, nil), nil, false},
		"stolen: a sibling":   {stolen(t, a, []string{"example.org"}, nil), nil, false},
		"stolen: an address":  {stolen(t, a, nil, []net.IP{net.IPv4(203, 0, 113, 7)}), nil, false},
		"stolen: within home": {stolen(t, a, []string{"nas.local"}, nil), nil, true},
	} {
		leaf := filepath.Join(dir, "leaf.pem")
		if err := os.WriteFile(leaf, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.leaf.Certificate[0]}), 0o600); err != nil {
			t.Fatal(err)
		}
		args := append([]string{"verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", root}, append(c.args, leaf)...)
		if said, ok := runs(t, dir, openssl, args...); ok != c.want {
			t.Errorf("%s: %t: %s", name, ok, said)
		}
	}
}

// curl comes in with the root and not without, and to no name outside the constraints.
func TestCurl(t *testing.T) {
	curl := client(t, "curl", "curl")
	a, dir, root := today(t)
	port := serves(t, a.GetCertificate([]string{"house.test"}, func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("127.0.0.1")} }))
	bank := stolen(t, a, []string{"bank.example"}, nil)
	rogue := serves(t, func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return bank, nil })
	for name, c := range map[string]struct {
		args []string
		want bool
	}{
		"with the root":    {[]string{"--cacert", root, "--resolve", "house.test:" + port + ":127.0.0.1", "https://house.test:" + port + "/"}, true},
		"by address":       {[]string{"--cacert", root, "https://127.0.0.1:" + port + "/"}, true},
		"without the root": {[]string{"--resolve", "house.test:" + port + ":127.0.0.1", "https://house.test:" + port + "/"}, false},
		"stolen":           {[]string{"--cacert", root, "--resolve", "bank.example:" + rogue + ":127.0.0.1", "https://bank.example:" + rogue + "/"}, false},
	} {
		said, ok := runs(t, dir, curl, append([]string{"-sS", "--noproxy", "*", "--max-time", "20"}, c.args...)...)
		if ok != c.want || c.want && !strings.Contains(said, "the house is reached") || !c.want && !strings.Contains(said, "(60)") {
			t.Errorf("%s: %t: %s", name, ok, said)
		}
	}
}

// Chromium trusts the root from its user's store (NSS) for the home's names, and refuses a
// name outside the constraints, and everything where the root was not imported.
func TestChromium(t *testing.T) {
	chromium, certutil := client(t, "chromium", "chromium"), client(t, "certutil", "libnss3-tools")
	a, dir, root := today(t)
	port := serves(t, a.GetCertificate([]string{"house.test"}, nil))
	bank := stolen(t, a, []string{"bank.example"}, nil)
	rogue := serves(t, func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return bank, nil })
	nas := stolen(t, a, []string{"nas.local"}, nil)
	within := serves(t, func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nas, nil })
	believing, unbelieving := filepath.Join(dir, "believing"), filepath.Join(dir, "unbelieving")
	for _, store := range []string{filepath.Join(believing, ".pki", "nssdb"), filepath.Join(believing, "data", "pki", "nssdb")} {
		if err := os.MkdirAll(store, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"-N", "--empty-password"}, {"-A", "-t", "C,,", "-n", a.Root().Name(), "-i", root}} {
			if said, ok := runs(t, believing, certutil, append([]string{"-d", "sql:" + store}, args...)...); !ok {
				t.Fatalf("certutil %v: %s", args, said)
			}
		}
	}
	shows := func(home, url string) (reached bool, said string) {
		if err := os.MkdirAll(home, 0o700); err != nil {
			t.Fatal(err)
		}
		said, _ = runs(t, home, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
			"--disable-component-update", "--disable-sync", "--no-proxy-server", "--host-resolver-rules=MAP * 127.0.0.1", "--user-data-dir="+filepath.Join(home, "profile"),
			"--enable-logging=stderr", "--dump-dom", url)
		return strings.Contains(said, "the house is reached"), said
	}
	if reached, said := shows(believing, "https://house.test:"+port+"/"); !reached {
		t.Errorf("the root is imported, and the house is not reached: %s", said)
	}
	if reached, said := shows(believing, "https://nas.local:"+within+"/"); !reached {
		t.Errorf("a name within the constraints, made in the same way as the one outside: %s", said)
	}
	if reached, said := shows(believing, "https://bank.example:"+rogue+"/"); reached || !strings.Contains(said, "ERR_CERT_INVALID") {
		t.Errorf("a name outside the constraints: %s", said)
	}
	if reached, said := shows(unbelieving, "https://house.test:"+port+"/"); reached || !strings.Contains(said, "ERR_CERT_AUTHORITY_INVALID") {
		t.Errorf("the root is not imported: %s", said)
	}
}
