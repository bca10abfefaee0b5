package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/internal/door/wireguard"
	"gatehouse/internal/identity"
)

// "gatehouse doors import-wireguard" takes over what another WireGuard server of the house
// keeps in its wg0.conf: its key and networks, so that devices need no new file, and its peers,
// each as a device of somebody.

// tunnelImport is what is taken over.
type tunnelImport struct {
	PrivateKey string         `json:"private_key"`
	Networks   []netip.Prefix `json:"networks"`
	Peers      []peerImport   `json:"peers"`
}

type peerImport struct {
	Name      string       `json:"name"`
	Key       string       `json:"key"` // public
	Preshared string       `json:"preshared_key,omitempty"`
	Addresses []netip.Addr `json:"addresses"`
	Person    string       `json:"person"`
}

// importedTunnels says what was taken over. It holds no secret.
type importedTunnels struct {
	SchemaVersion int         `json:"schema_version"`
	Networks      []string    `json:"networks"`
	Devices       []deviceRow `json:"devices"`
	LeftOut       []leftPeer  `json:"left_out"`
	Notes         []string    `json:"notes"`
}

type leftPeer struct {
	Name string `json:"name"`
	Key  string `json:"key"`
	Why  string `json:"why"`
}

// importTunnel takes it over. What was taken over before is found again, so that it may be
// done anew.
func importTunnel(ctx context.Context, h *house, in tunnelImport) (doc importedTunnels, err error) {
	t, err := h.mayImport(ctx, in)
	if err != nil {
		return doc, err
	}
	doc = importedTunnels{SchemaVersion: schemaVersion, Devices: []deviceRow{}}
	peers := make([]tunnelPeer, len(in.Peers))
	for i, p := range in.Peers {
		if peers[i], err = h.importedPeer(p); err != nil {
			return doc, err
		}
	}
	if err := t.keep(ctx, h.ledger); err != nil {
		return doc, err
	}
	for _, n := range t.Networks {
		doc.Networks = append(doc.Networks, n.String())
	}
	known := make(map[string]identity.Device)
	for _, k := range h.identity.Keys(identity.KindPeer) {
		known[k.Key.ID] = k.Device
	}
	for _, p := range peers {
		d, ok := known[p.key.String()]
		if !ok {
			if d, err = h.addPeer(ctx, p); err != nil {
				return doc, err
			}
		}
		doc.Devices = append(doc.Devices, rowOf(d))
	}
	return doc, nil
}

// mayImport makes sure that nothing is lost by it.
func (h *house) mayImport(ctx context.Context, in tunnelImport) (*tunnelHome, error) {
	if h.server != nil {
		return nil, &problem{status: statusCannot, err: errors.New("the door has its key as long as the server runs"), hint: "stop the server, import, and start it again"}
	}
	now, err := tunnelOf(ctx, h.ledger, h.cfg)
	if err != nil {
		return nil, err
	}
	t := &tunnelHome{PrivateKey: in.PrivateKey, Networks: in.Networks}
	if t.key, err = wireguard.ParseKey(in.PrivateKey); err != nil || len(in.Networks) == 0 {
		return nil, &problem{status: statusUsage, err: errors.New("there is no key or no network to take over")}
	}
	if n := len(h.identity.Keys(identity.KindPeer)); n > 0 && now.key != t.key {
		return nil, &problem{status: statusNo, err: fmt.Errorf("%s with the key that the door has now, and could not come any more", count(n, "device has a tunnel", "devices have tunnels")),
			hint: `revoke them first ("gatehouse devices"), or keep the door's own key`}
	}
	if len(h.cfg.Doors.WireGuard.Networks) > 0 && !slices.Equal(now.Networks, t.Networks) {
		return nil, &problem{status: statusNo, err: errors.New("doors.wireguard.networks says otherwise than the file's Address"), hint: "leave the key out of the configuration: the networks are taken from the file"}
	}
	return t, nil
}

// importedPeer reads one.
func (h *house) importedPeer(in peerImport) (p tunnelPeer, err error) {
	if _, ok := h.identity.PersonByName(in.Person); !ok {
		return p, noPerson(h, in.Person)
	}
	p = tunnelPeer{person: in.Person, label: in.Name, addrs: in.Addresses}
	if p.key, err = wireguard.ParseKey(in.Key); err == nil && in.Preshared != "" {
		p.preshared, err = wireguard.ParseKey(in.Preshared)
	}
	if err != nil {
		return p, &problem{status: statusUsage, err: fmt.Errorf("the key of %s %w", in.Name, err)}
	}
	return p, nil
}

func (a *app) newImportTunnelCommand() *cobra.Command {
	var give []string
	c := &cobra.Command{
		Use:   "import-wireguard FILE",
		Short: "Take over the key and the devices of a WireGuard server that the house has",
		Long: `Takes over what another WireGuard server of the house keeps in its wg0.conf: its key, its
networks, and its peers, so that no device needs a new file. Each peer becomes a device of
a person, whom --give names by the peer's name, key or address; in a terminal it is asked.
Who is given to nobody is left out. It shows first what it will do. Commands in the file
(PostUp and the like) are not run. Stop the other server before the gateway starts.`,
		Example: "  sudo gatehouse doors import-wireguard /etc/wireguard/wg0.conf --give phone=Anna --give 10.8.0.3=Ben",
		Args:    exactly(1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.importTunnel(cmd.Context(), args[0], give)
		},
	}
	c.Flags().StringArrayVar(&give, "give", nil, "`PEER=PERSON`: whose device a peer is; may be repeated")
	return c
}

// importTunnel is the verb.
func (a *app) importTunnel(ctx context.Context, name string, give []string) error {
	text, err := readConfigFile(name)
	if err != nil {
		return err
	}
	file, err := wireguard.ParseFile(text)
	if err != nil {
		return &problem{status: statusUsage, err: fmt.Errorf("%s: %w", name, err), hint: "it is read as wg-quick(8) writes it; mend that line, or take it out"}
	}
	c, err := a.where()
	if err != nil {
		return err
	}
	if c.Doors.WireGuard == nil {
		return errNoTunnel()
	}
	in, left, err := sortOut(file)
	if err != nil {
		return err
	}
	if err := a.giveAway(ctx, &in, &left, give); err != nil {
		return err
	}
	notes := importNotes(file, portOf(c.Doors.WireGuard.Listen))
	if !a.json {
		sayTunnelImport(a.err, in, left, notes)
	}
	if err := a.confirm(ctx, "Take this over?"); err != nil {
		return err
	}
	doc, err := reach(ctx, a, c, "doors/wireguard", importTunnel, in)
	if err != nil {
		return err
	}
	doc.LeftOut, doc.Notes = left, notes
	return a.print(doc, func(w io.Writer) {
		fmt.Fprintf(w, "The door has the file's key, and %s. Start the gateway: gatehouse serve\n", count(len(doc.Devices), "device", "devices"))
	})
}

// maxTunnelFile is how large a file may be that is read at all.
const maxTunnelFile = 1 << 20

func readConfigFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, &problem{status: statusCannot, err: err, hint: "a server's wg0.conf is root's: use sudo"}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTunnelFile+1))
	if err != nil {
		return nil, &problem{status: statusCannot, err: err}
	}
	return text, nil
}

// sortOut says what of a file can be taken over. A peer is a device where it has addresses of
// its own in the file's networks, one of each family.
func sortOut(file *wireguard.File) (in tunnelImport, left []leftPeer, err error) {
	left = []leftPeer{}
	in = tunnelImport{PrivateKey: file.PrivateKey.String(), Networks: file.Addresses, Peers: []peerImport{}}
	families := map[bool]bool{}
	for _, n := range file.Addresses {
		switch a := n.Addr(); {
		case families[a.Is4()], n.IsSingleIP(), !a.IsPrivate() && !sharedByProviders.Contains(a):
			return in, nil, &problem{status: statusNo, err: fmt.Errorf("the file's Address %s cannot be the door's", n),
				hint: "it has one private address of each family at most, with the length of its network, as in 10.8.0.1/24"}
		}
		families[n.Addr().Is4()] = true
	}
	if len(file.Addresses) == 0 {
		return in, nil, &problem{status: statusNo, err: errors.New("the file has no Address"), hint: "add the server's address in the tunnel to its [Interface], as in Address = 10.8.0.1/24"}
	}
	taken := make(map[netip.Addr]bool)
	for _, n := range file.Addresses {
		taken[n.Addr()] = true
	}
	for i, p := range file.Peers {
		name := p.Comment
		if name == "" {
			name = "Peer " + strconv.Itoa(i+1)
		}
		addrs, why := ownAddresses(p, file.Addresses, taken)
		if why != "" {
			left = append(left, leftPeer{name, p.Key.String(), why})
			continue
		}
		one := peerImport{Name: name, Key: p.Key.String(), Addresses: addrs}
		if p.Preshared != (wireguard.Key{}) {
			one.Preshared = p.Preshared.String()
		}
		in.Peers = append(in.Peers, one)
	}
	return in, left, nil
}

// sharedByProviders is what providers use behind their own address translation (RFC 6598).
var sharedByProviders = netip.MustParsePrefix("100.64.0.0/10")

// ownAddresses are a peer's, or why it is no device.
func ownAddresses(p wireguard.FilePeer, networks []netip.Prefix, taken map[netip.Addr]bool) (addrs []netip.Addr, why string) {
	families := map[bool]bool{}
	for _, a := range p.AllowedIPs {
		switch {
		case !a.IsSingleIP():
			return nil, fmt.Sprintf("it is a network of its own (%s), not a device", a)
		case !slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(a.Addr()) }):
			return nil, fmt.Sprintf("its address %s is in none of the file's networks", a.Addr())
		case families[a.Addr().Is4()]:
			return nil, "it has more than one address of a family"
		case taken[a.Addr()]:
			return nil, fmt.Sprintf("its address %s belongs to another", a.Addr())
		}
		families[a.Addr().Is4()] = true
		addrs = append(addrs, a.Addr())
	}
	if len(addrs) == 0 {
		return nil, "it has no address"
	}
	for _, a := range addrs {
		taken[a] = true
	}
	return addrs, ""
}

// giveAway finds whose each peer is: as --give says, or as is answered.
func (a *app) giveAway(ctx context.Context, in *tunnelImport, left *[]leftPeer, give []string) error {
	for _, g := range give {
		cut := strings.LastIndexByte(g, '=') // a key has one at its end
		if cut <= 0 || cut == len(g)-1 {
			return &problem{status: statusUsage, err: fmt.Errorf("--give %s", g), hint: "it looks like --give phone=Anna"}
		}
		what, person := g[:cut], g[cut+1:]
		i := slices.IndexFunc(in.Peers, func(p peerImport) bool { return p.is(what) })
		if i < 0 {
			return &problem{status: statusUsage, err: fmt.Errorf("no peer that can be taken over is called %q", what), hint: "name it by its comment in the file, its key or an address of it"}
		}
		in.Peers[i].Person = person
	}
	terminal, _ := a.in.(*os.File)
	asker := &asker{in: terminal, out: a.err}
	given := []peerImport{}
	for _, p := range in.Peers {
		if p.Person == "" && asker.terminal() && !a.yes {
			fmt.Fprintf(a.err, "%s has %s.\n", p.Name, texts(p.Addresses))
			answer, err := asker.line(ctx, "Whose device is it? (- for nobody's)", "-", "--give", func(string) error { return nil })
			if err != nil {
				return err
			}
			p.Person = strings.TrimPrefix(answer, "-")
		}
		if p.Person == "" {
			*left = append(*left, leftPeer{p.Name, p.Key, "it is given to nobody (--give)"})
			continue
		}
		given = append(given, p)
	}
	in.Peers = given
	return nil
}

// is reports whether somebody means this peer by a word.
func (p peerImport) is(word string) bool {
	return word == p.Name || word == p.Key || slices.ContainsFunc(p.Addresses, func(a netip.Addr) bool { return a.String() == word })
}

func texts(addrs []netip.Addr) string {
	words := make([]string, len(addrs))
	for i, a := range addrs {
		words[i] = a.String()
	}
	return strings.Join(words, ", ")
}

// importNotes say what else has to be known.
func importNotes(file *wireguard.File, port int) []string {
	notes := []string{}
	if file.Port != 0 && int(file.Port) != port {
		notes = append(notes, fmt.Sprintf("Devices come to port %d, and the door listens on %d: set doors.wireguard.listen to %q.", file.Port, port, ":"+strconv.Itoa(int(file.Port))))
	}
	if len(file.Ignored) > 0 {
		notes = append(notes, fmt.Sprintf("Not taken over (%s): Gatehouse runs no commands and sets no routes.", strings.Join(file.Ignored, "; ")))
	}
	return append(notes, "Devices reach the home by its name in the tunnel, where the resolver is the door's own address: give that as DNS in their files.")
}

// sayTunnelImport shows what will be done.
func sayTunnelImport(w io.Writer, in tunnelImport, left []leftPeer, notes []string) {
	rows := [][]string{{"PEER", "ADDRESSES", "KEY", "BECOMES"}}
	for _, p := range in.Peers {
		rows = append(rows, []string{p.Name, texts(p.Addresses), p.Key, "a device of " + p.Person})
	}
	for _, p := range left {
		rows = append(rows, []string{p.Name, "-", p.Key, "nothing: " + p.Why})
	}
	table(w, rows)
	for _, n := range notes {
		fmt.Fprintln(w, n)
	}
}
