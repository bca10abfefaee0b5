package https

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"gatehouse/internal/pki"
	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

// kind is what policy calls a device that is known by its certificate.
const kind = "certificate"

// CertificateDoor is the same door on a port of its own, for devices that have a client
// certificate, and for nobody else: a browser that is asked for a certificate, on a name
// that others use without, shows its user a question that nobody understands.
//
// Its TLS is its own: a ticket of another door resumes nothing here, and whether a
// certificate still counts is asked in each handshake, a resumed one too.
type CertificateDoor struct {
	*Door
	known atomic.Pointer[map[string]struct{}]
}

// ListenCertificates opens the door. clients are the authorities whose certificates count. No
// device is known before SetKeys is called.
func ListenCertificates(c Config, clients *x509.CertPool) (*CertificateDoor, error) {
	if c.TLS == nil || clients == nil {
		return nil, errors.New("door https: no TLS configuration for client certificates")
	}
	if c.Proof != nil {
		return nil, errors.New("door https: issuers do not come by the port for client certificates")
	}
	d := &CertificateDoor{}
	d.SetKeys(nil)
	own := c.TLS.Clone()
	own.ClientAuth, own.ClientCAs, own.VerifyConnection = tls.RequireAndVerifyClientCert, clients, d.verify
	c.TLS = own
	inner, err := Listen(c)
	if err != nil {
		return nil, err
	}
	d.Door = inner
	return d, nil
}

// SetKeys says which devices there are, by pki.KeyID.
func (d *CertificateDoor) SetKeys(ids []string) {
	known := make(map[string]struct{}, len(ids))
	for _, id := range ids {
		known[id] = struct{}{}
	}
	d.known.Store(&known)
}

var errUnknownCertificate = errors.New("door https: a client certificate that is no known device's")

// verify is asked in every handshake, after the certificate was found good.
func (d *CertificateDoor) verify(s tls.ConnectionState) error {
	if len(s.VerifiedChains) == 0 {
		return errUnknownCertificate
	}
	if _, ok := (*d.known.Load())[pki.KeyID(s.PeerCertificates[0])]; !ok {
		return fmt.Errorf("%w: serial %x", errUnknownCertificate, s.PeerCertificates[0].SerialNumber)
	}
	return nil
}

// KeyOf is the key of the certificate that a connection has shown.
func (d *CertificateDoor) KeyOf(c net.Conn) policy.Key {
	secure, ok := c.(*wire.Conn)
	if !ok {
		return policy.Key{}
	}
	s := secure.ConnectionState()
	if len(s.PeerCertificates) == 0 {
		return policy.Key{}
	}
	return policy.Key{Kind: kind, ID: pki.KeyID(s.PeerCertificates[0])}
}
