// Package acme gets the home's certificates from public authorities and keeps them good
// (ACME, RFC 8555), with the ledger as its store.
//
// It is a package of its own, and not part of pki, because pki is an authority and asks
// nobody, and this asks authorities: it opens connections, waits, is told no. Neither
// uses the other.
//
// # Decisions
//
// One round for a name is a straight line: is there a certificate, and is it due? → the
// lease → can this succeed at all? (name, addresses, CAA) → the issuers in order: account
// → order → proof → certificate → one transaction. What fails is told in plain words with
// what to do, and the next try is in the ledger: a gateway that is started again and
// again asks nobody more often than one that runs.
//
// certmagic, which does all of this, was measured and left out in favour of what it
// stands on (acmez): it stores a certificate, its key and its description as three
// things, where a power cut can leave one without the others; it keeps challenges,
// listeners and limits in variables of the package; it opens port 443 by itself; and
// where the system names no resolver it asks Google's and Cloudflare's. Here a certificate
// and its key are one row.
//
// Two gateways that share a ledger do not both ask for one name: who asks has a lease
// with an end, and a number that goes up with each holder (a fence). A certificate is
// kept only under the number of now, so that a gateway which slept through its lease
// writes over nothing. A certificate that another gateway got is found in the next round.
//
// A new name is tried at the issuer's staging side first, where it has one: what is wrong
// with a router or a zone costs nothing there.
//
// Whatever this machine's clock says, a certificate that is kept is shown: visitors have
// clocks of their own, and ours may be the wrong one. State says what is the matter.
package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"gatehouse/internal/ledger"
	"gatehouse/internal/resolver"
)

// The challenges, as the configuration calls them.
const (
	ByTLS  = "tls"  // TLS-ALPN-01 (RFC 8737): on the door https itself
	ByHTTP = "http" // HTTP-01 (RFC 8555 section 8.3): on port 80
	ByDNS  = "dns"  // DNS-01 (RFC 8555 section 8.4): in the home's zone
)

// Issuer is a public authority.
type Issuer struct {
	Name      string         // what the owner calls it
	Directory string         // its address, https://…
	Staging   string         // the address of its staging side; may be empty
	Roots     *x509.CertPool // what its own certificate is trusted by; nil: what the system trusts
	Private   bool           // the owner's own: it may issue for names that exist at home alone
	// Binding is the key that ties our account to one at the issuer (RFC 8555 section
	// 7.3.4), where it wants that. It is asked for when an account is made; an empty id means
	// that there is none. May be nil.
	Binding func(ctx context.Context) (id, key string, err error)
}

// Zone is where texts can be written into the home's zone.
type Zone interface {
	Present(ctx context.Context, name, text string) error
	CleanUp(ctx context.Context, name, text string) error
}

// Got is a certificate that was got.
type Got struct {
	Name   string
	Issuer string // its name
	Until  time.Time
}

// Config says what for, by whom and how. Zero times mean their defaults.
type Config struct {
	Ledger    *ledger.Ledger
	Names     []string // "ha.example.org", or "*.example.org" with ByDNS; a certificate each
	Issuers   []Issuer // the first that issues
	Challenge string
	Contact   string // an address for mail of the issuer's; may be empty
	Resolver  resolver.Resolver
	Log       *slog.Logger

	// Zone opens the home's zone, for ByDNS.
	Zone func(ctx context.Context) (Zone, error)
	// Addresses are those under which this house is reached, as far as this machine and its
	// router know: all of its IPv4 or IPv6 addresses, or none of that kind. It may take
	// seconds. May be nil.
	Addresses func(ctx context.Context) []netip.Addr
	// Obtained and Failed are told what came of a try. They must be quick. May be nil.
	Obtained func(Got)
	Failed   func(name string, err *Error)

	Holder string           // of leases: this gateway, and no other that shares the ledger
	Lease  time.Duration    // how long a lease lasts unless it is renewed; 2 minutes
	Spread time.Duration    // how long a written text may take to arrive; 3 minutes
	Now    func() time.Time // the clock; nil is time.Now
}

// State is how things stand with a name.
type State struct {
	Name    string
	Issuer  string    // whose certificate there is; empty if there is none
	Until   time.Time // when that ends
	Since   time.Time // from when it is good
	Renew   time.Time // when the next is got
	Why     string    // the last try failed; empty if it did not
	Hint    string    // what to do about it; may be empty
	NextTry time.Time // when it is tried again; zero where nothing is to be done
}

// Manager gets certificates and shows them. It is safe for use by several goroutines.
type Manager struct {
	cfg     Config
	leases  ledger.Leases
	answers answers

	mu     sync.Mutex
	shown  map[string]*tls.Certificate // by the name it was got for
	states map[string]State
	wake   chan struct{}
}

// New checks what it is given, reads what the ledger keeps, and asks nobody.
func New(ctx context.Context, c Config) (*Manager, error) {
	switch {
	case c.Ledger == nil || len(c.Names) == 0 || len(c.Issuers) == 0 || c.Holder == "":
		return nil, errors.New("acme: no ledger, name, issuer or holder")
	case !slices.Contains([]string{ByTLS, ByHTTP, ByDNS}, c.Challenge):
		return nil, fmt.Errorf("acme: there is no challenge %q", c.Challenge)
	case c.Challenge == ByDNS && c.Zone == nil:
		return nil, errors.New("acme: no zone to write to")
	}
	for _, name := range c.Names {
		if err := c.checkName(name); err != nil {
			return nil, err
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Lease <= 0 {
		c.Lease = 2 * time.Minute
	}
	if c.Spread <= 0 {
		c.Spread = 3 * time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	m := &Manager{cfg: c, leases: ledger.Leases{Ledger: c.Ledger, Holder: c.Holder, Lasts: c.Lease, Now: c.Now}, shown: map[string]*tls.Certificate{}, states: map[string]State{}, wake: make(chan struct{}, 1)}
	for _, name := range c.Names {
		m.states[name] = State{Name: name}
		if _, err := m.load(ctx, name); err != nil {
			return nil, err
		}
		if err := m.recall(ctx, name); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Run gets certificates and renews them, each in good time, until ctx ends. It returns nil.
func (m *Manager) Run(ctx context.Context) error {
	m.sweep(ctx)
	for ctx.Err() == nil {
		next := m.cfg.Now().Add(longest)
		for _, name := range m.cfg.Names {
			if at := m.round(ctx, name); at.Before(next) {
				next = at
			}
		}
		// The clock may jump, so no sleep is long.
		pause := min(max(next.Sub(m.cfg.Now()), shortest), longest)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-m.wake:
		}
		timer.Stop()
	}
	return nil
}

// How long Run sleeps.
const (
	shortest = 100 * time.Millisecond
	longest  = time.Hour
)

// Again forgets how long to wait after a failure, and tries now: the owner has changed
// something. What an issuer itself asked to wait for stays.
func (m *Manager) Again(ctx context.Context) error {
	if err := m.forgive(ctx); err != nil {
		return err
	}
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return nil
}

// round looks after one name once and returns when to look again.
func (m *Manager) round(ctx context.Context, name string) time.Time {
	c, err := m.load(ctx, name)
	if err == nil && c != nil {
		err = m.whenDue(ctx, c)
	}
	if err != nil {
		return m.failed(ctx, name, err, time.Time{})
	}
	if c != nil && m.cfg.Now().Before(c.renew) {
		m.settle(name, c)
		return earlier(c.renew, c.ask)
	}
	if next := m.state(name).NextTry; m.waits(next) {
		return next
	}
	l, free, err := m.leases.Take(ctx, leaseOf(name))
	if err != nil {
		return m.failed(ctx, name, err, time.Time{})
	}
	if l == nil { // another gateway is at it
		return free
	}
	ctx, done := m.leases.Hold(ctx, l)
	defer func() {
		if err := done(); err != nil {
			m.cfg.Log.Warn("a lease could not be given back; it ends by itself", "lease", l.Name, "error", err)
		}
	}()
	return m.obtain(ctx, name, l)
}

// leaseOf is what the lease of getting a certificate is called.
func leaseOf(name string) string { return "certificate " + name }

// obtain asks the issuers in order, under the lease.
func (m *Manager) obtain(ctx context.Context, name string, l *ledger.Lease) time.Time {
	old, err := m.load(ctx, name)
	if err != nil {
		return m.failed(ctx, name, err, time.Time{})
	}
	if old != nil && m.cfg.Now().Before(old.renew) { // another gateway was faster
		m.settle(name, old)
		return earlier(old.renew, old.ask)
	}
	if err := m.before(ctx, name); err != nil {
		return m.failed(ctx, name, err, m.backOff(ctx, name, "", err))
	}
	var errs []*Error
	next := time.Time{}
	for _, issuer := range m.cfg.Issuers {
		t, err := m.try(ctx, name, issuer.Directory)
		if err != nil {
			return m.failed(ctx, name, err, time.Time{})
		}
		if m.waits(t.next) {
			next = soonest(next, t.next)
			errs = append(errs, &Error{What: t.why, Hint: t.hint})
			continue
		}
		err = m.order(ctx, name, issuer, old, t, l)
		if err == nil {
			return m.cfg.Now()
		}
		if ctx.Err() != nil {
			return m.cfg.Now().Add(shortest) // told to end, or the lease is gone: nobody's failure
		}
		at := m.backOff(ctx, name, issuer.Directory, err)
		next = soonest(next, at)
		errs = append(errs, explain(err))
		m.cfg.Log.Warn("no certificate from "+issuer.Name, "name", name, "error", err)
	}
	return m.failed(ctx, name, joined(errs), next)
}

// joined makes one error of those of several issuers.
func joined(errs []*Error) *Error {
	var what []string
	for _, err := range errs {
		if !slices.Contains(what, err.What) {
			what = append(what, err.What)
		}
	}
	return &Error{What: strings.Join(what, "; "), Hint: errs[0].Hint}
}

func earlier(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func soonest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// failed takes down why there is no new certificate and when it is tried again.
func (m *Manager) failed(ctx context.Context, name string, err error, next time.Time) time.Time {
	if ctx.Err() != nil {
		return m.cfg.Now().Add(longest)
	}
	if next.IsZero() { // the ledger itself
		next = m.cfg.Now().Add(time.Minute)
	}
	e := explain(err)
	m.mu.Lock()
	s := m.states[name]
	news := s.Why != e.What
	s.Why, s.Hint, s.NextTry = e.What, e.Hint, next
	m.states[name] = s
	m.mu.Unlock()
	if news && m.cfg.Failed != nil {
		m.cfg.Failed(name, e)
	}
	return next
}

// settle takes down that nothing is to be done for a name.
func (m *Manager) settle(name string, c *certificate) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.states[name]
	s.Renew, s.Why, s.Hint, s.NextTry = c.renew, "", "", time.Time{}
	if now := m.cfg.Now(); now.Before(c.pair.Leaf.NotBefore.Add(-slack)) {
		s.Why = fmt.Sprintf("the certificate is good from %s, and this machine's clock says %s", day(c.pair.Leaf.NotBefore), day(now))
		s.Hint = hintClock
	}
	m.states[name] = s
}

func (m *Manager) state(name string) State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.states[name]
}

// State returns how things stand, a name each, in their order.
func (m *Manager) State() []State {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []State
	for _, name := range m.cfg.Names {
		all = append(all, m.states[name])
	}
	return all
}

// show has a certificate shown from now on.
func (m *Manager) show(c *certificate) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shown[c.name] = c.pair
	s := m.states[c.name]
	s.Issuer, s.Since, s.Until, s.Renew = m.issuerName(c.issuer), c.pair.Leaf.NotBefore, c.pair.Leaf.NotAfter, c.renew
	m.states[c.name] = s
}

// issuerName is what the owner calls the issuer at an address.
func (m *Manager) issuerName(directory string) string {
	for _, i := range m.cfg.Issuers {
		if i.Directory == directory {
			return i.Name
		}
	}
	return directory
}

// Certificate returns the certificate for a host name, nil while there is none.
func (m *Manager) Certificate(host string) *tls.Certificate {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.shown {
		if c.Leaf.VerifyHostname(host) == nil {
			return c
		}
	}
	return nil
}

// Why says why there is no certificate for a host name, and what to do; empty if there
// is one.
func (m *Manager) Why(host string) (why, hint string) {
	if m.Certificate(host) != nil {
		return "", ""
	}
	for _, s := range m.State() {
		if covers(s.Name, host) {
			if s.Why == "" {
				return "the first certificate for " + s.Name + " is being got", "this takes up to a few minutes"
			}
			return s.Why, s.Hint
		}
	}
	return "no certificate is got for " + host, ""
}

// GetCertificate is what a door gives its tls.Config.
func (m *Manager) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := m.Certificate(strings.ToLower(hello.ServerName)); c != nil {
		return c, nil
	}
	return nil, errors.New("acme: no certificate yet")
}

// covers reports whether a certificate for name is good for a host.
func covers(name, host string) bool {
	if above, ok := strings.CutPrefix(name, "*."); ok {
		_, rest, _ := strings.Cut(host, ".")
		return rest == above
	}
	return name == host
}
