package config

import (
	"fmt"
	"strings"
)

// Rule is one of the rules by address, [[guard.rules]], in their order. What its words mean
// is checked by whoever knows them; Where says where they stand.
type Rule struct {
	Action    string   `toml:"action" json:"action" comment:"\"allow\" lets past, to be judged as everybody; \"deny\" refuses. The first rule that matches decides."`
	From      []string `toml:"from" json:"from" comment:"Whom it is about: \"203.0.113.0/24\", \"country:DE\", \"asn:64496\", \"list:/path/to/file\" or \"any\"."`
	Doors     []string `toml:"doors,omitempty" json:"doors,omitempty" comment:"At which doors it holds. Default all"`
	Routes    []string `toml:"routes,omitempty" json:"routes,omitempty" comment:"For which kinds of requests it holds, like \"webhook\" or \"login flow\". Default all"`
	KnownPass bool     `toml:"known_pass,omitempty" json:"known_pass,omitempty" comment:"Known devices pass a rule that denies. Default false"`
	Home      bool     `toml:"home,omitempty" json:"home,omitempty" comment:"A rule that denies \"any\" denies who is at home, too. Default false"`
}

// RuleProblem is something that is wrong with a key of a rule, the first of which is 1.
func (c *Config) RuleProblem(rule int, key, message, hint string) Problem {
	return Problem{
		Line:    c.at.line(fmt.Sprintf("guard.rules[%d].%s", rule-1, key)),
		Key:     "guard.rules." + key,
		Message: fmt.Sprintf("rule %d of guard.rules: %s %s", rule, key, message),
		Hint:    hint,
	}
}

// ProblemAt is something that is wrong with what a key of the file leads to.
func (c *Config) ProblemAt(key, message, hint string) Problem {
	return Problem{Line: c.at.line(key), Key: key, Message: key + ": " + message, Hint: hint}
}

// Nearest returns the one of some words that was probably meant; empty if none is near.
func Nearest(word string, of []string) string {
	best, least := "", 0
	for _, meant := range of {
		if n := slips(word, meant); len(word) <= maxTypo && Near(word, meant) && (best == "" || n < least) {
			best, least = meant, n
		}
	}
	return best
}

// general is a key without the numbers of tables that come several times.
func general(key string) string {
	for {
		begin := strings.IndexByte(key, '[')
		end := strings.IndexByte(key, ']')
		if begin < 0 || end < begin {
			return key
		}
		key = key[:begin] + key[end+1:]
	}
}
