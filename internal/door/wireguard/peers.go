package wireguard

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatehouse/internal/policy"
)

// keyKind is identity's word for a device that is a peer.
const keyKind = "peer"

// Peer is a device that may come.
type Peer struct {
	Key       Key // public
	Preshared Key // zero where there is none
	// Addresses are the peer's own in the tunnel, one of each family at most, each nobody
	// else's.
	Addresses []netip.Addr
	Expires   time.Time // zero where it does not
}

// MaxPeers is how many peers a door has at most.
const MaxPeers = 1024

// equal reports whether two say the same.
func (p Peer) equal(o Peer) bool {
	return p.Key == o.Key && p.Preshared == o.Preshared && slices.Equal(p.Addresses, o.Addresses) && p.Expires.Equal(o.Expires)
}

// cutter is something of a peer's that can be ended at once.
type cutter interface{ cut() }

// member is a peer that may come now.
type member struct {
	id    policy.Key
	table *table

	Peer    // guarded by table.mu, as all below
	gone    bool
	streams map[cutter]bool // false until its handshake is done
	flows   map[cutter]struct{}
}

// table is who may come now, and what is theirs.
type table struct {
	mu     sync.Mutex
	now    func() time.Time
	byKey  map[Key]*member
	byAddr map[netip.Addr]*member
}

func newTable() *table {
	return &table{now: time.Now, byKey: make(map[Key]*member), byAddr: make(map[netip.Addr]*member)}
}

// at is the peer that has an address; nil where none has it now.
func (t *table) at(addr netip.Addr) *member {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.byAddr[addr]
	if m == nil || m.over(t.now()) {
		return nil
	}
	return m
}

func (m *member) over(now time.Time) bool { return !m.Expires.IsZero() && !now.Before(m.Expires) }

// enter takes room for a connection that is about to begin.
func (m *member) enter(c cutter) bool {
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	if m.gone || len(m.streams) >= maxStreams {
		return false
	}
	m.streams[c] = false
	return true
}

// made says that it has begun. It is false where the peer has gone meanwhile.
func (m *member) made(c cutter) bool {
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	if _, ok := m.streams[c]; m.gone || !ok {
		return false
	}
	m.streams[c] = true
	return true
}

// flow takes room for a flow of UDP.
func (m *member) flow(c cutter) bool {
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	if m.gone || len(m.flows) >= maxFlows {
		return false
	}
	m.flows[c] = struct{}{}
	return true
}

// leave gives the room back.
func (m *member) leave(c cutter) {
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	delete(m.streams, c)
	delete(m.flows, c)
}

// live is what a peer has open. The caller holds mu.
func (m *member) live() (all []cutter) {
	for c, made := range m.streams {
		if made {
			all = append(all, c)
		}
	}
	for c := range m.flows {
		all = append(all, c)
	}
	return all
}

// put makes a peer one that may come, in place of what it was before.
func (t *table) put(p Peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.byKey[p.Key]
	if m == nil {
		m = &member{id: policy.Key{Kind: keyKind, ID: p.Key.String()}, table: t, streams: make(map[cutter]bool), flows: make(map[cutter]struct{})}
		t.byKey[p.Key] = m
	}
	for _, a := range m.Addresses {
		delete(t.byAddr, a)
	}
	m.Peer = p
	for _, a := range p.Addresses {
		t.byAddr[a] = m
	}
}

// drop has a peer not come any more, and returns what it had open.
func (t *table) drop(k Key) []cutter {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.byKey[k]
	if m == nil {
		return nil
	}
	m.gone = true
	delete(t.byKey, k)
	for _, a := range m.Addresses {
		if t.byAddr[a] == m {
			delete(t.byAddr, a)
		}
	}
	return m.live()
}

// all returns who may come.
func (t *table) all() (peers []Peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.byKey {
		peers = append(peers, m.Peer)
	}
	return peers
}

// expired returns whose time is over, and when the next one's is.
func (t *table) expired() (over []Key, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for k, m := range t.byKey {
		switch {
		case m.over(now):
			over = append(over, k)
		case !m.Expires.IsZero() && (next.IsZero() || m.Expires.Before(next)):
			next = m.Expires
		}
	}
	return over, next
}

// open counts connections.
func (t *table) open() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.byKey {
		n += len(m.streams)
	}
	return n
}

// wait waits until there are no connections, and not longer than that.
func (t *table) wait(most time.Duration) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(most); t.open() > 0 && time.Now().Before(until); {
		<-tick.C
	}
}

// endAll ends what every peer has open.
func (t *table) endAll() {
	for _, p := range t.all() {
		for _, c := range t.drop(p.Key) {
			c.cut()
		}
	}
}

// check says what is wrong with a peer.
func (d *Door) check(p Peer, taken map[netip.Addr]bool) error {
	if p.Key == (Key{}) || p.Key == d.public {
		return errors.New("its key is none, or the door's own")
	}
	families := map[bool]bool{}
	for _, a := range p.Addresses {
		network := slices.IndexFunc(d.cfg.Networks, func(n netip.Prefix) bool { return n.Masked().Contains(a) })
		switch {
		case !a.IsValid() || network < 0:
			return fmt.Errorf("its address %s is in none of the door's networks", a)
		case taken[a] || d.isOwn(a):
			return fmt.Errorf("its address %s belongs to another", a)
		case families[a.Is4()]:
			return fmt.Errorf("its address %s is its second of one family", a)
		}
		families[a.Is4()] = true
	}
	if len(p.Addresses) == 0 {
		return errors.New("it has no address")
	}
	return nil
}

// SetPeers says who may come from now on: who may not any more loses their tunnel and
// every connection at once, and others lose nothing. A peer that cannot be is left out,
// and the error says why; the others hold.
func (d *Door) SetPeers(peers []Peer) error {
	d.setting.Lock()
	defer d.setting.Unlock()
	var wrong []error
	if len(peers) > MaxPeers {
		wrong = append(wrong, fmt.Errorf("there are %d peers; the first %d may come", len(peers), MaxPeers))
		peers = peers[:MaxPeers]
	}
	want, taken := make(map[Key]Peer), make(map[netip.Addr]bool)
	for _, p := range peers {
		if err := d.check(p, taken); err != nil {
			wrong = append(wrong, fmt.Errorf("peer %s: %w", p.Key, err))
			continue
		}
		for _, a := range p.Addresses {
			taken[a] = true
		}
		want[p.Key] = p
	}
	for _, had := range d.peers.all() {
		if now, stays := want[had.Key]; !stays || !slices.Equal(now.Addresses, had.Addresses) || now.Preshared != had.Preshared {
			wrong = append(wrong, d.remove(had.Key))
		} else if now.equal(had) {
			delete(want, had.Key)
		}
	}
	for _, p := range want {
		wrong = append(wrong, d.add(p))
	}
	return errors.Join(wrong...)
}

// add lets a peer come.
func (d *Door) add(p Peer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "public_key=%s\npreshared_key=%s\nreplace_allowed_ips=true\n", p.Key.hex(), p.Preshared.hex())
	for _, a := range p.Addresses {
		fmt.Fprintf(&b, "allowed_ip=%s\n", netip.PrefixFrom(a, a.BitLen()))
	}
	d.peers.put(p)
	if err := d.device.IpcSet(b.String()); err != nil {
		return fmt.Errorf("peer %s: %w", p.Key, err)
	}
	return nil
}

// remove ends a peer's tunnel. What it has open is cut first, so that it hears of it where
// it still listens.
func (d *Door) remove(k Key) error {
	for _, c := range d.peers.drop(k) {
		c.cut()
	}
	if err := d.device.IpcSet(fmt.Sprintf("public_key=%s\nremove=true\n", k.hex())); err != nil {
		return fmt.Errorf("peer %s: %w", k, err)
	}
	return nil
}

// endExpired ends peers when their time is over. Who asks at the moment itself is refused
// by table.at.
func (d *Door) endExpired(ctx context.Context) {
	for {
		d.setting.Lock()
		over, next := d.peers.expired()
		for _, k := range over {
			if err := d.remove(k); err != nil {
				d.cfg.Log.Error("end a peer whose time is over", "error", err)
			}
		}
		d.setting.Unlock()
		wait := time.Second // new peers come at any time
		if !next.IsZero() {
			wait = min(wait, max(time.Until(next), time.Millisecond))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// Stat is what is known of a peer's tunnel.
type Stat struct {
	Key       Key
	Handshake time.Time      // the last; zero where there was none since the start
	Endpoint  netip.AddrPort // where it was last; invalid where that is not known
	// Received and Sent are bytes, with what WireGuard adds, since the start.
	Received, Sent uint64
}

// Stats returns what is known of every peer's tunnel, by key.
func (d *Door) Stats() ([]Stat, error) {
	s, err := d.state()
	return s.peers, err
}

type state struct {
	port  int
	peers []Stat
}

// state asks the device how it stands.
func (d *Door) state() (state, error) {
	text, err := d.device.IpcGet()
	if err != nil {
		return state{}, fmt.Errorf("door wireguard: read its state: %w", err)
	}
	return parseState(text)
}

// parseState reads a device's state (www.wireguard.com/xplatform).
func parseState(text string) (s state, err error) {
	var p *Stat
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() && err == nil {
		name, value, _ := strings.Cut(lines.Text(), "=")
		if name == "public_key" {
			s.peers = append(s.peers, Stat{})
			p = &s.peers[len(s.peers)-1]
			p.Key, err = fromHex(value)
			continue
		}
		if p == nil {
			if name == "listen_port" {
				s.port, err = strconv.Atoi(value)
			}
			continue
		}
		err = p.read(name, value)
	}
	if err == nil {
		err = lines.Err()
	}
	if err != nil {
		return state{}, fmt.Errorf("door wireguard: read its state: %w", err)
	}
	slices.SortFunc(s.peers, func(a, b Stat) int { return strings.Compare(a.Key.String(), b.Key.String()) })
	return s, nil
}

func (p *Stat) read(name, value string) (err error) {
	switch name {
	case "endpoint":
		p.Endpoint, err = netip.ParseAddrPort(value)
	case "last_handshake_time_sec":
		var n int64
		if n, err = strconv.ParseInt(value, 10, 64); n > 0 {
			p.Handshake = time.Unix(n, 0)
		}
	case "rx_bytes":
		p.Received, err = strconv.ParseUint(value, 10, 64)
	case "tx_bytes":
		p.Sent, err = strconv.ParseUint(value, 10, 64)
	}
	return err
}

// isOwn reports whether an address is the door's in the tunnel.
func (d *Door) isOwn(a netip.Addr) bool { return slices.Contains(d.own, a) }
