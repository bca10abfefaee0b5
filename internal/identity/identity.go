// Package identity knows people, their devices and sessions, what they prove
// themselves with, and what was learned of Home Assistant's tokens. It turns what
// a request carries into a policy.Who.
//
// What it knows is in memory, and everything that must survive is in the ledger
// before anybody is told of it: checked, written, applied, answered, in this order
// and one change at a time (Identity.writing). Recognise, AccessToken and the like
// read memory alone. So only one process may have an Identity over a ledger, the
// one that holds ledger.TryLock's lock.
//
// # Decisions
//
// Secrets. Cookies, tickets, invitations, recovery codes and tokens are random or
// Home Assistant's, and only their SHA-256 is kept: they are long enough (80 bits
// and more) that a slow hash would add nothing. Authenticator secrets must be kept
// and are sealed.
//
// Cookies and sessions. A session ends after SessionIdle without use, after
// SessionMax in any case, or when somebody says so; expiry is checked at use. Its
// cookie stays recognisable as ended, so that its browser is shown the way back
// and not taken for a stranger. A browser that signs in again keeps its device and
// gets a new cookie. A device that was revoked stays revoked, whatever cookie or
// token of it comes back; its person can enrol the same browser as a new device.
// Revoking also drops the passkeys that live in that device alone (made there, by
// its built-in authenticator, not synchronised).
//
// Freshness (policy.ProofFresh) comes from confirming, in a live session, by passkey or
// code, that it is you. It is for one thing, lasts five minutes at most and is not kept
// over a restart. Signing in does not make fresh: what Home Assistant's origin loads
// next would find the account open.
//
// Strangers. Nothing that a stranger does is written to the ledger. Passkey and
// authenticator ceremonies are not remembered at all: their state travels with
// the browser, sealed with a key of this process, and counts once, when it has
// been answered rightly. What strangers do make us remember, the questions to
// known devices, is bounded by address and in all, and none pushes out another's.
// An address outside of home leaves the last four places to home.
//
// Guessing. Every failure is reported to Config.Fail, with its kind. While Config.Slow
// says so, the six digits of an account are refused to devices that are not that
// person's; passkeys, recovery codes (80 bits) and known devices go on working, so
// nobody can be locked out. A known device is bounded for itself (misses). An unknown
// name, an unknown passkey and a source that is not listened to (Visit.Unheard) take
// the same path, to its end, as a known one: the same is computed, compared and looked
// up (decoy), which a test counts. How much of that is done is bounded (effort).
//
// Names of people are normalised (NFC, surrounding spaces removed) and unique
// without regard to case.
//
// Home Assistant's users. A person's user is pinned by id at the first login
// unless the owner named it; a user belongs to one person.
package identity

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"

	"gatehouse/internal/event"
	"gatehouse/internal/guard"
	"gatehouse/internal/ledger"
)

// Times and bounds.
const (
	freshFor         = 5 * time.Minute
	ceremonyFor      = 5 * time.Minute
	ownerInviteFor   = 15 * time.Minute
	inviteFor        = 24 * time.Hour
	maxPasskeys      = 32  // a person
	maxDevices       = 64  // a person, revoked ones not counted
	maxInvitations   = 16  // a person, open at once; the oldest goes
	maxEndedSessions = 8   // a device; the oldest are forgotten
	maxRefresh       = 32  // tokens a device; the oldest goes
	maxAccess        = 16  // tokens a refresh token; the first to expire goes
	maxPeople        = 256 // in all
)

// Config is what an Identity is made of.
type Config struct {
	Ledger *ledger.Ledger // must not be nil

	// RPID is the host name that passkeys belong to. Empty where there is none, and
	// then there are no passkeys.
	RPID string
	// Origins are the origins (https://host[:port]) on which passkeys are accepted. Each
	// must be of RPID or below it.
	Origins []string

	Now   func() time.Time          // the clock; nil is time.Now
	Event func(event.Event)         // is told what happens, and must not call back; nil tells nobody
	Fail  func(guard.Failure)       // is told of each failure of whoever is no known device, and must not call back; may be nil
	Slow  func(account string) bool // whether codes for an account are refused to unknown devices now; may be nil
	Log   *slog.Logger              // for what Run cannot return; nil is slog.Default

	SessionIdle time.Duration // a session ends after this long without use; 0 is 30 days
	SessionMax  time.Duration // and after this long in any case; 0 is 365 days
}

// Identity knows who is who. It is safe for use by several goroutines.
type Identity struct {
	cfg      Config
	webauthn *webauthn.WebAuthn // nil without RPID
	sealer   cipher.AEAD        // of ceremonies, with a key of this process
	decoy    decoy

	// writing is held over each change: check, ledger, memory. Its holder may read
	// state without mu, which it takes to change it.
	writing sync.Mutex
	mu      sync.RWMutex
	state

	effort   *effort
	misses   misses
	asks     asks
	codes    loginCodes
	spent    spentChallenges
	watchers watchers
}

// New makes an Identity of what the ledger holds. It starts nothing.
func New(ctx context.Context, c Config) (*Identity, error) {
	if c.Ledger == nil {
		return nil, errors.New("identity: no ledger")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.SessionIdle <= 0 {
		c.SessionIdle = 30 * 24 * time.Hour
	}
	if c.SessionMax <= 0 {
		c.SessionMax = 365 * 24 * time.Hour
	}
	i := &Identity{cfg: c, sealer: newSealer(), effort: newEffort(c.Now)}
	var err error
	if i.decoy, err = newDecoy(); err != nil {
		return nil, err
	}
	if i.webauthn, err = newWebAuthn(c.RPID, c.Origins); err != nil {
		return nil, err
	}
	if err := i.load(ctx); err != nil {
		return nil, fmt.Errorf("load people and devices: %w", err)
	}
	return i, nil
}

// newWebAuthn returns nil where there is no host name that passkeys could belong to.
func newWebAuthn(rpID string, origins []string) (*webauthn.WebAuthn, error) {
	if rpID == "" {
		return nil, nil
	}
	for _, o := range origins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.Scheme+"://"+u.Host != o {
			return nil, fmt.Errorf("identity: %q is not an origin (https://host[:port])", o)
		}
		if h := u.Hostname(); h != rpID && !isBelow(h, rpID) {
			return nil, fmt.Errorf("identity: passkeys for %s cannot be used on %s", rpID, o)
		}
	}
	w, err := webauthn.New(&webauthn.Config{RPID: rpID, RPDisplayName: "Gatehouse", RPOrigins: origins})
	if err != nil {
		return nil, fmt.Errorf("set up passkeys: %w", err)
	}
	return w, nil
}

func isBelow(host, parent string) bool {
	n := len(host) - len(parent)
	return n > 1 && host[n-1] == '.' && host[n:] == parent
}

const (
	tidyEvery  = 5 * time.Second
	flushEvery = time.Minute
)

// Run ends what runs out and writes down when devices were last seen, until ctx
// is done; then it writes that down once more and returns nil.
func (i *Identity) Run(ctx context.Context) error {
	if err := i.forgetUnclaimed(ctx); err != nil {
		return fmt.Errorf("forget unclaimed approvals: %w", err)
	}
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	flushed := i.cfg.Now()
	for {
		select {
		case <-ctx.Done():
			i.flush(context.WithoutCancel(ctx))
			return nil
		case <-tick.C:
		}
		i.tidy(ctx)
		if now := i.cfg.Now(); now.Sub(flushed) >= flushEvery {
			i.flush(ctx)
			flushed = now
		}
	}
}

// change writes to the ledger and then applies to memory. The caller holds writing.
func (i *Identity) change(ctx context.Context, write func(*ledger.Tx) error, apply func()) error {
	if err := i.cfg.Ledger.Update(ctx, write); err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	apply()
	return nil
}

// emit tells of an event. Where v came from is added if v is not nil.
func (i *Identity) emit(kind event.Kind, v *Visit, p *person, device, detail string) {
	if i.cfg.Event == nil {
		return
	}
	e := event.Event{Time: i.cfg.Now(), Kind: kind, Device: device, Detail: detail}
	if p != nil {
		e.Person = p.name
	}
	if v != nil {
		e.Door = string(v.Door)
		if v.Addr.IsValid() {
			e.Addr = v.Addr.String()
		}
	}
	i.cfg.Event(e)
}

// failed reports a failure. account is what was typed, or empty; p is who it
// names, if anybody: only then is the name told on, for people type passwords into
// the wrong field. A known device counts against nobody's address, and against no
// account but another person's: what it can guess is bounded by misses.
func (i *Identity) failed(v Visit, kind guard.Kind, account string, p *person, what string) {
	i.mu.RLock()
	known := i.ownSession(v)
	i.mu.RUnlock()
	f := guard.Failure{Addr: v.Addr, Kind: kind, Account: account, Door: string(v.Door), What: what}
	if known != nil {
		f.Addr = netip.Addr{}
	}
	if i.cfg.Fail != nil && (known == nil || account != "" && known.device.person != p) {
		i.cfg.Fail(f)
	}
	i.emit(event.SignInFailed, &v, p, "", what)
}

// FailedUnread reports a request to sign in that was refused before it was read, because
// nothing in it says that a page of ours sent it: no browser leaves that out.
func (i *Identity) FailedUnread(v Visit) {
	i.failed(v, guard.SignIn, "", nil, "not sent by a page")
}
