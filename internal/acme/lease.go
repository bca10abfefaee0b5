package acme

import (
	"context"
	"errors"
	"time"

	"gatehouse/internal/ledger"
)

// lease is the right to do something alone, for a while.
type lease struct {
	name, holder string
	fence        int64 // higher than that of every holder before
}

// take takes the lease of a name. It is nil while somebody else has it; free is then
// when that one's ends. Whoever holds it takes it again: that is this gateway before it
// was killed, and its number is an old one from then on.
func (m *Manager) take(ctx context.Context, name string) (l *lease, free time.Time, err error) {
	now := m.cfg.Now()
	err = m.cfg.Ledger.Update(ctx, func(tx *ledger.Tx) error {
		var holder string
		var fence, expires int64
		err := tx.One([]any{&holder, &fence, &expires}, `SELECT holder, fence, expires FROM leases WHERE name = $1`, name)
		switch {
		case errors.Is(err, ledger.ErrNotFound):
		case err != nil:
			return err
		case holder != m.cfg.Holder && now.Before(ledger.Instant(expires)):
			// The other's clock may be ahead; nobody waits longer than a lease lasts.
			free = earlier(ledger.Instant(expires), now.Add(m.cfg.Lease))
			return nil
		}
		l = &lease{name: name, holder: m.cfg.Holder, fence: fence + 1}
		_, err = tx.Exec(`INSERT INTO leases (name, holder, fence, expires) VALUES ($1, $2, $3, $4)
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, fence = excluded.fence, expires = excluded.expires`,
			name, l.holder, l.fence, ledger.Millis(now.Add(m.cfg.Lease)))
		return err
	})
	if err != nil {
		return nil, free, err
	}
	return l, free, nil
}

// holds is an error if the lease is another's by now.
func (l *lease) holds(tx *ledger.Tx) error {
	var holder string
	var fence int64
	err := tx.One([]any{&holder, &fence}, `SELECT holder, fence FROM leases WHERE name = $1`, l.name)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && (holder != l.holder || fence != l.fence) {
		return errFenced
	}
	return err
}

// until sets when the lease ends.
func (m *Manager) until(ctx context.Context, l *lease, end time.Time) error {
	return m.cfg.Ledger.Update(ctx, func(tx *ledger.Tx) error {
		if err := l.holds(tx); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE leases SET expires = $1 WHERE name = $2`, ledger.Millis(end), l.name)
		return err
	})
}

// hold keeps a lease from ending until done is called, which gives it back. What it
// returns ends when the lease is lost.
func (m *Manager) hold(ctx context.Context, l *lease) (context.Context, func()) {
	held, lost := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(m.cfg.Lease / 4)
		defer tick.Stop()
		for {
			select {
			case <-held.Done():
				return
			case <-tick.C:
			}
			if err := m.until(held, l, m.cfg.Now().Add(m.cfg.Lease)); errors.Is(err, errFenced) {
				lost(err)
				return
			}
		}
	}()
	return held, func() {
		lost(nil)
		<-ended
		// Whoever is told to end gives back what it has.
		if err := m.until(context.WithoutCancel(ctx), l, m.cfg.Now()); err != nil && !errors.Is(err, errFenced) {
			m.cfg.Log.Warn("a lease could not be given back; it ends by itself", "lease", l.name, "error", err)
		}
	}
}
