package ddns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gatehouse/internal/ledger"
)

// A row is what the ledger keeps of a name.
type row struct {
	written   []netip.Addr // the last that the provider took
	writing   []netip.Addr // what it was last asked to take, while it is not known whether it did
	at        time.Time    // of that
	failures  int          // since the last success
	next      time.Time    // not before
	why, hint string
}

// known are the addresses that may be in the zone, as far as we know.
func (r row) known() []netip.Addr {
	all := slices.Concat(r.written, r.writing)
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// load returns the row; an empty one if there is none.
func (k *Keeper) load(ctx context.Context) (r row, err error) {
	var written, writing string
	var at, next int64
	err = k.cfg.Ledger.View(ctx, func(tx *ledger.Tx) error {
		return tx.One([]any{&written, &writing, &at, &r.failures, &next, &r.why, &r.hint},
			`SELECT written, writing, at, failures, next, why, hint FROM home_addresses WHERE name = $1`, k.cfg.Name)
	})
	if errors.Is(err, ledger.ErrNotFound) {
		return row{}, nil
	}
	if err != nil {
		return row{}, err
	}
	r.at, r.next = ledger.Instant(at), ledger.Instant(next)
	if r.written, err = parse(written); err == nil && writing != "" {
		if r.writing, err = parse(strings.TrimSuffix(writing, "-")); r.writing == nil {
			r.writing = []netip.Addr{}
		}
	}
	return r, err
}

func parse(text string) (all []netip.Addr, err error) {
	for _, word := range strings.Fields(text) {
		a, err := netip.ParseAddr(word)
		if err != nil {
			return nil, fmt.Errorf("read what was written to the zone: %w", err)
		}
		all = append(all, a)
	}
	return all, nil
}

func join(all []netip.Addr) string {
	text := make([]string, len(all))
	for i, a := range all {
		text[i] = a.String()
	}
	return strings.Join(text, " ")
}

// note keeps the row, if the lease still holds.
func (k *Keeper) note(ctx context.Context, l *ledger.Lease, r row) error {
	writing := ""
	if r.writing != nil {
		if writing = join(r.writing); writing == "" {
			writing = "-" // no address is something to write, too
		}
	}
	return k.cfg.Ledger.Update(ctx, func(tx *ledger.Tx) error {
		if err := l.Holds(tx); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO home_addresses (name, written, writing, at, failures, next, why, hint) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (name) DO UPDATE SET written = excluded.written, writing = excluded.writing, at = excluded.at, failures = excluded.failures,
			next = excluded.next, why = excluded.why, hint = excluded.hint`,
			k.cfg.Name, join(r.written), writing, ledger.Millis(r.at), r.failures, ledger.Millis(r.next), r.why, r.hint)
		return err
	})
}

// settle notes that the zone says what it should.
func (k *Keeper) settle(ctx context.Context, l *ledger.Lease, want []netip.Addr, r row) error {
	return k.note(ctx, l, row{written: want, at: r.at})
}

// forgive forgets how long to wait.
func (k *Keeper) forgive(ctx context.Context) error {
	return k.cfg.Ledger.Update(ctx, func(tx *ledger.Tx) error {
		_, err := tx.Exec(`UPDATE home_addresses SET next = 0 WHERE name = $1`, k.cfg.Name)
		return err
	})
}

func (k *Keeper) leaseName() string { return "addresses " + k.cfg.Name }

// hold takes the lease, or keeps it; nil while another gateway has it, until free.
func (k *Keeper) hold(ctx context.Context) (l *ledger.Lease, free time.Time, err error) {
	if k.lease != nil && time.Since(k.leased) < leaseTime/2 {
		if err := k.cfg.Ledger.View(ctx, k.lease.Holds); err == nil || !errors.Is(err, ledger.ErrFenced) {
			return k.lease, free, err
		}
	}
	k.lease, free, err = k.leases.Take(ctx, k.leaseName())
	k.leased = time.Now()
	return k.lease, free, err
}

// giveBack lets another gateway have the lease.
func (k *Keeper) giveBack(ctx context.Context) {
	if k.lease == nil {
		return
	}
	if err := k.leases.Until(context.WithoutCancel(ctx), k.lease, k.cfg.Now()); err != nil && !errors.Is(err, ledger.ErrFenced) {
		k.cfg.Log.Warn("a lease could not be given back; it ends by itself", "lease", k.lease.Name, "error", err)
	}
}
