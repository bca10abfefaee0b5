package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"

	"gatehouse/internal/ledger"
	"gatehouse/internal/pki"
)

// scriptIssuer starts Pebble, Let's Encrypt's own server for tests, at $ISSUER. It finds
// every name on this machine, at the port that is its argument; what it is trusted by is
// root.pem. "issuer PORT later" only says where it will be.
func scriptIssuer(ts *testscript.TestScript, _ bool, args []string) {
	if ts.Getenv("ISSUER") == "" {
		scriptFreePort(ts, false, []string{"ISSUER_PORT"})
		ts.Setenv("ISSUER", "https://127.0.0.1:"+ts.Getenv("ISSUER_PORT")+"/dir")
		ts.Check(makeIssuerCertificate(ts.MkAbs(".")))
	}
	if len(args) > 1 {
		return
	}
	packet, stream := listenBoth(ts)
	everything := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			answer.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
		}
		_ = w.WriteMsg(answer)
	})
	for _, names := range []*dns.Server{{PacketConn: packet}, {Listener: stream}} {
		started, ended := make(chan struct{}), make(chan error, 1)
		names.Handler, names.NotifyStartedFunc = everything, func() { close(started) }
		go func() { ended <- names.ActivateAndServe() }()
		<-started
		ts.Defer(func() { _ = names.Shutdown(); <-ended })
	}

	var port int
	_, err := fmt.Sscan(args[0], &port)
	ts.Check(err)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{"listenAddress": "127.0.0.1:" + ts.Getenv("ISSUER_PORT"),
		"certificate": ts.MkAbs("root.pem"), "privateKey": ts.MkAbs("root.key"), "httpPort": port, "tlsPort": port, "keyAlgorithm": "ecdsa"}})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("pebble.json"), config, 0o600))
	at, err := pebbleAt()
	ts.Check(err)
	cmd := exec.Command(at, "-config", ts.MkAbs("pebble.json"), "-dnsserver", packet.LocalAddr().String(), "-strict")
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	ts.Check(cmd.Start())
	ts.Defer(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", "127.0.0.1:"+ts.Getenv("ISSUER_PORT"))
		if err == nil {
			ts.Check(c.Close())
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("pebble does not answer: %v", err)
		}
	}
}

// listenBoth listens by UDP and TCP on one port, which others may have by one of the two.
func listenBoth(ts *testscript.TestScript) (net.PacketConn, net.Listener) {
	for tries := 0; ; tries++ {
		packet, err := net.ListenPacket("udp", "127.0.0.1:0")
		ts.Check(err)
		stream, err := net.Listen("tcp", packet.LocalAddr().String())
		if err == nil {
			return packet, stream
		}
		_ = packet.Close()
		if tries > 50 {
			ts.Fatalf("no port is free for both: %v", err)
		}
	}
}

// pebbleAt is where `go tool` keeps Pebble. It is asked for in our own folder, as
// scripts run in others.
var pebbleAt = sync.OnceValues(func() (string, error) {
	cmd := exec.Command("go", "tool", "-n", "pebble")
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
})

// makeIssuerCertificate makes a certificate for this machine, which is its own root.
func makeIssuerCertificate(dir string) error {
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=issuer",
		"-addext", "subjectAltName=IP:127.0.0.1", "-keyout", filepath.Join(dir, "root.key"), "-out", filepath.Join(dir, "root.pem")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("openssl: %w: %s", err, out)
	}
	return nil
}

// The owner's program is told what to do in its arguments, without a shell and without
// our environment; what it says when it fails is told in one line.
func TestZoneCommand(t *testing.T) {
	dir := t.TempDir()
	program, said := filepath.Join(dir, "hook"), filepath.Join(dir, "said")
	script := "#!/bin/sh\n[ \"$3\" = _acme-challenge.fails.example.org ] && { echo 'no such\nzone' >&2; exit 7; }\nprintf '%s|' \"$@\" >> " + said + "\nenv >> " + said + "\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GATEHOUSE_SECRET", "do-not-tell")
	z := &zoneCommand{argv: []string{program, "first; $(reboot)"}}
	if err := z.Present(t.Context(), "_acme-challenge.example.org", "a'b"); err != nil {
		t.Fatal(err)
	}
	if err := z.CleanUp(t.Context(), "_acme-challenge.example.org", "a'b"); err != nil {
		t.Fatal(err)
	}
	two := []netip.Addr{netip.MustParseAddr("20.30.40.50"), netip.MustParseAddr("2a00:1::5")}
	if err := z.Lead(t.Context(), "ha.example.org", two, two[:1], time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := z.Lead(t.Context(), "none.example.org", nil, two, time.Minute); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first; $(reboot)|lead|ha.example.org|20.30.40.50|2a00:1::5|", "first; $(reboot)|lead|none.example.org|",
		"first; $(reboot)|present|_acme-challenge.example.org|a'b|", "first; $(reboot)|cleanup|_acme-challenge.example.org|a'b|"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("it was told %s", got)
		}
	}
	if strings.Contains(string(got), "none.example.org|2") {
		t.Errorf("it is told of what is there: %s", got)
	}
	if strings.Contains(string(got), "do-not-tell") {
		t.Error("it knows our environment")
	}
	if err := z.Present(t.Context(), "_acme-challenge.fails.example.org", "x"); err == nil || !strings.Contains(err.Error(), "exit status 7: no such zone") {
		t.Errorf("a failure: %v", err)
	}
}

// An owner is told 30, 7 and 1 days before an end, and not of what is renewed in time.
func TestNearness(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		life, left time.Duration
		days       int
		near       bool
	}{
		{3650 * day, 31 * day, 0, false}, {3650 * day, 30 * day, 30, true}, {3650 * day, 8 * day, 30, true}, {3650 * day, 7 * day, 7, true},
		{3650 * day, 2 * day, 7, true}, {3650 * day, day, 1, true}, {3650 * day, 0, 0, true}, {3650 * day, -day, 0, true},
		{90 * day, 30 * day, 0, false}, {90 * day, 29 * day, 30, true}, {6 * day, 2 * day, 0, false}, {6 * day, day, 1, true}, {397 * day, 133 * day, 0, false},
	} {
		days, near := nearness(ending{until: now.Add(c.left), since: now.Add(c.left - c.life)}, now)
		if days != c.days || near != c.near {
			t.Errorf("%s of %s left: %d, %t", c.left, c.life, days, near)
		}
	}
}

// Each warning is given once, over starts too, and anew for the next certificate.
func TestTellOnce(t *testing.T) {
	l, err := ledger.Open(t.Context(), "", ledger.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	e := ending{what: "x", until: time.Unix(1_800_000_000, 0)}
	for i, c := range []struct {
		days  int
		first bool
	}{{30, true}, {30, false}, {7, true}, {30, false}, {1, true}, {0, true}, {0, false}} {
		if first, err := tellOnce(t.Context(), l, e, c.days); err != nil || first != c.first {
			t.Errorf("%d: %d days: %t, %v", i, c.days, first, err)
		}
	}
	e.until = e.until.AddDate(0, 3, 0)
	if first, err := tellOnce(t.Context(), l, e, 30); err != nil || !first {
		t.Errorf("the next: %t, %v", first, err)
	}
}

// A label is one of its own each time, and a host name.
func TestRandomLabel(t *testing.T) {
	a, b := randomLabel(), randomLabel()
	if a == b || len(a) != 17 || pki.IsHomeName(a+".example.org") {
		t.Errorf("%s, %s", a, b)
	}
}
