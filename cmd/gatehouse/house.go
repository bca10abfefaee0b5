package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/door/lan"
	"gatehouse/internal/event"
	"gatehouse/internal/guard"
	"gatehouse/internal/ha/client"
	"gatehouse/internal/identity"
	"gatehouse/internal/ledger"
	"gatehouse/internal/pki"
	"gatehouse/internal/policy"
)

// house is what the verbs look at and change. With a server it is the server's own;
// without one it is the ledger's.
type house struct {
	cfg       *config.Config
	identity  *identity.Identity
	ledger    *ledger.Ledger
	mover     *mover
	guard     *guard.Guard
	kept      *guardKeeper
	links     *lan.Links     // what this machine is connected to
	authority *pki.Authority // nil until it is asked for
	events    func(event.Event)
	rules     func(netip.Addr) rulesRow // what the configuration's rules say; nil where there are none
	server    *server                   // nil without one
}

// handlers returns everything that verbs have done, by name.
func handlers() map[string]handler {
	return map[string]handler{
		"status":             on(status),
		"log":                on(whereLog),
		"log/verify":         on(verifyLog),
		"people":             on(listPeople),
		"people/add":         on(addPerson),
		"people/remove":      on(removePerson),
		"devices":            on(listDevices),
		"devices/approve":    on(approveDevice),
		"devices/revoke":     on(revokeDevice),
		"sessions":           on(listSessions),
		"sessions/end":       on(endSession),
		"invite":             on(invite),
		"invite/program":     on(inviteProgram),
		"invite/wireguard":   on(inviteTunnel),
		"doors/wireguard":    on(importTunnel),
		"invite/certificate": on(inviteCertificate),
		"invite/ssh":         on(inviteSSH),
		"doors/ssh":          on(showHostKey),
		"doors/ssh/rotate":   on(rotateHostKey),
		"invite/onion":       on(inviteOnion),
		"ca":                 on(authority),
		"ca/rotate":          on(rotateAuthority),
		"doctor":             on(examine),
		"residents":          on(listResidents),
		"residents/found":    on(takeDown),
		"residents/give":     on(giveResidents),
		"residents/leave":    on(leaveResidents),
		"house":              on(showHouse),
		"house/look":         on(lookAtHouse),
		"house/preview":      on(previewClose),
		"house/close":        on(beginClose),
		"house/edited":       on(editedHome),
		"house/unedited":     on(unedited),
		"house/confirm":      on(confirmHouse),
		"house/open":         on(openToHome),
		"house/off":          on(offHouse),
		"house/settled":      on(settled),
		"house/back":         on(bringBack),
		"home":               on(askHome),
		"guard":              on(guardStatus),
		"guard/ban":          on(banSource),
		"guard/unban":        on(unbanSource),
		"guard/allow":        on(allowSource),
		"guard/explain":      on(explainSource),
		"guard/import":       on(importBans),
		"certificates":       on(listCertificates),
		"certificates/token": on(keepTokens),
		"certificates/retry": on(again),
		"ddns":               on(showDDNS),
		"ddns/retry":         on(retryDDNS),
	}
}

// none is for what is told nothing.
type none struct{}

// done is the document of what has no other answer.
type done struct {
	SchemaVersion int  `json:"schema_version"`
	Done          bool `json:"done"`
}

func allDone() done { return done{schemaVersion, true} }

// stamp is a time in a document: RFC 3339, whole seconds, UTC; empty if it is none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// People.

type peopleDocument struct {
	SchemaVersion int         `json:"schema_version"`
	People        []personRow `json:"people"`
}

type personRow struct {
	Name         string `json:"name"`
	Role         string `json:"role"`
	HAUser       string `json:"ha_user"`    // name of their user in Home Assistant; empty until it is known
	HAUserID     string `json:"ha_user_id"` // likewise
	Passkeys     int    `json:"passkeys"`
	TOTP         bool   `json:"totp"`
	RecoveryLeft int    `json:"recovery_codes_left"`
	Devices      int    `json:"devices"` // known now
	Created      string `json:"created"`
}

func listPeople(_ context.Context, h *house, _ none) (peopleDocument, error) {
	doc := peopleDocument{SchemaVersion: schemaVersion, People: []personRow{}}
	devices := make(map[string]int)
	for _, d := range h.identity.Devices() {
		if d.RevokedAt.IsZero() {
			devices[d.PersonID]++
		}
	}
	for _, p := range h.identity.People() {
		doc.People = append(doc.People, personRow{p.Name, p.Role.String(), p.HAUserName, p.HAUserID, p.Passkeys, p.TOTP, p.RecoveryLeft, devices[p.ID], stamp(p.Created)})
	}
	return doc, nil
}

type newPerson struct {
	Name   string `json:"name"`
	Role   string `json:"role"`
	HAUser string `json:"ha_user"`
}

type personDocument struct {
	SchemaVersion int       `json:"schema_version"`
	Person        personRow `json:"person"`
}

func addPerson(ctx context.Context, h *house, in newPerson) (doc personDocument, err error) {
	role, ok := policy.ParseRole(in.Role)
	if !ok || role == policy.RoleGuest {
		return doc, &problem{status: statusUsage, err: fmt.Errorf("there is no role %q", in.Role), hint: "the roles are owner and member"}
	}
	id, name, err := h.haUser(ctx, in.HAUser)
	if err != nil {
		return doc, err
	}
	p, err := h.identity.AddPerson(ctx, in.Name, role, id, name)
	if err != nil {
		return doc, refused(err, in.Name)
	}
	return personDocument{schemaVersion, personRow{Name: p.Name, Role: p.Role.String(), HAUser: p.HAUserName, HAUserID: p.HAUserID, Created: stamp(p.Created)}}, nil
}

// haUser finds a user of Home Assistant by user name, name or id, where we have a
// token to ask it with. Otherwise the word is kept as a name, and the first login
// shows whose it is.
func (h *house) haUser(ctx context.Context, word string) (id, name string, err error) {
	if word == "" {
		return "", "", nil
	}
	token, ok, err := loadHAToken(ctx, h.ledger)
	if err != nil || !ok {
		return "", word, err
	}
	ha, err := h.homeAssistant()
	if err != nil {
		return "", "", err
	}
	users, err := ha.WithToken(token).Accounts(ctx)
	if err != nil {
		return "", "", &problem{status: statusPartly, err: fmt.Errorf("ask Home Assistant for its users: %w", err), hint: "is it running? Without --ha-user the person is bound to the user of their first login"}
	}
	var names []string
	for _, u := range users {
		if u.System {
			continue
		}
		if strings.EqualFold(u.Username, word) || strings.EqualFold(u.Name, word) || u.ID == word {
			return u.ID, u.Name, nil
		}
		names = append(names, u.Name)
	}
	return "", "", &problem{status: statusNo, err: fmt.Errorf("no user of Home Assistant is called %q", word), hint: "there is " + strings.Join(names, ", ")}
}

// homeAssistant is a client of the home's own API.
func (h *house) homeAssistant() (*client.Client, error) {
	ha, err := url.Parse(h.cfg.Home.HAURL)
	if err != nil {
		return nil, err
	}
	if s := h.mover.stance(); s.moved() {
		ha = s.url()
	}
	return client.New(client.Config{URL: ha})
}

type named struct {
	Name string `json:"name"`
}

func removePerson(ctx context.Context, h *house, in named) (done, error) {
	p, ok := h.identity.PersonByName(in.Name)
	if !ok {
		return done{}, noPerson(h, in.Name)
	}
	return allDone(), refused(h.identity.RemovePerson(ctx, p.ID), in.Name)
}

// noPerson says who there is.
func noPerson(h *house, name string) error {
	var names []string
	for _, p := range h.identity.People() {
		names = append(names, p.Name)
	}
	p := &problem{status: statusNo, err: fmt.Errorf("nobody is called %q", name)}
	switch len(names) {
	case 0:
		p.hint = `there is nobody yet: "gatehouse invite --owner" comes first`
	default:
		p.hint = fmt.Sprintf(`there is %s; "gatehouse people add %s --role member" adds somebody`, strings.Join(names, ", "), quoted(name))
	}
	return p
}

// quoted is a word as a shell takes it.
func quoted(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// refused says in words why identity said no.
func refused(err error, what string) error {
	var other *identity.OtherHAUserError
	p := &problem{status: statusNo, err: err}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &other):
		p.err = fmt.Errorf("the user %s of Home Assistant belongs to somebody else already", other.Got)
		p.hint = `"gatehouse people" shows whose it is`
	case errors.Is(err, identity.ErrName):
		p.status, p.err = statusUsage, fmt.Errorf("%q cannot be a name", what)
		p.hint = "a name has 1 to 64 characters, none of them invisible"
	case errors.Is(err, identity.ErrNameTaken):
		p.err = fmt.Errorf("somebody is called %q already", what)
	case errors.Is(err, identity.ErrLastOwner):
		p.err = fmt.Errorf("%s is the only owner", what)
		p.hint = `make somebody else an owner first: "gatehouse people add NAME --role owner"`
	case errors.Is(err, identity.ErrHasOwner):
		p.err = errors.New("there is an owner already")
		p.hint = `"gatehouse people" shows who; "gatehouse invite NAME" makes another browser of theirs known`
	case errors.Is(err, identity.ErrNotFound):
		p.err = fmt.Errorf("there is no %s", what)
	case errors.Is(err, identity.ErrTooMany):
		p.err = errors.New("there are too many already")
	case errors.Is(err, identity.ErrWhose):
		p.status, p.err, p.hint = statusUsage, errors.New("say whose browser it is"), "name the person: --person NAME"
	default:
		return err
	}
	return p
}

// Devices.

type devicesDocument struct {
	SchemaVersion int         `json:"schema_version"`
	Devices       []deviceRow `json:"devices"`
}

type deviceRow struct {
	ID        string   `json:"id"`
	Person    string   `json:"person"`
	Kind      string   `json:"kind"`
	Name      string   `json:"name"`
	Created   string   `json:"created"`
	LastSeen  string   `json:"last_seen"`
	LastAddr  string   `json:"last_addr"`
	LastDoor  string   `json:"last_door"`
	RevokedAt string   `json:"revoked_at,omitempty"`
	Expires   string   `json:"expires,omitempty"` // when its key does, if it is known by one
	Tunnel    *peerRow `json:"tunnel,omitempty"`  // a peer's, while the gateway runs
}

func rowOf(d identity.Device) deviceRow {
	return deviceRow{d.ID, d.PersonName, d.Kind, d.Name, stamp(d.Created), stamp(d.LastSeen), d.LastAddr, d.LastDoor, stamp(d.RevokedAt), stamp(d.Expires), nil}
}

func listDevices(_ context.Context, h *house, _ none) (devicesDocument, error) {
	doc := devicesDocument{SchemaVersion: schemaVersion, Devices: []deviceRow{}}
	tunnels := h.tunnels()
	keys := make(map[string]string)
	for _, k := range h.identity.Keys(identity.KindPeer) {
		keys[k.Device.ID] = k.Key.ID
	}
	for _, d := range h.identity.Devices() {
		row := rowOf(d)
		if t, ok := tunnels[keys[d.ID]]; ok {
			row.Tunnel = &t
		}
		doc.Devices = append(doc.Devices, row)
	}
	return doc, nil
}

type approval struct {
	Code   string `json:"code"`
	Person string `json:"person"`
}

type deviceDocument struct {
	SchemaVersion int       `json:"schema_version"`
	Device        deviceRow `json:"device"`
}

func approveDevice(ctx context.Context, h *house, in approval) (doc deviceDocument, err error) {
	if h.server == nil {
		return doc, &problem{status: statusCannot, err: errors.New("no server is running, so no browser is asking"), hint: `start "gatehouse serve"`}
	}
	if len(h.identity.People()) == 0 {
		return doc, &problem{status: statusNo, err: errors.New("nobody is there yet whose browser it could be"), hint: "gatehouse invite --owner"}
	}
	if in.Person != "" {
		if _, ok := h.identity.PersonByName(in.Person); !ok {
			return doc, noPerson(h, in.Person)
		}
	}
	d, err := h.identity.ApproveCode(ctx, in.Code, in.Person)
	if errors.Is(err, identity.ErrNotFound) {
		return doc, &problem{status: statusNo, err: errors.New("no browser that asks shows this code"), hint: "codes live for a few minutes; the page of the browser shows the one of now"}
	}
	if err != nil {
		return doc, refused(err, in.Person)
	}
	return deviceDocument{schemaVersion, rowOf(d)}, nil
}

type byID struct {
	ID string `json:"id"`
}

func revokeDevice(ctx context.Context, h *house, in byID) (done, error) {
	return allDone(), refused(h.identity.RevokeDevice(ctx, in.ID), "device "+in.ID)
}

// Sessions.

type sessionsDocument struct {
	SchemaVersion int          `json:"schema_version"`
	Sessions      []sessionRow `json:"sessions"`
}

type sessionRow struct {
	ID         string `json:"id"`
	Person     string `json:"person"`
	Device     string `json:"device"`
	DeviceName string `json:"device_name"`
	Created    string `json:"created"`
	LastSeen   string `json:"last_seen"`
	Expires    string `json:"expires"`
	Ended      string `json:"ended,omitempty"`
}

type ofSessions struct {
	All bool `json:"all"`
}

func listSessions(_ context.Context, h *house, in ofSessions) (sessionsDocument, error) {
	doc := sessionsDocument{SchemaVersion: schemaVersion, Sessions: []sessionRow{}}
	for _, s := range h.identity.Sessions() {
		if s.Ended.IsZero() || in.All {
			doc.Sessions = append(doc.Sessions, sessionRow{s.ID, s.PersonName, s.DeviceID, s.DeviceName, stamp(s.Created), stamp(s.LastSeen), stamp(s.Expires), stamp(s.Ended)})
		}
	}
	return doc, nil
}

func endSession(ctx context.Context, h *house, in byID) (done, error) {
	return allDone(), refused(h.identity.EndSession(ctx, in.ID), "session "+in.ID)
}

// Invitations.

type invitee struct {
	Name  string `json:"name"`
	Owner bool   `json:"owner"`
}

type inviteDocument struct {
	SchemaVersion int    `json:"schema_version"`
	Link          string `json:"link"`
	Code          string `json:"code,omitempty"` // the same, to type on the sign-in page
	Person        string `json:"person,omitempty"`
	Role          string `json:"role"`
	Expires       string `json:"expires"`
}

func invite(ctx context.Context, h *house, in invitee) (doc inviteDocument, err error) {
	base, err := h.base()
	if err != nil {
		return doc, err
	}
	var inv identity.Invitation
	if in.Owner {
		inv, err = h.identity.InviteOwner(ctx)
	} else {
		inv, err = h.identity.Invite(ctx, in.Name)
	}
	if errors.Is(err, identity.ErrNotFound) {
		return doc, noPerson(h, in.Name)
	}
	if err != nil {
		return doc, refused(err, in.Name)
	}
	doc = inviteDocument{schemaVersion, base + "/_gatehouse/auth/invite/" + inv.Code, "", inv.Person, inv.Role.String(), stamp(inv.Expires)}
	if !in.Owner && inv.Role < policy.RoleOwner {
		doc.Code = inv.Code
	}
	return doc, nil
}

// base is where people reach the house: https://host[:port].
func (h *house) base() (string, error) {
	if h.server != nil {
		for _, d := range h.server.doors {
			if why, _ := d.closed(); why == "" && d.of == "" && len(d.origins) > 0 {
				return d.origins[0], nil
			}
		}
	}
	c := h.cfg
	if d := c.Doors.HTTPS; d != nil {
		port := d.PublicPort
		if port == 0 {
			port = portOf(d.Listen)
		}
		return origin(c.Home.Name, port), nil
	}
	if d := c.Doors.LAN; d != nil {
		if names := lanNames(c); len(names) > 0 {
			return origin(names[0], portOf(d.Listen)), nil
		}
	}
	return "", &problem{status: statusUsage, err: errors.New("no door has a name under which a browser reaches it"), hint: "give home.name, or doors.lan.names, in the configuration"}
}

// Status.

type statusDocument struct {
	SchemaVersion int               `json:"schema_version"`
	Running       bool              `json:"running"`
	Started       string            `json:"started,omitempty"`
	Doors         []doorRow         `json:"doors"`
	House         houseRow          `json:"house"`
	HomeAssistant homeRow           `json:"home_assistant"`
	Owner         bool              `json:"owner"`    // there is one
	People        int               `json:"people"`   // in all
	Devices       int               `json:"devices"`  // known now
	Sessions      int               `json:"sessions"` // live now
	Live          int               `json:"live"`     // sockets and streams
	Waiting       []waitingRow      `json:"waiting"`  // browsers that ask to be let in
	Bans          []banRow          `json:"bans"`
	Guard         guardRow          `json:"guard"`
	DDNS          *ddnsInfo         `json:"ddns,omitempty"`
	Ending        []endingRow       `json:"ending,omitempty"` // certificates that end soon, or have
	Counts        map[string]uint64 `json:"counts"`           // since the start
}

type doorRow struct {
	Name    string    `json:"name"`
	For     string    `json:"for,omitempty"` // what it is for, where a door has several ports
	Listen  string    `json:"listen"`
	Open    bool      `json:"open"`
	State   string    `json:"state"` // open or closed
	Origins []string  `json:"origins"`
	Why     string    `json:"why,omitempty"`    // it is closed
	Hint    string    `json:"hint,omitempty"`   // what to do about it
	Health  []string  `json:"health,omitempty"` // what else is worth knowing, a sentence each
	Peers   []peerRow `json:"peers,omitempty"`  // the tunnels to it
}

type houseRow struct {
	Mode     string `json:"mode"`               // open, closed or off
	Step     string `json:"step,omitempty"`     // of a move that goes on
	Deadline string `json:"deadline,omitempty"` // of a trial: when it is taken back
	Problem  string `json:"problem,omitempty"`  // why the last move was taken back
}

type homeRow struct {
	URL     string `json:"url"`
	State   string `json:"state"` // up, down, setting-up or unknown
	Version string `json:"version,omitempty"`
}

type waitingRow struct {
	Browser string `json:"browser"`
	Addr    string `json:"addr"`
	Door    string `json:"door"`
	Asked   string `json:"asked"`
}

func status(ctx context.Context, h *house, _ none) (statusDocument, error) {
	doc := statusDocument{SchemaVersion: schemaVersion, Doors: []doorRow{}, Waiting: []waitingRow{}, Bans: h.bans(), Guard: h.guardRow(), Counts: map[string]uint64{},
		HomeAssistant: homeRow{URL: h.cfg.Home.HAURL, State: "unknown"}, Owner: h.identity.HasOwner(), People: len(h.identity.People())}
	now := h.document()
	doc.House, doc.HomeAssistant.URL = houseRow{now.Mode, now.Step, now.Deadline, now.Problem}, now.HomeAssistant
	for _, d := range h.identity.Devices() {
		if d.RevokedAt.IsZero() {
			doc.Devices++
		}
	}
	for _, s := range h.identity.Sessions() {
		if s.Ended.IsZero() {
			doc.Sessions++
		}
	}
	s := h.server
	if s == nil {
		return doc, nil
	}
	doc.Running, doc.Started = true, stamp(s.started)
	for _, d := range s.doors {
		doc.Doors = append(doc.Doors, d.row())
	}
	if row, ok := s.plain.row(); ok {
		doc.Doors = append(doc.Doors, row)
	}
	doc.HomeAssistant = s.home.row(ctx, now.HomeAssistant)
	doc.DDNS, doc.Ending = h.ddnsInfo(), s.endingSoon(time.Now())
	doc.Live = s.gateway.Live()
	for _, w := range h.identity.Waiting() {
		doc.Waiting = append(doc.Waiting, waitingRow{w.Name, w.Addr, w.Door, stamp(w.Asked)})
	}
	maps.Copy(doc.Counts, s.gateway.Counts())
	s.refused.into(doc.Counts)
	return doc, nil
}
