package config

import (
	"errors"
	"strings"
	"testing"
)

const ruled = small + `[guard]
countries = "/etc/countries.mmdb"
[[guard.rules]]
action = "allow"
from = ["country:DE", "203.0.113.0/24"]
doors = ["https"]
[[guard.rules]]
action = "deny"
from = ["any"]
known_pass = true
`

func TestRules(t *testing.T) {
	c, err := Parse("x.toml", []byte(ruled))
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Guard.Rules; len(r) != 2 || r[0].Action != "allow" || r[0].From[1] != "203.0.113.0/24" || r[0].Doors[0] != "https" || r[1].From[0] != "any" || !r[1].KnownPass {
		t.Fatalf("%+v", r)
	}
	for _, w := range []struct {
		rule int
		key  string
		line int
	}{{1, "action", 7}, {1, "from", 8}, {1, "doors", 9}, {1, "routes", 6}, {2, "action", 11}, {2, "from", 12}, {2, "known_pass", 13}, {2, "doors", 10}} {
		if p := c.RuleProblem(w.rule, w.key, "is wrong", ""); p.Line != w.line || p.Key != "guard.rules."+w.key {
			t.Errorf("rule %d: %+v, want line %d", w.rule, p, w.line)
		}
	}
	if p := c.ProblemAt("guard.countries", "is gone", ""); p.Line != 5 {
		t.Errorf("%+v", p)
	}
	text, err := c.TOML()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("y.toml", text)
	if err != nil || len(again.Guard.Rules) != 2 || again.Guard.Rules[1].From[0] != "any" {
		t.Fatalf("%v\n%s", err, text)
	}
	inline := strings.Replace(ruled[:strings.Index(ruled, "[[")], "[guard]\n", "[guard]\nrules = [{action = \"deny\", from = [\"any\"]},\n {action = \"deny\",\n from = [\"any\"]}]\n", 1)
	if c, err = Parse("z.toml", []byte(inline)); err != nil {
		t.Fatal(err)
	}
	if p := c.RuleProblem(2, "from", "", ""); p.Line != 7 {
		t.Errorf("%+v", p)
	}
}

func TestProblemsOfRules(t *testing.T) {
	for _, c := range []struct {
		text, key string
		line      int
		hold      string
	}{
		{"[[guard.rules]]\naction = \"deny\"\nform = [\"any\"]\n", "guard.rules.form", 6, "did you mean guard.rules.from?"},
		{"[[guard.rules]]\naction = \"deny\"\n[[guard.rules]]\nfrom = \"any\"\n", "guard.rules.from", 7, "a list of texts"},
		{"[[guard.rules]]\nknown_pass = \"yes\"\n", "guard.rules.known_pass", 5, "true or false"},
		{"[[guard.rule]]\naction = \"deny\"\n", "guard.rule", 4, ""},
		{"[guard]\nasns = \"networks.mmdb\"\n", "guard.asns", 5, "a path begins with /"},
	} {
		_, err := Parse("x.toml", []byte(small+c.text))
		var wrong *Error
		if !errors.As(err, &wrong) {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if p := wrong.Problems[0]; p.Key != c.key || p.Line != c.line || !strings.Contains(p.Message+"; "+p.Hint, c.hold) {
			t.Errorf("%q: %+v", c.text, wrong.Problems)
		}
	}
}

func TestNearestWord(t *testing.T) {
	routes := []string{"shell", "webhook", "websocket", "login flow"}
	for word, want := range map[string]string{"webhok": "webhook", "login-flow": "login flow", "shelf": "shell", "bananas": "", "": ""} {
		if got := Nearest(word, routes); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
