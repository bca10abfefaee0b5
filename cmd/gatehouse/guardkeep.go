package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/config"
	"gatehouse/internal/event"
	"gatehouse/internal/gateway"
	"gatehouse/internal/guard"
	"gatehouse/internal/ledger"
)

// How what the guard knows is kept.
const (
	keepEvery    = time.Second // a flood costs one transaction in this time, and a killed process loses no more
	recheckEvery = time.Minute
	keepTime     = 5 * time.Second // for the last write
)

// byConfiguration is why a prefix is allowed that stands in the configuration. What was
// restored of it is forgotten, so that it goes when it is taken out there.
const byConfiguration = "it stands in the configuration, under guard.allow"

// newGuard returns a guard as the configuration wants it, without what it allows. It has seen nothing.
func newGuard(c *config.Config, told guard.Config) *guard.Guard {
	told.Threshold, told.Window = c.Guard.Threshold, time.Duration(c.Guard.Window)
	told.Ban, told.MaxBan = time.Duration(c.Guard.Ban), time.Duration(c.Guard.MaxBan)
	return guard.New(told)
}

// recordName is what a record is about.
type recordName struct{ about, subject string }

// guardKeeper keeps in the ledger what the guard knows.
type guardKeeper struct {
	guard  *guard.Guard
	ledger *ledger.Ledger
	log    *slog.Logger

	writing sync.Mutex // one write at a time

	mu      sync.Mutex
	pending map[recordName]guard.Record // not written yet
	all     bool                        // and what is kept and not among them is to be forgotten
	wrong   error                       // why the last write failed; nil where it did not
	since   time.Time                   // since when nothing could be written
}

// keepGuard restores what was kept and takes up what the configuration allows. It starts nothing.
func keepGuard(ctx context.Context, g *guard.Guard, l *ledger.Ledger, c *config.Config, log *slog.Logger) (*guardKeeper, error) {
	k := &guardKeeper{guard: g, ledger: l, log: log, pending: map[recordName]guard.Record{}}
	records, unread, err := k.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read who is banned: %w", err)
	}
	if unread += g.Restore(records); unread > 0 {
		log.Warn("not all that the guard knew could be taken up again", "left out", unread)
	}
	for _, text := range c.Guard.Allow {
		p, err := config.ParsePrefix(text)
		if err == nil {
			err = g.Allow(p, byConfiguration)
		}
		if err != nil {
			return nil, fmt.Errorf("guard.allow: %s: %w", text, err)
		}
	}
	return k, nil
}

// run writes what changes until ctx ends, and then once more.
func (k *guardKeeper) run(ctx context.Context) error {
	write, recheck := time.NewTicker(keepEvery), time.NewTicker(recheckEvery)
	defer write.Stop()
	defer recheck.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTime)
			defer cancel()
			_ = k.write(last) // it is logged
			return nil
		case <-recheck.C:
			k.guard.Recheck()
		case <-write.C:
			_ = k.write(ctx) // likewise, and tried again
		}
	}
}

// write writes what has changed in one transaction. What cannot be written is kept for the
// next time, and said once.
func (k *guardKeeper) write(ctx context.Context) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	pending, all := k.gather()
	if len(pending) == 0 && !all {
		return nil
	}
	err := k.ledger.Update(ctx, func(tx *ledger.Tx) error {
		if all {
			if _, err := tx.Exec(`DELETE FROM guard`); err != nil {
				return err
			}
		}
		for name, r := range pending {
			if err := k.put(tx, name, r); err != nil {
				return err
			}
		}
		return nil
	})
	k.mu.Lock()
	before := k.wrong
	if k.wrong = err; err == nil {
		clear(k.pending)
		k.all = false
	} else if before == nil {
		k.since = time.Now()
	}
	k.mu.Unlock()
	switch {
	case err != nil && before == nil:
		k.log.Error("who is banned cannot be written down, and would be forgotten when the gateway ends", "error", err, "hint", asProblem(err).hint)
	case err == nil && before != nil:
		k.log.Info("who is banned is written down again")
	}
	return err
}

// gather adds what has changed to what could not be written before.
func (k *guardKeeper) gather() (pending map[recordName]guard.Record, all bool) {
	records, everything := k.guard.Changes()
	k.mu.Lock()
	defer k.mu.Unlock()
	if everything {
		clear(k.pending)
		k.all = true
	}
	for _, r := range records {
		k.pending[recordName{r.Type, r.Key}] = r
	}
	return k.pending, k.all // nobody else changes them while k.writing is held
}

// trouble says why nothing could be written the last time, and since when.
func (k *guardKeeper) trouble() (since time.Time, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.since, k.wrong
}

// accountRecord is the type of the records that name an account, as somebody typed it.
const accountRecord = "account"

// put writes one record. Of an account there is only what it is found by again, and the
// record under seal: people type passwords where names belong.
func (k *guardKeeper) put(tx *ledger.Tx, name recordName, r guard.Record) error {
	var sealed []byte
	if name.about == accountRecord {
		text, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("write down an account that is slowed: %w", err)
		}
		name.subject = hex.EncodeToString(k.ledger.Fingerprint("guard/account", []byte(r.Key)))
		sealed = k.ledger.Seal("guard/account/"+name.subject, text)
		r.Addr, r.Why = "", ""
	}
	if r.Gone {
		_, err := tx.Exec(`DELETE FROM guard WHERE about = $1 AND subject = $2`, name.about, name.subject)
		return err
	}
	_, err := tx.Exec(`INSERT INTO guard (about, subject, level, long_count, since, ends, last_failure, kind, banned_by, addr, why, sealed)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		ON CONFLICT (about, subject) DO UPDATE SET level = excluded.level, long_count = excluded.long_count, since = excluded.since, ends = excluded.ends,
		last_failure = excluded.last_failure, kind = excluded.kind, banned_by = excluded.banned_by, addr = excluded.addr, why = excluded.why, sealed = excluded.sealed`,
		name.about, name.subject, r.Level, r.Long, ledger.Millis(r.Since), ledger.Millis(r.Until), ledger.Millis(r.Last), string(r.Kind), string(r.By), r.Addr, r.Why, sealed)
	return err
}

// read reads what is kept; unread is how many records could not be opened.
func (k *guardKeeper) read(ctx context.Context) (records []guard.Record, unread int, err error) {
	err = k.ledger.View(ctx, func(tx *ledger.Tx) error {
		return tx.Query(func(scan func(...any) error) error {
			var r guard.Record
			var since, until, last int64
			var kind, by string
			var sealed []byte
			if err := scan(&r.Type, &r.Key, &r.Level, &r.Long, &since, &until, &last, &kind, &by, &r.Addr, &r.Why, &sealed); err != nil {
				return err
			}
			r.Since, r.Until, r.Last, r.Kind, r.By = ledger.Instant(since), ledger.Instant(until), ledger.Instant(last), guard.Kind(kind), guard.By(by)
			if r.Type == "allow" && r.Why == byConfiguration {
				return nil
			}
			if r.Type == accountRecord {
				text, err := k.ledger.Open("guard/account/"+r.Key, sealed)
				if err == nil {
					r = guard.Record{}
					err = json.Unmarshal(text, &r)
				}
				if err != nil {
					unread++ // it was sealed with another key: the levels of accounts begin anew
					return nil
				}
			}
			records = append(records, r)
			return nil
		}, `SELECT about, subject, level, long_count, since, ends, last_failure, kind, banned_by, addr, why, sealed FROM guard ORDER BY about, subject`)
	})
	return records, unread, err
}

// guardTold is what the server does with what its guard tells.
func (s *server) guardTold() guard.Config {
	return guard.Config{
		Shared: sharedBy(s.cfg, s.links),
		Banned: func(b guard.Ban) { s.emit(bannedEvent(b)) },
		Slowed: func(a guard.Slowing) {
			s.emit(event.Event{Kind: event.AccountSlowed, Detail: s.accountWord(a.Account) + " until " + stamp(a.Until)})
			if a.Sources > 1 {
				s.emit(event.Event{Kind: event.Spraying, Detail: fmt.Sprintf("%s, from %d addresses", s.accountWord(a.Account), a.Sources)})
			}
		},
		Wary: func(w guard.Wariness) {
			s.emit(event.Event{Kind: event.Wary, Detail: fmt.Sprintf("%d failures, from all over; until %s", w.Failures, stamp(w.Until))})
		},
		Sharing: s.sharing,
	}
}

// sharing tells that an address is, or is no longer, one behind which there are many.
func (s *server) sharing(x guard.Sharing) {
	for _, b := range x.Lifted {
		s.emit(event.Event{Kind: event.Unbanned, Addr: addrOf(b.Prefix), Detail: "many are behind it: " + x.Why})
	}
	if x.Over {
		s.emit(event.Event{Kind: event.BansOn, Source: x.Addr})
		return
	}
	s.emit(event.Event{Kind: event.BansOff, Source: x.Addr, Detail: x.Why})
}

// bannedEvent is a ban as the owner hears of it.
func bannedEvent(b guard.Ban) event.Event {
	e := event.Event{Kind: event.Banned, Addr: addrOf(b.Prefix), Detail: "until " + stamp(b.Until), Owner: b.By == guard.ByOwner}
	if b.Until.IsZero() {
		e.Detail = "until it is lifted"
	}
	if b.Why != "" {
		e.Detail += ": " + b.Why
	}
	return e
}

// addrOf is a prefix in words: an address alone where it is one.
func addrOf(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// accountWord is an account as it may be shown and written down: its person's name, or the
// first letters. Where no person has that name it may be anything, a password too.
func (h *house) accountWord(account string) string {
	if account == "" {
		return ""
	}
	if p, ok := h.identity.PersonByName(account); ok {
		return p.Name
	}
	if n := len(gateway.HAAccount); len(account) > n && strings.EqualFold(account[:n], gateway.HAAccount) {
		account = account[n:]
	}
	letters := []rune(account)
	return fmt.Sprintf("%s… (nobody here has this name)", string(letters[:min(2, len(letters))]))
}

// accountWord is the house's; before there is one, nothing is shown.
func (s *server) accountWord(account string) string {
	if s.house == nil {
		return "an account"
	}
	return s.house.accountWord(account)
}
