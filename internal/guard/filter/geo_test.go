package filter

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/oschwald/maxminddb-golang/v2"
)

func sampleDB(t testing.TB) string {
	return database(t, "GeoLite2-Country", map[string]record{
		"203.0.113.0/24": maxmindCountry("DE"), "198.51.100.0/24": maxmindCountry("FR"), "2001:db8::/32": maxmindCountry("XK"),
		"9.9.9.0/24": {"country": record{"iso_code": "Elsewhere"}, "autonomous_system_number": 64496},
	})
}

func TestGeoTells(t *testing.T) {
	g, err := openGeo("x", []byte(sampleDB(t)), forCountries, forNetworks)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{"203.0.113.9": "DE", "2001:db8::1": "XK", "9.9.9.9": "", "8.8.8.8": "", "2002:cb00:7101::": "DE"} {
		if got := g.country(netip.MustParseAddr(addr)).country; got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	if p := g.network(netip.MustParseAddr("9.9.9.9")); p.asn != 64496 || p.organisation != "" {
		t.Errorf("%+v", p)
	}
	if p := g.country(netip.Addr{}); p != (place{}) {
		t.Errorf("no address: %+v", p)
	}
}

// A file of something else, and one that is damaged, is refused with its name.
func TestDamagedGeo(t *testing.T) {
	whole := sampleDB(t)
	for name, text := range map[string]string{
		"nothing":         "",
		"a page":          "<!DOCTYPE html><title>404</title>",
		"half":            whole[:len(whole)/2],
		"its end":         whole[len(whole)/2:],
		"a hole":          whole[:100] + strings.Repeat("\xff", 60) + whole[160:],
		"networks alone":  database(t, "GeoLite2-ASN", map[string]record{"203.0.113.0/24": maxmindASN(64496, "House Net")}),
		"cities' names":   database(t, "Cities", map[string]record{"203.0.113.0/24": {"country": "Germany", "city": "Berlin"}}),
		"nothing at all":  database(t, "GeoLite2-Country", nil),
		"only the marker": "\xab\xcd\xefMaxMind.com",
		"text":            database(t, "GeoLite2-Country", map[string]record{"203.0.113.0/24": {"country": record{"iso_code": 49}}}),
	} {
		if g, err := openGeo("x.mmdb", []byte(text), forCountries); err == nil || g != nil || !strings.HasPrefix(err.Error(), "x.mmdb: ") {
			t.Errorf("%s: %v, %v", name, g, err)
		}
	}
}

// A tree that leads back into itself, or shares its branches a million million times, takes
// no longer to refuse than an honest one.
func TestGeoTreeThatGoesRound(t *testing.T) {
	whole := []byte(sampleDB(t))
	r, err := maxminddb.OpenBytes(whole)
	if err != nil {
		t.Fatal(err)
	}
	nodes := int(r.Metadata.NodeCount)
	point := func(db []byte, node, to int) {
		for side := range 2 {
			copy(db[6*node+3*side:], []byte{byte(to >> 16), byte(to >> 8), byte(to)}) // of 24 bits each
		}
	}
	for node := range 20 {
		loop := bytes.Clone(whole)
		point(loop, node, node)
		if _, err := openGeo("x", loop, forCountries); err == nil {
			t.Errorf("node %d leads to itself, and is taken", node)
		}
	}
	for _, depth := range []int{40, 100, 127} {
		if nodes <= depth {
			t.Fatalf("%d nodes are too few for this test", nodes)
		}
		bush := bytes.Clone(whole)
		for node := range depth {
			point(bush, node, node+1)
		}
		point(bush, depth, nodes) // nothing
		if _, err := openGeo("x", bush, forCountries); err == nil {
			t.Errorf("a tree of 2 to the %d empty networks is taken", depth)
		}
	}
}

// Whatever a byte of a file is turned into, it is refused or answers.
func TestGeoSurvivesEveryByte(t *testing.T) {
	whole := []byte(sampleDB(t))
	asked := []netip.Addr{netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("9.9.9.9")}
	for i := range whole {
		for _, bit := range []byte{1, 0x80, 0xff} {
			damaged := append([]byte(nil), whole...)
			damaged[i] ^= bit
			g, err := openGeo("x", damaged, forCountries)
			if (g == nil) == (err == nil) {
				t.Fatalf("byte %d: %v, %v", i, g, err)
			}
			if g == nil {
				continue
			}
			for _, a := range asked {
				if p := g.country(a); p.country != "" && code(p.country) != p.country {
					t.Fatalf("byte %d: %q", i, p.country)
				}
				g.network(a)
			}
		}
	}
}

func FuzzGeo(f *testing.F) {
	f.Add([]byte(sampleDB(f)))
	f.Add([]byte(database(f, "ipinfo lite", map[string]record{"203.0.113.0/24": ipinfoLite("DE", "AS64496", "House Net")})))
	f.Fuzz(func(t *testing.T, text []byte) {
		g, err := openGeo("x", text, forCountries)
		if (g == nil) == (err == nil) {
			t.Fatal(g, err)
		}
		if g == nil {
			return
		}
		for _, a := range []string{"0.0.0.0", "203.0.113.9", "255.255.255.255", "::", "2001:db8::1", "ffff::"} {
			addr := netip.MustParseAddr(a)
			if p := g.country(addr); p.country != "" && code(p.country) != p.country {
				t.Fatalf("%s is in %q", a, p.country)
			}
			if p := g.network(addr); len(p.organisation) > maxOrganisation || printable(p.organisation) != p.organisation {
				t.Fatalf("%s is of %q", a, p.organisation)
			}
		}
	})
}
