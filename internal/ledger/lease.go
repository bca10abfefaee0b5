package ledger

import (
	"context"
	"errors"
	"time"
)

// ErrFenced says that another has the lease by now.
var ErrFenced = errors.New("another gateway has the lease")

// Leases are what several gateways that share a ledger do one at a time.
type Leases struct {
	Ledger *Ledger
	Holder string        // this gateway, and no other that shares the ledger
	Lasts  time.Duration // unless it is renewed
	Now    func() time.Time
}

// A Lease is the right to do something alone, for a while.
type Lease struct {
	Name, Holder string
	Fence        int64 // higher than that of every holder before
}

// Take takes the lease of a name. It is nil while somebody else has it; free is then
// when that one's ends. Whoever holds it takes it again: that is this gateway before it
// was killed, and its number is an old one from then on.
func (s Leases) Take(ctx context.Context, name string) (l *Lease, free time.Time, err error) {
	now := s.Now()
	err = s.Ledger.Update(ctx, func(tx *Tx) error {
		var holder string
		var fence, expires int64
		err := tx.One([]any{&holder, &fence, &expires}, `SELECT holder, fence, expires FROM leases WHERE name = $1`, name)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return err
		case holder != s.Holder && now.Before(Instant(expires)):
			// The other's clock may be ahead; nobody waits longer than a lease lasts.
			free = now.Add(s.Lasts)
			if end := Instant(expires); end.Before(free) {
				free = end
			}
			return nil
		}
		l = &Lease{Name: name, Holder: s.Holder, Fence: fence + 1}
		_, err = tx.Exec(`INSERT INTO leases (name, holder, fence, expires) VALUES ($1, $2, $3, $4)
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, fence = excluded.fence, expires = excluded.expires`,
			name, l.Holder, l.Fence, Millis(now.Add(s.Lasts)))
		return err
	})
	if err != nil {
		return nil, free, err
	}
	return l, free, nil
}

// Holds is an error if the lease is another's by now.
func (l *Lease) Holds(tx *Tx) error {
	var holder string
	var fence int64
	err := tx.One([]any{&holder, &fence}, `SELECT holder, fence FROM leases WHERE name = $1`, l.Name)
	if errors.Is(err, ErrNotFound) || err == nil && (holder != l.Holder || fence != l.Fence) {
		return ErrFenced
	}
	return err
}

// Until sets when a lease ends; now is giving it back.
func (s Leases) Until(ctx context.Context, l *Lease, end time.Time) error {
	return s.Ledger.Update(ctx, func(tx *Tx) error {
		if err := l.Holds(tx); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE leases SET expires = $1 WHERE name = $2`, Millis(end), l.Name)
		return err
	})
}

// Hold keeps a lease from ending until done is called, which gives it back; an error of
// done says that it could not, and that it ends by itself. What Hold returns ends when the
// lease is lost.
func (s Leases) Hold(ctx context.Context, l *Lease) (held context.Context, done func() error) {
	held, lost := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(s.Lasts / 4)
		defer tick.Stop()
		for {
			select {
			case <-held.Done():
				return
			case <-tick.C:
			}
			if err := s.Until(held, l, s.Now().Add(s.Lasts)); errors.Is(err, ErrFenced) {
				lost(err)
				return
			}
		}
	}()
	return held, func() error {
		lost(nil)
		<-ended
		// Whoever is told to end gives back what it has.
		if err := s.Until(context.WithoutCancel(ctx), l, s.Now()); !errors.Is(err, ErrFenced) {
			return err
		}
		return nil
	}
}
