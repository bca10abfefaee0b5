package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"gatehouse/internal/config"
	"gatehouse/internal/door/onion"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// onionWish is what somebody wants an onion service for.
type onionWish struct {
	Person  string `json:"person"`
	Label   string `json:"label"`
	Expires string `json:"expires"` // as in the configuration; empty: never
}

type onionDocument struct {
	SchemaVersion int       `json:"schema_version"`
	Device        deviceRow `json:"device"`
	URL           string    `json:"url"`
	Key           string    `json:"key"`  // the private one, shown this once
	File          string    `json:"file"` // the same with the address, as Orbot and tor keep it
	Expires       string    `json:"expires,omitempty"`
}

// maxKeyTime is how long a device may be known by a key that ends.
const maxKeyTime = 3650 * 24 * time.Hour

// inviteOnion makes an onion service for a device of a person's. Of the device's own key the
// public half alone is kept.
func inviteOnion(ctx context.Context, h *house, in onionWish) (doc onionDocument, err error) {
	if h.cfg.Doors.Onion == nil {
		return doc, &problem{status: statusCannot, err: errors.New("there is no door onion"), hint: "add a table [doors.onion] to the configuration, and start the gateway again"}
	}
	ends, err := in.ends(time.Now())
	if err != nil {
		return doc, err
	}
	p, ok := h.identity.PersonByName(in.Person)
	if !ok {
		return doc, noPerson(h, in.Person)
	}
	seed := onion.NewSeed()
	address, err := onion.Address(seed)
	if err != nil {
		return doc, err
	}
	client, err := onion.NewClient()
	if err != nil {
		return doc, err
	}
	data, err := json.Marshal(onionData{client.Public})
	if err != nil {
		return doc, err
	}
	if h.server != nil {
		h.server.onions.Lock()
		defer h.server.onions.Unlock()
	}
	if err := h.ledger.PutSecret(ctx, onionSecret(address), seed); err != nil {
		return doc, err
	}
	d, err := h.identity.AddKey(ctx, p.Name, in.Label, identity.NewKey{
		Key: policy.Key{Kind: identity.KindOnionKey, ID: address}, Data: string(data), Expires: ends})
	if err != nil {
		if err := h.ledger.DropSecret(context.WithoutCancel(ctx), onionSecret(address)); err != nil {
			return doc, err
		}
		return doc, refused(err, in.Label)
	}
	return onionDocument{schemaVersion, rowOf(d), "http://" + address + ".onion/", client.Private, client.File(address), stamp(ends)}, nil
}

// ends is when the device stops being known; zero for never.
func (w onionWish) ends(now time.Time) (time.Time, error) {
	if w.Expires == "" {
		return time.Time{}, nil
	}
	var d config.Duration
	if err := d.UnmarshalText([]byte(w.Expires)); err != nil {
		return time.Time{}, &problem{status: statusUsage, err: fmt.Errorf("--expires %s", w.Expires), hint: err.Error()}
	}
	if d := time.Duration(d); d < time.Minute || d > maxKeyTime {
		return time.Time{}, &problem{status: statusUsage, err: fmt.Errorf("--expires %s", w.Expires), hint: "it goes from 1m to 3650d"}
	}
	return now.Add(time.Duration(d)), nil
}

// inviteOnion is the verb.
func (a *app) inviteOnion(cmd *cobra.Command, args []string, wish onionWish) error {
	for _, other := range []string{"owner", "program", "may", "from", "days", "admin"} {
		if cmd.Flags().Changed(other) {
			return &problem{status: statusUsage, err: fmt.Errorf("invite --onion --%s", other), hint: "gatehouse invite NAME --onion [--label NAME] [--expires TIME]"}
		}
	}
	if len(args) == 0 {
		return &problem{status: statusUsage, err: errors.New("whose device?"), hint: "gatehouse invite NAME --onion"}
	}
	wish.Person = args[0]
	if !cmd.Flags().Changed("label") {
		wish.Label = "Tor"
	}
	doc, err := ask(cmd.Context(), a, "invite/onion", inviteOnion, wish)
	if err != nil {
		return err
	}
	return a.print(doc, func(w io.Writer) {
		table(w, [][]string{{"address", doc.URL}, {"key", doc.Key}, {"both", doc.File}})
		if a.isTerminal() {
			color := a.getenv("NO_COLOR") == ""
			fmt.Fprintf(w, "\nThe address:\n%s\nBoth, for Orbot:\n%s\n", qrText(doc.URL, color), qrText(doc.File, color))
		}
		until := "until it is revoked"
		if doc.Expires != "" {
			until = "until " + doc.Expires
		}
		a.note("for %s of %s (%s), %s; the key is shown this once and kept nowhere: who has it comes in as this device", doc.Device.Name, doc.Device.Person, doc.Device.ID, until)
		a.note("Tor Browser asks for the key when the address is opened; Orbot takes both under onion services, client authorization")
		a.note("the service can be found about a minute after the gateway's tor has reached its network: gatehouse doors")
	})
}
