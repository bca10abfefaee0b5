package identity

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
)

// load reads everything from the ledger, one consistent state of it.
func (i *Identity) load(ctx context.Context) error {
	i.state = newState()
	return i.cfg.Ledger.View(ctx, func(tx *ledger.Tx) error {
		for _, read := range []func(*ledger.Tx) error{
			i.loadPeople, i.loadRecovery, i.loadDevices, i.loadPasskeys, i.loadSessions, i.loadInvitations, i.loadTokens, i.loadWebhooks, i.loadPrograms, i.loadKeys, i.loadHandouts, i.loadResidents,
		} {
			if err := read(tx); err != nil {
				return err
			}
		}
		return nil
	})
}

func (i *Identity) loadPeople(tx *ledger.Tx) error {
	return tx.Query(func(scan func(...any) error) error {
		var (
			id, name, role, haName string
			haID                   *string
			sealed                 []byte
			step, created, removed int64
		)
		if err := scan(&id, &name, &role, &haID, &haName, &sealed, &step, &created, &removed); err != nil {
			return err
		}
		r, ok := policy.ParseRole(role)
		if !ok {
			return fmt.Errorf("person %s has the role %q", id, role)
		}
		p := newPerson(id, name, r, ledger.Instant(created))
		p.haName, p.totpStep, p.removed = haName, step, ledger.Instant(removed)
		if haID != nil {
			p.haID = *haID
		}
		if sealed != nil {
			secret, err := i.cfg.Ledger.Open(totpName(id), sealed)
			if err != nil {
				// The key file was lost. The house must come up all the same: passkeys and devices do not need it.
				i.cfg.Log.Error("an authenticator app counts for nothing until it is set up again", "person", name, "error", err)
			}
			p.totp = secret
		}
		i.addPerson(p)
		return nil
	}, `SELECT id, name, role, ha_user_id, ha_user_name, totp_sealed, totp_step, created, removed FROM people`)
}

func (i *Identity) loadRecovery(tx *ledger.Tx) error {
	return tx.Query(func(scan func(...any) error) error {
		var h []byte
		var person string
		if err := scan(&h, &person); err != nil {
			return err
		}
		p, ok := i.people[person]
		if !ok || len(h) != len(hash{}) {
			return fmt.Errorf("a recovery code of %q cannot be read", person)
		}
		p.recovery[hash(h)] = struct{}{}
		return nil
	}, `SELECT hash, person_id FROM recovery_codes`)
}

func (i *Identity) loadPasskeys(tx *ledger.Tx) error {
	return tx.Query(func(scan func(...any) error) error {
		var (
			person, rpID      string
			device            *string
			record            []byte
			created, lastUsed int64
		)
		if err := scan(&person, &device, &rpID, &record, &created, &lastUsed); err != nil {
			return err
		}
		k := &passkey{person: i.people[person], rpID: rpID, created: ledger.Instant(created), lastUsed: ledger.Instant(lastUsed)}
		if device != nil {
			k.device = *device
		}
		if err := json.Unmarshal(record, &k.record); err != nil {
			return fmt.Errorf("a passkey of %q cannot be read: %w", person, err)
		}
		i.addPasskey(k)
		return nil
	}, `SELECT person_id, device_id, rp_id, record, created, last_used FROM passkeys`)
}

func (i *Identity) loadDevices(tx *ledger.Tx) error {
	return tx.Query(func(scan func(...any) error) error {
		var (
			id, person, kind, name, addr, door string
			created, lastSeen, revoked         int64
		)
		if err := scan(&id, &person, &kind, &name, &created, &lastSeen, &addr, &door, &revoked); err != nil {
			return err
		}
		d := newDevice(id, i.people[person], kind, name, ledger.Instant(created))
		d.revoked = ledger.Instant(revoked)
		d.seen.Store(lastSeen)
		at := place{door: policy.Door(door)}
		at.addr, _ = netip.ParseAddr(addr) // empty where it is not known
		d.where.Store(&at)
		d.written = seen{lastSeen, at}
		i.addDevice(d)
		return nil
	}, `SELECT id, person_id, kind, name, created, last_seen, last_addr, last_door, revoked FROM devices`)
}

func (i *Identity) loadSessions(tx *ledger.Tx) error {
	return tx.Query(func(scan func(...any) error) error {
		var (
			id, device               string
			h                        []byte
			created, lastSeen, ended int64
		)
		if err := scan(&id, &h, &device, &created, &lastSeen, &ended); err != nil {
			return err
		}
		if len(h) != len(hash{}) {
			return fmt.Errorf("session %s cannot be read", id)
		}
		e := &session{id: id, hash: hash(h), device: i.devices[device], created: ledger.Instant(created), ended: ledger.Instant(ended), written: lastSeen}
		e.seen.Store(lastSeen)
		i.addSession(e)
		return nil
	}, `SELECT id, hash, device_id, created, last_seen, ended FROM sessions`)
}

func (i *Identity) loadInvitations(tx *ledger.Tx) error {
	return tx.Query(func(scan func(...any) error) error {
		var (
			h                []byte
			person           *string
			created, expires int64
		)
		if err := scan(&h, &person, &created, &expires); err != nil {
			return err
		}
		if len(h) != len(hash{}) {
			return fmt.Errorf("an invitation cannot be read")
		}
		inv := &invitation{hash: hash(h), created: ledger.Instant(created), expires: ledger.Instant(expires)}
		if person != nil {
			inv.person = i.people[*person]
		}
		i.invitations[inv.hash] = inv
		return nil
	}, `SELECT hash, person_id, created, expires FROM invitations`)
}

func (i *Identity) loadTokens(tx *ledger.Tx) error {
	err := tx.Query(func(scan func(...any) error) error {
		var (
			h                                []byte
			device, haUser, clientID, issuer string
			created, given                   int64
		)
		if err := scan(&h, &device, &haUser, &clientID, &issuer, &created, &given); err != nil {
			return err
		}
		if len(h) != len(hash{}) {
			return fmt.Errorf("a token of device %s cannot be read", device)
		}
		i.addRefresh(&refreshToken{hash: hash(h), device: i.devices[device], haUser: haUser, clientID: clientID,
			issuer: issuer, created: ledger.Instant(created), given: given != 0, access: make(map[hash]*accessToken)})
		return nil
	}, `SELECT hash, device_id, ha_user_id, client_id, issuer, created, given FROM refresh_tokens`)
	if err != nil {
		return err
	}
	return tx.Query(func(scan func(...any) error) error {
		var h, refresh []byte
		var expires int64
		if err := scan(&h, &refresh, &expires); err != nil {
			return err
		}
		if len(h) != len(hash{}) || len(refresh) != len(hash{}) {
			return fmt.Errorf("an access token cannot be read")
		}
		i.addAccess(&accessToken{hash: hash(h), refresh: i.refresh[hash(refresh)], expires: ledger.Instant(expires)})
		return nil
	}, `SELECT hash, refresh_hash, expires FROM access_tokens`)
}

func (i *Identity) loadWebhooks(tx *ledger.Tx) error {
	return tx.Query(func(scan func(...any) error) error {
		var (
			h                            []byte
			device, haUser, registration string
			created, removed             int64
			automation, outside          int64
			methods                      string
			perMinute                    int64
		)
		if err := scan(&h, &device, &haUser, &registration, &created, &removed, &automation, &outside, &methods, &perMinute); err != nil {
			return err
		}
		if len(h) != len(hash{}) {
			return fmt.Errorf("a webhook of device %s cannot be read", device)
		}
		w := &webhook{hash: hash(h), device: i.devices[device], haUser: haUser, registration: registration, created: ledger.Instant(created), removed: ledger.Instant(removed)}
		if automation != 0 {
			w.calls = &Calls{outside != 0, strings.FieldsFunc(methods, func(r rune) bool { return r == ',' }), int(perMinute)}
		}
		i.addWebhook(w)
		return nil
	}, `SELECT hash, device_id, ha_user_id, registration, created, removed, automation, outside, methods, per_minute FROM webhooks`)
}
