package acme

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"gatehouse/internal/ledger"
)

// certificate is a row of the ledger: a certificate, its chain and its key, together.
type certificate struct {
	name, issuer string // issuer: the address of its directory
	chain        string // PEM
	pair         *tls.Certificate
	fence        int64
	renew, ask   time.Time
}

// A try is what came of asking one issuer for one name.
type try struct {
	staged    time.Time
	failures  int
	next      time.Time
	why, hint string
}

// What keys are sealed for: one moved to another row opens for nobody.
func certificateSeal(name string) string { return "certificates/" + name }
func accountSeal(issuer string) string   { return "acme_accounts/" + issuer }

// load returns what the ledger keeps for a name and has it shown; nil if it keeps none.
func (m *Manager) load(ctx context.Context, name string) (*certificate, error) {
	c := &certificate{name: name}
	var sealed []byte
	var renew, ask int64
	err := m.cfg.Ledger.View(ctx, func(tx *ledger.Tx) error {
		return tx.One([]any{&c.issuer, &c.chain, &sealed, &c.fence, &renew, &ask},
			`SELECT issuer, chain, key_sealed, fence, renew, ask FROM certificates WHERE name = $1`, name)
	})
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c.renew, c.ask = ledger.Instant(renew), ledger.Instant(ask)
	der, err := m.cfg.Ledger.Open(certificateSeal(name), sealed)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(der)
	if err == nil {
		c.pair, err = pairOf(c.chain, key, name)
	}
	if err != nil {
		return nil, fmt.Errorf("read the certificate for %s: %w", name, err)
	}
	m.show(c)
	return c, nil
}

func parseKey(der []byte) (crypto.Signer, error) {
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	s, ok := k.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key cannot sign")
	}
	return s, nil
}

// pairOf makes a pair of a chain and the key of its first certificate, which must be for
// the name.
func pairOf(chain string, key crypto.Signer, name string) (*tls.Certificate, error) {
	pair := &tls.Certificate{PrivateKey: key}
	for rest := []byte(chain); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			pair.Certificate = append(pair.Certificate, block.Bytes)
		}
	}
	if len(pair.Certificate) == 0 {
		return nil, errors.New("there is no certificate in it")
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, err
	}
	type equaler interface{ Equal(crypto.PublicKey) bool }
	if public, ok := leaf.PublicKey.(equaler); !ok || !public.Equal(key.Public()) {
		return nil, errors.New("the certificate is for another key")
	}
	if len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != name {
		return nil, fmt.Errorf("the certificate is for %v", leaf.DNSNames)
	}
	pair.Leaf = leaf
	return pair, nil
}

// save keeps a certificate with its key, if the lease it was got under still holds, and
// forgets the failures before it.
func (m *Manager) save(ctx context.Context, c *certificate, l *ledger.Lease) error {
	der, err := x509.MarshalPKCS8PrivateKey(c.pair.PrivateKey)
	if err != nil {
		return err
	}
	c.fence = l.Fence
	return m.cfg.Ledger.Update(ctx, func(tx *ledger.Tx) error {
		if err := l.Holds(tx); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO certificates (name, issuer, chain, key_sealed, fence, renew, ask, created) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (name) DO UPDATE SET issuer = excluded.issuer, chain = excluded.chain, key_sealed = excluded.key_sealed,
			fence = excluded.fence, renew = excluded.renew, ask = excluded.ask, created = excluded.created`,
			c.name, c.issuer, c.chain, m.cfg.Ledger.Seal(certificateSeal(c.name), der), c.fence, ledger.Millis(c.renew), ledger.Millis(c.ask), ledger.Millis(m.cfg.Now()))
		if err != nil {
			return err
		}
		_, err = tx.Exec(`UPDATE certificate_tries SET failures = 0, next = 0, why = '', hint = '' WHERE name = $1`, c.name)
		return err
	})
}

// schedule keeps when a certificate is to be renewed, unless it is another by now.
func (m *Manager) schedule(ctx context.Context, c *certificate) error {
	return m.cfg.Ledger.Update(ctx, func(tx *ledger.Tx) error {
		_, err := tx.Exec(`UPDATE certificates SET renew = $1, ask = $2 WHERE name = $3 AND fence = $4`, ledger.Millis(c.renew), ledger.Millis(c.ask), c.name, c.fence)
		return err
	})
}

// try returns what came of asking an issuer for a name; the zero value if nobody has.
func (m *Manager) try(ctx context.Context, name, issuer string) (t try, err error) {
	var staged, next int64
	err = m.cfg.Ledger.View(ctx, func(tx *ledger.Tx) error {
		return tx.One([]any{&staged, &t.failures, &next, &t.why, &t.hint},
			`SELECT staged, failures, next, why, hint FROM certificate_tries WHERE name = $1 AND issuer = $2`, name, issuer)
	})
	if errors.Is(err, ledger.ErrNotFound) {
		err = nil
	}
	t.staged, t.next = ledger.Instant(staged), ledger.Instant(next)
	return t, err
}

func (m *Manager) putTry(ctx context.Context, name, issuer string, t try) error {
	return m.cfg.Ledger.Update(ctx, func(tx *ledger.Tx) error {
		_, err := tx.Exec(`INSERT INTO certificate_tries (name, issuer, staged, failures, next, why, hint) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (name, issuer) DO UPDATE SET staged = excluded.staged, failures = excluded.failures, next = excluded.next,
			why = excluded.why, hint = excluded.hint`,
			name, issuer, ledger.Millis(t.staged), t.failures, ledger.Millis(t.next), t.why, t.hint)
		return err
	})
}

// recall fills in a name's state from the ledger: why it failed before this start, and
// when it is tried again.
func (m *Manager) recall(ctx context.Context, name string) error {
	s := m.state(name)
	asked := []string{""}
	for _, i := range m.cfg.Issuers {
		asked = append(asked, i.Directory)
	}
	for n, issuer := range asked {
		t, err := m.try(ctx, name, issuer)
		if err != nil {
			return err
		}
		if t.why == "" || !m.waits(t.next) {
			if n > 0 { // this issuer can be asked now
				s.Why, s.Hint, s.NextTry = "", "", time.Time{}
				break
			}
			continue
		}
		if s.Why == "" {
			s.Why, s.Hint = t.why, t.hint
		}
		s.NextTry = soonest(s.NextTry, t.next)
		if n == 0 {
			break // nobody is asked before
		}
	}
	m.mu.Lock()
	m.states[name] = s
	m.mu.Unlock()
	return nil
}

// forgive forgets how long to wait, where it was we who chose it.
func (m *Manager) forgive(ctx context.Context) error {
	err := m.cfg.Ledger.Update(ctx, func(tx *ledger.Tx) error {
		for _, name := range m.cfg.Names {
			if _, err := tx.Exec(`UPDATE certificate_tries SET next = 0 WHERE name = $1 AND failures > 0`, name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, s := range m.states {
		s.NextTry = time.Time{}
		m.states[name] = s
	}
	return nil
}

// account returns the account at an issuer; nil if there is none yet.
func (m *Manager) account(ctx context.Context, issuer string) (*acme.Account, error) {
	var url string
	var sealed []byte
	err := m.cfg.Ledger.View(ctx, func(tx *ledger.Tx) error {
		return tx.One([]any{&url, &sealed}, `SELECT url, key_sealed FROM acme_accounts WHERE issuer = $1`, issuer)
	})
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	der, err := m.cfg.Ledger.Open(accountSeal(issuer), sealed)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(der)
	if err != nil {
		return nil, fmt.Errorf("read the account at %s: %w", issuer, err)
	}
	return &acme.Account{Status: acme.StatusValid, Location: url, PrivateKey: key}, nil
}

func (m *Manager) putAccount(ctx context.Context, issuer string, a acme.Account) error {
	der, err := x509.MarshalPKCS8PrivateKey(a.PrivateKey)
	if err != nil {
		return err
	}
	return m.cfg.Ledger.Update(ctx, func(tx *ledger.Tx) error {
		_, err := tx.Exec(`INSERT INTO acme_accounts (issuer, url, key_sealed, created) VALUES ($1, $2, $3, $4)
			ON CONFLICT (issuer) DO UPDATE SET url = excluded.url, key_sealed = excluded.key_sealed, created = excluded.created`,
			issuer, a.Location, m.cfg.Ledger.Seal(accountSeal(issuer), der), ledger.Millis(m.cfg.Now()))
		return err
	})
}

// dropAccount forgets an account that its issuer does not take any more.
func (m *Manager) dropAccount(ctx context.Context, issuer string) error {
	return m.cfg.Ledger.Update(ctx, func(tx *ledger.Tx) error {
		_, err := tx.Exec(`DELETE FROM acme_accounts WHERE issuer = $1`, issuer)
		return err
	})
}
