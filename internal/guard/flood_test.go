package guard

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// manyIPv4 and manyIPv6 return the nth of a great many addresses, the latter of one
// /32: each in a /48 of its own, as long as there are any.
func manyIPv4(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{20 + byte(n>>24), byte(n >> 16), byte(n >> 8), byte(n)})
}

func manyIPv6(n int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x26, 0, 0xd, 0xb8, byte(n >> 8), byte(n), byte(n >> 24), byte(n >> 16), 15: 1})
}

// A hundred thousand addresses take bounded memory and wash out no ban: neither by
// one failure each nor by as many as it takes to be banned.
func TestHundredThousandAttackers(t *testing.T) {
	for name, many := range map[string]func(int) netip.Addr{"IPv4": manyIPv4, "IPv6 of one /32": manyIPv6} {
		for _, each := range []int{1, waryThreshold} {
			t.Run(fmt.Sprint(name, " ", each), func(t *testing.T) {
				g, c := newTest()
				live := []string{"203.0.113.7", "203.0.113.8", "2a00:db8::7"}
				for range 3 { // they come back after each ban, so the next takes longer
					for _, a := range live {
						fail(g, 5, a, "")
					}
					c.pass(40 * time.Minute)
				}
				for _, a := range live {
					fail(g, 5, a, "")
				}
				what, before := strings.Repeat("w", 200), memory()
				for n := range 100_000 {
					f := Failure{Addr: many(n), Kind: HALogin, Account: fmt.Sprint("name", n), Door: "https", What: what}
					for range each {
						g.Fail(f)
					}
					c.pass(time.Millisecond)
				}
				s := g.Status()
				if s.Sources > 16384 || s.Accounts > 16384 || len(g.sources.by) != g.sources.fresh.Len()+g.sources.scored.Len()+len(g.sources.shut) {
					t.Errorf("remembered are %d sources and %d accounts", s.Sources, s.Accounts)
				}
				perSource := (memory() - before) / 16384
				if t.Logf("a source and an account take %d bytes", perSource); perSource > 4000 {
					t.Error("that is too much")
				}
				for _, a := range live {
					if g.Listens(addr(a)) {
						t.Errorf("the ban of %s was washed out", a)
					}
				}
				if !g.Listens(addr("198.51.100.1")) || !g.Listens(addr("2a01:db8::1")) {
					t.Error("who did nothing is not listened to")
				}
				if g.Listens(many(99_999)) != (each == 1) {
					t.Errorf("%d failures while wary: listened to %v", each, g.Listens(many(99_999)))
				}
				if _, all := g.Changes(); all != (each > 1) {
					t.Errorf("told is all: %v", all)
				}
				runtime.KeepAlive(g)
			})
		}
	}
}

func memory() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// Where bans fill the table, the one that ends first gives way, and new ones are
// counted all the same.
func TestBanThatEndsFirstGivesWay(t *testing.T) {
	c := &hand{time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	g := New(Config{Now: func() time.Time { return c.now }, MaxSources: 100, Overall: 1 << 20})
	for n := range 10 { // for twice as long as the others
		fail(g, 5, fmt.Sprintf("203.0.113.%d", n), "")
	}
	c.pass(10 * time.Minute)
	for n := range 10 {
		fail(g, 5, fmt.Sprintf("203.0.113.%d", n), "")
	}
	for n := range 300 {
		fail(g, 5, fmt.Sprintf("10.0.%d.%d", n>>8, n&0xff), "")
		if last := manyIPv4(n); !g.Listens(last) {
			t.Errorf("%v is banned, who never came", last)
		}
	}
	for n := range 10 {
		if g.Listens(addr(fmt.Sprintf("203.0.113.%d", n))) {
			t.Errorf("the longer ban of %d gave way", n)
		}
	}
	if g.Listens(addr("10.0.1.43")) {
		t.Error("the last one is not banned")
	}
	if n := len(g.Bans()); n > 100 || n < 70 {
		t.Errorf("%d are banned", n)
	}
}

// Where bans take half of the table, IPv6 bans grow sooner, and what they cover makes room.
func TestCrowdedTableGrowsBans(t *testing.T) {
	c := &hand{time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	g := New(Config{Now: func() time.Time { return c.now }, MaxSources: 200, Overall: 1 << 20})
	fail(g, 5, "2600:db8::1", "")
	fail(g, 5, "2600:db8:0:1::1", "")
	if n := len(g.Bans()); n != 2 {
		t.Errorf("%d bans, where there is room", n)
	}
	for n := range 110 {
		fail(g, 5, fmt.Sprintf("10.0.0.%d", n), "")
	}
	fail(g, 5, "2600:db8:1::1", "")
	fail(g, 5, "2600:db8:1:1::1", "")
	if g.Listens(addr("2600:db8:1:ff::1")) || g.sources.by[keyOf(addr("2600:db8:1::1"))] != nil {
		t.Error("two networks are not enough for their /56, or make no room")
	}
	fail(g, 5, "2600:db8:1:100::1", "")
	if g.Listens(addr("2600:db8:1:ff00::1")) || g.sources.by[keyOf(addr("2600:db8:1:100::1"))] != nil {
		t.Error("a /56 and one network more are not enough for their /48, or make no room")
	}
	for range 3 {
		c.pass(10 * time.Minute)
		fail(g, 1, "192.0.2.1", "")
	}
	if n := len(g.sources.shut); n != 0 {
		t.Errorf("%d bans ended and are counted still", n)
	}
}

func TestManyAtOnce(t *testing.T) {
	var g *Guard
	g = New(Config{MaxSources: 64, Overall: 20, Ban: time.Millisecond, MaxBan: 3 * time.Millisecond,
		Shared: func(a netip.Addr) string {
			g.Status()
			return map[bool]string{true: "a router"}[a == addr("192.0.2.1")]
		},
		Banned: func(b Ban) { g.Explain(b.Addr) }, Slowed: func(s Slowing) { g.Slow(s.Account) },
		Wary: func(Wariness) { g.Bans() }, Sharing: func(s Sharing) { g.Explain(s.Addr) }})
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for n := range 400 {
				a := manyIPv6(n * w % 97)
				if n%3 == 0 {
					a = netip.AddrFrom4([4]byte{192, 0, 2, byte(n % 7)})
				}
				g.Fail(Failure{Addr: a, Kind: Kinds()[n%11], Account: fmt.Sprint(n % 5), Door: "lan", What: "x"})
				g.Listens(a)
				switch n % 16 {
				case 0:
					g.Seen(a, "phone")
				case 1:
					g.Succeed(a)
				case 2:
					_ = g.Ban(netip.PrefixFrom(a, 24), time.Time{}, "")
				case 3:
					g.Unban(netip.PrefixFrom(a, 16))
				case 4:
					_ = g.Allow(netip.PrefixFrom(a, a.BitLen()), "")
				case 5:
					g.Disallow(netip.PrefixFrom(a, a.BitLen()))
				case 6:
					g.Restore(g.Records())
				case 7:
					g.Changes()
				case 8:
					g.Recheck()
				case 9:
					g.KnownFrom(netip.PrefixFrom(a, 8))
				case 10:
					g.Status()
				}
			}
		})
	}
	all.Wait()
	if s := g.Status(); s.Sources > 64 || s.Accounts > 64 {
		t.Errorf("remembered is %+v", s)
	}
}

// besieged returns a guard that has seen much, and addresses that it has seen and not.
func besieged(tb testing.TB) (g *Guard, addrs map[string]netip.Addr) {
	g = New(Config{})
	for n := range 20_000 {
		for range 5 {
			g.Fail(Failure{Addr: manyIPv6(n), Kind: HALogin, Door: "https", What: "login"})
			g.Fail(Failure{Addr: manyIPv4(n), Kind: HALogin, Door: "https", What: "login"})
		}
	}
	for _, p := range []string{"198.51.100.0/24", "198.51.0.0/16", "198.51.100.7/32", "2a00:db8::/32", "2a00:db8:1::/48"} {
		if err := g.Ban(prefix(p), time.Time{}, ""); err != nil {
			tb.Fatal(err)
		}
	}
	return g, map[string]netip.Addr{
		"IPv4": addr("203.0.113.7"), "IPv4 banned": manyIPv4(19_999), "IPv4 of the owner": addr("198.51.7.7"), "IPv4 mapped": addr("::ffff:203.0.113.7"),
		"IPv6": addr("2a02:db8::7"), "IPv6 banned": manyIPv6(19_999), "IPv6 of the owner": addr("2a00:db8:7::7"),
	}
}

func TestListensAllocatesNothing(t *testing.T) {
	g, addrs := besieged(t)
	for name, a := range addrs {
		if n := testing.AllocsPerRun(100, func() { g.Listens(a) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if !g.Listens(addrs["IPv4"]) || g.Listens(addrs["IPv4 banned"]) || g.Listens(addrs["IPv6 banned"]) || g.Listens(addrs["IPv4 of the owner"]) || g.Listens(addrs["IPv6 of the owner"]) {
		t.Error("the besieged guard knows nobody")
	}
}

func BenchmarkListens(b *testing.B) {
	b.Run("quiet", func(b *testing.B) {
		g, a := New(Config{}), addr("2001:db8::1")
		b.ReportAllocs()
		for b.Loop() {
			g.Listens(a)
		}
	})
	g, addrs := besieged(b)
	for name, a := range addrs {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g.Listens(a)
			}
		})
	}
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				g.Listens(addrs["IPv6"])
			}
		})
	})
}

// BenchmarkFail measures failures of ever new addresses, each of which evicts one.
func BenchmarkFail(b *testing.B) {
	for name, many := range map[string]func(int) netip.Addr{"IPv4": manyIPv4, "IPv6": manyIPv6} {
		b.Run(name, func(b *testing.B) {
			g, n := New(Config{}), 0
			b.ReportAllocs()
			for b.Loop() {
				g.Fail(Failure{Addr: many(n), Kind: HALogin, Account: "olga", Door: "https", What: "login"})
				n++
			}
		})
	}
}
