package filter

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Explanation says what the rules mean for an address, and why.
type Explanation struct {
	Addr         string      `json:"addr"`             // in its one form
	Inside       string      `json:"inside,omitempty"` // the IPv4 address at the end of a tunnel
	AtHome       bool        `json:"at_home"`          // rules that deny spare it
	Country      string      `json:"country,omitempty"`
	ASN          uint32      `json:"asn,omitempty"`
	Organisation string      `json:"organisation,omitempty"`
	Rules        []Explained `json:"rules"`
	Doors        []Outcome   `json:"doors"`
}

// Whether a rule is about an address.
const (
	Yes     = "yes"
	No      = "no"
	Unknown = "unknown" // it could not be told; the rule is passed over
)

// Explained is what one rule has to do with an address.
type Explained struct {
	Rule   int    `json:"rule"` // from 1
	Text   string `json:"text"` // the rule in words
	Match  string `json:"match"`
	Why    string `json:"why"`
	List   string `json:"list,omitempty"`   // path of the list that has the address,
	Line   int    `json:"line,omitempty"`   // the line of it, as it was when it was read,
	Prefix string `json:"prefix,omitempty"` // and the prefix, of a list or of the rule
}

// Outcome is what the rules come to at one door.
type Outcome struct {
	Door   string `json:"door"`
	Denied bool   `json:"denied"`         // whatever is asked, before a byte is read
	Rule   int    `json:"rule,omitempty"` // that decides so, or lets it speak; 0 if none does
	Text   string `json:"text"`
}

// Explain says what the rules mean for an address at each of the doors.
func (f *Filter) Explain(addr netip.Addr, doors ...string) Explanation {
	return f.table.Load().Explain(Ask{Addr: addr, Home: f.cfg.Home}, doors...)
}

// Explain says what the rules mean for an address at each of the doors. Of the Ask, Addr
// and Home are looked at.
func (t *Table) Explain(a Ask, doors ...string) Explanation {
	s := t.see(a)
	e := Explanation{Addr: s.addr.String(), AtHome: s.atHome(), Rules: []Explained{}, Doors: []Outcome{}}
	if s.inner.IsValid() {
		e.Inside = s.inner.String()
	}
	e.Country = s.countries().here.country
	e.ASN, e.Organisation = s.networks().here.asn, s.networks().here.organisation
	for i := range t.rules {
		x := t.rules[i].explain(&s)
		x.Rule = i + 1
		e.Rules = append(e.Rules, x)
	}
	for _, door := range doors {
		a.Door = door
		v := t.Admit(a)
		e.Doors = append(e.Doors, Outcome{Door: door, Denied: v.Denied, Rule: v.Rule, Text: t.outcome(a, v, &s)})
	}
	return e
}

// explain says whether a rule is about an address, and why. It agrees with matches.
func (r *compiled) explain(s *sight) Explained {
	x := Explained{Text: r.Text(), Match: Yes}
	if p, addr, ok := r.named(s); ok {
		x.Prefix, x.Why = p.String(), fmt.Sprintf("%s is in %s", addr, p)
		return x
	}
	if r.any && (!r.deny || r.Home || !s.atHome()) {
		x.Why = "it is about everybody"
		return x
	}
	found := r.found(s, &x)
	switch {
	case r.any:
		x.Match, x.Why = No, "it is about everybody but who is at home"
	case found && r.deny && s.atHome():
		x.Match, x.Why = No, x.Why+", but is at home, where only a prefix in the rule itself denies"
	case !found:
		x.Match, x.Why = r.notFound(s)
	}
	return x
}

// found fills in why a list, a country or a network is an address's.
func (r *compiled) found(s *sight, x *Explained) bool {
	switch {
	case r.lists(s):
		addr := s.addr
		if !r.set.all.Contains(addr) {
			addr = s.inner
		}
		if e, in := r.set.find(addr); in != nil {
			x.List, x.Line, x.Prefix = in.path, e.line, e.prefix.String()
			x.Why = fmt.Sprintf("%s is in %s, line %d of %s", addr, e.prefix, e.line, in.path)
		}
	case r.isIn(s):
		n := s.countries()
		if x.Why = "its country is " + n.here.country; !slices.Contains(r.nations, n.here.country) {
			x.Why = fmt.Sprintf("the country of %s is %s", s.inner, n.inner.country)
		}
	case r.isOf(s):
		n := s.networks()
		if x.Why = "it is of " + n.here.operator(); !slices.Contains(r.numbers, n.here.asn) {
			x.Why = fmt.Sprintf("%s is of %s", s.inner, n.inner.operator())
		}
	default:
		return false
	}
	return true
}

// notFound says why a rule is not about an address: because it is not, or because nobody
// can tell.
func (r *compiled) notFound(s *sight) (match, why string) {
	var not, cannot []string
	if len(r.prefixes) > 0 {
		not = append(not, "it is in none of its prefixes")
	}
	read := 0
	if r.set != nil {
		read = len(r.set.lists)
	}
	if read > 0 {
		not = append(not, "it is in none of its lists")
		if read < r.wanted {
			cannot = append(cannot, fmt.Sprintf("%d of its %d lists could not be read", r.wanted-read, r.wanted))
		}
	} else if r.wanted > 0 {
		cannot = append(cannot, "its lists could not be read")
	}
	told := func(words int, g *geo, known bool, is, of string) {
		switch {
		case words == 0:
		case AtHome(s.addr):
			not = append(not, "addresses at home have no "+of)
		case known:
			not = append(not, is)
		case g == nil:
			cannot = append(cannot, "the file that tells its "+of+" could not be read")
		default:
			cannot = append(cannot, "its "+of+" is not known")
		}
	}
	nation, network := s.countries().here, s.networks().here
	told(len(r.nations), s.t.countries, nation.country != "", "its country is "+nation.country, "country")
	told(len(r.numbers), s.t.asns, network.asn != 0, "it is of "+network.operator(), "network")
	if len(cannot) > 0 {
		return Unknown, strings.Join(append(cannot, not...), "; ")
	}
	return No, strings.Join(not, "; ")
}

// Text is the rule in words.
func (r Rule) Text() string {
	var b strings.Builder
	b.WriteString(r.Action + " " + strings.Join(r.From, ", "))
	if r.Home {
		b.WriteString(" (at home, too)")
	}
	if len(r.Doors) > 0 {
		b.WriteString(" at the door " + strings.Join(r.Doors, ", "))
	}
	if len(r.Routes) > 0 {
		b.WriteString(" for " + strings.Join(r.Routes, ", "))
	}
	if r.KnownPass {
		b.WriteString(" unless the device is known")
	}
	return b.String()
}

// outcome says what comes of the rules at a door, in the order in which they are asked.
func (t *Table) outcome(a Ask, v Verdict, s *sight) string {
	if v.Denied {
		return fmt.Sprintf("turned away by rule %d before a byte is read", v.Rule)
	}
	var says []string
	for i := range t.rules {
		r := &t.rules[i]
		if !r.at(a.Door) || !r.matches(s) {
			continue
		}
		verb := "not filtered"
		if r.deny {
			verb = "denied"
		}
		about := ""
		if len(r.Routes) > 0 {
			about = " for " + strings.Join(r.Routes, ", ")
		}
		if r.KnownPass {
			about += " unless the device is known"
		}
		if about == "" && len(says) > 0 {
			about = " else"
		}
		says = append(says, fmt.Sprintf("%s%s by rule %d", verb, about, i+1))
		if !r.depends() {
			return strings.Join(says, "; ")
		}
	}
	if len(says) == 0 {
		return "not filtered: no rule is about it"
	}
	return strings.Join(append(says, "not filtered else"), "; ")
}

// Lines are the explanation in words, one sentence a line.
func (e Explanation) Lines() []string {
	lines := []string{e.Addr + e.belongs()}
	for _, d := range e.Doors {
		lines = append(lines, "door "+d.Door+": "+d.Text)
	}
	says := map[string]string{Yes: "is about it", No: "is not about it", Unknown: "could not be judged, and is passed over"}
	for _, r := range e.Rules {
		lines = append(lines, fmt.Sprintf("rule %d (%s) %s: %s", r.Rule, r.Text, says[r.Match], r.Why))
	}
	return lines
}

// belongs says in brackets what is known of the address.
func (e Explanation) belongs() string {
	var known []string
	if e.Inside != "" {
		known = append(known, "a tunnel's end at "+e.Inside)
	}
	if e.AtHome {
		known = append(known, "at home")
	}
	if e.Country != "" {
		known = append(known, "country "+e.Country)
	}
	if e.ASN != 0 {
		known = append(known, place{asn: e.ASN, organisation: e.Organisation}.operator())
	}
	if len(known) == 0 {
		return ""
	}
	return " (" + strings.Join(known, ", ") + ")"
}
