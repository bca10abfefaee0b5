package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/door/wireguard"
	"gatehouse/internal/identity"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
)

// The tunnel's networks are drawn once, meet nothing that is here, and stay with their key,
// sealed.
func TestTunnelStaysTheSame(t *testing.T) {
	l, err := ledger.Open(t.Context(), "", ledger.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := config.Default()
	if _, err := tunnelOf(t.Context(), l, c); err == nil {
		t.Error("there is a tunnel without a door")
	}
	c.Doors.WireGuard = &config.WireGuard{Reach: []string{"10.0.0.0/9"}}
	first, err := tunnelOf(t.Context(), l, c)
	if err != nil {
		t.Fatal(err)
	}
	again, err := tunnelOf(t.Context(), l, c)
	if err != nil || again.key != first.key || !slices.Equal(again.Networks, first.Networks) || len(first.Networks) != 2 {
		t.Errorf("%v, then %v, %v", first.Networks, again.Networks, err)
	}
	for _, n := range first.Networks {
		if !n.Addr().IsPrivate() || netip.MustParsePrefix("10.0.0.0/9").Overlaps(n) {
			t.Errorf("the network %s", n)
		}
	}
	c.Doors.WireGuard.Networks = []string{"10.8.0.0/24", "fd12::5/64"}
	named, err := tunnelOf(t.Context(), l, c)
	if err != nil || named.key != first.key || fmt.Sprint(named.Networks) != "[10.8.0.1/24 fd12::5/64]" {
		t.Errorf("named: %v, %v", named.Networks, err)
	}
}

// Every device has addresses of its own, in IPv6 a network where there is room; the door's
// are nobody's, and nobody's are beyond the network.
func TestTunnelHasRoom(t *testing.T) {
	for _, c := range []struct {
		network string
		number  int
		want    string
	}{
		{"10.8.0.1/24", 2, "10.8.0.2"}, {"10.8.0.1/24", 254, "10.8.0.254"}, {"10.8.0.1/24", 255, ""}, {"10.8.0.1/16", 300, "10.8.1.44"},
		{"fd12:1:2::1/48", 2, "fd12:1:2:2::1"}, {"fd12:1:2::1/48", 300, "fd12:1:2:12c::1"},
		{"fd12::1/64", 2, "fd12::2"}, {"fd12::1/64", 300, "fd12::12c"}, {"fd12::1/120", 300, ""},
	} {
		a, ok := memberOf(netip.MustParsePrefix(c.network), c.number)
		if ok != (c.want != "") || ok && a.String() != c.want {
			t.Errorf("%d of %s: %s, %t", c.number, c.network, a, ok)
		}
	}
	home := &tunnelHome{Networks: []netip.Prefix{netip.MustParsePrefix("10.8.0.2/29"), netip.MustParsePrefix("fd12:1:2::1/48")}}
	var peers []identity.KeyInfo
	for _, want := range []string{"[10.8.0.3 fd12:1:2:3::1]", "[10.8.0.4 fd12:1:2:4::1]", "[10.8.0.5 fd12:1:2:5::1]", "[10.8.0.6 fd12:1:2:6::1]"} {
		addrs, err := home.room(peers)
		if err != nil || fmt.Sprint(addrs) != want {
			t.Fatalf("%v, %v, want %s", addrs, err, want)
		}
		peers = append(peers, identity.KeyInfo{Data: fmt.Sprintf(`{"addresses":["%s","%s"]}`, addrs[0], addrs[1])})
	}
	if _, err := home.room(peers); err == nil {
		t.Error("there is room in a full network")
	}
	if _, err := home.room([]identity.KeyInfo{{Data: "?"}}); err == nil {
		t.Error("what cannot be read takes no room")
	}
}

// This machine's addresses are spared, and Home Assistant's unless that very address is
// named; where it cannot be found, every one is.
func TestSpared(t *testing.T) {
	own, ha, other := netip.MustParseAddr("192.168.1.2"), netip.MustParseAddr("192.168.1.3"), netip.MustParseAddr("192.168.1.4")
	p := &spared{own: func() []netip.Addr { return []netip.Addr{own} }, host: "ha.lan",
		look: func(context.Context, string, string) ([]netip.Addr, error) { return []netip.Addr{ha}, nil }}
	if !p.spare(own) || !p.spare(ha) || p.spare(other) {
		t.Error("a name")
	}
	p.named = []netip.Prefix{netip.PrefixFrom(ha, 32), netip.PrefixFrom(own, 32), netip.MustParsePrefix("192.168.1.0/24")}
	if !p.spare(own) || p.spare(ha) || p.spare(other) {
		t.Error("named")
	}
	p = &spared{own: func() []netip.Addr { return nil }, host: "192.168.1.3"}
	if !p.spare(ha) || p.spare(other) {
		t.Error("an address")
	}
	p = &spared{own: func() []netip.Addr { return nil }, host: "gone.lan", look: func(context.Context, string, string) ([]netip.Addr, error) { return nil, errors.New("no such name") }}
	if !p.spare(ha) || !p.spare(other) {
		t.Error("a name that cannot be found")
	}
}

// A peer whose preshared key is lost, or whose addresses are not the tunnel's any more, is
// left out and said; the others come. What is kept of a peer goes with it.
func TestPeersThatAreLeftOut(t *testing.T) {
	s := frontDoors(t, func(c *config.Config) { c.Doors.WireGuard = &config.WireGuard{Listen: "127.0.0.1:0", MTU: 1420} })
	ctx := t.Context()
	if _, err := s.identity.AddPerson(ctx, "Anna", policy.RoleMember, "", ""); err != nil {
		t.Fatal(err)
	}
	invite := func(label string) tunnelDocument {
		public, err := wireguard.NewPrivateKey().Public()
		if err != nil {
			t.Fatal(err)
		}
		doc, err := inviteTunnel(ctx, s.house, tunnelWish{Person: "Anna", Label: label, Key: public.String()})
		if err != nil {
			t.Fatal(err)
		}
		if again, err := inviteTunnel(ctx, s.house, tunnelWish{Person: "Anna", Label: label, Key: public.String()}); err == nil {
			t.Errorf("one key is two devices: %+v", again.Device)
		}
		return doc
	}
	peers := func() int {
		for _, d := range s.doors {
			if d.name == policy.WireGuard {
				return len(d.row().Peers)
			}
		}
		return -1
	}
	good, lost := invite("Good"), invite("Lost")
	for begin := time.Now(); peers() != 2; time.Sleep(10 * time.Millisecond) { // the server has just been started
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("%d peers", peers())
		}
	}
	keys := make(map[string]string)
	for _, k := range s.identity.Keys(identity.KindPeer) {
		keys[k.Device.ID] = k.Key.ID
	}
	if err := s.parts.ledger.DropSecret(ctx, presharedSecret+keys[lost.Device.ID]); err != nil {
		t.Fatal(err)
	}
	s.giveKeys()
	said := ""
	for _, d := range s.doors {
		if d.name == policy.WireGuard {
			said = strings.Join(d.row().Health, " ")
		}
	}
	if n := peers(); n != 1 || !strings.Contains(said, "Lost of Anna") || strings.Contains(said, "Good of Anna") {
		t.Errorf("%d peers; %s", n, said)
	}
	if err := s.identity.RevokeDevice(ctx, good.Device.ID); err != nil {
		t.Fatal(err)
	}
	if n := peers(); n != 0 {
		t.Errorf("%d peers after the last was revoked", n)
	}
	if _, err := s.parts.ledger.Secret(ctx, presharedSecret+keys[good.Device.ID]); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("its preshared key is kept: %v", err)
	}
}

// What of a wg0.conf can be a device is taken over, and what cannot says why.
func TestSortOut(t *testing.T) {
	key := func(n byte) wireguard.Key { return wireguard.Key{n} }
	prefix := netip.MustParsePrefix
	file := &wireguard.File{PrivateKey: key(1), Addresses: []netip.Prefix{prefix("10.8.0.1/24"), prefix("fd12::1/64")}, Peers: []wireguard.FilePeer{
		{Comment: "a", Key: key(2), AllowedIPs: []netip.Prefix{prefix("10.8.0.2/32"), prefix("fd12::2/128")}},
		{Key: key(3), AllowedIPs: []netip.Prefix{prefix("10.8.0.2/32")}},
		{Key: key(4), AllowedIPs: []netip.Prefix{prefix("10.8.0.1/32")}},
		{Key: key(5), AllowedIPs: []netip.Prefix{prefix("0.0.0.0/0")}},
		{Key: key(6), AllowedIPs: []netip.Prefix{prefix("10.9.0.2/32")}},
		{Key: key(7), AllowedIPs: []netip.Prefix{prefix("10.8.0.7/32"), prefix("10.8.0.8/32")}},
		{Key: key(8)},
	}}
	in, left, err := sortOut(file)
	if err != nil || len(in.Peers) != 1 || in.Peers[0].Name != "a" || len(left) != 6 {
		t.Fatalf("%+v, %+v, %v", in.Peers, left, err)
	}
	for i, why := range []string{"10.8.0.2 belongs to another", "10.8.0.1 belongs to another", "a network of its own", "none of the file's networks", "more than one address", "no address"} {
		if !strings.Contains(left[i].Why, why) || left[i].Name != fmt.Sprintf("Peer %d", i+2) {
			t.Errorf("%+v, want %q", left[i], why)
		}
	}
	for _, wrong := range [][]netip.Prefix{nil, {prefix("8.8.8.8/24")}, {prefix("10.8.0.1/32")}, {prefix("10.8.0.1/24"), prefix("10.9.0.1/24")}, {prefix("2001:db8::1/64")}, {prefix("127.0.0.1/8")}} {
		file.Addresses = wrong
		if _, _, err := sortOut(file); err == nil {
			t.Errorf("%v can be the door's", wrong)
		}
	}
}

// The door's port may be somebody's; then it is closed, with its reason, and the others are
// open.
func TestTunnelsPortIsTaken(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := frontDoors(t, func(c *config.Config) {
		c.Doors.WireGuard = &config.WireGuard{Listen: taken.LocalAddr().String(), MTU: 1420}
	})
	for _, d := range s.doors {
		why, hint := d.closed()
		if closed := why != ""; closed != (d.name == policy.WireGuard) {
			t.Errorf("%s: %q", d.name, why)
		} else if closed && (!strings.Contains(why, "address already in use") || !strings.Contains(hint, "another program listens there")) {
			t.Errorf("it says %q, %q", why, hint)
		}
	}
}

// Who resolves other names in the tunnel is this machine's resolver, one that is named, or nobody.
func TestResolverOfTheTunnel(t *testing.T) {
	for text, want := range map[string]string{
		"# one\nnameserver 192.168.1.1\nnameserver 9.9.9.9\n": "192.168.1.1:53",
		"search home\nnameserver fe80::1%eth0":                "[fe80::1%eth0]:53",
		"nameserver nonsense\nnameserver ::1":                 "[::1]:53",
	} {
		if got, err := firstResolver(text); err != nil || got.String() != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if _, err := firstResolver("options edns0\n"); err == nil {
		t.Error("there is a resolver where none is named")
	}
	if at, err := resolverFor("192.168.1.1"); err != nil || at.String() != "192.168.1.1:53" {
		t.Errorf("a named one: %v, %v", at, err)
	}
	if at, err := resolverFor(config.NoResolver); err != nil || at.IsValid() {
		t.Errorf("nobody: %v, %v", at, err)
	}
}
