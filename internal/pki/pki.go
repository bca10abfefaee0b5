// Package pki is the home's own certificate authority, and how its certificates are
// shown: the TLS that the doors speak.
//
// # Decisions
//
// The root is an ECDSA P-256 key, made on first start and kept sealed in the ledger.
// It lives for ten years and may vouch for the home's names, for names that exist in
// a home alone (local, home.arpa, internal, lan, localhost, test) and for addresses
// that the Internet does not route: name constraints (RFC 5280 section 4.2.1.10),
// critical. So whoever trusts it on a phone does not hand out the power to pass for a
// bank, whatever becomes of the key.
//
// Leaves live in memory: 397 days, the most that browsers take from anybody, made
// anew after two thirds of that, when an address of the machine changes, and at every
// start. Their keys never touch the disk.
//
// Another root takes over in two steps, so that nobody is shut out on the way (rotate.go).
//
// A certificate from a public authority, where the owner has one, is shown to whoever
// asks for one of its names (WithFile); the local authority's to the others.
package pki

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
	"time"

	"gatehouse/internal/ledger"
)

// rootSecret is the name under which the root is kept.
const rootSecret = "pki/root"

// Store keeps the root. The ledger is one. Secret returns ledger.ErrNotFound where
// nothing is kept under a name.
type Store interface {
	Secret(ctx context.Context, name string) ([]byte, error)
	PutSecret(ctx context.Context, name string, secret []byte) error
	DropSecret(ctx context.Context, name string) error
}

// Options say what for the authority is.
type Options struct {
	Names []string         // host names it must be able to vouch for, lower-case
	Now   func() time.Time // the clock; nil is time.Now
}

// Authority is a home's certificate authority. It is safe for use by several goroutines.
type Authority struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time

	turning sync.Mutex // held while a root is made or changed; taken before mu

	mu     sync.Mutex // guards root and key too, which a rotation changes: see signer
	next   *keyPair   // prepared to take their place; nil where nothing is
	leaves []*leaf    // those given out by GetCertificate, for Run
	made   func(names []string, until time.Time)
}

// NameError is a name that the authority in the ledger may not vouch for.
type NameError struct{ Name string }

func (e *NameError) Error() string {
	return "pki: the local authority was not made for " + e.Name
}

// Open returns the authority that the store keeps, and makes one where there is none.
// It is a *NameError if the one that is kept may not vouch for a name.
func Open(ctx context.Context, s Store, o Options) (*Authority, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	sealed, err := s.Secret(ctx, rootSecret)
	if errors.Is(err, ledger.ErrNotFound) {
		return Renew(ctx, s, o)
	}
	if err != nil {
		return nil, fmt.Errorf("read the local authority: %w", err)
	}
	a, err := parse(sealed)
	if err != nil {
		return nil, fmt.Errorf("read the local authority: %w", err)
	}
	a.now = o.Now
	if err := a.readNext(ctx, s); err != nil {
		return nil, fmt.Errorf("read the local authority: %w", err)
	}
	for _, n := range o.Names {
		if !a.mayName(n) {
			return nil, &NameError{Name: n}
		}
	}
	return a, nil
}

// Renew makes a new authority in place of the one that the store keeps. Everything
// that trusted the old one has to be told to trust this one.
func Renew(ctx context.Context, s Store, o Options) (*Authority, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	root, key, err := newRoot(o.Names, o.Now())
	if err != nil {
		return nil, fmt.Errorf("make the local authority: %w", err)
	}
	sealed, err := marshal(root, key)
	if err != nil {
		return nil, fmt.Errorf("make the local authority: %w", err)
	}
	if err := s.PutSecret(ctx, rootSecret, sealed); err != nil {
		return nil, fmt.Errorf("keep the local authority: %w", err)
	}
	if err := s.DropSecret(ctx, nextSecret); err != nil {
		return nil, fmt.Errorf("forget what was prepared: %w", err)
	}
	return &Authority{root: root, key: key, now: o.Now}, nil
}

// RootPEM returns the root's certificate for whoever is to trust it.
func (a *Authority) RootPEM() []byte { return a.Root().PEM() }

// Fingerprint returns the SHA-256 of the root as browsers show it: "AB:CD:…".
func (a *Authority) Fingerprint() string { return a.Root().Fingerprint() }

// Expires is when the root ends.
func (a *Authority) Expires() time.Time { return a.Root().Expires() }

// Watch has f told of every leaf that is made from now on. It must be called before
// the first GetCertificate; f must not call back.
func (a *Authority) Watch(f func(names []string, until time.Time)) { a.made = f }

// parse reads what marshal wrote: the certificate and its key in PEM.
func parse(data []byte) (*Authority, error) {
	certBlock, rest := pem.Decode(data)
	if certBlock == nil || certBlock.Type != "CERTIFICATE" {
		return nil, errors.New("no certificate in it")
	}
	keyBlock, _ := pem.Decode(rest)
	if keyBlock == nil || keyBlock.Type != "PRIVATE KEY" {
		return nil, errors.New("no key in it")
	}
	root, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, err
	}
	anyKey, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := anyKey.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(root.PublicKey) {
		return nil, errors.New("the key is not the certificate's")
	}
	return &Authority{root: root, key: key}, nil
}

func marshal(root *x509.Certificate, key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...), nil
}
