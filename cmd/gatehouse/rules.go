package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"gatehouse/internal/config"
	"gatehouse/internal/door/lan"
	"gatehouse/internal/event"
	"gatehouse/internal/guard/filter"
	"gatehouse/internal/ha"
	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

// The owner's rules for addresses: [[guard.rules]].

// doorWords are the doors that a rule may name: those where a client comes with an address of
// its own.
func doorWords() []string {
	return []string{string(policy.HTTPS), string(policy.LAN), string(policy.WireGuard), string(policy.SSH)}
}

// rulesOf are the rules of the configuration as they are asked.
func rulesOf(c *config.Config) []filter.Rule {
	var all []filter.Rule
	for _, r := range c.Guard.Rules {
		rule := filter.Rule{Action: r.Action, Doors: r.Doors, From: r.From, KnownPass: r.KnownPass, Home: r.Home}
		for _, word := range r.Routes {
			route, _ := ha.ParseRoute(word) // ruleProblems has asked
			rule.Routes = append(rule.Routes, string(route))
		}
		all = append(all, rule)
	}
	return all
}

// ruleProblems says what is wrong with the rules, without a look at the files that they name.
func ruleProblems(c *config.Config) []config.Problem {
	var all []config.Problem
	for i, r := range c.Guard.Rules {
		for _, word := range r.Doors {
			switch {
			case word == string(policy.Onion):
				all = append(all, c.RuleProblem(i+1, "doors", `has "onion", where Tor tells no address`, "no rule is asked there: leave it out"))
			case !slices.Contains(doorWords(), word):
				all = append(all, c.RuleProblem(i+1, "doors", fmt.Sprintf("has %q, which is no door", word), "the doors are "+strings.Join(doorWords(), ", ")))
			}
		}
		if len(r.Routes) > 0 && slices.Equal(slices.Compact(slices.Clone(r.Doors)), []string{string(policy.WireGuard)}) {
			all = append(all, c.RuleProblem(i+1, "routes", "says nothing at the door wireguard: there only whether a tunnel may begin is asked", "leave it out, or name other doors"))
		}
		for _, word := range r.Routes {
			if _, ok := ha.ParseRoute(word); !ok {
				all = append(all, c.RuleProblem(i+1, "routes", fmt.Sprintf("has %q, which is no kind of request", word), meant(word, ha.Routes())))
			}
		}
	}
	for _, m := range filter.Check(rulesOf(c), c.Guard.Countries != "", c.Guard.ASNs != "") {
		all = append(all, c.RuleProblem(m.Rule, m.Key, m.Message, m.Hint))
	}
	return all
}

// meant names the one of a closed set that was probably meant, or all there are.
func meant[W ~string](word string, set []W) string {
	words := make([]string, len(set))
	for i, w := range set {
		words[i] = string(w)
	}
	if near := config.Nearest(word, words); near != "" {
		return "did you mean " + near + "?"
	}
	return "there are " + strings.Join(words, ", ")
}

// newFilter reads the files that rules need. It is no error if one cannot be read: the house
// would be shut for its owner.
func newFilter(c *config.Config, neighbour func(netip.Addr) bool, told func(filter.File)) (*filter.Filter, error) {
	return filter.New(filter.Config{Rules: rulesOf(c), Countries: c.Guard.Countries, Networks: c.Guard.ASNs, Home: neighbour, Told: told})
}

// fileProblems says what is wrong with the files that rules need.
func fileProblems(c *config.Config) ([]config.Problem, error) {
	f, err := newFilter(c, nil, nil)
	if err != nil {
		return nil, err
	}
	var all []config.Problem
	for _, x := range f.Files() {
		if x.Trouble == "" {
			continue
		}
		switch {
		case strings.HasPrefix(x.Of, "countries"):
			all = append(all, c.ProblemAt("guard.countries", x.Trouble, ""))
		case x.Of == "networks":
			all = append(all, c.ProblemAt("guard.asns", x.Trouble, ""))
		default:
			all = append(all, c.RuleProblem(x.Rules[0], "from", "needs a list that cannot be read: "+x.Trouble, ""))
		}
	}
	return all, nil
}

// openFilter makes the server's filter, which says in the log how its files stand.
func (s *server) openFilter() (err error) {
	s.filter, err = newFilter(s.cfg, neighbours(s.links), s.sayFile)
	return err
}

// neighbours reports whether an address is of the house: on its link, or this machine's own.
func neighbours(links *lan.Links) func(netip.Addr) bool {
	return func(addr netip.Addr) bool { return links.AtHome(addr) || links.Here(addr) }
}

// sayFile says in the log how a file of the rules stands now.
func (s *server) sayFile(f filter.File) {
	switch f.State {
	case filter.Good:
		s.parts.log.Info("read for the rules of [guard]", "file", f.Path, "entries", f.Entries, "type", f.Kind)
	case filter.Flawed:
		s.parts.log.Warn("lines of a list cannot be read; the others are in force", "file", f.Path, "lines", f.Unreadable, "first", f.Trouble)
	case filter.Stale:
		s.parts.log.Error("a file of the rules of [guard] cannot be used as it is now; what was read before stays in force", "file", f.Path, "error", f.Trouble)
		s.emit(rulesFailed(f))
	default:
		s.parts.log.Error("a file of the rules of [guard] cannot be read: whom it is about cannot be told", "file", f.Path, "rules", f.Rules, "error", f.Trouble)
		s.emit(rulesFailed(f))
	}
}

// admits reports whether the rules let an address speak at a door at all. A proxy that says
// with each request whom it speaks for is no client.
func (s *server) admits(door policy.Door, proxies wire.Proxies) func(netip.Addr) bool {
	return func(addr netip.Addr) bool {
		if proxies.Forwards(addr) {
			return true
		}
		v := s.filter.Admit(addr, string(door))
		if v.Denied {
			s.emit(event.Event{Kind: event.Refused, Door: string(door), Addr: filter.Normal(addr).String(), Detail: ruleSays(v.Rule)})
		}
		return !v.Denied
	}
}

// filtered asks the rules about a request. In a tunnel the address is the tunnel's own; the
// rules were asked about the one from outside, when its handshake began.
func (s *server) filtered(addr netip.Addr, door policy.Door, route ha.Route, known bool) (why string, denied bool) {
	if door == policy.Onion {
		return "", false // Tor tells no address: there is nothing to judge by
	}
	if door == policy.WireGuard {
		return "", false
	}
	v := s.filter.Judge(addr, string(door), string(route), known)
	if !v.Denied {
		return "", false
	}
	return ruleSays(v.Rule), true
}

func ruleSays(rule int) string { return fmt.Sprintf("rule %d of [guard]", rule) }

// explainRules says what the rules mean for an address. Without a server the files are read
// for it alone.
func (h *house) explainRules(addr netip.Addr) rulesRow {
	row := rulesRow{Say: []string{}}
	if len(h.cfg.Guard.Rules) == 0 {
		return row
	}
	f, err := h.filterNow()
	if err != nil {
		row.Say = append(row.Say, "They cannot be judged: "+err.Error()+".")
		return row
	}
	e := f.Explain(addr, h.openDoorWords()...)
	for i, d := range e.Doors {
		if d.Door == string(policy.WireGuard) && !d.Denied {
			e.Doors[i].Text = "not filtered: only whether the tunnel may begin is asked there" // see filtered
		}
	}
	row.Why = &e
	for _, line := range e.Lines()[1:] {
		row.Say = append(row.Say, strings.ToUpper(line[:1])+line[1:]+".")
	}
	row.Denied = len(e.Doors) > 0 && !slices.ContainsFunc(e.Doors, func(d filter.Outcome) bool { return !d.Denied })
	row.Decide = row.Denied
	return row
}

// openDoorWords are the doors of the configuration that rules hold at.
func (h *house) openDoorWords() (doors []string) {
	if h.cfg.Doors.HTTPS != nil {
		doors = append(doors, string(policy.HTTPS))
	}
	if h.cfg.Doors.LAN != nil {
		doors = append(doors, string(policy.LAN))
	}
	if h.cfg.Doors.WireGuard != nil {
		doors = append(doors, string(policy.WireGuard))
	}
	if h.cfg.Doors.SSH != nil {
		doors = append(doors, string(policy.SSH))
	}
	return doors
}

// filterNow is the server's filter, or one made for this moment.
func (h *house) filterNow() (*filter.Filter, error) {
	if h.server != nil {
		return h.server.filter, nil
	}
	return newFilter(h.cfg, neighbours(h.links), nil)
}

// examineRules looks whether the files of the rules are what they should be.
func (h *house) examineRules() []diagnosis {
	if len(h.cfg.Guard.Rules) == 0 {
		return nil
	}
	d := diagnosis{ID: "guard-rules", Title: "The rules for addresses can be judged", Result: good, Detail: count(len(h.cfg.Guard.Rules), "rule", "rules")}
	f, err := h.filterNow()
	if err != nil {
		d.Result, d.Detail = bad, err.Error()
		return []diagnosis{d}
	}
	if wrong := saysOfTrouble(f.Files()); len(wrong) > 0 {
		d.Result, d.Detail = bad, strings.Join(wrong, "; ")
		d.Hint = `put the file right: it is read again by itself; the service's own user has to be able to read it`
	}
	return []diagnosis{d}
}

// saysOfTrouble is what is wrong with the files of the rules, in words.
func saysOfTrouble(files []filter.File) (all []string) {
	for _, x := range files {
		if x.State != filter.Good {
			all = append(all, saysOfFile(x))
		}
	}
	return all
}

// saysOfFile is what is wrong with a file of the rules, in words.
func saysOfFile(f filter.File) string {
	switch f.State {
	case filter.Stale:
		return f.Trouble + " (what was read " + ago(stamp(f.Read)) + " stays in force)"
	case filter.Missing:
		return f.Trouble + " (nobody can be judged by it: a rule that denies lets past, a rule that allows does not)"
	}
	return fmt.Sprintf("%s (%s left out)", f.Trouble, count(f.Unreadable, "line is", "lines are"))
}
