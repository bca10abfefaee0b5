package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/internal/facts"
	"gatehouse/internal/ha"
	"gatehouse/internal/ha/client"
	"gatehouse/internal/identity"
)

// Residents are what Home Assistant lets in and is nobody's here yet. They are found in
// three places: in Home Assistant's own files, which the verb reads as root; in what it
// tells over its API, which the server asks; and in what passes at home.

type residentsDocument struct {
	SchemaVersion int           `json:"schema_version"`
	Mode          string        `json:"mode"`  // of the house
	Known         int           `json:"known"` // devices that come in, closed or not
	Residents     []residentRow `json:"residents"`
	Unread        string        `json:"unread,omitempty"` // what could not be looked into
}

type residentRow struct {
	ID        string `json:"id"`
	Kind      string `json:"kind"` // browser, app, program, webhook or source
	Name      string `json:"name"`
	HAUser    string `json:"ha_user"`
	Person    string `json:"person"` // who has this user; empty if nobody
	Client    string `json:"client"` // of a sign-in
	FirstSeen string `json:"first_seen"`
	LastSeen  string `json:"last_seen"`
	LastAddr  string `json:"last_addr"`
	LeftOut   bool   `json:"left_out"`
	IfClosed  string `json:"if_closed"` // refused: what is given is a device, and no resident any more
}

func rowOfResident(r identity.Resident) residentRow {
	return residentRow{r.ID, r.Kind, r.Name, r.HAUserName, r.Person, r.ClientID, stamp(r.FirstSeen), stamp(r.LastSeen), r.LastAddr, r.LeftOut, "refused"}
}

func listResidents(ctx context.Context, h *house, _ none) (residentsDocument, error) {
	doc := residentsDocument{SchemaVersion: schemaVersion, Mode: h.mover.stance().word(), Residents: []residentRow{}}
	if err := h.findWebhooks(ctx); err != nil {
		doc.Unread = "the webhooks of automations: " + err.Error()
	}
	for _, d := range h.identity.Devices() {
		if d.RevokedAt.IsZero() {
			doc.Known++
		}
	}
	for _, r := range h.identity.Residents() {
		doc.Residents = append(doc.Residents, rowOfResident(r))
	}
	return doc, nil
}

// webhooks are those that Home Assistant has, where it can be asked.
func (h *house) webhooks(ctx context.Context) ([]client.Webhook, error) {
	api, err := h.mover.answering(ctx)
	if err != nil {
		return nil, errors.New("no answer from Home Assistant")
	}
	if running, err := api.Running(ctx); err == nil && !running {
		return nil, errors.New("it is still starting")
	}
	all, err := api.Webhooks(ctx)
	if errors.Is(err, client.ErrInvalidAuth) {
		return nil, errors.New(`there is no token for Home Assistant's API; "gatehouse setup" gets one`)
	}
	return all, err
}

// findWebhooks takes down the webhooks that Home Assistant has and that are no app's: an
// app's are found with its sign-in.
func (h *house) findWebhooks(ctx context.Context) error {
	all, err := h.webhooks(ctx)
	if err != nil {
		return err
	}
	var finds []identity.Find
	for _, w := range all {
		if w.Domain == "mobile_app" { // registered apps, and such as were removed
			continue
		}
		finds = append(finds, identity.Find{Kind: identity.KindWebhook, Name: w.Domain + ": " + w.Name, Webhook: ha.Hash(w.ID)})
	}
	return h.identity.Found(ctx, finds...)
}

// findings are what a verb has found.
type findings struct {
	Finds []identity.Find `json:"finds"`
	Read  bool            `json:"read"` // they are all that there is in the files
}

// lateBy is how long after a sign-in Home Assistant's files may still not name it.
const lateBy = 30 * time.Minute

// takeDown takes down what was found in Home Assistant's files.
func takeDown(ctx context.Context, h *house, in findings) (residentsDocument, error) {
	ours, _, err := loadHAToken(ctx, h.ledger)
	if err != nil {
		return residentsDocument{}, err
	}
	own := ha.Hash(ours)
	finds := slices.DeleteFunc(in.Finds, func(f identity.Find) bool {
		return slices.ContainsFunc(f.Tokens, func(t identity.Found) bool {
			return slices.ContainsFunc(t.Access, func(a identity.FoundAccess) bool { return a.Hash == own })
		})
	})
	if err := h.identity.Found(ctx, finds...); err != nil {
		return residentsDocument{}, err
	}
	if in.Read {
		if err := h.identity.Ended(ctx, finds, time.Now().Add(-lateBy)); err != nil {
			return residentsDocument{}, err
		}
	}
	return listResidents(ctx, h, none{})
}

// findsOf is what Home Assistant's files say, without a secret. An app's registration goes
// with the sign-in of its user where it is clear which; otherwise they are two.
func findsOf(s facts.Stored) []identity.Find {
	type whose struct {
		user string
		app  ha.App
	}
	signIns, registered := make(map[whose]int), make(map[whose]int)
	for _, in := range s.SignIns {
		signIns[whose{in.UserID, ha.AppOf(in.ClientID)}]++
	}
	for _, a := range s.Apps {
		registered[whose{a.UserID, ha.AppOf(a.AppID)}]++
	}
	names := make(map[string]string)
	alone := make(map[whose]facts.StoredApp)
	var finds []identity.Find
	for _, in := range s.SignIns {
		names[in.UserID] = in.UserName
	}
	for _, a := range s.Apps {
		if w := (whose{a.UserID, ha.AppOf(a.AppID)}); w.app != ha.AppNone && signIns[w] == 1 && registered[w] == 1 {
			alone[w] = a
			continue
		}
		finds = append(finds, identity.Find{Kind: identity.KindApp, HAUserID: a.UserID, HAUserName: names[a.UserID], Name: a.DeviceName,
			ClientID: a.AppID, Registration: a.DeviceID, Webhook: ha.Hash(a.WebhookID)})
	}
	for _, in := range s.SignIns {
		f := identity.Find{Kind: identity.KindOfClient(in.ClientID), HAUserID: in.UserID, HAUserName: in.UserName, Name: in.ClientName, ClientID: in.ClientID,
			Addr: in.LastIP, Seen: in.LastUsed}
		if f.Seen.IsZero() {
			f.Seen = in.Created
		}
		found := identity.Found{Issuer: in.ID, Refresh: ha.Hash(in.Token)}
		for _, a := range in.Access {
			found.Access = append(found.Access, identity.FoundAccess{Hash: ha.Hash(a.Token), Expires: a.Expires})
		}
		f.Tokens = []identity.Found{found}
		if a, ok := alone[whose{in.UserID, ha.AppOf(in.ClientID)}]; ok {
			f.Name, f.Registration, f.Webhook = a.DeviceName, a.DeviceID, ha.Hash(a.WebhookID)
		}
		finds = append(finds, f)
	}
	return finds
}

// giving is what somebody gives to a person.
type giving struct {
	IDs     []string `json:"ids"`
	All     bool     `json:"all"` // everything whose Home Assistant user is a person's
	Person  string   `json:"person"`
	Outside bool     `json:"outside"`
	Methods []string `json:"methods"`
	Rate    int      `json:"rate"` // calls a minute
}

func giveResidents(ctx context.Context, h *house, in giving) (doc devicesDocument, err error) {
	doc = devicesDocument{SchemaVersion: schemaVersion, Devices: []deviceRow{}}
	to := make(map[string]string)
	switch {
	case in.All:
		for _, r := range h.identity.Residents() {
			if r.Person != "" && !r.LeftOut {
				in.IDs = append(in.IDs, r.ID)
				to[r.ID] = r.Person
			}
		}
		if len(in.IDs) == 0 {
			return doc, &problem{status: statusNo, err: errors.New("no resident has a user of Home Assistant whose person is known"),
				hint: `"gatehouse people add NAME --ha-user USER" says who a user is`}
		}
	default:
		if _, ok := h.identity.PersonByName(in.Person); !ok {
			return doc, noPerson(h, in.Person)
		}
	}
	calls := identity.Calls{Outside: in.Outside, PerMinute: in.Rate}
	for _, m := range in.Methods {
		m = strings.ToUpper(strings.TrimSpace(m))
		if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT"}, m) {
			return doc, &problem{status: statusUsage, err: fmt.Errorf("a webhook is not called with %q", m), hint: "the methods are GET, HEAD, POST and PUT"}
		}
		calls.Methods = append(calls.Methods, m)
	}
	if in.Rate < 0 || in.Rate > 6000 {
		return doc, &problem{status: statusUsage, err: fmt.Errorf("a rate of %d a minute", in.Rate), hint: "it is from 1 to 6000"}
	}
	if calls.Outside {
		if err := h.mayBeCalledFromOutside(ctx, in.IDs); err != nil {
			return doc, err
		}
	}
	for _, id := range in.IDs {
		person := in.Person
		if to[id] != "" {
			person = to[id]
		}
		d, err := h.identity.GiveResident(ctx, id, person, calls)
		if err != nil {
			return doc, refused(err, "resident "+id)
		}
		doc.Devices = append(doc.Devices, rowOf(d))
	}
	return doc, nil
}

// mayBeCalledFromOutside refuses what Home Assistant itself keeps at home, and what is no webhook.
func (h *house) mayBeCalledFromOutside(ctx context.Context, ids []string) error {
	all, err := h.webhooks(ctx)
	if err != nil {
		return fmt.Errorf("ask whether Home Assistant keeps it at home: %w", err)
	}
	for _, r := range h.identity.Residents() {
		if !slices.Contains(ids, r.ID) {
			continue
		}
		if r.Kind != identity.KindWebhook {
			return &problem{status: statusUsage, err: fmt.Errorf("%s is no webhook", r.ID), hint: "--outside is for webhooks of automations"}
		}
		for _, w := range all {
			if w.LocalOnly && (identity.Find{Webhook: ha.Hash(w.ID)}).ID() == r.ID {
				return &problem{status: statusNo, err: fmt.Errorf("%s is kept at home by Home Assistant itself", r.Name),
					hint: `turn "local only" off in its automation first, if it is to be called from outside`}
			}
		}
	}
	return nil
}

type leaving struct {
	IDs []string `json:"ids"`
}

func leaveResidents(ctx context.Context, h *house, in leaving) (done, error) {
	for _, id := range in.IDs {
		if err := h.identity.LeaveResident(ctx, id); err != nil {
			return done{}, refused(err, "resident "+id)
		}
	}
	return allDone(), nil
}

func (a *app) newResidentsCommand() *cobra.Command {
	list := &cobra.Command{
		Use:   "residents",
		Short: "Show what Home Assistant lets in and is nobody's here yet",
		Long: `Shows what Home Assistant lets in and is nobody's here yet: sign-ins, apps, programs,
webhooks, and addresses at home that fetch without signing in. With the house closed it
is refused. Run it as root, so that Home Assistant's own files can be read.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			doc, err := a.findResidents(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) { sayResidents(w, doc) })
		},
	}
	var wish giving
	give := &cobra.Command{
		Use:   "give ID [ID…] PERSON",
		Short: "Make a resident a device of a person",
		Long: `Makes a resident a device of a person: it goes on working when the house is closed,
without signing in again, and "gatehouse devices revoke" ends it. What has a user of Home
Assistant can be given to the person of that user alone; a person without one gets it.

An automation's webhook counts at home. With --outside it may be called from elsewhere.`,
		Example: `  gatehouse residents give 3f2a91c0 Anna
  gatehouse residents give --all              everything whose user is a person's
  gatehouse residents give 9b1c22d4 Olga --outside --method POST --rate 6`,
		Args: func(cmd *cobra.Command, args []string) error {
			if wish.All && len(args) > 0 {
				return &problem{status: statusUsage, err: errors.New("--all and names at once"), hint: "with --all each resident goes to the person of its user"}
			}
			if !wish.All && len(args) < 2 {
				return &problem{status: statusUsage, err: errors.New("say what to give, and to whom"), hint: "gatehouse residents give ID PERSON"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if !wish.All {
				wish.IDs, wish.Person = args[:len(args)-1], args[len(args)-1]
			}
			doc, err := ask(cmd.Context(), a, "residents/give", giveResidents, wish)
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) {
				for _, d := range doc.Devices {
					fmt.Fprintf(w, "%s is %s's now: device %s.\n", d.Name, d.Person, d.ID)
				}
			})
		},
	}
	give.Flags().BoolVar(&wish.All, "all", false, "give everything whose Home Assistant user is a person's")
	give.Flags().BoolVar(&wish.Outside, "outside", false, "a webhook may be called from outside as well")
	give.Flags().StringSliceVar(&wish.Methods, "method", nil, "`METHODS` that a webhook may be called with (any)")
	give.Flags().IntVar(&wish.Rate, "rate", 0, "how many `TIMES` a minute a webhook may be called")
	leave := &cobra.Command{
		Use:   "leave ID [ID…]",
		Short: "Leave a resident out: it is refused when the house is closed",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &problem{status: statusUsage, err: errors.New("say what to leave out"), hint: "gatehouse residents leave ID"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			doc, err := ask(cmd.Context(), a, "residents/leave", leaveResidents, leaving{args})
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) { fmt.Fprintf(w, "Left out: %s.\n", strings.Join(args, ", ")) })
		},
	}
	list.AddCommand(give, leave)
	return list
}

// findResidents looks into Home Assistant's files, if it may, and returns all residents.
func (a *app) findResidents(ctx context.Context) (residentsDocument, error) {
	finds, unread, err := a.readStored()
	if err != nil {
		return residentsDocument{}, err
	}
	doc, err := ask(ctx, a, "residents/found", takeDown, findings{finds, unread == ""})
	if unread != "" {
		doc.Unread = strings.TrimPrefix(doc.Unread+"; "+unread, "; ")
	}
	return doc, err
}

// readStored reads Home Assistant's own files, as whoever runs this: before the process
// becomes the user whose the state is. What cannot be read is said.
func (a *app) readStored() (finds []identity.Find, unread string, err error) {
	c, _, err := a.loadConfig()
	if err != nil {
		return nil, "", nil // ask finds a demonstration, or says what is wrong
	}
	dir := c.Home.HADir
	if dir == "" {
		return nil, "Home Assistant's files: home.ha_dir is not set", nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, "Home Assistant's files: " + err.Error(), nil
	}
	defer root.Close()
	stored, err := facts.ReadStored(homeFiles{root})
	if err != nil {
		return nil, "Home Assistant's files: " + err.Error(), nil
	}
	return findsOf(stored), "", nil
}

func sayResidents(w io.Writer, doc residentsDocument) {
	fmt.Fprintf(w, "%s %s known.", count(doc.Known, "device", "devices"), map[bool]string{true: "is", false: "are"}[doc.Known == 1])
	if len(doc.Residents) == 0 {
		fmt.Fprintln(w, " Nothing else was found that Home Assistant lets in.")
	} else {
		fmt.Fprintf(w, " With the house closed %s would be refused:\n\n", count(len(doc.Residents), "resident", "residents"))
		tableOfResidents(w, doc.Residents)
		fmt.Fprintln(w, "\nGive each to a person (gatehouse residents give ID PERSON), or leave it out.")
	}
	if doc.Unread != "" {
		fmt.Fprintf(w, "\nNot everything could be looked into: %s.\n", doc.Unread)
	}
}

func tableOfResidents(w io.Writer, all []residentRow) {
	rows := [][]string{{"ID", "KIND", "NAME", "HOME ASSISTANT USER", "PERSON", "LAST SEEN", "FROM", ""}}
	for _, r := range all {
		note := ""
		if r.LeftOut {
			note = "left out"
		}
		rows = append(rows, []string{r.ID, r.Kind, orDash(cmp.Or(r.Name, r.Client)), orDash(r.HAUser), orDash(r.Person), ago(r.LastSeen), orDash(r.LastAddr), note})
	}
	table(w, rows)
}
