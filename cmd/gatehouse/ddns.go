package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/internal/acme"
	"gatehouse/internal/config"
	"gatehouse/internal/ddns"
	"gatehouse/internal/event"
	"gatehouse/internal/resolver"
)

// The home's name follows the home's address, where the table [ddns] is.

// newDDNS makes what keeps the home's addresses in its zone; nil where that is not asked
// for.
func (s *server) newDDNS(ctx context.Context) (*ddns.Keeper, error) {
	c := s.cfg.DDNS
	if c == nil {
		return nil, nil
	}
	var wrong *acme.Error
	if errors.As(acme.CheckName(c.Name, acme.ByTLS), &wrong) {
		return nil, &problem{status: statusUsage, err: fmt.Errorf("ddns.name: %s", wrong.What), hint: wrong.Hint}
	}
	asks := resolver.Resolver{}
	return ddns.New(ctx, ddns.Config{
		Ledger: s.parts.ledger, Name: c.Name, InZone: strings.ToLower(s.cfg.Certificates.DNS.Zone), Kinds: ddnsKinds(c), Sources: ddnsSources(c.Addresses),
		Life: time.Duration(c.TTL), Resolver: asks, Local: ddns.Local, Log: s.parts.log,
		Zone: func(ctx context.Context) (ddns.Zone, error) {
			z, err := openZone(ctx, s.cfg.Certificates.DNS, s.parts.ledger, asks)
			var wrong *acme.Error
			if errors.As(err, &wrong) {
				err = &ddns.Error{What: wrong.What, Hint: wrong.Hint, Err: err}
			}
			return z, err
		},
		Changed: func(what string) { s.emit(event.Event{Kind: event.AddressChanged, Detail: what}) },
		Failed: func(err *ddns.Error) {
			s.emit(event.Event{Kind: event.AddressFailed, Detail: c.Name + ": " + err.What})
		},
		Holder: "gateway", // whoever serves has the ledger's lock, so there is one
	})
}

func ddnsKinds(c *config.DDNS) (kinds []ddns.Kind) {
	if c.IPv4 {
		kinds = append(kinds, ddns.IPv4)
	}
	if c.IPv6 {
		kinds = append(kinds, ddns.IPv6)
	}
	return kinds
}

// ddnsSources are where the configuration has the home's address from.
func ddnsSources(words []string) (all []ddns.Source) {
	for _, word := range words {
		switch word {
		case config.FromInterface:
			all = append(all, ddns.Interfaces())
		case config.FromRouter:
			all = append(all, ddns.Router())
		default:
			all = append(all, ddns.Echo(word))
		}
	}
	return all
}

// outside are the addresses under which this house is reached, as far as it is known: those
// that are kept in the zone, this machine's own, and, where it has none of IPv4 that the
// Internet leads to, the router's. None is known where proxies stand before the door: the
// name leads to them.
func (s *server) outside(ctx context.Context) []netip.Addr {
	if len(httpsProxies(s.cfg).Trusted) > 0 {
		return nil
	}
	all, four := ownAddrs(), false
	if s.ddns != nil {
		all = append(all, s.ddns.Addresses()...)
	}
	for _, a := range all {
		four = four || a.Is4() && ddns.IsPublic(a)
	}
	if four {
		return all
	}
	a, err := ddns.Router().Address(ctx, ddns.IPv4)
	if err != nil {
		s.parts.log.Debug("the router's address on the Internet's side is not known", "error", err)
		return all
	}
	return append(all, a)
}

// What there is.

type ddnsDocument struct {
	SchemaVersion int       `json:"schema_version"`
	DDNS          *ddnsInfo `json:"ddns"` // null where it is not configured
}

type ddnsInfo struct {
	Name    string      `json:"name"`
	Good    bool        `json:"good"` // the zone is as it should be, as far as is known
	Records []recordRow `json:"records"`
	Looked  string      `json:"looked,omitempty"`  // the zone was asked
	Written string      `json:"written,omitempty"` // it was written to
	Standby bool        `json:"standby,omitempty"` // another gateway keeps it
	Why     string      `json:"why,omitempty"`
	Hint    string      `json:"hint,omitempty"`
	NextTry string      `json:"next_try,omitempty"`
}

type recordRow struct {
	Kind    string   `json:"kind"` // A or AAAA
	Address string   `json:"address,omitempty"`
	Source  string   `json:"source,omitempty"`
	Zone    []string `json:"zone"` // what the zone has
	Why     string   `json:"why,omitempty"`
	Hint    string   `json:"hint,omitempty"`
}

// ddnsInfo is how the home's addresses stand; nil where they are not kept.
func (h *house) ddnsInfo() *ddnsInfo {
	if h.server == nil || h.server.ddns == nil {
		return nil
	}
	s := h.server.ddns.State()
	info := &ddnsInfo{Name: s.Name, Good: s.Why == "", Records: []recordRow{}, Looked: stamp(s.Looked), Written: stamp(s.Written), Standby: s.Standby,
		Why: s.Why, Hint: s.Hint, NextTry: stamp(s.NextTry)}
	for _, r := range s.Records {
		row := recordRow{Kind: string(r.Kind), Source: r.Source, Zone: []string{}, Why: r.Why, Hint: r.Hint}
		if r.Address.IsValid() {
			row.Address = r.Address.String()
		}
		for _, a := range r.Held {
			row.Zone = append(row.Zone, a.String())
		}
		info.Records = append(info.Records, row)
	}
	return info
}

// sentence says in one line where the name leads and, if something is wrong, what.
func (i *ddnsInfo) sentence() string {
	var all []string
	for _, r := range i.Records {
		all = append(all, r.Zone...)
	}
	text := i.Name + " leads to " + strings.Join(all, " and ")
	if len(all) == 0 {
		text = i.Name + " is not known to lead anywhere"
	}
	if i.Standby {
		text += "; another gateway keeps it"
	}
	if i.Why != "" {
		text += "; " + i.Why
	}
	return text + "."
}

func showDDNS(_ context.Context, h *house, _ none) (ddnsDocument, error) {
	doc := ddnsDocument{SchemaVersion: schemaVersion}
	if h.cfg.DDNS == nil {
		return doc, nil
	}
	if h.server == nil || h.server.ddns == nil {
		return doc, &problem{status: statusCannot, err: errors.New("the gateway is not running, or was started before [ddns] was added"), hint: `start it: "gatehouse serve", or its service`}
	}
	doc.DDNS = h.ddnsInfo()
	return doc, nil
}

func retryDDNS(ctx context.Context, h *house, _ none) (done, error) {
	if h.server == nil || h.server.ddns == nil {
		return done{}, &problem{status: statusCannot, err: errors.New("no addresses are kept"), hint: "add a table [ddns] to the configuration, and start the gateway"}
	}
	return allDone(), h.server.ddns.Again(ctx)
}

func (a *app) newDDNSCommand() *cobra.Command {
	show := &cobra.Command{
		Use: "ddns", Short: "Show where the home's name leads, and why it does not follow the home",
		Long: `Shows the addresses of the home, where they were had from, and those that its zone has.
The exit status is 1 where the zone is not as it should be.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := ask(cmd.Context(), a, "ddns", showDDNS, none{})
			if err != nil {
				return err
			}
			if err := a.print(doc, func(w io.Writer) { sayDDNS(w, doc.DDNS) }); err != nil {
				return err
			}
			if doc.DDNS != nil && !doc.DDNS.Good {
				return &problem{status: statusNo}
			}
			return nil
		},
	}
	retry := &cobra.Command{
		Use: "retry", Short: "Look now, without waiting for the next time", Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := ask(cmd.Context(), a, "ddns/retry", retryDDNS, none{})
			if err != nil {
				return err
			}
			return a.print(doc, func(io.Writer) { a.note(`on its way; "gatehouse ddns" shows what comes of it`) })
		},
	}
	show.AddCommand(retry)
	return show
}

func sayDDNS(w io.Writer, i *ddnsInfo) {
	if i == nil {
		fmt.Fprintln(w, "No addresses are kept: there is no table [ddns] in the configuration.")
		return
	}
	rows := [][]string{{"RECORD", "THIS HOUSE", "KNOWN FROM", "IN THE ZONE"}}
	for _, r := range i.Records {
		rows = append(rows, []string{r.Kind, orDash(r.Address), orDash(r.Source), orDash(strings.Join(r.Zone, " "))})
	}
	table(w, rows)
	fmt.Fprintln(w, i.sentence())
	if i.Hint != "" {
		fmt.Fprintf(w, "        → %s\n", i.Hint)
	}
	for _, r := range i.Records {
		if r.Why != "" && !strings.Contains(i.Why, r.Why) {
			fmt.Fprintf(w, "%s: %s\n", r.Kind, r.Why)
			if r.Hint != "" && r.Hint != i.Hint {
				fmt.Fprintf(w, "        → %s\n", r.Hint)
			}
		}
	}
	if i.NextTry != "" {
		fmt.Fprintf(w, "It is written again %s.\n", ago(i.NextTry))
	}
}

// examineDDNS looks whether the home's name follows the home.
func (h *house) examineDDNS() []diagnosis {
	if h.cfg.DDNS == nil {
		return nil
	}
	d := diagnosis{ID: "ddns", Title: h.cfg.DDNS.Name + " leads to this house", Result: good}
	i := h.ddnsInfo()
	if i == nil {
		d.Result, d.Detail = unknown, "the gateway is not running, or was started before [ddns] was added"
		return []diagnosis{d}
	}
	var held []string
	for _, r := range i.Records {
		held = append(held, r.Zone...)
	}
	d.Detail = strings.Join(held, " ")
	switch {
	case i.Why != "":
		d.Result, d.Detail, d.Hint = bad, i.Why, i.Hint
	case i.Standby:
		d.Detail += " (another gateway keeps it)"
	case i.Looked == "":
		d.Result, d.Detail = unknown, "its zone could not be asked yet"
	}
	return []diagnosis{d}
}

// measureDDNS writes whether the home's name follows the home.
func (s *server) measureDDNS(x *exposition) {
	if s.ddns == nil {
		return
	}
	now := s.ddns.State()
	x.one("gatehouse_ddns_good", gauge, "Whether the home's zone has the home's addresses, as far as is known.", number(now.Why == ""))
	if !now.Written.IsZero() {
		x.one("gatehouse_ddns_written_timestamp_seconds", gauge, "When the home's zone was last written to, in Unix time.", float64(now.Written.Unix()))
	}
}
