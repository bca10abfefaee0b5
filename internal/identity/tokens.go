package identity

import (
	"context"
	"errors"
	"sync"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/ha"
	"gatehouse/internal/ledger"
)

// maxAccessLife bounds how long an access token counts, whatever Home Assistant
// says; it says half an hour.
const maxAccessLife = 24 * time.Hour

// RefreshToken says whose refresh token this is. A revoked device's is still known.
func (i *Identity) RefreshToken(token string) (Token, bool) {
	h := hashOf(token)
	i.mu.RLock()
	defer i.mu.RUnlock()
	t, ok := i.refresh[h]
	if !ok {
		return Token{}, false
	}
	return t.public(), true
}

// AccessToken says whose access token this is, until it expires.
func (i *Identity) AccessToken(token string) (Token, bool) {
	h := hashOf(token)
	i.mu.RLock()
	defer i.mu.RUnlock()
	t, ok := i.access[h]
	if !ok {
		return i.programToken(h, i.cfg.Now())
	}
	if !i.cfg.Now().Before(t.expires) {
		return Token{}, false
	}
	return t.refresh.public(), true
}

// Issuer says whose tokens have this issuer. It proves nothing: issuers are not secret.
func (i *Identity) Issuer(iss string) (Token, bool) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	t, ok := i.issuers[iss]
	if !ok || iss == "" {
		return Token{}, false
	}
	return t.public(), true
}

func (t *refreshToken) public() Token {
	return Token{Device: t.device.id, Kind: t.device.kind, Person: t.device.person.id, HAUserID: t.haUser, ClientID: t.clientID,
		Issuer: t.issuer, Given: t.given, Revoked: !t.device.revoked.IsZero()}
}

// LearnTokens keeps what Home Assistant answered to a device that exchanged a code.
// ErrRevoked where the device was revoked meanwhile: the answer must not reach it.
// The user must be the one that BindHAUser has pinned.
func (i *Identity) LearnTokens(ctx context.Context, device, clientID, haUserID string, t ha.TokenAnswer) error {
	if t.RefreshToken == "" || t.AccessToken == "" {
		return errors.New("identity: a token is missing in Home Assistant's answer")
	}
	i.writing.Lock()
	defer i.writing.Unlock()
	d, ok := i.devices[device]
	switch {
	case !ok:
		return ErrNotFound
	case !d.revoked.IsZero():
		return ErrRevoked
	case haUserID == "" || d.person.haID != haUserID:
		return &OtherHAUserError{Want: d.person.haName, Got: haUserID}
	}
	r := &refreshToken{hash: hashOf(t.RefreshToken), device: d, haUser: haUserID, clientID: clientID, issuer: t.Issuer,
		created: i.cfg.Now(), access: make(map[hash]*accessToken)}
	if _, known := i.refresh[r.hash]; known {
		return errors.New("identity: this token is another login's")
	}
	a := i.newAccess(r, t)
	old := oldestRefresh(d)
	err := i.change(ctx, func(tx *ledger.Tx) error {
		if old != nil {
			if _, err := tx.Exec(`DELETE FROM refresh_tokens WHERE hash = $1`, old.hash[:]); err != nil {
				return err
			}
		}
		if err := r.write(tx); err != nil {
			return err
		}
		return writeAccess(tx, a, nil)
	}, func() {
		if old != nil {
			i.dropRefresh(old)
		}
		i.addRefresh(r)
		i.addAccess(a)
	})
	if err == nil {
		i.emit(event.TokenLearned, nil, d.person, d.id, clientID)
	}
	return err
}

// write writes a new refresh token.
func (t *refreshToken) write(tx *ledger.Tx) error {
	_, err := tx.Exec(`INSERT INTO refresh_tokens (hash, device_id, ha_user_id, client_id, issuer, created, given) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		t.hash[:], t.device.id, t.haUser, t.clientID, t.issuer, ledger.Millis(t.created), flag(t.given))
	return err
}

// oldestRefresh returns the refresh token that a device must lose to have another.
func oldestRefresh(d *device) (oldest *refreshToken) {
	if len(d.refresh) < maxRefresh {
		return nil
	}
	for _, t := range d.refresh {
		if oldest == nil || t.created.Before(oldest.created) {
			oldest = t
		}
	}
	return oldest
}

// LearnAccess keeps what Home Assistant answered to a refresh. ErrNotFound where
// the refresh token is not known, ErrRevoked where its device was revoked.
func (i *Identity) LearnAccess(ctx context.Context, token string, t ha.TokenAnswer) error {
	if t.AccessToken == "" {
		return errors.New("identity: a token is missing in Home Assistant's answer")
	}
	i.writing.Lock()
	defer i.writing.Unlock()
	r, ok := i.refresh[hashOf(token)]
	switch {
	case !ok:
		return ErrNotFound
	case !r.device.revoked.IsZero():
		return ErrRevoked
	}
	a := i.newAccess(r, t)
	if known, ok := i.access[a.hash]; ok && known.refresh != r {
		return errors.New("identity: this token is another login's")
	}
	old := firstToExpire(r, a)
	return i.change(ctx, func(tx *ledger.Tx) error { return writeAccess(tx, a, old) }, func() {
		if old != nil {
			i.dropAccess(old)
		}
		i.addAccess(a)
	})
}

func (i *Identity) newAccess(r *refreshToken, t ha.TokenAnswer) *accessToken {
	life := time.Duration(min(max(t.ExpiresIn, 0), int64(maxAccessLife/time.Second))) * time.Second
	return &accessToken{hash: hashOf(t.AccessToken), refresh: r, expires: i.cfg.Now().Add(life)}
}

// firstToExpire returns the access token that a refresh token must lose to have another.
func firstToExpire(r *refreshToken, next *accessToken) (first *accessToken) {
	if _, again := r.access[next.hash]; again || len(r.access) < maxAccess {
		return nil
	}
	for _, a := range r.access {
		if first == nil || a.expires.Before(first.expires) {
			first = a
		}
	}
	return first
}

func writeAccess(tx *ledger.Tx, a, old *accessToken) error {
	if old != nil {
		if _, err := tx.Exec(`DELETE FROM access_tokens WHERE hash = $1`, old.hash[:]); err != nil {
			return err
		}
	}
	_, err := tx.Exec(`INSERT INTO access_tokens (hash, refresh_hash, expires) VALUES ($1, $2, $3)
		ON CONFLICT (hash) DO UPDATE SET expires = excluded.expires`, a.hash[:], a.refresh.hash[:], ledger.Millis(a.expires))
	return err
}

// ForgetRefresh forgets a refresh token and the access tokens that came of it. An
// access token may be given too: one companion app signs out with that, which Home
// Assistant ignores (ha-protocol 5.6). What is not known, or a revoked device's, is
// left as it is.
func (i *Identity) ForgetRefresh(ctx context.Context, token string) error {
	h := hashOf(token)
	i.writing.Lock()
	defer i.writing.Unlock()
	r, ok := i.refresh[h]
	if a, isAccess := i.access[h]; !ok && isAccess {
		r, ok = a.refresh, true
	}
	if !ok || !r.device.revoked.IsZero() {
		return nil
	}
	return i.change(ctx, func(tx *ledger.Tx) error {
		_, err := tx.Exec(`DELETE FROM refresh_tokens WHERE hash = $1`, r.hash[:])
		return err
	}, func() { i.dropRefresh(r) })
}

// Bounds of the authorization codes that were seen and not exchanged yet.
const (
	codeFor  = 10 * time.Minute // as long as Home Assistant takes one
	maxCodes = 8                // a device; the oldest goes
)

// loginCodes are authorization codes on their way from Home Assistant's login page
// to its token endpoint. They live in memory alone.
type loginCodes struct {
	mu  sync.Mutex
	all map[hash]loginCode
}

type loginCode struct {
	device, clientID string
	learned          time.Time
}

// LearnCode notes the authorization code that Home Assistant gave a device.
func (i *Identity) LearnCode(device, code, clientID string) {
	if device == "" || code == "" {
		return
	}
	c := &i.codes
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = make(map[hash]loginCode)
	}
	n, oldest, oldestAt := 0, hash{}, time.Time{}
	for h, l := range c.all {
		if l.device != device {
			continue
		}
		if n++; n == 1 || l.learned.Before(oldestAt) {
			oldest, oldestAt = h, l.learned
		}
	}
	if n >= maxCodes {
		delete(c.all, oldest)
	}
	c.all[hashOf(code)] = loginCode{device, clientID, i.cfg.Now()}
}

// PeekCode says whose code it is, and leaves it to be taken.
func (i *Identity) PeekCode(code string) (device string, ok bool) {
	c := &i.codes
	c.mu.Lock()
	defer c.mu.Unlock()
	l, ok := c.all[hashOf(code)]
	if !ok || i.cfg.Now().Sub(l.learned) >= codeFor {
		return "", false
	}
	return l.device, true
}

// TakeCode returns whose authorization code this is, once and within ten minutes.
func (i *Identity) TakeCode(code string) (device, clientID string, ok bool) {
	h := hashOf(code)
	c := &i.codes
	c.mu.Lock()
	l, ok := c.all[h]
	delete(c.all, h)
	c.mu.Unlock()
	if !ok || i.cfg.Now().Sub(l.learned) >= codeFor {
		return "", "", false
	}
	return l.device, l.clientID, true
}

// forget drops the codes of a device.
func (c *loginCodes) forget(device string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for h, l := range c.all {
		if l.device == device {
			delete(c.all, h)
		}
	}
}

func (c *loginCodes) tidy(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for h, l := range c.all {
		if now.Sub(l.learned) >= codeFor {
			delete(c.all, h)
		}
	}
}
