package main

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"gatehouse/internal/pki"
)

// HSTS (RFC 6797) has a browser ask for a name by HTTPS alone, at every port of it, and lets
// nobody click a warning away. So it is sent where every browser trusts the certificate, and
// nowhere else: behind the local authority's it would lock out whoever has not installed its
// root, and no page could tell them why. What Home Assistant says of it is not passed on: it
// does not know our certificates.

// hstsValue lasts 180 days: the least that scanners, and our own audit, take for lasting, and
// so the longest that a browser keeps to it after the house has another certificate, or none.
// Names below the home's are not ours to speak for.
const hstsValue = "max-age=15552000"

// trustEvery is how long it is believed what a certificate was found to be.
const trustEvery = time.Minute

// publicTrust knows whether every browser trusts the certificate of a name.
type publicTrust struct {
	name  string                         // lower-case
	shown func() *tls.Certificate        // nil where there is none but the local authority's
	roots func() (*x509.CertPool, error) // the system's
	now   func() time.Time
	found atomic.Pointer[judged]
}

// judged is what was found.
type judged struct {
	trusted bool
	at      time.Time
}

// trusts reports whether the certificate that is shown now is trusted by all.
func (p *publicTrust) trusts() bool {
	now := p.now()
	if last := p.found.Load(); last != nil && now.Sub(last.at) < trustEvery && !now.Before(last.at) {
		return last.trusted
	}
	found := &judged{p.judge(now), now}
	p.found.Store(found)
	return found.trusted
}

// judge looks. What cannot be judged is not trusted.
func (p *publicTrust) judge(now time.Time) bool {
	cert := p.shown()
	if cert == nil || cert.Leaf == nil || !isLogged(cert.Leaf) {
		return false
	}
	roots, err := p.roots()
	if err != nil {
		return false
	}
	between := x509.NewCertPool()
	for _, der := range cert.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return false
		}
		between.AddCert(c)
	}
	_, err = cert.Leaf.Verify(x509.VerifyOptions{DNSName: p.name, Roots: roots, Intermediates: between, CurrentTime: now})
	return err == nil
}

// isLogged reports whether a certificate says that it stands in the public logs (RFC 6962
// section 3.3), as browsers want of public authorities. A private one's does not, whose root
// this machine may trust all the same; nor does ours.
func isLogged(cert *x509.Certificate) bool {
	return slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool {
		return e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2})
	})
}

// newPublicTrust judges what the doors https show.
func (s *server) newPublicTrust() *publicTrust {
	name := s.cfg.Home.Name
	return &publicTrust{name: name, now: time.Now, roots: x509.SystemCertPool,
		shown: func() *tls.Certificate {
			if s.cfg.Certificates.IssuerRoot != "" {
				return nil // an issuer of the owner's own
			}
			if s.public != nil {
				return s.public.Certificate(name)
			}
			if s.file != nil {
				return s.file.shown.Load()
			}
			return nil
		}}
}

// withHSTS says it on every answer that comes by the name.
func (p *publicTrust) withHSTS(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && p.name != "" && strings.EqualFold(r.TLS.ServerName, p.name) && p.trusts() {
			w.Header().Set("Strict-Transport-Security", hstsValue)
		}
		h.ServeHTTP(w, r)
	})
}

// tlsOf is how the doors speak TLS, by the configuration. Each has one of its own.
func (s *server) tlsOf(get pki.GetCertificate) *tls.Config {
	if s.cfg.Certificates.TLS == "intermediate" {
		return pki.IntermediateConfig(get)
	}
	return pki.ServerConfig(get)
}
