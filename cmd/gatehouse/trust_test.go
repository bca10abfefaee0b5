package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/policy"
)

// lounge is a gateway with every door that this test has a use for, and a telephone in the
// same network; the gateway's network is the test's own.
type lounge struct {
	network
	*server
	dir      string
	root     string // the local authority's, in PEM
	lan, web string // ports of the doors lan and https
	plain    string // of the one without TLS
}

func newLounge(t *testing.T) *lounge {
	t.Helper()
	n := newNetwork(t, map[string]string{"curl": "curl", "certutil": "libnss3-tools"},
		"link set lo up", "netns add phone", "-n phone link set lo up",
		"link add eth0 type veth peer name eth0 netns phone", "addr add 192.168.77.1/24 dev eth0", "link set eth0 up",
		// An address that comes later breaks off what a browser is asking (ERR_NETWORK_CHANGED).
		"-n phone link set eth0 addrgenmode none", "-n phone addr add 192.168.77.20/24 dev eth0", "-n phone link set eth0 up",
		// From there it is not at home.
		"-n phone addr add 203.0.113.7/32 dev lo", "route add 203.0.113.7/32 dev eth0",
	)
	l := &lounge{network: n, dir: t.TempDir()}
	public, certificate, key := l.publicCertificate("ha.example.org")
	t.Setenv("SSL_CERT_FILE", public) // what this machine trusts; read once, so this test has a process of its own
	t.Setenv("SSL_CERT_DIR", l.dir)
	l.plain = "18124"
	l.server = frontDoors(t, func(c *config.Config) {
		c.Home.Name = "ha.example.org"
		c.Doors.HTTPS.Listen, c.Doors.LAN.Listen = ":0", ":0"
		c.Certificates.Certificate, c.Certificates.Key = certificate, key
	}, stance{Mode: modeClosed, Home: netip.MustParseAddrPort("127.0.0.1:1"), Was: listening{Hosts: []string{"0.0.0.0"}, Port: 18124}})
	l.root = filepath.Join(l.dir, "root.pem")
	l.write(l.root, l.authority.RootPEM())
	port := func(at string) string { return at[strings.LastIndex(at, ":")+1:] }
	l.lan, l.web = port(l.doorAt(policy.LAN)), port(l.doorAt(policy.HTTPS))
	return l
}

func (l *lounge) write(name string, data []byte) {
	l.t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// publicCertificate makes an authority, and a certificate of its for a name, in files.
func (l *lounge) publicCertificate(name string) (root, certificate, key string) {
	l.t.Helper()
	make := func(c, by *x509.Certificate, with *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			l.t.Fatal(err)
		}
		c.NotBefore, c.NotAfter, c.BasicConstraintsValid = time.Now().Add(-time.Hour), time.Now().AddDate(0, 2, 0), true
		if by == nil {
			by, with = c, k
		}
		der, err := x509.CreateCertificate(rand.Reader, c, by, &k.PublicKey, with)
		if err != nil {
			l.t.Fatal(err)
		}
		c.Raw = der
		return c, k
	}
	ca, caKey := make(&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Everybody's"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	leaf, leafKey := make(&x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{name},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: []byte{4, 0}}}, // says that it is logged
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, ca, caKey)
	der, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		l.t.Fatal(err)
	}
	root, certificate, key = filepath.Join(l.dir, "public.pem"), filepath.Join(l.dir, "leaf.pem"), filepath.Join(l.dir, "leaf.key")
	l.write(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}))
	l.write(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}))
	l.write(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return root, certificate, key
}

// asks is what curl gets in the telephone's network: the status, and all that is answered.
func (l *lounge) asks(url string, args ...string) (status, answer string) {
	l.t.Helper()
	all := append([]string{"--net=/run/netns/phone", "curl", "-sSik", "--noproxy", "*", "--max-time", "20", "-w", "\n%{http_code}",
		"--resolve", "house.lan:" + l.lan + ":192.168.77.1", "--resolve", "ha.example.org:" + l.lan + ":192.168.77.1", "--resolve", "ha.example.org:" + l.web + ":192.168.77.1", url}, args...)
	out, _ := exec.CommandContext(l.t.Context(), "nsenter", all...).CombinedOutput() // who gets no byte, gets none
	text := string(out)
	k := strings.LastIndex(text, "\n")
	return text[k+1:], text[:k]
}

// Whoever is at home is shown the page at the door lan, with TLS and without; nobody is at
// the door https, from elsewhere, or on the machine itself.
func TestTrustPageIsAtHome(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	l := newLounge(t)
	byName, byAddress, inPlain := "https://house.lan:"+l.lan, "https://192.168.77.1:"+l.lan, "http://192.168.77.1:"+l.plain
	for _, c := range []struct {
		url    string
		args   []string
		status string
	}{
		{byName + trustPath, nil, "200"},
		{byAddress + trustPath, nil, "200"},
		{inPlain + trustPath, nil, "200"},
		{inPlain + trustPath + "/gatehouse.mobileconfig", nil, "200"},
		{byName + "/_gatehouse/api/trusted", nil, "200"},
		{inPlain + "/_gatehouse/api/trusted", nil, "401"},
		{"https://ha.example.org:" + l.web + trustPath, nil, "404"},
		{"https://ha.example.org:" + l.web + trustPath + "/gatehouse.crt", nil, "404"},
		{"https://ha.example.org:" + l.web + "/_gatehouse/api/trusted", nil, "404"},
		{byName + trustPath, []string{"--interface", "203.0.113.7"}, "404"},
		{inPlain + trustPath, []string{"--interface", "203.0.113.7"}, "000"},
		{byName + trustPath, []string{"-X", "POST"}, "405"},
		{byName + trustPath, []string{"-H", "Host: evil.example"}, "400"},
		{inPlain + trustPath, []string{"-H", "Host: evil.example"}, "400"},
	} {
		if status, answer := l.asks(c.url, c.args...); status != c.status {
			t.Errorf("%s %v: %s, want %s: %.300s", c.url, c.args, status, c.status, answer)
		}
	}
	out := l.network.run("curl", "-sik", "--resolve", "house.lan:"+l.lan+":192.168.77.1", byName+trustPath)
	if !strings.HasPrefix(out, "HTTP/2 404") {
		t.Errorf("on this machine: %.200s", out)
	}

	// A page of the house may read that there is an answer; nobody else's, and not at all by accident.
	for origin, may := range map[string]bool{byName: true, byAddress: true, inPlain: true, "https://ha.example.org:" + l.lan: true,
		"https://evil.example": false, "http://192.168.77.1": false, "null": false, "http://house.lan:" + l.lan: false, "https://192.168.77.1:" + l.web: false, "https://user@house.lan:" + l.lan: false} {
		_, answer := l.asks(byName+"/_gatehouse/api/trusted", "-H", "Origin: "+origin)
		if strings.Contains(strings.ToLower(answer), "access-control-allow-origin: "+strings.ToLower(origin)) != may {
			t.Errorf("%s: %s", origin, answer)
		}
	}

	// What is said of the name in use: the file's certificate is everybody's, the others are ours.
	en := "Nothing needs to be trusted for "
	for url, want := range map[string]string{"https://ha.example.org:" + l.lan: en + "ha.example.org", inPlain: en + "ha.example.org", byName: "", byAddress: ""} {
		if _, answer := l.asks(url + trustPath); strings.Contains(answer, en) != (want != "") || !strings.Contains(answer, want) || strings.Contains(answer, "not from the house") {
			t.Errorf("%s: it does not say %q", url, want)
		}
	}
	// The fingerprint is the root's, and so is what is fetched.
	_, page := l.asks(inPlain + trustPath)
	for _, line := range l.authority.Root().Lines() {
		if !strings.Contains(page, line) {
			t.Errorf("%s is not on the page", line)
		}
	}
	if _, file := l.asks(inPlain + trustPath + "/gatehouse.pem"); !strings.Contains(file, strings.TrimSpace(string(l.authority.RootPEM()))) {
		t.Errorf("the file: %s", file)
	}
}

// verdict is what the page says in Chromium of whether it is trusted.
func (l *lounge) verdict(home, url string) string {
	l.t.Helper()
	args := append([]string{"--net=/run/netns/phone"}, chromium(filepath.Join(home, "profile"), "--no-proxy-server",
		"--host-resolver-rules=MAP house.lan 192.168.77.1, MAP ha.example.org 192.168.77.1")...)
	c := exec.CommandContext(l.t.Context(), "nsenter", args...)
	c.Env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME="+filepath.Join(home, "data"), "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home)
	var shown [][]string
	page := becomes(l.t, c, url, time.Minute, func(page string) bool {
		shown = regexp.MustCompile(`<p class="verdict[a-z ]*" id="(\w+)">`).FindAllStringSubmatch(page, -1)
		return len(shown) == 1 && shown[0][1] != "checking"
	})
	if len(shown) != 1 {
		l.t.Fatalf("%s: %v: %.3000s", url, shown, page)
	}
	return shown[0][1]
}

// Chromium says yes once the root is imported, and no before: without TLS, where all of
// the house's addresses with TLS are asked, and with TLS, where the others are.
func TestTrustIsChecked(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	l := newLounge(t)
	believing, unbelieving := filepath.Join(l.dir, "believing"), filepath.Join(l.dir, "unbelieving")
	for _, store := range []string{filepath.Join(believing, ".pki", "nssdb"), filepath.Join(believing, "data", "pki", "nssdb"), filepath.Join(unbelieving, "data")} {
		if err := os.MkdirAll(store, 0o700); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(store, believing) {
			l.network.run("certutil", "-d", "sql:"+store, "-N", "--empty-password")
			l.network.run("certutil", "-d", "sql:"+store, "-A", "-t", "C,,", "-n", l.authority.Root().Name(), "-i", l.root)
		}
	}
	inPlain, byName := fmt.Sprintf("http://192.168.77.1:%s%s", l.plain, trustPath), fmt.Sprintf("https://house.lan:%s%s", l.lan, trustPath)
	if got := l.verdict(unbelieving, inPlain); got != "no" {
		t.Errorf("the root is not imported, and it says %s", got)
	}
	for _, url := range []string{inPlain, byName} {
		if got := l.verdict(believing, url); got != "yes" {
			t.Errorf("%s: the root is imported, and it says %s", url, got)
		}
	}
}
