package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/agent"
	"gatehouse/internal/config"
	"gatehouse/internal/guard"
)

// street is a network of the test's own with somebody far away in it: addresses of the
// Internet's behind a router, as a home sees them.
type street struct{ network }

const outsider = "outside"

func newStreet(t *testing.T) street {
	t.Helper()
	return street{newNetwork(t, map[string]string{"nft": "nftables", "curl": "curl"},
		"link set lo up",
		"netns add outside", "-n outside link set lo up",
		"link add eth0 type veth peer name eth0 netns outside",
		"addr add 192.168.77.1/24 dev eth0", "addr add fd77::1/64 dev eth0 nodad", "link set eth0 up",
		"-n outside addr add 192.168.77.2/24 dev eth0", "-n outside addr add fd77::2/64 dev eth0 nodad", "-n outside link set eth0 up",
		"-n outside addr add 203.0.113.7/32 dev lo", "-n outside addr add 203.0.113.8/32 dev lo", "-n outside addr add 2001:db8:9:1::7/128 dev lo nodad", "-n outside addr add 2001:db8:a::7/128 dev lo nodad",
		"route add default via 192.168.77.2", "-6 route add default via fd77::2",
	)}
}

// connects reports whether somebody at an address outside gets a connection to a port of ours.
func (s street) connects(from, port string) bool {
	s.t.Helper()
	to := "192.168.77.1"
	if strings.Contains(from, ":") {
		to = "[fd77::1]"
	}
	err := exec.CommandContext(s.t.Context(), "nsenter", "--net=/run/netns/"+outsider, "curl", "-s", "--connect-timeout", "2", "--max-time", "5", "--interface", from, "http://"+to+":"+port).Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return true
	case !errors.As(err, &exit):
		s.t.Fatal(err)
	}
	switch exit.ExitCode() {
	case 1, 52, 56: // what answers speaks no HTTP, or nothing: but it answers
		return true
	case 7, 28: // no connection, or nobody answers in time
		return false
	}
	s.t.Fatalf("curl from %s to port %s: %v", from, port, err)
	return false
}

// eventually waits for a thing that happens elsewhere.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after a while: %s", what)
		}
	}
}

// clock is a time that the test moves.
type clock struct{ after atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.after.Load())) }
func (c *clock) advance(d time.Duration) { c.after.Add(int64(d)) }

// listens opens a port of ours whose visitors get a byte.
func listens(t *testing.T, port string) {
	t.Helper()
	l, err := net.Listen("tcp", ":"+port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("!"))
			c.Close()
		}
	}()
}

// starts runs something until the test calls stop, or ends.
func starts(t *testing.T, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// drops reports whether the kernel's sets hold something that nft writes like this.
func (s street) drops(address string) bool {
	s.t.Helper()
	out, err := exec.CommandContext(s.t.Context(), "nft", "list", "table", "inet", "gatehouse_guard").Output()
	return err == nil && strings.Contains(string(out), " "+address+" timeout ")
}

// startAgent runs the agent of a configuration's text on its socket; /run is the test's own.
func startAgent(t *testing.T, text string) (stop func()) {
	t.Helper()
	cfg, err := config.Parse("gatehouse.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	bans, end, err := dropping(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	l, err := listenAgent(agentSocket, uint32(os.Geteuid()))
	if err != nil {
		t.Fatal(err)
	}
	return starts(t, func(ctx context.Context) error {
		defer end()
		return agent.New(&agentHost{}, bans, func(uid uint32) bool { return uid == uint32(os.Geteuid()) }, log).Serve(ctx, l)
	})
}

func allowsNobody(netip.Prefix) bool { return false }

// Whom a rule of the configuration allows, the kernel does not drop, however often they are
// banned: behind a drop nobody could be known any more.
func TestAllowedByRuleIsNotDropped(t *testing.T) {
	list := filepath.Join(t.TempDir(), "friends")
	if err := os.WriteFile(list, []byte("198.51.100.0/25\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("gatehouse.toml", []byte(offloading+`
[[guard.rules]]
action = "allow"
from = ["203.0.113.7", "2001:db8:a:1::/64", "list:`+list+`"]
[[guard.rules]]
action = "deny"
from = ["any"]
known_pass = true
`))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := newFilter(cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := guard.New(guard.Config{})
	o := newOffload(g, rules.Allows, agentSocket, slog.New(slog.DiscardHandler))
	for _, p := range []string{"203.0.113.7/32", "203.0.113.8/32", "198.51.100.9/32", "198.51.100.200/32", "2001:db8:a::/48", "2001:db8:b::/48"} {
		if err := g.Ban(netip.MustParsePrefix(p), time.Time{}, "for the test"); err != nil {
			t.Fatal(err)
		}
	}
	got := slices.SortedFunc(maps.Keys(o.wanted(time.Now())), netip.Prefix.Compare)
	want := []netip.Prefix{netip.MustParsePrefix("198.51.100.200/32"), netip.MustParsePrefix("203.0.113.8/32"), netip.MustParsePrefix("2001:db8:b::/48")}
	if !slices.Equal(got, want) {
		t.Errorf("the kernel is to drop %v, want %v", got, want)
	}
}

const offloading = "[home]\nname = \"house.test\"\n[doors.https]\nlisten = \":443\"\n[doors.lan]\n[guard]\noffload = \"nftables\"\nallow = [\"198.51.100.0/24\"]\n"

// Five failures, again after a ban, and the next connection is dropped in the kernel, by the
// agent: of this one alone, at the doors alone, and no longer than the ban.
func TestBannedAgainIsDropped(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	if !inNetwork(t) {
		return
	}
	s := newStreet(t)
	for _, port := range []string{"443", "8443", "22"} {
		listens(t, port)
	}
	stopAgent := startAgent(t, offloading)
	c := &clock{}
	var o *offload
	g := guard.New(guard.Config{Now: c.now, Banned: func(guard.Ban) { o.wake() }})
	var said bytes.Buffer
	o = newOffload(g, allowsNobody, agentSocket, slog.New(slog.NewTextHandler(&said, nil)))
	o.now = c.now
	stop := starts(t, o.run)
	fails := func(from string) {
		for range 5 {
			g.Fail(guard.Failure{Addr: netip.MustParseAddr(from), Kind: guard.SignIn})
		}
		if g.Listens(netip.MustParseAddr(from)) {
			t.Fatalf("%s is not banned", from)
		}
	}
	eventually(t, "the agent is asked", func() bool { _, err := o.state(); return err == nil })

	const v4, v6 = "203.0.113.7", "2001:db8:9:1::7"

	// The first time the gateway refuses by itself: a known device may be there.
	fails(v4)
	if w := o.wanted(c.now()); len(w) != 0 {
		t.Errorf("the kernel is to drop %v", w)
	}
	c.advance(11 * time.Minute)
	fails(v4)
	dropped := func(address string, want bool) {
		t.Helper()
		eventually(t, address+" in the kernel", func() bool { return s.drops(address) == want })
	}
	connects := func(from, port string, want bool) {
		t.Helper()
		if s.connects(from, port) != want {
			t.Errorf("%s connects to %s: %t", from, port, !want)
		}
	}
	dropped(v4, true)
	connects(v4, "443", false)
	connects(v4, "8443", false)
	connects(v4, "22", true)
	connects("203.0.113.8", "443", true)
	connects(v6, "443", true)

	// Of IPv6 the whole network; and an unban counts at once.
	fails(v6)
	c.advance(21 * time.Minute)
	fails(v6)
	dropped("2001:db8:9:1::", true)
	connects(v6, "443", false)
	connects("2001:db8:a::7", "443", true)
	g.Unban(netip.MustParsePrefix("2001:db8:9:1::/64"))
	o.wake()
	dropped("2001:db8:9:1::", false)
	connects(v6, "443", true)

	// The owner's bans, without an end: renewed, and never whom root's configuration allows,
	// who is near, or where somebody is allowed in part.
	for _, p := range []string{"203.0.113.8/32", "198.51.100.9/32", "192.168.77.9/32", "203.0.113.64/26", "2001:db8:a::/48"} {
		if err := g.Ban(netip.MustParsePrefix(p), time.Time{}, "for the test"); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Allow(netip.MustParsePrefix("2001:db8:a::/64"), "for the test"); err != nil {
		t.Fatal(err)
	}
	o.wake()
	dropped("203.0.113.8", true)
	eventually(t, "one is dropped", func() bool { n, err := o.state(); return n == 1 && err == nil })
	c.advance(4 * 24 * time.Hour)
	o.wake()
	eventually(t, "renewed", func() bool {
		out := s.run("nft", "list", "set", "inet", "gatehouse_guard", "v4")
		_, left, _ := strings.Cut(out, "expires ")
		return strings.HasPrefix(left, "7d") || strings.HasPrefix(left, "6d23h")
	})

	// A known device that comes from there is not to be lost behind a drop.
	g.Seen(netip.MustParseAddr("203.0.113.8"), "a telephone")
	dropped("203.0.113.8", false)
	connects("203.0.113.8", "443", true)
	if err := g.Ban(netip.MustParsePrefix("203.0.113.7/32"), time.Time{}, "for the test"); err != nil {
		t.Fatal(err)
	}
	o.wake()
	dropped(v4, true)

	// A firewall is loaded anew, and somebody else adds to our set: it is as the guard says
	// after the next look.
	s.run("nft", "flush", "ruleset")
	connects(v4, "443", true)
	c.advance(offloadRelist)
	dropped(v4, true)
	s.run("nft", "add element inet gatehouse_guard v4 { 203.0.113.99 timeout 1h }")
	c.advance(offloadRelist)
	dropped("203.0.113.99", false)

	// Without the agent nothing is dropped, which is said once; with it again, all is.
	stopAgent()
	if s.drops(v4) {
		t.Error("the agent is gone, and its table is there")
	}
	connects(v4, "443", true)
	c.advance(offloadRelist)
	eventually(t, "that the agent is gone", func() bool { _, err := o.state(); return err != nil })
	stopAgent = startAgent(t, offloading)
	dropped(v4, true)

	// The gateway ends: who comes next may be told not to use the kernel.
	stop()
	if s.drops(v4) {
		t.Error("the gateway has ended, and the kernel still drops")
	}
	stopAgent()
	if n := strings.Count(said.String(), "level=WARN"); n != 1 {
		t.Errorf("it was said %d times: %s", n, said.String())
	}
	if out := s.run("nft", "list", "ruleset"); out != "" {
		t.Errorf("left are %s", out)
	}
}

// An agent that is not told to drop removes what one before it left, and says why it does not.
func TestAgentLeavesNothingBehind(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	if !inNetwork(t) {
		return
	}
	s := newStreet(t)
	stop := startAgent(t, offloading)
	s.run("nft", "add element inet gatehouse_guard v4 { 203.0.113.7 timeout 1h }")
	left := s.run("nft", "list", "ruleset")
	stop()
	s.run("nft", left) // as if it had been killed
	if !s.drops("203.0.113.7") {
		t.Fatal("nothing is left")
	}
	stop = startAgent(t, strings.Replace(offloading, "offload = \"nftables\"\n", "", 1))
	if out := s.run("nft", "list", "ruleset"); out != "" {
		t.Errorf("left are %s", out)
	}
	if _, err := askAgent(agentSocket)(t.Context(), "bans", struct{}{}); err == nil || !strings.Contains(err.Error(), "offload") {
		t.Errorf("%v", err)
	}
	stop()
	if _, err := askAgent(agentSocket)(t.Context(), "bans", struct{}{}); err == nil || !strings.Contains(err.Error(), agentSocket) {
		t.Errorf("nobody is there: %v", err)
	}
}

// The agent takes the doors' ports and whom it never drops from the configuration: what is
// allowed, and the proxies, behind which all visitors are.
func TestAgentKnowsDoorsAndProxies(t *testing.T) {
	cfg, err := config.Parse("gatehouse.toml", []byte("[home]\nname = \"house.test\"\n[doors.https]\nlisten = \"[::1]:444\"\ntrusted_proxies = [\"203.0.113.1\"]\n[doors.lan]\ntrusted_proxies = [\"2001:db8::/64\"]\n[guard]\nallow = [\"198.51.100.0/24\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if ports, err := doorPorts(cfg); err != nil || !slices.Equal(ports, []uint16{444, 8443}) {
		t.Errorf("%v %v", ports, err)
	}
	never, err := neverDropped(cfg)
	for _, want := range []string{"198.51.100.0/24", "203.0.113.1/32", "2001:db8::/64"} {
		if err != nil || !slices.Contains(never, netip.MustParsePrefix(want)) {
			t.Errorf("%s is not in %v (%v)", want, never, err)
		}
	}
}
