package pki

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// leaf is a certificate that is kept good.
type leaf struct {
	authority *Authority
	names     []string
	addrs     func() []netip.Addr // may be nil

	mu       sync.Mutex
	cert     *tls.Certificate
	forAddrs []netip.Addr // the addresses in cert
	by       keyPair      // that made cert
}

// GetCertificate returns what a door gives its tls.Config: a certificate for names
// and, where addrs is not nil, for those of the addresses it returns that the
// authority may vouch for. It is made at first use and anew when two thirds of its
// life are over, the addresses are others or another root has taken over. addrs must be quick and safe for
// concurrent use.
func (a *Authority) GetCertificate(names []string, addrs func() []netip.Addr) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	l := &leaf{authority: a, names: slices.Clone(names), addrs: addrs}
	a.mu.Lock()
	a.leaves = append(a.leaves, l)
	a.mu.Unlock()
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return l.get() }
}

// Run makes certificates anew in good time, so that no visitor waits for it, until
// ctx is done. It returns nil.
func (a *Authority) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		a.mu.Lock()
		leaves := slices.Clone(a.leaves)
		a.mu.Unlock()
		for _, l := range leaves {
			// An error is the next visitor's handshake's, and is told there.
			_, _ = l.get()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// get returns a certificate that is good now.
func (l *leaf) get() (*tls.Certificate, error) {
	var addrs []netip.Addr
	if l.addrs != nil {
		addrs = vouchable(l.addrs())
	}
	now := l.authority.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	by := l.authority.signer()
	if l.cert != nil && l.by == by && !isDue(l.cert.Leaf, now) && slices.Equal(addrs, l.forAddrs) {
		return l.cert, nil
	}
	cert, err := by.issue(l.names, addrs, now)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	l.cert, l.forAddrs, l.by = cert, addrs, by
	if l.authority.made != nil {
		l.authority.made(l.names, cert.Leaf.NotAfter)
	}
	return cert, nil
}

// isDue reports whether two thirds of a certificate's life are over, or the clock
// went back to before it.
func isDue(c *x509.Certificate, now time.Time) bool {
	life := c.NotAfter.Sub(c.NotBefore)
	return now.Before(c.NotBefore) || !now.Before(c.NotBefore.Add(life*2/3))
}

// vouchable returns the addresses that may stand in a certificate, sorted and once each.
func vouchable(addrs []netip.Addr) []netip.Addr {
	var good []netip.Addr
	for _, a := range addrs {
		if a = a.Unmap().WithZone(""); isHomeAddr(a) {
			good = append(good, a)
		}
	}
	slices.SortFunc(good, netip.Addr.Compare)
	return slices.Compact(good)
}

// issue makes a leaf and checks it as a client would.
func (p keyPair) issue(names []string, addrs []netip.Addr, now time.Time) (*tls.Certificate, error) {
	if len(names)+len(addrs) == 0 {
		return nil, errors.New("pki: nothing to issue a certificate for")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	id, err := keyID(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	notBefore := now.Add(-backdate).UTC().Truncate(time.Second)
	notAfter := notBefore.AddDate(0, 0, leafDays).Add(-time.Second) // both ends count (RFC 5280 section 4.1.2.5)
	if notAfter.After(p.root.NotAfter) {
		notAfter = p.root.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"Gatehouse"}},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		SubjectKeyId:          id,
		DNSNames:              names,
	}
	if len(names) > 0 && len(names[0]) <= 64 { // ub-common-name (RFC 5280 appendix A)
		template.Subject.CommonName = names[0]
	}
	for _, addr := range addrs {
		template.IPAddresses = append(template.IPAddresses, addr.AsSlice())
	}
	der, err := x509.CreateCertificate(rand.Reader, template, p.root, &key.PublicKey, p.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if err := p.verify(cert, now); err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: cert}, nil
}

// verify asks what a client will ask: the chain, its constraints and every name.
func (p keyPair) verify(cert *x509.Certificate, now time.Time) error {
	roots := x509.NewCertPool()
	roots.AddCert(p.root)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
		return err
	}
	for _, n := range cert.DNSNames {
		if err := cert.VerifyHostname(n); err != nil {
			return err
		}
	}
	return nil
}
