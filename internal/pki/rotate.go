package pki

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"

	"gatehouse/internal/ledger"
)

// nextSecret is the name under which a root is kept that is to take the other's place.
const nextSecret = "pki/next"

// A rotation has two steps. Prepare makes the next root while certificates go on being the
// old one's, so that every device can be told to trust it before it counts; Finish has it
// take over, and deletes the old key. Between the two, nothing that trusts the old root is
// shut out, however long it takes. It costs no safety: a device believes the old root until
// somebody takes it out there, whatever the house shows meanwhile. There is no date at which
// the next one takes over by itself: nobody but the owner knows which devices are left.

// What a rotation cannot begin or go on from.
var (
	ErrPrepared    = errors.New("pki: another root is prepared already")
	ErrNotPrepared = errors.New("pki: no other root is prepared")
)

// keyPair is a root and its key.
type keyPair struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

// signer is the pair that certificates are made with now.
func (a *Authority) signer() keyPair {
	a.mu.Lock()
	defer a.mu.Unlock()
	return keyPair{a.root, a.key}
}

// Prepare makes the root that is to take the other's place, for names. It is
// ErrPrepared where one is waiting already.
func (a *Authority) Prepare(ctx context.Context, s Store, names []string) error {
	a.turning.Lock()
	defer a.turning.Unlock()
	if _, ok := a.Next(); ok {
		return ErrPrepared
	}
	next, err := a.another(names)
	if err != nil {
		return err
	}
	sealed, err := marshal(next.root, next.key)
	if err == nil {
		err = s.PutSecret(ctx, nextSecret, sealed)
	}
	if err != nil {
		return fmt.Errorf("keep the next root: %w", err)
	}
	a.set(nil, next)
	return nil
}

// Finish has the root that was prepared take the other's place. Certificates are its own
// from the next handshake on; connections that stand are not touched.
func (a *Authority) Finish(ctx context.Context, s Store) error {
	a.turning.Lock()
	defer a.turning.Unlock()
	a.mu.Lock()
	next := a.next
	a.mu.Unlock()
	if next == nil {
		return ErrNotPrepared
	}
	return a.replace(ctx, s, next)
}

// Replace makes another root and has it take over at once: whatever trusted the old one
// has to trust this one before it gets in without a warning again.
func (a *Authority) Replace(ctx context.Context, s Store, names []string) error {
	a.turning.Lock()
	defer a.turning.Unlock()
	next, err := a.another(names)
	if err != nil {
		return err
	}
	return a.replace(ctx, s, next)
}

// Abandon forgets the root that was prepared.
func (a *Authority) Abandon(ctx context.Context, s Store) error {
	a.turning.Lock()
	defer a.turning.Unlock()
	if _, ok := a.Next(); !ok {
		return ErrNotPrepared
	}
	if err := s.DropSecret(ctx, nextSecret); err != nil {
		return fmt.Errorf("forget the next root: %w", err)
	}
	a.set(nil, nil)
	return nil
}

// another makes a root that nobody keeps yet.
func (a *Authority) another(names []string) (*keyPair, error) {
	root, key, err := newRoot(names, a.now())
	if err != nil {
		return nil, fmt.Errorf("make another root: %w", err)
	}
	return &keyPair{root, key}, nil
}

// replace puts a root in the other's place. Where the power goes in between, it is kept
// under both names, which Open takes for a rotation that is finished.
func (a *Authority) replace(ctx context.Context, s Store, next *keyPair) error {
	sealed, err := marshal(next.root, next.key)
	if err != nil {
		return fmt.Errorf("keep the root: %w", err)
	}
	if err := s.PutSecret(ctx, rootSecret, sealed); err != nil {
		return fmt.Errorf("keep the root: %w", err)
	}
	a.set(next, nil)
	if err := s.DropSecret(ctx, nextSecret); err != nil {
		return fmt.Errorf("forget that a root was prepared: %w", err)
	}
	return nil
}

// set changes what counts: root, unless it is nil, and what is prepared.
func (a *Authority) set(root, next *keyPair) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if root != nil {
		a.root, a.key = root.root, root.key
	}
	a.next = next
}

// readNext reads what is prepared, if something is.
func (a *Authority) readNext(ctx context.Context, s Store) error {
	sealed, err := s.Secret(ctx, nextSecret)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	next, err := parse(sealed)
	if err != nil {
		return err
	}
	if !next.root.Equal(a.root) {
		a.next = &keyPair{next.root, next.key}
	}
	return nil
}
