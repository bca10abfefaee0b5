package main

import (
	"net/netip"
	"strings"
	"testing"

	"gatehouse/internal/config"
	"gatehouse/internal/door/lan"
	"gatehouse/internal/guard/filter"
)

const allDoors = "[home]\nname = \"house.test\"\n[doors.https]\n[doors.lan]\n[doors.ssh]\n[doors.wireguard]\n"

// An explanation names every door at which rules are asked, and says of each what holds there:
// in a tunnel no rule is asked about a request.
func TestRulesAreExplainedForEachDoor(t *testing.T) {
	cfg, err := config.Parse("gatehouse.toml", []byte(allDoors+`
[[guard.rules]]
action = "deny"
from = ["203.0.113.7"]
doors = ["ssh"]
[[guard.rules]]
action = "deny"
from = ["203.0.113.0/24"]
routes = ["webhook"]
[[guard.rules]]
action = "deny"
from = ["198.51.100.0/24"]
known_pass = true
[[guard.rules]]
action = "deny"
from = ["192.0.2.0/24"]
`))
	if err != nil {
		t.Fatal(err)
	}
	if wrong := ruleProblems(cfg); wrong != nil {
		t.Fatal(wrong)
	}
	h := &house{cfg: cfg, links: lan.NewLinks()}
	for addr, want := range map[string]map[string]string{
		"203.0.113.7": {"https": "denied for webhook by rule 2; not filtered else", "ssh": "turned away by rule 1 before a byte is read",
			"wireguard": "not filtered: only whether the tunnel may begin is asked there"},
		"198.51.100.7": {"https": "denied unless the device is known by rule 3; not filtered else", "wireguard": "not filtered: only whether the tunnel may begin is asked there"},
		"192.0.2.7":    {"lan": "turned away by rule 4 before a byte is read", "wireguard": "turned away by rule 4 before a byte is read"},
		"9.9.9.9":      {"ssh": "not filtered: no rule is about it"},
	} {
		row := h.explainRules(netip.MustParseAddr(addr))
		if row.Why == nil || len(row.Why.Doors) != 4 {
			t.Fatalf("%s: %+v", addr, row)
		}
		for door, text := range want {
			found := false
			for _, d := range row.Why.Doors {
				found = found || d.Door == door && d.Text == text
			}
			if !found || !strings.Contains(strings.Join(row.Say, "\n"), "Door "+door+": "+text+".") {
				t.Errorf("%s at %s is not %q: %+v", addr, door, text, row.Say)
			}
		}
		f, err := h.filterNow()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range row.Why.Doors {
			if v := f.Admit(netip.MustParseAddr(addr), d.Door); v != (filter.Verdict{Rule: d.Rule, Denied: d.Denied}) {
				t.Errorf("%s at %s: %+v, and the door says %+v", addr, d.Door, d, v)
			}
		}
	}
}

// A rule for requests in a tunnel would never be asked.
func TestRuleForRequestsInATunnel(t *testing.T) {
	for rule, hold := range map[string]string{
		`doors = ["wireguard"]` + "\n" + `routes = ["webhook"]`:          "routes says nothing at the door wireguard",
		`doors = ["https", "wireguard"]` + "\n" + `routes = ["webhook"]`: "",
		`doors = ["wireguard"]`: "",
		`doors = ["onion"]`:     `doors has "onion", where Tor tells no address`,
		`doors = ["wiregard"]`:  `doors has "wiregard", which is no door; the doors are https, lan, wireguard, ssh`,
	} {
		cfg, err := config.Parse("gatehouse.toml", []byte(allDoors+"[[guard.rules]]\naction = \"deny\"\nfrom = [\"203.0.113.0/24\"]\n"+rule+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		said := ""
		for _, p := range ruleProblems(cfg) {
			said += p.Key + " " + p.Message + "; " + p.Hint
		}
		if (said == "") != (hold == "") || !strings.Contains(said, hold) {
			t.Errorf("%s: %q", rule, said)
		}
	}
}
