package identity

import (
	"context"

	"gatehouse/internal/event"
	"gatehouse/internal/ledger"
)

// tidy ends the sessions that ran out, so that what hangs on them is closed, and
// forgets what is of no use any more. None of it decides anything: expiry is
// checked at use.
func (i *Identity) tidy(ctx context.Context) {
	i.tidyAsks(ctx)
	i.codes.tidy(i.cfg.Now())
	i.spent.tidy(i.cfg.Now())
	i.misses.tidy(i.cfg.Now())
	i.tidyKeys()

	i.writing.Lock()
	now := i.cfg.Now()
	var over []*session
	for _, e := range i.sessions {
		if e.ended.IsZero() && !i.live(e, now) {
			over = append(over, e)
		}
	}
	var uninvited []*invitation
	for _, inv := range i.invitations {
		if !now.Before(inv.expires) {
			uninvited = append(uninvited, inv)
		}
	}
	var unfetched []*handout
	for _, h := range i.handouts {
		if !now.Before(h.expires) {
			unfetched = append(unfetched, h)
		}
	}
	var stale []*accessToken
	for _, t := range i.access {
		if !now.Before(t.expires) {
			stale = append(stale, t)
		}
	}
	if len(over)+len(uninvited)+len(unfetched)+len(stale) == 0 {
		i.writing.Unlock()
		return
	}
	err := i.change(ctx, func(tx *ledger.Tx) error {
		for _, e := range over {
			if err := writeEnded(tx, e, i.expires(e)); err != nil {
				return err
			}
		}
		for _, inv := range uninvited {
			if _, err := tx.Exec(`DELETE FROM invitations WHERE hash = $1`, inv.hash[:]); err != nil {
				return err
			}
		}
		for _, h := range unfetched {
			if _, err := tx.Exec(`DELETE FROM handouts WHERE hash = $1`, h.hash[:]); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`DELETE FROM access_tokens WHERE expires <= $1`, ledger.Millis(now))
		return err
	}, func() {
		for _, e := range over {
			e.ended = i.expires(e)
		}
		for _, inv := range uninvited {
			delete(i.invitations, inv.hash)
		}
		for _, h := range unfetched {
			delete(i.handouts, h.hash)
		}
		for _, t := range stale {
			i.dropAccess(t)
		}
	})
	i.writing.Unlock()
	if err != nil {
		i.cfg.Log.Error("could not write down what ran out", "error", err)
		return
	}
	for _, e := range over {
		i.emit(event.SessionExpired, nil, e.device.person, e.device.id, "")
		i.watchers.tell(Ended{Device: e.device.id, Session: e.id})
	}
}

// flush writes down when and where devices and sessions were last seen. Where it
// fails it is tried again the next time; a session may then end early after a restart.
func (i *Identity) flush(ctx context.Context) {
	i.writing.Lock()
	defer i.writing.Unlock()
	devices, sessions := make(map[*device]seen), make(map[*session]int64)
	for _, d := range i.devices {
		if s := (seen{d.seen.Load(), *d.where.Load()}); s != d.written {
			devices[d] = s
		}
	}
	for _, e := range i.sessions {
		if at := e.seen.Load(); at != e.written {
			sessions[e] = at
		}
	}
	if len(devices)+len(sessions) == 0 {
		return
	}
	err := i.cfg.Ledger.Update(ctx, func(tx *ledger.Tx) error {
		for d, s := range devices {
			_, err := tx.Exec(`UPDATE devices SET last_seen = $1, last_addr = $2, last_door = $3 WHERE id = $4`,
				s.at, s.place.text(), string(s.place.door), d.id)
			if err != nil {
				return err
			}
		}
		for e, at := range sessions {
			if _, err := tx.Exec(`UPDATE sessions SET last_seen = $1 WHERE id = $2`, at, e.id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		i.cfg.Log.Error("could not write down when devices were last seen", "error", err)
		return
	}
	for d, s := range devices {
		d.written = s
	}
	for e, at := range sessions {
		e.written = at
	}
}
