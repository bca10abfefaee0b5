package facts

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// Certificate is what a certificate says; a key is never part of it.
type Certificate struct {
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	Names     []string  `json:"names"` // names and addresses that it is good for
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	KeyType   string    `json:"key_type"` // "RSA", "ECDSA", "Ed25519"
	KeyBits   int       `json:"key_bits"`
	Signature string    `json:"signature"` // "SHA256-RSA"
	CA        bool      `json:"ca"`
	Self      bool      `json:"self"` // it vouches for itself
}

// certificateOf is a certificate in our words.
func certificateOf(c *x509.Certificate) Certificate {
	r := Certificate{Subject: c.Subject.String(), Issuer: c.Issuer.String(), Names: slices.Clone(c.DNSNames), NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		KeyType: c.PublicKeyAlgorithm.String(), Signature: c.SignatureAlgorithm.String(), CA: c.IsCA, Self: string(c.RawSubject) == string(c.RawIssuer)}
	for _, a := range c.IPAddresses {
		r.Names = append(r.Names, a.String())
	}
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		r.KeyBits = k.N.BitLen()
	case *ecdsa.PublicKey:
		r.KeyBits = k.Curve.Params().BitSize
	case ed25519.PublicKey:
		r.KeyBits = 256
	}
	return r
}

// maxCertificates is how many certificates of one file are looked at.
const maxCertificates = 20

// Certificates reads the certificates of a PEM file, the server's own first. A key beside
// them is not looked at.
func (h *Host) Certificates(name string) ([]Certificate, error) {
	return remember(h, "certificates "+name, func() ([]Certificate, error) {
		t, err := h.Text(name)
		if err != nil {
			return nil, err
		}
		var all []Certificate
		for rest := t.Bytes; len(all) < maxCertificates; {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
				continue
			}
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("%s: a certificate that cannot be read", t.Path)
			}
			all = append(all, certificateOf(c))
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("%s: no certificate", t.Path)
		}
		return all, nil
	})
}

// UsedCertificate is a certificate that a proxy, or Home Assistant itself, shows, and
// where its key is.
type UsedCertificate struct {
	By   string // "nginx", …
	File string // of the certificate
	Key  string // file of the key; empty where it is not said
	From Directive
}

// UsedCertificates are those that the configurations of the proxies name.
func (h *Host) UsedCertificates() ([]UsedCertificate, error) {
	return remember(h, "used certificates", func() ([]UsedCertificate, error) {
		sites, err := h.ProxySites()
		var all []UsedCertificate
		seen := map[string]bool{}
		add := func(u UsedCertificate) {
			if u.File != "" && !strings.ContainsAny(u.File, "${") && !seen[u.File+"\n"+u.Key] {
				seen[u.File+"\n"+u.Key] = true
				all = append(all, u)
			}
		}
		for _, s := range sites {
			pair := func(certificate, key, dir string) {
				keys := s.Effective(key)
				for n, d := range s.Effective(certificate) {
					u := UsedCertificate{By: s.Proxy, File: absolute(dir, d.Arg(0)), From: d}
					if n < len(keys) {
						u.Key = absolute(dir, keys[n].Arg(0))
					}
					add(u)
				}
			}
			switch s.Proxy {
			case "nginx":
				pair("ssl_certificate", "ssl_certificate_key", nginxDir)
			case "Apache":
				pair("sslcertificatefile", "sslcertificatekeyfile", "/etc/apache2")
			case "Caddy":
				for _, d := range s.All("tls") {
					if len(d.Args) >= 2 {
						add(UsedCertificate{s.Proxy, absolute(caddyDir, d.Arg(0)), absolute(caddyDir, d.Arg(1)), d})
					}
				}
			case "HAProxy":
				for _, d := range s.All("bind") {
					for n, a := range d.Args {
						if a == "crt" {
							add(UsedCertificate{s.Proxy, absolute("/etc/haproxy", d.Arg(n+1)), absolute("/etc/haproxy", d.Arg(n+1)), d})
						}
					}
				}
			}
		}
		if h.HADir != "" {
			settings, haErr := h.HASettings()
			if haErr != nil && settings.Source == "" {
				err = errors.Join(err, haErr)
			}
			if c := settings.HTTP.SSLCertificate; c != "" {
				at := settings.HTTP.Places["ssl_certificate"]
				add(UsedCertificate{"Home Assistant", h.ownPath(c), h.ownPath(settings.HTTP.SSLKey),
					Directive{Name: "ssl_certificate", Args: []string{c}, File: h.HAPath(at.File), Line: at.Line}})
			}
		}
		return all, err
	})
}

// ownPath is a path as Home Assistant says it: in a container /config is its directory.
func (h *Host) ownPath(name string) string {
	if name == "" {
		return ""
	}
	if rest, ok := strings.CutPrefix(name, "/config/"); ok {
		return path.Join(h.HADir, rest)
	}
	return absolute(h.HADir, name)
}
