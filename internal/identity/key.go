package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
)

// The kinds of devices that are known by a key of their own, which a door has verified.
const (
	KindCertificate = "certificate" // a TLS client certificate
	KindPeer        = "peer"        // a WireGuard peer
	KindSSHKey      = "sshkey"
	KindOnionKey    = "onionkey" // an onion service that only its client can find
)

// HasKey reports whether devices of a kind are known by a key of their own.
func HasKey(kind string) bool {
	switch kind {
	case KindCertificate, KindPeer, KindSSHKey, KindOnionKey:
		return true
	}
	return false
}

// NewKey is a key that is about to be somebody's.
type NewKey struct {
	Key     policy.Key
	Data    string    // what its door must know of it; nothing in it is secret
	Expires time.Time // zero where it does not
}

// KeyInfo is a key that counts now.
type KeyInfo struct {
	Key     policy.Key
	Data    string
	Created time.Time
	Expires time.Time // zero where it does not
	Device  Device
}

// deviceKey is a device's key. One of a revoked device stays known as that.
type deviceKey struct {
	key     policy.Key
	device  *device
	data    string
	created time.Time
	expires time.Time
	over    bool // it was told that it has expired
}

// maxKeyID and maxKeyData bound what is kept of a key, in bytes, and maxKeys how many a device
// has: one that has its key replaced again and again loses the oldest.
const (
	maxKeyID   = 256
	maxKeyData = 4096
	maxKeys    = 4
)

// ErrKeyTaken is returned for a key by which a device is known already.
var ErrKeyTaken = errors.New("identity: this key is a known device's already")

// counts reports whether a key opens anything, now.
func (k *deviceKey) counts(now time.Time) bool {
	return k.device.revoked.IsZero() && (k.expires.IsZero() || now.Before(k.expires))
}

// KeyHolder says whose key this is. A revoked device's is still known, and Who says so;
// one that has expired is nobody's.
func (i *Identity) KeyHolder(key policy.Key) (who policy.Who, ok bool) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	k, ok := i.keys[key]
	if !ok {
		return policy.Who{}, false
	}
	if who = k.device.who(); who.Revoked {
		return who, true
	}
	return who, k.counts(i.cfg.Now())
}

// Keys returns the keys of a kind that count now, by id.
func (i *Identity) Keys(kind string) []KeyInfo {
	now := i.cfg.Now()
	i.mu.RLock()
	defer i.mu.RUnlock()
	var all []KeyInfo
	for key, k := range i.keys {
		if key.Kind == kind && k.counts(now) {
			all = append(all, KeyInfo{key, k.data, k.created, k.expires, k.device.public()})
		}
	}
	slices.SortFunc(all, func(a, b KeyInfo) int { return strings.Compare(a.Key.ID, b.Key.ID) })
	return all
}

// Key returns a key that counts now.
func (i *Identity) Key(key policy.Key) (KeyInfo, bool) {
	now := i.cfg.Now()
	i.mu.RLock()
	defer i.mu.RUnlock()
	k, ok := i.keys[key]
	if !ok || !k.counts(now) {
		return KeyInfo{}, false
	}
	return KeyInfo{key, k.data, k.created, k.expires, k.device.public()}, true
}

// check reports what is wrong with a key; now is the time.
func (n NewKey) check(now time.Time) error {
	switch {
	case !HasKey(n.Key.Kind) || n.Key.ID == "" || len(n.Key.ID) > maxKeyID || len(n.Data) > maxKeyData:
		return fmt.Errorf("identity: no key can be %q of the kind %q", n.Key.ID, n.Key.Kind)
	case !n.Expires.IsZero() && !now.Before(n.Expires):
		return errors.New("identity: a key that has expired already")
	}
	return nil
}

// AddKey makes who holds a key a device of a person, by name. ErrKeyTaken where a device
// is known by it that is not revoked: a revoked one's key may be given anew.
func (i *Identity) AddKey(ctx context.Context, person, label string, n NewKey) (Device, error) {
	label, err := cleanName(shorten(label, maxDeviceName))
	if err != nil {
		return Device{}, err
	}
	i.writing.Lock()
	a, k, err := i.admitKey(person, label, n)
	if err == nil {
		err = i.change(ctx, func(tx *ledger.Tx) error {
			if err := a.writeDevice(tx); err != nil {
				return err
			}
			return k.write(tx)
		}, func() {
			i.applyDevice(a)
			i.addKey(k)
		})
	}
	i.writing.Unlock()
	if err != nil {
		return Device{}, err
	}
	i.emit(event.DeviceEnrolled, nil, a.device.person, a.device.id, label)
	i.tellEnded(a)
	i.watchers.tellKeys()
	i.mu.RLock()
	defer i.mu.RUnlock()
	return a.device.public(), nil
}

// admitKey decides about a new key. The caller holds writing.
func (i *Identity) admitKey(person, label string, n NewKey) (*admission, *deviceKey, error) {
	now := i.cfg.Now()
	if err := n.check(now); err != nil {
		return nil, nil, err
	}
	p, ok := i.names[nameKey(person)]
	if !ok {
		return nil, nil, ErrNotFound
	}
	if had, ok := i.keys[n.Key]; ok && had.device.revoked.IsZero() {
		return nil, nil, ErrKeyTaken
	}
	a := &admission{now: now, isNew: true}
	var err error
	if a.dropped, err = i.makeRoom(p, now); err != nil {
		return nil, nil, err
	}
	a.device = newDevice(newID(i.devices), p, n.Key.Kind, label, now)
	return a, &deviceKey{key: n.Key, device: a.device, data: n.Data, created: now, expires: n.Expires}, nil
}

// write writes a key, in the place of a revoked device's.
func (k *deviceKey) write(tx *ledger.Tx) error {
	_, err := tx.Exec(`INSERT INTO device_keys (kind, id, device_id, data, created, expires) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (kind, id) DO UPDATE SET device_id = excluded.device_id, data = excluded.data, created = excluded.created, expires = excluded.expires`,
		k.key.Kind, k.key.ID, k.device.id, k.data, ledger.Millis(k.created), ledger.Millis(k.expires))
	return err
}

// ReplaceKey gives a device another key of its kind, as when a certificate is renewed. Its
// keys of before count until keep, or as long as they would have, if that is sooner.
// ErrNotFound if there is no such device, ErrRevoked if it was revoked.
func (i *Identity) ReplaceKey(ctx context.Context, deviceID string, n NewKey, keep time.Time) error {
	i.writing.Lock()
	var gone []*deviceKey
	k, olds, err := i.admitReplacement(deviceID, n, keep)
	if err == nil {
		gone = k.tooMany(i.cfg.Now())
		err = i.change(ctx, func(tx *ledger.Tx) error {
			for _, old := range gone {
				if _, err := tx.Exec(`DELETE FROM device_keys WHERE kind = $1 AND id = $2`, old.key.Kind, old.key.ID); err != nil {
					return err
				}
			}
			for _, old := range olds {
				_, err := tx.Exec(`UPDATE device_keys SET expires = $1 WHERE kind = $2 AND id = $3`, ledger.Millis(keep), old.key.Kind, old.key.ID)
				if err != nil {
					return err
				}
			}
			return k.write(tx)
		}, func() {
			for _, old := range olds {
				old.expires = keep
			}
			for _, old := range gone {
				delete(i.keys, old.key)
				delete(k.device.keys, old.key)
			}
			i.addKey(k)
		})
	}
	i.writing.Unlock()
	if err != nil {
		return err
	}
	for _, old := range gone {
		i.watchers.tell(Ended{Device: deviceID, Key: old.key})
	}
	i.tidyKeys() // what counted until now
	i.watchers.tellKeys()
	return nil
}

// tooMany returns the keys of its device that go when k comes: those that do not count first,
// then the oldest.
func (k *deviceKey) tooMany(now time.Time) []*deviceKey {
	var others []*deviceKey
	for key, other := range k.device.keys {
		if key != k.key {
			others = append(others, other)
		}
	}
	slices.SortFunc(others, func(a, b *deviceKey) int {
		switch counts := a.counts(now); {
		case counts == b.counts(now):
			return a.created.Compare(b.created)
		case counts:
			return 1
		}
		return -1
	})
	return others[:max(0, len(others)-(maxKeys-1))]
}

// admitReplacement decides about a key in the place of others, whose end comes sooner.
// The caller holds writing.
func (i *Identity) admitReplacement(deviceID string, n NewKey, keep time.Time) (k *deviceKey, olds []*deviceKey, err error) {
	now := i.cfg.Now()
	if err := n.check(now); err != nil {
		return nil, nil, err
	}
	d, ok := i.devices[deviceID]
	switch {
	case !ok || d.kind != n.Key.Kind:
		return nil, nil, ErrNotFound
	case !d.revoked.IsZero():
		return nil, nil, ErrRevoked
	}
	if had, ok := i.keys[n.Key]; ok && had.device != d && had.device.revoked.IsZero() {
		return nil, nil, ErrKeyTaken
	}
	for _, old := range d.keys {
		if old.key != n.Key && (old.expires.IsZero() || keep.Before(old.expires)) {
			olds = append(olds, old)
		}
	}
	return &deviceKey{key: n.Key, device: d, data: n.Data, created: now, expires: n.Expires}, olds, nil
}

// keysOver returns the keys that have expired and of which that was not told yet. The
// caller holds writing.
func (i *Identity) keysOver(now time.Time) (over []*deviceKey) {
	for _, k := range i.keys {
		switch {
		case k.counts(now):
			k.over = false // the clock was ahead
		case !k.over && k.device.revoked.IsZero():
			k.over = true
			over = append(over, k)
		}
	}
	return over
}

// tidyKeys ends what hangs on keys that have expired: connections that live on.
func (i *Identity) tidyKeys() {
	i.writing.Lock()
	now := i.cfg.Now()
	over := i.keysOver(now)
	ended := make(map[*device]bool)
	var old []Ended
	for _, k := range over {
		if len(k.device.liveKeys(now)) == 0 {
			ended[k.device] = true
		} else {
			old = append(old, Ended{Device: k.device.id, Key: k.key})
		}
	}
	i.writing.Unlock()
	for d := range ended {
		i.emit(event.SessionExpired, nil, d.person, d.id, d.name)
		i.watchers.tell(Ended{Device: d.id})
	}
	for _, e := range old {
		i.watchers.tell(e)
	}
	if len(over) > 0 {
		i.watchers.tellKeys()
	}
}

// liveKeys are the keys of a device that count.
func (d *device) liveKeys(now time.Time) (live []*deviceKey) {
	for _, k := range d.keys {
		if k.counts(now) {
			live = append(live, k)
		}
	}
	return live
}

// expires is when a device stops being known by a key; zero where it does not.
func (d *device) expires() (last time.Time) {
	for _, k := range d.keys {
		if k.expires.IsZero() {
			return time.Time{}
		}
		if k.expires.After(last) {
			last = k.expires
		}
	}
	return last
}

// WatchKeys has f called when a key was added, replaced or revoked, or has expired. f is
// called by whoever did it. stop ends the watch.
func (i *Identity) WatchKeys(f func()) (stop func()) {
	w := &i.watchers
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.keys == nil {
		w.keys = make(map[int]func())
	}
	id := w.next
	w.next++
	w.keys[id] = f
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.keys, id)
	}
}

func (w *watchers) tellKeys() {
	w.mu.Lock()
	all := make([]func(), 0, len(w.keys))
	for _, f := range w.keys {
		all = append(all, f)
	}
	w.mu.Unlock()
	for _, f := range all {
		f()
	}
}

func (i *Identity) loadKeys(tx *ledger.Tx) error {
	return tx.Query(func(scan func(...any) error) error {
		var (
			kind, id, device, data string
			created, expires       int64
		)
		if err := scan(&kind, &id, &device, &data, &created, &expires); err != nil {
			return err
		}
		d, ok := i.devices[device]
		if !ok {
			return fmt.Errorf("the key %s of device %s cannot be read", id, device)
		}
		k := &deviceKey{key: policy.Key{Kind: kind, ID: id}, device: d, data: data, created: ledger.Instant(created), expires: ledger.Instant(expires)}
		k.over = !k.counts(i.cfg.Now()) // nothing hangs on it: we have just started
		i.addKey(k)
		return nil
	}, `SELECT kind, id, device_id, data, created, expires FROM device_keys`)
}
