package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/internal/config"
	"gatehouse/internal/guard"
)

// The verbs that show who is not listened to, and change it.

func (a *app) newGuardCommand() *cobra.Command {
	return group("guard", "Show and change who is not listened to",
		a.newGuardStatusCommand(), a.newGuardBanCommand(), a.newGuardUnbanCommand(), a.newGuardAllowCommand(), a.newGuardDisallowCommand(),
		a.newGuardExplainCommand(), a.newGuardImportCommand())
}

func (a *app) newGuardStatusCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:     "status",
		Aliases: []string{"list"},
		Short:   "Show what is banned and allowed, and how the guard stands",
		Args:    noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := ask(cmd.Context(), a, "guard", guardStatus, none{})
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) { sayGuard(w, doc, all) })
		},
	}
	c.Flags().BoolVar(&all, "all", false, "show every ban, and not the newest alone")
	return c
}

func (a *app) newGuardBanCommand() *cobra.Command {
	var last, why string
	c := &cobra.Command{
		Use:   "ban ADDRESS|NETWORK",
		Short: "Listen to an address or a network no more",
		Long: `Has the gateway listen to an address or a network no more. Known devices pass a ban.
What would lock you out, this machine or an address from which a known device came in the
last days, is banned only with --yes.`,
		Example: `  gatehouse guard ban 203.0.113.7
  gatehouse guard ban 203.0.113.0/24 --for 7d --why "scans every night"`,
		Args: exactly(1, "ADDRESS|NETWORK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			seconds, err := banTime(last)
			if err != nil {
				return err
			}
			doc, err := ask(cmd.Context(), a, "guard/ban", banSource, banWish{args[0], seconds, why, a.yes})
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) {
				for _, b := range doc.Bans {
					fmt.Fprintf(w, "%s is not listened to %s.\n", b.Source, b.ends())
					if p, err := config.ParsePrefix(b.Source); err == nil && p.IsSingleIP() && p.Addr().Is6() {
						if wide, err := p.Addr().Prefix(64); err == nil {
							a.note("whoever has one IPv6 address mostly has the whole network: gatehouse guard ban %s", wide)
						}
					}
				}
				if len(doc.Except) > 0 {
					fmt.Fprintf(w, "Allowed all the same: %s.\n", strings.Join(doc.Except, ", "))
				}
			})
		},
	}
	c.Flags().StringVar(&last, "for", "24h", "for how `LONG`, like 30m, 24h or 7d; forever: until it is lifted")
	c.Flags().StringVar(&why, "why", "", "the `REASON`, for whoever reads it later")
	return c
}

// banTime reads for how long a ban shall be, in seconds; 0 for one without an end.
func banTime(text string) (int64, error) {
	if text == "forever" {
		return 0, nil
	}
	var d config.Duration
	if err := d.UnmarshalText([]byte(text)); err != nil || time.Duration(d) < time.Second {
		return 0, &problem{status: statusUsage, err: fmt.Errorf("--for %.40q is no length of time", text), hint: "it looks like 30m, 24h, 7d or forever"}
	}
	return int64(time.Duration(d) / time.Second), nil
}

func (a *app) newGuardUnbanCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "unban ADDRESS|NETWORK",
		Short: "Listen to an address or a network again",
		Long: `Lifts every ban that the address is in, and every ban within a network, whoever made it,
and forgets what failed there. An address may be banned by the network around it: then that
ban is lifted, and it says so.`,
		Example: `  gatehouse guard unban 203.0.113.7
  gatehouse guard unban --all`,
		Args: atMost(1, "one ADDRESS or NETWORK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			wish := unbanWish{All: all}
			switch {
			case all == (len(args) == 1):
				return &problem{status: statusUsage, err: errors.New("say whom to listen to again"), hint: "name an address or a network, or say --all"}
			case !all:
				wish.Source = args[0]
			}
			doc, err := ask(cmd.Context(), a, "guard/unban", unbanSource, wish)
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) {
				for _, b := range doc.Bans {
					if !all && b.isAround(wish.Source) {
						fmt.Fprintf(w, "%s is listened to again, and with it %s.\n", b.Source, wish.Source)
						continue
					}
					fmt.Fprintf(w, "%s is listened to again.\n", b.Source)
				}
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "lift every ban")
	return c
}

func (a *app) newGuardAllowCommand() *cobra.Command {
	var why string
	var remove bool
	c := &cobra.Command{
		Use:   "allow ADDRESS|NETWORK",
		Short: "Never ban an address or a network for what fails there",
		Long: `Never bans an address or a network for what fails there. Whoever comes from there has to
sign in all the same, and an account that is tried too often is slowed as everywhere.
What stands under guard.allow in the configuration is allowed as well.`,
		Example: `  gatehouse guard allow 192.168.1.0/24 --why home
  gatehouse guard allow 192.168.1.0/24 --remove`,
		Args: exactly(1, "ADDRESS|NETWORK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.guardAllow(cmd.Context(), allowWish{args[0], remove, why, a.yes})
		},
	}
	c.Flags().BoolVar(&remove, "remove", false, "take an allowance back, as disallow does")
	c.Flags().StringVar(&why, "why", "", "the `REASON`, for whoever reads it later")
	return c
}

func (a *app) newGuardDisallowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "disallow ADDRESS|NETWORK",
		Short: "Take an allowance back",
		Args:  exactly(1, "ADDRESS|NETWORK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.guardAllow(cmd.Context(), allowWish{Source: args[0], Remove: true})
		},
	}
}

func (a *app) guardAllow(ctx context.Context, wish allowWish) error {
	doc, err := ask(ctx, a, "guard/allow", allowSource, wish)
	if err != nil {
		return err
	}
	return a.print(doc, func(w io.Writer) {
		if doc.Allowed {
			fmt.Fprintf(w, "%s is never banned from now on. Whoever comes from there has to sign in all the same.\n", doc.Allowance.Source)
			if len(doc.Except) > 0 {
				fmt.Fprintf(w, "Banned all the same, as you said: %s.\n", strings.Join(doc.Except, ", "))
			}
			return
		}
		fmt.Fprintf(w, "%s may be banned again.\n", doc.Allowance.Source)
	})
}

func (a *app) newGuardExplainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain ADDRESS",
		Short: "Say whether an address is listened to, and why",
		Long: `Says whether an address is listened to, what decides that, what failed there, and what
comes next. What is asked first decides: the rules of the configuration, what you banned or
allowed yourself, whether many are behind the address, bans, and what was counted.`,
		Example: `  gatehouse guard explain 203.0.113.7
  gatehouse guard explain 203.0.113.7 --json | jq -e .banned`,
		Args: exactly(1, "ADDRESS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			doc, err := ask(cmd.Context(), a, "guard/explain", explainSource, named{args[0]})
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) { sayExplanation(w, doc) })
		},
	}
}

func (a *app) newGuardImportCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "import [FILE]",
		Short: "Take over the addresses that Home Assistant has banned",
		Long: `Takes over the addresses that Home Assistant has banned: its ip_bans.yaml, or a file of that
form. Home Assistant's bans never end; here they end after 30 days, as addresses change
hands. It shows first what it will do. This machine's own addresses are left out, and
without --all those at home as well.`,
		Example: "  sudo gatehouse guard import",
		Args:    atMost(1, "one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			return a.guardImport(cmd.Context(), name, all)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "take over what is at home or private, too")
	return c
}

// isAround reports whether a ban is one of a network around what somebody typed.
func (b banRow) isAround(typed string) bool {
	banned, err := config.ParsePrefix(b.Source)
	p, err2 := config.ParsePrefix(typed)
	return err == nil && err2 == nil && banned.Bits() < p.Bits() && banned.Contains(p.Addr())
}

// ends says when a ban ends.
func (b banRow) ends() string {
	if b.Until == "" {
		return "until it is lifted"
	}
	return fmt.Sprintf("until %s (%s)", b.Until, ago(b.Until))
}

// lasting is a length of time in words.
func lasting(seconds int64) string {
	return config.Duration(time.Duration(seconds) * time.Second).String()
}

// sentences say what is unusual with the guard.
func (g guardRow) sentences() (all []string) {
	if g.WaryUntil != "" {
		all = append(all, fmt.Sprintf("Too much fails, from all over: strangers are met warily until %s. Known devices notice nothing.", g.WaryUntil))
	}
	for _, s := range g.Shared {
		all = append(all, fmt.Sprintf("%s is never banned: %s.", s.Addr, s.Why))
	}
	for _, s := range g.Slowed {
		all = append(all, fmt.Sprintf("Unknown devices have to wait with the account %s until %s.", s.Account, s.Until))
	}
	for _, said := range saysOfTrouble(g.Files) {
		all = append(all, "A file of the rules for addresses: "+said+".")
	}
	if g.Unwritten != "" {
		all = append(all, "Bans cannot be written down, and a restart forgets them: "+g.Unwritten+".")
	}
	return all
}

// tableOfBans shows the newest bans, or every one.
func tableOfBans(w io.Writer, bans []banRow, all bool) {
	shown := bans
	if !all && len(bans) > shownBans {
		shown = bans[:shownBans]
	}
	rows := [][]string{{"NOT LISTENED TO", "SINCE", "UNTIL", "WHY"}}
	for _, b := range shown {
		until := "it is lifted"
		if b.Until != "" {
			until = b.Until
		}
		rows = append(rows, []string{b.Source, orDash(b.Since), until, b.Why})
	}
	table(w, rows)
	if more := len(bans) - len(shown); more > 0 {
		fmt.Fprintf(w, "and %d more: gatehouse guard status --all\n", more)
	}
}

func sayGuard(w io.Writer, doc guardDocument, all bool) {
	g := doc.Guard
	fmt.Fprintf(w, "A source is banned after %s within %s, for %s and then twice as long each time, up to %s.\n",
		count(g.Threshold, "failure", "failures"), lasting(g.WindowSeconds), lasting(g.BanSeconds), lasting(g.MaxBanSeconds))
	for _, s := range g.sentences() {
		fmt.Fprintln(w, s)
	}
	if !doc.Running {
		fmt.Fprintln(w, "The gateway is not running; this is what it will begin with.")
	}
	fmt.Fprintln(w)
	if len(doc.Bans) == 0 {
		fmt.Fprintln(w, "Nobody is banned.")
	} else {
		tableOfBans(w, doc.Bans, all)
	}
	if len(g.Allowed) > 0 {
		fmt.Fprintln(w)
		rows := [][]string{{"NEVER BANNED", "SINCE", "WHY"}}
		for _, x := range g.Allowed {
			rows = append(rows, []string{x.Source, x.Since, x.Why})
		}
		table(w, rows)
	}
}

func sayExplanation(w io.Writer, doc explainDocument) {
	fmt.Fprintln(w, doc.verdict())
	fmt.Fprintln(w, "\nAsked in this order, what decides first holds:")
	for i, line := range []struct{ by, says string }{
		{decidedByRules, doc.rulesSay()}, {decidedByOwner, doc.ownerSays()}, {decidedByShared, doc.sharedSays()},
		{decidedByBan, doc.banSays()}, {decidedByCounts, doc.countsSay()},
	} {
		first, more, several := strings.Cut(line.says, "\n")
		if line.by == doc.Decided {
			first += " This decides."
		}
		if several {
			first += "\n" + more
		}
		fmt.Fprintf(w, "  %d. %s\n", i+1, first)
	}
	if len(doc.Kinds) > 0 {
		fmt.Fprintln(w, "\nWhat failed there:")
		rows := [][]string{}
		for _, kind := range slices.Sorted(maps.Keys(doc.Kinds)) {
			rows = append(rows, []string{fmt.Sprintf("  %d ×", doc.Kinds[kind]), guard.Kind(kind).Sentence()})
		}
		table(w, rows)
	}
	if len(doc.Last) > 0 {
		fmt.Fprintln(w, "\nThe last of it:")
		rows := [][]string{{"  WHEN", "FROM", "DOOR", "WHAT", "ACCOUNT"}}
		for _, n := range doc.Last {
			rows = append(rows, []string{"  " + n.At, n.Addr, orDash(n.Door), n.What, orDash(n.Account)})
		}
		table(w, rows)
	}
	for _, d := range doc.Known {
		fmt.Fprintf(w, "\nKnown from there: %s of %s, %s. Known devices pass a ban.\n", orDash(d.Name), orDash(d.Person), ago(d.Seen))
	}
	if doc.Banned && doc.Decided != decidedByRules {
		fmt.Fprintf(w, "\nTo listen to it again: gatehouse guard unban %s\n", doc.Addr)
	}
}

// verdict is the answer in one line.
func (d explainDocument) verdict() string {
	switch {
	case d.Decided == decidedByRules && d.Rules.Denied:
		return d.Addr + " is refused by a rule of the configuration."
	case d.Banned && d.Ban != nil:
		return fmt.Sprintf("%s is not listened to %s.", d.Addr, d.Ban.ends())
	}
	return d.Addr + " is listened to."
}

func (d explainDocument) rulesSay() string {
	if len(d.Rules.Say) == 0 {
		return "Rules: none is about it."
	}
	return "Rules: " + strings.Join(d.Rules.Say, "\n     ")
}

func (d explainDocument) ownerSays() string {
	switch {
	case d.Ban != nil && d.Ban.By == string(guard.ByOwner):
		return fmt.Sprintf("What you said: %s is banned since %s: %s.", d.Ban.Source, d.Ban.Since, d.Ban.Why)
	case d.Allowed != nil:
		return fmt.Sprintf("What you said: %s is never banned for what fails there: %s.", d.Allowed.Source, d.Allowed.Why)
	}
	return "What you said: nothing about it."
}

func (d explainDocument) sharedSays() string {
	if d.Shared != "" {
		return "Many behind it: yes, so it is never banned: " + d.Shared + "."
	}
	return "Many behind it: not that we know."
}

func (d explainDocument) banSays() string {
	if d.Ban == nil || d.Ban.By == string(guard.ByOwner) {
		return fmt.Sprintf("Bans: none. The next one would last %s.", lasting(d.NextBan))
	}
	s := fmt.Sprintf("Bans: %s since %s: %s.", d.Ban.Source, d.Ban.Since, strings.TrimSuffix(d.Ban.Why, "."))
	if d.Ban.Level > 0 {
		s += fmt.Sprintf(" It was banned %s before.", count(d.Ban.Level, "time", "times"))
	}
	return s + fmt.Sprintf(" The next one would last %s.", lasting(d.NextBan))
}

func (d explainDocument) countsSay() string {
	return fmt.Sprintf("Counts (as %s): %d of %s within %s; %d of %d over days.", d.CountedAs, d.Failures, count(d.Threshold, "failure", "failures"), lasting(d.Window), d.Long, d.LongLimit)
}
