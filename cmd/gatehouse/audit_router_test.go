package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/finding"
)

// lane is a house on a router, both real, and what is behind it.
type lane struct {
	network
	dir       string
	gatehouse string
}

const laneRouter, laneHome, laneOutside = "router", "home", "outside"

func newLane(t *testing.T) *lane {
	t.Helper()
	l := &lane{network: newNetwork(t, map[string]string{"miniupnpd": "miniupnpd-nftables", "upnpc": "miniupnpc", "nft": "nftables"},
		"netns add router", "netns add home", "netns add outside",
		"-n router link set lo up", "-n home link set lo up",
		"-n home link add eth0 type veth peer name lan netns router",
		"-n router addr add 192.168.77.1/24 dev lan", "-n router addr add fe80::77/64 dev lan nodad", "-n router addr add fd77::1/64 dev lan nodad", "-n router link set lan up",
		"-n home addr add 192.168.77.10/24 dev eth0", "-n home link set eth0 up", "-n home route add default via 192.168.77.1",
		"-n outside link add eth0 type veth peer name wan netns router",
		// miniupnpd takes no address that is kept for examples; this network has no way out.
		"-n router addr add 11.22.33.44/24 dev wan", "-n router link set wan up",
	), dir: t.TempDir()}
	l.gatehouse = gatehouseIn(t, l.dir)
	if err := os.Mkdir(filepath.Join(l.dir, "ha"), 0o700); err != nil {
		t.Fatal(err)
	}
	l.write(filepath.Join(l.dir, "ha", ".HA_VERSION"), "2026.11.0")
	rules := filepath.Join(l.dir, "rules")
	l.write(rules, `table inet filter {
	chain forward { type filter hook forward priority 0; policy accept; jump miniupnpd; }
	chain miniupnpd { }
	chain prerouting { type nat hook prerouting priority -100; policy accept; jump prerouting_miniupnpd; }
	chain postrouting { type nat hook postrouting priority 100; policy accept; jump postrouting_miniupnpd; }
	chain prerouting_miniupnpd { }
	chain postrouting_miniupnpd { }
}
`)
	l.in(laneRouter, "nft", "-f", rules)
	return l
}

func (l *lane) write(name, text string) {
	l.t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
}

// entering is a command in one of the networks.
func (l *lane) entering(world, program string, args ...string) *exec.Cmd {
	return exec.CommandContext(l.t.Context(), "nsenter", append([]string{"--net=/run/netns/" + world, program}, args...)...)
}

func (l *lane) in(world, program string, args ...string) string {
	l.t.Helper()
	return l.run("nsenter", append([]string{"--net=/run/netns/" + world, program}, args...)...)
}

// startRouter starts miniupnpd with these settings, and returns how to end it.
func (l *lane) startRouter(settings string) (stop func()) {
	l.t.Helper()
	file := filepath.Join(l.dir, "miniupnpd.conf")
	l.write(file, "ext_ifname=wan\nlistening_ip=lan\nhttp_port=5000\nuuid=4ba8b5e4-3ea0-4c5c-9d6c-0b0c7d1d4a11\nsecure_mode=no\nallow 0-65535 0.0.0.0/0 0-65535\n"+settings)
	var said bytes.Buffer
	c := l.entering(laneRouter, "miniupnpd", "-d", "-f", file, "-P", filepath.Join(l.dir, "pid"))
	c.Stdout, c.Stderr, c.SysProcAttr = &said, &said, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		l.t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			_ = c.Process.Signal(syscall.SIGTERM)
			_ = c.Wait()
		}
	}
	l.t.Cleanup(stop)
	// It is ready when it listens; -d has it write unbuffered, but to us alone.
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if strings.Contains(l.in(laneRouter, "cat", "/proc/net/udp"), ":14E7 ") { // 5351
			return stop
		}
		if time.Since(begin) > 20*time.Second {
			stop()
			l.t.Fatalf("miniupnpd does not listen: %s", said.String())
		}
	}
}

// audit runs the verb in the house, and returns what it says of the router.
func (l *lane) audit(asks string) map[string]finding.Finding {
	l.t.Helper()
	c := l.entering(laneHome, l.gatehouse, "audit", "--router", "--no-walk", "--ha", filepath.Join(l.dir, "ha"), "--json")
	var out, note bytes.Buffer
	c.Stdout, c.Stderr = &out, &note
	began := time.Now()
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != statusNo && exit.ExitCode() != statusPartly) {
		l.t.Fatalf("%v\n%s%s", err, out.String(), note.String())
	}
	l.t.Logf("%s in %s", asks, time.Since(began).Round(time.Millisecond))
	if asked := strings.Contains(note.String(), "asking the router at "+asks+","); asked != (asks != "nobody") {
		l.t.Errorf("standard error does not say %s: %s", asks, note.String())
	}
	var document struct {
		Checks []finding.Finding `json:"checks"`
	}
	if err := json.Unmarshal(out.Bytes(), &document); err != nil {
		l.t.Fatal(err)
	}
	found := map[string]finding.Finding{}
	for _, f := range document.Checks {
		found[f.ID] = f
	}
	return found
}

// wants compares results: "inet.upnp=fail …".
func (l *lane) wants(when string, found map[string]finding.Finding, want string) {
	l.t.Helper()
	for _, w := range strings.Fields(want) {
		id, result, _ := strings.Cut(w, "=")
		if f := found[id]; string(f.Result) != result {
			l.t.Errorf("%s: %s is %s, want %s: %v %s", when, id, f.Result, result, f.Evidence, f.Why)
		}
	}
}

// A real router is asked: what programs opened in it is said with where it leads; that it
// is off, that it shows no sign of itself, and that there is none, are three things. Asking
// changes nothing, and nothing that is sent could pass the router.
func TestRealRouter(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a router")
	}
	if !inNetwork(t) {
		return
	}
	l := newLane(t)
	stop := l.startRouter("ext_ip=11.22.33.44\nenable_upnp=yes\nenable_natpmp=yes\n")
	l.wants("nothing open", l.audit("192.168.77.1"), "inet.upnp=pass inet.natpmp=fail inet.portforward=unknown inet.cgnat=pass")
	for _, opening := range []string{"192.168.77.10 8123 443 TCP", "192.168.77.10 51820 51820 UDP", "192.168.77.20 22 2222 TCP"} {
		l.in(laneHome, "upnpc", append([]string{"-m", "eth0", "-e", "heating", "-a"}, strings.Fields(opening)...)...)
	}
	l.in(laneRouter, "nft", "add chain inet filter far { type filter hook input priority -10; policy accept; }")
	// The kernel's own refusal of an answer that comes late (ICMP) is not ours.
	l.in(laneRouter, "nft", "add rule inet filter far ip saddr 192.168.77.10 ip protocol { tcp, udp } ip ttl > 1 counter drop")
	before := l.in(laneRouter, "nft", "list", "ruleset")
	found := l.audit("192.168.77.1")
	l.wants("open", found, "inet.upnp=fail inet.natpmp=fail inet.portforward=fail inet.cgnat=pass")
	var shown []string
	for _, e := range found["inet.upnp"].Evidence {
		shown = append(shown, e.Value)
	}
	slices.Sort(shown)
	if want := []string{"TCP 2222 to 192.168.77.20:22 (heating): SSH", "TCP 443 to 192.168.77.10:8123 (heating): Home Assistant's port", "UDP 51820 to 192.168.77.10:51820 (heating): this machine"}; !slices.Equal(shown, want) {
		t.Errorf("shows %q, want %q", shown, want)
	}
	if got := fmt.Sprint(found["inet.cgnat"].Evidence); !strings.Contains(got, "11.22.33.44") {
		t.Errorf("its address: %s", got)
	}
	if after := l.in(laneRouter, "nft", "list", "ruleset"); after != before || !strings.Contains(after, "dnat") || !strings.Contains(after, "packets 0 ") {
		t.Errorf("asking changed something, or something could pass the router:\n%s\n%s", before, after)
	}
	stop()
	l.in(laneRouter, "nft", "delete chain inet filter far")

	// UPnP is off and NAT-PMP is on: the address is known all the same.
	stop = l.startRouter("ext_ip=11.22.33.44\nenable_upnp=no\nenable_natpmp=yes\n")
	l.wants("without UPnP", l.audit("192.168.77.1"), "inet.upnp=pass inet.natpmp=fail inet.portforward=unknown inet.cgnat=pass")
	stop()

	// Behind the provider's address this router says none, and opens nothing.
	l.in(laneRouter, "nft", "flush", "chain", "inet", "filter", "prerouting_miniupnpd")
	l.in(laneRouter, "ip", "addr", "flush", "dev", "wan")
	l.in(laneRouter, "ip", "addr", "add", "100.64.3.4/24", "dev", "wan")
	stop = l.startRouter("enable_upnp=yes\nenable_natpmp=yes\n")
	l.wants("shared address", l.audit("192.168.77.1"), "inet.upnp=pass inet.natpmp=fail inet.cgnat=fail")

	// PCP over IPv6 alone, at the address of the link.
	l.run("ip", "-n", laneHome, "route", "del", "default")
	l.run("ip", "-n", laneHome, "-6", "route", "add", "default", "via", "fe80::77", "dev", "eth0")
	l.wants("IPv6", l.audit("fe80::77%eth0"), "inet.upnp=unknown inet.natpmp=fail inet.cgnat=unknown")
	stop()
	l.run("ip", "-n", laneHome, "-6", "route", "del", "default")
	l.run("ip", "-n", laneHome, "route", "add", "default", "via", "192.168.77.1")

	l.wants("off", l.audit("192.168.77.1"), "inet.upnp=pass inet.natpmp=pass inet.portforward=unknown inet.cgnat=fail")
	l.in(laneRouter, "nft", "add chain inet filter wall { type filter hook input priority 0; policy drop; }")
	l.wants("drops everything", l.audit("192.168.77.1"), "inet.upnp=unknown inet.natpmp=unknown inet.portforward=unknown inet.cgnat=unknown")
	l.run("ip", "-n", laneRouter, "link", "set", "lan", "down")
	l.wants("away", l.audit("192.168.77.1"), "inet.upnp=unknown inet.natpmp=unknown inet.portforward=unknown inet.cgnat=unknown")
	l.run("ip", "-n", laneHome, "route", "del", "default")
	found = l.audit("nobody")
	l.wants("no router", found, "inet.upnp=unknown inet.natpmp=unknown inet.cgnat=unknown")
	if !strings.Contains(found["inet.upnp"].Why, "no default route") {
		t.Errorf("says %q", found["inet.upnp"].Why)
	}
}
