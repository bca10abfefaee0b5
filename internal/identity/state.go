package identity

import (
	"crypto/sha256"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"

	"gatehouse/internal/policy"
)

// hash is the SHA-256 of a secret, by which it is found again.
type hash [sha256.Size]byte

func hashOf(secret string) hash { return sha256.Sum256([]byte(secret)) }

// state is everything that survives a restart, as it is in memory. It is guarded
// by Identity.mu for readers and changed by the holder of Identity.writing alone.
type state struct {
	people      map[string]*person // removed ones too
	names       map[string]*person // by nameKey; removed ones not
	passkeys    map[string]*passkey
	devices     map[string]*device
	sessions    map[string]*session
	cookies     map[hash]*session
	invitations map[hash]*invitation
	refresh     map[hash]*refreshToken
	access      map[hash]*accessToken
	issuers     map[string]*refreshToken
	webhooks    map[hash]*webhook
	programs    map[hash]*program
	keys        map[policy.Key]*deviceKey
	handouts    map[hash]*handout
	residents   map[string]*resident
	sources     map[string]*device // by address at home
	faded       map[hash]struct{}  // tokens and webhooks that were somebody's until lately; not kept over a restart
}

func newState() state {
	return state{
		people:      make(map[string]*person),
		names:       make(map[string]*person),
		passkeys:    make(map[string]*passkey),
		devices:     make(map[string]*device),
		sessions:    make(map[string]*session),
		cookies:     make(map[hash]*session),
		invitations: make(map[hash]*invitation),
		refresh:     make(map[hash]*refreshToken),
		access:      make(map[hash]*accessToken),
		issuers:     make(map[string]*refreshToken),
		webhooks:    make(map[hash]*webhook),
		programs:    make(map[hash]*program),
		keys:        make(map[policy.Key]*deviceKey),
		handouts:    make(map[hash]*handout),
		residents:   make(map[string]*resident),
		sources:     make(map[string]*device),
		faded:       make(map[hash]struct{}),
	}
}

type person struct {
	id       string // also the user handle of passkeys: random, says nothing of the person
	name     string
	role     policy.Role
	haID     string
	haName   string
	created  time.Time
	removed  time.Time
	totp     []byte // secret; nil without one
	totpStep int64  // last step that a code was accepted for
	passkeys map[string]*passkey
	recovery map[hash]struct{}
	devices  map[string]*device
}

func newPerson(id, name string, role policy.Role, now time.Time) *person {
	return &person{id: id, name: name, role: role, created: now, passkeys: make(map[string]*passkey),
		recovery: make(map[hash]struct{}), devices: make(map[string]*device)}
}

type passkey struct {
	person   *person
	device   string // where it was made; may be gone
	rpID     string
	record   webauthn.Credential
	created  time.Time
	lastUsed time.Time
}

type device struct {
	id       string
	person   *person
	kind     string
	name     string
	created  time.Time
	revoked  time.Time
	seen     atomic.Int64          // when it was last seen, ms
	where    atomic.Pointer[place] // where from; never nil
	told     atomic.Int64          // when it was last told where it is, ms
	moved    atomic.Bool           // it has moved since
	written  seen                  // what the ledger has; the holder of writing's
	source   bool                  // it is known by its address at home
	sessions map[string]*session
	refresh  map[hash]*refreshToken
	webhooks map[hash]*webhook
	programs map[hash]*program
	keys     map[policy.Key]*deviceKey
}

func newDevice(id string, p *person, kind, name string, created time.Time) *device {
	d := &device{id: id, person: p, kind: kind, name: name, created: created,
		sessions: make(map[string]*session), refresh: make(map[hash]*refreshToken), webhooks: make(map[hash]*webhook), programs: make(map[hash]*program), keys: make(map[policy.Key]*deviceKey)}
	d.where.Store(&place{})
	return d
}

type place struct {
	addr netip.Addr
	door policy.Door
}

// text returns the address as it is shown; empty where it is not known.
func (p *place) text() string {
	if !p.addr.IsValid() {
		return ""
	}
	return p.addr.String()
}

// seen is when and where something was last seen.
type seen struct {
	at    int64
	place place
}

type session struct {
	id      string
	hash    hash // of the cookie
	device  *device
	created time.Time
	ended   time.Time
	seen    atomic.Int64 // ms
	written int64        // what the ledger has of seen; the holder of writing's
	fresh   atomic.Int64 // until when, ms; not kept over a restart
	notice  atomic.Pointer[string]
}

type invitation struct {
	hash    hash
	person  *person // nil for the first owner
	created time.Time
	expires time.Time
}

type refreshToken struct {
	hash     hash
	device   *device
	haUser   string
	clientID string
	issuer   string
	created  time.Time
	given    bool // while moving in: it counts at home without a cookie
	access   map[hash]*accessToken
}

type accessToken struct {
	hash    hash
	refresh *refreshToken
	expires time.Time
}

// webhook is the way by which a companion app reports and acts, with its user's rights.
type webhook struct {
	hash         hash
	device       *device
	haUser       string
	registration string // the app's own id of its device
	created      time.Time
	removed      time.Time // when its registration was taken out of Home Assistant
	calls        *Calls    // how it may be called, where it is an automation's; nil where it is an app's
}

// maxFaded bounds what is remembered of tokens that are no more; then all of it is forgotten.
const maxFaded = 8192

// fade remembers a token or webhook that is forgotten: its device goes on showing it, and
// does not guess.
func (s *state) fade(h hash) {
	if len(s.faded) >= maxFaded {
		clear(s.faded)
	}
	s.faded[h] = struct{}{}
}

// addPerson, addDevice and the like keep the maps together; remove likewise.

func (s *state) addPerson(p *person) {
	s.people[p.id] = p
	if p.removed.IsZero() {
		s.names[nameKey(p.name)] = p
	}
}

func (s *state) addPasskey(k *passkey) {
	id := string(k.record.ID)
	s.passkeys[id], k.person.passkeys[id] = k, k
}

func (s *state) dropPasskey(k *passkey) {
	id := string(k.record.ID)
	delete(s.passkeys, id)
	delete(k.person.passkeys, id)
}

func (s *state) addDevice(d *device) { s.devices[d.id], d.person.devices[d.id] = d, d }

func (s *state) addSource(addr string, d *device) {
	s.sources[addr], d.source = d, true
}

func (s *state) dropDevice(d *device) {
	for _, e := range d.sessions {
		s.dropSession(e)
	}
	for _, t := range d.refresh {
		s.dropRefresh(t)
	}
	for _, w := range d.webhooks {
		s.dropWebhook(w)
	}
	for _, k := range d.programs {
		delete(s.programs, k.hash)
	}
	for key, k := range d.keys {
		if s.keys[key] == k {
			delete(s.keys, key)
		}
	}
	for addr, of := range s.sources {
		if of == d {
			delete(s.sources, addr)
		}
	}
	delete(s.devices, d.id)
	delete(d.person.devices, d.id)
}

func (s *state) addSession(e *session) {
	s.sessions[e.id], s.cookies[e.hash], e.device.sessions[e.id] = e, e, e
}

func (s *state) dropSession(e *session) {
	delete(s.sessions, e.id)
	delete(s.cookies, e.hash)
	delete(e.device.sessions, e.id)
}

func (s *state) addRefresh(t *refreshToken) {
	s.refresh[t.hash], t.device.refresh[t.hash] = t, t
	if t.issuer != "" {
		s.issuers[t.issuer] = t
	}
}

func (s *state) dropRefresh(t *refreshToken) {
	for _, a := range t.access {
		s.dropAccess(a)
	}
	s.fade(t.hash)
	delete(s.refresh, t.hash)
	delete(t.device.refresh, t.hash)
	if s.issuers[t.issuer] == t {
		delete(s.issuers, t.issuer)
	}
}

func (s *state) addAccess(a *accessToken) { s.access[a.hash], a.refresh.access[a.hash] = a, a }

func (s *state) dropAccess(a *accessToken) {
	s.fade(a.hash)
	delete(s.access, a.hash)
	delete(a.refresh.access, a.hash)
}

func (s *state) addProgram(k *program) { s.programs[k.hash], k.device.programs[k.hash] = k, k }

// addKey makes a key a device's, and nobody else's.
func (s *state) addKey(k *deviceKey) {
	if had, ok := s.keys[k.key]; ok {
		delete(had.device.keys, k.key)
	}
	s.keys[k.key], k.device.keys[k.key] = k, k
}

func (s *state) addWebhook(w *webhook) { s.webhooks[w.hash], w.device.webhooks[w.hash] = w, w }

func (s *state) dropWebhook(w *webhook) {
	s.fade(w.hash)
	delete(s.webhooks, w.hash)
	delete(w.device.webhooks, w.hash)
}
