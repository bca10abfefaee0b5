package identity

import (
	"context"
	"crypto/subtle"
	"errors"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"gatehouse/internal/event"
	"gatehouse/internal/guard"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
)

// BeginSignIn begins a sign-in by passkey. Nobody is named: the authenticator knows
// who it is. ErrNoPasskeyHere where passkeys do not work.
func (i *Identity) BeginSignIn(ctx context.Context, v Visit) (Ceremony, error) {
	if !i.PasskeysAt(v) {
		return Ceremony{}, ErrNoPasskeyHere
	}
	leave, err := i.work(ctx, v)
	if err != nil {
		return Ceremony{}, err
	}
	defer leave()
	assertion, _, err := i.webauthn.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return Ceremony{}, err
	}
	return i.ceremony(signIn, ceremony{Challenge: assertion.Response.Challenge.String()}, assertion.Response)
}

// SignInPasskey lets a browser in by passkey. The cookie is empty where its live
// session is the same person's: then that session is fresh again. ErrRefused for
// everything that is wrong, ErrBusy where too much is to be checked at once.
func (i *Identity) SignInPasskey(ctx context.Context, v Visit, ceremonyID string, response []byte) (cookie string, err error) {
	leave, err := i.work(ctx, v)
	if err != nil {
		return "", err
	}
	defer leave()
	c, err := i.unseal(signIn, ceremonyID)
	if err != nil {
		i.failed(v, guard.SignIn, "", nil, "passkey answered too late")
		return "", ErrRefused
	}
	k, used, err := i.check(v, c, response)
	if err != nil || v.Unheard {
		i.failed(v, guard.SignIn, "", nil, "passkey was not accepted")
		return "", ErrRefused
	}
	if !i.spent.spend(c) {
		i.failed(v, guard.SignIn, "", k.person, "passkey answer was used twice")
		return "", ErrRefused
	}
	cloned := used.Authenticator.CloneWarning
	used.Authenticator.CloneWarning = false // this time's, not the passkey's
	now := i.cfg.Now()
	cookie, err = i.letIn(ctx, v, k.person, func(tx *ledger.Tx) error { return updatePasskey(tx, used, now) },
		func() { k.record, k.lastUsed = *used, now })
	if err == nil && cloned {
		// The person is let in: a counter that goes backwards is more often a faulty authenticator than a copied one.
		i.emit(event.PasskeyCloned, &v, k.person, "", "")
	}
	return cookie, err
}

// SignInCode lets a browser in by the code of an authenticator app, a recovery code or,
// where a link cannot be opened, as in a companion app, the code of an invitation. The
// cookie is as with SignInPasskey. ErrRefused for everything that is wrong, ErrBusy where
// too much is to be checked at once.
func (i *Identity) SignInCode(ctx context.Context, v Visit, name, code string) (cookie string, err error) {
	leave, err := i.work(ctx, v)
	if err != nil {
		return "", err
	}
	defer leave()
	if len(name) > maxName {
		name = "" // nobody's
	}
	i.mu.RLock()
	p, secret, after := i.names[nameKey(name)], i.decoy.secret, int64(0)
	has := p != nil && p.totp != nil
	if has {
		secret, after = p.totp, p.totpStep
	}
	known, device := p != nil && i.isDeviceOf(v, p), ""
	if e := i.ownSession(v); e != nil {
		device = e.device.id
	}
	i.mu.RUnlock()

	account := nameKey(name)
	slow := i.cfg.Slow != nil && i.cfg.Slow(account)
	if digits, ok := isTOTP(code); ok {
		now := i.cfg.Now()
		step, ok := matchTOTP(secret, digits, now, after)
		i.effort.codes.Add(1)
		if !ok || !has || slow && !known || v.Unheard || device != "" && i.misses.shut(device, now) {
			if device != "" {
				i.misses.miss(device, now)
			}
			return i.refuseCode(v, guard.SignIn, account, p)
		}
		return i.letIn(ctx, v, p, func(tx *ledger.Tx) error { return spendTOTP(tx, p.id, step) }, func() { p.totpStep = step })
	}
	if invite, ok := parseCode(code, inviteLen); ok {
		return i.signInInvited(ctx, v, account, p, invite)
	}
	typed, ok := parseCode(code, recoveryLen)
	h, found := i.recoveryCode(p, typed)
	switch {
	case !ok: // nothing that could be a code
		return i.refuseCode(v, guard.SignIn, account, p)
	case !found || v.Unheard:
		return i.refuseCode(v, guard.Recovery, account, p)
	}
	cookie, err = i.letIn(ctx, v, p, func(tx *ledger.Tx) error { return spendRecovery(tx, h) }, func() { delete(p.recovery, h) })
	if err == nil {
		i.emit(event.RecoveryUsed, &v, p, "", "")
	}
	return cookie, err
}

// signInInvited takes the invitation of a person by its code. An owner's is for its
// link alone: an owner has to have something to sign in with.
func (i *Identity) signInInvited(ctx context.Context, v Visit, account string, p *person, code string) (string, error) {
	i.mu.RLock()
	inv := i.invitations[hashOf(code)]
	theirs := inv != nil && p != nil && inv.person == p && p.role < policy.RoleOwner && !v.Unheard
	i.mu.RUnlock()
	if !theirs {
		return i.refuseCode(v, guard.Invitation, account, p)
	}
	e, err := i.EnrolBrowser(ctx, v, code)
	if errors.Is(err, ErrNoInvitation) {
		return "", ErrRefused // it ran out, which has been counted
	}
	return e.Cookie, err
}

// refuseCode is where every wrong code ends.
func (i *Identity) refuseCode(v Visit, kind guard.Kind, account string, p *person) (string, error) {
	i.failed(v, kind, account, p, "wrong name or code")
	return "", ErrRefused
}

// isDeviceOf reports whether a visit comes from a device of a person, with a live
// session or an ended one. The caller holds mu.
func (i *Identity) isDeviceOf(v Visit, p *person) bool {
	e := i.cookies[hashOf(v.Cookie)]
	return e != nil && e.device.person == p && e.device.revoked.IsZero()
}

// recoveryCode finds a code among a person's; as much is done for nobody's.
func (i *Identity) recoveryCode(p *person, typed string) (h hash, found bool) {
	id, codes := alphabet[:personIDLen], map[hash]struct{}(nil)
	i.mu.RLock()
	defer i.mu.RUnlock()
	if p != nil {
		id, codes = p.id, p.recovery
	}
	h = recoveryHash(id, typed)
	for kept := range codes {
		found = i.sameHash(kept, h) || found
	}
	for range recoveryCount - len(codes) { // as many as anybody may have
		_ = i.sameHash(i.decoy.recovery, h)
	}
	return h, found
}

func (i *Identity) sameHash(a, b hash) bool {
	i.effort.hashes.Add(1)
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// spendRecovery takes a recovery code; ErrRefused where somebody else took it first.
func spendRecovery(tx *ledger.Tx, h hash) error {
	n, err := tx.Exec(`DELETE FROM recovery_codes WHERE hash = $1`, h[:])
	if err == nil && n != 1 {
		err = ErrRefused
	}
	return err
}

// letIn spends a proof and lets its person's browser in, in one transaction.
func (i *Identity) letIn(ctx context.Context, v Visit, p *person, spend func(*ledger.Tx) error, spent func()) (cookie string, err error) {
	i.writing.Lock()
	var a *admission
	if !p.removed.IsZero() {
		err = ErrRefused
	} else if a, err = i.admit(v, p); err == nil {
		err = i.change(ctx, func(tx *ledger.Tx) error {
			if err := spend(tx); err != nil {
				return err
			}
			return a.write(tx)
		}, func() {
			spent()
			i.apply(a, a.cookie == "")
		})
	}
	i.writing.Unlock()
	if err != nil {
		if errors.Is(err, ErrRefused) {
			i.failed(v, guard.SignIn, nameKey(p.name), p, "code was used twice")
		}
		return "", err
	}
	kind := event.SignedIn
	if a.cookie == "" {
		kind = event.Confirmed
	} else if a.isNew {
		kind = event.DeviceEnrolled
	}
	i.emit(kind, &v, p, a.device.id, a.device.name)
	i.tellEnded(a)
	i.effort.giveBack(i.roomOf(v))
	return a.cookie, nil
}
