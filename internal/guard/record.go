package guard

import (
	"math"
	"net/netip"
	"time"
)

// The types of records.
const (
	recordSource  = "source"
	recordAccount = "account"
	recordBan     = "ban"
	recordAllow   = "allow"
	recordClock   = "clock"
)

// Record is what is kept of one thing over a restart. Type and Key name it. Times
// are those of the wall clock.
type Record struct {
	Type  string    `json:"type"`           // "source", "account", "ban", "allow" or "clock"
	Key   string    `json:"key"`            // a prefix, or an account; "" of the clock
	Gone  bool      `json:"gone,omitzero"`  // it is to be forgotten: the rest is empty
	Level int       `json:"level,omitzero"` // doublings of the next ban of a source or account, as of Last or Until
	Long  int       `json:"long,omitzero"`  // its long count, as of Last
	Since time.Time `json:"since,omitzero"` // when the ban or allowance began
	Until time.Time `json:"until,omitzero"` // when it ends
	Last  time.Time `json:"last,omitzero"`  // the last failure; of the clock: when it was looked at
	Kind  Kind      `json:"kind,omitzero"`  // of the last failure
	By    By        `json:"by,omitzero"`    // what banned
	Addr  string    `json:"addr,omitzero"`  // where the last failure came from
	Why   string    `json:"why,omitzero"`   // the sentence, or the owner's words
}

// Bounds of what is told of changes, and how often the clock is, so that a restart
// knows about how long it took.
const (
	maxChanges = 4096
	clockEvery = time.Hour
	clockSlip  = time.Minute // by which a wall clock may differ from how long the guard ran
)

// changes remembers what changed since it was asked for.
type changes struct {
	all      bool // more than can be remembered
	sources  map[key]bool
	accounts map[string]bool
	words    map[netip.Prefix]bool
	wall     time.Time     // when it was asked last: on the wall clock, and
	ran      time.Duration // by how long the guard ran
	clock    time.Duration // when the clock was told last
}

func newChanges(now time.Time) changes {
	c := changes{wall: now.Round(0), clock: never}
	c.clear()
	return c
}

func (c *changes) clear() {
	c.all, c.sources, c.accounts, c.words = false, map[key]bool{}, map[string]bool{}, map[netip.Prefix]bool{}
}

// source takes down that the record of a source changed, if it is kept.
func (c *changes) source(k key, kept bool) {
	if kept && !c.isFull() {
		c.sources[k] = true
	}
}

func (c *changes) account(name string, kept bool) {
	if kept && !c.isFull() {
		c.accounts[name] = true
	}
}

func (c *changes) word(p netip.Prefix) {
	if !c.isFull() {
		c.words[p] = true
	}
}

// isFull reports whether so much changed that all of it is told.
func (c *changes) isFull() bool {
	if !c.all && len(c.sources)+len(c.accounts)+len(c.words) >= maxChanges {
		c.clear()
		c.all = true
	}
	return c.all
}

// slipped reports whether the wall clock was set since it was asked last: then every
// time that was told is wrong.
func (c *changes) slipped(now time.Time, t time.Duration) bool {
	slip := now.Round(0).Sub(c.wall) - (t - c.ran)
	c.wall, c.ran = now.Round(0), t
	return slip > clockSlip || slip < -clockSlip
}

// isKept reports whether an entry ever weighed so much that there may be a record of it.
func (e *entry[K]) isKept() bool { return e.level > 0 || e.until != 0 }

// isOf reports whether there is something to keep of an entry.
func (e *entry[K]) isOf(t time.Duration) bool { return e.shut(t) || e.levelAt(t) > 0 }

// record returns what is kept of a counter.
func (g *Guard) record(c *counter, t time.Duration) Record {
	r := Record{Level: c.level, Long: c.long(c.last, g.cost), Last: g.clock.wall(c.last)}
	if c.since < c.until && c.last < c.until { // a ban that holds, or the end of which it has been quiet since
		r.Since, r.Until = g.clock.wall(c.since), g.clock.wall(c.until)
	}
	return r
}

func (g *Guard) sourceRecord(k key, t time.Duration) Record {
	e := g.sources.by[k]
	if e == nil || !e.isOf(t) {
		return Record{Type: recordSource, Key: k.prefix().String(), Gone: true}
	}
	r := g.record(&e.counter, t)
	r.Type, r.Key = recordSource, k.prefix().String()
	if e.d != nil {
		r.Kind, r.By, r.Why = e.d.kind, e.d.by, e.d.why
		if e.d.addr.IsValid() {
			r.Addr = e.d.addr.String()
		}
	}
	return r
}

func (g *Guard) accountRecord(name string, t time.Duration) Record {
	e := g.accounts.by[name]
	if e == nil || !e.isOf(t) {
		return Record{Type: recordAccount, Key: name, Gone: true}
	}
	r := g.record(&e.counter, t)
	r.Type, r.Key = recordAccount, name
	if e.d != nil {
		r.Why = e.d.why
	}
	return r
}

// wordRecords returns both records that a prefix may have: the owner's ban, and the allowance.
func (g *Guard) wordRecords(p netip.Prefix) []Record {
	ban, allow := Record{Type: recordBan, Key: p.String(), Gone: true}, Record{Type: recordAllow, Key: p.String(), Gone: true}
	if w := g.words.by[p]; w != nil {
		r := &ban
		if w.allowed {
			r = &allow
		}
		r.Gone, r.Since, r.Until, r.Why = false, w.since, w.until, w.why
	}
	return []Record{ban, allow}
}

func (g *Guard) clockRecord() Record {
	return Record{Type: recordClock, Last: g.clock.last.Round(0)}
}

// Records returns all that is to be kept over a restart, in no order.
func (g *Guard) Records() []Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.records(g.clock.read(g.cfg.Now()))
}

func (g *Guard) records(t time.Duration) []Record {
	records := []Record{g.clockRecord()}
	keep := func(r Record) {
		if !r.Gone {
			records = append(records, r)
		}
	}
	for k := range g.sources.by {
		keep(g.sourceRecord(k, t))
	}
	for name := range g.accounts.by {
		keep(g.accountRecord(name, t))
	}
	for p := range g.words.by {
		for _, r := range g.wordRecords(p) {
			keep(r)
		}
	}
	return records
}

// Changes returns the records that changed since it was called last, those that are
// to be forgotten among them (Gone). Where all is true it returns every record there
// is, and whatever else is kept is to be forgotten: so it is after Restore, after too
// many changes, and after somebody set the clock.
func (g *Guard) Changes() (records []Record, all bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.clock.read(g.cfg.Now())
	c := &g.changes
	all = c.slipped(g.clock.last, t) || c.isFull()
	if all {
		records = g.records(t)
	} else {
		records = g.changed(t)
	}
	if len(records) > 0 {
		c.clock = t
	}
	c.clear()
	return records, all
}

// changed returns the records that changed, and the clock's beside them or once an hour.
func (g *Guard) changed(t time.Duration) (records []Record) {
	c := &g.changes
	for k := range c.sources {
		records = append(records, g.sourceRecord(k, t))
	}
	for name := range c.accounts {
		records = append(records, g.accountRecord(name, t))
	}
	for p := range c.words {
		records = append(records, g.wordRecords(p)...)
	}
	if len(records) > 0 || t-c.clock >= clockEvery {
		records = append(records, g.clockRecord())
	}
	return records
}

// Restore takes back what Records or Changes returned earlier; call it before the
// guard is used. dropped says how many records cannot be, and were left out.
//
// The clock is not trusted. Records are judged as of the moment when it was looked at
// last, and of the time since then no more is believed than of any step: where the
// clock is behind no time has passed, where it is a year ahead a day has. Whatever a
// record says, a ban takes no longer than the longest. What the owner said ends when
// the calendar says so.
func (g *Guard) Restore(records []Record) (dropped int) {
	g.mu.Lock()
	t := g.clock.read(g.cfg.Now())
	then := asOf(records, g.clock.last.Round(0))
	for _, r := range records {
		if !g.restore(r, then, t) {
			dropped++
		}
	}
	g.changes.all = true
	g.mu.Unlock()
	g.Recheck()
	return dropped
}

// asOf returns the time at which records are judged.
func asOf(records []Record, now time.Time) time.Time {
	var seen time.Time
	for _, r := range records {
		if r.Type == recordClock && r.Last.After(seen) {
			seen = r.Last
		}
	}
	if seen.IsZero() {
		return now
	}
	return seen.Add(believed(now.Sub(seen)))
}

// restore takes one record back; false if it cannot be.
func (g *Guard) restore(r Record, then time.Time, t time.Duration) bool {
	switch r.Type {
	case recordClock:
		return !r.Gone && r.Key == "" && !r.Last.IsZero()
	case recordBan, recordAllow:
		return g.restoreWord(r)
	case recordSource:
		p, err := netip.ParsePrefix(r.Key)
		if err != nil {
			return false
		}
		k, ok := keyFrom(p)
		if !ok || !g.isPossible(r) || k.isWide() && !k.isRouted() {
			return false
		}
		g.restoreSource(k, r, then, t)
		return true
	case recordAccount:
		name := named(r.Key)
		if name == "" || !g.isPossible(r) {
			return false
		}
		g.restoreAccount(name, r, then, t)
		return true
	}
	return false
}

// maxLevel is more doublings than any ban can take.
const maxLevel = 64

// isPossible reports whether the record of a counter can be one.
func (g *Guard) isPossible(r Record) bool {
	return !r.Gone && r.Level >= 0 && r.Level <= maxLevel && r.Long >= 0 && r.Long <= math.MaxInt32 && !r.Last.IsZero() &&
		(r.Until.IsZero() || !r.Since.IsZero() && r.Since.Before(r.Until))
}

// counterOf returns the counter of a record, whose bans take no more than longest.
func (g *Guard) counterOf(r Record, then time.Time, t, longest time.Duration) counter {
	ago := func(at time.Time) time.Duration { return t - min(max(0, then.Sub(at)), leap) }
	c := counter{level: min(r.Level, top(g.cfg.Ban, longest)), last: ago(r.Last)}
	c.empty = c.last + time.Duration(min(r.Long, g.cfg.LongThreshold))*g.cost
	if r.Until.IsZero() {
		c.since, c.until = c.last, c.last
		return c
	}
	c.since, c.until, c.held = ago(r.Since), ago(r.Until), max(0, c.level-1)
	if left := min(r.Until.Sub(then), r.Until.Sub(r.Since), longest); left > 0 {
		c.until = t + left
	}
	return c
}

func (g *Guard) restoreSource(k key, r Record, then time.Time, t time.Duration) {
	c := g.counterOf(r, then, t, g.cfg.MaxBan)
	if !c.shut(t) && c.levelAt(t) == 0 {
		return
	}
	e := g.sources.get(k, t)
	e.counter = c
	e.d = &details{by: ByFailures, why: clean(r.Why, maxWhy), forgiven: never}
	if k.isWide() {
		e.d.by = ByPrefix
	}
	if n, ok := r.Kind.index(); ok {
		e.d.kind = kinds[n]
	}
	if addr, err := netip.ParseAddr(r.Addr); err == nil && k.prefix().Contains(plain(addr)) {
		e.d.addr = plain(addr)
	}
	g.sources.file(e, t)
}

func (g *Guard) restoreAccount(name string, r Record, then time.Time, t time.Duration) {
	c := g.counterOf(r, then, t, MaxSlow)
	if !c.shut(t) && c.levelAt(t) == 0 {
		return
	}
	e := g.accounts.get(name, t)
	e.counter, e.d = c, &details{why: clean(r.Why, maxWhy)}
	g.accounts.file(e, t)
}

// restoreWord takes back what the owner said.
func (g *Guard) restoreWord(r Record) bool {
	p, err := netip.ParsePrefix(r.Key)
	if err != nil || r.Gone {
		return false
	}
	w := word{allowed: r.Type == recordAllow, since: r.Since.Round(0), until: r.Until.Round(0), why: clean(r.Why, maxWhy)}
	if w.allowed {
		w.until = time.Time{}
	}
	if w.prefix, err = tidy(p); err != nil {
		return false
	}
	return g.words.say(w) == nil
}
