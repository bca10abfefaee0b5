package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	rootYears = 10
	leafDays  = 397 // CA/Browser Forum's limit of 398, less one for clocks; Apple asks it of every authority
	backdate  = time.Hour
)

// homeDomains returns the names that never mean a host on the Internet: RFC 6762 (local),
// RFC 8375 (home.arpa), RFC 6761 (localhost, test), internal (reserved by ICANN for
// private use) and lan (not delegated, and what many routers call a home).
func homeDomains() []string {
	return []string{"local", "home.arpa", "internal", "lan", "localhost", "test"}
}

// homeRanges returns the addresses that the Internet does not route: RFC 1918, RFC
// 6598, RFC 3927, RFC 4193, and those of one link or this machine.
func homeRanges() []netip.Prefix {
	var all []netip.Prefix
	for _, s := range []string{
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8",
		"fc00::/7", "fe80::/10", "::1/128",
	} {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// IsHomeName reports whether a name means something in a home alone. A local
// authority's certificate is shown on no other name.
func IsHomeName(name string) bool {
	return !strings.Contains(name, ".") || slices.ContainsFunc(homeDomains(), func(d string) bool { return isWithin(name, d) })
}

// isHomeAddr reports whether an address is one that the authority may vouch for.
func isHomeAddr(addr netip.Addr) bool {
	return slices.ContainsFunc(homeRanges(), func(p netip.Prefix) bool { return p.Contains(addr) })
}

// isWithin reports whether a name is a domain or below it.
func isWithin(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// mayName reports whether the root's constraints allow a name.
func (a *Authority) mayName(name string) bool {
	return slices.ContainsFunc(a.root.PermittedDNSDomains, func(d string) bool { return isWithin(name, d) })
}

// newRoot makes a root that may vouch for names and for what exists in homes alone.
func newRoot(names []string, now time.Time) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	id, err := keyID(&key.PublicKey)
	if err != nil {
		return nil, nil, err
	}
	domains := homeDomains()
	for _, n := range names {
		if !slices.ContainsFunc(domains, func(d string) bool { return isWithin(n, d) }) {
			domains = append(domains, n)
		}
	}
	template := &x509.Certificate{
		SerialNumber:                serial(),
		Subject:                     pkix.Name{Organization: []string{"Gatehouse"}, CommonName: "Gatehouse " + strings.ToUpper(shortID(id))},
		NotBefore:                   now.Add(-backdate).UTC(),
		NotAfter:                    now.AddDate(rootYears, 0, 0).UTC(),
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid:       true,
		IsCA:                        true,
		MaxPathLenZero:              true,
		SubjectKeyId:                id,
		AuthorityKeyId:              id,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         domains,
		// For TLS alone: neither mail nor programs are signed with it.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, p := range homeRanges() {
		template.PermittedIPRanges = append(template.PermittedIPRanges, &net.IPNet{
			IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
		})
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	root, err := x509.ParseCertificate(der)
	return root, key, err
}

// serial returns a number of 126 random bits, positive and never zero (RFC 5280 section 4.1.2.2).
func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

// keyID is the identifier of a key: 160 bits of its SHA-256 (RFC 7093 section 2, method 1).
func keyID(key *ecdsa.PublicKey) ([]byte, error) {
	point, err := key.Bytes()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(point)
	return sum[:20], nil
}

// shortID tells two roots of one home apart where certificates are listed.
func shortID(id []byte) string {
	const digits = "0123456789abcdef"
	s := make([]byte, 0, 8)
	for _, b := range id[:4] {
		s = append(s, digits[b>>4], digits[b&15])
	}
	return string(s)
}
