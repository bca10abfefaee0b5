package filter

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/oschwald/maxminddb-golang/v2"
)

// maxGeo bounds a MaxMind DB file, which is held in memory. The largest of those that are
// sold, of cities, have some 130 MiB; those of countries 10.
const maxGeo = 512 << 20

// A file of this form ends with what it says of itself, behind a mark (MaxMind DB file format,
// "Metadata section"): the last of them, and all of it in the last bytes.
const (
	geoMark = "\xab\xcd\xefMaxMind.com"
	geoEnd  = 128 << 10
)

// What a file of this form is asked for.
const (
	forCountries = "countries"
	forNetworks  = "networks"
)

// place is what is known of where an address belongs. What is not known is zero.
type place struct {
	country      string // ISO 3166-1, two capital letters
	asn          uint32
	organisation string
}

// operator names a network operator.
func (p place) operator() string {
	return strings.TrimSpace(fmt.Sprintf("network %d %s", p.asn, p.organisation))
}

// geo is a MaxMind DB: MaxMind's, DB-IP's, IPinfo's or one in their form. It is held in
// memory and not mapped: a file that is cut short while it is mapped kills the process.
type geo struct {
	reader *maxminddb.Reader
	kind   string // what it calls itself
	built  time.Time
}

// sample is how many networks of a file are looked at for something that is told of them.
const sample = 100_000

// openGeo reads a file's bytes and makes sure that all of it can be read and that it tells
// what it is to be asked for. data must not change afterwards.
func openGeo(path string, data []byte, wanted ...string) (g *geo, err error) {
	defer func() {
		if p := recover(); p != nil {
			g, err = nil, fmt.Errorf("%s: is damaged: %v", path, p)
		}
	}()
	r, err := maxminddb.OpenBytes(data)
	if err == nil {
		err = r.Verify() // in time that goes with its size: shared and circular trees, too
	}
	if err != nil {
		return nil, fmt.Errorf("%s: is damaged or no MaxMind DB: %w", path, err)
	}
	g = &geo{reader: r, kind: r.Metadata.DatabaseType, built: r.Metadata.BuildTime()}
	for _, what := range wanted {
		if !g.tells(what) {
			return nil, fmt.Errorf("%s: is of type %.60q and tells no %s", path, g.kind, what)
		}
	}
	return g, nil
}

// tells reports whether a file says what it is to be asked for. Networks of which nothing
// is told count, too: a tree that shares its branches has more of them than anybody can walk.
func (g *geo) tells(what string) bool {
	n := 0
	for result := range g.reader.Networks(maxminddb.IncludeNetworksWithoutData()) {
		if p := placeOf(result); what == forCountries && p.country != "" || what == forNetworks && p.asn != 0 {
			return true
		}
		if n++; n == sample {
			break
		}
	}
	return false
}

// country returns the country of an address, as far as it is known.
func (g *geo) country(addr netip.Addr) place {
	return g.find(addr, func(r maxminddb.Result) place { return place{country: countryOf(r)} })
}

// network returns the network operator of an address, as far as it is known.
func (g *geo) network(addr netip.Addr) place { return g.find(addr, operatorOf) }

// find looks an address up. What the library stumbles over is not known.
func (g *geo) find(addr netip.Addr, read func(maxminddb.Result) place) (p place) {
	defer func() {
		if recover() != nil {
			p = place{}
		}
	}()
	return read(g.reader.Lookup(addr))
}

func operatorOf(r maxminddb.Result) (p place) {
	p.asn, p.organisation = networkOf(r)
	return p
}

func placeOf(r maxminddb.Result) place {
	p := operatorOf(r)
	p.country = countryOf(r)
	return p
}

// countryOf reads the country that an address is used in; where that is not known, as with
// satellites and networks without a place, the one that it is registered in. MaxMind and
// DB-IP keep them apart, IPinfo says one alone.
func countryOf(r maxminddb.Result) string {
	return firstText(r, code, []any{"country", "iso_code"}, []any{"registered_country", "iso_code"}, []any{"country_code"}, []any{"country"})
}

// code reads a country's code; anything else is none.
func code(s string) string {
	if s = strings.ToUpper(s); len(s) != 2 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
		return ""
	}
	return s
}

// firstText returns the first text in a record that counts.
func firstText(r maxminddb.Result, counts func(string) string, paths ...[]any) string {
	if !r.Found() {
		return ""
	}
	for _, path := range paths {
		var s string
		if r.DecodePath(&s, path...) != nil { // another layout has something else there
			continue
		}
		if s = counts(s); s != "" {
			return s
		}
	}
	return ""
}

// printable is a text of a file without what a terminal would obey.
func printable(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s))
}

// maxOrganisation bounds what is kept of an operator's name, in bytes.
const maxOrganisation = 100

// networkOf reads the number and name of a network operator. MaxMind and DB-IP have the
// number as one, IPinfo as "AS64496".
func networkOf(r maxminddb.Result) (asn uint32, organisation string) {
	if !r.Found() {
		return 0, ""
	}
	if r.DecodePath(&asn, "autonomous_system_number") != nil || asn == 0 {
		n, err := strconv.ParseUint(strings.TrimPrefix(firstText(r, strings.ToUpper, []any{"asn"}), "AS"), 10, 32)
		if err != nil {
			return 0, ""
		}
		asn = uint32(n)
	}
	organisation = firstText(r, printable, []any{"autonomous_system_organization"}, []any{"as_name"}, []any{"name"})
	if len(organisation) > maxOrganisation {
		organisation = strings.ToValidUTF8(organisation[:maxOrganisation], "")
	}
	return asn, organisation
}
