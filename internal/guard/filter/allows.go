package filter

import (
	"net/netip"
	"slices"

	"github.com/oschwald/maxminddb-golang/v2"
)

// parts is how many networks of a file are looked at for one that is allowed: a /48 rarely has
// more than a few.
const parts = 1 << 12

// Allows reports whether a rule that allows is about some address of a prefix, at any door and
// for any request: who is dropped unseen never gets to what is allowed. "any" names nobody. What
// cannot be told, for a file is missing, is taken for allowed.
func (f *Filter) Allows(p netip.Prefix) bool { return f.table.Load().Allows(p) }

// Allows reports whether a rule that allows is about some address of a prefix: see Filter.Allows.
func (t *Table) Allows(p netip.Prefix) bool {
	return slices.ContainsFunc(t.rules, func(r compiled) bool { return !r.deny && r.touches(t, p) })
}

// touches reports whether a rule is, or may be, about some address of a prefix.
func (r *compiled) touches(t *Table, p netip.Prefix) bool {
	if slices.ContainsFunc(r.prefixes, p.Overlaps) {
		return true
	}
	read := 0
	if r.set != nil {
		read = len(r.set.lists)
	}
	return read < r.wanted || r.set.overlaps(p) ||
		len(r.nations) > 0 && t.countries.tellsOf(p, func(x place) bool { return slices.Contains(r.nations, x.country) }) ||
		len(r.numbers) > 0 && t.asns.tellsOf(p, func(x place) bool { return slices.Contains(r.numbers, x.asn) })
}

// overlaps reports whether some address of a prefix is in the set. A nil set has none.
func (s *set) overlaps(p netip.Prefix) bool {
	if s == nil {
		return false
	}
	if s.all.LookupPrefix(p) {
		return true
	}
	for range s.all.Subnets(p) {
		return true
	}
	return false
}

// tellsOf reports whether something is, or may be, so of some network in a prefix. Of a nil
// file anything may be.
func (g *geo) tellsOf(p netip.Prefix, so func(place) bool) (is bool) {
	defer func() {
		if recover() != nil { // what the library stumbles over cannot be told
			is = true
		}
	}()
	if g == nil {
		return true
	}
	n := 0
	for result := range g.reader.NetworksWithin(p, maxminddb.IncludeNetworksWithoutData()) {
		if n++; n > parts || so(placeOf(result)) {
			return true
		}
	}
	return false
}
