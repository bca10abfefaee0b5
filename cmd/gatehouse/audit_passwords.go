package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

// guesser guesses the passwords of some accounts (internal/facts).
type guesser func(ctx context.Context, limit time.Duration, told func(done, of int)) ([]facts.Guess, error)

// passwordChecks are the checks of --passwords. They take time, so they are not among
// those that are always asked; they share the time that was given: the first takes at most
// half of it, and seldom as much.
func (u *auditing) passwordChecks(ctx context.Context) []audit.Check {
	limit := u.passwords
	if limit <= 0 {
		limit = 60 * time.Second // --explain
	}
	var spent time.Duration
	guess := func(h *facts.Host, with guesser, most time.Duration) audit.Verdict {
		began := time.Now()
		p := u.app.newProgress()
		all, err := with(ctx, most, func(done, of int) {
			p.show("%d of %d guesses, %s of %s", done, of, time.Since(began).Round(time.Second), most)
		})
		p.clear()
		spent += time.Since(began)
		if err != nil {
			return audit.Unknown(err)
		}
		return guessed(all)
	}
	return []audit.Check{{
		ID: "password.local-account", Title: "No account of the machine has a password that is easy to guess, or none", Severity: finding.Crit,
		Why:       "Programs on the Internet and in the house try the commonest passwords at every SSH server and every console, day and night.",
		Fix:       "Give each of these accounts a long password (passwd), or lock its password (passwd -l) where it signs in with a key.",
		Reference: []string{"Home Assistant: Securing", "NIST SP 800-63B 3.1.1.2", "crypt(5)"}, Needs: audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict { return guess(h, h.GuessLocalPasswords, limit/2) },
	}, {
		ID: "password.ha-account", Title: "No account of Home Assistant has a password that is easy to guess, or none", Severity: finding.Crit,
		Why:       "Who finds the sign-in page tries the names in the house and the commonest passwords first; Home Assistant then opens the door to them.",
		Fix:       "Let each of these people set a long password of their own (their profile in Home Assistant), and turn on a second factor.",
		Reference: []string{"Home Assistant: Securing", "NIST SP 800-63B 3.1.1.2"}, Needs: audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict { return guess(h, h.GuessHAPasswords, limit-spent) },
	}}
}

// guessed judges what guessing came to.
func guessed(all []facts.Guess) audit.Verdict {
	var bad, open []finding.Evidence
	var doubts []string
	tried := 0
	for n, g := range all {
		at := func(what string) finding.Evidence { return audit.At(g.File, g.Line, g.Account+": "+what) }
		if n == 0 || g.Tried < tried {
			tried = g.Tried
		}
		switch g.Outcome {
		case facts.Guessed:
			bad = append(bad, at("the password is "+g.How))
		case facts.NoPassword:
			text := "no password"
			if g.How != "" {
				text += ", " + g.How
			}
			bad = append(bad, at(text))
		case facts.NotGuessed:
			open = append(open, at(fmt.Sprintf("not among %d guesses", g.Tried)))
		default:
			doubts = append(doubts, g.Account+": "+g.Why.Error())
			open = append(open, at("not judged: "+g.Why.Error()))
		}
	}
	switch {
	case len(bad) > 0:
		return audit.Fail(fmt.Sprintf("%d of %d accounts", len(bad), len(all)), append(bad, open...)...)
	case len(doubts) > 0:
		v := audit.Unknown(errors.New(strings.Join(doubts, "; ") + " (--passwords=30m gives it more time)"))
		v.Evidence = open
		return v
	case len(all) == 0:
		return audit.NotApplicable("no account has a password")
	}
	return audit.Pass(fmt.Sprintf("none of at least %d guesses", tried), open...)
}
