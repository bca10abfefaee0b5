package filter

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A verdict in a table of tests: the number of the rule that decided, negative where it denied.
func short(v Verdict) int {
	if v.Denied {
		return -v.Rule
	}
	return v.Rule
}

func judge(f *Filter, addr, door, route string, known bool) int {
	return short(f.Judge(netip.MustParseAddr(addr), door, route, known))
}

func admit(f *Filter, addr, door string) int {
	return short(f.Admit(netip.MustParseAddr(addr), door))
}

func TestNoRulesFilterNobody(t *testing.T) {
	f := filterOf(t, nil, nil)
	if v := f.Judge(netip.MustParseAddr("203.0.113.7"), "https", "shell", false); v != (Verdict{}) {
		t.Error(v)
	}
	if v := f.Admit(netip.MustParseAddr("203.0.113.7"), "https"); v != (Verdict{}) {
		t.Error(v)
	}
	if v := new(Table).Judge(Ask{}); v != (Verdict{}) {
		t.Error(v)
	}
}

func TestFirstRuleThatMatchesDecides(t *testing.T) {
	f := filterOf(t, []Rule{
		{Action: Allow, From: from("203.0.113.7")},
		{Action: Deny, From: from("203.0.113.0/24"), Doors: from("https")},
		{Action: Deny, From: from("2001:db8::/32"), Routes: from("webhook", "login flow")},
		{Action: Deny, From: from("2001:db8:1::/48"), KnownPass: true},
		{Action: Deny, From: from("192.168.7.0/24")},
	}, nil)
	for _, c := range []struct {
		addr, door, route string
		known             bool
		want, atDoor      int
	}{
		{"203.0.113.7", "https", "shell", false, 1, 1},
		{"203.0.113.8", "https", "shell", true, -2, -2},
		{"::ffff:203.0.113.8", "https", "shell", false, -2, -2},
		{"203.0.113.8", "lan", "shell", false, 0, 0},
		{"198.51.100.1", "https", "shell", false, 0, 0},
		{"2001:db8::1", "https", "webhook", false, -3, 0},
		{"2001:db8::1", "https", "shell", false, 0, 0},
		{"2001:db8:1::1", "https", "shell", false, -4, 0},
		{"2001:db8:1::1", "https", "shell", true, 0, 0},
		{"2001:db8:1::1", "https", "login flow", true, -3, 0},
		{"192.168.7.9", "lan", "shell", true, -5, -5}, // the rule itself names it
		{"192.168.8.9", "lan", "shell", true, 0, 0},
	} {
		if got := judge(f, c.addr, c.door, c.route, c.known); got != c.want {
			t.Errorf("%s at %s for %s, known %t: %d, want %d", c.addr, c.door, c.route, c.known, got, c.want)
		}
		if got := admit(f, c.addr, c.door); got != c.atDoor {
			t.Errorf("%s at the door %s: %d, want %d", c.addr, c.door, got, c.atDoor)
		}
	}
}

// Nobody shuts themselves out of their own house by a list or by "any".
func TestHomeIsSpared(t *testing.T) {
	atHome := []string{"192.168.1.9", "10.0.0.1", "172.16.3.4", "127.0.0.1", "::1", "169.254.3.3", "fe80::1%eth0", "fd00::7", "100.64.0.9", "::ffff:192.168.1.9"}
	level1 := "# firehol_level1\n0.0.0.0/8\n10.0.0.0/8\n100.64.0.0/10\n127.0.0.0/8\n169.254.0.0/16\n172.16.0.0/12\n192.168.0.0/16\n198.51.100.0/24\n224.0.0.0/3\nfc00::/7\n"
	for name, rules := range map[string][]Rule{
		"list": {{Action: Deny, From: from("list:DIR/level1")}},
		"any":  {{Action: Deny, From: from("any")}},
	} {
		f := filterOf(t, rules, map[string]string{"level1": level1})
		for _, addr := range atHome {
			if got := judge(f, addr, "lan", "shell", false); got != 0 {
				t.Errorf("%s denies %s", name, addr)
			}
		}
		for _, addr := range []string{"198.51.100.9", "240.0.0.1"} {
			if admit(f, addr, "lan") != -1 {
				t.Errorf("%s does not deny %s", name, addr)
			}
		}
	}
	f := filterOf(t, []Rule{{Action: Deny, From: from("any"), Home: true}}, nil)
	for _, addr := range append(atHome, "203.0.113.1") {
		if judge(f, addr, "lan", "shell", false) != -1 {
			t.Errorf("home = true does not deny %s", addr)
		}
	}
	f = filterOf(t, []Rule{{Action: Allow, From: from("list:DIR/level1")}, {Action: Deny, From: from("any"), Home: true}}, map[string]string{"level1": level1})
	if judge(f, "192.168.1.9", "lan", "shell", false) != 1 || judge(f, "203.0.113.1", "lan", "shell", false) != -2 {
		t.Error("a rule that allows does not match at home as anywhere else")
	}
}

// A neighbour's IPv6 address is public; the caller knows that it is one.
func TestNeighboursAreSpared(t *testing.T) {
	link := netip.MustParsePrefix("2001:db8:7::/64")
	cfg := Config{Rules: []Rule{{Action: Deny, From: from("2001:db8:7::bad")}, {Action: Deny, From: from("any")}}, Home: link.Contains}
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]int{"2001:db8:7::9": 0, "2001:db8:8::9": -2, "2001:db8:7::bad": -1} {
		if got := admit(f, addr, "lan"); got != want {
			t.Errorf("%s: %d, want %d", addr, got, want)
		}
	}
}

// A denied network does not come back in other clothes, and none of these opens anything.
func TestTunnels(t *testing.T) {
	files := map[string]string{
		"list":           "203.0.113.0/24\n",
		"countries.mmdb": database(t, "GeoLite2-Country", map[string]record{"198.51.100.0/24": maxmindCountry("XK"), "9.9.9.0/24": maxmindCountry("DE")}),
		"asns.mmdb":      database(t, "GeoLite2-ASN", map[string]record{"192.0.2.0/24": maxmindASN(64496, "House Net")}),
	}
	f := filterOf(t, []Rule{
		{Action: Allow, From: from("9.9.9.9")},
		{Action: Deny, From: from("list:DIR/list", "country:XK", "asn:64496", "192.88.99.0/24")},
	}, files)
	for addr, want := range map[string]int{
		"64:ff9b::203.0.113.7":                   -2, // NAT64
		"2002:cb00:7107::1":                      -2, // 6to4 of 203.0.113.7
		"2001:0:5db8:d822:0:f227:34ff:8ef8":      -2, // Teredo of 203.0.113.7
		"64:ff9b::198.51.100.7":                  -2,
		"2002:c633:6407::1":                      -2,
		"2001:0:5db8:d822:0:f227:3fff:fdf8":      -2, // Teredo of 192.0.2.7
		"2002:c058:6301::1":                      -2, // 6to4 of 192.88.99.1
		"64:ff9b::9.9.9.9":                       1,  // the same host as 9.9.9.9
		"2002:909:909::1":                        0,  // somebody behind it is not
		"2001:0:5db8:d822:0:f227:f6f6:f6f6":      0,
		"64:ff9b::192.168.1.1":                   0,
		"2002:cb00:7207::1":                      0,
		"::ffff:203.0.113.7":                     -2,
		"2001:db8::203.0.113.7":                  0, // nobody's IPv4 address
		"64:ff9b:1::cb00:7107":                   0,
		"2001:1:5db8:d822:0:f227:34ff:8ef8":      0,
		"fe80::cb00:7107%eth0":                   0,
		"2001:0000:5db8:d822:0000:0:34ff:8ef8%x": -2,
	} {
		if got := judge(f, addr, "https", "shell", false); got != want {
			t.Errorf("%s: %d, want %d", addr, got, want)
		}
	}
	f = filterOf(t, []Rule{{Action: Deny, From: from("any")}}, nil)
	if judge(f, "64:ff9b::192.168.1.1", "https", "shell", false) != -1 {
		t.Error("NAT64 of an address at home passes for one")
	}
}

// Nobody at all is not at home.
func TestNoAddressIsDenied(t *testing.T) {
	f := filterOf(t, []Rule{{Action: Deny, From: from("any")}}, nil)
	if !f.Judge(netip.Addr{}, "https", "shell", false).Denied || !f.Admit(netip.Addr{}, "https").Denied {
		t.Error("passes")
	}
}

// Only my country: what nobody can place stays outside, for every reason there is.
func TestOnlyMyCountry(t *testing.T) {
	rules := func() []Rule {
		return []Rule{{Action: Allow, From: from("country:DE")}, {Action: Deny, From: from("any")}}
	}
	f := filterOf(t, rules(), map[string]string{"countries.mmdb": database(t, "DBIP-Country-Lite", map[string]record{
		"203.0.113.0/24": maxmindCountry("DE"), "198.51.100.0/24": maxmindCountry("FR"),
		"2001:db8::/32": {"registered_country": record{"iso_code": "DE"}}, "192.0.2.0/24": {"continent": record{"code": "EU"}},
	})})
	for addr, want := range map[string]int{
		"203.0.113.9": 1, "198.51.100.9": -2, "2001:db8::9": 1, "192.0.2.9": -2, "8.8.8.8": -2, "192.168.0.9": 0, "64:ff9b::203.0.113.9": 1,
	} {
		if got := admit(f, addr, "https"); got != want {
			t.Errorf("%s: %d, want %d", addr, got, want)
		}
	}
	dir := t.TempDir()
	cfg := configOf(t, dir, rules(), nil)
	cfg.Countries = dir + "/nowhere.mmdb"
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if admit(f, "203.0.113.9", "https") != -2 || admit(f, "192.168.0.9", "https") != 0 {
		t.Error("without its file it does not fail closed, or shuts the house")
	}
}

// Every layout of those who make such files is read.
func TestLayouts(t *testing.T) {
	for kind, files := range map[string]map[string]string{
		"MaxMind": {"countries.mmdb": database(t, "GeoLite2-City", map[string]record{"203.0.113.0/24": maxmindCountry("DE")}),
			"asns.mmdb": database(t, "GeoLite2-ASN", map[string]record{"203.0.113.0/24": maxmindASN(64496, "House\x1b[2J Net")})},
		"IPinfo Lite": {"both.mmdb": database(t, "ipinfo bundle_location_lite.mmdb", map[string]record{"203.0.113.0/24": ipinfoLite("DE", "AS64496", "House Net")})},
		"IPinfo": {"both.mmdb": database(t, "ipinfo country_asn.mmdb", map[string]record{
			"203.0.113.0/24": {"country": "DE", "country_name": "Germany", "asn": "AS64496", "as_name": "House Net"}})},
	} {
		f := filterOf(t, []Rule{{Action: Deny, From: from("country:DE"), Routes: from("shell")}, {Action: Deny, From: from("asn:AS64496")}}, files)
		if judge(f, "203.0.113.9", "https", "shell", false) != -1 || judge(f, "203.0.113.9", "https", "webhook", false) != -2 {
			t.Errorf("%s is not read", kind)
		}
		if e := f.Explain(netip.MustParseAddr("203.0.113.9")); e.Country != "DE" || e.ASN != 64496 || !strings.HasPrefix(e.Organisation, "House") || strings.ContainsRune(e.Organisation, 0x1b) {
			t.Errorf("%s: %+v", kind, e)
		}
	}
}

// Who could get something is let speak; who could get nothing is not.
func TestAdmission(t *testing.T) {
	f := filterOf(t, []Rule{
		{Action: Allow, From: from("198.51.100.0/24"), Routes: from("webhook")},
		{Action: Deny, From: from("198.51.100.0/25"), KnownPass: true},
		{Action: Allow, From: from("203.0.113.0/24"), Doors: from("https")},
		{Action: Deny, From: from("any")},
	}, nil)
	for _, c := range []struct {
		addr, door string
		want       int
	}{
		{"198.51.100.9", "https", 1}, // for its webhook
		{"203.0.113.9", "https", 3},
		{"203.0.113.9", "lan", -4},
		{"192.0.2.1", "https", -4},
		{"192.168.1.1", "https", 0},
	} {
		if got := admit(f, c.addr, c.door); got != c.want {
			t.Errorf("%s at %s: %d, want %d", c.addr, c.door, got, c.want)
		}
	}
	if judge(f, "198.51.100.9", "https", "webhook", false) != 1 || judge(f, "198.51.100.9", "https", "shell", false) != -2 ||
		judge(f, "198.51.100.9", "https", "shell", true) != -4 {
		t.Error("a request is not judged by all that is known of it")
	}
}

// Whoever is turned away at the door would have been denied whatever they asked, and
// whoever is let speak could have got something.
func TestAdmissionAgreesWithJudgement(t *testing.T) {
	doors, routes := []string{"https", "lan"}, []string{"", "shell", "webhook"}
	words := []string{"any", "203.0.113.0/24", "203.0.113.128/25", "2002::/16", "2001:db8::/32", "192.168.0.0/16"}
	addrs := []string{"203.0.113.1", "203.0.113.200", "2001:db8::1", "2002:cb00:7181::1", "192.168.3.3", "64:ff9b::203.0.113.1"}
	rapid.Check(t, func(t *rapid.T) {
		some := func(of []string, label string) []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom(of), 0, 2, rapid.ID).Draw(t, label)
		}
		var rules []Rule
		for range rapid.IntRange(1, 5).Draw(t, "rules") {
			r := Rule{Action: rapid.SampledFrom([]string{Allow, Deny}).Draw(t, "action"), Doors: some(doors, "doors"), Routes: some(routes[1:], "routes"),
				From: append(some(words, "from"), rapid.SampledFrom(words).Draw(t, "one"))}
			if r.Action == Deny {
				r.KnownPass = rapid.Bool().Draw(t, "known_pass")
				r.Home = rapid.Bool().Draw(t, "home") && slices.Contains(r.From, fromAny)
			}
			rules = append(rules, r)
		}
		table := compile(rules, data{}, nil)
		a := Ask{Addr: netip.MustParseAddr(rapid.SampledFrom(addrs).Draw(t, "addr")), Door: rapid.SampledFrom(doors).Draw(t, "door")}
		nothing := true
		for _, a.Route = range routes {
			for _, a.Known = range []bool{false, true} {
				nothing = nothing && table.Judge(a).Denied
			}
		}
		if table.Admit(a).Denied != nothing {
			t.Fatalf("%+v by %+v: admission says %t, judgement %t", a, rules, !nothing, nothing)
		}
		// What is explained is what is done.
		e := table.Explain(a, a.Door)
		if e.Doors[0].Denied != nothing {
			t.Fatalf("explained as %+v", e)
		}
		s := table.see(a)
		for i, x := range e.Rules {
			if (x.Match == Yes) != table.rules[i].matches(&s) {
				t.Fatalf("rule %d is explained as %+v", i+1, x)
			}
		}
	})
}
