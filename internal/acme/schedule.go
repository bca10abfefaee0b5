package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

const (
	askEvery  = 6 * time.Hour // how often an issuer is asked when to renew, unless it says
	askLeast  = time.Minute
	askMost   = 24 * time.Hour
	shortLife = 10 * 24 * time.Hour
	leastLife = time.Minute // until the next is got, whatever an issuer gave
)

// usual is when a certificate is renewed if its issuer has no opinion: after two thirds
// of its life; after half of it where that is short.
func usual(leaf *x509.Certificate) time.Time {
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	if life < shortLife {
		return leaf.NotBefore.Add(life / 2)
	}
	return leaf.NotBefore.Add(life / 3 * 2)
}

// whenDue asks a certificate's issuer when it wants it renewed (RFC 9773), if that has
// to be asked again, and keeps the answer. Who does not answer is asked later.
func (m *Manager) whenDue(ctx context.Context, c *certificate) error {
	now := m.cfg.Now()
	if c.ask.IsZero() || now.Before(c.ask) {
		return nil
	}
	c.ask = now.Add(askEvery)
	for _, issuer := range m.cfg.Issuers {
		if issuer.Directory == c.issuer {
			m.askRenewal(ctx, issuer, c, now)
		}
	}
	if !c.renew.After(now) {
		m.cfg.Log.Info("a certificate is due", "name", c.name, "until", day(c.pair.Leaf.NotAfter))
	}
	if err := m.schedule(ctx, c); err != nil {
		return err
	}
	m.show(c)
	return nil
}

func (m *Manager) askRenewal(ctx context.Context, issuer Issuer, c *certificate, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client, ear := m.client(issuer)
	defer ear.close()
	info, err := client.GetRenewalInfo(ctx, c.pair.Leaf)
	switch {
	case errors.Is(err, acme.ErrUnsupported):
		c.ask = now.Add(askMost)
		return
	case err != nil:
		m.cfg.Log.Debug("the issuer does not say when to renew", "issuer", issuer.Name, "error", err)
		return
	}
	if info.RetryAfter != nil {
		c.ask = now.Add(min(max(info.RetryAfter.Sub(now), askLeast), askMost))
	}
	c.renew = within(c.renew, info, c.pair.Leaf)
}

// within moves a time of renewal into the window that an issuer names, if it is not in
// it. However late that is, there is time left for a few failures. A window that ends before
// it begins is none (RFC 9773 section 4.2).
func within(renew time.Time, info acme.RenewalInfo, leaf *x509.Certificate) time.Time {
	if w := info.SuggestedWindow; w.End.After(w.Start) && (renew.Before(w.Start) || renew.After(w.End)) {
		renew = info.SelectedTime
	}
	if last := leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore) / 6); renew.After(last) {
		return last
	}
	return renew
}

// pauses are how long is waited after the first failure, the second and so on. Let's
// Encrypt counts five failed proofs an hour.
func pauses() []time.Duration {
	return []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour, 12 * time.Hour, 24 * time.Hour}
}

// longestWait is for how long an issuer can have us wait: the longest time over which one
// counts.
const longestWait = 7 * 24 * time.Hour

// waits reports whether it has to be waited until a time. One that is further away than
// anybody waits was noted by a clock that was ahead.
func (m *Manager) waits(until time.Time) bool {
	left := until.Sub(m.cfg.Now())
	return left > 0 && left <= longestWait
}

// backOff counts a failure and returns when the issuer may be asked again. issuer is
// empty for what failed before one was asked.
func (m *Manager) backOff(ctx context.Context, name, issuer string, failure error) time.Time {
	now := m.cfg.Now()
	t, err := m.try(ctx, name, issuer)
	if err != nil {
		return now.Add(time.Minute)
	}
	e := explain(failure)
	all := pauses()
	t.next = now.Add(all[min(t.failures, len(all)-1)])
	t.failures++
	t.why, t.hint = e.What, e.Hint
	if e.After.After(t.next) {
		// Asked to wait, not told how long by us: it stays when the owner says "again".
		t.next, t.failures = soonest(e.After, now.Add(longestWait)), 0
	}
	if err := m.putTry(ctx, name, issuer, t); err != nil {
		m.cfg.Log.Error("what came of a try cannot be kept", "name", name, "error", err)
	}
	return t.next
}
