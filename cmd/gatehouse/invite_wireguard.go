package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/config"
	"gatehouse/internal/door/wireguard"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// tunnelWish is what somebody wants a tunnel for. The device's private key stays with who
// asks: the house is told the public half.
type tunnelWish struct {
	Person  string          `json:"person"`
	Label   string          `json:"label"`
	Key     string          `json:"key"`               // public
	Expires config.Duration `json:"expires,omitempty"` // after so long; 0: never
}

// tunnelDocument is what a device is told for its tunnel. It holds keys, and is shown once.
type tunnelDocument struct {
	SchemaVersion int            `json:"schema_version"`
	Device        deviceRow      `json:"device"`
	Expires       string         `json:"expires,omitempty"`
	Key           string         `json:"server_key"` // the door's, public
	Preshared     string         `json:"preshared_key"`
	Endpoint      string         `json:"endpoint"`
	Addresses     []netip.Addr   `json:"addresses"` // the device's in the tunnel
	Reaches       []netip.Prefix `json:"allowed_ips"`
	DNS           []netip.Addr   `json:"dns"`
	Configuration string         `json:"configuration,omitempty"` // the whole file, with the private key
	Notes         []string       `json:"notes,omitempty"`
}

// maxTunnel is how long a tunnel may be good at most, where it ends at all.
const maxTunnel = 3650 * 24 * time.Hour

// inviteTunnel makes a key a device of a person's, with addresses of its own.
func inviteTunnel(ctx context.Context, h *house, in tunnelWish) (doc tunnelDocument, err error) {
	d := h.cfg.Doors.WireGuard
	if d == nil {
		return doc, errNoTunnel()
	}
	if _, ok := h.identity.PersonByName(in.Person); !ok {
		return doc, noPerson(h, in.Person)
	}
	if in.Expires < 0 || time.Duration(in.Expires) > maxTunnel {
		return doc, &problem{status: statusUsage, err: fmt.Errorf("a tunnel for %s", in.Expires), hint: "it lasts ten years at most, or has no end without --expires"}
	}
	t, err := tunnelOf(ctx, h.ledger, h.cfg)
	if err != nil {
		return doc, err
	}
	addrs, err := t.room(h.identity.Keys(identity.KindPeer))
	if err != nil {
		return doc, err
	}
	peer := tunnelPeer{person: in.Person, label: in.Label, addrs: addrs, preshared: wireguard.NewPresharedKey()}
	if peer.key, err = wireguard.ParseKey(in.Key); err != nil {
		return doc, &problem{status: statusUsage, err: fmt.Errorf("the device's key %w", err)}
	}
	if in.Expires > 0 {
		peer.expires = time.Now().Add(time.Duration(in.Expires))
	}
	device, err := h.addPeer(ctx, peer)
	if err != nil {
		return doc, err
	}
	public, err := t.key.Public()
	if err != nil {
		return doc, err
	}
	doc = tunnelDocument{SchemaVersion: schemaVersion, Device: rowOf(device), Expires: stamp(peer.expires), Key: public.String(), Preshared: peer.preshared.String(),
		Endpoint: endpointOf(h.cfg), Addresses: addrs, Notes: tunnelNotes(h)}
	for _, n := range t.Networks {
		doc.Reaches = append(doc.Reaches, netip.PrefixFrom(n.Addr(), n.Addr().BitLen()))
		doc.DNS = append(doc.DNS, n.Addr())
	}
	doc.Reaches = append(doc.Reaches, config.Prefixes(d.Reach)...)
	return doc, nil
}

// tunnelNotes say what keeps a device from coming, or from finding other names.
func tunnelNotes(h *house) (notes []string) {
	if h.server == nil {
		return []string{"the gateway is not running: start it before the device comes"}
	}
	for _, d := range h.server.doors {
		if d.name != policy.WireGuard {
			continue
		}
		if why, _ := d.closed(); why != "" {
			notes = append(notes, "the door wireguard is closed: "+why)
		} else if d.health != nil {
			notes = append(notes, d.health()...)
		}
	}
	return notes
}

// tunnelPeer is a device that is about to be a peer.
type tunnelPeer struct {
	person, label  string
	key, preshared wireguard.Key
	addrs          []netip.Addr
	expires        time.Time
}

// addPeer makes a key a device's. Its preshared key is kept first: the door is told of the
// device in the same moment.
func (h *house) addPeer(ctx context.Context, p tunnelPeer) (d identity.Device, err error) {
	data, err := json.Marshal(peerData{p.addrs, p.preshared != (wireguard.Key{})})
	if err != nil {
		return d, err
	}
	key := policy.Key{Kind: identity.KindPeer, ID: p.key.String()}
	if who, ok := h.identity.KeyHolder(key); ok && !who.Revoked {
		return d, &problem{status: statusNo, err: fmt.Errorf("the key %s is known already, as a device of %s", key.ID, who.Name), hint: `"gatehouse devices" shows it`}
	}
	if p.preshared != (wireguard.Key{}) {
		if err := h.ledger.PutSecret(ctx, presharedSecret+key.ID, p.preshared[:]); err != nil {
			return d, err
		}
	}
	if d, err = h.identity.AddKey(ctx, p.person, p.label, identity.NewKey{Key: key, Data: string(data), Expires: p.expires}); err != nil {
		return d, errors.Join(refused(err, p.label), h.ledger.DropSecret(ctx, presharedSecret+key.ID))
	}
	return d, nil
}

// room finds an address of each family that nobody has.
func (t *tunnelHome) room(peers []identity.KeyInfo) (addrs []netip.Addr, err error) {
	taken, err := takenBy(peers)
	if err != nil {
		return nil, err
	}
	for _, n := range t.Networks {
		taken[n.Addr()] = true
	}
next:
	for number := 2; number <= wireguard.MaxPeers+2; number++ {
		addrs = nil
		for _, n := range t.Networks {
			a, ok := memberOf(n, number)
			if !ok || taken[a] {
				continue next
			}
			addrs = append(addrs, a)
		}
		return addrs, nil
	}
	return nil, &problem{status: statusNo, err: errors.New("the tunnel's networks have no address left"), hint: "revoke devices that are not used any more, or name a larger network in doors.wireguard.networks and invite all anew"}
}

// takenBy are the addresses of peers.
func takenBy(peers []identity.KeyInfo) (map[netip.Addr]bool, error) {
	taken := make(map[netip.Addr]bool)
	for _, k := range peers {
		var data peerData
		if err := json.Unmarshal([]byte(k.Data), &data); err != nil {
			return nil, fmt.Errorf("read the addresses of %s: %w", k.Device.Name, err)
		}
		for _, a := range data.Addresses {
			taken[a] = true
		}
	}
	return taken, nil
}

// memberOf is the address with a number in a network: in one of IPv6 with room for it, the
// first of a /64 of its own.
func memberOf(n netip.Prefix, number int) (netip.Addr, bool) {
	if n.Addr().Is4() {
		a := n.Masked().Addr().As4()
		room := 1 << (32 - n.Bits())
		if number >= room-1 {
			return netip.Addr{}, false
		}
		whole := uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3]) + uint32(number)
		return netip.AddrFrom4([4]byte{byte(whole >> 24), byte(whole >> 16), byte(whole >> 8), byte(whole)}), true
	}
	a := n.Masked().Addr().As16()
	if n.Bits() <= 48 {
		a[6], a[7], a[15] = byte(number>>8), byte(number), 1
		return netip.AddrFrom16(a), true
	}
	a[14], a[15] = byte(number>>8), a[15]|byte(number)
	found := netip.AddrFrom16(a)
	return found, n.Contains(found)
}

// endpointOf is where devices find the door.
func endpointOf(c *config.Config) string {
	if e := c.Doors.WireGuard.Endpoint; e != "" {
		return e
	}
	return net.JoinHostPort(c.Home.Name, strconv.Itoa(portOf(c.Doors.WireGuard.Listen)))
}

// tunnelKeepalive is how often a device says something, in seconds: routers forget a quiet
// connection after half a minute.
const tunnelKeepalive = 25

// file is what the device is given.
func (doc tunnelDocument) file(private wireguard.Key) (*wireguard.File, error) {
	f := &wireguard.File{PrivateKey: private, MTU: wireguard.LeastMTU}
	for _, a := range doc.Addresses {
		f.Addresses = append(f.Addresses, netip.PrefixFrom(a, a.BitLen()))
	}
	for _, a := range doc.DNS {
		f.DNS = append(f.DNS, a.String())
	}
	p := wireguard.FilePeer{AllowedIPs: doc.Reaches, Endpoint: doc.Endpoint, Keepalive: tunnelKeepalive}
	var err, wrong error
	p.Key, err = wireguard.ParseKey(doc.Key)
	p.Preshared, wrong = wireguard.ParseKey(doc.Preshared)
	f.Peers = []wireguard.FilePeer{p}
	return f, errors.Join(err, wrong)
}

// inviteTunnel is the verb. The private key is made here, and shown or written this once.
func (a *app) inviteTunnel(ctx context.Context, person, label, expires, output string) error {
	wish := tunnelWish{Person: person, Label: label}
	if expires != "" {
		if err := wish.Expires.UnmarshalText([]byte(expires)); err != nil || wish.Expires == 0 {
			return &problem{status: statusUsage, err: fmt.Errorf("--expires %s", expires), hint: `a length of time is written like "36h" or "90d"`}
		}
	}
	out, err := newSecretFile(output)
	if err != nil {
		return err
	}
	private := wireguard.NewPrivateKey()
	public, err := private.Public()
	if err != nil {
		return errors.Join(err, out.drop())
	}
	wish.Key = public.String()
	doc, err := ask(ctx, a, "invite/wireguard", inviteTunnel, wish)
	if err != nil {
		return errors.Join(err, out.drop())
	}
	file, err := doc.file(private)
	if err == nil {
		err = out.write(file.String())
	}
	if err != nil {
		return &problem{status: statusCannot, err: errors.Join(err, out.drop()), hint: "the device is known and has no file: gatehouse devices revoke " + doc.Device.ID}
	}
	if output == "" {
		doc.Configuration = file.String()
	}
	return a.print(doc, func(w io.Writer) { a.sayTunnel(w, doc, file.String(), output) })
}

func (a *app) sayTunnel(w io.Writer, doc tunnelDocument, text, output string) {
	if output == "" {
		fmt.Fprint(w, text)
	} else {
		fmt.Fprintln(w, output)
	}
	if a.isTerminal() {
		fmt.Fprint(w, "\n"+qrText(text, a.getenv("NO_COLOR") == "")+"\n")
	}
	until := "until it is revoked"
	if doc.Expires != "" {
		until = "until " + doc.Expires
	}
	a.note("the tunnel of %s (%s), %s", doc.Device.Name, doc.Device.ID, until)
	a.note("it holds the device's private key, which is shown this once and kept nowhere: scan it in the WireGuard app, or give the file to the device alone")
	for _, n := range doc.Notes {
		a.note("%s", strings.ToLower(n[:1])+strings.TrimSuffix(n[1:], "."))
	}
}

// secretFile is a file that only its owner reads, made before what will stand in it is.
type secretFile struct{ f *os.File }

// newSecretFile makes the file; one that is there already is left alone. Without a name there
// is none.
func newSecretFile(name string) (*secretFile, error) {
	if name == "" {
		return &secretFile{}, nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, &problem{status: statusCannot, err: fmt.Errorf("make the file: %w", err), hint: "name a file that does not exist yet"}
	}
	return &secretFile{f}, nil
}

func (s *secretFile) write(text string) error {
	if s.f == nil {
		return nil
	}
	_, err := s.f.WriteString(text)
	return errors.Join(err, s.f.Sync(), s.f.Close())
}

// drop takes it away again.
func (s *secretFile) drop() error {
	if s.f == nil {
		return nil
	}
	_ = s.f.Close() // it may be closed already
	return os.Remove(s.f.Name())
}
