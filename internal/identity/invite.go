package identity

import (
	"context"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/guard"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
)

// InviteOwner makes the invitation of the first owner, in place of the one that was
// made before; ErrHasOwner once there is an owner.
func (i *Identity) InviteOwner(ctx context.Context) (Invitation, error) {
	i.writing.Lock()
	defer i.writing.Unlock()
	if i.owners() > 0 {
		return Invitation{}, ErrHasOwner
	}
	var old []*invitation
	for _, inv := range i.invitations {
		if inv.person == nil {
			old = append(old, inv)
		}
	}
	return i.invite(ctx, nil, ownerInviteFor, old)
}

// Invite invites a person, by name, to make a browser known.
func (i *Identity) Invite(ctx context.Context, name string) (Invitation, error) {
	i.writing.Lock()
	defer i.writing.Unlock()
	p, ok := i.names[nameKey(name)]
	if !ok {
		return Invitation{}, ErrNotFound
	}
	var open int
	var oldest *invitation
	for _, inv := range i.invitations {
		if inv.person != p {
			continue
		}
		open++
		if oldest == nil || inv.created.Before(oldest.created) {
			oldest = inv
		}
	}
	var old []*invitation
	if open >= maxInvitations {
		old = []*invitation{oldest}
	}
	return i.invite(ctx, p, inviteFor, old)
}

// invite makes an invitation in place of old ones. The caller holds writing.
func (i *Identity) invite(ctx context.Context, p *person, lasts time.Duration, old []*invitation) (Invitation, error) {
	now := i.cfg.Now()
	code := randomText(inviteLen)
	inv := &invitation{hash: hashOf(code), person: p, created: now, expires: now.Add(lasts)}
	var personID *string
	if p != nil {
		personID = &p.id
	}
	err := i.change(ctx, func(tx *ledger.Tx) error {
		for _, o := range old {
			if _, err := tx.Exec(`DELETE FROM invitations WHERE hash = $1`, o.hash[:]); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`INSERT INTO invitations (hash, person_id, created, expires) VALUES ($1, $2, $3, $4)`,
			inv.hash[:], personID, ledger.Millis(inv.created), ledger.Millis(inv.expires))
		return err
	}, func() {
		for _, o := range old {
			delete(i.invitations, o.hash)
		}
		i.invitations[inv.hash] = inv
	})
	if err != nil {
		return Invitation{}, err
	}
	i.emit(event.Invited, nil, p, "", "")
	made := inv.public()
	made.Code = grouped(code)
	return made, nil
}

func (inv *invitation) public() Invitation {
	if inv.person == nil {
		return Invitation{Role: policy.RoleOwner, Expires: inv.expires}
	}
	return Invitation{Person: inv.person.name, Role: inv.person.role, Expires: inv.expires}
}

// PeekInvitation says what an invitation is for, and leaves it as it is.
// ErrNoInvitation, which counts as a failure, if there is no such invitation now.
func (i *Identity) PeekInvitation(ctx context.Context, v Visit, code string) (Invitation, error) {
	inv, err := i.invited(v, code)
	if err != nil {
		return Invitation{}, err
	}
	return inv.public(), nil
}

// invited returns the invitation of a code as it was typed.
func (i *Identity) invited(v Visit, typed string) (*invitation, error) {
	code, _ := parseCode(typed, inviteLen)
	i.mu.RLock()
	inv, ok := i.invitations[hashOf(code)]
	i.mu.RUnlock()
	if !ok || !i.cfg.Now().Before(inv.expires) || v.Unheard {
		i.failed(v, guard.Invitation, "", nil, "no such invitation")
		return nil, ErrNoInvitation
	}
	return inv, nil
}

// consume takes an invitation in the transaction that lets its browser in.
func (i *Identity) consume(tx *ledger.Tx, inv *invitation, now time.Time) error {
	n, err := tx.Exec(`DELETE FROM invitations WHERE hash = $1 AND expires > $2`, inv.hash[:], ledger.Millis(now))
	if err == nil && n != 1 {
		err = ErrNoInvitation
	}
	if err != nil || inv.person != nil {
		return err
	}
	var owners int64
	if err := tx.One([]any{&owners}, `SELECT count(*) FROM people WHERE role = $1 AND removed = 0`, policy.RoleOwner.String()); err != nil {
		return err
	}
	if owners > 0 {
		return ErrNoInvitation
	}
	return nil
}
