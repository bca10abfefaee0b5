package filter

import (
	"fmt"
	"slices"
)

// Mistake is something that is wrong with a rule.
type Mistake struct {
	Rule    int    // from 1
	Key     string // of the rule, as the configuration has it
	Message string
	Hint    string // may be empty
}

func (m Mistake) Error() string { return fmt.Sprintf("rule %d: %s %s", m.Rule, m.Key, m.Message) }

// Check says what is wrong with rules. It does not know the words for doors and routes,
// and opens no file. countries and networks say whether a file of these is named.
func Check(rules []Rule, countries, networks bool) []Mistake {
	var all []Mistake
	for i, r := range rules {
		say := func(key, hint, format string, args ...any) {
			all = append(all, Mistake{i + 1, key, fmt.Sprintf(format, args...), hint})
		}
		switch r.Action {
		case Allow:
			if r.KnownPass {
				say("known_pass", "leave it out", "says nothing in a rule that allows")
			}
			if r.Home {
				say("home", "leave it out", `says nothing in a rule that allows: "any" is everybody there`)
			}
			if !slices.ContainsFunc(rules[i+1:], func(r Rule) bool { return r.Action == Deny }) {
				say("action", `"allow" is an exception from a rule that comes later: add one with action = "deny" and from = ["any"]`,
					"is \"allow\", and no rule after it denies anything: it has no effect")
			}
		case Deny:
			if r.Home && !slices.Contains(r.From, fromAny) {
				say("home", `write the prefixes of your home into from instead`, `is about from = ["any"] alone`)
			}
		default:
			say("action", "", `is %q; it is "allow" or "deny"`, r.Action)
		}
		if len(r.From) == 0 {
			say("from", `everybody is from = ["any"]`, "is missing: a rule says whom it is about")
		}
		for _, word := range r.From {
			switch from, err := ParseFrom(word); {
			case err != nil:
				say("from", "", "has %v", err)
			case from.Prefix.IsValid() && from.Prefix.Bits() == 0:
				say("from", `write "any": it spares who is at home, where home = true does not say otherwise`, "has %q, which is everybody, at home and on this machine too", word)
			case from.Country != "" && !countries:
				say("from", "name a MaxMind DB file of countries under [guard] countries", "has %q, but there is no file that tells countries", word)
			case from.ASN != 0 && !networks:
				say("from", "name a MaxMind DB file of networks under [guard] asns", "has %q, but there is no file that tells whose a network is", word)
			}
		}
	}
	return all
}

// data is what the files hold. What could not be read is nil.
type data struct {
	lists     map[string]*list
	countries *geo
	networks  *geo
}

// compile makes a table of rules that Check has nothing to say about. Sets whose lists have
// not changed are taken over from the table before.
func compile(rules []Rule, d data, before *Table) *Table {
	t := &Table{countries: d.countries, asns: d.networks}
	for _, r := range rules {
		c := compiled{Rule: r, deny: r.Action != Allow}
		var lists []*list
		var paths []string
		for _, word := range r.From {
			from, err := ParseFrom(word)
			switch {
			case err != nil: // Check has said it; the rule is about nobody by it
			case from.Any:
				c.any = true
			case from.Country != "":
				c.nations = append(c.nations, from.Country)
			case from.ASN != 0:
				c.numbers = append(c.numbers, from.ASN)
			case from.List != "":
				if slices.Contains(paths, from.List) {
					continue
				}
				paths = append(paths, from.List)
				if l := d.lists[from.List]; l != nil {
					lists = append(lists, l)
				}
			default:
				c.prefixes = append(c.prefixes, from.Prefix)
			}
		}
		if c.wanted = len(paths); len(lists) > 0 {
			c.set = setOf(lists, t, before)
		}
		t.rules = append(t.rules, c)
	}
	return t
}

// setOf returns a set of lists that one of the tables has, or a new one.
func setOf(lists []*list, tables ...*Table) *set {
	for _, t := range tables {
		if t == nil {
			continue
		}
		for _, r := range t.rules {
			if r.set != nil && slices.Equal(r.set.lists, lists) {
				return r.set
			}
		}
	}
	return newSet(lists)
}
