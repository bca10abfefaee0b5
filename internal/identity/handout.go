package identity

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/guard"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
)

// Bounds of what waits to be fetched.
const (
	handoutFor  = 24 * time.Hour
	maxHandout  = 64 << 10 // bytes of a file
	maxHandouts = 16       // a person; the oldest goes
)

// handout is a key that waits to be fetched with its file, once. The file holds the private
// half; it is sealed with the code, of which only the hash is kept.
type handout struct {
	hash    hash
	person  *person
	label   string
	key     NewKey
	sealed  []byte
	created time.Time
	expires time.Time
}

// Handout is what waits to be fetched.
type Handout struct {
	Code    string // secret; only where it was just made
	Person  string // whose the device will be
	Label   string
	Expires time.Time // when it cannot be fetched any more
}

// HandOut keeps a file for whoever comes with the code that it returns: with it they get the
// key that n names, which becomes a device of a person, by name.
func (i *Identity) HandOut(ctx context.Context, name, label string, n NewKey, file []byte) (Handout, error) {
	label, err := cleanName(shorten(label, maxDeviceName))
	if err != nil {
		return Handout{}, err
	}
	if len(file) == 0 || len(file) > maxHandout {
		return Handout{}, fmt.Errorf("identity: a file of %d bytes to be handed out", len(file))
	}
	now := i.cfg.Now()
	if err := n.check(now); err != nil {
		return Handout{}, err
	}
	i.writing.Lock()
	defer i.writing.Unlock()
	p, ok := i.names[nameKey(name)]
	if !ok {
		return Handout{}, ErrNotFound
	}
	code := randomText(inviteLen)
	sealed, err := sealWith(code, file)
	if err != nil {
		return Handout{}, err
	}
	h := &handout{hashOf(code), p, label, n, sealed, now, now.Add(handoutFor)}
	if !n.Expires.IsZero() && n.Expires.Before(h.expires) {
		h.expires = n.Expires
	}
	oldest := i.oldestHandout(p)
	err = i.change(ctx, func(tx *ledger.Tx) error {
		if oldest != nil {
			if _, err := tx.Exec(`DELETE FROM handouts WHERE hash = $1`, oldest.hash[:]); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`INSERT INTO handouts (hash, person_id, label, kind, key_id, key_expires, sealed, created, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			h.hash[:], p.id, h.label, n.Key.Kind, n.Key.ID, ledger.Millis(n.Expires), h.sealed, ledger.Millis(h.created), ledger.Millis(h.expires))
		return err
	}, func() {
		if oldest != nil {
			delete(i.handouts, oldest.hash)
		}
		i.handouts[h.hash] = h
	})
	if err != nil {
		return Handout{}, err
	}
	i.emit(event.Invited, nil, p, "", label)
	made := h.public()
	made.Code = grouped(code)
	return made, nil
}

// oldestHandout returns the one that must go before a person can have another.
func (i *Identity) oldestHandout(p *person) (oldest *handout) {
	n := 0
	for _, h := range i.handouts {
		if h.person != p {
			continue
		}
		if n++; oldest == nil || h.created.Before(oldest.created) {
			oldest = h
		}
	}
	if n < maxHandouts {
		return nil
	}
	return oldest
}

func (h *handout) public() Handout {
	return Handout{Person: h.person.name, Label: h.label, Expires: h.expires}
}

// PeekHandout says what a code is for, and leaves it as it is. ErrNoInvitation, which counts
// as a failure, if there is nothing to be fetched with it now.
func (i *Identity) PeekHandout(_ context.Context, v Visit, code string) (Handout, error) {
	h, _, err := i.handedOut(v, code)
	if err != nil {
		return Handout{}, err
	}
	return h.public(), nil
}

// handedOut returns what waits for a code as it was typed.
func (i *Identity) handedOut(v Visit, typed string) (h *handout, code string, err error) {
	code, _ = parseCode(typed, inviteLen)
	i.mu.RLock()
	h, ok := i.handouts[hashOf(code)]
	i.mu.RUnlock()
	if !ok || !i.cfg.Now().Before(h.expires) || v.Unheard {
		i.failed(v, guard.Invitation, "", nil, "nothing to be fetched with this code")
		return nil, "", ErrNoInvitation
	}
	return h, code, nil
}

// TakeHandout returns the file of a code, once, and makes who took it a known device.
func (i *Identity) TakeHandout(ctx context.Context, v Visit, typed string) (file []byte, d Device, err error) {
	h, code, err := i.handedOut(v, typed)
	if err != nil {
		return nil, Device{}, err
	}
	if file, err = openWith(code, h.sealed); err != nil {
		return nil, Device{}, err
	}
	i.writing.Lock()
	a, k, err := i.admitKey(h.person.name, h.label, h.key)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrKeyTaken) {
		err = ErrNoInvitation // its person was removed meanwhile, or somebody else has fetched it
	}
	if err == nil {
		a.device.at(v.Door, v.Addr)
		err = i.change(ctx, func(tx *ledger.Tx) error {
			n, err := tx.Exec(`DELETE FROM handouts WHERE hash = $1 AND expires > $2`, h.hash[:], ledger.Millis(a.now))
			if err == nil && n != 1 {
				err = ErrNoInvitation
			}
			if err != nil {
				return err
			}
			if err := a.writeDevice(tx); err != nil {
				return err
			}
			return k.write(tx)
		}, func() {
			delete(i.handouts, h.hash)
			i.applyDevice(a)
			i.addKey(k)
		})
	}
	i.writing.Unlock()
	if err != nil {
		return nil, Device{}, err
	}
	i.emit(event.DeviceEnrolled, &v, a.device.person, a.device.id, h.label)
	i.tellEnded(a)
	i.watchers.tellKeys()
	i.mu.RLock()
	defer i.mu.RUnlock()
	return file, a.device.public(), nil
}

// sealerOf is what a code seals with. A code has 80 random bits and more: no slow hash is needed.
func sealerOf(code string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(code), nil, "gatehouse handout", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func sealWith(code string, file []byte) ([]byte, error) {
	aead, err := sealerOf(code)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce) // never fails (crypto/rand)
	return aead.Seal(nonce, nonce, file, nil), nil
}

func openWith(code string, sealed []byte) ([]byte, error) {
	aead, err := sealerOf(code)
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, errors.New("identity: a file that was cut short")
	}
	file, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], nil)
	if err != nil {
		return nil, fmt.Errorf("open what was kept for a code: %w", err)
	}
	return file, nil
}

func (i *Identity) loadHandouts(tx *ledger.Tx) error {
	return tx.Query(func(scan func(...any) error) error {
		var (
			h, sealed                    []byte
			person, label, kind, id      string
			keyExpires, created, expires int64
		)
		if err := scan(&h, &person, &label, &kind, &id, &keyExpires, &sealed, &created, &expires); err != nil {
			return err
		}
		p, ok := i.people[person]
		if !ok || len(h) != len(hash{}) {
			return errors.New("a file to be fetched cannot be read")
		}
		i.handouts[hash(h)] = &handout{hash(h), p, label, NewKey{Key: policy.Key{Kind: kind, ID: id}, Expires: ledger.Instant(keyExpires)},
			sealed, ledger.Instant(created), ledger.Instant(expires)}
		return nil
	}, `SELECT hash, person_id, label, kind, key_id, key_expires, sealed, created, expires FROM handouts`)
}
