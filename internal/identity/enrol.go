package identity

import (
	"bytes"
	"context"

	"github.com/go-webauthn/webauthn/webauthn"

	"gatehouse/internal/event"
	"gatehouse/internal/guard"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
)

// invitee returns the id and name of who an invitation is for; for the first owner
// a new id and the name that was typed.
func (i *Identity) invitee(inv *invitation, typed string) (id, name string, err error) {
	if inv.person != nil {
		return inv.person.id, inv.person.name, nil
	}
	i.writing.Lock()
	defer i.writing.Unlock()
	name, err = i.freeName(typed)
	return randomText(personIDLen), name, err
}

// BeginPasskey begins the making of a passkey by somebody who is invited. name
// counts for the first owner alone: ErrName or ErrNameTaken where it cannot be used.
func (i *Identity) BeginPasskey(ctx context.Context, v Visit, inviteCode, name string) (Ceremony, error) {
	inv, err := i.invited(v, inviteCode)
	if err != nil {
		return Ceremony{}, err
	}
	if !i.PasskeysAt(v) {
		return Ceremony{}, ErrNoPasskeyHere
	}
	id, name, err := i.invitee(inv, name)
	if err != nil {
		return Ceremony{}, err
	}
	// Passkeys that the person has are not excluded: a new one in the same place takes the
	// old one's place, which is better than an invitation that leads nowhere.
	return i.begin(enrolPasskey, user{id: id, name: name}, ceremony{Invite: inv.hash[:]})
}

// EnrolPasskey lets a browser in whose person is invited and has made a passkey.
// ErrRefused, which counts as a failure, for an answer that is not right.
func (i *Identity) EnrolPasskey(ctx context.Context, v Visit, inviteCode, name, ceremonyID string, response []byte) (Enrolment, error) {
	inv, c, err := i.resume(v, enrolPasskey, inviteCode, ceremonyID)
	if err != nil {
		return Enrolment{}, err
	}
	leave, err := i.work(ctx, v)
	if err != nil {
		return Enrolment{}, err
	}
	defer leave()
	made, err := i.finish(v, user{id: c.Person}, c, response)
	if err != nil {
		i.failed(v, guard.Invitation, "", inv.person, "passkey was not made here")
		return Enrolment{}, ErrRefused
	}
	return i.enrol(ctx, v, inv, name, proven{person: c.Person, passkey: made})
}

// BeginTOTP begins the set-up of an authenticator app by somebody who is invited.
func (i *Identity) BeginTOTP(ctx context.Context, v Visit, inviteCode, name string) (ceremonyID, url, secret string, err error) {
	inv, err := i.invited(v, inviteCode)
	if err != nil {
		return "", "", "", err
	}
	id, name, err := i.invitee(inv, name)
	if err != nil {
		return "", "", "", err
	}
	c := ceremony{Person: id, Invite: inv.hash[:], Secret: newTOTPSecret()}
	if ceremonyID, err = i.seal(enrolTOTP, c); err != nil {
		return "", "", "", err
	}
	url, secret = i.totpURL(name, c.Secret)
	return ceremonyID, url, secret, nil
}

// EnrolTOTP lets a browser in whose person is invited and has set up an
// authenticator app, in place of the one they had. ErrWrongCode where the code is
// wrong: the secret is theirs, so this is no failure, and they may try again.
func (i *Identity) EnrolTOTP(ctx context.Context, v Visit, inviteCode, name, ceremonyID, code string) (Enrolment, error) {
	inv, c, err := i.resume(v, enrolTOTP, inviteCode, ceremonyID)
	if err != nil {
		return Enrolment{}, err
	}
	code, _ = isTOTP(code)
	step, ok := matchTOTP(c.Secret, code, i.cfg.Now(), 0)
	if !ok {
		return Enrolment{}, ErrWrongCode
	}
	return i.enrol(ctx, v, inv, name, proven{person: c.Person, totp: c.Secret, step: step})
}

// EnrolBrowser lets a browser in by the invitation alone. ErrMembersOnly for an owner.
func (i *Identity) EnrolBrowser(ctx context.Context, v Visit, inviteCode string) (Enrolment, error) {
	inv, err := i.invited(v, inviteCode)
	if err != nil {
		return Enrolment{}, err
	}
	if inv.public().Role >= policy.RoleOwner {
		return Enrolment{}, ErrMembersOnly
	}
	return i.enrol(ctx, v, inv, "", proven{person: inv.person.id})
}

// resume returns the invitation and the ceremony that was begun with it.
func (i *Identity) resume(v Visit, kind, inviteCode, ceremonyID string) (*invitation, ceremony, error) {
	inv, err := i.invited(v, inviteCode)
	if err != nil {
		return nil, ceremony{}, err
	}
	c, err := i.unseal(kind, ceremonyID)
	if err == nil && !bytes.Equal(c.Invite, inv.hash[:]) {
		err = ErrCeremony
	}
	return inv, c, err
}

// proven is what somebody who is invited has shown.
type proven struct {
	person  string // id
	passkey *webauthn.Credential
	totp    []byte
	step    int64
}

// enrol consumes the invitation and makes its browser known, in one transaction.
func (i *Identity) enrol(ctx context.Context, v Visit, inv *invitation, name string, by proven) (Enrolment, error) {
	i.writing.Lock()
	enrolment, a, err := i.enrolLocked(ctx, v, inv, name, by)
	i.writing.Unlock()
	if err != nil {
		return Enrolment{}, err
	}
	i.emit(event.DeviceEnrolled, &v, a.device.person, a.device.id, a.device.name)
	if by.totp != nil {
		i.emit(event.TOTPChanged, &v, a.device.person, a.device.id, "")
	}
	if by.passkey != nil {
		i.emit(event.PasskeyAdded, &v, a.device.person, a.device.id, "")
	}
	i.tellEnded(a)
	i.effort.giveBack(i.roomOf(v))
	return enrolment, nil
}

func (i *Identity) enrolLocked(ctx context.Context, v Visit, inv *invitation, name string, by proven) (Enrolment, *admission, error) {
	now := i.cfg.Now()
	p, isNew := inv.person, inv.person == nil
	if isNew {
		name, err := i.freeName(name)
		if err != nil {
			return Enrolment{}, nil, err
		}
		p = newPerson(by.person, name, policy.RoleOwner, now)
	}
	a, err := i.admit(v, p)
	if err != nil {
		return Enrolment{}, nil, err
	}
	var k *passkey
	if by.passkey != nil {
		if k, err = i.newPasskey(p, a.device.id, by.passkey, now); err != nil {
			return Enrolment{}, nil, err
		}
	}
	e := Enrolment{Cookie: a.cookie}
	secret, recovery := by.totp, map[hash]struct{}(nil)
	if p.role == policy.RoleOwner && len(p.recovery) == 0 && p.totp == nil {
		// An owner always has codes besides, from the first enrolment on.
		e.Recovery, recovery = newRecovery(p.id)
		if secret == nil {
			secret = newTOTPSecret()
			e.TOTPURL, e.TOTPSecret = i.totpURL(p.name, secret)
		}
	}
	err = i.change(ctx, func(tx *ledger.Tx) error {
		if err := i.consume(tx, inv, now); err != nil {
			return err
		}
		if isNew {
			if err := insertPerson(tx, p); err != nil {
				return err
			}
		}
		if err := a.write(tx); err != nil {
			return err
		}
		if k != nil {
			if err := insertPasskey(tx, k); err != nil {
				return err
			}
		}
		if secret != nil {
			if err := i.writeTOTP(tx, p.id, secret, by.step); err != nil {
				return err
			}
		}
		if recovery == nil {
			return nil
		}
		return writeRecovery(tx, p.id, recovery)
	}, func() {
		delete(i.invitations, inv.hash)
		if isNew {
			i.addPerson(p)
		}
		i.apply(a, false)
		if k != nil {
			i.addPasskey(k)
		}
		if secret != nil {
			p.totp, p.totpStep = secret, by.step
		}
		if recovery != nil {
			p.recovery = recovery
		}
		e.Person = p.public()
	})
	return e, a, err
}
