package nft

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// In the environment, inNetwork says which end of a network of a test's own this process is:
// the house, or the machines beside it.
const inNetwork = "GATEHOUSE_TEST_NETWORK"

// apart runs the test again in a network of its own, which ends with it, and reports whether
// this is that run.
func apart(t *testing.T) bool {
	t.Helper()
	switch os.Getenv(inNetwork) {
	case "house":
		return true
	case "others":
		others()
		return false
	}
	if testing.Short() {
		t.Skip("-short")
	}
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	for _, program := range []string{"nft", "ip", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v: run scripts/needs unit", err)
		}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inNetwork+"=house")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig: syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v (it takes user namespaces: sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces)\n%s", err, out)
	}
	if !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("the test did not run in its network:\n%s", out)
	}
	return false
}

// run runs a program in the house.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// others are the machines beside the house: told line by line, they dial an address from one
// of theirs, and answer whether that went.
func others() {
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

// neighbours are a link to others, and how they are told to dial.
type neighbours struct {
	t       *testing.T
	orders  io.Writer
	answers *bufio.Scanner
}

// house sets the house's network up: a link with these addresses on it, ours first, and
// servers on ports.
func house(t *testing.T, ours, theirs []string, ports ...string) *neighbours {
	t.Helper()
	other := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	other.Env = append(os.Environ(), inNetwork+"=others")
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
	t.Cleanup(func() {
		orders.Close()
		other.Wait()
	})
	n := &neighbours{t: t, orders: orders, answers: bufio.NewScanner(said)}
	if !n.answers.Scan() || n.answers.Text() != "ready" {
		t.Fatalf("the other end does not answer: %q", n.answers.Text())
	}
	pid := fmt.Sprint(other.Process.Pid)
	there := []string{"-t", pid, "-n", "ip"}
	run(t, "ip", "link", "set", "lo", "up")
	run(t, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", pid)
	run(t, "ip", "link", "set", "eth0", "up")
	run(t, "nsenter", append(slices.Clone(there), "link", "set", "eth0", "up")...)
	for _, a := range ours {
		run(t, "ip", append([]string{"addr", "add", a, "dev", "eth0"}, nodad(a)...)...)
	}
	for _, a := range theirs {
		run(t, "nsenter", append(append(slices.Clone(there), "addr", "add", a, "dev", "eth0"), nodad(a)...)...)
	}
	for _, port := range ports {
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
				go io.Copy(c, c)
			}
		}()
	}
	return n
}

func nodad(addr string) []string {
	if strings.Contains(addr, ":") {
		return []string{"nodad"}
	}
	return nil
}

// reaches checks whether one of them reaches a port of the house.
func (n *neighbours) reaches(want bool, from, to, port string) {
	n.t.Helper()
	fmt.Fprintln(n.orders, from, net.JoinHostPort(to, port))
	if !n.answers.Scan() {
		n.t.Fatal("the other end is gone")
	}
	if got := n.answers.Text() == "yes"; got != want {
		n.t.Errorf("%s reaches %s port %s: %t", from, to, port, got)
	}
}

func newTable(t *testing.T, ports ...uint16) *Table {
	t.Helper()
	table, err := New(ports)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func ban(t *testing.T, table *Table, left time.Duration, prefixes ...string) {
	t.Helper()
	var bans []Ban
	for _, p := range prefixes {
		bans = append(bans, Ban{Prefix: netip.MustParsePrefix(p), Left: left})
	}
	if err := table.Ban(bans); err != nil {
		t.Fatal(err)
	}
}

// held checks what is dropped now.
func held(t *testing.T, table *Table, want ...string) {
	t.Helper()
	bans, err := table.Bans()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range bans {
		got = append(got, b.Prefix.String())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("dropped are %v, want %v", got, want)
	}
}

// Whoever is banned reaches the doors no more; other ports and other people do. Of IPv6 a
// network of each length is one. What is open goes on, and an unban counts at once.
func TestBannedReachNoDoor(t *testing.T) {
	if !apart(t) {
		return
	}
	n := house(t, []string{"203.0.113.1/24", "2001:db8::1/32"},
		[]string{"203.0.113.2/24", "203.0.113.3/24", "2001:db8:a:1::2/32", "2001:db8:a:1ff::3/32", "2001:db8:a:ffff::4/32", "2001:db8:b::5/32"}, "443", "8443", "22")
	const v4, v6 = "203.0.113.1", "2001:db8::1"
	table := newTable(t, 443, 8443, 443)
	if err := table.Ensure(); err != nil {
		t.Fatal(err)
	}
	n.reaches(true, "203.0.113.2", v4, "443")
	n.reaches(true, "2001:db8:a:1::2", v6, "8443")

	ban(t, table, time.Hour, "203.0.113.2/32", "2001:db8:a:1::/64")
	for _, port := range []string{"443", "8443"} {
		n.reaches(false, "203.0.113.2", v4, port)
		n.reaches(false, "2001:db8:a:1::2", v6, port)
	}
	n.reaches(true, "203.0.113.2", v4, "22")
	n.reaches(true, "2001:db8:a:1::2", v6, "22")
	n.reaches(true, "203.0.113.3", v4, "443")
	n.reaches(true, "2001:db8:a:1ff::3", v6, "443")

	ban(t, table, time.Hour, "2001:db8:a:100::/56")
	n.reaches(false, "2001:db8:a:1ff::3", v6, "443")
	n.reaches(true, "2001:db8:a:ffff::4", v6, "443")
	ban(t, table, time.Hour, "2001:db8:a::/48", "2001:db8:b::5/128")
	n.reaches(false, "2001:db8:a:ffff::4", v6, "443")
	n.reaches(false, "2001:db8:b::5", v6, "443")
	held(t, table, "203.0.113.2/32", "2001:db8:a:1::/64", "2001:db8:a:100::/56", "2001:db8:a::/48", "2001:db8:b::5/128")

	if err := table.Unban([]netip.Prefix{netip.MustParsePrefix("203.0.113.2/32"), netip.MustParsePrefix("203.0.113.99/32"), netip.MustParsePrefix("2001:db8:b::5/128")}); err != nil {
		t.Fatal(err)
	}
	n.reaches(true, "203.0.113.2", v4, "443")
	n.reaches(true, "2001:db8:b::5", v6, "443")
	held(t, table, "2001:db8:a:1::/64", "2001:db8:a:100::/56", "2001:db8:a::/48")
}

// A connection that is open when its address is banned goes on: who is there, the gateway
// knows better. Over the loopback interface nothing is dropped.
func TestOpenConnectionsGoOn(t *testing.T) {
	if !apart(t) {
		return
	}
	house(t, nil, nil, "443")
	run(t, "ip", "addr", "add", "203.0.113.1/32", "dev", "lo")
	table := newTable(t, 443)
	ban(t, table, time.Hour, "203.0.113.1/32", "127.0.0.1/32")
	d := net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP("203.0.113.1")}}
	c, err := d.Dial("tcp", "127.0.0.1:443")
	if err != nil {
		t.Fatalf("this machine does not reach itself: %v", err)
	}
	defer c.Close()

	// The same from outside, where it counts.
	n := house2(t)
	open, err := n.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	ban(t, table, time.Hour, "198.51.100.2/32")
	if again, err := n.dial(); err == nil {
		again.Close()
		t.Error("a new connection is let through")
	}
	open.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(open, "still there?"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(open, make([]byte, 12)); err != nil {
		t.Errorf("what was open does not go on: %v", err)
	}
}

// beside is another network of this machine's, entered by this process for one dial.
type beside struct {
	t       *testing.T
	network int // its file
}

// house2 makes a network beside the house, 198.51.100.2, with the house at 198.51.100.1.
func house2(t *testing.T) *beside {
	t.Helper()
	made := make(chan int)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with us
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
		}
		fd, err := unix.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
		}
		made <- fd
	}()
	b := &beside{t: t, network: <-made}
	t.Cleanup(func() { unix.Close(b.network) })
	path := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), b.network)
	run(t, "ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth0", "netns", path)
	run(t, "ip", "addr", "add", "198.51.100.1/24", "dev", "eth1")
	run(t, "ip", "link", "set", "eth1", "up")
	for _, args := range []string{"addr add 198.51.100.2/24 dev eth0", "link set eth0 up"} {
		run(t, "nsenter", append([]string{"--net=" + path, "ip"}, strings.Fields(args)...)...)
	}
	return b
}

func (b *beside) dial() (net.Conn, error) {
	type result struct {
		c   net.Conn
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(b.network, unix.CLONE_NEWNET); err != nil {
			done <- result{nil, err}
			return
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			done <- result{nil, err}
			return
		}
		// The kernel gives up after three seconds (SO_SNDTIMEO bounds connect, socket(7)): a first packet
		// that is lost comes again after one.
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 3})
		if err == nil {
			err = unix.Connect(fd, &unix.SockaddrInet4{Port: 443, Addr: [4]byte{198, 51, 100, 1}})
		}
		f := os.NewFile(uintptr(fd), "dialled")
		defer f.Close()
		if err != nil {
			done <- result{nil, err}
			return
		}
		c, err := net.FileConn(f)
		done <- result{c, err}
	}()
	r := <-done
	return r.c, r.err
}

// Entries end by themselves, in the kernel; the last word about one counts, longer or shorter.
func TestBansEndByThemselves(t *testing.T) {
	if !apart(t) {
		return
	}
	table := newTable(t, 443)
	ban(t, table, time.Hour, "203.0.113.2/32", "2001:db8::/48")
	ban(t, table, time.Second, "203.0.113.3/32", "203.0.113.2/32")
	ban(t, table, 2*time.Hour, "2001:db8::/48")
	bans, err := table.Bans()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bans {
		if b.Prefix.Addr().Is4() && b.Left > time.Second || b.Prefix.Addr().Is6() && b.Left <= time.Hour {
			t.Errorf("%s for %s", b.Prefix, b.Left)
		}
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if bans, err = table.Bans(); err != nil {
			t.Fatal(err)
		}
		if len(bans) == 1 && bans[0].Prefix.Addr().Is6() {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still dropped: %v", bans)
		}
	}
	for _, b := range []Ban{
		{netip.MustParsePrefix("203.0.113.2/32"), Longest + time.Second}, {netip.MustParsePrefix("203.0.113.2/32"), 0}, {netip.MustParsePrefix("203.0.113.0/24"), time.Hour},
		{netip.MustParsePrefix("2001:db8::/32"), time.Hour}, {netip.MustParsePrefix("2001:db8::1/64"), time.Hour}, {netip.MustParsePrefix("::ffff:203.0.113.2/128"), time.Hour}, {netip.Prefix{}, time.Hour},
	} {
		if err := table.Ban([]Ban{b}); err == nil {
			t.Errorf("%v is taken", b)
		}
	}
}

// What Debian's nft shows of the table.
const shown = `table inet gatehouse_guard {
	set ports {
		type inet_service
		elements = { 443, 8443 }
	}

	set v4 {
		type ipv4_addr
		size 65536
		flags timeout
	}

	set v6_48 {
		type ipv6_addr
		size 16384
		flags timeout
	}

	set v6_56 {
		type ipv6_addr
		size 16384
		flags timeout
	}

	set v6_64 {
		type ipv6_addr
		size 16384
		flags timeout
	}

	set v6_128 {
		type ipv6_addr
		size 16384
		flags timeout
	}

	chain input {
		type filter hook input priority filter - 10; policy accept;
		tcp dport @ports tcp flags syn / fin,syn,rst,ack iifname != "lo" jump banned comment "gatehouse"
	}

	chain banned {
		ip saddr @v4 drop comment "gatehouse"
		ip6 saddr & ffff:ffff:ffff:: @v6_48 drop comment "gatehouse"
		ip6 saddr & ffff:ffff:ffff:ff00:: @v6_56 drop comment "gatehouse"
		ip6 saddr & ffff:ffff:ffff:ffff:: @v6_64 drop comment "gatehouse"
		ip6 saddr @v6_128 drop comment "gatehouse"
	}
}
`

// Whatever happened to our own table, it is as it should be after the next ban, and a second
// set-up changes nothing.
func TestOwnTableIsRepaired(t *testing.T) {
	if !apart(t) {
		return
	}
	table := newTable(t, 8443, 443)
	for range 2 {
		if err := table.Ensure(); err != nil {
			t.Fatal(err)
		}
	}
	// Newer releases of nft write == before such a set.
	list := func() string {
		return strings.ReplaceAll(run(t, "nft", "list", "table", "inet", tableName), " == @", " @")
	}
	if got := list(); got != shown {
		t.Fatalf("nft shows\n%s\nand not\n%s", got, shown)
	}
	ban(t, table, time.Hour, "203.0.113.9/32")
	if err := table.Ensure(); err != nil {
		t.Fatal(err)
	}
	held(t, table, "203.0.113.9/32")
	for _, damage := range []string{
		"flush ruleset",
		"flush chain inet gatehouse_guard banned",
		"flush chain inet gatehouse_guard input",
		"add rule inet gatehouse_guard input drop comment gatehouse",
		"insert rule inet gatehouse_guard banned accept comment gatehouse",
		"add element inet gatehouse_guard ports { 22 }",
		"flush set inet gatehouse_guard ports",
		"flush chain inet gatehouse_guard banned; delete set inet gatehouse_guard v4",
		"flush chain inet gatehouse_guard banned; delete set inet gatehouse_guard v4; add set inet gatehouse_guard v4 { type ipv4_addr; flags interval; }",
		"delete chain inet gatehouse_guard input",
		"delete chain inet gatehouse_guard input; add chain inet gatehouse_guard input { type filter hook input priority 10; policy drop; }",
		"add chain inet gatehouse_guard input { policy drop; }",
		"add table inet gatehouse_guard { flags dormant; }",
		"delete table inet gatehouse_guard; add table inet gatehouse_guard",
	} {
		run(t, "nft", damage)
		ban(t, table, time.Hour, "203.0.113.2/32")
		if found, err := table.look(); err != nil || found != whole {
			t.Errorf("after %q: %v %v", damage, found, err)
		}
		held(t, table, "203.0.113.2/32")
		if err := table.Unban([]netip.Prefix{netip.MustParsePrefix("203.0.113.2/32")}); err != nil {
			t.Error(err)
		}
		if got := list(); got != shown {
			t.Errorf("after %q nft shows\n%s", damage, got)
		}
	}
	// Other ports are another table.
	other := newTable(t, 443)
	if err := other.Ensure(); err != nil {
		t.Fatal(err)
	}
	if got := run(t, "nft", "list", "set", "inet", tableName, "ports"); !strings.Contains(got, "elements = { 443 }") {
		t.Errorf("nft shows %s", got)
	}
}

// It is removed whole, and nothing else is touched, not even a table of its name in which
// there is something that it does not make.
func TestOthersTablesAreLeftAlone(t *testing.T) {
	if !apart(t) {
		return
	}
	const theirs = "table inet filter {\n\tset v4 {\n\t\ttype ipv4_addr\n\t\telements = { 192.0.2.1 }\n\t}\n\n\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n\t\ttcp dport 22 drop\n\t}\n}\n"
	run(t, "nft", theirs)
	before := run(t, "nft", "list", "ruleset")
	table := newTable(t, 443)
	if err := table.Remove(); err != nil {
		t.Errorf("where there is none: %v", err)
	}
	held(t, table)
	if err := table.Unban([]netip.Prefix{netip.MustParsePrefix("203.0.113.2/32")}); err != nil {
		t.Errorf("where there is none: %v", err)
	}
	ban(t, table, time.Hour, "203.0.113.2/32")
	for range 2 {
		if err := table.Remove(); err != nil {
			t.Error(err)
		}
		if after := run(t, "nft", "list", "ruleset"); after != before {
			t.Errorf("nft shows\n%s", after)
		}
	}
	for _, foreign := range []string{
		"add chain inet gatehouse_guard mine",
		"add chain inet gatehouse_guard input; add rule inet gatehouse_guard input tcp dport 22 accept",
		"add set inet gatehouse_guard mine { type ipv4_addr; }",
		"add set inet gatehouse_guard v4 { type ether_addr; }",
		"add map inet gatehouse_guard v4 { type ipv4_addr : verdict; }",
		"add counter inet gatehouse_guard mine",
	} {
		run(t, "nft", "add table inet gatehouse_guard; "+foreign)
		with := run(t, "nft", "list", "ruleset")
		if err := table.Ensure(); err == nil || !strings.Contains(err.Error(), "is left alone") {
			t.Errorf("%s: %v", foreign, err)
		}
		if err := table.Ban([]Ban{{netip.MustParsePrefix("203.0.113.2/32"), time.Hour}}); err == nil {
			t.Errorf("%s: banned in somebody else's table", foreign)
		}
		if err := table.Remove(); err != nil {
			t.Error(err)
		}
		held(t, table)
		if after := run(t, "nft", "list", "ruleset"); after != with {
			t.Errorf("%s: nft shows\n%s", foreign, after)
		}
		run(t, "nft", "delete table inet gatehouse_guard")
	}
}

// As many as there is place for are taken, listed and given back; one more is refused, by the
// kernel, and leaves the others as they are.
func TestBansAreBounded(t *testing.T) {
	if !apart(t) {
		return
	}
	table := newTable(t, 443)
	var all []netip.Prefix
	for _, s := range sets {
		var bans []Ban
		for n := range s.most + 1 {
			var raw [16]byte
			size := 16
			if s.v6 {
				binary.BigEndian.PutUint32(raw[:], 0x20010db8)
				binary.BigEndian.PutUint16(raw[s.bits/8-2:], uint16(n))
			} else {
				size = 4
				binary.BigEndian.PutUint32(raw[:], 11<<24+n)
			}
			addr, _ := netip.AddrFromSlice(raw[:size])
			bans = append(bans, Ban{netip.PrefixFrom(addr, s.bits), time.Hour})
		}
		last := bans[s.most:]
		bans = bans[:s.most]
		if err := table.Ban(bans); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if err := table.Ban(last); err == nil || !strings.Contains(err.Error(), "is full") {
			t.Errorf("%s: one more: %v", s.name, err)
		}
		for _, b := range bans {
			all = append(all, b.Prefix)
		}
	}
	if len(all) < 100_000 {
		t.Fatalf("only %d", len(all))
	}
	bans, err := table.Bans()
	if err != nil {
		t.Fatal(err)
	}
	distinct := map[netip.Prefix]bool{}
	for _, b := range bans {
		distinct[b.Prefix] = true
	}
	if len(distinct) != len(all) {
		t.Errorf("%d are listed, of %d", len(distinct), len(all))
	}
	if err := table.Unban(append(all, netip.MustParsePrefix("192.0.2.1/32"))); err != nil {
		t.Error(err)
	}
	held(t, table)
}

// Without the right to change the packet filter it says so.
func TestWithoutPermission(t *testing.T) {
	if !apart(t) {
		return
	}
	table := newTable(t, 443)
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with us
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&head, &none[0]); err != nil {
			failed <- errors.New("capabilities cannot be laid down")
			return
		}
		failed <- table.Ensure()
	}()
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("%v", err)
	}
}
