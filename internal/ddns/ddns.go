// Package ddns keeps the addresses that the home's name leads to current (dynamic DNS): its
// A and AAAA records, at the provider of the home's zone.
//
// It is a package of its own, and not part of zone, because zone writes what it is told
// and knows nothing of where the house is; and not part of acme, because a house may have
// the one without the other.
//
// # Decisions
//
// One round is a straight line: where is the house? → what does the zone say? → what
// should it say? → may it be written now? → the lease → note, write, note. What cannot be
// known changes nothing.
//
// Only an address that the Internet routes is ever written. A source says an address, or
// that there is none, or that it cannot tell. Where there is none for half an hour, the
// record goes: one that leads nowhere has every visitor wait for it, and one that leads
// to somebody else is worse. That time is counted by a clock that nobody sets, and anew
// after a start.
//
// The zone's own name servers are asked what they have, not a resolver that remembers; so
// what somebody else wrote is seen, and a power cut between writing and noting costs
// nothing. Where the zone still says otherwise after what we wrote, we write again, each
// time later.
//
// Nothing is written but the A and AAAA records of that very name. A name that is an
// alias (CNAME) is left alone: following it would let whoever answers our questions
// choose what we write over.
//
// Several gateways that share a ledger may have addresses of their own; the one that has
// the lease keeps the records until it ends or is gone.
package ddns

import (
	"cmp"
	"context"
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

// Kind is a kind of address, by its record's name.
type Kind string

// The kinds.
const (
	IPv4 Kind = "A"
	IPv6 Kind = "AAAA"
)

// of reports whether an address is of the kind.
func (k Kind) of(a netip.Addr) bool { return a.Is4() == (k == IPv4) }

// Source is somewhere that the house's address can be had from.
type Source struct {
	Name string
	// Address returns the address of a kind. An invalid one without an error says that it
	// never knows that kind; a *None, that there is none; another error, that it cannot tell.
	Address func(ctx context.Context, kind Kind) (netip.Addr, error)
}

// None says that the house has no public address of a kind.
type None struct {
	Why, Hint string
	Final     bool // whatever other sources say
}

func (e *None) Error() string { return e.Why }

// Error says why the records are not as they should be, in the owner's words.
type Error struct {
	What, Hint string
	Err        error
}

func (e *Error) Error() string { return e.What }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Zone is where addresses are written.
type Zone interface {
	// Lead has a name lead to addresses and to no others; now are those that it is known to
	// lead to, life for how long others may remember them.
	Lead(ctx context.Context, name string, want, now []netip.Addr, life time.Duration) error
}

// Config says which name, and where from.
type Config struct {
	Ledger   *ledger.Ledger
	Name     string // whose records are kept
	InZone   string // its zone; empty: it is looked up
	Kinds    []Kind // those that are kept; others are left as they are
	Sources  []Source
	Life     time.Duration // for how long others may remember a record
	Resolver resolver.Resolver
	Zone     func(ctx context.Context) (Zone, error)
	Log      *slog.Logger

	// Local returns something that is another when this machine's own addresses are. May be nil.
	Local func() string
	// Changed and Failed are told what was written, and what stays wrong. They must be quick.
	// May be nil.
	Changed func(what string)
	Failed  func(err *Error)

	Holder string           // of the lease: this gateway, and no other that shares the ledger
	Now    func() time.Time // the clock; nil is time.Now
}

// Times.
const (
	every     = 5 * time.Minute  // between rounds
	glance    = 30 * time.Second // between looks at this machine's own addresses
	grace     = 30 * time.Minute // until the record of an address that is gone is removed
	rest      = 5 * time.Minute  // between two changes: most providers count them
	spread    = 5 * time.Minute  // a change's way to all name servers of a zone
	lasting   = 15 * time.Minute // until the owner is told that something stays wrong
	leaseTime = 20 * time.Minute
	patience  = 4 * time.Minute // for one round
	// remembered is how long a resolver may say what was: the longest life that a provider insists on.
	remembered = 65 * time.Minute
)

// Record is how things stand with one kind of address.
type Record struct {
	Kind    Kind
	Address netip.Addr   // where the house is; invalid where there is none or it is not known
	Source  string       // who says so
	Held    []netip.Addr // what the zone has
	Why     string       // there is no address
	Hint    string       // what to do about it; may be empty
	Gone    bool         // it is known that there is none; its record goes, or has gone
}

// State is how things stand.
type State struct {
	Name    string
	Records []Record
	Looked  time.Time // when the zone was last asked, and answered
	Written time.Time // when it was last written to
	Standby bool      // another gateway keeps the records
	Why     string    // the zone is not as it should be
	Hint    string
	NextTry time.Time // when it is written again; zero where that is not due
}

// Keeper keeps the records. It is safe for use by several goroutines.
type Keeper struct {
	cfg    Config
	leases ledger.Leases
	wake   chan struct{}

	// Of Run alone.
	lease     *ledger.Lease
	leased    time.Time
	gone      map[Kind]time.Time // since when an address is known to be gone
	wrong     time.Time          // since when something is wrong
	told      string
	lastLocal string

	mu    sync.Mutex
	state State
}

// New checks what it is given, reads what the ledger keeps, and asks nobody.
func New(ctx context.Context, c Config) (*Keeper, error) {
	if c.Ledger == nil || c.Name == "" || len(c.Kinds) == 0 || len(c.Sources) == 0 || c.Zone == nil || c.Holder == "" || c.Life <= 0 {
		return nil, errors.New("ddns: no ledger, name, kind, source, zone, holder or life")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	k := &Keeper{cfg: c, leases: ledger.Leases{Ledger: c.Ledger, Holder: c.Holder, Lasts: leaseTime, Now: c.Now},
		wake: make(chan struct{}, 1), gone: map[Kind]time.Time{}}
	r, err := k.load(ctx)
	if err != nil {
		return nil, err
	}
	k.state = State{Name: c.Name, Written: r.at, Why: r.why, Hint: r.hint, NextTry: r.next}
	for _, kind := range c.Kinds {
		k.state.Records = append(k.state.Records, Record{Kind: kind, Why: "it is being looked at"})
	}
	return k, nil
}

// Run keeps the records until ctx ends. It returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	defer k.giveBack(ctx)
	k.changedHere()
	for ctx.Err() == nil {
		next := time.Now().Add(k.round(ctx))
		for ctx.Err() == nil && time.Now().Before(next) {
			timer := time.NewTimer(min(glance, time.Until(next)))
			select {
			case <-ctx.Done():
			case <-timer.C:
				if k.changedHere() {
					next = time.Time{}
				}
			case <-k.wake:
				next = time.Time{}
			}
			timer.Stop()
		}
	}
	return nil
}

// changedHere reports whether this machine's own addresses are others than before.
func (k *Keeper) changedHere() bool {
	if k.cfg.Local == nil {
		return false
	}
	before := k.lastLocal
	k.lastLocal = k.cfg.Local()
	return k.lastLocal != before
}

// Again forgets how long to wait after a failure, and looks now.
func (k *Keeper) Again(ctx context.Context) error {
	if err := k.forgive(ctx); err != nil {
		return err
	}
	select {
	case k.wake <- struct{}{}:
	default:
	}
	return nil
}

// State returns how things stand.
func (k *Keeper) State() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.state
	s.Records = slices.Clone(s.Records)
	return s
}

// Addresses returns where the house is reached, of each kind that is known.
func (k *Keeper) Addresses() (all []netip.Addr) {
	for _, r := range k.State().Records {
		if r.Address.IsValid() {
			all = append(all, r.Address)
		}
	}
	return all
}

// round looks once, and writes where that is due. It returns when to look again.
func (k *Keeper) round(ctx context.Context) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s := State{Name: k.cfg.Name}
	for _, kind := range k.cfg.Kinds {
		s.Records = append(s.Records, k.find(ctx, kind))
	}
	again, err := k.follow(ctx, &s)
	if errors.Is(ctx.Err(), context.Canceled) {
		return every // told to end
	}
	if err == nil && !slices.ContainsFunc(s.Records, func(r Record) bool { return r.Address.IsValid() }) {
		err = nowhere(s.Records)
	}
	if err != nil {
		e := explain(err)
		s.Why, s.Hint = e.What, e.Hint
	}
	k.tell(&s)
	k.mu.Lock()
	k.state = s
	k.mu.Unlock()
	return min(max(again, time.Second), every)
}

// nowhere says that no address of the house is known, and why.
func nowhere(records []Record) *Error {
	e := &Error{}
	var why []string
	for _, r := range records {
		why = append(why, string(r.Kind)+": "+r.Why)
		e.Hint = cmp.Or(e.Hint, r.Hint)
	}
	e.What = "no public address of this house is known (" + strings.Join(why, "; ") + ")"
	return e
}

// tell has the owner told once of what stays wrong.
func (k *Keeper) tell(s *State) {
	switch {
	case s.Why == "":
		k.wrong, k.told = time.Time{}, ""
	case k.wrong.IsZero():
		k.wrong = time.Now()
	case time.Since(k.wrong) >= lasting && k.told != s.Why:
		k.told = s.Why
		k.cfg.Log.Warn("the home's addresses are not kept", "name", s.Name, "error", s.Why)
		if k.cfg.Failed != nil {
			k.cfg.Failed(&Error{What: s.Why, Hint: s.Hint})
		}
	}
}

// find asks the sources in order where the house is, for one kind of address.
func (k *Keeper) find(ctx context.Context, kind Kind) Record {
	r := Record{Kind: kind}
	unknown, none := false, false
	for _, source := range k.cfg.Sources {
		a, err := source.Address(ctx, kind)
		if err == nil && a.IsValid() {
			err = wrongAddress(kind, a)
		}
		var gone *None
		switch {
		case err == nil && !a.IsValid():
			continue
		case err == nil:
			delete(k.gone, kind)
			return Record{Kind: kind, Address: a, Source: source.Name}
		case errors.As(err, &gone):
			none = true
			r.say(gone.Why, gone.Hint)
			if gone.Final {
				r.Why, r.Hint, unknown = gone.Why, gone.Hint, false
			}
		default:
			unknown = true
			r.say(err.Error(), "")
		}
		if gone != nil && gone.Final {
			break
		}
	}
	if r.Gone = none && !unknown; !r.Gone {
		delete(k.gone, kind)
	} else if k.gone[kind].IsZero() {
		k.gone[kind] = time.Now()
	}
	if r.Why == "" {
		r.Why, r.Hint = "no source tells addresses of this kind", "see ddns.addresses in the configuration"
	}
	return r
}

// say adds why there is no address; the last hint is the one that counts.
func (r *Record) say(why, hint string) {
	if r.Why != "" {
		why = r.Why + "; " + why
	}
	r.Why, r.Hint = why, cmp.Or(hint, r.Hint)
}

// wrongAddress is an error if an address is not to be written.
func wrongAddress(kind Kind, a netip.Addr) error {
	switch {
	case !kind.of(a):
		return fmt.Errorf("%s is of another kind", a)
	case !IsPublic(a):
		return fmt.Errorf("%s is none that the Internet leads to", a)
	}
	return nil
}

// follow has the zone say where the house is, if it does not, and returns when to look
// again.
func (k *Keeper) follow(ctx context.Context, s *State) (again time.Duration, err error) {
	l, free, err := k.hold(ctx)
	if err != nil {
		return time.Minute, err
	}
	r, err := k.load(ctx)
	if err != nil {
		return time.Minute, err
	}
	s.Written = r.at
	held, settles, err := k.look(ctx, r)
	if err != nil {
		return every, err
	}
	if settles > 0 {
		s.Looked = k.cfg.Now()
	}
	for i := range s.Records {
		s.Records[i].Held = only(held.Addrs, s.Records[i].Kind)
	}
	want := k.want(s.Records, held.Addrs, settles > 0)
	right := held.Agree && slices.Equal(want, held.Addrs)
	switch {
	case l == nil:
		s.Standby = true
		return max(free.Sub(k.cfg.Now()), time.Minute), nil
	case right && r.why == "" && r.writing == nil:
		return every, nil
	case right:
		return every, k.settle(ctx, l, want, r)
	}
	return k.write(ctx, s, l, r, want, held.Addrs, settles)
}

// want is what the zone should have. What is not ours to know stays as it is; so does all
// that would have to go while the zone itself does not say what there is.
func (k *Keeper) want(records []Record, held []netip.Addr, looked bool) (want []netip.Addr) {
	for _, kind := range []Kind{IPv4, IPv6} {
		i := slices.IndexFunc(records, func(r Record) bool { return r.Kind == kind })
		switch {
		case i >= 0 && records[i].Address.IsValid():
			want = append(want, records[i].Address)
		case i >= 0 && records[i].Gone && looked && time.Since(k.gone[kind]) >= grace:
		default:
			want = append(want, only(held, kind)...)
		}
	}
	slices.SortFunc(want, netip.Addr.Compare)
	return want
}

// only returns the addresses of a kind.
func only(all []netip.Addr, kind Kind) (of []netip.Addr) {
	for _, a := range all {
		if kind.of(a) {
			of = append(of, a)
		}
	}
	return of
}

// look returns what the zone has at the name, and for how long after a change it may say
// what was before; no time where only what we noted is known.
func (k *Keeper) look(ctx context.Context, r row) (held resolver.Held, settles time.Duration, err error) {
	zone, err := k.cfg.InZone, error(nil)
	if zone == "" {
		zone, err = k.cfg.Resolver.Zone(ctx, k.cfg.Name)
	}
	settles = spread
	if err == nil {
		held, err = k.cfg.Resolver.AtZone(ctx, zone, k.cfg.Name)
	}
	if err != nil { // the zone's own servers cannot be asked
		if held.Addrs, err = k.cfg.Resolver.Addresses(ctx, k.cfg.Name); err == nil {
			held.Agree, settles = true, remembered
			if target, err := k.cfg.Resolver.Target(ctx, k.cfg.Name); err == nil && !strings.EqualFold(target, k.cfg.Name) {
				held.Alias = target
			}
		}
		// A resolver at home may say addresses of home.
		if err != nil || slices.ContainsFunc(held.Addrs, func(a netip.Addr) bool { return !IsPublic(a) }) {
			k.cfg.Log.Debug("what the zone says cannot be asked; what was noted counts", "name", k.cfg.Name, "error", err)
			return resolver.Held{Addrs: r.known(), Agree: true}, 0, nil
		}
	}
	if held.Alias != "" {
		return held, 0, &Error{What: k.cfg.Name + " leads elsewhere by a CNAME record, to " + held.Alias + ", and has no addresses of its own",
			Hint: fmt.Sprintf("take that record away, or set ddns.name = %q where that is yours", held.Alias)}
	}
	return held, settles, nil
}

// write has the zone say where the house is, if that may be done now.
func (k *Keeper) write(ctx context.Context, s *State, l *ledger.Lease, r row, want, held []netip.Addr, settles time.Duration) (again time.Duration, err error) {
	now := k.cfg.Now()
	same := slices.Equal(want, r.written) && r.writing == nil
	if wait := r.next.Sub(now); wait > 0 && wait <= longest() {
		s.NextTry = r.next
		return wait, &Error{What: r.why, Hint: r.hint}
	}
	// Changes have pauses between them; a clock that was set back makes none longer.
	pause := rest
	if same && settles > 0 {
		pause = max(rest, settles, k.cfg.Life)
	}
	if wait := r.at.Add(pause).Sub(now); !r.at.IsZero() && wait > 0 && wait <= pause && r.failures == 0 {
		s.NextTry = now.Add(wait)
		return wait, nil
	}
	r.writing, r.at = want, now
	if err := k.note(ctx, l, r); err != nil {
		return time.Minute, err
	}
	zone, err := k.cfg.Zone(ctx)
	if err == nil {
		err = zone.Lead(ctx, k.cfg.Name, want, held, k.cfg.Life)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return every, nil // nobody's failure; what is noted is looked at again
	}
	changed := ""
	if err == nil {
		s.Written = now
		if !same {
			changed = change(s, want, held, r.written)
		}
		r.written, r.writing = want, nil
		if same {
			err = &Error{What: fmt.Sprintf("%s was written, and the zone says %s", words(want), words(held)),
				Hint: "does another program write there, too, or does the provider put its own addresses in place (Cloudflare: \"DNS only\")?"}
		}
	}
	r.why, r.hint = "", ""
	if err == nil {
		r.failures, r.next = 0, time.Time{}
	} else {
		e := explain(err)
		r.next = now.Add(pauses()[min(r.failures, len(pauses())-1)])
		r.failures++
		r.why, r.hint, s.NextTry = e.What, e.Hint, r.next
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := k.note(ctx, l, r); err != nil {
		return time.Minute, err
	}
	if changed != "" && k.cfg.Changed != nil {
		k.cfg.Changed(changed)
	}
	if err != nil {
		return r.next.Sub(now), err
	}
	for i := range s.Records {
		s.Records[i].Held = only(want, s.Records[i].Kind)
	}
	return every, nil
}

// pauses are how long is waited after the first failure, the second and so on. They are
// shorter than a certificate's: a house that moved is reached by nobody.
func pauses() []time.Duration {
	return []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour}
}

func longest() time.Duration { return pauses()[len(pauses())-1] }

// change says what was changed, for the owner.
func change(s *State, want, held, was []netip.Addr) string {
	var all []string
	for _, r := range s.Records {
		now, before := only(want, r.Kind), only(held, r.Kind)
		if slices.Equal(now, before) {
			continue
		}
		text := string(r.Kind) + " " + words(now)
		if r.Source != "" {
			text += ", from " + r.Source
		} else if len(now) == 0 {
			text = string(r.Kind) + " is removed: " + r.Why
		}
		if len(before) > 0 {
			text += "; before " + words(before)
			if !slices.Equal(before, only(was, r.Kind)) {
				text += ", which was not ours"
			}
		}
		all = append(all, text)
	}
	return s.Name + ": " + strings.Join(all, "; ")
}

// words are addresses in a sentence.
func words(all []netip.Addr) string {
	if len(all) == 0 {
		return "no address"
	}
	text := make([]string, len(all))
	for i, a := range all {
		text[i] = a.String()
	}
	return strings.Join(text, " and ")
}

// explain puts an error into the owner's words.
func explain(err error) *Error {
	var own *Error
	var disk *ledger.Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &disk):
		return &Error{What: disk.Error(), Hint: disk.Hint, Err: err}
	case errors.Is(err, ledger.ErrFenced):
		return &Error{What: err.Error(), Err: err}
	}
	return &Error{What: clean(err.Error()), Hint: "is the token for the provider still good, and may it change this zone?", Err: err}
}

// clean makes what a provider wrote fit for a line of a terminal.
func clean(s string) string {
	const most = 300
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strings.TrimSpace(s)
}
