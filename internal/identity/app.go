package identity

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/ha"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
)

// A companion app is a device like others; but its own requests carry no cookie, or
// one that has run out. They are known by what Home Assistant gave to the app while we
// looked on: its tokens, and its webhook.

const maxWebhooks = 8 // a device; the oldest goes

// WithoutCookie reports whether a token counts without a browser's cookie: an app's own,
// and what belongs to a program. A web view's sign-in as a browser is a browser's; a
// long-lived token that was there before us counts at home alone.
func (t Token) WithoutCookie() bool {
	return t.Kind == KindProgram && !t.Given || t.Kind == KindApp && (t.Webhook || ha.IsAppClient(t.ClientID))
}

// Who returns who a device is, as sure as one can be of a device that showed a token;
// ok is false for a device that is none. A revoked one is known, and shut out.
func (i *Identity) Who(device string) (who policy.Who, ok bool) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	d, ok := i.devices[device]
	if !ok {
		return policy.Who{}, false
	}
	return d.who(), true
}

// who is the device as one that asks and needs no session.
func (d *device) who() policy.Who {
	p := d.person
	who := policy.Who{Person: p.id, Name: p.name, Role: p.role, Device: d.id, Kind: d.kind, HAUser: p.haID, Revoked: !d.revoked.IsZero()}
	if !who.Revoked {
		who.Proof = policy.ProofDevice
	}
	return who
}

// SeenDevice notes where a device without a session was seen; see Seen.
func (i *Identity) SeenDevice(device string, door policy.Door, addr netip.Addr) bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	d, ok := i.devices[device]
	if !ok {
		return false
	}
	now := i.cfg.Now()
	if n := now.UnixMilli(); n-d.seen.Load() >= 1000 {
		d.seen.Store(n)
	}
	return d.tell(d.at(door, addr), now)
}

// Webhook looks a webhook's id up as Home Assistant gave it out.
func (i *Identity) Webhook(id string) (Token, bool) {
	h := hashOf(id)
	i.mu.RLock()
	defer i.mu.RUnlock()
	w, ok := i.webhooks[h]
	if !ok {
		return Token{}, false
	}
	d := w.device
	return Token{Device: d.id, Kind: d.kind, Webhook: true, Person: d.person.id, HAUserID: w.haUser, Calls: w.calls, Revoked: !d.revoked.IsZero()}, true
}

// LearnWebhook keeps the webhook that Home Assistant gave to a device's app. One that
// the same installation of the app had before is dead then (ha-protocol 5.4), and goes.
func (i *Identity) LearnWebhook(ctx context.Context, device string, r ha.Registration, webhookID string) error {
	if webhookID == "" {
		return errors.New("identity: Home Assistant's answer names no webhook")
	}
	i.writing.Lock()
	defer i.writing.Unlock()
	d, ok := i.devices[device]
	switch {
	case !ok:
		return ErrNotFound
	case !d.revoked.IsZero():
		return ErrRevoked
	}
	w := &webhook{hash: hashOf(webhookID), device: d, haUser: d.person.haID, registration: r.DeviceID, created: i.cfg.Now()}
	if known, ok := i.webhooks[w.hash]; ok && known.device != d {
		return errors.New("identity: this webhook is another device's")
	}
	name := cleanDeviceName(r.DeviceName)
	if name == "" {
		name = d.name
	}
	old := d.replaced(w)
	err := i.change(ctx, func(tx *ledger.Tx) error {
		for _, o := range old {
			if _, err := tx.Exec(`DELETE FROM webhooks WHERE hash = $1`, o.hash[:]); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(`UPDATE devices SET name = $1 WHERE id = $2`, name, d.id); err != nil {
			return err
		}
		return w.write(tx)
	}, func() {
		for _, o := range old {
			i.dropWebhook(o)
		}
		d.name = name
		i.addWebhook(w)
	})
	if err == nil {
		i.emit(event.AppRegistered, nil, d.person, d.id, name)
	}
	return err
}

// write writes a new webhook.
func (w *webhook) write(tx *ledger.Tx) error {
	may := Calls{Outside: true}
	if w.calls != nil {
		may = *w.calls
	}
	_, err := tx.Exec(`INSERT INTO webhooks (hash, device_id, ha_user_id, registration, created, removed, automation, outside, methods, per_minute)
		VALUES ($1, $2, $3, $4, $5, 0, $6, $7, $8, $9)`,
		w.hash[:], w.device.id, w.haUser, w.registration, ledger.Millis(w.created), flag(w.calls != nil), flag(may.Outside), joined(may.Methods), may.PerMinute)
	return err
}

// replaced returns the webhooks of a device that w takes the place of.
func (d *device) replaced(w *webhook) (old []*webhook) {
	var oldest *webhook
	left := 0
	for _, o := range d.webhooks {
		if o.hash == w.hash || o.registration == w.registration {
			old = append(old, o)
			continue
		}
		left++
		if oldest == nil || o.created.Before(oldest.created) {
			oldest = o
		}
	}
	if left >= maxWebhooks {
		old = append(old, oldest)
	}
	return old
}

// Registration is what a revoked device still has in Home Assistant.
type Registration struct {
	Device       string
	HADeviceID   string // the app's own id of its device
	HAUserID     string
	webhook      hash
	RevokedSince time.Time
}

// Leftovers returns the registrations of revoked devices that are still to be taken
// out of Home Assistant.
func (i *Identity) Leftovers() (all []Registration) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	for _, w := range i.webhooks {
		if d := w.device; !d.revoked.IsZero() && w.removed.IsZero() && w.calls == nil {
			all = append(all, Registration{Device: d.id, HADeviceID: w.registration, HAUserID: w.haUser, webhook: w.hash, RevokedSince: d.revoked})
		}
	}
	return all
}

// TookOut notes that a registration is no longer in Home Assistant. Its webhook stays
// refused.
func (i *Identity) TookOut(ctx context.Context, r Registration) error {
	i.writing.Lock()
	defer i.writing.Unlock()
	w, ok := i.webhooks[r.webhook]
	if !ok {
		return ErrNotFound
	}
	now := i.cfg.Now()
	return i.change(ctx, func(tx *ledger.Tx) error {
		_, err := tx.Exec(`UPDATE webhooks SET removed = $1 WHERE hash = $2`, ledger.Millis(now), w.hash[:])
		return err
	}, func() { w.removed = now })
}

// Beside makes another device of the person of a device, for a code that this device's
// login earned and somebody else's connection spends: a watch, a cloud's server. It has
// no session; its tokens are learned next.
func (i *Identity) Beside(ctx context.Context, device, kind, userAgent string, v Visit) (string, error) {
	i.writing.Lock()
	defer i.writing.Unlock()
	d, ok := i.devices[device]
	switch {
	case !ok:
		return "", ErrNotFound
	case !d.revoked.IsZero():
		return "", ErrRevoked
	}
	now := i.cfg.Now()
	a := &admission{now: now, isNew: true}
	var err error
	if a.dropped, err = i.makeRoom(d.person, now); err != nil {
		return "", err
	}
	a.device = newDevice(newID(i.devices), d.person, kind, describe(userAgent), now)
	a.device.seen.Store(ledger.Millis(now))
	a.device.at(v.Door, v.Addr)
	if err := i.change(ctx, a.writeDevice, func() { i.applyDevice(a) }); err != nil {
		return "", err
	}
	i.emit(event.DeviceEnrolled, &v, d.person, a.device.id, a.device.name)
	i.tellEnded(a)
	return a.device.id, nil
}

// HasTokens reports whether a device has a refresh token of a client.
func (i *Identity) HasTokens(device, clientID string) bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	d, ok := i.devices[device]
	if !ok {
		return false
	}
	for _, t := range d.refresh {
		if t.clientID == clientID {
			return true
		}
	}
	return false
}

// SignOutDevice ends every session of a device.
func (i *Identity) SignOutDevice(ctx context.Context, device string) error {
	i.mu.RLock()
	var all []*session
	if d, ok := i.devices[device]; ok {
		for _, e := range d.sessions {
			all = append(all, e)
		}
	}
	i.mu.RUnlock()
	for _, e := range all {
		if err := i.end(ctx, e, event.SignedOut); err != nil {
			return err
		}
	}
	return nil
}

// maxDeviceName bounds a device's name, in bytes.
const maxDeviceName = 64

// cleanDeviceName is a name that an app gave its device, as it can be shown.
func cleanDeviceName(name string) string {
	name, err := cleanName(shorten(name, maxDeviceName))
	if err != nil {
		return ""
	}
	return name
}

// shorten cuts a text to at most n bytes of whole characters.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}
