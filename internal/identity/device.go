package identity

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"

	"gatehouse/internal/event"
	"gatehouse/internal/ha"
	"gatehouse/internal/ledger"
)

// The kinds of devices (policy.Who.Kind).
const (
	KindBrowser = "browser" // recognised by its cookie
	KindApp     = "app"     // a companion app: its web view by a cookie, the rest by what Home Assistant gave it
	KindProgram = "program" // recognised by a token alone
)

// kindOf is the kind of a device that enrols. An app's web view says so itself; whoever
// claims it falsely gets no more than a browser that they could have enrolled as well.
func kindOf(userAgent string) string {
	if ha.CompanionApp(userAgent) != ha.AppNone {
		return KindApp
	}
	return KindBrowser
}

// Devices returns every device, revoked ones too, the last seen first.
func (i *Identity) Devices() []Device {
	i.mu.RLock()
	defer i.mu.RUnlock()
	all := make([]Device, 0, len(i.devices))
	for _, d := range i.devices {
		all = append(all, d.public())
	}
	slices.SortFunc(all, func(a, b Device) int { return cmp.Or(b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.ID, b.ID)) })
	return all
}

func (d *device) public() Device {
	at := d.where.Load()
	return Device{ID: d.id, PersonID: d.person.id, PersonName: d.person.name, Kind: d.kind, Name: d.name, Created: d.created,
		LastSeen: ledger.Instant(d.seen.Load()), LastAddr: at.text(), LastDoor: string(at.door), RevokedAt: d.revoked, Expires: d.expires()}
}

// RevokeDevice shuts a device out for good: its sessions end, its tokens stay known
// as revoked, and passkeys that live in it alone are gone. ErrNotFound if there is
// no such device; one that was revoked already is left alone.
func (i *Identity) RevokeDevice(ctx context.Context, id string) error {
	i.writing.Lock()
	d, ok := i.devices[id]
	if !ok || !d.revoked.IsZero() {
		i.writing.Unlock()
		if !ok {
			return ErrNotFound
		}
		return nil
	}
	now := i.cfg.Now()
	var lost []*passkey
	kept := 0
	for _, k := range d.person.passkeys {
		switch {
		case k.livesIn(d):
			lost = append(lost, k)
		case k.device == d.id:
			kept++
		}
	}
	err := i.change(ctx, func(tx *ledger.Tx) error {
		for _, k := range lost {
			if err := deletePasskey(tx, k); err != nil {
				return err
			}
		}
		return writeRevoked(tx, d, now)
	}, func() {
		for _, k := range lost {
			i.dropPasskey(k)
		}
		d.revoke(now)
	})
	detail := d.name
	i.writing.Unlock()
	if err != nil {
		return err
	}
	i.codes.forget(id)
	if kept > 0 {
		detail += "; a passkey made on it is kept, because it is on other devices too"
	}
	i.emit(event.DeviceRevoked, nil, d.person, d.id, detail)
	i.watchers.tell(Ended{Device: d.id})
	return nil
}

// livesIn reports whether a passkey cannot be anywhere but in this device.
func (k *passkey) livesIn(d *device) bool {
	return k.device == d.id && k.record.Authenticator.Attachment == protocol.Platform && !k.record.Flags.BackupEligible
}

// writeRevoked ends a device and its sessions in the ledger.
func writeRevoked(tx *ledger.Tx, d *device, at time.Time) error {
	if _, err := tx.Exec(`UPDATE devices SET revoked = $1 WHERE id = $2 AND revoked = 0`, ledger.Millis(at), d.id); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE sessions SET ended = $1 WHERE device_id = $2 AND ended = 0`, ledger.Millis(at), d.id)
	return err
}

// revoke does the same in memory.
func (d *device) revoke(at time.Time) {
	d.revoked = at
	for _, e := range d.sessions {
		if e.ended.IsZero() {
			e.ended = at
		}
	}
}
