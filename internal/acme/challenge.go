package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"sync"
	"time"

	acmez "github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"gatehouse/internal/ledger"
	"gatehouse/internal/resolver"
)

// answers are those that an issuer may fetch now, while an order is pending.
type answers struct {
	mu     sync.Mutex
	proofs map[string]*tls.Certificate // TLS-ALPN-01, by host name
	texts  map[string]string           // HTTP-01, by host name and path
}

// present makes the answer to a challenge ready; clear takes it away again.
func (m *Manager) present(ctx context.Context, c acme.Challenge) (clear func(), err error) {
	host := strings.ToLower(c.Identifier.Value)
	a := &m.answers
	switch m.cfg.Challenge {
	case ByTLS:
		proof, err := acmez.TLSALPN01ChallengeCert(c)
		if err != nil {
			return nil, err
		}
		if proof.Leaf, err = x509.ParseCertificate(proof.Certificate[0]); err != nil {
			return nil, err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.proofs == nil {
			a.proofs = map[string]*tls.Certificate{}
		}
		a.proofs[host] = proof
		return func() { a.mu.Lock(); delete(a.proofs, host); a.mu.Unlock() }, nil
	case ByHTTP:
		key := host + c.HTTP01ResourcePath()
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.texts == nil {
			a.texts = map[string]string{}
		}
		a.texts[key] = c.KeyAuthorization
		return func() { a.mu.Lock(); delete(a.texts, key); a.mu.Unlock() }, nil
	}
	return m.write(ctx, c.DNS01TXTRecordName(), c.DNS01KeyAuthorization())
}

// Proof returns the certificate that proves a host name to an issuer which asks for it
// by TLS-ALPN-01; nil while no order for it is pending.
func (m *Manager) Proof(host string) *tls.Certificate {
	m.answers.mu.Lock()
	defer m.answers.mu.Unlock()
	return m.answers.proofs[host]
}

// text returns the answer to an HTTP-01 challenge, and whether any is pending at all.
func (m *Manager) text(host, path string) (text string, pending bool) {
	m.answers.mu.Lock()
	defer m.answers.mu.Unlock()
	return m.answers.texts[host+path], len(m.answers.texts) > 0
}

// write has a text written into the zone where a name leads, and waits until it has
// arrived. It is noted first, so that one which a power cut left behind is found again.
func (m *Manager) write(ctx context.Context, name, text string) (clear func(), err error) {
	zone, err := m.cfg.Zone(ctx)
	if err != nil {
		return nil, err
	}
	target, err := m.cfg.Resolver.Target(ctx, name)
	if err != nil {
		m.cfg.Log.Debug("where a name leads could not be asked; it is taken as it is", "name", name, "error", err)
		target = strings.TrimSuffix(name, ".")
	}
	if err := m.note(ctx, target, text); err != nil {
		return nil, err
	}
	clear = func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		m.erase(ctx, zone, target, text)
	}
	if err := zone.Present(ctx, target, text); err != nil {
		return clear, &Error{What: clean(err.Error()), Hint: "is the token for the provider still good, and may it change this zone?", Err: err}
	}
	return clear, m.arrived(ctx, target, text)
}

// arrived waits until the zone's name servers have a text. Where they cannot be asked,
// or it takes too long, the issuer is to judge.
func (m *Manager) arrived(ctx context.Context, name, text string) error {
	until := time.Now().Add(m.cfg.Spread)
	zone, err := m.cfg.Resolver.Zone(ctx, name)
	for err == nil && time.Now().Before(until) {
		var there bool
		if there, err = m.cfg.Resolver.HasTXT(ctx, zone, name, text); there {
			return nil
		}
		if err := pause(ctx, min(2*time.Second, m.cfg.Spread/10)); err != nil {
			return err
		}
	}
	if err != nil {
		m.cfg.Log.Debug("whether the text has arrived cannot be asked; it is waited for", "name", name, "error", err)
		if !errors.Is(err, resolver.ErrNoAnswer) {
			return pause(ctx, min(30*time.Second, m.cfg.Spread/2))
		}
		return pause(ctx, m.cfg.Spread/2)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (m *Manager) note(ctx context.Context, name, text string) error {
	return m.cfg.Ledger.Update(ctx, func(tx *ledger.Tx) error {
		_, err := tx.Exec(`INSERT INTO challenge_records (name, text, created) VALUES ($1, $2, $3) ON CONFLICT (name, text) DO NOTHING`, name, text, ledger.Millis(m.cfg.Now()))
		return err
	})
}

// erase takes a text out of the zone, and forgets it once it is out.
func (m *Manager) erase(ctx context.Context, zone Zone, name, text string) {
	err := zone.CleanUp(ctx, name, text)
	if err == nil {
		err = m.cfg.Ledger.Update(ctx, func(tx *ledger.Tx) error {
			_, err := tx.Exec(`DELETE FROM challenge_records WHERE name = $1 AND text = $2`, name, text)
			return err
		})
	}
	if err != nil {
		m.cfg.Log.Warn("a text of ours stays in the zone for now", "name", name, "error", err)
	}
}

// sweep takes what an earlier run left out of the zone. A row that is older than a week
// is given up.
func (m *Manager) sweep(ctx context.Context) {
	if m.cfg.Challenge != ByDNS {
		return
	}
	type row struct{ name, text string }
	var rows []row
	err := m.cfg.Ledger.Update(ctx, func(tx *ledger.Tx) error {
		if _, err := tx.Exec(`DELETE FROM challenge_records WHERE created < $1`, ledger.Millis(m.cfg.Now().AddDate(0, 0, -7))); err != nil {
			return err
		}
		// What a gateway beside this one has just written is its own.
		return tx.Query(func(scan func(...any) error) error {
			var r row
			err := scan(&r.name, &r.text)
			rows = append(rows, r)
			return err
		}, `SELECT name, text FROM challenge_records WHERE NOT EXISTS
			(SELECT 1 FROM leases WHERE leases.name LIKE 'certificate %' AND leases.holder <> $1 AND leases.expires > $2)`, m.cfg.Holder, ledger.Millis(m.cfg.Now()))
	})
	if err != nil || len(rows) == 0 {
		return
	}
	zone, err := m.cfg.Zone(ctx)
	if err != nil {
		m.cfg.Log.Warn("texts of an earlier run stay in the zone", "error", err)
		return
	}
	for _, r := range rows {
		m.erase(ctx, zone, r.name, r.text)
	}
}
