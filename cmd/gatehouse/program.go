package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"gatehouse/internal/ha"
	"gatehouse/internal/ha/client"
	"gatehouse/internal/identity"
)

// programWish is what somebody wants a program to have.
type programWish struct {
	Person string   `json:"person"`
	Label  string   `json:"label"`
	May    []string `json:"may"`
	From   []string `json:"from"`
	Days   int      `json:"days"`
	Admin  bool     `json:"admin"`
}

type programDocument struct {
	SchemaVersion int       `json:"schema_version"`
	Device        deviceRow `json:"device"`
	Token         string    `json:"token"` // shown this once
	May           []string  `json:"may"`
	From          []string  `json:"from"`
	Expires       string    `json:"expires"`
}

// maxProgramDays is how long a program's token may last.
const maxProgramDays = 3650

// inviteProgram makes a program a device of a person, with a user of its own in Home
// Assistant, so that its token goes when the device is revoked.
func inviteProgram(ctx context.Context, h *house, in programWish) (doc programDocument, err error) {
	may, err := in.may()
	if err != nil {
		return doc, err
	}
	if in.Days < 1 || in.Days > maxProgramDays {
		return doc, &problem{status: statusUsage, err: fmt.Errorf("a token of %d days", in.Days), hint: fmt.Sprintf("it lasts from 1 to %d days", maxProgramDays)}
	}
	p, ok := h.identity.PersonByName(in.Person)
	if !ok {
		return doc, noPerson(h, in.Person)
	}
	token, ok, err := loadHAToken(ctx, h.ledger)
	if err != nil {
		return doc, err
	}
	if !ok {
		return doc, &problem{status: statusCannot, err: errors.New("there is no token for Home Assistant's API"), hint: `"gatehouse setup" gets one`}
	}
	api, err := h.homeAssistant()
	if err != nil {
		return doc, err
	}
	user := tokenUser{name: "Gatehouse: " + in.Label, group: client.GroupUsers, tokenName: "Gatehouse", days: in.Days}
	if in.Admin {
		user.group = client.GroupAdmin
	}
	err = user.make(ctx, api.WithToken(token), func(id, token string) error {
		made := identity.ProgramToken{Token: token, HAUserID: id, Expires: time.Now().AddDate(0, 0, in.Days)}
		d, err := h.identity.AddProgram(ctx, p.Name, in.Label, made, may)
		if err != nil {
			return err
		}
		doc = programDocument{schemaVersion, rowOf(d), token, in.May, append([]string{}, in.From...), stamp(made.Expires)}
		return nil
	})
	if err != nil {
		return programDocument{}, refused(err, in.Label)
	}
	return doc, nil
}

// may reads what a program may do.
func (w programWish) may() (may identity.Program, err error) {
	for _, word := range w.May {
		route, ok := ha.ParseRoute(strings.TrimSpace(word))
		if !ok || route == ha.RouteOnboarding {
			var all []string
			for _, r := range ha.Routes() {
				if r != ha.RouteOnboarding {
					all = append(all, strings.ReplaceAll(string(r), " ", "-"))
				}
			}
			return may, &problem{status: statusUsage, err: fmt.Errorf("there is no route %q", word), hint: "the routes are " + strings.Join(all, ", ")}
		}
		may.Routes = append(may.Routes, route)
	}
	if len(may.Routes) == 0 {
		return may, &problem{status: statusUsage, err: errors.New("a program that may do nothing"), hint: "--may rest,websocket"}
	}
	for _, word := range w.From {
		n, err := netip.ParsePrefix(word)
		if err != nil {
			var addr netip.Addr
			if addr, err = netip.ParseAddr(word); err == nil {
				n = netip.PrefixFrom(addr, addr.BitLen())
			}
		}
		if err != nil || n != n.Masked() {
			return may, &problem{status: statusUsage, err: fmt.Errorf("%q is no network", word), hint: `it looks like "192.168.1.0/24" or "192.168.1.20"`}
		}
		may.From = append(may.From, n)
	}
	return may, nil
}

// inviteProgram is the verb.
func (a *app) inviteProgram(ctx context.Context, wish programWish) error {
	doc, err := ask(ctx, a, "invite/program", inviteProgram, wish)
	if err != nil {
		return err
	}
	return a.print(doc, func(w io.Writer) {
		fmt.Fprintln(w, doc.Token)
		from := "from anywhere"
		if len(doc.From) > 0 {
			from = "from " + strings.Join(doc.From, ", ")
		}
		a.note("the token of %s (%s): for %s, %s, until %s; it is shown this once", doc.Device.Name, doc.Device.ID, strings.Join(doc.May, ", "), from, doc.Expires)
	})
}
