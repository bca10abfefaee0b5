package pki

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Root is a root's certificate, for whoever is to trust it. There is no key in it.
type Root struct{ cert *x509.Certificate }

// Root returns the root whose certificates are shown now.
func (a *Authority) Root() Root { return Root{a.signer().root} }

// Next returns the root that is prepared to take its place; ok is false where none is.
func (a *Authority) Next() (r Root, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next == nil {
		return Root{}, false
	}
	return Root{a.next.root}, true
}

// Offered returns the root that devices are to trust from now on: the next one where one
// is prepared.
func (a *Authority) Offered() Root {
	if next, ok := a.Next(); ok {
		return next
	}
	return a.Root()
}

// Name is what devices list the root as.
func (r Root) Name() string { return r.cert.Subject.CommonName }

// DER returns the certificate in the form that telephones and Windows take.
func (r Root) DER() []byte { return bytes.Clone(r.cert.Raw) }

// PEM returns the certificate as text.
func (r Root) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.cert.Raw})
}

// Expires is when the root ends.
func (r Root) Expires() time.Time { return r.cert.NotAfter }

// Fingerprint returns the SHA-256 of the certificate as browsers show it: "AB:CD:…".
func (r Root) Fingerprint() string {
	sum := sha256.Sum256(r.cert.Raw)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = strings.ToUpper(hex.EncodeToString([]byte{b}))
	}
	return strings.Join(pairs, ":")
}

// Lines returns the fingerprint in lines that people can compare, eight bytes each.
func (r Root) Lines() []string {
	var lines []string
	for pairs := range slices.Chunk(strings.Split(r.Fingerprint(), ":"), 8) {
		lines = append(lines, strings.Join(pairs, ":"))
	}
	return lines
}

// Made reports whether a certificate is one of the root's own.
func (r Root) Made(leaf *x509.Certificate) bool { return leaf.CheckSignatureFrom(r.cert) == nil }

// ReadRoots reads roots from PEM.
func ReadRoots(text []byte) ([]Root, error) {
	var roots []Root
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read a root: %w", err)
		}
		roots = append(roots, Root{c})
	}
	if len(roots) == 0 {
		return nil, errors.New("read a root: no certificate in it")
	}
	return roots, nil
}

// Profile returns a configuration profile (.mobileconfig) that has an Apple device install
// roots, of which there must be one, and nothing else. The same roots give the same
// profile, byte for byte, so that installing it once more replaces the one before. about is
// a sentence for whoever installs it.
//
// It is not signed: a signature of ours would be worth as much as the root in it, which is
// nothing before it is trusted. The fingerprint is what tells.
func Profile(about string, roots ...Root) []byte {
	var b, names bytes.Buffer
	b.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\">\n<dict>\n<key>PayloadContent</key>\n<array>\n")
	for n, r := range roots {
		if n > 0 {
			names.WriteString(", ")
		}
		names.WriteString(r.Name())
		id := uuidOf("payload", r)
		b.WriteString("<dict>\n")
		text(&b, "PayloadType", "com.apple.security.root")
		integer(&b, "PayloadVersion", 1)
		text(&b, "PayloadIdentifier", "gatehouse.root."+id)
		text(&b, "PayloadUUID", id)
		text(&b, "PayloadDisplayName", r.Name())
		text(&b, "PayloadCertificateFileName", "gatehouse.cer")
		fmt.Fprintf(&b, "<key>PayloadContent</key>\n<data>%s</data>\n</dict>\n", base64.StdEncoding.EncodeToString(r.cert.Raw))
	}
	b.WriteString("</array>\n")
	id := uuidOf("profile", roots...)
	text(&b, "PayloadType", "Configuration")
	integer(&b, "PayloadVersion", 1)
	text(&b, "PayloadIdentifier", "gatehouse.profile."+id)
	text(&b, "PayloadUUID", id)
	text(&b, "PayloadDisplayName", names.String())
	text(&b, "PayloadDescription", about)
	b.WriteString("</dict>\n</plist>\n")
	return b.Bytes()
}

func text(b *bytes.Buffer, key, value string) {
	fmt.Fprintf(b, "<key>%s</key>\n<string>", key)
	_ = xml.EscapeText(b, []byte(value)) // a buffer takes everything
	b.WriteString("</string>\n")
}

func integer(b *bytes.Buffer, key string, value int) {
	fmt.Fprintf(b, "<key>%s</key>\n<integer>%d</integer>\n", key, value)
}

// uuidOf is the same for the same roots and purpose (RFC 9562 section 5.8: version 8).
func uuidOf(purpose string, roots ...Root) string {
	h := sha256.New()
	h.Write([]byte("gatehouse/" + purpose))
	for _, r := range roots {
		sum := sha256.Sum256(r.cert.Raw)
		h.Write(sum[:])
	}
	id := h.Sum(nil)[:16]
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]))
}
