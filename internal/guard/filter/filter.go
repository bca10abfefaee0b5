// Package filter judges an address by the owner's IP rules: by prefix, country,
// network operator and lists of addresses, at one door or all, for some routes or all.
//
// It only ever takes away. What a rule allows still has to sign in; what no rule
// speaks of goes on as if there were none.
//
// Decisions taken here:
//   - Rules are asked in their order and the first that matches decides.
//   - A rule that denies spares who is at home: addresses that a home gives out itself
//     (private, loopback, link-local, a provider's shared ones) and, where the caller can
//     tell, the neighbours on the house's own link, whose IPv6 addresses are public. Lists
//     and "any" contain these often (FireHOL's level 1 holds 192.168.0.0/16), and an owner
//     who is locked out of their own house opens it for good. A prefix written in the rule
//     itself means what it says, and "any" with home = true means everybody. A rule that
//     allows matches at home as anywhere else.
//   - An address has one form: IPv4-mapped IPv6 and the well-known prefix of NAT64 are the
//     IPv4 address inside, and a zone is left out. 6to4 and Teredo addresses keep theirs, but
//     a rule that denies looks at the IPv4 address inside as well, so that a denied network
//     does not come back through a tunnel. A rule that allows does not.
//   - What cannot be told matches nothing: an address without a country is not in the one
//     that a rule names, neither to allow nor to deny it. So "allow country:DE, deny any"
//     shuts out what nobody can place, and a file that is missing shuts out everybody
//     outside. Explain says where that was so.
//   - At accept, before a byte is read, neither route nor device is known. Whoever would be
//     denied whatever they ask is turned away there; who could get something is let speak.
package filter

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// The actions.
const (
	Allow = "allow"
	Deny  = "deny"
)

// Rule is one rule as the owner wrote it.
type Rule struct {
	Action    string   // Allow or Deny
	Doors     []string // at which it holds; all if empty
	Routes    []string // for which it holds; all if empty
	From      []string // whom it is about: see ParseFrom
	KnownPass bool     // of a rule that denies: it is not about known devices
	Home      bool     // of a rule that denies: "any" is who is at home, too
}

// Ask is what a request, or somebody at the door, is judged by.
type Ask struct {
	Addr  netip.Addr
	Door  string
	Route string // empty where there is none
	Known bool   // a device that is known asks
	// Home, where the caller has it, reports whether an address is a neighbour's on the
	// house's own link. It is asked only where that decides.
	Home func(netip.Addr) bool
}

// Verdict is what the rules say. The zero Verdict is that of no rule.
type Verdict struct {
	Rule   int // that decided, from 1; 0 if none did
	Denied bool
}

// Table is a set of rules with the data that they need. It does not change and is safe
// for use by several goroutines. The zero Table has no rules.
type Table struct {
	rules     []compiled
	countries *geo
	asns      *geo
}

// compiled is a rule in the form in which it is asked.
type compiled struct {
	Rule
	deny     bool
	any      bool
	prefixes []netip.Prefix
	nations  []string
	numbers  []uint32
	wanted   int  // lists that it names
	set      *set // of all of them that could be read; nil if there are none
}

// Judge says what the rules mean for a request.
func (t *Table) Judge(a Ask) Verdict {
	if len(t.rules) == 0 {
		return Verdict{}
	}
	s := t.see(a)
	for i := range t.rules {
		r := &t.rules[i]
		if r.at(a.Door) && r.about(a.Route) && !(r.KnownPass && a.Known) && r.matches(&s) {
			return Verdict{Rule: i + 1, Denied: r.deny}
		}
	}
	return Verdict{}
}

// Admit says what the rules mean for somebody at the door who has said nothing yet: it
// denies whom Judge would deny whatever they asked and whoever they were. Route and Known
// of the Ask are not looked at.
func (t *Table) Admit(a Ask) Verdict {
	if len(t.rules) == 0 {
		return Verdict{}
	}
	s := t.see(a)
	for i := range t.rules {
		r := &t.rules[i]
		if !r.at(a.Door) || r.deny && r.depends() || !r.matches(&s) || t.vain(i, a.Door, &s) {
			continue
		}
		return Verdict{Rule: i + 1, Denied: r.deny}
	}
	return Verdict{}
}

// vain reports whether a rule allows routes alone that rules before it deny to everybody.
func (t *Table) vain(rule int, door string, s *sight) bool {
	r := &t.rules[rule]
	if r.deny || len(r.Routes) == 0 {
		return false
	}
	for _, route := range r.Routes {
		denied := func(before compiled) bool {
			return before.deny && !before.KnownPass && before.at(door) && slices.Contains(before.Routes, route) && before.matches(s)
		}
		if !slices.ContainsFunc(t.rules[:rule], denied) {
			return false
		}
	}
	return true
}

// at reports whether a rule holds at a door.
func (r *compiled) at(door string) bool {
	return len(r.Doors) == 0 || slices.Contains(r.Doors, door)
}

// about reports whether a rule holds for a route.
func (r *compiled) about(route string) bool {
	return len(r.Routes) == 0 || slices.Contains(r.Routes, route)
}

// depends reports whether it takes a request to know whether a rule holds.
func (r *compiled) depends() bool { return len(r.Routes) > 0 || r.KnownPass }

// matches reports whether a rule is about somebody. The cheapest comes first.
func (r *compiled) matches(s *sight) bool {
	_, _, named := r.named(s)
	switch {
	case named, r.any && (!r.deny || r.Home):
		return true
	case !r.any && !r.lists(s) && !r.isIn(s) && !r.isOf(s):
		return false
	}
	return !r.deny || !s.atHome()
}

// named returns the prefix of the rule itself that an address is in, and which address
// of the two.
func (r *compiled) named(s *sight) (netip.Prefix, netip.Addr, bool) {
	for _, p := range r.prefixes {
		switch {
		case p.Contains(s.addr):
			return p, s.addr, true
		case r.deny && p.Contains(s.inner):
			return p, s.inner, true
		}
	}
	return netip.Prefix{}, netip.Addr{}, false
}

// lists reports whether an address is in a list.
func (r *compiled) lists(s *sight) bool {
	return r.set != nil && (r.set.all.Contains(s.addr) || r.deny && s.inner.IsValid() && r.set.all.Contains(s.inner))
}

// isIn reports whether an address is in one of the rule's countries.
func (r *compiled) isIn(s *sight) bool {
	if len(r.nations) == 0 {
		return false
	}
	n := s.countries()
	return slices.Contains(r.nations, n.here.country) || r.deny && slices.Contains(r.nations, n.inner.country)
}

// isOf reports whether an address belongs to one of the rule's network operators.
func (r *compiled) isOf(s *sight) bool {
	if len(r.numbers) == 0 {
		return false
	}
	n := s.networks()
	return slices.Contains(r.numbers, n.here.asn) || r.deny && slices.Contains(r.numbers, n.inner.asn)
}

// sight is what is known of an address. What a rule does not ask for is not looked up.
type sight struct {
	t     *Table
	addr  netip.Addr // in its one form
	inner netip.Addr // the IPv4 address of a tunnel's end; mostly invalid

	neighbour       func(netip.Addr) bool
	home            lookup[bool]
	nation, network lookup[both]
}

// lookup is an answer, once it was asked for.
type lookup[T any] struct {
	done   bool
	answer T
}

// both is what was found of an address and of the one inside it.
type both struct{ here, inner place }

func (t *Table) see(a Ask) sight {
	addr := Normal(a.Addr)
	return sight{t: t, addr: addr, inner: inside(addr), neighbour: a.Home}
}

// atHome reports whether a rule that denies spares the address.
func (s *sight) atHome() bool {
	if !s.home.done {
		s.home = lookup[bool]{true, AtHome(s.addr) || s.neighbour != nil && s.neighbour(s.addr)}
	}
	return s.home.answer
}

func (s *sight) countries() both {
	if !s.nation.done {
		s.nation = lookup[both]{true, s.find(s.t.countries, (*geo).country)}
	}
	return s.nation.answer
}

func (s *sight) networks() both {
	if !s.network.done {
		s.network = lookup[both]{true, s.find(s.t.asns, (*geo).network)}
	}
	return s.network.answer
}

func (s *sight) find(g *geo, in func(*geo, netip.Addr) place) (found both) {
	if g == nil || !s.addr.IsValid() || AtHome(s.addr) {
		return found
	}
	found.here = in(g, s.addr)
	if s.inner.IsValid() {
		found.inner = in(g, s.inner)
	}
	return found
}

// set is the union of lists: the form in which they are asked.
type set struct {
	lists []*list // in the rule's order
	all   *bart.Lite
}

// newSet merges lists. Together with what each list keeps, a million prefixes of which none
// is near another cost 65 MiB; where they are near each other, as in real lists, less
// (docs/performance.md).
func newSet(lists []*list) *set {
	s := &set{lists: lists, all: &bart.Lite{}}
	for _, l := range lists {
		for p := range l.prefixes {
			s.all.Insert(p)
		}
	}
	return s
}

// find returns the entry that an address is in: of all lists that have it, the one that
// says it most precisely.
func (s *set) find(addr netip.Addr) (found entry, in *list) {
	for _, l := range s.lists {
		if e, ok := l.find(addr); ok && (in == nil || e.prefix.Bits() > found.prefix.Bits()) {
			found, in = e, l
		}
	}
	return found, in
}
