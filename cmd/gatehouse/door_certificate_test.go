package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"gatehouse/internal/config"
	"gatehouse/internal/event"
	"gatehouse/internal/ha/hatest"
	"gatehouse/internal/identity"
	"gatehouse/internal/ledger"
	"gatehouse/internal/pki"
	"gatehouse/internal/policy"
)

// certificateHouse is a house with a door for devices that have a certificate, and Anna.
type certificateHouse struct {
	*server
	t    *testing.T
	dir  string
	root string // file of the local authority's root
}

const certificateName = "house.home.arpa"

func newCertificateHouse(t *testing.T, changes ...func(*config.Config)) *certificateHouse {
	t.Helper()
	l, err := ledger.Open(t.Context(), "", ledger.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	people, err := identity.New(t.Context(), identity.Config{Ledger: l})
	if err == nil {
		_, err = people.AddPerson(t.Context(), "Anna", policy.RoleMember, "", "")
	}
	if err != nil {
		t.Fatal(err)
	}
	return certificateHouseOver(t, l, changes...)
}

// certificateHouseOver is such a house over a ledger that knows Anna.
func certificateHouseOver(t *testing.T, l *ledger.Ledger, changes ...func(*config.Config)) *certificateHouse {
	t.Helper()
	home := httptest.NewServer(hatest.New(hatest.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}))
	t.Cleanup(home.Close)
	s := frontDoorsOver(t, l, func(c *config.Config) {
		c.Home.HAURL = home.URL
		c.Doors.HTTPS.CertificateListen = "127.0.0.1:0"
		for _, change := range changes {
			change(c)
		}
	})
	h := &certificateHouse{server: s, t: t, dir: t.TempDir()}
	h.root = filepath.Join(h.dir, "root.pem")
	h.must(os.WriteFile(h.root, s.authority.RootPEM(), 0o600))
	return h
}

func (h *certificateHouse) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// trustOnly has curl trust a root, and no other.
func (h *certificateHouse) trustOnly(der []byte) {
	h.t.Helper()
	h.must(os.WriteFile(h.root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
}

// port is the port of the door https, or of the one for certificates.
func (h *certificateHouse) port(of string) string {
	h.t.Helper()
	for _, d := range h.doors {
		if d.name == policy.HTTPS && d.of == of {
			_, port, err := net.SplitHostPort(d.listener.Addr().String())
			h.must(err)
			return port
		}
	}
	h.t.Fatalf("there is no door https for %q", of)
	return ""
}

// curl asks for a path at a door. It returns the status, 0 where there was no answer.
func (h *certificateHouse) curl(of, path string, more ...string) (status int, body string) {
	h.t.Helper()
	port := h.port(of)
	out := filepath.Join(h.dir, "out")
	_ = os.Remove(out)
	args := append([]string{"-sS", "-m", "20", "--cacert", h.root, "--resolve", certificateName + ":" + port + ":127.0.0.1",
		"-o", out, "-w", "%{http_code}"}, more...)
	said, err := exec.CommandContext(h.t.Context(), "curl", append(args, "https://"+certificateName+":"+port+path)...).Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatalf("curl (apt-get install curl): %v", err)
	}
	if _, err := fmt.Sscan(string(said), &status); err != nil {
		h.t.Fatalf("curl says %q", said)
	}
	text, err := os.ReadFile(out)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		h.t.Fatal(err)
	}
	return status, string(text)
}

// fetched is a certificate as a phone has it.
type fetched struct {
	file, password string
	device         string
}

func (f fetched) curl() []string {
	return []string{"--cert-type", "P12", "--cert", f.file + ":" + f.password}
}

// pair is the certificate for a client in Go.
func (f fetched) pair(t *testing.T) tls.Certificate {
	t.Helper()
	data, err := os.ReadFile(f.file)
	if err != nil {
		t.Fatal(err)
	}
	key, cert, _, err := pkcs12.DecodeChain(data, f.password)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

// invite invites Anna and fetches her certificate by its link.
func (h *certificateHouse) invite(days int, legacy bool) fetched {
	h.t.Helper()
	doc, err := inviteCertificate(h.t.Context(), h.house, certificateWish{Person: "Anna", Label: "Pixel 9", Days: days, Legacy: legacy})
	h.must(err)
	_, path, ok := strings.Cut(strings.TrimPrefix(doc.Link, "https://"), "/")
	if !ok {
		h.t.Fatalf("no link: %s", doc.Link)
	}
	path = "/" + path
	if status, page := h.curl("", path); status != 200 || !strings.Contains(page, "Anna") || !strings.Contains(page, "Pixel 9") || strings.Contains(page, doc.Password) {
		h.t.Fatalf("its page: %d %s", status, page)
	}
	origin := "Origin: https://" + certificateName + ":" + h.port("")
	f := fetched{file: filepath.Join(h.t.TempDir(), "anna.p12"), password: doc.Password}
	status, data := h.curl("", path, "-H", origin, "-d", "")
	if status != 200 {
		h.t.Fatalf("the file: %d %s", status, data)
	}
	h.must(os.WriteFile(f.file, []byte(data), 0o600))
	for _, again := range [][]string{nil, {"-H", origin, "-d", ""}} {
		if status, _ := h.curl("", path, again...); status != 404 {
			h.t.Errorf("once more: %d", status)
		}
	}
	for _, k := range h.identity.Keys(identity.KindCertificate) {
		if k.Key.ID == pki.KeyID(f.pair(h.t).Leaf) {
			f.device = k.Device.ID
		}
	}
	if f.device == "" {
		h.t.Fatal("the certificate is no device's")
	}
	return f
}

// A link brings a certificate, once; the certificate is the device: no sign-in, and no way in
// without it.
func TestCertificateIsTheDevice(t *testing.T) {
	h := newCertificateHouse(t)
	for _, legacy := range []bool{false, true} {
		f := h.invite(365, legacy)
		if status, page := h.curl("certificates", "/", f.curl()...); status != 200 || !strings.Contains(page, "data-connected") {
			t.Errorf("legacy %t: %d %.200s", legacy, status, page)
		}
		if status, _ := h.curl("", "/", f.curl()...); status != 401 {
			t.Errorf("the door that everybody uses takes it: %d", status)
		}
	}
	if status, _ := h.curl("certificates", "/"); status != 0 {
		t.Errorf("without one: %d", status)
	}
	if status, _ := h.curl("certificates", "/_gatehouse/auth/sign-in"); status != 0 {
		t.Errorf("the sign-in page without one: %d", status)
	}
}

// OpenSSL reads the file, in both forms, and shows the certificate.
func TestOpenSSLReadsTheCertificate(t *testing.T) {
	h := newCertificateHouse(t)
	f := h.invite(30, false)
	text, err := exec.CommandContext(t.Context(), "openssl", "pkcs12", "-in", f.file, "-nodes", "-passin", "pass:"+f.password).CombinedOutput()
	if err != nil || !strings.Contains(string(text), "BEGIN PRIVATE KEY") || !strings.Contains(string(text), "Anna, Pixel 9") {
		t.Fatalf("%v\n%s", err, text)
	}
	pem := filepath.Join(h.dir, "client.pem")
	h.must(os.WriteFile(pem, text, 0o600))
	// -servername is the home's: without it there is not one byte.
	shake := exec.CommandContext(t.Context(), "openssl", "s_client", "-connect", "127.0.0.1:"+h.port("certificates"), "-servername", certificateName,
		"-CAfile", h.root, "-cert", pem, "-verify_return_error", "-brief")
	shake.Stdin = strings.NewReader("GET /api/ HTTP/1.1\r\nHost: " + certificateName + ":" + h.port("certificates") + "\r\nConnection: close\r\n\r\n")
	said, err := shake.CombinedOutput()
	if err != nil || !strings.Contains(string(said), "Verification: OK") || !strings.Contains(string(said), "TLSv1.3") {
		t.Errorf("%v\n%s", err, said)
	}
}

// shakes tries a handshake, and whether the door then answers: a certificate that is refused is
// noticed in TLS 1.3 by the first read (RFC 8446 section 4.4.2.4).
func (h *certificateHouse) shakes(c *tls.Config) (resumed bool, err error) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 10*time.Second)
	defer cancel()
	c.ServerName = certificateName
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(h.authority.RootPEM())
	c.RootCAs = roots
	raw, err := (&tls.Dialer{Config: c}).DialContext(ctx, "tcp", "127.0.0.1:"+h.port("certificates"))
	if err != nil {
		return false, err
	}
	defer raw.Close()
	if _, err := fmt.Fprintf(raw, "GET /api/ HTTP/1.1\r\nHost: %s:%s\r\n\r\n", certificateName, h.port("certificates")); err != nil {
		return false, err
	}
	_, err = raw.Read(make([]byte, 1))
	return raw.(*tls.Conn).ConnectionState().DidResume, err
}

// A certificate that is revoked, has expired, is another authority's or one's own opens nothing,
// in a new handshake or a resumed one.
func TestCertificatesThatOpenNothing(t *testing.T) {
	h := newCertificateHouse(t)
	f := h.invite(365, false)
	now := time.Now()
	foreign := func(clock func() time.Time, days int) tls.Certificate {
		l, err := ledger.Open(t.Context(), "", ledger.NewKey())
		h.must(err)
		defer l.Close()
		clients, err := pki.OpenClients(t.Context(), l, clock)
		h.must(err)
		file, err := clients.Issue("Anna, Pixel 9", "password", days, false)
		h.must(err)
		key, cert, _, err := pkcs12.DecodeChain(file.PKCS12, "password")
		h.must(err)
		return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
	}
	ownAuthority := func(clock func() time.Time, days int) tls.Certificate {
		clients, err := pki.OpenClients(t.Context(), h.parts.ledger, clock)
		h.must(err)
		file, err := clients.Issue("Anna, Pixel 9", "password", days, false)
		h.must(err)
		key, cert, _, err := pkcs12.DecodeChain(file.PKCS12, "password")
		h.must(err)
		return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
	}
	for name, pair := range map[string]tls.Certificate{
		"another authority's":            foreign(nil, 365),
		"nobody's, of the authority":     ownAuthority(nil, 365),
		"one that has expired":           ownAuthority(func() time.Time { return now.AddDate(0, 0, -30) }, 10),
		"one whose key is a known one's": {Certificate: foreign(nil, 365).Certificate, PrivateKey: f.pair(t).PrivateKey},
	} {
		if _, err := h.shakes(&tls.Config{Certificates: []tls.Certificate{pair}}); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := &tls.Config{Certificates: []tls.Certificate{f.pair(t)}, ClientSessionCache: tls.NewLRUClientSessionCache(4), MaxVersion: version}
		if _, err := h.shakes(config); err != nil {
			t.Logf("TLS %x: %v", version, err) // where only TLS 1.3 is spoken
			continue
		}
		if resumed, err := h.shakes(config); err != nil || !resumed {
			t.Errorf("TLS %x: resumed %t, %v", version, resumed, err)
		}
		other := h.invite(365, false)
		tickets := &tls.Config{Certificates: []tls.Certificate{other.pair(t)}, ClientSessionCache: tls.NewLRUClientSessionCache(4), MaxVersion: version}
		if _, err := h.shakes(tickets); err != nil {
			t.Fatalf("TLS %x: %v", version, err)
		}
		h.must(h.identity.RevokeDevice(t.Context(), other.device))
		if resumed, err := h.shakes(tickets); err == nil {
			t.Errorf("TLS %x: revoked, and taken; resumed %t", version, resumed)
		}
		if status, _ := h.curl("certificates", "/", other.curl()...); status != 0 {
			t.Errorf("TLS %x: revoked, and answered %d", version, status)
		}
	}
}

// certificateFrom is a house where Anna has had a certificate for a while, for so many days.
func certificateFrom(t *testing.T, since time.Time, days int) (*certificateHouse, fetched) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	then := func() time.Time { return since }
	l, err := ledger.Open(t.Context(), "", ledger.NewKey())
	must(err)
	t.Cleanup(func() { _ = l.Close() })
	clients, err := pki.OpenClients(t.Context(), l, then)
	must(err)
	file, err := clients.Issue("Anna, Pixel 8", "password", days, false)
	must(err)
	people, err := identity.New(t.Context(), identity.Config{Ledger: l, Now: then})
	must(err)
	_, err = people.AddPerson(t.Context(), "Anna", policy.RoleMember, "", "")
	must(err)
	d, err := people.AddKey(t.Context(), "Anna", "Pixel 8", identity.NewKey{Key: policy.Key{Kind: identity.KindCertificate, ID: file.KeyID}, Expires: file.Expires})
	must(err)
	h := certificateHouseOver(t, l)
	f := fetched{file: filepath.Join(h.dir, "since.p12"), password: "password", device: d.ID}
	must(os.WriteFile(f.file, file.PKCS12, 0o600))
	return h, f
}

// In its last 30 days a device fetches the next certificate itself; it stays the same device.
func TestCertificateIsRenewed(t *testing.T) {
	h, f := certificateFrom(t, time.Now().AddDate(0, 0, -190), 200)
	const path = "/_gatehouse/auth/certificate"
	origin := "Origin: https://" + certificateName + ":" + h.port("certificates")
	young := h.invite(365, false)
	if status, page := h.curl("certificates", path, young.curl()...); status != 200 || strings.Contains(page, "<form") {
		t.Errorf("a young one: %d %s", status, page)
	}
	if status, _ := h.curl("certificates", path, append(young.curl(), "-H", origin, "-d", "password=correct-horse")...); status != 409 {
		t.Errorf("a young one is renewed: %d", status)
	}
	guest := h.invite(7, false)
	if status, page := h.curl("certificates", path, guest.curl()...); status != 200 || strings.Contains(page, "<form") {
		t.Errorf("a guest's: %d %s", status, page)
	}
	if status, _ := h.curl("certificates", path, append(guest.curl(), "-H", origin, "-d", "password=correct-horse")...); status != 409 {
		t.Errorf("a guest's is renewed: %d", status)
	}
	if status, page := h.curl("certificates", path, f.curl()...); status != 200 || !strings.Contains(page, "<form") {
		t.Fatalf("the page: %d %s", status, page)
	}
	if status, _ := h.curl("certificates", path, append(f.curl(), "-H", origin, "-d", "password=short")...); status != 422 {
		t.Errorf("a short password: %d", status)
	}
	if status, _ := h.curl("certificates", path, append(f.curl(), "-H", "Origin: https://evil.example", "-d", "password=correct-horse")...); status != 403 {
		t.Errorf("by another site's page: %d", status)
	}
	made := h.parts.events.Totals().Events[event.CertificateMade]
	status, data := h.curl("certificates", path, append(f.curl(), "-H", origin, "-d", "password=correct-horse")...)
	if status != 200 {
		t.Fatalf("the next one: %d %s", status, data)
	}
	next := fetched{file: filepath.Join(h.dir, "next.p12"), password: "correct-horse"}
	h.must(os.WriteFile(next.file, []byte(data), 0o600))
	if leaf := next.pair(t).Leaf; time.Until(leaf.NotAfter).Round(24*time.Hour) != 200*24*time.Hour {
		t.Errorf("the next one lasts until %s", leaf.NotAfter)
	}
	for _, c := range []fetched{f, next} { // the old one for a while yet
		if status, _ := h.curl("certificates", "/", c.curl()...); status != 200 {
			t.Errorf("answered %d", status)
		}
	}
	if n := h.parts.events.Totals().Events[event.CertificateMade] - made; n != 1 {
		t.Errorf("it was taken down %d times", n)
	}
	if who, ok := h.identity.KeyHolder(policy.Key{Kind: identity.KindCertificate, ID: pki.KeyID(next.pair(t).Leaf)}); !ok || who.Device != f.device {
		t.Errorf("it is %+v's, %t", who, ok)
	}
	if status, _ := h.curl("", path); status != 404 {
		t.Errorf("the page at the door that everybody uses: %d", status)
	}
}

// What nobody may ask for is refused before anything is made.
func TestCertificatesThatAreNotMade(t *testing.T) {
	h := newCertificateHouse(t)
	for name, wish := range map[string]certificateWish{
		"nobody":        {Person: "Nobody", Label: "Phone", Days: 30},
		"no days":       {Person: "Anna", Label: "Phone"},
		"ten years":     {Person: "Anna", Label: "Phone", Days: 3650},
		"a wrong label": {Person: "Anna", Label: "\x1b[31m", Days: 30},
	} {
		if doc, err := inviteCertificate(t.Context(), h.house, wish); err == nil {
			t.Errorf("%s: %+v", name, doc)
		}
	}
	h.cfg.Doors.HTTPS.CertificateListen = ""
	if _, err := inviteCertificate(t.Context(), h.house, certificateWish{Person: "Anna", Label: "Phone", Days: 30}); err == nil {
		t.Error("one is made for a door that there is not")
	}
	seen := map[string]bool{}
	for range 100 {
		p := spokenPassword()
		if len(p) != 27 || seen[p] {
			t.Errorf("the password %q", p)
		}
		seen[p] = true
	}
}

// Devices with the same name are told of apart, and a device whose certificate was renewed is
// not told of the old one's end.
func TestOneEndingForADevice(t *testing.T) {
	h := newCertificateHouse(t)
	h.invite(10, false)
	h.invite(10, false)
	all := h.clientEndings()
	if len(all) != 2 || all[0].what == all[1].what {
		t.Fatalf("%+v", all)
	}
	said := map[string]bool{}
	for range 2 { // an hour, and the next
		for _, e := range all {
			days, near := nearness(e, time.Now().AddDate(0, 0, 9))
			told, err := tellOnce(t.Context(), h.parts.ledger, e, days)
			h.must(err)
			if !near || told == said[e.what] {
				t.Errorf("%+v: near %t, told %t, after %t", e, near, told, said[e.what])
			}
			said[e.what] = true
		}
	}
	k := h.identity.Keys(identity.KindCertificate)[0]
	k.Created = k.Created.AddDate(-1, 0, 0)
	_, err := nextCertificates{h.server}.Next(t.Context(), k, "correct-horse")
	h.must(err)
	all = h.clientEndings()
	if len(all) != 2 || len(h.identity.Keys(identity.KindCertificate)) != 3 {
		t.Fatalf("%+v", all)
	}
	for _, e := range all {
		_, near := nearness(e, time.Now().AddDate(0, 0, 9))
		if renewed := strings.Contains(e.what, k.Device.ID); near == renewed {
			t.Errorf("%+v: near %t", e, near)
		}
	}
}

// An authority of client certificates that cannot be read closes its own port and no other.
func TestClientAuthorityThatCannotBeRead(t *testing.T) {
	l, err := ledger.Open(t.Context(), "", ledger.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.PutSecret(t.Context(), "pki/clients", []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Home.Name, c.Home.HAURL = certificateName, "http://127.0.0.1:1"
	c.Doors.HTTPS = &config.HTTPS{Listen: "127.0.0.1:0", CertificateListen: "127.0.0.1:0"}
	c.State.Socket = filepath.Join(t.TempDir(), "control.sock")
	log := slog.New(slog.DiscardHandler)
	s, err := newServer(t.Context(), c, parts{ledger: l, events: event.NewLog(log, nil), log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, d := range s.doors {
		if row := d.row(); row.Open != (d.of == "") || row.Open == (row.Hint != "") {
			t.Errorf("%+v", row)
		}
	}
}
