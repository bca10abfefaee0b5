package pki

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"gatehouse/internal/ledger"
)

// clientsSecret is the name under which the clients' authority is kept.
const clientsSecret = "pki/clients"

// Clients is the authority of client certificates. It is another one than the home's own,
// with a key of its own: no device is asked to trust it, and no door shows its certificates.
type Clients struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time
}

// OpenClients returns the clients' authority that the store keeps, and makes one where there
// is none. now is the clock; nil is time.Now.
func OpenClients(ctx context.Context, s Store, now func() time.Time) (*Clients, error) {
	if now == nil {
		now = time.Now
	}
	sealed, err := s.Secret(ctx, clientsSecret)
	if errors.Is(err, ledger.ErrNotFound) {
		return newClients(ctx, s, now)
	}
	var a *Authority
	if err == nil {
		a, err = parse(sealed)
	}
	if err != nil {
		return nil, fmt.Errorf("read the authority of client certificates: %w", err)
	}
	return &Clients{a.root, a.key, now}, nil
}

func newClients(ctx context.Context, s Store, now func() time.Time) (*Clients, error) {
	c, sealed, err := makeClients(now)
	if err == nil {
		err = s.PutSecret(ctx, clientsSecret, sealed)
	}
	if err != nil {
		return nil, fmt.Errorf("make the authority of client certificates: %w", err)
	}
	return c, nil
}

func makeClients(now func() time.Time) (c *Clients, sealed []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	id, err := keyID(&key.PublicKey)
	if err != nil {
		return nil, nil, err
	}
	at := now().Add(-backdate).UTC().Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"Gatehouse"}, CommonName: "Gatehouse devices"},
		NotBefore:             at,
		NotAfter:              at.AddDate(rootYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		SubjectKeyId:          id,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	sealed, err = marshal(root, key)
	return &Clients{root, key, now}, sealed, err
}

// Pool is what a door checks client certificates against.
func (c *Clients) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.root)
	return pool
}

// ClientFile is a client certificate with its private key, for one device. Neither is kept.
type ClientFile struct {
	PKCS12  []byte // sealed with a password
	KeyID   string // what KeyID says of its certificate
	Expires time.Time
}

// Issue makes a certificate for a device, good for so many days and no longer than the
// authority itself. name says whose it is, to people; password seals the file; legacy is for
// devices that read only what was usual before 2023 (3DES, as Android up to 9 and iOS up to 14).
func (c *Clients) Issue(name, password string, days int, legacy bool) (ClientFile, error) {
	f, err := c.issue(name, password, days, legacy)
	if err != nil {
		return ClientFile{}, fmt.Errorf("issue a client certificate: %w", err)
	}
	return f, nil
}

func (c *Clients) issue(name, password string, days int, legacy bool) (ClientFile, error) {
	if days < 1 || password == "" {
		return ClientFile{}, errors.New("it needs a password and a day at least")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return ClientFile{}, err
	}
	now := c.now()
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"Gatehouse"}, CommonName: shortName(name)},
		NotBefore:             now.Add(-backdate).UTC().Truncate(time.Second),
		NotAfter:              now.AddDate(0, 0, days).UTC().Truncate(time.Second),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	if template.NotAfter.After(c.root.NotAfter) {
		template.NotAfter = c.root.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.root, &key.PublicKey, c.key)
	if err != nil {
		return ClientFile{}, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return ClientFile{}, err
	}
	encoder := pkcs12.Modern2023
	if legacy {
		encoder = pkcs12.LegacyDES
	}
	file, err := encoder.Encode(key, cert, []*x509.Certificate{c.root}, password)
	if err != nil {
		return ClientFile{}, err
	}
	return ClientFile{file, KeyID(cert), cert.NotAfter}, nil
}

// KeyID is what a certificate's device is known by: the SHA-256 of its public key (RFC 5280
// section 4.1.2.7), in hexadecimal digits.
func KeyID(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// shortName is a name as a certificate holds it: 64 characters at most (ub-common-name, RFC
// 5280 appendix A).
func shortName(name string) string {
	if runes := []rune(name); len(runes) > 64 {
		return string(runes[:64])
	}
	return name
}
