package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/event"
	"gatehouse/internal/guard"
	"gatehouse/internal/guard/filter"
	"gatehouse/internal/identity"
)

// What the verbs of guard look at and change.

// banRow is a ban in a document.
type banRow struct {
	Source string `json:"source"` // an address or a network
	Since  string `json:"since,omitempty"`
	Until  string `json:"until"` // empty: until it is lifted
	By     string `json:"by"`    // failures, prefix or owner
	Level  int    `json:"level"` // how often it was banned before, less its quiet days
	Why    string `json:"why"`
}

func rowOfBan(b guard.Ban) banRow {
	return banRow{addrOf(b.Prefix), stamp(b.Since), stamp(b.Until), string(b.By), b.Level, b.Why}
}

// allowedRow is an allowance in a document.
type allowedRow struct {
	Source string `json:"source"`
	Since  string `json:"since"`
	Why    string `json:"why"`
}

// sharedRow is an address that is not banned because many are behind it.
type sharedRow struct {
	Addr  string `json:"addr"`
	Since string `json:"since"`
	Why   string `json:"why"`
}

// slowedRow is an account for which unknown devices have to wait.
type slowedRow struct {
	Account string `json:"account"` // a person's name, or the first letters of what was typed
	Until   string `json:"until"`
	Sources int    `json:"sources"` // from how many addresses it was tried
	Why     string `json:"why"`
}

// guardRow is how the guard stands, in the documents of status and of guard status.
type guardRow struct {
	Threshold     int   `json:"threshold"`
	WindowSeconds int64 `json:"window_seconds"`
	BanSeconds    int64 `json:"ban_seconds"`
	MaxBanSeconds int64 `json:"max_ban_seconds"`

	Failures  int           `json:"failures"`             // of everybody within the window
	Overall   int           `json:"overall"`              // so many are too many
	WaryUntil string        `json:"wary_until,omitempty"` // strangers are met warily, as too much fails from all over
	Sources   int           `json:"sources"`              // remembered
	Shared    []sharedRow   `json:"shared"`
	Slowed    []slowedRow   `json:"slowed"`
	Allowed   []allowedRow  `json:"allowed"`
	Files     []filter.File `json:"files,omitempty"`     // that the rules for addresses need, of a running gateway
	Unwritten string        `json:"unwritten,omitempty"` // why bans cannot be written down
}

func (h *house) guardRow() guardRow {
	s := h.guard.Status()
	row := guardRow{Threshold: s.Threshold, WindowSeconds: int64(s.Window), BanSeconds: int64(s.Ban), MaxBanSeconds: int64(s.MaxBan),
		Failures: s.Failures, Overall: s.Overall, WaryUntil: stamp(s.Wary), Sources: s.Sources, Shared: []sharedRow{}, Slowed: []slowedRow{}, Allowed: []allowedRow{}}
	for _, x := range s.Shared {
		row.Shared = append(row.Shared, sharedRow{x.Addr.String(), stamp(x.Since), x.Why})
	}
	for _, x := range s.Slowed {
		row.Slowed = append(row.Slowed, slowedRow{h.accountWord(x.Account), stamp(x.Until), x.Sources, x.Why})
	}
	for _, x := range h.guard.Allowed() {
		row.Allowed = append(row.Allowed, allowedRow{addrOf(x.Prefix), stamp(x.Since), x.Why})
	}
	if h.server != nil {
		row.Files = h.server.filter.Files()
	}
	if _, err := h.kept.trouble(); err != nil {
		row.Unwritten = err.Error()
	}
	return row
}

// bans are all of them, those that began last first.
func (h *house) bans() []banRow {
	all := h.guard.Bans()
	slices.SortStableFunc(all, func(a, b guard.Ban) int { return b.Since.Compare(a.Since) })
	rows := make([]banRow, len(all))
	for i, b := range all {
		rows[i] = rowOfBan(b)
	}
	return rows
}

type guardDocument struct {
	SchemaVersion int      `json:"schema_version"`
	Running       bool     `json:"running"`
	Guard         guardRow `json:"guard"`
	Bans          []banRow `json:"bans"`
}

func guardStatus(_ context.Context, h *house, _ none) (guardDocument, error) {
	return guardDocument{schemaVersion, h.server != nil, h.guardRow(), h.bans()}, nil
}

// banWish is whom the owner does not want listened to.
type banWish struct {
	Source  string `json:"source"`
	Seconds int64  `json:"seconds"` // 0: until it is lifted
	Why     string `json:"why"`
	Sure    bool   `json:"sure"` // also if it could lock the owner out
}

type bansDocument struct {
	SchemaVersion int      `json:"schema_version"`
	Bans          []banRow `json:"bans"`   // made, or lifted
	Except        []string `json:"except"` // parts of them that are allowed all the same
}

// maxBan is how long a ban with an end may be.
const maxBan = 365 * 24 * time.Hour

func banSource(ctx context.Context, h *house, in banWish) (doc bansDocument, err error) {
	p, err := prefixOf(in.Source)
	if err != nil {
		return doc, err
	}
	if in.Seconds < 0 || in.Seconds > int64(maxBan/time.Second) {
		return doc, &problem{status: statusUsage, err: errors.New("a ban lasts up to 365 days"), hint: `or until it is lifted: --for forever`}
	}
	if risk := h.risk(p); risk != "" && !in.Sure {
		return doc, &problem{status: statusNo, err: fmt.Errorf("%s is not banned: %s", addrOf(p), risk), hint: "say --yes if it shall be"}
	}
	var until time.Time
	if in.Seconds > 0 {
		until = time.Now().Add(time.Duration(in.Seconds) * time.Second)
	}
	why := cmp.Or(oneLine(in.Why), "the owner said so")
	if err := h.guard.Ban(p, until, why); err != nil {
		return doc, cannotSay(err)
	}
	b := guard.Ban{Prefix: p, Since: time.Now(), Until: until, By: guard.ByOwner, Why: why}
	doc = bansDocument{schemaVersion, []banRow{rowOfBan(b)}, []string{}}
	for _, a := range h.guard.Allowed() {
		if a.Prefix.Bits() > p.Bits() && p.Overlaps(a.Prefix) {
			doc.Except = append(doc.Except, addrOf(a.Prefix))
		}
	}
	return doc, h.keep(ctx, addrOf(p)+" is banned", bannedEvent(b))
}

// keep writes down what the owner said, before it is answered, and tells of it where it holds:
// did says what. In a running gateway it holds until that ends; without one it holds only where
// it is written.
func (h *house) keep(ctx context.Context, did string, told ...event.Event) error {
	err := h.kept.write(ctx)
	if err != nil && h.server == nil {
		return &problem{status: statusCannot, err: fmt.Errorf("nothing is changed: that %s could not be written down: %w", did, err), hint: asProblem(err).hint}
	}
	for _, e := range told {
		h.events(e)
	}
	if err != nil {
		return &problem{status: statusPartly, err: fmt.Errorf("%s, but that could not be written down, and a restart forgets it: %w", did, err), hint: asProblem(err).hint}
	}
	return nil
}

// cannotSay is why the guard did not take what the owner said.
func cannotSay(err error) error {
	p := &problem{status: statusUsage, err: err}
	if errors.Is(err, guard.ErrFull) {
		p.status, p.err, p.hint = statusNo, errors.New("too many addresses are banned or allowed already"), "ban whole networks, or use a list file in [[guard.rules]]"
	}
	return p
}

// prefixOf reads an address or a network that somebody typed.
func prefixOf(text string) (netip.Prefix, error) {
	p, err := config.ParsePrefix(text)
	if err != nil {
		return p, &problem{status: statusUsage, err: fmt.Errorf("%.60q %w", text, err), hint: `an address looks like "203.0.113.7" or "2001:db8::7", a network like "203.0.113.0/24" or "2001:db8::/64"`}
	}
	return p, nil
}

// maxWhy is how much of a reason is kept, in letters.
const maxWhy = 200

// oneLine is what somebody typed as it stands in a line of a terminal or a log.
func oneLine(text string) string {
	var line []rune
	for _, r := range text {
		if r < ' ' || r == 0x7f {
			r = ' '
		}
		if line = append(line, r); len(line) == maxWhy {
			break
		}
	}
	return string(line)
}

// seenLately is how far back a known device makes an address one that the owner needs.
const seenLately = 7 * 24 * time.Hour

// risk says what a ban of a prefix would do to the owner; empty if nothing is known of that.
func (h *house) risk(p netip.Prefix) string {
	if p.Bits() == 0 {
		return "it is everybody"
	}
	for _, text := range h.cfg.Guard.Allow {
		if a, err := config.ParsePrefix(text); err == nil && a == p {
			return "guard.allow in the configuration allows it, and would do so again after a restart"
		}
	}
	own := slices.Concat(h.links.Addrs(), []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}) // a list of its own
	for _, addr := range own {
		if p.Contains(addr) {
			return fmt.Sprintf("%s is this machine, and what comes from it (a tunnel, another proxy) would be refused", addr)
		}
	}
	if p.IsSingleIP() {
		if why := sharedBy(h.cfg, h.links)(p.Addr()); why != "" {
			return why
		}
	}
	for _, d := range h.identity.Devices() {
		if addr, ok := recently(d); ok && p.Contains(addr) {
			return fmt.Sprintf("%s of %s came from %s %s: known devices pass a ban, but whoever has to sign in anew there could not", d.Name, d.PersonName, addr, ago(stamp(d.LastSeen)))
		}
	}
	return ""
}

// recently is where a device was seen lately.
func recently(d identity.Device) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(d.LastAddr)
	return addr.Unmap().WithZone(""), err == nil && d.RevokedAt.IsZero() && time.Since(d.LastSeen) < seenLately
}

// unbanWish is who shall be listened to again.
type unbanWish struct {
	Source string `json:"source"`
	All    bool   `json:"all"`
}

func unbanSource(ctx context.Context, h *house, in unbanWish) (doc bansDocument, err error) {
	prefixes, what := []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}, "everybody who was banned"
	if !in.All {
		p, err := prefixOf(in.Source)
		if err != nil {
			return doc, err
		}
		prefixes, what = []netip.Prefix{p}, addrOf(p)
	}
	doc = bansDocument{schemaVersion, []banRow{}, []string{}}
	var told []event.Event
	for _, p := range prefixes {
		for _, b := range h.guard.Unban(p) {
			doc.Bans = append(doc.Bans, rowOfBan(b))
			told = append(told, event.Event{Kind: event.Unbanned, Addr: addrOf(b.Prefix), Detail: "by the owner", Owner: true})
		}
	}
	did := what + " is listened to again"
	if len(told) == 0 {
		did = "what failed is forgotten"
	}
	if err := h.keep(ctx, did, told...); err != nil {
		return doc, err
	}
	if len(doc.Bans) == 0 {
		return doc, &problem{status: statusNo, err: errors.New(map[bool]string{true: "nobody is banned", false: "not that " + what + " is banned"}[in.All]), hint: `"gatehouse guard status" shows who is`}
	}
	return doc, nil
}

// allowWish is who is never to be banned, or may be again.
type allowWish struct {
	Source string `json:"source"`
	Remove bool   `json:"remove"`
	Why    string `json:"why"`
	Sure   bool   `json:"sure"`
}

type allowDocument struct {
	SchemaVersion int        `json:"schema_version"`
	Allowed       bool       `json:"allowed"`
	Allowance     allowedRow `json:"allowance"`
	Except        []string   `json:"except"` // parts of it that the owner banned, and that stay banned
}

func allowSource(ctx context.Context, h *house, in allowWish) (doc allowDocument, err error) {
	p, err := prefixOf(in.Source)
	if err != nil {
		return doc, err
	}
	doc = allowDocument{schemaVersion, !in.Remove, allowedRow{Source: addrOf(p)}, []string{}}
	for _, a := range h.guard.Allowed() {
		if a.Prefix == p && a.Why == byConfiguration {
			if !in.Remove {
				return doc, &problem{status: statusNo, err: fmt.Errorf("%s is allowed already: %s", addrOf(p), a.Why)}
			}
			return doc, &problem{status: statusNo, err: fmt.Errorf("%s stays allowed: %s", addrOf(p), a.Why), hint: "take it out there, and restart the gateway"}
		}
	}
	if in.Remove {
		if !h.guard.Disallow(p) {
			return doc, &problem{status: statusNo, err: fmt.Errorf("%s was not allowed", addrOf(p)), hint: `"gatehouse guard status" shows what is`}
		}
		return doc, h.keep(ctx, addrOf(p)+" may be banned again", event.Event{Kind: event.Disallowed, Addr: addrOf(p)})
	}
	if p.Bits() == 0 && !in.Sure {
		return doc, &problem{status: statusNo, err: fmt.Errorf("%s is not allowed: it is everybody, and nobody would be banned any more", addrOf(p)), hint: "say --yes if it shall be"}
	}
	doc.Allowance.Since, doc.Allowance.Why = stamp(time.Now()), cmp.Or(oneLine(in.Why), "the owner said so")
	if err := h.guard.Allow(p, doc.Allowance.Why); err != nil {
		return doc, cannotSay(err)
	}
	for _, b := range h.guard.Bans() {
		if b.Prefix.Bits() > p.Bits() && p.Overlaps(b.Prefix) {
			doc.Except = append(doc.Except, addrOf(b.Prefix))
		}
	}
	return doc, h.keep(ctx, addrOf(p)+" is allowed", event.Event{Kind: event.Allowed, Addr: addrOf(p), Detail: doc.Allowance.Why})
}

// banOf is the ban that an explanation speaks of, with what was said of it at the time.
func (h *house) banOf(x guard.Explanation) guard.Ban {
	for _, b := range h.guard.Bans() {
		if b.Prefix == x.Prefix && b.By == x.By {
			return b
		}
	}
	return guard.Ban{Prefix: x.Prefix, Since: x.Since, Until: x.Until, Level: x.Level, By: x.By, Why: x.Why}
}

// rulesRow is what the rules of the configuration say of an address.
type rulesRow struct {
	Decide bool     `json:"decide"` // the guard is not asked any more, at any door
	Denied bool     `json:"denied"` // it is refused by a rule
	Say    []string `json:"say"`    // in words, in the order in which they are asked

	Why *filter.Explanation `json:"why,omitempty"` // rule by rule
}

// noteRow is a failure that is remembered.
type noteRow struct {
	At      string `json:"at"`
	Addr    string `json:"addr"`
	Kind    string `json:"kind"`
	What    string `json:"what"` // in words
	Route   string `json:"route,omitempty"`
	Door    string `json:"door"`
	Account string `json:"account,omitempty"`
}

// knownRow is a known device that was seen there.
type knownRow struct {
	Device string `json:"device"`
	Name   string `json:"name"`
	Person string `json:"person"`
	Seen   string `json:"seen"`
}

// Who decides whether an address is listened to.
const (
	decidedByRules  = "rules"
	decidedByOwner  = "owner"
	decidedByShared = "shared"
	decidedByBan    = "ban"
	decidedByCounts = "counts"
)

type explainDocument struct {
	SchemaVersion int    `json:"schema_version"`
	Addr          string `json:"addr"`
	CountedAs     string `json:"counted_as"`
	Banned        bool   `json:"banned"`
	Decided       string `json:"decided"` // rules, owner, shared, ban or counts

	Rules     rulesRow       `json:"rules"`
	Allowed   *allowedRow    `json:"allowed,omitempty"`
	Shared    string         `json:"shared,omitempty"` // why it is not banned, whatever fails there
	Ban       *banRow        `json:"ban,omitempty"`
	Why       string         `json:"why"`
	Failures  int            `json:"failures"` // within the window
	Threshold int            `json:"threshold"`
	Window    int64          `json:"window_seconds"`
	Long      int            `json:"long"` // within days
	LongLimit int            `json:"long_limit"`
	NextBan   int64          `json:"next_ban_seconds"`
	Kinds     map[string]int `json:"kinds"` // of the failures that are remembered
	Last      []noteRow      `json:"last"`  // the newest last
	Known     []knownRow     `json:"known"` // the newest first
}

func explainSource(_ context.Context, h *house, in named) (doc explainDocument, err error) {
	p, err := prefixOf(in.Name)
	if err != nil {
		return doc, err
	}
	if !p.IsSingleIP() {
		return doc, &problem{status: statusUsage, err: fmt.Errorf("%s is a network", p), hint: `explain wants one address; "gatehouse guard status" shows the networks that are banned`}
	}
	x, s := h.guard.Explain(p.Addr()), h.guard.Status()
	doc = explainDocument{SchemaVersion: schemaVersion, Addr: p.Addr().String(), CountedAs: addrOf(x.CountedAs), Banned: x.Banned, Decided: decidedByCounts, Rules: rulesRow{Say: []string{}},
		Why: x.Why, Failures: x.Failures, Threshold: x.Threshold, Window: int64(s.Window), Long: x.Long, LongLimit: x.LongLimit, NextBan: int64(x.NextBan),
		Kinds: map[string]int{}, Last: []noteRow{}, Known: []knownRow{}}
	if h.rules != nil {
		doc.Rules = h.rules(p.Addr())
	}
	if x.Allowed.IsValid() {
		doc.Allowed = &allowedRow{Source: addrOf(x.Allowed), Why: x.AllowWhy}
	}
	if x.Shared {
		doc.Shared = x.SharedWhy
	}
	if x.Banned {
		row := rowOfBan(h.banOf(x))
		doc.Ban = &row
	}
	switch {
	case doc.Rules.Decide:
		doc.Decided = decidedByRules
	case x.Banned && x.By == guard.ByOwner, !x.Banned && x.Allowed.IsValid():
		doc.Decided = decidedByOwner
	case x.Shared:
		doc.Decided = decidedByShared
	case x.Banned:
		doc.Decided = decidedByBan
	}
	for kind, n := range x.Kinds {
		doc.Kinds[string(kind)] = n
	}
	for _, n := range x.Last {
		doc.Last = append(doc.Last, noteRow{stamp(n.At), n.Addr.String(), string(n.Kind), n.Kind.Sentence(), n.What, n.Door, h.accountWord(n.Account)})
	}
	devices := h.identity.Devices()
	for _, d := range x.Known {
		row := knownRow{Device: d.Device, Seen: stamp(d.Seen)}
		if i := slices.IndexFunc(devices, func(k identity.Device) bool { return k.ID == d.Device }); i >= 0 {
			row.Name, row.Person = devices[i].Name, devices[i].PersonName
		}
		doc.Known = append(doc.Known, row)
	}
	return doc, nil
}
