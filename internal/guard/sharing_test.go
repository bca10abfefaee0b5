package guard

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

const bridge = "172.17.0.1"

// family visits from one address as often and with as many devices as it takes.
func family(g *Guard, c *hand, from string) {
	for n := range sharedVisits {
		g.Seen(addr(from), fmt.Sprint("device", n%sharedDevices))
		c.pass(time.Minute)
	}
}

// told returns a guard that keeps what it says of shared addresses.
func told(shared func(netip.Addr) string) (*Guard, *hand, *[]Sharing) {
	c := &hand{time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	all := &[]Sharing{}
	var g *Guard
	g = New(Config{Now: func() time.Time { return c.now }, Shared: shared, Sharing: func(s Sharing) {
		*all = append(*all, s)
		g.Status() // no lock is held
	}})
	return g, c, all
}

func TestEverybodyFromOneAddressIsNotBanned(t *testing.T) {
	g, c, all := told(nil)
	fail(g, 5, bridge, "")
	if g.Listens(addr(bridge)) {
		t.Error("not banned before anything is known of it")
	}
	family(g, c, bridge)
	if len(*all) != 1 || (*all)[0].Addr != addr(bridge) || (*all)[0].Over || !strings.Contains((*all)[0].Why, bridge) {
		t.Fatalf("told of %+v", *all)
	}
	fail(g, 40, bridge, "olga")
	if !g.Listens(addr(bridge)) || !g.Slow("olga") {
		t.Error("banned, or counts for nothing")
	}
	if x := g.Explain(addr(bridge)); !x.Shared || x.SharedWhy == "" || x.Banned {
		t.Errorf("explained as %+v", x)
	}
	if s := g.Status().Shared; len(s) != 1 || s[0].Addr != addr(bridge) {
		t.Errorf("status says %+v", s)
	}
	g.Listens(addr("127.0.0.1")) // this machine asks itself
	g.Seen(addr(bridge), "device1")
	if len(*all) != 1 {
		t.Errorf("told again: %+v", *all)
	}
	g.Listens(addr("203.0.113.7")) // a stranger with an address of its own
	g.Seen(addr(bridge), "device1")
	if len(*all) != 2 || !(*all)[1].Over {
		t.Errorf("told of %+v", *all)
	}
	fail(g, 4, bridge, "")
	if !g.Listens(addr(bridge)) {
		t.Error("what many failed at counts against one")
	}
	fail(g, 1, bridge, "")
	if g.Listens(addr(bridge)) {
		t.Error("never banned again")
	}
}

func TestSharingLiftsTheBanThatIs(t *testing.T) {
	g, c, all := told(nil)
	for range 4 {
		fail(g, 5, bridge, "")
		c.pass(80 * time.Minute)
	}
	fail(g, 5, bridge, "")
	family(g, c, bridge)
	if len(*all) != 1 || len((*all)[0].Lifted) != 1 || (*all)[0].Lifted[0].Prefix != prefix(bridge+"/32") || !g.Listens(addr(bridge)) {
		t.Errorf("told of %+v", *all)
	}
}

func TestNobodyElseBringsSharingAbout(t *testing.T) {
	for name, do := range map[string]func(g *Guard, c *hand){
		"a public address":      func(g *Guard, c *hand) { family(g, c, "203.0.113.7") },
		"a public IPv6 address": func(g *Guard, c *hand) { family(g, c, "2600:db8::1") },
		"somebody came from elsewhere": func(g *Guard, c *hand) {
			g.Listens(addr("203.0.113.7"))
			family(g, c, bridge)
		},
		"a known device came from elsewhere": func(g *Guard, c *hand) {
			g.Seen(addr("192.168.1.7"), "device9")
			family(g, c, bridge)
		},
		"two devices": func(g *Guard, c *hand) {
			for n := range 100 {
				g.Seen(addr(bridge), fmt.Sprint("device", n%2))
			}
		},
		"too few visits in an hour": func(g *Guard, c *hand) {
			for n := range 100 {
				g.Seen(addr(bridge), fmt.Sprint("device", n%3))
				c.pass(3 * time.Minute)
			}
		},
		"many of one network, each with its own address": func(g *Guard, c *hand) {
			for n := range 100 {
				g.Seen(addr(fmt.Sprintf("fd00::%d", n%3+1)), fmt.Sprint("device", n%3))
			}
		},
		"a stranger's visits and failures": func(g *Guard, c *hand) {
			for range 100 {
				g.Listens(addr(bridge))
				g.Seen(addr(bridge), "")
				fail(g, 1, bridge, "")
			}
		},
	} {
		g, c, all := told(nil)
		do(g, c)
		if len(*all) != 0 || len(g.Status().Shared) != 0 {
			t.Errorf("%s: told of %+v", name, *all)
		}
	}
}

func TestAddressOfARouterIsNotBanned(t *testing.T) {
	why, asked := "the router's own address", 0
	g, c, all := told(func(a netip.Addr) string {
		if asked++; a == addr("203.0.113.1") {
			return why
		}
		return ""
	})
	fail(g, 30, "203.0.113.1", "olga")
	if !g.Listens(addr("203.0.113.1")) || !g.Slow("olga") || asked != 1 {
		t.Errorf("banned, counts for nothing, or asked %d times", asked)
	}
	if x := g.Explain(addr("203.0.113.1")); !x.Shared || x.SharedWhy != why || len(*all) != 1 || (*all)[0].Why != why {
		t.Errorf("explained as %+v, told of %+v", x, *all)
	}
	fail(g, 5, "203.0.113.2", "")
	wantBans(t, g, "203.0.113.2/32")
	why = "" // it has moved on
	g.Recheck()
	if len(*all) != 2 || !(*all)[1].Over || len(g.Status().Shared) != 0 {
		t.Errorf("told of %+v", *all)
	}
	fail(g, 5, "203.0.113.1", "")
	wantBans(t, g, "203.0.113.1/32", "203.0.113.2/32")
	c.pass(time.Minute)
	why = "a bridge"
	g.Recheck()
	wantBans(t, g, "203.0.113.2/32")
	if last := (*all)[len(*all)-1]; last.Why != "a bridge" || len(last.Lifted) != 1 {
		t.Errorf("told of %+v", last)
	}
}

func TestKnownFrom(t *testing.T) {
	g, c := newTest()
	g.Seen(addr("203.0.113.7"), "phone")
	g.Seen(addr("2600:db8:0:1::7"), "tablet")
	for p, want := range map[string]bool{"203.0.113.7/32": true, "203.0.113.0/24": true, "203.0.113.8/32": false, "2600:db8:0:1::/64": true,
		"2600:db8:0:1::9/128": true, "2600:db8::/48": true, "2600:db8:0:2::/64": false, "0.0.0.0/0": true} {
		if got := g.KnownFrom(prefix(p)); got != want {
			t.Errorf("known from %s: %v", p, got)
		}
	}
	if x := g.Explain(addr("203.0.113.7")); len(x.Known) != 1 || x.Known[0].Device != "phone" || x.Known[0].Seen != c.now {
		t.Errorf("explained as %+v", x)
	}
	c.pass(knownFor)
	if g.KnownFrom(prefix("203.0.113.7/32")) || g.KnownFrom(netip.Prefix{}) || len(g.Explain(addr("203.0.113.7")).Known) != 0 {
		t.Error("known for ever")
	}
	for n := range 5000 {
		g.Seen(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), "phone")
		g.Seen(addr("192.0.2.1"), fmt.Sprint("device", n))
	}
	if len(g.places.by) != maxPlaces || g.places.age.Len() != maxPlaces || len(g.places.by[keyOf(addr("192.0.2.1"))].devices) != maxDevices {
		t.Error("what is known grows without bound")
	}
}
