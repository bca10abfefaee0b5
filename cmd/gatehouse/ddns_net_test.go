package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// zoneServer is the name server of example.org, and the only resolver that there is. It
// takes signed updates (RFC 2136), and texts from a file: a name and a text a line.
type zoneServer struct {
	mu      sync.Mutex
	records []dns.RR
	texts   string
}

const zoneKey = "c2l4dGVlbiBieXRlcyBvZiBrZXk="

// newZoneServer has it listen at an address, on port 53, and this machine ask it. It is for a
// network of the test's own.
func newZoneServer(t *testing.T, at, dir string, records ...string) *zoneServer {
	t.Helper()
	s := &zoneServer{texts: filepath.Join(dir, "texts")}
	for _, r := range append([]string{"example.org. 60 IN SOA ns.example.org. root.example.org. 1 60 60 60 60", "example.org. 60 IN NS ns.example.org.", "ns.example.org. 60 IN A " + at}, records...) {
		rr, err := dns.NewRR(r)
		if err != nil {
			t.Fatal(err)
		}
		s.records = append(s.records, rr)
	}
	packet, err := net.ListenPacket("udp", at+":53")
	if err != nil {
		t.Fatal(err)
	}
	stream, err := net.Listen("tcp", at+":53")
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []*dns.Server{{PacketConn: packet}, {Listener: stream}} {
		started, ended := make(chan struct{}), make(chan error, 1)
		server.Handler, server.TsigSecret, server.NotifyStartedFunc = s, map[string]string{"gatehouse.": zoneKey}, func() { close(started) }
		server.MsgAcceptFunc = func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }
		go func() { ended <- server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = server.Shutdown(); <-ended })
	}
	conf := filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver "+at+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	resolv, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(conf, resolv, "", syscall.MS_BIND, ""); err != nil {
		t.Fatalf("mount %s: %v", resolv, err)
	}
	return s
}

func (s *zoneServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := new(dns.Msg).SetReply(q)
	answer.Authoritative, answer.RecursionAvailable = true, true
	if sig := q.IsTsig(); q.Opcode == dns.OpcodeUpdate && sig != nil && w.TsigStatus() == nil {
		answer.SetTsig(sig.Hdr.Name, sig.Algorithm, 300, time.Now().Unix())
		for _, rr := range q.Ns {
			h := *rr.Header()
			if h.Class == dns.ClassINET {
				s.records = append(s.records, rr)
				continue
			}
			s.records = slices.DeleteFunc(s.records, func(r dns.RR) bool { return r.Header().Name == h.Name && r.Header().Rrtype == h.Rrtype })
		}
	} else if q.Opcode == dns.OpcodeUpdate {
		answer.Rcode = dns.RcodeNotAuth
	} else {
		s.answer(answer, q.Question[0])
	}
	_ = w.WriteMsg(answer)
}

func (s *zoneServer) answer(answer *dns.Msg, q dns.Question) {
	answer.Rcode = dns.RcodeNameError
	records := slices.Clone(s.records)
	texts, _ := os.ReadFile(s.texts)
	for line := range strings.Lines(string(texts)) {
		if name, text, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			records = append(records, &dns.TXT{Hdr: dns.RR_Header{Name: dns.Fqdn(name), Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{text}})
		}
	}
	for _, rr := range records {
		if h := rr.Header(); strings.EqualFold(h.Name, q.Name) {
			answer.Rcode = dns.RcodeSuccess
			if h.Rrtype == q.Qtype {
				answer.Answer = append(answer.Answer, rr)
			}
		}
	}
}

// leads is where a name leads.
func (s *zoneServer) leads(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, rr := range s.records {
		if f := strings.Fields(rr.String()); f[0] == name && (f[3] == "A" || f[3] == "AAAA") {
			all = append(all, f[4])
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// within waits for something that comes by itself.
func within(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not come: %s", what)
		}
	}
}

// The zone follows a house behind a real router: its IPv4 address is the router's, its
// IPv6 address is its own, and the one that is temporary or ends is not taken. A router
// that has none of its own is told of, and an order for a certificate is not placed where
// the name leads elsewhere than to the router.
func TestAddressesBehindARealRouter(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a router")
	}
	if !inNetwork(t) {
		return
	}
	l := newLane(t)
	for _, line := range []string{
		"link add dns0 type veth peer name dns1 netns home", "link set lo up", "addr add 192.168.99.1/24 dev dns0", "link set dns0 up",
		"-n home addr add 192.168.99.2/24 dev dns1", "-n home link set dns1 up",
		"-n home addr add 2a00:db8:7::20/64 dev eth0 nodad preferred_lft 0", "-n home addr add 2a00:db8:7::10/64 dev eth0 nodad",
		"-n home addr add 2a00:db8:9::9/64 dev dns1 nodad", "-n home -6 route add default via fe80::77 dev eth0",
	} {
		l.run("ip", strings.Fields(line)...)
	}
	names := newZoneServer(t, "192.168.99.1", l.dir, "ha.example.org. 60 IN A 11.22.33.99", "other.example.org. 60 IN A 11.22.33.99")
	stop := l.startRouter("ext_ip=11.22.33.44\nenable_upnp=yes\nenable_natpmp=yes\n")
	config := filepath.Join(l.dir, "gatehouse.toml")
	l.write(config, fmt.Sprintf("[home]\nname = \"ha.example.org\"\n[doors.https]\nlisten = \"127.0.0.1:443\"\n[certificates]\nissuers = [\"https://127.0.0.1:1/dir\"]\n[certificates.dns]\nprovider = \"rfc2136\"\nserver = \"192.168.99.1:53\"\nkey_name = \"gatehouse\"\n"+
		"[ddns]\n[events]\nfile = %q\n[state]\ndir = %q\n", filepath.Join(l.dir, "events"), filepath.Join(l.dir, "state")))
	run := func(verb ...string) string {
		t.Helper()
		c := l.entering(laneHome, l.gatehouse, append(verb, "--config", config)...)
		c.Stdin = strings.NewReader(zoneKey + "\n")
		out, _ := c.CombinedOutput()
		return string(out)
	}
	if said := run("certificates", "token", "rfc2136"); !strings.Contains(said, "kept") && strings.Contains(said, "gatehouse:") {
		t.Fatal(said)
	}
	end := l.serve(config)
	within(t, "the addresses in the zone", func() bool { return names.leads("ha.example.org.") == "11.22.33.44 2a00:db8:7::10" })
	if got := names.leads("other.example.org."); got != "11.22.33.99" {
		t.Errorf("another name: %s", got)
	}
	var said ddnsDocument
	within(t, "a good end", func() bool {
		return json.Unmarshal([]byte(run("ddns", "--json")), &said) == nil && said.DDNS.Good && said.DDNS.Written != ""
	})
	if r := said.DDNS.Records; r[0].Source != "the router" || r[0].Address != "11.22.33.44" || r[1].Source != "this machine" || r[1].Address != "2a00:db8:7::10" || !slices.Equal(r[1].Zone, []string{"2a00:db8:7::10"}) {
		t.Errorf("%+v", said.DDNS)
	}
	if got := run("status"); !strings.Contains(got, "ha.example.org leads to 11.22.33.44 and 2a00:db8:7::10.") {
		t.Errorf("status: %s", got)
	}
	if got := run("doctor"); !strings.Contains(got, "good    ha.example.org leads to this house: 11.22.33.44 2a00:db8:7::10") {
		t.Errorf("doctor: %s", got)
	}
	events, err := os.ReadFile(filepath.Join(l.dir, "events"))
	if err != nil || !strings.Contains(string(events), `"kind":"address-changed"`) || !strings.Contains(string(events), "before 11.22.33.99, which was not ours") {
		t.Errorf("%s, %v", events, err)
	}

	// The provider takes the house's own address away.
	stop()
	l.in(laneRouter, "ip", "addr", "flush", "dev", "wan")
	l.in(laneRouter, "ip", "addr", "add", "100.64.3.4/24", "dev", "wan")
	l.in(laneRouter, "nft", "flush", "chain", "inet", "filter", "prerouting_miniupnpd")
	stop = l.startRouter("enable_upnp=yes\nenable_natpmp=yes\n")
	if got := run("ddns", "retry"); !strings.Contains(got, "on its way") {
		t.Errorf("retry: %s", got)
	}
	within(t, "what the router has now", func() bool {
		said := run("ddns")
		return strings.Contains(said, "A: this machine has an address of home alone (192.168.77.10); the router says that it has no public address") && strings.Contains(said, "CGNAT")
	})
	if got := names.leads("ha.example.org."); got != "11.22.33.44 2a00:db8:7::10" {
		t.Errorf("at once: %s", got)
	}
	end()
	stop()

	// Without [ddns], before an order.
	l.in(laneRouter, "ip", "addr", "flush", "dev", "wan")
	l.in(laneRouter, "ip", "addr", "add", "11.22.33.44/24", "dev", "wan")
	stop = l.startRouter("ext_ip=11.22.33.44\nenable_upnp=yes\nenable_natpmp=yes\n")
	defer stop()
	l.write(config, fmt.Sprintf("[home]\nname = \"other.example.org\"\n[doors.https]\nlisten = \"127.0.0.1:443\"\n[certificates]\nissuers = [\"https://127.0.0.1:1/dir\"]\n[state]\ndir = %q\n", filepath.Join(l.dir, "state")))
	end = l.serve(config)
	defer end()
	within(t, "why there is no certificate", func() bool {
		return strings.Contains(run("certificates"), "other.example.org leads to 11.22.33.99, which is not this house")
	})
}

// serve starts the gateway in the house.
func (l *lane) serve(config string) (end func()) {
	l.t.Helper()
	c := l.entering(laneHome, l.gatehouse, "serve", "--config", config)
	var said lockedText
	c.Stdout, c.Stderr, c.SysProcAttr = &said, &said, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		l.t.Fatal(err)
	}
	end = sync.OnceFunc(func() { _ = c.Process.Signal(syscall.SIGTERM); _ = c.Wait() })
	l.t.Cleanup(func() {
		end()
		if l.t.Failed() {
			l.t.Logf("the gateway says\n%s", said.String())
		}
	})
	return end
}

type lockedText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (x *lockedText) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.Write(p)
}

func (x *lockedText) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.String()
}

// A certificate for all names of a level is got through a program of the owner's, which
// writes the texts and takes them away again, from a real issuer.
func TestOrderByCommand(t *testing.T) {
	if testing.Short() {
		t.Skip("makes networks")
	}
	if !inNetwork(t) {
		return
	}
	w := newNetwork(t, map[string]string{"openssl": "openssl"}, "link set lo up")
	dir := t.TempDir()
	newZoneServer(t, "127.0.0.1", dir)
	if err := makeIssuerCertificate(dir); err != nil {
		t.Fatal(err)
	}
	file := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pebble, err := pebbleAt()
	if err != nil {
		t.Fatalf("go tool -n pebble: %v (it is a tool of go.mod)", err)
	}
	settings := file("pebble.json", fmt.Sprintf(`{"pebble":{"listenAddress":"127.0.0.1:14000","certificate":%q,"privateKey":%q,"httpPort":1,"tlsPort":1,"keyAlgorithm":"ecdsa"}}`,
		filepath.Join(dir, "root.pem"), filepath.Join(dir, "root.key")), 0o600)
	issuer := exec.CommandContext(t.Context(), pebble, "-config", settings, "-dnsserver", "127.0.0.1:53", "-strict")
	issuer.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	if err := issuer.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Process.Kill(); _ = issuer.Wait() })
	texts, told := filepath.Join(dir, "texts"), filepath.Join(dir, "told")
	hook := file("hook", fmt.Sprintf("#!/bin/sh\nset -e\necho \"$1 $2 $3 $4\" >> %[2]s\n[ \"$1\" = home ]\ncase $2 in\npresent) echo \"$3 $4\" >> %[1]s;;\ncleanup) grep -vxF \"$3 $4\" %[1]s > %[1]s.new || true; mv %[1]s.new %[1]s;;\n*) exit 9;;\nesac\n", texts, told), 0o700)
	config := file("gatehouse.toml", fmt.Sprintf("[home]\nname = \"hq3k7.home.example.org\"\n[doors.https]\nlisten = \"127.0.0.1:443\"\n[certificates]\nissuers = [\"https://127.0.0.1:14000/dir\"]\nissuer_root = %q\nchallenge = \"dns\"\nwildcard = true\n"+
		"[certificates.dns]\nprovider = \"command\"\ncommand = [%q, \"home\"]\n[state]\ndir = %q\n", filepath.Join(dir, "root.pem"), hook, filepath.Join(dir, "state")), 0o644)
	gatehouse := gatehouseIn(t, dir)
	serving := exec.CommandContext(t.Context(), gatehouse, "serve", "--config", config)
	var said lockedText
	serving.Stdout, serving.Stderr = &said, &said
	if err := serving.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = serving.Process.Signal(syscall.SIGTERM)
		_ = serving.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	within(t, "a certificate", func() bool {
		out, _ := exec.CommandContext(t.Context(), gatehouse, "certificates", "--json", "--config", config).Output()
		return strings.Contains(string(out), `"issuer": "https://127.0.0.1:14000/dir"`)
	})
	shown := w.run("sh", "-c", "openssl s_client -connect 127.0.0.1:443 -servername hq3k7.home.example.org </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName")
	if !strings.Contains(shown, "DNS:*.home.example.org") || strings.Contains(shown, "hq3k7") {
		t.Errorf("it shows %s", shown)
	}
	within(t, "nothing left in the zone", func() bool { left, err := os.ReadFile(texts); return err == nil && len(left) == 0 })
	all, err := os.ReadFile(told)
	lines := strings.Split(strings.TrimSpace(string(all)), "\n")
	if err != nil || len(lines) != 2 || !strings.HasPrefix(lines[0], "home present _acme-challenge.home.example.org ") || strings.Replace(lines[0], "present", "cleanup", 1) != lines[1] {
		t.Errorf("the program was told %q, %v", lines, err)
	}
}
