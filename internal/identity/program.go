package identity

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/ha"
	"gatehouse/internal/ledger"
)

// Program is what a program's token may be used for.
type Program struct {
	Routes []ha.Route
	From   []netip.Prefix // empty means from anywhere
}

// Allows reports whether a program may ask for something from an address.
func (p Program) Allows(route ha.Route, addr netip.Addr) bool {
	if !slices.Contains(p.Routes, route) {
		return false
	}
	return len(p.From) == 0 || slices.ContainsFunc(p.From, func(n netip.Prefix) bool { return n.Contains(addr.Unmap()) })
}

// ProgramToken is a long-lived token of Home Assistant's, just made.
type ProgramToken struct {
	Token    string // secret
	HAUserID string // of the user that was made for it
	Expires  time.Time
}

// program is a program's token.
type program struct {
	hash    hash
	device  *device
	haUser  string
	may     Program
	expires time.Time
	removed time.Time // when its user was taken out of Home Assistant
}

// AddProgram makes a program a device of a person, by name.
func (i *Identity) AddProgram(ctx context.Context, person, label string, t ProgramToken, may Program) (Device, error) {
	label, err := cleanName(shorten(label, maxDeviceName))
	if err != nil {
		return Device{}, err
	}
	if len(may.Routes) == 0 || t.Token == "" {
		return Device{}, errors.New("identity: a program without a token or without anything to use it for")
	}
	i.writing.Lock()
	p, ok := i.names[nameKey(person)]
	if !ok {
		i.writing.Unlock()
		return Device{}, ErrNotFound
	}
	now := i.cfg.Now()
	a := &admission{now: now, isNew: true}
	if a.dropped, err = i.makeRoom(p, now); err != nil {
		i.writing.Unlock()
		return Device{}, err
	}
	a.device = newDevice(newID(i.devices), p, KindProgram, label, now)
	k := &program{hash: hashOf(t.Token), device: a.device, haUser: t.HAUserID, may: may, expires: t.Expires}
	err = i.change(ctx, func(tx *ledger.Tx) error {
		if err := a.writeDevice(tx); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO programs (hash, device_id, ha_user_id, routes, sources, expires, removed) VALUES ($1, $2, $3, $4, $5, $6, 0)`,
			k.hash[:], a.device.id, k.haUser, joined(k.may.Routes), joined(k.may.From), ledger.Millis(k.expires))
		return err
	}, func() {
		i.applyDevice(a)
		i.addProgram(k)
	})
	i.writing.Unlock()
	if err != nil {
		return Device{}, err
	}
	i.emit(event.DeviceEnrolled, nil, p, a.device.id, label)
	i.tellEnded(a)
	i.mu.RLock()
	defer i.mu.RUnlock()
	return a.device.public(), nil
}

// programToken looks a program's token up. The caller holds mu.
func (i *Identity) programToken(h hash, now time.Time) (Token, bool) {
	k, ok := i.programs[h]
	if !ok || !now.Before(k.expires) {
		return Token{}, false
	}
	d := k.device
	return Token{Device: d.id, Kind: d.kind, Program: &k.may, Person: d.person.id, HAUserID: k.haUser, Revoked: !d.revoked.IsZero()}, true
}

// ExpectsSocket reports whether a program may open a socket from an address: from there
// alone, so that nobody else is made to wait for a token.
func (i *Identity) ExpectsSocket(addr netip.Addr) bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	for _, k := range i.programs {
		if k.device.revoked.IsZero() && len(k.may.From) > 0 && k.may.Allows(ha.RouteWebSocket, addr) {
			return true
		}
	}
	return false
}

// ProgramLeftover is what a revoked program still has in Home Assistant.
type ProgramLeftover struct {
	Device   string
	HAUserID string
	token    hash
}

// ProgramLeftovers returns the users of revoked programs that are still to be taken out
// of Home Assistant; their tokens go with them.
func (i *Identity) ProgramLeftovers() (all []ProgramLeftover) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	for _, k := range i.programs {
		if !k.device.revoked.IsZero() && k.removed.IsZero() {
			all = append(all, ProgramLeftover{k.device.id, k.haUser, k.hash})
		}
	}
	return all
}

// TookProgramOut notes that a program's user is no longer in Home Assistant.
func (i *Identity) TookProgramOut(ctx context.Context, l ProgramLeftover) error {
	i.writing.Lock()
	defer i.writing.Unlock()
	k, ok := i.programs[l.token]
	if !ok {
		return ErrNotFound
	}
	now := i.cfg.Now()
	return i.change(ctx, func(tx *ledger.Tx) error {
		_, err := tx.Exec(`UPDATE programs SET removed = $1 WHERE hash = $2`, ledger.Millis(now), k.hash[:])
		return err
	}, func() { k.removed = now })
}

func (i *Identity) loadPrograms(tx *ledger.Tx) error {
	return tx.Query(func(scan func(...any) error) error {
		var (
			h                               []byte
			device, haUser, routes, sources string
			expires, removed                int64
		)
		if err := scan(&h, &device, &haUser, &routes, &sources, &expires, &removed); err != nil {
			return err
		}
		if len(h) != len(hash{}) {
			return fmt.Errorf("the token of program %s cannot be read", device)
		}
		k := &program{hash: hash(h), device: i.devices[device], haUser: haUser, expires: ledger.Instant(expires), removed: ledger.Instant(removed)}
		for word := range strings.SplitSeq(routes, ",") {
			k.may.Routes = append(k.may.Routes, ha.Route(word))
		}
		for word := range strings.SplitSeq(sources, ",") {
			if word == "" {
				continue
			}
			n, err := netip.ParsePrefix(word)
			if err != nil {
				return fmt.Errorf("the networks of program %s cannot be read: %w", device, err)
			}
			k.may.From = append(k.may.From, n)
		}
		i.addProgram(k)
		return nil
	}, `SELECT hash, device_id, ha_user_id, routes, sources, expires, removed FROM programs`)
}

// joined writes a list with commas.
func joined[T any](all []T) string {
	words := make([]string, len(all))
	for k, one := range all {
		words[k] = fmt.Sprint(one)
	}
	return strings.Join(words, ",")
}
