package identity

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"gatehouse/internal/event"
	"gatehouse/internal/ha"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
)

// Moving in. A resident is something that Home Assistant lets in and that belongs to
// nobody of ours yet: a sign-in, an app's registration, an automation's webhook, an
// address that fetches. It was found in Home Assistant's own files and answers, or in
// what passed at home while the house was open. The owner gives it to a person, and then
// it is a device like others; or leaves it out.

// The kinds of residents beside those of devices.
const (
	KindWebhook = "webhook" // an automation's
	KindSource  = "source"  // an address at home that shows no credential
)

// Bounds of what is found. Home Assistant's files name what there is; what only passed by
// is not kept beyond this.
const (
	maxResidents  = 1024           // sign-ins, apps, webhooks
	maxFoundAway  = 256            // addresses besides
	sourceStaysBy = 24 * time.Hour // an address that was not seen for so long makes room for another
	noteEvery     = time.Hour      // how old what the ledger has of a last look may be
	residentIDLen = 8
	maxFoundText  = 200 // bytes of each text
)

// Find is what was found of a resident. Hashes are SHA-256 in hexadecimal (ha.Hash); no
// secret itself comes here.
type Find struct {
	Kind         string    `json:"kind"`
	HAUserID     string    `json:"ha_user_id"`
	HAUserName   string    `json:"ha_user_name"`
	Name         string    `json:"name"`  // of the app's device, the program, the automation
	Agent        string    `json:"agent"` // User-Agent; names what has no name
	ClientID     string    `json:"client_id"`
	Registration string    `json:"registration"`
	Webhook      string    `json:"webhook"` // hash; empty without one
	Addr         string    `json:"addr"`    // where it was last seen
	Seen         time.Time `json:"seen"`
	Tokens       []Found   `json:"tokens"`
}

// Found is a refresh token and access tokens that belong to it.
type Found struct {
	Issuer  string        `json:"issuer"`
	Refresh string        `json:"refresh"` // hash; empty where only access tokens were seen
	Access  []FoundAccess `json:"access"`
}

// FoundAccess is an access token's hash, and when it runs out.
type FoundAccess struct {
	Hash    string    `json:"hash"`
	Expires time.Time `json:"expires"`
}

// Resident is a resident as it is shown.
type Resident struct {
	ID         string
	Kind       string
	HAUserID   string
	HAUserName string
	Name       string
	ClientID   string
	LastAddr   string
	FirstSeen  time.Time
	LastSeen   time.Time
	LeftOut    bool
	Person     string // name of the person whose Home Assistant user it has; empty if there is none
}

type resident struct {
	id           string
	kind         string
	haUser       string
	haName       string
	clientID     string
	issuer       string
	name         string
	registration string
	addr         string
	first, seen  time.Time
	noted        time.Time // seen, as the ledger has it
	left         bool
	secrets      map[hash]residentSecret
}

type residentSecret struct {
	kind    string // refresh, access or webhook
	issuer  string
	expires time.Time
}

// ID is what a resident is found again by: its first sign-in, its webhook, or its address.
func (f Find) ID() string {
	key := "addr " + f.Addr
	switch {
	case len(f.Tokens) > 0:
		key = "issuer " + f.Tokens[0].Issuer
	case f.Webhook != "":
		key = "webhook " + f.Webhook
	}
	h := hashOf(key)
	return hex.EncodeToString(h[:])[:residentIDLen]
}

func (f Find) secrets() (map[hash]residentSecret, error) {
	all := make(map[hash]residentSecret)
	add := func(text string, s residentSecret) error {
		if text == "" {
			return nil
		}
		b, err := hex.DecodeString(text)
		if err != nil || len(b) != len(hash{}) {
			return errors.New("identity: what was found is not a hash")
		}
		all[hash(b)] = s
		return nil
	}
	err := add(f.Webhook, residentSecret{kind: "webhook"})
	for _, t := range f.Tokens {
		err = errors.Join(err, add(t.Refresh, residentSecret{"refresh", t.Issuer, time.Time{}}))
		for _, a := range t.Access {
			err = errors.Join(err, add(a.Hash, residentSecret{"access", t.Issuer, a.Expires}))
		}
	}
	return all, err
}

// Found takes down what was found. What is known already stays what it is; of a device's
// own sign-in the tokens that are new are learned. The order does not matter.
func (i *Identity) Found(ctx context.Context, finds ...Find) error {
	i.writing.Lock()
	defer i.writing.Unlock()
	now := i.cfg.Now()
	for _, f := range finds {
		secrets, err := f.secrets()
		if err != nil {
			return err
		}
		if known, err := i.foundKnown(ctx, f, secrets, now); known || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		if err := i.foundResident(ctx, f, secrets, now); err != nil {
			return err
		}
	}
	return nil
}

// foundKnown sees to what belongs to a device already. The caller holds writing.
func (i *Identity) foundKnown(ctx context.Context, f Find, secrets map[hash]residentSecret, now time.Time) (known bool, err error) {
	if f.Kind == KindSource {
		d, ok := i.sources[f.Addr]
		return ok && d.revoked.IsZero(), nil
	}
	for h, s := range secrets {
		if _, ok := i.programs[h]; ok {
			return true, nil
		}
		if _, ok := i.webhooks[h]; ok && s.kind == "webhook" {
			known = true
		}
	}
	for _, t := range f.Tokens {
		if _, ok := i.issuers[t.Issuer]; ok && t.Issuer != "" {
			known = true
		}
	}
	if !known {
		return false, nil
	}
	if err := i.foundWebhook(ctx, f, now); err != nil {
		return true, err
	}
	for h, s := range secrets {
		r, ok := i.issuers[s.issuer]
		if s.issuer == "" || !ok || !r.device.revoked.IsZero() || f.HAUserID != "" && r.haUser != f.HAUserID {
			continue
		}
		switch s.kind {
		case "refresh":
			if r.hash == hashOf("issuer "+s.issuer) && i.refresh[h] == nil {
				client := cmp.Or(r.clientID, shorten(f.ClientID, maxFoundText))
				err = i.change(ctx, func(tx *ledger.Tx) error { return rekeyRefresh(tx, r, h, client) }, func() { i.rekey(r, h, client) })
			}
		case "access":
			if _, ok := i.access[h]; !ok && now.Before(s.expires) {
				a := &accessToken{h, r, s.expires}
				old := firstToExpire(r, a)
				err = i.change(ctx, func(tx *ledger.Tx) error { return writeAccess(tx, a, old) }, func() {
					if old != nil {
						i.dropAccess(old)
					}
					i.addAccess(a)
				})
			}
		}
		if err != nil {
			return true, err
		}
	}
	return true, nil
}

// foundWebhook gives a device the webhook that was found with its own sign-in.
func (i *Identity) foundWebhook(ctx context.Context, f Find, now time.Time) error {
	if f.Kind != KindApp || f.Webhook == "" || len(f.Tokens) == 0 || f.Tokens[0].Issuer == "" {
		return nil
	}
	r, ok := i.issuers[f.Tokens[0].Issuer]
	b, err := hex.DecodeString(f.Webhook)
	if err != nil || !ok || !r.device.revoked.IsZero() || f.HAUserID != "" && r.haUser != f.HAUserID {
		return err
	}
	w := &webhook{hash: hash(b), device: r.device, haUser: r.haUser, registration: f.Registration, created: now}
	if i.webhooks[w.hash] != nil {
		return nil
	}
	old := r.device.replaced(w)
	return i.change(ctx, func(tx *ledger.Tx) error {
		for _, o := range old {
			if _, err := tx.Exec(`DELETE FROM webhooks WHERE hash = $1`, o.hash[:]); err != nil {
				return err
			}
		}
		return w.write(tx)
	}, func() {
		for _, o := range old {
			i.dropWebhook(o)
		}
		i.addWebhook(w)
	})
}

// rekeyRefresh gives a refresh token, of which only access tokens were seen, its own hash
// and client.
func rekeyRefresh(tx *ledger.Tx, r *refreshToken, h hash, client string) error {
	next := *r
	next.hash, next.clientID = h, client
	if err := next.write(tx); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE access_tokens SET refresh_hash = $1 WHERE refresh_hash = $2`, h[:], r.hash[:]); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM refresh_tokens WHERE hash = $1`, r.hash[:])
	return err
}

func (s *state) rekey(r *refreshToken, h hash, client string) {
	delete(s.refresh, r.hash)
	delete(r.device.refresh, r.hash)
	r.hash, r.clientID = h, client
	s.addRefresh(r)
}

// foundResident takes down a resident. The caller holds writing.
func (i *Identity) foundResident(ctx context.Context, f Find, secrets map[hash]residentSecret, now time.Time) error {
	id := f.ID()
	old := i.residents[id]
	var gone *resident            // makes room
	if old != nil && !old.is(f) { // the same short id by chance, or by somebody's choice of an address
		if old.kind != KindSource || f.Kind == KindSource {
			return nil
		}
		gone, old = old, nil
	}
	next := &resident{id: id, kind: f.Kind, first: now, secrets: make(map[hash]residentSecret)}
	if old != nil {
		*next = *old
		next.secrets = make(map[hash]residentSecret, len(old.secrets))
		for h, s := range old.secrets {
			if s.expires.IsZero() || now.Before(s.expires) {
				next.secrets[h] = s
			}
		}
	} else if gone == nil {
		var ok bool
		if gone, ok = i.roomFor(f, now); !ok {
			return nil
		}
	}
	isNew := old == nil
	for h, s := range secrets {
		if _, ok := next.secrets[h]; ok || !s.expires.IsZero() && !now.Before(s.expires) {
			continue
		}
		if len(next.secrets) >= maxRefresh+maxAccess && !next.dropFirst() {
			continue
		}
		next.secrets[h], isNew = s, true
	}
	take := func(to *string, from string) {
		if from = shorten(from, maxFoundText); from != "" && from != *to {
			*to, isNew = from, true
		}
	}
	take(&next.haUser, f.HAUserID)
	take(&next.haName, cleanDeviceName(f.HAUserName))
	if next.clientID == "" && f.ClientID != "" && f.Kind != "" {
		take(&next.kind, f.Kind) // an access token alone does not say it as well
	}
	take(&next.clientID, f.ClientID)
	take(&next.registration, f.Registration)
	if f.Name == "" && next.name == "" && f.Agent != "" {
		f.Name = describe(f.Agent)
	}
	take(&next.name, cleanDeviceName(f.Name))
	if len(f.Tokens) > 0 {
		take(&next.issuer, f.Tokens[0].Issuer)
	}
	if f.Seen.After(next.seen) {
		next.seen = f.Seen
		take(&next.addr, f.Addr)
	}
	if !isNew && gone == nil && next.seen.Sub(next.noted) < noteEvery {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.residents[id] = next
		return nil
	}
	next.noted = next.seen
	// An app's registration that stood alone has found its sign-in.
	alone := i.residents[Find{Webhook: f.Webhook}.ID()]
	if f.Webhook == "" || alone == next || alone == old {
		alone = nil
	}
	return i.change(ctx, func(tx *ledger.Tx) error {
		for _, r := range []*resident{alone, gone} {
			if r == nil {
				continue
			}
			if _, err := tx.Exec(`DELETE FROM residents WHERE id = $1`, r.id); err != nil {
				return err
			}
		}
		return next.write(tx)
	}, func() {
		for _, r := range []*resident{alone, gone} {
			if r != nil {
				delete(i.residents, r.id)
			}
		}
		i.residents[id] = next
	})
}

// is reports whether a resident is what was found, and not just of the same short id.
func (r *resident) is(f Find) bool {
	switch {
	case len(f.Tokens) > 0:
		return r.issuer == f.Tokens[0].Issuer
	case f.Webhook != "":
		b, err := hex.DecodeString(f.Webhook)
		if err != nil || len(b) != len(hash{}) {
			return false
		}
		_, ok := r.secrets[hash(b)]
		return ok
	}
	return r.kind == KindSource && r.addr == f.Addr
}

// roomFor returns the resident that makes room for a new one; nil where there is room,
// ok is false where it stays out. Addresses have room of their own, because whoever is at
// home can take any number of them: one that was not seen for a day goes. Of the rest it
// is the longest unseen one of the Home Assistant user that has most: nobody's sign-ins
// push out another's.
func (i *Identity) roomFor(f Find, now time.Time) (gone *resident, ok bool) {
	source := f.Kind == KindSource
	n, of := 0, make(map[string]int)
	for _, r := range i.residents {
		if (r.kind == KindSource) == source {
			n++
			of[r.haUser]++
		}
	}
	if source && n < maxFoundAway || !source && n < maxResidents {
		return nil, true
	}
	most := f.HAUserID
	for user, n := range of {
		if n > of[most] {
			most = user
		}
	}
	for _, r := range i.residents {
		if (r.kind == KindSource) != source || !source && r.haUser != most || source && now.Sub(r.seen) < sourceStaysBy {
			continue
		}
		if gone == nil || r.seen.Before(gone.seen) {
			gone = r
		}
	}
	return gone, gone != nil
}

// dropFirst drops the access token that runs out first, for a newer secret; false if
// there is none.
func (r *resident) dropFirst() bool {
	var first hash
	var at time.Time
	for h, s := range r.secrets {
		if s.kind == "access" && (at.IsZero() || s.expires.Before(at)) {
			first, at = h, s.expires
		}
	}
	delete(r.secrets, first)
	return !at.IsZero()
}

func (r *resident) write(tx *ledger.Tx) error {
	if _, err := tx.Exec(`DELETE FROM residents WHERE id = $1`, r.id); err != nil {
		return err
	}
	if _, err := tx.Exec(`INSERT INTO residents (id, kind, ha_user_id, ha_user_name, client_id, issuer, name, registration, addr, first_seen, last_seen, left_out)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`, r.id, r.kind, r.haUser, r.haName, r.clientID, r.issuer, r.name, r.registration, r.addr,
		ledger.Millis(r.first), ledger.Millis(r.seen), flag(r.left)); err != nil {
		return err
	}
	for h, s := range r.secrets {
		if _, err := tx.Exec(`INSERT INTO resident_secrets (hash, resident_id, kind, issuer, expires) VALUES ($1, $2, $3, $4, $5)`,
			h[:], r.id, s.kind, s.issuer, ledger.Millis(s.expires)); err != nil {
			return err
		}
	}
	return nil
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// SawSource notes that an address at home fetched something without any credential.
// Where it is seen again it costs no more than a look.
func (i *Identity) SawSource(ctx context.Context, addr netip.Addr, userAgent string) error {
	text, now := addr.String(), i.cfg.Now()
	i.mu.RLock()
	d := i.sources[text]
	r := i.residents[Find{Addr: text}.ID()]
	recent := r != nil && now.Sub(r.seen) < time.Minute
	i.mu.RUnlock()
	if d != nil && d.revoked.IsZero() {
		i.SeenDevice(d.id, policy.LAN, addr)
		return nil
	}
	if recent {
		return nil
	}
	return i.Found(ctx, Find{Kind: KindSource, Name: describe(userAgent), Addr: text, Seen: now})
}

// Knows reports whether a sign-in, by its issuer, was found or belongs to a device, with
// this access token.
func (i *Identity) Knows(issuer, accessToken string) bool {
	h := hashOf(accessToken)
	i.mu.RLock()
	defer i.mu.RUnlock()
	if _, ok := i.access[h]; ok || i.programs[h] != nil {
		return true
	}
	r := i.residents[(Find{Tokens: []Found{{Issuer: issuer}}}).ID()]
	if r == nil {
		return false
	}
	_, ok := r.secrets[h]
	return ok
}

// IsResident reports whether an issuer is that of a sign-in that is nobody's yet. What is
// signed in its name is not Home Assistant's own.
func (i *Identity) IsResident(issuer string) bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	r := i.residents[(Find{Tokens: []Found{{Issuer: issuer}}}).ID()]
	return r != nil && r.issuer == issuer
}

// Remembers reports whether a token or a webhook's id is a real one that lets nobody in: it
// was found and is nobody's yet, or it was a device's and ended or ran out not long ago.
func (i *Identity) Remembers(secret string) bool {
	if secret == "" {
		return false
	}
	h := hashOf(secret)
	i.mu.RLock()
	defer i.mu.RUnlock()
	_, faded := i.faded[h]
	if _, ok := i.access[h]; ok || faded || i.programs[h] != nil {
		return true
	}
	for _, r := range i.residents {
		if _, ok := r.secrets[h]; ok {
			return true
		}
	}
	return false
}

// Residents returns what is nobody's yet, the last seen first. An address is left out
// where somebody is known to be: its browser fetches the pages.
func (i *Identity) Residents() []Resident {
	i.mu.RLock()
	defer i.mu.RUnlock()
	at := make(map[string]bool)
	for _, r := range i.residents {
		if r.kind != KindSource {
			at[r.addr] = true
		}
	}
	for _, d := range i.devices {
		if d.revoked.IsZero() {
			at[d.where.Load().text()] = true
		}
	}
	all := make([]Resident, 0, len(i.residents))
	for _, r := range i.residents {
		if r.kind == KindSource && at[r.addr] && !r.left {
			continue
		}
		out := Resident{ID: r.id, Kind: r.kind, HAUserID: r.haUser, HAUserName: r.haName, Name: r.name, ClientID: printable(r.clientID),
			LastAddr: r.addr, FirstSeen: r.first, LastSeen: r.seen, LeftOut: r.left}
		if p := i.personOfHA(r.haUser); p != nil {
			out.Person = p.name
		}
		all = append(all, out)
	}
	slices.SortFunc(all, func(a, b Resident) int { return cmp.Or(b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.ID, b.ID)) })
	return all
}

// printable is a text that somebody else has written, as it can be shown.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// personOfHA is who has a Home Assistant user; nil if nobody has.
func (i *Identity) personOfHA(haUser string) *person {
	if haUser == "" {
		return nil
	}
	for _, p := range i.people {
		if p.haID == haUser && p.removed.IsZero() {
			return p
		}
	}
	return nil
}

// nameOfClient names a sign-in by what it was made for; empty where that says nothing.
func nameOfClient(clientID string) string {
	switch ha.AppOf(clientID) {
	case ha.AppAndroid:
		return "Home Assistant app on Android"
	case ha.AppIOS:
		return "Home Assistant app for iOS"
	}
	if u, err := url.Parse(clientID); err == nil && u.Host != "" {
		return cleanDeviceName("Browser at " + u.Host)
	}
	return ""
}

// Ended forgets the residents whose sign-ins Home Assistant has ended: those that its files
// do not name any more, and that were not seen after a time. still is all that they name.
func (i *Identity) Ended(ctx context.Context, still []Find, after time.Time) error {
	i.writing.Lock()
	defer i.writing.Unlock()
	named := make(map[string]bool)
	for _, f := range still {
		named[f.ID()] = true
	}
	var gone []string
	for id, r := range i.residents {
		switch r.kind {
		case KindApp, KindBrowser, KindProgram:
			if !named[id] && r.seen.Before(after) {
				gone = append(gone, id)
			}
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return i.change(ctx, func(tx *ledger.Tx) error {
		for _, id := range gone {
			if _, err := tx.Exec(`DELETE FROM residents WHERE id = $1`, id); err != nil {
				return err
			}
		}
		return nil
	}, func() {
		for _, id := range gone {
			delete(i.residents, id)
		}
	})
}

// LeaveResident notes that a resident is to be left out when the house is closed.
func (i *Identity) LeaveResident(ctx context.Context, id string) error {
	i.writing.Lock()
	defer i.writing.Unlock()
	r, ok := i.residents[id]
	if !ok {
		return ErrNotFound
	}
	return i.change(ctx, func(tx *ledger.Tx) error {
		_, err := tx.Exec(`UPDATE residents SET left_out = 1 WHERE id = $1`, id)
		return err
	}, func() { r.left = true })
}

// GiveResident makes a resident a device of a person, by name, at once and on every door
// where devices of its kind are known without a cookie. A person who has no Home
// Assistant user yet is bound to its; otherwise it must be theirs. calls is for an
// automation's webhook.
func (i *Identity) GiveResident(ctx context.Context, id, person string, calls Calls) (Device, error) {
	i.writing.Lock()
	r, ok := i.residents[id]
	p, named := i.names[nameKey(person)]
	var err error
	switch {
	case !ok, !named:
		err = ErrNotFound
	case r.haUser == "" || p.haID == r.haUser:
	case p.haID != "", i.personOfHA(r.haUser) != nil:
		err = &OtherHAUserError{Want: p.haName, Got: r.haName}
	}
	if err != nil {
		i.writing.Unlock()
		return Device{}, err
	}
	g, err := i.gift(r, p)
	if err != nil {
		i.writing.Unlock()
		return Device{}, err
	}
	for _, w := range g.webhooks {
		if w.calls != nil {
			w.calls = &calls
		}
	}
	err = i.change(ctx, g.write, func() { i.applyGift(g) })
	i.writing.Unlock()
	if err != nil {
		return Device{}, fmt.Errorf("give a resident: %w", err)
	}
	i.emit(event.DeviceEnrolled, nil, p, g.a.device.id, g.a.device.name)
	i.tellEnded(g.a)
	i.mu.RLock()
	defer i.mu.RUnlock()
	return g.a.device.public(), nil
}

// Calls say how an automation's webhook may be called.
type Calls struct {
	Outside   bool     // from elsewhere than home, too
	Methods   []string // none means any
	PerMinute int      // 0 means as often as an app may
}

// gift is a resident on its way to a person.
type gift struct {
	a        *admission
	r        *resident
	haUser   string // bound to the person; empty where the person has one
	refresh  []*refreshToken
	access   []*accessToken
	webhooks []*webhook
}

// gift decides what a person gets with a resident. The caller holds writing.
func (i *Identity) gift(r *resident, p *person) (*gift, error) {
	now := i.cfg.Now()
	g := &gift{r: r, a: &admission{now: now, isNew: true}}
	if p.haID == "" {
		g.haUser = r.haUser
	}
	var err error
	if g.a.dropped, err = i.makeRoom(p, now); err != nil {
		return nil, err
	}
	kind := r.kind
	if kind == KindWebhook || kind == KindSource {
		kind = KindProgram
	}
	name := cmp.Or(r.name, nameOfClient(r.clientID), r.addr, kind)
	d := newDevice(newID(i.devices), p, kind, name, now)
	g.a.device = d
	d.seen.Store(ledger.Millis(r.seen))
	if addr, err := netip.ParseAddr(r.addr); err == nil {
		d.where.Store(&place{addr, policy.LAN})
	}
	user := cmp.Or(r.haUser, p.haID)
	if r.kind == KindWebhook {
		user = "" // nobody's rights: the automation's own
	}
	byIssuer := make(map[string]*refreshToken)
	token := func(issuer string) *refreshToken {
		t, ok := byIssuer[issuer]
		if !ok {
			t = &refreshToken{hash: hashOf("issuer " + issuer), device: d, haUser: user, clientID: r.clientID, issuer: issuer, created: now,
				given: true, access: make(map[hash]*accessToken)}
			byIssuer[issuer] = t
			g.refresh = append(g.refresh, t)
		}
		return t
	}
	for h, s := range r.secrets {
		switch s.kind {
		case "refresh":
			token(s.issuer).hash = h
		case "access":
			if now.Before(s.expires) {
				g.access = append(g.access, &accessToken{h, token(s.issuer), s.expires})
			}
		case "webhook":
			w := &webhook{hash: h, device: d, haUser: user, registration: r.registration, created: now}
			if r.kind == KindWebhook {
				w.calls = new(Calls)
			}
			g.webhooks = append(g.webhooks, w)
		}
	}
	for _, w := range g.webhooks {
		if i.webhooks[w.hash] != nil {
			return nil, errors.New("identity: this webhook is another device's")
		}
	}
	for _, t := range g.refresh {
		if i.refresh[t.hash] != nil || t.issuer != "" && i.issuers[t.issuer] != nil {
			return nil, errors.New("identity: this sign-in is another device's")
		}
	}
	return g, nil
}

func (g *gift) write(tx *ledger.Tx) error {
	d := g.a.device
	if g.haUser != "" {
		if _, err := tx.Exec(`UPDATE people SET ha_user_id = $1, ha_user_name = $2 WHERE id = $3`, g.haUser, g.r.haName, d.person.id); err != nil {
			return err
		}
	}
	if err := g.a.writeDevice(tx); err != nil {
		return err
	}
	for _, t := range g.refresh {
		if err := t.write(tx); err != nil {
			return err
		}
	}
	for _, a := range g.access {
		if err := writeAccess(tx, a, nil); err != nil {
			return err
		}
	}
	for _, w := range g.webhooks {
		if err := w.write(tx); err != nil {
			return err
		}
	}
	if g.r.kind == KindSource {
		if _, err := tx.Exec(`INSERT INTO sources (addr, device_id) VALUES ($1, $2) ON CONFLICT (addr) DO UPDATE SET device_id = excluded.device_id`, g.r.addr, d.id); err != nil {
			return err
		}
	}
	_, err := tx.Exec(`DELETE FROM residents WHERE id = $1`, g.r.id)
	return err
}

func (i *Identity) applyGift(g *gift) {
	d := g.a.device
	if g.haUser != "" {
		d.person.haID, d.person.haName = g.haUser, g.r.haName
	}
	i.applyDevice(g.a)
	for _, t := range g.refresh {
		i.addRefresh(t)
	}
	for _, a := range g.access {
		i.addAccess(a)
	}
	for _, w := range g.webhooks {
		i.addWebhook(w)
	}
	if g.r.kind == KindSource {
		i.addSource(g.r.addr, d)
	}
	delete(i.residents, g.r.id)
}

// sourceFor is how long the address at which a given device was last seen at home counts.
const sourceFor = 30 * 24 * time.Hour

// GivenSource reports whether an address at home was given, or a device was last seen at
// it that is known there without a cookie: what its browser fetches carries nothing.
func (i *Identity) GivenSource(addr netip.Addr) bool {
	now := ledger.Millis(i.cfg.Now().Add(-sourceFor))
	i.mu.RLock()
	defer i.mu.RUnlock()
	if d, ok := i.sources[addr.String()]; ok && d.revoked.IsZero() {
		return true
	}
	for _, d := range i.devices {
		at := d.where.Load()
		if at.addr == addr && at.door == policy.LAN && d.revoked.IsZero() && d.seen.Load() > now && d.withoutCookie() {
			return true
		}
	}
	return false
}

// withoutCookie reports whether a device is known at home by what Home Assistant gave it.
func (d *device) withoutCookie() bool {
	for _, t := range d.refresh {
		if t.given || t.public().WithoutCookie() {
			return true
		}
	}
	return false
}

// ExpectsGiven reports whether there is a sign-in that counts at home without a cookie, so
// that a socket from there is worth waiting for.
func (i *Identity) ExpectsGiven() bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	for _, t := range i.refresh {
		if t.given && t.device.revoked.IsZero() {
			return true
		}
	}
	return false
}

func (i *Identity) loadResidents(tx *ledger.Tx) error {
	err := tx.Query(func(scan func(...any) error) error {
		r := &resident{secrets: make(map[hash]residentSecret)}
		var first, last, left int64
		if err := scan(&r.id, &r.kind, &r.haUser, &r.haName, &r.clientID, &r.issuer, &r.name, &r.registration, &r.addr, &first, &last, &left); err != nil {
			return err
		}
		r.first, r.seen, r.noted, r.left = ledger.Instant(first), ledger.Instant(last), ledger.Instant(last), left != 0
		i.residents[r.id] = r
		return nil
	}, `SELECT id, kind, ha_user_id, ha_user_name, client_id, issuer, name, registration, addr, first_seen, last_seen, left_out FROM residents`)
	if err != nil {
		return err
	}
	err = tx.Query(func(scan func(...any) error) error {
		var (
			h                []byte
			id, kind, issuer string
			expires          int64
		)
		if err := scan(&h, &id, &kind, &issuer, &expires); err != nil {
			return err
		}
		r, ok := i.residents[id]
		if !ok || len(h) != len(hash{}) {
			return fmt.Errorf("a secret of resident %s cannot be read", id)
		}
		r.secrets[hash(h)] = residentSecret{kind, issuer, ledger.Instant(expires)}
		return nil
	}, `SELECT hash, resident_id, kind, issuer, expires FROM resident_secrets`)
	if err != nil {
		return err
	}
	return tx.Query(func(scan func(...any) error) error {
		var addr, device string
		if err := scan(&addr, &device); err != nil {
			return err
		}
		i.addSource(addr, i.devices[device])
		return nil
	}, `SELECT addr, device_id FROM sources`)
}

// KindOfClient is the kind of device that signs in with a client id; a long-lived token has none.
func KindOfClient(clientID string) string {
	switch {
	case ha.IsAppClient(clientID):
		return KindApp
	case clientID == "":
		return KindProgram
	}
	return KindBrowser
}
