package facts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// observed starts a server with these settings and observes it.
func observed(t *testing.T, config *tls.Config, plain http.HandlerFunc) Endpoint {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		switch r.URL.Path {
		case "/":
			io.WriteString(w, "<title>Home Assistant</title>")
		case "/api/":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			http.NotFound(w, r)
		}
		if r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
			t.Error("credentials were sent")
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = config
	s.StartTLS()
	t.Cleanup(s.Close)
	port := "1"
	if plain != nil {
		p := httptest.NewServer(plain)
		t.Cleanup(p.Close)
		u, _ := url.Parse(p.URL)
		port = u.Port()
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	e, err := observeEndpoint(ctx, s.URL, port, roots)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Missing) > 0 {
		t.Errorf("not observed: %v", e.Missing)
	}
	return e
}

func TestObserveEndpoint(t *testing.T) {
	e := observed(t, &tls.Config{MinVersion: tls.VersionTLS12}, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://house.example/", http.StatusMovedPermanently)
	})
	if !slices.Equal(e.Versions, []string{"TLS 1.2", "TLS 1.3"}) {
		t.Errorf("versions %v", e.Versions)
	}
	if len(e.Ciphers) == 0 || slices.ContainsFunc(e.Ciphers, func(c string) bool { return strings.Contains(c, "RC4") }) {
		t.Errorf("ciphers %v", e.Ciphers)
	}
	if e.Untrusted != "" || e.WrongName != "" || e.WantsCertificate || e.NeedsCertificate || e.Compresses || e.Renegotiates {
		t.Errorf("%+v", e)
	}
	if len(e.Certificates) != 1 || e.Certificates[0].KeyType != "RSA" || e.Certificates[0].KeyBits < 2048 {
		t.Errorf("certificates %+v", e.Certificates)
	}
	if a, ok := e.Answer("/"); !ok || !a.HA || a.Status != 200 || a.Headers["strict-transport-security"] == "" {
		t.Errorf("/: %+v", a)
	}
	if a, ok := e.Answer("/api/"); !ok || a.HA || a.Status != 401 {
		t.Errorf("/api/: %+v", a)
	}
	if e.Plain == nil || e.Plain.Status != 301 || e.Plain.Location != "https://house.example/" {
		t.Errorf("port 80: %+v", e.Plain)
	}

	e = observed(t, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_RSA_WITH_AES_128_CBC_SHA}}, nil)
	if !slices.Equal(e.Versions, []string{"TLS 1.0", "TLS 1.1", "TLS 1.2"}) {
		t.Errorf("versions %v", e.Versions)
	}
	for _, want := range []string{"TLS_RSA_WITH_RC4_128_SHA", "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "TLS_RSA_WITH_AES_128_CBC_SHA"} {
		if !slices.Contains(e.Ciphers, want) {
			t.Errorf("%s is not among %v", want, e.Ciphers)
		}
	}
	if e.Plain != nil {
		t.Errorf("port 80: %+v", e.Plain)
	}

	for _, most := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		e = observed(t, &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: most}, nil)
		if !e.WantsCertificate || !e.NeedsCertificate || len(e.Certificates) == 0 {
			t.Errorf("%x: %+v", most, e)
		}
	}
	e = observed(t, &tls.Config{ClientAuth: tls.RequestClientCert}, nil)
	if !e.WantsCertificate || e.NeedsCertificate {
		t.Errorf("asked only: %+v", e)
	}
}

// What is no end point of TLS, or nobody's, is an error that says so; and nothing hangs.
func TestObserveEndpointRefuses(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for _, address := range []string{"", "ftp://house.example", "https://", "https://olga:secret@house.example", "https://127.0.0.1:1",
		"https://" + silent.Addr().String(), "https://" + strings.TrimPrefix(plain.URL, "http://")} {
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		if _, err := observeEndpoint(ctx, address, "1", nil); err == nil {
			t.Errorf("%q was observed", address)
		} else if strings.Contains(err.Error(), "secret") && !strings.Contains(address, "secret") {
			t.Error(err)
		}
		stop()
	}
	e, err := observeEndpoint(t.Context(), plain.URL, "1", nil)
	if err != nil || e.Plain == nil || e.Plain.Status != 404 || len(e.Versions) != 0 {
		t.Errorf("plain: %+v, %v", e, err)
	}
}

func FuzzServerHello(f *testing.F) {
	f.Add([]byte{2, 0, 0, 38, 3, 3})
	f.Add(append([]byte{2, 0, 0, 44, 3, 3}, append(make([]byte, 33), 0xc0, 0x2f, 0, 0, 5, 0xff, 1, 0, 1, 0)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseServerHello(b); err == nil && len(b) < 38 {
			t.Errorf("%x is %+v", b, s)
		}
	})
}
