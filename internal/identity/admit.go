package identity

import (
	"maps"
	"slices"
	"time"

	"gatehouse/internal/ledger"
)

// admission is a browser that is about to be let in: decided under writing, then
// written, then applied.
type admission struct {
	cookie  string // new; empty where the live session of the same person goes on
	session *session
	device  *device
	ousted  *session   // another person's live session in this browser, which ends
	forget  []*session // ended sessions that are too many
	dropped *device    // a device that is too many
	isNew   bool       // the device is
	now     time.Time
}

// admit decides how a browser is let in as a person: with the session it has, as
// the device it was, or as a new device. The caller holds writing.
func (i *Identity) admit(v Visit, p *person) (*admission, error) {
	a := &admission{now: i.cfg.Now()}
	had := i.cookies[hashOf(v.Cookie)]
	switch {
	case had != nil && had.device.person == p && i.live(had, a.now):
		a.session, a.device = had, had.device
		return a, nil
	case had != nil && had.device.person == p && had.device.revoked.IsZero():
		a.device = had.device
	case had != nil && i.live(had, a.now):
		a.ousted = had
	}
	if a.device == nil {
		var err error
		if a.dropped, err = i.makeRoom(p, a.now); err != nil {
			return nil, err
		}
		a.device, a.isNew = newDevice(newID(i.devices), p, kindOf(v.UserAgent), describe(v.UserAgent), a.now), true
	}
	i.giveSession(a, v)
	return a, nil
}

// giveSession gives an admission's device a new session, with a new cookie.
func (i *Identity) giveSession(a *admission, v Visit) {
	a.cookie = newCookie()
	a.session = &session{id: newID(i.sessions), hash: hashOf(a.cookie), device: a.device, created: a.now, written: ledger.Millis(a.now)}
	a.session.seen.Store(ledger.Millis(a.now))
	a.forget = oldestEnded(a.device)
	a.device.seen.Store(ledger.Millis(a.now))
	a.device.at(v.Door, v.Addr)
}

// makeRoom returns the device that must be forgotten before a person can have
// another: the one longest unseen that has no live session; nil if none needs to be.
func (i *Identity) makeRoom(p *person, now time.Time) (*device, error) {
	known := 0
	var oldest *device
	for _, d := range p.devices {
		if !d.revoked.IsZero() {
			continue
		}
		known++
		idle := !d.hasTokens() || len(d.keys) > 0 && len(d.liveKeys(now)) == 0
		for _, e := range d.sessions {
			idle = idle && !i.live(e, now)
		}
		if idle && (oldest == nil || d.seen.Load() < oldest.seen.Load()) {
			oldest = d
		}
	}
	switch {
	case known < maxDevices:
		return nil, nil
	case oldest == nil:
		return nil, ErrTooMany
	}
	return oldest, nil
}

// hasTokens reports whether a device lives by what Home Assistant gave it, whatever
// became of its sessions, by a key of its own, or by what the owner gave it while moving in.
func (d *device) hasTokens() bool {
	if d.source || len(d.keys) > 0 || d.kind != KindBrowser && len(d.refresh)+len(d.webhooks)+len(d.programs) > 0 {
		return true
	}
	for _, t := range d.refresh {
		if t.given {
			return true
		}
	}
	return false
}

// oldestEnded returns the sessions of a device that are too many beside a new one.
func oldestEnded(d *device) []*session {
	all := slices.SortedFunc(maps.Values(d.sessions), func(a, b *session) int { return a.created.Compare(b.created) })
	return all[:max(0, len(all)-maxEndedSessions+1)]
}

// write writes an admission to the ledger.
func (a *admission) write(tx *ledger.Tx) error {
	if a.cookie == "" {
		return nil
	}
	for _, e := range a.forget {
		if _, err := tx.Exec(`DELETE FROM sessions WHERE id = $1`, e.id); err != nil {
			return err
		}
	}
	if a.ousted != nil {
		if err := writeEnded(tx, a.ousted, a.now); err != nil {
			return err
		}
	}
	if err := a.writeDevice(tx); err != nil {
		return err
	}
	_, err := tx.Exec(`INSERT INTO sessions (id, hash, device_id, created, last_seen, ended) VALUES ($1, $2, $3, $4, $4, 0)`,
		a.session.id, a.session.hash[:], a.device.id, ledger.Millis(a.now))
	return err
}

// writeDevice writes a new device, and drops the one that is too many.
func (a *admission) writeDevice(tx *ledger.Tx) error {
	if a.dropped != nil {
		if _, err := tx.Exec(`DELETE FROM devices WHERE id = $1`, a.dropped.id); err != nil {
			return err
		}
	}
	if !a.isNew {
		return nil
	}
	d, at := a.device, a.device.where.Load()
	_, err := tx.Exec(`INSERT INTO devices (id, person_id, kind, name, created, last_seen, last_addr, last_door, revoked)
		VALUES ($1, $2, $3, $4, $5, $5, $6, $7, 0)`, d.id, d.person.id, d.kind, d.name, ledger.Millis(a.now), at.text(), string(at.door))
	return err
}

// apply makes it so in memory; fresh says whether the person has just confirmed, in a
// session that they had, that it is them. Signing in does not: what is loaded next, on
// Home Assistant's own origin, must not find a door open that nobody asked for.
func (i *Identity) apply(a *admission, fresh bool) {
	if a.cookie != "" {
		for _, e := range a.forget {
			i.dropSession(e)
		}
		if a.ousted != nil {
			a.ousted.ended = a.now
		}
		i.applyDevice(a)
		i.addSession(a.session)
	}
	if fresh {
		a.session.fresh.Store(ledger.Millis(a.now.Add(freshFor)))
	}
}

// applyDevice does in memory what writeDevice does in the ledger.
func (i *Identity) applyDevice(a *admission) {
	if a.dropped != nil {
		i.dropDevice(a.dropped)
	}
	if a.isNew {
		a.device.written = seen{ledger.Millis(a.now), *a.device.where.Load()}
		i.addDevice(a.device)
	}
}

// tellEnded tells the watchers what an admission ended.
func (i *Identity) tellEnded(a *admission) {
	if a.ousted != nil {
		i.watchers.tell(Ended{Device: a.ousted.device.id, Session: a.ousted.id})
	}
	if a.dropped != nil {
		i.watchers.tell(Ended{Device: a.dropped.id})
	}
}
