package identity

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"gatehouse/internal/event"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
)

// maxName bounds a name in bytes before anything is done with it.
const maxName = 512

// cleanName returns a person's name as it is kept, or ErrName.
func cleanName(name string) (string, error) {
	if !utf8.ValidString(name) || len(name) > maxName {
		return "", ErrName
	}
	name = strings.TrimSpace(norm.NFC.String(name))
	if n := utf8.RuneCountInString(name); n < 1 || n > 64 {
		return "", ErrName
	}
	for _, r := range name {
		// Neither control nor format characters (which turn text around), nor line ends.
		if !unicode.IsGraphic(r) {
			return "", ErrName
		}
	}
	return name, nil
}

// nameKey returns what a name is compared by.
func nameKey(name string) string {
	return strings.ToLower(strings.ToUpper(norm.NFKC.String(strings.TrimSpace(name))))
}

func (p *person) public() Person {
	return Person{ID: p.id, Name: p.name, Role: p.role, HAUserID: p.haID, HAUserName: p.haName, Created: p.created,
		Passkeys: len(p.passkeys), TOTP: p.totp != nil, RecoveryLeft: len(p.recovery)}
}

// People returns everybody, by name.
func (i *Identity) People() []Person {
	i.mu.RLock()
	defer i.mu.RUnlock()
	people := make([]Person, 0, len(i.names))
	for _, p := range i.names {
		people = append(people, p.public())
	}
	slices.SortFunc(people, func(a, b Person) int { return cmp.Compare(nameKey(a.Name), nameKey(b.Name)) })
	return people
}

// PersonByName finds a person; case does not matter.
func (i *Identity) PersonByName(name string) (Person, bool) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	p, ok := i.names[nameKey(name)]
	if !ok {
		return Person{}, false
	}
	return p.public(), true
}

// HasOwner reports whether there is an owner.
func (i *Identity) HasOwner() bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.owners() > 0
}

func (s *state) owners() (n int) {
	for _, p := range s.names {
		if p.role == policy.RoleOwner {
			n++
		}
	}
	return n
}

// AddPerson names a person. haUserID is the id of their user in Home Assistant, or
// empty, and then haUserName is its name, or empty: a name is matched without
// regard to case at the first login, which pins the id. A user that is somebody
// else's already is an *OtherHAUserError.
func (i *Identity) AddPerson(ctx context.Context, name string, role policy.Role, haUserID, haUserName string) (Person, error) {
	if _, ok := policy.ParseRole(role.String()); !ok {
		return Person{}, ErrNotFound
	}
	i.writing.Lock()
	defer i.writing.Unlock()
	name, err := i.freeName(name)
	if err != nil {
		return Person{}, err
	}
	if other := i.userOf(haUserID, haUserName, nil); other != nil {
		return Person{}, &OtherHAUserError{Got: cmp.Or(haUserName, haUserID)}
	}
	p := newPerson(randomText(personIDLen), name, role, i.cfg.Now())
	p.haID, p.haName = haUserID, strings.TrimSpace(haUserName)
	err = i.change(ctx, func(tx *ledger.Tx) error { return insertPerson(tx, p) }, func() { i.addPerson(p) })
	if err != nil {
		return Person{}, err
	}
	i.emit(event.PersonAdded, nil, p, "", p.role.String())
	return p.public(), nil
}

// freeName returns a name as it is kept, if nobody has it. The caller holds writing.
func (i *Identity) freeName(name string) (string, error) {
	name, err := cleanName(name)
	if err != nil {
		return "", err
	}
	if _, taken := i.names[nameKey(name)]; taken {
		return "", ErrNameTaken
	}
	if len(i.people) >= maxPeople {
		return "", ErrTooMany
	}
	return name, nil
}

// userOf returns the person, other than self, to whom a user of Home Assistant
// belongs; nil if nobody. A user known by name alone belongs to whoever the owner
// gave that name.
func (i *Identity) userOf(id, name string, self *person) *person {
	for _, p := range i.names {
		switch {
		case p == self:
		case id != "" && p.haID == id:
			return p
		case p.haName != "" && (p.haID == "" || id == "") && nameKey(p.haName) == nameKey(name):
			return p
		}
	}
	return nil
}

func insertPerson(tx *ledger.Tx, p *person) error {
	_, err := tx.Exec(`INSERT INTO people (id, name, name_key, role, ha_user_id, ha_user_name, totp_sealed, totp_step, created, removed)
		VALUES ($1, $2, $3, $4, $5, $6, NULL, 0, $7, 0)`,
		p.id, p.name, nameKey(p.name), p.role.String(), nullable(p.haID), p.haName, ledger.Millis(p.created))
	return err
}

// nullable keeps empty text as null, so that it can be unique.
func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// RemovePerson shuts a person out: their devices are revoked, their passkeys,
// codes and invitations are gone. ErrLastOwner for the only owner.
func (i *Identity) RemovePerson(ctx context.Context, id string) error {
	i.writing.Lock()
	p, ok := i.people[id]
	if !ok || !p.removed.IsZero() {
		i.writing.Unlock()
		return ErrNotFound
	}
	if p.role == policy.RoleOwner && i.owners() == 1 {
		i.writing.Unlock()
		return ErrLastOwner
	}
	now := i.cfg.Now()
	var revoked []*device
	for _, d := range p.devices {
		if d.revoked.IsZero() {
			revoked = append(revoked, d)
		}
	}
	err := i.change(ctx, func(tx *ledger.Tx) error {
		for _, statement := range []string{
			`DELETE FROM passkeys WHERE person_id = $1`,
			`DELETE FROM recovery_codes WHERE person_id = $1`,
			`DELETE FROM invitations WHERE person_id = $1`,
			`DELETE FROM handouts WHERE person_id = $1`,
		} {
			if _, err := tx.Exec(statement, id); err != nil {
				return err
			}
		}
		for _, d := range revoked {
			if err := writeRevoked(tx, d, now); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`UPDATE people SET name_key = NULL, ha_user_id = NULL, totp_sealed = NULL, removed = $1 WHERE id = $2`, ledger.Millis(now), id)
		return err
	}, func() {
		for _, k := range p.passkeys {
			i.dropPasskey(k)
		}
		for h, inv := range i.invitations {
			if inv.person == p {
				delete(i.invitations, h)
			}
		}
		for h, waits := range i.handouts {
			if waits.person == p {
				delete(i.handouts, h)
			}
		}
		for _, d := range revoked {
			d.revoke(now)
		}
		clear(p.recovery)
		p.totp, p.haID, p.removed = nil, "", now
		delete(i.names, nameKey(p.name))
	})
	i.writing.Unlock()
	if err != nil {
		return err
	}
	i.emit(event.PersonRemoved, nil, p, "", "")
	for _, d := range revoked {
		i.codes.forget(d.id)
		i.watchers.tell(Ended{Device: d.id})
	}
	return nil
}

// BindHAUser pins the Home Assistant user of a device's person at the first login.
// A login as another user than the person's own, or as one that belongs to
// somebody else, is an *OtherHAUserError.
func (i *Identity) BindHAUser(ctx context.Context, device string, id, name string) error {
	if id == "" {
		return ErrNotFound
	}
	i.writing.Lock()
	defer i.writing.Unlock()
	d, ok := i.devices[device]
	if !ok {
		return ErrNotFound
	}
	if !d.revoked.IsZero() {
		return ErrRevoked
	}
	p := d.person
	named := p.haName != "" && nameKey(p.haName) != nameKey(name)
	switch {
	case p.haID != "" && p.haID != id, p.haID == "" && named, i.userOf(id, name, p) != nil && p.haID == "":
		return &OtherHAUserError{Want: p.haName, Got: name}
	case p.haID == id && !named:
		return nil
	}
	first := p.haID == ""
	err := i.change(ctx, func(tx *ledger.Tx) error {
		_, err := tx.Exec(`UPDATE people SET ha_user_id = $1, ha_user_name = $2 WHERE id = $3`, id, name, p.id)
		return err
	}, func() { p.haID, p.haName = id, name })
	if err == nil && first {
		i.emit(event.HAUserBound, nil, p, d.id, name)
	}
	return err
}
