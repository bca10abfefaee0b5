package hatest

import (
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// The groups that users are in.
const (
	groupAdmin = "system-admin"
	groupUsers = "system-users"
	groupRead  = "system-read-only"
)

// Life of what accounts give out (ha-protocol 2.1, 2.4).
const (
	accessLife  = 30 * time.Minute
	refreshLife = 90 * 24 * time.Hour // after the last use
	codeLife    = 10 * time.Minute
	loginLife   = 5 * time.Minute // of a login that waits for its second factor
	leeway      = 10 * time.Second
)

// user is an account. Its fields change under accounts.mu alone, id does not.
type user struct {
	id         string
	name       string
	username   string // "" means that no password lets this user in
	password   string
	owner      bool
	active     bool
	localOnly  bool
	groups     []string
	totp       string // base32, "" without a second factor
	totpUnused string // offered by setup_mfa, not confirmed yet
}

func (u *user) admin() bool {
	return u.active && (u.owner || slices.Contains(u.groups, groupAdmin))
}

// Kinds of refresh token.
const (
	kindNormal    = "normal"
	kindLongLived = "long_lived_access_token"
)

// refreshToken is one login, or one long-lived token. It changes under accounts.mu.
type refreshToken struct {
	id         string
	user       *user
	kind       string
	token      string // what the client shows at /auth/token
	key        []byte // signs its access tokens
	clientID   string
	clientName string
	clientIcon string
	created    time.Time
	used       time.Time // zero: never
	usedFrom   string
	life       time.Duration // of its access tokens
	expires    bool          // goes refreshLife after its last use
}

// code is what a finished login is exchanged for tokens with.
type code struct {
	user      *user
	clientID  string
	challenge string // S256, "" without PKCE
	made      time.Time
}

// accounts are the users, their logins and what they were given.
type accounts struct {
	h       *Home
	signKey []byte // of signed paths

	mu     sync.Mutex
	users  []*user
	tokens map[string]*refreshToken // by id
	codes  map[string]code
	flows  map[string]*flow
	setups map[string]*user // flows that set up a second factor
	ends   map[string]map[int]func()
	endID  int
	steps  []string // of onboarding, those that are done
	fresh  bool     // onboarding is served

	instanceID string // of the home, for ever
}

func (a *accounts) open(h *Home, users []User) {
	a.h = h
	a.signKey = []byte(hexID(64))
	a.instanceID = hexID(16)
	a.tokens = map[string]*refreshToken{}
	a.codes = map[string]code{}
	a.flows = map[string]*flow{}
	a.setups = map[string]*user{}
	a.ends = map[string]map[int]func(){}
	for _, u := range users {
		groups := []string{groupUsers}
		if u.Owner || u.Admin {
			groups = []string{groupAdmin}
		}
		id := u.ID
		if id == "" {
			id = hexID(16)
		}
		a.users = append(a.users, &user{
			id: id, name: u.Name, username: normal(u.Username), password: u.Password, owner: u.Owner,
			active: !u.Inactive, localOnly: u.LocalOnly, groups: groups, totp: u.TOTPSecret,
		})
	}
	a.fresh = len(users) == 0
	if !a.fresh {
		a.steps = slices.Clone(onboardingSteps)
	}
}

// hexID is n random bytes in hexadecimal.
func hexID(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// normal is the form in which user names are compared.
func normal(username string) string { return strings.ToLower(strings.TrimSpace(username)) }

// isAdmin says whether a user is an administrator at this moment.
func (a *accounts) isAdmin(u *user) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return u.admin()
}

// find returns the user with an id, or nil. The caller holds mu.
func (a *accounts) find(id string) *user {
	for _, u := range a.users {
		if u.id == id {
			return u
		}
	}
	return nil
}

// byName returns the user who logs in under a name, or nil. The caller holds mu.
func (a *accounts) byName(username string) *user {
	username = normal(username)
	for _, u := range a.users {
		if u.username != "" && u.username == username {
			return u
		}
	}
	return nil
}

// notAllowed says why a user may not come in from an address, "" when they may.
// The caller holds mu.
func notAllowed(u *user, from netip.Addr) string {
	switch {
	case !u.active:
		return "User is not active"
	case u.localOnly && !isLocal(from):
		return "User cannot authenticate remotely"
	}
	return ""
}

// newToken makes a refresh token. The caller holds mu.
func (a *accounts) newToken(u *user, kind, clientID string) *refreshToken {
	t := &refreshToken{
		id: hexID(16), user: u, kind: kind, token: hexID(64), key: []byte(hexID(64)), clientID: clientID,
		created: a.h.now(), life: accessLife, expires: kind == kindNormal,
	}
	a.tokens[t.id] = t
	return t
}

// access makes an access token. The caller holds mu.
func (a *accounts) access(t *refreshToken, from netip.Addr) string {
	now := a.h.now()
	t.used = now
	if from.IsValid() {
		t.usedFrom = from.String()
	}
	return sign(t.key, object{"iss": t.id, "iat": now.Unix(), "exp": now.Add(t.life).Unix()})
}

// validate returns the refresh token that an access token belongs to, or nil.
// The caller holds mu.
func (a *accounts) validate(token string) *refreshToken {
	claims, ok := claimsOf(token)
	if !ok {
		return nil
	}
	t := a.tokens[text(claims, "iss")]
	if t == nil || !verify(t.key, token) || !a.timely(claims) || !t.user.active {
		return nil
	}
	return t
}

// timely says whether the claims hold now.
func (a *accounts) timely(claims object) bool {
	now := a.h.now()
	exp, iat := whole(claims, "exp", 0), whole(claims, "iat", 1<<62)
	return !now.Add(-leeway).After(time.Unix(exp, 0)) && !time.Unix(iat, 0).After(now.Add(leeway))
}

// bearer returns whom an access token stands for, or nil.
func (a *accounts) bearer(token string, from netip.Addr) *caller {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.validate(token)
	if t == nil || notAllowed(t.user, from) != "" {
		return nil
	}
	return &caller{user: t.user, token: t.id}
}

// refresh finds a refresh token by what its client holds. The caller holds mu.
func (a *accounts) refresh(token string) *refreshToken {
	for _, t := range a.tokens {
		if t.token == token && !(t.expires && a.h.now().Sub(latest(t.created, t.used)) > refreshLife) {
			return t
		}
	}
	return nil
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// onEnd calls end once when a token is gone; remove forgets it.
func (a *accounts) onEnd(token string, end func()) (remove func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ends[token] == nil {
		a.ends[token] = map[int]func(){}
	}
	a.endID++
	id := a.endID
	a.ends[token][id] = end
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.ends[token], id)
		if len(a.ends[token]) == 0 {
			delete(a.ends, token)
		}
	}
}

// drop forgets a refresh token and returns what ends its live sockets, to be
// called without mu. The caller holds mu.
func (a *accounts) drop(id string) (ends []func()) {
	delete(a.tokens, id)
	for _, end := range a.ends[id] {
		ends = append(ends, end)
	}
	delete(a.ends, id)
	return ends
}

// dropAll forgets every refresh token of a user. The caller holds mu.
func (a *accounts) dropAll(u *user) (ends []func()) {
	for id, t := range a.tokens {
		if t.user == u {
			ends = append(ends, a.drop(id)...)
		}
	}
	return ends
}

func callAll(ends []func()) {
	for _, end := range ends {
		end()
	}
}

// newCode makes an authorization code. The caller holds mu.
func (a *accounts) newCode(c code) string {
	name := hexID(16)
	c.made = a.h.now()
	a.codes[name] = c
	return name
}

// take returns and spends a code; a wrong client does not spend it. The caller holds mu.
func (a *accounts) take(name, clientID string) (code, bool) {
	c, ok := a.codes[name]
	if !ok || c.clientID != clientID {
		return code{}, false
	}
	delete(a.codes, name)
	return c, a.h.now().Sub(c.made) < codeLife
}
