package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"slices"
	"sync"
	"time"

	"gatehouse/internal/pki"
)

// HSTS (RFC 6797) has a browser ask for a name by HTTPS alone, at every port of it, and lets
// nobody click a warning away. So it is sent where every browser trusts the certificate, and
// nowhere else: behind the local authority's it would lock out whoever has not installed its
// root, and no page could tell them why.

// hstsValue lasts 180 days: long enough to hold between visits, and the certificate has to be
// one that everybody trusts all that time. Names below the home's are not ours to speak for.
const hstsValue = "max-age=15552000"

// trustEvery is how long it is believed what a certificate was found to be.
const trustEvery = time.Minute

// publicTrust knows which names have a certificate that every browser trusts.
type publicTrust struct {
	shown func(name string) *tls.Certificate     // nil where there is none but the local authority's
	roots func() (*x509.CertPool, error)         // the system's
	own   func(cert *x509.Certificate) (is bool) // it comes from an authority of the house; the system may trust that
	now   func() time.Time

	mu    sync.RWMutex
	found map[string]judged
}

// judged is what was found of a name.
type judged struct {
	trusted bool
	at      time.Time
}

// trusts reports whether the certificate for a name that a door serves is trusted by all.
func (p *publicTrust) trusts(name string) bool {
	now := p.now()
	p.mu.RLock()
	last, ok := p.found[name]
	p.mu.RUnlock()
	if ok && now.Sub(last.at) < trustEvery && !now.Before(last.at) {
		return last.trusted
	}
	last = judged{p.judge(name, now), now}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found == nil {
		p.found = make(map[string]judged)
	}
	p.found[name] = last
	return last.trusted
}

// judge looks. What cannot be judged is not trusted.
func (p *publicTrust) judge(name string, now time.Time) bool {
	cert := p.shown(name)
	if cert == nil || len(cert.Certificate) == 0 {
		return false
	}
	roots, err := p.roots()
	if err != nil {
		return false
	}
	between := x509.NewCertPool()
	var chain []*x509.Certificate
	for _, der := range cert.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return false
		}
		chain = append(chain, c)
		between.AddCert(c)
	}
	chains, err := chain[0].Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: between, CurrentTime: now})
	return err == nil && !slices.ContainsFunc(chains, func(c []*x509.Certificate) bool { return p.own(c[len(c)-1]) })
}

// newPublicTrust judges what this server shows.
func (s *server) newPublicTrust() *publicTrust {
	return &publicTrust{now: time.Now, roots: x509.SystemCertPool,
		own: func(root *x509.Certificate) bool { return s.authority.Is(root) },
		shown: func(name string) *tls.Certificate {
			if s.cfg.Certificates.IssuerRoot != "" {
				return nil // an issuer of the owner's own
			}
			if s.public != nil {
				return s.public.Certificate(name)
			}
			for _, f := range s.files {
				if c := f.now(); c.Leaf.VerifyHostname(name) == nil {
					return c
				}
			}
			return nil
		}}
}

// withHSTS says it on every answer that comes by a name that may have it.
func (p *publicTrust) withHSTS(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && r.TLS.ServerName != "" && p.trusts(r.TLS.ServerName) {
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
