package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/config"
	"gatehouse/internal/door/wireguard"
	"gatehouse/internal/identity"
	"gatehouse/internal/ledger"
	"gatehouse/internal/pki"
	"gatehouse/internal/policy"
)

// The door wireguard: its own key and networks, which the ledger keeps, and the devices that
// are its peers.

// tunnelSecret is where the ledger keeps what the door itself is; a preshared key of a peer's
// has the peer's public key behind presharedSecret.
const (
	tunnelSecret    = "door/wireguard"
	presharedSecret = "door/wireguard/preshared/"
)

// tunnelHome is what the door itself is: its key, and its addresses with the networks of its
// peers.
type tunnelHome struct {
	PrivateKey string         `json:"private_key"`
	Networks   []netip.Prefix `json:"networks"`

	key wireguard.Key
}

// errNoTunnel says that the configuration has no such door.
func errNoTunnel() error {
	return &problem{status: statusUsage, err: errors.New("there is no door wireguard"), hint: "add a table [doors.wireguard] to the configuration, and start the gateway anew"}
}

// tunnelOf returns what the door is, and makes it where it is nothing yet.
func tunnelOf(ctx context.Context, l *ledger.Ledger, c *config.Config) (*tunnelHome, error) {
	d := c.Doors.WireGuard
	if d == nil {
		return nil, errNoTunnel()
	}
	t := &tunnelHome{}
	kept, err := l.Secret(ctx, tunnelSecret)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		t.key = wireguard.NewPrivateKey()
		t.PrivateKey, t.Networks = t.key.String(), freeNetworks(config.Prefixes(d.Reach))
		if err := t.keep(ctx, l); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(kept, t); err != nil {
			return nil, fmt.Errorf("read the key of the door wireguard: %w", err)
		}
		if t.key, err = wireguard.ParseKey(t.PrivateKey); err != nil {
			return nil, fmt.Errorf("read the key of the door wireguard: it %w", err)
		}
	}
	if len(d.Networks) > 0 {
		t.Networks = namedNetworks(d.Networks)
	}
	return t, nil
}

// keep writes it down, sealed.
func (t *tunnelHome) keep(ctx context.Context, l *ledger.Ledger) error {
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return l.PutSecret(ctx, tunnelSecret, text)
}

// namedNetworks are those of the configuration. The door is the first address where only a
// network is said.
func namedNetworks(list []string) (networks []netip.Prefix) {
	for _, text := range list {
		n, err := netip.ParsePrefix(text)
		if err != nil {
			continue // Parse has asked
		}
		if n == n.Masked() {
			n = netip.PrefixFrom(n.Addr().Next(), n.Bits())
		}
		networks = append(networks, n)
	}
	return networks
}

// freeNetworks draws a network of each family that neither this machine nor what it leads to
// has: for IPv4 a /24 in 10.0.0.0/8, for IPv6 a /48 of one's own (RFC 4193), of which each peer
// has a /64, because that is one source to whoever counts sources.
func freeNetworks(taken []netip.Prefix) []netip.Prefix {
	for _, p := range ownPrefixes() {
		taken = append(taken, p.Masked())
	}
	var drawn [7]byte
	for {
		rand.Read(drawn[:]) // never fails (crypto/rand)
		four := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, drawn[0], drawn[1], 1}), 24)
		six := netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 1: drawn[2], 2: drawn[3], 3: drawn[4], 4: drawn[5], 5: drawn[6], 15: 1}), 48)
		if !slices.ContainsFunc(taken, func(p netip.Prefix) bool { return p.Overlaps(four) || p.Overlaps(six) }) {
			return []netip.Prefix{four, six}
		}
	}
}

// ownPrefixes are the addresses of this machine, each with its network, loopback left out.
func ownPrefixes() (all []netip.Prefix) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		if n, err := netip.ParsePrefix(a.String()); err == nil && !n.Addr().IsLoopback() && !n.Addr().IsLinkLocalUnicast() {
			all = append(all, n)
		}
	}
	return all
}

// peerData is what is kept of a peer beside its key.
type peerData struct {
	Addresses []netip.Addr `json:"addresses"` // in the tunnel
	Preshared bool         `json:"preshared"` // the ledger keeps a preshared key for it
}

// tunnelDoor is the door, and what it was told.
type tunnelDoor struct {
	*wireguard.Door
	ledger *ledger.Ledger
	cfg    *config.Config

	mu      sync.Mutex
	had     map[string]identity.Device // by the keys that it was given
	leftOut error                      // peers that cannot come
}

// resolvConf is where this machine's resolvers stand (resolv.conf(5)).
const resolvConf = "/etc/resolv.conf"

// resolverFor is the resolver of other names than the home's, by doors.wireguard.dns; not
// valid where there is to be none.
func resolverFor(word string) (netip.AddrPort, error) {
	switch word {
	case config.NoResolver:
		return netip.AddrPort{}, nil
	case config.SystemResolver:
		text, err := os.ReadFile(resolvConf)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("find this machine's resolver: %w", err)
		}
		return firstResolver(string(text))
	}
	at, ok := config.Resolver(word)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("%q is no resolver", word)
	}
	return at, nil
}

// firstResolver is the first one of a resolv.conf.
func firstResolver(text string) (netip.AddrPort, error) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(words[1]); err == nil {
			return netip.AddrPortFrom(a, 53), nil
		}
	}
	return netip.AddrPort{}, errors.New("no resolver is named in " + resolvConf)
}

// openWireGuard opens the door. That it cannot be opened closes it alone.
func (s *server) openWireGuard(ctx context.Context, d *config.WireGuard) error {
	open := openDoor{name: policy.WireGuard, listen: d.Listen}
	name := s.cfg.Home.Name
	get, why := s.certificate(name)
	if why == "" {
		t, err := tunnelOf(ctx, s.parts.ledger, s.cfg)
		if err != nil {
			return err
		}
		upstream, err := resolverFor(d.DNS)
		if err != nil {
			s.parts.log.Warn("devices in the tunnel find the home's name and no other", "error", err, "hint", "name a resolver, such as your router, in doors.wireguard.dns")
		}
		reach := config.Prefixes(d.Reach)
		how := wireguard.Config{Listen: d.Listen, PrivateKey: t.key, Networks: t.Networks, MTU: d.MTU, Names: []string{name}, TLS: s.tlsOf(get),
			Reach: reach, Spare: newSpared(s, reach).spare, Upstream: upstream, Log: s.parts.log,
			Allow:   func(a netip.Addr) bool { return !s.filter.Admit(a, string(policy.WireGuard)).Denied },
			Refused: func(_ net.Addr, reason string) { s.refused.add(reason) }}
		if s.public != nil {
			how.Ready = func(name string) bool { return s.public.Certificate(name) != nil }
		}
		if door, err := wireguard.Listen(how); err != nil {
			p := asProblem(cannotListen(err, "doors.wireguard.listen"))
			why, open.hint = err.Error(), p.hint
		} else {
			s.wire(&open, &tunnelDoor{Door: door, ledger: s.parts.ledger, cfg: s.cfg})
			open.shows = get
		}
	}
	open.why = why
	s.doors = append(s.doors, open)
	return nil
}

// wire makes a door what the server asks of one.
func (s *server) wire(open *openDoor, t *tunnelDoor) {
	open.listener, open.door, open.origins = t.Door, t.Door, t.Origins()
	open.run, open.keys, open.setKeys = t.Run, identity.KindPeer, t.setKeys
	open.health, open.peers = t.health, t.rows
	open.notYet = func() (why, hint string) {
		if err := t.Trouble(); err != nil {
			return err.Error(), "it is tried again by itself; the log says more"
		}
		if s.public != nil {
			return s.public.Why(s.cfg.Home.Name)
		}
		return "", ""
	}
}

// setKeys tells the door who may come. What is kept of a peer that may not any more is
// forgotten.
func (t *tunnelDoor) setKeys(keys []identity.KeyInfo) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ctx := context.Background() // what is told outlives who tells it
	var wrong []error
	var peers []wireguard.Peer
	now := make(map[string]identity.Device, len(keys))
	for _, k := range keys {
		now[k.Key.ID] = k.Device
		p, err := t.peer(ctx, k)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s of %s: %w", k.Device.Name, k.Device.PersonName, err))
			continue
		}
		peers = append(peers, p)
	}
	wrong = append(wrong, t.SetPeers(peers))
	for id := range t.had {
		if _, still := now[id]; !still {
			wrong = append(wrong, t.ledger.DropSecret(ctx, presharedSecret+id))
		}
	}
	t.had, t.leftOut = now, errors.Join(wrong...)
}

// peer reads what is kept of a peer.
func (t *tunnelDoor) peer(ctx context.Context, k identity.KeyInfo) (p wireguard.Peer, err error) {
	var data peerData
	if err := json.Unmarshal([]byte(k.Data), &data); err != nil {
		return p, fmt.Errorf("read its addresses: %w", err)
	}
	if p.Key, err = wireguard.ParseKey(k.Key.ID); err != nil {
		return p, fmt.Errorf("its key %w", err)
	}
	p.Addresses, p.Expires = data.Addresses, k.Expires
	if data.Preshared {
		secret, err := t.ledger.Secret(ctx, presharedSecret+k.Key.ID)
		if err != nil || len(secret) != len(p.Preshared) {
			return p, fmt.Errorf("its preshared key cannot be read: %w", cmp.Or(err, errors.New("it has another length")))
		}
		p.Preshared = wireguard.Key(secret)
	}
	return p, nil
}

// health says what else there is to know of the open door.
func (t *tunnelDoor) health() (say []string) {
	for _, n := range t.Networks() {
		for _, own := range ownPrefixes() {
			if own.Overlaps(n.Masked()) {
				say = append(say, fmt.Sprintf("The tunnel's network %s is this machine's own %s as well: devices at home may not find their way. Name another in doors.wireguard.networks.", n.Masked(), own.Masked()))
			}
		}
	}
	d := t.cfg.Doors.WireGuard
	if d.Endpoint == "" && pki.IsHomeName(t.cfg.Home.Name) {
		say = append(say, fmt.Sprintf("Nobody outside can find %s: give doors.wireguard.endpoint a name or address of the Internet.", t.cfg.Home.Name))
	}
	if at, err := resolverFor(d.DNS); err != nil || !at.IsValid() {
		say = append(say, "While its tunnel is up a device finds the home's name and no other: name a resolver, such as your router, in doors.wireguard.dns.")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leftOut != nil {
		say = append(say, fmt.Sprintf("Some devices cannot come, invite them anew: %v.", t.leftOut))
	}
	return say
}

// peerRow is a device's tunnel, in a document.
type peerRow struct {
	Key       string `json:"key"`
	Device    string `json:"device"` // its id
	Name      string `json:"name"`
	Person    string `json:"person"`
	Handshake string `json:"last_handshake,omitempty"` // since the start of the gateway
	Endpoint  string `json:"endpoint,omitempty"`       // where the device was last
	Received  uint64 `json:"received_bytes"`
	Sent      uint64 `json:"sent_bytes"`
}

// rows is how the tunnels stand.
func (t *tunnelDoor) rows() (rows []peerRow) {
	stats, err := t.Stats()
	if err != nil {
		return nil // the door is closed
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range stats {
		of := t.had[p.Key.String()]
		row := peerRow{Key: p.Key.String(), Device: of.ID, Name: of.Name, Person: of.PersonName, Handshake: stamp(p.Handshake), Received: p.Received, Sent: p.Sent}
		if p.Endpoint.IsValid() {
			row.Endpoint = p.Endpoint.String()
		}
		rows = append(rows, row)
	}
	return rows
}

// tunnels returns how the tunnels stand, by key.
func (h *house) tunnels() map[string]peerRow {
	all := make(map[string]peerRow)
	if h.server == nil {
		return all
	}
	for _, d := range h.server.doors {
		if d.peers != nil && d.listener != nil {
			for _, p := range d.peers() {
				all[p.Key] = p
			}
		}
	}
	return all
}

// sayTunnels tells of the doors what a table has no room for.
func sayTunnels(w io.Writer, doors []doorRow) {
	rows := [][]string{{"TUNNEL", "PERSON", "NAME", "LAST HANDSHAKE", "FROM", "RECEIVED", "SENT"}}
	for _, d := range doors {
		for _, p := range d.Peers {
			rows = append(rows, []string{p.Device, p.Person, p.Name, ago(p.Handshake), orDash(p.Endpoint), inBytes(p.Received), inBytes(p.Sent)})
		}
	}
	if len(rows) > 1 {
		fmt.Fprintln(w)
		table(w, rows)
	}
}

// inBytes is an amount of data in its largest unit.
func inBytes(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	size := float64(n)
	for len(units) > 1 && size >= 1024 {
		size, units = size/1024, units[1:]
	}
	if units[0] == "B" {
		return strconv.FormatUint(n, 10) + " B"
	}
	return strconv.FormatFloat(size, 'f', 1, 64) + " " + units[0]
}

// spared are addresses that nobody reaches through the tunnel, whatever network is named:
// this machine's own, which take who comes from here for somebody of the house, and Home
// Assistant's, which is behind the gateway and not beside it, unless that very address is named.
type spared struct {
	own   func() []netip.Addr
	host  string // of Home Assistant
	named []netip.Prefix
	look  func(ctx context.Context, network, host string) ([]netip.Addr, error)

	mu    sync.Mutex
	at    time.Time
	known []netip.Addr // of host; nil where it could not be found
}

// lookAgain is how long the addresses of Home Assistant's name are believed, and lookTime how
// long it may take to find them.
const (
	lookAgain = time.Minute
	lookTime  = 2 * time.Second
)

func newSpared(s *server, named []netip.Prefix) *spared {
	p := &spared{own: s.links.Addrs, named: named, look: net.DefaultResolver.LookupNetIP}
	if ha, err := url.Parse(s.cfg.Home.HAURL); err == nil {
		p.host = ha.Hostname()
	}
	return p
}

// spare reports whether an address is spared. Where Home Assistant's cannot be found, every
// address is: it might be that one.
func (p *spared) spare(a netip.Addr) bool {
	if slices.Contains(p.own(), a) {
		return true
	}
	if slices.Contains(p.named, netip.PrefixFrom(a, a.BitLen())) {
		return false
	}
	homes := p.homes()
	return homes == nil || slices.Contains(homes, a)
}

// homes are Home Assistant's addresses.
func (p *spared) homes() []netip.Addr {
	if a, err := netip.ParseAddr(p.host); err == nil {
		return []netip.Addr{a.Unmap()}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.at) < lookAgain {
		return p.known
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	found, err := p.look(ctx, "ip", p.host)
	p.at, p.known = time.Now(), nil
	if err == nil {
		for _, a := range found {
			p.known = append(p.known, a.Unmap().WithZone(""))
		}
	}
	return p.known
}
