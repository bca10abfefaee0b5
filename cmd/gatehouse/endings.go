package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gatehouse/internal/acme"
	"gatehouse/internal/event"
	"gatehouse/internal/identity"
	"gatehouse/internal/ledger"
)

// Every certificate ends. Somebody or something renews it in time; where nobody did, the
// owner is told 30, 7 and 1 days before, once each, over starts too.

// ending is a certificate's.
type ending struct {
	what         string
	kind         string // public, file, client or root
	since, until time.Time
	state        *acme.State // of one that we get ourselves
	why, hint    string      // something is wrong with it; empty where nothing is
}

// endings are those of all certificates that have one worth a warning.
func (s *server) endings() []ending {
	var all []ending
	if s.public != nil {
		for _, state := range s.public.State() {
			all = append(all, ending{what: state.Name, kind: "public", since: state.Since, until: state.Until, state: &state})
		}
	}
	if f := s.file; f != nil {
		e := ending{what: f.certificate, kind: "file"}
		if c := f.shown.Load(); c != nil {
			e.since, e.until = c.Leaf.NotBefore, c.Leaf.NotAfter
		}
		e.why, e.hint = f.trouble()
		all = append(all, e)
	}
	if s.clients != nil {
		all = append(all, s.clientEndings()...)
	}
	until := s.authority.Expires()
	return append(all, ending{what: "the local authority's root", kind: "root", since: until.AddDate(-10, 0, 0), until: until})
}

// clientEndings are those of the devices' certificates: of each device's last one. The one
// before counts for a while yet, and its end is nobody's trouble.
func (s *server) clientEndings() []ending {
	last := map[string]ending{}
	for _, k := range s.identity.Keys(identity.KindCertificate) {
		if e, ok := last[k.Device.ID]; !ok || k.Expires.After(e.until) {
			what := fmt.Sprintf("the client certificate of %s (%s)", clientName(k.Device.PersonName, k.Device.Name), k.Device.ID)
			last[k.Device.ID] = ending{what: what, kind: "client", since: k.Created, until: k.Expires}
		}
	}
	return slices.SortedFunc(maps.Values(last), func(a, b ending) int { return strings.Compare(a.what, b.what) })
}

// watchEndings looks every hour, until ctx ends.
func (s *server) watchEndings(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		for _, e := range s.endings() {
			if err := s.warn(ctx, e, time.Now()); err != nil && ctx.Err() == nil {
				s.parts.log.Error("whether a certificate ends soon could not be looked at", "certificate", e.what, "error", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// endingRow is one that is near.
type endingRow struct {
	Certificate string `json:"certificate"`
	Until       string `json:"until"`
	Within      int    `json:"within_days"` // 30, 7 or 1; 0 once it is over
	Why         string `json:"why,omitempty"`
}

// endingSoon are those that the owner is told of.
func (s *server) endingSoon(now time.Time) (rows []endingRow) {
	for _, e := range s.endings() {
		if days, near := nearness(e, now); near {
			row := endingRow{Certificate: e.what, Until: stamp(e.until), Within: days}
			if e.state != nil {
				row.Why = e.state.Why
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// sentence says when it ends, and why there is no other.
func (e endingRow) sentence() string {
	text := e.Certificate + " ends " + ago(e.Until)
	if e.Within == 0 {
		text = e.Certificate + " has ended"
	}
	if e.Why != "" {
		text += "; " + e.Why
	}
	return text
}

// examineEndings looks for certificates that end and were not renewed.
func (h *house) examineEndings(now time.Time) (all []diagnosis) {
	if h.server == nil {
		return nil
	}
	for _, e := range h.server.endingSoon(now) {
		all = append(all, diagnosis{ID: "certificate-ends", Title: "No certificate ends soon", Result: bad, Detail: e.sentence(), Hint: `"gatehouse certificates" shows all of them`})
	}
	return all
}

// measureEndings writes when certificates end, and of how many the owner is told.
func (s *server) measureEndings(x *exposition, now time.Time) {
	first := map[string]float64{}
	for _, e := range s.endings() {
		if at := float64(e.until.Unix()); !e.until.IsZero() && (first[e.kind] == 0 || at < first[e.kind]) {
			first[e.kind] = at
		}
	}
	by(x, "gatehouse_certificates_expiry_timestamp_seconds", gauge, "When the first certificate of a kind ends, in Unix time: of a public authority, of files, of devices, the local authority's root.", "kind", first)
	x.one("gatehouse_certificates_ending", gauge, "Certificates that end within 30 days, or have ended, and were not renewed.", float64(len(s.endingSoon(now))))
}

// warn tells of an ending that has come nearer than it was told of.
func (s *server) warn(ctx context.Context, e ending, now time.Time) error {
	days, near := nearness(e, now)
	if !near {
		return nil
	}
	told, err := tellOnce(ctx, s.parts.ledger, e, days)
	if err != nil || !told {
		return err
	}
	when := fmt.Sprintf("it ends %s", ago(stamp(e.until)))
	if days == 0 {
		when = "it has ended"
	}
	detail := e.what + ": " + when
	if e.state != nil && e.state.Why != "" {
		detail += "; " + e.state.Why
	}
	s.emit(event.Event{Kind: event.CertificateEnds, Detail: detail})
	return nil
}

// nearness is how near an end is: 30, 7 or 1 days, or 0 once it is over. One that lives
// for a short time is renewed after two thirds of it, and is told of a day after that at
// the earliest.
func nearness(e ending, now time.Time) (days int, near bool) {
	if e.until.IsZero() {
		return 0, false
	}
	if !now.Before(e.until) {
		return 0, true
	}
	most := e.until.Sub(e.since)/3 - 24*time.Hour
	for _, days := range []int{1, 7, 30} {
		lead := min(time.Duration(days)*24*time.Hour, max(most, 12*time.Hour))
		if !now.Before(e.until.Add(-lead)) {
			return days, true
		}
	}
	return 0, false
}

// tellOnce notes a warning and reports whether it is the first of its kind.
func tellOnce(ctx context.Context, l *ledger.Ledger, e ending, days int) (first bool, err error) {
	err = l.Update(ctx, func(tx *ledger.Tx) error {
		rows, err := tx.Exec(`INSERT INTO expiry_warnings (certificate, until, days) VALUES ($1, $2, $3)
			ON CONFLICT (certificate) DO UPDATE SET until = excluded.until, days = excluded.days
			WHERE expiry_warnings.until <> excluded.until OR expiry_warnings.days > excluded.days`, e.what, ledger.Millis(e.until), days)
		first = rows > 0
		return err
	})
	return first, err
}
