package filter

import (
	"net/netip"
	"testing"
)

// Of a network that may be dropped unseen it is known whether a rule allows part of it, and
// what cannot be told counts as allowed.
func TestAllowsPartOfNetwork(t *testing.T) {
	files := map[string]string{
		"friends": "198.51.100.7\n198.51.100.64/26\n2001:db8:7:1::/64\n",
		"countries.mmdb": database(t, "GeoLite2-Country", map[string]record{
			"203.0.113.0/24": maxmindCountry("DE"), "2001:db8:a:5::/64": maxmindCountry("DE"), "2001:db8:b::/48": maxmindCountry("FR"), "192.0.2.0/24": maxmindCountry("FR")}),
		"asns.mmdb": database(t, "GeoLite2-ASN", map[string]record{"192.0.2.0/25": maxmindASN(64496, "House Net")}),
	}
	deny := Rule{Action: Deny, From: from("any"), KnownPass: true}
	for _, c := range []struct {
		rule Rule
		yes  []string
		no   []string
	}{
		{Rule{Action: Allow, From: from("203.0.113.7", "2001:db8:1::/48")},
			[]string{"203.0.113.7/32", "203.0.113.0/24", "2001:db8:1:2::/64", "2001:db8::/32"}, []string{"203.0.113.8/32", "2001:db8:2::/64"}},
		{Rule{Action: Allow, From: from("list:DIR/friends"), Doors: from("lan"), Routes: from("webhook")},
			[]string{"198.51.100.7/32", "198.51.100.65/32", "198.51.100.0/24", "2001:db8:7::/48", "2001:db8:7:1::/64"}, []string{"198.51.100.8/32", "2001:db8:7:2::/64"}},
		{Rule{Action: Allow, From: from("country:DE")}, []string{"203.0.113.7/32", "2001:db8:a::/48", "2001:db8:a:5::/64"}, []string{"192.0.2.1/32", "2001:db8:b::/48", "9.9.9.9/32"}},
		{Rule{Action: Allow, From: from("asn:64496")}, []string{"192.0.2.1/32"}, []string{"192.0.2.200/32", "2001:db8:b::/48"}},
		{Rule{Action: Allow, From: from("list:DIR/friends", "list:DIR/gone")}, []string{"198.51.100.7/32", "9.9.9.9/32"}, nil},
		{Rule{Action: Deny, From: from("203.0.113.7", "country:DE")}, nil, []string{"203.0.113.7/32"}},
		{Rule{Action: Allow, From: from("any"), Routes: from("webhook")}, nil, []string{"203.0.113.7/32"}}, // it names nobody
	} {
		f := filterOf(t, []Rule{c.rule, deny}, files)
		for _, p := range c.yes {
			if !f.Allows(netip.MustParsePrefix(p)) {
				t.Errorf("%s does not allow %s", c.rule.Text(), p)
			}
		}
		for _, p := range c.no {
			if f.Allows(netip.MustParsePrefix(p)) {
				t.Errorf("%s allows %s", c.rule.Text(), p)
			}
		}
	}
	for _, word := range []string{"country:DE", "asn:64496"} {
		f := filterOf(t, []Rule{{Action: Allow, From: from(word)}, deny}, map[string]string{"both.mmdb": "half"})
		if !f.Allows(netip.MustParsePrefix("9.9.9.9/32")) {
			t.Errorf("without its file %s is judged", word)
		}
	}
	if filterOf(t, nil, nil).Allows(netip.MustParsePrefix("9.9.9.9/32")) {
		t.Error("no rule allows")
	}
}
