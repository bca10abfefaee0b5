package filter

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExplanationInWords(t *testing.T) {
	f := filterOf(t, []Rule{
		{Action: Allow, From: from("198.51.100.0/24"), Routes: from("webhook")},
		{Action: Deny, From: from("list:DIR/list", "list:DIR/gone")},
		{Action: Deny, From: from("asn:64496"), KnownPass: true, Doors: from("https")},
		{Action: Allow, From: from("country:DE"), Doors: from("https")},
		{Action: Deny, From: from("any")},
	}, map[string]string{
		"list":           "# c\n203.0.0.0/16\n203.0.113.0/24\n192.168.0.0/16\n",
		"countries.mmdb": database(t, "GeoLite2-Country", map[string]record{"9.9.9.0/24": maxmindCountry("DE"), "8.8.8.0/24": maxmindCountry("US"), "198.51.100.0/24": maxmindCountry("DE")}),
		"asns.mmdb":      database(t, "GeoLite2-ASN", map[string]record{"9.9.9.0/24": maxmindASN(64496, "House Net"), "8.8.8.0/24": maxmindASN(64497, "")}),
	})
	for addr, want := range map[string]string{
		"203.0.113.9": `203.0.113.9
door https: turned away by rule 2 before a byte is read
door lan: turned away by rule 2 before a byte is read
rule 1 (allow 198.51.100.0/24 for webhook) is not about it: it is in none of its prefixes
rule 2 (deny list:DIR/list, list:DIR/gone) is about it: 203.0.113.9 is in 203.0.113.0/24, line 3 of DIR/list
rule 3 (deny asn:64496 at the door https unless the device is known) could not be judged, and is passed over: its network is not known
rule 4 (allow country:DE at the door https) could not be judged, and is passed over: its country is not known
rule 5 (deny any) is about it: it is about everybody`,
		"9.9.9.9": `9.9.9.9 (country DE, network 64496 House Net)
door https: denied unless the device is known by rule 3; not filtered else by rule 4
door lan: turned away by rule 5 before a byte is read
rule 1 (allow 198.51.100.0/24 for webhook) is not about it: it is in none of its prefixes
rule 2 (deny list:DIR/list, list:DIR/gone) could not be judged, and is passed over: 1 of its 2 lists could not be read; it is in none of its lists
rule 3 (deny asn:64496 at the door https unless the device is known) is about it: it is of network 64496 House Net
rule 4 (allow country:DE at the door https) is about it: its country is DE
rule 5 (deny any) is about it: it is about everybody`,
		"192.168.7.7": `192.168.7.7 (at home)
door https: not filtered: no rule is about it
door lan: not filtered: no rule is about it
rule 1 (allow 198.51.100.0/24 for webhook) is not about it: it is in none of its prefixes
rule 2 (deny list:DIR/list, list:DIR/gone) is not about it: 192.168.7.7 is in 192.168.0.0/16, line 4 of DIR/list, but is at home, where only a prefix in the rule itself denies
rule 3 (deny asn:64496 at the door https unless the device is known) is not about it: addresses at home have no network
rule 4 (allow country:DE at the door https) is not about it: addresses at home have no country
rule 5 (deny any) is not about it: it is about everybody but who is at home`,
		"2002:808:808::1": `2002:808:808::1 (a tunnel's end at 8.8.8.8, country US, network 64497)
door https: turned away by rule 5 before a byte is read
door lan: turned away by rule 5 before a byte is read
rule 1 (allow 198.51.100.0/24 for webhook) is not about it: it is in none of its prefixes
rule 2 (deny list:DIR/list, list:DIR/gone) could not be judged, and is passed over: 1 of its 2 lists could not be read; it is in none of its lists
rule 3 (deny asn:64496 at the door https unless the device is known) is not about it: it is of network 64497
rule 4 (allow country:DE at the door https) is not about it: its country is US
rule 5 (deny any) is about it: it is about everybody`,
	} {
		got := strings.Join(f.Explain(netip.MustParseAddr(addr), "https", "lan").Lines(), "\n")
		dir := strings.TrimSuffix(f.Files()[0].Path, "/list")
		if diff := cmp.Diff(want, strings.ReplaceAll(got, dir, "DIR")); diff != "" {
			t.Errorf("%s:\n%s", addr, diff)
		}
	}
	e := f.Explain(netip.MustParseAddr("198.51.100.9"), "https")
	if got := e.Doors[0]; got.Denied || got.Rule != 1 || got.Text != "not filtered for webhook by rule 1; not filtered else by rule 4" {
		t.Errorf("%+v", got)
	}
	if got := f.Explain(netip.MustParseAddr("203.0.113.9"), "https").Rules[1]; got.Line != 3 || got.Prefix != "203.0.113.0/24" || !strings.HasSuffix(got.List, "/list") {
		t.Errorf("%+v", got)
	}
}

func TestMistakes(t *testing.T) {
	deny := Rule{Action: Deny, From: from("any")}
	for name, c := range map[string]struct {
		rules []Rule
		key   string
		hold  string
	}{
		"action":               {[]Rule{{Action: "Deny", From: from("any")}}, "action", `is "Deny"`},
		"nobody":               {[]Rule{{Action: Deny}}, "from", "is missing"},
		"allow alone":          {[]Rule{{Action: Allow, From: from("203.0.113.0/24")}}, "action", "no effect"},
		"allow at the end":     {[]Rule{deny, {Action: Allow, From: from("203.0.113.0/24")}}, "action", "no effect"},
		"known_pass":           {[]Rule{{Action: Allow, From: from("203.0.113.0/24"), KnownPass: true}, deny}, "known_pass", "says nothing"},
		"home allows":          {[]Rule{{Action: Allow, From: from("any"), Home: true}, deny}, "home", "says nothing"},
		"home of prefixes":     {[]Rule{{Action: Deny, From: from("203.0.113.0/24"), Home: true}}, "home", "alone"},
		"countries' file":      {[]Rule{{Action: Deny, From: from("country:DE")}}, "from", "no file"},
		"networks' file":       {[]Rule{{Action: Deny, From: from("asn:64496")}}, "from", "no file"},
		"a word":               {[]Rule{{Action: Deny, From: from("everybody")}}, "from", "is none of"},
		"a country alone":      {[]Rule{{Action: Deny, From: from("de")}}, "from", `"country:DE"`},
		"a path alone":         {[]Rule{{Action: Deny, From: from("/etc/list")}}, "from", `"list:/etc/list"`},
		"a number alone":       {[]Rule{{Action: Deny, From: from("AS64496")}}, "from", `"asn:64496"`},
		"no country":           {[]Rule{{Action: Deny, From: from("country:DEU")}}, "from", "no country's code"},
		"a usual mistake":      {[]Rule{{Action: Deny, From: from("country:UK")}}, "from", "GB"},
		"bits beyond":          {[]Rule{{Action: Deny, From: from("203.0.113.7/24")}}, "from", "203.0.113.0/24"},
		"a list somewhere":     {[]Rule{{Action: Deny, From: from("list:attackers")}}, "from", "begins with /"},
		"no number":            {[]Rule{{Action: Deny, From: from("asn:0")}}, "from", "no number"},
		"a number too large":   {[]Rule{{Action: Deny, From: from("asn:4294967296")}}, "from", "no number"},
		"everybody over IPv4":  {[]Rule{{Action: Deny, From: from("0.0.0.0/0")}}, "from", `"any"`},
		"everybody over IPv6":  {[]Rule{{Action: Allow, From: from("::/0")}, deny}, "from", `"any"`},
		"mapped everybody":     {[]Rule{{Action: Deny, From: from("::ffff:0.0.0.0/96")}}, "from", `"any"`},
		"an unknown beginning": {[]Rule{{Action: Deny, From: from("city:Berlin")}}, "from", "is none of"},
	} {
		wrong := Check(c.rules, false, false)
		if len(wrong) != 1 || wrong[0].Key != c.key || !strings.Contains(wrong[0].Message+wrong[0].Hint, c.hold) {
			t.Errorf("%s: %+v", name, wrong)
		}
		if _, err := New(Config{Rules: c.rules}); err == nil {
			t.Errorf("%s makes a filter", name)
		}
	}
	if wrong := Check([]Rule{{Action: Allow, From: from("country:de", "asn:AS64496", "2001:db8::7", "list:/a/../b")}, deny}, true, true); wrong != nil {
		t.Error(wrong)
	}
}
