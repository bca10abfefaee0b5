package checks

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/fix"
)

// inNetwork says, in the environment, which end of the network of the test below this
// process is: the house, or a stranger's machine beside it.
const inNetwork = "GATEHOUSE_TEST_NETWORK"

// The rules of a repair, loaded by the real nft in a network of the test's own: what the
// home serves is reached, and by whom it shall be; nothing else is. Neighbours are found
// over IPv6, a connection that was there goes on, and another program's rules stay.
func TestFirewallKnowsTheDoors(t *testing.T) {
	switch os.Getenv(inNetwork) {
	case "house":
		house(t)
		return
	case "stranger":
		stranger()
		return
	}
	if testing.Short() {
		t.Skip("-short")
	}
	for _, program := range []string{"nft", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v: run scripts/needs unit", err)
		}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFirewallKnowsTheDoors$", "-test.v")
	cmd.Env = append(os.Environ(), inNetwork+"=house", "GATEHOUSE_TEST_DIR="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig: syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v (it takes user namespaces: sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces)\n%s", err, out)
	}
	if !strings.Contains(string(out), "--- PASS: TestFirewallKnowsTheDoors") {
		t.Fatalf("the test did not run in its network:\n%s", out)
	}
}

// serve gives back what it is sent.
func serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go io.Copy(c, c)
	}
}

// stranger is the other end. It serves port 7000, and does what it is told line by line:
// dials an address from one of its own, and answers whether that went.
func stranger() {
	l, err := net.Listen("tcp", ":7000")
	if err != nil {
		fmt.Println(err)
		return
	}
	go serve(l)
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var from, to string
		fmt.Sscan(in.Text(), &from, &to)
		d := net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.Dial("tcp", to)
		if err != nil {
			fmt.Println("no")
			continue
		}
		c.Close()
		fmt.Println("yes")
	}
}

// drawnHouse is a home that serves SSH on two ports, Home Assistant, and a door.
const drawnHouse = `-- etc/os-release --
ID=debian
-- usr/sbin/nft 0755 0:0 --
x
-- usr/bin/dockerd 0755 0:0 --
x
-- lib/systemd/system/nftables.service --
[Service]
ExecStart=/usr/sbin/nft -f /etc/nftables.conf
-- etc/ssh/sshd_config --
Port 22
Port 2222
-- config/configuration.yaml --
http:
-- etc/gatehouse/gatehouse.toml --
[doors.https]
`

func house(t *testing.T) {
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}

	other := exec.Command(os.Args[0], "-test.run=^TestFirewallKnowsTheDoors$")
	other.Env = append(os.Environ(), inNetwork+"=stranger")
	other.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	orders, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer orders.Close()
	answers := bufio.NewScanner(said)
	if !answers.Scan() || answers.Text() != "ready" {
		t.Fatalf("the other end does not serve: %q", answers.Text())
	}
	pid := fmt.Sprint(other.Process.Pid)
	there := func(args ...string) { // ip in the other network
		t.Helper()
		run("nsenter", append([]string{"-t", pid, "-n", "ip"}, args...)...)
	}

	run("ip", "link", "set", "lo", "up")
	run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", pid)
	run("ip", "link", "set", "eth0", "up")
	there("link", "set", "eth0", "up")
	for _, a := range []string{"192.168.7.1/24", "203.0.113.1/24", "fd07::1/64", "2001:db8:7::1/64"} {
		run("ip", append([]string{"addr", "add", a, "dev", "eth0"}, nodad(a)...)...)
	}
	for _, a := range []string{"192.168.7.2/24", "203.0.113.2/24", "fd07::2/64", "2001:db8:7::2/64"} {
		there(append([]string{"addr", "add", a, "dev", "eth0"}, nodad(a)...)...)
	}

	for _, port := range []string{"22", "2222", "443", "8123", "9000"} {
		l, err := net.Listen("tcp", ":"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go serve(l)
	}
	reached := func(from, to, port string) bool {
		t.Helper()
		fmt.Fprintln(orders, from, net.JoinHostPort(to, port))
		if !answers.Scan() {
			t.Fatal("the other end is gone")
		}
		return answers.Text() == "yes"
	}

	// A connection that is there before, from the house to the outside, as Home Assistant
	// has them.
	old, err := net.DialTimeout("tcp", "203.0.113.2:7000", 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	echoes := func() {
		t.Helper()
		old.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(old, "still there?"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(old, make([]byte, 12)); err != nil {
			t.Fatalf("a connection that was there does not go on: %v", err)
		}
	}
	echoes()
	for _, port := range []string{"22", "8123", "9000"} {
		if !reached("203.0.113.2", "203.0.113.1", port) {
			t.Fatalf("port %s is not reached although there is no firewall yet", port)
		}
	}

	dir := os.Getenv("GATEHOUSE_TEST_DIR")
	rules, config := filepath.Join(dir, "gatehouse.nft"), filepath.Join(dir, "nftables.conf")
	run("nft", "add table ip nat; add chain ip nat DOCKER; add rule ip nat DOCKER counter")
	lay := func(check audit.Check, home string) {
		t.Helper()
		drawing := filepath.Join(dir, "home.txt")
		if err := os.WriteFile(drawing, []byte("== house fail ha=/config\n"+home), 0o600); err != nil {
			t.Fatal(err)
		}
		plan := fix.Make(homesOf(t, drawing)[0].host, []fix.Rule{rule(check)})
		if len(plan.Fixes) != 1 || !plan.Fixes[0].Guarded {
			t.Fatalf("the plan is no firewall on trial: %+v", plan)
		}
		for _, s := range plan.Fixes[0].Steps {
			if file := map[string]string{nftRules: rules, nftFile: config}[s.Path]; file != "" {
				if err := os.WriteFile(file, []byte(strings.ReplaceAll(*s.After.Content, nftRules, rules)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		run("nft", "-c", "-f", config)
	}
	lay(netFirewallV6(), drawnHouse+`-- etc/systemd/system/sysinit.target.wants/nftables.service -> /lib/systemd/system/nftables.service --
-- etc/nftables.conf --
table ip filter {
	chain input {
		type filter hook input priority 0; policy drop;
		tcp dport { 22, 443, 8000-8200 } accept
		udp dport 51820 accept
	}
}
`)
	lay(netFirewallPresent(), drawnHouse)
	run("nft", "-f", rules)
	run("nft", "-f", rules) // again changes nothing
	run("nft", "-f", config)

	for _, c := range []struct {
		from, to, port string
		want           bool
	}{
		{"203.0.113.2", "203.0.113.1", "22", true}, {"203.0.113.2", "203.0.113.1", "2222", true}, {"203.0.113.2", "203.0.113.1", "443", true},
		{"203.0.113.2", "203.0.113.1", "8123", false}, {"203.0.113.2", "203.0.113.1", "9000", false},
		{"192.168.7.2", "192.168.7.1", "8123", true}, {"192.168.7.2", "192.168.7.1", "9000", false},
		{"fd07::2", "fd07::1", "8123", true}, {"fd07::2", "fd07::1", "9000", false},
		{"2001:db8:7::2", "2001:db8:7::1", "2222", true}, {"2001:db8:7::2", "2001:db8:7::1", "8123", false}, {"2001:db8:7::2", "2001:db8:7::1", "9000", false},
	} {
		if got := reached(c.from, c.to, c.port); got != c.want {
			t.Errorf("%s reaches %s port %s: %t, want %t", c.from, c.to, c.port, got, c.want)
		}
	}
	echoes()

	// With what they know of each other forgotten, the two have to ask who is who.
	run("ip", "-6", "neigh", "flush", "dev", "eth0")
	there("-6", "neigh", "flush", "dev", "eth0")
	if !reached("2001:db8:7::2", "2001:db8:7::1", "22") {
		t.Error("neighbours are not found over IPv6")
	}
	if out := run("nft", "list", "chain", "ip", "nat", "DOCKER"); !strings.Contains(out, "counter") {
		t.Errorf("another program's rules are gone:\n%s", out)
	}
	if c, err := net.DialTimeout("tcp", "127.0.0.1:9000", time.Second); err != nil {
		t.Errorf("the machine does not reach itself: %v", err)
	} else {
		c.Close()
	}

	run("nft", "add table inet gatehouse; delete table inet gatehouse; add table ip6 gatehouse; delete table ip6 gatehouse")
	if out := run("nft", "list", "tables"); strings.Contains(out, "gatehouse") || !strings.Contains(out, "ip nat") {
		t.Errorf("not only our table is gone:\n%s", out)
	}
	if !reached("203.0.113.2", "203.0.113.1", "9000") {
		t.Error("port 9000 is not reached although the firewall is taken back")
	}
}

// nodad has an address of IPv6 be there at once.
func nodad(address string) []string {
	if strings.Contains(address, ":") {
		return []string{"nodad"}
	}
	return nil
}
