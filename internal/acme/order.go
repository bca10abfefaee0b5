package acme

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"gatehouse/internal/ledger"
)

const (
	// orderTime is how long one order may take, a text's way into the zone included.
	orderTime = 15 * time.Minute
	// slack is how far this machine's clock may be from the issuer's.
	slack = time.Hour
	// answerTime is how long an issuer may take for one answer.
	answerTime = 30 * time.Second
	maxAnswer  = 1 << 20
)

// order gets a certificate for a name from an issuer and keeps it. old is the one there
// is, nil for a new name: that is tried at the issuer's staging side first.
func (m *Manager) order(ctx context.Context, name string, issuer Issuer, old *certificate, t try, l *ledger.Lease) error {
	ctx, cancel := context.WithTimeout(ctx, orderTime)
	defer cancel()
	// Written before anybody is asked: where the ledger cannot be written, nobody is.
	if err := m.putTry(ctx, name, issuer.Directory, t); err != nil {
		return err
	}
	if old == nil && issuer.Staging != "" && t.staged.IsZero() {
		staging := issuer
		staging.Directory, staging.Staging = issuer.Staging, ""
		if _, err := m.ask(ctx, name, staging, nil); err != nil {
			return err
		}
		t.staged = m.cfg.Now()
		if err := m.putTry(ctx, name, issuer.Directory, t); err != nil {
			return err
		}
	}
	c, err := m.ask(ctx, name, issuer, old)
	if err != nil {
		return err
	}
	if err := m.save(ctx, c, l); err != nil {
		return err
	}
	m.show(c)
	m.settle(name, c)
	if m.cfg.Obtained != nil {
		m.cfg.Obtained(Got{Name: name, Issuer: issuer.Name, Until: c.pair.Leaf.NotAfter})
	}
	return nil
}

// ask makes one order at an issuer and returns its certificate. An account that the
// issuer does not take any more is made anew once.
func (m *Manager) ask(ctx context.Context, name string, issuer Issuer, old *certificate) (*certificate, error) {
	client, ear := m.client(issuer)
	defer ear.close()
	for first := true; ; first = false {
		account, made, err := m.signUp(ctx, client, issuer)
		if err == nil {
			err = ear.clock(m.cfg.Now())
		}
		var c *certificate
		if err == nil {
			c, err = m.buy(ctx, client, *account, name, issuer, old)
		}
		if err == nil {
			return c, nil
		}
		if clock := ear.clock(m.cfg.Now()); clock != nil {
			return nil, clock
		}
		if first && !made && account != nil && m.isRefused(ctx, client, *account, err) {
			m.cfg.Log.Warn("the account at "+issuer.Name+" is not taken any more; a new one is made", "error", err)
			if err := m.dropAccount(ctx, issuer.Directory); err != nil {
				return nil, err
			}
			continue
		}
		e := *explain(err)
		if e.After = ear.waits(m.cfg.Now()); e.After.IsZero() && isProblem(err, acme.ProblemTypeRateLimited) {
			e.After = m.cfg.Now().Add(time.Hour)
		}
		return nil, &e
	}
}

func isProblem(err error, kind string) bool {
	var p acme.Problem
	return errors.As(err, &p) && p.Type == kind
}

// isRefused reports whether it is the account that an issuer refuses.
func (m *Manager) isRefused(ctx context.Context, client *acme.Client, account acme.Account, err error) bool {
	if isProblem(err, acme.ProblemTypeAccountDoesNotExist) {
		return true
	}
	var p acme.Problem
	if !errors.As(err, &p) || p.Type != acme.ProblemTypeUnauthorized && p.Status != http.StatusForbidden {
		return false
	}
	now, err := client.GetAccount(ctx, account)
	return isProblem(err, acme.ProblemTypeAccountDoesNotExist) || isProblem(err, acme.ProblemTypeUnauthorized) ||
		err == nil && now.Status != acme.StatusValid
}

// signUp returns the account at an issuer, which it makes if there is none.
func (m *Manager) signUp(ctx context.Context, client *acme.Client, issuer Issuer) (account *acme.Account, made bool, err error) {
	if account, err = m.account(ctx, issuer.Directory); err != nil || account != nil {
		return account, false, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, false, err
	}
	wish := acme.Account{TermsOfServiceAgreed: true, PrivateKey: key}
	if m.cfg.Contact != "" {
		wish.Contact = []string{"mailto:" + m.cfg.Contact}
	}
	if issuer.Binding != nil {
		id, mac, err := issuer.Binding(ctx)
		if err != nil {
			return nil, false, err
		}
		if id != "" {
			err = wish.SetExternalAccountBinding(ctx, client, acme.EAB{KeyID: id, MACKey: strings.TrimRight(mac, "=")})
		}
		if err != nil {
			return nil, false, err
		}
	}
	got, err := client.NewAccount(ctx, wish)
	if err != nil {
		return nil, false, err
	}
	got.PrivateKey = key
	return &got, true, m.putAccount(ctx, issuer.Directory, got)
}

// buy goes through an order: its name proved, the certificate signed and fetched.
func (m *Manager) buy(ctx context.Context, client *acme.Client, account acme.Account, name string, issuer Issuer, old *certificate) (*certificate, error) {
	wish := acme.Order{Identifiers: []acme.Identifier{{Type: "dns", Value: name}}}
	if directory, err := client.GetDirectory(ctx); err != nil {
		return nil, err
	} else if old != nil && old.issuer == issuer.Directory && directory.RenewalInfo != "" {
		if wish.Replaces, err = acme.ARIUniqueIdentifier(old.pair.Leaf); err != nil {
			wish.Replaces = ""
		}
	}
	order, err := client.NewOrder(ctx, account, wish)
	if isProblem(err, acme.ProblemTypeAlreadyReplaced) || wish.Replaces != "" && isProblem(err, acme.ProblemTypeMalformed) {
		wish.Replaces = ""
		order, err = client.NewOrder(ctx, account, wish)
	}
	if err != nil {
		return nil, err
	}
	for _, url := range order.Authorizations {
		if err := m.prove(ctx, client, account, url); err != nil {
			return nil, err
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{name}}, key)
	if err != nil {
		return nil, err
	}
	if order, err = client.FinalizeOrder(ctx, account, order, csr); err != nil {
		return nil, err
	}
	chains, err := client.GetCertificateChain(ctx, account, order.Certificate)
	if err != nil {
		return nil, err
	}
	if len(chains) == 0 {
		return nil, errors.New("the issuer gave no certificate")
	}
	return m.accept(name, issuer, string(chains[0].ChainPEM), key)
}

// accept looks at what an issuer gave as a stranger would.
func (m *Manager) accept(name string, issuer Issuer, chain string, key crypto.Signer) (*certificate, error) {
	pair, err := pairOf(chain, key, name)
	if err != nil {
		return nil, fmt.Errorf("look at what the issuer gave: %w", err)
	}
	if now := m.cfg.Now(); now.Before(pair.Leaf.NotBefore.Add(-slack)) || now.After(pair.Leaf.NotAfter) {
		return nil, errClock(now, pair.Leaf.NotBefore)
	}
	c := &certificate{name: name, issuer: issuer.Directory, chain: chain, pair: pair}
	now := m.cfg.Now()
	// One that is due when it comes is not ordered again and again.
	c.renew = later(usual(pair.Leaf), now.Add(max(pair.Leaf.NotAfter.Sub(now)/4, leastLife)))
	c.ask = now.Add(askEvery)
	return c, nil
}

// prove answers the challenge of an authorization.
func (m *Manager) prove(ctx context.Context, client *acme.Client, account acme.Account, url string) error {
	authz, err := client.GetAuthorization(ctx, account, url)
	if err != nil {
		return err
	}
	if authz.Status == acme.StatusValid {
		return nil
	}
	kind := m.kind()
	for _, challenge := range authz.Challenges {
		if challenge.Type != kind {
			continue
		}
		clear, err := m.present(ctx, challenge)
		if clear != nil {
			defer clear()
		}
		if err != nil {
			return err
		}
		if _, err := client.InitiateChallenge(ctx, account, challenge); err != nil {
			return err
		}
		_, err = client.PollAuthorization(ctx, account, authz)
		return err
	}
	return &Error{What: "the issuer does not take proof by " + kind, Hint: "see certificates.challenge"}
}

// client returns a client of an issuer, and what listens to what it says beside.
func (m *Manager) client(issuer Issuer) (*acme.Client, *ear) {
	e := &ear{inner: &http.Transport{
		TLSClientConfig:       &tls.Config{RootCAs: issuer.Roots, MinVersion: tls.VersionTLS12, Time: m.cfg.Now},
		DialContext:           (&net.Dialer{Timeout: answerTime}).DialContext,
		ForceAttemptHTTP2:     true,
		ResponseHeaderTimeout: answerTime,
	}}
	return &acme.Client{
		Directory:    issuer.Directory,
		HTTPClient:   &http.Client{Transport: e, Timeout: 2 * answerTime},
		UserAgent:    "Gatehouse",
		PollInterval: 500 * time.Millisecond,
	}, e
}

// ear hears what an issuer says beside its answers: the time it has, and how long it
// wants not to be asked.
type ear struct {
	inner *http.Transport

	mu    sync.Mutex
	date  time.Time // of its last answer
	heard time.Time // by Go's monotonic clock
	after string    // Retry-After of the last refusal
}

func (e *ear) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := e.inner.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = http.MaxBytesReader(nil, answer.Body, maxAnswer)
	e.mu.Lock()
	defer e.mu.Unlock()
	if date, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		e.date, e.heard = date, time.Now()
	}
	if e.after = ""; answer.StatusCode >= 400 {
		e.after = answer.Header.Get("Retry-After")
	}
	return answer, nil
}

// clock is an error if this machine's clock and the issuer's are too far apart.
func (e *ear) clock(now time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.date.IsZero() {
		return nil
	}
	theirs := e.date.Add(time.Since(e.heard))
	if apart := now.Sub(theirs); apart > slack || apart < -slack {
		return errClock(now, theirs)
	}
	return nil
}

// waits is until when the issuer wants not to be asked; zero if it said nothing.
func (e *ear) waits(now time.Time) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	if seconds, err := strconv.ParseUint(e.after, 10, 31); err == nil {
		return now.Add(time.Duration(seconds) * time.Second)
	}
	if at, err := http.ParseTime(e.after); err == nil {
		return at
	}
	return time.Time{}
}

func (e *ear) close() { e.inner.CloseIdleConnections() }
