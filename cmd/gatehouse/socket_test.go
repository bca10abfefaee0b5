package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"gatehouse/internal/config"
	"gatehouse/internal/ha"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// appByCertificate is Home Assistant's app for Android with a client certificate: it keeps no cookie of ours.
type appByCertificate struct {
	h               *certificateHouse
	file            fetched
	client          *http.Client
	tls             *tls.Config
	at              string // the door's own address
	access, refresh string
}

func (h *certificateHouse) app(f fetched, roots *x509.CertPool) *appByCertificate {
	h.t.Helper()
	port := h.port("certificates")
	a := &appByCertificate{h: h, file: f, at: certificateName + ":" + port, tls: &tls.Config{ServerName: certificateName, RootCAs: roots,
		Certificates: []tls.Certificate{f.pair(h.t)}, ClientSessionCache: tls.NewLRUClientSessionCache(4)}}
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
	}
	transport := &http.Transport{DialContext: dial, TLSClientConfig: a.tls}
	h.t.Cleanup(transport.CloseIdleConnections)
	a.client = &http.Client{Transport: transport, Timeout: 20 * time.Second}
	return a
}

func (h *certificateHouse) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(h.authority.RootPEM())
	return pool
}

// ask sends a request as the app does, and reads the answer into said if that is not nil.
func (a *appByCertificate) ask(method, path, kind, body string, said any) (status int) {
	a.h.t.Helper()
	r, err := http.NewRequestWithContext(a.h.t.Context(), method, "https://"+a.at+path, strings.NewReader(body))
	a.h.must(err)
	r.Header.Set("User-Agent", "Home Assistant/2026.8.1-12345 (Android 16; Pixel 9)")
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	if a.access != "" {
		r.Header.Set("Authorization", "Bearer "+a.access)
	}
	answer, err := a.client.Do(r)
	a.h.must(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	a.h.must(err)
	if said != nil {
		if err := json.Unmarshal(text, said); err != nil {
			a.h.t.Fatalf("%s %s: %d %s", method, path, answer.StatusCode, text)
		}
	}
	return answer.StatusCode
}

// logIn signs in to Home Assistant in its own login flow, once.
func (a *appByCertificate) logIn(name, password string) {
	a.h.t.Helper()
	const kind = "application/json"
	var flow struct {
		ID     string `json:"flow_id"`
		Result string `json:"result"`
	}
	a.ask("POST", "/auth/login_flow", kind, fmt.Sprintf(`{"client_id":%q,"redirect_uri":"homeassistant://auth-callback","handler":["homeassistant",null]}`, ha.ClientAndroid), &flow)
	a.ask("POST", "/auth/login_flow/"+flow.ID, kind, fmt.Sprintf(`{"client_id":%q,"username":%q,"password":%q}`, ha.ClientAndroid, name, password), &flow)
	a.token(url.Values{"grant_type": {"authorization_code"}, "client_id": {ha.ClientAndroid}, "code": {flow.Result}})
}

func (a *appByCertificate) token(form url.Values) {
	a.h.t.Helper()
	var said struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	a.access = ""
	if status := a.ask("POST", "/auth/token", "application/x-www-form-urlencoded", form.Encode(), &said); status != http.StatusOK || said.Access == "" {
		a.h.t.Fatalf("no token: %d", status)
	}
	a.access = said.Access
	if said.Refresh != "" {
		a.refresh = said.Refresh
	}
}

// socket opens the app's socket to Home Assistant.
func (a *appByCertificate) socket() *websocket.Conn {
	a.h.t.Helper()
	c, _, err := websocket.Dial(a.h.t.Context(), "wss://"+a.at+"/api/websocket", &websocket.DialOptions{HTTPClient: a.client})
	a.h.must(err)
	a.h.t.Cleanup(func() { _ = c.CloseNow() })
	a.h.must(c.Write(a.h.t.Context(), websocket.MessageText, ha.AppendAuth(nil, a.access)))
	for _, want := range []string{`"auth_required"`, `"auth_ok"`} {
		a.hears(c, want)
	}
	return c
}

func (a *appByCertificate) hears(c *websocket.Conn, want string) {
	a.h.t.Helper()
	ctx, cancel := context.WithTimeout(a.h.t.Context(), 20*time.Second)
	defer cancel()
	if _, text, err := c.Read(ctx); err != nil || !strings.Contains(string(text), want) {
		a.h.t.Fatalf("the socket says %q, %v; not %s", text, err, want)
	}
}

// lives has the socket answer.
func (a *appByCertificate) lives(c *websocket.Conn, id int) {
	a.h.t.Helper()
	a.h.must(c.Write(a.h.t.Context(), websocket.MessageText, fmt.Appendf(nil, `{"id":%d,"type":"ping"}`, id)))
	a.hears(c, `"pong"`)
}

// An app comes by its certificate alone: no cookie and no sign-in at the gate. What Home
// Assistant gives it is the device's, is worth nothing without the certificate, and ends with it.
func TestAppComesByItsCertificate(t *testing.T) {
	h := newCertificateHouse(t)
	f := h.invite(365, false)
	a := h.app(f, h.roots())
	if status := a.ask("GET", "/auth/authorize?client_id="+url.QueryEscape(ha.ClientAndroid), "", "", nil); status != http.StatusOK {
		t.Fatalf("the login page: %d", status)
	}
	a.logIn("anna", "anna")
	if token, ok := h.identity.AccessToken(a.access); !ok || token.Device != f.device {
		t.Errorf("its token is %+v's, %t", token, ok)
	}
	a.token(url.Values{"grant_type": {"refresh_token"}, "client_id": {ha.ClientAndroid}, "refresh_token": {a.refresh}})
	if status := a.ask("GET", "/api/config", "", "", nil); status != http.StatusOK {
		t.Errorf("the API: %d", status)
	}
	var registered struct {
		Webhook string `json:"webhook_id"`
	}
	if status := a.ask("POST", "/api/mobile_app/registrations", "application/json", `{"app_id":"io.homeassistant.companion.android","app_name":"Home Assistant","app_version":"2026.8","device_id":"anna's","device_name":"Pixel 9","manufacturer":"Google","model":"Pixel 9","os_name":"Android","os_version":"16","supports_encryption":false,"app_data":{}}`, &registered); status != http.StatusCreated {
		t.Fatalf("registered: %d", status)
	}
	if hook, ok := h.identity.Webhook(registered.Webhook); !ok || hook.Device != f.device {
		t.Errorf("its webhook is %+v's, %t", hook, ok)
	}
	c := a.socket()
	a.lives(c, 1)

	// Nothing of it without the certificate, or with another's.
	bearer := []string{"-H", "Authorization: Bearer " + a.access, "-A", "Home Assistant/2026.8.1-12345 (Android 16; Pixel 9)"}
	if status, _ := h.curl("certificates", "/api/config", bearer...); status != 0 {
		t.Errorf("its token without its certificate: %d", status)
	}
	if status, _ := h.curl("", "/api/config", bearer...); status != http.StatusUnauthorized {
		t.Errorf("at the door that everybody uses: %d", status)
	}
	if status, _ := h.curl("", "/auth/token", append(bearer[2:], "-d", "grant_type=refresh_token&client_id="+url.QueryEscape(ha.ClientAndroid)+"&refresh_token="+a.refresh)...); status != http.StatusServiceUnavailable {
		t.Errorf("its refresh token at the door that everybody uses: %d", status)
	}
	other := h.invite(365, false)
	b := h.app(other, h.roots())
	b.access = a.access
	h.must(h.identity.RevokeDevice(t.Context(), f.device))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, _, err := c.Read(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("revoked, its socket lives on: %v", err)
	}
	if status := b.ask("GET", "/api/config", "", "", nil); status == http.StatusOK {
		t.Error("a revoked device's token counts with another's certificate")
	}
	b.access = ""
	if status := b.ask("GET", "/manifest.json", "", "", nil); status != http.StatusOK {
		t.Errorf("the other device: %d", status)
	}
	if _, err := h.shakes(a.tls); err == nil {
		t.Error("revoked, its ticket opens the door")
	}
}

// What renews certificates drops nothing: the socket that was open goes on, and whoever comes
// next sees the new one. Files are renewed, the home's own root is replaced, the device fetches
// its next certificate.
func TestRenewalsDropNoSocket(t *testing.T) {
	t.Run("files", func(t *testing.T) {
		i, dir := newIssuer(t), t.TempDir()
		write := func() {
			cert, key := i.files(certificateName, time.Time{})
			i.must(os.WriteFile(filepath.Join(dir, "cert"), cert, 0o600))
			i.must(os.WriteFile(filepath.Join(dir, "key"), key, 0o600))
		}
		write()
		h := newCertificateHouse(t, func(c *config.Config) {
			c.Certificates.Certificate, c.Certificates.Key = filepath.Join(dir, "cert"), filepath.Join(dir, "key")
		})
		h.trustOnly(i.root.Raw)
		a := h.app(h.invite(365, false), i.pool())
		a.keepsSocket(func() *x509.CertPool {
			write()
			h.file.look(time.Now())
			return i.pool()
		})
	})
	t.Run("the root", func(t *testing.T) {
		h := newCertificateHouse(t)
		a := h.app(h.invite(365, false), h.roots())
		a.keepsSocket(func() *x509.CertPool {
			h.must(h.authority.Replace(t.Context(), h.parts.ledger, authorityNames(h.cfg)))
			return h.roots()
		})
	})
	t.Run("the device's own", func(t *testing.T) {
		h := newCertificateHouse(t)
		f := h.invite(10, false)
		a := h.app(f, h.roots())
		a.logIn("anna", "anna")
		c := a.socket()
		_, err := nextCertificates{h.server}.Next(t.Context(), h.identity.Keys(identity.KindCertificate)[0], "correct-horse")
		h.must(err)
		a.lives(c, 1)
		if _, err := h.shakes(&tls.Config{Certificates: []tls.Certificate{f.pair(t)}}); err != nil {
			t.Errorf("the old one at once: %v", err)
		}
	})
}

// keepsSocket renews what the door shows while a socket is open.
func (a *appByCertificate) keepsSocket(renew func() *x509.CertPool) {
	a.h.t.Helper()
	a.logIn("anna", "anna")
	c := a.socket()
	a.lives(c, 1)
	before := a.shown()
	a.tls.RootCAs = renew()
	if now := a.shown(); now.Equal(before) {
		a.h.t.Error("the old certificate is shown yet")
	}
	a.lives(c, 2)
	a.client.CloseIdleConnections()
	if status := a.ask("GET", "/api/config", "", "", nil); status != http.StatusOK {
		a.h.t.Errorf("who comes next: %d", status)
	}
	a.lives(c, 3)
}

// shown is the door's certificate, seen in a handshake of its own.
func (a *appByCertificate) shown() *x509.Certificate {
	a.h.t.Helper()
	fresh := a.tls.Clone()
	fresh.ClientSessionCache = nil
	ctx, cancel := context.WithTimeout(a.h.t.Context(), 20*time.Second)
	defer cancel()
	c, err := (&tls.Dialer{Config: fresh}).DialContext(ctx, "tcp", "127.0.0.1:"+a.h.port("certificates"))
	a.h.must(err)
	defer c.Close()
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0]
}

// A ticket of one door resumes nothing at another, though they serve one name.
func TestTicketsStayAtTheirDoor(t *testing.T) {
	h := newCertificateHouse(t)
	a := h.app(h.invite(365, false), h.roots())
	if _, err := h.shakes(a.tls); err != nil {
		t.Fatal(err)
	}
	if resumed, err := h.shakes(a.tls); err != nil || !resumed {
		t.Fatalf("at its own door: resumed %t, %v", resumed, err)
	}
	for _, at := range []string{h.doorAt(policy.HTTPS), h.doorAt(policy.LAN)} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		c, err := (&tls.Dialer{Config: a.tls}).DialContext(ctx, "tcp", at)
		h.must(err)
		if c.(*tls.Conn).ConnectionState().DidResume {
			t.Errorf("resumed at %s", at)
		}
		h.must(c.Close())
	}
	if status, _ := h.curl("certificates", "/", append(a.file.curl(), "--http1.1", "-H", "Host: other.home.arpa")...); status != http.StatusBadRequest {
		t.Errorf("another host behind its name: %d", status)
	}
}
