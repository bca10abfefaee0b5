package identity

import (
	"context"
	"maps"
	"slices"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/guard"
	"gatehouse/internal/ledger"
)

// self returns who a visit's fresh session belongs to, or ErrNotFresh.
func (i *Identity) self(v Visit) (*session, *person, error) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	e := i.ownSession(v)
	if e == nil || ledger.Millis(i.cfg.Now()) >= e.fresh.Load() {
		return nil, nil, ErrNotFresh
	}
	return e, e.device.person, nil
}

// spend ends the freshness of a session: a confirmation is for one thing.
func (e *session) spend() { e.fresh.Store(0) }

// BeginAddPasskey begins the making of another passkey of one's own. ErrNotFresh
// unless the person has just confirmed that it is them; so with all below.
func (i *Identity) BeginAddPasskey(ctx context.Context, v Visit) (Ceremony, error) {
	_, p, err := i.self(v)
	if err != nil {
		return Ceremony{}, err
	}
	if !i.PasskeysAt(v) {
		return Ceremony{}, ErrNoPasskeyHere
	}
	u := user{id: p.id, name: p.name}
	i.mu.RLock()
	for _, k := range p.passkeys {
		u.keys = append(u.keys, k.record)
	}
	i.mu.RUnlock()
	return i.begin(addPasskey, u, ceremony{})
}

// FinishAddPasskey keeps the passkey. ErrRefused for an answer that is not right.
func (i *Identity) FinishAddPasskey(ctx context.Context, v Visit, ceremonyID string, response []byte) error {
	e, p, err := i.self(v)
	if err != nil {
		return err
	}
	c, err := i.unseal(addPasskey, ceremonyID)
	if err != nil || c.Person != p.id {
		return ErrCeremony
	}
	made, err := i.finish(v, user{id: p.id}, c, response)
	if err != nil || !i.spent.spend(c) {
		i.failed(v, guard.SignIn, "", p, "passkey was not made here")
		return ErrRefused
	}
	i.writing.Lock()
	defer i.writing.Unlock()
	if i.ownSession(v) != e {
		return ErrNotFresh
	}
	k, err := i.newPasskey(p, e.device.id, made, i.cfg.Now())
	if err != nil {
		return err
	}
	err = i.change(ctx, func(tx *ledger.Tx) error { return insertPasskey(tx, k) }, func() { i.addPasskey(k) })
	if err == nil {
		e.spend()
		i.emit(event.PasskeyAdded, &v, p, e.device.id, "")
	}
	return err
}

// Passkey is a passkey as its person and the owner see it.
type Passkey struct {
	ID         string // to name it by
	PersonID   string
	PersonName string
	Device     string // id of the device on which it was made; that may be gone
	RPID       string // the host name that it was made for
	Synced     bool   // it can be on other devices too
	Created    time.Time
	LastUsed   time.Time
}

// Passkeys returns everybody's passkeys, the last used first.
func (i *Identity) Passkeys() []Passkey {
	i.mu.RLock()
	defer i.mu.RUnlock()
	all := make([]Passkey, 0, len(i.passkeys))
	for _, k := range i.passkeys {
		all = append(all, k.public())
	}
	slices.SortFunc(all, func(a, b Passkey) int { return b.LastUsed.Compare(a.LastUsed) })
	return all
}

func (k *passkey) public() Passkey {
	return Passkey{ID: passkeyID(k.record.ID), PersonID: k.person.id, PersonName: k.person.name, Device: k.device, RPID: k.rpID,
		Synced: k.record.Flags.BackupEligible, Created: k.created, LastUsed: k.lastUsed}
}

// passkeyID shortens a credential's id, which can be a thousand bytes, to what people can name it by.
func passkeyID(id []byte) string {
	h := hashOf(string(id))
	b := make([]byte, idLen)
	for k := range b {
		b[k] = alphabet[h[k]%32]
	}
	return string(b)
}

// RemoveOwnPasskey forgets a passkey of one's own.
func (i *Identity) RemoveOwnPasskey(ctx context.Context, v Visit, id string) error {
	e, p, err := i.self(v)
	if err != nil {
		return err
	}
	i.mu.RLock()
	own := false
	for _, k := range p.passkeys {
		own = own || passkeyID(k.record.ID) == id
	}
	i.mu.RUnlock()
	if !own {
		return ErrNotFound
	}
	if err := i.RemovePasskey(ctx, id); err != nil {
		return err
	}
	e.spend()
	return nil
}

// RemovePasskey forgets a passkey; ErrNotFound if there is none of this id.
// Whoever may do so is the caller's to know.
func (i *Identity) RemovePasskey(ctx context.Context, id string) error {
	i.writing.Lock()
	defer i.writing.Unlock()
	for k := range maps.Values(i.passkeys) {
		if passkeyID(k.record.ID) == id {
			return i.change(ctx, func(tx *ledger.Tx) error { return deletePasskey(tx, k) }, func() { i.dropPasskey(k) })
		}
	}
	return ErrNotFound
}

// BeginResetTOTP begins the set-up of another authenticator app.
func (i *Identity) BeginResetTOTP(ctx context.Context, v Visit) (ceremonyID, url, secret string, err error) {
	_, p, err := i.self(v)
	if err != nil {
		return "", "", "", err
	}
	c := ceremony{Person: p.id, Secret: newTOTPSecret()}
	if ceremonyID, err = i.seal(resetTOTP, c); err != nil {
		return "", "", "", err
	}
	url, secret = i.totpURL(p.name, c.Secret)
	return ceremonyID, url, secret, nil
}

// FinishResetTOTP puts the authenticator app in the place of the old one.
// ErrWrongCode where its code is wrong.
func (i *Identity) FinishResetTOTP(ctx context.Context, v Visit, ceremonyID, code string) error {
	e, p, err := i.self(v)
	if err != nil {
		return err
	}
	c, err := i.unseal(resetTOTP, ceremonyID)
	if err != nil || c.Person != p.id {
		return ErrCeremony
	}
	digits, _ := isTOTP(code)
	step, ok := matchTOTP(c.Secret, digits, i.cfg.Now(), 0)
	if !ok {
		return ErrWrongCode
	}
	i.writing.Lock()
	defer i.writing.Unlock()
	if i.ownSession(v) != e {
		return ErrNotFresh
	}
	err = i.change(ctx, func(tx *ledger.Tx) error { return i.writeTOTP(tx, p.id, c.Secret, step) },
		func() { p.totp, p.totpStep = c.Secret, step })
	if err == nil {
		e.spend()
		i.emit(event.TOTPChanged, &v, p, e.device.id, "")
	}
	return err
}

// NewRecoveryCodes makes ten recovery codes in place of the old ones.
func (i *Identity) NewRecoveryCodes(ctx context.Context, v Visit) ([]string, error) {
	e, p, err := i.self(v)
	if err != nil {
		return nil, err
	}
	i.writing.Lock()
	defer i.writing.Unlock()
	if i.ownSession(v) != e {
		return nil, ErrNotFresh
	}
	codes, kept := newRecovery(p.id)
	err = i.change(ctx, func(tx *ledger.Tx) error { return writeRecovery(tx, p.id, kept) }, func() { p.recovery = kept })
	if err != nil {
		return nil, err
	}
	e.spend()
	i.emit(event.RecoveryRenewed, &v, p, e.device.id, "")
	return codes, nil
}
