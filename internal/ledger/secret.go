package ledger

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// KeyName is what the key's file is called where it is kept in the state directory.
const KeyName = "key"

// Key seals secrets. It is kept in a file of its own, apart from the ledger's
// backups, and its zero value must not be used.
type Key [32]byte

// NewKey returns a key that was never used before.
func NewKey() Key {
	var k Key
	rand.Read(k[:]) // never fails (crypto/rand)
	return k
}

// LoadKey reads the key in the file at path, and makes one, mode 0600, if there is
// none. A file of another length, or one that others may read, is an error.
func LoadKey(path string) (Key, error) {
	k, err := readKey(path)
	if errors.Is(err, os.ErrNotExist) {
		if err = makeKey(path); err == nil {
			k, err = readKey(path)
		}
	}
	if err != nil {
		return Key{}, explain("load key", path, err)
	}
	return k, nil
}

func readKey(path string) (Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return Key{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Key{}, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return Key{}, &Error{Err: fmt.Errorf("others may read it (mode %04o)", info.Mode().Perm()), Hint: "run: chmod 600 " + path}
	}
	var k Key
	if _, err := io.ReadFull(f, k[:]); err != nil || info.Size() != int64(len(k)) {
		return Key{}, &Error{Err: fmt.Errorf("is %d bytes long, not %d", info.Size(), len(k)),
			Hint: "put the right file back: what was sealed with it cannot be read without it"}
	}
	return k, nil
}

// makeKey makes a new key's file appear at once and whole, or not at all. One that
// somebody else made in the meantime is left alone.
func makeKey(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	k := NewKey()
	_, err = f.Write(k[:])
	if err = errors.Join(err, give(f, dir), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(dir)
}

// Seal encrypts a secret that belongs to name: what is sealed for one name opens
// for no other.
func (l *Ledger) Seal(name string, secret []byte) []byte {
	nonce := make([]byte, l.aead.NonceSize(), l.aead.NonceSize()+len(secret)+l.aead.Overhead())
	rand.Read(nonce)
	return l.aead.Seal(nonce, nonce, secret, []byte(name))
}

// Open decrypts what Seal returned for the same name under the same key.
func (l *Ledger) Open(name string, sealed []byte) ([]byte, error) {
	if len(sealed) < l.aead.NonceSize() {
		return nil, errSealed(name)
	}
	n := l.aead.NonceSize()
	secret, err := l.aead.Open(nil, sealed[:n], sealed[n:], []byte(name))
	if err != nil {
		return nil, errSealed(name)
	}
	return secret, nil
}

// Fingerprint is what a secret that belongs to name can be found by again: always the same,
// and nothing that it could be guessed from without the key.
func (l *Ledger) Fingerprint(name string, secret []byte) []byte {
	h := hmac.New(sha256.New, l.mac)
	fmt.Fprintf(h, "%d:%s", len(name), name) // no two names run into their secrets alike
	h.Write(secret)
	return h.Sum(nil)
}

func errSealed(name string) error {
	return &Error{Op: "open the secret " + name, Err: errors.New("it was sealed with another key, or changed"),
		Hint: "put back the key file that belongs to this ledger"}
}

// PutSecret keeps a secret under a name, in place of the one that was there.
func (l *Ledger) PutSecret(ctx context.Context, name string, secret []byte) error {
	return l.Update(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO secrets (name, sealed) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed`, name, l.Seal("secrets/"+name, secret))
		return err
	})
}

// Secret returns the secret kept under a name, or ErrNotFound.
func (l *Ledger) Secret(ctx context.Context, name string) ([]byte, error) {
	var sealed []byte
	err := l.View(ctx, func(tx *Tx) error {
		return tx.One([]any{&sealed}, `SELECT sealed FROM secrets WHERE name = $1`, name)
	})
	if err != nil {
		return nil, err
	}
	return l.Open("secrets/"+name, sealed)
}

// DropSecret forgets the secret kept under a name, if there is one.
func (l *Ledger) DropSecret(ctx context.Context, name string) error {
	return l.Update(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`DELETE FROM secrets WHERE name = $1`, name)
		return err
	})
}
