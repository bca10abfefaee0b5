package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/ha/hatest"
	"gatehouse/internal/policy"
)

// issuer makes certificates, as somebody else does whose files we are given.
type issuer struct {
	t      *testing.T
	root   *x509.Certificate
	secret *ecdsa.PrivateKey
	n      int64
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{t: t}
	i.secret = i.newKey()
	i.root = i.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "A root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, &i.secret.PublicKey)
	return i
}

func (i *issuer) newKey() *ecdsa.PrivateKey {
	i.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	i.must(err)
	return key
}

func (i *issuer) must(err error) {
	i.t.Helper()
	if err != nil {
		i.t.Fatal(err)
	}
}

func (i *issuer) sign(c *x509.Certificate, public *ecdsa.PublicKey) *x509.Certificate {
	i.t.Helper()
	i.n++
	c.SerialNumber = big.NewInt(i.n)
	c.NotBefore = time.Now().Add(-time.Hour)
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().AddDate(0, 3, 0)
	}
	parent := i.root
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, i.secret)
	i.must(err)
	cert, err := x509.ParseCertificate(der)
	i.must(err)
	return cert
}

// logged is what a certificate says that stands in a public log.
func logged() pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: []byte{4, 2, 0, 0}}
}

// files are a certificate for a name and its key, in PEM.
func (i *issuer) files(name string, until time.Time, more ...pkix.Extension) (cert, key []byte) {
	i.t.Helper()
	private := i.newKey()
	c := i.sign(&x509.Certificate{DNSNames: []string{name}, NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: more}, &private.PublicKey)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	i.must(err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (i *issuer) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.root)
	return pool
}

// A certificate that is renewed in its files is shown to whoever comes next, and nothing that
// is open is dropped; a pair that cannot be used is refused, and said, and the old one stays.
// It is renewed as certbot does: two links that lead elsewhere, one after the other.
func TestFilesAreReadAgainWithoutDroppingAnything(t *testing.T) {
	i, dir := newIssuer(t), t.TempDir()
	write := func(version string, cert, key []byte) {
		t.Helper()
		for name, data := range map[string][]byte{"fullchain": cert, "privkey": key} {
			i.must(os.WriteFile(filepath.Join(dir, name+version), data, 0o600))
			i.must(os.Chtimes(filepath.Join(dir, name+version), time.Time{}, time.Unix(1_700_000_000, 0))) // all alike
		}
	}
	link := func(name, version string) {
		t.Helper()
		next := filepath.Join(dir, "next")
		i.must(os.Symlink(name+version, next))
		i.must(os.Rename(next, filepath.Join(dir, name)))
	}
	cert, key := i.files(certificateName, time.Time{})
	write("1", cert, key)
	link("fullchain", "1")
	link("privkey", "1")
	s := frontDoors(t, func(c *config.Config) {
		c.Certificates.Certificate, c.Certificates.Key = filepath.Join(dir, "fullchain"), filepath.Join(dir, "privkey")
	})
	shown := func() (*tls.Conn, int64) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		c, err := (&tls.Dialer{Config: &tls.Config{ServerName: certificateName, RootCAs: i.pool(), NextProtos: []string{"http/1.1"}}}).DialContext(ctx, "tcp", s.doorAt(policy.HTTPS))
		i.must(err)
		t.Cleanup(func() { _ = c.Close() })
		return c.(*tls.Conn), c.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	asks := func(c *tls.Conn) {
		t.Helper()
		_, port, err := net.SplitHostPort(s.doorAt(policy.HTTPS))
		i.must(err)
		_, err = fmt.Fprintf(c, "GET /_gatehouse/auth/static/shield.svg HTTP/1.1\r\nHost: %s:%s\r\n\r\n", certificateName, port)
		i.must(err)
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		i.must(err)
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("it answers %s", answer.Status)
		}
	}
	later := func() { s.file.look(time.Now()) } // a minute has passed
	first, serial := shown()
	asks(first)

	cert, key = i.files(certificateName, time.Time{})
	write("2", cert, key)
	link("fullchain", "2")
	later()
	if _, now := shown(); now != serial {
		t.Error("a certificate without its key is shown")
	}
	if rows := s.endings(); !slices.ContainsFunc(rows, func(e ending) bool { return strings.Contains(e.why, "cannot be used") }) {
		t.Errorf("it is not said: %+v", rows)
	}
	link("privkey", "2")
	later()
	_, now := shown()
	if now == serial {
		t.Error("the new one is not shown")
	}
	if rows := s.endings(); slices.ContainsFunc(rows, func(e ending) bool { return e.why != "" }) {
		t.Errorf("it is still said: %+v", rows)
	}
	for version, broken := range map[string]func() ([]byte, []byte){
		"3": func() ([]byte, []byte) { return i.files(certificateName, time.Now().Add(-time.Minute)) },
		"4": func() ([]byte, []byte) { return []byte("nonsense"), []byte("nonsense") },
		"5": func() ([]byte, []byte) {
			c, _ := i.files(certificateName, time.Time{})
			_, k := i.files("x", time.Time{})
			return c, k
		},
		"6": func() ([]byte, []byte) { return i.files("other.home.arpa", time.Time{}) },
	} {
		cert, key = broken()
		write(version, cert, key)
		link("fullchain", version)
		link("privkey", version)
		later()
		if _, still := shown(); still != now {
			t.Errorf("pair %s is shown", version)
		}
	}
	asks(first)
}

// HSTS is said where every browser trusts the certificate, and nowhere else.
func TestHSTSOnlyWhereEverybodyTrusts(t *testing.T) {
	i := newIssuer(t)
	pair := func(more ...pkix.Extension) *tls.Certificate {
		cert, key := i.files("house.example", time.Time{}, more...)
		pair, err := tls.X509KeyPair(cert, key)
		i.must(err)
		return &pair
	}
	public, private := pair(logged()), pair()
	for name, c := range map[string]struct {
		change func(*publicTrust)
		asked  string
		want   string
	}{
		"trusted by all":               {nil, "house.example", hstsValue},
		"in capitals":                  {nil, "House.Example", hstsValue},
		"without a name":               {nil, "", ""},
		"another name":                 {nil, "other.example", ""},
		"no certificate":               {func(p *publicTrust) { p.shown = func() *tls.Certificate { return nil } }, "house.example", ""},
		"a root of somebody's":         {func(p *publicTrust) { p.roots = func() (*x509.CertPool, error) { return x509.NewCertPool(), nil } }, "house.example", ""},
		"no roots to be had":           {func(p *publicTrust) { p.roots = func() (*x509.CertPool, error) { return nil, errors.New("none") } }, "house.example", ""},
		"a root of this machine's":     {func(p *publicTrust) { p.shown = func() *tls.Certificate { return private } }, "house.example", ""},
		"a certificate that ends":      {func(p *publicTrust) { p.now = func() time.Time { return time.Now().AddDate(1, 0, 0) } }, "house.example", ""},
		"a certificate of other names": {func(p *publicTrust) { p.name = "other.example" }, "other.example", ""},
		"a door without a name":        {func(p *publicTrust) { p.name = "" }, "", ""},
	} {
		p := &publicTrust{name: "house.example", now: time.Now, roots: func() (*x509.CertPool, error) { return i.pool(), nil }, shown: func() *tls.Certificate { return public }}
		if c.change != nil {
			c.change(p)
		}
		r := httptest.NewRequest(http.MethodGet, "https://house.example/", nil)
		r.TLS.ServerName = c.asked
		w := httptest.NewRecorder()
		h := p.withHSTS(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		h.ServeHTTP(w, r)
		if got := w.Header().Get("Strict-Transport-Security"); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
		plain := httptest.NewRecorder()
		h.ServeHTTP(plain, httptest.NewRequest(http.MethodGet, "http://house.example/", nil))
		if plain.Header().Get("Strict-Transport-Security") != "" {
			t.Errorf("%s: it is said without TLS", name)
		}
	}
	if s := frontDoors(t, func(*config.Config) {}); s.trust.trusts() {
		t.Error("the local authority's certificate is trusted by all")
	}
}

// The doors https say it, once, on Home Assistant's answers as on our own and whatever Home
// Assistant says itself; the door lan does not.
func TestHSTSIsSaidOnceAndByTheDoorHTTPSAlone(t *testing.T) {
	i, dir := newIssuer(t), t.TempDir()
	inner := hatest.New(hatest.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains; preload")
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(home.Close)
	cert, key := i.files(certificateName, time.Time{}, logged())
	i.must(os.WriteFile(filepath.Join(dir, "cert"), cert, 0o600))
	i.must(os.WriteFile(filepath.Join(dir, "key"), key, 0o600))
	h := newCertificateHouse(t, func(c *config.Config) {
		c.Home.HAURL = home.URL
		c.Certificates.Certificate, c.Certificates.Key = filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	})
	h.trust.roots = func() (*x509.CertPool, error) { return i.pool(), nil }
	h.trustOnly(i.root.Raw)
	device := h.invite(365, false).curl()
	said := func(of, path string, more ...string) (all []string) {
		t.Helper()
		heads := filepath.Join(h.dir, "heads")
		if status, body := h.curl(of, path, append(more, "-D", heads)...); status == 0 {
			t.Fatalf("%s %s: no answer: %s", of, path, body)
		}
		text, err := os.ReadFile(heads)
		h.must(err)
		for line := range strings.Lines(string(text)) {
			if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, "Strict-Transport-Security") {
				all = append(all, strings.TrimSpace(value))
			}
		}
		return all
	}
	for what, got := range map[string][]string{
		"Home Assistant's page":             said("certificates", "/", device...),
		"Home Assistant's page by HTTP/1.1": said("certificates", "/", append(device, "--http1.1")...),
		"what Home Assistant is asked":      said("certificates", "/auth/token", append(device, "-d", "grant_type=none")...),
		"a page of ours":                    said("", "/_gatehouse/auth/sign-in"),
		"a refusal":                         said("", "/api/states"),
		"a request for another house":       said("", "/", "-H", "Host: evil.example", "--http1.1"),
	} {
		if len(got) != 1 || got[0] != hstsValue {
			t.Errorf("%s: %q", what, got)
		}
	}
	_, port, err := net.SplitHostPort(h.doorAt(policy.LAN))
	h.must(err)
	heads := filepath.Join(h.dir, "lan")
	text, err := exec.CommandContext(t.Context(), "curl", "-sS", "-m", "20", "-k", "-D", heads, "--resolve", certificateName+":"+port+":127.0.0.1", "https://"+certificateName+":"+port+"/").CombinedOutput()
	h.must(err)
	got, err := os.ReadFile(heads)
	h.must(err)
	if !strings.HasPrefix(string(got), "HTTP/2 401") || strings.Contains(strings.ToLower(string(got)), "strict-transport") {
		t.Errorf("at home: %s%.200s", got, text)
	}
}

// What a stranger makes up as the case of a name costs no memory and no work.
func TestHSTSIsJudgedOnceForAllWaysToWriteAName(t *testing.T) {
	looked := 0
	p := &publicTrust{name: "house.example", now: time.Now, shown: func() *tls.Certificate { looked++; return nil }}
	h := p.withHSTS(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, name := range []string{"house.example", "House.example", "hOuse.example", "HOUSE.EXAMPLE"} {
		r := httptest.NewRequest(http.MethodGet, "https://house.example/", nil)
		r.TLS.ServerName = name
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	if looked != 1 {
		t.Errorf("judged %d times", looked)
	}
}

// curl comes by TLS 1.3, by 1.2 where the owner chose that, and by nothing older.
func TestTLSByChoice(t *testing.T) {
	for policy, speaks := range map[string]map[string]bool{
		"modern":       {"1.3": true, "1.2": false, "1.1": false, "1.0": false},
		"intermediate": {"1.3": true, "1.2": true, "1.1": false, "1.0": false},
	} {
		h := newCertificateHouse(t, func(c *config.Config) { c.Certificates.TLS = policy })
		for version, want := range speaks {
			status, _ := h.curl("", "/_gatehouse/auth/static/shield.svg", "--tlsv"+version, "--tls-max", version, "--ciphers", "DEFAULT@SECLEVEL=0")
			if (status == http.StatusOK) != want {
				t.Errorf("%s, TLS %s: %d", policy, version, status)
			}
		}
		h.saysOldTLS(policy == "modern")
	}
}

// saysOldTLS waits until the door https says that somebody came with an old TLS, or looks that
// it does not.
func (h *certificateHouse) saysOldTLS(want bool) {
	h.t.Helper()
	said := ""
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		for _, d := range h.doors {
			if d.name == policy.HTTPS && d.of == "" {
				said = strings.Join(d.row().Health, "\n")
			}
		}
		if !want || said != "" || time.Since(began) > 10*time.Second {
			break
		}
	}
	if strings.Contains(said, `tls = "intermediate"`) != want {
		h.t.Errorf("the door says %q", said)
	}
}

// OpenSSL agrees with the doors on X25519 and P-256, on the post-quantum exchange where it has
// that, and on nothing else; it resumes a session by its ticket.
func TestOpenSSLAgrees(t *testing.T) {
	h := newCertificateHouse(t)
	openssl := func(args ...string) (said string, ok bool) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "openssl", args...)
		cmd.Stdin = strings.NewReader("GET /_gatehouse/auth/static/shield.svg HTTP/1.1\r\nHost: " + certificateName + ":" + h.port("") + "\r\nConnection: close\r\n\r\n")
		text, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatalf("openssl (apt-get install openssl): %v", err)
		}
		return string(text), err == nil
	}
	dial := []string{"s_client", "-connect", "127.0.0.1:" + h.port(""), "-servername", certificateName, "-CAfile", h.root, "-verify_return_error", "-ign_eof"}
	groups := map[string]string{"X25519": "Temp Key: X25519", "P-256": "Temp Key: ECDH, prime256v1", "P-384": "", "P-521": "", "X448": ""}
	if has, _ := openssl("list", "-kem-algorithms"); strings.Contains(has, "X25519MLKEM768") { // since 3.5
		groups["X25519MLKEM768"] = "X25519MLKEM768"
	}
	for group, want := range groups {
		said, ok := openssl(append(dial, "-groups", group)...)
		if ok != (want != "") || !strings.Contains(said, want) || ok && !strings.Contains(said, "Verify return code: 0 (ok)") {
			t.Errorf("%s: %s", group, said)
		}
	}
	ticket := filepath.Join(h.dir, "ticket")
	if said, ok := openssl(append(dial, "-sess_out", ticket)...); !ok || !strings.Contains(said, "New, TLSv1.3") {
		t.Fatalf("the first: %s", said)
	}
	if said, ok := openssl(append(dial, "-sess_in", ticket)...); !ok || !strings.Contains(said, "Reused, TLSv1.3") {
		t.Errorf("resumed: %s", said)
	}
}

// testssl.sh looks for every hole of TLS that has a name, and finds nothing above "low" but
// that it does not know the home's own root.
func TestTestssl(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute")
	}
	t.Parallel()
	program, err := exec.LookPath("testssl")
	if err != nil {
		t.Fatal("testssl.sh is missing: apt-get install testssl.sh (scripts/needs unit does), or run the tests with -short")
	}
	for _, policy := range []string{"modern", "intermediate"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			h := newCertificateHouse(t, func(c *config.Config) { c.Certificates.TLS = policy })
			report := filepath.Join(h.dir, "report.json")
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
			defer cancel()
			scan := exec.CommandContext(ctx, program, "--warnings", "off", "--color", "0", "--quiet", "--nodns", "none", "--ip", "127.0.0.1", "--jsonfile", report, certificateName+":"+h.port(""))
			said, err := scan.CombinedOutput()
			data, wrong := os.ReadFile(report)
			if wrong != nil {
				t.Fatalf("testssl: %v, %v\n%s", err, wrong, said)
			}
			var findings []struct{ ID, Severity, Finding string }
			h.must(json.Unmarshal(data, &findings))
			// These are about trust in the home's own root, and about HSTS, which needs such trust.
			own := []string{"cert_chain_of_trust", "cert_trust", "cert_caIssuers", "OCSP_stapling", "cert_revocation", "cert_crlDistributionPoints", "cert_ocspURL", "DNS_CAArecord", "cert_expirationStatus", "HSTS"}
			looked := map[string]bool{}
			for _, f := range findings {
				looked[f.ID] = true
				base, _, _ := strings.Cut(f.ID, " ")
				if slices.Contains([]string{"MEDIUM", "HIGH", "CRITICAL", "FATAL"}, f.Severity) && !slices.Contains(own, base) {
					t.Errorf("%s: %s: %s", f.Severity, f.ID, f.Finding)
				}
			}
			for _, id := range []string{"TLS1_3", "TLS1_1", "SSLv3", "heartbleed", "secure_renego", "cert_chain_of_trust"} {
				if !looked[id] {
					t.Errorf("testssl did not look at %s; it found %d things\n%s", id, len(findings), said)
				}
			}
		})
	}
}
